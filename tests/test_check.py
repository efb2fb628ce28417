"""Tests of `ctxbudget check`: each limit on both sides of its value, on each kind of file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from claude_lines import progress, said, text, wrote
from commands import ROOT, Command, Ran, in_subprocess, written
from recorded_lines import as_bytes, claude_usage

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"

FLOW = """
name: shop
window: 10000
budget: 5000
policy: none
model: claude-sonnet-4-6
permanent:
  - {id: rules, tokens: 500}
phases:
  - {id: plan, output: 300, calls: 2}
  - id: build
    after: [plan]
    calls: 3
    turn: {call: 100, result: 900}
    output: 400
"""
# Peak: 500 + 300 + two turns of 1,000 + 400. Sent: 2 x 500, then 800, 1,800 and 2,800.
# Cost in USD a million: 1,800 uncached tokens at 3 (prompts below 1,024 are not cached), 1,800
# and then 1,000 written at 3.75, 1,800 read at 0.30.
PEAK, SENT, COST = 3200, 6400, "0.01644"

TIDY = """
  name: tidy
  rules:
    - name: keep two results
      on: before_call
      select: {kind: tool_result, keep_last: 2}
      do: clear
      why: older results are stale
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return written(tmp_path, FLOW)


@pytest.fixture
def tidy(tmp_path: Path) -> Path:
    """Return a workflow whose policy writes the cache again with each call but the first ones."""
    text = FLOW.replace("policy: none", f"policy:{TIDY}").replace("calls: 3", "calls: 8")
    return written(tmp_path, text, "tidy.yaml")


@pytest.fixture
def journal(ctxbudget: Command, tidy: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert ctxbudget("simulate", tidy, "--journal", path).code == 0
    return path


def the_limit(ran: Ran) -> dict[str, Any]:
    (file,) = ran.json["files"]
    (limit,) = file["limits"]
    found: dict[str, Any] = limit
    return found


# ---- a workflow


@pytest.mark.parametrize(
    ("option", "kept", "broken", "found"),
    [
        ("--max-peak", "3200", "3199", PEAK),
        ("--max-peak", "3.2k", "3.1k", PEAK),
        ("--max-peak", "64%", "63.9%", PEAK),
        ("--max-peak", "64% of budget", "63.9% of budget", PEAK),
        ("--max-peak", "32% of window", "31.9% of window", PEAK),
        ("--max-peak", "6800 below hard_limit", "6801 below hard_limit", PEAK),
        ("--max-sent", "6400", "6399", SENT),
        ("--max-cost", "0.01644", "0.016439", COST),
        ("--max-cost", ".01644", "0", COST),
    ],
)
def test_a_limit_is_kept_up_to_its_value(
    ctxbudget: Command, flow: Path, option: str, kept: str, broken: str, found: object
) -> None:
    good, bad = (ctxbudget("check", flow, option, value, "--json") for value in (kept, broken))
    assert (good.code, good.json["passed"], the_limit(good)["passed"]) == (0, True, True)
    assert (bad.code, bad.json["passed"], the_limit(bad)["passed"]) == (1, False, False)
    expected = f"{float(found):.6f}" if isinstance(found, str) else found
    assert the_limit(good)["found"] == the_limit(bad)["found"] == expected


def test_the_numbers_are_those_of_simulate(ctxbudget: Command, tidy: Path) -> None:
    run = ctxbudget("simulate", tidy, "--json").json["run"]
    ran = ctxbudget("check", tidy, "--max-peak", 1, "--max-sent", 1, "--max-cost", 0, "--json")
    found = {one["measure"]: one["found"] for one in ran.json["files"][0]["limits"]}
    assert found == {
        "peak": run["peak_tokens"],
        "sent": run["sent_tokens"],
        "cost": run["cost_usd"],
    }


def test_what_failed_is_said_with_where(ctxbudget: Command, flow: Path) -> None:
    ran = ctxbudget(
        "check", flow, "--max-peak", "60%", "--max-sent", 6000, "--max-cost", 1, "--max-rewrites", 0
    )
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f"{flow} under policy none: 2 of 4 limits failed",
        "  max-peak: 3,200 tokens, allowed 3,000 tokens (60% of budget); in phase build",
        "  max-sent: 6,400 tokens, allowed 6,000 tokens; most in phase build: 5,400 tokens",
    ]


