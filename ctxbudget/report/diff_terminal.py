"""A comparison of two runs as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ctxbudget.gate.comparing import Comparison, Growth
from ctxbudget.report.diff_words import change_cells, failed, name, notes
from ctxbudget.report.plain import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PHASE_ROWS: Final = 20
"""Changes of phases that are shown; JSON has all."""

NARROW: Final = 64
"""Below this width the differences stand without what they differ from."""


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
        console.print(f"ok: {len(judged)} limit{'s' if len(judged) > 1 else ''} on growth kept")


def _table(console: Console, texts: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    is_narrow = console.width < NARROW
    numbers = ("change", "") if is_narrow else ("A", "B", "change", "")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for text in texts:
        table.add_column(text, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    for row in rows:
        cells = (*row[: len(texts)], *row[-len(numbers) :])
        table.add_row(*map(escape, cells))
    return table
