"""What the main thread holds when a phase begins."""

from __future__ import annotations

from ctxbudget.core.events import (
    CallSent,
    Event,
    ItemAdded,
    PhaseFinished,
    PhaseStarted,
    Pruned,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Kind


class Beginnings:
    """A listener that notes a simulated run's occupancy where phases begin.

    Attributes:
        tokens: by phase, once the policy has pruned what it prunes at that moment.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, int] = {}
        self._now_tokens = 0
        self._tools_tokens: dict[str, int] = {}
        self._beginning: str | None = None

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case PhaseStarted():
                self._beginning = event.phase
            case Pruned() if event.thread == MAIN:
                self._now_tokens = event.occupancy_tokens
            case ItemAdded() if event.thread == MAIN:
                self._note()
                self._now_tokens += event.item.tokens
                if event.item.kind is Kind.TOOLS:
                    self._tools_tokens[event.item.id] = event.item.tokens
            case Withdrawn() if event.thread == MAIN:  # of a workflow only tools are taken back
                self._note()
                self._now_tokens -= sum(map(self._tools_tokens.__getitem__, event.items))
            case WaveStarted() | CallSent() | PhaseFinished():
                self._note()
            case _:
                pass

    def _note(self) -> None:
        if self._beginning is not None:
            self.tokens[self._beginning] = self._now_tokens
        self._beginning = None
