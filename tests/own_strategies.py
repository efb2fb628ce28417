"""Policies and allocators as users write them, good and bad, to be named by attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ctxbudget.core.allocation import Grants
from ctxbudget.core.events import AllocatorSpec, Phase
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Do, Kind, Operation, Plan, Trigger
from ctxbudget.core.watch import Filter

ARTIFACTS = Filter(kinds=(Kind.ARTIFACT,), ready=True)


def drop_outputs(moment: Moment) -> Iterator[Plan]:
    """Drop every finished output as its phase ends."""
    if moment.trigger is not Trigger.PHASE_FINISHED:
        return
    for entry in list(moment.store.matching(ARTIFACTS)):
        operation = Operation(do=Do.DROP, items=(entry.item.id,))
        yield Plan(rule="drop outputs", reason="a test", operations=(operation,))


@dataclass(frozen=True)
class DropOutputs:
    """The same as an object."""

    def __call__(self, moment: Moment) -> Iterable[Plan]:
        """Return the plans."""
        return list(drop_outputs(moment))


drop = DropOutputs()
not_callable = 5


def broken(moment: Moment) -> Iterable[Plan]:
    """Raise as soon as it is asked."""
    raise ZeroDivisionError("of my own")


def broken_later(moment: Moment) -> Iterator[Plan]:
    """Raise while it is read."""
    yield from ()
    raise KeyError("of my own")


def nothing(moment: Moment) -> None:
    """Forget to return the plans."""


def no_plans(moment: Moment) -> Any:
    """Return something else."""
    return ["drop it all"]


def equal(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Grant each phase the same, and leave the rest in the buffer."""
    each = budget_tokens // len(phases)
    grants = {phase.id: each for phase in phases}
    return Grants(phases=grants, buffer_tokens=budget_tokens - each * len(phases))


def too_much(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Grant every phase everything."""
    return Grants(phases={phase.id: budget_tokens for phase in phases})


def no_grants(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Any:
    """Return something else."""
    return {phase.id: 1 for phase in phases}


def broken_allocator(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
    """Raise."""
    raise ZeroDivisionError("of my own")
