"""A sweep as JSON values for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ctxbudget.report.sweep_words import front_rule
from ctxbudget.sweep.summary import Failures, Row


def sweep_as_data(
    rows: Sequence[Row],
    *,
    apart: Mapping[str, str],
    partly_read: Mapping[str, str],
    failures: Sequence[Failures],
    chosen: Row | None,
    within_budget: Row | None,
    reason: str,
    price_date: str,
) -> dict[str, Any]:
    """Return the rows, what was left out, and what is recommended; money is text.

    What is best within its budget stands beside what is recommended where that exceeds its own.
    """
    return {
        "settings": [_row(one) for one in rows],
        "front_rule": front_rule(rows),
        "left_out": dict(apart),
        "partly_read": dict(partly_read),
        "failures": [asdict(one) for one in failures],
        "recommended": None if chosen is None else _row(chosen),
        "best_within_budget": None if within_budget is None else _row(within_budget),
        "reason": reason,
        "price_date": price_date,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "policy": row.setting.policy.label,
        "budgets": [one for one in row.budgets if one],
        "bound": row.setting.policy.bound,
        "cost_usd": None if row.cost_usd is None else f"{row.cost_usd:.6f}",
        "cost_frac": row.cost_frac,
        "total_frac": row.total_frac,
        "peak_tokens": row.peak_tokens,
        "recall": row.recall,
        "quote_recall": row.quote_recall,
        "misses": row.misses,
        "over": row.over,
        "ran": row.ran,
        "failed": row.failed,
        "is_on_front": row.is_on_front,
    }
