"""What one setting comes to on one session or workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Numbers of one cell; all are 0 or None if it could not run, and `failure` says why.

    Attributes:
        cost_usd: input and summaries; None if a price is not known.
        total_usd: with the misses charged.
        peak_tokens: of a session its largest prompt, of a workflow its highest occupancy.
        recall, quote_recall: None where nothing was used, or texts are not known.
        unread: what of a session could not be read, in words; None if all of it was.
    """

    cost_usd: Decimal | None = None
    total_usd: Decimal | None = None
    sent_tokens: int = 0
    peak_tokens: int = 0
    budget_tokens: int = 0
    recall: float | None = None
    quote_recall: float | None = None
    misses: int = 0
    failure: str | None = None
    unread: str | None = None


def as_data(one: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values; money is text."""
    return {key: str(v) if isinstance(v, Decimal) else v for key, v in asdict(one).items()}


def from_data(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome that `as_data` wrote.

    Raises:
        TypeError, ValueError or ArithmeticError: something else wrote it.
    """
    found = dict(data)
    for name, value in found.items():
        allowed = _KINDS.get(name, int)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise TypeError(f"{name} is {value!r}")
    for name in ("cost_usd", "total_usd"):
        if found.get(name) is not None:
            found[name] = Decimal(found[name])
    return Outcome(**found)


_KINDS: Final[dict[str, Any]] = {
    "cost_usd": str | None,
    "total_usd": str | None,
    "recall": float | int | None,
    "quote_recall": float | int | None,
    "failure": str | None,
    "unread": str | None,
}
"""What JSON holds of each number; of all others whole numbers."""
