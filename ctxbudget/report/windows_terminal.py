"""One long window and fresh ones side by side, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ctxbudget.fresh import Windows
from ctxbudget.report.plain import one_line
from ctxbudget.report.windows_data import PHASE_HEADS, phase_rows, sentences

if TYPE_CHECKING:
    from rich.console import Console

NARROW: Final = 84
"""Below this width the calls and what was sent are left out."""

NOT_NARROW: Final = frozenset({"calls", "sent"})


def print_windows(console: Console, found: Windows, price_date: str | None) -> None:
    """Print both ways phase by phase, and what the numbers say."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    is_narrow = console.width < NARROW
    shown = [
        place for place, head in enumerate(PHASE_HEADS) if not (is_narrow and head in NOT_NARROW)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("phase", overflow="fold")
    for way in ("long", "fresh"):
        for place in shown:
            table.add_column(f"{way}\n{PHASE_HEADS[place]}", justify="right", no_wrap=True)
    rows = list(phase_rows(found))
    for number, (name, long, fresh) in enumerate(rows, 1):
        cells = [way[place] for way in (long, fresh) for place in shown]
        is_last_phase = number == len(rows) - 1
        table.add_row(escape(one_line(name)), *cells, end_section=is_last_phase)
    console.print(
        f"{one_line(found.long.metrics.workflow)}: one long window, or a fresh one a phase",
        markup=False,
    )
    console.print(table)
    for line in sentences(found, price_date):
        console.print(one_line(line), markup=False)
