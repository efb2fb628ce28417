"""The debt of recorded sessions as tables for people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from ctxbudget.debt import LEAST_CALLS, Debt, Finding
from ctxbudget.debt.rent import ItemRent
from ctxbudget.history import Rent
from ctxbudget.report.debt_rows import (
    DebtRow,
    all_findings,
    all_input_usd,
    holding_half_of_cost,
)
from ctxbudget.report.money import share_cell, usd_cell
from ctxbudget.report.narrow import Column, fitting, in_middle
from ctxbudget.report.plain import one_line
from ctxbudget.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

EACH: Final = 10
"""Up to so many sessions are shown one by one; of more, those that hold half of the cost."""

DEAREST: Final = 5
"""Items that are named of each session; JSON has more."""

DROPPED: Final = ("tokens", "misses", "of input", "in", "count", "USD", "saves")
"""What gives way on a narrow terminal, in this order; JSON has all."""

LEGEND: Final = (
    "USD: what it cost. Saves: the input cost under none, minus that of a replay that takes the step "
    "(negative: it would have cost more). It can be more than USD, since a prompt that was made "
    "shorter stays shorter for all calls that follow. With misses: after what was missed is paid "
    "for. Each saving stands alone: they overlap, and do not add up. The recorded model is taken as "
    "it was."
)

ITEMS: Final = (
    "Items: L19 is from line 19 of the file (M19: from its message 19), L19.2 the second thing there; "
    "prefix is the hidden system prompt with the tools; unseen3 came in without being shown."
)

_HOUR_S: Final = 3600.0


def print_debt(console: Console, rows: Sequence[DebtRow]) -> None:
    """Print where the debt of sessions sits: of some of them one by one, then of all together."""
    found = [row for row in rows if row.debt is not None]
    if not found:
        console.print(
            f"No session of {LEAST_CALLS} calls or more could be replayed: there is no debt to show."
        )
        return
    chosen = found if len(found) <= EACH else holding_half_of_cost(rows)
    root = _shared_folder(rows)
    for row in chosen:
        if row.debt is not None:
            _print_session(console, row, row.debt, root)
    if len(found) > 1:
        _print_all(console, rows, len(found), len(chosen))
    findings = _ranked(all_findings(rows))
    for one in findings:
        console.print(_step(one))
    if findings:
        console.print(LEGEND)
    console.print(ITEMS)


def _print_session(console: Console, row: DebtRow, debt: Debt, root: str) -> None:
    name = _shortened(row.thread.name.removeprefix(root), console.width // 2)
    console.print(
        f"\n[bold]Debt of {name}[/], {debt.calls:,} calls, input cost {usd_cell(debt.input_usd)} USD"
    )
    for line in _rent_lines(debt, row.thread.file.project, console.width // 2):
        console.print(line)
    for line in _details(debt):
        console.print(line)
    if debt.findings:
        console.print(_table(_ranked(debt.findings), debt.input_usd, console.width))


def _rent_lines(debt: Debt, project: str | None, width: int) -> Iterator[str]:
    """Yield who paid most."""
    whole_usd, rents = debt.input_usd, debt.rents
    dearest = "; ".join(_item(one, whole_usd, project, width) for one in rents.items[:DEAREST])
    yield f"Dearest to carry: {dearest}"
    for name, group in (("kind", rents.by_kind), ("tool", rents.by_tool)):
        yield f"By {name}: {', '.join(_groups(group, whole_usd))}"


def _item(one: ItemRent, whole_usd: Decimal | None, project: str | None, width: int) -> str:
    item, rent = one.item, one.rent
    source = one_line((item.source or "").removeprefix(f"{project or ''}/"))
    what = " ".join(filter(None, (item.kind, item.tool, in_middle(source, width))))
    share = share_cell(rent.cost_usd, whole_usd)
    return (
        f"{_text(item.id)} ({_text(what)}) {item.tokens:,} tokens in {rent.calls:,} calls, {share}"
    )


def _groups(rents: Iterable[Rent], whole_usd: Decimal | None) -> Iterator[str]:
    named = [one for one in rents if one.name != "-"]
    for one in named[:DEAREST]:
        yield f"{_text(one.name)} {share_cell(one.cost_usd, whole_usd)}"


def _details(debt: Debt) -> Iterator[str]:
    """Yield what the table of findings does not say."""
    if debt.reentries:
        longest = max(one.gap_s for one in debt.reentries)
        yield (
            f"Came back to a cold cache {_times(len(debt.reentries))}; the longest gap was "
            f"{longest / _HOUR_S:,.1f} hours."
        )
    stacked = sum(one.depth > 1 for one in debt.compactions)
    if debt.compactions:
        results = sum(one.tool_result_tokens for one in debt.compactions)
        taken = sum(one.taken_tokens for one in debt.compactions)
        yield (
            f"Compacted by the host {_times(len(debt.compactions))}, {_times(stacked)} with a summary "
            f"in what was summarized; of {taken:,} tokens, {results:,} were results of tools."
        )


def _print_all(console: Console, rows: Sequence[DebtRow], sessions: int, shown: int) -> None:
    whole_usd, findings = all_input_usd(rows), _ranked(all_findings(rows))
    console.print(f"\n[bold]Debt of {sessions:,} sessions[/], input cost {usd_cell(whole_usd)} USD")
    if shown < sessions:
        console.print("Above are the sessions that hold half of the cost; --json has all.")
    if findings:
        console.print(_table(findings, whole_usd, console.width, with_sessions=True))


def _table(
    findings: Sequence[Finding],
    whole_usd: Decimal | None,
    width: int,
    *,
    with_sessions: bool = False,
) -> Table:

    table = plain_table()
    rows = [_cells(one, whole_usd, with_sessions=with_sessions) for one in findings]
    columns = [Column(name=name, cells=tuple(row[name] for row in rows)) for name in rows[0]]
    shown = fitting(columns, width, drop=DROPPED)
    for column in shown:
        justify: Literal["left", "right"] = "left" if column is columns[0] else "right"
        table.add_column(column.name, justify=justify, no_wrap=True)
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*cells)
    return table


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by falling saving once misses are paid for; those without one come last."""
    return sorted(findings, key=lambda one: (_kept_usd(one) is None, -(_kept_usd(one) or 0)))


