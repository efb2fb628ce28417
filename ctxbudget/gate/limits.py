"""Limits on what a run may take or lose, and whether it kept them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Limit
from ctxbudget.gate.drawn import PERCENT
from ctxbudget.gate.outcome import BY_KEY, PROBABILITIES, Measure, Number, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One limit: its option's name, what it is on, and the number.

    A number that equals its limit keeps it.
    """

    option: str
    """Without the dashes: `max-peak`."""
    limit: Number | Limit
    said: str
    """As the user wrote it."""

    @property
    def is_least(self) -> bool:
        """Whether the number must not be smaller, rather than not larger."""
        return self.option.startswith("min-")

    @property
    def is_probability(self) -> bool:
        """Whether only many runs can tell."""
        return self.measure in PROBABILITIES

    @property
    def measure(self) -> Measure:
        """What it is on."""
        return BY_KEY[LIMITS[self.option]]


LIMITS: Final[Mapping[str, str]] = {
    "max-peak": "peak",
    "max-sent": "sent",
    "max-cost": "cost",
    "max-total": "total",
    "max-rewrites": "rewrites",
    "max-warn-probability": "warn_probability",
    "max-critical-probability": "critical_probability",
    "max-overflow-probability": "overflow_probability",
    "min-recall": "recall",
    "min-quote-recall": "quote_recall",
}
"""The key of the measure that each limit is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a run kept a limit; `where` says in words where its number came about."""

    asked: Asked
    limit: Number
    found: Number
    where: str
    percentile: int | None = None
    """Of the runs that it was estimated from; None if it is no number of tokens or USD of many."""

    @property
    def is_kept(self) -> bool:
        """Whether it did."""
        return self.found >= self.limit if self.asked.is_least else self.found <= self.limit


def judged(outcome: Outcome, asked: Asked) -> Verdict:
    """Return whether a run kept a limit.

    Raises:
        ConfigError: the number is not known of this run; says why and what to do.
    """
    measure = asked.measure
    found = measure.of(outcome.run)
    if found is None or measure.key in outcome.not_told:
        why = outcome.not_told.get(measure.key, "it is not known; leave this limit out")
        raise ConfigError(
            f"cannot be judged on {outcome.file}: {why}", location=(f"--{asked.option}",)
        )
    limit = asked.limit
    is_percentile = outcome.draws is not None and not asked.is_probability
    return Verdict(
        asked=asked,
        limit=limit.resolve_tokens(outcome.scale) if isinstance(limit, Limit) else limit,
        found=found,
        where=outcome.where.get(measure.key, ""),
        percentile=PERCENT if is_percentile else None,
    )
