"""Tests of the order of phases: what each holds, which order peaks lowest, and what is said of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Command, written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.config import lookup
from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import validated
from ctxbudget.config.policy_file import load_policy
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow
from ctxbudget.config.workflow_format import Workflow
from ctxbudget.core.errors import ConfigError
from ctxbudget.schedule.board import Board, Load, bits
from ctxbudget.schedule.bound import lowest_possible_tokens
from ctxbudget.schedule.claims import doubt_about
from ctxbudget.schedule.loads import board_of
from ctxbudget.schedule.polish import highest_peaks, polished
from ctxbudget.schedule.proposal import Known, propose, reordered
from ctxbudget.schedule.rewriting import with_order
from ctxbudget.schedule.search import find, lowest_of_all
from ctxbudget.simulate import measure_for, simulate


def orders(board: Board, finished: int = 0) -> Iterator[tuple[int, ...]]:
    """Yield every order that dependencies allow, by trying them all."""
    if finished == board.everything:
        yield ()
    for one in range(len(board.loads)):
        if not finished >> one & 1 and not board.needs[one] & ~finished:
            yield from ((one, *rest) for rest in orders(board, finished | 1 << one))


def load(phase: str, after: str = "", *, rise: int, live: int, dead: int, **more: Any) -> Load:
    return Load(
        phase=phase,
        after=tuple(after.split()),
        rise_tokens=rise,
        live_tokens=live,
        dead_tokens=dead,
        **more,
    )


# ---- a diamond, worked by hand


def diamond() -> Board:
    """Two branches behind a start: a reading that leaves much, and a decision that leaves little.

    Kept is 1,000. Side by side, both readings stand together: 1,000 + 100 + 4,000 + 5,000 is what
    the second reading comes to. One branch after the other, it finds the first one's decision only.
    """
    return Board(
        [
            load("start", rise=500, live=100, dead=5),
            load("read_a", "start", rise=5_000, live=4_000, dead=5),
            load("read_b", "start", rise=5_000, live=4_000, dead=5),
            load("decide_a", "read_a", rise=900, live=300, dead=5),
            load("decide_b", "read_b", rise=900, live=300, dead=5),
            load("end", "decide_a decide_b", rise=700, live=200, dead=200),
        ],
        start_tokens=1_000,
    )


def test_a_diamond_by_hand() -> None:
    board = diamond()
    assert [step.peak_tokens for step in board.steps(range(6))] == [
        1_500,  # 1,000 + 500
        6_100,  # 1,000 + 100 + 5,000
        10_100,  # 1,000 + 100 + 4,000 + 5,000
        9_905,  # 1,000 + 5 + 4,000 + 4,000 + 900: nothing needs the start any more
        6_210,  # 1,000 + 5 + 5 + 4,000 + 300 + 900
        2_315,  # 1,000 + 3 × 5 + 300 + 300 + 700
    ]
    found = find(board)
    assert found.order == (0, 1, 3, 2, 4, 5)
    # The second reading finds 1,000, the start (still needed), and a decision and a dead reading.
    assert found.peak_tokens == 1_000 + 100 + 300 + 5 + 5_000
    assert found.is_exact
    assert found.bound_tokens == 6_405


def test_the_bound_of_the_diamond_is_what_must_stand_while_a_phase_runs() -> None:
    # While a reading runs, the start stands, and nothing else has to.
    assert lowest_possible_tokens(diamond()) == 1_000 + 100 + 5_000


def test_what_is_fresh_stands_until_a_phase_that_calls_has_finished() -> None:
    board = Board(
        [
            load("a", rise=10, live=1, dead=1, fresh_tokens=500),
            load("silent", rise=10, live=1, dead=1, is_calling=False),
            load("b", rise=10, live=1, dead=1),
            load("c", rise=10, live=1, dead=1),
        ]
    )
    peaks = [step.peak_tokens for step in board.steps(range(4))]
    assert peaks == [10, 511, 512, 13]


# ---- against every order

TOOLS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"tools": ("few",), "tools_tokens": 4},
    {"tools": ("few", "many"), "tools_tokens": 15},
)


def some_loads(most: int) -> st.SearchStrategy[Board]:
    @st.composite
    def draw(draw: st.DrawFn) -> Board:
        count = draw(st.integers(1, most))
        sizes = st.integers(0, 20)
        loads = []
        for index in range(count):
            needs = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
            dead = draw(st.integers(0, 3))
            live = dead + draw(sizes)
            one = load(
                f"p{index}",
                " ".join(f"p{need}" for need in sorted(needs)),
                rise=live + draw(sizes),
                live=live,
                dead=dead,
                fresh_tokens=draw(st.sampled_from((0, 0, 0, 6))),
                is_calling=draw(st.sampled_from((True, True, True, False))),
                model=draw(st.sampled_from("xyz")),
                **draw(st.sampled_from(TOOLS)),
            )
            loads.append(one)
        return Board(loads, draw(sizes))

    return draw()


@settings(max_examples=70, deadline=None)
@given(some_loads(7))
def test_the_order_is_the_first_of_those_with_fewest_switches_and_lowest_peak(board: Board) -> None:
    found = find(board)
    best = min((board.peak_tokens(one), board.switches(one), one) for one in orders(board))
    assert (found.peak_tokens, board.switches(found.order), found.order) == best
    assert found.is_exact
    assert found.has_fewest_switches


def ten_phases(seed: int, *, models: str = "x") -> Board:
    """Return ten phases, with few enough dependencies between them to leave thousands of orders."""
    digits = [(seed * 7919 + index * 104_729) % 9_973 for index in range(60)]
    loads = []
    for index in range(10):
        needs = sorted({digits[index] % index, digits[index + 10] % index}) if index > 2 else []
        live = digits[index + 20] % 3_000
        one = load(
            f"p{index}",
            " ".join(f"p{need}" for need in needs),
            rise=live + digits[index + 30] % 9_000,
            live=live,
            dead=min(5, live),
            model=models[digits[index + 40] % len(models)],
        )
        loads.append(one)
    return Board(loads, 100)


@pytest.mark.parametrize("seed", range(1, 6))
def test_ten_phases_against_every_order(seed: int) -> None:
    board = ten_phases(seed, models="xy")
    every = list(orders(board))
    assert len(every) > 500
    found = find(board)
    best = min((board.peak_tokens(one), board.switches(one)) for one in every)
    assert (found.peak_tokens, board.switches(found.order)) == best
    assert found.is_exact


@settings(max_examples=40, deadline=None)
@given(some_loads(7))
def test_no_order_is_below_the_bound_and_none_found_is_impossible(board: Board) -> None:
    assert lowest_possible_tokens(board) <= min(map(board.peak_tokens, orders(board)))
    cut_short = find(board, most_steps=0)
    assert cut_short.bound_tokens <= cut_short.peak_tokens
    assert cut_short.order in set(orders(board))
    assert cut_short.peak_tokens <= board.peak_tokens(range(len(board.loads)))
    better = polished(board, cut_short.order, highest_peaks)
    assert better in set(orders(board))
    assert board.peak_tokens(better) <= cut_short.peak_tokens


@settings(max_examples=60, deadline=None)
@given(some_loads(7))
def test_weighing_every_set_needs_no_good_beginning(board: Board) -> None:
    lowest = min(map(board.peak_tokens, orders(board)))
    bound = lowest_possible_tokens(board)
    found = lowest_of_all(board, below_tokens=1_000_000, bound_tokens=bound, most_steps=100_000)
    assert found is not None
    assert board.peak_tokens(found) == lowest
    assert lowest_of_all(board, lowest, bound, most_steps=100_000) is None


@settings(max_examples=30, deadline=None)
@given(some_loads(6), st.sampled_from((0.1, 0.5)))
def test_slack_buys_the_fewest_switches_up_to_a_peak(board: Board, slack: float) -> None:
    found = find(board, slack)
    lowest = min(map(board.peak_tokens, orders(board)))
    cap = lowest + int(lowest * slack)
    allowed = [one for one in orders(board) if board.peak_tokens(one) <= cap]
    assert found.lowest_tokens == lowest
    assert (board.switches(found.order), found.order) == min(
        (board.switches(one), one) for one in allowed
    )


def test_many_phases_are_ordered_without_weighing_all() -> None:
    # 20 pairs of a reading and a decision, 2^20 sets of readings; the file reads all first.
    readings = [load(f"r{n}", rise=900 + n, live=500, dead=0) for n in range(20)]
    decisions = [load(f"d{n}", f"r{n}", rise=50, live=10, dead=10) for n in range(20)]
    board = Board([*readings, *decisions], 100)
    found = find(board, most_steps=5_000)
    assert board.peak_tokens(range(40)) == 100 + 19 * 500 + 919
    assert found.peak_tokens <= 100 + 19 * 10 + 919
    for phase in range(20):
        assert found.order.index(phase) < found.order.index(phase + 20)


# ---- against the engine


def loaded_from(content: dict[str, Any]) -> LoadedWorkflow:
    document = parse_document(json.dumps(content), "made/flow.yaml")
    return LoadedWorkflow(workflow=validated(Workflow, document), document=document)


def sizes(most: int = 3_000) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def some_agents() -> st.SearchStrategy[list[dict[str, Any]]]:
    agent = st.fixed_dictionaries(
        {"output": sizes(9_000), "metadata": sizes(400)},
        optional={"metadata_to": st.just("permanent"), "calls": st.just(2)},
    )
    named = st.lists(agent, min_size=1, max_size=3)
    return named.map(lambda found: [{"id": f"g{n}", **one} for n, one in enumerate(found)])


def some_work() -> st.SearchStrategy[dict[str, Any]]:
    turn = st.fixed_dictionaries({"call": sizes(200), "result": sizes()})
    both: dict[str, st.SearchStrategy[Any]] = {
        "turn": turn,
        "calls": st.integers(0, 3),
        "reads": st.lists(sizes(), max_size=2),
        "items": st.just(
            [{"id": "told", "tokens": 700}, {"id": "kept", "tokens": 9, "pinned": True}]
        ),
    }
    waves = st.lists(st.fixed_dictionaries({"agents": some_agents()}), min_size=1, max_size=2).map(
        lambda found: [
            {"agents": [{**one, "id": f"w{n}{one['id']}"} for one in wave["agents"]]}
            for n, wave in enumerate(found)
        ]
    )
    return st.one_of(
        st.fixed_dictionaries({"output": sizes(9_000), "metadata": sizes(400)}, optional=both),
        st.fixed_dictionaries({"waves": waves}, optional=both),
        st.fixed_dictionaries({}, optional=both),
    )


@st.composite
def some_workflow(draw: st.DrawFn, most: int = 4) -> dict[str, Any]:
    phases = []
    for index in range(draw(st.integers(2, most))):
        needs = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set()
        work = draw(some_work())
        phases.append({"id": f"p{index}", "after": [f"p{need}" for need in sorted(needs)], **work})
        if draw(st.booleans()):
            phases[-1]["tools"] = draw(st.sampled_from(([], ["few"], ["many"], ["few", "many"])))
    return {
        "window": 1_000_000,
        "tools": [{"id": "few", "tokens": 900}, {"id": "many", "tokens": 6_000}],
        "deliver": draw(st.sampled_from(("together", "in_turn"))),
        "permanent": [{"id": "instructions", "tokens": 1_500}],
        "phases": phases,
    }


DROP_DEAD = {
    "name": "drop-dead",
    "rules": [
        {
            "on": "phase_started",
            "select": {"phase": "earlier", "kind": ["tool_call", "tool_result"]},
            "do": "drop",
            "why": "a test",
        },
        {
            "on": "phase_finished",
            "select": {"layer": ["metadata", "transient"], "kind": "artifact", "live": False},
            "do": "drop",
            "why": "a test",
        },
    ],
}


@pytest.mark.parametrize("policy", ["aggressive", "none", "minimal", DROP_DEAD])
@settings(max_examples=8, deadline=None)
@given(content=some_workflow())
def test_what_phases_hold_alone_is_what_the_engine_has_them_hold_together(
    policy: Any, content: dict[str, Any]
) -> None:
    loaded = loaded_from({**content, "policy": policy})
    setup, measure = set_up_run(loaded), measure_for(loaded)
    assert doubt_about(setup.policy.policy) is None
    board = board_of(setup, measure)
    played = []
    for order in list(orders(board))[:12]:
        names = [board.loads[one].phase for one in order]
        other = set_up_run(reordered(loaded, names))
        assert other.graph.order == tuple(names)
        played.append(simulate(other, measure).run.peak_tokens)
        assert board.peak_tokens(order) == played[-1], names
    proposal = propose(loaded, Overrides())
    assert proposal.known in (Known.LOWEST, Known.ONLY)
    assert proposal.proposed.peak_tokens <= min(played)


@settings(max_examples=8, deadline=None)
@given(content=some_workflow())
def test_the_proposed_order_is_the_lowest_of_all_that_the_engine_can_play(
    content: dict[str, Any],
) -> None:
    loaded = loaded_from({**content, "policy": "aggressive"})
    measure = measure_for(loaded)
    board = board_of(set_up_run(loaded), measure)
    every = [[board.loads[one].phase for one in order] for order in orders(board)]
    peaks = [
        simulate(set_up_run(reordered(loaded, names)), measure).run.peak_tokens for names in every
    ]
    assert propose(loaded, Overrides()).proposed.peak_tokens == min(peaks)


@pytest.mark.parametrize("name", lookup.names("workflows"))
def test_shipped_workflows_peak_as_simulate_reports(name: str, ctxbudget: Command) -> None:
    said = ctxbudget("schedule", name, "--json").json
    simulated = ctxbudget("simulate", name, "--json").json
    assert said["schedule"]["peak_tokens"] == simulated["run"]["peak_tokens"]
    assert [one["id"] for one in said["schedule"]["phases"]] == said["schedule"]["order"]


# ---- what is claimed


@pytest.mark.parametrize("policy", ["aggressive", "none", "minimal", "unbounded"])
def test_nothing_is_doubted_of_policies_that_look_at_one_phase(policy: str) -> None:
    assert doubt_about(load_policy(policy).policy) is None


@pytest.mark.parametrize(
    "policy",
    ["adaptive", "clear-tool-uses", "compact-at-threshold", "ladder", "masking", "moderate"],
)
def test_policies_that_look_at_occupancy_age_or_use_are_doubted(policy: str) -> None:
    assert doubt_about(load_policy(policy).policy)


RULE = {"on": "phase_finished", "select": {"layer": "metadata"}, "do": "drop", "why": "a test"}


@pytest.mark.parametrize(
    "change",
    [
        {"on": "before_call"},
        {"on": "critical"},
        {"when": {"above": "50%"}},
        {"when": {"min_gain_tokens": 100}},
        {"when": {"pays_off": True}},
        {"select": {"keep_last": 3}},
        {"select": {"phase_age": 2}},
        {"select": {"phase": "earlier"}},
        {"on": "wave_finished", "select": {"layer": "transient"}},
        {"on": "agent_finished", "select": {"kind": "artifact", "ready": True, "live": False}},
        {"do": "summarize", "by": "all", "to": 100},
    ],
)
def test_one_rule_is_enough_for_doubt(change: dict[str, Any]) -> None:
    assert doubt_about(load_policy({"name": "t", "rules": [RULE]}).policy) is None
    assert doubt_about(load_policy({"name": "t", "rules": [{**RULE, **change}]}).policy)


BRANCHES = """\
# Two inquiries.
window: {window}
policy: {policy}
permanent: [{{id: instructions, tokens: 1000}}]
phases:
  - {{id: start, output: 500, metadata: 100}}

  # read first
  - id: read a
    after: [start]
    output: 5000
    metadata: 4000
  - id: read b
    after: [start]
    output: 5000 # as much
    metadata: 4000

  - {{id: decide a, after: [read a], output: 900, metadata: 300}}
  - {{id: decide b, after: [read b], output: 900, metadata: 300}}
  - {{id: end, after: [decide a, decide b], output: 700, metadata: 200}}
