"""What happened to each item, and what it cost to carry: for `why` and `rent`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args

from ctxbudget.core.errors import ConfigError, SourceError, near_misses
from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    Review,
    Reviewed,
    RunStarted,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.pricing import input_usd
from ctxbudget.core.types import MAIN, Item, Price

By: TypeAlias = Literal["item", "kind", "layer", "tool", "source", "phase", "agent", "thread"]
"""What rent and breakdowns can be split by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened to an item."""

    at: float
    thread: str
    what: str
    """`added`, `seeded`, `injected`, `restored`, or an operation of a plan."""
    tokens: int
    """Of the item (or its stand-in) afterwards; 0 where it left."""
    rule: str = ""
    reason: str = ""
    plan: int | None = None
    by: str = ""
    """The stand-in that speaks for it now, where that is another item."""

    def __str__(self) -> str:
        rule = f" by {self.rule}" if self.rule else ""
        plan = f" (plan {self.plan})" if self.plan is not None else ""
        stand_in = f", {self.by} stands for it" if self.by else ""
        reason = f": {self.reason}" if self.reason else ""
        return (
            f"{self.at:.1f} s  {self.thread}  {self.what}{rule}{plan}{stand_in}, "
            f"{self.tokens:,} tokens{reason}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rent:
    """What it took to carry something: its tokens, once for each call that sent them."""

    name: str
    rent_tokens: int
    calls: int
    """The most calls that any of its items was carried by."""
    cost_usd: Decimal | None
    """Their share of what the calls' input cost; None where a model's price is not known."""


@dataclass(slots=True)
class _Stay:
    """An item in a thread's prompt."""

    item: Item
    since_call: int
    since_usd: Decimal


@dataclass(slots=True)
class _Account:
    rent_tokens: int = 0
    calls: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(slots=True)
class _Lane:
    """One thread: its items, and what a token that was there from the start would have cost."""

    calls: int = 0
    usd_per_token: Decimal = Decimal(0)
    stays: dict[str, _Stay] = field(default_factory=dict)


