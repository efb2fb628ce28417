"""Budgets in money: what was spent, by scope, and which levels that crosses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from ctxbudget.core.errors import SpendingLimitError
from ctxbudget.core.events import MoneyBudget, SpendingTold
from ctxbudget.core.types import Level

RUN = "run"


@dataclass(slots=True)
class Spending:
    """What a run and each of its phases spent, against their budgets.

    What a phase spends is part of what the run spends.
    """

    budgets: tuple[MoneyBudget, ...] = ()
    spent_usd: dict[str, Decimal] = field(default_factory=dict)
    _told: set[tuple[str, Level]] = field(default_factory=set)

    def spend(self, usd: Decimal, phase: str | None, at: float) -> Iterator[SpendingTold]:
        """Count an amount; yield each level that it crosses for the first time."""
        for scope in (RUN, f"phase:{phase}") if phase is not None else (RUN,):
            self.spent_usd[scope] = self.spent_usd.get(scope, Decimal(0)) + usd
        for budget in self.budgets:
            spent = self.spent_usd.get(budget.scope, Decimal(0))
            for level, frac in (
                (Level.WARN, budget.warn_frac),
                (Level.CRITICAL, budget.critical_frac),
                (Level.OVERRUN, 1.0),
            ):
                is_new = (budget.scope, level) not in self._told
                if is_new and spent > budget.limit_usd * Decimal(str(frac)):
                    self._told.add((budget.scope, level))
                    yield SpendingTold(
                        at=at,
                        level=level,
                        scope=budget.scope,
                        spent_usd=spent,
                        limit_usd=budget.limit_usd,
                    )

    def check(self, phase: str | None) -> None:
        """Refuse a further call if a budget that stops is used up.

        Raises:
            SpendingLimitError: names the scope and the numbers.
        """
        for budget in self.budgets:
            if not budget.stop or budget.scope not in (RUN, f"phase:{phase}"):
                continue
            spent = self.spent_usd.get(budget.scope, Decimal(0))
            if spent >= budget.limit_usd:
                raise SpendingLimitError(
                    scope=budget.scope, spent_usd=spent, limit_usd=budget.limit_usd
                )
