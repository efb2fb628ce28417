"""A policy that lets go of what has not been used for long, once its rent has outweighed a rewrite.

Each item that stays costs rent: one cache read per call. Taking one out has a price, too: what
stands behind it is written to the cache again. Two questions decide, and each has its own answer:

1. *What may go?* What has not been used for as many calls as its `Stay` says, or belongs to a
   finished phase that nothing depends on.
2. *When, and from where on?* When the rent that was already paid for what may go behind some place
   exceeds the rewrite behind it, times `patience`. Whoever pays as much in rent as the rewrite
   would have cost is never much worse off than with foresight, and need not guess how long the
   run will last. Of all such places the one is taken where the saving to come most exceeds the
   rewrite. A cold cache has nothing to rewrite: all that may go goes then.

A cut has everything behind it written again, so whatever stands there can also leave out, at no
further cost, the lines that a later item holds.

Source: the rule of 2 is the break-even rule of the ski-rental problem, which costs at most twice
what the best choice in hindsight would have cost (Karlin et al., Competitive snoopy caching, 1988).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, NamedTuple

from ctxbudget.core.policy import Moment
from ctxbudget.core.types import LONGER_FORMS, Do, Item, Operation, Plan, Trigger
from ctxbudget.core.watch import Entry, Filter, Slot

NAMES_FRAC, LEAST_NAMES_TOKENS, MOST_NAMES_TOKENS = 0.05, 60, 250
"""Of an item's tokens, what its names may take; never less or more than the other two.

Chosen by hand, not fitted."""

NAMES_FILL_FRAC: Final = 0.6
"""How much of that names are taken to fill before they are listed.

