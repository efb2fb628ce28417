"""What happened to a prompt, as symbols on a chart of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ctxbudget.report.html import words
from ctxbudget.report.html.axis import TimeAxis, phase_at, place_words
from ctxbudget.report.html.colors import BLACK, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from ctxbudget.report.html.figures import Trace
from ctxbudget.report.html.page import Table
from ctxbudget.report.html.thinning import MOST_MARKS, MOST_ROWS, largest, said
from ctxbudget.report.timeline import Mark, MarkKind, Timeline

FEW: Final = 60
"""More marks of one kind are smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """A kind of mark: what it is called, and its symbol."""

    name: str
    several: str
    symbol: str
    color: str
    size: int = 11
    foot_frac: float | None = None
    """Drawn so high above the time axis, of the chart's height; None is where the prompt stands."""


LOOKS: Final[dict[MarkKind, _Look]] = {
    "phase": _Look(
        name="phase begins",
        several="phases",
        symbol="triangle-right",
        color=GREY,
        size=9,
        foot_frac=0.0,
    ),
    "wave": _Look(
        name="wave begins",
        several="waves",
        symbol="diamond-wide",
        color=BLACK,
        size=10,
        foot_frac=0.035,
    ),
    "level": _Look(
        name="level crossed", several="levels crossed", symbol="triangle-up", color=ORANGE
    ),
    "prune": _Look(name="pruned", several="prunes", symbol="triangle-down", color=PURPLE),
    "restore": _Look(name="came back", several="restores", symbol="arrow-up", color=GREEN),
    "compaction": _Look(
        name="host compacted", several="compactions of the host", symbol="square", color=BLACK
    ),
    "rewrite": _Look(
        name="cache rewritten", several="cache rewrites", symbol="diamond", color=VERMILLION
    ),
    "rejected": _Look(name="refused", several="refusals", symbol="x", color=VERMILLION),
}


def mark_traces(
    timeline: Timeline, axis: TimeAxis, ceiling: float
) -> tuple[list[Trace], list[str]]:
    """Return a trace for each kind of mark, and what must be said of those left out.

    `ceiling` is where the chart ends, in tokens.
    """
    traces, notes = [], []
    phases = timeline.phases
    for kind, found in _by_kind(_shown(timeline)):
        look = LOOKS[kind]
        shown = largest(found, [mark.tokens for mark in found], MOST_MARKS)
        notes.append(said(len(shown), len(found), look.several))
        foot = None if look.foot_frac is None else round(look.foot_frac * ceiling)
        heights = [mark.level_tokens if foot is None else foot for mark in shown]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": look.name,
                "x": axis.of(timeline, [mark.step for mark in shown]),
                "y": heights,
                "hoverinfo": "text",
                "hovertext": [
                    words.wrapped(
                        f"{words.capital(mark.words)}\n"
                        f"{place_words(mark.call, mark.step, phase_at(phases, mark.step))}"
                    )
                    for mark in shown
                ],
                "cliponaxis": False,
                "marker": {
                    "symbol": look.symbol,
                    "size": look.size if len(shown) <= FEW else 0.65 * look.size,
                    "color": look.color,
                    "line": {
                        "width": 1 if len(shown) <= FEW else 0.5,
                        "color": "rgba(255,255,255,0.85)",
                    },
                },
            }
        )
    return traces, [note for note in notes if note]


def _shown(timeline: Timeline) -> list[Mark]:
    """Return the marks; a run of one phase is not told that it begins."""
    has_phases = len(timeline.phases) > 1
    return [mark for mark in timeline.marks if has_phases or mark.what != "phase"]


def _by_kind(marks: Sequence[Mark]) -> Iterator[tuple[MarkKind, list[Mark]]]:
    for kind in LOOKS:
        found = [mark for mark in marks if mark.what == kind]
        if found:
            yield kind, found


def mark_table(timeline: Timeline) -> Table:
    """Return what happened, as rows; of too many the largest."""
    phases, marks = timeline.phases, _shown(timeline)
    shown = largest(marks, [mark.tokens for mark in marks], MOST_ROWS)
    return Table(
        head=("what happened", "where", "prompt then, tokens", "in words"),
        rows=[
            (
                LOOKS[mark.what].name,
                place_words(mark.call, mark.step, phase_at(phases, mark.step)),
                words.tokens(mark.level_tokens),
                mark.words.replace("\n", ": "),
            )
            for mark in shown
        ],
        texts=frozenset({0, 1, 3}),
        note=said(len(shown), len(marks), "marks"),
        name="What happened",
    )
