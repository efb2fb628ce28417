"""Where in a run the numbers came about that gates and comparisons look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from ctxbudget.core.events import CallSent, Event, PhaseStarted, RunClosed, RunStarted
from ctxbudget.core.pricing import Cost, InputCosts
from ctxbudget.core.types import MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A call of a run."""

    phase: str | None
    thread: str
    call: int
    tokens: int
    """Of its prompt."""

    def __str__(self) -> str:
        thread = "" if self.thread == MAIN else f" of {self.thread}"
        phase = "" if self.phase is None else f" in phase {self.phase}"
        return f"call {self.call:,}{thread}{phase}"


@dataclass(slots=True)
class Places:
    """A listener that notes at which calls a run's numbers came about."""

    costs: InputCosts = field(default_factory=InputCosts)
    is_phased: bool = False
    """A single phase, such as that of a recorded session, says nothing of where."""
    phase: str | None = None
    is_over: bool = False
    """Whether the run has ended."""
    largest: Place | None = None
    dearest: Place | None = None
    dearest_usd: Decimal = Decimal(0)
    rewrites: list[Place] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        cost = self.costs(event)
        match event:
            case RunStarted():
                self.is_phased = len(event.phases) > 1
            case PhaseStarted() if self.is_phased:
                self.phase = event.phase
            case CallSent():
                self._sent(event, cost)
            case RunClosed():
                self.is_over = True
            case _:
                pass

    @property
    def breaks_off(self) -> str | None:
        """Where a run stands that has not ended, in words; None of one that has."""
        if self.is_over:
            return None
        last = "" if self.phase is None else f", last in phase {self.phase}"
        return f"before its run does{last}"

    def _sent(self, event: CallSent, cost: Cost | None) -> None:
        place = Place(phase=self.phase, thread=event.thread, call=event.call, tokens=event.tokens)
        if self.largest is None or place.tokens > self.largest.tokens:
            self.largest = place
        if event.rewritten_tokens > 0:
            self.rewrites.append(place)
        usd = None if cost is None else cost.usd
        if usd is not None and (self.dearest is None or usd > self.dearest_usd):
            self.dearest, self.dearest_usd = place, usd
