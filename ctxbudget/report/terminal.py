"""Metrics as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ctxbudget.core.types import Level
from ctxbudget.metrics import EventRow, Metrics, PhaseRow, RunRow, WaveRow
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.report.money import by_model, cost_notes, share_cell, usd_cell
from ctxbudget.report.narrow import BETWEEN, Column, beside_names, fitting, width_of
from ctxbudget.report.tables import plain_table

STYLES = {
    Level.WARN: "yellow",
    Level.CRITICAL: "bold red",
    Level.OVERFLOW: "bold red",
    Level.OVERRUN: "magenta",
}
BAR_CELLS = 13

ENOUGH_NAME, ENOUGH_EVENTS = 28, 18
"""Columns of the terminal for names and for events, before what can be worked out is shown."""

LEAST_EVENTS = 12
"""Columns of the terminal that events never need more of: their words stand below each other."""


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
    """A column of the phase table, beside the phases' names."""

    title: str
    cell: Callable[[PhaseRow, RunRow], str]
    foot: Callable[[RunRow], str] = lambda run: ""
    wave: Callable[[PhaseRow, WaveRow], str] = lambda row, wave: ""
    is_text: bool = False
    is_money: bool = False
    """Shown only if the run has prices."""


EVENTS, BAR = "events", "█ left ░ peak"

COLUMNS = (
    _Column(
        "allocated",
        lambda row, run: _n(row.allocated_tokens),
        lambda run: _n(run.planned_tokens),
    ),
    _Column("kept", lambda row, run: _kept(row)),
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
    _Column(BAR, lambda row, run: _bar(row, run), is_text=True),
    _Column("pruned", lambda row, run: _n(row.pruned_tokens), lambda run: _n(run.pruned_tokens)),
    _Column("sent", lambda row, run: _n(row.sent_tokens), lambda run: _n(run.sent_tokens)),
    _Column(
        "USD",
        lambda row, run: usd_cell(row.cost_usd),
        lambda run: usd_cell(run.cost_usd),
        is_money=True,
    ),
    _Column(EVENTS, lambda row, run: _events(row.events), is_text=True),
)

WORKED_OUT = ("kept", BAR)
"""Columns of phases that stand elsewhere too: they go before events are broken into lines."""

DROPPED = ("sent", "allocated", "pruned", "residual", EVENTS, "USD", "of budget")
"""What else gives way on a narrow terminal, in this order; JSON has all."""


def _phase_table(metrics: Metrics, width: int) -> Table:
    run = metrics.run
    columns = [column for column in COLUMNS if metrics.is_priced or not column.is_money]
    rows = list(_phase_rows(metrics, columns))
    parts = [
        _Part(
            title=column.title,
            cells=tuple(cells[place] for _, _, cells in rows),
            foot=column.foot(run),
            is_text=column.is_text,
        )
        for place, column in enumerate(columns)
    ]
    names = ["phase", *(name for name, _, _ in rows)]
    shown, fitted = _beside(parts, names, width, worked_out=WORKED_OUT, drop=DROPPED)
    named = [
        f"[dim]{escape(name)}[/]" if is_wave else escape(name)
        for name, (_, is_wave, _) in zip(fitted[1:], rows, strict=True)
    ]
    table = plain_table(caption=_caption({part.title for part in shown}), show_footer=True)
    table.add_column(fitted[0], "run", overflow="fold")
    _fill(table, shown, named, width - BETWEEN - _longest(fitted))
    return table


def _phase_rows(
    metrics: Metrics, columns: Sequence[_Column]
) -> Iterator[tuple[str, bool, list[str]]]:
    """Yield each row's name, whether it is a wave's, and its cells."""
    for row in metrics.phases:
        for wave in row.waves if len(row.waves) > 1 else []:
            yield f"{row.id} wave {wave.wave}", True, [one.wave(row, wave) for one in columns]
        yield row.id, False, [one.cell(row, metrics.run) for one in columns]


def _caption(titles: set[str]) -> str:
    sent = ", sent counts all threads" if "sent" in titles else ""
    bar = " A full bar is the window, or the highest peak." if BAR in titles else ""
    return f"Tokens. Occupancy is the main thread's{sent}.{bar}"


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
    group: str = ""
    """As in `_Part`."""
    is_money: bool = False


SENT_OF_NONE, USD_OF_NONE = "sent of none", "USD of none"

COMPARED = (
    _Compared("peak", lambda run, none: _n(run.peak_tokens)),
    _Compared("of budget", lambda run, none: _share(run.peak_tokens, run.budget_tokens)),
    _Compared("residual", lambda run, none: _n(run.residual_tokens)),
    _Compared("pruned", lambda run, none: _n(run.pruned_tokens)),
    _Compared("sent", lambda run, none: _n(run.sent_tokens)),
    _Compared(
        "of none",
        lambda run, none: _share(run.sent_tokens, none.sent_tokens) if none else "",
        SENT_OF_NONE,
    ),
    _Compared("cache read", lambda run, none: _share(run.cache.cache_read_tokens, run.sent_tokens)),
    _Compared("USD", lambda run, none: usd_cell(run.cost_usd), is_money=True),
    _Compared(
        "of none",
        lambda run, none: share_cell(run.cost_usd, none.cost_usd) if none else "",
        USD_OF_NONE,
        is_money=True,
    ),
    _Compared(EVENTS, lambda run, none: _counts(run.events)),
)

