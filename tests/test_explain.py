"""Tests of `ctxbudget explain`: what happens in a phase, in words and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, in_subprocess, written

from ctxbudget.core.events import (
    Event,
    Injected,
    ItemAdded,
    Phase,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Pruned,
    Restored,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.types import Do, Form, Item, Kind, Layer, Scale
from ctxbudget.report.phase_story import PhaseStory, grouped

FLOW = """
name: shop
window: 10000
budget: 5000
policy:
  name: tidy
  rules:
    - name: keep the newest result
      on: before_call
      select: {kind: tool_result, keep_last: 1}
      do: clear
      why: older results are stale
permanent:
  - {id: rules, tokens: 500}
phases:
  - {id: plan, output: 300, calls: 1}
  - id: idle
    calls: 0
  - id: build
    about: with tools
    after: [plan]
    calls: 3
    turn: {call: 100, result: 1000}
    output: 400
  - id: review
    after: [build]
    calls: 1
    agents:
      - {id: one, prompt: 50, reads: [200], calls: 2, turn: {call: 10, result: 90}, output: 600}
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return written(tmp_path, FLOW)


def test_a_phase_worked_by_hand(ctxbudget: Command, flow: Path) -> None:
    found = ctxbudget("explain", flow, "build", "--json").json
    assert (found["number"], found["of"]) == (3, 4)
    assert (found["needs"], found["needed_by"]) == (["plan"], ["review"])
    # The rules and the plan; then two rounds of 1,100, of which the first result becomes 10.
    assert found["start"]["tokens"] == 800
    assert found["added"]["tokens"] == 2 * 1100 + 400
    (pruned,) = found["pruned"]
    assert (pruned["removed_tokens"], pruned["left_tokens"]) == (1000, 10)
    assert pruned["items"] == ["build/turn 1/result"]
    assert (pruned["why"], pruned["do"]) == ("older results are stale", "clear")
    # The second result comes in while the first is whole: 800 + 2,200; then less 990, and 400.
    assert found["peak"]["tokens"] == 3000
    assert found["peak"]["came"] == "build/turn 2/result"
    assert found["end"]["tokens"] == 800 + 2200 - 990 + 400
    # Three calls: 800, 1,900 and 800 + 100 + 10 + 1,100.
    assert (found["calls"], found["sent_tokens"]) == (3, 800 + 1900 + 2010)
    whats = [(group["what"], group["tokens"]) for group in found["peak"]["groups"]]
    assert whats == [("1 permanent item", 500), ("1 full output", 300), ("2 rounds of tools", 2200)]


def test_the_same_in_words(ctxbudget: Command, flow: Path) -> None:
    assert (
        ctxbudget("explain", flow, "build").out
        == """\
Phase build of shop, number 3 of 4, under policy tidy
  with tools
  It needs phase plan; phase review needs it.
  It may keep 1,250 tokens (allocator dynamic) of a budget of 5,000.
When it starts
  The main prompt holds 800 tokens, 16.0% of the budget:
    500 in 1 permanent item: rules
    300 in 1 full output from phase plan: plan/output
What it adds
  2,600 tokens come into the main prompt:
    2,200 in 2 rounds of tools: build/turn 1, build/turn 2
    400 in 1 full output: build/output
What is pruned
  keep the newest result: 1 item replaced by a placeholder, 1,000 → 10 tokens: build/turn 1/result
    because older results are stale
Where it peaks
  At 3,000 tokens, when build/turn 2/result comes in: 60.0% of the budget, 30.0% of the window.
  Most to blame: 2 rounds of tools (73.3%: build/turn 1, build/turn 2); 1 permanent item (16.7%: rules); 1 full output from phase plan (10.0%: plan/output).
  Phase build is 360 tokens over its allocation of 1,250: 1,200 tokens of 2 rounds of tools stay; use a policy for tool loops, such as adaptive.
What it sends
  4,710 tokens in 3 calls; 0.0% of it is read from the prompt cache.
What it hands on
  The main prompt is left with 2,410 tokens; 1,610 of it are this phase's, 360 more than it may keep:
    1,200 in 2 rounds of tools: build/turn 2, build/turn 1
    10 in 1 tool result as a placeholder: build/turn 1/result
    400 in 1 full output: build/output
  They are there for phase review.
"""
    )


