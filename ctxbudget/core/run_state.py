"""Where a run stands: its plan, its phases, its accounts and its threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ctxbudget.core.allocation import Allocator, Ledger, open_ledger
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Allocated,
    CallAnswered,
    Charge,
    Phase,
    RunStarted,
    SpendingTold,
)
from ctxbudget.core.graph import Liveness, PhaseGraph
from ctxbudget.core.injection import InjectionShelf
from ctxbudget.core.policy import PhaseAges
from ctxbudget.core.pricing import used_usd
from ctxbudget.core.spending import Spending
from ctxbudget.core.thread import Numbers, Thread
from ctxbudget.core.thresholds import Monitor, monitor
from ctxbudget.core.types import MAIN, Cache, Layer, Scale, share_tokens


@dataclass(slots=True, kw_only=True)
class RunState:
    """All that changes while a run goes on, except what stands in the threads' prompts."""

    start: RunStarted
    graph: PhaseGraph
    liveness: Liveness
    ledger: Ledger
    planned_tokens: int
    """Sum of the grants at the start."""
    ages: PhaseAges = field(default_factory=PhaseAges)
    numbers: Numbers = field(default_factory=Numbers)
    threads: dict[str, Thread] = field(default_factory=dict)
    shelf: InjectionShelf = field(default_factory=InjectionShelf)
    spending: Spending = field(default_factory=Spending)
    phase: str | None = None
    """The phase that runs, or has just finished."""
    wave: int | None = None
    phase_start_tokens: int = 0
    """Occupancy of the main thread when the phase started."""
    run_start_tokens: int | None = None
    """Occupancy of the main thread when the first phase started."""

    @property
    def main(self) -> Thread:
        """The orchestrator's thread."""
        return self.threads[MAIN]

    @property
    def phase_kept_tokens(self) -> int:
        """What the main thread gained since the phase started; may be negative."""
        return self.main.store.tokens - self.phase_start_tokens

    def charge(self, used: Charge | CallAnswered, at: float) -> Iterator[SpendingTold]:
        """Count what a call cost against the budgets in money; yield the levels that it crosses.

        A call on a model without a price is not counted.
        """
        price = self.start.prices.get(used.model)
        if price is None:
            return
        yield from self.spending.spend(used_usd(used, price), self.phase, at)

    def watch_budget(self, thread: Thread) -> None:
        """Watch a thread against its budget as it is now."""
        levels, scale = self.start.thresholds, thread.scale
        kept = [one for one in thread.monitors if one.scope != thread.scope]
        thread.monitors = [
            monitor(
                thread.scope,
                scale.budget_tokens,
                warn_tokens=levels.warn.resolve_tokens(scale),
                critical_tokens=levels.critical.resolve_tokens(scale),
            ),
            *kept,
        ]

    def cache(self, thread: Thread) -> Cache:
        """Return the prompt cache of a thread's model, with the lifetime that its calls ask for."""
        cache = self.start.caches.get(thread.model) or Cache()
        return cache if thread.ttl_s is None else cache.lasting(thread.ttl_s)

    def allocated(self, at: float, phase: str, reason: str) -> Allocated:
        """Return the decision that tells a phase's present grant."""
        return Allocated(at=at, phase=phase, tokens=self.ledger.granted[phase], reason=reason)

    def begin_phase(self, phase: str) -> None:
        """Make a phase the running one and watch its levels, where it has any."""
        self.phase, self.wave = phase, None
        self.ages.start(phase)
        self.main.note_peak()
        self.phase_start_tokens = self.main.store.tokens
        if self.run_start_tokens is None:
            self.run_start_tokens = self.main.store.tokens

    def watch_phase(self, phase: str) -> None:
        """Watch a phase's own levels, if they are set."""
        levels = self.start.thresholds
        if levels.phase_warn_frac is None and levels.phase_critical_frac is None:
            return
        grant = self.ledger.granted[phase]
        warn, critical = (
            None if frac is None else share_tokens(grant, frac)
            for frac in (levels.phase_warn_frac, levels.phase_critical_frac)
        )
        self.main.monitors.append(
            monitor(f"phase:{phase}", grant, warn_tokens=warn, critical_tokens=critical)
        )

    def unwatch_phase(self) -> None:
        """Stop watching the phase's own levels."""
        main = self.main
        main.monitors = [one for one in main.monitors if not one.scope.startswith("phase:")]

    def measure(self, one: Monitor, thread: Thread) -> int:
        """Return the tokens that a monitor judges."""
        kind, _, name = one.scope.partition(":")
        if kind == "layer":
            return thread.store.layer_tokens[Layer(name)]
        return self.phase_kept_tokens if kind == "phase" else thread.occupancy_tokens

    def open_thread(self, name: str, scale: Scale, calls: int) -> Thread:
        """Return a new, empty thread that is watched against its own budget."""
        thread = Thread(
            name=name,
            scale=scale,
            calls_left=calls,
            reviews=self.start.reviews,
            strips_thinking=self.start.strips_thinking,
        )
        self.watch_budget(thread)
        self.threads[name] = thread
        return thread

    def known_phase(self, phase: str, at: float) -> Phase:
        """Return a phase of the workflow, or raise a SourceError."""
        if phase not in self.graph:
            raise SourceError(f"phase {phase!r} is not in the workflow", at=at)
        return self.graph[phase]

    def known_thread(self, name: str, at: float) -> Thread:
        """Return an open thread, or raise a SourceError."""
        if name not in self.threads:
            raise SourceError(f"thread {name!r} is not open", at=at)
        return self.threads[name]


def open_run(fact: RunStarted, find_allocator: Callable[[str], Allocator]) -> RunState:
    """Return the state of a run that begins, its main thread open.

    Raises:
        ConfigError: the phase graph or the allocation is impossible.
    """
    graph = PhaseGraph(fact.phases)
    ledger = open_ledger(fact.scale, graph.phases(), fact.allocator, find_allocator)
    state = RunState(
        start=fact,
        graph=graph,
        liveness=Liveness(graph),
        ledger=ledger,
        planned_tokens=ledger.planned_tokens,
        spending=Spending(budgets=fact.money),
    )
    main = state.open_thread(MAIN, fact.scale, sum(phase.calls for phase in fact.phases))
    for quota in fact.thresholds.quotas:
        whole = quota.limit.resolve_tokens(fact.scale)
        main.monitors.append(
            monitor(
                f"layer:{quota.layer}",
                whole,
                warn_tokens=share_tokens(whole, quota.warn_frac),
                critical_tokens=share_tokens(whole, quota.critical_frac),
            )
        )
    return state
