"""Tests of `ctxbudget windows`: one long window against fresh ones, worked by hand."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, written

FLOW = """
name: chain
window: 100000
policy: none
model: claude-sonnet-4-6
permanent:
  - {id: rules, tokens: 2000}
phases:
  - {id: a, calls: 2, output: 1000}
  - {id: b, after: [a], calls: 2, output: 500}
  - {id: c, after: [b], calls: 1}
"""
# In USD a million: written 3.75, read 0.30, output 15.
# Long: 2,000 + 1,000 + 500 written; 2,000 + 2,000 + 3,000 + 3,000 read.
LONG_USD = "0.016125"


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return written(tmp_path, FLOW)


def found(ctxbudget: Command, *arguments: object) -> Any:
    return ctxbudget("windows", *arguments, "--json").json


def test_written_hand_offs_worked_by_hand(ctxbudget: Command, flow: Path) -> None:
    one = found(ctxbudget, flow, "--handoff", 600)
    assert (one["long"]["cost_usd"], one["long"]["sent_tokens"]) == (LONG_USD, 13_500)
    # a: 2,000 twice, and 3,000 to write the hand-off. b: 2,600 twice, and 3,100. c: 2,600.
    # Written: 2,000 + 1,000 + 600 + 500 + 600. Read: 2,000 three times, 2,600 twice, 2,000.
    # Output: 600 twice.
    assert one["fresh"]["calls"] == 7
    assert one["fresh"]["sent_tokens"] == 17_900
    assert one["fresh"]["handoff_output_tokens"] == 1200
    assert one["fresh"]["handoffs_usd"] == "0.018000"
    assert one["fresh"]["cost_usd"] == "0.039585"
    assert one["saved_usd"] == "-0.023460"
    assert [row["peak_tokens"] for row in one["fresh"]["phases"]] == [3000, 3100, 2600]
    assert [row["peak_tokens"] for row in one["long"]["phases"]] == [3000, 3500, 3500]
    assert one["handoffs"] == [
        {"phase": "a", "tokens": 600, "written": True},
        {"phase": "b", "tokens": 600, "written": True},
    ]


def test_declared_metadata_is_handed_over_unwritten(ctxbudget: Command, tmp_path: Path) -> None:
    text = FLOW.replace("output: 1000", "output: 1000, metadata: 300")
    path = written(tmp_path, text.replace("output: 500", "output: 500, metadata: 200"))
    one = found(ctxbudget, path)
    # Written: 2,000 + 300 + 200. Read: 2,000 + 2,000 + 2,300 + 2,000.
    assert (one["fresh"]["calls"], one["fresh"]["handoff_output_tokens"]) == (5, 0)
    assert one["fresh"]["cost_usd"] == "0.011865"
    assert one["saved_usd"] == "0.004260"
    assert [row["written"] for row in one["handoffs"]] == [False, False]


def test_the_assumed_size_is_1500(ctxbudget: Command, flow: Path) -> None:
    assert found(ctxbudget, flow) == found(ctxbudget, flow, "--handoff", "1.5k")
    assert "1,500 tokens, assumed" in ctxbudget("windows", flow).out


def test_the_long_window_is_what_simulate_plays(ctxbudget: Command) -> None:
    for policy in ("aggressive", "none"):
        options = ("jwt_auth", "--policy", policy, "--model", "claude-sonnet-4-6")
        long = found(ctxbudget, *options)["long"]
        run = ctxbudget("simulate", *options, "--json").json["run"]
        for key in ("cost_usd", "peak_tokens", "sent_tokens", "calls"):
            assert long[key] == run[key]


def test_fresh_windows_hold_nothing_of_the_phases_before(ctxbudget: Command) -> None:
    one = found(ctxbudget, "jwt_auth", "--policy", "none", "--model", "claude-sonnet-4-6")
    rows = {row["id"]: row for row in one["fresh"]["phases"]}
    # Phase 1 starts with the hand-off of phase 0, which goes to all: 500, and 15,000 come.
    # Phase 2: 500 + 800, and 3,000. Phase 4: 500 + 1,150, and 1,000.
    assert rows["1"]["peak_tokens"] == 15_500
    assert rows["2"]["peak_tokens"] == 4300
    assert rows["4"]["peak_tokens"] == 2650
    # Phase 6 builds on all: 500 + 800 + 800 + 1,150 + 400, and 800.
    assert rows["6"]["peak_tokens"] == 4450


def test_a_workflow_that_says_no_order_is_a_chain(ctxbudget: Command, tmp_path: Path) -> None:
    text = FLOW.replace("after: [a], ", "").replace("after: [b], ", "")
    one = found(ctxbudget, written(tmp_path, text), "--handoff", 600)
    assert one["fresh"]["cost_usd"] == "0.039585"


def test_what_nobody_builds_on_is_not_written(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, FLOW.replace("after: [b]", "after: [a]"))
    assert [row["phase"] for row in found(ctxbudget, path)["handoffs"]] == ["a"]


LOOPS = """
name: loops
window: 200000
policy: none
model: claude-sonnet-4-6
permanent:
  - {id: rules, tokens: 3000}
