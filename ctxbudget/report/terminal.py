"""Metrics as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.core.types import Level
from ctxbudget.metrics import EventRow, Metrics, PhaseRow, RunRow, WaveRow
from ctxbudget.report.diagnosis import diagnose

STYLES = {
    Level.WARN: "yellow",
    Level.CRITICAL: "bold red",
    Level.OVERFLOW: "bold red",
    Level.OVERRUN: "magenta",
}
BAR_CELLS = 14
WIDE_COLUMNS = 96
"""Below this width the columns that can be worked out from others are left out."""


def print_simulation(
    console: Console,
    runs: Sequence[tuple[str, Metrics]],
    none: Metrics | None,
    notes: Sequence[str],
) -> None:
    """Print the first run phase by phase, what went over, and the policies side by side."""
    policy, first = runs[0]
    _print_head(console, policy, first, notes)
    console.print(_phase_table(first, wide=console.width >= WIDE_COLUMNS))
    for finding in diagnose(first):
        console.print(f"[yellow]![/] {escape(str(finding))}")
    compared = list(runs)
    if none is not None and all(name != "none" for name, _ in runs):
        compared.append(("none", none))
    if len(compared) > 1:
        console.print()
        console.print(_comparison(compared, none))


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


def _phase_table(metrics: Metrics, *, wide: bool) -> Table:
    run = metrics.run
    table = Table(caption=_caption(wide), caption_justify="left", show_footer=True)
    table.add_column("phase", "run", overflow="fold")
    table.add_column("allocated", _n(run.planned_tokens), justify="right")
    if wide:
        table.add_column("kept", justify="right")
    table.add_column("peak", _n(run.peak_tokens), justify="right")
    table.add_column("of budget", _share(run.peak_tokens, run.budget_tokens), justify="right")
    table.add_column("residual", _n(run.residual_tokens), justify="right")
    if wide:
        table.add_column("█ residual ░ peak", no_wrap=True)
    table.add_column("pruned", _n(run.pruned_tokens), justify="right")
    table.add_column("sent", _n(run.sent_tokens), justify="right")
    table.add_column("events", "")
    for row in metrics.phases:
        for line in _phase_lines(row, run, wide=wide):
            table.add_row(*line)
    return table


def _caption(wide: bool) -> str:
    bar = " A full bar is the window or the highest peak." if wide else ""
    return f"Tokens. Occupancy is the main thread's, sent counts all threads.{bar}"


def _phase_lines(row: PhaseRow, run: RunRow, *, wide: bool) -> list[list[str]]:
    """Return a phase's table rows: its waves, if there are several, then the phase."""
    full = max(run.window_tokens, run.peak_tokens)
    lines = [_wave_line(row, wave, wide=wide) for wave in row.waves if len(row.waves) > 1]
    kept = _n(row.kept_tokens)
    line = [escape(row.id), _n(row.allocated_tokens)]
    line += [f"[magenta]{kept}[/]" if row.over_tokens else kept] if wide else []
    line += [_n(row.peak_tokens), _share(row.peak_tokens, run.budget_tokens)]
    line += [_n(row.residual_tokens)]
    line += [_bar(row.residual_tokens, row.peak_tokens, full)] if wide else []
    line += [_n(row.pruned_tokens), _n(row.sent_tokens), _events(row.events)]
    return [*lines, line]


def _wave_line(row: PhaseRow, wave: WaveRow, *, wide: bool) -> list[str]:
    blank = [""] * (2 if wide else 1)
    label = f"[dim]{escape(row.id)} wave {wave.wave}[/]"
    after = [""] if wide else []
    return [label, *blank, "", "", f"[dim]{_n(wave.residual_tokens)}[/]", *after, "", "", ""]


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


def _bar(residual_tokens: int, peak_tokens: int, full_tokens: int) -> str:
    solid = round(BAR_CELLS * residual_tokens / full_tokens) if full_tokens else 0
    shade = round(BAR_CELLS * peak_tokens / full_tokens) - solid if full_tokens else 0
    return "█" * solid + "░" * max(0, shade)


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    value: str


def _comparison(runs: Sequence[tuple[str, Metrics]], none: Metrics | None) -> Table:
    table = Table(
        title="the same run under each policy",
        title_justify="left",
        caption="Cache read: share of sent tokens that the prompt cache would have served.",
        caption_justify="left",
    )
    table.add_column("policy", overflow="fold")
    for title in ("peak", "of budget", "residual", "pruned", "sent", "of none", "cache read"):
        table.add_column(title, justify="right")
    table.add_column("events")
    for name, metrics in runs:
        run = metrics.run
        table.add_row(
            escape(name),
            _n(run.peak_tokens),
            _share(run.peak_tokens, run.budget_tokens),
            _n(run.residual_tokens),
            _n(run.pruned_tokens),
            _n(run.sent_tokens),
            _share(run.sent_tokens, none.run.sent_tokens) if none else "",
            _share(run.cache.cache_read_tokens, run.sent_tokens),
            _counts(run.events),
        )
    return table


def _counts(events: Sequence[EventRow]) -> str:
    counts = {level: sum(event.level == level for event in events) for level in Level}
    return ", ".join(f"[{STYLES[level]}]{n} {level}[/]" for level, n in counts.items() if n)


def _n(tokens: int) -> str:
    return f"{tokens:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
