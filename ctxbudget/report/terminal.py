"""Metrics as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.core.types import Level
from ctxbudget.metrics import EventRow, Metrics, PhaseRow, RunRow, WaveRow
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.report.money import by_model, cost_notes, share_cell, usd_cell

STYLES = {
    Level.WARN: "yellow",
    Level.CRITICAL: "bold red",
    Level.OVERFLOW: "bold red",
    Level.OVERRUN: "magenta",
}
BAR_CELLS = 13
WIDE = 96
"""From this width on everything is shown; below, what can be worked out is left out."""

NARROW = 50

COST_CELLS = 9
"""What a column of costs takes of the width; other columns make room for it."""


def print_simulation(
    console: Console,
    runs: Sequence[tuple[str, Metrics]],
    none: Metrics | None,
    notes: Sequence[str],
    price_date: str | None = None,
) -> None:
    """Print the first run phase by phase, what went over, and the policies side by side.

    Costs are part of it if the run has prices; `price_date` says how new they are.
    """
    policy, first = runs[0]
    _print_head(console, policy, first, [*notes, *cost_notes(first, price_date)])
    console.print(_phase_table(first, console.width))
    if models := by_model(first):
        console.print(escape(models))
    for finding in diagnose(first):
        console.print(f"[yellow]![/] {escape(str(finding))}")
    compared = list(runs)
    if none is not None and all(name != "none" for name, _ in runs):
        compared.append(("none", none))
    if len(compared) > 1:
        console.print()
        console.print(_comparison(compared, none, console.width))


def _print_head(console: Console, policy: str, metrics: Metrics, notes: Sequence[str]) -> None:
    run = metrics.run
    console.print(f"[bold]{escape(metrics.workflow)}[/] under policy [bold]{escape(policy)}[/]")
    console.print(
        f"window {run.window_tokens:,}, reserve {run.reserve_tokens:,}, budget "
        f"{run.budget_tokens:,} ({_share(run.budget_tokens, run.window_tokens)} of window), "
        f"warn above {run.warn_tokens:,}, critical above {run.critical_tokens:,} tokens; "
        f"allocator {escape(metrics.allocator)}, {run.planned_tokens:,} planned"
    )
    for note in notes:
        console.print(f"[dim]{escape(note)}[/]")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the phase table; on a terminal narrower than `from_width` it is left out."""

    title: str
    cell: Callable[[PhaseRow, RunRow], str]
    foot: Callable[[RunRow], str] = lambda run: ""
    wave: Callable[[PhaseRow, WaveRow], str] = lambda row, wave: ""
    from_width: int = 0
    is_text: bool = False
    is_money: bool = False
    """Shown only if the run has prices."""


COLUMNS = (
    _Column(
        "phase",
        lambda row, run: escape(row.id),
        lambda run: "run",
        lambda row, wave: f"[dim]{escape(row.id)} wave {wave.wave}[/]",
        is_text=True,
    ),
    _Column(
        "allocated",
        lambda row, run: _n(row.allocated_tokens),
        lambda run: _n(run.planned_tokens),
        from_width=70,
    ),
    _Column("kept", lambda row, run: _kept(row), from_width=108),
    _Column("peak", lambda row, run: _n(row.peak_tokens), lambda run: _n(run.peak_tokens)),
    _Column(
        "of budget",
        lambda row, run: _share(row.peak_tokens, run.budget_tokens),
        lambda run: _share(run.peak_tokens, run.budget_tokens),
    ),
    _Column(
        "residual",
        lambda row, run: _n(row.residual_tokens),
        lambda run: _n(run.residual_tokens),
        lambda row, wave: f"[dim]{_n(wave.residual_tokens)}[/]",
    ),
    _Column("█ left ░ peak", lambda row, run: _bar(row, run), from_width=96, is_text=True),
    _Column("pruned", lambda row, run: _n(row.pruned_tokens), lambda run: _n(run.pruned_tokens)),
    _Column(
        "sent",
        lambda row, run: _n(row.sent_tokens),
        lambda run: _n(run.sent_tokens),
        from_width=80,
    ),
    _Column(
        "USD",
        lambda row, run: usd_cell(row.cost_usd),
        lambda run: usd_cell(run.cost_usd),
        is_money=True,
    ),
    _Column("events", lambda row, run: _events(row.events), is_text=True),
)


