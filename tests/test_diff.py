"""Tests of `ctxbudget diff`: what changed between two runs, and the gate on growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, written

from ctxbudget.core.types import Scale
from ctxbudget.gate.comparing import compare
from ctxbudget.gate.outcome import Numbers, Outcome, Source

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"

OLD = """
name: shop
window: 10000
policy: none
model: claude-sonnet-4-6
phases:
  - {id: plan, output: 1000, calls: 2}
  - {id: build, after: [plan], output: 400, calls: 3}
  - {id: old one, output: 7}
"""
NEW = """
name: shop
window: 10000
policy: none
model: claude-sonnet-4-6
phases:
  - {id: plan, output: 1000, calls: 2}
  - {id: build, after: [plan], output: 450, calls: 4}
  - {id: new one, output: 7}
"""
# An output comes with the last call of its phase, so what is sent is 0 in plan, and 1,000 with
# each call of build; the last phase has one call of 1,400, or 1,450, tokens.
# Old: sent 4,400, peak 1,407. New: sent 5,450, peak 1,457.


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path, OLD, "old.yaml")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return written(tmp_path, NEW, "new.yaml")


def test_two_workflows_worked_by_hand(ctxbudget: Command, old: Path, new: Path) -> None:
    found = ctxbudget("diff", old, new, "--json").json
    run = {one["measure"]: (one["before"], one["after"]) for one in found["changed"]}
    assert run["peak"] == (1407, 1457)
    assert run["sent"] == (4400, 5450)
    assert run["calls"] == (6, 7)
    assert "pruned" not in run
    phases = {(one["phase"], one["measure"]): one["difference"] for one in found["phases_changed"]}
    assert phases["build", "sent"] == 1000
    assert phases["build", "peak"] == 50
    assert phases["build", "calls"] == 1
    assert {phase for phase, _ in phases} == {"build"}
    assert found["phases_only_before"] == ["old one"]
    assert found["phases_only_after"] == ["new one"]
    for side, file in (("before", old), ("after", new)):
        assert found[side]["file"] == str(file)
        whole = ctxbudget("simulate", file, "--json").json["run"]
        assert found[side]["peak"] == whole["peak_tokens"]
        assert found[side]["cost"] == whole["cost_usd"]
        assert found[side]["recall"] is None


def numbers(peak: int, sent: int, **others: Any) -> Numbers:
    return Numbers(
        peak_tokens=peak,
        sent_tokens=sent,
        **{"calls": 1, "pruned_tokens": 0, "rewrites": 0, "cost_usd": None, **others},
    )


def outcome(run: Numbers, **phases: Numbers) -> Outcome:
    scale = Scale(window_tokens=100, reserve_tokens=0, budget_tokens=100)
    return Outcome(
        file="f",
        source=Source.WORKFLOW,
        policy="none",
        scale=scale,
        run=run,
        phases=phases,
        where={},
        not_told={},
    )


def test_what_weighs_most_comes_first() -> None:
    before = outcome(numbers(100, 1000), a=numbers(100, 100), b=numbers(10, 900))
    after = outcome(numbers(80, 1000), a=numbers(80, 300), b=numbers(30, 700))
    found = compare(before, after)
    assert [(one.measure.key, one.difference) for one in found.changed] == [("peak", -20)]
    # 20 of a peak of 100, or 200 of 1,000 sent: all weigh a fifth, so measures, then names, decide.
    assert [(one.phase, one.measure.key, one.size_frac) for one in found.phases] == [
        ("a", "peak", 0.2),
        ("b", "peak", 0.2),
        ("a", "sent", 0.2),
        ("b", "sent", 0.2),
    ]
    after = outcome(numbers(80, 1000), a=numbers(80, 300), b=numbers(10, 699))
    found = compare(before, after)
    assert [(one.phase, one.measure.key) for one in found.phases] == [
        ("b", "sent"),
        ("a", "peak"),
        ("a", "sent"),
    ]


def test_a_change_from_nothing_has_no_share() -> None:
    found = compare(outcome(numbers(0, 0)), outcome(numbers(5, 0)))
    (change,) = found.changed
    assert (change.change_frac, change.size_frac) == (None, 1.0)


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ("sent=1050", 0),
        ("sent=1049", 1),
        ("sent=1.05k", 0),
        ("sent=1.04k", 1),
        ("peak=50", 0),
        ("peak=49", 1),
        ("peak=3.553660%", 1),
        ("peak=3.553661%", 0),
        ("calls=1", 0),
        ("calls=0", 1),
        ("calls=17%", 0),
        ("calls=16%", 1),
        ("pruned=0,rewrites=0%", 0),
        ("pruned=0,calls=0", 1),
        ("cost=0%", 1),
        ("cost=1", 0),
    ],
)
def test_growth_is_allowed_up_to_its_limit(
    ctxbudget: Command, old: Path, new: Path, allowed: str, code: int
) -> None:
    ran = ctxbudget("diff", old, new, "--fail-on-increase", allowed)
    assert ran.code == code
    assert ("failed: " in ran.out) is bool(code)
    assert ctxbudget("diff", new, old, "--fail-on-increase", allowed).code == 0  # less is fine


def test_what_grew_too_much_is_in_the_json(ctxbudget: Command, old: Path, new: Path) -> None:
    ran = ctxbudget("diff", old, new, "--fail-on-increase", "peak=5%,sent=5%", "--json")
    assert (ran.code, ran.json["passed"]) == (1, False)
    assert ran.json["limits"] == [
        {"measure": "peak", "allowed": "5%", "grown": 50, "passed": True},
        {"measure": "sent", "allowed": "5%", "grown": 1050, "passed": False},
    ]


def test_nothing_changed(ctxbudget: Command, old: Path) -> None:
    ran = ctxbudget("diff", old, old, "--fail-on-increase", "peak=0,cost=0%")
    assert ran.code == 0
    assert "Nothing changed in the run's numbers." in ran.out
    assert "ok: 2 limits on growth kept" in ran.out
    found = ctxbudget("diff", old, old, "--json").json
    assert (found["changed"], found["phases_changed"], found["limits"]) == ([], [], [])


def test_one_file_under_two_policies(ctxbudget: Command) -> None:
    found = ctxbudget(
        "diff", "jwt_auth", "--policy", "aggressive", "--policy", "none", "--json"
    ).json
    assert (found["before"]["policy"], found["after"]["policy"]) == ("aggressive", "none")
    assert (found["before"]["peak"], found["after"]["peak"]) == (15500, 25800)
    # With one policy, the file's own stands against it.
    assert ctxbudget("diff", "jwt_auth", "--policy", "none", "--json").json == found


def test_one_policy_holds_for_both_files(ctxbudget: Command, old: Path, new: Path) -> None:
    found = ctxbudget("diff", old, new, "--policy", "aggressive", "--json").json
    assert (found["before"]["policy"], found["after"]["policy"]) == ("aggressive", "aggressive")
    both = ctxbudget("diff", old, new, "--policy", "none", "--policy", "minimal", "--json").json
    assert (both["before"]["policy"], both["after"]["policy"]) == ("none", "minimal")


def test_a_workflow_and_the_journal_of_its_run(
    ctxbudget: Command, old: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"
    assert ctxbudget("simulate", old, "--journal", journal).code == 0
    found = ctxbudget("diff", old, journal, "--json").json
    assert (found["before"]["source"], found["after"]["source"]) == ("workflow", "journal")
    assert (found["changed"], found["phases_changed"]) == ([], [])


def test_a_replay_beside_a_run_is_told_by_the_same_peak(ctxbudget: Command, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    assert ctxbudget("simulate", "jwt_auth", "--journal", journal).code == 0
    own = ("diff", journal, "--policy", "aggressive")  # what was recorded, again
    found = ctxbudget(*own, "--json").json
    assert (found["before"]["source"], found["after"]["source"]) == ("journal", "replay")
    assert (found["before"]["peak"], found["changed"], found["phases_changed"]) == (15500, [], [])
    none = ctxbudget("diff", journal, "--policy", "none", "--json").json
    assert (none["before"]["peak"], none["after"]["peak"]) == (15500, 25800)
    back = ctxbudget("diff", journal, "jwt_auth", "--policy", "none", "--policy", "aggressive")
    assert ["peak", "25,800", "15,500", "-10,300", "-39.9%"] in map(
        str.split, back.out.splitlines()
    )
    # Two replays are told by the largest prompt that was sent.
    both = ("diff", journal, "--policy", "aggressive", "--policy", "none")
    found = ctxbudget(*both, "--json").json
    assert (found["before"]["peak"], found["after"]["peak"]) == (3150, 20000)


def test_what_one_side_rests_on_is_said(ctxbudget: Command, old: Path, tmp_path: Path) -> None:
    journal, half = tmp_path / "run.jsonl", tmp_path / "half.jsonl"
    assert ctxbudget("simulate", old, "--journal", journal).code == 0
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    half.write_text("".join(lines[:-2]), encoding="utf-8")  # without its end
    early = (
        "the journal ends before its run does, last in phase old one; its numbers are those so far"
    )
    compared = ("diff", journal, half)
    assert f"B: {early}" in ctxbudget(*compared).out.splitlines()
    assert f"B: {early}" in ctxbudget(*compared, "--markdown").out
    found = ctxbudget(*compared, "--json").json
    assert (found["before"]["notes"], found["after"]["notes"]) == ([], [early])
    assumed = "assumed: sizes of 5 shorter forms, which the journal does not tell"
    ran = ctxbudget("diff", journal, "--policy", "aggressive")
    assert f"B: {assumed}" in ran.out.splitlines()


def test_a_session_under_another_policy(ctxbudget: Command) -> None:
    ran = ctxbudget("diff", SESSION, "--policy", "masking", "--json")
    replayed = ctxbudget("replay", SESSION, "--policy", "masking", "--json").json["policies"]
    rows = {one["policy"]: one for one in replayed}
    for side, policy in (("before", "none"), ("after", "masking")):
        found, row = ran.json[side], rows[policy]
        assert (found["source"], found["policy"]) == ("replay", policy)
        for ours, theirs in (
            ("peak", "peak_tokens"),
            ("cost", "cost_usd"),
            ("total", "total_cost_usd"),
            ("recall", "recall"),
            ("rewrites", "rewrites"),
            ("misses", "misses"),
        ):
            assert found[ours] == row[theirs]
    assert ran.json["phases_changed"] == []  # one phase is the run
    run = ("diff", SESSION, "--policy", "masking", "--fail-on-increase")
    assert ctxbudget(*run, f"misses={rows['masking']['misses']}").code == 0
    assert ctxbudget(*run, f"misses={rows['masking']['misses'] - 1}").code == 1


def test_the_table(ctxbudget: Command, old: Path, new: Path) -> None:
    lines = ctxbudget("diff", old, new).out.splitlines()
    assert lines[:2] == [f"A: {old} (none)", f"B: {new} (none)"]
    rows = [line.split() for line in lines]
    assert ["sent", "4,400", "5,450", "+1,050", "+23.9%"] in rows
    assert ["build", "peak", "1,400", "1,450", "+50", "+3.6%"] in rows
    assert "phases only in A: old one" in lines
    assert "phases only in B: new one" in lines


def test_the_markdown(ctxbudget: Command, tmp_path: Path) -> None:
    old = written(tmp_path, OLD.replace("build", "build <b>|@me"), "old.yaml")
    new = written(tmp_path, NEW.replace("build", "build <b>|@me"), "new.yaml")
    ran = ctxbudget("diff", old, new, "--markdown", "--fail-on-increase", "sent=1")
    assert ran.code == 1
    assert "**failed**: sent grew by +1,050 (+23.9%), allowed 1" in ran.out
    assert "| sent | 4,400 | 5,450 | +1,050 | +23.9% |" in ran.out
    assert "| build &#60;b&#62;&#124;&#64;me | sent | 3,000 | 4,000 | +1,000 | +33.3% |" in ran.out
    tables = [line for line in ran.out.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {6, 7}


def test_the_expected_course_is_said_of_the_side_that_is_one(
    ctxbudget: Command, old: Path, tmp_path: Path
) -> None:
    unsure = written(tmp_path, NEW.replace("450", "{min: 400, max: 500}"), "unsure.yaml")
    note = (
        "expected course: each uncertain size at its median, or the middle of its range; nothing "
        "fails, is skipped or is done again"
    )
    assert f"B: {note}" in " ".join(ctxbudget("diff", old, unsure).out.split())
    assert f"A: {note}" in ctxbudget("diff", unsure, old, "--markdown").out
    found = ctxbudget("diff", old, unsure, "--json").json
    assert (found["before"]["notes"], found["after"]["notes"]) == ([], [note])
    assert found["after"]["peak"] == 1457


def test_price_and_lifetime_hold_for_both_sides(ctxbudget: Command, old: Path) -> None:
    options = ("--ttl", "5m", "--price", "input=2,read=0.1,write=4")
    found = ctxbudget("diff", SESSION, "--policy", "masking", *options, "--json").json
    rows = ctxbudget("replay", SESSION, "--policy", "masking", *options, "--json").json["policies"]
    costs = {one["policy"]: one["cost_usd"] for one in rows}
    assert found["before"]["cost"] == costs["none"]
    assert found["after"]["cost"] == costs["masking"]
    plain = ctxbudget("diff", SESSION, "--policy", "masking", "--json").json
    assert plain["before"]["cost"] != costs["none"]
    error = ctxbudget("diff", old, SESSION, "--ttl", "5m").error
    assert error.startswith(f"--ttl: {old} is a workflow")
    assert "holds no call" in ctxbudget("diff", SESSION, "--policy", "none", "--agent", "x").error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fail-on-increase", "peaks=5%"), "expected one of peak, sent, cost"),
        (("--fail-on-increase", "recall=5%"), "expected one of peak, sent, cost"),
        (("--fail-on-increase", "peak"), "such as peak=5%, or tokens"),
        (("--fail-on-increase", "peak=-5%"), "such as peak=5%, or tokens"),
        (("--fail-on-increase", "calls=1.5"), "such as calls=5%, or a whole number"),
        (("--fail-on-increase", "calls=1k"), "such as calls=5%, or a whole number"),
        (("--fail-on-increase", "cost=1k"), "such as cost=5%, or US dollars"),
        (("--fail-on-increase", "misses=0"), "misses cannot be judged on"),
        (("--policy", "none", "--policy", "none", "--policy", "none"), "at most two"),
        (("--json", "--markdown"), "goes without --json"),
    ],
)
def test_mistakes_are_told_in_one_line(
    ctxbudget: Command, old: Path, new: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in ctxbudget("diff", old, new, *arguments).error


def test_one_file_alone_has_nothing_to_be_compared_with(ctxbudget: Command, old: Path) -> None:
    assert "name a second file, or a --policy" in ctxbudget("diff", old).error


def test_a_cost_that_one_side_lacks_is_said(ctxbudget: Command, old: Path, tmp_path: Path) -> None:
    plain = written(tmp_path, NEW.replace("model: claude-sonnet-4-6\n", ""), "plain.yaml")
    assert "cost is left out: no model is named" in ctxbudget("diff", old, plain).out
    error = ctxbudget("diff", old, plain, "--fail-on-increase", "cost=0").error
    assert f"cost cannot be judged on {plain}" in error
