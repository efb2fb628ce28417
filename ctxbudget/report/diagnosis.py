"""Why a phase went over, in words, with the step to take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ctxbudget.core.types import Level
from ctxbudget.metrics import Metrics, PhaseRow, RunRow, WholeRow
from ctxbudget.report.plain import how_many

_FOR_OUTPUTS: Final = "use a policy that replaces outputs by metadata, such as aggressive"
_FOR_ROUNDS: Final = "adaptive"
"""The shipped policy that is made for loops of tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a user should know of a phase."""

    phase: str
    problem: str
    cause: str
    step: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.cause}; {self.step}"


def diagnose(metrics: Metrics) -> tuple[Finding, ...]:
    """Return what went over and why, in the order of the phases."""
    run, policy = metrics.run, metrics.policy
    return tuple(one for row in metrics.phases for one in _of_phase(row, run, policy))


def _of_phase(row: PhaseRow, run: RunRow, policy: str) -> Iterator[Finding]:
    if row.over_tokens:
        yield _overrun(row, policy)
    if row.residual_tokens > run.budget_tokens:
        yield _residual_over(row, run)
    levels = {event.level for event in row.events if event.scope == "run"}
    if Level.OVERFLOW in levels:
        yield _overflow(row, run)
    elif Level.CRITICAL in levels and row.residual_tokens <= run.critical_tokens:
        yield _peak(row, run, policy)


def _overrun(row: PhaseRow, policy: str) -> Finding:
    whole = _left_whole(row)
    if whole.output_tokens + whole.round_tokens > row.over_tokens:
        cause, step = _unpruned(whole, policy, f"allocate {row.kept_tokens:,}")
    else:
        kept = {layer: tokens for layer, tokens in row.kept_by_layer.items() if tokens > 0}
        parts = " and ".join(f"{tokens:,} of {layer}" for layer, tokens in kept.items())
        cause = f"it keeps {parts or f'{row.kept_tokens:,}'} tokens"
        step = f"shorten what it leaves, or allocate {row.kept_tokens:,}"
    return Finding(
        phase=row.id,
        problem=f"phase {row.id} is {row.over_tokens:,} tokens over its allocation of "
        f"{row.allocated_tokens:,}",
        cause=cause,
        step=step,
    )


def _left_whole(row: PhaseRow) -> WholeRow:
    """Return what more there is when a phase ends than when it began."""
    start, end = row.whole_at_start, row.whole_at_end
    return WholeRow(
        output_tokens=max(0, end.output_tokens - start.output_tokens),
        rounds=max(0, end.rounds - start.rounds),
        round_tokens=max(0, end.round_tokens - start.round_tokens),
    )


def _unpruned(whole: WholeRow, policy: str, more_room: str) -> tuple[str, str]:
    """Return what most of the whole items are, and the step; `more_room` is what else would do."""
    if whole.round_tokens <= whole.output_tokens:
        return f"{whole.output_tokens:,} tokens of full outputs were not pruned", _FOR_OUTPUTS
    rounds = how_many(whole.rounds, "round") if whole.rounds else "rounds"
    cause = f"{whole.round_tokens:,} tokens of {rounds} of tools stay"
    if policy == _FOR_ROUNDS:
        return cause, f"have tools return less, or {more_room}"
    return cause, f"use a policy for tool loops, such as {_FOR_ROUNDS}"


def _residual_over(row: PhaseRow, run: RunRow) -> Finding:
    whole = row.whole_at_end
    most = "rounds of tools" if whole.round_tokens > whole.output_tokens else "full outputs"
    return Finding(
        phase=row.id,
        problem=f"the budget is exceeded after phase {row.id}, "
        f"{row.residual_tokens:,} of {run.budget_tokens:,} tokens",
        cause="too little is pruned" if row.pruned_tokens else f"{most} are not pruned",
        step="use a stricter policy or a larger budget",
    )


def _overflow(row: PhaseRow, run: RunRow) -> Finding:
    limit = run.window_tokens - run.reserve_tokens
    worst = max(event.tokens for event in row.events if event.level == Level.OVERFLOW)
    return Finding(
        phase=row.id,
        problem=f"phase {row.id} asked for a prompt of {worst:,} tokens, over the hard limit of "
        f"{limit:,}",
        cause="the engine had to take items that the policy would have kept",
        step="use a stricter policy or a larger window",
    )


def _peak(row: PhaseRow, run: RunRow, policy: str) -> Finding:
    cause, step = _cause_of_peak(row, run, policy)
    problem = (
        f"phase {row.id} peaks at {row.peak_tokens:,}, above critical ({run.critical_tokens:,})"
    )
    return Finding(phase=row.id, problem=problem, cause=cause, step=step)


def _cause_of_peak(row: PhaseRow, run: RunRow, policy: str) -> tuple[str, str]:
    whole = row.whole_at_peak
    rest_tokens = row.peak_tokens - whole.output_tokens - whole.round_tokens
    if rest_tokens > run.critical_tokens:
        return (
            f"{rest_tokens:,} tokens are neither full outputs nor rounds of tools",
            "shorten instructions and what else is given, or raise the budget",
        )
    if whole.round_tokens > whole.output_tokens or not row.outputs:
        return _unpruned(whole, policy, "raise the budget")
    together = max((wave.agents for wave in row.waves), default=1)
    if together > 1:
        return (
            f"{together} outputs of up to {row.largest_output_tokens:,} tokens stand side by side "
            "before they are replaced",
            "deliver them in turn (--deliver in_turn), or have agents hand over less",
        )
    return (
        f"its largest output holds {row.largest_output_tokens:,} tokens",
        "have it hand over less, or raise the budget",
    )
