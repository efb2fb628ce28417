"""What a journal holds as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.core.events import RunStarted
from ctxbudget.core.types import Item, Level
from ctxbudget.history import By, breakdown
from ctxbudget.report.journal_json import asked_items, policy_name, prompts_now
from ctxbudget.report.journal_rows import JournalRows, PlanRow, ToldRow
from ctxbudget.report.money import usd_cell
from ctxbudget.report.plain import one_line
from ctxbudget.report.prompts import PromptNow
from ctxbudget.report.terminal import STYLES, print_simulation

TOP = 10
"""Rows of rent, and of plans and told events (the latest); JSON has all."""

BAR_CELLS = 24


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
    table = _table()
    table.add_column(f"of phase {_text(phase)}" if phase is not None else "holds", no_wrap=True)
    table.add_column("tokens", justify="right")
    table.add_column("share", justify="right")
    table.add_column("█ share of the prompt", no_wrap=True)
    _add_groups(table, items, prompt, "kind")
    table.add_section()
    _add_groups(table, items, prompt, "layer")
    console.print(table)


def _add_groups(table: Table, items: Sequence[Item], prompt: PromptNow, by: By) -> None:
    whole = prompt.tokens
    for name, tokens in breakdown(items, prompt.thread, by):
        bar = "█" * round(BAR_CELLS * tokens / whole) if whole else ""
        table.add_row(f"{by} {_text(name)}", f"{tokens:,}", _share(tokens, whole), bar)


def _print_rent(console: Console, rows: JournalRows, by: By) -> None:
    rents = [rent for rent in rows.history.rent(by) if rent.rent_tokens]
    if not rents:
        return
    whole = sum(rent.rent_tokens for rent in rents)
    table = _table()
    table.add_column(by, overflow="fold")
    table.add_column("token-calls", justify="right")
    table.add_column("share", justify="right")
    table.add_column("calls", justify="right")
    is_priced = rents[0].cost_usd is not None
    if is_priced:
        table.add_column("USD", justify="right")
    for rent in rents[:TOP]:
        cost = [usd_cell(rent.cost_usd)] if is_priced else []
        share = _share(rent.rent_tokens, whole)
        table.add_row(_text(rent.name), f"{rent.rent_tokens:,}", share, f"{rent.calls:,}", *cost)
    if len(rents) > TOP:
        rest = sum(rent.rent_tokens for rent in rents[TOP:])
        table.add_row(f"[dim]{len(rents) - TOP:,} more[/]", f"{rest:,}", _share(rest, whole), "")
    console.print("\n[bold]Rent[/] [dim]tokens, once for each call that sent them[/]")
    console.print(table)


def _print_plans(console: Console, plans: Sequence[PlanRow], start_at: float) -> None:
    if not plans:
        return
    gained = sum(plan.gained_tokens for plan in plans if plan.undone_at is None)
    console.print(_heading("Plans", len(plans)) + f" [dim]gained {gained:,} tokens in all[/]")
    table = _table()
    table.add_column("plan", justify="right")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("gained", justify="right")
    table.add_column("did", overflow="fold")
    table.add_column("where", overflow="fold")
    table.add_column("rule and reason", overflow="fold", ratio=1)
    for plan in plans[-TOP:]:
        did = ", ".join(f"{do} {items}" for do, items in plan.operations.items())
        undone = (
            "" if plan.undone_at is None else f" [magenta]undone[/] {_s(plan.undone_at - start_at)}"
        )
        where = plan.thread if plan.phase is None else f"{plan.thread}, phase {plan.phase}"
        table.add_row(
            str(plan.plan),
            _s(plan.at - start_at),
            f"{plan.gained_tokens:,}",
            did + undone,
            _text(where),
            f"{_text(plan.rule)}: [dim]{_text(plan.reason)}[/]",
        )
    console.print(table)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _text(text: str) -> str:
    return escape(one_line(text))


def _s(seconds: float) -> str:
    return f"{seconds:,.1f} s"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