Source: measured on recorded coding sessions."""

PRIOR_CALLS: Final = 20
"""Calls without a loss that the estimate of how often a cache is lost starts from. Chosen by hand."""

ANY: Final = Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """How long items of one sort stay without being used."""

    what: Filter
    idle_calls: int
    do: Do = Do.NAMES
    """What becomes of them then."""


class _Idle(NamedTuple):
    """An item that may go; light, since there may be dozens at each call."""

    slot: Slot
    item: Item
    do: Do
    gain_tokens: float
    limit_calls: float
    over_calls: int
    """Calls for which it was paid beyond its limit, the coming one included; negative before."""

    @property
    def overdue(self) -> tuple[float, Slot]:
        """A sort key: calls beyond the limit as a share of it, the largest first."""
        return (-self.over_calls / self.limit_calls, self.slot)

    @property
    def operation(self) -> Operation:
        """What becomes of it."""
        left = names_tokens(self.item.tokens) if self.do is Do.NAMES else None
        return Operation(do=self.do, items=(self.item.id,), limit_tokens=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class RentPolicy:
    """The policy; it keeps nothing between calls.

    Args:
        name: the rule that its plans name.
        stays: sorts of items; each item belongs to one at most, what belongs to none stays.
        times: all limits in `stays` times this.
        patience: how often the rewrite must have been paid in rent.
        least_gain_tokens: a plan frees at least so much, except for the hard limit.
        room_frac: share of what is not fixed that is freed beyond the need when the prompt is over
            the budget, so that the next calls do not ask again at once.
        dedupes: whether what stands behind a cut leaves out the lines that a later item holds.
    """

    name: str
    stays: tuple[Stay, ...]
    times: float = 1.0
    patience: float = 1.25
    least_gain_tokens: int = 1_000
    room_frac: float = 0.15
    dedupes: bool = True

    def __call__(self, moment: Moment) -> Iterator[Plan]:
        """Yield what pays, and then what a prompt over its budget has to give up."""
        if moment.trigger is Trigger.CACHE_COLD:
            yield from self._plan(
                "the cache is cold", self._from(moment, None, self._all_idle(moment))
            )
        elif moment.trigger is Trigger.BEFORE_CALL:
            reason = "more was paid for keeping it than the rewrite costs"
            yield from self._plan(reason, self._worth_a_rewrite(moment))
        must_fit = moment.trigger in (Trigger.BEFORE_CALL, Trigger.REJECTED)
        if must_fit and moment.tokens > moment.scale.budget_tokens:
            reason = "the prompt is over its budget; what is overdue most goes"
            yield from self._plan(reason, self._to_fit(moment))

    def _plan(self, reason: str, operations: Iterable[Operation]) -> Iterator[Plan]:
        found = tuple(operations)
        if found:
            yield Plan(rule=self.name, reason=reason, operations=found)

    # ---- which

    def _all_idle(self, moment: Moment, *, is_urgent: bool = False) -> list[_Idle]:
        """Return what may go, in no order; if it is urgent, whatever the last call did not use."""
        calls, dead = moment.store.calls, moment.dead_phases.keys()
        found = list[_Idle]()
        for stay in self.stays:
            watch = moment.store.matching(stay.what)
            if not watch:
                continue
            limit = max(1.0, stay.idle_calls * self.times)
            least = 1.0 if is_urgent else limit
            for entry in watch.least_used_first():
                if calls - entry.touched_call < least:
                    break
                if _goes_alone(stay, entry, moment):
                    found.append(_idle(stay, entry, calls, limit))
            for phase in watch.phases() & dead if dead else ():
                for entry in watch.of_phase(phase):
                    is_older = 1 <= calls - entry.touched_call < least
                    if is_older and _goes_alone(stay, entry, moment):
                        found.append(_idle(stay, entry, calls, 1.0))
        return found

    # ---- when

    def _worth_a_rewrite(self, moment: Moment) -> Iterator[Operation]:
        """Return operations from the best cut on; none if no cut is worth it."""
        found = self._all_idle(moment)
        cut = self._best_cut(moment, found)
        return iter(()) if cut is None else self._from(moment, cut, found)

    def _best_cut(self, moment: Moment, found: list[_Idle]) -> Slot | None:
        """Return the place from which on a cut pays most, of those where enough rent was paid."""
        if sum(one.gain_tokens for one in found) < self.least_gain_tokens:
            return None
        store, read = moment.store, _kept_multiplier(moment)
        rewrite = moment.cache.write_multiplier - read
        cached_tokens = store.tokens - _new_tokens(moment)
        best: Slot | None = None
        best_saving = gain = paid = 0.0
        behind_tokens = 0  # at least; looked up only where that does not settle it
        found.sort(key=_place, reverse=True)
        for one in found:
            gain += one.gain_tokens
            paid += one.gain_tokens * one.over_calls
            behind_tokens += one.item.tokens
            is_paid = read * paid >= self.patience * rewrite * (behind_tokens - gain)
            if gain < self.least_gain_tokens or not is_paid:
                continue
            behind_tokens = cached_tokens - store.tokens_before(one.slot)
            price = rewrite * (behind_tokens - gain)
            saving = read * gain * moment.calls_left - price
            if read * paid >= self.patience * price and saving > best_saving:
                best, best_saving = one.slot, saving
        return best

    def _to_fit(self, moment: Moment) -> Iterator[Operation]:
        """Return operations that free enough for the budget and some room, most overdue first."""
        store, limit_tokens = moment.store, moment.scale.budget_tokens
        fixed_tokens = sum(item.tokens for item in store.untouchable())
        need = moment.tokens - limit_tokens + self.room_frac * max(0, limit_tokens - fixed_tokens)
        taken = list[_Idle]()
        for one in sorted(self._all_idle(moment, is_urgent=True), key=lambda one: one.overdue):
            if need <= 0:
                break
            taken.append(one)
            need -= one.gain_tokens
        if not taken:
            return iter(())
        return self._from(moment, min(one.slot for one in taken), taken)

    # ---- what becomes of it

    def _from(self, moment: Moment, cut: Slot | None, idle: Iterable[_Idle]) -> Iterator[Operation]:
        """Yield operations from a place on, the last item first: what it holds others leave out."""
        operations = {one.slot: one.operation for one in idle if cut is None or one.slot >= cut}
        for entry in self._dedupable(moment, cut):
            operations.setdefault(entry.slot, Operation(do=Do.DEDUPE, items=(entry.item.id,)))
        return (operations[slot] for slot in sorted(operations, reverse=True))

    def _dedupable(self, moment: Moment, cut: Slot | None) -> Iterator[Entry]:
        if not self.dedupes:
            return
        calls = moment.store.calls
        before = (0, -1) if cut is None else (cut[0], cut[1] - 1)
        for stay in self.stays:
            if stay.do is not Do.NAMES:
                continue
            for entry in moment.store.matching(stay.what).behind(before):
                if entry.item.form in LONGER_FORMS[Do.DEDUPE] and not entry.is_fresh(calls):
                    yield entry


def _idle(stay: Stay, entry: Entry, calls: int, limit: float) -> _Idle:
    item = entry.item
    gain: float = item.tokens
    if stay.do is Do.NAMES:
        gain -= NAMES_FILL_FRAC * names_tokens(item.tokens)
    over_calls = int(calls - entry.touched_call - limit) + 1
    return _Idle(entry.slot, item, stay.do, gain, limit, over_calls)


def _goes_alone(stay: Stay, entry: Entry, moment: Moment) -> bool:
    """Return False for what could only be dropped with others of its group."""
    item = entry.item
    is_bound = stay.do is Do.DROP and item.group is not None
    return not is_bound or len(moment.store.leaving_with(item.id)) == 1


def _place(one: _Idle) -> Slot:
    return one.slot


def names_tokens(item_tokens: int) -> int:
    """Return what the names of an item may take."""
    return max(LEAST_NAMES_TOKENS, min(MOST_NAMES_TOKENS, int(NAMES_FRAC * item_tokens)))


def _kept_multiplier(moment: Moment) -> float:
    """Return what keeping a token for one call costs, in input prices, lost caches included."""
    cache = moment.cache
    lost_frac = moment.cache_losses / (moment.store.calls + PRIOR_CALLS)
    return cache.read_multiplier + (cache.write_multiplier - cache.read_multiplier) * lost_frac


def _new_tokens(moment: Moment) -> int:
    """Return the tokens at the end of the prompt that no call has carried: no cache holds them."""
    calls = moment.store.calls
    newest = moment.store.matching(ANY).newest_first()
    return sum(one.item.tokens for one in takewhile(lambda e: e.arrived_call == calls, newest))
