"""Tests of the tools that a workflow offers: whose prompt they head, and what a change of them costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, written

from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import CallSent, Event, ItemAdded, PhaseStarted, Withdrawn
from ctxbudget.core.types import MAIN, Kind
from ctxbudget.simulate import measure_for, simulate

FLOW = """\
model: claude-sonnet-4-5
window: 100000
policy: none
permanent: [{{id: instructions, tokens: 5000}}]
tools: [{{id: files, tokens: 2000}}, {{id: web, tokens: 8000}}, {{id: mail, tokens: 500}}]
phases:
{phases}
"""


def events_of(folder: Path, phases: str) -> list[Event]:
    """Return what comes of the workflow with these phases."""
    loaded, events = read_workflow(written(folder, FLOW.format(phases=phases))), list[Event]()
    simulate(set_up_run(loaded), measure_for(loaded), [events.append])
    return events


def told(events: list[Event], thread: str = MAIN) -> list[str]:
    """Return what happened to a thread's tools, and where phases begin."""
    said = []
    for one in events:
        match one:
            case PhaseStarted():
                said.append(one.phase)
            case ItemAdded() if one.item.kind is Kind.TOOLS and one.thread == thread:
                said.append(f"+{one.item.id.rpartition('/')[2]} {one.item.tokens}")
            case Withdrawn() if one.thread == thread:
                said += [f"-{name.rpartition('/')[2]}" for name in one.items]
            case _:
                pass
    return said


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ("  - {id: a}", "a, +files 2000, +web 8000, +mail 500"),  # all, unless it says which
        ("  - {id: a, tools: []}", "a"),
        ("  - {id: a, tools: [mail, files]}", "a, +files 2000, +mail 500"),  # the workflow's order
        ("  - {id: a, tools: [web]}\n  - {id: b, tools: [web]}", "a, +web 8000, b"),
        # What stands behind the first change is sent anew.
        (
            "  - {id: a, tools: [files, mail]}\n  - {id: b}",
            "a, +files 2000, +mail 500, -mail, b, +web 8000, +mail 500",
        ),
        ("  - {id: a, tools: [files]}\n  - {id: b, tools: []}", "a, +files 2000, -files, b"),
        # Only a call carries them.
        (
            "  - {id: a, tools: [web]}\n  - {id: b, calls: 0, tools: []}\n  - {id: c, tools: [web]}",
            "a, +web 8000, b, c",
        ),
    ],
)
def test_the_orchestrator_has_the_tools_of_the_phase_that_calls(
    tmp_path: Path, phases: str, expected: str
) -> None:
    assert ", ".join(told(events_of(tmp_path, phases))) == expected


def test_an_agent_has_its_own_tools_or_those_of_its_phase(tmp_path: Path) -> None:
    phases = """\
  - id: a
    tools: [files, web]
    agents:
      - {id: own, tools: [mail], prompt: 100, output: 10}
      - {id: same, output: 10}
      - {id: bare, tools: [], output: 10}
"""
    events = events_of(tmp_path, phases)
    assert told(events, "a/own") == ["a", "+mail 500"]
    assert told(events, "a/same") == ["a", "+files 2000", "+web 8000"]
    assert told(events, "a/bare") == ["a"]
    sent = {one.thread: one.tokens for one in events if isinstance(one, CallSent)}
    # Agents start with the permanent items, but not with the orchestrator's tools.
    assert sent == {"a/own": 5_600, "a/same": 15_000, "a/bare": 5_000, MAIN: 15_030}


def test_a_change_of_tools_has_what_stands_behind_them_written_again(tmp_path: Path) -> None:
    phases = "  - {id: a, tools: [files], output: 1000}\n  - {id: b, tools: [web]}\n"
    sent = [one for one in events_of(tmp_path, phases) if isinstance(one, CallSent)]
    assert [one.tokens for one in sent] == [7_000, 14_000]
    assert sent[1].cache_read_tokens == 0
    assert sent[1].rewritten_tokens == 5_000  # the instructions; the output is new


def test_more_tools_behind_those_that_stand_leave_these_in_the_cache(tmp_path: Path) -> None:
    phases = "  - {id: a, tools: [files]}\n  - {id: b, tools: [files, web]}\n"
    sent = [one for one in events_of(tmp_path, phases) if isinstance(one, CallSent)]
    assert sent[1].cache_read_tokens == 2_000
    assert sent[1].rewritten_tokens == 5_000


