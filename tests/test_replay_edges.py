"""Tests of replays at the edges: calls that were refused, images, summaries without a call."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from test_replay import (
    PRICE,
    Clock,
    events_of,
    journaled,
    of_world,
    policy,
    reads,
    run_of,
    world,
)
from worlds import World, rules

from ctxbudget import BudgetExceededError, Run
from ctxbudget.core.events import CallSent
from ctxbudget.replay import recorded_run, what_if


def test_a_report_without_a_model_is_of_the_calls_model() -> None:
    made = world(prices={"m": PRICE}).call(model="m").answered(1_000)
    assert recorded_run(made.events).cost_usd == Decimal("0.1")


def test_a_call_that_was_refused_was_not_made() -> None:
    spec = rules({"on": "before_call", "select": {"kind": "tool_result"}, "do": "clear"})
    made = World(spec, window=1_000).add("goal", 100, "user")
    made.turn("one", call=10, result=300).add("big", 950, "user", pinned=True)
    with pytest.raises(BudgetExceededError):
        made.call()
    made.withdraw("big").call()
    found = of_world(made, "none")
    assert (found.metrics.run.calls, found.metrics.run.sent_tokens) == (1, 410)
    assert of_world(made, "none", window_tokens=9_000).metrics.run.calls == 1


def test_a_call_that_the_provider_refused_costs_nothing() -> None:
    made = World("none", window=10_000).add("goal", 100, "user").turn("one").call()
    made.reject().call()
    run = recorded_run(made.events)
    assert run.calls == 1
    assert what_if(run, policy("none")).metrics.run.sent_tokens == 1_100


def test_a_summary_before_the_first_call_is_charged() -> None:
    made = World("none", prices={"m": PRICE}, model="m").add("goal", 100, "user")
    made.start("a").output("out", 840).finish("a", "out").end("a")
    spec = rules(
        {
            "on": "phase_finished",
            "select": {"kind": "artifact"},
            "do": "summarize",
            "by": "all",
            "to": 40,
        }
    )
    # 840 read at 0.0001 and 40 written at 0.0005
    found = of_world(made, spec)
    assert (found.compactions, found.cost_usd) == (1, Decimal("0.104"))


def test_images_do_not_distort_the_scale_of_texts(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("goal")
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        }
        run.tool_call("shot", {}, call_id="c")
        run.tool_result("c", [image])
        for number in range(3):
            reads(run, number)
            run.prompt()

    path = journaled(tmp_path / "run.jsonl", script, policy="masking:keep=1")
    sent = [event.tokens for event in events_of(path) if isinstance(event, CallSent)]
    assert what_if(run_of(path), policy("masking:keep=1")).metrics.run.sent_tokens == sum(sent)


def test_an_injected_text_without_text_has_a_size() -> None:
    made = World("none").register("style", 800, "edit").add("goal", 100, "user")
    made.add("e", 10, "tool_call", tool="edit", group="e").add("r", 10, group="e").call().call()
    spec = rules(
        {"on": "before_call", "select": {"kind": "note", "age_calls": 1}, "do": "snip", "to": 60}
    )
    assert of_world(made, spec).metrics.run.sent_tokens == 920 + 180
