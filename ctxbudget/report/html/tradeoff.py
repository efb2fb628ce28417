"""What each policy costs against what its prompts still held when it was needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ctxbudget.report.html import words
from ctxbudget.report.html.colors import GREY
from ctxbudget.report.html.figures import Trace, figure, line_styles
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.sweep.front import unbeaten

HEIGHT_PX: Final = 460

MARK_PX: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A policy as somebody who has to choose sees it.

    Attributes:
        cost_usd: input and summaries; None if a price is not known, and then `sent_tokens` stand
            for it.
        is_bound: nothing that could run, only something to compare with.
    """

    name: str
    cost_usd: Decimal | None
    sent_tokens: int
    recall: float | None
    quote_recall: float | None
    is_bound: bool


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other beats, by rising cost; of equal ones the first.

    A point is (cost, recall); another one beats it if it costs no more and recalls no less, and is
    better in one of the two.
    """
    places = unbeaten([(cost, -recall) for cost, recall in points])
    firsts = {points[place]: place for place in reversed(places)}
    return [firsts[point] for point in sorted(firsts)]


def tradeoff_chart(choices: Sequence[Choice], table: Table) -> Chart:
    """Return the chart: on the left by identifiers, on the right by whole lines."""
    is_priced = all(one.cost_usd is not None for one in choices)
    panels: list[tuple[str, Callable[[Choice], float | None]]] = [
        ("recall of identifiers", lambda one: one.recall),
        ("recall of quoted lines", lambda one: one.quote_recall),
    ]
    shown = [one for one in panels if any(one[1](choice) is not None for choice in choices)]
    traces: list[Trace] = []
    layout: dict[str, Any] = {}
    for number, (title, recall_of) in enumerate(shown):
        axis = "" if number == 0 else str(number + 1)
        traces += _panel(choices, recall_of, axis, is_priced=is_priced)
        width = 1 / len(shown)
        layout[f"xaxis{axis}"] = {
            "domain": [number * width + (0.06 if number else 0), (number + 1) * width - 0.02],
            "title": {"text": title},
            "tickformat": ".4~p",
            "range": _range([recall_of(choice) for choice in choices]),
            "anchor": f"y{axis}",
        }
        layout[f"yaxis{axis}"] = {
            "title": {"text": "" if number else "USD, input" if is_priced else "tokens sent"},
            "anchor": f"x{axis}",
            "rangemode": "tozero",
            "tickformat": "" if is_priced else ",",
            **({"matches": "y"} if number else {}),
        }
    chart = figure(traces, HEIGHT_PX, **layout)
    caption = (
        "Further right is better, lower is better. The dashed line joins the policies that no other "
        "beats: none is cheaper and recalls as much. Bounds could not run and only show what is "
        "possible: unbounded ignores the window, clairvoyant knows the future."
        f"{_on_one_spot(choices)}"
    )
    return Chart(
        figure=chart,
        says="Cost against recall of each policy, with those that no other policy beats joined",
        caption=caption,
        tables=[table],
    )


def _range(recalls: Sequence[float | None]) -> list[float]:
    """Return the ends of an axis of recall, with some room for the marks."""
    known = [one for one in recalls if one is not None]
    room = max(0.02, 0.1 * (max(known) - min(known)))
    return [max(-0.01, min(known) - room), max(known) + 0.2 * room]


def _on_one_spot(choices: Sequence[Choice]) -> str:
    """Return which policies' marks cover each other."""
    spots: dict[tuple[object, ...], list[str]] = {}
    for one in choices:
        spot = (one.cost_usd or one.sent_tokens, one.recall, one.quote_recall)
        spots.setdefault(spot, []).append(one.name)
    covered = [names for names in spots.values() if len(names) > 1]
    return "".join(f" On one spot: {words.in_words(names)}." for names in covered)


def _panel(
    choices: Sequence[Choice],
    recall_of: Callable[[Choice], float | None],
    axis: str,
    *,
    is_priced: bool,
) -> list[Trace]:
    places = [
        (one, recall, float(one.cost_usd or 0) if is_priced else float(one.sent_tokens))
        for one in choices
        if (recall := recall_of(one)) is not None
    ]
    runnable = [(cost, recall) for one, recall, cost in places if not one.is_bound]
    best = [runnable[place] for place in front(runnable)]
    on = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
    line: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front: no other beats these",
        "legendgroup": "front",
        "showlegend": not axis,
        "x": [recall for _, recall in best],
        "y": [cost for cost, _ in best],
        "line": {"color": GREY, "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
        **on,
    }
    styles = line_styles([one.name for one in choices])
    looks = {one.name: style for one, style in zip(choices, styles, strict=True)}
    return [line, *(_point(*place, looks[place[0].name], on, axis) for place in places)]


def _point(
    one: Choice,
    recall: float,
    cost: float,
    look: tuple[str, str, str],
    on: dict[str, str],
    axis: str,
) -> Trace:
    color, _, symbol = look
    bound = "; a bound, it could not run" if one.is_bound else ""
    price = "" if one.cost_usd is None else f"{words.usd(one.cost_usd)} for input and summaries, "
    said = (
        f"{one.name}: {price}{one.sent_tokens:,} tokens sent\nidentifiers recalled: "
        f"{words.frac(one.recall)}, quoted lines: {words.frac(one.quote_recall)}{bound}"
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "name": words.name(one.name) + (" (bound)" if one.is_bound else ""),
        "legendgroup": words.name(one.name),
        "showlegend": not axis,
        "x": [recall],
        "y": [cost],
        "cliponaxis": False,
        "hoverinfo": "text",
        "hovertext": [words.wrapped(said)],
        "marker": {
            "symbol": symbol,
            "color": color,
            "size": MARK_PX,
            "line": {"width": 2 if symbol.endswith("open") else 0, "color": color},
        },
        **on,
    }
