"""Measures what each phase puts into the main thread, by having the engine play it alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ctxbudget.config.run_setup import RunSetup, placed, set_up_run
from ctxbudget.config.sizes import Measure
from ctxbudget.config.workflow_format import AgentPart, PhasePart, Workflow
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import CallSent, Event, PhaseClosed, PhaseStarted
from ctxbudget.core.types import MAIN
from ctxbudget.schedule.board import Board, Load
from ctxbudget.simulate import simulate

_CALL = PhasePart(id="call")
"""A phase that only makes a call."""


def board_of(setup: RunSetup, measure: Measure) -> Board:
    """Return the phases of a run with what each puts into the main thread.

    Each is played alone by the run's policy, followed by phases that only make a call: two that
    depend on it, and one that does not. What a call finds there is what the phase has left.

    Raises:
        ConfigError: a file or glob that the workflow names cannot be counted.
        BudgetExceededError: what may not be pruned of a phase does not fit the window.
    """
    workflow = setup.loaded.workflow
    parts = {part.id: part for part in workflow.phases}
    try:
        start_tokens = sum(measure.tokens(item) for item in workflow.permanent)
        loads = [_load(setup, measure, parts[name], start_tokens) for name in setup.graph.order]
    except ConfigError as error:
        raise placed(error, setup.loaded.document) from None
    return Board(loads, start_tokens)


def _load(setup: RunSetup, measure: Measure, part: PhasePart, start_tokens: int) -> Load:
    alone = _light(part)
    after = (alone.id,) if setup.graph.dependents(part.id) else ()
    names = [f"{alone.id} +{number}" for number in (1, 2, 3)]
    needs = (after, after, ())
    followers = [_CALL.model_copy(update=_named(*one)) for one in zip(names, needs, strict=True)]
    played = _played(setup, (alone, *followers))
    heard = _Heard()
    simulate(played, measure, [heard])
    first, second, last = (heard.sent_tokens[name] - start_tokens for name in names)
    workflow = setup.loaded.workflow
    tools = workflow.tools_of(part)
    return Load(
        phase=part.id,
        after=part.after,
        rise_tokens=heard.rise_tokens[alone.id],
        live_tokens=second,
        dead_tokens=last,
        fresh_tokens=first - second,
        is_calling=part.main_calls() > 0,
        model=part.model or workflow.model or "",
        tools=tuple(one.id for one in tools),
        tools_tokens=sum(measure.tokens(one) for one in tools),
    )


def _named(name: str, after: tuple[str, ...]) -> dict[str, object]:
    """Return changes of a phase; the name may be longer than a file's may be."""
    return {"id": name, "after": after}


def _light(part: PhasePart) -> PhasePart:
    """Return a phase alone, without tools and what happens only in its agents' own threads."""

    def light(agent: AgentPart) -> AgentPart:
        idle = {"calls": 1, "turn": None, "reads": (), "prompt": None, "tools": None}
        return agent.model_copy(update=idle)

    waves = tuple(
        wave.model_copy(update={"agents": tuple(map(light, wave.agents))}) for wave in part.waves
    )
    agents = tuple(map(light, part.agents))
    changes = {"after": (), "tools": None, "agents": agents, "waves": waves}
    return part.model_copy(update=changes)


def _played(setup: RunSetup, phases: tuple[PhasePart, ...]) -> RunSetup:
    """Return a run of other phases under the same policy; who is granted what plays no part."""
    changes = {"phases": phases, "tools": (), "allocator": "dynamic", "policy": "none"}
    workflow: Workflow = setup.loaded.workflow.model_copy(update=changes)
    other = set_up_run(replace(setup.loaded, workflow=workflow))
    start = replace(
        other.start,
        scale=setup.start.scale,
        thresholds=setup.start.thresholds,
        policy=setup.start.policy,
        holds_limit=setup.start.holds_limit,
    )
    return replace(other, policy=setup.policy, start=start, deliver=setup.deliver)


@dataclass(slots=True)
class _Heard:
    """Hears what the main thread holds."""

    rise_tokens: dict[str, int] = field(default_factory=dict)
    sent_tokens: dict[str, int] = field(default_factory=dict)
    """At the last call of each phase."""
    _phase: str = ""

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self._phase = event.phase
            case CallSent() if event.thread == MAIN:
                self.sent_tokens[self._phase] = event.tokens
            case PhaseClosed():
                self.rise_tokens[event.phase] = event.peak_tokens - event.start_tokens
            case _:
                pass
