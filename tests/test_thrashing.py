"""Tests of thrashing: a prompt that is compacted because it is full, and is full again at once."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World, rules

from ctxbudget.core.events import Quota, Thrashing, Thresholds
from ctxbudget.core.types import Layer, Limit

PRESSURE = ["item_added", "before_call", "warn", "critical", "rejected"]


def compacting(on: str | list[str] = "rejected", do: str = "summarize", **more: Any) -> World:
    """Return a world whose policy replaces all that was carried whenever it is asked."""
    select = {"kind": ["tool_call", "tool_result", "assistant", "summary"]}
    rule = {"on": on, "do": do, "by": "all", "to": 10, "select": select}
    if do != "summarize":
        del rule["to"]
    return World(rules(rule), **more).add("goal", 1, "user")


def compact(world: World, *calls_between: int) -> World:
    """Compact once, and again after each of these numbers of calls."""
    world.add("first", 100, "assistant").call().reject()
    for number, calls in enumerate(calls_between):
        world.add(f"again {number}", 200 + number, "assistant").call(calls).reject()
    return world


def told(world: World) -> list[tuple[str, int]]:
    return [(one.item, one.tokens) for one in world.of(Thrashing)]


@pytest.mark.parametrize(
    ("calls_between", "thrashes"),
    [
        ((1, 1), False),
        ((1, 1, 1), True),
        ((3, 3, 3), True),
        ((3, 4, 3), False),
        ((4, 3, 3), False),
        ((3, 3, 4), False),
        ((4, 3, 3, 3), True),  # counted anew from the late one
        ((1, 1, 4, 1, 1), False),
    ],
)
def test_it_thrashes_if_full_again_within_three_calls_three_times_in_a_row(
    calls_between: tuple[int, ...], thrashes: bool
) -> None:
    world = compact(compacting(), *calls_between)
    assert len(world.pruned) == 1 + len(calls_between)
    assert bool(told(world)) is thrashes


def test_the_largest_item_since_the_compaction_before_is_named() -> None:
    world = compact(compacting(), 1, 1)
    world.add("large", 900, "assistant").add("larger", 950).add("small", 5).call().reject()
    assert told(world) == [("larger", 950)]
    assert (world.of(Thrashing)[0].at, world.of(Thrashing)[0].thread) == (world.at, "main")


def test_what_came_before_the_compaction_before_is_not_named() -> None:
    world = compacting().add("huge", 5_000)
    assert told(compact(world, 1, 1, 1)) == [("again 2", 202)]


def test_it_is_told_once_and_counted_anew() -> None:
    assert len(told(compact(compacting(), 1, 1, 1, 1, 1))) == 1
    assert len(told(compact(compacting(), *[1] * 7))) == 2


@pytest.mark.parametrize("do", ["stub", "drop"])
def test_only_summaries_count(do: str) -> None:
    world = compacting(do=do)
    assert compact(world, 1, 1, 1).pruned
    assert told(world) == []


def round_of(world: World, trigger: str, number: int) -> None:
    """Let a trigger fire once; the prompt has carried items whenever it does."""
    tokens = {"warn": 760, "critical": 960}.get(trigger, 100)
    world.add(f"c{number}", tokens, "assistant").call()
    if trigger in ("warn", "critical"):
        world.counted(0).counted(tokens)
    elif trigger == "rejected":
        world.reject()
    elif trigger == "phase_started":
        world.start("a")
    elif trigger == "phase_finished":
        world.end("a")
    elif trigger == "wave_finished":
        world.end_wave("a", 1)
    elif trigger == "agent_finished":
        world.finish("a")


@pytest.mark.parametrize("trigger", PRESSURE)
def test_a_summary_under_pressure_counts(trigger: str) -> None:
    world = compacting(trigger, budget=1_000, window=10_000)
    for number in range(5):
        round_of(world, trigger, number)
    assert len(told(world)) == 1


@pytest.mark.parametrize("trigger", ["phase_started", "agent_finished", "wave_finished"])
def test_a_summary_because_work_is_done_does_not(trigger: str) -> None:
    world = compacting(trigger).start("a")
    for number in range(6):
        round_of(world, trigger, number)
    assert len(world.pruned) >= 5
    assert told(world) == []


def test_a_summary_that_turns_out_no_shorter_is_no_compaction() -> None:
    world = compacting()
    world.add("a", 50, "assistant").call()
    for _ in range(6):
        world.sizes.clear()
        world.reject().call()
    assert (len(world.pruned), told(world)) == (1, [])


def nested(rounds: int) -> World:
    """Return a world in which digests before a call cross a quota, whose warn summarizes."""
    never = Limit(tokens=10**9)
    quota = Quota(layer=Layer.METADATA, limit=Limit(tokens=100))
    digest = {"on": "before_call", "do": "digest", "select": {"kind": "artifact", "form": "whole"}}
    select = {"layer": "metadata"}
    summary = {"on": "warn", "do": "summarize", "by": "all", "to": 10, "select": select}
    world = World(
        rules(digest, summary),
        thresholds=Thresholds(warn=never, critical=never, quotas=(quota,)),
    )
    for number in range(rounds):
        world.add(f"out {number}", 1_000 + number, "artifact", ready=True).call()
    return world


@pytest.mark.parametrize(("rounds", "times"), [(3, 0), (4, 1), (7, 1), (8, 2)])
def test_a_summary_that_another_prune_brought_about_counts_once(rounds: int, times: int) -> None:
    world = nested(rounds)
    assert [one.do.value for one in world.pruned] == ["digest", "summarize"] * rounds
    assert told(world) == [("out 3", 1_003), ("out 7", 1_007)][:times]


def test_each_thread_thrashes_by_itself() -> None:
    world = compacting().start("a").agent("a", "x")
    for number in range(3):
        for thread in ("main", "x"):
            world.add(f"c{number}", 100, "assistant", thread=thread).call(thread=thread)
            world.reject(thread)
    assert told(world) == []
    world.add("last", 100, "assistant", thread="x").call(thread="x").reject("x")
    assert [(one.thread, one.item) for one in world.of(Thrashing)] == [("x", "last")]
