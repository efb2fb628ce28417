"""What can be read off a run at any time, without changing it."""

from __future__ import annotations

from dataclasses import dataclass

from ctxbudget.core.errors import SourceError, near_misses
from ctxbudget.core.returning import Return, return_of_item, return_of_plan
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import Item
from ctxbudget.history import By, breakdown
from ctxbudget.live.parts import Parts
from ctxbudget.live.pieces import text_of
from ctxbudget.report.brief import PhaseReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How full a prompt is, and how soon it will be fuller. An estimate from the growth so far.

    `calls_to_warn`, `calls_to_critical` and `calls_to_limit` are calls until each is crossed: 0 if
    it is crossed already, None while the prompt does not grow.
    """

    occupancy_tokens: int
    budget_tokens: int
    limit_tokens: int
    per_call_tokens: float
    """Of growth, what is pruned taken off: the median of the last calls."""
    next_result_tokens: int
    """The size that 95 % of the recent tool results did not exceed."""
    calls_to_warn: int | None
    calls_to_critical: int | None
    calls_to_limit: int | None

    def __str__(self) -> str:
        share = self.occupancy_tokens / self.budget_tokens if self.budget_tokens else 0.0
        said = f"{self.occupancy_tokens:,} tokens, {share:.1%} of budget"
        if self.calls_to_critical is None:
            return f"{said}; it does not grow"
        if self.calls_to_critical == 0:
            return f"{said}; above critical"
        return f"{said}; critical in about {self.calls_to_critical} calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnCost:
    """What bringing items back would cost. Nothing has been changed."""

    items: tuple[str, ...]
    gained_tokens: int
    """What the prompt would gain, stand-ins that leave taken off."""
    rewritten_tokens: int
    """What the cache holds behind the first place that would change."""
    occupancy_tokens: int
    """Of the prompt, with them."""
    to_prune_tokens: int
    """What other items would have to give for it to fit; 0 if it fits."""

    @property
    def fits(self) -> bool:
        """Return True if nothing else would have to go."""
        return self.to_prune_tokens == 0


def forecast(parts: Parts, name: str) -> Forecast:
    """Return how soon a thread's prompt will cross its levels."""
    thread = parts.thread(name)
    scale, growth = thread.scale, thread.growth
    occupancy = thread.occupancy_tokens
    levels = parts.start.thresholds

    def calls_until(limit_tokens: int) -> int | None:
        return growth.calls_until(limit_tokens - occupancy)

    return Forecast(
        occupancy_tokens=occupancy,
        budget_tokens=scale.budget_tokens,
        limit_tokens=scale.hard_limit_tokens,
        per_call_tokens=growth.net_per_call_tokens,
        next_result_tokens=growth.next_result_tokens,
        calls_to_warn=calls_until(levels.warn.resolve_tokens(scale)),
        calls_to_critical=calls_until(levels.critical.resolve_tokens(scale)),
        calls_to_limit=calls_until(scale.hard_limit_tokens),
    )


def restore_cost(parts: Parts, name: str, item: str) -> ReturnCost:
    """Return what restoring an item would cost.

    Raises:
        SourceError: it is there, or never left.
    """
    thread = parts.thread(name)
    return _cost(thread, return_of_item(thread, item, parts.engine.state.main))


def undo_cost(parts: Parts, name: str, plan: int | None) -> ReturnCost:
    """Return what undoing a plan would cost.

    Raises:
        SourceError: there is no such plan, or later ones took what it left.
    """
    thread = parts.thread(name)
    return _cost(thread, return_of_plan(thread, plan)[1])


def items(parts: Parts, name: str) -> list[Item]:
    """Return the items of a thread's prompt, in order."""
    return list(parts.thread(name).store)


def evicted(parts: Parts, name: str) -> list[Item]:
    """Return what left a thread's prompt, in its first form, in order of leaving."""
    store = parts.thread(name).store
    return [left[0].item for item, left in store.shelf.items() if left and item not in store]


def split(parts: Parts, name: str, by: By) -> list[tuple[str, int]]:
    """Return how many tokens of a thread's prompt each group holds, largest first."""
    return breakdown(parts.thread(name).store, name, by)


def whole_text(parts: Parts, name: str, item: str) -> str:
    """Return the text of an item's first form.

    Raises:
        SourceError: there never was such an item in this thread, or its text is not known.
    """
    store = parts.thread(name).store
    left = store.shelf.get(item)
    first = left[0].item if left else store.get(item)
    if first is None:
        known = [*store.shelf, *(one.id for one in store)]
        raise SourceError(f"there is no item {item!r} in {name!r}; {near_misses(item, known)}")
    return text_of(parts.texts.block(name, item, first.version))


def phase_report(parts: Parts, phase: str) -> PhaseReport:
    """Return the report of a phase that has begun; the latest of them, if it began twice."""
    row = next(row for row in reversed(parts.metrics.phases) if row.id == phase)
    return PhaseReport(row, parts.metrics.run)


def _cost(thread: Thread, back: Return) -> ReturnCost:
    occupancy = thread.occupancy_tokens + back.gained_tokens
    return ReturnCost(
        items=tuple(sorted(entry.item.id for entry in back.entries)),
        gained_tokens=back.gained_tokens,
        rewritten_tokens=back.rewritten_tokens,
        occupancy_tokens=occupancy,
        to_prune_tokens=max(0, occupancy - thread.scale.hard_limit_tokens),
    )
