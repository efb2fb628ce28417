"""A comparison of two runs as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ctxbudget.gate.comparing import Comparison, Growth
from ctxbudget.report.diff_words import PHASE_ROWS, change_cells, failed, name, notes
from ctxbudget.report.narrow import Column, beside_names
from ctxbudget.report.plain import how_many, one_line
from ctxbudget.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHARE: Final = ""
"""The column of the change as a share has no name."""

DROPPED: Final = ("change", SHARE)
"""What gives way on a narrow terminal, in this order: A and B tell it too."""


def print_compared(console: Console, found: Comparison, judged: Sequence[Growth]) -> None:
    """Print what changed in the run and in its phases, the weightiest first, and what grew too much."""
    before, after = one_line(name(found.before)), one_line(name(found.after))
    console.print(f"A: {before}\nB: {after}", markup=False)
    if found.changed:
        console.print(_table(console, ("run",), map(change_cells, found.changed)))
    else:
        console.print("Nothing changed in the run's numbers.")
    if found.phases:
        rows = (
            (one_line(one.phase or ""), *change_cells(one)) for one in found.phases[:PHASE_ROWS]
        )
        console.print(_table(console, ("phase", "measure"), rows))
    if (more := len(found.phases) - PHASE_ROWS) > 0:
        console.print(f"smaller changes of phases left out: {more:,}; --json has them")
    for line in notes(found, one_line):
        console.print(line, markup=False)
    lines = failed(judged)
    for line in lines:
        console.print(f"failed: {line}", style="bold red", markup=False)
    if judged and not lines:
        console.print(f"ok: {how_many(len(judged), 'limit')} on growth kept")


def _table(console: Console, texts: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a table of what `texts` are, of which the last is a measure, and of numbers."""
    from rich.markup import escape

    (first, *other), numbers = texts, ("A", "B", "change", SHARE)
    names, *cells = zip(*rows, strict=True)
    columns = [
        Column(name=name, cells=column)
        for name, column in zip((*other, *numbers), cells, strict=True)
    ]
    named = [first, *names]
    shown, fitted = beside_names(columns, named, console.width, drop=DROPPED)
    if other:
        named = fitted  # measures are broken between words instead
    table = plain_table()
    table.add_column(named[0], overflow="fold")
    for column in shown:
        is_text = column.name in other
        table.add_column(
            column.name,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold",
        )
    for row in zip(named[1:], *(column.cells for column in shown), strict=True):
        table.add_row(*map(escape, row))
    return table
