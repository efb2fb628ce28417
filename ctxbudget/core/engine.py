"""The engine: facts in, decisions out. The only module that puts the core together.

`Engine.handle` is a generator: it yields decisions and effects as they come about, and expects
each effect to be answered, by `send`, with a `Shortened`. It reads no clock and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ctxbudget.core.allocation import ALLOCATORS, Allocator
from ctxbudget.core.deciding import Deciding, Steps
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    CallSent,
    CallStarted,
    Fact,
    HeadroomShared,
    ItemAdded,
    ItemTouched,
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
from ctxbudget.core.policy import Policy
from ctxbudget.core.run_state import RunState, open_run
from ctxbudget.core.store import Filter
from ctxbudget.core.types import Item, Kind, Layer, Level, Trigger

HANDED_DOWN = Filter(layers=(Layer.TRANSIENT, Layer.METADATA), kinds=(Kind.ARTIFACT, Kind.SUMMARY))
"""What an agent gets of the phases it depends on, in the form in which it stands."""


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
        self._state: RunState | None = None
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
        if (self._state is None) is not isinstance(fact, RunStarted):
            raise SourceError("a run begins with exactly one run_started", at=fact.at)
        return self._handlers[type(fact)](fact)

    @property
    def state(self) -> RunState:
        """Where the run stands; for reading.

        Raises:
            SourceError: the run has not begun.
        """
        if self._state is None:
            raise SourceError("the run has not begun")
        return self._state

    @property
    def _deciding(self) -> Deciding:
        return Deciding(self._policy, self.state)

    # ---- the run and its phases

    def _run_started(self, fact: RunStarted) -> Steps:
        self._state = open_run(fact, self._find_allocator)
        for phase in self._state.graph.order:
            yield self._state.allocated(fact.at, phase, f"{fact.allocator.use} allocation")

    def _phase_started(self, fact: PhaseStarted) -> Steps:
        state = self.state
        state.known_phase(fact.phase, fact.at)
        state.begin_phase(fact.phase)
        change = state.ledger.start(fact.phase)
        if change is not None:
            yield state.allocated(fact.at, fact.phase, change)
        state.watch_phase(fact.phase)
        yield from self._deciding.fire(Trigger.PHASE_STARTED, state.main, fact.at)

    def _wave_started(self, fact: WaveStarted) -> Steps:
        state = self.state
        state.known_phase(fact.phase, fact.at)
        state.wave = fact.wave
        agents = len(fact.agents)
        if agents > 1:
            headroom = max(0, state.main.scale.budget_tokens - state.main.store.tokens)
            yield HeadroomShared(
                at=fact.at,
                phase=fact.phase,
                wave=fact.wave,
                agents=agents,
                headroom_tokens=headroom,
                each_tokens=headroom // agents,
            )

    def _wave_finished(self, fact: WaveFinished) -> Steps:
        state = self.state
        state.wave = fact.wave
        yield from self._deciding.fire(Trigger.WAVE_FINISHED, state.main, fact.at)
        yield WaveClosed(
            at=fact.at,
            phase=fact.phase,
            wave=fact.wave,
            residual_tokens=state.main.store.tokens,
        )

    def _phase_finished(self, fact: PhaseFinished) -> Steps:
        state = self.state
        if fact.phase != state.phase:
            raise SourceError(f"phase {fact.phase!r} finished but is not running", at=fact.at)
        state.liveness.finish(fact.phase)
        yield from self._deciding.fire(Trigger.PHASE_FINISHED, state.main, fact.at)
        state.unwatch_phase()
        yield from self._close_account(fact)

    def _close_account(self, fact: PhaseFinished) -> Steps:
        """Settle what a phase kept against its grant."""
        state = self.state
        kept = max(0, state.phase_kept_tokens)
        granted = state.ledger.granted
        allocated = granted[fact.phase]
        change = state.ledger.finish(fact.phase, kept)
        if change is not None:
            yield state.allocated(fact.at, fact.phase, change)
        allocated = max(allocated, granted[fact.phase])
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
            start_tokens=state.phase_start_tokens,
            peak_tokens=state.main.note_peak(),
            residual_tokens=state.main.store.tokens,
            kept_tokens=kept,
            over_tokens=over,
        )

    def _run_finished(self, fact: RunFinished) -> Steps:
        state = self.state
        yield from self._deciding.fire(Trigger.RUN_FINISHED, state.main, fact.at)
        state.main.note_peak()
        kept = state.main.store.tokens - (state.run_start_tokens or 0)
        yield RunClosed(
            at=fact.at,
            planned_tokens=state.planned_tokens,
            peak_tokens=state.main.run_peak_tokens,
            residual_tokens=state.main.store.tokens,
            over_tokens=max(0, kept - state.planned_tokens),
        )

    # ---- agents and their threads

    def _agent_started(self, fact: AgentStarted) -> Steps:
        state = self.state
        phase = state.known_phase(fact.phase, fact.at)
        if fact.thread in state.threads:
            raise SourceError(f"thread {fact.thread!r} is already open", at=fact.at)
        thread = state.open_thread(fact.thread, fact.scale or state.main.scale, fact.calls)
        seeds = list(self._seeds(phase.id, phase.after, fact.wave))
        for item in seeds:
            thread.store.add(item)
        yield Seeded(
            at=fact.at,
            thread=fact.thread,
            items=tuple((item.id, item.version) for item in seeds),
            tokens=thread.store.tokens,
        )
        yield from self._deciding.judge(thread, fact.at)

    def _seeds(self, phase: str, needs: Iterable[str], wave: int) -> Iterable[Item]:
        """Yield what a new thread starts with, in prompt order within each part."""
        store = self.state.main.store
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
        state = self.state
        store = state.main.store
        for name in fact.delivered:
            if name in store:
                store.update(replace(store[name], ready=True))
        if fact.thread is not None:
            thread = state.known_thread(fact.thread, fact.at)
            thread.note_peak()
            del state.threads[fact.thread]
            yield ThreadClosed(
                at=fact.at,
                thread=fact.thread,
                peak_tokens=thread.run_peak_tokens,
                calls=thread.store.calls,
            )
        yield from self._deciding.fire(Trigger.AGENT_FINISHED, state.main, fact.at)

    # ---- items and calls

    def _item_added(self, fact: ItemAdded) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        item = fact.item
        if item.kind is Kind.USER and not thread.has_goal:
            item, thread.has_goal = replace(item, pinned=True), True
        thread.store.add(item)
        yield from self._deciding.judge(thread, fact.at)
        yield from self._deciding.fire(Trigger.ITEM_ADDED, thread, fact.at)

    def _item_touched(self, fact: ItemTouched) -> Steps:
        store = self.state.known_thread(fact.thread, fact.at).store
        for name in fact.items:
            if name in store:
                store.touch(name)
        yield from ()

    def _call_started(self, fact: CallStarted) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        thread.model = fact.model
        cache = self.state.cache(fact.model)
        cached = thread.cache_state
        if cached.cached_tokens and not cached.is_warm(fact.at, fact.model, cache):
            yield from self._deciding.fire(Trigger.CACHE_COLD, thread, fact.at)
        yield from self._deciding.fire(Trigger.BEFORE_CALL, thread, fact.at)
        yield from self._deciding.fit(thread, fact.at)
        split = cached.call(
            fact.at,
            model=fact.model,
            cache=cache,
            tokens=thread.store.tokens,
            sent=thread.store.sent(),
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
        thread = self.state.known_thread(fact.thread, fact.at)
        yield from self._deciding.fire(Trigger.REJECTED, thread, fact.at)
        yield from self._deciding.fit(thread, fact.at)
