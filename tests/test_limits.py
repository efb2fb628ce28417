"""Tests of limits: an amount, a share, a distance below, or the smallest of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.types import Base, Limit, Scale, share_tokens

SMALL = Scale(window_tokens=25_000, reserve_tokens=1_000, budget_tokens=7_500)
"""Its three bases differ, so that none can be taken for another."""


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(tokens=5_000), 5_000),
        (Limit(tokens=5_000, of=Base.WINDOW), 5_000),
        (Limit(share_frac=0.75), 5_625),
        (Limit(share_frac=0.95), 7_125),
        (Limit(share_frac=0.3, of=Base.WINDOW), 7_500),
        (Limit(share_frac=0.5, of=Base.HARD_LIMIT), 12_000),
        (Limit(below_tokens=500), 7_000),
        (Limit(below_tokens=3_000, of=Base.HARD_LIMIT), 21_000),
        (Limit(below_tokens=3_000, of=Base.WINDOW), 22_000),
        (Limit(tokens=6_000, share_frac=0.3, of=Base.WINDOW), 6_000),
        (Limit(tokens=8_000, share_frac=0.3, of=Base.WINDOW), 7_500),
        (Limit(tokens=8_000, share_frac=0.3, below_tokens=20_000, of=Base.WINDOW), 5_000),
        (Limit(tokens=0), 0),
        (Limit(share_frac=0.0), 0),
        (Limit(below_tokens=8_000), -500),
    ],
    ids=str,
)
def test_a_limit_is_the_smallest_of_its_parts(limit: Limit, expected: int) -> None:
    assert limit.resolve_tokens(SMALL) == expected


@pytest.mark.parametrize(
    ("window_tokens", "expected"),
    [
        (200_000, [147_000, 167_000, 177_000]),
        (1_000_000, [947_000, 967_000, 977_000]),
        (32_000, [-21_000, -1_000, 9_000]),
    ],
)
def test_distances_below_the_hard_limit_give_the_published_levels(
    window_tokens: int, expected: list[int]
) -> None:
    scale = Scale(window_tokens=window_tokens, reserve_tokens=20_000, budget_tokens=1)
    limits = [Limit(below_tokens=n, of=Base.HARD_LIMIT) for n in (33_000, 13_000, 3_000)]
    assert [limit.resolve_tokens(scale) for limit in limits] == expected


@pytest.mark.parametrize(
    ("whole_tokens", "share_frac", "expected"),
    [
        (100, 0.29, 29),
        (100, 0.57, 57),
        (1_000, 0.0015, 1),
        (99, 0.5, 49),
        (7, 1.0, 7),
        (184_000, 0.08, 14_720),
        (184_000, 0.22, 40_480),
        (184_000, 0.3, 55_200),
        (184_000, 0.4, 73_600),
    ],
)
def test_a_share_is_the_written_decimal_rounded_down(
    whole_tokens: int, share_frac: float, expected: int
) -> None:
    assert share_tokens(whole_tokens, share_frac) == expected


@given(st.integers(0, 10_000_000), st.integers(0, 10_000))
def test_a_share_of_hundredths_of_a_percent_is_exact(whole_tokens: int, hundredths: int) -> None:
    expected = whole_tokens * hundredths // 10_000
    assert share_tokens(whole_tokens, hundredths / 10_000) == expected
