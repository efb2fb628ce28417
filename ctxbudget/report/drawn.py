"""What a picture of a run needs beyond its metrics: kept only where a picture is asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from ctxbudget.core.events import Event, Injected, ItemAdded, Pruned
from ctxbudget.core.types import MAIN, Item
from ctxbudget.history import History
from ctxbudget.report.cost_split import CostSplit, SplitCosts
from ctxbudget.report.timeline import Timeline

if TYPE_CHECKING:
    from ctxbudget.session import Listener


class DrawnRun:
    """A listener that keeps a run's timeline, the parts of its cost, and who paid the rent.

    Args:
        history: one that hears the run anyway; None makes one.
    """

    def __init__(
        self,
        *,
        thread: str = MAIN,
        assumes_summaries: bool = False,
        history: History | None = None,
    ) -> None:
        self.timeline = Timeline(thread)
        self.history = history or History()
        self._hears_history = history is None
        self.items: dict[str, Item] = {}
        self._costs = SplitCosts(assumes_summaries=assumes_summaries)

    @property
    def costs(self) -> CostSplit:
        """The parts of the cost."""
        return self._costs.split

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self.timeline(event)
        if self._hears_history:
            self.history(event)
        self._costs(event)
        if isinstance(event, ItemAdded | Injected):
            self.items.setdefault(event.item.id, event.item)
        elif isinstance(event, Pruned) and event.stand_in is not None:
            self.items.setdefault(event.stand_in.id, event.stand_in)


class Drawing:
    """The runs of one command that are to be drawn, by a key of the command's own."""

    def __init__(self, *, assumes_summaries: bool = False) -> None:
        self._assumes_summaries = assumes_summaries
        self._runs: dict[Hashable, DrawnRun] = {}

    @property
    def runs(self) -> list[DrawnRun]:
        """All of them, in the order in which they were begun."""
        return list(self._runs.values())

    def of(self, key: Hashable) -> DrawnRun:
        """Return a run's listener, a new one for a new key."""
        if key not in self._runs:
            self._runs[key] = DrawnRun(assumes_summaries=self._assumes_summaries)
        return self._runs[key]


def listeners(drawing: Drawing | None, key: Hashable) -> Sequence[Listener]:
    """Return who has to hear a run so that it can be drawn: nobody, if none is asked for."""
    return () if drawing is None else (drawing.of(key),)
