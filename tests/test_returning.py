"""Tests of what comes back: an item with its group, or all that a plan took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, rules

from ctxbudget.core.errors import BudgetExceededError, PolicyError, SourceError
from ctxbudget.core.events import Quota, Restored, Thresholds, Told, UndoAsked
from ctxbudget.core.types import Cache, Do, Form, Layer, Limit, Operation, Plan, Trigger


def on_rejection(do: str, **more: Any) -> dict[str, Any]:
    """Return a policy that acts once, upon `reject`, on what a call has carried."""
    return rules({"on": "rejected", "do": do, **more})


CLEAR = on_rejection("clear", select={"kind": "tool_result", "form": "whole"})
DROP = on_rejection("drop", select={"kind": ["tool_call", "tool_result", "assistant"]})
STUB = on_rejection("stub", by="all", select={"kind": ["tool_call", "tool_result", "assistant"]})
NONE = rules()


def three_turns(policy: Any, **more: Any) -> World:
    """Return a world with three carried turns of 160 and 840 tokens, after the policy acted."""
    world = World(policy, **more).add("goal", 10, "user").turn("1").turn("2").turn("3").call()
    return world.reject()


def last(world: World) -> Restored:
    return world.of(Restored)[-1]


# ---- an item comes back


def test_an_item_comes_back_as_it_was_at_first_in_its_place() -> None:
    world = three_turns(CLEAR)
    before = world.prompt()
    world.restore("2 result")
    assert world.prompt() == {**before, "2 result": 840}
    assert list(world.prompt()) == list(before)
    back = world.store()["2 result"]
    assert (back.form, back.version) == (Form.WHOLE, 0)
    assert (last(world).items, last(world).removed) == ((back,), ("2 result",))
    assert (last(world).gained_tokens, last(world).occupancy_tokens) == (830, world.tokens)
    assert (last(world).thread, last(world).plan) == ("main", None)


@pytest.mark.parametrize("asked", ["2 call", "2 result"])
def test_an_item_that_left_comes_back_with_its_group_to_the_old_places(asked: str) -> None:
    world = three_turns(DROP)
    assert world.prompt() == {"goal": 10}
    world.add("new", 5, "assistant").restore(asked)
    assert world.prompt() == {"goal": 10, "2 call": 160, "2 result": 840, "new": 5}
    world.restore("1 call")
    assert [*world.prompt()] == ["goal", "1 call", "1 result", "2 call", "2 result", "new"]
    assert {one.id for one in last(world).items} == {"1 call", "1 result"}


def test_the_first_of_several_forms_comes_back() -> None:
    snip = {
        "on": "rejected",
        "do": "snip",
        "to": 300,
        "select": {"form": "whole", "min_tokens": 500},
    }
    clear = {"on": "cache_cold", "do": "clear", "select": {"kind": "tool_result"}}
    world = World(rules(snip, clear)).turn("t", 200, 1_800).call().reject()
    assert world.prompt()["t result"] == 300
    assert world.wait(1_000).call().prompt()["t result"] == 10
    assert world.restore("t result").prompt()["t result"] == 1_800
    assert world.call().reject().store()["t result"].version == 3  # 1 and 2 have been used


def test_a_place_that_is_taken_sends_it_to_the_end() -> None:
    world = World(STUB).add("a", 100, "assistant").add("b", 50, "artifact")
    world.add("c", 70, "assistant").call().reject()
    assert world.prompt() == {"~stub1": 5, "b": 50}
    world.add("d", 1, "artifact").restore("a").restore("c")  # the note stands where a stood
    assert [*world.prompt()] == ["~stub1", "b", "c", "d", "a"]


@pytest.mark.parametrize("asked", ["t call", "t result"])
def test_a_call_goes_before_its_result_where_its_own_place_is_taken(asked: str) -> None:
    world = World(STUB).add("goal", 10, "user").turn("t").add("x", 7, "artifact").call().reject()
    assert world.prompt() == {"goal": 10, "~stub1": 5, "x": 7}  # the note stands where t call stood
    world.restore(asked)
    assert [*world.prompt()] == ["goal", "~stub1", "x", "t call", "t result"]
    assert {one.id for one in last(world).items} == {"t call", "t result"}


def test_a_result_whose_call_has_moved_comes_back_behind_it() -> None:
    clear = {"on": "cache_cold", "do": "clear", "select": {"kind": "tool_result"}}
    stub = {"on": "rejected", "do": "stub", "by": "all", "select": {"kind": "tool_call"}}
    world = World(rules(stub, clear), cache=Cache(min_tokens=0)).turn("t").call().reject()
    world.restore("t result").call().wait(1_000).call()
    assert [*world.prompt().items()] == [("~stub1", 5), ("t call", 160), ("t result", 10)]
    world.restore("t result")
    assert [*world.prompt().items()] == [("~stub1", 5), ("t call", 160), ("t result", 840)]


def test_other_groups_go_to_their_own_places_and_ends() -> None:
    world = World(STUB).turn("1").turn("2").add("x", 7, "artifact").call().reject()
    assert [*world.restore("2 result").prompt()] == ["~stub1", "2 call", "2 result", "x"]
    assert [*world.restore("1 result").prompt()][-3:] == ["x", "1 call", "1 result"]


def test_what_goes_to_the_end_is_as_young_as_what_arrives_now() -> None:
    mask = {"on": "before_call", "do": "clear", "select": {"kind": "tool_result", "age_calls": 2}}
    world = World(rules({"on": "rejected", "do": "stub", "select": {"kind": "tool_call"}}, mask))
    world.turn("t").call().reject().call(3).restore("t result").call(2)
    assert world.prompt() == {"~stub1": 5, "t call": 160, "t result": 840}
    world.call()  # two calls have carried it
    assert world.prompt() == {"~stub1": 5, "t call": 160, "t result": 10}


def test_permanent_items_come_back_into_their_part() -> None:
    world = World(NONE).start("a").add("last", 3, "user")
    world.register("skill", 40, layer=Layer.PERMANENT).activate("skill").end("a")
    assert world.prompt() == {"last": 3}
    assert world.restore("skill").prompt() == {"skill": 40, "last": 3}


def test_pin_keeps_it_from_then_on() -> None:
    world = three_turns(DROP).restore("2 result", pin=True)
    assert all(world.store()[name].pinned for name in ("2 call", "2 result"))
    assert "2 result" in world.call().reject().prompt()
    world = three_turns(DROP).restore("2 result")
    assert "2 result" not in world.call().reject().prompt()


def test_it_is_protected_until_one_call_has_carried_it() -> None:
    policy = rules(
        {"on": ["before_call", "rejected"], "do": "drop", "select": {"kind": "artifact"}}
    )
    world = World(policy).add("a", 100, "artifact").call()
    assert world.prompt() == {}
    world.restore("a").reject().call()
    assert world.sent[-1] == 100
    world.call()
    assert (world.sent[-1], world.prompt()) == (0, {})


def test_a_snip_waits_too_until_one_call_has_carried_it() -> None:
    snip = {"do": "snip", "to": 300, "select": {"min_tokens": 500, "form": "whole"}}
    world = World(rules({"on": ["before_call", "rejected"], **snip})).turn("t").call()
    assert (world.sent, world.prompt()["t result"]) == ([460], 300)
    world.restore("t result").reject().call()
    assert (world.sent[-1], world.prompt()["t result"]) == (1_000, 840)
    assert world.call().sent[-1] == 460


def test_a_policy_that_snips_what_has_just_come_back_breaks_its_contract() -> None:
    snip = Operation(do=Do.SNIP, items=("t result",), limit_tokens=300)
    plan = Plan(rule="own", reason="a test", operations=(snip,))
    world = World(lambda moment: [plan] if moment.trigger is Trigger.REJECTED else [])
    world.turn("t").call().reject()
    with pytest.raises(PolicyError, match="'t result' may not go before one call has carried it"):
        world.restore("t result").reject()
    assert world.prompt()["t result"] == 840


@pytest.mark.parametrize("asked", ["2 call", "2 result"])
def test_an_agent_gets_the_whole_group_from_the_shelf_where_it_was_found(asked: str) -> None:
    world = three_turns(DROP).start("a").agent("a", "x").add("own", 5, "assistant", thread="x")
    world.restore(asked, thread="x")
    assert [*world.prompt("x")] == ["own", "2 call", "2 result"]
    assert {one.id for one in last(world).items} == {"2 call", "2 result"}
    assert world.prompt() == {"goal": 10}


def test_an_agent_gets_the_call_too_where_it_still_stands_in_the_main_prompt() -> None:
    world = three_turns(CLEAR).start("a").agent("a", "x").restore("2 result", thread="x")
    assert [*world.prompt("x").items()] == [("2 call", 160), ("2 result", 840)]
    assert world.prompt()["2 result"] == 10


def test_an_agents_own_shelf_goes_before_that_of_the_main_thread() -> None:
    world = three_turns(DROP).start("a").agent("a", "x").turn("2", 16, 84, thread="x")
    world.add("end", 1, "assistant", thread="x").call(thread="x").reject("x")
    world.restore("2 call", thread="x")
    assert world.prompt("x") == {"2 call": 16, "2 result": 84}


def test_an_agent_may_have_what_left_the_main_prompt_at_the_end_of_its_own() -> None:
    world = three_turns(on_rejection("drop", select={"kind": "artifact"}))
    world.add("out", 70, "artifact").reject().start("a").agent("a", "x")
    world.add("own", 5, "assistant", thread="x").restore("out", thread="x")
    assert world.prompt("x") == {"own": 5, "out": 70}
    assert "out" not in world.prompt()
    assert (last(world).thread, last(world).rewritten_tokens) == ("x", 0)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda w: w.restore("goal"), "'goal' is in the prompt as a whole"),
        (lambda w: w.add("new", 1).restore("new"), "'new' is in the prompt as a whole"),
        (lambda w: w.restore("1 result").restore("1 result"), "'1 result' is in the prompt as a"),
        (
            lambda w: w.restore("1 result", pin=True).restore("1 result"),
            "'1 result' is in the prompt as a whole",
        ),
        (lambda w: w.restore("1 resul"), "'1 resul' never left a prompt; did you mean '1 result'"),
        (lambda w: w.restore("zzz"), "'zzz' never left a prompt; known are: 1 result"),
        (lambda w: w.restore("1 result", thread="x"), "thread 'x' is not open"),
        (lambda w: w.undo(7), "thread 'main' has no plan 7 to undo; the latest are: 1"),
        (lambda w: w.undo().undo(), "has no plan 0 to undo; the latest are: none"),
        (lambda w: w.start("a").agent("a", "x").undo(1, "x"), "thread 'x' has no plan 1 to undo"),
    ],
)
def test_what_cannot_come_back_is_refused(ask: Callable[[World], object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ask(three_turns(CLEAR))


def test_a_stand_in_that_stands_as_it_first_was_is_not_restored() -> None:
    drop = {"on": "cache_cold", "do": "drop", "select": {"kind": "note"}}
    stub = {"on": "rejected", "do": "stub", "by": "all", "select": {"kind": "tool_call"}}
    world = World(rules(stub, drop), cache=Cache(min_tokens=0)).turn("t").call().reject()
    refusal = "item '~stub1' is in the prompt as a whole; there is nothing to restore"
    with pytest.raises(SourceError, match=refusal):
        world.restore("~stub1")
    assert world.call().wait(1_000).call().prompt() == {}
    assert world.restore("~stub1").prompt() == {"~stub1": 5}
    with pytest.raises(SourceError, match=refusal):
        world.restore("~stub1")
    assert len(world.of(Restored)) == 1


def test_thinking_is_not_restored_where_it_is_bound_to_what_was_before_it() -> None:
    def world(*, strips: bool) -> World:
        policy = on_rejection("drop", select={"kind": "thinking"})
        return World(policy, strips_thinking=strips).add("t", 50, "thinking").call().reject()

    with pytest.raises(SourceError, match="item 't' is thinking, which is bound to what"):
        world(strips=True).restore("t")
    assert world(strips=False).restore("t").prompt() == {"t": 50}


# ---- what it costs


@pytest.mark.parametrize(
    ("asked", "rewritten"),
    [
        # from the place on stand: 1 result 10, 2 call 160, 2 result 10, 3 call 160, 3 result 10
        ("1 result", 350),
        ("3 result", 10),
    ],
)
def test_what_the_cache_holds_from_the_first_place_on_is_told(asked: str, rewritten: int) -> None:
    world = three_turns(CLEAR).call().restore(asked)
    assert last(world).rewritten_tokens == rewritten


def test_an_undo_costs_what_is_behind_the_first_of_its_places() -> None:
    assert last(three_turns(CLEAR).call().undo()).rewritten_tokens == 350


def test_what_is_behind_another_change_costs_nothing_more() -> None:
    world = three_turns(CLEAR).call().restore("1 result").restore("3 result")
    assert last(world).rewritten_tokens == 0


def test_its_error_bound_counts_again() -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy).add("a", 100, "artifact", error_tokens=9).reject()
    assert world.occupancy == 0
    assert world.restore("a").occupancy == 109


def test_levels_are_judged_when_it_is_back() -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=1_000).add("a", 751, "artifact").reject()
    assert world.told == ["warn"]
    assert world.restore("a").told == ["warn", "warn"]


# ---- room for what comes back


def test_room_is_made_first_and_the_oldest_goes() -> None:
    world = World(NONE, window=10_000).add("big", 6_000, "artifact").add("x", 4_100, "artifact")
    world.call().add("y", 4_000, "artifact")
    assert world.prompt() == {"x": 4_100, "y": 4_000}
    world.restore("big")
    assert world.prompt() == {"big": 6_000}
    assert [one.items for one in world.pruned[1:]] == [("x",), ("y",)]
    assert all(one.rule == "fit" for one in world.pruned)
    kinds = [type(event).__name__ for event in world.events[-4:]]
    assert kinds == ["RestoreAsked", "Pruned", "Pruned", "Restored"]


@pytest.mark.parametrize(("other", "left"), [(4_000, ["big", "x"]), (4_001, ["big"])])
def test_nothing_goes_while_it_fits_exactly(other: int, left: list[str]) -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=10_000).add("big", 6_000, "artifact").reject()
    assert [*world.add("x", other, "assistant").restore("big").prompt()] == left


def test_what_cannot_fit_is_refused_and_nothing_changes() -> None:
    world = World(NONE, window=10_000).add("big", 6_000, "artifact").add("x", 4_001, "artifact")
    world.call().add("pin", 4_001, pinned=True)
    prompt, events = world.prompt(), list(world.events)
    with pytest.raises(BudgetExceededError, match="6,000 tokens are to come back, but") as caught:
        world.restore("big")
    assert (caught.value.tokens, caught.value.limit_tokens) == (10_001, 10_000)
    assert (world.prompt(), world.events) == (prompt, events)
    assert world.occupancy == 8_002


def cannot(world: World, what: str) -> tuple[int, int]:
    """Ask in vain for what does not fit; return the tokens and the limit that are told."""
    prompt, events = world.prompt(), list(world.events)
    with pytest.raises(BudgetExceededError, match="tokens are to come back, but with them") as seen:
        world.restore(what)
    assert (world.prompt(), world.events) == (prompt, events)
    return seen.value.tokens, seen.value.limit_tokens


@pytest.mark.parametrize(("call", "fits"), [(5_160, True), (5_161, False)])
def test_the_rest_of_a_group_that_comes_back_does_not_make_room_for_it(
    call: int, fits: bool
) -> None:
    world = World(CLEAR, window=6_000).turn("t", call, 840).call().reject()
    world.add("x", 500, "artifact")
    if not fits:
        assert cannot(world, "t result") == (6_001, 6_000)
        return
    assert world.restore("t result").prompt() == {"t call": 5_160, "t result": 840}


@pytest.mark.parametrize(("pinned", "fits"), [(4_000, True), (4_001, False)])
def test_the_error_bound_of_what_comes_back_needs_room_too(pinned: int, fits: bool) -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=10_000).add("a", 5_000, "artifact", error_tokens=1_000).reject()
    world.add("p", pinned, "system", pinned=True)
    if not fits:
        assert cannot(world, "a") == (10_001, 10_000)
        return
    assert world.restore("a").occupancy == 10_000


def test_the_error_bound_of_what_comes_back_takes_room_from_others() -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=10_000).add("a", 5_000, "artifact", error_tokens=1_000).reject()
    world.add("old", 1, "assistant").add("p", 4_000, "system", pinned=True)
    assert world.restore("a").prompt() == {"a": 5_000, "p": 4_000}


def stuck(result: int) -> World:
    """Return a world in which a pinned call holds its result, and 6,000 tokens have left."""
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=10_000).add("big", 6_000, "artifact").reject()
    world.add("p", 3_800, "system", pinned=True)
    world.add("c", 100, "tool_call", group="g", pinned=True)
    return world.add("r", result, "tool_result", group="g")


def test_a_result_that_cannot_leave_is_cleared_for_what_comes_back() -> None:
    world = stuck(200).restore("big")
    assert world.prompt() == {"big": 6_000, "p": 3_800, "c": 100, "r": 10}
    assert [(one.do.value, one.items) for one in world.pruned[1:]] == [("clear", ("r",))]


def test_another_result_of_the_same_call_is_cleared_for_what_comes_back() -> None:
    world = World(CLEAR, window=6_200).add("c", 100, "tool_call", group="g")
    world.add("r1", 1_000, "tool_result", group="g").call().reject()
    world.add("r2", 5_500, "tool_result", group="g").call().restore("r1")
    assert world.prompt() == {"c": 100, "r1": 1_000, "r2": 10}


@pytest.mark.parametrize(
    ("big", "other", "by_provider", "fits"),
    [
        (6_000, 4_000, 9_000, True),  # 4,000 more than counted, of which 800 are for p
        (8_200, 4_000, 9_000, True),
        (8_201, 4_000, 9_000, False),
        (9_909, 100, 100, True),  # 1,000 less than counted, 909 of them for p
        (9_910, 100, 100, False),
    ],
)
def test_what_leaves_takes_its_share_of_the_drift_along(
    big: int, other: int, by_provider: int, fits: bool
) -> None:
    policy = on_rejection("drop", select={"kind": "artifact"})
    world = World(policy, window=10_000).add("big", big, "artifact").call().reject()
    world.add("p", 1_000, "system", pinned=True).add("x", other, "assistant")
    world.call().answered(by_provider)
    if not fits:
        cannot(world, "big")
        return
    assert world.restore("big").prompt() == {"big": big, "p": 1_000}


@pytest.mark.parametrize(("limit", "fits"), [(800, True), (799, False)])
def test_the_error_bound_that_a_stand_in_leaves_behind_needs_room_too(
    limit: int, fits: bool
) -> None:
    world = World(CLEAR, window=900).add("p", 500, "system", pinned=True, error_tokens=100)
    world.sizes[Do.CLEAR, "r"], world.errors[Do.CLEAR, "r"] = 100, 50
    world.add("r", 250, "tool_result").call().reject().call().answered(600)
    world.reject(limit_tokens=limit)
    if not fits:
        assert cannot(world, "r") == (800, 799)
        return
    assert world.restore("r").occupancy == 800  # of what was reported 50 may have been p's


def test_what_makes_room_is_judged_with_what_came_back() -> None:
    never = Limit(tokens=10**9)
    quota = Quota(layer=Layer.METADATA, limit=Limit(tokens=100))
    stub = {"on": "rejected", "do": "stub", "by": "all", "select": {"kind": ["tool_call"]}}
    drop = {"on": "warn", "do": "drop", "select": {"kind": "note"}}
    world = World(
        rules(stub, drop),
        window=2_000,
        thresholds=Thresholds(warn=never, critical=never, quotas=(quota,)),
    )
    world.turn("t").call().reject().add("out", 1_500, "artifact", ready=True)
    assert world.prompt() == {"~stub1": 5, "out": 1_500}
    world.undo()  # out becomes 100 tokens of metadata; with the note there would be 105
    assert world.prompt() == {"t call": 160, "t result": 840, "out": 100}
    assert [type(one).__name__ for one in world.events[-5:]] == [
        "Shortened",
        "Pruned",
        "Restored",
        "Told",
        "Told",
    ]
    assert [(one.tokens, one.limit_tokens) for one in world.of(Told)] == [(100, 75), (100, 95)]


# ---- a plan is undone

PLANS: dict[str, dict[str, Any]] = {
    "drop": DROP,
    "clear": CLEAR,
    "snip": on_rejection("snip", to=100, select={"kind": "tool_result"}),
    "stub all": STUB,
    "stub turns": on_rejection("stub", by="turn", select={"kind": ["tool_call", "tool_result"]}),
    "summarize": on_rejection("summarize", by="all", to=50, select={"kind": ["tool_call", "tool_result"]}),
    "summary beside digests": on_rejection(
        "summarize", by="phase", to=50, leave_metadata=True, select={"kind": ["artifact", "tool_call", "tool_result"]}
    ),
}  # fmt: skip


def content(world: World) -> list[tuple[str, int, int]]:
    return [(one.id, one.version, one.tokens) for one in world.store()]


@pytest.mark.parametrize("policy", PLANS.values(), ids=PLANS)
def test_undoing_a_plan_gives_the_prompt_from_before(policy: dict[str, Any]) -> None:
    world = World(policy).start("a").add("goal", 10, "user").turn("1").output("out", 900, 90)
    world.turn("2").finish("a", "out").call().add("new", 5, "assistant")
    before = content(world)
    world.reject()
    assert content(world) != before
    tokens = world.tokens
    world.undo()
    assert content(world) == before
    assert last(world).plan == world.pruned[-1].plan
    assert last(world).gained_tokens == world.tokens - tokens


def test_the_latest_plan_is_undone_unless_one_is_named() -> None:
    world = World(CLEAR).turn("1").call().reject().turn("2").call().reject()
    assert world.undo().prompt()["2 result"] == 840
    assert world.prompt()["1 result"] == 10
    world = World(CLEAR).turn("1").call().reject().turn("2").call().reject()
    assert world.undo(1).prompt()["1 result"] == 840
    assert world.prompt()["2 result"] == 10


def test_a_plan_is_not_undone_twice() -> None:
    world = three_turns(CLEAR).undo(1)
    with pytest.raises(SourceError, match="has no plan 1 to undo"):
        world.undo(1)


def twice() -> World:
    """Return a world in which plan 2 stubs what plan 1 cleared."""
    clear = {"on": "rejected", "do": "clear", "select": {"kind": "tool_result", "form": "whole"}}
    stub = {"on": "cache_cold", "do": "stub", "by": "all", "select": {"form": ["clear", "whole"]}}
    world = World(rules(clear, stub), cache=Cache(min_tokens=0)).turn("1").turn("2").call().reject()
    return world.wait(1_000).call()


def test_a_plan_whose_rest_a_later_one_took_waits_for_that_one() -> None:
    world = twice()
    assert world.prompt() == {"~stub1": 5}
    with pytest.raises(SourceError, match=r"plan 1 cannot be undone: .* undo 2 first"):
        world.undo(1)
    assert world.prompt() == {"~stub1": 5}
    world.undo(2)
    assert world.prompt() == {"1 call": 160, "1 result": 10, "2 call": 160, "2 result": 10}
    assert world.undo(1).tokens == 2_000


def test_a_plan_of_which_something_was_restored_cannot_be_undone() -> None:
    world = three_turns(CLEAR).restore("1 result")
    with pytest.raises(SourceError, match="undo the restore first, or restore items"):
        world.undo(1)


def test_the_engines_own_prunes_can_be_undone_too() -> None:
    world = World(NONE, window=10_000).add("big", 6_000, "artifact").add("x", 4_100, "artifact")
    world.call()
    assert world.undo().prompt() == {"big": 6_000}  # x made room


REMOVALS: dict[str, Callable[[], World]] = {
    "injected": lambda: (
        World(NONE).start("a").register("gone", 40).activate("gone").call().end("a")
    ),
    "thinking": lambda: (
        World(CLEAR, strips_thinking=True)
        .turn("t")
        .add("gone", 40, "thinking")
        .call()
        .reject()
        .call()
    ),
}


@pytest.mark.parametrize("removed", REMOVALS.values(), ids=REMOVALS)
def test_what_is_over_or_bound_is_no_plan_to_undo(removed: Callable[[], World]) -> None:
    world = removed()
    taken = world.pruned[-1]
    assert (taken.items, "gone" in world.store().shelf) == (("gone",), True)
    with pytest.raises(SourceError, match=f"thread 'main' has no plan {taken.plan} to undo"):
        world.undo(taken.plan)
    assert "gone" not in world.prompt()


def test_what_undo_brings_back_is_protected_and_room_is_made_for_it() -> None:
    policy = rules({"on": ["before_call", "rejected"], "do": "clear", "select": {"form": "whole", "kind": "artifact"}})  # fmt: skip
    world = (
        World(policy, window=10_000).add("a", 6_000, "artifact").call().add("b", 8_000, "thinking")
    )
    world.undo()
    assert world.prompt() == {"a": 6_000}
    assert world.call().sent[-1] == 6_000
    assert world.call().sent[-1] == 10


def test_an_undo_names_what_was_asked_for() -> None:
    world = three_turns(CLEAR).undo()
    assert [one.plan for one in world.of(UndoAsked)] == [None]
    assert set(last(world).removed) == {"1 result", "2 result", "3 result"}
    assert {one.id for one in last(world).items} == set(last(world).removed)


# ---- any plans, undone from the last to the first

acting = st.fixed_dictionaries(
    {
        "on": st.just("rejected"),
        "do": st.sampled_from(["drop", "clear", "snip", "digest", "stub", "summarize"]),
        "select": st.fixed_dictionaries(
            {},
            optional={
                "kind": st.sampled_from(["tool_result", "artifact", "assistant"]),
                "keep_last": st.integers(0, 3),
                "form": st.just("whole"),
            },
        ),
    }
).map(
    lambda one: (
        one
        | ({"to": 20} if one["do"] in ("snip", "summarize") else {})
        | ({"by": "all"} if one["do"] in ("stub", "summarize") else {})
    )
)
sizes = st.lists(st.tuples(st.sampled_from(["turn", "assistant", "artifact"]), st.integers(0, 900)), max_size=8)  # fmt: skip


@given(st.lists(acting, min_size=1, max_size=4), sizes, sizes)
def test_plans_undone_in_reverse_give_every_prompt_from_before(
    policy: list[dict[str, Any]], first: list[tuple[str, int]], second: list[tuple[str, int]]
) -> None:
    world = World(rules(*policy))
    for part, drawn in enumerate((first, second)):
        for number, (kind, tokens) in enumerate(drawn):
            if kind == "turn":
                world.turn(f"{part}.{number}", 10, tokens)
            else:
                world.add(f"{part}.{number}", tokens, kind, ready=True)
        world.call()
    before = content(world)
    plans = {one.plan for one in world.reject().pruned}
    for _ in plans:
        world.undo()
    assert content(world) == before
    assert world.occupancy == world.tokens == sum(tokens for _, _, tokens in before)
    again = world.call().reject()
    assert len({one.plan for one in again.pruned}) == 2 * len(plans)
