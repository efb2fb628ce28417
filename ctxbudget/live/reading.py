"""What can be read off a run at any time; the same for synchronous and asynchronous runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from ctxbudget.core.types import Item
from ctxbudget.history import By, Happening, Rent
from ctxbudget.live import views
from ctxbudget.live.parts import Parts
from ctxbudget.live.views import Forecast, ReturnCost
from ctxbudget.report.brief import PhaseReport, RunReport

T = TypeVar("T")


class ReadingDesk(Protocol):
    """Lets nothing change while somebody looks."""

    def read(self, look: Callable[[Parts], T]) -> T:
        """Return what a look at the run finds."""
        ...


class Readable:
    """A thread of a run, for reading.

    Attributes:
        thread: its name.
        model: the model that its calls go to, unless said otherwise.
    """

    def __init__(self, desk: ReadingDesk, thread: str, model: str) -> None:
        self._reads = desk
        self.thread = thread
        self.model = model

    @property
    def occupancy_tokens(self) -> int:
        """Tokens in the prompt, as an upper bound of what the provider counts."""
        return self._reads.read(lambda parts: parts.thread(self.thread).occupancy_tokens)

    def forecast(self) -> Forecast:
        """Return how full the prompt is and how soon it will cross its levels, an estimate."""
        return self._reads.read(lambda parts: views.forecast(parts, self.thread))

    def items(self) -> list[Item]:
        """Return the items of the prompt, in order."""
        return self._reads.read(lambda parts: views.items(parts, self.thread))

    def evicted(self) -> list[Item]:
        """Return what left the prompt and can be restored."""
        return self._reads.read(lambda parts: views.evicted(parts, self.thread))

    def text(self, item: str) -> str:
        """Return an item's whole text, whether it is in the prompt, shortened, or evicted.

        Raises:
            SourceError: there never was such an item in this thread, or its text is not known.
        """
        return self._reads.read(lambda parts: views.whole_text(parts, self.thread, item))

    def breakdown(self, by: By = "kind") -> list[tuple[str, int]]:
        """Return how many tokens of the prompt each group holds, largest first."""
        return self._reads.read(lambda parts: views.split(parts, self.thread, by))

    def restore_cost(self, item: str) -> ReturnCost:
        """Return what bringing an item back would cost.

        Raises:
            SourceError: it is there, or never left.
        """
        return self._reads.read(lambda parts: views.restore_cost(parts, self.thread, item))

    def undo_cost(self, plan: int | None = None) -> ReturnCost:
        """Return what reversing a plan would cost.

        Raises:
            SourceError: there is no such plan, or later ones took what it left.
        """
        return self._reads.read(lambda parts: views.undo_cost(parts, self.thread, plan))


class PhaseReading:
    """What can be read off a phase."""

    _reads: ReadingDesk
    name: str

    def report(self) -> PhaseReport:
        """Return what the phase was granted, held, sent and lost; as far as it has come."""
        return self._reads.read(lambda parts: views.phase_report(parts, self.name))


class RunReading:
    """What can be read off a run as a whole."""

    _reads: ReadingDesk

    def report(self) -> RunReport:
        """Return what the run was granted, held, sent and lost, phase by phase."""
        return self._reads.read(lambda parts: RunReport(parts.metrics))

    def why(self, item: str) -> list[Happening]:
        """Return all that was decided on an item, with reasons, oldest first.

        Raises:
            SourceError: there never was such an item.
        """
        return self._reads.read(lambda parts: parts.history.why(item))

    def rent(self, by: By = "item") -> list[Rent]:
        """Return what it took to carry each item (or group), dearest first."""
        return self._reads.read(lambda parts: parts.history.rent(by))

    @property
    def finished_phases(self) -> list[str]:
        """The phases that are over, in the order in which they ended; for a run taken up again."""
        return self._reads.read(lambda parts: list(parts.source.finished_phases))

    @property
    def open_phase(self) -> str | None:
        """The phase that runs, or None."""
        return self._reads.read(lambda parts: parts.source.phase)

    @property
    def notes(self) -> list[str]:
        """What went wrong on the way without stopping the run, such as a failed summarizer."""
        return self._reads.read(lambda parts: list(parts.watchman.notes))
