"""What a recorded file tells of its calls, whatever its format: the values all readers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

DAMAGED_KEPT = 20
"""So many numbers of damaged lines are kept; beyond, they are only counted."""

STANDARD = ""


class Split(NamedTuple):
    """One call's tokens by kind, as its provider counted them; the kinds do not overlap."""

    uncached_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """All input, cached or not."""
        return sum(self[:4])


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One call to a model."""

    model: str
    """As recorded; empty if the file does not say."""
    tokens: Split
    at_s: float | None = None
    """Seconds since 1970; None where the file does not say."""
    agent: str | None = None
    """The sub-agent that called; None for the file's main thread."""
    id: str | None = None
    """The same wherever the same call is recorded again."""
    recorded_usd: Decimal | None = None
    """What the recorder itself says the call cost."""
    estimated_output_tokens: int | None = None
    """From the answer's text, where the recorded output is but a placeholder."""
    rate: str = STANDARD
    """A rate other than the standard one, for example `fast`."""


@dataclass(slots=True, kw_only=True)
class RecordedFile:
    """What is known of a file besides its calls; filled while it is read.

    Attributes:
        session: the recorder's id of the session.
        project: the folder in which the agent worked.
        has_main: whether it records a main thread; a sub-agent's own file does not.
        parent_session: of a sub-agent's file, the session that started it.
        skipped: lines of types that the reader does not know, by type.
        damaged: numbers of lines that cannot be read, at most `DAMAGED_KEPT` of them.
        broken_off: where and why reading ended too early.
        named_agents: sub-agents of which a result is recorded here.
        summaries: compactions whose own call is not recorded.
        silent_calls: calls of which no provider told what they used.
        unlisted_tokens: by how much a running total grew beyond the calls that are listed.
        window_tokens: of the model, where the file says so.
    """

    file: str
    source: str = ""
    session: str | None = None
    project: str | None = None
    has_main: bool = True
    parent_session: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    damaged_lines: int = 0
    damaged: list[int] = field(default_factory=list)
    broken_off: str | None = None
    named_agents: set[str] = field(default_factory=set)
    summaries: int = 0
    silent_calls: int = 0
    unlisted_tokens: int = 0
    window_tokens: int | None = None

    def skip(self, kind: object) -> None:
        """Count a line of a type that is not known."""
        self.skipped[kind if isinstance(kind, str) else "(no type)"] += 1

    def damage(self, number: int) -> None:
        """Count a damaged line."""
        self.damaged_lines += 1
        if len(self.damaged) < DAMAGED_KEPT:
            self.damaged.append(number)


class DamagedUsageError(ValueError):
    """A line's usage is no usage: a number is missing or makes no sense."""


_MOST_TOKENS: Final = 10**15
"""No call used as many; a larger number is damage."""


def count(usage: Mapping[str, Any], key: str) -> int:
    """Return a number of tokens; 0 where there is none.

    Raises:
        DamagedUsageError: it is no whole number from 0 up.
    """
    value = usage.get(key)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < _MOST_TOKENS:
        raise DamagedUsageError(f"{key} is {value!r}")
    return value


def text_of(value: object) -> str | None:
    """Return a text that is not empty, or None for anything else."""
    return value if isinstance(value, str) and value else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def anthropic_split(usage: Mapping[str, Any]) -> Split:
    """Return the tokens of an Anthropic usage, whose `input_tokens` are the uncached ones alone.

    Writes of which the lifetime is not said count as five-minute ones.
    """
    written = mapping(usage.get("cache_creation"))
    long_tokens = count(written, "ephemeral_1h_input_tokens")
    all_tokens = max(
        count(usage, "cache_creation_input_tokens"),
        long_tokens + count(written, "ephemeral_5m_input_tokens"),
    )
    return Split(
        count(usage, "input_tokens"),
        count(usage, "cache_read_input_tokens"),
        all_tokens - long_tokens,
        long_tokens,
        count(usage, "output_tokens"),
    )


def inclusive_split(
    input_tokens: int, *, read_tokens: int, written_tokens: int, output_tokens: int
) -> Split:
    """Return the tokens of a call whose input count includes what the cache read and wrote.

    Raises:
        DamagedUsageError: the parts are more than the whole.
    """
    uncached_tokens = input_tokens - read_tokens - written_tokens
    if uncached_tokens < 0:
        raise DamagedUsageError(
            f"{read_tokens} cached and {written_tokens} written of {input_tokens} input tokens"
        )
    return Split(uncached_tokens, read_tokens, written_tokens, 0, output_tokens)


def seconds(timestamp: object) -> float | None:
    """Return an ISO 8601 time, or a number of seconds since 1970, as the latter; None for neither.

    A time without a zone is taken as UTC.
    """
    if isinstance(timestamp, str):
        try:
            at = datetime.fromisoformat(timestamp)
        except ValueError:
            return None
        timestamp = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if isinstance(timestamp, int | float) and 0 < timestamp < _END_S:
        return float(timestamp)
    return None


_END_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def usd(amount: object) -> Decimal | None:
    """Return a recorded amount, or None if there is none that makes sense."""
    if type(amount) not in (int, float) or not 0 <= amount < _MOST_USD:  # type: ignore[operator]
        return None
    return Decimal(repr(amount))


_MOST_USD: Final = 1e9
