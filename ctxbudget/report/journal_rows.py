"""What `show` reports of a journal: plans, levels told, rent, and where an unfinished run stands."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctxbudget.core.events import (
    CallSent,
    Event,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    Restored,
    RunClosed,
    RunStarted,
    Shortened,
    SpendingTold,
    Thrashing,
    Told,
    Vetoed,
)
from ctxbudget.core.types import MAIN
from ctxbudget.history import History
from ctxbudget.metrics import Metrics
from ctxbudget.report.prompts import Prompts


@dataclass(slots=True, kw_only=True)
class PlanRow:
    """A plan that was carried out."""

    plan: int
    at: float
    phase: str | None
    thread: str
    rule: str
    reason: str
    operations: dict[str, int] = field(default_factory=dict)
    """How many items each operation took."""
    gained_tokens: int = 0
    """Net: removed minus the stand-ins left."""
    undone_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRow:
    """Something that was told while the run went on."""

    at: float
    phase: str | None
    thread: str
    what: str
    """A level (`warn`, ...), or `thrashing`, `vetoed`, `note`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which part of a run is asked for; None is all of it."""

    phase: str | None = None
    thread: str | None = None

    def holds(self, phase: str | None, thread: str) -> bool:
        """Return whether something that happened in this phase and thread is asked for."""
        return self.phase in (None, phase) and self.thread in (None, thread)


class JournalRows:
    """A listener that turns a run's events into rows.

    Of a scope, the plans, what was told, and the rent of its calls are kept; `metrics`, `prompts`
    and `history` tell of the whole run, but for the rent, which `history` has of the scope.

    Attributes:
        start: the run's first fact.
        phase: the phase that runs now.
        last_at: when the last event happened, on the source's clock.
        events: how many there were.
        is_finished: whether the run has ended.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope or Scope()
        self.start: RunStarted | None = None
        self.phase: str | None = None
        self.last_at = 0.0
        self.events = 0
        self.is_finished = False
        self.plans: dict[int, PlanRow] = {}
        self.told: list[ToldRow] = []
        self.metrics, self.history, self.prompts = Metrics(), History(), Prompts()

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        self.events += 1
        self.last_at = event.at
        self.metrics(event)
        self.prompts(event)
        thread: str = getattr(event, "thread", None) or MAIN
        is_asked = self.scope.holds(self.phase, thread)
        if is_asked or not isinstance(event, CallSent):
            self.history(event)
        if is_asked:
            self._keep(event)
        self._follow(event)

    # ---- what is asked for

    def _keep(self, event: Event) -> None:
        if isinstance(event, Pruned):
            row = self.plans.get(event.plan)
            if row is None:
                row = self.plans[event.plan] = PlanRow(
                    plan=event.plan,
                    at=event.at,
                    phase=self.phase,
                    thread=event.thread,
                    rule=event.rule,
                    reason=event.reason,
                )
            row.operations[event.do] = row.operations.get(event.do, 0) + len(event.items)
            row.gained_tokens += event.net_tokens
        elif isinstance(event, Told | SpendingTold | Thrashing | Vetoed | Shortened):
            self._tell(event)

    def _tell(self, event: Told | SpendingTold | Thrashing | Vetoed | Shortened) -> None:
        what, thread = type(event).__name__.lower(), MAIN
        match event:
            case Told():
                what, thread = event.level.value, event.thread
                message = f"in {event.scope}: {event.tokens:,} tokens, limit {event.limit_tokens:,}"
            case SpendingTold():
                what = event.level.value
                message = f"in {event.scope}: {event.spent_usd:.4f} USD of {event.limit_usd:.4f}"
            case Thrashing():
                thread = event.thread
                message = f"item {event.item} ({event.tokens:,} tokens) fills the prompt again"
            case Vetoed():
                thread = event.thread
                message = f"rule {event.rule}: {event.reason}"
            case Shortened():
                if not event.note:
                    return
                what, thread, message = "note", event.thread, event.note
        self.told.append(
            ToldRow(at=event.at, phase=self.phase, thread=thread, what=what, message=message)
        )

    # ---- where the run stands

    def _follow(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.start = event
            case PhaseStarted():
                self.phase = event.phase
            case PhaseClosed():
                self.phase = None
            case Restored() if event.plan in self.plans:
                self.plans[event.plan].undone_at = event.at
            case RunClosed():
                self.is_finished = True
            case _:
                pass

    def asked(self) -> Metrics:
        """Return the metrics, of the phase alone that is asked for; to be asked for once."""
        if self.scope.phase is not None:
            self.metrics.phases = [row for row in self.metrics.phases if row.id == self.scope.phase]
        return self.metrics
