"""One thread at work: its store, its levels, its cache, and how a plan is carried out on it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from itertools import count

from ctxbudget.core.cache import CacheState, pays_off
from ctxbudget.core.errors import PolicyError, SourceError
from ctxbudget.core.events import Pruned, Shorten, Shortened
from ctxbudget.core.store import Store
from ctxbudget.core.thresholds import Monitor
from ctxbudget.core.types import (
    FORM_AFTER,
    MAIN,
    NEEDS_WHOLE_GROUPS,
    ONE_AT_A_TIME,
    Cache,
    Do,
    Item,
    Kind,
    Layer,
    Operation,
    Plan,
    Scale,
)


@dataclass(slots=True)
class Thread:
    """One prompt's worth of items, and all that belongs to it."""

    name: str
    scale: Scale
    store: Store = field(default_factory=Store)
    monitors: list[Monitor] = field(default_factory=list)
    cache_state: CacheState = field(default_factory=CacheState)
    model: str = ""
    calls_left: int = 0
    """Calls it is expected to make still."""
    has_goal: bool = False
    """Whether the user's goal, the first user message, is in it (and pinned)."""
    run_peak_tokens: int = 0
    fired_at_call: dict[str, int] = field(default_factory=dict)
    """For each rule that has acted, the call count when it last did."""
    _known_tokens: dict[tuple[Do, tuple[str, ...], int | None], int] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """The name under which this thread's levels are told."""
        return "run" if self.name == MAIN else f"thread:{self.name}"

    def note_peak(self) -> int:
        """Return the peak since the last note, and begin a new one at the present occupancy."""
        peak = self.store.peak_tokens
        self.run_peak_tokens = max(self.run_peak_tokens, peak)
        self.store.peak_tokens = self.store.tokens
        return peak

    def carry_out(
        self, plan: Plan, *, at: float, cache: Cache, numbers: Numbers
    ) -> Generator[Pruned | Shorten, Shortened | None, None]:
        """Carry out a plan, or leave the prompt alone if it is not worth it.

        Yields the effects that ask for sizes and the decisions taken.

        Raises:
            PolicyError: an operation names what it may not touch, or splits a group.
            SourceError: an effect was not answered with its size.
        """
        changes = yield from self._worthwhile(plan, at=at, cache=cache)
        number = 0
        for operation in changes:
            tokens = yield from self._size(operation, at)
            removed = self._removed(operation)
            if operation.items and tokens >= removed:
                continue  # the answer turned out no shorter than what it would replace
            number = number or next(numbers.plans)
            stand_in = self._stand_in(operation, tokens, numbers)
            self.store.replace(operation.items, stand_in)
            self._known_tokens.pop(_key(operation), None)
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
            )

    def _worthwhile(
        self, plan: Plan, *, at: float, cache: Cache
    ) -> Generator[Shorten, Shortened | None, list[Operation]]:
        """Return the operations to carry out: none, if the plan's conditions do not hold.

        A summary costs money, so its size is taken to be its limit until the plan is settled.
        """
        taken: list[Operation] = []
        leaving: set[str] = set()
        gain_tokens = 0
        for operation in plan.operations:
            if self._is_enough(plan, gain_tokens):
                break
            problem = self._check(operation, leaving)
            if problem is not None:
                raise PolicyError(problem, rule=plan.rule)
            leaving.update(operation.items)
            if operation.do is Do.SUMMARIZE:
                tokens = operation.limit_tokens or 0
            else:
                tokens = yield from self._size(operation, at)
            removed = self._removed(operation)
            if operation.items and tokens >= removed:
                continue
            taken.append(operation)
            gain_tokens += removed - tokens
        if not taken or gain_tokens < plan.min_gain_tokens:
            return []
        if plan.pays_off and not self._pays(taken, gain_tokens, at, cache):
            return []
        return taken

    def _is_enough(self, plan: Plan, gain_tokens: int) -> bool:
        return plan.until_tokens is not None and (
            self.store.tokens - gain_tokens <= plan.until_tokens
        )

    def _check(self, operation: Operation, taken: set[str]) -> str | None:
        """Return what is wrong with an operation, given what earlier ones of its plan take."""
        store, items = self.store, operation.items
        if not items and not operation.reads:
            return "an operation names no item; name at least one"
        if operation.do in ONE_AT_A_TIME and len(items) != 1:
            return f"{operation.do} takes one item at a time"
        for name in (*items, *operation.reads):
            if name not in store:
                return f"item {name!r} is not in the prompt"
        if len(set(items)) < len(items) or not taken.isdisjoint(items):
            return "an item would leave twice; name each once"
        for name in items:
            if store[name].untouchable:
                return f"item {name!r} is pinned or permanent and may not be touched"
            if operation.do in NEEDS_WHOLE_GROUPS:
                group = {entry.item.id for entry in store.leaving_with(name)}
                if not group or not group.issubset(items):
                    return (
                        f"item {name!r} would leave without the rest of its group, or while its "
                        "tool call waits for the result; take whole groups"
                    )
        return None

    def _removed(self, operation: Operation) -> int:
        return sum(self.store[name].tokens for name in operation.items)

    def _size(self, operation: Operation, at: float) -> Generator[Shorten, Shortened | None, int]:
        """Return the size of what an operation leaves, asking the world only once."""
        if operation.do is Do.DROP:
            return 0
        key = _key(operation)
        if key not in self._known_tokens:
            do, items, limit_tokens = key
            answer = yield Shorten(
                at=at, do=do, items=items, limit_tokens=limit_tokens, thread=self.name
            )
            if answer is None or answer.do is not do or answer.items != items:
                raise SourceError(
                    f"asked for {do} of {items}, got {answer}; answer each effect at once", at=at
                )
            self._known_tokens[key] = answer.tokens
        return self._known_tokens[key]

    def _pays(self, taken: list[Operation], gain_tokens: int, at: float, cache: Cache) -> bool:
        return pays_off(
            cache,
            gain_tokens=gain_tokens,
            rewritten_tokens=self._rewritten_tokens(taken),
            calls_left=self.calls_left,
            warm=self.cache_state.is_warm(at, self.model, cache),
        )

    def _rewritten_tokens(self, taken: list[Operation]) -> int:
        """Return the tokens that stay, and that the cache holds behind the first change."""
        entries = [self.store.entry(name) for one in taken for name in one.items]
        if not entries:
            return 0
        first = min(entry.slot for entry in entries)
        changed = self.store.first_change()
        if changed is not None and changed <= first:
            return 0
        cached = self.store.tokens if changed is None else self.store.tokens_before(changed)
        leaving = sum(e.item.tokens for e in entries if changed is None or e.slot < changed)
        return cached - self.store.tokens_before(first) - leaving

    def _stand_in(self, operation: Operation, tokens: int, numbers: Numbers) -> Item | None:
        if operation.do is Do.DROP:
            return None
        form = FORM_AFTER[operation.do]
        first = self.store[(operation.items or operation.reads)[0]]
        if len(operation.items) == 1 and operation.do is not Do.SUMMARIZE:
            return replace(
                first,
                tokens=tokens,
                form=form,
                version=first.version + 1,
                layer=_layer_after(operation.do, first),
            )
        return Item(
            id=f"~{form}{next(numbers.stand_ins)}",
            tokens=tokens,
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


def _layer_after(do: Do, item: Item) -> Layer:
    """Return the layer of an item's shorter form: artifacts become metadata, notes always are."""
    if do is Do.DIGEST and item.kind is Kind.ARTIFACT:
        return item.stand_in_layer
    return Layer.METADATA if do is Do.STUB else item.layer
