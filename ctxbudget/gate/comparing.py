"""What differs between two runs, largest differences first, and whether any grew too much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ctxbudget.core.errors import ConfigError
from ctxbudget.gate.outcome import (
    BY_KEY,
    MEASURES,
    Measure,
    Number,
    Numbers,
    Outcome,
    Source,
    Unit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A number of the run, or of one of its phases, before and after."""

    measure: Measure
    phase: str | None
    """None for the run."""
    before: Number
    after: Number
    size_frac: float
    """The difference as a share of the larger of the two runs' numbers: what it weighs."""

    @property
    def difference(self) -> Number:
        """What was added; below 0 what was saved."""
        return _minus(self.after, self.before)

    @property
    def change_frac(self) -> float | None:
        """The difference as a share of what was before; None where that was nothing."""
        return float(self.difference) / float(self.before) if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        run: every number that both tell, changed or not, in the order of reports.
        phases: those that changed, of phases that both have, the weightiest first.
        only_before, only_after: phases that one alone has.
    """

    before: Outcome
    after: Outcome
    run: tuple[Change, ...]
    phases: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def changed(self) -> tuple[Change, ...]:
        """The run's numbers that changed, the weightiest first."""
        return _weightiest_first(one for one in self.run if one.difference)


def compare(before: Outcome, after: Outcome) -> Comparison:
    """Return what differs between two runs; phases are the same if their ids are.

    A replay beside a run that is none is told by the peak that both have: the main thread's.
    """
    if (before.source is Source.REPLAY) != (after.source is Source.REPLAY):
        before, after = before.with_held_peak, after.with_held_peak
    both = [name for name in before.phases if name in after.phases]
    found = (
        change
        for name in both
        for change in _changes(before.phases[name], after.phases[name], before, after, name)
        if change.difference
    )
    return Comparison(
        before=before,
        after=after,
        run=tuple(_changes(before.run, after.run, before, after, None)),
        phases=_weightiest_first(found),
        only_before=tuple(name for name in before.phases if name not in after.phases),
        only_after=tuple(name for name in after.phases if name not in before.phases),
    )


def _changes(
    old: Numbers, new: Numbers, before: Outcome, after: Outcome, phase: str | None
) -> Iterator[Change]:
    for measure in MEASURES:
        was, is_now = measure.of(old), measure.of(new)
        if was is None or is_now is None:
            continue
        whole = max(float(measure.of(one.run) or 0) for one in (before, after))
        gap = abs(float(_minus(is_now, was)))
        yield Change(
            measure=measure,
            phase=phase,
            before=was,
            after=is_now,
            size_frac=gap / whole if whole else 0.0,
        )


def _minus(one: Number, other: Number) -> Number:
    if isinstance(one, float) or isinstance(other, float):
        return float(one) - float(other)
    return one - other


def _weightiest_first(changes: Iterator[Change]) -> tuple[Change, ...]:
    order = {measure.key: place for place, measure in enumerate(MEASURES)}
    return tuple(
        sorted(changes, key=lambda one: (-one.size_frac, order[one.measure.key], one.phase or ""))
    )


# ---- a gate


MAY_GROW: Final = tuple(one.key for one in MEASURES if one.unit is not Unit.SHARE)
"""Measures of which more is worse, or at least worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """By how much a number of the run may grow: so much, or such a share of what it was."""

    key: str
    amount: Decimal
    is_share: bool
    said: str
    """As the user wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a number grew by, against what it may. Growing by exactly that is allowed."""

    allowed: Allowed
    change: Change

    @property
    def is_kept(self) -> bool:
        """Whether it did not grow by more."""
        whole = Decimal(self.change.before) if self.allowed.is_share else Decimal(1)
        return Decimal(self.change.difference) <= self.allowed.amount * whole


def growth(comparison: Comparison, allowed: Allowed) -> Growth:
    """Return how a number of the run grew.

    Raises:
        ConfigError: it is not known of one of the runs; says why and what to do.
    """
    for change in comparison.run:
        if change.measure.key == allowed.key:
            return Growth(allowed=allowed, change=change)
    measure = BY_KEY[allowed.key]
    for outcome in (comparison.before, comparison.after):
        if measure.of(outcome.run) is None:
            why = outcome.not_told.get(allowed.key, "it is not known; leave it out")
            raise ConfigError(
                f"{allowed.key} cannot be judged on {outcome.file}: {why}",
                location=("--fail-on-increase",),
            )
    raise AssertionError(allowed.key)
