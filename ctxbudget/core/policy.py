"""Policies: rules that turn a moment into plans.

A policy is any callable from a `Moment` to plans. The engine carries a plan out before it asks
for the next one, so a policy written as a generator sees the prompt as its last plan left it: a
ladder of rules stops as soon as it is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice, takewhile
from typing import Protocol

from ctxbudget.core.store import Store
from ctxbudget.core.types import (
    NEEDS_WHOLE_GROUPS,
    Cache,
    Do,
    Item,
    Kind,
    Limit,
    Operation,
    Plan,
    Scale,
    Trigger,
)
from ctxbudget.core.watch import Entry, Filter, Watch


class Which(StrEnum):
    """Which phases or waves an item may belong to."""

    CURRENT = "current"
    EARLIER = "earlier"


class By(StrEnum):
    """What one stand-in replaces."""

    ITEM = "item"
    TURN = "turn"
    PHASE = "phase"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a policy sees when it is asked. Reading it is all a policy may do with it."""

    trigger: Trigger
    at: float
    thread: str
    store: Store
    scale: Scale
    phase: str | None
    """The phase that runs, or has just finished."""
    wave: int | None
    """The wave that runs, or has just finished."""
    dead_phases: Mapping[str, None]
    """Finished phases that nothing still to run depends on."""
    phase_ages: PhaseAges
    fired_at_call: Mapping[str, int]
    """For each rule that has acted on this thread, the thread's call count when it last did."""
    calls_left: int
    """Calls that this thread is expected to make."""
    extra_tokens: int = 0
    """What the provider may count beyond the sum of the items' tokens."""
    cache: Cache = field(default_factory=Cache)
    """Of the thread's model, with the lifetime that its calls ask for."""
    cache_losses: int = 0
    """Calls at which the cache had lost what it should have held."""

    @property
    def tokens(self) -> int:
        """Occupancy, as an upper bound of what the provider counts; compare limits with this."""
        return self.store.tokens + self.extra_tokens


@dataclass(slots=True)
class PhaseAges:
    """How many phases have started since each phase did."""

    _newest: int = -1
    _started: dict[str, int] = field(default_factory=dict)

    def start(self, phase: str) -> None:
        """Record that a phase starts, perhaps again."""
        self._newest += 1
        self._started[phase] = self._newest

    def age(self, phase: str | None) -> int:
        """Return 0 for the latest phase, 1 for the one before; items of no phase are oldest."""
        return self._newest - self._started.get(phase or "", -1)


class Policy(Protocol):
    """Turns a moment into plans, in the order in which to carry them out."""

    def __call__(self, moment: Moment, /) -> Iterable[Plan]:
        """Return or yield plans; nothing to do is an empty result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which items a rule takes; every part that is set must hold."""

    what: Filter = field(default_factory=Filter)
    phase: Which | None = None
    phase_age: int = 0
    """At least so many phases started since the item's own."""
    wave: Which | None = None
    """Waves of the current phase."""
    live: bool | None = None
    """Whether an unfinished phase depends on the item's phase."""
    age_calls: int = 0
    """Carried by at least so many calls."""
    idle_calls: int = 0
    """Carried by at least so many calls since it was last used."""
    keep_last: int = 0
    """All but so many of the newest."""
    keep_last_turns: int = 0
    """All but those of so many of the newest turns (a tool call with its result is one turn)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """When a rule acts at all; every part that is set must hold."""

    above: Limit | None = None
    """The thread's occupancy is strictly above."""
    until: Limit | None = None
    """Stop as soon as occupancy is at or below."""
    min_items: int = 1
    min_turns: int = 0
    min_gain_tokens: int = 1
    every_calls: int = 0
    """At most once in so many calls."""
    pays_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a policy."""

    name: str
    on: tuple[Trigger, ...]
    do: Do
    select: Selector = field(default_factory=Selector)
    when: Guard = field(default_factory=Guard)
    by: By = By.ITEM
    limit_tokens: int | None = None
    """The most a stand-in may hold."""
    leave_metadata: bool = False
    """A summary that only reads artifacts whose metadata can be had: these become digests."""
    why: str = ""

    def plan(self, moment: Moment) -> Plan | None:
        """Return what this rule wants changed now, or None."""
        if moment.trigger not in self.on or not self._may_act(moment):
            return None
        entries = select(self.select, moment, self.do)
        if self.do in NEEDS_WHOLE_GROUPS:
            entries = _whole_groups(entries, moment.store)
        turns = {entry.item.turn for entry in entries} - {None}
        if len(entries) < max(1, self.when.min_items) or len(turns) < self.when.min_turns:
            return None
        return Plan(
            rule=self.name,
            reason=self.why,
            operations=tuple(self._operations([entry.item for entry in entries])),
            until_tokens=_resolve(self.when.until, moment),
            min_gain_tokens=self.when.min_gain_tokens,
            pays_off=self.when.pays_off,
        )

    def _may_act(self, moment: Moment) -> bool:
        above = _resolve(self.when.above, moment)
        last = moment.fired_at_call.get(self.name)
        return (above is None or moment.tokens > above) and (
            last is None or moment.store.calls - last >= self.when.every_calls
        )

    def _operations(self, items: list[Item]) -> Iterator[Operation]:
        is_removal = self.do in NEEDS_WHOLE_GROUPS
        by = By.TURN if is_removal and self.by is By.ITEM else self.by
        for batch in _merge(items, by):
            ready = [item.id for item in batch if item.kind is Kind.ARTIFACT and item.ready]
            reads = tuple(ready) if self.leave_metadata else ()
            for item in reads:
                yield Operation(do=Do.DIGEST, items=(item,))
            yield Operation(
                do=self.do,
                items=tuple(item.id for item in batch if item.id not in reads),
                reads=reads,
                limit_tokens=self.limit_tokens,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePolicy:
    """A policy made of rules, asked in order, and perhaps of one that is asked after them."""

    name: str
    rules: tuple[Rule, ...]
    then: Policy | None = None

    def __call__(self, moment: Moment, /) -> Iterator[Plan]:
        """Yield each rule's plan; later rules see what earlier plans left."""
        for rule in self.rules:
            plan = rule.plan(moment)
            if plan is not None:
                yield plan
        if self.then is not None:
            yield from self.then(moment)


