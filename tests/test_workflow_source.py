"""Facts from a workflow file, where the golden runs do not show them."""

from __future__ import annotations

from pathlib import Path

from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import CallStarted, Event, ItemAdded
from ctxbudget.simulate import measure_for, simulate


def events_of(folder: Path, text: str) -> list[Event]:
    """Return what comes of a workflow file."""
    path = folder / "flow.yaml"
    path.write_text(text, encoding="utf-8")
    loaded, events = read_workflow(path), list[Event]()
    simulate(set_up_run(loaded), measure_for(loaded), [events.append])
    return events


def test_a_file_may_be_read_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello world")
    events = events_of(
        tmp_path, "phases: [{id: p, reads: [{file: a.txt}, {glob: '*.txt'}, 7], output: 10}]"
    )
    added = [(e.item.id, e.item.tokens) for e in events if isinstance(e, ItemAdded)]
    assert added == [
        ("p/reads/1 a.txt", 2),
        ("p/reads/2 a.txt", 2),
        ("p/reads/3", 7),
        ("p/output", 10),
    ]


def test_the_last_call_writes_the_output_and_each_other_one_adds_a_turn(tmp_path: Path) -> None:
    events = events_of(
        tmp_path,
        "call_s: 5\n"
        "phases: [{id: p, calls: 3, turn: {call: 1, result: 2}, output: 10, pause_s: 100}]",
    )
    told = [
        (e.at, e.item.id.removeprefix("p/") if isinstance(e, ItemAdded) else "call")
        for e in events
        if isinstance(e, ItemAdded | CallStarted)
    ]
    assert told == [
        (100, "call"),
        (105, "turn 1/call"),
        (105, "turn 1/result"),
        (105, "call"),
        (110, "turn 2/call"),
        (110, "turn 2/result"),
        (110, "call"),
        (115, "output"),
    ]


def test_agents_of_a_wave_start_together_and_time_never_goes_back(tmp_path: Path) -> None:
    events = events_of(
        tmp_path,
        "phases: [{id: p, agents: [{id: a, output: 1, calls: 3}, {id: b, output: 1}]}]",
    )
    calls = [(e.at, e.thread) for e in events if isinstance(e, CallStarted)]
    assert calls == [(0, "p/a"), (0, "p/b"), (10, "p/a"), (20, "p/a"), (30, "main")]
    times = [event.at for event in events]
    assert times == sorted(times)