def _phase_table(metrics: Metrics, width: int) -> Table:
    room = width - COST_CELLS if metrics.is_priced else width
    columns = [
        column
        for column in COLUMNS
        if room >= column.from_width and (metrics.is_priced or not column.is_money)
    ]
    table = _table(caption=_caption(room), show_footer=True)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column.is_text else "right"
        table.add_column(column.title, column.foot(metrics.run), justify=justify)
    for row in metrics.phases:
        waves = row.waves if len(row.waves) > 1 else []
        for wave in waves:
            table.add_row(*(column.wave(row, wave) for column in columns))
        table.add_row(*(column.cell(row, metrics.run) for column in columns))
    return table


def _table(**options: Any) -> Table:
    """Return a table without vertical lines, so that narrow terminals show more."""
    return Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        **options,
    )


def _caption(width: int) -> str:
    bar = " A full bar is the window, or the highest peak." if width >= WIDE else ""
    return f"Tokens. Occupancy is the main thread's, sent counts all threads.{bar}"


def _kept(row: PhaseRow) -> str:
    kept = _n(row.kept_tokens)
    return f"[magenta]{kept}[/]" if row.over_tokens else kept


def _events(events: Sequence[EventRow]) -> str:
    """Return the levels told in a phase, each once, with how often and where."""
    found: dict[tuple[str, str], int] = {}
    for event in events:
        scope = "" if event.scope == "run" or event.level == Level.OVERRUN else event.scope
        found[event.level, scope] = found.get((event.level, scope), 0) + 1
    words = []
    for (level, scope), times in found.items():
        text = level + (f" ×{times}" if times > 1 else "") + (f" in {scope}" if scope else "")
        words.append(f"[{STYLES[Level(level)]}]{escape(text)}[/]")
    return ", ".join(words)


def _bar(row: PhaseRow, run: RunRow) -> str:
    full = max(run.window_tokens, run.peak_tokens, 1)
    solid = round(BAR_CELLS * row.residual_tokens / full)
    shade = round(BAR_CELLS * row.peak_tokens / full) - solid
    return "█" * solid + "░" * max(0, shade)


@dataclass(frozen=True, slots=True)
class _Compared:
    """A column of the comparison, from a run and the same run under `none`."""

    title: str
    cell: Callable[[RunRow, RunRow | None], str]
    from_width: int = 0
    is_money: bool = False


COMPARED = (
    _Compared("peak", lambda run, none: _n(run.peak_tokens)),
    _Compared("of budget", lambda run, none: _share(run.peak_tokens, run.budget_tokens), NARROW),
    _Compared("residual", lambda run, none: _n(run.residual_tokens), WIDE),
    _Compared("pruned", lambda run, none: _n(run.pruned_tokens), WIDE),
    _Compared("sent", lambda run, none: _n(run.sent_tokens)),
    _Compared(
        "of none",
        lambda run, none: _share(run.sent_tokens, none.sent_tokens) if none else "",
        NARROW,
    ),
    _Compared(
        "cache read", lambda run, none: _share(run.cache.cache_read_tokens, run.sent_tokens), WIDE
    ),
    _Compared("USD", lambda run, none: usd_cell(run.cost_usd), is_money=True),
    _Compared(
        "of none",
        lambda run, none: share_cell(run.cost_usd, none.cost_usd) if none else "",
        is_money=True,
    ),
)


def _comparison(runs: Sequence[tuple[str, Metrics]], none: Metrics | None, width: int) -> Table:
    is_priced = any(metrics.is_priced for _, metrics in runs)
    room = width - 2 * COST_CELLS if is_priced else width
    columns = [
        column
        for column in COMPARED
        if room >= column.from_width and (is_priced or not column.is_money)
    ]
    compared = "against" if is_priced else "sent against"
    caption = f"Of none: {compared} the same run under none."
    if room >= WIDE:
        caption += " Cache read: the part of sent that a prompt cache would have served."
    table = _table(title="The same run under each policy", caption=caption)
    table.add_column("policy", overflow="fold", min_width=10)
    for column in columns:
        table.add_column(column.title, justify="right")
    table.add_column("events")
    for name, metrics in runs:
        cells = [column.cell(metrics.run, none.run if none else None) for column in columns]
        table.add_row(escape(name), *cells, _counts(metrics.run.events))
    return table


def _counts(events: Sequence[EventRow]) -> str:
    counts = {level: sum(event.level == level for event in events) for level in Level}
    return ", ".join(f"[{STYLES[level]}]{n} {level}[/]" for level, n in counts.items() if n)


def _n(tokens: int) -> str:
    return f"{tokens:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
