"""Tests of the gauge: the provider's counts anchor ours, and limits are held to the result."""

from __future__ import annotations

import pytest
from builders import item
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.gauge import Gauge

NONE = rules()
DROP = rules({"on": "rejected", "select": {"kind": "artifact"}, "do": "drop"})


def reported(counted: int, by_provider: int) -> Gauge:
    """Return a gauge after the first call and its report."""
    gauge = Gauge()
    gauge.sent(counted, 1)
    gauge.answered(by_provider)
    return gauge


def amounts(gauge: Gauge) -> tuple[int, int]:
    assert gauge.extra_tokens == gauge.drift_tokens + gauge.margin_tokens
    return gauge.drift_tokens, gauge.margin_tokens


# ---- the gauge by itself


def test_without_a_report_the_error_bounds_add_up() -> None:
    gauge = Gauge()
    gauge.came(item("a", 100, error_tokens=7))
    gauge.came(item("b", 100))
    gauge.came(item("c", 100, error_tokens=20))
    gauge.went(item("a", 100, error_tokens=7), 0)
    assert amounts(gauge) == (0, 20)


def test_a_report_settles_what_was_sent_and_nothing_that_came_since() -> None:
    gauge = Gauge()
    gauge.came(item("sent", 1_000, error_tokens=50))
    gauge.sent(1_000, 1)
    gauge.came(item("since", 100, error_tokens=5))
    gauge.answered(1_030)
    assert amounts(gauge) == (30, 5)
    gauge.answered(1_040)  # a second report of the same call takes nothing off twice
    assert amounts(gauge) == (40, 5)


def test_a_count_of_the_prompt_as_it_stands_settles_everything() -> None:
    gauge = reported(1_000, 1_030)
    gauge.came(item("since", 100, error_tokens=5))
    gauge.counted(1_200, 1_100, 1)
    assert amounts(gauge) == (100, 0)
    gauge.went(item("since", 110, error_tokens=5), 1)  # a tenth of what the count covered
    assert amounts(gauge) == (90, 5)


@pytest.mark.parametrize(
    ("by_provider", "arrived_call", "left"),
    [
        (1_100, 0, (70, 9)),  # 30 % of what was covered take 30 % of the drift
        (900, 0, (-70, 9)),
        (1_000, 0, (0, 9)),
        (1_001, 0, (1, 9)),  # rounded up, towards the upper bound
        (999, 0, (0, 9)),
        (1_100, 1, (100, 0)),  # it came after the call, so the report says nothing of it
    ],
)
def test_the_drift_shrinks_as_what_it_covered_leaves(
    by_provider: int, arrived_call: int, left: tuple[int, int]
) -> None:
    gauge = reported(1_000, by_provider)
    gauge.went(item("a", 300, error_tokens=9), arrived_call)
    assert amounts(gauge) == left


def test_the_shares_of_what_leaves_in_turn_are_those_of_what_is_left() -> None:
    gauge = reported(1_000, 1_100)
    drifts = []
    for tokens in (500, 300, 200):
        gauge.went(item("a", tokens), 0)
        drifts.append(gauge.drift_tokens)
    assert drifts == [50, 20, 0]


@given(
    st.lists(st.integers(0, 5_000), min_size=1, max_size=12),
    st.integers(0, 100_000),
)
def test_nothing_of_a_report_stays_once_all_it_covered_has_left(
    sizes: list[int], by_provider: int
) -> None:
    gauge = reported(sum(sizes), by_provider)
    for number, tokens in enumerate(sizes):
        before = gauge.drift_tokens
        gauge.went(item(f"i{number}", tokens), 0)
        assert abs(gauge.drift_tokens) <= abs(before)
    if sum(sizes):
        assert gauge.drift_tokens == 0


# ---- what the engine makes of it


def test_occupancy_is_what_was_counted_plus_drift_plus_margin() -> None:
    world = World(DROP).add("a", 1_000).add("b", 1_000, "artifact", error_tokens=40)
    assert world.occupancy == 2_040
    world.call().answered(2_200)
    assert world.occupancy == 2_200
    world.add("c", 100, error_tokens=8)
    assert world.occupancy == 2_308
    world.reject()  # b goes with its half of the drift; its own error comes back
    assert (world.tokens, world.occupancy) == (1_100, 1_100 + 100 + 8 + 40)
    world.counted(1_111)
    assert world.occupancy == 1_111


def test_all_three_kinds_of_input_tokens_are_the_prompt() -> None:
    world = World(NONE).add("a", 1_000).call()
    world.answered(100, cache_read_tokens=20, cache_write_tokens=3, output_tokens=9_999)
    assert world.occupancy == 123


def test_a_report_may_say_less_than_we_counted() -> None:
    world = World(NONE).add("a", 1_000, error_tokens=100).call().answered(800)
    assert (world.tokens, world.occupancy) == (1_000, 800)


def test_a_report_is_of_its_own_thread() -> None:
    world = World(NONE).start("a").agent("a", "x").add("own", 10, thread="x").add("main", 100)
    world.call(thread="x").answered(17, thread="x")
    occupied = {name: one.occupancy_tokens for name, one in world.engine.state.threads.items()}
    assert occupied == {"main": 100, "x": 17}


