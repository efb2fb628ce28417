"""Tests of reviews: somebody is asked before a policy's plan is carried out."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import Review, Reviewed, Shorten, Shortened, Vetoed
from ctxbudget.core.types import Do
from ctxbudget.session import Session

CLEAR = {"name": "clear", "on": "rejected", "do": "clear", "select": {"kind": "tool_result"}}
DROP = {"name": "drop", "on": "rejected", "do": "drop", "select": {"kind": "artifact"}}


def reviewed(*given: Any, vetoes: dict[str, str] | None = None, **more: Any) -> World:
    """Return a world with two turns and an artifact, after the policy was asked."""
    world = World(rules(*given), reviews=True, **more)
    world.verdicts.update(vetoes or {})
    return world.turn("1").turn("2").add("out", 500, "artifact").call().reject()


def names(world: World) -> list[str]:
    kinds = (Shorten, Shortened, Review, Reviewed, Vetoed)
    return [type(e).__name__ for e in world.events if isinstance(e, kinds) or e in world.pruned]


def test_a_plan_is_shown_with_what_it_does_and_gains_before_it_is_carried_out() -> None:
    world = reviewed(CLEAR)
    (review,) = world.of(Review)
    assert (review.rule, review.reason, review.thread) == ("clear", "a test", "main")
    assert review.operations == ((Do.CLEAR, ("1 result",)), (Do.CLEAR, ("2 result",)))
    assert review.gain_tokens == 2 * 830
    assert [one.net_tokens for one in world.pruned] == [830, 830]
    asked = ["Shorten", "Shortened"] * 2
    assert names(world) == [*asked, "Review", "Reviewed", "Pruned", "Pruned"]


@pytest.mark.parametrize(
    ("rule", "gain"),
    [
        ({"do": "drop"}, 2_000),
        ({"do": "stub", "by": "all"}, 1_995),
        ({"do": "summarize", "by": "all", "to": 300}, 1_700),  # taken to be as long as it may be
    ],
)
def test_the_gain_is_what_the_prompt_would_lose(rule: dict[str, Any], gain: int) -> None:
    select = {"kind": ["tool_call", "tool_result"]}
    world = reviewed({"name": "r", "on": "rejected", "select": select, **rule})
    assert [one.gain_tokens for one in world.of(Review)] == [gain]


def test_a_veto_leaves_the_prompt_alone_and_is_told_with_its_reason() -> None:
    world = reviewed(CLEAR, vetoes={"clear": "still needed"})
    assert world.tokens == 2_500
    assert world.pruned == []
    assert world.of(Vetoed) == [
        Vetoed(at=world.at, rule="clear", reason="still needed", thread="main")
    ]


def test_a_veto_stops_one_plan_and_not_the_next() -> None:
    world = reviewed(CLEAR, DROP, vetoes={"clear": "no"})
    assert [one.rule for one in world.of(Review)] == ["clear", "drop"]
    assert [one.rule for one in world.pruned] == ["drop"]


def test_a_veto_holds_for_this_time() -> None:
    world = reviewed(CLEAR, vetoes={"clear": "no"})
    world.verdicts.clear()
    world.reject()
    assert [one.items for one in world.pruned] == [("1 result",), ("2 result",)]
    assert len(world.of(Shorten)) == 2  # their sizes were known


def test_after_a_veto_what_depends_on_the_rest_is_asked_again() -> None:
    world = reviewed({**CLEAR, "do": "names", "to": 30}, vetoes={"clear": "no"})
    world.verdicts.clear()
    world.sizes[Do.NAMES, "1 result"] = 40
    world.reject()
    assert [one.gain_tokens for one in world.of(Review)] == [2 * 810, 800 + 810]
    assert [one.net_tokens for one in world.pruned] == [800, 810]
    assert len(world.of(Shorten)) == 4


def test_a_summary_that_was_written_is_not_written_again_after_a_veto() -> None:
    rule = {"name": "sum", "on": "rejected", "do": "summarize", "by": "all", "to": 300}
    world = reviewed({**rule, "select": {"kind": "artifact"}}, vetoes={"sum": "no"})
    assert world.of(Shorten) == []  # nobody has written it
    world.sizes[Do.SUMMARIZE, "out"] = 500  # no shorter than what it would replace
    world.verdicts.clear()
    assert len(world.reject().of(Shorten)) == 1
    world.verdicts["sum"] = "no"
    world.reject()
    world.verdicts.clear()
    assert len(world.reject().of(Shorten)) == 1
    assert (len(world.of(Vetoed)), world.pruned) == (2, [])


def test_a_vetoed_plan_did_not_act() -> None:
    world = reviewed({**DROP, "when": {"every_calls": 5}}, vetoes={"drop": "no"})
    world.verdicts.clear()
    assert [one.rule for one in world.reject().pruned] == ["drop"]
    assert world.pruned[0].plan == 1


def test_nobody_is_asked_about_what_is_not_worth_it() -> None:
    world = reviewed({**CLEAR, "when": {"min_gain_tokens": 1_661}})
    assert names(world) == ["Shorten", "Shortened"] * 2


def test_nobody_is_asked_unless_the_run_says_so() -> None:
    world = World(rules(DROP)).add("out", 500, "artifact").reject()
    assert (world.of(Review), len(world.pruned)) == ([], 1)


def test_nobody_is_asked_about_the_engines_own_prunes() -> None:
    world = World(rules(), reviews=True, window=1_000, strips_thinking=True)
    world.add("a", 600, "artifact").add("t", 10, "thinking").add("b", 500, "artifact").call()
    assert [one.rule for one in world.pruned] == ["fit", "thinking"]
    world.start("a").register("skill", 9).activate("skill").end("a")
    world.add("c", 400, "assistant").restore("a")
    assert {one.rule for one in world.pruned[2:]} == {"injected", "fit"}
    assert world.of(Review) == []


def test_a_plan_in_an_agents_thread_is_reviewed_there() -> None:
    world = World(rules(CLEAR), reviews=True).start("a").agent("a", "x").turn("t", thread="x")
    world.call(thread="x").reject("x")
    assert [one.thread for one in world.of(Review)] == ["x"]


def test_a_review_wants_a_verdict() -> None:
    world = World(rules(DROP), reviews=True).add("out", 500, "artifact")
    size = Shortened(at=0, do=Do.DROP, items=("out",), tokens=0)
    world.session = Session(world.engine, lambda effect: size)
    with pytest.raises(SourceError, match="asked for a review, got Shortened"):
        world.reject()
    assert "out" in world.prompt()


@pytest.mark.parametrize("allowed", [True, False])
def test_a_verdict_about_another_rule_is_refused(allowed: bool) -> None:
    world = World(rules(DROP), reviews=True).add("out", 500, "artifact")
    verdict = Reviewed(at=0, rule="clear", allowed=allowed)
    world.session = Session(world.engine, lambda effect: verdict)
    with pytest.raises(SourceError, match=r"asked for a review, got Reviewed\(.*rule='clear'"):
        world.reject()
    assert (world.prompt(), world.of(Vetoed)) == ({"out": 500}, [])


def test_a_verdict_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(SourceError, match="at 3 s: an answer to what nobody asked"):
        World(rules()).feed(Reviewed(at=3.0, rule="clear", allowed=True))
