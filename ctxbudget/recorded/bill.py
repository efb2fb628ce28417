"""From calls to sums: by thread of a file, and by whatever else is asked for. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import takewhile
from typing import Final, Literal, TypeAlias

from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import STANDARD, RecordedFile, UsageRow

By: TypeAlias = Literal["session", "day", "project", "model"]

UNKNOWN: Final = "(not recorded)"
"""The day, project or model of calls whose file does not say."""


@dataclass(slots=True, kw_only=True)
class Sums:
    """What some calls add up to.

    `cost_usd` is that of the calls whose price is known, which hold `priced_tokens` of all tokens.
    """

    calls: int = 0
    models: dict[str, None] = field(default_factory=dict)
    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    priced_calls: int = 0
    priced_tokens: int = 0
    priced_sent_tokens: int = 0
    recorded_usd: Decimal = Decimal(0)
    recorded_calls: int = 0
    """Calls of which the recorder itself says what they cost."""
    peak_prompt_tokens: int = 0
    started_at_s: float | None = None
    ended_at_s: float | None = None
    placeholder_calls: int = 0
    """Calls whose recorded output is a placeholder."""
    placeholder_missing_tokens: int = 0
    """Estimate of what their output held beyond it."""
    placeholder_missing_usd: Decimal = Decimal(0)

    @property
    def sent_tokens(self) -> int:
        """All input tokens, cached or not."""
        return (
            self.uncached_input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )

    @property
    def cost_known_frac(self) -> float:
        """The share of all tokens whose price is known; 1 where there are none."""
        tokens = self.sent_tokens + self.output_tokens
        return self.priced_tokens / tokens if tokens else 1.0

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The cost as far as it is known, or None if no call has a price."""
        return None if self.calls and not self.priced_calls else self.cost_usd

    @property
    def usd_per_million_sent(self) -> Decimal | None:
        """The cost for each million tokens sent, of what has a price; None without such."""
        if not self.priced_sent_tokens:
            return None
        return self.cost_usd.scaleb(6) / self.priced_sent_tokens

    @property
    def cache_read_frac(self) -> float | None:
        """The share of the tokens sent that was read from the cache; None without any."""
        return self.cache_read_tokens / self.sent_tokens if self.sent_tokens else None

    def add(self, row: UsageRow, cost: Cost | None) -> None:
        """Add a call."""
        tokens = row.tokens
        self.calls += 1
        self.models.setdefault(row.model or UNKNOWN)
        self.uncached_input_tokens += tokens.uncached_tokens
        self.cache_read_tokens += tokens.cache_read_tokens
        self.cache_write_5m_tokens += tokens.cache_write_5m_tokens
        self.cache_write_1h_tokens += tokens.cache_write_1h_tokens
        self.output_tokens += tokens.output_tokens
        self.peak_prompt_tokens = max(self.peak_prompt_tokens, tokens.prompt_tokens)
        if cost is not None:
            self.cost_usd += cost.usd
            self.placeholder_missing_usd += cost.placeholder_missing_usd
            self.priced_calls += 1
            self.priced_tokens += sum(tokens)
            self.priced_sent_tokens += tokens.prompt_tokens
        if row.recorded_usd is not None:
            self.recorded_usd += row.recorded_usd
            self.recorded_calls += 1
        if row.estimated_output_tokens is not None:
            self.placeholder_calls += 1
            self.placeholder_missing_tokens += row.estimated_output_tokens - tokens.output_tokens
        self._span(row.at_s)

    def merge(self, other: Sums) -> None:
        """Add what other calls add up to."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for model in other.models:
            self.models.setdefault(model)
        self.peak_prompt_tokens = max(self.peak_prompt_tokens, other.peak_prompt_tokens)
        self._span(other.started_at_s)
        self._span(other.ended_at_s)

    def _span(self, at_s: float | None) -> None:
        if at_s is None:
            return
        start_s, end_s = self.started_at_s, self.ended_at_s
        self.started_at_s = at_s if start_s is None else min(start_s, at_s)
        self.ended_at_s = at_s if end_s is None else max(end_s, at_s)


_ADDED: Final = (
    "calls",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "cost_usd",
    "priced_calls",
    "priced_tokens",
    "priced_sent_tokens",
    "recorded_usd",
    "recorded_calls",
    "placeholder_calls",
    "placeholder_missing_tokens",
    "placeholder_missing_usd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a call cost, and what a placeholder in place of its output hides of that."""

    usd: Decimal
    placeholder_missing_usd: Decimal = Decimal(0)


