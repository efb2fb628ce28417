"""What follows from a change: the policy is asked, the limit is held, levels are told."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ctxbudget.core import fit
from ctxbudget.core.errors import BudgetExceededError
from ctxbudget.core.events import Answered, Decision, Effect, Pruned, Thrashing, Told
from ctxbudget.core.policy import Moment, Policy
from ctxbudget.core.returning import Return
from ctxbudget.core.run_state import RunState
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import MAIN, Do, Item, Level, Plan, Trigger

Steps: TypeAlias = Generator[Decision | Effect, Answered | None, None]
"""What handling a fact yields: decisions to record, effects to answer."""

UNDER_PRESSURE = frozenset(
    {Trigger.ITEM_ADDED, Trigger.BEFORE_CALL, Trigger.WARN, Trigger.CRITICAL, Trigger.REJECTED}
)
"""Triggers upon which a summary is written because the prompt is full, not because work is done."""

_TRIGGER_OF = {Level.WARN: Trigger.WARN, Level.CRITICAL: Trigger.CRITICAL}


@dataclass(frozen=True, slots=True)
class Deciding:
    """Asks a policy about a run."""

    policy: Policy
    state: RunState

    def fire(self, trigger: Trigger, thread: Thread, at: float) -> Steps:
        """Ask the policy, carrying out each plan before it is asked for the next."""
        state = self.state
        moment = Moment(
            trigger=trigger,
            at=at,
            thread=thread.name,
            store=thread.store,
            scale=thread.scale,
            phase=state.phase,
            wave=state.wave,
            dead_phases=state.liveness.dead,
            phase_ages=state.ages,
            fired_at_call=thread.fired_at_call,
            calls_left=thread.expected_calls,
            extra_tokens=thread.gauge.extra_tokens,
            cache=state.cache(thread),
            cache_losses=thread.cache_state.losses,
        )
        carried_out = self._carry_out(self.policy(moment), thread, at)
        if trigger not in UNDER_PRESSURE:
            yield from carried_out
            return
        plan = yield from self._noting_compaction(carried_out)
        if plan <= thread.compaction_plan:
            return  # none, or one that a level crossed on the way has brought about
        thread.compaction_plan = plan
        filler, thread.growth.largest = thread.growth.largest, None
        if thread.compacted() and filler is not None:
            yield Thrashing(at=at, item=filler.id, tokens=filler.tokens, thread=thread.name)

    def fit(self, thread: Thread, at: float) -> Steps:
        """Tell if the prompt is over the hard limit, and make it fit.

        Raises:
            BudgetExceededError: what may not be touched does not fit.
        """
        limit = thread.scale.hard_limit_tokens
        if thread.occupancy_tokens <= limit or not self.state.start.holds_limit:
            return
        yield Told(
            at=at,
            level=Level.OVERFLOW,
            scope=thread.scope,
            tokens=thread.occupancy_tokens,
            limit_tokens=limit,
            thread=thread.name,
        )
        yield from self._carry_out(fit.plans(thread, limit), thread, at, is_fit=True)
        if thread.occupancy_tokens > limit:
            raise _too_large(thread, thread.store, thread.occupancy_tokens)

    def make_room(self, thread: Thread, back: Return, at: float) -> Steps:
        """Make what is to come back fit the hard limit, at the cost of other items.

        Raises:
            BudgetExceededError: it cannot fit; nothing has been pruned then.
        """
        gained = back.gained_tokens + back.gained_error_tokens
        room = thread.scale.hard_limit_tokens - gained
        if thread.occupancy_tokens <= room:
            return
        wanted = f"{gained:,} tokens are to come back, but with them "
        least, staying = yield from thread.least(back.ids, at)
        if least > room:
            raise _too_large(thread, staying, least + gained, wanted)
        plans = fit.plans(thread, room, back.ids)
        yield from self._carry_out(plans, thread, at, is_fit=True, judges=False)
        if thread.occupancy_tokens > room:
            raise _too_large(thread, thread.store, thread.occupancy_tokens + gained, wanted)

    def judge(self, thread: Thread, at: float) -> Steps:
        """Tell the levels crossed just now, and let the policy act upon each."""
        for one in thread.monitors:
            tokens = self.state.measure(one, thread)
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
                yield from self.fire(_TRIGGER_OF[level], thread, at)

    def _noting_compaction(
        self, steps: Steps
    ) -> Generator[Decision | Effect, Answered | None, int]:
        """Pass steps on; return the number of the last plan in which a summary replaced items."""
        plan, reply = 0, None
        while True:
            try:
                event = steps.send(reply)
            except StopIteration:
                return plan
            if isinstance(event, Pruned) and event.do is Do.SUMMARIZE and event.items:
                plan = max(plan, event.plan)
            reply = yield event

    def _carry_out(
        self,
        plans: Iterable[Plan],
        thread: Thread,
        at: float,
        *,
        is_fit: bool = False,
        judges: bool = True,
    ) -> Steps:
        before = thread.store.tokens
        cache, numbers = self.state.cache(thread), self.state.numbers
        for plan in plans:
            yield from thread.carry_out(plan, at=at, cache=cache, numbers=numbers, is_fit=is_fit)
            while thread.charges:
                yield from self.state.charge(thread.charges.pop(0), at)
        if judges and thread.store.tokens != before:
            yield from self.judge(thread, at)

    def _draw_on_buffer(self, level: Level, thread: Thread, at: float) -> Steps:
        state = self.state
        if thread.name != MAIN or state.phase is None:
            return
        lack = state.phase_kept_tokens - state.ledger.granted[state.phase]
        change = state.ledger.draw(state.phase, lack, level)
        if change is not None:
            yield state.allocated(at, state.phase, change)


def _too_large(
    thread: Thread, items: Iterable[Item], tokens: int, wanted: str = ""
) -> BudgetExceededError:
    left = sorted(items, key=lambda item: (-item.tokens, item.id))
    return BudgetExceededError(
        thread=thread.name,
        tokens=tokens,
        limit_tokens=thread.scale.hard_limit_tokens,
        items=tuple((item.id, item.tokens) for item in left),
        wanted=wanted,
    )
