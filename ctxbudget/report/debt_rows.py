"""Rows of a bill with the debt of each, in the order in which both are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.debt import Debt, Finding, totals
from ctxbudget.recorded.bill import Thread, families, holding_half


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtRow:
    """A row of the bill, and its debt or why there is none to show."""

    thread: Thread
    debt: Debt | None = None
    left_out: str = ""


def ordered_threads(threads: Iterable[Thread]) -> list[Thread]:
    """Return the rows as a bill lists them: sessions by falling cost, each with its sub-agents."""
    return [thread for family in families(threads) for thread in family.threads]


def all_input_usd(rows: Iterable[DebtRow]) -> Decimal | None:
    """Return what the input of all sessions cost whose debt is known; None if no price is."""
    amounts = [row.debt.input_usd for row in rows if row.debt is not None]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def all_findings(rows: Sequence[DebtRow]) -> tuple[Finding, ...]:
    """Return the findings of all sessions, added up by kind."""
    found = [one for row in rows if row.debt is not None for one in row.debt.findings]
    return totals(found, all_input_usd(rows))


def holding_half_of_cost(rows: Sequence[DebtRow]) -> list[DebtRow]:
    """Return the rows with a debt of the few sessions that hold half of the bill's cost."""
    half = holding_half(families(row.thread for row in rows))
    chosen = {id(thread) for family in half for thread in family.threads}
    return [row for row in rows if row.debt is not None and id(row.thread) in chosen]
