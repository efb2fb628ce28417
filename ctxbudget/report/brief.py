"""Reports of a live run: numbers to read, and a few lines to print."""

from __future__ import annotations

from dataclasses import dataclass

from ctxbudget.metrics import Metrics, PhaseRow, RunRow
from ctxbudget.report.diagnosis import diagnose


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What a phase was granted, held, sent and lost; printing it gives a few lines."""

    row: PhaseRow
    run: RunRow

    def __str__(self) -> str:
        row, budget = self.row, self.run.budget_tokens
        of_budget = f" ({row.peak_tokens / budget:.1%} of budget)" if budget else ""
        lines = [
            f"phase {row.id}: peak {row.peak_tokens:,} tokens{of_budget}, "
            f"residual {row.residual_tokens:,}",
            f"  allocated {row.allocated_tokens:,}, kept {row.kept_tokens:,}, "
            f"over {row.over_tokens:,}",
            f"  pruned {row.pruned_tokens:,}, sent {row.sent_tokens:,} in {row.calls} calls",
        ]
        lines += [f"  {rule}: {tokens:,}" for rule, tokens in row.pruned_by_rule.items()]
        lines += [
            f"  {event.level} in {event.scope}: {event.tokens:,} of {event.limit_tokens:,}"
            for event in row.events
        ]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run was granted, held, sent and lost; printing it gives a line for each phase."""

    metrics: Metrics

    @property
    def phases(self) -> list[PhaseReport]:
        """The reports of the phases, in the order in which they began."""
        return [PhaseReport(row, self.metrics.run) for row in self.metrics.phases]

    @property
    def run(self) -> RunRow:
        """The totals."""
        return self.metrics.run

    def __str__(self) -> str:
        run = self.metrics.run
        lines = [
            f"{self.metrics.workflow}: peak {run.peak_tokens:,} of a budget of "
            f"{run.budget_tokens:,} tokens, residual {run.residual_tokens:,}, "
            f"sent {run.sent_tokens:,} in {run.calls} calls, pruned {run.pruned_tokens:,}"
        ]
        lines += [str(phase) for phase in self.phases]
        lines += [f"! {finding}" for finding in diagnose(self.metrics)]
        return "\n".join(lines)
