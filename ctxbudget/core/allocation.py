"""Allocators: how a budget is shared out over the phases, exact to the token.

An allocator is a function from the budget and the phases to `Grants`. The ledger then moves
tokens between phases as they finish; what is granted, held back and left over always adds up to
the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Protocol

from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import AllocatorSpec, Phase
from ctxbudget.core.types import Level, Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """A budget shared out; the parts add up to the budget."""

    phases: Mapping[str, int]
    reserve_tokens: int = 0
    """Set aside for the phases named for it, and not granted to any of this run."""
    buffer_tokens: int = 0
    """Granted to nobody."""


class Allocator(Protocol):
    """Shares `budget_tokens` out; the result must add up to it."""

    def __call__(
        self, budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec, /
    ) -> Grants:
        """Return the grants."""
        ...


def share_out(total_tokens: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Return the total split by weight; the parts add up to the total exactly.

    Source: the largest remainder method (Hamilton). Ties go to the earlier name in the mapping.
    """
    if not weights:
        return {}
    exact = {name: _exact(weight) for name, weight in weights.items()}
    whole = sum(exact.values(), Fraction(0))
    if whole <= 0:
        exact, whole = dict.fromkeys(exact, Fraction(1)), Fraction(len(exact))
    parts = {name: total_tokens * weight / whole for name, weight in exact.items()}
    shares = {name: int(part) for name, part in parts.items()}
    missing = total_tokens - sum(shares.values())
    by_remainder = sorted(parts, key=lambda name: shares[name] - parts[name])
    for name in by_remainder[:missing]:
        shares[name] += 1
    return shares


