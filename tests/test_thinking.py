"""Tests of thinking that is bound to what stands before it: it leaves behind an edit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.types import Do, Layer

ACT = rules(
    {"on": "rejected", "do": "clear", "select": {"kind": "tool_result", "form": "whole"}},
    {"on": "cache_cold", "do": "drop", "select": {"kind": "artifact"}},
)


def thought(*, strips: bool = True, window: int = 1_000_000) -> World:
    """Return a world with `t1` and `t2`, both carried, a turn before each and an artifact last."""
    world = World(ACT, strips_thinking=strips, window=window).add("goal", 10, "user")
    for number in (1, 2):
        world.turn(f"{number}").add(f"t{number}", 50, "thinking").call()
    return world.add("out", 300, "artifact").call()


def thinking(world: World) -> list[str]:
    return [item.id for item in world.store() if item.kind == "thinking"]


def test_thinking_behind_an_edit_leaves_before_the_call() -> None:
    world = thought().reject()
    assert thinking(world) == ["t1", "t2"]  # not before the call
    before = world.tokens
    world.call()
    assert thinking(world) == []
    assert world.sent[-1] == before - 100
    gone = world.pruned[-1]
    assert (gone.rule, gone.do, gone.items) == ("thinking", Do.DROP, ("t1", "t2"))
    assert (gone.removed_tokens, gone.occupancy_tokens) == (100, before - 100)


EDITS: dict[str, tuple[Callable[[World], object], list[str]]] = {
    # what is done between two calls, and the thinking that stays
    "nothing": (lambda w: w, ["t1", "t2"]),
    "an arrival at the end": (lambda w: w.add("new", 5, "assistant"), ["t1", "t2"]),
    "an item is used again": (lambda w: w.touch("1 result"), ["t1", "t2"]),
    "an edit behind all of it": (lambda w: w.wait(1_000), ["t1", "t2"]),  # drops the artifact
    "an edit ahead of all of it": (lambda w: w.reject(), []),
    "an arrival ahead": (
        lambda w: w.add("rules", 5, "system", layer=Layer.PERMANENT),
        [],
    ),
    "new thinking behind the edit": (
        lambda w: w.reject().add("t3", 5, "thinking"),
        [],
    ),
    "a restore ahead": (lambda w: w.reject().call().restore("1 result"), []),
}


@pytest.mark.parametrize(("edit", "stays"), EDITS.values(), ids=EDITS)
def test_what_counts_as_an_edit(edit: Callable[[World], object], stays: list[str]) -> None:
    world = thought()
    edit(world)
    world.call()
    assert thinking(world) == stays


@pytest.mark.parametrize(("pinned", "stays"), [(False, []), (True, ["t1"])])
def test_thinking_ahead_of_the_edit_stays(pinned: bool, stays: list[str]) -> None:
    world = World(ACT, strips_thinking=True).turn("1", pinned=pinned).add("t1", 50, "thinking")
    world.turn("2").add("t2", 50, "thinking").call().reject().call()
    assert world.pruned[0].items == ("2 result" if pinned else "1 result",)
    assert thinking(world) == stays


def test_thinking_that_a_call_wrote_after_the_edit_stays() -> None:
    world = thought().reject().call().add("t3", 50, "thinking").call().call()
    assert thinking(world) == ["t3"]


def test_without_the_flag_thinking_stays() -> None:
    assert thinking(thought(strips=False).reject().call()) == ["t1", "t2"]


def test_the_fit_is_an_edit_too() -> None:
    world = thought(window=2_500)  # 2,400 are there
    world.add("over", 101, "assistant").call()
    assert [one.rule for one in world.pruned] == ["fit", "thinking"]
    assert thinking(world) == []


def test_pinned_thinking_is_never_touched() -> None:
    world = World(ACT, strips_thinking=True).turn("1").add("t", 50, "thinking", pinned=True)
    assert thinking(world.call().reject().call()) == ["t"]


def test_each_thread_loses_its_own() -> None:
    world = thought().start("a").agent("a", "x").add("tx", 9, "thinking", thread="x")
    world.call(thread="x").reject().call(thread="x")
    assert "tx" in world.prompt("x")
    assert thinking(world) == ["t1", "t2"]
    assert thinking(world.call()) == []


def test_what_was_stripped_lies_on_the_shelf() -> None:
    world = thought().reject().call()
    assert {"t1", "t2"} <= world.store().shelf.keys()


def test_what_was_stripped_is_neither_undone_nor_restored() -> None:
    world = thought().reject().call()
    with pytest.raises(SourceError, match=r"no plan 2 to undo; the latest are: 1$"):
        world.undo(2)
    with pytest.raises(SourceError, match="'t1' is thinking, which is bound to what stood before"):
        world.restore("t1")
    assert thinking(world) == []


def test_an_undo_is_an_edit_and_takes_the_thinking_behind_it_out() -> None:
    world = thought().reject().undo().call()
    assert thinking(world) == []
    assert world.prompt()["1 result"] == 840
