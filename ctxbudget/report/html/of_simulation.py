"""The page of `ctxbudget simulate`."""

from __future__ import annotations

from collections.abc import Sequence

from ctxbudget.config.policy_file import NONE
from ctxbudget.metrics import Metrics
from ctxbudget.report.diagnosis import diagnose
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
from ctxbudget.report.html.lines import PolicyLine, lines_chart
from ctxbudget.report.html.page import Page, Section, Table
from ctxbudget.report.money import cost_notes, share_cell


def simulated_page(
    runs: Sequence[tuple[str, Metrics]],
    none: Metrics,
    drawn: Sequence[DrawnRun],
    notes: Sequence[str],
    price_date: str | None,
) -> Page:
    """Return the page of a workflow that was simulated under some policies.

    Args:
        runs: (policy, metrics) in the order asked for; the first one is shown in full.
        none: the same run under `none`.
        drawn: the listeners of the runs, and then of `none` if that is not among them.
        notes: what the numbers rest on that the file does not say.
        price_date: how new the prices are; None without prices.
    """
    policy, first = runs[0]
    compared = list(runs) if any(name == NONE for name, _ in runs) else [*runs, (NONE, none)]
    own = drawn[0]
    own.timeline.settle()
    for one in drawn[1:]:
        one.timeline.settle()
    run = first.run
    return Page(
        kind="ctxbudget simulation: a workflow on paper, no model was called",
        title=f"{first.workflow} under policy {policy}",
        about=(
            f"Window {run.window_tokens:,} tokens, reserve {run.reserve_tokens:,}, budget "
            f"{run.budget_tokens:,} ({words.share(run.budget_tokens, run.window_tokens)} of the "
            f"window); allocator {first.allocator}, {run.planned_tokens:,} tokens planned."
        ),
        cards=_cards(first, none),
        notes=[words.capital(str(one)) for one in diagnose(first)],
        sections=present(
            (
                occupancy_section(own.timeline, run, f"The prompt peaks at {peak_words(first)}"),
                phase_section(first) if first.phases else None,
                _compared_section(compared, none, drawn),
                _cost_section(compared, drawn) if first.is_priced else None,
                calls_section(calls_of(own.timeline), f"The main thread's calls under {policy}.")
                if len(own.timeline.sent)
                else None,
                rent_section(own, f"Under {policy}, over all threads."),
                threads_section(first),
            )
        ),
        foot=[*map(words.capital, notes), *map(words.capital, cost_notes(first, price_date))],
    )


def _cards(metrics: Metrics, none: Metrics) -> list[tuple[str, str]]:
    run = metrics.run
    cost = (
        [
            (
                words.short_usd(run.cost_usd),
                f"input and summaries, {share_cell(run.cost_usd, none.run.cost_usd)} of none",
            )
        ]
        if metrics.is_priced
        else []
    )
    return [
        (
            words.tokens(run.peak_tokens),
            f"peak, tokens: {words.share(run.peak_tokens, run.budget_tokens)} of budget",
        ),
        *cost,
        (
            words.short_tokens(run.sent_tokens),
            f"tokens sent, {words.share(run.sent_tokens, none.run.sent_tokens)} of none",
        ),
        (words.tokens(run.pruned_tokens), "tokens pruned"),
        (f"{run.calls:,}", "calls of all threads"),
        (f"{len(run.events):,}", f"levels told: {level_counts(metrics)}"),
    ]


def _compared_section(
    compared: Sequence[tuple[str, Metrics]], none: Metrics, drawn: Sequence[DrawnRun]
) -> Section | None:
    if len(compared) < 2:
        return None
    lowest = min(compared, key=lambda one: one[1].run.peak_tokens)
    lines = [
        PolicyLine(name=name, timeline=one.timeline)
        for (name, _), one in zip(compared, drawn, strict=True)
    ]
    table = _compared_table(compared, none)
    return Section(
        title=(
            f"Side by side: {lowest[0]} peaks lowest, at "
            f"{words.tokens(lowest[1].run.peak_tokens)} tokens"
        ),
        charts=[lines_chart(lines, none.run, table)],
    )


def _compared_table(compared: Sequence[tuple[str, Metrics]], none: Metrics) -> Table:
    is_priced = any(metrics.is_priced for _, metrics in compared)
    head = (
        "policy",
        "peak",
        "of budget",
        "residual",
        "pruned",
        "sent",
        "of none",
        "cache read",
        *(("USD", "USD of none") if is_priced else ()),
        "levels told",
    )
    rows = []
    for name, metrics in compared:
        run = metrics.run
        amounts = (words.usd_cell(run.cost_usd), share_cell(run.cost_usd, none.run.cost_usd))
        cost = amounts if is_priced else ()
        rows.append(
            (
                name,
                words.tokens(run.peak_tokens),
                words.share(run.peak_tokens, run.budget_tokens),
                words.tokens(run.residual_tokens),
                words.tokens(run.pruned_tokens),
                words.tokens(run.sent_tokens),
                words.share(run.sent_tokens, none.run.sent_tokens),
                words.share(run.cache.cache_read_tokens, run.sent_tokens),
                *cost,
                level_counts(metrics),
            )
        )
    return Table(
        head=head,
        rows=rows,
        texts=frozenset({0, len(head) - 1}),
        note="Tokens. Of none: against the same run under none.",
    )


def _cost_section(compared: Sequence[tuple[str, Metrics]], drawn: Sequence[DrawnRun]) -> Section:
    spent = [
        Spent(name=name, split=one.costs) for (name, _), one in zip(compared, drawn, strict=True)
    ]
    first = spent[0].split
    written = first.cache_write_usd + first.uncached_usd
    return Section(
        title=(
            f"{words.share(written, spent[0].whole_usd)} of the cost pays for tokens that the cache "
            "did not hold"
        ),
        intro="Input and summaries; what the models write is not simulated.",
        charts=[cost_chart(spent)],
    )