def fixed(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Grant each phase what it declares; the rest is the buffer.

    Raises:
        ConfigError: a phase declares nothing, or the sum is over the budget.
    """
    missing = [phase.id for phase in phases if phase.allocate_tokens is None]
    if missing:
        raise ConfigError(
            f"the fixed allocator needs `allocate` for every phase; missing for "
            f"{', '.join(map(repr, missing[:5]))}; add it, or use the dynamic allocator",
            location=("phases",),
        )
    grants = {p.id: p.allocate_tokens or 0 for p in phases}
    planned = sum(grants.values())
    if planned > budget_tokens:
        raise ConfigError(
            f"the phases' `allocate` add up to {planned:,} tokens, {planned - budget_tokens:,} over "
            f"the budget of {budget_tokens:,}; lower them or raise the budget",
            location=("phases",),
        )
    return Grants(phases=grants, buffer_tokens=budget_tokens - planned)


def dynamic(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Grant the whole budget by complexity."""
    return Grants(phases=share_out(budget_tokens, {p.id: p.complexity for p in phases}))


def reserve(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Grant the core share by complexity; the reserve goes only to the phases named for it."""
    parts = share_out(
        budget_tokens,
        {"core": spec.core_frac, "reserve": spec.reserve_frac, "buffer": spec.buffer_frac},
    )
    named = {p.id: p.complexity for p in phases if p.id in spec.reserve_for}
    core = {p.id: p.complexity for p in phases if p.id not in spec.reserve_for}
    grants = share_out(parts["core"], core) | share_out(parts["reserve"], named)
    idle_core = 0 if core else parts["core"]
    return Grants(
        phases={p.id: grants[p.id] for p in phases},
        reserve_tokens=0 if named else parts["reserve"],
        buffer_tokens=parts["buffer"] + idle_core,
    )


ALLOCATORS: dict[str, Allocator] = {"fixed": fixed, "dynamic": dynamic, "reserve": reserve}


@dataclass(slots=True)
class Ledger:
    """Who holds which part of the budget, as phases start and finish.

    The grants, the pool, the reserve, the buffer and the headroom add up to the budget at all
    times. What phases leave over or borrow goes through the pool; a phase takes its part of the
    pool when it starts.
    """

    budget_tokens: int
    spec: AllocatorSpec
    granted: dict[str, int]
    reserve_tokens: int
    buffer_tokens: int
    headroom_tokens: int
    weights: dict[str, Fraction]
    """Of the phases that have not started."""
    pool_tokens: int = 0
    """Rolled over and not yet taken; negative: borrowed from phases that have not started."""
    _weight: Fraction = field(init=False)
    _open_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self._weight = sum(self.weights.values(), Fraction(0))
        self._open_tokens = sum(self.granted[phase] for phase in self.weights)

    @property
    def planned_tokens(self) -> int:
        """Sum of the grants."""
        return (
            self.budget_tokens
            - self.pool_tokens
            - self.reserve_tokens
            - self.buffer_tokens
            - self.headroom_tokens
        )

    def start(self, phase: str) -> str | None:
        """Give a phase its part of the pool; return why its grant changed, or None."""
        weight = self.weights.pop(phase, None)
        if weight is None:
            return None
        part = self.pool_tokens if not self.weights else self._part_of_pool(phase, weight)
        self._weight -= weight
        self._open_tokens -= self.granted[phase]
        self.pool_tokens -= part
        self.granted[phase] += part
        if part == 0:
            return None
        return "rolled over from earlier phases" if part > 0 else "lent to earlier phases"

    def _part_of_pool(self, phase: str, weight: Fraction) -> int:
        """Return what a phase gets of what is left over, or gives of what is lent (negative).

        Gains go by weight. Loans go by grant, since nobody can lend more than they hold.
        """
        if self.pool_tokens < 0:
            return floor(Fraction(self.pool_tokens * self.granted[phase], self._open_tokens))
        return floor(self.pool_tokens * weight / self._weight) if self._weight else 0

    def finish(self, phase: str, kept_tokens: int) -> str | None:
        """Close a phase's account; return why its grant changed, or None.

        Each of these happens only if the spec says so: unused tokens go to the pool; what was
        kept beyond the grant is drawn from the buffer, then borrowed from phases not started.
        """
        unused = self.granted[phase] - kept_tokens
        if unused > 0 and self.spec.rollover and self.weights:
            self.granted[phase] -= unused
            self.pool_tokens += unused
            return "unused tokens rolled over"
        if unused >= 0:
            return None
        drawn = self.draw(phase, -unused, Level.OVERRUN)
        lack = kept_tokens - self.granted[phase]
        lent = min(lack, self._open_tokens + self.pool_tokens) if self.spec.borrow else 0
        if lent <= 0:
            return drawn
        self.granted[phase] += lent
        self.pool_tokens -= lent
        return f"{drawn + ', ' if drawn else ''}borrowed from later phases"

    def draw(self, phase: str, lack_tokens: int, upon: Level) -> str | None:
        """Grant a phase what it lacks out of the buffer, if the event is named for it."""
        drawn = min(lack_tokens, self.buffer_tokens) if upon in self.spec.buffer_for else 0
        if drawn <= 0:
            return None
        self.buffer_tokens -= drawn
        self.granted[phase] += drawn
        return f"drawn from the overflow buffer upon {upon}"


def open_ledger(
    scale: Scale,
    phases: Sequence[Phase],
    spec: AllocatorSpec,
    find: Callable[[str], Allocator] = ALLOCATORS.__getitem__,
) -> Ledger:
    """Return the ledger of a run that begins.

    Raises:
        ConfigError: the allocator refuses, or its grants do not add up to the budget.
    """
    headroom = spec.fan_in_headroom.resolve_tokens(scale) if spec.fan_in_headroom else 0
    shared = scale.budget_tokens - headroom
    if not 0 <= headroom <= scale.budget_tokens:
        raise ConfigError(
            f"fan_in_headroom is {headroom:,} tokens of a budget of {scale.budget_tokens:,}; "
            "lower it",
            location=("allocator", "fan_in_headroom"),
        )
    grants = find(spec.use)(shared, phases, spec)
    total = sum(grants.phases.values()) + grants.reserve_tokens + grants.buffer_tokens
    if total != shared or set(grants.phases) != {phase.id for phase in phases}:
        raise ConfigError(
            f"allocator {spec.use!r} handed out {total:,} tokens over {len(grants.phases)} phases; "
            f"it must hand out exactly {shared:,} over the {len(phases)} of the workflow",
            location=("allocator",),
        )
    use_declared = spec.use == "fixed"
    return Ledger(
        budget_tokens=scale.budget_tokens,
        spec=spec,
        granted=dict(grants.phases),
        reserve_tokens=grants.reserve_tokens,
        buffer_tokens=grants.buffer_tokens,
        headroom_tokens=headroom,
        weights={
            p.id: _exact(grants.phases[p.id] if use_declared else p.complexity) for p in phases
        },
    )


def _exact(weight: float) -> Fraction:
    """Return a weight as the decimal number a person wrote."""
    return Fraction(Decimal(str(weight)))
