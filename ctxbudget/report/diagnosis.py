"""Why a phase went over, in words, with the step to take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ctxbudget.core.types import Layer, Level
from ctxbudget.metrics import Metrics, PhaseRow, RunRow


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
    return tuple(one for row in metrics.phases for one in _of_phase(row, metrics.run))


def _of_phase(row: PhaseRow, run: RunRow) -> Iterator[Finding]:
    if row.over_tokens:
        yield _overrun(row)
    if row.residual_tokens > run.budget_tokens:
        yield _residual_over(row, run)
    levels = {event.level for event in row.events if event.scope == "run"}
    if Level.OVERFLOW in levels:
        yield _overflow(row, run)
    elif Level.CRITICAL in levels and row.residual_tokens <= run.critical_tokens:
        yield _peak(row, run)


def _overrun(row: PhaseRow) -> Finding:
    transient = row.kept_by_layer.get(Layer.TRANSIENT, 0)
    if transient > row.over_tokens:
        cause = f"{transient:,} tokens of full outputs were not pruned"
        step = "use a policy that replaces outputs by metadata, such as aggressive"
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


def _residual_over(row: PhaseRow, run: RunRow) -> Finding:
    return Finding(
        phase=row.id,
        problem=f"the budget is exceeded after phase {row.id}, "
        f"{row.residual_tokens:,} of {run.budget_tokens:,} tokens",
        cause="full outputs are not pruned" if not row.pruned_tokens else "too little is pruned",
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


def _peak(row: PhaseRow, run: RunRow) -> Finding:
    over = f"peaks at {row.peak_tokens:,}, above critical ({run.critical_tokens:,})"
    together = max((wave.agents for wave in row.waves), default=1)
    if together > 1:
        cause = (
            f"{together} outputs of up to {row.largest_output_tokens:,} tokens stand side by side "
            "before they are replaced"
        )
        step = "deliver them in turn (--deliver in_turn), or have agents hand over less"
    else:
        cause = f"its largest output holds {row.largest_output_tokens:,} tokens"
        step = "have it hand over less, or raise the budget"
    return Finding(phase=row.id, problem=f"phase {row.id} {over}", cause=cause, step=step)
