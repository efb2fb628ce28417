"""The engine: facts in, decisions out. The only module that puts the core together.

`Engine.handle` is a generator: it yields decisions and effects as they come about, and expects
each effect to be answered, by `send`, with a `Shortened`. It reads no clock and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import TypeAlias

from ctxbudget.core import fit
from ctxbudget.core.allocation import ALLOCATORS, Allocator, Ledger, open_ledger
from ctxbudget.core.errors import BudgetExceededError, SourceError
from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    Allocated,
    CallSent,
    CallStarted,
    Decision,
    Effect,
    Fact,
    HeadroomShared,
    ItemAdded,
    ItemTouched,
    Phase,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Rejected,
    RunClosed,
    RunFinished,
    RunStarted,
    Seeded,
    Shortened,
    ThreadClosed,
    Told,
    WaveClosed,
    WaveFinished,
    WaveStarted,
)
from ctxbudget.core.graph import Liveness, PhaseGraph
from ctxbudget.core.policy import Moment, PhaseAges, Policy
from ctxbudget.core.store import Filter
from ctxbudget.core.thread import Numbers, Thread
from ctxbudget.core.thresholds import Monitor, monitor
from ctxbudget.core.types import (
    MAIN,
    Cache,
    Item,
    Kind,
    Layer,
    Level,
    Plan,
    Scale,
    Trigger,
    share_tokens,
)

Steps: TypeAlias = Generator[Decision | Effect, Shortened | None, None]
"""What handling a fact yields: decisions to record, effects to answer."""

HANDED_DOWN = Filter(layers=(Layer.TRANSIENT, Layer.METADATA), kinds=(Kind.ARTIFACT, Kind.SUMMARY))
"""What an agent gets of the phases it depends on, in the form in which it stands."""


_TRIGGER_OF = {Level.WARN: Trigger.WARN, Level.CRITICAL: Trigger.CRITICAL}


class Engine:
    """Budgets one run.

    Args:
        policy: asked at every trigger.
        find_allocator: looks an allocator up by the name in the run's first fact.
    """

    def __init__(
        self,
        policy: Policy,
        find_allocator: Callable[[str], Allocator] = ALLOCATORS.__getitem__,
    ) -> None:
        self._policy = policy
        self._find_allocator = find_allocator
        self._start: RunStarted | None = None
        self._numbers = Numbers()
        self._ages = PhaseAges()
        self._phase: str | None = None
        self._wave: int | None = None
        self._phase_start_tokens = 0
        self._run_start_tokens: int | None = None
        self.threads: dict[str, Thread] = {}
        self._handlers: dict[type, Callable[..., Steps]] = {
            RunStarted: self._run_started,
            PhaseStarted: self._phase_started,
            WaveStarted: self._wave_started,
            AgentStarted: self._agent_started,
            ItemAdded: self._item_added,
            ItemTouched: self._item_touched,
            CallStarted: self._call_started,
            Rejected: self._rejected,
            AgentFinished: self._agent_finished,
            WaveFinished: self._wave_finished,
            PhaseFinished: self._phase_finished,
            RunFinished: self._run_finished,
        }

    def handle(self, fact: Fact) -> Steps:
        """Yield what follows from a fact, in order.

        Raises:
            SourceError: the fact names what is not there, or comes out of order.
            PolicyError: the policy broke its contract.
            BudgetExceededError: what may not be touched does not fit the hard limit.
        """
        if isinstance(fact, Shortened):
            raise SourceError("a size that nobody asked for", at=fact.at)
        if (self._start is None) is not isinstance(fact, RunStarted):
            raise SourceError("a run begins with exactly one run_started", at=fact.at)
        return self._handlers[type(fact)](fact)

    @property
    def main(self) -> Thread:
        """The orchestrator's thread."""
        return self.threads[MAIN]

    # ---- the run and its phases

    def _run_started(self, fact: RunStarted) -> Steps:
        self._start = fact
        self._graph = PhaseGraph(fact.phases)
        self._liveness = Liveness(self._graph)
        self._ledger: Ledger = open_ledger(
            fact.scale, self._graph.phases(), fact.allocator, self._find_allocator
        )
        self._planned_tokens = self._ledger.planned_tokens
        main = self._open_thread(MAIN, fact.scale, sum(phase.calls for phase in fact.phases))
        main.monitors += [
            monitor(
                f"layer:{quota.layer}",
                whole := quota.limit.resolve_tokens(fact.scale),
                warn_tokens=share_tokens(whole, quota.warn_frac),
                critical_tokens=share_tokens(whole, quota.critical_frac),
            )
            for quota in fact.thresholds.quotas
        ]
        for phase in self._graph.order:
            yield self._allocated(fact.at, phase, f"{fact.allocator.use} allocation")

    def _phase_started(self, fact: PhaseStarted) -> Steps:
        self._known_phase(fact.phase, fact.at)
        main = self.main
        self._phase, self._wave = fact.phase, None
        self._ages.start(fact.phase)
        self._phase_start_tokens = main.store.tokens
        if self._run_start_tokens is None:
            self._run_start_tokens = main.store.tokens
        main.note_peak()
        change = self._ledger.start(fact.phase)
        if change is not None:
            yield self._allocated(fact.at, fact.phase, change)
        self._watch_phase(fact.phase)
        yield from self._fire(Trigger.PHASE_STARTED, main, fact.at)

    def _wave_started(self, fact: WaveStarted) -> Steps:
        self._known_phase(fact.phase, fact.at)
        self._wave = fact.wave
        agents = len(fact.agents)
        if agents > 1:
            headroom = max(0, self.main.scale.budget_tokens - self.main.store.tokens)
            yield HeadroomShared(
                at=fact.at,
                phase=fact.phase,
                wave=fact.wave,
                agents=agents,
                headroom_tokens=headroom,
                each_tokens=headroom // agents,
            )

    def _wave_finished(self, fact: WaveFinished) -> Steps:
        self._wave = fact.wave
        yield from self._fire(Trigger.WAVE_FINISHED, self.main, fact.at)
        yield WaveClosed(
            at=fact.at,
            phase=fact.phase,
            wave=fact.wave,
            residual_tokens=self.main.store.tokens,
        )

    def _phase_finished(self, fact: PhaseFinished) -> Steps:
        if fact.phase != self._phase:
            raise SourceError(f"phase {fact.phase!r} finished but is not running", at=fact.at)
        main = self.main
        self._liveness.finish(fact.phase)
        yield from self._fire(Trigger.PHASE_FINISHED, main, fact.at)
        main.monitors = [one for one in main.monitors if not one.scope.startswith("phase:")]
        kept = max(0, main.store.tokens - self._phase_start_tokens)
        allocated = self._ledger.granted[fact.phase]
        change = self._ledger.finish(fact.phase, kept)
        if change is not None:
            yield self._allocated(fact.at, fact.phase, change)
        allocated = max(allocated, self._ledger.granted[fact.phase])
        over = max(0, kept - allocated)
        if over:
            yield Told(
                at=fact.at,
                level=Level.OVERRUN,
                scope=f"phase:{fact.phase}",
                tokens=kept,
                limit_tokens=allocated,
            )
        yield PhaseClosed(
            at=fact.at,
            phase=fact.phase,
            allocated_tokens=allocated,
            start_tokens=self._phase_start_tokens,
            peak_tokens=main.note_peak(),
            residual_tokens=main.store.tokens,
            kept_tokens=kept,
            over_tokens=over,
        )

    def _run_finished(self, fact: RunFinished) -> Steps:
        main = self.main
        yield from self._fire(Trigger.RUN_FINISHED, main, fact.at)
        main.note_peak()
        kept = main.store.tokens - (self._run_start_tokens or 0)
        yield RunClosed(
            at=fact.at,
            planned_tokens=self._planned_tokens,
            peak_tokens=main.run_peak_tokens,
            residual_tokens=main.store.tokens,
            over_tokens=max(0, kept - self._planned_tokens),
        )

    # ---- agents and their threads

    def _agent_started(self, fact: AgentStarted) -> Steps:
        phase = self._known_phase(fact.phase, fact.at)
        if fact.thread in self.threads:
            raise SourceError(f"thread {fact.thread!r} is already open", at=fact.at)
        thread = self._open_thread(fact.thread, fact.scale or self.main.scale, fact.calls)
        seeds = list(self._seeds(phase.id, phase.after, fact.wave))
        for item in seeds:
            thread.store.add(item)
        yield Seeded(
            at=fact.at,
            thread=fact.thread,
            items=tuple((item.id, item.version) for item in seeds),
            tokens=thread.store.tokens,
        )
        yield from self._judge(thread, fact.at)

    def _seeds(self, phase: str, needs: Iterable[str], wave: int) -> Iterable[Item]:
        """Yield what a new thread starts with, in prompt order within each part."""
        store = self.main.store
        kept = list(store.untouchable())
        yield from (item for item in kept if item.layer is Layer.PERMANENT)
        yield from (item for item in kept if item.layer is Layer.PHASE and item.phase == phase)
        scoped = store.matching(Filter(layers=(Layer.PHASE,)))
        yield from (entry.item for entry in scoped.of_phase(phase))
        artifacts = store.matching(HANDED_DOWN)
        for need in needs:
            yield from (entry.item for entry in artifacts.of_phase(need))
        for entry in artifacts.of_phase(phase):
            if entry.item.wave is not None and entry.item.wave < wave:
                yield entry.item

    def _agent_finished(self, fact: AgentFinished) -> Steps:
        store = self.main.store
        for name in fact.delivered:
            if name in store:
                store.update(replace(store[name], ready=True))
        if fact.thread is not None:
            thread = self._known_thread(fact.thread, fact.at)
            thread.note_peak()
            del self.threads[fact.thread]
            yield ThreadClosed(
                at=fact.at,
                thread=fact.thread,
                peak_tokens=thread.run_peak_tokens,
                calls=thread.store.calls,
            )
        yield from self._fire(Trigger.AGENT_FINISHED, self.main, fact.at)

    # ---- items and calls

    def _item_added(self, fact: ItemAdded) -> Steps:
        thread = self._known_thread(fact.thread, fact.at)
        item = fact.item
        if item.kind is Kind.USER and not thread.has_goal:
            item, thread.has_goal = replace(item, pinned=True), True
        thread.store.add(item)
        yield from self._judge(thread, fact.at)
        yield from self._fire(Trigger.ITEM_ADDED, thread, fact.at)

    def _item_touched(self, fact: ItemTouched) -> Steps:
        store = self._known_thread(fact.thread, fact.at).store
        for name in fact.items:
            if name in store:
                store.touch(name)
        yield from ()

    def _call_started(self, fact: CallStarted) -> Steps:
        thread = self._known_thread(fact.thread, fact.at)
        thread.model = fact.model
        cache = self._cache(fact.model)
        state = thread.cache_state
        if state.cached_tokens and not state.is_warm(fact.at, fact.model, cache):
            yield from self._fire(Trigger.CACHE_COLD, thread, fact.at)
        yield from self._fire(Trigger.BEFORE_CALL, thread, fact.at)
        yield from self._fit(thread, fact.at)
        split = state.call(
            fact.at,
            model=fact.model,
            cache=cache,
            tokens=thread.store.tokens,
            same_prefix_tokens=thread.store.sent(),
        )
        thread.calls_left = max(0, thread.calls_left - 1)
        yield CallSent(
            at=fact.at,
            call=thread.store.calls,
            tokens=thread.store.tokens,
            cache_read_tokens=split.cache_read_tokens,
            cache_write_tokens=split.cache_write_tokens,
            uncached_tokens=split.uncached_tokens,
            rewritten_tokens=split.rewritten_tokens,
            model=fact.model,
            thread=thread.name,
        )

    def _rejected(self, fact: Rejected) -> Steps:
        thread = self._known_thread(fact.thread, fact.at)
        yield from self._fire(Trigger.REJECTED, thread, fact.at)
        yield from self._fit(thread, fact.at)

    # ---- deciding

    def _fire(self, trigger: Trigger, thread: Thread, at: float) -> Steps:
        """Ask the policy, carrying out each plan before it is asked for the next."""
        moment = Moment(
            trigger=trigger,
            at=at,
            thread=thread.name,
            store=thread.store,
            scale=thread.scale,
            phase=self._phase,
            wave=self._wave,
            dead_phases=self._liveness.dead,
            phase_ages=self._ages,
            fired_at_call=thread.fired_at_call,
            calls_left=thread.calls_left,
        )
        yield from self._carry_out(self._policy(moment), thread, at)

    def _carry_out(self, plans: Iterable[Plan], thread: Thread, at: float) -> Steps:
        before = thread.store.tokens
        for plan in plans:
            yield from thread.carry_out(
                plan, at=at, cache=self._cache(thread.model), numbers=self._numbers
            )
        if thread.store.tokens != before:
            yield from self._judge(thread, at)

    def _fit(self, thread: Thread, at: float) -> Steps:
        """Make the prompt fit the hard limit, and tell if it did not."""
        limit = thread.scale.hard_limit_tokens
        if thread.store.tokens <= limit:
            return
        yield Told(
            at=at,
            level=Level.OVERFLOW,
            scope=thread.scope,
            tokens=thread.store.tokens,
            limit_tokens=limit,
            thread=thread.name,
        )
        yield from self._carry_out(fit.plans(thread.store, limit), thread, at)
        if thread.store.tokens > limit:
            left = sorted(thread.store, key=lambda item: (-item.tokens, item.id))
            raise BudgetExceededError(
                thread=thread.name,
                tokens=thread.store.tokens,
                limit_tokens=limit,
                items=tuple((item.id, item.tokens) for item in left),
            )

    def _judge(self, thread: Thread, at: float) -> Steps:
        """Tell the levels crossed just now, and let the policy act upon each."""
        for one in thread.monitors:
            tokens = self._measure(one, thread)
            for level in one.judge(tokens):
                yield Told(
                    at=at,
                    level=level,
                    scope=one.scope,
                    tokens=tokens,
                    limit_tokens=one.limits_tokens[level],
                    thread=thread.name,
                )
                yield from self._draw_on_buffer(level, thread, at)
                yield from self._fire(_TRIGGER_OF[level], thread, at)

    def _measure(self, one: Monitor, thread: Thread) -> int:
        kind, _, name = one.scope.partition(":")
        if kind == "layer":
            return thread.store.layer_tokens[Layer(name)]
        if kind == "phase":
            return thread.store.tokens - self._phase_start_tokens
        return thread.store.tokens

    def _draw_on_buffer(self, level: Level, thread: Thread, at: float) -> Steps:
        if thread.name != MAIN or self._phase is None:
            return
        kept = thread.store.tokens - self._phase_start_tokens
        lack = kept - self._ledger.granted[self._phase]
        change = self._ledger.draw(self._phase, lack, level)
        if change is not None:
            yield self._allocated(at, self._phase, change)

    # ---- looking up

    def _open_thread(self, name: str, scale: Scale, calls: int) -> Thread:
        assert self._start is not None  # noqa: S101 - handle() lets nothing in before run_started
        thread = Thread(name=name, scale=scale, calls_left=calls)
        levels = self._start.thresholds
        thread.monitors.append(
            monitor(
                thread.scope,
                scale.budget_tokens,
                warn_tokens=levels.warn.resolve_tokens(scale),
                critical_tokens=levels.critical.resolve_tokens(scale),
            )
        )
        self.threads[name] = thread
        return thread

    def _watch_phase(self, phase: str) -> None:
        assert self._start is not None  # noqa: S101
        levels = self._start.thresholds
        if levels.phase_warn_frac is None and levels.phase_critical_frac is None:
            return
        grant = self._ledger.granted[phase]
        warn, critical = (
            None if frac is None else share_tokens(grant, frac)
            for frac in (levels.phase_warn_frac, levels.phase_critical_frac)
        )
        self.main.monitors.append(
            monitor(f"phase:{phase}", grant, warn_tokens=warn, critical_tokens=critical)
        )

    def _known_phase(self, phase: str, at: float) -> Phase:
        if phase not in self._graph:
            raise SourceError(f"phase {phase!r} is not in the workflow", at=at)
        return self._graph[phase]

    def _known_thread(self, name: str, at: float) -> Thread:
        if name not in self.threads:
            raise SourceError(f"thread {name!r} is not open", at=at)
        return self.threads[name]

    def _cache(self, model: str) -> Cache:
        assert self._start is not None  # noqa: S101
        return self._start.caches.get(model) or Cache()

    def _allocated(self, at: float, phase: str, reason: str) -> Allocated:
        return Allocated(at=at, phase=phase, tokens=self._ledger.granted[phase], reason=reason)