def test_what_is_wrong_with_one_file_hides_no_other(
    ctxbudget: Command, flow: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    for limit, passed in ((6_000, False), (9_000, True)):
        ran = ctxbudget("check", empty, flow, "--max-sent", limit)
        assert ran.code == 2
        assert ran.err.startswith(f"ctxbudget: error: {empty}: the file is empty")
        assert f"{flow} under policy none: {'ok' if passed else '1 of 1 limit failed'}" in ran.out
        as_json = json.loads(ctxbudget("check", empty, flow, "--max-sent", limit, "--json").out)
        assert [one["passed"] for one in as_json["files"]] == [passed]
        assert not as_json["passed"]
        assert "the file is empty" in as_json["errors"][0]
    assert "the file is empty" in ctxbudget("check", empty, "--max-sent", 1, "--json").error


def test_what_went_well_is_one_line(ctxbudget: Command, flow: Path) -> None:
    ran = ctxbudget("check", flow, "--max-peak", "60k", "--max-cost", "2.50")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"{flow} under policy none: ok; peak 3,200 tokens of at most 60,000 tokens, "
        "cost 0.0164 USD of at most 2.5000 USD\n"
    )


def test_a_number_that_rounding_would_hide_is_said_in_full(ctxbudget: Command, flow: Path) -> None:
    ran = ctxbudget("check", flow, "--max-cost", "0.01643")
    assert "max-cost: 0.0164" in ran.out
    assert "allowed 0.01643 USD" in ran.out
    assert re.search(r"max-cost: 0\.01644\d* USD", ran.out)


def rewrites_in(journal: Path) -> int:
    lines = map(json.loads, journal.read_text().splitlines()[1:])
    return sum(one.get("rewritten_tokens", 0) > 0 for one in lines)


@pytest.mark.parametrize("kind", ["workflow", "journal"])
def test_rewrites_on_both_sides(ctxbudget: Command, tidy: Path, journal: Path, kind: str) -> None:
    file, count = (tidy if kind == "workflow" else journal), rewrites_in(journal)
    assert count > 4
    good = ctxbudget("check", file, "--max-rewrites", count, "--json")
    bad = ctxbudget("check", file, "--max-rewrites", count - 1, "--json")
    assert (good.code, bad.code) == (0, 1)
    assert the_limit(bad)["found"] == count
    assert the_limit(bad)["where"].endswith(f"in phase build and {count - 4} more")


def test_policy_model_window_and_budget_are_used(ctxbudget: Command, tidy: Path) -> None:
    ran = ctxbudget("check", tidy, "--policy", "none", "--max-rewrites", 0, "--max-peak", "80%")
    assert ran.code == 1  # 500 + 300 + seven turns + 400 = 8,200 of 5,000
    assert ctxbudget("check", tidy, "--policy", "none", "--max-rewrites", 0).code == 0
    wide = ("--policy", "none", "--window", "20k", "--budget", "8200")
    assert ctxbudget("check", tidy, *wide, "--max-peak", "100%").code == 0
    assert ctxbudget("check", tidy, *wide[:-1], "8199", "--max-peak", "100%").code == 1
    dear = ctxbudget("check", tidy, "--model", "claude-opus-4-1", "--max-cost", 0, "--json")
    usual = ctxbudget("check", tidy, "--max-cost", 0, "--json")
    assert float(the_limit(dear)["found"]) > 2 * float(the_limit(usual)["found"])


def test_several_files_fail_if_one_does(ctxbudget: Command, flow: Path, tidy: Path) -> None:
    ran = ctxbudget("check", flow, tidy, flow, "--max-rewrites", 0, "--json")
    assert ran.code == 1
    assert [(one["file"], one["passed"]) for one in ran.json["files"]] == [
        (str(flow), True),
        (str(tidy), False),
    ]
    out = ctxbudget("check", flow, tidy, "--max-rewrites", 0).out.splitlines()
    assert out[0].startswith(f"{flow} under policy none: ok")
    assert out[1].endswith("1 of 1 limit failed")


def test_a_shipped_workflow_goes_by_its_name(ctxbudget: Command) -> None:
    assert ctxbudget("check", "jwt_auth", "--max-peak", 15500).code == 0
    assert ctxbudget("check", "jwt_auth", "--max-peak", 15499).code == 1


def test_a_workflow_may_be_json(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, '{"phases": [{"id": "a", "output": 10}]}', "flow.json")
    assert ctxbudget("check", path, "--max-peak", 10).code == 0
    assert ctxbudget("check", path, "--max-peak", 9).code == 1


