"""Tests of rules: when they are asked, what they take, when they act, and the policy's contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from worlds import World, rules

from ctxbudget.core.errors import PolicyError
from ctxbudget.core.events import CacheLost, CallSent, CallStarted, Pruned
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Cache, Do, Form, Layer, Operation, Plan, Trigger

# ---- triggers

Step = tuple[str, Callable[[World], World], list[str]]

RUN: list[Step] = [
    ("bait", lambda w: w.output("bait", 1, ready=True), ["item_added"]),
    ("below warn", lambda w: w.add("x", 700), ["item_added"]),
    ("above warn", lambda w: w.add("y", 100), ["warn", "item_added"]),
    ("above critical", lambda w: w.add("z", 300), ["critical", "item_added"]),
    ("phase", lambda w: w.start("a"), ["phase_started"]),
    ("wave", lambda w: w.wave("a", 1), []),
    ("first call", lambda w: w.call(), ["before_call"]),
    ("agent", lambda w: w.agent("a", "helper"), []),
    ("agent's item", lambda w: w.add("own", 10, thread="helper"), ["item_added"]),
    ("agent's call", lambda w: w.call(thread="helper"), ["before_call"]),
    ("finish", lambda w: w.finish("a", "bait"), ["agent_finished"]),
    ("end of wave", lambda w: w.end_wave("a", 1), ["wave_finished"]),
    ("warm after 300 s", lambda w: w.wait(280).call(), ["before_call"]),
    ("cold after 301 s", lambda w: w.wait(291).call(), ["cache_cold", "before_call"]),
    ("cold on a new model", lambda w: w.call(model="m"), ["cache_cold", "before_call"]),
    ("use", lambda w: w.touch("x"), []),
    ("refusal", lambda w: w.reject(), ["rejected"]),
    ("end of phase", lambda w: w.end("a"), ["phase_finished"]),
    ("end of run", lambda w: w.end_run(), ["run_finished"]),
]
"""One run with a budget of 1,000, warn at 750 and critical at 950: step, facts, triggers."""


def listening(asked: list[str]) -> Callable[[Moment], list[Plan]]:
    """Return a policy that does nothing but write down when it is asked."""

    def policy(moment: Moment) -> list[Plan]:
        asked.append(moment.trigger.value)
        return []

    return policy


def test_each_fact_asks_at_its_triggers_in_order() -> None:
    asked: list[str] = []
    world = World(listening(asked), window=10_000, budget=1_000)
    for name, step, triggers in RUN:
        asked.clear()
        step(world)
        assert asked == triggers, name


def test_crossing_both_levels_at_once_asks_warn_then_critical() -> None:
    asked: list[str] = []
    World(listening(asked), budget=1_000).add("x", 2_000)
    assert asked == ["warn", "critical", "item_added"]


@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_rule_acts_at_its_own_trigger_only(trigger: Trigger) -> None:
    policy = rules({"on": trigger.value, "select": {"kind": "artifact"}, "do": "drop"})
    world = World(policy, window=10_000, budget=1_000)
    first = next(name for name, _, triggers in RUN if trigger.value in triggers)
    for name, step, _ in RUN:
        step(world)
        if world.pruned:
            assert name == first
            return
    pytest.fail("never fired")


def test_a_level_is_crossed_again_after_a_rule_has_pruned_below_it() -> None:
    policy = rules({"on": "warn", "select": {"kind": "artifact"}, "do": "drop"})
    world = World(policy, budget=1_000).output("x", 800)
    assert (world.told, world.prompt()) == (["warn"], {})
    world.output("y", 800)
    assert (world.told, world.prompt()) == (["warn", "warn"], {})


def test_a_rule_may_have_several_triggers() -> None:
    world = World(rules({"on": ["warn", "rejected"], "select": {"kind": "artifact"}, "do": "drop"}))
    world.output("one", 100).reject().output("two", 100).call().reject()
    assert [prune.items for prune in world.pruned] == [("one",), ("two",)]


# ---- selectors


def busy(policy: Any) -> World:
    """Return a world in phase b, wave 2, after four calls.

    Phase a is dead: it is over and c depends on b alone. `fresh` has not been carried yet.
    Tokens are distinct, `read_b` is a newer copy of `read_a`'s file, `read_a` was used at call 3.
    """
    world = World(policy, phases={"a": (), "b": (), "c": ("b",)})
    world.add("prompt", 900, "system", layer=Layer.PERMANENT)
    world.add("goal", 50, "user").add("pin", 910, pinned=True).start("a")
    world.add("rules_a", 60, "system", layer=Layer.PHASE, phase="a")
    world.output("out_a", 1_000, phase="a", wave=1).finish("a", "out_a")
    world.add("call_a", 20, "tool_call", group="a", phase="a", tool="read")
    world.add("read_a", 200, group="a", phase="a", tool="read", source="f.py")
    world.call().end("a").start("b")  # 1
    world.add("rules_b", 70, "system", layer=Layer.PHASE, phase="b")
    world.add("call_b", 30, "tool_call", group="b", phase="b", tool="grep")
    world.add("grep_b", 300, group="b", phase="b", tool="grep")
    world.call()  # 2
    world.wave("b", 1).add("rules_w1", 40, "system", layer=Layer.PHASE, phase="b", wave=1)
    world.output("out_w1", 500, phase="b", wave=1).finish("b", "out_w1").end_wave("b", 1)
    world.wave("b", 2).output("out_w2", 700, phase="b", wave=2)
    world.add("read_b", 210, phase="b", tool="read", source="f.py")
    world.add("loose", 55, "user").call().touch("read_a")  # 3
    world.add("note_b", 90, "summary", layer=Layer.METADATA, phase="b").call()  # 4
    return world.add("fresh", 80, "assistant", phase="b")


A = "rules_a out_a call_a read_a"
B = "rules_b call_b grep_b rules_w1 out_w1 out_w2 read_b"
ALL = f"{A} {B} loose note_b"

SELECTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, ALL),
    ({"layer": "phase"}, "rules_a rules_b rules_w1"),
    ({"layer": ["phase", "metadata"]}, "rules_a rules_b rules_w1 note_b"),
    ({"layer": "permanent"}, ""),
    ({"kind": "artifact"}, "out_a out_w1 out_w2"),
    ({"kind": ["summary", "user"]}, "loose note_b"),
    ({"kind": "assistant"}, ""),
    ({"tool": "grep"}, "call_b grep_b"),
    ({"tool": ["grep", "read"]}, "call_a read_a call_b grep_b read_b"),
    ({"min_tokens": 300}, "out_a grep_b out_w1 out_w2"),
    ({"min_tokens": 301}, "out_a out_w1 out_w2"),
    ({"ready": True}, "out_a out_w1"),
    ({"ready": False, "kind": "artifact"}, "out_w2"),
    ({"superseded": True}, "read_a"),
    ({"superseded": False, "tool": "read"}, "call_a read_b"),
    ({"phase": "current"}, f"{B} note_b"),
    ({"phase": "earlier"}, f"{A} loose"),
    ({"phase_age": 1}, f"{A} loose"),
    ({"phase_age": 2}, "loose"),
    ({"phase_age": 3}, ""),
    ({"wave": "current"}, "out_w2"),
    ({"wave": "earlier"}, "rules_w1 out_w1"),
    ({"live": False}, A),
    ({"live": True}, f"{B} loose note_b"),
    ({"age_calls": 1}, ALL),
    ({"age_calls": 2}, f"{A} {B} loose"),
    ({"age_calls": 3}, f"{A} rules_b call_b grep_b"),
    ({"age_calls": 4}, A),
    ({"age_calls": 5}, ""),
    ({"idle_calls": 2}, f"rules_a out_a call_a {B} loose"),
    ({"idle_calls": 4}, "rules_a out_a call_a"),
    ({"keep_last": 1, "kind": "tool_result"}, "read_a grep_b"),
    ({"keep_last": 2}, f"{A} {B} loose"),
    ({"keep_last": 99}, ""),
    ({"keep_last_turns": 2, "kind": ["tool_call", "tool_result"]}, "call_a read_a"),
    ({"keep_last": 2, "keep_last_turns": 2, "kind": ["tool_call", "tool_result"]}, "call_a read_a"),
    ({"keep_last": 4, "keep_last_turns": 2, "kind": ["tool_call", "tool_result"]}, "call_a"),
    ({"phase": "current", "min_tokens": 300}, "grep_b out_w1 out_w2"),
    ({"live": False, "layer": "transient", "age_calls": 1}, "out_a call_a read_a"),
    ({"wave": "current", "ready": True}, ""),
    ({"phase": "current", "age_calls": 3}, "rules_b call_b grep_b"),
    ({"live": False, "idle_calls": 4}, "rules_a out_a call_a"),
    ({"phase": "current", "keep_last": 1}, f"{B} note_b"),
    ({"phase": "earlier", "keep_last": 1}, f"{A} loose"),
    ({"wave": "earlier", "keep_last": 1}, "rules_w1 out_w1"),
]
"""What is selected, and who is taken, in the order of the prompt."""


@pytest.mark.parametrize(("select", "taken"), SELECTIONS, ids=str)
def test_a_selector_takes(select: dict[str, Any], taken: str) -> None:
    world = busy(rules({"on": "rejected", "select": select, "do": "clear"}))
    world.reject()
    assert [name for prune in world.pruned for name in prune.items] == taken.split()


@pytest.mark.parametrize(
    ("do", "forms"),
    [
        ("dedupe", "whole deduped"),
        ("snip", "whole deduped"),
        ("digest", "whole deduped snip"),
        ("names", "whole deduped snip"),
        ("clear", "whole deduped snip digest names"),
        ("stub", "whole deduped snip digest names clear summary"),
        ("drop", "whole deduped snip digest names clear summary stub"),
    ],
)
def test_an_operation_takes_only_longer_forms_unless_the_rule_says(do: str, forms: str) -> None:
    for select, wanted in (({}, forms.split()), ({"form": ["stub", "whole"]}, ["whole", "stub"])):
        rule = {"on": "rejected", "do": do, "select": select}
        world = World(rules({"to": 50, **rule} if do == "snip" else rule))
        for form in Form:
            world.sizes[Do.DEDUPE, form.value] = 50
            world.add(form.value, 200, "system", form=form)
        world.reject()
        assert [name for prune in world.pruned for name in prune.items] == wanted


def test_a_phase_that_starts_again_is_the_latest() -> None:
    policy = rules({"on": "phase_started", "select": {"phase_age": 1}, "do": "clear"})
    world = World(policy, phases={"a": (), "b": ("a",)})
    world.start("a").end("a").start("b").output("of b", 100, phase="b").end("b").start("a")
    assert [prune.items for prune in world.pruned] == [("of b",)]


def test_phase_10_is_not_phase_1() -> None:
    policy = rules({"on": "rejected", "select": {"phase": "current"}, "do": "clear"})
    world = World(policy, phases={"phase_1": (), "phase_10": ("phase_1",)})
    world.start("phase_1").output("one", 100, phase="phase_1").end("phase_1")
    world.start("phase_10").output("ten", 100, phase="phase_10").reject()
    assert [prune.items for prune in world.pruned] == [("ten",)]


# ---- groups


def test_taking_a_result_away_takes_its_call_along() -> None:
    policy = rules({"on": "rejected", "select": {"min_tokens": 500}, "do": "stub", "by": "turn"})
    world = World(policy).turn("t").add("alone", 600).turn("small", 10, 20).call().reject()
    assert [prune.items for prune in world.pruned] == [("t call", "t result"), ("alone",)]
    assert world.prompt() == {"~stub1": 5, "alone": 5, "small call": 10, "small result": 20}


@pytest.mark.parametrize("do", ["drop", "stub"])
def test_a_group_leaves_whole_without_being_asked_to(do: str) -> None:
    world = World(rules({"on": "rejected", "do": do})).turn("t").add("x", 50).call().reject()
    assert [prune.items for prune in world.pruned] == [("t call", "t result"), ("x",)]


@pytest.mark.parametrize("why", ["pinned", "not carried yet"])
def test_a_group_with_a_member_that_must_stay_stays_whole(why: str) -> None:
    world = World(rules({"on": "rejected", "do": "stub", "by": "turn"}))
    world.add("asks", 100, "tool_call", group="g")
    if why == "pinned":
        world.add("answer", 100, group="g", pinned=True).call()
    else:
        world.call().add("answer", 100, group="g")
    assert world.add("x", 100, "artifact").reject().prompt() == {"asks": 100, "answer": 100, "x": 5}


PARALLEL: list[tuple[str, dict[str, Any], list[str]]] = [
    ("drop", {"keep_last_turns": 1}, ["call 2", "result 2"]),
    ("drop", {"keep_last": 1}, ["call 2", "result 2"]),
    ("drop", {"keep_last": 2}, ["call 1", "call 2", "result 1", "result 2"]),
    ("clear", {"keep_last": 1}, ["result 2"]),
    ("clear", {"keep_last": 2}, ["result 1", "result 2"]),
    ("clear", {"keep_last_turns": 1}, ["call 2", "result 2"]),
]
"""Parallel calls stand before both results, so an old item can belong to a kept turn."""


@pytest.mark.parametrize(("do", "select", "left"), PARALLEL, ids=str)
def test_what_is_kept_stays_whole(do: str, select: dict[str, Any], left: list[str]) -> None:
    world = World(rules({"on": "rejected", "select": select, "do": do}))
    world.add("call 1", 100, "tool_call", group="1").add("call 2", 100, "tool_call", group="2")
    world.add("result 1", 100, group="1").add("result 2", 100, group="2").call().reject()
    assert [name for name, tokens in world.prompt().items() if tokens == 100] == left


# ---- merging


MERGED: list[tuple[str, str, dict[str, int]]] = [
    ("stub", "item", {"~stub1": 5, "out": 5, "~stub2": 5, "alone": 5}),
    ("stub", "turn", {"~stub1": 5, "out": 5, "~stub2": 5, "alone": 5}),
    ("stub", "phase", {"~stub1": 5, "~stub2": 5}),
    ("stub", "all", {"~stub1": 5}),
    ("summarize", "turn", {"~summary1": 90, "~summary2": 90, "~summary3": 90, "~summary4": 90}),
    ("summarize", "phase", {"~summary1": 90, "~summary2": 90}),
    ("summarize", "all", {"~summary1": 90}),
]


@pytest.mark.parametrize(("do", "by", "left"), MERGED)
def test_one_stand_in_per(do: str, by: str, left: dict[str, int]) -> None:
    rule = {"on": "rejected", "do": do, "by": by}
    world = World(rules({"to": 90, **rule} if do == "summarize" else rule))
    world.turn("one", phase="a").output("out", 500, phase="a")
    world.turn("two", phase="b").add("alone", 400, phase="b").call().reject()
    assert world.prompt() == left
    assert list(world.prompt()) == list(left)


# ---- guards

GUARDS: list[tuple[dict[str, Any], int]] = [
    ({}, 5),
    ({"above": 5_999}, 5),
    ({"above": 6_000}, 0),
    ({"above": "60%"}, 0),
    ({"above": "59.9%"}, 5),
    ({"above": "30% of window"}, 0),
    ({"above": "29% of window"}, 5),
    ({"above": "31.6% of hard_limit"}, 0),
    ({"above": "31.5% of hard_limit"}, 5),
    ({"above": "14000 below window"}, 0),
    ({"above": "14001 below window"}, 5),
    ({"above": {"smaller_of": [9_000, "59%"]}}, 5),
    ({"above": {"smaller_of": [9_000, "61%"]}}, 0),
    ({"until": 6_000}, 0),
    ({"until": 5_999}, 1),
    ({"until": 5_005}, 1),
    ({"until": 5_004}, 2),
    ({"until": 1}, 5),
    ({"min_items": 10}, 5),
    ({"min_items": 11}, 0),
    ({"min_turns": 5}, 5),
    ({"min_turns": 6}, 0),
    ({"min_gain_tokens": 4_975}, 5),
    ({"min_gain_tokens": 4_976}, 0),
    ({"until": 5_005, "min_gain_tokens": 995}, 1),
    ({"until": 5_005, "min_gain_tokens": 996}, 0),
    ({"above": 5_999, "min_turns": 6}, 0),
]
"""With 1,000 permanent tokens and five turns of 1,000, each worth 995 as a note; the window is
20,000, the hard limit 19,000, the budget 10,000. How many turns become notes."""


@pytest.mark.parametrize(("when", "acted"), GUARDS, ids=str)
def test_a_guard_lets_through(when: dict[str, Any], acted: int) -> None:
    policy = rules({"on": "rejected", "do": "stub", "by": "turn", "when": when})
    world = World(policy, window=20_000, reserve=1_000, budget=10_000)
    world.add("prompt", 1_000, "system", layer=Layer.PERMANENT)
    for number in range(5):
        world.turn(f"t{number}")
    world.call().reject()
    assert len(world.pruned) == acted
    assert world.tokens == 6_000 - 995 * acted
    assert {prune.plan for prune in world.pruned} <= {1}


@pytest.mark.parametrize(
    ("every", "acted_before"),
    [(0, [3, 4, 5, 6, 7, 8, 9]), (1, [3, 4, 5, 6, 7, 8, 9]), (2, [3, 5, 7, 9]), (3, [3, 6, 9])],
)
def test_every_calls(every: int, acted_before: list[int]) -> None:
    """A result that arrives after call n can go before call n + 2, since n + 1 carried it."""
    rule = {"on": "before_call", "select": {"kind": "tool_result"}, "do": "clear"}
    world = World(rules({**rule, "when": {"every_calls": every}}))
    for number in range(1, 10):
        world.call().turn(f"t{number}")
    calls = 0
    acted: dict[int, None] = {}
    for event in world.events:
        calls += isinstance(event, CallSent)
        if isinstance(event, Pruned):
            acted[calls + 1] = None
    assert list(acted) == acted_before


def test_every_calls_counts_from_when_the_rule_acted_not_from_when_it_was_asked() -> None:
    rule = {"on": "before_call", "select": {"kind": "artifact"}, "do": "clear"}
    world = World(rules({**rule, "when": {"every_calls": 5, "min_items": 2}}))
    world.output("one", 100).call(2).output("two", 100).call()
    assert [prune.items for prune in world.pruned] == [("one",), ("two",)]


PAYS = {"on": "rejected", "select": {"tool": "old"}, "do": "drop", "when": {"pays_off": True}}
WIDE = Cache(write_multiplier=2.0, read_multiplier=0.1, ttl_s=3_600)


@pytest.mark.parametrize(
    ("calls_left", "wait_s", "cache", "goes"),
    [
        (92, 0, None, False),  # 0.1 · 1,000 · 92 = 9,200 = (1.25 - 0.1) · 8,000
        (93, 0, None, True),
        (92, 290, None, False),  # 300 s after the call the cache still lives
        (92, 291, None, True),
        (0, 291, None, True),
        (152, 0, WIDE, False),  # 0.1 · 1,000 · 152 = 15,200 = (2 - 0.1) · 8,000
        (153, 0, WIDE, True),
        (152, 3_590, WIDE, False),
        (152, 3_591, WIDE, True),
    ],
)
def test_pays_off(calls_left: int, wait_s: float, cache: Cache | None, goes: bool) -> None:
    world = World(rules(PAYS), calls=calls_left + 1, cache=cache)
    world.add("prompt", 1_000, "system", layer=Layer.PERMANENT).add("x", 1_000, tool="old")
    world.add("tail", 8_000, "assistant").call().wait(wait_s).reject()
    assert ("x" not in world.prompt()) is goes


def test_pays_off_always_where_the_prompt_is_too_short_to_be_cached() -> None:
    for tail, left in ((923, ["tail"]), (924, ["x", "tail"])):  # 1,024 tokens are cached
        world = World(rules(PAYS)).add("x", 100, tool="old").add("tail", tail, "assistant")
        assert list(world.call().reject().prompt()) == left


def test_beyond_the_declared_calls_as_many_are_expected_again() -> None:
    """R is the 12 calls so far, so 0.1 · 990 · 12 = 1,188 is more than 1.15 · 1,033."""
    for calls, left in ((11, ["x", "tail"]), (12, ["tail"])):
        world = World(rules(PAYS), calls=1).add("x", 1_000, tool="old")
        world.add("tail", 1_033, "assistant").call(calls)
        assert list(world.reject().prompt()) == left


def test_pays_off_counts_only_what_the_cache_holds() -> None:
    """Of the rest, 3,000 arrived after the call: S is 5,000, so R must be over 57.5."""
    for calls_left, left in ((57, ["x", "tail", "new"]), (58, ["tail", "new"])):
        world = World(rules(PAYS), calls=calls_left + 1).add("x", 1_000, tool="old")
        world.add("tail", 5_000, "assistant").call().add("new", 3_000, "assistant").reject()
        assert list(world.prompt()) == left


def test_pays_off_does_not_take_uncached_removals_for_cached_ones() -> None:
    """Here 5,000 of the 6,000 removed were never cached: S stays 8,000, so R must be over 15.3."""
    for calls_left, left in ((15, ["x", "tail", "late"]), (16, ["tail"])):
        world = World(rules(PAYS), calls=calls_left + 1).add("x", 1_000, tool="old")
        world.add("tail", 8_000, "assistant").call()
        world.output("late", 5_000, tool="old").reject()
        assert list(world.prompt()) == left


# ---- the contract


def test_a_policy_sees_the_cache_of_the_thread_and_how_often_it_was_lost() -> None:
    """Told losses and those that an answer shows, of this thread alone."""
    seen: list[tuple[str, float, int]] = []

    def policy(moment: Moment) -> list[Plan]:
        if moment.trigger is Trigger.BEFORE_CALL:
            seen.append((moment.thread, moment.cache.read_multiplier, moment.cache_losses))
        return []

    world = World(policy, cache=Cache(read_multiplier=0.3)).start("a").agent("a", "helper")
    world.add("x", 4_000).call().answered(4_000)  # a first call has nothing to lose
    world.call().answered(2_000, cache_read_tokens=2_000)  # half is enough
    world.call().answered(2_001, cache_read_tokens=1_999)
    world.call().feed(CacheLost(at=world.at, kept_tokens=0)).call().answered(4_000)
    world.call().call(thread="helper").call(model="other")
    losses = [("main", 0.3, number) for number in (0, 0, 0, 1, 2, 2)]
    assert seen == [*losses, ("helper", 0.3, 0), ("main", 0.1, 2)]


def test_a_policy_sees_the_lifetime_that_the_call_asks_for() -> None:
    seen: list[Cache] = []

    def policy(moment: Moment) -> list[Plan]:
        seen.append(moment.cache)
        return []

    world = World(policy).feed(CallStarted(at=0.0, ttl_s=3_600.0))
    assert seen == [Cache().lasting(3_600.0)]
    assert world.call().engine.state.main.ttl_s is None
    assert seen[1] == Cache()


def plan(*operations: Operation, **fields: Any) -> Plan:
    return Plan(rule="mine", reason="a test", operations=operations, **fields)


def upon_refusal(*plans: Plan) -> Callable[[Moment], Iterable[Plan]]:
    """Return a policy that is a plain function and answers a refusal with these plans."""

    def policy(moment: Moment) -> list[Plan]:
        return list(plans) if moment.trigger is Trigger.REJECTED else []

    return policy


def small(policy: Any) -> World:
    """Return a world with an item of each sort, all carried once."""
    world = World(policy).add("permanent", 100, "system", layer=Layer.PERMANENT)
    world.add("goal", 100, "user").add("pinned", 100, pinned=True)
    return world.add("a", 100).add("b", 200).turn("t").call()


def drop(*items: str) -> Operation:
    return Operation(do=Do.DROP, items=items)


def test_a_function_is_a_policy() -> None:
    stub = Operation(do=Do.STUB, items=("t call", "t result"))
    world = small(upon_refusal(plan(drop("a"), stub), plan(drop("b")))).reject()
    assert world.prompt() == {"permanent": 100, "goal": 100, "pinned": 100, "~stub1": 5}
    assert [(one.rule, one.reason, one.plan) for one in world.pruned] == [
        ("mine", "a test", 1),
        ("mine", "a test", 1),
        ("mine", "a test", 2),
    ]


def test_a_generator_sees_what_its_last_plan_left() -> None:
    seen: list[int] = []

    def policy(moment: Moment) -> Iterator[Plan]:
        if moment.trigger is Trigger.REJECTED:
            seen.append(moment.store.tokens)
            yield plan(drop("a"))
            seen.append(moment.store.tokens)
            yield plan(drop("b"))
            seen.append(moment.store.tokens)

    small(policy).reject()
    assert seen == [1_600, 1_500, 1_300]


def test_rules_are_asked_in_order_and_see_what_the_earlier_ones_left() -> None:
    clear = {"on": "rejected", "select": {"kind": "tool_result"}, "do": "clear"}
    late = {"on": "rejected", "do": "drop", "select": {"layer": "transient"}}
    world = World(rules(clear, {**late, "when": {"above": 20}})).add("x", 500).add("y", 500)
    world.call().reject()
    assert [(one.rule, one.items) for one in world.pruned] == [
        ("rule 1", ("x",)),
        ("rule 1", ("y",)),
    ]


def test_a_plan_keeps_its_own_conditions() -> None:
    operations = (drop("a"), drop("b"))
    for fields, left in (
        ({"min_gain_tokens": 300}, 0),
        ({"min_gain_tokens": 301}, 300),
        ({"until_tokens": 1_500}, 200),
        ({"until_tokens": 1_600}, 300),
    ):
        world = small(upon_refusal(plan(*operations, **fields))).reject()
        assert sum(world.prompt().get(name, 0) for name in "ab") == left, fields


def test_a_stand_in_that_is_no_shorter_is_not_put_in() -> None:
    world = small(upon_refusal(plan(Operation(do=Do.CLEAR, items=("a",)))))
    world.sizes[Do.CLEAR, "a"] = 100
    assert world.reject().prompt()["a"] == 100
    assert world.pruned == []


def test_an_operation_that_does_not_gain_does_not_keep_the_others_back() -> None:
    clear_both = [Operation(do=Do.CLEAR, items=(name,)) for name in "ab"]
    world = small(upon_refusal(plan(*clear_both)))
    world.sizes[Do.CLEAR, "a"] = 300
    world.reject()
    assert [(prune.items, prune.net_tokens) for prune in world.pruned] == [(("b",), 190)]


def broken(do: Do, *items: str, reads: tuple[str, ...] = ()) -> Operation:
    return Operation(do=do, items=items, reads=reads, limit_tokens=50)


BROKEN: list[tuple[str, list[Operation], str]] = [
    ("pinned", [broken(Do.DROP, "pinned")], "'pinned' is pinned or permanent"),
    ("permanent", [broken(Do.CLEAR, "permanent")], "'permanent' is pinned or permanent"),
    ("the goal", [broken(Do.SNIP, "goal")], "'goal' is pinned or permanent"),
    ("unknown", [broken(Do.DIGEST, "zzz")], "'zzz' is not in the prompt"),
    ("unknown read", [broken(Do.SUMMARIZE, "b", reads=("zzz",))], "'zzz' is not in the prompt"),
    ("call dropped alone", [broken(Do.DROP, "t call")], "without the rest of its group"),
    ("result noted alone", [broken(Do.STUB, "t result")], "without the rest of its group"),
    ("result told alone", [broken(Do.SUMMARIZE, "b", "t result")], "without the rest of its group"),
    ("second operation", [broken(Do.DROP, "b"), broken(Do.DROP, "zzz")], "'zzz' is not in the"),
]


@pytest.mark.parametrize(
    ("operations", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_a_plan_that_breaks_the_contract_is_refused(
    operations: list[Operation], message: str
) -> None:
    world = small(upon_refusal(plan(*operations)))
    before = world.prompt()
    with pytest.raises(PolicyError, match=message) as caught:
        world.reject()
    assert caught.value.rule == "mine"
    assert "'mine'" in str(caught.value)
    assert world.prompt() == before


UNSOUND: dict[str, list[Operation]] = {
    "an item twice": [drop("a", "a")],
    "an item in two operations": [drop("a"), drop("a")],
    "no items": [drop("a"), Operation(do=Do.STUB, items=())],
    "several items into one placeholder": [Operation(do=Do.CLEAR, items=("a", "b"))],
    "results of turns into one placeholder": [Operation(do=Do.CLEAR, items=("a", "t result"))],
}


@pytest.mark.parametrize("operations", UNSOUND.values(), ids=UNSOUND)
def test_a_plan_that_makes_no_sense_is_refused(operations: list[Operation]) -> None:
    world = small(upon_refusal(plan(*operations)))
    before = world.prompt()
    with pytest.raises(PolicyError) as caught:
        world.reject()
    assert caught.value.rule == "mine"
    assert world.prompt() == before


@pytest.mark.parametrize("do", [Do.DEDUPE, Do.NAMES])
@pytest.mark.parametrize(
    ("items", "message"),
    [
        (("a", "b"), "takes one item at a time"),
        (("t call", "t result"), "takes one item at a time"),
        (("pinned",), "'pinned' is pinned or permanent"),
        (("permanent",), "'permanent' is pinned or permanent"),
        (("goal",), "'goal' is pinned or permanent"),
        (("new",), "'new' may not go before one call has carried it"),
        (("zzz",), "'zzz' is not in the prompt"),
    ],
)
def test_what_may_not_leave_out_a_part(do: Do, items: tuple[str, ...], message: str) -> None:
    world = small(upon_refusal(plan(Operation(do=do, items=items)))).add("new", 300)
    before = world.prompt()
    with pytest.raises(PolicyError, match=message):
        world.reject()
    assert world.prompt() == before


@pytest.mark.parametrize("do", [Do.DEDUPE, Do.NAMES])
def test_one_member_of_a_group_may_leave_out_a_part(do: Do) -> None:
    world = small(upon_refusal(plan(Operation(do=do, items=("t result",)))))
    world.sizes[do, "t result"] = 40
    assert world.reject().prompt()["t result"] == 40
    assert world.prompt()["t call"] == 160


FRESH = ["user", "assistant", "thinking", "tool_call", "tool_result"]


@pytest.mark.parametrize("do", [one.value for one in Do])
def test_rules_leave_what_no_call_has_carried_but_for_snip(do: str) -> None:
    rule: dict[str, Any] = {"on": "rejected", "do": do}
    if do in ("summarize", "snip"):
        rule["to"] = 5
    if do in ("summarize", "stub"):
        rule["by"] = "all"
    world = World(rules(rule)).add("goal", 100, "user").call()
    for kind in FRESH:
        world.sizes[Do.DEDUPE, kind] = 50
        world.add(kind, 200, kind, group="g" if kind.startswith("tool") else None)
    world.reject()
    left = 5 if do == "snip" else 200
    assert world.prompt() == {"goal": 100, **dict.fromkeys(FRESH, left)}
    world.call().reject()
    assert 200 not in world.prompt().values()


def test_an_artifact_may_be_taken_on_arrival() -> None:
    world = World(rules({"on": "item_added", "select": {"kind": "artifact"}, "do": "digest"}))
    assert world.output("out", 500, metadata=40).prompt() == {"out": 40}


def test_the_first_user_message_of_each_thread_is_its_goal() -> None:
    world = World(rules({"on": "rejected", "do": "drop"})).start("a").agent("a", "helper")
    for thread in ("main", "helper"):
        world.add(f"reads {thread}", 100, thread=thread)
        world.add(f"goal {thread}", 100, "user", thread=thread)
        world.add(f"more {thread}", 100, "user", thread=thread)
        world.call(thread=thread).reject(thread)
        assert world.prompt(thread) == {f"goal {thread}": 100}


def test_threads_have_their_own_prompt_calls_and_rule_history() -> None:
    rule = {"on": "before_call", "select": {"kind": "artifact"}, "do": "clear"}
    world = World(rules({**rule, "when": {"every_calls": 5}})).start("a").agent("a", "helper")
    for thread in ("main", "helper", "main"):
        world.output(f"{thread} {world.at}", 100, thread=thread).call(thread=thread)
    assert [(one.thread, one.items) for one in world.pruned] == [
        ("main", ("main 0.0",)),
        ("helper", ("helper 10.0",)),
    ]
