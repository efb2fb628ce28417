"""What a sweep says in sentences: its budgets, the rule of its front, and what it recommends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ctxbudget.config.policy_file import NONE
from ctxbudget.sweep.summary import Failures, Row

BOUND_RULE: Final = "a mark to compare with, which could not run; it looks at no budget"


def budgets_text(budgets: Sequence[str], all_budgets: Sequence[str]) -> str:
    """Return the budgets of a row; those that follow each other in the sweep as a range."""
    first = all_budgets.index(budgets[0])
    is_run = list(budgets) == list(all_budgets[first : first + len(budgets)])
    if len(budgets) > 1 and is_run and not any("%" in one for one in budgets):
        return f"{budgets[0]}–{budgets[-1]}"
    return ", ".join(budgets)


def all_budgets(rows: Iterable[Row]) -> list[str]:
    """Return the budgets of a sweep, in its order."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.setting.spec, []).extend(row.budgets)
    return max(found.values(), key=len, default=[])


def knows_recalls(rows: Iterable[Row]) -> bool:
    """Return True if there is a recall of anything: workflows have no texts to ask."""
    return any(one.recall is not None or one.quote_recall is not None for one in rows)


def front_rule(rows: Iterable[Row]) -> str:
    """Return what the settings on the front have in common."""
    what, cost, recalls = "cost and peak", "costs as little", ""
    if knows_recalls(rows):
        what = "cost, peak and recall"
        cost, recalls = f"{cost} with misses charged", " recalls as much (items and lines),"
    return (
        f"on the front of {what}: no other setting {cost},{recalls} has as low a peak and is better "
        "in one of these; a lower peak counts only if it keeps a budget that the other exceeds"
    )


def rule_text(rows: Iterable[Row], least_recall: float, least_quotes: float) -> str:
    """Return the rule of the recommendation, with its floors if anything has a recall."""
    able = "of the settings that ran everywhere, with no peak above the budget"
    if not knows_recalls(rows):
        return f"lowest cost, {able}"
    return (
        f"lowest cost with misses charged, {able}, a mean recall of at least {least_recall:g} and a "
        f"mean quote recall of at least {least_quotes:g}, where these are known"
    )


def reason_text(
    chosen: Row | None, within_budget: Row | None, budgets: Sequence[str], rule: str
) -> str:
    """Return what is recommended and why, or that nothing is.

    Args:
        chosen: what is recommended.
        within_budget: the best that keeps its budget, told where `chosen` does not.
        budgets: those of the sweep, in its order.
        rule: of the recommendation.
    """
    if chosen is None:
        said = (
            f"Nothing is recommended: no setting meets the rule ({rule}); lower the floors, or try "
            "other settings."
        )
    elif not chosen.over:
        return f"Recommended: {_named(chosen, budgets)} ({rule})."
    else:
        peaks = "1 peak is" if chosen.over == 1 else f"{chosen.over:,} peaks are"
        said = (
            f"Recommended: {_named(chosen, budgets)}, but {peaks} above the budget: no setting "
            f"meets the whole rule ({rule}); of those that only exceed their budget it does so "
            "least often, then at the lowest cost."
        )
    return f"{said} {_within_budget_text(within_budget, budgets)}"


def _named(row: Row, budgets: Sequence[str]) -> str:
    text = budgets_text(row.budgets, budgets)
    at = f" at a budget of {text}" if text and row.setting.policy.name != NONE else ""
    cost = "" if row.total_frac is None else f", {row.total_frac:.1%} of none"
    return f"{row.setting.policy.label}{at}{cost}"


def _within_budget_text(row: Row | None, budgets: Sequence[str]) -> str:
    if row is None:
        return "No setting that ran everywhere keeps its budget; try larger budgets."
    known = (("recall", row.recall), ("quote recall", row.quote_recall))
    lost = [
        f"a mean {name} of {one:.1%} ({1 - one:.1%} lost)" for name, one in known if one is not None
    ]
    recalls = f", with {' and '.join(lost)}" if lost else ""
    return (
        f"Of those that keep their budget, {_named(row, budgets)}{recalls}, is nearest to the "
        "floors; floors below that (--recall, --quote-recall) recommend it."
    )


def failure_text(one: Failures) -> str:
    """Return why a policy could not run, with how many times that was so."""
    times = "once" if one.times == 1 else f"{one.times:,} times"
    alike = "" if one.times == 1 else " (for example)"
    return f"{one.label} could not run {times}{alike}: {one.reason}"
