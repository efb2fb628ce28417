"""The limits of a run as lines across a chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.metrics import RunRow
from ctxbudget.report.html import words
from ctxbudget.report.html.colors import BLACK, PURPLE, VERMILLION
from ctxbudget.report.html.figures import Trace

LINE_POINTS: Final = 60
"""Of a line, so that pointing anywhere on it finds it."""

FAR: Final = 1.8
"""A limit that is further above the prompt than this is named, and not drawn."""

LABEL_FRAC: Final = 0.05
"""Of the chart's height that the label of a limit takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitLine:
    """A limit of the prompt, and how its line looks."""

    name: str
    tokens: int
    color: str
    dash: str


def near_and_far(run: RunRow, top: int) -> tuple[list[LimitLine], list[LimitLine]]:
    """Return the limits to draw, and those too far above the prompt; equal ones are one."""
    known = (
        LimitLine(name="warn", tokens=run.warn_tokens, color=BLACK, dash="dot"),
        LimitLine(name="critical", tokens=run.critical_tokens, color=VERMILLION, dash="dash"),
        LimitLine(name="budget", tokens=run.budget_tokens, color=BLACK, dash="solid"),
        LimitLine(
            name="hard limit",
            tokens=run.window_tokens - run.reserve_tokens,
            color=PURPLE,
            dash="longdashdot",
        ),
    )
    found: dict[int, LimitLine] = {}
    for one in known:
        same = found.get(one.tokens)
        if same is not None:
            name = f"{same.name} and {one.name}"
            one = LimitLine(name=name, tokens=one.tokens, color=one.color, dash=one.dash)
        if one.tokens > 0:
            found[one.tokens] = one
    near = [one for one in found.values() if is_near(one, top)]
    return near, [one for one in found.values() if one not in near]


def is_near(one: LimitLine, top: int) -> bool:
    """Return whether a limit is near enough to a prompt's highest occupancy to be drawn."""
    return one.tokens <= FAR * top


def limit_trace(one: LimitLine, end: float) -> Trace:
    """Return the line across a chart that ends at `end`."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": one.name,
        "showlegend": False,
        "x": [round(end * number / LINE_POINTS, 4) for number in range(LINE_POINTS + 1)],
        "y": [one.tokens] * (LINE_POINTS + 1),
        "hoverinfo": "text",
        "hovertext": words.plain(f"{words.capital(one.name)}: {one.tokens:,} tokens"),
        "line": {"width": 1.8, "color": one.color, "dash": one.dash},
    }


def limit_names(drawn: Sequence[LimitLine], ceiling: float) -> Iterator[dict[str, Any]]:
    """Yield the labels of the lines, beside the chart, moved apart where they would touch."""
    lowest = 0.0
    for one in sorted(drawn, key=lambda one: one.tokens):
        at = max(one.tokens / ceiling, lowest)
        lowest = at + LABEL_FRAC
        yield {
            "xref": "paper",
            "yref": "paper",
            "x": 1.008,
            "y": at,
            "xanchor": "left",
            "yanchor": "middle",
            "showarrow": False,
            "align": "left",
            "text": f"{one.name} {one.tokens:,}".replace(" and ", words.BREAK + "and "),
            "font": {"color": one.color, "size": 12},
        }


def far_words(far: Sequence[LimitLine]) -> str:
    """Return what a caption says of the limits that are not drawn."""
    if not far:
        return ""
    named = words.in_words(f"{one.name} ({one.tokens:,} tokens)" for one in far)
    return f"Far above the chart and not drawn: {named}."