class History:
    """A listener that remembers what was decided on each item; each event is O(items it names)."""

    def __init__(self) -> None:
        self._happenings: defaultdict[str, list[Happening]] = defaultdict(list)
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._accounts: defaultdict[tuple[str, str], _Account] = defaultdict(_Account)
        self._items: dict[str, Item] = {}
        self._prices: Mapping[str, Price] = {}
        self._is_priced = True
        self._review: Review | None = None

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    # ---- asking

    def why(self, item: str) -> list[Happening]:
        """Return all that happened to an item, oldest first.

        Raises:
            SourceError: there never was such an item.
        """
        if item not in self._happenings:
            raise SourceError(f"there is no item {item!r}; {near_misses(item, self._happenings)}")
        return list(self._happenings[item])

    def rent(self, by: By = "item") -> list[Rent]:
        """Return who paid most for being carried, dearest first.

        Rent is tokens times the calls that carried them. Its cost is a share of each call's input
        cost (what the cache model says was read, written and uncached), by tokens.
        """
        found: defaultdict[str, _Account] = defaultdict(_Account)
        calls: defaultdict[tuple[str, str], int] = defaultdict(int)
        for (thread, name), account in self._with_open_stays():
            group = _name_of(self._items[name], thread, by)
            found[group].rent_tokens += account.rent_tokens
            found[group].cost_usd += account.cost_usd
            calls[group, name] += account.calls  # in each thread that carried it
            found[group].calls = max(found[group].calls, calls[group, name])
        rents = [
            Rent(
                name=name,
                rent_tokens=account.rent_tokens,
                calls=account.calls,
                cost_usd=account.cost_usd if self._is_priced else None,
            )
            for name, account in found.items()
        ]
        return sorted(rents, key=lambda rent: (-rent.rent_tokens, rent.name))

    def _with_open_stays(self) -> Iterable[tuple[tuple[str, str], _Account]]:
        accounts = {
            key: _Account(a.rent_tokens, a.calls, a.cost_usd) for key, a in self._accounts.items()
        }
        for thread, lane in self._lanes.items():
            for name, stay in lane.stays.items():
                _settle(accounts.setdefault((thread, name), _Account()), lane, stay)
        return accounts.items()

    # ---- events

    def _started(self, event: RunStarted) -> None:
        self._prices = event.prices

    def _added(self, event: ItemAdded) -> None:
        self._came(event.thread, event.item, "added", event.at)

    def _injected(self, event: Injected) -> None:
        self._came(event.thread, event.item, "injected", event.at, reason=event.by)

    def _withdrawn(self, event: Withdrawn) -> None:
        for name in event.items:
            if self._went(event.thread, name) is not None:
                self._happenings[name].append(
                    Happening(at=event.at, thread=event.thread, what="withdrawn", tokens=0)
                )

    def _closed(self, event: ThreadClosed) -> None:
        for name in list(self._lanes[event.thread].stays):
            self._went(event.thread, name)

    def _asked(self, event: Review) -> None:
        self._review = event

    def _reviewed(self, event: Reviewed) -> None:
        review, self._review = self._review, None
        if review is None or event.allowed:
            return
        for do, items in review.operations:
            for name in items:
                self._concerned(event, name, f"{do} refused")

    def _concerned(
        self, event: Pruned | Reviewed, name: str, what: str, plan: int | None = None, by: str = ""
    ) -> None:
        """Note what concerned an item without changing it."""
        stay = self._lanes[event.thread].stays.get(name)
        self._happenings[name].append(
            Happening(
                at=event.at,
                thread=event.thread,
                what=what,
                tokens=stay.item.tokens if stay is not None else 0,
                rule=event.rule,
                reason=event.reason,
                plan=plan,
                by=by,
            )
        )

    def _came(
        self,
        thread: str,
        item: Item,
        what: str,
        at: float,
        *,
        reason: str = "",
        plan: int | None = None,
    ) -> None:
        lane = self._lanes[thread]
        lane.stays[item.id] = _Stay(item, lane.calls, lane.usd_per_token)
        self._items.setdefault(item.id, item)
        self._happenings[item.id].append(
            Happening(at=at, thread=thread, what=what, tokens=item.tokens, reason=reason, plan=plan)
        )

    def _went(self, thread: str, name: str) -> _Stay | None:
        lane = self._lanes[thread]
        stay = lane.stays.pop(name, None)
        if stay is not None:
            _settle(self._accounts[thread, name], lane, stay)
        return stay

    def _seeded(self, event: Seeded) -> None:
        for name, _ in event.items:
            stay = self._lanes[MAIN].stays.get(name)
            if stay is not None:
                self._came(event.thread, stay.item, "seeded", event.at)

    def _pruned(self, event: Pruned) -> None:
        stand_in = event.stand_in
        for name in event.reads:
            self._concerned(event, name, "read", event.plan, stand_in.id if stand_in else "")
        for name in event.items:
            self._went(event.thread, name)
            is_itself = stand_in is not None and stand_in.id == name
            self._happenings[name].append(
                Happening(
                    at=event.at,
                    thread=event.thread,
                    what=event.do,
                    tokens=stand_in.tokens if stand_in is not None else 0,
                    rule=event.rule,
                    reason=event.reason,
                    plan=event.plan,
                    by=stand_in.id if stand_in is not None and not is_itself else "",
                )
            )
        if stand_in is None:
            return
        if stand_in.id in event.items:
            lane = self._lanes[event.thread]
            lane.stays[stand_in.id] = _Stay(stand_in, lane.calls, lane.usd_per_token)
        else:
            self._came(
                event.thread, stand_in, "written", event.at, reason=event.reason, plan=event.plan
            )

    def _restored(self, event: Restored) -> None:
        for name in event.removed:
            self._went(event.thread, name)
        for item in event.items:
            reason = "asked for" if event.plan is None else f"plan {event.plan} was undone"
            self._came(event.thread, item, "restored", event.at, reason=reason, plan=event.plan)

    def _sent(self, event: CallSent) -> None:
        lane = self._lanes[event.thread]
        lane.calls += 1
        price = self._prices.get(event.model)
        if price is None:
            self._is_priced = False
        elif event.tokens:
            lane.usd_per_token += input_usd(event, price) / event.tokens


_NOTES: dict[type, Callable[[History, Any], None]] = {
    RunStarted: History._started,
    ItemAdded: History._added,
    Injected: History._injected,
    Seeded: History._seeded,
    Review: History._asked,
    Reviewed: History._reviewed,
    Pruned: History._pruned,
    Restored: History._restored,
    Withdrawn: History._withdrawn,
    CallSent: History._sent,
    ThreadClosed: History._closed,
}
"""What each event means to the history."""


def breakdown(items: Iterable[Item], thread: str, by: By) -> list[tuple[str, int]]:
    """Return how many tokens each group of items holds, largest first."""
    found: defaultdict[str, int] = defaultdict(int)
    for item in items:
        found[_name_of(item, thread, by)] += item.tokens
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def _settle(account: _Account, lane: _Lane, stay: _Stay) -> None:
    calls = lane.calls - stay.since_call
    account.calls += calls
    account.rent_tokens += stay.item.tokens * calls
    account.cost_usd += stay.item.tokens * (lane.usd_per_token - stay.since_usd)


def _name_of(item: Item, thread: str, by: By) -> str:
    if by == "item":
        return item.id
    if by == "thread":
        return thread
    if by not in get_args(By):
        known = ", ".join(get_args(By))
        raise ConfigError(f"expected one of: {known}, found {by!r}", location=("by",))
    return str(getattr(item, by) or "-")
