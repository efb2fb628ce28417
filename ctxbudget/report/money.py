"""Amounts of money in reports, and rows of metrics as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ctxbudget.metrics import Metrics
from ctxbudget.report.plain import one_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DIGITS = 6
"""Of an amount of money in JSON; a millionth of a dollar."""

SHOWN_DIGITS = 4
"""Of one in a table."""


def usd_text(amount_usd: Decimal | None) -> str | None:
    """Return an amount of US dollars for JSON; null where it is not known."""
    return None if amount_usd is None else f"{amount_usd:.{DIGITS}f}"


def usd_cell(amount_usd: Decimal | None) -> str:
    """Return an amount of US dollars for a table."""
    return "–" if amount_usd is None else f"{amount_usd:,.{SHOWN_DIGITS}f}"


def share_cell(part_usd: Decimal | None, whole_usd: Decimal | None) -> str:
    """Return an amount as a share of another, for a table."""
    return f"{part_usd / whole_usd:.1%}" if part_usd is not None and whole_usd else "–"


def as_data(row: DataclassInstance) -> dict[str, Any]:
    """Return a row of metrics for JSON, its amounts of money as text."""
    return asdict(row, dict_factory=_with_usd_as_text)


def _with_usd_as_text(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {key: usd_text(value) if isinstance(value, Decimal) else value for key, value in fields}


def cost_notes(metrics: Metrics, price_date: str | None) -> list[str]:
    """Return what a run's costs rest on, and which of them are not known; nothing without models.

    `price_date` says how new the prices are, None that this is not known.
    """
    notes = []
    if metrics.is_priced:
        prices = f"; prices: {price_date}" if price_date else ""
        notes.append(
            "USD: input cost of calls by the cache model, and summaries; other output is not part of "
            f"it{prices}"
        )
    unknown = [row for row in metrics.models if row.model and row.cost_usd is None]
    if unknown:
        names = ", ".join(one_line(row.model) for row in unknown)
        notes.append(f"unknown: the price of {names}; what it was used for has no cost")
    unnamed = next((row for row in metrics.models if not row.model), None)
    if metrics.is_priced and unnamed is not None:
        notes.append(f"unknown: the cost of {unnamed.calls:,} calls that name no model")
    return notes


def by_model(metrics: Metrics) -> str:
    """Return what each model cost on one line; nothing if there is only one."""
    rows = [row for row in metrics.models if row.cost_usd is not None]
    if len(metrics.models) < 2 or not rows:
        return ""
    said = [
        f"{one_line(row.model)} {usd_cell(row.cost_usd)} in {row.calls:,} calls" for row in rows
    ]
    return f"USD by model: {', '.join(said)}"
