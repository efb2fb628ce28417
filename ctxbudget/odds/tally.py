"""Numbers from many runs: how likely each level is, and what peak, sent and cost come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, TypeVar

from ctxbudget.core.types import Level
from ctxbudget.odds.runs import Outcome, PhaseOutcome, Played

N = TypeVar("N", int, Decimal)

_Z_OF_95_PERCENT: Final = 1.96
"""Standard deviations to both sides that hold 95% of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles(Generic[N]):
    """How a number is spread over runs."""

    p5: N
    p50: N
    p95: N
    max: N


def percentiles(values: Iterable[N]) -> Percentiles[N] | None:
    """Return the percentiles of numbers; None of no number.

    Source: the nearest-rank method: the least number that so many percent of all do not exceed.
    """
    ranked = sorted(values)
    if not ranked:
        return None

    def at(percent: int) -> N:
        return ranked[-(-len(ranked) * percent // 100) - 1]

    return Percentiles(p5=at(5), p50=at(50), p95=at(95), max=ranked[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """In how many runs each level was reached."""

    warn_runs: int
    critical_runs: int
    overflow_runs: int

    def runs_at(self, level: Level) -> int:
        """Return in how many runs one of the three levels was reached."""
        return {
            Level.WARN: self.warn_runs,
            Level.CRITICAL: self.critical_runs,
            Level.OVERFLOW: self.overflow_runs,
        }[level]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOdds:
    """A phase over all runs."""

    phase: str
    ran_runs: int
    """All but those that skipped it, or stopped before it; numbers are of these."""
    reached: Reached
    blamed_runs: int
    """In which it was the phase to blame."""
    peak_tokens: Percentiles[int] | None
    sent_tokens: Percentiles[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOdds:
    """All runs under one policy; percentiles are of the runs that went to their end."""

    policy: str
    reached: Reached
    stopped_runs: int
    """Which had to stop, since what may not be pruned did not fit; counted as overflow, too."""
    why_stopped: str | None
    """Of the first of them."""
    peak_tokens: Percentiles[int] | None
    sent_tokens: Percentiles[int] | None
    cost_usd: Percentiles[Decimal] | None
    """None if a price that it takes is not known."""
    phases: tuple[PhaseOdds, ...]
    sends_less_runs: int
    """In which it sends fewer tokens than the first policy does."""

    @property
    def most_to_blame(self) -> PhaseOdds | None:
        """The phase that is to blame in the most runs; None if none is."""
        worst = max(self.phases, key=lambda one: one.blamed_runs, default=None)
        return worst if worst is not None and worst.blamed_runs else None

    @property
    def blamed_runs(self) -> int:
        """Runs in which a phase is to blame: those that were critical or overflowed."""
        return sum(one.blamed_runs for one in self.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCourse:
    """How often a phase ran that may loop or be skipped."""

    phase: str
    runs_by_times: tuple[tuple[int, int], ...]
    """(times, runs), by rising times; 0 times is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCourse:
    """How an agent fared that may fail."""

    agent: str
    """As `phase/agent`."""
    failed_tries: int
    """Over all runs."""
    failed_runs: int
    """With at least one failed try."""
    lost_runs: int
    """In which all tries failed, so that it delivered nothing, at least once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """What many runs of a workflow tell."""

    runs: int
    policies: tuple[PolicyOdds, ...]
    phases: tuple[PhaseCourse, ...]
    agents: tuple[AgentCourse, ...]

    @property
    def error_frac(self) -> float:
        """By how much a probability may be off, at most.

        Source: the normal approximation of a share's 95% interval, at a share of a half.
        """
        return float(_Z_OF_95_PERCENT * (0.25 / self.runs) ** 0.5)


def odds(policies: Sequence[str], phases: Sequence[str], played: Sequence[Played]) -> Odds:
    """Return what runs tell.

    Args:
        policies: names, in the order of the outcomes of each run.
        phases: all of the workflow's, in the order in which they run.
        played: the runs, at least one.
    """
    first = [one.outcomes[0] for one in played]
    return Odds(
        runs=len(played),
        policies=tuple(
            _policy_odds(name, phases, [one.outcomes[number] for one in played], first)
            for number, name in enumerate(policies)
        ),
        phases=tuple(_phase_courses(phases, played)),
        agents=tuple(_agent_courses(played)),
    )


def _policy_odds(
    name: str, phases: Sequence[str], outcomes: Sequence[Outcome], first: Sequence[Outcome]
) -> PolicyOdds:
    ended = [one for one in outcomes if one.stopped is None]
    costs = [one.cost_usd for one in ended if one.cost_usd is not None]
    of_phase: dict[str, list[PhaseOutcome]] = {phase: [] for phase in phases}
    for outcome in outcomes:
        for row in outcome.phases:
            of_phase[row.phase].append(row)
    blamed = Counter(one.blamed for one in outcomes)
    pairs = zip(outcomes, first, strict=True)
    return PolicyOdds(
        policy=name,
        reached=_reached(outcomes),
        stopped_runs=len(outcomes) - len(ended),
        why_stopped=next((one.stopped for one in outcomes if one.stopped is not None), None),
        peak_tokens=percentiles(one.peak_tokens for one in ended),
        sent_tokens=percentiles(one.sent_tokens for one in ended),
        cost_usd=percentiles(costs) if len(costs) == len(ended) else None,
        phases=tuple(
            PhaseOdds(
                phase=phase,
                ran_runs=len(rows),
                reached=_reached(rows),
                blamed_runs=blamed[phase],
                peak_tokens=percentiles(row.peak_tokens for row in rows),
                sent_tokens=percentiles(row.sent_tokens for row in rows),
            )
            for phase, rows in of_phase.items()
        ),
        sends_less_runs=sum(
            one.stopped is None and other.stopped is None and one.sent_tokens < other.sent_tokens
            for one, other in pairs
        ),
    )


def _reached(outcomes: Sequence[Outcome] | Sequence[PhaseOutcome]) -> Reached:
    counts = Counter(level for one in outcomes for level in one.levels)
    return Reached(
        warn_runs=counts[Level.WARN],
        critical_runs=counts[Level.CRITICAL],
        overflow_runs=counts[Level.OVERFLOW],
    )


def _phase_courses(phases: Sequence[str], played: Sequence[Played]) -> Iterable[PhaseCourse]:
    for phase in phases:
        times = Counter(one.course.times[phase] for one in played if phase in one.course.times)
        if times:
            yield PhaseCourse(phase=phase, runs_by_times=tuple(sorted(times.items())))


def _agent_courses(played: Sequence[Played]) -> Iterable[AgentCourse]:
    for agent in dict.fromkeys(name for one in played for name in one.course.failed_tries):
        failed = [one.course.failed_tries.get(agent, 0) for one in played]
        yield AgentCourse(
            agent=agent,
            failed_tries=sum(failed),
            failed_runs=sum(tries > 0 for tries in failed),
            lost_runs=sum(one.course.lost_outputs.get(agent, 0) > 0 for one in played),
        )
