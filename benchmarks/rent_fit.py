"""Fits how long items may stay unused to recorded sessions: the table of a policy's `rent`.

The rows are those of a policy file; only their `idle_calls` are fitted. Of each session the rent
that items cost is counted by how long they had not been used, and what calls used of them. A row's
limit is then where the rent saved beyond it most exceeds the loss, at one price for all rows: the
share of a session's cost that a share of its quotes is worth. A session weighs as much as any other.

This counts an item as gone as soon as it may go, and whatever its latest holder served as lost.
Both are worse than what happens, so the price has no meaning of its own: it is to be chosen by
replays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.events import CallStarted, ItemAdded, ItemTouched, Withdrawn
from ctxbudget.core.policy import RulePolicy
from ctxbudget.core.rent import RentPolicy
from ctxbudget.core.types import Item
from ctxbudget.recall import Used
from ctxbudget.replay import RecordedRun

MOST_IDLE_CALLS: Final = 120
"""The largest limit; what is idle for longer counts as idle for so long."""

REFERENCE_WEIGHT: Final = 0.1
"""Of a share of the references, in shares of the quotes: most are served by the names that stay."""

Data: TypeAlias = Mapping[str, Any]
"""A policy file's content."""

Curve: TypeAlias = tuple[float, ...]
"""A sum for each number of idle calls, from 0 to `MOST_IDLE_CALLS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowUse:
    """What the items of one row cost in one session, and what they were used for.

    Attributes:
        rent: at the cache's read price, as a share of the session's input cost.
        quotes: as a share of the session's quotes, by the idle calls before the use.
        references: likewise.
    """

    rent: Curve
    quotes: Curve
    references: Curve


# ---- rows of a policy file


def rows_of(policy: Data) -> list[dict[str, Any]]:
    """Return the rows of a policy's `rent`, as the file says them."""
    return [dict(row) for row in policy["rent"]["stays"]]


def row_reader(policy: Data) -> Callable[[Item], int | None]:
    """Return a function that says to which row of a policy's `rent` an item belongs, if to any."""
    loaded = load_policy(policy).policy
    rent = loaded.then if isinstance(loaded, RulePolicy) else None
    if not isinstance(rent, RentPolicy):
        raise TypeError(f"the policy {policy['name']!r} has no `rent`")
    kinds = [row["kind"] for row in rows_of(policy)]
    owners = [
        number for number, kind in enumerate(kinds) for _ in ([kind] if _is_one(kind) else kind)
    ]
    rows = list(zip(owners, rent.stays, strict=True))

    def row_of(item: Item) -> int | None:
        return next((number for number, stay in rows if stay.what.matches(item)), None)

    return row_of


def _is_one(kind: object) -> bool:
    return isinstance(kind, str)


def with_limits(policy: Data, limits: Sequence[int], name: str) -> dict[str, Any]:
    """Return a policy with other `idle_calls` in the rows of its `rent`, under another name."""
    rows = [
        {**row, "idle_calls": limit} for row, limit in zip(rows_of(policy), limits, strict=True)
    ]
    return {**policy, "name": name, "rent": {**policy["rent"], "stays": rows}}


def as_yaml(policy: Data) -> str:
    """Return the rows of a policy's `rent` as lines to be pasted into its file."""
    lines = (
        yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=1000).strip()
        for row in rows_of(policy)
    )
    return "".join(f"    - {line}\n" for line in lines)


# ---- what a session shows


def uses_by_row(
    run: RecordedRun, row_of: Callable[[Item], int | None], rows: int
) -> tuple[RowUse, ...]:
    """Return what the items of each row cost and served in a session.

    Its cost and its prices must be known.
    """
    seen = _Seen(run, row_of, rows)
    for fact in run.facts:
        if isinstance(fact, ItemAdded):
            seen.added(fact)
        elif isinstance(fact, Withdrawn):
            seen.withdrawn(fact)
        elif isinstance(fact, ItemTouched):
            seen.touched(fact)
        elif isinstance(fact, CallStarted):
            seen.called(fact)
    return seen.shares()


@dataclass(slots=True)
class _Held:
    """An item in a prompt."""

    row: int
    tokens: int
    touched_call: int
    """Calls that the thread had made when the item came or was last used."""


