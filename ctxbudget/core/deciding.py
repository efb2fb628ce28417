"""What follows from a change: the policy is asked, the limit is held, levels are told."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ctxbudget.core import fit
from ctxbudget.core.errors import BudgetExceededError
from ctxbudget.core.events import Decision, Effect, Shortened, Told
from ctxbudget.core.policy import Moment, Policy
from ctxbudget.core.run_state import RunState
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import MAIN, Level, Plan, Trigger

Steps: TypeAlias = Generator[Decision | Effect, Shortened | None, None]
"""What handling a fact yields: decisions to record, effects to answer."""

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
        )
        yield from self._carry_out(self.policy(moment), thread, at)

    def fit(self, thread: Thread, at: float) -> Steps:
        """Tell if the prompt is over the hard limit, and make it fit.

        Raises:
            BudgetExceededError: what may not be touched does not fit.
        """
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
        yield from self._carry_out(fit.plans(thread.store, limit), thread, at, is_fit=True)
        if thread.store.tokens > limit:
            left = sorted(thread.store, key=lambda item: (-item.tokens, item.id))
            raise BudgetExceededError(
                thread=thread.name,
                tokens=thread.store.tokens,
                limit_tokens=limit,
                items=tuple((item.id, item.tokens) for item in left),
            )

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

    def _carry_out(
        self, plans: Iterable[Plan], thread: Thread, at: float, *, is_fit: bool = False
    ) -> Steps:
        before = thread.store.tokens
        cache, numbers = self.state.cache(thread.model), self.state.numbers
        for plan in plans:
            yield from thread.carry_out(plan, at=at, cache=cache, numbers=numbers, is_fit=is_fit)
        if thread.store.tokens != before:
            yield from self.judge(thread, at)

    def _draw_on_buffer(self, level: Level, thread: Thread, at: float) -> Steps:
        state = self.state
        if thread.name != MAIN or state.phase is None:
            return
        lack = state.phase_kept_tokens - state.ledger.granted[state.phase]
        change = state.ledger.draw(state.phase, lack, level)
        if change is not None:
            yield state.allocated(at, state.phase, change)
