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
    Activated,
    AgentFinished,
    AgentStarted,
    CacheFound,
    CacheLost,
    CallAnswered,
    CallSent,
    CallStarted,
    Fact,
    HeadroomShared,
    Injected,
    ItemAdded,
    ItemTouched,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    PromptCounted,
    Pruned,
    Registered,
    Rejected,
    RestoreAsked,
    Restored,
    Reviewed,
    RunClosed,
    RunFinished,
    RunStarted,
    Seeded,
    Shortened,
    ThreadClosed,
    Told,
    UndoAsked,
    WaveClosed,
    WaveFinished,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.policy import Policy
from ctxbudget.core.returning import Return, bring_back, return_of_item, return_of_plan
from ctxbudget.core.run_state import RunState, open_run
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import LONG_TTL_S, MAIN, Item, Kind, Layer, Level, Trigger
from ctxbudget.core.watch import Filter

HANDED_DOWN = Filter(layers=(Layer.TRANSIENT, Layer.METADATA), kinds=(Kind.ARTIFACT, Kind.SUMMARY))
"""What an agent gets of the phases it depends on, in the form in which it stands."""

THINKING = Filter(kinds=(Kind.THINKING,))

SHARE_AFTER_REJECTION_FRAC = 0.8
"""Of the occupancy at which a provider refused a prompt without saying its limit."""


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
            Withdrawn: self._withdrawn,
            Registered: self._registered,
            Activated: self._activated,
            CacheLost: self._cache_lost,
            CacheFound: self._cache_found,
            CallStarted: self._call_started,
            CallAnswered: self._call_answered,
            PromptCounted: self._prompt_counted,
            Rejected: self._rejected,
            RestoreAsked: self._restore_asked,
            UndoAsked: self._undo_asked,
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
        if isinstance(fact, Shortened | Reviewed):
            raise SourceError("an answer to what nobody asked", at=fact.at)
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
            headroom = max(0, state.main.scale.budget_tokens - state.main.occupancy_tokens)
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
        yield from self._take_back_injected(fact)
        yield from self._deciding.fire(Trigger.PHASE_FINISHED, state.main, fact.at)
        state.unwatch_phase()
        yield from self._close_account(fact)

    def _take_back_injected(self, fact: PhaseFinished) -> Steps:
        """Take out what was put in because the phase needed it."""
        state = self.state
        here = state.main.store
        names = tuple(one for one in state.shelf.leaving(MAIN, fact.phase) if one in here)
        if not names:
            return
        yield self._drop(state.main, names, "injected", "the phase that needed it is over", fact.at)

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
            thread.gauge.came(item)
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
            state.shelf.forget(fact.thread)
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
        is_goal = item.kind is Kind.USER and thread.goal is None
        thread.add(replace(item, pinned=True) if is_goal else item)
        if is_goal:
            thread.goal = item.id
        yield from self._deciding.judge(thread, fact.at)
        yield from self._deciding.fire(Trigger.ITEM_ADDED, thread, fact.at)
        if item.kind is Kind.TOOL_CALL and item.tool is not None:
            for one in self.state.shelf.activated_by(item.tool):
                yield from self._inject(one, thread, item.tool, fact.at)

    def _withdrawn(self, fact: Withdrawn) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        thread.withdraw(tuple(name for name in dict.fromkeys(fact.items) if name in thread.store))
        orphans = thread.withdraw_from_stand_ins(fact.items)
        if orphans:
            reason = "the host took back all that it stood for"
            yield self._drop(thread, orphans, "withdrawn", reason, fact.at)
        yield from self._deciding.judge(thread, fact.at)

    def _registered(self, fact: Registered) -> Steps:
        self.state.shelf.register(fact.item, fact.activated_by, fact.at)
        yield from ()

    def _activated(self, fact: Activated) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        item = self.state.shelf.find(fact.item, fact.at)
        if item.id not in thread.store:
            self.state.shelf.forget(thread.name, item.id)
        yield from self._inject(item, thread, "asked for", fact.at)

    def _inject(self, item: Item, thread: Thread, by: str, at: float) -> Steps:
        """Put a registered item in, once in a phase unless it is asked for."""
        if item.id in thread.store:
            return
        taken = self.state.shelf.take(item, thread.name, self.state.phase)
        if taken is None:
            return
        thread.add(taken)
        yield Injected(at=at, item=taken, by=by, thread=thread.name)
        yield from self._deciding.judge(thread, at)

    def _item_touched(self, fact: ItemTouched) -> Steps:
        store = self.state.known_thread(fact.thread, fact.at).store
        for name in fact.items:
            if name in store:
                store.touch(name)
        yield from ()

    def _call_started(self, fact: CallStarted) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        self.state.spending.check(self.state.phase)
        thread.model, thread.ttl_s = fact.model, fact.ttl_s
        cache = self.state.cache(thread)
        cached = thread.cache_state
        if cached.was_written and not cached.is_warm(fact.at, fact.model):
            yield from self._deciding.fire(Trigger.CACHE_COLD, thread, fact.at)
        yield from self._deciding.fire(Trigger.BEFORE_CALL, thread, fact.at)
        yield from self._deciding.fit(thread, fact.at)
        yield from self._strip_thinking(thread, fact.at)
        split = cached.call(
            fact.at,
            model=fact.model,
            cache=cache,
            tokens=thread.store.tokens,
            fixed_tokens=thread.fixed_tokens,
            sent=thread.store.sent(),
        )
        is_long = cache.ttl_s >= LONG_TTL_S
        thread.is_refused = False
        thread.growth.called(thread.occupancy_tokens)
        thread.gauge.sent(thread.store.tokens)
        thread.calls_left = max(0, thread.calls_left - 1)
        yield CallSent(
            at=fact.at,
            call=thread.store.calls,
            tokens=thread.store.tokens,
            cache_read_tokens=split.cache_read_tokens,
            cache_write_tokens=split.cache_write_tokens,
            cache_write_1h_tokens=split.cache_write_tokens if is_long else 0,
            uncached_tokens=split.uncached_tokens,
            rewritten_tokens=split.rewritten_tokens,
            model=fact.model,
            thread=thread.name,
        )

    def _cache_lost(self, fact: CacheLost) -> Steps:
        self.state.known_thread(fact.thread, fact.at).cache_state.lost(fact.kept_tokens)
        yield from ()

    def _cache_found(self, fact: CacheFound) -> Steps:
        self.state.known_thread(fact.thread, fact.at).cache_state.found(fact.tokens)
        yield from ()

    def _strip_thinking(self, thread: Thread, at: float) -> Steps:
        """Take out thinking that stands behind an edit: providers bind it to what was before it."""
        edited = thread.store.edited
        if edited is None or not self.state.start.strips_thinking:
            return
        bound = thread.store.matching(THINKING).behind(edited)
        if not bound:
            return
        names = tuple(entry.item.id for entry in bound)
        reason = "what it was bound to has changed, so the provider would refuse it"
        yield self._drop(thread, names, "thinking", reason, at)

    def _drop(
        self, thread: Thread, items: tuple[str, ...], rule: str, reason: str, at: float
    ) -> Pruned:
        return thread.drop(items, self.state.numbers, rule=rule, reason=reason, at=at)

    def _call_answered(self, fact: CallAnswered) -> Steps:
        state = self.state
        thread = state.known_thread(fact.thread, fact.at)
        if not thread.store.calls:
            raise SourceError(f"thread {thread.name!r} has made no call to answer", at=fact.at)
        thread.gauge.answered(fact.prompt_tokens)
        thread.cache_state.answered(fact.cache_read_tokens)
        yield from state.charge(replace(fact, model=fact.model or thread.model), fact.at)
        yield from self._deciding.judge(thread, fact.at)

    def _prompt_counted(self, fact: PromptCounted) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        thread.gauge.counted(fact.tokens, thread.store.tokens)
        yield from self._deciding.judge(thread, fact.at)

    def _rejected(self, fact: Rejected) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        thread.is_refused = True
        self._learn_limit(thread, fact)
        yield from self._deciding.fire(Trigger.REJECTED, thread, fact.at)
        yield from self._deciding.fit(thread, fact.at)
        yield from self._deciding.judge(thread, fact.at)

    def _learn_limit(self, thread: Thread, fact: Rejected) -> None:
        """Take the provider's numbers for true; without any, ask for less than what was sent."""
        if fact.tokens is not None:
            thread.gauge.counted(fact.tokens, thread.store.tokens)
        limit = fact.limit_tokens
        if limit is None:
            limit = int(thread.occupancy_tokens * SHARE_AFTER_REJECTION_FRAC)
        scale = thread.scale
        if limit < scale.hard_limit_tokens:
            thread.scale = replace(
                scale,
                window_tokens=limit + scale.reserve_tokens,
                budget_tokens=min(scale.budget_tokens, limit),
            )
            self.state.watch_budget(thread)

    # ---- what comes back

    def _restore_asked(self, fact: RestoreAsked) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        back = return_of_item(thread, fact.item, self.state.main)
        yield from self._bring_back(thread, back, fact.at, pin=fact.pin)

    def _undo_asked(self, fact: UndoAsked) -> Steps:
        thread = self.state.known_thread(fact.thread, fact.at)
        number, back = return_of_plan(thread, fact.plan)
        yield from self._bring_back(thread, back, fact.at, plan=number)
        del thread.plans[number]

    def _bring_back(
        self, thread: Thread, back: Return, at: float, *, plan: int | None = None, pin: bool = False
    ) -> Steps:
        yield from self._deciding.make_room(thread, back, at)
        items = bring_back(thread, back, pin=pin)
        yield Restored(
            at=at,
            items=items,
            removed=back.removed,
            gained_tokens=back.gained_tokens,
            rewritten_tokens=back.rewritten_tokens,
            occupancy_tokens=thread.store.tokens,
            plan=plan,
            thread=thread.name,
        )
        yield from self._deciding.judge(thread, at)
