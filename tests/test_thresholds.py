"""Tests of warn and critical: strict, told once per crossing, armed again below."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.thresholds import Monitor, monitor
from ctxbudget.core.types import Level

WARN, CRITICAL = Level.WARN, Level.CRITICAL


def run_monitor(warn_tokens: int | None = 5_625, critical_tokens: int | None = 7_125) -> Monitor:
    return monitor("run", 7_500, warn_tokens=warn_tokens, critical_tokens=critical_tokens)


@pytest.mark.parametrize(
    "walk",
    [
        pytest.param([(5_625, []), (5_626, [WARN])], id="exactly_at_warn_is_no_warning"),
        pytest.param([(5_626, [WARN]), (7_125, []), (7_126, [CRITICAL])], id="critical_is_strict"),
        pytest.param([(15_500, [WARN, CRITICAL])], id="both_at_once_are_told_warn_first"),
        pytest.param([(6_000, [WARN]), (6_500, []), (7_000, [])], id="once_per_crossing"),
        pytest.param(
            [(6_000, [WARN]), (5_251, []), (6_000, [])], id="not_armed_again_less_than_5_pct_below"
        ),
        pytest.param(
            [(6_000, [WARN]), (5_250, []), (6_000, [WARN])], id="armed_again_5_pct_of_scope_below"
        ),
        pytest.param(
            [(7_200, [WARN, CRITICAL]), (6_750, []), (7_200, [CRITICAL])],
            id="critical_is_armed_again_by_itself",
        ),
        pytest.param(
            [(7_200, [WARN, CRITICAL]), (0, []), (7_200, [WARN, CRITICAL])],
            id="both_are_armed_again_far_below",
        ),
        pytest.param([(0, []), (5_000, []), (0, [])], id="nothing_below_warn"),
    ],
)
def test_a_walk_of_occupancy_tells(walk: list[tuple[int, list[Level]]]) -> None:
    one = run_monitor()
    assert [(tokens, list(one.judge(tokens))) for tokens, _ in walk] == walk


def test_a_level_that_is_none_is_off() -> None:
    assert run_monitor(warn_tokens=None).judge(9_999) == (CRITICAL,)
    assert run_monitor(critical_tokens=None).judge(9_999) == (WARN,)


@given(st.lists(st.integers(0, 8_000)))
def test_between_two_tellings_occupancy_was_low_enough_to_arm(walk: list[int]) -> None:
    one = run_monitor()
    told = [step for step, tokens in enumerate(walk) if WARN in one.judge(tokens)]
    assert bool(told) is any(tokens > 5_625 for tokens in walk)
    for earlier, later in pairwise(told):
        assert min(walk[earlier:later]) <= 5_250