phases:
  - {id: a, calls: CALLS, turn: {call: 200, result: 1500}}
  - {id: b, after: [a], calls: CALLS, turn: {call: 200, result: 1500}}
  - {id: c, after: [b], calls: CALLS, turn: {call: 200, result: 1500}}
"""


def saved(one: Any) -> Decimal:
    return Decimal(one["saved_usd"])


def test_the_break_even_of_calls_is_where_the_sign_turns(
    ctxbudget: Command, tmp_path: Path
) -> None:
    def with_calls(calls: int) -> Any:
        return found(ctxbudget, written(tmp_path, LOOPS.replace("CALLS", str(calls))))

    limit = with_calls(3)["break_even"]["calls"]
    assert 2 < limit < 40
    assert saved(with_calls(limit)) > 0
    assert saved(with_calls(limit - 1)) <= 0
    assert with_calls(limit)["break_even"]["calls"] == limit  # whatever the file's own are


def test_the_break_even_of_hand_offs_is_where_the_sign_turns(
    ctxbudget: Command, tmp_path: Path
) -> None:
    path = written(tmp_path, LOOPS.replace("CALLS", "20"))
    limit = found(ctxbudget, path)["break_even"]["handoff_tokens"]
    assert limit > 100
    assert saved(found(ctxbudget, path, "--handoff", limit)) > 0
    assert saved(found(ctxbudget, path, "--handoff", limit + 1)) <= 0


def test_where_fresh_windows_are_never_cheaper(ctxbudget: Command, tmp_path: Path) -> None:
    # Nothing is carried on, so a fresh window saves nothing, and its hand-off is written.
    text = FLOW.replace(", output: 1000", "").replace(", output: 500", "")
    ran = ctxbudget("windows", written(tmp_path, text))
    assert "break-even: even a written hand-off of 1 token" in ran.out
    assert "not even with 256 calls" in ran.out
    assert found(ctxbudget, written(tmp_path, text))["break_even"] == {
        "handoff_tokens": None,
        "handoff_is_the_most_that_fits": False,
        "calls": None,
    }


def test_without_a_price_there_is_no_break_even(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, FLOW.replace("model: claude-sonnet-4-6\n", ""))
    ran = ctxbudget("windows", path)
    assert ran.code == 0
    assert "costs are not known" in ran.out
    assert "break-even" not in ran.out
    one = found(ctxbudget, path, "--handoff", 600)
    assert (one["saved_usd"], one["fresh"]["sent_tokens"]) == (None, 17_900)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        # By hand: phase 7, calls 2 x 7, peak 2 x 7, sent 2 x 8, USD 2 x 8.
        (120, ["5", "3,500", "13,500", "0.0161", "7", "3,100", "17,900", "0.0396"]),
        (67, ["5", "3,500", "13,500", "0.0161", "7", "3,100", "17,900", "0.0396"]),
        (66, ["3,500", "13,500", "0.0161", "3,100", "17,900", "0.0396"]),
        (53, ["3,500", "13,500", "0.0161", "3,100", "17,900", "0.0396"]),
        (52, ["3,500", "0.0161", "3,100", "0.0396"]),
    ],
)
def test_the_table_at_every_width(
    ctxbudget: Command,
    flow: Path,
    columns: int,
    shown: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ctxbudget("windows", flow, "--handoff", 600).out.splitlines()
    assert all(len(line) <= columns for line in lines)
    (row,) = (line.split() for line in lines if re.match(r" *run ", line))
    assert row == ["run", *shown]


def test_the_markdown(ctxbudget: Command, flow: Path) -> None:
    out = ctxbudget("windows", flow, "--handoff", 600, "--markdown").out
    assert "| run | 5 | 3,500 | 13,500 | 0.0161 | 7 | 3,100 | 17,900 | 0.0396 |" in out
    assert "- the long window is cheaper by 0.0235 USD" in out


def test_the_expected_course_is_called_that(ctxbudget: Command, flow: Path) -> None:
    said = ctxbudget("windows", "uncertain").out
    assert "expected course: each uncertain size at its median" in " ".join(said.split())
    assert "- expected course: " in ctxbudget("windows", "uncertain", "--markdown").out
    assert ctxbudget("windows", "uncertain", "--json").json["is_expected"]
    assert "expected course" not in ctxbudget("windows", flow).out
    assert not ctxbudget("windows", flow, "--json").json["is_expected"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--handoff", "0"), "--handoff: expected a number of tokens"),
        (("--handoff", "much"), "--handoff: expected a number of tokens"),
        (("--model", ""), "--model: expected a model's name"),
        (("--json", "--markdown"), "goes without --json"),
    ],
)
def test_mistakes_are_told_in_one_line(
    ctxbudget: Command, flow: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ctxbudget("windows", flow, *arguments).error


@pytest.mark.parametrize(
    ("size", "held", "whole"), [("98001", "98,001", "100,001"), ("200k", "200,000", "202,000")]
)
def test_hand_offs_that_do_not_fit_are_blamed(
    ctxbudget: Command, flow: Path, size: str, held: str, whole: str
) -> None:
    """Beside the rules, of 2,000, a window of 100,000 has room for 98,000."""
    assert ctxbudget("windows", flow, "--handoff", size).error == (
        f"--handoff: hand-offs hold {held} of {whole} tokens that may not go from thread 'main', "
        "over the hard limit of 100,000; choose a smaller size, or a larger window"
    )
    assert ctxbudget("windows", flow, "--handoff", 97_000).code == 0


def test_what_is_no_workflow_of_several_phases(ctxbudget: Command, tmp_path: Path) -> None:
    assert "has a single phase" in ctxbudget("windows", "masking_study").error
    one = ctxbudget("windows", SESSION, "--phases", "one")
    assert one.code == 2
    assert "has a single phase" in one.err
    journal = tmp_path / "run.journal"
    ctxbudget("simulate", "jwt_auth", "--journal", journal)
    assert "is a journal of ctxbudget, whose phases" in ctxbudget("windows", journal).error
    missing = tmp_path / "none.jsonl"
    assert "no such file" in ctxbudget("windows", missing).error
    assert "no such file" in ctxbudget("windows", missing.with_suffix(".yaml")).error
    assert "--agent: jwt_auth is a workflow" in ctxbudget("windows", "jwt_auth", "--agent", 1).error


SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"


@pytest.mark.parametrize("phases", ["auto", "prompts"])
def test_a_recorded_session_goes_by_its_draft(
    ctxbudget: Command, tmp_path: Path, phases: str
) -> None:
    draft = tmp_path / "draft.yaml"
    assert ctxbudget("workflow-from", SESSION, "-o", draft, "--phases", phases).code == 0
    one = found(ctxbudget, draft, "--policy", "none")
    assert len(one["fresh"]["phases"]) > 1
    assert one["saved_usd"] is not None
    straight = ctxbudget("windows", SESSION, "--phases", phases, "--json")
    assert json.loads(straight.out) == one
    assert f"{SESSION}: compared by its draft" in straight.err
