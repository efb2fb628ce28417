"""The file's order of phases against the one with the lowest peak, both played by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from ctxbudget.config.run_setup import Overrides, RunSetup, set_up_run
from ctxbudget.config.sizes import Measure
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.config.workflow_format import Deliver
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.graph import PhaseGraph
from ctxbudget.metrics import Metrics
from ctxbudget.schedule.beginnings import Beginnings
from ctxbudget.schedule.claims import doubt_about
from ctxbudget.schedule.loads import board_of
from ctxbudget.schedule.search import MOST_STEPS, Found, find
from ctxbudget.schedule.switches import Switches
from ctxbudget.simulate import measure_for, simulate

MOST_PHASES = 400
"""More are refused: so many take about ten seconds, and the time grows with the square."""


class Known(StrEnum):
    """What is known of a proposed order."""

    ONLY = "only"
    """There is no other order."""
    LOWEST = "lowest"
    """No order has a lower peak."""
    LOWEST_OF_LOADS = "lowest_of_loads"
    """None has, if phases weigh together what they weigh alone; under this policy they may not."""
    GOOD = "good"
    """Not every order was weighed; the bound says how far off it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An order as the engine plays it."""

    order: tuple[str, ...]
    metrics: Metrics
    switches: Switches
    began_tokens: Mapping[str, int]
    """What the main thread held when each phase began."""
    expected_tokens: int
    """The peak that the loads say."""

    @property
    def peak_tokens(self) -> int:
        """The main thread's peak, as `simulate` reports it."""
        return self.metrics.run.peak_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is proposed, and what it rests on."""

    setup: RunSetup
    """Of the file's order."""
    as_filed: Played
    proposed: Played
    refused: Played | None
    """The order that the loads suggest, where the engine finds it worse than the file's."""
    known: Known
    bound_tokens: int | None
    """No order has a lower peak; None if there is a doubt."""
    lowest_tokens: int
    """The lowest peak found, which slack may exceed."""
    has_fewest_switches: bool
    doubt: str | None
    """Why the loads may not be all there is to it."""
    in_turn_tokens: int | None
    """The proposed order's peak if outputs of a wave arrived in turn; None if that is no choice."""

    @property
    def saved_tokens(self) -> int:
        """By how much the peak is lower."""
        return self.as_filed.peak_tokens - self.proposed.peak_tokens

    @property
    def is_new(self) -> bool:
        """Whether another order than the file's is proposed."""
        return self.proposed.order != self.as_filed.order


def propose(
    loaded: LoadedWorkflow,
    overrides: Overrides,
    slack_frac: float = 0.0,
    most_steps: int = MOST_STEPS,
) -> Proposal:
    """Return the order of phases with the lowest peak, played beside the file's own.

    Args:
        loaded: the workflow.
        overrides: as for a simulation.
        slack_frac: by how much of the lowest peak it may be exceeded for fewer switches.
        most_steps: how many steps an exact search may weigh.

    Raises:
        ConfigError: the workflow contradicts itself, or a file that it names cannot be counted.
        BudgetExceededError: what may not be pruned does not fit the window.
    """
    setup = set_up_run(loaded, overrides)
    measure = measure_for(loaded)
    if has_one_order(setup.graph):
        return _only(setup, measure)
    _refuse_too_many(loaded)
    board = board_of(setup, measure)
    found = find(board, slack_frac, most_steps)
    as_filed = _play(setup, measure, board.peak_tokens(range(len(board.loads))))
    names = [board.loads[one].phase for one in found.order]
    other = set_up_run(reordered(loaded, names), overrides)
    drafted = _play(other, measure, found.peak_tokens)
    is_worse = (
        drafted.peak_tokens > as_filed.peak_tokens
        and drafted.expected_tokens <= as_filed.expected_tokens
    )
    doubt = _doubt(setup, as_filed, drafted)
    return Proposal(
        setup=setup,
        as_filed=as_filed,
        proposed=as_filed if is_worse else drafted,
        refused=drafted if is_worse else None,
        known=_known(found, doubt),
        bound_tokens=found.bound_tokens if doubt is None else None,
        lowest_tokens=found.lowest_tokens,
        has_fewest_switches=found.has_fewest_switches,
        doubt=doubt,
        in_turn_tokens=_in_turn_tokens(setup if is_worse else other, measure),
    )


