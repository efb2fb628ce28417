"""Colours that people with any kind of colour vision tell apart, on a light and on a dark page.

Source of the light ones: Okabe and Ito, Color Universal Design; the dark ones are lighter shades of
the same hues. Nothing is told by colour alone: areas and bars have patterns, lines have dashes,
marks have symbols of their own.
"""

from __future__ import annotations

from typing import Any, Final

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#6B7680"
BLACK: Final = "#1B2733"

ON_DARK: Final = {
    BLUE: "#4C9FDB",
    SKY: "#9BD6FA",
    GREEN: "#35C296",
    ORANGE: "#F2B53A",
    VERMILLION: "#F58A4B",
    PURPLE: "#E7A3C8",
    GREY: "#9AA6B2",
    BLACK: "#E8EDF2",
}
"""What stands for each colour on a dark page; the page's script puts it in."""

LINES: Final = (
    (BLUE, "solid", "circle"),
    (VERMILLION, "dash", "square"),
    (GREEN, "dashdot", "triangle-up"),
    (PURPLE, "longdash", "pentagon"),
    (ORANGE, "longdashdot", "hexagon"),
    (SKY, "4px,2px,1px,2px", "triangle-left"),
    (BLUE, "2px,4px", "cross"),
    (VERMILLION, "8px,2px", "bowtie"),
    (GREEN, "1px,3px", "hourglass"),
    (PURPLE, "6px,2px,2px,2px", "triangle-down"),
    (ORANGE, "3px,3px", "star-square"),
    (SKY, "10px,3px,3px,3px", "star-diamond"),
)
"""Colour, dash and symbol of each policy that is compared, in turn; of more than 12 they repeat."""

BOUND_LINES: Final = {
    "none": (BLACK, "solid", "x"),
    "unbounded": (GREY, "dot", "star-open"),
    "clairvoyant": (GREY, "dash", "diamond-open"),
}
"""The same of what the others are compared with, wherever it appears."""

_FONT: Final = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def template(*, is_dark: bool) -> dict[str, Any]:
    """Return how all charts look on a light or on a dark page; their background is the page's."""
    text = "#C6D0DA" if is_dark else "#33404D"
    faint = "#2C3844" if is_dark else "#E3E8ED"
    edge = "#51606E" if is_dark else "#AEB8C2"
    box = "#212C37" if is_dark else "#FFFFFF"
    axis = {
        "gridcolor": faint,
        "linecolor": edge,
        "tickcolor": "rgba(0,0,0,0)",
        "zerolinecolor": edge,
        "zerolinewidth": 1,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 5,
        "title": {"standoff": 10, "font": {"size": 12}},
    }
    return {
        "layout": {
            "font": {"family": _FONT, "size": 12.5, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "align": "left",
                "namelength": -1,
                "bgcolor": box,
                "bordercolor": edge,
                "font": {"family": _FONT, "size": 12.5, "color": "#E8EDF2" if is_dark else BLACK},
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"size": 12},
                "itemsizing": "trace",
                "traceorder": "normal",
            },
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": edge,
                "activecolor": text,
                "orientation": "h",
            },
            "annotationdefaults": {"font": {"color": text, "size": 12}},
        }
    }
