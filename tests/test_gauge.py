"""Tests of the gauge: the provider's counts anchor ours, and limits are held to the result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import item
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import Quota, Thresholds, Told
from ctxbudget.core.gauge import Gauge
from ctxbudget.core.types import Cache, Do, Item, Layer, Limit

NONE = rules()
DROP = rules({"on": "rejected", "select": {"kind": "artifact"}, "do": "drop"})


def reported(by_provider: int, *items: Item) -> Gauge:
    """Return a gauge after the first call, which carried these items, and its report."""
    gauge = Gauge()
    for one in items:
        gauge.came(one)
    gauge.sent(sum(one.tokens for one in items))
    gauge.answered(by_provider)
    return gauge


def amounts(gauge: Gauge) -> tuple[int, int]:
    assert gauge.extra_tokens == gauge.drift_tokens + gauge.margin_tokens
    return gauge.drift_tokens, gauge.margin_tokens


A = item("a", 300, error_tokens=9)
REST = item("rest", 700, error_tokens=20)
SINCE = item("since", 100, error_tokens=5)

# ---- the gauge by itself


def test_without_a_report_the_error_bounds_add_up() -> None:
    gauge = Gauge()
    gauge.came(item("a", 100, error_tokens=7))
    gauge.came(item("b", 100))
    gauge.came(item("c", 100, error_tokens=20))
    gauge.went(item("a", 100, error_tokens=7))
    assert amounts(gauge) == (0, 20)


def test_a_report_settles_what_was_sent_and_nothing_that_came_since() -> None:
    gauge = Gauge()
    gauge.came(item("sent", 1_000, error_tokens=50))
    gauge.sent(1_000)
    gauge.came(SINCE)
    gauge.answered(1_030)
    assert amounts(gauge) == (30, 5)
    gauge.answered(1_040)  # a second report of the same call takes nothing off twice
    assert amounts(gauge) == (40, 5)


def test_a_count_of_the_prompt_as_it_stands_settles_everything() -> None:
    gauge = reported(1_030, A, REST)
    gauge.came(SINCE)
    gauge.counted(1_200, 1_100)
    assert amounts(gauge) == (100, 0)
    gauge.went(SINCE)  # an eleventh of what the count covered: 9.09 of the drift
    assert amounts(gauge) == (91, 5)


@pytest.mark.parametrize(
    ("by_provider", "left"),
    [
        (1_100, (70, 9)),  # 30 % of what was covered take 30 % of the drift
        (900, (-70, 9)),
        (1_000, (0, 9)),
        (1_001, (1, 9)),  # rounded up, towards the upper bound
        (999, (0, 9)),
    ],
)
def test_the_drift_shrinks_as_what_it_covered_leaves(
    by_provider: int, left: tuple[int, int]
) -> None:
    gauge = reported(by_provider, A, REST)
    gauge.went(A)
    assert amounts(gauge) == left


@pytest.mark.parametrize("report", ["answered", "counted"])
def test_what_came_after_a_report_takes_nothing_of_it_away(report: str) -> None:
    gauge = reported(1_100, A, REST)
    if report == "counted":
        gauge.counted(1_100, 1_000)
    for name in ("since", "again"):
        gauge.came(replace(SINCE, id=name))
        assert amounts(gauge) == (100, 5)
        gauge.went(replace(SINCE, id=name))
        assert amounts(gauge) == (100, 0)


def test_another_version_of_what_a_report_covered_is_not_covered() -> None:
    gauge = reported(1_100, A, REST)
    shorter = replace(A, tokens=10, error_tokens=3, version=1)
    gauge.went(A)
    gauge.came(shorter)
    assert amounts(gauge) == (70, 12)
    gauge.went(shorter)
    assert amounts(gauge) == (70, 9)


def test_what_comes_back_after_a_report_is_not_covered_either() -> None:
    gauge = reported(1_100, A, REST)
    for _ in range(3):
        gauge.went(A)
        assert amounts(gauge) == (70, 9)
        gauge.came(A)
        assert amounts(gauge) == (70, 18)


@pytest.mark.parametrize(("rest_error", "margin"), [(20, 9), (9, 9), (8, 8), (0, 0)])
def test_the_margin_is_no_more_than_the_error_bounds_of_what_is_there(
    rest_error: int, margin: int
) -> None:
    gauge = reported(1_000, A, replace(REST, error_tokens=rest_error))
    gauge.went(A)
    assert amounts(gauge) == (0, margin)


def test_the_shares_of_what_leaves_in_turn_are_those_of_what_is_left() -> None:
    parts = [item(str(tokens), tokens) for tokens in (500, 300, 200)]
    gauge, drifts = reported(1_100, *parts), []
    for one in parts:
        gauge.went(one)
        drifts.append(gauge.drift_tokens)
    assert drifts == [50, 20, 0]


@pytest.mark.parametrize(
    ("left", "by_provider", "drift"),
    [
        ([A], 1_100, 70),
        ([A], 500, -350),  # half of what was counted, so half of the 700 that stay
        ([A, REST], 500, 0),
        ([A, REST], 2_000, 0),
    ],
)
def test_what_leaves_before_the_answer_takes_its_share_of_the_drift_with_it(
    left: list[Item], by_provider: int, drift: int
) -> None:
    gauge = reported(1_000, A, REST)
    gauge.sent(1_000)
    for one in left:
        gauge.went(one)
    for _ in range(2):  # a second answer to the same call says the same
        gauge.answered(by_provider)
        assert amounts(gauge) == (drift, 9 if left == [A] else 0)  # as if it had left after it


def test_the_error_of_what_left_before_the_first_answer_comes_back() -> None:
    gauge = Gauge()
    gauge.came(A)
    gauge.came(REST)
    gauge.sent(1_000)
    gauge.went(A)
    gauge.answered(1_020)
    assert amounts(gauge) == (14, 9)  # as if it had left after the answer


def test_what_came_between_a_call_and_its_answer_is_not_covered_by_that() -> None:
    gauge = reported(1_000, A, REST)
    gauge.sent(1_000)
    gauge.came(SINCE)
    gauge.answered(1_100)
    assert amounts(gauge) == (100, 5)
    gauge.went(SINCE)
    assert amounts(gauge) == (100, 0)


def test_what_came_and_went_before_the_answer_takes_nothing_with_it() -> None:
    gauge = reported(1_000, A, REST)
    gauge.sent(1_000)
    gauge.came(SINCE)
    gauge.went(SINCE)
    gauge.answered(1_100)
    assert amounts(gauge) == (100, 0)


def test_an_answer_about_a_prompt_from_before_a_count_does_not_cover_what_came_since() -> None:
    gauge = reported(1_030, A, REST)
    gauge.sent(1_000)
    gauge.came(SINCE)
    gauge.counted(1_200, 1_100)
    gauge.answered(1_030)
    assert amounts(gauge) == (30, 5)


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 900)), min_size=1, max_size=12),
    st.integers(0, 100_000),
)
def test_nothing_of_a_report_stays_once_all_it_covered_has_left(
    sizes: list[tuple[int, int]], by_provider: int
) -> None:
    items = [
        item(f"i{number}", tokens, error_tokens=error)
        for number, (tokens, error) in enumerate(sizes)
    ]
    gauge = reported(by_provider, *items)
    for number, one in enumerate(items, 1):
        before = gauge.drift_tokens
        gauge.went(one)
        assert abs(gauge.drift_tokens) <= abs(before)
        assert 0 <= gauge.margin_tokens <= sum(left.error_tokens for left in items[number:])
        assert sum(left.tokens for left in items[number:]) + gauge.drift_tokens >= 0
    assert gauge.margin_tokens == 0
    if sum(tokens for tokens, _ in sizes):
        assert gauge.drift_tokens == 0


# ---- what the engine makes of it


def test_occupancy_is_what_was_counted_plus_drift_plus_margin() -> None:
    world = World(DROP).add("a", 1_000).add("b", 1_000, "artifact", error_tokens=40)
    assert world.occupancy == 2_040
    world.call().answered(2_200)
    assert world.occupancy == 2_200
    world.add("c", 100, error_tokens=8)
    assert world.occupancy == 2_308
    world.reject()  # b goes with its half of the drift; c alone may still be larger than counted
    assert (world.tokens, world.occupancy) == (1_100, 1_100 + 100 + 8)
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


@pytest.mark.parametrize(("by_provider", "occupancy"), [(500, 0), (1_000, 0), (2_000, 0)])
def test_an_answer_about_what_has_left_says_nothing_of_what_is_there(
    by_provider: int, occupancy: int
) -> None:
    world = World(DROP).add("a", 1_000, "artifact").call().reject().answered(by_provider)
    assert (world.tokens, world.occupancy) == (0, occupancy)


def test_an_answer_is_spread_over_what_stayed_and_what_left_since_the_call() -> None:
    world = World(DROP).add("a", 1_000, "artifact").add("b", 3_000).call().reject()
    assert world.answered(4_400).occupancy == 3_000 + 300
    assert world.add("c", 50, error_tokens=6).answered(4_000).occupancy == 3_000 + 50 + 6


def test_a_count_does_not_cover_what_comes_after_it_even_before_the_next_call() -> None:
    world = World(DROP).add("a", 1_000, error_tokens=70).counted(1_200)
    assert world.add("b", 100, "artifact", error_tokens=5).occupancy == 1_305
    assert world.reject().occupancy == 1_200


def test_a_stand_in_is_not_covered_by_the_report_about_what_it_replaced() -> None:
    digest = {"on": "rejected", "do": "digest", "select": {"kind": "artifact", "form": "whole"}}
    drop = {"on": "cache_cold", "do": "drop", "select": {"form": "digest"}}
    world = World(rules(digest, drop), cache=Cache(min_tokens=0)).add("goal", 100, error_tokens=10)
    world.add("out", 900, "artifact", ready=True, error_tokens=90)
    world.errors[Do.DIGEST, "out"] = 3
    world.call().answered(1_100)
    assert world.reject().occupancy == 100 + 100 + 10 + 13
    assert world.wait(1_000).call().occupancy == 100 + 10 + 10


def test_an_answer_before_any_call_is_refused() -> None:
    world = World(NONE).add("a", 10).start("a").agent("a", "x").call(thread="x")
    with pytest.raises(SourceError, match="at 10 s: thread 'main' has made no call to answer"):
        world.answered(10)
    assert world.occupancy == 10


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


def test_the_levels_of_a_thread_follow_a_window_that_a_refusal_lowered() -> None:
    world = World(NONE, window=10_000).add("a", 3_750).reject(limit_tokens=5_000)
    assert world.told == []  # they lie at 3,750 and 4,750 now
    assert world.add("b", 1).told == ["warn"]
    assert world.add("c", 1_000).told == ["warn", "critical"]
    world = World(NONE, window=10_000).start("a").agent("a", "x").add("a", 3_751)
    world.add("x", 3_751, thread="x").reject("x", limit_tokens=5_000)
    assert world.add("y", 1, thread="x").add("b", 1).told == ["warn"]
    assert [one.scope for one in world.of(Told)] == ["thread:x"]


def test_a_lowered_window_leaves_the_levels_of_layers_as_they_are() -> None:
    quota = Quota(layer=Layer.TRANSIENT, limit=Limit(tokens=1_000))
    world = World(NONE, window=10_000, thresholds=Thresholds(quotas=(quota,)))
    world.reject(limit_tokens=900).add("a", 751)
    assert [(one.scope, one.limit_tokens) for one in world.of(Told)] == [
        ("run", 675),
        ("layer:transient", 750),
    ]