# the end
"""


def branches(folder: Path, policy: str = "aggressive", window: int = 100_000) -> Path:
    return written(folder, BRANCHES.format(policy=policy, window=window))


def test_the_diamond_as_a_file(tmp_path: Path, ctxbudget: Command) -> None:
    said = ctxbudget("schedule", branches(tmp_path), "--json").json
    # By hand as above: 1,000 + 100 + 4,000 + 5,000, against 1,000 + 100 + 300 + 5 + 5,000.
    assert said["file"]["peak_tokens"] == 10_100
    assert said["schedule"]["peak_tokens"] == 6_405
    assert said["saved_tokens"] == 3_695
    assert said["saved_frac"] == pytest.approx(0.365842)
    assert said["is_lowest"]
    assert said["known"] == "lowest"
    assert said["bound_tokens"] == 6_405
    assert said["doubt"] is None
    assert said["schedule"]["order"][:4] == ["start", "read a", "decide a", "read b"]


def test_a_doubted_policy_claims_nothing(tmp_path: Path, ctxbudget: Command) -> None:
    said = ctxbudget("schedule", branches(tmp_path), "--policy", "moderate", "--json").json
    assert not said["is_lowest"]
    assert said["bound_tokens"] is None
    assert "moderate" in said["doubt"]
    printed = ctxbudget("schedule", branches(tmp_path), "--policy", "moderate").out
    assert "not proved" in printed


def test_an_order_that_is_cut_to_fit_the_window_claims_nothing(
    tmp_path: Path, ctxbudget: Command
) -> None:
    said = ctxbudget("schedule", branches(tmp_path, window=6_000), "--json").json
    assert "6,000 tokens" in said["doubt"]
    assert not said["is_lowest"]


def test_an_order_that_the_engine_finds_worse_is_refused(
    tmp_path: Path, ctxbudget: Command
) -> None:
    # Alone, no output brings the prompt above 9,000, so all orders seem to come to 18,000, and the
    # one with the fewest switches is drafted: a, c, b, d. But as listed, a and b go together at
    # 10,000; in the draft, a and c stay at 9,000, and b makes 14,000.
    flow = """\
    window: 100000
    policy:
      name: when full
      rules:
        - {on: phase_finished, select: {kind: artifact}, do: drop, when: {above: 9000}, why: a test}
    phases:
      - {id: a, output: 5000, model: x}
      - {id: b, output: 5000, model: y}
      - {id: c, output: 4000, model: x}
      - {id: d, output: 4000, model: y}
    """
    path = written(tmp_path, flow)
    said = ctxbudget("schedule", path, "--json").json
    assert said["file"]["expected_peak_tokens"] == 18_000
    assert said["file"]["peak_tokens"] == said["schedule"]["peak_tokens"] == 10_000
    assert not said["is_new"]
    assert said["refused"]["order"] == ["a", "c", "b", "d"]
    assert said["refused"]["peak_tokens"] == 14_000
    assert "when full" in said["doubt"]
    assert "refused: a, c, b, d" in ctxbudget("schedule", path).out


# ---- switches of model

MODELS = """\
model: claude-opus-4-1
window: 100000
policy: none
permanent: [{id: instructions, tokens: 5000}]
phases:
  - {id: a, output: 1000}
  - {id: b, model: claude-sonnet-4-5, output: 1000}
  - {id: c, output: 1000}
  - {id: d, model: claude-sonnet-4-5, output: 1000}
