"""Several policies' prompts over the same time, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.metrics import RunRow
from ctxbudget.report.html import words
from ctxbudget.report.html.axis import TimeAxis, axis_of, last_step
from ctxbudget.report.html.colors import GREY
from ctxbudget.report.html.figures import Trace, figure, line_styles
from ctxbudget.report.html.limits import (
    LimitLine,
    far_words,
    is_near,
    limit_names,
    limit_trace,
)
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.report.html.thinning import MOST_LINE_POINTS, chosen, thinned
from ctxbudget.report.timeline import Timeline

HEIGHT_PX: Final = 440


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLine:
    """A policy's prompt over time."""

    name: str
    timeline: Timeline


def lines_chart(runs: Sequence[PolicyLine], run: RunRow, table: Table) -> Chart:
    """Return the chart of all policies' prompts.

    Args:
        runs: the policies.
        run: whose budget is drawn; it is the same for all.
        table: the numbers of each policy.
    """
    axis = axis_of([one.timeline for one in runs])
    notes, traces, longest_line = list[str](), [], 0
    styles = line_styles([one.name for one in runs])
    for one, style in zip(runs, styles, strict=True):
        places = thinned(one.timeline.totals, MOST_LINE_POINTS)
        longest_line = max(longest_line, len(one.timeline.totals))
        traces.append(_trace(one, axis, places, style))
    if longest_line > MOST_LINE_POINTS:
        notes.append(
            f"Of each line at most {MOST_LINE_POINTS:,} points are drawn, of up to "
            f"{longest_line:,}: of each stretch its lowest and its highest."
        )
    longest = max(runs, key=lambda one: last_step(one.timeline)).timeline
    top = max([1, *(max(one.timeline.totals, default=0) for one in runs)])
    budget = LimitLine(name="budget", tokens=run.budget_tokens, color=GREY, dash="longdashdot")
    labels: list[Any] = []
    if is_near(budget, top):
        (end,) = axis.of(longest, [last_step(longest)])
        traces.append(limit_trace(budget, end))
        top = max(top, budget.tokens)
        labels = list(limit_names([budget], top * 1.08))
    else:
        notes.append(far_words([budget]))
    chart = figure(
        traces,
        HEIGHT_PX,
        right_px=120 if labels else 24,
        xaxis=axis.layout(longest),
        yaxis={
            "title": {"text": "tokens in the prompt"},
            "range": [0, top * 1.08],
            "tickformat": ",",
        },
        annotations=labels,
        hoverdistance=24,
    )
    return Chart(
        figure=chart,
        says=f"The prompt over time under {words.times(len(runs), 'policy', 'policies')}",
        caption=" ".join(notes),
        tables=[table],
    )


def _trace(
    one: PolicyLine, axis: TimeAxis, places: Sequence[int], style: tuple[str, str, str]
) -> Trace:
    color, dash, _ = style
    where = "call" if axis.is_in_calls else "step"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": words.name(one.name),
        "x": axis.of(one.timeline, chosen(one.timeline.steps, places)),
        "y": chosen(one.timeline.totals, places),
        "line": {"color": color, "dash": dash, "width": 2, "shape": "hv"},
        "hovertemplate": (
            f"Under {words.name(one.name)} the prompt holds %{{y:,}} tokens{words.BREAK}"
            f"at {where} %{{x:,.1f}}<extra></extra>"
        ),
    }