class _Seen:
    """Follows a session's facts: what each call carries and uses, by how long it was idle."""

    def __init__(self, run: RecordedRun, row_of: Callable[[Item], int | None], rows: int) -> None:
        self._run, self._row_of = run, row_of
        self._rent, self._quotes, self._references = (
            [[0.0] * (MOST_IDLE_CALLS + 1) for _ in range(rows)] for _ in range(3)
        )
        self._held: defaultdict[str, dict[str, _Held]] = defaultdict(dict)
        self._calls: defaultdict[str, int] = defaultdict(int)

    def added(self, fact: ItemAdded) -> None:
        row = self._row_of(fact.item)
        if row is not None:
            held = _Held(row, fact.item.tokens, self._calls[fact.thread])
            self._held[fact.thread][fact.item.id] = held

    def withdrawn(self, fact: Withdrawn) -> None:
        for name in fact.items:
            self._held[fact.thread].pop(name, None)

    def touched(self, fact: ItemTouched) -> None:
        for name in fact.items:
            if name in self._held[fact.thread]:
                self._held[fact.thread][name].touched_call = self._calls[fact.thread]

    def called(self, fact: CallStarted) -> None:
        thread, calls = fact.thread, self._calls[fact.thread]
        read_usd = self._read_usd(fact, calls + 1)
        for held in self._held[thread].values():
            self._rent[held.row][_idle(held, calls)] += held.tokens * read_usd
        use = self._run.uses.get((thread, calls + 1))
        if use is not None:
            self._count(use.quotes, self._quotes, thread)
            self._count(use.references, self._references, thread)
        self._calls[thread] = calls + 1

    def _count(self, used: Sequence[Used], found: list[list[float]], thread: str) -> None:
        """Count each thing used once, at the item that held it last."""
        for one in used:
            held = self._held[thread].get(one.holders[0])
            if held is not None:
                found[held.row][_idle(held, self._calls[thread])] += 1

    def _read_usd(self, call: CallStarted, number: int) -> float:
        price = self._run.start.prices[call.model or self._run.start.model]
        answer = self._run.answers.get((call.thread, number))
        return float(price.for_prompt(answer.prompt_tokens if answer else 0).cache_read_usd)

    def shares(self) -> tuple[RowUse, ...]:
        uses = self._run.uses.values()
        cost_usd = float(self._run.cost_usd or 0)
        quotes = sum(len(use.quotes) for use in uses)
        references = sum(len(use.references) for use in uses)
        rows = zip(self._rent, self._quotes, self._references, strict=True)
        return tuple(
            RowUse(
                rent=_divided(rent, cost_usd),
                quotes=_divided(quoted, quotes),
                references=_divided(referred, references),
            )
            for rent, quoted, referred in rows
        )


def _idle(held: _Held, calls: int) -> int:
    return min(calls - held.touched_call, MOST_IDLE_CALLS)


def _divided(curve: Sequence[float], whole: float) -> Curve:
    return tuple(one / whole if whole else 0.0 for one in curve)


# ---- the fit


def fitted_limits(sessions: Sequence[Sequence[RowUse]], price: float) -> list[int]:
    """Return each row's idle calls after which its items may go, as readable numbers.

    Args:
        sessions: the uses by row of each.
        price: the share of a session's cost that a share of its quotes is worth.

    A row of which the sessions have no item gets the limit of all rows together.
    """
    rows = [_summed(of_row) for of_row in zip(*sessions, strict=True)]
    of_all = best_limit(_summed(rows), price)
    return [readable(best_limit(row, price) if any(row.rent) else of_all) for row in rows]


def best_limit(row: RowUse, price: float) -> int:
    """Return the idle calls from which on the rent saved most exceeds the price of what is lost.

    At least 1, since a call must have carried an item first; of equally good limits the largest.
    """
    best, best_gain, gain = MOST_IDLE_CALLS, float("-inf"), 0.0
    for idle_calls in range(MOST_IDLE_CALLS, 0, -1):
        lost = row.quotes[idle_calls] + REFERENCE_WEIGHT * row.references[idle_calls]
        gain += row.rent[idle_calls] - price * lost
        if gain > best_gain:
            best, best_gain = idle_calls, gain
    return best


def _summed(rows: Sequence[RowUse]) -> RowUse:
    """Return the sums of several curves, session by session or row by row."""
    return RowUse(
        rent=_added(row.rent for row in rows),
        quotes=_added(row.quotes for row in rows),
        references=_added(row.references for row in rows),
    )


def _added(curves: Iterator[Curve]) -> Curve:
    return tuple(map(sum, zip(*curves, strict=True)))


def readable(calls: int) -> int:
    """Return a number of calls rounded: to 10 as it is, to 20 in twos, to 40 in fours, then eights.

    Halves are rounded up, to the careful side.
    """
    step = 1 if calls <= 10 else 2 if calls <= 20 else 4 if calls <= 40 else 8
    return (2 * calls + step) // (2 * step) * step


def least_price(
    is_good: Callable[[float], bool], *, low: float, high: float, rounds: int
) -> float | None:
    """Return the smallest price that is good, within what so many trials tell; None if none is.

    The price is halved in its logarithm; `low` itself is never tried.
    """
    if not is_good(high):
        return None
    for _ in range(rounds - 1):
        middle = (low * high) ** 0.5
        if is_good(middle):
            high = middle
        else:
            low = middle
    return high