def test_agents_have_threads_of_their_own(ctxbudget: Command, flow: Path) -> None:
    found = ctxbudget("explain", flow, "review", "--json").json
    (agent,) = found["agents"]
    # Permanent items, what it depends on, its prompt and its reads; then one round.
    seeded = agent["start"]["tokens"] - 250
    assert seeded >= 500
    assert agent["added"]["tokens"] == 100
    assert agent["peak_tokens"] == agent["start"]["tokens"] + 100
    assert (agent["calls"], agent["output_tokens"]) == (2, 600)
    # Its read is no longer the newest result at its second call.
    assert agent["pruned_tokens"] == 190
    assert agent["sent_tokens"] == 2 * agent["start"]["tokens"] + 100 - 190
    words = ctxbudget("explain", flow, "review").out
    assert "its 2 calls add 100 tokens, send" in words
    assert "190 are pruned; it hands back 600" in words
    assert "keep the newest result in the thread of review/one: 1 item replaced" in words


def test_a_phase_without_anything(ctxbudget: Command, flow: Path) -> None:
    words = ctxbudget("explain", flow, "idle").out
    for said in (
        "It needs no other phase; no other phase needs it.",
        "from phase plan, which it does not need: plan/output",
        "Nothing comes into the main prompt.",
        "Nothing: no rule of policy tidy found anything to take.",
        "at its very start",
        "Nothing: it makes no call.",
    ):
        assert said in words
    assert "What its agents get" not in words


def test_options_change_the_run(ctxbudget: Command, flow: Path) -> None:
    words = ctxbudget("explain", flow, "build", "--policy", "none", "--budget", "2500").out
    assert "under policy none" in words
    assert "above critical (2,375)" in words
    found = ctxbudget("explain", "jwt_auth", "1", "--deliver", "in_turn", "--json").json
    together = ctxbudget("explain", "jwt_auth", "1", "--json").json
    assert found["peak"]["tokens"] < together["peak"]["tokens"] == 15_500
    assert "15,500" in together["findings"][0]
    small = ctxbudget("explain", flow, "build", "--window", "2k", "--budget", "2k", "--json").json
    assert "overflow" in [told["level"] for told in small["told"]]
    model = ("--model", "claude-haiku-4-5")
    assert float(ctxbudget("explain", flow, "build", *model, "--json").json["cost_usd"]) > 0


def test_what_is_left_to_chance_is_said(ctxbudget: Command, tmp_path: Path) -> None:
    text = """
phases:
  - id: a
    skip: 25%
    repeat: {at_most: 4, again: 50%}
    agents: [{id: x, output: 10, fails: 10%, tries: 2}]
"""
    found = ctxbudget("explain", written(tmp_path, text), "a", "--json").json
    assert found["chance"] == [
        "It is left out with a probability of 25%; here it runs.",
        "It runs up to 4 times, again with a probability of 50%; here it runs once.",
        "x fails with a probability of 10%; here it does not.",
    ]


def test_mistakes(ctxbudget: Command, flow: Path) -> None:
    error = ctxbudget("explain", flow, "biuld").error
    assert error == f"{flow}: there is no phase 'biuld'; did you mean 'build'?"
    assert "known are: build, idle, plan, review" in ctxbudget("explain", flow, "zzz").error
    assert "there is no workflow 'jwt'" in ctxbudget("explain", "jwt", "1").error
    assert "--budget" in ctxbudget("explain", flow, "plan", "--budget", "lots").error
    assert "there is no policy" in ctxbudget("explain", flow, "plan", "--policy", "maskin").error
    assert "--model: expected a" in ctxbudget("explain", flow, "plan", "--model", " ").error


