"""Makes long series short enough for a page without hiding how high or how low they went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MOST_POINTS: Final = 1_200
"""Of a chart's longest series; about as many as a wide screen has columns."""

MOST_LINE_POINTS: Final = 700
"""Of each line where several stand on one axis."""

MOST_MARKS: Final = 250
"""Of one kind on a chart."""

MOST_ROWS: Final = 60
"""Of a table beside a long series."""


def thinned(values: Sequence[int], limit: int, keep: Iterable[int] = ()) -> list[int]:
    """Return the places of the values that are shown, rising: all, or of each stretch two.

    These are the lowest and the highest of the stretch. The first and the last place and those of
    `keep` always stay, as far as the limit allows stretches at all.
    """
    count = len(values)
    if count <= limit:
        return list(range(count))
    kept = {0, count - 1, *(place for place in keep if 0 <= place < count)}
    stretches = max(1, (limit - len(kept)) // 2)
    for number in range(stretches):
        places = range(number * count // stretches, (number + 1) * count // stretches)
        kept.add(min(places, key=values.__getitem__))
        kept.add(max(places, key=values.__getitem__))
    return sorted(kept)


def chosen(values: Sequence[T], places: Iterable[int]) -> list[T]:
    """Return the values at some places."""
    return [values[place] for place in places]


def largest(found: Sequence[T], sizes: Sequence[int], limit: int) -> list[T]:
    """Return at most so many of what was found, the largest, in their own order."""
    if len(found) <= limit:
        return list(found)
    by_size = sorted(range(len(found)), key=lambda place: (-sizes[place], place))[:limit]
    return [found[place] for place in sorted(by_size)]


def said(shown: int, count: int, what: str = "points") -> str:
    """Return how many of how many are shown, as a caption says it; nothing where all are."""
    if shown >= count:
        return ""
    if what != "points":
        return f"The {shown:,} largest of {count:,} {what} are shown."
    return (
        f"{shown:,} of {count:,} points are drawn: of each stretch its lowest and its highest, so "
        "that no peak is lost."
    )