def select(selector: Selector, moment: Moment, do: Do) -> list[Entry]:
    """Return the entries that a selector takes for an operation, in prompt order.

    Conversation items that no call has carried yet are left alone, except by snip.
    """
    watch = moment.store.matching(selector.what)
    if selector.keep_last or selector.keep_last_turns:
        entries = _all_but_newest(watch, selector, is_removal=do in NEEDS_WHOLE_GROUPS)
    else:
        entries = _candidates(selector, moment, watch)
    calls = moment.store.calls
    return [
        entry
        for entry in entries
        if _in_scope(selector, moment, entry.item)
        and calls - entry.arrived_call >= selector.age_calls
        and calls - entry.touched_call >= selector.idle_calls
        and not entry.is_returned(calls)
        and not (do is not Do.SNIP and entry.is_fresh(calls))
    ]


def _candidates(selector: Selector, moment: Moment, watch: Watch) -> Iterable[Entry]:
    """Return a superset of the selection by the narrowest way, in prompt order."""
    calls = moment.store.calls
    if selector.live is False:
        here, dead = watch.phases(), moment.dead_phases.keys()
        few, many = (here, dead) if len(here) < len(dead) else (dead, here)
        return _of_phases(watch, [phase for phase in few if phase in many])
    if selector.phase is Which.CURRENT or selector.wave is not None:
        return watch.of_phase(moment.phase)
    if selector.phase is Which.EARLIER or selector.phase_age:
        return _of_phases(watch, [phase for phase in watch.phases() if phase != moment.phase])
    if selector.idle_calls:
        idle = takewhile(
            lambda entry: calls - entry.touched_call >= selector.idle_calls,
            watch.least_used_first(),
        )
        return sorted(idle, key=_place)
    return takewhile(lambda entry: calls - entry.arrived_call >= selector.age_calls, watch)


def _in_scope(selector: Selector, moment: Moment, item: Item) -> bool:
    if selector.phase is not None:
        is_current = item.phase == moment.phase
        if is_current is not (selector.phase is Which.CURRENT):
            return False
    if selector.wave is not None:
        if item.wave is None or moment.wave is None or item.phase != moment.phase:
            return False
        wanted = (
            item.wave == moment.wave if selector.wave is Which.CURRENT else item.wave < moment.wave
        )
        if not wanted:
            return False
    if selector.phase_age and moment.phase_ages.age(item.phase) < selector.phase_age:
        return False
    return selector.live is None or (item.phase not in moment.dead_phases) is selector.live


def _all_but_newest(watch: Watch, selector: Selector, *, is_removal: bool) -> Iterable[Entry]:
    """Return all but the newest items and turns.

    A turn that is to stay stays whole. So does, in a removal, one that shares an item with what
    stays, since a group cannot leave in part.
    """
    staying, turns = 0, dict[str, None]()
    for entry in watch.newest_first():
        turn = entry.item.turn
        is_new = turn is not None and turn not in turns
        if staying >= selector.keep_last and len(turns) + is_new > selector.keep_last_turns:
            break
        if turn is not None:
            turns[turn] = None
        staying += 1
    whole = set(turns) if is_removal else set(islice(turns, selector.keep_last_turns))
    older = islice(watch, len(watch) - staying)
    return (entry for entry in older if entry.item.turn not in whole)


def _of_phases(watch: Watch, phases: Iterable[str | None]) -> list[Entry]:
    return sorted((entry for phase in phases for entry in watch.of_phase(phase)), key=_place)


def _whole_groups(entries: list[Entry], store: Store) -> list[Entry]:
    """Return the entries with all their group members, without groups that may not go whole."""
    members: dict[str, None] = {}
    for entry in entries:
        group = store.leaving_with(entry.item.id)
        if not any(one.is_fresh(store.calls) for one in group):
            members.update(dict.fromkeys(one.item.id for one in group))
    return sorted((store.entry(member) for member in members), key=_place)


def _merge(items: list[Item], by: By) -> list[list[Item]]:
    """Return the items in the batches that share a stand-in; a turn goes where its first goes."""
    if by is By.ALL:
        return [items]
    batches: dict[str | None, list[Item]] = {}
    batch_of_turn: dict[str, list[Item]] = {}
    for item in items:
        turn = item.group or item.id
        name = {By.ITEM: item.id, By.TURN: turn, By.PHASE: item.phase}[by]
        batch = batch_of_turn.get(turn) if by is By.PHASE else None
        if batch is None:
            batch = batch_of_turn[turn] = batches.setdefault(name, [])
        batch.append(item)
    return list(batches.values())


def _place(entry: Entry) -> tuple[int, int]:
    return entry.slot


def _resolve(limit: Limit | None, moment: Moment) -> int | None:
    return None if limit is None else limit.resolve_tokens(moment.scale)
