"""Tests of the timeline: a run worked by hand, and every shipped workflow against its metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import item, phases

from ctxbudget.config.lookup import find
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import (
    CallSent,
    CallStarted,
    Event,
    ItemAdded,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Pruned,
    Restored,
    RunFinished,
    RunStarted,
    Told,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.types import Do, Layer, Level, Scale
from ctxbudget.report.timeline import LAYERS, Stretch, Timeline
from ctxbudget.simulate import measure_for, simulate

ROOT = Path(__file__).parent.parent


def sent(tokens: int, call: int, *, read: int = 0, rewritten: int = 0) -> CallSent:
    return CallSent(
        at=1.0,
        call=call,
        tokens=tokens,
        cache_read_tokens=read,
        cache_write_tokens=tokens - read,
        uncached_tokens=0,
        rewritten_tokens=rewritten,
    )


def pruned(*names: str, tokens: int, plan: int = 1, left: int = 0) -> Pruned:
    stand_in = item(f"stand-in of {names[0]}", left, layer=Layer.METADATA) if left else None
    return Pruned(
        at=1.0,
        rule="old results",
        reason="they are old",
        do=Do.CLEAR,
        items=names,
        removed_tokens=tokens,
        occupancy_tokens=0,
        plan=plan,
        stand_in=stand_in,
    )


BY_HAND: list[Event] = [
    RunStarted(
        at=0.0,
        workflow="w",
        scale=Scale(window_tokens=1000, reserve_tokens=0, budget_tokens=500),
        phases=phases(a="", b="a"),
    ),
    PhaseStarted(at=0.0, phase="a"),  # step 1
    WaveStarted(at=0.0, phase="a", wave=1, agents=("x", "y")),
    ItemAdded(at=1.0, item=item("goal", 100, layer=Layer.PERMANENT)),  # step 2
    ItemAdded(at=1.0, item=item("r1", 300)),  # step 3
    Told(at=1.0, level=Level.WARN, scope="run", tokens=400, limit_tokens=375),
    CallStarted(at=1.0),  # step 4
    pruned("r1", tokens=300, left=20),
    sent(120, 1, rewritten=20),
    PhaseFinished(at=2.0, phase="a"),  # step 5
    PhaseClosed(
        at=2.0,
        phase="a",
        allocated_tokens=0,
        start_tokens=0,
        peak_tokens=400,
        residual_tokens=120,
        kept_tokens=120,
        over_tokens=0,
    ),
    PhaseStarted(at=2.0, phase="b"),  # step 6
    ItemAdded(at=2.0, item=item("agent's", 999), thread="b/agent"),  # not ours: no step
    CallStarted(at=3.0),  # step 7
    sent(120, 2, read=120),
]


def timeline_of(events: list[Event], thread: str = "main") -> Timeline:
    found = Timeline(thread)
    for event in events:
        found(event)
    found.settle()
    return found


def test_a_run_by_hand() -> None:
    found = timeline_of(BY_HAND)
    assert list(zip(found.steps, found.totals, strict=True)) == [
        (1.0, 0),
        (2.0, 100),
        (3.0, 400),
        (4.0, 400),
        (4.5, 120),
        (5.0, 120),
        (6.0, 120),
        (7.0, 120),
        (7.75, 120),
    ]
    assert list(found.layers[Layer.METADATA]) == [0, 0, 0, 0, 20, 20, 20, 20, 20]
    assert list(found.layers[Layer.TRANSIENT]) == [0, 0, 300, 300, 0, 0, 0, 0, 0]
    assert list(found.call_steps) == [4, 7]
    assert found.phases == [Stretch("a", 0.0, 5.75), Stretch("b", 5.75, 7.75)]
    assert [(mark.what, mark.step, mark.level_tokens) for mark in found.marks] == [
        ("phase", 0.0, 0),
        ("wave", 1.75, 0),
        ("level", 3.0, 400),
        ("prune", 4.25, 400),
        ("rewrite", 4.5, 120),
        ("phase", 5.75, 120),
    ]
    assert found.marks[3].words == (
        "rule old results: clear of 1 item, 280 tokens fewer (400 → 120)\nthey are old"
    )


def test_steps_stand_between_calls_evenly() -> None:
    found = timeline_of(BY_HAND)
    assert found.in_calls([0, 1, 2, 4, 5.5, 7, 7.75]) == [0, 0.25, 0.5, 1, 1.5, 2, 2.75]


def test_operations_of_one_plan_are_one_mark() -> None:
    events = [*BY_HAND[:5], item_added("r2", 50), pruned("r1", tokens=300), pruned("r2", tokens=50)]
    (mark,) = [mark for mark in timeline_of(events).marks if mark.what == "prune"]
    assert mark.tokens == 350
    assert mark.words.startswith("rule old results: clear of 2 items, 350 tokens fewer (450 → 100)")


def item_added(name: str, tokens: int) -> ItemAdded:
    return ItemAdded(at=1.0, item=item(name, tokens))


def test_what_the_host_takes_and_what_comes_back() -> None:
    events = [
        *BY_HAND[:5],
        Withdrawn(at=1.0, items=("r1",), is_compaction=True),
        Restored(
            at=1.0,
            items=(item("r1", 300),),
            removed=(),
            gained_tokens=300,
            rewritten_tokens=0,
            occupancy_tokens=400,
        ),
    ]
    found = timeline_of(events)
    assert [mark.what for mark in found.marks][-2:] == ["restore", "compaction"]
    assert list(found.totals) == [0, 100, 400, 400, 400]
    assert "the host compacted its prompt: 1 item, 300 tokens" in found.marks[-1].words


def test_an_agents_thread_has_a_timeline_of_its_own() -> None:
    found = timeline_of(BY_HAND, "b/agent")
    assert list(found.totals) == [999, 999]
    assert list(found.call_steps) == []


def test_an_empty_run_has_no_points() -> None:
    found = timeline_of(BY_HAND[:1])
    assert (list(found.steps), found.phases, found.marks) == ([], [], [])
    assert found.in_calls([0.0]) == [0.0]


WORKFLOWS = [path.stem for path in sorted((ROOT / "workflows").glob("*.yaml"))]


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_it_agrees_with_the_metrics_and_steps_are_the_same_under_each_policy(workflow: str) -> None:
    loaded = read_workflow(find("workflows", workflow))
    steps = []
    for policy in ("none", "aggressive"):
        setup = set_up_run(loaded, Overrides().with_policy(policy))
        timeline = Timeline()
        metrics = simulate(setup, measure_for(loaded), [timeline])
        timeline.settle()
        layers = zip(*(timeline.layers[layer] for layer in LAYERS), strict=True)
        assert [sum(one) for one in layers] == list(timeline.totals)
        assert max(timeline.totals) == metrics.run.peak_tokens
        assert timeline.totals[-1] == metrics.run.residual_tokens
        assert list(timeline.steps) == sorted(timeline.steps)
        assert [one.phase for one in timeline.phases] == [row.id for row in metrics.phases]
        for one, row in zip(timeline.phases, metrics.phases, strict=True):
            held = [
                tokens
                for step, tokens in zip(timeline.steps, timeline.totals, strict=True)
                if one.start <= step < one.end
            ]
            assert max(held, default=row.peak_tokens) == row.peak_tokens
        steps.append((list(timeline.call_steps), [one.start for one in timeline.phases]))
    assert steps[0] == steps[1]


def test_a_run_that_breaks_off_goes_as_far_as_it_came() -> None:
    whole = timeline_of([*BY_HAND, RunFinished(at=9.0)])
    assert whole.phases[-1].end == 8.75
