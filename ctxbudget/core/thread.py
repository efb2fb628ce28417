"""One thread at work: its store, its levels, its cache, and how a plan is carried out on it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeAlias

from ctxbudget.core import contract
from ctxbudget.core.cache import CacheState, pays_off
from ctxbudget.core.errors import PolicyError, SourceError
from ctxbudget.core.events import (
    Answered,
    Charge,
    Pruned,
    Review,
    Reviewed,
    Shorten,
    Shortened,
    Vetoed,
)
from ctxbudget.core.gauge import Gauge
from ctxbudget.core.growth import Growth
from ctxbudget.core.stand_ins import StandIns
from ctxbudget.core.store import Store
from ctxbudget.core.thresholds import Monitor
from ctxbudget.core.types import (
    FORM_AFTER,
    LONGER_FORMS,
    MAIN,
    SEE_THE_REST,
    Cache,
    Do,
    Item,
    Kind,
    Layer,
    Operation,
    Plan,
    Scale,
)
from ctxbudget.core.watch import Entry, Slot

THRASH_CALLS, THRASH_TIMES = 3, 3
"""A prompt that is full again within so many calls, so many times in a row, thrashes."""

Steps: TypeAlias = Generator[Pruned | Vetoed | Shorten | Review, Answered | None, None]
"""What carrying out a plan yields: decisions to record, effects to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An operation as it was carried out, so that it can be undone."""

    entries: tuple[Entry, ...]
    """What left, with its places."""
    stand_in: tuple[str, int] | None
    """Id and version of what took its place."""


@dataclass(slots=True)
class Thread:
    """One prompt's worth of items, and all that belongs to it."""

    name: str
    scale: Scale
    reviews: bool = False
    """Whether somebody is asked before a policy's plan is carried out."""
    strips_thinking: bool = False
    """Whether thinking is bound to what stands before it, so that it cannot come back."""
    store: Store = field(default_factory=Store)
    gauge: Gauge = field(default_factory=Gauge)
    growth: Growth = field(default_factory=Growth)
    monitors: list[Monitor] = field(default_factory=list)
    cache_state: CacheState = field(default_factory=CacheState)
    model: str = ""
    ttl_s: float | None = None
    """That the last call asked of the cache, where it named one."""
    calls_left: int = 0
    """Of the calls that were declared for it."""
    is_refused: bool = False
    """Whether the provider refused the last prompt, so that the model has not seen it."""
    goal: str | None = None
    """The user's goal, the first user message; it is pinned."""
    run_peak_tokens: int = 0
    fired_at_call: dict[str, int] = field(default_factory=dict)
    """For each rule that has acted, the call count when it last did."""
    plans: dict[int, list[Done]] = field(default_factory=dict)
    """What each plan did that has not been undone, by its number."""
    charges: list[Charge] = field(default_factory=list)
    """What summaries used that has not been paid yet."""
    compaction_plan: int = 0
    """The last plan that was counted as a compaction."""
    _stand_ins: StandIns = field(default_factory=StandIns)
    _compacted_calls: list[int] = field(default_factory=list)
    _known: dict[tuple[Do, tuple[str, ...], int | None], Shortened] = field(default_factory=dict)

    @property
    def occupancy_tokens(self) -> int:
        """An upper bound of what the provider counts in the prompt; what limits are held to.

        Where items are counted exactly, this is the sum of their tokens.
        """
        return self.store.tokens + self.gauge.extra_tokens

    @property
    def fixed_tokens(self) -> int:
        """Tokens at the front that no rule changes; before the first call, all of them."""
        store = self.store
        return store.layer_tokens[Layer.PERMANENT] if store.calls else store.tokens

    @property
    def scope(self) -> str:
        """The name under which this thread's levels are told."""
        return "run" if self.name == MAIN else f"thread:{self.name}"

    def add(self, item: Item) -> None:
        """Put an item that the world brought at the end of its part of the prompt.

        Raises:
            SourceError: the id is already in the prompt.
        """
        self.store.add(item)
        self.gauge.came(item)
        self.growth.came(item)

    def compacted(self) -> bool:
        """Record that the prompt was compacted because it was full.

        Return True if that happened three times in a row within three calls each.
        Source: the guard of an interactive coding agent, which stops after the same.
        """
        calls = self.store.calls
        is_soon = bool(self._compacted_calls) and calls - self._compacted_calls[-1] <= THRASH_CALLS
        self._compacted_calls = [*(self._compacted_calls if is_soon else []), calls]
        if len(self._compacted_calls) <= THRASH_TIMES:
            return False
        self._compacted_calls.clear()
        return True

    def note_peak(self) -> int:
        """Return the peak since the last note, and begin a new one at the present occupancy."""
        peak = self.store.peak_tokens
        self.run_peak_tokens = max(self.run_peak_tokens, peak)
        self.store.peak_tokens = self.store.tokens
        return peak

    def carry_out(
        self, plan: Plan, *, at: float, cache: Cache, numbers: Numbers, is_fit: bool = False
    ) -> Steps:
        """Carry out a plan, or leave the prompt alone if it is not worth it or not allowed.

        Yields the effects that ask for sizes and the decisions taken. With `is_fit`, what no call
        has carried yet may go too, and nobody is asked.

        Raises:
            PolicyError: an operation names what it may not touch, or splits a group.
            SourceError: an effect was not answered with its size.
        """
        self._forget_old_sizes(plan)
        changes = yield from self._worthwhile(plan, at=at, cache=cache, is_fit=is_fit)
        if changes and self.reviews and not is_fit:
            refusal = yield from self._refusal(plan, changes, at)
            if refusal is not None:
                yield refusal
                return
        number = 0
        for operation in changes:
            answer = yield from self._shorter(operation, at)
            layer = _layer_after(operation.do, self._first(operation), is_fit=is_fit)
            tokens = self._left_tokens(operation, answer.tokens, layer)
            if tokens is None:
                continue  # a summary turned out no shorter than what it would replace
            number = number or next(numbers.plans)
            removed = self._removed(operation)
            stand_in = self._stand_in(operation, tokens, answer.error_tokens, layer, numbers)
            self._swap(operation.items, stand_in, number)
            self._known.pop(_key(operation), None)
            self.fired_at_call[plan.rule] = self.store.calls
            yield Pruned(
                at=at,
                rule=plan.rule,
                reason=plan.reason,
                do=operation.do,
                items=operation.items,
                removed_tokens=removed,
                occupancy_tokens=self.store.tokens,
                plan=number,
                stand_in=stand_in,
                thread=self.name,
                reads=operation.reads,
                limit_tokens=operation.limit_tokens,
            )

    def withdraw(self, items: tuple[str, ...]) -> None:
        """Take items out because the host did; no plan of ours is undone by that."""
        for name in items:
            entry = self.store.entry(name)
            self.gauge.went(entry.item)
        self.store.replace(items, None)
        if self.goal in items:
            self.goal = None

    def withdraw_from_stand_ins(self, items: Iterable[str]) -> tuple[str, ...]:
        """Note what the host took back; return the stand-ins in the prompt left without items."""
        return tuple(name for name in self._stand_ins.orphans(items) if name in self.store)

    def drop(
        self, items: tuple[str, ...], numbers: Numbers, *, rule: str, reason: str, at: float
    ) -> Pruned:
        """Take items out for a reason that is no policy's; return what to tell.

        It is not there to be undone, but items can be restored.
        """
        removed = sum(self.store[name].tokens for name in items)
        self.withdraw(items)
        return Pruned(
            at=at,
            rule=rule,
            reason=reason,
            do=Do.DROP,
            items=items,
            removed_tokens=removed,
            occupancy_tokens=self.store.tokens,
            plan=next(numbers.plans),
            thread=self.name,
        )

    def _swap(self, items: tuple[str, ...], stand_in: Item | None, number: int) -> None:
        entries = tuple(self.store.entry(name) for name in items)
        for entry in entries:
            self.gauge.went(entry.item)
        self.store.replace(items, stand_in)
        if stand_in is not None:
            self.gauge.came(stand_in)
            if stand_in.id not in items:
                self._stand_ins.came(stand_in.id, items)
        left = None if stand_in is None else (stand_in.id, stand_in.version)
        self.plans.setdefault(number, []).append(Done(entries=entries, stand_in=left))

    def _refusal(
        self, plan: Plan, changes: list[Operation], at: float
    ) -> Generator[Review, Answered | None, Vetoed | None]:
        """Ask whether a plan may be carried out; return what to record if it may not."""
        gain_tokens = 0
        for one in changes:
            known = self._known.get(_key(one))
            leaves = known.tokens if known else one.limit_tokens or 0
            gain_tokens += self._removed(one) - leaves
        answer = yield Review(
            at=at,
            rule=plan.rule,
            reason=plan.reason,
            operations=tuple((one.do, one.items) for one in changes),
            gain_tokens=gain_tokens,
            thread=self.name,
        )
        if not isinstance(answer, Reviewed) or answer.rule != plan.rule:
            raise SourceError(f"asked for a review, got {answer}", at=at)
        if answer.allowed:
            return None
        return Vetoed(at=at, rule=plan.rule, reason=answer.reason, thread=self.name)

    def _worthwhile(
        self, plan: Plan, *, at: float, cache: Cache, is_fit: bool
    ) -> Generator[Shorten, Answered | None, list[Operation]]:
        """Return the operations to carry out: those of a plan that is not worth it are left out.

        A summary costs money, so its size is taken to be its limit until the plan is settled.
        """
        taken: list[Operation] = []
        moves: list[Operation] = []
        leaving: set[str] = set()
        gain_tokens = 0
        for operation in plan.operations:
            if self._is_enough(plan, gain_tokens):
                break
            problem = contract.problem(operation, self.store, leaving, is_fit=is_fit)
            if problem is not None:
                raise PolicyError(problem, rule=plan.rule)
            leaving.update(operation.items)
            is_summary = operation.do is Do.SUMMARIZE
            asked = operation.limit_tokens or 0
            size = asked if is_summary else (yield from self._shorter(operation, at)).tokens
            layer = _layer_after(operation.do, self._first(operation), is_fit=is_fit)
            tokens = self._left_tokens(operation, size, layer)
            if tokens is None:
                continue
            taken.append(operation)
            gain = self._removed(operation) - tokens
            gain_tokens += gain
            if operation.do is Do.DIGEST and gain == 0:
                moves.append(operation)
        if gain_tokens < plan.min_gain_tokens:
            return moves
        if plan.pays_off and not self._pays(taken, gain_tokens, at, cache):
            return moves
        return taken

    def _left_tokens(self, operation: Operation, tokens: int, layer: Layer) -> int | None:
        """Return what an operation leaves, given its stand-in's size; None if it is pointless.

        A stand-in that is no shorter is not put in. But an output that is its own metadata still
        changes its layer, and a summary that reads outputs stands for more than it removes.
        """
        removed = self._removed(operation)
        if tokens < removed or not operation.items or operation.reads:
            return tokens
        is_move = operation.do is Do.DIGEST and layer is not self._first(operation).layer
        return removed if is_move else None

    def _is_enough(self, plan: Plan, gain_tokens: int) -> bool:
        return plan.until_tokens is not None and (
            self.occupancy_tokens - gain_tokens <= plan.until_tokens
        )

    def _first(self, operation: Operation) -> Item:
        return self.store[(operation.items or operation.reads)[0]]

    def _removed(self, operation: Operation) -> int:
        return sum(self.store[name].tokens for name in operation.items)

    def _shorter(
        self, operation: Operation, at: float
    ) -> Generator[Shorten, Answered | None, Shortened]:
        """Return what an operation leaves, asking the world only once."""
        key = _key(operation)
        do, items, limit_tokens = key
        if do is Do.DROP:
            return Shortened(at=at, do=do, items=items, tokens=0, thread=self.name)
        if key not in self._known:
            answer = yield Shorten(
                at=at, do=do, items=items, limit_tokens=limit_tokens, thread=self.name
            )
            if not isinstance(answer, Shortened) or (answer.do, answer.items) != (do, items):
                raise SourceError(
                    f"asked for {do} of {items}, got {answer}; answer each effect at once", at=at
                )
            self._known[key] = answer
            if answer.charge is not None:
                self.charges.append(answer.charge)
        return self._known[key]

    def _forget_old_sizes(self, plan: Plan) -> None:
        """Let the forms of a plan be made anew if some leave out what the rest of the prompt holds.

        Who makes them has to know all of the plan's other forms. Summaries were paid for.
        """
        if any(one.do in SEE_THE_REST for one in plan.operations):
            for one in plan.operations:
                if one.do is not Do.SUMMARIZE:
                    self._known.pop(_key(one), None)

    def least(
        self, keep: AbstractSet[str], at: float
    ) -> Generator[Shorten, Answered | None, tuple[int, list[Item]]]:
        """Return the occupancy once all has gone that may go, and what is left then.

        `keep` names items that stay; a result whose group has to stay is cleared.
        """
        gauge, left = deepcopy(self.gauge), list[Item]()
        for entry in list(self.store.entries()):
            item = entry.item
            group = self.store.leaving_with(item.id)
            gains = any(one.item.tokens for one in group)
            if gains and keep.isdisjoint(one.item.id for one in group):
                gauge.went(item)
                continue
            is_clearable = item.kind is Kind.TOOL_RESULT and item.form in LONGER_FORMS[Do.CLEAR]
            if is_clearable and item.id not in keep and not item.untouchable:
                answer = yield from self._shorter(Operation(do=Do.CLEAR, items=(item.id,)), at)
                if answer.tokens < item.tokens:
                    gauge.went(item)
                    item = replace(
                        item,
                        tokens=answer.tokens,
                        error_tokens=answer.error_tokens,
                        version=self.store.next_version(item.id),
                    )
                    gauge.came(item)
            left.append(item)
        return sum(item.tokens for item in left) + gauge.extra_tokens, left

    @property
    def expected_calls(self) -> int:
        """Calls still to come: as declared; once there were more than declared, as many again."""
        return self.calls_left or self.store.calls

    def _pays(self, taken: list[Operation], gain_tokens: int, at: float, cache: Cache) -> bool:
        return pays_off(
            cache,
            gain_tokens=gain_tokens,
            rewritten_tokens=self._rewritten_tokens(taken),
            calls_left=self.expected_calls,
            warm=self.cache_state.is_warm(at, self.model),
        )

    def cached_behind_tokens(self, slot: Slot) -> int:
        """Return the tokens that the cache holds from a place on, as long as nothing has changed.

        A change there would have them written again.
        """
        changed = self.store.first_change()
        if changed is not None and changed <= slot:
            return 0
        cached = self.store.tokens if changed is None else self.store.tokens_before(changed)
        return cached - self.store.tokens_before(slot)

    def _rewritten_tokens(self, taken: list[Operation]) -> int:
        """Return the tokens that stay, and that the cache holds behind the first change."""
        entries = [self.store.entry(name) for one in taken for name in one.items]
        if not entries:
            return 0
        behind = self.cached_behind_tokens(min(entry.slot for entry in entries))
        changed = self.store.first_change()
        leaving = sum(e.item.tokens for e in entries if changed is None or e.slot < changed)
        return max(0, behind - leaving)

    def _stand_in(
        self,
        operation: Operation,
        tokens: int,
        error_tokens: int,
        layer: Layer,
        numbers: Numbers,
    ) -> Item | None:
        if operation.do is Do.DROP:
            return None
        form = FORM_AFTER[operation.do]
        first = self._first(operation)
        if len(operation.items) == 1 and operation.do is not Do.SUMMARIZE:
            return replace(
                first,
                tokens=tokens,
                error_tokens=error_tokens,
                form=form,
                version=self.store.next_version(first.id),
                layer=layer,
            )
        return Item(
            id=f"~{form}{next(numbers.stand_ins)}",
            tokens=tokens,
            error_tokens=error_tokens,
            layer=Layer.METADATA,
            kind=Kind.NOTE if operation.do is Do.STUB else Kind.SUMMARY,
            phase=first.phase,
            form=form,
        )


@dataclass(slots=True)
class Numbers:
    """The run's counters: ids are counted, never random."""

    plans: count[int] = field(default_factory=lambda: count(1))
    stand_ins: count[int] = field(default_factory=lambda: count(1))


def _key(operation: Operation) -> tuple[Do, tuple[str, ...], int | None]:
    return operation.do, (*operation.items, *operation.reads), operation.limit_tokens


def _layer_after(do: Do, item: Item, *, is_fit: bool) -> Layer:
    """Return the layer of an item's shorter form: artifacts become metadata, notes always are.

    What the fit makes shorter does not become permanent: it may have to go as well.
    """
    if do is Do.STUB:
        return Layer.METADATA
    if do is Do.DIGEST and item.kind is Kind.ARTIFACT:
        return Layer.METADATA if is_fit else item.stand_in_layer
    return item.layer
