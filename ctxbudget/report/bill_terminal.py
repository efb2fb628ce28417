"""A bill of recorded sessions as a table for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from ctxbudget.recorded.bill import Bill, Family, Sums, Thread, families, holding_half
from ctxbudget.report.bill_json import ordered_groups
from ctxbudget.report.narrow import BETWEEN, Column, fitting, in_middle, name_lines, width_of
from ctxbudget.report.plain import one_line
from ctxbudget.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 150
"""From this width on, tokens are written out; below, in thousands and millions."""

NARROW = 110
"""Below this width, all input stands in one column."""

LEAST_NAME, ENOUGH_NAME = 16, 28
"""Columns of the terminal for the name of a row: before the input is split by kind, and before a
number beside it is shown."""

DROPPED = ("USD/M sent", "peak", "% read", "output", "calls", "sent")
"""What gives way on a narrow terminal, in this order; JSON has all."""

NAMED = 5
"""So many of the sessions that hold half of the cost are named; JSON has all."""

_BELOW = "  └ "


def print_bill(console: Console, bill: Bill, price_date: str) -> None:
    """Print the table, the total, who holds half of the cost, and how new the prices are."""
    by_cost = families(bill.threads)
    root = _shared_folder(bill)
    rows = list(_session_rows(by_cost, root) if bill.by == "session" else _group_rows(bill))
    console.print(_table(bill, rows, console.width))
    half = holding_half(by_cost)
    if half and len(by_cost) > 1:
        console.print(_half_line(half, len(by_cost), root, console.width // 2))
    console.print(f"[dim]prices: {_text(price_date)}; days and ranges are in UTC[/]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    name: str
    sums: Sums
    is_below: bool = False

    @property
    def width(self) -> int:
        """What its name takes on one line."""
        return len(self.name) + (len(_BELOW) if self.is_below else 0)

    def shown(self, width: int) -> str:
        """Return its name, on lines that fit."""
        if not self.is_below:
            return _escaped("\n".join(name_lines(self.name, width)))
        first, *others = name_lines(self.name, max(1, width - len(_BELOW)))
        indent = " " * len(_BELOW)
        return _escaped("\n".join((_BELOW + first, *(indent + one for one in others))))


def _session_rows(by_cost: Iterable[Family], root: str) -> Iterator[_Row]:
    for family in by_cost:
        for thread in family.threads:
            is_below = thread is not family.threads[0]
            name = one_line(_name(thread, root, is_below=is_below))
            yield _Row(name=name, sums=thread.sums, is_below=is_below)


def _group_rows(bill: Bill) -> Iterator[_Row]:
    for name, sums in ordered_groups(bill):
        yield _Row(name=one_line(name), sums=sums)


def _table(bill: Bill, rows: Sequence[_Row], width: int) -> Table:

    longest = max((row.width for row in rows), default=0)
    columns = _columns([*(row.sums for row in rows), bill.total], width, longest)
    name_width = max(1, width - width_of(columns) - BETWEEN)
    table = plain_table()
    table.add_column(bill.by, overflow="fold")
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)
    cells = list(zip(*(column.cells for column in columns), strict=True))
    for row, own in zip(rows, cells, strict=False):
        table.add_row(row.shown(name_width), *own)
    table.add_section()
    table.add_row(f"[bold]total[/] {_counted(bill)}", *cells[-1])
    return table


def _columns(rows: Sequence[Sums], width: int, longest_name: int) -> list[Column]:
    """Return the columns of numbers that fit beside names."""
    if width >= NARROW:
        columns = _numbers(rows, by_kind=True, is_wide=width >= WIDE)
        if width_of(columns) <= width - LEAST_NAME - BETWEEN:
            return columns
    name_width = min(longest_name, ENOUGH_NAME) + BETWEEN
    return fitting(_numbers(rows, by_kind=False), width - name_width, drop=DROPPED)


def _numbers(rows: Sequence[Sums], *, by_kind: bool, is_wide: bool = False) -> list[Column]:
    def tokens(name: str, attribute: str) -> Column:
        return column(name, lambda sums: _tokens(getattr(sums, attribute), is_wide=is_wide))

    def column(name: str, read: Callable[[Sums], str]) -> Column:
        return Column(name=name, cells=tuple(map(read, rows)))

    inputs = (
        tokens("uncached", "uncached_input_tokens"),
        tokens("read", "cache_read_tokens"),
        tokens("write 5m", "cache_write_5m_tokens"),
        tokens("write 1h", "cache_write_1h_tokens"),
    )
    return [
        column("calls", lambda sums: f"{sums.calls:,}"),
        *(inputs if by_kind else (tokens("sent", "sent_tokens"),)),
        tokens("output", "output_tokens"),
        column("USD", _usd),
        column("USD/M sent", lambda sums: _per_million(sums.usd_per_million_sent)),
        column("% read", lambda sums: _share(sums.cache_read_frac)),
        tokens("peak", "peak_prompt_tokens"),
    ]


def _share(frac: float | None) -> str:
    return "–" if frac is None else f"{frac:.1%}"


def _tokens(tokens: int, *, is_wide: bool) -> str:
    if is_wide or tokens < 10_000:
        return f"{tokens:,}"
    if tokens < 1_000_000:
        return f"{tokens / 1e3:,.1f}k"
    return f"{tokens / 1e6:,.2f}M"


def _usd(sums: Sums) -> str:
    """Return the cost; what is known only in part has a plus behind it."""
    amount = sums.known_cost_usd
    if amount is None:
        return "unknown"
    return f"{amount:,.2f}{'+' if sums.cost_known_frac < 1 else ''}"


def _per_million(amount: Decimal | None) -> str:
    return "–" if amount is None else f"{amount:,.2f}"


def _name(thread: Thread, root: str, *, is_below: bool) -> str:
    if is_below:
        return thread.agent or thread.name
    name = thread.name.removeprefix(root)
    return f"{name} ({thread.agent})" if thread.agent and not thread.file.has_main else name


def _counted(bill: Bill) -> str:
    files = len({id(thread.file) for thread in bill.threads})
    return f"of {files:,} {'file' if files == 1 else 'files'}"


def _half_line(half: list[Family], sessions: int, root: str, width: int) -> str:
    held = sum((one.cost_usd for one in half), Decimal(0))
    names = ", ".join(
        f"{_shortened(one.threads[0].name.removeprefix(root), width)} ({one.cost_usd:,.2f})"
        for one in half[:NAMED]
    )
    more = f" and {len(half) - NAMED:,} more" if len(half) > NAMED else ""
    verb = "holds" if len(half) == 1 else "hold"
    return (
        f"{len(half):,} of {sessions:,} sessions {verb} half of the cost ({held:,.2f} USD): "
        f"{names}{more}"
    )


def _shared_folder(bill: Bill) -> str:
    """Return the folder that all names begin with, to be left out of them; empty for one file."""
    folders = {os.path.dirname(thread.file.file) for thread in bill.threads}
    if len({thread.file.file for thread in bill.threads}) < 2 or "" in folders:
        return ""
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # some are absolute
        return ""
    return shared.rstrip(os.sep) + os.sep if shared else ""


def _shortened(name: str, width: int) -> str:
    return _escaped(in_middle(one_line(name), width))


def _text(text: str) -> str:
    return _escaped(one_line(text))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
