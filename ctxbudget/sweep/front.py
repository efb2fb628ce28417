"""Which of several things no other beats: the one Pareto front of the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def is_less(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether a point is nowhere more than another, and somewhere less."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def unbeaten(things: Sequence[T], beats: Callable[[T, T], bool]) -> list[int]:
    """Return the places of the things that no other beats, in order; equal ones all stay.

    Args:
        things: points for `is_less`, or anything that `beats` compares.
        beats: whether its first argument beats its second; never both ways round.
    """
    return [
        place
        for place, thing in enumerate(things)
        if not any(beats(other, thing) for other in things)
    ]
