"""A sweep as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ctxbudget.report.narrow import BETWEEN, Column, fitting, name_lines, width_of
from ctxbudget.report.plain import visible
from ctxbudget.report.sweep_words import (
    BOUND_RULE,
    all_budgets,
    budgets_text,
    failure_text,
    front_rule,
    knows_recalls,
)
from ctxbudget.report.tables import plain_table
from ctxbudget.sweep.summary import Failures, Row

if TYPE_CHECKING:
    from rich.console import Console

GIVE_WAY: Final = ("misses", "cost", "over", "quotes", "peak")
"""The columns that narrow terminals leave out, the first of them first."""

LEAST_NAME: Final = 14
"""Columns of the terminal that the names of settings have at least."""


def print_sweep(
    console: Console,
    rows: Sequence[Row],
    *,
    subjects: int,
    apart: Mapping[str, str],
    partly_read: Mapping[str, str],
    failures: Sequence[Failures],
    reason: str,
) -> None:
    """Print the settings, what is on the front, what failed, and what is recommended."""
    columns = _columns(rows)
    names = [visible(_name(one)) for one in rows]
    whole = min(max(map(len, names)), console.width // 2)
    least = max(LEAST_NAME, whole) + BETWEEN
    has_total = any(one.name == "total" for one in columns)
    drop = [one for one in GIVE_WAY if has_total or one != "cost"]
    shown = fitting(columns, console.width - least, drop=drop)
    room = max(LEAST_NAME, console.width - BETWEEN - width_of(shown))
    table = plain_table()
    table.add_column("setting", no_wrap=True)
    for one in shown:
        table.add_column(one.name, justify="right", no_wrap=True)
    for at, name in enumerate(names):
        table.add_row(
            _literal("\n".join(name_lines(name, room))), *(one.cells[at] for one in shown)
        )
    console.print(f"{subjects:,} swept, {sum(len(one.budgets) for one in rows):,} settings")
    console.print(table)
    if any(one.setting.is_bound for one in rows):
        console.print(f"(bound): {BOUND_RULE}.")
    for line in _lines(shown, front_rule(rows), apart, partly_read, failures, reason):
        console.print(visible(line), markup=False)


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _name(row: Row) -> str:
    mark = " (bound)" if row.setting.is_bound else " *" if row.is_on_front else ""
    failed = f" ({row.failed:,} failed)" if row.failed else ""
    return f"{row.setting.policy.label}{mark}{failed}"


def _columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns beside the names; recalls and misses only where any is known."""
    budgets = all_budgets(rows)
    cells: dict[str, list[str]] = {
        "budget": [
            "-" if one.setting.is_bound else budgets_text(one.budgets, budgets) or "-"
            for one in rows
        ],
        "cost": [_share(one.cost_frac) for one in rows],
    }
    if knows_recalls(rows):
        cells |= {
            "total": [_share(one.total_frac) for one in rows],
            "recall": [_share(one.recall) for one in rows],
            "quotes": [_share(one.quote_recall) for one in rows],
            "misses": [f"{one.misses:,}" if one.ran else "-" for one in rows],
        }
    cells |= {
        "peak": [f"{one.peak_tokens:,}" if one.ran else "-" for one in rows],
        "over": [f"{one.over:,}" if one.ran and not one.setting.is_bound else "-" for one in rows],
    }
    order = ("budget", "cost", "total", "recall", "quotes", "misses", "peak", "over")
    return [Column(name=one, cells=tuple(cells[one])) for one in order if one in cells]


def _share(one: float | None) -> str:
    return "-" if one is None else f"{one:.1%}"


def _lines(
    shown: Sequence[Column],
    rule: str,
    apart: Mapping[str, str],
    partly_read: Mapping[str, str],
    failures: Sequence[Failures],
    reason: str,
) -> Iterator[str]:
    meanings = {
        "cost": "Cost: input and summaries, of none (tokens sent where no price is known).",
        "total": "Total: cost with each miss charged, of none (tokens sent where no price is known).",
        "peak": "Peak: the largest of all.",
        "over": "Over: how many peaks are above the budget.",
    }
    names = [one.name for one in shown]
    if "cost" in names:
        meanings["total"] = "Total: with each miss charged."
    yield f"*: {rule}."
    yield " ".join(text for name, text in meanings.items() if name in names)
    for path, why in apart.items():
        yield f"left out: {why if why.startswith(path) else f'{path}: {why}'}"
    for path, unread in partly_read.items():
        yield f"read in part: {path}: {unread}"
    yield from map(failure_text, failures)
    yield reason