# ---- a journal


def test_a_journal_is_taken_as_it_ran(ctxbudget: Command, tidy: Path, journal: Path) -> None:
    options = ("--max-peak", 1, "--max-sent", 1, "--max-cost", 0, "--json")
    ran = ctxbudget("check", journal, *options).json["files"][0]
    paper = ctxbudget("check", tidy, *options).json["files"][0]
    assert (ran["source"], paper["source"]) == ("journal", "workflow")
    assert ran["policy"] == "tidy"
    assert [one["found"] for one in ran["limits"]] == [one["found"] for one in paper["limits"]]


def test_a_journal_is_replayed_under_another_policy(ctxbudget: Command, journal: Path) -> None:
    ran = ctxbudget("check", journal, "--policy", "none", "--max-rewrites", 0, "--json")
    assert ran.code == 0
    assert (ran.json["files"][0]["source"], ran.json["files"][0]["policy"]) == ("replay", "none")


DECLARED = """
name: handed on
window: 200000
model: claude-sonnet-4-6
policy: aggressive
permanent:
  - {id: rules, tokens: 30000}
phases:
  - {id: plan, output: 40000, metadata: 19052}
  - {id: build, after: [plan], output: 90}
  - {id: tell, after: [build], output: 80, metadata: 70}
"""
# Nothing is declared of build, so its metadata is itself. Sent: 30,000, then 30,000 + 19,052, then
# 30,000 + 90 and a stub of 5 for plan; under none 30,000, 70,000 and 70,090.


@pytest.fixture
def declared(ctxbudget: Command, tmp_path: Path) -> Path:
    """Return the journal of a run whose outputs left metadata of declared sizes."""
    path = tmp_path / "declared.jsonl"
    flow = written(tmp_path, DECLARED, "declared.yaml")
    assert ctxbudget("simulate", flow, "--journal", path).code == 0
    return path


@pytest.mark.parametrize(
    ("policy", "sent_tokens"), [(None, 109_147), ("aggressive", 109_147), ("none", 170_090)]
)
def test_a_replay_uses_the_sizes_that_were_recorded(
    ctxbudget: Command, declared: Path, policy: str | None, sent_tokens: int
) -> None:
    named = () if policy is None else ("--policy", policy)
    ran = ctxbudget("check", declared, *named, "--max-sent", 1, "--json")
    assert the_limit(ran)["found"] == sent_tokens
    assert ran.json["files"][0]["notes"] == []


def test_what_a_replay_assumes_is_said(ctxbudget: Command, tmp_path: Path) -> None:
    flow, path = written(tmp_path, DECLARED), tmp_path / "none.jsonl"
    assert ctxbudget("simulate", flow, "--policy", "none", "--journal", path).code == 0
    limit = ("--policy", "aggressive", "--max-sent", "1m")
    note = "assumed: sizes of 4 shorter forms, which the journal does not tell"
    assert ctxbudget("check", path, *limit).out.splitlines()[1:] == [f"  {note}"]
    assert ctxbudget("check", path, *limit, "--json").json["files"][0]["notes"] == [note]
    assert ctxbudget("check", path, *limit, "--markdown").out.endswith(f"{path}: {note}\n")


def cut(journal: Path, before: str) -> Path:
    """Return a journal without the first line that holds a text, and all behind it."""
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if before in line)
    path = journal.with_name("cut.jsonl")
    path.write_text("".join(lines[:end]), encoding="utf-8")
    return path


@pytest.mark.parametrize("policy", [(), ("--policy", "none")])
def test_a_journal_that_ends_early_says_so(
    ctxbudget: Command, declared: Path, policy: tuple[str, ...]
) -> None:
    path = cut(declared, '"phase":"tell"}')
    note = "the journal ends before its run does, last in phase build; its numbers are those so far"
    limit = (*policy, "--max-rewrites", 9)
    assert ctxbudget("check", path, *limit).out.splitlines()[1:] == [f"  {note}"]
    assert ctxbudget("check", path, *limit, "--json").json["files"][0]["notes"] == [note]
    assert ctxbudget("check", path, *limit, "--markdown").out.endswith(f"{path}: {note}\n")
    assert ctxbudget("check", declared, *limit, "--json").json["files"][0]["notes"] == []


