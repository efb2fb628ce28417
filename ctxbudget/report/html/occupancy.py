"""The prompt over time: its layers on top of each other, with all that happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ctxbudget.core.types import Layer
from ctxbudget.metrics import RunRow
from ctxbudget.report.html import words
from ctxbudget.report.html.axis import TimeAxis, axis_of, last_step, phase_at, place_words
from ctxbudget.report.html.colors import BLACK, BLUE, GREEN, GREY, ORANGE, SKY
from ctxbudget.report.html.figures import Trace, figure
from ctxbudget.report.html.limits import far_words, limit_names, limit_trace, near_and_far
from ctxbudget.report.html.marks import mark_table, mark_traces
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.report.html.thinning import MOST_POINTS, MOST_ROWS, chosen, said, thinned
from ctxbudget.report.timeline import LAYERS, Stretch, Timeline

HEIGHT_PX: Final = 520

LOOKS: Final = {
    Layer.PERMANENT: (BLUE, "", "lives for the whole run"),
    Layer.PHASE: (SKY, "/", "dies with its phase or wave"),
    Layer.METADATA: (GREEN, ".", "short stand-ins for outputs"),
    Layer.TRANSIENT: (ORANGE, "\\", "full outputs, die first"),
}
"""Colour, pattern and meaning of each layer."""

MANY: Final = 600
"""From so many points on, the line on top is thin."""

CHARS_ACROSS: Final = 92
"""So many characters stand beside each other in the chart; a phase too narrow for its name has none."""


def occupancy_chart(timeline: Timeline, run: RunRow) -> Chart:
    """Return the chart of one thread's prompt with the limits of its run."""
    axis = axis_of([timeline])
    places = thinned(timeline.totals, MOST_POINTS, _peak_places(timeline))
    top = max([1, *timeline.totals])
    (end,) = axis.of(timeline, [last_step(timeline)])
    drawn, far = near_and_far(run, top)
    ceiling = max([top, *(one.tokens for one in drawn)]) * 1.12
    marks, notes = mark_traces(timeline, axis, ceiling)
    traces = [
        *_layer_traces(timeline, axis, places),
        _total_trace(timeline, axis, places, run),
        *(limit_trace(one, end) for one in drawn),
        *marks,
        *_peak_trace(timeline, axis),
    ]
    phases = timeline.phases
    chart = figure(
        traces,
        HEIGHT_PX,
        right_px=148,
        xaxis=axis.layout(timeline),
        yaxis={"title": {"text": "tokens in the prompt"}, "range": [0, ceiling], "tickformat": ","},
        shapes=list(_bands(timeline, axis, phases)),
        annotations=[*_phase_names(timeline, axis, phases), *limit_names(drawn, ceiling)],
        hoverdistance=24,
    )
    caption = " ".join(
        filter(
            None,
            (
                f"{words.capital(_meanings(timeline))}. Each point is the highest occupancy of a step "
                "and what its decisions left.",
                said(len(places), len(timeline.totals)),
                *notes,
                far_words(far),
            ),
        )
    )
    says = (
        f"Stacked areas of the prompt's four layers, {words.times(len(timeline.totals), 'point')}; "
        f"the highest is {words.tokens(top)} tokens"
    )
    tables = (_points_table(timeline), mark_table(timeline))
    return Chart(figure=chart, says=says, caption=caption, tables=tables)


def _meanings(timeline: Timeline) -> str:
    found = [layer for layer in LAYERS if any(timeline.layers[layer])]
    return "; ".join(f"{layer.value}: {LOOKS[layer][2]}" for layer in found) or "empty"


def _peak_places(timeline: Timeline) -> list[int]:
    totals = timeline.totals
    return [max(range(len(totals)), key=totals.__getitem__)] if totals else []


# ---- what is in the prompt


def _layer_traces(timeline: Timeline, axis: TimeAxis, places: Sequence[int]) -> Iterator[Trace]:
    xs = axis.of(timeline, chosen(timeline.steps, places))
    for layer in LAYERS:
        color, pattern, _ = LOOKS[layer]
        held = timeline.layers[layer]
        if not any(held):
            continue
        yield {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "prompt",
            "name": layer.value if layer is not Layer.PHASE else "phase layer",
            "x": xs,
            "y": chosen(held, places),
            "hoverinfo": "skip",
            "line": {"width": 0.8, "color": color, "shape": "hv"},
            "fillcolor": color,
            "fillpattern": {
                "shape": pattern,
                "bgcolor": color,
                "fgcolor": "#FFFFFF",
                "fgopacity": 0.45,
                "size": 7,
                "solidity": 0.18,
            },
            "opacity": 0.9,
        }


