"""What all charts share. A chart is plotly's own form of one: a dict of `data` and `layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from ctxbudget.report.html.colors import BOUND_LINES, LINES

Figure: TypeAlias = dict[str, Any]
"""Plotly's form of a chart: `data` is a list of traces, `layout` the rest."""

Trace: TypeAlias = dict[str, Any]

ROW_PX: Final = 30
"""Height of one bar of a chart of bars that lie."""

FRAME_PX: Final = 108
"""Height of what stands above and below the bars: legend, axis and its title."""


def figure(traces: Sequence[Trace], height_px: int, *, right_px: int = 24, **layout: Any) -> Figure:
    """Return a chart of some traces."""
    return {
        "data": list(traces),
        "layout": {
            "height": height_px,
            "margin": {"l": 12, "r": right_px, "t": 36, "b": 44},
            "showlegend": True,
            "hovermode": "closest",
            **layout,
        },
    }


def patterned(color: str, shape: str) -> dict[str, Any]:
    """Return the look of bars: a colour, and a pattern in white on it; an empty shape is plain."""
    if not shape:
        return {"color": color}
    pattern = {"shape": shape, "bgcolor": color, "fgcolor": "#FFFFFF", "fgopacity": 0.7}
    return {"color": color, "pattern": {**pattern, "solidity": 0.2, "size": 7}}


def rows_height_px(rows: int, *, per_row: int = ROW_PX) -> int:
    """Return the height of a chart with so many lying bars."""
    return FRAME_PX + per_row * max(1, rows)


def lying_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return a y axis that names lying bars, the first on top; bars stand at 0, 1, 2 and so on."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [len(names) - 0.4, -0.6],
        "showgrid": False,
        "zeroline": False,
    }


def line_styles(policies: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (colour, dash, symbol) of each policy; a bound has its own wherever it appears."""
    others = [one for one in policies if one not in BOUND_LINES]
    own = {one: LINES[place % len(LINES)] for place, one in enumerate(others)}
    return [BOUND_LINES.get(one) or own[one] for one in policies]
