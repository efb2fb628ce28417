"""Which of several points no other beats: the one Pareto front of the package."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

Places = int
"""A set of places, as a number whose bits say which are in it: so two sets make one in one step."""


def beaters(points: Sequence[tuple[float, ...]]) -> list[Places]:
    """Return for each point which others are nowhere more than it, and somewhere less.

    Each coordinate is sorted once, and no two points are compared: it takes as long whether many
    are on the front or few, and however many are equal. Sets take `len(points)` bits each.
    """
    equals: dict[tuple[float, ...], Places] = {}
    for place, point in enumerate(points):
        equals[point] = equals.get(point, 0) | 1 << place
    found = [~equals[point] for point in points]
    for values in zip(*points, strict=True):
        for place, those in enumerate(_no_more(values)):
            found[place] &= those
    return found


def _no_more(values: Sequence[float]) -> list[Places]:
    """Return for each value which are no more than it, itself among them."""
    found: list[Places] = [0] * len(values)
    so_far: Places = 0
    rising = sorted(range(len(values)), key=values.__getitem__)
    for _, group in groupby(rising, key=values.__getitem__):
        equal = list(group)
        for place in equal:
            so_far |= 1 << place
        for place in equal:
            found[place] = so_far
    return found


def unbeaten(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Return the places of the points that no other beats, in order; equal ones all stay."""
    return [place for place, those in enumerate(beaters(points)) if not those]