def has_one_order(graph: PhaseGraph) -> bool:
    """Return True if each phase builds on the one before it."""
    return all(one in graph[after].after for one, after in pairwise(graph.order))


def _refuse_too_many(loaded: LoadedWorkflow) -> None:
    count = len(loaded.workflow.phases)
    if count > MOST_PHASES:
        raise ConfigError(
            f"has {count:,} phases, but no more than {MOST_PHASES:,} can be put in order; split "
            "the workflow, or tie phases that belong together by `after`",
            path=loaded.document.path,
            line=loaded.document.line_of(("phases",)),
            location=("phases",),
        )


def _only(setup: RunSetup, measure: Measure) -> Proposal:
    played = _play(setup, measure, None)
    return Proposal(
        setup=setup,
        as_filed=played,
        proposed=played,
        refused=None,
        known=Known.ONLY,
        bound_tokens=played.peak_tokens,
        lowest_tokens=played.peak_tokens,
        has_fewest_switches=True,
        doubt=None,
        in_turn_tokens=_in_turn_tokens(setup, measure),
    )


def reordered(loaded: LoadedWorkflow, order: Sequence[str]) -> LoadedWorkflow:
    """Return a workflow with its phases listed in another order."""
    parts = {part.id: part for part in loaded.workflow.phases}
    phases = tuple(parts[name] for name in order)
    return replace(loaded, workflow=loaded.workflow.model_copy(update={"phases": phases}))


def _play(setup: RunSetup, measure: Measure, expected_tokens: int | None) -> Played:
    switches, beginnings = Switches(), Beginnings()
    metrics = simulate(setup, measure, [switches, beginnings])
    return Played(
        order=setup.graph.order,
        metrics=metrics,
        switches=switches,
        began_tokens=beginnings.tokens,
        expected_tokens=metrics.run.peak_tokens if expected_tokens is None else expected_tokens,
    )


def _doubt(setup: RunSetup, as_filed: Played, drafted: Played) -> str | None:
    """Return why phases may weigh otherwise together than alone, if they may."""
    of_policy = doubt_about(setup.policy.policy)
    if of_policy is not None:
        return f"policy {setup.policy.label}: {of_policy}"
    limit = setup.start.scale.hard_limit_tokens
    if setup.start.holds_limit and drafted.expected_tokens > limit:
        return f"the prompt exceeds the limit of {limit:,} tokens, so that more is cut to fit"
    is_over = setup.start.holds_limit and as_filed.expected_tokens > limit
    for one in (drafted,) if is_over else (drafted, as_filed):
        if one.peak_tokens != one.expected_tokens:
            return (
                f"phases together hold {one.peak_tokens:,} tokens at most, where measured each "
                f"alone they add up to {one.expected_tokens:,}"
            )
    return None


def _known(found: Found, doubt: str | None) -> Known:
    if not found.is_exact:
        return Known.GOOD
    return Known.LOWEST if doubt is None else Known.LOWEST_OF_LOADS


def _in_turn_tokens(setup: RunSetup, measure: Measure) -> int | None:
    """Return a run's peak if the outputs of each wave arrived in turn."""
    waves = [wave for part in setup.loaded.workflow.phases for wave in part.all_waves()]
    if setup.deliver is Deliver.IN_TURN or all(len(wave.agents) < 2 for wave in waves):
        return None
    return simulate(replace(setup, deliver=Deliver.IN_TURN), measure).run.peak_tokens
