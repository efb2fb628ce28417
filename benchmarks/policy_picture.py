"""Draws policies by what they cost and how much of what was quoted they still held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import cos, pi, sin
from pathlib import Path
from typing import Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from policy_report import ADAPTIVE, Summary

INK, FAINT, MARKED = "#000000", "#8c8c8c", "#0072b2"
"""Black, a grey and a blue.

Source: the blue of Okabe and Ito's palette, which is told apart with any colour vision."""

DIRECTIONS: Final = 16
STEPS_POINTS: Final = range(10, 130, 6)
"""How far from its point a label may stand, in points."""


def draw(rows: Sequence[Summary], path: Path) -> None:
    """Write a picture of the policies, in the format that the file's name ends in.

    Whiskers reach to the worst decile of the sessions. The line joins the policies that no other
    beats in both.
    """
    figure = Figure(figsize=(9, 7), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    shown = [row for row in rows if row.quote_recall is not None]
    _limit(axes, shown)
    for row in shown:
        _mark(axes, row)
    front = sorted((row.cost_frac, row.quote_recall or 0) for row in shown if row.is_on_front)
    axes.plot(*zip(*front, strict=True), color=MARKED, linewidth=1, linestyle="--", zorder=1)
    axes.set_xlabel("input cost, as a share of sending everything (mean; whisker: worst decile)")
    axes.set_ylabel("quote recall (mean; whisker: worst decile)")
    axes.grid(color="#e5e5e5", linewidth=0.5)
    axes.set_axisbelow(True)
    _label(figure, axes, shown)
    with rc_context({"svg.hashsalt": path.stem}):  # the same numbers make the same file
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _limit(axes: Axes, rows: Sequence[Summary]) -> None:
    costs = [cost for row in rows for cost in (row.cost_frac, row.cost_p90_frac)]
    recalls = [row.quote_recall_p10 or 0 for row in rows]
    wide, high = max(costs) - min(costs) or 1, 1 - min(recalls) or 1
    axes.set_xlim(min(costs) - 0.1 * wide, max(costs) + 0.05 * wide)
    axes.set_ylim(min(recalls) - 0.05 * high, 1 + 0.1 * high)


def _mark(axes: Axes, row: Summary) -> None:
    """Draw a policy: a circle, an open diamond for a bound, a square for what is fitted here."""
    is_ours = row.label.startswith(ADAPTIVE)
    recall, low = row.quote_recall or 0, row.quote_recall_p10 or 0
    axes.errorbar(
        row.cost_frac,
        recall,
        xerr=[[0.0], [max(0.0, row.cost_p90_frac - row.cost_frac)]],
        yerr=[[max(0.0, recall - low)], [0.0]],
        marker="D" if row.is_bound else "s" if is_ours else "o",
        markersize=8 if is_ours else 6,
        markerfacecolor="white" if row.is_bound else MARKED if is_ours else INK,
        markeredgecolor=MARKED if is_ours else INK,
        ecolor=MARKED if is_ours else FAINT,
        elinewidth=0.8,
        capsize=2,
        linestyle="none",
        zorder=3 if is_ours else 2,
    )


def _label(figure: Figure, axes: Axes, rows: Sequence[Summary]) -> None:
    """Name the points, each where it covers no other name and no point."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels must not move the axes any more
    taken = [box for row in rows for box in _drawn(axes, row)]
    for row in sorted(rows, key=lambda row: (row.cost_frac, row.label)):
        for offset in _offsets():
            note = _note(axes, row, offset)
            box = _text_box(note)
            inside = axes.bbox.padded(-2)
            is_in = box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y0 >= inside.y0
            if is_in and box.y1 <= inside.y1 and not any(box.overlaps(one) for one in taken):
                taken.append(box)
                break
            note.remove()
        else:
            taken.append(_text_box(_note(axes, row, (0, 10))))


def _offsets() -> Iterator[tuple[float, float]]:
    for far in STEPS_POINTS:
        for turn in range(DIRECTIONS):
            angle = 2 * pi * (turn + 2) / DIRECTIONS  # the first is up and to the right
            yield (far * cos(angle), far * sin(angle))


def _note(axes: Axes, row: Summary, offset: tuple[float, float]) -> Annotation:
    return axes.annotate(
        row.name,
        (row.cost_frac, row.quote_recall or 0),
        xytext=offset,
        textcoords="offset points",
        ha="left" if offset[0] > 1 else "right" if offset[0] < -1 else "center",
        va="center",
        fontsize=8,
        fontweight="bold" if row.label.startswith(ADAPTIVE) else "normal",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
        zorder=4,
        arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkB": 4},
    )


def _text_box(note: Annotation) -> Bbox:
    """Return the room that a name takes, in pixels, without the line to its point."""
    note.get_window_extent()  # puts the text where it will stand
    return Text.get_window_extent(note).padded(3)


def _drawn(axes: Axes, row: Summary) -> Iterator[Bbox]:
    """Yield the room that a point and its whiskers take, in pixels."""
    recall, low = row.quote_recall or 0, row.quote_recall_p10 or 0
    x, y = axes.transData.transform((row.cost_frac, recall))
    right, bottom = axes.transData.transform((row.cost_p90_frac, low))
    yield Bbox.from_extents(x - 6, y - 6, x + 6, y + 6)
    yield Bbox.from_extents(x, y - 1, max(x, right), y + 1)
    yield Bbox.from_extents(x - 1, min(y, bottom), x + 1, y)
