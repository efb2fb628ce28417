"""A recorded thread as a row of calls: what came before each, and what each wrote."""

from __future__ import annotations

from dataclasses import dataclass

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block
from ctxbudget.recorded.usage import STANDARD, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One block of a recorded prompt."""

    id: str
    """Unique in its thread: where it stands in the file, for example `L12` or `L12.2`."""
    kind: Kind
    block: Block
    """In the shape of Anthropic's Messages API, as `live.pieces` reads it."""
    group: str | None = None
    """What a tool call and its result share."""
    tool: str | None = None
    """Of a call and of its result."""
    source: str | None = None
    """What its text is a copy of: of a file's reading, the path."""
    is_injected: bool = False
    """The host put it in by itself; it is nobody's goal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call to a model, with what changed in the prompt since the call before it.

    Attributes:
        at_s: when it was asked, in seconds since 1970; where no times are recorded, 0.
        model: as recorded; empty if the file does not say.
        tokens: by the provider's count; its output is the final one.
        output_is_known: False where the recorded output is but a placeholder.
        rate: other than the standard one, for example `fast`.
        left: ids of parts that a rewind or an edit took out before this call.
        compacted: ids of parts that the host's own compaction took out before this call.
        stand_ins: those of `came` that stand in for what was compacted.
        came: what came in before this call, in prompt order, but for what the model wrote.
        wrote: what this call wrote, in order.
    """

    at_s: float
    model: str
    tokens: Split
    output_is_known: bool = True
    rate: str = STANDARD
    left: tuple[str, ...] = ()
    compacted: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    came: tuple[Part, ...] = ()
    wrote: tuple[Part, ...] = ()

    @property
    def ttl_s(self) -> float | None:
        """The lifetime of what the call wrote to the cache; None if it does not show."""
        if self.tokens.cache_write_1h_tokens:
            return 3600.0
        return 300.0 if self.tokens.cache_write_5m_tokens else None
