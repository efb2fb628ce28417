"""One long window and fresh ones side by side, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ctxbudget.fresh import Windows
from ctxbudget.report.narrow import Column, beside_names
from ctxbudget.report.plain import one_line
from ctxbudget.report.tables import plain_table
from ctxbudget.report.windows_words import PHASE_HEADS, phase_rows, sentences

if TYPE_CHECKING:
    from rich.console import Console

DROPPED: Final = ("calls", "sent", "USD")
"""What gives way of both ways on a narrow terminal, in this order; JSON has all."""


def print_windows(console: Console, found: Windows, price_date: str | None) -> None:
    """Print both ways phase by phase, and what the numbers say."""
    from rich.markup import escape

    names, *ways = zip(*phase_rows(found), strict=True)
    columns = [
        Column(name=f"{way}\n{head}", cells=cells, group=head)
        for way, rows in zip(("long", "fresh"), ways, strict=True)
        for head, cells in zip(PHASE_HEADS, zip(*rows, strict=True), strict=True)
    ]
    shown, named = beside_names(
        columns, ["phase", *map(one_line, names)], console.width, drop=DROPPED
    )
    table = plain_table()
    table.add_column(named[0], overflow="fold")
    for column in shown:
        table.add_column(column.name, justify="right", no_wrap=True)
    rows = zip(named[1:], *(column.cells for column in shown), strict=True)
    for number, (name, *cells) in enumerate(rows, 1):
        table.add_row(escape(name), *cells, end_section=number == len(names) - 1)
    console.print(
        f"{one_line(found.long.metrics.workflow)}: one long window, or a fresh one a phase",
        markup=False,
    )
    console.print(table)
    for line in sentences(found, price_date):
        console.print(one_line(line), markup=False)
