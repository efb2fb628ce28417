"""The words of a comparison that its table and its Markdown share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ctxbudget.gate.comparing import Change, Comparison, Growth
from ctxbudget.gate.outcome import Outcome
from ctxbudget.report.course_words import basis_notes
from ctxbudget.report.numbers import cell, difference

NAMES_SHOWN = 5

PHASE_ROWS: Final = 20
"""Changes of phases that are shown; JSON has all."""


def name(one: Outcome) -> str:
    """Return a run's name: the file, and the policy that it was played under."""
    return f"{one.file} ({one.policy})"


def change_cells(one: Change) -> tuple[str, str, str, str, str]:
    """Return what was measured, before, after, the difference, and that as a share of before."""
    unit, frac = one.measure.unit, one.change_frac
    title = f"{one.measure.title}, USD" if unit == "USD" else one.measure.title
    share = "–" if frac is None or unit == "share" else f"{frac:+.1%}"
    return (
        title,
        cell(one.before, unit),
        cell(one.after, unit),
        difference(one.difference, unit),
        share,
    )


def failed(judged: Sequence[Growth]) -> list[str]:
    """Return a line for each number that grew too much."""
    return [
        f"{one.allowed.key} grew by {difference(one.change.difference, one.change.measure.unit)} "
        f"({change_cells(one.change)[4]}), allowed {one.allowed.said}"
        for one in judged
        if not one.is_kept
    ]


def notes(found: Comparison, written: Callable[[str], str]) -> Iterator[str]:
    """Yield what else there is to know; `written` makes what users wrote fit for the page."""
    for names, what in ((found.only_before, "only in A"), (found.only_after, "only in B")):
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            listed = ", ".join(written(one) for one in names[:NAMES_SHOWN])
            yield f"phases {what}: {listed}{more}"
    sides = (found.before, found.after)
    budgets = [one.scale.budget_tokens for one in sides]
    if budgets[0] != budgets[1]:
        yield f"budget: {budgets[0]:,} → {budgets[1]:,} tokens"
    for letter, one in zip("AB", sides, strict=True):
        for note in basis_notes(one):
            yield f"{letter}: {written(note)}"
    unknown = [key for key in ("cost",) if any(key in one.not_told for one in sides)]
    if unknown:
        side = next(one for one in sides if "cost" in one.not_told)
        yield f"cost is left out: {written(side.not_told['cost'])}"