def cost_of(row: UsageRow, prices: PriceBook) -> Cost | None:
    """Return what a call cost at its date, or None if its model has no price."""
    price = prices(row.model, row.at_s)
    if price is None:
        return None
    tokens = row.tokens
    usd = price.cost_usd(
        uncached_tokens=tokens.uncached_tokens,
        cache_read_tokens=tokens.cache_read_tokens,
        cache_write_5m_tokens=tokens.cache_write_5m_tokens,
        cache_write_1h_tokens=tokens.cache_write_1h_tokens,
        output_tokens=tokens.output_tokens,
    )
    if row.estimated_output_tokens is None:
        return Cost(usd=usd)
    missing_tokens = row.estimated_output_tokens - tokens.output_tokens
    output_usd = price.for_prompt(tokens.prompt_tokens).output_usd
    return Cost(usd=usd, placeholder_missing_usd=missing_tokens * output_usd)


@dataclass(slots=True, kw_only=True)
class Thread:
    """One row of the bill: a file's main thread, or a sub-agent's calls in a file."""

    file: RecordedFile
    agent: str | None
    parent: str | None = None
    """The file of the thread that started it, or the id of its session if that was not read."""
    sums: Sums = field(default_factory=Sums)

    @property
    def name(self) -> str:
        """The file's name, with the agent's behind it if that is not the file's only thread."""
        agent = f" {self.agent}" if self.agent is not None and self.file.has_main else ""
        return f"{self.file.file}{agent}"


@dataclass(slots=True, kw_only=True)
class Duplicate:
    """Calls that a file records although an earlier one (or itself) does."""

    file: str
    also_in: str
    sums: Sums = field(default_factory=Sums)


