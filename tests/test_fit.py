"""Tests of the engine's last resort: a prompt is made to fit, cheapest loss first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import item
from hypothesis import given
from hypothesis import strategies as st
from worlds import World

from ctxbudget.core import fit
from ctxbudget.core.errors import BudgetExceededError
from ctxbudget.core.events import ItemAdded, Pruned, Told
from ctxbudget.core.policy import RulePolicy
from ctxbudget.core.types import Form, Item, Kind, Layer, Level

LIMIT = 10_000
PLACEHOLDER, DIGEST = 10, 100  # tokens


def call_with(items: list[Item]) -> World:
    """Return a world without a policy after one call with these items."""
    world = World(RulePolicy(name="none", rules=()), window=LIMIT + 2_000, reserve=2_000)
    return world.feed(*(ItemAdded(at=0, item=one) for one in items)).call()


def losses(world: World) -> list[str]:
    assert all(one.rule == "fit" and one.reason for one in world.pruned)
    return [f"{one.do} {' '.join(one.items)}" for one in world.pruned]


def goal(tokens: int) -> Item:
    return item("goal", tokens, kind=Kind.USER, pinned=True)


RESULT = dict[str, Any](kind=Kind.TOOL_RESULT)
PROMPT = (  # 10,100 tokens
    item("note", 500, layer=Layer.METADATA),
    item("scoped", 1_500, layer=Layer.PHASE),
    item("old", 2_000),
    item("call", 100, kind=Kind.TOOL_CALL, group="g"),
    item("result", 3_000, group="g", **RESULT),
    item("output", 3_000, kind=Kind.ARTIFACT, ready=True),
)
STEPS = ["digest output", "clear result", "drop old", "drop call result", "drop scoped"]


@pytest.mark.parametrize(
    ("goal_tokens", "expected", "left_tokens"),
    [
        (0, STEPS[:1], 7_200),
        (3_000, STEPS[:2], 7_210),
        (6_000, STEPS[:4], 8_100),  # a step goes 3,000 below: the next result may be as large
        (8_000, STEPS[:5], 8_600),
        (8_950, STEPS, 9_550),
        (9_450, [*STEPS, "drop note", "drop output"], 9_450),
        (10_000, [*STEPS, "drop note", "drop output"], 10_000),
    ],
)
def test_the_cheapest_loss_comes_first_and_the_oldest_within_it(
    goal_tokens: int, expected: list[str], left_tokens: int
) -> None:
    world = call_with([goal(goal_tokens), *PROMPT])
    assert losses(world) == expected
    assert (world.tokens, world.sent) == (left_tokens, [left_tokens])


ARTIFACT = dict[str, Any](kind=Kind.ARTIFACT)
OLD = item("old", 1_000)
CASES = {
    "exactly_at_the_limit_nothing_is_lost": ([goal(9_000), OLD], []),
    "one_over_the_limit": ([goal(9_001), OLD], ["drop old"]),
    "it_goes_5_pct_below": (
        [
            goal(8_800),
            item("a", 600, ready=True, **ARTIFACT),
            item("b", 601, ready=True, **ARTIFACT),
        ],
        ["digest a", "digest b"],
    ),
    "not_further_than_5_pct_below": (
        [
            goal(8_799),
            item("a", 601, ready=True, **ARTIFACT),
            item("b", 601, ready=True, **ARTIFACT),
        ],
        ["digest a"],
    ),
    "it_goes_below_by_the_next_result": (
        [goal(8_781), *(item(name, 600, **RESULT) for name in "rst")],
        ["clear r", "clear s", "clear t"],
    ),
    "not_further_below_than_the_next_result": (
        [goal(8_780), *(item(name, 600, **RESULT) for name in "rst")],
        ["clear r", "clear s"],
    ),
    "a_dearer_step_is_not_taken_for_the_room": (
        [goal(8_900), item("out", 700, ready=True, **ARTIFACT), item("r", 600, **RESULT)],
        ["digest out"],
    ),
    "an_unready_output_is_dropped": ([goal(9_000), item("out", 2_000, **ARTIFACT)], ["drop out"]),
    "a_digest_is_not_digested_again": (
        [goal(9_000), item("out", 2_000, ready=True, form=Form.DIGEST, **ARTIFACT)],
        ["drop out"],
    ),
    "a_snipped_result_can_be_cleared": (
        [goal(9_000), item("r", 2_000, form=Form.SNIP, **RESULT)],
        ["clear r"],
    ),
    "a_cleared_result_is_dropped": (
        [goal(9_000), item("r", 2_000, form=Form.CLEAR, **RESULT)],
        ["drop r"],
    ),
    "a_stand_in_that_is_no_shorter_is_passed_over": (
        [goal(9_000), item("r", 10, **RESULT), OLD],
        ["drop r", "drop old"],
    ),
    "a_group_with_a_pinned_member_stays": (
        [goal(8_000), item("a", 1_000, group="g"), item("b", 9, group="g", pinned=True), OLD],
        ["drop old"],
    ),
    "a_call_that_waits_for_its_result_stays": (
        [goal(8_000), item("a", 1_001, kind=Kind.TOOL_CALL, group="g"), OLD],
        ["drop old"],
    ),
    "a_group_over_two_layers_goes_whole": (
        [goal(9_000), item("a", 600, group="g", layer=Layer.PHASE), item("b", 600, group="g")],
        ["drop a b"],
    ),
}


@pytest.mark.parametrize(("items", "expected"), CASES.values(), ids=CASES)
def test_what_is_lost_and_what_is_not(items: list[Item], expected: list[str]) -> None:
    assert losses(call_with(items)) == expected


def test_plans_are_made_only_over_the_limit() -> None:
    world = World(RulePolicy(name="none", rules=())).add("r", 100)
    thread = world.engine.state.main
    assert [len(list(fit.plans(thread, limit))) > 0 for limit in (99, 100, 101)] == [
        True,
        False,
        False,
    ]


def test_an_overflow_is_told_with_its_numbers_before_the_fit() -> None:
    events = call_with([goal(9_001), OLD]).events
    told, pruned = [one for one in events if isinstance(one, Told | Pruned)][-2:]
    assert isinstance(told, Told)
    assert (told.level, told.scope) == (Level.OVERFLOW, "run")
    assert (told.tokens, told.limit_tokens) == (10_001, 10_000)
    assert isinstance(pruned, Pruned)


def test_what_may_not_be_touched_and_does_not_fit_is_named_with_its_size() -> None:
    system = item("system", 6_000, layer=Layer.PERMANENT)
    kept = [item("a", 7, pinned=True), item("b", 8, pinned=True)]
    with pytest.raises(BudgetExceededError) as caught:
        call_with([OLD, system, goal(4_000), *kept])
    error = caught.value
    assert (error.thread, error.tokens, error.limit_tokens) == ("main", 10_015, LIMIT)
    assert error.items == (("system", 6_000), ("goal", 4_000), ("b", 8), ("a", 7))
    message = "hold 10,015 tokens, the hard limit is 10,000; the largest are system (6,000), "
    assert f"{message}goal (4,000), b (8)." in str(error)


def test_metadata_that_the_fit_makes_may_have_to_go_as_well() -> None:
    kept = item("kept", 600, kind=Kind.ARTIFACT, ready=True, stand_in_layer=Layer.PERMANENT)
    world = call_with([goal(9_950), kept])
    assert losses(world) == ["digest kept", "drop kept"]
    assert world.store().tokens == 9_950


def uncertain(error_tokens: int, limit_tokens: int) -> World:
    """Return a world in which four reported items of 1,000 tokens are made to fit a limit."""
    world = World(RulePolicy(name="none", rules=()), window=LIMIT)
    for name in "abcd":
        world.add(name, 1_000, "artifact", error_tokens=error_tokens)
    return world.call().answered(4_000).reject(limit_tokens=limit_tokens)


@pytest.mark.parametrize(
    ("error_tokens", "limit_tokens", "left", "occupancy"),
    [
        (0, 3_650, "b c d", 3_000),
        (900, 3_900, "b c d", 3_900),
        (900, 3_899, "c d", 3_800),
        (900, 3_799, "d", 1_900),
        (900, 1_899, "", 0),
    ],
)
def test_dropping_goes_on_while_the_margin_that_comes_back_takes_the_gain(
    error_tokens: int, limit_tokens: int, left: str, occupancy: int
) -> None:
    world = uncertain(error_tokens, limit_tokens)
    assert (" ".join(world.prompt()), world.occupancy) == (left, occupancy)
    assert all(one.rule == "fit" for one in world.pruned)


def test_dropping_goes_on_where_it_does_not_gain_at_first() -> None:
    world = World(RulePolicy(name="none", rules=()), window=LIMIT)
    for name in "abcdef":  # each 1,000 tokens, or 500 as reported, or 1,500 at the most
        world.add(name, 1_000, "artifact", error_tokens=500)
    world.call().answered(3_000).reject(limit_tokens=2_400)
    assert (" ".join(world.prompt()), world.occupancy) == ("e f", 2_000)


@pytest.mark.parametrize("kind", ["assistant", "tool_result", "artifact"])
def test_what_gains_nothing_is_not_tried_for_ever(kind: str) -> None:
    empty = [item(name, 0, kind=Kind(kind), ready=True) for name in "xyz"]
    with pytest.raises(BudgetExceededError) as caught:
        call_with([goal(10_001), *empty])
    assert (caught.value.tokens, caught.value.limit_tokens) == (10_001, LIMIT)


def test_what_a_report_says_of_nothing_is_not_tried_away_for_ever() -> None:
    world = World(RulePolicy(name="none", rules=()), window=LIMIT).add("x", 0).add("y", 0)
    with pytest.raises(BudgetExceededError, match="hold 10,001 tokens, the hard limit is 10,000"):
        world.call().answered(10_001).call()


any_item = st.builds(
    item,
    st.just(""),
    st.integers(0, 3_000),
    layer=st.sampled_from(Layer),
    kind=st.sampled_from((Kind.ASSISTANT, Kind.TOOL_RESULT, Kind.ARTIFACT)),
    group=st.sampled_from((None, None, "g", "h")),
    pinned=st.sampled_from((False, False, False, True)),
    ready=st.booleans(),
    form=st.sampled_from((Form.WHOLE, Form.CLEAR)),
)


def shortest_tokens(one: Item) -> int:
    """Return what is left of an item that may be shortened but not dropped."""
    if one.untouchable or one.form is not Form.WHOLE:
        return one.tokens
    if one.kind is Kind.ARTIFACT and one.ready:
        return min(one.tokens, DIGEST)
    return min(one.tokens, PLACEHOLDER) if one.kind is Kind.TOOL_RESULT else one.tokens


@given(st.lists(any_item, max_size=12))
def test_any_prompt_fits_with_its_pins_and_whole_groups_or_is_refused(drawn: list[Item]) -> None:
    items = [replace(one, id=f"i{n}") for n, one in enumerate(drawn)]
    bound = {one.group for one in items if one.untouchable and one.group}
    kept = [one for one in items if one.untouchable]
    least = [shortest_tokens(one) for one in items if one.untouchable or one.group in bound]
    if sum(least) > LIMIT:
        with pytest.raises(BudgetExceededError):
            call_with(items)
        return
    world = call_with(items)
    store = world.store()
    assert store.tokens <= LIMIT
    assert [store[one.id] for one in kept] == kept
    gone = [one for one in items if one.id not in store]
    assert not {one.group for one in gone if one.group} & {one.group for one in store}
    if gone:
        assert all(one.tokens == shortest_tokens(one) for one in store)
    if sum(one.tokens for one in items) <= LIMIT:
        assert not losses(world)


def test_what_a_refused_prompt_brought_counts_as_not_seen() -> None:
    """The model has seen the old result, and not the new one: only its head and tail stay."""
    world = World(RulePolicy(name="none", rules=()), window=20_000)
    world.add("goal", 100, "user").turn("old", 100, 2_000).call()
    world.turn("new", 100, 2_000).call()
    world.reject(limit_tokens=2_100)
    assert losses(world)[:2] == ["clear old result", "drop old call old result"]
    assert [one.do for one in world.pruned if "new result" in one.items] == ["snip"]
    world.call()
    world.turn("last", 100, 2_000).call()
    assert "clear new result" in losses(world)


def test_a_result_that_alone_is_over_the_limit_keeps_head_and_tail() -> None:
    """Even before the first call, and rather than losing anything else."""
    world = call_with([goal(500), OLD, item("huge", 80_000, **RESULT)])
    assert losses(world)[0] == "snip huge"
    assert world.prompt()["huge"] == LIMIT // 4
    assert "old" in world.prompt()
