"""The axis of time: steps of a short run, calls of a long one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.report.timeline import Stretch, Timeline

MANY_CALLS: Final = 30
"""From so many calls on, calls are counted instead of steps."""


FEW_TICKS: Final = 12
"""Up to so many steps or calls have a number each."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Where steps stand on a chart."""

    is_in_calls: bool

    def of(self, timeline: Timeline, steps: Sequence[float]) -> list[float]:
        """Return the places of some steps."""
        return timeline.in_calls(steps) if self.is_in_calls else list(steps)

    def layout(self, timeline: Timeline) -> dict[str, Any]:
        """Return the axis itself; it spans the whole run."""
        title = (
            "calls of the thread" if self.is_in_calls else "steps: an item came, a call went out"
        )
        (end,) = self.of(timeline, [last_step(timeline)])
        ticks = {"dtick": 1} if end <= FEW_TICKS else {"nticks": FEW_TICKS}
        return {
            "title": {"text": title},
            "range": [0, max(1.0, end)],
            "showgrid": False,
            "tickformat": ",d",
            **ticks,
        }


def axis_of(timelines: Sequence[Timeline]) -> TimeAxis:
    """Return the axis for some runs of the same facts."""
    return TimeAxis(any(len(one.sent) >= MANY_CALLS for one in timelines))


def last_step(timeline: Timeline) -> float:
    """Return where a timeline ends."""
    phases = timeline.phases
    return max([1.0, *timeline.steps[-1:], *(one.end for one in phases[-1:])])


def phase_at(phases: Sequence[Stretch], step: float) -> str:
    """Return the phase that a step is part of; empty outside of phases."""
    place = bisect_right([one.start for one in phases], step) - 1
    if place < 0 or step >= phases[place].end:
        return ""
    return phases[place].phase


def place_words(call: int, step: float, phase: str) -> str:
    """Return where something happened, in words; what is between two steps is part of the first."""
    where = f"after call {call:,}" if call else "before the first call"
    return f"{where}, step {int(step):,}" + (f", phase {phase}" if phase else "")