def _total_trace(timeline: Timeline, axis: TimeAxis, places: Sequence[int], run: RunRow) -> Trace:
    """Return the line on top, which says in words what each point holds."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "whole prompt",
        "x": axis.of(timeline, chosen(timeline.steps, places)),
        "y": chosen(timeline.totals, places),
        "line": {"width": 1.6 if len(places) < MANY else 0.8, "color": BLACK, "shape": "hv"},
        "hoverinfo": "text",
        "hovertext": list(_point_words(timeline, places, run)),
    }


def _point_words(timeline: Timeline, places: Sequence[int], run: RunRow) -> Iterator[str]:
    phases, calls = timeline.phases, _calls_before(timeline, places)
    for place, call in zip(places, calls, strict=True):
        step, total = timeline.steps[place], timeline.totals[place]
        layers = ", ".join(
            f"{layer.value} {timeline.layers[layer][place]:,}"
            for layer in LAYERS
            if timeline.layers[layer][place]
        )
        where = words.capital(place_words(call, step, phase_at(phases, step)))
        of_budget = words.share(total, run.budget_tokens)
        yield words.wrapped(
            f"{where}\n{total:,} tokens, {of_budget} of budget\n{layers or 'empty'}"
        )


def _calls_before(timeline: Timeline, places: Sequence[int]) -> list[int]:
    """Return how many calls had been sent at each of some points."""
    found, sent = [], 0
    for place in places:
        while sent < len(timeline.call_steps) and timeline.call_steps[sent] < timeline.steps[place]:
            sent += 1
        found.append(sent)
    return found


def _peak_trace(timeline: Timeline, axis: TimeAxis) -> Iterator[Trace]:
    for place in _peak_places(timeline):
        step, tokens = timeline.steps[place], timeline.totals[place]
        phase = phase_at(timeline.phases, step)
        (call,) = _calls_before(timeline, [place])
        where = place_words(call, step, phase)
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": "peak",
            "x": axis.of(timeline, [step]),
            "y": [tokens],
            "cliponaxis": False,
            "hoverinfo": "text",
            "hovertext": [words.wrapped(f"The peak: {tokens:,} tokens\n{where}")],
            "marker": {
                "symbol": "star",
                "size": 15,
                "color": BLACK,
                "line": {"width": 1, "color": "rgba(255,255,255,0.85)"},
            },
        }


# ---- phases


def _bands(
    timeline: Timeline, axis: TimeAxis, phases: Sequence[Stretch]
) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(phases):
        start, end = axis.of(timeline, [one.start, one.end])
        yield {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": start,
            "x1": end,
            "y0": 0,
            "y1": 1,
            "layer": "below",
            "fillcolor": GREY,
            "opacity": 0.1 if number % 2 else 0.03,
            "line": {"width": 0},
        }


def _phase_names(
    timeline: Timeline, axis: TimeAxis, phases: Sequence[Stretch]
) -> Iterator[dict[str, Any]]:
    if len(phases) < 2:
        return
    (whole,) = axis.of(timeline, [last_step(timeline)])
    for one in phases:
        start, end = axis.of(timeline, [one.start, one.end])
        room = int(CHARS_ACROSS * (end - start) / max(whole, 1e-9))
        name = one.phase if len(one.phase) > 2 else f"phase {one.phase}"
        if room < len(name):
            name = one.phase
        if room < min(len(name), 8):
            continue
        yield {
            "xref": "x",
            "yref": "paper",
            "x": (start + end) / 2,
            "y": 0.995,
            "xanchor": "center",
            "yanchor": "top",
            "showarrow": False,
            "text": words.name(name, max(room, 4)),
            "font": {"size": 11.5, "color": GREY},
        }


# ---- numbers


def _points_table(timeline: Timeline) -> Table:
    places = thinned(timeline.totals, MOST_ROWS, _peak_places(timeline))
    phases, calls = timeline.phases, _calls_before(timeline, places)
    rows = [
        (
            phase_at(phases, timeline.steps[place]) or "–",
            f"{call:,}",
            f"{timeline.steps[place]:,g}",
            *(words.tokens(timeline.layers[layer][place]) for layer in LAYERS),
            words.tokens(timeline.totals[place]),
        )
        for place, call in zip(places, calls, strict=True)
    ]
    shown = said(len(rows), len(timeline.totals)).replace("drawn", "listed")
    return Table(
        head=(
            "in phase",
            "calls so far",
            "step",
            *(f"{layer.value} layer" for layer in LAYERS),
            "whole prompt",
        ),
        rows=rows,
        name="The prompt, point by point",
        note=f"Tokens. Half a step is what the decisions of a step left. {shown}".strip(),
    )
