"""Sections that several commands' pages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ctxbudget.history import By, Rent
from ctxbudget.metrics import Metrics, RunRow
from ctxbudget.report.drawn import DrawnRun
from ctxbudget.report.html import words
from ctxbudget.report.html.calls import Calls, calls_chart
from ctxbudget.report.html.occupancy import occupancy_chart
from ctxbudget.report.html.page import Section, Table
from ctxbudget.report.html.phase_bars import phase_chart
from ctxbudget.report.html.rents import dearest, rent_chart, share_frac
from ctxbudget.report.narrow import in_middle
from ctxbudget.report.timeline import Timeline

LEAST_SHARE_FRAC: Final = 0.01
"""Where the three dearest items pay less of the rent, a chart of items shows nothing."""


def occupancy_section(timeline: Timeline, run: RunRow, title: str, intro: str = "") -> Section:
    """Return the section of a prompt over time."""
    if not timeline.totals:
        return Section(title=title, intro="Nothing came into this prompt, so there is no picture.")
    return Section(title=title, intro=intro, charts=[occupancy_chart(timeline, run)])


def peak_words(metrics: Metrics) -> str:
    """Return where a run peaks, as a heading says it."""
    run = metrics.run
    top = max(metrics.phases, key=lambda row: row.peak_tokens, default=None)
    where = "" if top is None or len(metrics.phases) < 2 else f" in phase {top.id}"
    of_budget = words.share(run.peak_tokens, run.budget_tokens)
    return f"{words.tokens(run.peak_tokens)} tokens, {of_budget} of the budget,{where}".rstrip(",")


def phase_section(metrics: Metrics) -> Section:
    """Return the section of grants against use."""
    over = [row.id for row in metrics.phases if row.over_tokens]
    if not over:
        title = "Every phase kept within its grant"
    elif len(over) > 5:
        title = f"{len(over):,} of {len(metrics.phases):,} phases kept more than they were granted"
    else:
        noun = "Phase" if len(over) == 1 else "Phases"
        title = f"{noun} {words.in_words(over)} kept more than granted"
    return Section(title=title, charts=[phase_chart(metrics)])


def calls_of(timeline: Timeline) -> Calls:
    """Return a thread's calls by what the cache did with them."""
    parts = zip(timeline.sent, timeline.read, timeline.written, strict=True)
    return Calls(
        read=timeline.read,
        written=timeline.written,
        uncached=[sent - read - written for sent, read, written in parts],
    )


def calls_section(calls: Calls, whose: str) -> Section:
    """Return the section of what the cache did."""
    sent, read = sum(calls.sent), sum(calls.read)
    title = (
        f"The cache served {words.share(read, sent)} of the {words.short_tokens(sent)} tokens sent"
    )
    return Section(title=title, intro=whose, charts=[calls_chart(calls)])


def rent_section(drawn: DrawnRun, whose: str = "") -> Section | None:
    """Return the section of who paid for being carried; None if nothing was."""
    rents = _paid(drawn, "item")
    if not rents:
        return None
    sorts: tuple[By, ...] = ("tool", "kind")
    groups = [(what, paid) for what in sorts if len(paid := _paid(drawn, what)) > 1]
    charts = [rent_chart(paid, what) for what, paid in groups]
    top = dearest(rents)[:3]
    share = share_frac(top, rents)
    if groups and share < LEAST_SHARE_FRAC:
        return Section(title=_group_title(*groups[0]), intro=whose, charts=charts)
    title = (
        f"{words.capital(words.times(len(top), 'item pays', 'items pay'))} "
        f"{words.frac(share)} of the rent: "
        f"{words.in_words(in_middle(one.name, 30) for one in top)}"
    )
    charts = [rent_chart(rents, "item", drawn.items), *charts]
    return Section(title=title, intro=whose, charts=charts)


def _paid(drawn: DrawnRun, what: By) -> list[Rent]:
    return [one for one in drawn.history.rent(what) if one.rent_tokens]


def _group_title(what: By, paid: Sequence[Rent]) -> str:
    """Return what is dearest of tools or kinds, where no item is to blame."""
    first = next(one for one in dearest(paid) if one.name != "-")
    return (
        f"{words.capital(what)} {in_middle(first.name, 30)} pays "
        f"{words.frac(share_frac([first], paid))} of the rent, the three dearest items less than "
        f"{LEAST_SHARE_FRAC:.0%}"
    )


def threads_table(metrics: Metrics) -> Table | None:
    """Return the agents' own threads; None if there are none."""
    rows = [(row.id, thread) for row in metrics.phases for thread in row.threads]
    if not rows:
        return None
    return Table(
        head=("agent's thread", "in phase", "peak", "pruned", "sent", "calls", "USD"),
        rows=[
            (
                thread.id,
                phase,
                words.tokens(thread.peak_tokens),
                words.tokens(thread.pruned_tokens),
                words.tokens(thread.sent_tokens),
                f"{thread.calls:,}",
                words.usd_cell(thread.cost_usd),
            )
            for phase, thread in rows
        ],
        texts=frozenset({0, 1}),
        note="Agents have threads of their own; the charts above are of the main one.",
    )


def threads_section(metrics: Metrics) -> Section | None:
    """Return the section of the agents' own threads; None if there are none."""
    table = threads_table(metrics)
    if table is None:
        return None
    return Section(
        title=f"{words.capital(words.times(len(table.rows), 'agent'))} worked in threads of their own",
        tables=[table],
    )


def level_counts(metrics: Metrics) -> str:
    """Return which levels were told, how often."""
    levels = [str(event.level) for event in metrics.run.events]
    counted = (f"{levels.count(level):,} {level}" for level in dict.fromkeys(levels))
    return ", ".join(counted) or "none"


def present(sections: Iterable[Section | None]) -> Sequence[Section]:
    """Return the sections that there are."""
    return [one for one in sections if one is not None]
