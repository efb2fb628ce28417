"""The frozen values that the core passes around: items, limits, plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from ctxbudget.core.errors import ConfigError

MAIN = "main"
"""The orchestrator's thread."""


class Layer(StrEnum):
    """When an item dies, not where it stands in the prompt."""

    PERMANENT = "permanent"
    """Lives for the whole run and comes first in the prompt."""
    PHASE = "phase"
    """Dies with its phase or wave."""
    METADATA = "metadata"
    """A short stand-in for an artifact."""
    TRANSIENT = "transient"
    """A full output; dies first."""


class Kind(StrEnum):
    """What an item is, whoever wrote it."""

    TOOLS = "tools"
    """The definition of a tool; stands ahead of everything else."""
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    THINKING = "thinking"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    ARTIFACT = "artifact"
    """What an agent or a phase hands over."""
    SUMMARY = "summary"
    """Written in place of several items."""
    NOTE = "note"
    """A one-line "done" note in place of several items."""


CONVERSATION = frozenset(
    {Kind.USER, Kind.ASSISTANT, Kind.THINKING, Kind.TOOL_CALL, Kind.TOOL_RESULT}
)
"""Kinds that a model must have seen once before a rule may take them away."""


class Form(StrEnum):
    """How much of an item's text its present version holds, from all to least."""

    WHOLE = "whole"
    DEDUPED = "deduped"
    SNIP = "snip"
    DIGEST = "digest"
    NAMES = "names"
    CLEAR = "clear"
    SUMMARY = "summary"
    STUB = "stub"


class Do(StrEnum):
    """The operations a plan can hold."""

    DROP = "drop"
    """Remove; nothing is left in the prompt."""
    CLEAR = "clear"
    """Leave a placeholder."""
    SNIP = "snip"
    """Keep head and tail."""
    DIGEST = "digest"
    """Replace by extracted metadata that keeps identifiers verbatim."""
    DEDUPE = "dedupe"
    """Leave out the lines that a later item of the prompt holds as well."""
    NAMES = "names"
    """Keep only the identifiers that no later item of the prompt holds."""
    SUMMARIZE = "summarize"
    """Replace several by one written summary."""
    STUB = "stub"
    """Replace by a one-line "done" note."""


FORM_AFTER: dict[Do, Form] = {
    Do.CLEAR: Form.CLEAR,
    Do.SNIP: Form.SNIP,
    Do.DIGEST: Form.DIGEST,
    Do.DEDUPE: Form.DEDUPED,
    Do.NAMES: Form.NAMES,
    Do.SUMMARIZE: Form.SUMMARY,
    Do.STUB: Form.STUB,
}
"""The form that an operation leaves behind (drop leaves none)."""


NEEDS_WHOLE_GROUPS = frozenset({Do.DROP, Do.SUMMARIZE, Do.STUB})
"""Operations after which an item is no longer there, so that its group must go with it."""


ONE_AT_A_TIME = frozenset({Do.CLEAR, Do.SNIP, Do.DIGEST, Do.DEDUPE, Do.NAMES})
"""Operations that leave a shorter form of one item."""


SEE_THE_REST = frozenset({Do.DEDUPE, Do.NAMES})
"""Operations whose result depends on what else is in the prompt, so that it does not keep."""


_SHORTENABLE = (Form.WHOLE, Form.DEDUPED, Form.SNIP)

LONGER_FORMS: dict[Do, tuple[Form, ...]] = {
    Do.DEDUPE: (Form.WHOLE, Form.DEDUPED),  # later items may have come since
    Do.SNIP: (Form.WHOLE, Form.DEDUPED),
    Do.DIGEST: _SHORTENABLE,
    Do.NAMES: _SHORTENABLE,
    Do.CLEAR: (*_SHORTENABLE, Form.DIGEST, Form.NAMES),
    Do.STUB: (*_SHORTENABLE, Form.DIGEST, Form.NAMES, Form.CLEAR, Form.SUMMARY),
}
"""The forms that an operation makes shorter; what is already as short is left alone."""


class Level(StrEnum):
    """How serious a told event is."""

    WARN = "warn"
    CRITICAL = "critical"
    OVERFLOW = "overflow"
    """A prompt was over the hard limit before the engine made it fit."""
    OVERRUN = "overrun"
    """A phase kept more than it was granted."""