@pytest.mark.parametrize("fact", ["answered", "counted"])
def test_a_report_about_a_thread_that_is_not_open_is_refused(fact: str) -> None:
    with pytest.raises(SourceError, match="thread 'x' is not open"):
        getattr(World(NONE), fact)(1, thread="x")


def test_levels_are_judged_on_occupancy_when_the_report_comes() -> None:
    world = World(NONE, window=1_000).add("a", 700).call()  # warn is above 750
    assert world.told == []
    world.answered(751)
    assert world.told == ["warn"]
    world.counted(951)
    assert world.told == ["warn", "critical"]
    world.counted(600).counted(751)
    assert world.told == ["warn", "critical", "warn"]


def test_the_error_bound_of_an_item_counts_towards_the_levels() -> None:
    assert World(NONE, window=1_000).add("a", 700, error_tokens=50).told == []
    assert World(NONE, window=1_000).add("a", 700, error_tokens=51).told == ["warn"]


def test_a_rule_compares_its_limits_with_occupancy() -> None:
    drop = {"on": "before_call", "select": {"kind": "artifact"}, "do": "drop"}
    world = World(rules({**drop, "when": {"above": 1_000}}))
    world.add("a", 990, "artifact").call().answered(1_000).call()
    assert not world.pruned
    world.answered(1_001).call()
    assert [one.items for one in world.pruned] == [("a",)]


def test_a_prompt_is_made_to_fit_by_what_the_provider_counts() -> None:
    world = World(NONE, window=10_000).add("a", 4_000, "artifact").add("b", 4_000, "artifact")
    world.call().answered(10_000).call()
    assert not world.pruned
    world.answered(10_001).call()
    assert [one.items for one in world.pruned] == [("a",)]
    assert world.occupancy == 5_001  # half of what the provider counted, rounded up


def test_a_shorter_form_brings_its_own_error_bound() -> None:
    world = World(rules({"on": "rejected", "select": {"kind": "tool_result"}, "do": "clear"}))
    world.turn("t", 100, 900).call().answered(1_000).reject()
    assert (world.tokens, world.occupancy) == (110, 110)


# ---- what a refusal teaches


def limits(world: World) -> tuple[int, int, int]:
    scale = world.engine.state.main.scale
    return scale.window_tokens, scale.hard_limit_tokens, scale.budget_tokens


def small() -> World:
    """Return a world of 10,000 tokens with 6,000 in the prompt, pinned but for 2,000."""
    world = World(NONE, window=11_000, reserve=1_000)
    return world.add("p", 4_000, pinned=True).add("old", 2_000, "artifact").call()


def test_a_refusal_with_numbers_anchors_the_gauge_and_lowers_the_window() -> None:
    world = small().reject(tokens=9_000, limit_tokens=8_000)
    assert limits(world) == (9_000, 8_000, 8_000)
    assert [one.items for one in world.pruned] == [("old",)]
    assert world.occupancy == 6_000  # 4,000 of 6,000 counted, times 9,000
    assert world.told[-1] == "overflow"


def test_a_refusal_with_a_limit_alone_lowers_the_window() -> None:
    world = small().reject(limit_tokens=6_000)
    assert (limits(world), world.pruned) == ((7_000, 6_000, 6_000), [])
    assert [one.items for one in world.reject(limit_tokens=5_999).pruned] == [("old",)]


def test_a_refusal_without_a_limit_asks_for_four_fifths_of_the_occupancy() -> None:
    world = small().answered(7_001).reject(limit_tokens=None)
    assert limits(world) == (6_600, 5_600, 5_600)  # 5,600.8, rounded down
    world = small().reject(limit_tokens=None, tokens=6_500)
    assert limits(world)[1] == 5_200


def test_a_limit_above_ours_and_a_smaller_budget_stay_as_they_are() -> None:
    assert limits(small().reject(limit_tokens=10_000)) == (11_000, 10_000, 10_000)
    world = World(NONE, window=10_000, budget=2_000).reject(limit_tokens=5_000)
    assert limits(world) == (5_000, 5_000, 2_000)


def test_a_limit_that_was_learned_is_held_from_then_on_and_in_its_thread_only() -> None:
    world = small().reject(limit_tokens=7_000).add("new", 1_500, "artifact").call()
    assert world.sent[-1] <= 7_000
    world = World(NONE).start("a").agent("a", "x").add("i", 9, thread="x")
    world.reject(thread="x", limit_tokens=500)
    found = {name: one.scale.window_tokens for name, one in world.engine.state.threads.items()}
    assert found == {"main": 1_000_000, "x": 500}


def test_the_policy_acts_on_a_refusal_before_the_fit() -> None:
    world = World(DROP, window=10_000).add("r", 4_000).add("a", 4_000, "artifact").call()
    world.reject(limit_tokens=5_000)
    assert [(one.rule, one.items) for one in world.pruned] == [("rule 1", ("a",))]
