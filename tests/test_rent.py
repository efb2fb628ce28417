"""What may go, when it pays, and from where on: worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.rent import names_tokens
from ctxbudget.core.types import Do, Layer

RESULTS = {"kind": "tool_result", "idle_calls": 2}


def rent(*stays: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a policy in which one payment of the rewrite is enough, and nothing is deduped."""
    plain = {"patience": 1, "least_gain": 1, "dedupe": False}
    return {"name": "test", "rent": {**plain, **more, "stays": list(stays or [RESULTS])}}


def world(tail: int = 8_000, policy: dict[str, Any] | None = None, **more: Any) -> World:
    """Return a prompt of 1,000 fixed tokens, a result of 1,000 and a tail; nothing is called yet."""
    made = World(policy or rent(), calls=more.pop("calls", 1_000), **more)
    made.add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    return made.add("x", 1_000).add("tail", tail, "assistant")


def goes_before_call(made: World, name: str = "x", at_most: int = 400) -> int | None:
    """Return the number of the first call that does not carry an item whole."""
    whole = made.prompt()[name]
    for number in range(1, at_most + 1):
        made.call()
        if made.prompt().get(name) != whole:
            return number
    return None


@pytest.mark.parametrize(
    ("tail", "call"),
    [
        # The names of 1,000 tokens may take 60 and are taken to fill 36: the gain is 964. Behind x
        # 8,036 tokens stay, to be written instead of read for 1.15 · 8,036 = 9,241. A call's rent
        # is 96.4, so 96 calls pay for it. x may go from the third call on, so that is call 98.
        (8_000, 98),
        (1_000, 15),  # 1.15 · 1,036 = 1,191: 13 calls pay
        (0, 3),  # 1.15 · 36 = 41: the first call beyond the limit pays
    ],
)
def test_it_goes_when_its_rent_has_paid_for_the_rewrite(tail: int, call: int) -> None:
    assert goes_before_call(world(tail)) == call


def test_the_fewer_calls_are_left_the_less_there_is_to_save() -> None:
    """At call 98 the saving has to come from 96 calls that are left, this one included."""
    assert goes_before_call(world(calls=193)) == 98
    assert goes_before_call(world(calls=192), at_most=192) is None


def test_more_patience_waits_for_more_rent() -> None:
    """1.5 · 1,191 = 1,787 is paid by 19 calls beyond the limit."""
    assert goes_before_call(world(1_000, rent(patience=1.5))) == 21


def test_a_use_begins_the_count_again() -> None:
    made = world(1_000).call(10).touch("x")
    assert goes_before_call(made) == 15


def test_the_limits_can_be_multiplied() -> None:
    """Three times two calls: the first that pays is four calls later."""
    assert goes_before_call(world(1_000, rent(times=3))) == 19


def test_with_a_cold_cache_all_that_may_go_goes() -> None:
    made = world(calls=3).call(2).wait(301).call()
    assert made.prompt()["x"] == 60
    young = world(calls=3).call(1).wait(301).call()
    assert young.prompt()["x"] == 1_000


def test_a_cache_that_is_often_lost_makes_rent_dear() -> None:
    """Before call 25 there were 9 losses in 24 calls, with 20 more assumed without one.

    A read comes to 0.1 + 1.15 · 9 / 44 = 0.335, so 23 calls paid 23 · 0.335 · 964 = 7,433, and the
    rewrite is (1.25 - 0.335) · 8,036 = 7,351. One call earlier 7,226 are less than 7,307. Without
    losses it is call 98.
    """
    made = world().call().answered(10_000, cache_read_tokens=1)
    for _ in range(9):
        made.call().answered(10_000, cache_read_tokens=0)
    assert made.engine.state.main.cache_state.losses == 9  # the first had nothing to read
    assert goes_before_call(made) == 25 - 10


def test_a_gain_that_is_too_small_is_left() -> None:
    assert goes_before_call(world(0, rent(least_gain=965))) is None
    assert goes_before_call(world(0, rent(least_gain=964))) == 3


def test_a_cut_that_gains_too_little_is_left_though_all_together_would_not() -> None:
    """`late` alone gains 964 of at least 1,000; `early` waits for the 20,000 tokens behind it."""
    made = World(rent(least_gain=1_000), calls=1_000)
    made.add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    made.add("early", 1_000).add("middle", 20_000, "assistant").add("late", 1_000).call(40)
    assert made.prompt()["late"] == 1_000


def test_the_cut_is_where_the_saving_most_exceeds_the_rewrite() -> None:
    """`late` has little behind it and pays soon; `early`, behind 20,000 tokens, waits."""
    made = World(rent(), calls=1_000).add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    made.add("early", 1_000).add("middle", 20_000, "assistant")
    made.add("late", 1_000).add("tail", 1_000, "assistant")
    assert goes_before_call(made, "late") == 15
    assert made.prompt()["early"] == 1_000


def test_a_deep_cut_takes_all_that_is_idle_behind_it() -> None:
    """What goes behind a cut is not written again, so three old results pay for one cut.

    1.15 · (200 + 3 · 36) = 354 is more than the 3 · 96 = 289 of the first call beyond the limit and
    less than those of two. The last of them alone would have to pay 1.15 · 236 = 271 out of 193.
    """
    made = World(rent(), calls=1_000).add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    made.add("early", 1_000).add("a", 1_000).add("b", 1_000).add("tail", 200, "assistant")
    assert not made.call(3).pruned
    assert [one.items for one in made.call().pruned] == [("b",), ("a",), ("early",)]


