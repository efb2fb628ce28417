"""What a journal holds as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.core.events import RunStarted
from ctxbudget.core.types import Item, Level
from ctxbudget.history import By, Rent, breakdown
from ctxbudget.report.journal_json import asked_items, policy_name, prompts_now
from ctxbudget.report.journal_rows import JournalRows, PlanRow, ToldRow
from ctxbudget.report.money import usd_cell
from ctxbudget.report.narrow import Column, beside_names, fitting
from ctxbudget.report.plain import one_line
from ctxbudget.report.prompts import PromptNow
from ctxbudget.report.tables import plain_table
from ctxbudget.report.terminal import STYLES, print_simulation

TOP = 10
"""Rows of rent, and of plans and told events (the latest); JSON has all."""

BAR = "█ share of the prompt"
BAR_CELLS = 24

RENT_DROPPED = ("calls", "share", "USD")
PLAN_DROPPED = ("where", "after", "did", "gained")
"""What gives way on a narrow terminal, in this order; JSON has all."""

PLAN_TEXTS = {"did": 12, "where": 12, "rule and reason": 20}
"""Texts of a plan, and how many columns of the terminal they are broken into at the least."""


def print_journal(
    console: Console, journal: str, rows: JournalRows, start: RunStarted, by: By
) -> None:
    """Print what `show` found."""
    print_simulation(
        console, [(policy_name(start), rows.asked())], None, [_stands(journal, rows, start)]
    )
    _print_told(console, rows.told, start.at)
    for prompt in prompts_now(rows):
        _print_prompt(console, prompt, rows.scope.phase)
    _print_rent(console, rows, by)
    _print_plans(console, list(rows.plans.values()), start.at)


def _stands(journal: str, rows: JournalRows, start: RunStarted) -> str:
    where = "finished" if rows.is_finished else "between phases"
    if rows.phase is not None and not rows.is_finished:
        where = f"in phase {rows.phase}, so its numbers are those so far"
    named = [row.model for row in rows.metrics.models if row.model]
    models = f", model {', '.join(named)}" if named else ""
    return one_line(
        f"{journal}: {rows.events:,} events in {rows.last_at - start.at:,.1f} s{models}; {where}"
    )


def _print_told(console: Console, told: Sequence[ToldRow], start_at: float) -> None:
    if not told:
        return
    console.print(_heading("Told", len(told)))
    for row in told[-TOP:]:
        style = STYLES.get(Level(row.what), "") if row.what in set(Level) else "yellow"
        phase = f"phase {row.phase}" if row.phase is not None else "outside of phases"
        text = f"{row.at - start_at:9.1f} s  {_text(phase)}  [{style}]{row.what}[/] "
        console.print(text + _text(row.message))


def _heading(title: str, count: int) -> str:
    more = f" [dim](the latest {TOP} of {count:,})[/]" if count > TOP else ""
    return f"\n[bold]{title}[/]{more}"


def _print_prompt(console: Console, prompt: PromptNow, phase: str | None) -> None:
    scale, tokens = prompt.scale, prompt.tokens
    ended = "" if prompt.is_open else ", as its thread ended"
    console.print(f"\n[bold]Prompt of {_text(prompt.thread)}[/]{ended}")
    console.print(
        f"{tokens:,} tokens, {_share(tokens, scale.budget_tokens)} of budget, "
        f"{_share(tokens, scale.window_tokens)} of window; {len(prompt.items):,} items, "
        f"{len(prompt.evicted):,} evicted"
    )
    items = asked_items(prompt, phase)
    if not items:
        return
    kinds, layers = _groups(items, prompt, "kind"), _groups(items, prompt, "layer")
    names, held, shares, bars = zip(*kinds, *layers, strict=True)
    columns = [
        Column(name="tokens", cells=held),
        Column(name="share", cells=shares),
        Column(name=BAR, cells=bars),
    ]
    title = f"of phase {one_line(phase)}" if phase is not None else "holds"
    table = _named_table([title, *names], columns, console.width, drop=(BAR, "share"))
    table.rows[len(kinds) - 1].end_section = True
    console.print(table)


def _groups(items: Sequence[Item], prompt: PromptNow, by: By) -> list[tuple[str, str, str, str]]:
    """Return the name, tokens, share and bar of each kind or layer."""
    whole = prompt.tokens
    return [
        (
            f"{by} {one_line(name)}",
            f"{tokens:,}",
            _share(tokens, whole),
            "█" * round(BAR_CELLS * tokens / whole) if whole else "",
        )
        for name, tokens in breakdown(items, prompt.thread, by)
    ]


def _print_rent(console: Console, rows: JournalRows, by: By) -> None:
    rents = [rent for rent in rows.history.rent(by) if rent.rent_tokens]
    if not rents:
        return
    whole = sum(rent.rent_tokens for rent in rents)
    names = [by, *(one_line(rent.name) for rent in rents[:TOP])]
    cells = [_rent_cells(rent, whole) for rent in rents[:TOP]]
    if len(rents) > TOP:
        rest = sum(rent.rent_tokens for rent in rents[TOP:])
        names.append(f"{len(rents) - TOP:,} more")
        cells.append((f"{rest:,}", _share(rest, whole), "", ""))
    heads = ("token-calls", "share", "calls", "USD")
    columns = [
        Column(name=head, cells=column)
        for head, column in zip(heads, zip(*cells, strict=True), strict=True)
        if head != "USD" or rents[0].cost_usd is not None
    ]
    table = _named_table(names, columns, console.width, drop=RENT_DROPPED)
    if len(rents) > TOP:
        table.rows[-1].style = "dim"
    console.print("\n[bold]Rent[/] [dim]tokens, once for each call that sent them[/]")
    console.print(table)


def _rent_cells(rent: Rent, whole_tokens: int) -> tuple[str, str, str, str]:
    return (
        f"{rent.rent_tokens:,}",
        _share(rent.rent_tokens, whole_tokens),
        f"{rent.calls:,}",
        usd_cell(rent.cost_usd),
    )


def _named_table(
    names: Sequence[str], columns: Sequence[Column], width: int, *, drop: Sequence[str]
) -> Table:
    """Return a table of names, their head first, and the columns that fit beside them."""
    shown, fitted = beside_names(columns, names, width, drop=drop)
    table = plain_table()
    table.add_column(escape(fitted[0]), overflow="fold")
    for column in shown:
        justify: Literal["left", "right"] = "left" if column.name == BAR else "right"
        table.add_column(column.name, justify=justify, no_wrap=True)
    for name, *cells in zip(fitted[1:], *(column.cells for column in shown), strict=True):
        table.add_row(escape(name), *cells)
    return table


def _print_plans(console: Console, plans: Sequence[PlanRow], start_at: float) -> None:
    if not plans:
        return
    gained = sum(plan.gained_tokens for plan in plans if plan.undone_at is None)
    console.print(_heading("Plans", len(plans)) + f" [dim]gained {gained:,} tokens in all[/]")
    rows = [_plan_cells(plan, start_at) for plan in plans[-TOP:]]
    columns = [
        Column(name=head, cells=tuple(row[head][: PLAN_TEXTS.get(head)] for row in rows))
        for head in rows[0]
    ]
    shown = [column.name for column in fitting(columns, console.width, drop=PLAN_DROPPED)]
    table = plain_table()
    for head in shown:
        if head in PLAN_TEXTS:
            table.add_column(head, overflow="fold")
        else:
            table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[head] for head in shown))
    console.print(table)


def _plan_cells(plan: PlanRow, start_at: float) -> dict[str, str]:
    """Return a plan's texts by the names of their columns, as markup."""
    did = ", ".join(f"{do} {items}" for do, items in plan.operations.items())
    if plan.undone_at is not None:
        did += f" [magenta]undone[/] {_s(plan.undone_at - start_at)}"
    where = plan.thread if plan.phase is None else f"{plan.thread}, phase {plan.phase}"
    return {
        "plan": str(plan.plan),
        "after": _s(plan.at - start_at),
        "gained": f"{plan.gained_tokens:,}",
        "did": did,
        "where": _text(where),
        "rule and reason": f"{_text(plan.rule)}: [dim]{_text(plan.reason)}[/]",
    }


def _text(text: str) -> str:
    return escape(one_line(text))


def _s(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
