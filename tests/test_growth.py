"""Tests of growth: the mean per call, the large tool result, and the room they ask for."""

from __future__ import annotations

import pytest
from builders import item
from worlds import World, rules

from ctxbudget.core import fit
from ctxbudget.core.growth import Growth
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import Kind, Scale

NONE = rules()


def grown(*calls: tuple[int, ...], kind: Kind = Kind.ASSISTANT) -> Growth:
    """Return a growth after calls, each with the items that came before it."""
    growth, prompt_tokens = Growth(), 0
    for number, sizes in enumerate(calls):
        for place, tokens in enumerate(sizes):
            growth.came(item(f"{number} {place}", tokens, kind=kind))
        prompt_tokens += sum(sizes)
        growth.called(prompt_tokens)
    return growth


def with_prompts(*sizes: int) -> Growth:
    """Return a growth after calls with prompts of these sizes."""
    growth = Growth()
    for tokens in sizes:
        growth.called(tokens)
    return growth


def with_results(*sizes: int) -> Growth:
    growth = Growth()
    for number, tokens in enumerate(sizes):
        growth.came(item(f"r{number}", tokens, kind=Kind.TOOL_RESULT))
    return growth


@pytest.mark.parametrize(
    ("calls", "mean"),
    [
        ((), 0.0),
        (((5_000,),), 0.0),  # the first prompt is no growth
        (((5_000,), (100, 200)), 300.0),
        (((5_000,), (300,), (1_300,)), 600.0),  # 300 + 0.3 x 1,000
        (((5_000,), (300,), (1_300,), ()), 420.0),  # a call without news counts as 0
    ],
)
def test_the_mean_growth_per_call(calls: tuple[tuple[int, ...], ...], mean: float) -> None:
    assert grown(*calls).per_call_tokens == pytest.approx(mean)


def test_what_came_since_the_last_call_does_not_count_yet() -> None:
    growth = grown((5_000,), (300,))
    growth.came(item("new", 9_999))
    assert growth.per_call_tokens == 300


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), 0),
        ((7,), 7),
        ((9, 1, 5), 9),
        (tuple(range(1, 21)), 19),  # the 19th of 20 is the first that 95 % do not exceed
        (tuple(range(20, 0, -1)), 19),
        ((10,) * 19 + (5_000,), 10),  # one large result in twenty is not expected again
        ((10,) * 18 + (5_000,) * 2, 5_000),
        ((9_000,) * 64 + (10,) * 64, 10),  # only the last 64 count
        ((9_000,) * 64 + (10,) * 60, 9_000),
        ((10, 9_000) * 64 + (10,) * 63 + (20,), 10),
    ],
)
def test_the_next_result_is_the_95th_percentile_of_the_recent_ones(
    sizes: tuple[int, ...], expected: int
) -> None:
    assert with_results(*sizes).next_result_tokens == expected


def test_only_tool_results_are_results_but_everything_is_growth() -> None:
    growth = grown((1,), (500, 300), kind=Kind.ARTIFACT)
    assert (growth.next_result_tokens, growth.per_call_tokens) == (0, 800)


def test_the_largest_is_the_first_of_that_size() -> None:
    growth = Growth()
    for name, tokens in (("a", 10), ("b", 30), ("c", 30), ("d", 20)):
        growth.came(item(name, tokens))
    assert growth.largest is not None
    assert growth.largest.id == "b"


@pytest.mark.parametrize(("room", "calls"), [(-1, 0), (0, 1), (299, 1), (300, 2), (900, 4)])
def test_calls_until_the_room_is_used_up(room: int, calls: int) -> None:
    assert grown((5_000,), (300,)).calls_until(room) == calls


@pytest.mark.parametrize(
    ("prompts", "median"),
    [
        ((), 0),
        ((5_000,), 0),
        ((5_000, 5_300), 300),
        ((5_000, 5_300, 5_400), 200),  # between the two in the middle
        ((5_000, 5_300, 5_600, 1_000, 1_200), 250),  # a compaction does not hide the growth
        ((5_000, 4_000), -1_000),
        ((0, *range(9_000, 9_010)), 1),  # only the last nine steps count
        ((0, *range(9_000, 9_009)), 1),
    ],
)
def test_the_net_growth_is_the_median_of_the_last_steps(
    prompts: tuple[int, ...], median: float
) -> None:
    assert with_prompts(*prompts).net_per_call_tokens == median


@pytest.mark.parametrize("prompts", [(), (5_000,), (5_000, 5_000), (5_000, 4_000)])
def test_what_does_not_grow_never_uses_its_room_up(prompts: tuple[int, ...]) -> None:
    growth = with_prompts(*prompts)
    assert (growth.calls_until(0), growth.calls_until(-1)) == (None, 0)


# ---- the room that the fit leaves


@pytest.mark.parametrize(
    ("growth", "room"),
    [
        (Growth(), 500),  # 5 % of 10,000
        (grown((1,), (50,)), 500),
        (grown((1,), (51,)), 510),  # ten calls of growth
        (with_results(499), 500),
        (with_results(1_700), 1_700),
        (grown((1,), (170,), kind=Kind.TOOL_RESULT), 1_700),
        (with_results(3_001), 3_000),  # 30 %
        (grown((1,), (400,)), 3_000),
    ],
)
def test_the_room_is_for_the_next_result_or_ten_calls_within_its_bounds(
    growth: Growth, room: int
) -> None:
    scale = Scale(window_tokens=10_000, reserve_tokens=0, budget_tokens=10_000)
    thread = Thread(name="main", scale=scale, growth=growth)
    assert fit.room_tokens(thread, 10_000) == room


@pytest.mark.parametrize(("step_tokens", "dropped"), [(40, 6), (100, 11), (400, 31)])
def test_a_prompt_that_grows_faster_is_fitted_with_more_room(
    step_tokens: int, dropped: int
) -> None:
    world = World(NONE, window=10_000).add("goal", 6_000 - 2 * step_tokens, "user")
    for number in range(40):
        world.add(f"old {number}", 100, "assistant")
    world.call().add("a", step_tokens, "assistant").call().add("b", step_tokens, "assistant")
    assert not world.call().pruned
    world.add("over", 1, "assistant").call()  # by 501, 1,001 or 3,001 tokens, 100 at a time
    assert [one.items for one in world.pruned] == [(f"old {n}",) for n in range(dropped)]


def test_what_comes_from_the_world_grows_a_prompt_and_what_is_restored_does_not() -> None:
    world = World(rules({"on": "rejected", "select": {"kind": "artifact"}, "do": "drop"}))
    world.register("skill", 40, "read").call()
    world.add("a", 300, "artifact").add("c", 10, "tool_call", tool="read").call().reject()
    growth = world.engine.state.main.growth
    assert growth.per_call_tokens == 350  # the registered item came with the call
    world.restore("a").call()
    assert growth.per_call_tokens == pytest.approx(350 * 0.7)


def test_seeds_of_a_thread_are_its_first_prompt_and_no_growth() -> None:
    world = World(NONE).add("rules", 9_000, "system", layer="permanent").start("a").agent("a", "x")
    world.call(thread="x").add("r", 70, thread="x").call(thread="x")
    assert world.engine.state.threads["x"].growth.per_call_tokens == 70