"""


def test_switches_by_hand(tmp_path: Path, ctxbudget: Command) -> None:
    said = ctxbudget("schedule", written(tmp_path, MODELS), "--json").json
    # Nothing leaves, so all orders peak alike, at 5,000 + 4 × 1,000; the order of a and c, then b
    # and d, switches once.
    assert said["file"]["peak_tokens"] == said["schedule"]["peak_tokens"] == 9_000
    assert said["schedule"]["order"] == ["a", "c", "b", "d"]
    assert [one["phases"] for one in said["schedule"]["groups"]] == [["a", "c"], ["b", "d"]]
    # Before b stand 5,000 of the call before it. c is back at the first model, which has 5,000 of
    # 6,000; d at the second, which has 6,000 of 7,000.
    assert [one["rewritten_tokens"] for one in said["file"]["switches"]] == [5_000, 1_000, 1_000]
    # In the proposed order, the call of c carried 6,000.
    (switch,) = said["schedule"]["switches"]
    assert switch["rewritten_tokens"] == 6_000
    assert (switch["from"], switch["to"]) == ("claude-opus-4-1", "claude-sonnet-4-5")
    # Sonnet 4.5: 3.75 USD per million written to the cache, 0.30 read from it.
    assert Decimal(switch["cost_usd"]) == Decimal("0.0207")  # 6,000 × 3.45 / 1,000,000
    assert said["price_date"]


TOOL_SETS = """\
model: claude-sonnet-4-5
window: 100000
policy: none
permanent: [{id: instructions, tokens: 5000}]
tools: [{id: files, tokens: 2000}, {id: web, tokens: 8000}]
phases:
  - {id: a, tools: [files], output: 1000}
  - {id: b, tools: [web], output: 1000}
  - {id: c, tools: [files], output: 1000}
  - {id: d, tools: [files, web], output: 1000}
