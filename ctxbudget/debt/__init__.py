"""Where the context debt of a recorded session sits, and what avoiding it would have saved.

Debt is tokens that raise the cost of every later call without helping it. What it cost is taken from
the run as it was recorded, what avoiding it saves from a replay. Nothing here reads a file.
"""

from __future__ import annotations

from ctxbudget.debt.findings import Finding, totals
from ctxbudget.debt.session import LEAST_CALLS, Debt, debt_of

__all__ = ["LEAST_CALLS", "Debt", "Finding", "debt_of", "totals"]