def test_no_rule_takes_them(tmp_path: Path, ctxbudget: Command) -> None:
    path = written(
        tmp_path, FLOW.format(phases="  - {id: a, calls: 3, output: 90000}\n  - {id: b}")
    )
    for policy in ("aggressive", "adaptive", "masking", "compact-at-threshold"):
        found = ctxbudget("simulate", path, "--policy", policy, "--json").json
        assert found["phases"][1]["residual_tokens"] >= 15_500, policy


def test_not_even_one_that_drops_their_layer(tmp_path: Path, ctxbudget: Command) -> None:
    policy = """policy:
  name: t
  rules: [{on: before_call, select: {layer: phase}, do: drop, why: a test}]"""
    phases = "  - {id: a, items: [{id: told, tokens: 700}], calls: 2}"
    flow = FLOW.format(phases=phases).replace("policy: none", policy)
    found = ctxbudget("simulate", written(tmp_path, flow), "--json").json["phases"][0]
    assert (found["pruned_tokens"], found["residual_tokens"]) == (700, 15_500)


def test_fresh_windows_keep_them(tmp_path: Path, ctxbudget: Command) -> None:
    phases = "  - {id: a, tools: [web], output: 1000}\n  - {id: b, tools: [web], after: [a]}"
    path = written(tmp_path, FLOW.format(phases=phases))
    found = ctxbudget("windows", path, "--handoff", "100", "--json").json
    # A fresh window for b: instructions, web and the hand-off.
    assert found["fresh"]["phases"][1]["peak_tokens"] == 5_000 + 8_000 + 100


def test_a_phase_begins_without_the_tools_of_the_one_before(
    tmp_path: Path, ctxbudget: Command
) -> None:
    phases = "  - {id: a, tools: [web]}\n  - {id: b, tools: []}\n  - {id: c, tools: [mail]}"
    path = written(tmp_path, FLOW.format(phases=phases))
    found = ctxbudget("simulate", path, "--json").json
    assert [one["peak_tokens"] for one in found["phases"]] == [13_000, 5_000, 5_500]
    said = ctxbudget("explain", path, "c", "--json").json
    assert (said["start"]["tokens"], said["added"]["tokens"]) == (5_000, 500)


def test_explain_names_them(tmp_path: Path, ctxbudget: Command) -> None:
    path = written(tmp_path, FLOW.format(phases="  - {id: a, tools: [files, mail]}"))
    said = ctxbudget("explain", path, "a").out
    assert "2,500 in 2 definitions of tools: main/tools/files, main/tools/mail" in said


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        (
            "  - {id: a, tools: [fils]}",
            "phases[0].tools: the workflow's `tools` have no 'fils'; did",
        ),
        ("  - {id: a, tools: [web, web]}", "phases[0].tools: the name 'web' is there twice"),
        (
            "  - id: a\n    agents: [{id: x, output: 1, tools: [nets]}]",
            "8: phases[0].agents[0].tools: the workflow's `tools` have no 'nets'; known are: files",
        ),
        (
            "  - id: a\n    waves:\n      - agents: [{id: x, output: 1, tools: [nets]}]",
            "9: phases[0].waves[0].agents[0].tools: the workflow's `tools` have no 'nets'",
        ),
    ],
)
def test_what_is_not_there_is_named(
    tmp_path: Path, ctxbudget: Command, phases: str, expected: str
) -> None:
    assert expected in ctxbudget("validate", written(tmp_path, FLOW.format(phases=phases))).error


def test_two_of_a_name(tmp_path: Path, ctxbudget: Command) -> None:
    path = written(tmp_path, "tools: [{id: a, tokens: 1}, {id: a, tokens: 2}]\nphases: [{id: p}]")
    assert "1: tools: the name 'a' is there twice" in ctxbudget("validate", path).error


def test_an_uncertain_size_is_drawn_once_for_the_run(tmp_path: Path, ctxbudget: Command) -> None:
    flow = """\
tools: [{id: a, min: 1000, max: 9000}, {id: b, tokens: 10}]
phases:
  - {id: p, tools: [a]}
  - {id: q, tools: [b]}
  - {id: r, tools: [a]}
"""
    found = ctxbudget("simulate", written(tmp_path, flow), "--runs", "20", "--json").json
    first, second, last = found["policies"][0]["phases"]
    assert first["sent_tokens"] == last["sent_tokens"]
    assert first["sent_tokens"]["p5"] < first["sent_tokens"]["p95"]
    assert second["sent_tokens"]["max"] == 10
