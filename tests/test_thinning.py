"""Tests of thinning: what is left out never hides a peak or a trough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.report.html.thinning import largest, said, thinned


def test_of_each_stretch_its_lowest_and_its_highest_stay() -> None:
    values = [5, 1, 9, 5, 5, 5, 2, 8, 5, 5]
    assert thinned(values, 6) == [0, 1, 2, 6, 7, 9]


def test_a_short_series_is_whole() -> None:
    assert thinned([3, 2, 1], 3) == [0, 1, 2]
    assert thinned([], 3) == []


def test_marks_stay() -> None:
    assert 55 in thinned([0] * 100, 10, keep=[55])


@given(
    values=st.lists(st.integers(0, 1000), min_size=1, max_size=400),
    limit=st.integers(6, 60),
    keep=st.lists(st.integers(0, 399), max_size=2),
)
def test_thinned_series_keep_their_extremes_and_the_limit(
    values: list[int], limit: int, keep: list[int]
) -> None:
    places = thinned(values, limit, keep)
    left = [values[place] for place in places]
    assert places == sorted(set(places))
    assert len(places) <= limit
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert (min(left), max(left)) == (min(values), max(values))
    assert {one for one in keep if one < len(values)} <= set(places)


def test_of_too_many_marks_the_largest_stay_in_their_order() -> None:
    assert largest("abcde", [3, 9, 1, 9, 4], 3) == ["b", "d", "e"]
    assert largest("ab", [1, 2], 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("shown", "count", "what", "words"),
    [
        (5, 5, "points", ""),
        (5, 1200, "points", "5 of 1,200 points are drawn"),
        (250, 1200, "prunes", "The 250 largest of 1,200 prunes are shown."),
    ],
)
def test_a_caption_says_how_many_are_left_out(
    shown: int, count: int, what: str, words: str
) -> None:
    assert said(shown, count, what).startswith(words)
    assert bool(said(shown, count, what)) == bool(words)
