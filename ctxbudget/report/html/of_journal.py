"""The page of `ctxbudget show`: a run as its journal tells it, finished or not."""

from __future__ import annotations

from collections.abc import Sequence

from ctxbudget.core.events import RunStarted
from ctxbudget.core.types import MAIN
from ctxbudget.metrics import Metrics
from ctxbudget.report.drawn import DrawnRun
from ctxbudget.report.html import words
from ctxbudget.report.html.common import (
    calls_of,
    calls_section,
    level_counts,
    occupancy_section,
    peak_words,
    phase_section,
    present,
    rent_section,
    threads_section,
)
from ctxbudget.report.html.costs import Spent, cost_chart
from ctxbudget.report.html.page import Page, Section, Table
from ctxbudget.report.html.thinning import MOST_ROWS, said
from ctxbudget.report.journal_json import policy_name
from ctxbudget.report.journal_rows import JournalRows


def journal_page(journal: str, rows: JournalRows, start: RunStarted, drawn: DrawnRun) -> Page:
    """Return the page of a journal; of one that breaks off, as far as it goes.

    Args:
        journal: the file's name.
        rows: what the terminal shows.
        start: the run's first fact.
        drawn: the listener that heard the journal.
    """
    metrics = rows.asked()
    timeline, run = drawn.timeline, metrics.run
    timeline.settle()
    thread = timeline.thread
    peaks = f"The prompt peaks at {peak_words(metrics)}"
    if thread != MAIN:
        peaks = f"The prompt of {thread} peaks at {words.tokens(max([0, *timeline.totals]))} tokens"
    return Page(
        kind="ctxbudget journal: a run as it was written down",
        title=f"{metrics.workflow or 'A run'} under policy {policy_name(start)}",
        about=(
            f"{journal}: {words.times(rows.events, 'event')} in {rows.last_at - start.at:,.1f} s; "
            f"window {run.window_tokens:,} tokens, budget {run.budget_tokens:,}, allocator "
            f"{metrics.allocator}."
        ),
        cards=_cards(metrics),
        notes=_notes(rows, timeline.thread),
        sections=present(
            (
                occupancy_section(timeline, run, peaks),
                phase_section(metrics) if metrics.phases else None,
                _cost_section(drawn) if metrics.is_priced and run.calls else None,
                calls_section(calls_of(timeline), f"The calls of thread {thread}.")
                if len(timeline.sent)
                else None,
                rent_section(drawn),
                threads_section(metrics),
                _plans(rows, start.at),
            )
        ),
        foot=["Occupancy and the parts of costs are by the cache model and the journal's prices."],
    )


def _notes(rows: JournalRows, thread: str) -> list[str]:
    notes = []
    if not rows.is_finished:
        where = f"in phase {rows.phase}" if rows.phase is not None else "between phases"
        notes.append(f"The run had not ended when this was read: the journal stops {where}.")
    if not rows.metrics.run.calls:
        notes.append("No call had been sent, so there are no costs and no rent to show.")
    scope = [
        f"{what} {name}"
        for what, name in (("phase", rows.scope.phase), ("thread", rows.scope.thread))
        if name is not None
    ]
    if scope:
        notes.append(
            f"Asked for: {' and '.join(scope)}. Phases, plans and levels are of that alone; the "
            f"prompt over time is that of thread {thread}, whole."
        )
    return notes


def _cards(metrics: Metrics) -> list[tuple[str, str]]:
    run = metrics.run
    of_budget = words.share(run.peak_tokens, run.budget_tokens)
    cost = [(words.short_usd(run.cost_usd), "input and summaries")] if metrics.is_priced else []
    return [
        (words.tokens(run.peak_tokens), f"peak, tokens: {of_budget} of budget"),
        *cost,
        (words.short_tokens(run.sent_tokens), f"tokens sent in {words.times(run.calls, 'call')}"),
        (
            words.share(run.cache.cache_read_tokens, run.sent_tokens),
            "of sent was read from the cache",
        ),
        (words.tokens(run.pruned_tokens), "tokens pruned"),
        (f"{len(run.events):,}", f"levels told: {level_counts(metrics)}"),
    ]


def _cost_section(drawn: DrawnRun) -> Section:
    split = drawn.costs
    spent = Spent(name="the run", split=split, output_usd=split.output_usd)
    unknown = "" if split.is_known else "Calls whose price is not known are left out."
    largest = max(
        zip(
            ("cache reads", "cache writes", "uncached input", "summaries", "output"),
            spent.amounts,
            strict=True,
        ),
        key=lambda part: part[1] or 0,
    )
    return Section(
        title=(
            f"{words.capital(largest[0])} take {words.share(largest[1], spent.whole_usd)} of "
            f"{words.short_usd(spent.whole_usd)}"
        ),
        intro=unknown,
        charts=[cost_chart([spent], "run")],
    )


def _plans(rows: JournalRows, start_at: float) -> Section | None:
    plans = list(rows.plans.values())
    if not plans and not rows.told:
        return None
    gained = sum(plan.gained_tokens for plan in plans if plan.undone_at is None)
    shown, told = plans[-MOST_ROWS:], rows.told[-MOST_ROWS:]
    latest = _latest(len(shown), len(plans))
    tables: Sequence[Table] = [
        Table(
            head=("plan", "after, s", "gained, tokens", "did", "thread", "phase", "rule", "reason"),
            rows=[
                (
                    str(plan.plan),
                    f"{plan.at - start_at:,.1f}",
                    words.tokens(plan.gained_tokens),
                    ", ".join(f"{do} {items}" for do, items in plan.operations.items())
                    + ("" if plan.undone_at is None else " (undone)"),
                    plan.thread,
                    plan.phase or "–",
                    plan.rule,
                    plan.reason,
                )
                for plan in shown
            ],
            texts=frozenset({3, 4, 5, 6, 7}),
            note=latest,
            name="Plans",
        ),
        Table(
            head=("told after, s", "what", "thread", "phase", "in words"),
            rows=[
                (f"{row.at - start_at:,.1f}", row.what, row.thread, row.phase or "–", row.message)
                for row in told
            ],
            texts=frozenset({1, 2, 3, 4}),
            note=_latest(len(told), len(rows.told)),
            name="Told",
        ),
    ]
    title = (
        f"{words.capital(words.times(len(plans), 'plan'))} gained {words.tokens(gained)} tokens; "
        f"{words.times(len(rows.told), 'thing was', 'things were')} told"
    )
    return Section(title=title, tables=tables)


def _latest(shown: int, count: int) -> str:
    return said(shown, count, "rows").replace("largest", "latest")
