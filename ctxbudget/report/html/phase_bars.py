"""Each phase's grant against what it kept, and how high the prompt stood in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ctxbudget.metrics import Metrics, PhaseRow
from ctxbudget.report.html import words
from ctxbudget.report.html.colors import BLACK, BLUE, ORANGE
from ctxbudget.report.html.figures import Trace, figure, lying_axis, patterned, rows_height_px
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.report.html.thinning import largest, said

MOST_PHASES: Final = 40
"""Of more, those that peak highest are drawn; the table has all."""

OFFSET: Final = 0.2


def phase_chart(metrics: Metrics) -> Chart:
    """Return the chart of a run's phases."""
    rows = largest(metrics.phases, [row.peak_tokens for row in metrics.phases], MOST_PHASES)
    names = [words.name(row.id if len(row.id) > 2 else f"phase {row.id}") for row in rows]
    traces = [
        _bars("allocated", BLUE, "/", [row.allocated_tokens for row in rows], -OFFSET, rows),
        _bars("kept", ORANGE, "", [row.kept_tokens for row in rows], OFFSET, rows),
        _peaks(rows),
    ]
    chart = figure(
        traces,
        rows_height_px(len(rows), per_row=42),
        barmode="overlay",
        bargap=0,
        xaxis={"title": {"text": "tokens"}, "tickformat": ",", "rangemode": "tozero"},
        yaxis=lying_axis(names),
    )
    caption = (
        "Kept: what the prompt of the main thread gained from the phase's start to its end; a grant "
        "limits that. Peak: the highest occupancy while the phase ran, with all that stood there "
        f"before. {said(len(rows), len(metrics.phases), 'phases')}"
    )
    return Chart(
        figure=chart,
        says="Bars of tokens allocated and kept, and the peak, for each phase",
        caption=caption.strip(),
        tables=[_table(metrics)],
    )


def _bars(
    name: str,
    color: str,
    pattern: str,
    tokens: Sequence[int],
    offset: float,
    rows: Sequence[PhaseRow],
) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": list(tokens),
        "y": [place + offset for place in range(len(rows))],
        "width": 2 * OFFSET - 0.04,
        "hoverinfo": "text",
        "hovertext": [_words(row) for row in rows],
        "marker": patterned(color, pattern),
    }


def _peaks(rows: Sequence[PhaseRow]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "peak of the prompt",
        "x": [row.peak_tokens for row in rows],
        "y": list(range(len(rows))),
        "hoverinfo": "text",
        "hovertext": [_words(row) for row in rows],
        "marker": {
            "symbol": "line-ns-open",
            "size": 24,
            "color": BLACK,
            "line": {"width": 3},
        },
    }


def _words(row: PhaseRow) -> str:
    over = f"{row.over_tokens:,} over its grant" if row.over_tokens else "within its grant"
    return words.wrapped(
        f"Phase {row.id}: allocated {row.allocated_tokens:,} tokens, kept {row.kept_tokens:,}, "
        f"{over}\npeak {row.peak_tokens:,}, at its end {row.residual_tokens:,}, pruned "
        f"{row.pruned_tokens:,}, sent {row.sent_tokens:,} in {words.times(row.calls, 'call')}"
    )


def _table(metrics: Metrics) -> Table:
    is_priced = metrics.is_priced
    rows = []
    for row in metrics.phases:
        events = [event.level for event in row.events]
        told = ", ".join(
            f"{level} ×{events.count(level)}" if events.count(level) > 1 else str(level)
            for level in dict.fromkeys(events)
        )
        cost = (words.usd_cell(row.cost_usd),) if is_priced else ()
        rows.append(
            (
                row.id,
                words.tokens(row.allocated_tokens),
                words.tokens(row.kept_tokens),
                words.tokens(row.over_tokens),
                words.tokens(row.peak_tokens),
                words.share(row.peak_tokens, metrics.run.budget_tokens),
                words.tokens(row.residual_tokens),
                words.tokens(row.pruned_tokens),
                words.tokens(row.sent_tokens),
                f"{row.calls:,}",
                *cost,
                told or "–",
            )
        )
    head = (
        "phase",
        "allocated",
        "kept",
        "over",
        "peak",
        "of budget",
        "residual",
        "pruned",
        "sent",
        "calls",
        *(("USD",) if is_priced else ()),
        "levels told",
    )
    return Table(
        head=head,
        rows=rows,
        texts=frozenset({0, len(head) - 1}),
        note="Tokens. Occupancy is the main thread's, sent and calls count all threads.",
    )
