"""What many runs tell, as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.core.events import RunStarted
from ctxbudget.odds.tally import (
    AgentCourse,
    Odds,
    Percentiles,
    PhaseCourse,
    PhaseOdds,
    PolicyOdds,
)
from ctxbudget.report.money import usd_cell
from ctxbudget.report.plain import one_line
from ctxbudget.report.tables import plain_table

WIDE = 90
"""From this width on everything is shown."""

MEDIUM = 76


def print_odds(
    console: Console,
    odds: Odds,
    start: RunStarted,
    *,
    seed: int,
    is_uncertain: bool,
    notes: Sequence[str],
) -> None:
    """Print how likely each level is, phase by phase, and how peak, sent and cost are spread.

    Args:
        console: where to.
        odds: of the runs.
        start: what each of them began with.
        seed: of the draws.
        is_uncertain: whether chance had a say; else all runs are alike.
        notes: what the numbers rest on.
    """
    first, scale, levels = odds.policies[0], start.scale, start.thresholds
    runs = "1 run" if odds.runs == 1 else f"{odds.runs:,} runs"
    console.print(
        f"[bold]{_text(start.workflow)}[/] under policy [bold]{_text(first.policy)}[/], "
        f"{runs}, seed {seed}"
    )
    console.print(
        f"window {scale.window_tokens:,}, reserve {scale.reserve_tokens:,}, budget "
        f"{scale.budget_tokens:,}, warn above {levels.warn.resolve_tokens(scale):,}, critical above "
        f"{levels.critical.resolve_tokens(scale):,} tokens"
    )
    for note in (_sureness(odds, is_uncertain=is_uncertain), *notes):
        console.print(f"[dim]{escape(note)}[/]")
    console.print(_phase_table(first, odds.runs, console.width))
    console.print(_spread_table(first))
    for line in (*_troubles(first, odds.runs), *_courses(odds)):
        console.print(line)
    if len(odds.policies) > 1:
        console.print()
        console.print(_comparison(odds, console.width))


def _sureness(odds: Odds, *, is_uncertain: bool) -> str:
    if not is_uncertain:
        return (
            "nothing in this workflow is uncertain: all runs are alike, so one was simulated; write "
            "sizes as {median: 5000, p95: 9000} or {min: 1000, max: 4000}"
        )
    return f"probabilities are good to ±{odds.error_frac:.1%} of runs, or better (95% interval)"


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the phase table; on a terminal narrower than `from_width` it is left out."""

    title: str
    cell: Callable[[PhaseOdds, int], str]
    foot: Callable[[PolicyOdds, int], str]
    from_width: int = 0


_COLUMNS = (
    _Column(
        "ran",
        lambda row, runs: _share(row.ran_runs, runs),
        lambda one, runs: "",
        WIDE,
    ),
    _Column(
        "warn",
        lambda row, runs: _share(row.reached.warn_runs, runs),
        lambda one, runs: _share(one.reached.warn_runs, runs),
    ),
    _Column(
        "critical",
        lambda row, runs: _share(row.reached.critical_runs, runs),
        lambda one, runs: _share(one.reached.critical_runs, runs),
    ),
    _Column(
        "overflow",
        lambda row, runs: _share(row.reached.overflow_runs, runs),
        lambda one, runs: _share(one.reached.overflow_runs, runs),
    ),
    _Column(
        "peak p50",
        lambda row, runs: _tokens(row.peak_tokens, "p50"),
        lambda one, runs: _tokens(one.peak_tokens, "p50"),
    ),
    _Column(
        "p95",
        lambda row, runs: _tokens(row.peak_tokens, "p95"),
        lambda one, runs: _tokens(one.peak_tokens, "p95"),
    ),
    _Column(
        "max",
        lambda row, runs: _tokens(row.peak_tokens, "max"),
        lambda one, runs: _tokens(one.peak_tokens, "max"),
        MEDIUM,
    ),
    _Column(
        "sent p50",
        lambda row, runs: _tokens(row.sent_tokens, "p50"),
        lambda one, runs: _tokens(one.sent_tokens, "p50"),
        WIDE,
    ),
    _Column(
        "p95",
        lambda row, runs: _tokens(row.sent_tokens, "p95"),
        lambda one, runs: _tokens(one.sent_tokens, "p95"),
        WIDE,
    ),
)


def _phase_table(policy: PolicyOdds, runs: int, width: int) -> Table:
    columns = [column for column in _COLUMNS if width >= column.from_width]
    table = plain_table(
        show_footer=True,
        caption="Levels: the share of all runs. Tokens: of the runs that ran the phase.",
    )
    table.add_column("phase", "run", overflow="fold")
    for column in columns:
        foot = column.foot(policy, runs)
        table.add_column(column.title, foot, justify="right", no_wrap=True)
    for row in policy.phases:
        table.add_row(_text(row.phase), *(column.cell(row, runs) for column in columns))
    return table