COMPARED_WORKED_OUT = ("cache read", "pruned", "residual")

COMPARED_DROPPED = ("of budget", EVENTS, SENT_OF_NONE, USD_OF_NONE, "sent", "USD")
"""Both as for the phases."""


def _comparison(runs: Sequence[tuple[str, Metrics]], none: Metrics | None, width: int) -> Table:
    is_priced = any(metrics.is_priced for _, metrics in runs)
    of_none = none.run if none else None
    parts = [
        _Part(
            title=column.title,
            cells=tuple(column.cell(metrics.run, of_none) for _, metrics in runs),
            group=column.group,
            is_text=column.title == EVENTS,
        )
        for column in COMPARED
        if is_priced or not column.is_money
    ]
    names = ["policy", *(name for name, _ in runs)]
    shown, fitted = _beside(
        parts, names, width, worked_out=COMPARED_WORKED_OUT, drop=COMPARED_DROPPED
    )
    table = plain_table(
        title="The same run under each policy",
        caption=_compared_caption({part.key for part in shown}, is_priced=is_priced),
    )
    table.add_column(fitted[0], overflow="fold")
    _fill(table, shown, list(map(escape, fitted[1:])), width - BETWEEN - _longest(fitted))
    return table


def _compared_caption(keys: set[str], *, is_priced: bool) -> str:
    said = []
    if keys & {SENT_OF_NONE, USD_OF_NONE}:
        compared = "against" if is_priced else "sent against"
        said.append(f"Of none: {compared} the same run under none.")
    if "cache read" in keys:
        said.append("Cache read: the part of sent that a prompt cache would have served.")
    return " ".join(said)


def _counts(events: Sequence[EventRow]) -> str:
    counts = {level: sum(event.level == level for event in events) for level in Level}
    return ", ".join(f"[{STYLES[level]}]{n} {level}[/]" for level, n in counts.items() if n)


def _n(tokens: int) -> str:
    return f"{tokens:,}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


# ---- tables as wide as the terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A column beside names; its texts are markup."""

    title: str
    cells: tuple[str, ...]
    foot: str = ""
    group: str = ""
    """What tells it from another of its title."""
    is_text: bool = False

    @property
    def key(self) -> str:
        return self.group or self.title

    def measured(self, *, is_roomy: bool) -> Column:
        """Return what it takes; events need less where they may be broken into lines."""
        texts = [Text.from_markup(text, emoji=False).plain for text in (*self.cells, self.foot)]
        if self.title == EVENTS and is_roomy:
            texts = [text[:ENOUGH_EVENTS] for text in texts]
        elif self.title == EVENTS:
            texts = [word[:LEAST_EVENTS] for text in texts for word in text.split()]
        return Column(name=self.title, cells=tuple(texts), group=self.group)


def _beside(
    parts: Sequence[_Part],
    names: Sequence[str],
    width: int,
    *,
    worked_out: Sequence[str],
    drop: Sequence[str],
) -> tuple[list[_Part], list[str]]:
    """Return the columns that fit beside names, and those as they fit there, their head first."""
    roomy = [part.measured(is_roomy=True) for part in parts]
    room = width - BETWEEN - min(ENOUGH_NAME, _longest(names))
    columns = fitting(roomy, room, drop=worked_out)
    if width_of(columns) > room:
        columns = [part.measured(is_roomy=False) for part in parts if part.key not in worked_out]
    columns, fitted = beside_names(columns, names, width, drop=drop)
    keys = {column.key for column in columns}
    return [part for part in parts if part.key in keys], fitted


def _fill(table: Table, parts: Sequence[_Part], names: Sequence[str], room: int) -> None:
    """Add columns and rows to a table that has its column of names; `room` is what that leaves."""
    numbers = width_of(part.measured(is_roomy=True) for part in parts if part.title != EVENTS)
    for part in parts:
        if part.title == EVENTS:
            most = max(1, room - numbers - BETWEEN)
            table.add_column(part.title, overflow="fold", max_width=most)
            continue
        justify: Literal["left", "right"] = "left" if part.is_text else "right"
        table.add_column(part.title, part.foot, justify=justify, no_wrap=True)
    for name, *cells in zip(names, *(part.cells for part in parts), strict=True):
        table.add_row(name, *cells)


def _longest(names: Sequence[str]) -> int:
    """Return the length of the longest line of names."""
    return max(len(line) for name in names for line in name.splitlines())