def test_a_shipped_workflow_is_called_as_it_was_named(ctxbudget: Command) -> None:
    assert ctxbudget("explain", "naive", "9").error.startswith("naive: there is no phase '9'")


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_lines_fit_a_terminal_below_their_own_indent(
    ctxbudget: Command, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ctxbudget("explain", "jwt_auth", "1").out
    monkeypatch.setenv("COLUMNS", str(columns))
    broken = ctxbudget("explain", "jwt_auth", "1").out
    assert max(map(len, broken.splitlines())) <= columns < max(map(len, whole.splitlines()))
    assert broken.split() == whole.split()
    first = next(line for line in broken.splitlines() if "500 in 1 output" in line)
    assert first.startswith("    500 in")


def test_names_cannot_command_a_terminal(ctxbudget: Command, tmp_path: Path) -> None:
    text = 'phases: [{id: a, about: "x\\e[2Jy", output: 10}]'
    ran = ctxbudget("explain", written(tmp_path, text), "a")
    assert "\x1b" not in ran.out
    assert ran.code == 0


@pytest.mark.parametrize("phase", ["0", "1", "2", "3", "4", "6"])
@pytest.mark.parametrize("policy", ["none", "aggressive", "moderate"])
def test_the_numbers_are_those_of_the_simulation(
    ctxbudget: Command, phase: str, policy: str
) -> None:
    simulated = ctxbudget("simulate", "jwt_auth", "--policy", policy, "--json").json
    row = next(row for row in simulated["phases"] if row["id"] == phase)
    found = ctxbudget("explain", "jwt_auth", phase, "--policy", policy, "--json").json
    assert found["peak"]["tokens"] == row["peak_tokens"]
    assert found["end"]["tokens"] == row["residual_tokens"]
    assert found["sent_tokens"] == row["sent_tokens"]
    assert found["peak"]["tokens"] == sum(group["tokens"] for group in found["peak"]["groups"])
    gained = sum(
        done["removed_tokens"] - done["left_tokens"]
        for done in found["pruned"]
        if done["thread"] == "main"
    )
    assert gained == row["pruned_tokens"]


def test_long_phases_are_cut_short_in_words(ctxbudget: Command, tmp_path: Path) -> None:
    agents = "\n".join(f"      - {{id: a{number}, output: 10}}" for number in range(40))
    text = f"window: 100000\nphases:\n  - id: wide\n    agents:\n{agents}\n"
    words = ctxbudget("explain", written(tmp_path, text), "wide").out
    assert "24 more agents hand back 240 tokens" in words
    assert "and 37 more" in words
    assert len(words.splitlines()) < 60


def test_it_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    ran = in_subprocess("explain", "jwt_auth", "3", cwd=tmp_path)
    assert ran.code == 0
    assert ran.out.startswith("Phase 3 of jwt_auth, number 4 of 6, under policy aggressive\n")


# ---- the listener, event by event


def item(name: str, tokens: int, **known: object) -> Item:
    return Item(id=name, tokens=tokens, phase="p", **known)  # type: ignore[arg-type]


def test_the_peak_is_found_among_all_changes() -> None:
    scale = Scale(window_tokens=1000, reserve_tokens=0, budget_tokens=1000)
    shorter = Item(id="b", tokens=20, version=1, form=Form.CLEAR, phase="p")
    events: list[Event] = [
        RunStarted(at=0, workflow="w", scale=scale, phases=(Phase(id="p"),)),
        PhaseStarted(at=0, phase="p"),
        ItemAdded(at=1, item=item("a", 100)),
        ItemAdded(at=2, item=item("b", 200)),
        Withdrawn(at=3, items=("a",)),
        Pruned(at=4, rule="r", reason="w", do=Do.CLEAR, items=("b",), removed_tokens=200,
               occupancy_tokens=20, plan=1, stand_in=shorter),
        Injected(at=5, item=item("c", 150), by="tool"),
        Restored(at=6, items=(item("b", 200),), removed=("b",), gained_tokens=180,
                 rewritten_tokens=0, occupancy_tokens=350),
        Withdrawn(at=7, items=("b",)),
        PhaseFinished(at=8, phase="p"),
        PhaseClosed(at=8, phase="p", allocated_tokens=0, start_tokens=0, peak_tokens=350,
                    residual_tokens=150, kept_tokens=150, over_tokens=0),
    ]  # fmt: skip
    story = PhaseStory("p")
    for event in events:
        story(event)
    assert {one.id: one.tokens for one in story.peak} == {"b": 200, "c": 150}
    assert story.peak_came is None  # a return, not an arrival
    assert [one.id for one in story.end] == ["c"]
    assert [(one.rule, one.removed_tokens, one.left_tokens) for one in story.pruned] == [
        ("r", 200, 20)
    ]


@pytest.mark.parametrize(
    ("kind", "layer", "form", "said"),
    [
        (Kind.ARTIFACT, Layer.TRANSIENT, Form.WHOLE, "2 full outputs"),
        (Kind.ARTIFACT, Layer.METADATA, Form.DIGEST, "2 outputs as metadata"),
        (Kind.TOOL_RESULT, Layer.TRANSIENT, Form.WHOLE, "2 reads"),
        (Kind.TOOL_RESULT, Layer.TRANSIENT, Form.CLEAR, "2 reads as a placeholder"),
        (Kind.SYSTEM, Layer.PHASE, Form.WHOLE, "2 items of the phase"),
        (Kind.SYSTEM, Layer.PERMANENT, Form.WHOLE, "2 permanent items"),
        (Kind.SUMMARY, Layer.METADATA, Form.SUMMARY, "2 summaries"),
        (Kind.NOTE, Layer.METADATA, Form.STUB, "2 notes that they are done"),
        (Kind.USER, Layer.TRANSIENT, Form.SNIP, "2 prompts as head and tail"),
        (Kind.TOOL_RESULT, Layer.TRANSIENT, Form.DEDUPED, "2 reads without what stands elsewhere"),
    ],
)  # fmt: skip
def test_what_items_are_called(kind: Kind, layer: Layer, form: Form, said: str) -> None:
    items = [item(name, 5, kind=kind, layer=layer, form=form) for name in ("x", "y")]
    (group,) = grouped(items)
    assert (group.what, group.tokens, group.count, group.names) == (said, 10, 2, ("x", "y"))