"""


def test_switches_of_tools_by_hand(tmp_path: Path, ctxbudget: Command) -> None:
    path = written(tmp_path, TOOL_SETS)
    said = ctxbudget("schedule", path, "--json").json
    # d holds both, so it peaks lowest at the very start: 5,000 + 10,000 + 1,000.
    assert [one["peak_tokens"] for one in said["file"]["phases"]] == [8_000, 15_000, 10_000, 19_000]
    # Tools go before the next phase begins; d keeps the files.
    assert [one["began_tokens"] for one in said["file"]["phases"]] == [5_000, 6_000, 7_000, 10_000]
    assert said["schedule"]["peak_tokens"] == 16_000
    assert said["schedule"]["order"] == ["d", "b", "a", "c"]
    assert said["is_lowest"]
    # b: 8,000 of the web and the 5,000 before it. c: 2,000 and 6,000. d keeps the files in the
    # cache, and writes 8,000 and 7,000.
    switches = said["file"]["switches"]
    assert [one["rewritten_tokens"] for one in switches] == [13_000, 8_000, 15_000]
    assert [one["to_tools"] for one in switches] == [["web"], ["files"], ["files", "web"]]
    assert switches[1]["from_tools"] == ["web"]
    # Sonnet 4.5: 3.75 USD per million written to the cache, 0.30 read from it.
    assert Decimal(switches[0]["cost_usd"]) == Decimal("0.04485")  # 13,000 × 3.45 / 1,000,000
    assert [one["tools"] for one in said["schedule"]["groups"]] == [
        ["files", "web"],
        ["web"],
        ["files"],
    ]
    printed = ctxbudget("schedule", path).out
    assert "switches of tools: 3 → 2; written again for them: 36,000 → " in printed
    assert "proposed groups: files + web: d; web: b; files: a, c" in printed


def test_switches_of_model_and_tools_at_once_are_one(tmp_path: Path, ctxbudget: Command) -> None:
    flow = TOOL_SETS.replace("{id: b,", "{id: b, model: claude-opus-4-1,")
    path = written(tmp_path, flow)
    said = ctxbudget("schedule", path, "--json").json
    assert len(said["file"]["switches"]) == 3
    assert said["file"]["switches"][0]["rewritten_tokens"] == 13_000
    printed = ctxbudget("schedule", path).out
    assert "switches of model or tools: 3 → 2" in printed
    assert "claude-opus-4-1, web: b" in printed


def test_a_phase_without_calls_finds_the_tools_of_the_one_before() -> None:
    board = Board(
        [
            load("few", rise=10, live=1, dead=1, tools=("few",), tools_tokens=4),
            load("silent", rise=30, live=1, dead=1, is_calling=False, tools_tokens=900),
            load("many", rise=10, live=1, dead=1, tools=("many",), tools_tokens=15),
        ],
        start_tokens=100,
    )
    assert [step.peak_tokens for step in board.steps((0, 1, 2))] == [114, 135, 127]
    assert [step.peak_tokens for step in board.steps((2, 1, 0))] == [125, 146, 116]
    assert board.switches((0, 1, 2)) == 1
    assert find(board).order == (1, 0, 2)  # 130: nothing stands yet


def test_no_switch_costs_anything_when_the_cache_is_cold_anyway(
    tmp_path: Path, ctxbudget: Command
) -> None:
    flow = MODELS.replace("{id: b,", "{id: b, after: [a], pause_s: 3600,")
    said = ctxbudget("schedule", written(tmp_path, flow), "--json").json
    assert said["file"]["switches"][0]["rewritten_tokens"] == 0


def test_agents_models_are_no_switches(tmp_path: Path, ctxbudget: Command) -> None:
    flow = """\
    model: claude-opus-4-1
    window: 100000
    phases:
      - {id: a, output: 1000}
      - id: b
        agents: [{id: x, model: claude-sonnet-4-5, output: 10}]
      - {id: c, output: 1000}
    """
    said = ctxbudget("schedule", written(tmp_path, flow), "--json").json
    assert said["file"]["switches"] == []
    assert said["file"]["switches_cost_usd"] == "0.000000"


def test_without_a_model_there_is_no_price(tmp_path: Path, ctxbudget: Command) -> None:
    said = ctxbudget("schedule", branches(tmp_path), "--json").json
    assert said["file"]["switches_cost_usd"] is None
    assert said["price_date"] is None


# ---- the file that is written


def test_the_written_file_is_the_old_one_with_its_phases_moved(
    tmp_path: Path, ctxbudget: Command
) -> None:
    old, new = branches(tmp_path), tmp_path / "new.yaml"
    said = ctxbudget("schedule", old, "--write", new, "--json").json
    assert said["written"] == str(new)
    text = new.read_text()
    before = yaml.safe_load(old.read_text())
    after = yaml.safe_load(text)
    by_id = {phase["id"]: phase for phase in before["phases"]}
    assert after == {**before, "phases": [by_id[name] for name in said["schedule"]["order"]]}
    assert text.startswith("# Two inquiries.\n")
    assert text.endswith("# the end\n")
    assert "  # read first\n  - id: read a\n" in text
    assert "output: 5000 # as much" in text
    assert sorted(text.splitlines()) == sorted(old.read_text().splitlines())
    simulated = ctxbudget("simulate", new, "--json").json
    assert simulated["run"]["peak_tokens"] == said["schedule"]["peak_tokens"]
    again = ctxbudget("schedule", new, "--json").json
    assert not again["is_new"]


def test_a_file_is_replaced_only_if_that_is_meant(tmp_path: Path, ctxbudget: Command) -> None:
    path = branches(tmp_path)
    before = path.read_text()
    assert "add --force" in ctxbudget("schedule", path, "--write", path).error
    assert path.read_text() == before
    assert ctxbudget("schedule", path, "--write", path, "--force").code == 0
    assert path.read_text() != before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert "add --write FILE" in ctxbudget("schedule", path, "--force").error


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_what_force_does_not_replace_is_named_at_once(
    tmp_path: Path, ctxbudget: Command, force: tuple[str, ...]
) -> None:
    asked = ("schedule", branches(tmp_path), *force, "--write")
    assert ctxbudget(*asked, tmp_path).error == f"{tmp_path}: is a folder; name a file"
    assert ctxbudget(*asked, os.devnull).error.endswith(": is not a file; choose another name")


def test_a_file_that_names_files_beside_it_is_not_written_elsewhere(
    tmp_path: Path, ctxbudget: Command
) -> None:
    (tmp_path / "notes.md").write_text("some words")
    (tmp_path / "sub").mkdir()
    flow = "phases:\n  - {id: a, output: {file: notes.md}}\n  - {id: b, output: 5}\n"
    path = written(tmp_path, flow)
    assert ctxbudget("schedule", path, "--write", tmp_path / "beside.yaml").code == 0
    error = ctxbudget("schedule", path, "--write", tmp_path / "sub" / "flow.yaml").error
    assert "notes.md" in error
    assert "`root`" in error
    assert not list((tmp_path / "sub").iterdir())


def test_no_folder_to_write_to(tmp_path: Path, ctxbudget: Command) -> None:
    error = ctxbudget("schedule", branches(tmp_path), "--write", tmp_path / "no" / "x.yaml").error
    assert "choose another place" in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phases:\n- id: a\n- id: b", "phases:\n- id: b\n- id: a"),
        (
            "phases: [{id: a}, # one\n  {id: b}]\nname: x\n",
            "phases: [{id: b}, # one\n  {id: a}]\nname: x\n",
        ),
        (
            "phases:\r\n- {id: a}\r\n\r\n- {id: b}\r\n# end\r\n",
            "phases:\r\n- {id: b}\r\n\r\n- {id: a}\r\n# end\r\n",
        ),
        (  # what only looks like a comment, above a phase
            "phases:\n  - id: a\n    about: |\n      one\n      # two\n  - id: b\n",
            "phases:\n  - id: b\n  - id: a\n    about: |\n      one\n      # two\n",
        ),
        (
            "phases:\n  -\n    id: a\n    # in a\n  # of b\n  - id: b\n\nname: x\n",
            "phases:\n  # of b\n  - id: b\n  -\n    id: a\n    # in a\n\nname: x\n",
        ),
    ],
)
def test_phases_move_as_text(text: str, expected: str) -> None:
    assert with_order(text, "flow.yaml", (1, 0)) == expected


def test_json_is_written_anew() -> None:
    text = '{"phases": [{"id": "a", "about": "\\ud83d\\ude00"}, {"id": "b"}], "name": "x"}'
    found = json.loads(with_order(text, "flow.json", (1, 0)))
    assert found == {"phases": [{"id": "b"}, {"id": "a", "about": "😀"}], "name": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "phases:\n- {id: a, calls: &many 3}\n- {id: b, calls: *many}\n",
        "phases:\n- id: a\n  about: |+\n    text\n\n\n- id: b\n",
    ],
)
def test_what_cannot_move_without_a_change_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be moved"):
        with_order(text, "flow.yaml", (1, 0))


# ---- what is printed, and what is refused


def test_both_orders_stand_side_by_side(tmp_path: Path, ctxbudget: Command) -> None:
    printed = ctxbudget("schedule", branches(tmp_path)).out
    assert "file's order" in printed
    assert "proposed order" in printed
    assert "peak: 10,100 → 6,405 tokens, 3,695 less (36.6%)" in printed
    assert "no order of these phases has a lower peak" in printed
    assert "the peak is in read b: 1,405 tokens stood there before it, 5,000 came" in printed
    assert "switches" not in printed


@pytest.mark.parametrize("columns", ["60", "90", "130"])
def test_every_width_shows_every_peak(
    tmp_path: Path, ctxbudget: Command, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, MODELS)
    monkeypatch.setenv("COLUMNS", columns)
    printed = ctxbudget("schedule", path).out
    assert max(map(len, printed.splitlines())) <= int(columns)
    assert printed.count("9,000") >= 2


def test_a_chain_has_one_order(tmp_path: Path, ctxbudget: Command) -> None:
    flow = "phases:\n- {id: a, output: 10}\n- {id: b, after: [a]}\n- {id: c, after: [b]}\n"
    path = written(tmp_path, flow)
    assert "this order is the only one" in ctxbudget("schedule", path).out
    said = ctxbudget("schedule", path, "--json").json
    assert (said["known"], said["is_new"], said["is_lowest"]) == ("only", False, True)


def test_one_phase_has_nothing_to_reorder(tmp_path: Path, ctxbudget: Command) -> None:
    path = written(tmp_path, "phases: [{id: a, output: 10}]")
    assert "there is one phase" in ctxbudget("schedule", path).out


def test_in_turn_is_told_where_it_would_help(tmp_path: Path, ctxbudget: Command) -> None:
    flow = """\
    policy: aggressive
    window: 100000
    phases:
      - id: a
        agents: [{id: x, output: 900, metadata: 10}, {id: y, output: 800, metadata: 10}]
      - {id: b, output: 5}
    """
    said = ctxbudget("schedule", written(tmp_path, flow), "--json").json
    assert said["schedule"]["peak_tokens"] == 1_700
    # With b, whose metadata are its output, before or after; the first output, then 10 and 800.
    assert said["in_turn_peak_tokens"] in (900, 905)
    assert "deliver: in_turn" in ctxbudget("schedule", written(tmp_path, flow)).out


def test_errors_name_what_is_wrong(tmp_path: Path, ctxbudget: Command) -> None:
    circle = written(tmp_path, "phases:\n- {id: a, after: [b]}\n- {id: b, after: [a]}\n")
    assert "circle" in ctxbudget("schedule", circle).error
    assert "known are" in ctxbudget("schedule", "nothing_like_it").error
    assert "no such file" in ctxbudget("schedule", tmp_path / "none.yaml").error
    gone = "permanent: [{id: x, file: gone.md}]\nphases: [{id: a}, {id: b}]\n"
    path = written(tmp_path, gone)
    error = ctxbudget("schedule", path).error
    assert error.startswith(f"{path}:1: permanent[0].file: 'gone.md' in ")
    path = branches(tmp_path)
    for slack in ("-1%", "101%", "much", "2"):
        assert "expected a share" in ctxbudget("schedule", path, "--slack", slack).error
    assert "--model" in ctxbudget("schedule", path, "--model", " ").error
    assert "is empty" in ctxbudget("schedule", path, "--write", "").error


def test_more_phases_than_can_be_put_in_order(tmp_path: Path, ctxbudget: Command) -> None:
    phases = "".join(f"- {{id: p{number}}}\n" for number in range(401))
    error = ctxbudget("schedule", written(tmp_path, f"phases:\n{phases}")).error
    assert "has 401 phases, but no more than 400" in error


def test_names_are_not_obeyed_by_a_terminal(tmp_path: Path, ctxbudget: Command) -> None:
    flow = "phases:\n- {id: '[bold]a', output: 10}\n- {id: ':fire:', output: 20}\n"
    printed = ctxbudget("schedule", written(tmp_path, flow)).out
    assert "[bold]a" in printed
    assert ":fire:" in printed


def test_a_listed_order_is_what_is_played(tmp_path: Path) -> None:
    loaded = read_workflow(branches(tmp_path))
    names = ["start", "read b", "decide b", "read a", "decide a", "end"]
    assert set_up_run(reordered(loaded, names)).graph.order == tuple(names)
    assert replace(loaded).workflow.phases[0].id == "start"


def test_bits_are_yielded_from_the_lowest() -> None:
    assert list(bits(0b10110)) == [1, 2, 4]
