"""A run's numbers as people and machines read them, each in its unit."""

from __future__ import annotations

from decimal import Decimal
from math import floor

from ctxbudget.gate.outcome import Number, Unit
from ctxbudget.report.money import usd_text
from ctxbudget.report.plain import how_many

SHARE_DIGITS = 4
"""Of a share in a table, as a percentage: two behind the point."""


def said(number: Number, unit: Unit) -> str:
    """Return a number for people; a share is rounded down, so that 100% means all of it."""
    match unit:
        case Unit.USD:
            return f"{number:,.4f} USD"
        case Unit.SHARE:
            return f"{floor(float(number) * 10**SHARE_DIGITS + 1e-9) / 100:.2f}%"
        case Unit.TOKENS:
            return how_many(int(number), "token")
        case Unit.TIMES:
            return f"{number:,}"


def cell(number: Number, unit: Unit) -> str:
    """Return a number for a table whose row names the unit or has none."""
    return said(number, unit).partition(" ")[0]


def difference(number: Number, unit: Unit) -> str:
    """Return a difference for a table, with its sign; one of shares is rounded down, as they are."""
    match unit:
        case Unit.USD:
            return f"{number:+,.4f}"
        case Unit.SHARE:
            return f"{floor(float(number) * 10**SHARE_DIGITS + 1e-9) / 100:+.2f} points"
        case _:
            return f"{number:+,}"


def as_data(number: Number | None) -> int | float | str | None:
    """Return a number for JSON, money as text."""
    return usd_text(number) if isinstance(number, Decimal) else number