def test_a_journal_of_one_phase_that_ends_early(ctxbudget: Command, tmp_path: Path) -> None:
    flow, path = written(tmp_path, "phases: [{id: a, output: 10}]"), tmp_path / "run.jsonl"
    assert ctxbudget("simulate", flow, "--journal", path).code == 0
    found = ctxbudget("check", cut(path, "run_finished"), "--max-peak", 10, "--json").json
    assert found["files"][0]["notes"] == [
        "the journal ends before its run does; its numbers are those so far"
    ]


@pytest.mark.parametrize("policy", [(), ("--policy", "none")])
@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("run_started", "holds no run yet; wait for its first event"),
        ("call_sent", "holds no call yet; wait for its first one"),
    ],
)
def test_a_journal_in_which_nothing_happened_keeps_no_limit(
    ctxbudget: Command, declared: Path, before: str, said: str, policy: tuple[str, ...]
) -> None:
    path = cut(declared, before)
    assert ctxbudget("check", path, *policy, "--max-sent", 1).error == f"{path}: {said}"
    assert ctxbudget("diff", declared, path, *policy).error == f"{path}: {said}"


def test_params_are_part_of_a_policys_name(ctxbudget: Command, flow: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    made = ("simulate", flow, "--policy", "masking:keep=5", "--journal", path)
    assert ctxbudget(*made).code == 0
    assert ctxbudget("check", path, "--max-sent", 1).out.startswith(
        f"{path} under policy masking:keep=5: 1 of 1 limit failed\n  max-sent: 6,400 tokens, "
        "allowed 1 token; "
    )
    assert ctxbudget("show", path, "--json").json["policy"] == "masking:keep=5"
    assert ctxbudget("replay", path, "--json").json["policies"][0]["policy"] == "masking:keep=5"


# ---- a recorded session


@pytest.fixture(scope="module")
def masked() -> dict[str, Any]:
    """Return what `replay` says of the shipped session under `masking`."""
    ran = in_subprocess("replay", SESSION, "--policy", "masking", "--json", cwd=ROOT)
    (found,) = (one for one in ran.json["policies"] if one["policy"] == "masking")
    row: dict[str, Any] = found
    assert row["misses"] > 0
    return row


def test_a_session_is_judged_by_what_replay_says(
    ctxbudget: Command, masked: dict[str, Any]
) -> None:
    exact = (
        *("--max-peak", masked["peak_tokens"]),
        *("--max-sent", masked["sent_tokens"]),
        *("--max-cost", masked["cost_usd"]),
        *("--max-total", masked["total_cost_usd"]),
        *("--max-rewrites", masked["rewrites"]),
        *("--min-recall", f"{masked['recall']:.12f}"[:-1]),
        *("--min-quote-recall", f"{masked['quote_recall']:.12f}"[:-1]),
    )
    ran = ctxbudget("check", SESSION, "--policy", "masking", *exact, "--json")
    (file,) = ran.json["files"]
    found = {one["measure"]: one["found"] for one in file["limits"]}
    assert found == {
        "peak": masked["peak_tokens"],
        "sent": masked["sent_tokens"],
        "cost": masked["cost_usd"],
        "total": masked["total_cost_usd"],
        "rewrites": masked["rewrites"],
        "recall": masked["recall"],
        "quote_recall": masked["quote_recall"],
    }
    failed = {one["measure"] for one in file["limits"] if not one["passed"]}
    assert failed <= {"cost", "total"}  # their digits after the sixth are not in JSON


@pytest.mark.parametrize(
    ("option", "key", "step"),
    [
        ("--max-peak", "peak_tokens", -1),
        ("--max-sent", "sent_tokens", -1),
        ("--max-rewrites", "rewrites", -1),
        ("--max-cost", "cost_usd", -0.00001),
        ("--max-total", "total_cost_usd", -0.00001),
        ("--min-recall", "recall", 0.00001),
        ("--min-quote-recall", "quote_recall", 0.00001),
    ],
)
def test_each_limit_of_a_session_fails_just_beyond(
    ctxbudget: Command, masked: dict[str, Any], option: str, key: str, step: float
) -> None:
    value = masked[key]
    beyond = value + step if isinstance(value, int) else f"{float(value) + step:.8f}"
    within = value - step if isinstance(value, int) else f"{float(value) - step:.8f}"
    run = ("check", SESSION, "--policy", "masking", option)
    assert ctxbudget(*run, within).code == 0
    bad = ctxbudget(*run, beyond)
    assert bad.code == 1
    if "recall" in key:
        assert "first missed by call" in bad.out
    elif key == "peak_tokens":
        assert re.search(r"at call \d+\n", bad.out)  # one phase says nothing of where


def test_a_session_as_recorded_loses_nothing(ctxbudget: Command) -> None:
    ran = ctxbudget("check", SESSION, "--min-recall", 1, "--min-quote-recall", "100%", "--json")
    assert ran.code == 0
    assert ran.json["files"][0]["policy"] == "none"


def test_a_share_of_the_budget_follows_another_window(ctxbudget: Command) -> None:
    run = ("check", SESSION, "--max-peak", "50%")
    assert ctxbudget(*run).code == 0
    assert ctxbudget(*run, "--window", "200k").code == 1
    assert ctxbudget("check", SESSION, "--max-peak", "90%", "--window", "200k").code == 0
    assert ctxbudget("check", SESSION, "--max-peak", "90%", "--budget", "110k").code == 1


def of_masking(ran: Ran) -> dict[str, Any]:
    (row,) = (one for one in ran.json["policies"] if one["policy"] == "masking")
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize(
    "options",
    [
        ("--price", "input=2,read=0.1,write=4"),
        ("--ttl", "5m"),
        ("--ttl", "1h", "--price", "input=2,write=4,write_1h=8"),
        ("--model", "my-own-1", "--price", "input=1"),
        ("--price", "input=2", "--budget", "60k"),
    ],
)
def test_price_and_lifetime_are_those_of_replay(
    ctxbudget: Command, masked: dict[str, Any], options: tuple[str, ...]
) -> None:
    replayed = of_masking(ctxbudget("replay", SESSION, "--policy", "masking", *options, "--json"))
    run = ("check", SESSION, "--policy", "masking", "--max-cost", 0, "--max-total", 0, "--json")
    found = ctxbudget(*run, *options).json["files"][0]["limits"]
    assert [one["found"] for one in found] == [replayed["cost_usd"], replayed["total_cost_usd"]]
    assert ("--price" in options) == (replayed["cost_usd"] != masked["cost_usd"])


def test_another_lifetime_changes_the_cost(ctxbudget: Command, tmp_path: Path) -> None:
    # 10,000 tokens of Opus, written for an hour at 10, or for five minutes at 6.25 dollars a million.
    answer = wrote("m1", text("done"), usage=claude_usage(0, w1h=10_000, output=9), stop="end_turn")
    path = tmp_path / "s.jsonl"
    path.write_bytes(as_bytes([said("go"), answer]))
    assert ctxbudget("check", path, "--max-cost", "0.1").code == 0
    assert ctxbudget("check", path, "--max-cost", "0.0999").code == 1
    assert ctxbudget("check", path, "--max-cost", "0.0625", "--ttl", "5m").code == 0
    assert ctxbudget("check", path, "--max-cost", "0.0624", "--ttl", "5m").code == 1


def test_a_sub_agent_is_judged_on_its_own(ctxbudget: Command, tmp_path: Path) -> None:
    main = wrote("m1", text("done"), usage=claude_usage(0, w5m=20_000, output=9), stop="end_turn")
    other = wrote("a1", text("well"), usage=claude_usage(0, w5m=6_000, output=9), stop="end_turn")
    path = tmp_path / "s.jsonl"
    path.write_bytes(
        as_bytes([said("go"), progress("ab12", said("look")), progress("ab12", other), main])
    )
    for options, sent in (((), 20_000), (("--agent", "ab12"), 6_000)):
        assert ctxbudget("check", path, *options, "--max-sent", sent).code == 0
        assert ctxbudget("check", path, *options, "--max-sent", sent - 1).code == 1
    assert "holds no call" in ctxbudget("check", path, "--agent", "x", "--max-sent", 1).error


@pytest.mark.parametrize("option", [("--agent", "x"), ("--ttl", "5m"), ("--price", "input=1")])
def test_what_goes_with_a_recording_alone(
    ctxbudget: Command, flow: Path, journal: Path, option: tuple[str, str]
) -> None:
    name, run = option[0], (*option, "--max-peak", 1)
    error = ctxbudget("check", flow, *run).error
    assert error == (
        f"{name}: {flow} is a workflow, and this is about what was recorded; leave it out"
    )
    error = ctxbudget("check", journal, *run).error
    replayed = ctxbudget("check", journal, "--policy", "none", *run)
    if name == "--agent":
        assert error == replayed.error
        assert error == "--agent: a journal is replayed with all its agents; leave --agent out"
    else:
        assert error.startswith(
            f"{name}: {journal} is a journal and is taken as it ran; add --poli"
        )
        assert replayed.code == 1


# ---- what rests on chance

UNCERTAIN = """
name: unsure
policy: none
phases:
  - {id: a, output: {min: 1000, max: 3000}}
  - {id: b, after: [a], skip: 50%, output: 10}
"""
EXPECTED = (
    "expected course: each uncertain size at its median, or the middle of its range; nothing "
    "fails, is skipped or is done again"
)


def test_the_expected_course_is_said(ctxbudget: Command, tmp_path: Path, flow: Path) -> None:
    path = written(tmp_path, UNCERTAIN, "unsure.yaml")
    note = f"{EXPECTED}; --runs 1000 draws them"
    for limit, word in ((2010, "ok"), (2009, "1 of 1 limit failed")):
        lines = ctxbudget("check", path, "--max-peak", limit).out.splitlines()
        assert word in lines[0]
        assert lines[-1] == f"  {note}"
    (file, other) = ctxbudget("check", path, flow, "--max-peak", 5000, "--json").json["files"]
    assert (file["notes"], file["drawn"], other["notes"]) == ([note], None, [])
    markdown = ctxbudget("check", path, flow, "--max-peak", 5000, "--markdown").out
    assert markdown.splitlines()[-1].startswith(f"{path}: expected course: each uncertain")
    assert ctxbudget("simulate", path, "--json").json["notes"][0] == note
    assert f"\n\n{note}\n" in ctxbudget("simulate", path, "--markdown").out
    assert ctxbudget("simulate", flow, "--json").json["notes"] == [
        "assumed: 250 tokens of metadata for each output that declares none (2)"
    ]


# ---- what is printed for others


def test_markdown_has_a_row_for_each_limit(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, FLOW, "a|b <i>@all.yaml")
    ran = ctxbudget("check", path, "--max-peak", "60%", "--max-cost", 1, "--markdown")
    assert ran.code == 1
    head, _, *table = ran.out.splitlines()
    assert head == "**Context budget: 1 limit failed**"
    assert len(table) == 4
    assert len({row.count("|") for row in table}) == 1
    assert "a&#124;b &#60;i&#62;&#64;all.yaml" in table[2]
    assert "**failed** | in phase build" in table[2]
    assert "| kept |" in table[3]


def test_the_shape_of_the_json(ctxbudget: Command, flow: Path) -> None:
    found = ctxbudget("check", flow, "--max-peak", "60%", "--json").json
    assert found == {
        "ctxbudget": found["ctxbudget"],
        "errors": [],
        "passed": False,
        "files": [
            {
                "file": str(flow),
                "source": "workflow",
                "policy": "none",
                "passed": False,
                "drawn": None,
                "notes": [],
                "limits": [
                    {
                        "limit": "max-peak",
                        "measure": "peak",
                        "percentile": None,
                        "unit": "tokens",
                        "asked": "60%",
                        "allowed": 3000,
                        "found": 3200,
                        "passed": False,
                        "where": "in phase build",
                    }
                ],
            }
        ],
    }


def test_names_with_control_characters_do_not_reach_the_terminal(
    ctxbudget: Command, tmp_path: Path
) -> None:
    path = written(tmp_path, FLOW, "a\x1b[31m[red]b.yaml")
    out = ctxbudget("check", path, "--max-peak", 1).out
    assert "\x1b" not in out
    assert "[red]b.yaml" in out


# ---- what cannot be judged, and other mistakes


@pytest.mark.parametrize(
    ("limit", "value"), [("min-recall", "1"), ("min-quote-recall", "1"), ("max-total", "1")]
)
def test_what_a_workflow_or_a_journal_cannot_tell_is_an_error(
    ctxbudget: Command, flow: Path, journal: Path, limit: str, value: str
) -> None:
    error = ctxbudget("check", flow, f"--{limit}", value).error
    assert error.startswith(f"--{limit}: cannot be judged on {flow}: a workflow has no texts")
    error = ctxbudget("check", journal, f"--{limit}", value).error
    assert "a journal as it ran" in error
    assert "--policy" in error
    replayed = ctxbudget("check", journal, "--policy", "none", f"--{limit}", value).error
    assert "holds no texts" in replayed


def test_a_cost_without_a_price_is_an_error(ctxbudget: Command, tmp_path: Path) -> None:
    plain = written(tmp_path, FLOW.replace("model: claude-sonnet-4-6\n", ""))
    assert "no model is named" in ctxbudget("check", plain, "--max-cost", 1).error
    unknown = ctxbudget("check", plain, "--model", "my-own-1", "--max-cost", 1).error
    assert "the price of my-own-1 is not known" in unknown
    assert ctxbudget("check", plain, "--max-peak", "3200").code == 0


def test_an_error_wins_over_a_limit_that_failed(ctxbudget: Command, flow: Path) -> None:
    assert ctxbudget("check", flow, "--max-peak", 1, "--min-recall", 1).code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give at least one limit: --max-peak"),
        (("--max-peak", "lots"), "--max-peak: expected tokens"),
        (("--max-peak", "60% of budgets"), "--max-peak: expected a share of window"),
        (("--max-peak", "100 of budget"), "--max-peak: expected a share such as 60% of budget"),
        (("--max-sent", "10%"), "--max-sent: expected a number of tokens"),
        (("--max-cost", "-1"), "--max-cost: expected an amount of US dollars"),
        (("--max-cost", "1e3"), "--max-cost: expected an amount of US dollars"),
        (("--max-cost", "nan"), "--max-cost: expected an amount of US dollars"),
        (("--max-rewrites", "2.5"), "--max-rewrites: expected a whole number"),
        (("--min-recall", "1.01"), "--min-recall: expected a share"),
        (("--min-recall", "101%"), "--min-recall: expected a share"),
        (("--max-peak", "1", "--json", "--markdown"), "--markdown: goes without --json"),
        (("--max-peak", "1", "--policy", "nosuch"), "nosuch"),
        (("--max-peak", "1", "--model", " "), "--model: expected a model's name"),
        (("--max-warn-probability", "1.1"), "--max-warn-probability: expected a share"),
        (("--max-warn-probability", "1"), "--max-warn-probability: goes with --runs; add"),
        (("--max-critical-probability", "1"), "--max-critical-probability: goes with --runs"),
        (("--max-overflow-probability", "1"), "--max-overflow-probability: goes with --runs"),
        (("--max-peak", "1", "--seed", "7"), "--seed: goes with --runs; add --runs 1000"),
        (("--max-peak", "1", "--workers", "2"), "--workers: goes with --runs"),
        (("--max-peak", "1", "--backend", "dask"), "--backend: goes with --runs"),
        (("--max-peak", "1", "--runs", "0"), "--runs"),
    ],
)
def test_mistakes_are_told_in_one_line(
    ctxbudget: Command, flow: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ctxbudget("check", flow, *arguments).error


def test_files_that_are_none(ctxbudget: Command, tmp_path: Path, journal: Path) -> None:
    run = ("--max-peak", 1)
    assert "directory" in ctxbudget("check", tmp_path, *run).error
    assert "flow.yaml" in ctxbudget("check", tmp_path / "flow.yaml", *run).error
    assert "nosuch" in ctxbudget("check", "nosuch", *run).error
    assert "expected a file, found nothing" in ctxbudget("check", "", *run).error
    other = written(tmp_path, "what is this?\n", "notes.txt")
    assert "notes.txt" in ctxbudget("check", other, *run).error
    assert "add --policy" in ctxbudget("check", journal, *run, "--window", "9k").error
    wide = ctxbudget("check", SESSION, *run, "--window", "100k", "--budget", "200k").error
    assert "--budget: 200,000 tokens are not 1 to 100,000" in wide


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ttl", "2h"), "--ttl: expected 5m or 1h, found '2h'"),
        (("--price", "read=1"), "--price: expected USD for a million tokens"),
        (("--price", "input=x"), "--price: expected USD for a million tokens"),
        (("--runs", "10"), f"--runs: {SESSION} is a recorded session, which ran once; leave"),
        (("--model", "my-own-1"), "is not known; use --price, or --model to name one that is"),
    ],
)
def test_mistakes_about_a_session(
    ctxbudget: Command, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ctxbudget("check", SESSION, "--max-cost", 1, *arguments).error


def test_a_journal_ran_once(ctxbudget: Command, journal: Path) -> None:
    for policy in ((), ("--policy", "none")):
        error = ctxbudget("check", journal, *policy, "--max-peak", 1, "--runs", 5).error
        assert error == f"--runs: {journal} is a journal, which ran once; leave --runs out"