def test_operations_come_last_item_first() -> None:
    made = World(rent(), calls=100).add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    made.add("a", 1_000).add("b", 1_000).add("c", 1_000).call(2).wait(301).call()
    assert [one.items for one in made.pruned] == [("c",), ("b",), ("a",)]
    assert {one.do for one in made.pruned} == {Do.NAMES}


def test_what_belongs_to_no_line_stays() -> None:
    made = World(rent({"kind": "tool_result", "tool": "read", "idle_calls": 1}), calls=9)
    made.add("read", 1_000, tool="read").add("other", 1_000, tool="grep").add("none", 1_000)
    made.call(2).wait(301).call()
    assert made.prompt() == {"read": 60, "other": 1_000, "none": 1_000}


def test_the_first_line_that_fits_counts() -> None:
    lines = (
        {"kind": "tool_result", "tool": ["read", "view"], "idle_calls": 5},
        {"kind": "tool_result", "idle_calls": 1},
        {"kind": "tool_call", "idle_calls": 1},
    )
    made = World(rent(*lines), calls=9).add("view", 1_000, tool="view").add("grep", 1_000, tool="g")
    made.add("view call", 1_000, "tool_call", tool="view").call(2).wait(301).call()
    assert made.prompt() == {"view": 1_000, "grep": 60, "view call": 60}


def test_small_items_stay() -> None:
    made = World(rent({**RESULTS, "min_tokens": 200}), calls=9)
    made.add("prompt", 2_000, "system", layer=Layer.PERMANENT)
    made.add("small", 199).add("large", 200).call(3).wait(301).call()
    assert made.prompt() == {"prompt": 2_000, "small": 199, "large": 60}


def test_a_thought_is_dropped_but_not_with_others() -> None:
    made = World(rent({"kind": "thinking", "idle_calls": 1, "do": "drop"}), calls=9)
    made.add("alone", 500, "thinking")
    made.add("with call", 500, "thinking", group="g").add("call", 100, "tool_call", group="g")
    made.add("result", 100, group="g").call(2).wait(301).call()
    assert list(made.prompt()) == ["with call", "call", "result"]


def test_what_no_phase_needs_any_more_may_go_at_once() -> None:
    """The item of phase a is idle for one call only, but b is the last phase and needs nothing."""
    graph: dict[str, Any] = {"a": (), "b": ()}
    made = World(rent({"kind": "tool_result", "idle_calls": 50}), phases=graph, calls=9)
    made.start("a").add("of a", 1_000, phase="a").call().end("a")
    made.start("b").add("of b", 1_000, phase="b").call().wait(301).call()
    assert made.prompt() == {"of a": 60, "of b": 1_000}


def test_over_its_budget_the_prompt_gives_up_what_is_overdue_most() -> None:
    """A budget of 10,000 tokens of which 2,000 are fixed: 15 % of 8,000 are freed beyond the need.

    11,000 stand there, so 2,200 are needed: two of 1,500 tokens go, which leave 75 each.
    """
    lines = (
        {"kind": "tool_result", "tool": "slow", "idle_calls": 40},
        {"kind": "tool_result", "tool": "quick", "idle_calls": 1},
    )
    made = World(rent(*lines, room=0.15, patience=999), budget=10_000, calls=9)
    made.add("prompt", 2_000, "system", layer=Layer.PERMANENT)
    made.add("slow", 3_000, tool="slow").add("one", 1_500, tool="quick").add(
        "two", 1_500, tool="quick"
    )
    made.call(2).add("new", 3_000, "user").call()
    assert made.prompt() == {"prompt": 2_000, "slow": 3_000, "one": 75, "two": 75, "new": 3_000}


def test_over_its_budget_even_what_was_just_carried_may_go_but_nothing_new() -> None:
    made = World(rent({"kind": "tool_result", "idle_calls": 99}), window=10_000, calls=9)
    made.add("old", 6_000).call().add("new", 6_000).call()
    assert made.prompt() == {"old": 250, "new": 6_000}


def test_after_a_refusal_the_learnt_limit_holds() -> None:
    made = world(0, calls=9).call()
    made.reject(limit_tokens=1_500)
    assert made.prompt()["x"] == 60


def test_behind_a_cut_all_that_was_carried_leaves_out_what_is_held_later() -> None:
    made = World(rent(RESULTS, {"kind": "user", "idle_calls": 99}, dedupe=True), calls=99)
    made.sizes[Do.DEDUPE, "seen"] = 400
    made.add("goal", 100, "user").add("before", 1_000, "user").add("x", 1_000)
    made.add("seen", 1_000, "user").call(2).add("new", 1_000, "user").wait(301)
    before = made.prompt()
    assert before["seen"] == 1_000
    made.call()
    assert made.prompt() == {
        "goal": 100,
        "before": 1_000,
        "x": 60,
        "seen": 400,
        "new": 1_000,
    }


@pytest.mark.parametrize(
    ("item_tokens", "names"), [(61, 60), (1_200, 60), (2_000, 100), (5_000, 250), (99_999, 250)]
)
def test_names_take_a_twentieth_within_bounds(item_tokens: int, names: int) -> None:
    assert names_tokens(item_tokens) == names


def test_the_shipped_table_can_be_scaled_by_name() -> None:
    loaded = load_policy("adaptive:times=2.5")
    assert loaded.label == "adaptive:times=2.5"
    assert loaded.reads_uses
    assert load_policy(loaded.as_data).as_data == loaded.as_data