class Trigger(StrEnum):
    """The moments at which a policy is asked."""

    ITEM_ADDED = "item_added"
    BEFORE_CALL = "before_call"
    AGENT_FINISHED = "agent_finished"
    WAVE_FINISHED = "wave_finished"
    PHASE_STARTED = "phase_started"
    PHASE_FINISHED = "phase_finished"
    WARN = "warn"
    CRITICAL = "critical"
    REJECTED = "rejected"
    CACHE_COLD = "cache_cold"
    RUN_FINISHED = "run_finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """The smallest indivisible piece of context.

    A shorter form of an item is the same id with a higher version; an item that stands for
    several others is a new id. A tool call and its result share a `group` and never part.
    """

    id: str
    tokens: int
    layer: Layer = Layer.TRANSIENT
    kind: Kind = Kind.USER
    phase: str | None = None
    wave: int | None = None
    """1-based wave of agents inside the phase."""
    agent: str | None = None
    group: str | None = None
    pinned: bool = False
    tool: str | None = None
    source: str | None = None
    """What the text is a copy of, for example a file's path."""
    stand_in_layer: Layer = Layer.METADATA
    """The layer of the metadata that may replace it."""
    version: int = 0
    form: Form = Form.WHOLE
    ready: bool = False
    """An artifact whose worker has finished, so that its metadata can be had."""
    superseded: bool = False
    """A later item holds a newer copy of the same source."""
    error_tokens: int = 0
    """By how much `tokens` may be too low; 0 where it was counted exactly."""

    @property
    def turn(self) -> str | None:
        """The turn it is part of: its group, or itself; a summary is part of none."""
        return None if self.kind is Kind.SUMMARY else self.group or self.id

    @property
    def untouchable(self) -> bool:
        """True if neither a rule nor the fit to the hard limit may take it."""
        return self.pinned or self.layer is Layer.PERMANENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change to a prompt.

    `items` leave the prompt (in order of their place in it); one stand-in takes the place of
    the first, except for `drop`. `reads` are items that a summary reads but leaves standing.
    """

    do: Do
    items: tuple[str, ...]
    reads: tuple[str, ...] = ()
    limit_tokens: int | None = None
    """The most the stand-in may hold, where the rule says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one rule wants changed, with the conditions under which it is worth it.

    The engine carries operations out in order, stops once the prompt is down to
    `until_tokens`, and does nothing at all if what would be gained fails a condition.
    """

    rule: str
    reason: str
    operations: tuple[Operation, ...]
    until_tokens: int | None = None
    min_gain_tokens: int = 1
    pays_off: bool = False
    """Only if the saved reads are worth the rewritten cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What percentages are taken of, in tokens."""

    window_tokens: int
    reserve_tokens: int
    budget_tokens: int

    @property
    def hard_limit_tokens(self) -> int:
        """Window minus reserve: no rendered prompt is larger."""
        return self.window_tokens - self.reserve_tokens


class Base(StrEnum):
    """The denominators a limit can name."""

    WINDOW = "window"
    HARD_LIMIT = "hard_limit"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A number of tokens, said as an amount, a share, a distance below, or the smallest of them.

    Each given part yields a number and the smallest counts.
    """

    tokens: int | None = None
    share_frac: float | None = None
    below_tokens: int | None = None
    of: Base = Base.BUDGET

    def __post_init__(self) -> None:
        if self.tokens is None and self.share_frac is None and self.below_tokens is None:
            raise ConfigError("a limit needs tokens, a share or a distance; give one")

    def resolve_tokens(self, scale: Scale) -> int:
        """Return the limit in tokens; may be zero or negative where the setting is impossible."""
        base_tokens = {
            Base.WINDOW: scale.window_tokens,
            Base.HARD_LIMIT: scale.hard_limit_tokens,
            Base.BUDGET: scale.budget_tokens,
        }[self.of]
        found = []
        if self.tokens is not None:
            found.append(self.tokens)
        if self.share_frac is not None:
            found.append(share_tokens(base_tokens, self.share_frac))
        if self.below_tokens is not None:
            found.append(base_tokens - self.below_tokens)
        return min(found)


def share_tokens(whole_tokens: int, share_frac: float) -> int:
    """Return the share of a whole, rounded down to a token.

    The share is taken as the decimal number a person wrote: 0.29 of 100 is 29, although the
    binary product is 28.999….
    """
    return int(round(whole_tokens * share_frac, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The prompt cache of a model, in multiples of the uncached input price.

    Defaults are those of Anthropic's five-minute cache.
    Source: Anthropic's prompt caching page (write 1.25, read 0.1, 300 s, 1,024 tokens at least
    on most models).
    """

    write_multiplier: float = 1.25
    read_multiplier: float = 0.1
    ttl_s: float = 300.0
    min_tokens: int = 1024
    write_1h_multiplier: float = 2.0
    """Of a write that is asked to live for an hour."""
    block_tokens: int = 1
    """A prefix is read in whole blocks."""
    reads_anywhere: bool = False
    """What the last call carried is read wherever it stands: no provider's cache does that, a lower
    bound of what a policy may cost assumes it."""

    def lasting(self, ttl_s: float) -> Cache:
        """Return the cache for calls whose writes live so long."""
        is_long = ttl_s >= LONG_TTL_S
        multiplier = self.write_1h_multiplier if is_long else self.write_multiplier
        return replace(self, ttl_s=ttl_s, write_multiplier=multiplier)


LONG_TTL_S = 3600.0
"""From here on a write has the price of the long lifetime. Source: Anthropic's prompt caching page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one token of each kind costs, in US dollars.

    A price for larger prompts holds for the whole request, output included, not only for the
    tokens above the threshold.

    Source: of whole-request tiers, Anthropic's and Google's pricing pages.
    """

    input_usd: Decimal
    """A token that was neither read from the cache nor written to it."""
    cache_read_usd: Decimal
    cache_write_5m_usd: Decimal
    cache_write_1h_usd: Decimal
    output_usd: Decimal
    larger: tuple[tuple[int, Price], ...] = ()
    """(threshold, price) for prompts of more than `threshold` tokens, by rising threshold."""

    def for_prompt(self, prompt_tokens: int) -> Price:
        """Return the price that holds for a request with a prompt of this many tokens."""
        found = self
        for threshold_tokens, price in self.larger:
            if prompt_tokens > threshold_tokens:
                found = price
        return found

    def cost_usd(
        self,
        *,
        uncached_tokens: int = 0,
        cache_read_tokens: int = 0,
        cache_write_5m_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        output_tokens: int = 0,
    ) -> Decimal:
        """Return what one request costs; its prompt is all tokens but the output."""
        written_tokens = cache_write_5m_tokens + cache_write_1h_tokens
        price = self.for_prompt(uncached_tokens + cache_read_tokens + written_tokens)
        return (
            uncached_tokens * price.input_usd
            + cache_read_tokens * price.cache_read_usd
            + cache_write_5m_tokens * price.cache_write_5m_usd
            + cache_write_1h_tokens * price.cache_write_1h_usd
            + output_tokens * price.output_usd
        )
