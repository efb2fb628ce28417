"""Many runs of one workflow on paper, each with its own draws, through the same engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ctxbudget.chance import EXPECTED, Chance, Course, Drawn
from ctxbudget.config.run_setup import RunSetup
from ctxbudget.config.sizes import Counted
from ctxbudget.core.errors import BudgetExceededError
from ctxbudget.core.types import Level
from ctxbudget.metrics import EventRow, Metrics, PhaseRow, RunRow
from ctxbudget.parallel import Backend, run_all
from ctxbudget.simulate import session_of
from ctxbudget.sources.workflow import WorkflowSource

MOST_RUNS_AT_ONCE: Final = 50
"""Of one task: a task takes a good part of a second, so that progress is seen."""

TASKS_PER_WORKER: Final = 4
"""At least, where there are enough runs: the last task of all keeps nobody waiting long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """What a phase came to in one run."""

    phase: str
    peak_tokens: int
    sent_tokens: int
    levels: frozenset[Level]
    """Warn and critical, if the peak was above them; overflow, if a prompt was over the hard limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run came to under one policy."""

    peak_tokens: int
    sent_tokens: int
    cost_usd: Decimal | None
    levels: frozenset[Level]
    phases: tuple[PhaseOutcome, ...]
    """Those that ran, in order."""
    blamed: str | None
    """The phase to blame, if the run was critical or overflowed."""
    stopped: str | None
    """Why it did not go to its end; all numbers are then up to there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One run, under each policy."""

    course: Course
    """What chance decided; the same under every policy."""
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Runs that are played by one worker."""

    setups: tuple[RunSetup, ...]
    """One per policy."""
    sizes: Counted
    seed: int
    numbers: range
    """Of the runs, from 1."""


def play_runs(
    setups: Sequence[RunSetup],
    sizes: Counted,
    *,
    runs: int,
    seed: int,
    workers: int | None = None,
    backend: Backend = Backend.PROCESSES,
    on_done: Callable[[int], None] = lambda runs: None,
) -> list[Played]:
    """Return the runs, in order; who plays them makes no difference.

    Where chance has no say all runs are alike, and one is played.

    Args:
        setups: of one workflow, one per policy; a run has the same draws under each.
        sizes: all that the workflow names, counted.
        runs: how many, at least 1.
        seed: another one gives other draws.
        workers: as of `run_all`.
        backend: as of `run_all`.
        on_done: called with the number of runs that were played since the last call.

    Raises:
        BudgetExceededError: what may not be pruned does not fit, in a workflow without chance.
        As `run_all`.
    """
    if not setups[0].loaded.workflow.is_uncertain:
        return [play(setups, sizes, EXPECTED, may_stop=False)] * runs
    batches = list(_batches(setups, sizes, runs, seed, workers))
    played = run_all(
        play_batch,
        batches,
        workers=workers,
        backend=backend,
        on_result=lambda place, batch: on_done(len(batch)),
    )
    return [one for batch in played for one in batch]


def _batches(
    setups: Sequence[RunSetup], sizes: Counted, runs: int, seed: int, workers: int | None
) -> Iterator[Batch]:
    fair = -(-runs // (TASKS_PER_WORKER * (workers or 1)))
    size = min(MOST_RUNS_AT_ONCE, fair)
    for first in range(1, runs + 1, size):
        numbers = range(first, min(first + size, runs + 1))
        yield Batch(setups=tuple(setups), sizes=sizes, seed=seed, numbers=numbers)


def play_batch(batch: Batch) -> tuple[Played, ...]:
    """Return the runs of a batch, in order."""
    return tuple(
        play(batch.setups, batch.sizes, Drawn(seed=batch.seed, run=number))
        for number in batch.numbers
    )


def play(
    setups: Sequence[RunSetup], sizes: Counted, chance: Chance, *, may_stop: bool = True
) -> Played:
    """Return one run under each policy.

    Raises:
        BudgetExceededError: what may not be pruned does not fit, unless a run `may_stop`.
    """
    played = [_under_one(setup, sizes, chance, may_stop=may_stop) for setup in setups]
    return Played(course=played[0][0], outcomes=tuple(outcome for _, outcome in played))


def _under_one(
    setup: RunSetup, sizes: Counted, chance: Chance, *, may_stop: bool
) -> tuple[Course, Outcome]:
    source, metrics = WorkflowSource(setup, sizes, chance), Metrics()
    facts = source.facts()
    stopped = None
    try:
        session_of(source, (metrics,)).run(facts)
    except BudgetExceededError as error:
        if not may_stop:
            raise
        stopped = str(error)
        for _ in facts:  # what chance decides later is part of the course all the same
            pass
    return source.course, _outcome(metrics, source.course, stopped)


def _outcome(metrics: Metrics, course: Course, stopped: str | None) -> Outcome:
    run = metrics.run
    ran = [row for row in metrics.phases if course.times.get(row.id) != 0]
    levels = _levels(run, run.events, run)
    if stopped is not None:
        levels = frozenset((Level.WARN, Level.CRITICAL, Level.OVERFLOW))
    return Outcome(
        peak_tokens=run.peak_tokens,
        sent_tokens=run.sent_tokens,
        cost_usd=run.cost_usd,
        levels=levels,
        phases=tuple(
            PhaseOutcome(
                phase=row.id,
                peak_tokens=row.peak_tokens,
                sent_tokens=row.sent_tokens,
                levels=_levels(row, row.events, run),
            )
            for row in ran
        ),
        blamed=_blamed(metrics, levels, is_stopped=stopped is not None),
        stopped=stopped,
    )


def _levels(row: RunRow | PhaseRow, events: Sequence[EventRow], run: RunRow) -> frozenset[Level]:
    """Return the levels that a run or a phase was above.

    Warn and critical go by the peak, not by what was told: a phase that starts above a level is
    above it, but was not told again.
    """
    found = {Level.WARN: run.warn_tokens, Level.CRITICAL: run.critical_tokens}
    above = {level for level, limit in found.items() if row.peak_tokens > limit}
    if any(event.level == Level.OVERFLOW for event in events):
        above.add(Level.OVERFLOW)
    return frozenset(above)


def _blamed(metrics: Metrics, levels: frozenset[Level], *, is_stopped: bool) -> str | None:
    """Return the phase that a run's trouble is about; the first of several that are as bad.

    Of a run that stopped, the phase in which it did; of one with an overflow, the phase of the
    largest prompt that was over the hard limit; of one that was critical, the phase of the peak.
    """
    rows = metrics.phases
    if not rows or levels <= {Level.WARN}:
        return None
    if is_stopped:
        return rows[-1].id
    if Level.OVERFLOW in levels:
        worst = max(rows, key=_largest_overflow_tokens)
        if _largest_overflow_tokens(worst):
            return worst.id
    return max(rows, key=lambda row: row.peak_tokens).id


def _largest_overflow_tokens(row: PhaseRow) -> int:
    over = (event.tokens for event in row.events if event.level == Level.OVERFLOW)
    return max(over, default=0)
