"""Tests of `ctxbudget check --runs`: limits on probabilities, and on what 95 of 100 runs come to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import Command, written

from ctxbudget.chance import Course
from ctxbudget.config.run_setup import RunSetup, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Level
from ctxbudget.gate.drawn import outcome_of_runs
from ctxbudget.gate.limits import Asked, judged
from ctxbudget.odds.runs import Outcome, PhaseOutcome, Played

WARN, CRITICAL, OVERFLOW = Level.WARN, Level.CRITICAL, Level.OVERFLOW

# Warn is above 3,750 tokens, critical above 4,750, the hard limit is 10,000.
UNSURE = """
name: unsure
window: 10000
budget: 5000
policy: none
model: claude-sonnet-4-6
phases:
  - {id: plan, output: {median: 1000, p95: 4000}, calls: 2}
  - {id: build, after: [plan], output: {min: 100, max: 900}, calls: 2}
"""
RUNS = ("--runs", 200, "--seed", 7)


@pytest.fixture
def unsure(tmp_path: Path) -> Path:
    return written(tmp_path, UNSURE, "unsure.yaml")


def first_policy(ctxbudget: Command, path: Path) -> dict[str, Any]:
    """Return what `simulate --runs` says of the same draws."""
    row: dict[str, Any] = ctxbudget("simulate", path, *RUNS, "--json").json["policies"][0]
    return row


# ---- worked by hand: forty runs


@pytest.fixture
def setup(unsure: Path) -> RunSetup:
    return set_up_run(read_workflow(unsure))


def run_of(number: int, *levels: Level, stopped: bool = False, cost: bool = True) -> Played:
    """Return a run with a peak of 100 times its number, ten times that sent, a cent for each."""
    peak = 100 * number
    row = PhaseOutcome(
        phase="plan" if number % 2 else "build",
        peak_tokens=peak,
        sent_tokens=10 * peak,
        levels=frozenset(levels),
    )
    outcome = Outcome(
        peak_tokens=peak,
        sent_tokens=10 * peak,
        cost_usd=Decimal(number) / 100 if cost else None,
        levels=frozenset((WARN, CRITICAL, OVERFLOW) if stopped else levels),
        phases=(row,),
        blamed="plan" if stopped or CRITICAL in levels else None,
        stopped="rules do not fit" if stopped else None,
    )
    return Played(course=Course(), outcomes=(outcome,))


def asked(option: str, limit: int | float | Decimal = 0) -> Asked:
    return Asked(option=option, limit=limit, said=str(limit))


@pytest.mark.parametrize(
    ("stopped", "number"),
    [
        ((), 38),  # 38 of 40 runs are 95%
        ((40,), 38),
        ((1,), 39),
        ((1, 2), 40),
        ((39, 40), 38),
        ((1, 2, 3), None),
    ],
)
def test_a_run_that_cannot_go_on_exceeds_any_number(
    setup: RunSetup, stopped: tuple[int, ...], number: int | None
) -> None:
    played = [run_of(one, stopped=one in stopped) for one in range(1, 41)]
    found = outcome_of_runs("f", setup, played, seed=7)
    assert found.run.overflow_frac == len(stopped) / 40
    if number is None:
        for option in ("max-peak", "max-sent", "max-cost"):
            with pytest.raises(
                ConfigError, match=r"3 of 40 runs cannot go on, .* rules do not fit"
            ):
                judged(found, asked(option))
        assert not judged(found, asked("max-overflow-probability", 0.07)).is_kept
        return
    assert found.run.peak_tokens == 100 * number
    assert found.run.sent_tokens == 1000 * number
    assert found.run.cost_usd == Decimal(number) / 100
    verdict = judged(found, asked("max-peak", 100 * number))
    assert (verdict.is_kept, verdict.percentile) == (True, 95)
    assert not judged(found, asked("max-peak", 100 * number - 1)).is_kept


def test_each_level_is_counted_for_itself(setup: RunSetup) -> None:
    levels = {
        1: (WARN,),
        2: (WARN,),
        4: (WARN,),
        3: (WARN, CRITICAL),
        5: (WARN, CRITICAL, OVERFLOW),
    }
    played = [run_of(one, *levels.get(one, ())) for one in range(1, 41)]
    found = outcome_of_runs("f", setup, played, seed=7)
    assert found.draws is not None
    assert (found.draws.runs, found.draws.seed, found.draws.is_uncertain) == (40, 7, True)
    for option, count, where in (
        ("max-warn-probability", 5, "5 of 40 runs, most in phase plan: 3"),
        ("max-critical-probability", 2, "2 of 40 runs; most to blame: phase plan"),
        ("max-overflow-probability", 1, "1 of 40 runs; most to blame: phase plan"),
    ):
        verdict = judged(found, asked(option, count / 40))
        assert (verdict.is_kept, verdict.found, verdict.where) == (True, count / 40, where)
        assert verdict.percentile is None
        assert not judged(found, asked(option, count / 40 - 0.001)).is_kept
    # Of the runs that plan had the 19th of 20 has a peak of 3,700, of those of build of 3,800.
    assert found.where["peak"] == "highest in phase build: p95 3,800 tokens"
    assert found.where["sent"] == "most in phase build: p95 38,000 tokens"


def test_a_level_that_stopped_runs_alone_reach(setup: RunSetup) -> None:
    played = [run_of(one, stopped=one == 5) for one in range(1, 41)]
    found = outcome_of_runs("f", setup, played, seed=7)
    said = "1 of 40 runs, 1 of which cannot go on; most to blame: phase plan"
    assert found.where["overflow_probability"] == said
    assert found.where["warn_probability"] == "1 of 40 runs"


def test_a_cost_is_known_of_all_runs_or_not_at_all(setup: RunSetup) -> None:
    played = [run_of(one, cost=one != 7) for one in range(1, 41)]
    found = outcome_of_runs("f", setup, played, seed=7)
    assert (found.run.peak_tokens, found.run.cost_usd) == (3800, None)
    with pytest.raises(ConfigError, match="cannot be judged on f: "):
        judged(found, asked("max-cost"))


# ---- the command


@pytest.mark.parametrize("level", ["warn", "critical", "overflow"])
def test_a_probability_on_both_sides(ctxbudget: Command, unsure: Path, level: str) -> None:
    row = first_policy(ctxbudget, unsure)
    count, share = row[f"{level}_runs"], row[f"{level}_frac"]
    assert (count > 2) == (level != "overflow")
    option = f"--max-{level}-probability"
    good = ctxbudget("check", unsure, *RUNS, option, share, "--json")
    (limit,) = good.json["files"][0]["limits"]
    assert (good.code, limit["found"], limit["passed"], limit["percentile"]) == (
        0,
        share,
        True,
        None,
    )
    if count:
        bad = ctxbudget("check", unsure, *RUNS, option, f"{100 * (count - 1) / 200}%")
        assert bad.code == 1
        assert f"  max-{level}-probability: {100 * share:.2f}%, allowed " in bad.out
        assert f"; {count} of 200 runs" in bad.out


@pytest.mark.parametrize(
    ("option", "key", "step"),
    [
        ("--max-peak", "peak_tokens", 1),
        ("--max-sent", "sent_tokens", 1),
        ("--max-cost", "cost_usd", Decimal("0.000001")),
    ],
)
def test_what_95_of_100_runs_come_to_on_both_sides(
    ctxbudget: Command, unsure: Path, option: str, key: str, step: int | Decimal
) -> None:
    p95 = first_policy(ctxbudget, unsure)[key]["p95"]
    exact = p95 if isinstance(p95, int) else Decimal(p95)
    good = ctxbudget("check", unsure, *RUNS, option, exact + step, "--json")
    (limit,) = good.json["files"][0]["limits"]
    assert (good.code, limit["found"], limit["percentile"]) == (0, p95, 95)
    bad = ctxbudget("check", unsure, *RUNS, option, exact - step)
    assert bad.code == 1
    assert f"  {option.removeprefix('--')}: p95 " in bad.out
    if key == "peak_tokens":
        assert ctxbudget("check", unsure, *RUNS, option, exact).code == 0


def test_a_share_of_the_budget_is_taken_as_ever(ctxbudget: Command, unsure: Path) -> None:
    p95 = first_policy(ctxbudget, unsure)["peak_tokens"]["p95"]
    assert ctxbudget("check", unsure, *RUNS, "--max-peak", f"{p95 / 50 + 0.01:.2f}%").code == 0
    assert ctxbudget("check", unsure, *RUNS, "--max-peak", f"{p95 / 50 - 0.01:.2f}%").code == 1


def test_the_runs_and_that_it_is_an_estimate_are_said(ctxbudget: Command, unsure: Path) -> None:
    note = (
        "estimate from 200 runs, seed 7; a probability may be off by ±6.9% of runs, at most "
        "(95% interval)"
    )
    run = ("check", unsure, *RUNS, "--max-peak", "100%", "--max-warn-probability", "90%")
    kept = ctxbudget(*run).out.splitlines()
    assert len(kept) == 2
    assert kept[0].startswith(f"{unsure} under policy none: ok; peak p95 ")
    assert ", probability of warn " in kept[0]
    assert kept[1] == f"  {note}"
    failed = ctxbudget(*run, "--max-sent", 1)
    assert (failed.code, failed.out.splitlines()[-1]) == (1, f"  {note}")
    (file,) = ctxbudget(*run, "--json").json["files"]
    assert file["notes"] == [note]
    assert file["drawn"] == {
        "runs": 200,
        "seed": 7,
        "is_uncertain": True,
        "probability_error_frac": 0.069296,
    }
    assert "estimate from 200 runs" in ctxbudget(*run, "--markdown").out
    assert "| peak p95 | " in ctxbudget(*run, "--markdown").out


def test_the_seed_and_who_plays(ctxbudget: Command, unsure: Path) -> None:
    run = ("check", unsure, "--runs", 60, "--max-peak", 1, "--json")
    first = ctxbudget(*run)
    assert ctxbudget(*run, "--seed", 0).out == first.out
    assert ctxbudget(*run, "--workers", 2).out == first.out
    other = ctxbudget(*run, "--seed", 8).json["files"][0]["limits"][0]["found"]
    assert other != first.json["files"][0]["limits"][0]["found"]


def test_without_chance_all_runs_are_alike(ctxbudget: Command) -> None:
    run = ("check", "jwt_auth", "--runs", 1000, "--max-warn-probability", "99.9%")
    ran = ctxbudget(*run, "--max-peak", 15500)
    assert ran.code == 1
    assert "max-warn-probability: 100.00%" in ran.out
    assert "max-peak" not in ran.out
    assert "  nothing in this workflow is uncertain, so all runs are alike" in ran.out
    assert "estimate" not in ran.out
    assert ctxbudget("check", "jwt_auth", "--runs", 1000, "--max-peak", 15499).code == 1


def test_runs_that_cannot_go_on(ctxbudget: Command, tmp_path: Path) -> None:
    text = (
        "window: 100\npolicy: none\npermanent: [{id: rules, min: 1, max: 200}]\n"
        "phases: [{id: a, output: 1}]\n"
    )
    path = written(tmp_path, text)
    error = ctxbudget("check", path, *RUNS, "--max-peak", 1000).error
    assert error.startswith(f"--max-peak: cannot be judged on {path}: ")
    assert "of 200 runs cannot go on, so more than 5% have no such number" in error
    ran = ctxbudget("check", path, *RUNS, "--max-overflow-probability", "10%")
    assert ran.code == 1
    assert "of which cannot go on" in ran.out


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--max-rewrites", 9), "rewrites are not counted over many runs; leave --runs or"),
        (("--min-recall", 1), "a workflow has no texts"),
        (("--max-total", 1), "a workflow has no texts"),
        (("--max-cost", 1, "--model", "my-own-1"), "the price of my-own-1 is not known; use --mod"),
    ],
)
def test_what_many_runs_cannot_tell(
    ctxbudget: Command, unsure: Path, option: tuple[object, ...], said: str
) -> None:
    error = ctxbudget("check", unsure, "--runs", 5, *option).error
    assert error.startswith(f"{option[0]}: cannot be judged on {unsure}: {said}")


def test_a_cost_without_a_model(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, UNSURE.replace("model: claude-sonnet-4-6\n", ""))
    error = ctxbudget("check", path, "--runs", 5, "--max-cost", 1).error
    assert error.endswith("no model is named, so nothing has a price; name one with --model")