def _spread_table(policy: PolicyOdds) -> Table:
    table = plain_table()
    table.add_column("the run")
    for title in ("p5", "p50", "p95", "max"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, found in (("peak", policy.peak_tokens), ("sent", policy.sent_tokens)):
        table.add_row(name, *(_tokens(found, key) for key in ("p5", "p50", "p95", "max")))
    cost = policy.cost_usd
    if cost is not None:
        table.add_row("USD", *map(usd_cell, (cost.p5, cost.p50, cost.p95, cost.max)))
    return table


def _troubles(policy: PolicyOdds, runs: int) -> Iterator[str]:
    if policy.why_stopped is not None:
        yield (
            f"[yellow]![/] {policy.stopped_runs:,} of {runs:,} runs cannot go on, they count as "
            f"overflow: {_text(policy.why_stopped)}"
        )
    worst = policy.most_to_blame
    if worst is not None:
        yield (
            f"[yellow]![/] most to blame: phase {_text(worst.phase)}, for {worst.blamed_runs:,} of "
            f"the {policy.blamed_runs:,} runs that are critical or overflow"
        )


def _courses(odds: Odds) -> Iterator[str]:
    for phase in odds.phases:
        yield f"phase {_text(phase.phase)}: {_times(phase, odds.runs)}"
    for agent in odds.agents:
        yield f"agent {_text(agent.agent)}: {_failures(agent, odds.runs)}"


def _times(phase: PhaseCourse, runs: int) -> str:
    words = {0: "skipped", 1: "once", 2: "twice"}
    return ", ".join(
        f"{words.get(times, f'{times} times')} in {_share(count, runs)}"
        for times, count in phase.runs_by_times
    )


def _failures(agent: AgentCourse, runs: int) -> str:
    return (
        f"a try fails in {_share(agent.failed_runs, runs)} of runs ({agent.failed_tries:,} tries in "
        f"all), its output is missing in {_share(agent.lost_runs, runs)}"
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """A column of the comparison; on a terminal narrower than `from_width` it is left out."""

    title: str
    cell: Callable[[PolicyOdds, int], str]
    from_width: int = 0
    is_money: bool = False


_COMPARED = (
    _Compared("warn", lambda one, runs: _share(one.reached.warn_runs, runs), MEDIUM),
    _Compared("critical", lambda one, runs: _share(one.reached.critical_runs, runs)),
    _Compared("overflow", lambda one, runs: _share(one.reached.overflow_runs, runs)),
    _Compared("peak p50", lambda one, runs: _tokens(one.peak_tokens, "p50"), WIDE),
    _Compared("peak p95", lambda one, runs: _tokens(one.peak_tokens, "p95")),
    _Compared("sent p50", lambda one, runs: _tokens(one.sent_tokens, "p50"), WIDE),
    _Compared("sent p95", lambda one, runs: _tokens(one.sent_tokens, "p95"), MEDIUM),
    _Compared("USD p50", lambda one, runs: _usd(one.cost_usd, "p50"), WIDE, is_money=True),
    _Compared("USD p95", lambda one, runs: _usd(one.cost_usd, "p95"), is_money=True),
)


def _comparison(odds: Odds, width: int) -> Table:
    is_priced = any(one.cost_usd is not None for one in odds.policies)
    columns = [
        column
        for column in _COMPARED
        if width >= column.from_width and (is_priced or not column.is_money)
    ]
    has_less = width >= MEDIUM
    less = "Sends less: the share of runs in which it sends fewer tokens than the first."
    table = plain_table(
        title="The same draws under each policy", caption=less if has_less else None
    )
    table.add_column("policy", overflow="fold", min_width=10)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    if has_less:
        table.add_column("sends less", justify="right")
    for one in odds.policies:
        cells = [column.cell(one, odds.runs) for column in columns]
        if has_less:
            is_first = one is odds.policies[0]
            cells.append("" if is_first else _share(one.sends_less_runs, odds.runs))
        table.add_row(_text(one.policy), *cells)
    return table


def _text(text: str) -> str:
    return escape(one_line(text))


def _tokens(found: Percentiles[int] | None, key: str) -> str:
    return "–" if found is None else f"{getattr(found, key):,}"


def _usd(found: Percentiles[Decimal] | None, key: str) -> str:
    return usd_cell(None if found is None else getattr(found, key))


def _share(count: int, runs: int) -> str:
    """Return a share of the runs; what happened is never 0.0%, nor is all but all 100.0%."""
    if count and count * 1000 < runs / 2:
        return "<0.1%"
    if count < runs and (runs - count) * 1000 < runs / 2:
        return ">99.9%"
    return f"{count / runs:.1%}"
