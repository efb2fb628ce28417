"""A bill of recorded sessions as a table for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from ctxbudget.recorded.bill import Bill, Family, Sums, Thread, families, holding_half
from ctxbudget.report.bill_json import ordered_groups
from ctxbudget.report.plain import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 150
"""From this width on, tokens are written out; below, in thousands and millions."""

NARROW = 110
"""Below this width, all input stands in one column."""

NAMED = 5
"""So many of the sessions that hold half of the cost are named; JSON has all."""


def print_bill(console: Console, bill: Bill, price_date: str) -> None:
    """Print the table, the total, who holds half of the cost, and how new the prices are."""
    by_cost = families(bill.threads)
    columns = _columns(console.width)
    table = _table(bill.by, columns)
    if bill.by == "session":
        root = _shared_folder(bill)
        for family in by_cost:
            for thread in family.threads:
                is_below = thread is not family.threads[0]
                _add(table, _name(thread, root, is_below=is_below), thread.sums, columns)
    else:
        for name, sums in ordered_groups(bill):
            _add(table, _text(name), sums, columns)
    table.add_section()
    _add(table, f"[bold]total[/] {_counted(bill)}", bill.total, columns)
    console.print(table)
    half = holding_half(by_cost)
    if half and len(by_cost) > 1:
        console.print(_half_line(half, len(by_cost), _shared_folder(bill)))
    console.print(f"[dim]prices: {_text(price_date)}; days and ranges are in UTC[/]")


Columns: TypeAlias = "Sequence[tuple[str, Callable[[Sums], str]]]"


def _columns(width: int) -> Columns:
    """Return the columns that fit, and how each is read off sums."""

    def tokens(name: str) -> Callable[[Sums], str]:
        return lambda sums: _tokens(getattr(sums, name), is_wide=width >= WIDE)

    inputs = (
        ("uncached", tokens("uncached_input_tokens")),
        ("read", tokens("cache_read_tokens")),
        ("write 5m", tokens("cache_write_5m_tokens")),
        ("write 1h", tokens("cache_write_1h_tokens")),
    )
    return (
        ("calls", lambda sums: f"{sums.calls:,}"),
        *(inputs if width >= NARROW else (("sent", tokens("sent_tokens")),)),
        ("output", tokens("output_tokens")),
        ("USD", _usd),
        ("USD/M sent", lambda sums: _per_million(sums.usd_per_million_sent)),
        ("% read", lambda sums: _share(sums.cache_read_frac)),
        ("peak", tokens("peak_prompt_tokens")),
    )


def _table(by: str, columns: Columns) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(by, overflow="fold", ratio=1, min_width=16)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, name: str, sums: Sums, columns: Columns) -> None:
    table.add_row(name, *(read(sums) for _, read in columns))


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
        return f"  └ {_text(thread.agent or thread.name)}"
    name = thread.name.removeprefix(root)
    return _text(f"{name} ({thread.agent})" if thread.agent and not thread.file.has_main else name)


def _counted(bill: Bill) -> str:
    files = len({id(thread.file) for thread in bill.threads})
    return f"of {files:,} {'file' if files == 1 else 'files'}"


def _half_line(half: list[Family], sessions: int, root: str) -> str:
    held = sum((one.cost_usd for one in half), Decimal(0))
    names = ", ".join(
        f"{_text(one.threads[0].name.removeprefix(root))} ({one.cost_usd:,.2f})"
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


def _text(text: str) -> str:
    from rich.markup import escape

    return escape(one_line(text))
