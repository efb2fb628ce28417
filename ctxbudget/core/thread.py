"""One thread at work: its store, its levels, its cache, and how a plan is carried out on it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from itertools import count

from ctxbudget.core import contract
from ctxbudget.core.cache import CacheState, pays_off
from ctxbudget.core.errors import PolicyError, SourceError
from ctxbudget.core.events import Pruned, Shorten, Shortened
from ctxbudget.core.store import Store
from ctxbudget.core.thresholds import Monitor
from ctxbudget.core.types import (
    FORM_AFTER,
    MAIN,
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
    """Of the calls that were declared for it."""
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
        self, plan: Plan, *, at: float, cache: Cache, numbers: Numbers, is_fit: bool = False
    ) -> Generator[Pruned | Shorten, Shortened | None, None]:
        """Carry out a plan, or leave the prompt alone if it is not worth it.

        Yields the effects that ask for sizes and the decisions taken. With `is_fit`, what no call
        has carried yet may go too.

        Raises:
            PolicyError: an operation names what it may not touch, or splits a group.
            SourceError: an effect was not answered with its size.
        """
        changes = yield from self._worthwhile(plan, at=at, cache=cache, is_fit=is_fit)
        number = 0
        for operation in changes:
            answer = yield from self._size(operation, at)
            tokens = self._left_tokens(operation, answer)
            if tokens is None:
                continue  # a summary turned out no shorter than what it would replace
            number = number or next(numbers.plans)
            removed = self._removed(operation)
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
        self, plan: Plan, *, at: float, cache: Cache, is_fit: bool
    ) -> Generator[Shorten, Shortened | None, list[Operation]]:
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
            tokens = self._left_tokens(
                operation, asked if is_summary else (yield from self._size(operation, at))
            )
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

    def _left_tokens(self, operation: Operation, tokens: int) -> int | None:
        """Return what an operation leaves, given its stand-in's size; None if it is pointless.

        A stand-in that is no shorter is not put in. But an output that is its own metadata still
        changes its layer, and a summary that reads outputs stands for more than it removes.
        """
        removed = self._removed(operation)
        if tokens < removed or not operation.items or operation.reads:
            return tokens
        item = self.store[operation.items[0]]
        is_move = operation.do is Do.DIGEST and _layer_after(Do.DIGEST, item) is not item.layer
        return removed if is_move else None

    def _is_enough(self, plan: Plan, gain_tokens: int) -> bool:
        return plan.until_tokens is not None and (
            self.store.tokens - gain_tokens <= plan.until_tokens
        )

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
