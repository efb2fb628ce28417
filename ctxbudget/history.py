"""What happened to each item, and what it cost to carry: for `why` and `rent`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from ctxbudget.core.errors import SourceError, near_misses
from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    RunStarted,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
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

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted():
                self._prices = event.prices
            case ItemAdded():
                self._came(event.thread, event.item, "added", event.at)
            case Injected():
                self._came(event.thread, event.item, "injected", event.at, reason=event.by)
            case Seeded():
                self._seeded(event)
            case Pruned():
                self._pruned(event)
            case Restored():
                self._restored(event)
            case CallSent():
                self._sent(event)
            case Withdrawn():
                for name in event.items:
                    stay = self._went(event.thread, name)
                    if stay is not None:
                        self._happenings[name].append(
                            Happening(at=event.at, thread=event.thread, what="withdrawn", tokens=0)
                        )
            case ThreadClosed():
                for name in list(self._lanes[event.thread].stays):
                    self._went(event.thread, name)
            case _:
                pass

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
        for (thread, name), account in self._with_open_stays():
            group = found[_name_of(self._items[name], thread, by)]
            group.rent_tokens += account.rent_tokens
            group.calls = max(group.calls, account.calls)
            group.cost_usd += account.cost_usd
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

    def breakdown(self, by: By = "kind", thread: str = MAIN) -> list[tuple[str, int]]:
        """Return how many tokens of a thread's prompt each group holds, largest first."""
        return breakdown((stay.item for stay in self._lanes[thread].stays.values()), thread, by)

    def _with_open_stays(self) -> Iterable[tuple[tuple[str, str], _Account]]:
        accounts = {
            key: _Account(a.rent_tokens, a.calls, a.cost_usd) for key, a in self._accounts.items()
        }
        for thread, lane in self._lanes.items():
            for name, stay in lane.stays.items():
                _settle(accounts.setdefault((thread, name), _Account()), lane, stay)
        return accounts.items()

    # ---- events

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
            usd = price.cost_usd(
                uncached_tokens=event.uncached_tokens,
                cache_read_tokens=event.cache_read_tokens,
                cache_write_5m_tokens=event.cache_write_tokens,
            )
            lane.usd_per_token += usd / event.tokens


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
    return str(getattr(item, by) or "-")