def _kept_usd(one: Finding) -> Decimal | None:
    return None if one.saving is None else one.saving.with_misses_usd


def _name(one: Finding) -> str:
    return one.what.replace("_", " ")


def _cells(one: Finding, whole_usd: Decimal | None, *, with_sessions: bool) -> dict[str, str]:
    """Return a row's texts by the names of their columns."""
    saving = one.saving
    return {
        "found": _name(one),
        **({"in": f"{one.sessions:,}"} if with_sessions else {}),
        "count": f"{one.count:,}",
        "tokens": f"{one.tokens:,}",
        "USD": usd_cell(one.cost_usd),
        "saves": usd_cell(one.saves_usd),
        "of input": share_cell(one.saves_usd, whole_usd),
        "misses": "–" if saving is None else f"{saving.misses:,}",
        "with misses": usd_cell(_kept_usd(one)),
    }


def _step(one: Finding) -> str:
    """Return what to do and what it was replayed with, or that it would not have helped."""
    saving, kept_usd = one.saving, _kept_usd(one)
    if saving is None:
        by = one.unsaved or "not replayed"
    else:
        by = f"replayed with {saving.policy} {saving.options}".strip()
    said = f"{one.step} ({by})"
    if kept_usd is not None and kept_usd < 0:
        said = f"would not have paid here ({one.step}; {by})"
    return f"[bold]{_name(one)}[/]: {_text(said)}"


def _shared_folder(rows: Sequence[DebtRow]) -> str:
    """Return the folder that all names begin with, to be left out of them; empty for one file."""
    folders = {os.path.dirname(row.thread.file.file) for row in rows}
    if len({row.thread.file.file for row in rows}) < 2 or "" in folders:
        return ""
    try:
        return os.path.join(os.path.commonpath(folders), "")
    except ValueError:  # some are absolute
        return ""


def _times(number: int) -> str:
    return ("never", "once")[number] if number < 2 else f"{number:,} times"


def _shortened(name: str, width: int) -> str:
    return _text(in_middle(one_line(name), width))


def _text(text: str) -> str:
    from rich.markup import escape

    return escape(one_line(text))