class Bill:
    """Adds calls up. `in_range` says which times are asked for, of calls whose time is known.

    Attributes:
        threads: rows in the order in which they came.
        groups: sums by day, project or model, as asked for by `by`.
        total: all of it, once finished.
        duplicates: what was recorded, and so counted, more than once.
        rates: calls at a rate that is not modelled, by rate; they cost the standard one here.
        undated_calls: calls left out because a range is asked for and their time is not known.
        heard: is told of each call that counts, with its row; None as long as nobody asks.
    """

    def __init__(
        self,
        prices: PriceBook,
        *,
        by: By = "session",
        in_range: Callable[[float], bool] | None = None,
    ) -> None:
        self.prices = prices
        self.by: By = by
        self.threads: list[Thread] = []
        self.groups: dict[str, Sums] = {}
        self.total = Sums()
        self.duplicates: list[Duplicate] = []
        self.rates: dict[str, int] = {}
        self.undated_calls = 0
        self.heard: Callable[[Thread, UsageRow], object] | None = None
        self._in_range = in_range
        self._first_in: dict[str, RecordedFile] = {}

    def add(self, file: RecordedFile, rows: Iterable[UsageRow]) -> None:
        """Read a file's calls and add them; a main thread has a row even without a call."""
        threads: dict[str | None, Thread] = {}
        again: dict[str, Duplicate] = {}
        for row in rows:
            if not self._is_asked(row):
                continue
            thread = threads.get(row.agent)
            if thread is None:
                thread = threads[row.agent] = Thread(file=file, agent=row.agent)
            cost = cost_of(row, self.prices)
            thread.sums.add(row, cost)
            if self.heard is not None:
                self.heard(thread, row)
            if self.by != "session":
                self.groups.setdefault(self._group(row, file), Sums()).add(row, cost)
            if row.rate != STANDARD:
                self.rates[row.rate] = self.rates.get(row.rate, 0) + 1
            self._look_for_copy(row, cost, file, again)
        if None not in threads and (file.has_main or not threads) and self._in_range is None:
            threads[None] = Thread(file=file, agent=None)
        self.threads += sorted(threads.values(), key=lambda one: one.agent is not None)
        self.duplicates += again.values()

    def _is_asked(self, row: UsageRow) -> bool:
        if self._in_range is None:
            return True
        if row.at_s is None:
            self.undated_calls += 1
            return False
        return self._in_range(row.at_s)

    def _group(self, row: UsageRow, file: RecordedFile) -> str:
        if self.by == "model":
            return row.model or UNKNOWN
        if self.by == "project":
            return file.project or UNKNOWN
        return day_of(row.at_s)

    def _look_for_copy(
        self, row: UsageRow, cost: Cost | None, file: RecordedFile, again: dict[str, Duplicate]
    ) -> None:
        if row.id is None:
            return
        key = f"{file.source} {row.id}"
        if key not in self._first_in:
            self._first_in[key] = file
        else:
            first = self._first_in[key]
            found = again.setdefault(first.file, Duplicate(file=file.file, also_in=first.file))
            found.sums.add(row, cost)

    def finish(self) -> None:
        """Find the parents of sub-agents, and the total, once all files were read."""
        self.total = Sums()
        for thread in self.threads:
            self.total.merge(thread.sums)
        mains: dict[str, list[str]] = {}
        for thread in self.threads:
            session = thread.file.session
            if thread.agent is None and thread.file.has_main and session is not None:
                mains.setdefault(session, []).append(thread.file.file)
        for thread in self.threads:
            if thread.file.has_main:
                thread.parent = None if thread.agent is None else thread.file.file
                continue
            session = thread.file.parent_session
            # Of copies, the one whose path has most in common is meant.
            known = mains.get(session or "", ())
            name = thread.file.file
            nearest = max(known, key=lambda main: _shared_chars(main, name), default=session)
            thread.parent = nearest


def _shared_chars(one: str, other: str) -> int:
    """Return how many characters two names have in common from their beginning on."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def day_of(at_s: float | None) -> str:
    """Return the day (UTC) of a time, as 2026-11-20."""
    return UNKNOWN if at_s is None else datetime.fromtimestamp(at_s, UTC).date().isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A session: its main thread and the sub-agents it started, largest cost first."""

    threads: tuple[Thread, ...]

    @property
    def cost_usd(self) -> Decimal:
        """What all of it cost, as far as it is known."""
        return sum((thread.sums.cost_usd for thread in self.threads), Decimal(0))


def families(threads: Iterable[Thread]) -> list[Family]:
    """Return the sessions by falling cost; a sub-agent whose parent was not read stands alone."""
    threads = list(threads)
    heads = {thread.file.file: thread for thread in threads if thread.parent is None}
    members: dict[int, list[Thread]] = {}
    for thread in threads:
        head = thread if thread.parent is None else heads.get(thread.parent, thread)
        members.setdefault(id(head), []).append(thread)
    found = [
        Family(
            threads=tuple(
                sorted(
                    group,
                    key=lambda one: (one.parent is not None, -one.sums.cost_usd, one.name),
                )
            )
        )
        for group in members.values()
    ]
    return sorted(found, key=lambda one: (-one.cost_usd, one.threads[0].name))


def holding_half(by_cost: Iterable[Family]) -> list[Family]:
    """Return the fewest sessions that together hold at least half of the cost."""
    by_cost = list(by_cost)
    whole = sum((one.cost_usd for one in by_cost), Decimal(0))
    held, found = Decimal(0), []
    for one in by_cost:
        if not whole or held * 2 >= whole:
            break
        held += one.cost_usd
        found.append(one)
    return found
