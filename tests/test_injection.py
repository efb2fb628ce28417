"""Tests of injection: what is registered costs nothing until something activates it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import AgentFinished, Injected, Told
from ctxbudget.core.types import Do, Kind, Layer

NONE = rules()
TWO = {"a": (), "b": ()}


def injected(world: World) -> list[tuple[str, str, str]]:
    return [(one.item.id, one.by, one.thread) for one in world.of(Injected)]


def use(world: World, tool: str, name: str = "c", thread: str = "main") -> World:
    """Add the call of a tool and its result."""
    world.add(f"{name} call", 1, "tool_call", tool=tool, group=name, thread=thread)
    return world.add(f"{name} result", 1, "tool_result", tool=tool, group=name, thread=thread)


def test_what_is_registered_costs_nothing_until_it_is_asked_for() -> None:
    world = World(NONE).start("a").register("skill", 900).call()
    assert (world.tokens, world.sent, injected(world)) == (0, [0], [])
    world.activate("skill").call()
    assert (world.prompt(), world.sent[-1]) == ({"skill": 900}, 900)
    assert injected(world) == [("skill", "asked for", "main")]


@pytest.mark.parametrize(
    ("patterns", "tool", "comes"),
    [
        (("read",), "read", True),
        (("read",), "reads", False),
        (("read",), "Read", False),
        (("db_*",), "db_query", True),
        (("db_*",), "my_db_query", False),
        (("db_?",), "db_1", True),
        (("db_?",), "db_12", False),
        (("read", "write"), "write", True),
        ((), "read", False),
        (("*",), "anything", True),
    ],
)
def test_a_tool_activates_what_names_it(patterns: tuple[str, ...], tool: str, comes: bool) -> None:
    world = use(World(NONE).start("a").register("skill", 9, *patterns), tool)
    assert ("skill" in world.prompt()) is comes
    assert injected(world) == ([("skill", tool, "main")] if comes else [])


def test_only_the_call_of_a_tool_activates_and_only_one_that_has_a_name() -> None:
    world = World(NONE).start("a").register("skill", 9, "*")
    world.add("r", 1, "tool_result", tool="read").add("x", 1, "tool_call", group="x")
    assert injected(world) == []


def test_what_is_registered_after_a_tool_was_used_waits_for_the_next_use() -> None:
    world = use(World(NONE).start("a"), "read", "one").register("skill", 9, "read")
    assert injected(world) == []
    assert injected(use(world, "read", "two")) == [("skill", "read", "main")]


def test_one_call_may_activate_several_in_the_order_of_registration() -> None:
    world = World(NONE).start("a").register("z", 1, "read").register("a", 2, "re*")
    assert [*use(world, "read").prompt()] == ["c call", "z", "a", "c result"]


def test_it_is_injected_once_however_often_it_is_activated() -> None:
    world = World(NONE).start("a").register("skill", 9, "read")
    use(use(world, "read", "one"), "read", "two").activate("skill")
    assert len(injected(world)) == 1
    assert world.prompt()["skill"] == 9


def test_it_belongs_to_the_phase_that_needed_it_and_keeps_the_rest() -> None:
    world = World(NONE, phases=TWO).start("a")
    world.register("skill", 9, kind=Kind.SYSTEM, layer=Layer.PERMANENT, phase="b").add("u", 1)
    (item,) = [one.item for one in world.activate("skill").of(Injected)]
    assert (item.phase, item.kind, item.layer) == ("a", Kind.SYSTEM, Layer.PERMANENT)
    assert [*world.prompt()] == ["skill", "u"]  # permanent items come first


def test_it_leaves_when_its_phase_ends_and_can_come_again() -> None:
    world = World(NONE, phases=TWO).start("a").register("s", 9).register("t", 7)
    world.activate("s").activate("t").call().end("a")
    assert world.prompt() == {}
    (gone,) = world.pruned
    assert (gone.rule, gone.do, gone.items) == ("injected", Do.DROP, ("s", "t"))
    assert (gone.removed_tokens, gone.occupancy_tokens, gone.plan) == (16, 0, 1)
    assert world.start("b").activate("s").prompt() == {"s": 9}
    assert world.end("b").prompt() == {}
    assert len(injected(world)) == 3


def test_what_another_phase_took_in_stays_when_this_one_ends() -> None:
    world = World(NONE, phases=TWO).start("a").register("of a", 9).activate("of a")
    world.start("b").register("of b", 7).activate("of b").end("b")
    assert world.prompt() == {"of a": 9}


def test_a_phase_that_took_nothing_in_ends_without_a_prune() -> None:
    world = World(NONE).start("a").register("skill", 9).add("x", 5).end("a")
    assert (world.pruned, world.prompt()) == ([], {"x": 5})


def test_it_leaves_before_the_phase_s_account_and_its_rules() -> None:
    policy = rules({"on": "phase_finished", "do": "drop", "select": {"kind": "note"}})
    world = World(policy).start("a").register("skill", 900).activate("skill").call().end("a")
    assert [one.rule for one in world.pruned] == ["injected"]
    assert not [one for one in world.of(Told) if one.level == "overrun"]


def test_what_a_rule_has_taken_is_not_taken_again_when_the_phase_ends() -> None:
    policy = rules({"on": "rejected", "do": "drop", "select": {"kind": "note"}})
    world = World(policy).start("a").register("skill", 9).activate("skill").reject().end("a")
    assert [one.rule for one in world.pruned] == ["rule 1"]


def test_each_thread_takes_in_its_own() -> None:
    world = World(NONE).start("a").register("skill", 9, "read").agent("a", "x")
    use(world, "read", thread="x")
    assert ("skill" in world.prompt("x"), "skill" in world.prompt()) == (True, False)
    world.activate("skill").end("a")
    assert ("skill" in world.prompt("x"), "skill" in world.prompt()) == (True, False)
    assert injected(world) == [("skill", "read", "x"), ("skill", "asked for", "main")]


def test_levels_are_judged_and_the_prompt_fits_when_it_comes() -> None:
    world = World(NONE, window=1_000).start("a").register("skill", 760).activate("skill")
    assert world.told == ["warn"]
    world.add("more", 300, "user").call()
    assert world.prompt() == {"more": 300}


def test_its_error_bound_counts() -> None:
    world = World(NONE).start("a").register("skill", 100, error_tokens=7).activate("skill")
    assert world.occupancy == 107


def test_what_a_rule_has_taken_comes_again_if_asked_for_and_not_upon_a_tool() -> None:
    policy = rules({"on": "rejected", "do": "drop", "select": {"kind": "note"}})
    world = use(World(policy).start("a").register("skill", 9, "read"), "read", "one").reject()
    assert "skill" not in use(world, "read", "two").prompt()
    assert world.activate("skill").prompt()["skill"] == 9
    assert injected(world) == [("skill", "read", "main"), ("skill", "asked for", "main")]
    assert "skill" not in world.reject().prompt()
    assert "skill" not in use(world, "read", "three").prompt()
    world.activate("skill").end("a")
    assert [one.rule for one in world.pruned] == ["rule 1", "rule 1", "injected"]


def test_asking_again_for_one_item_forgets_nothing_of_the_others() -> None:
    policy = rules({"on": "rejected", "do": "drop", "select": {"kind": "note"}})
    world = World(policy).start("a").register("s", 9, "read").register("t", 7, "read")
    use(world, "read", "one").reject().activate("s")
    assert {"s", "t"} & set(use(world, "read", "two").prompt()) == {"s"}


def test_what_was_asked_for_again_while_it_stood_there_leaves_with_its_phase() -> None:
    world = World(NONE).start("a").register("skill", 9).activate("skill").activate("skill")
    assert world.end("a").prompt() == {}


def test_a_thread_of_the_same_name_takes_in_again_after_it_has_closed() -> None:
    world = World(NONE).start("a").register("skill", 9, "read")
    for _ in range(2):
        use(world.agent("a", "x"), "read", thread="x")
        assert world.prompt("x")["skill"] == 9
        world.feed(AgentFinished(at=world.at, phase="a", wave=1, agent="x", thread="x"))
    assert len(injected(world)) == 2


def test_a_thread_that_closes_forgets_only_its_own() -> None:
    policy = rules({"on": "rejected", "do": "drop", "select": {"kind": "note"}})
    world = use(World(policy).start("a").register("skill", 9, "read"), "read", "one").reject()
    world.agent("a", "x").feed(AgentFinished(at=0, phase="a", wave=1, agent="x", thread="x"))
    assert "skill" not in use(world, "read", "two").prompt()


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (lambda w: w.register("skill", 1), "'skill' is registered already; ids must differ"),
        (lambda w: w.activate("skil"), "'skil' is not registered; did you mean 'skill'?"),
        (lambda w: w.activate("zzz"), "'zzz' is not registered; known are: skill"),
        (lambda w: w.activate("skill", thread="x"), "thread 'x' is not open"),
    ],
)
def test_what_makes_no_sense_is_refused(feed: Callable[[World], object], message: str) -> None:
    world = World(NONE).start("a").register("skill", 9)
    with pytest.raises(SourceError, match=message):
        feed(world)
    assert injected(world) == []
