"""Tests of many runs: what they come to, what is counted, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from commands import Command, in_subprocess, on_terminal, written
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.chance import Course, Drawn, Uniform
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.sizes import counted
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.errors import BudgetExceededError
from ctxbudget.core.types import Level
from ctxbudget.odds.runs import MOST_RUNS_AT_ONCE, Outcome, PhaseOutcome, Played, play_runs
from ctxbudget.odds.tally import Percentiles, odds, percentiles
from ctxbudget.simulate import measure_for

WARN, CRITICAL, OVERFLOW = Level.WARN, Level.CRITICAL, Level.OVERFLOW

# Warn is above 7,500 tokens, critical above 9,500, the hard limit is 12,000.
ONE_OUTPUT = """
window: 12000
budget: 10000
phases:
  - {id: small, output: 500, metadata: 100}
  - {id: large, after: [small], output: {min: 5000, max: 14999}, metadata: 100}
  - {id: last, after: [small], calls: 2, output: 10}
"""


def played(path: Path, *policies: str, runs: int = 100, seed: int = 7) -> list[Played]:
    """Return runs of a file in this process."""
    loaded = read_workflow(path)
    setups = [set_up_run(loaded, Overrides(policy=policy)) for policy in policies]
    return play_runs(setups, counted(loaded.workflow, measure_for(loaded)), runs=runs, seed=seed)


def test_progress_adds_up_to_the_runs(tmp_path: Path) -> None:
    loaded = read_workflow(written(tmp_path, ONE_OUTPUT))
    sizes = counted(loaded.workflow, measure_for(loaded))
    told: list[int] = []
    found = play_runs([set_up_run(loaded)], sizes, runs=30, seed=7, on_done=told.append)
    assert len(found) == sum(told) == 30
    assert told == [8, 8, 8, 6]


def test_each_run_is_judged_by_what_it_draws(tmp_path: Path) -> None:
    found = played(written(tmp_path, ONE_OUTPUT), "moderate", runs=300)
    spread = Uniform(min_tokens=5000, max_tokens=14999)
    sizes = [Drawn(seed=7, run=run).tokens(spread, "large/output") for run in range(1, 301)]
    # `small` leaves 100 tokens of metadata; `large` peaks when its output comes.
    assert [one.outcomes[0].peak_tokens for one in found] == [100 + size for size in sizes]
    for one, size in zip(found, sizes, strict=True):
        outcome = one.outcomes[0]
        levels = {WARN} if 100 + size > 7500 else set()
        levels |= {CRITICAL} if 100 + size > 9500 else set()
        assert outcome.levels == levels
        assert outcome.blamed == ("large" if CRITICAL in levels else None)
        assert [row.phase for row in outcome.phases] == ["small", "large", "last"]
        assert outcome.phases[0].levels == frozenset()
        assert outcome.phases[1].levels == levels
        assert outcome.stopped is None
    (policy,) = odds(["moderate"], ["small", "large", "last"], found).policies
    assert policy.reached.critical_runs == sum(100 + size > 9500 for size in sizes)
    assert policy.reached.critical_runs > 100
    assert policy.most_to_blame is not None
    assert (policy.most_to_blame.phase, policy.blamed_runs) == (
        "large",
        policy.reached.critical_runs,
    )


def test_an_overflow_is_blamed_before_a_peak(tmp_path: Path) -> None:
    text = (
        "window: 12000\nbudget: 10000\nphases:\n"
        "  - {id: large, output: 9600, metadata: 100}\n"
        "  - {id: deep, agents: [{id: x, output: 10, reads: [{min: 1, max: 24000}]}]}\n"
    )
    found = played(written(tmp_path, text), "moderate", runs=60)
    spread = Uniform(min_tokens=1, max_tokens=24000)
    for run, one in enumerate(found, 1):
        outcome = one.outcomes[0]
        is_over = Drawn(seed=7, run=run).tokens(spread, "deep/x/?reads 1") > 12000
        assert outcome.levels == ({WARN, CRITICAL, OVERFLOW} if is_over else {WARN, CRITICAL})
        assert outcome.blamed == ("deep" if is_over else "large")
        assert (OVERFLOW in outcome.phases[1].levels) is is_over
        assert OVERFLOW not in outcome.phases[0].levels
    assert 15 < sum(OVERFLOW in one.outcomes[0].levels for one in found) < 45


def test_all_policies_meet_the_same_draws(tmp_path: Path) -> None:
    text = ONE_OUTPUT.replace("calls: 2,", "calls: 2, repeat: {at_most: 3, again: 50%}, skip: 20%,")
    path = written(tmp_path, text)
    alone = played(path, "none", runs=40)
    beside = played(path, "aggressive", "none", runs=40)
    assert [one.outcomes[0] for one in alone] == [one.outcomes[1] for one in beside]
    assert [one.course for one in alone] == [one.course for one in beside]
    assert {one.course.times["last"] for one in alone} == {0, 1, 2, 3}
    for one in beside:
        names = [row.phase for row in one.outcomes[0].phases]
        assert ("last" in names) is (one.course.times["last"] > 0)
    assert played(path, "none", runs=40, seed=8) != alone
    assert [one.outcomes for one in played(path, "none", runs=60)][:40] == [
        one.outcomes for one in alone
    ]


def test_without_chance_one_run_is_played_for_all(tmp_path: Path) -> None:
    path = written(tmp_path, "phases: [{id: a, output: 5}]")
    found = played(path, "none", runs=1_000_000)
    assert len(found) == 1_000_000
    assert all(one is found[0] for one in found)


def test_a_run_that_cannot_go_on_is_counted_and_the_others_go_on(tmp_path: Path) -> None:
    text = (
        "window: 100\npermanent: [{id: rules, min: 1, max: 200}]\n"
        "phases: [{id: a, output: 1}, {id: b, after: [a], skip: 50%}]\n"
    )
    found = played(written(tmp_path, text), "none", runs=100)
    sizes = [
        Drawn(seed=7, run=run).tokens(Uniform(min_tokens=1, max_tokens=200), "rules")
        for run in range(1, 101)
    ]
    stopped = [one.outcomes[0].stopped is not None for one in found]
    assert stopped == [size > 100 for size in sizes]
    assert len({one.course.times["b"] for one in found if one.outcomes[0].stopped}) == 2
    for one in found:
        outcome = one.outcomes[0]
        if outcome.stopped is not None:
            assert outcome.levels == {WARN, CRITICAL, OVERFLOW}
            assert outcome.blamed == "a"
    (policy,) = odds(["none"], ["a", "b"], found).policies
    assert policy.stopped_runs == sum(stopped)
    assert policy.why_stopped is not None
    assert "rules" in policy.why_stopped
    assert policy.peak_tokens is not None
    assert policy.peak_tokens.max <= 101
    certain = written(
        tmp_path, text.replace("min: 1, max: 200", "tokens: 150").split(", {id: b")[0] + "]\n"
    )
    with pytest.raises(BudgetExceededError):
        played(certain, "none")


# ---- numbers


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        ([7], (7, 7, 7, 7)),
        ([2, 1], (1, 1, 2, 2)),
        ([3, 1, 2], (1, 2, 3, 3)),
        (list(range(1, 21)), (1, 10, 19, 20)),
        (list(range(1, 22)), (2, 11, 20, 21)),
        (list(range(1000, 0, -1)), (50, 500, 950, 1000)),
        ([Decimal("0.3"), Decimal("0.1")], (Decimal("0.1"), Decimal("0.1"), Decimal("0.3"), Decimal("0.3"))),
    ],
)  # fmt: skip
def test_percentiles_are_by_nearest_rank(
    values: list[int], found: tuple[int, int, int, int] | None
) -> None:
    if found is None:
        assert percentiles(values) is None
        return
    p5, p50, p95, most = found
    assert percentiles(values) == Percentiles(p5=p5, p50=p50, p95=p95, max=most)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_so_many_percent_do_not_exceed_a_percentile(values: list[int]) -> None:
    found = percentiles(values)
    assert found is not None
    for percent, value in ((5, found.p5), (50, found.p50), (95, found.p95), (100, found.max)):
        assert sum(one <= value for one in values) * 100 >= percent * len(values)
        assert sum(one < value for one in values) * 100 < percent * len(values)


def outcome(peak: int, sent: int, *levels: Level, cost: str | None = "1") -> Outcome:
    row = PhaseOutcome(phase="a", peak_tokens=peak, sent_tokens=sent, levels=frozenset(levels))
    return Outcome(
        peak_tokens=peak,
        sent_tokens=sent,
        cost_usd=None if cost is None else Decimal(cost),
        levels=frozenset(levels),
        phases=(row,),
        blamed="a" if CRITICAL in levels else None,
        stopped=None,
    )


def run_of(*outcomes: Outcome, **course: dict[str, int]) -> Played:
    return Played(course=Course(**course), outcomes=outcomes)


def test_what_runs_tell_is_counted() -> None:
    runs = [
        run_of(outcome(10, 100), outcome(9, 100), times={"a": 1}),
        run_of(outcome(30, 300, WARN, CRITICAL), outcome(9, 200), times={"a": 3}),
        run_of(outcome(20, 200, WARN), outcome(9, 199), times={"a": 1}),
        run_of(
            replace(outcome(0, 0), phases=()),
            replace(outcome(9, 0), stopped="it did not fit", levels=frozenset({OVERFLOW})),
            times={"a": 0},
            failed_tries={"a/x": 2},
            lost_outputs={"a/x": 1},
        ),
    ]
    found = odds(["one", "other"], ["a", "b"], runs)
    one, other = found.policies
    assert (one.reached.warn_runs, one.reached.critical_runs, one.reached.overflow_runs) == (
        2,
        1,
        0,
    )
    assert one.peak_tokens == Percentiles(p5=0, p50=10, p95=30, max=30)
    assert one.sent_tokens == Percentiles(p5=0, p50=100, p95=300, max=300)
    assert one.sends_less_runs == 0
    a, b = one.phases
    assert (a.ran_runs, a.blamed_runs, a.reached.warn_runs) == (3, 1, 2)
    assert a.peak_tokens == Percentiles(p5=10, p50=20, p95=30, max=30)
    assert (b.ran_runs, b.peak_tokens) == (0, None)
    assert one.most_to_blame is a
    assert other.most_to_blame is None
    assert (other.stopped_runs, other.why_stopped) == (1, "it did not fit")
    assert other.sent_tokens == Percentiles(p5=100, p50=199, p95=200, max=200)
    assert other.sends_less_runs == 2  # one as much, one stopped
    assert [(row.phase, row.runs_by_times) for row in found.phases] == [
        ("a", ((0, 1), (1, 2), (3, 1)))
    ]
    (agent,) = found.agents
    assert (agent.agent, agent.failed_tries, agent.failed_runs, agent.lost_runs) == ("a/x", 2, 1, 1)
    assert found.error_frac == pytest.approx(0.49)  # 1.96 · √(¼ / 4)


def test_a_cost_that_is_not_always_known_is_not_known() -> None:
    runs = [run_of(outcome(1, 1)), run_of(outcome(1, 1, cost=None))]
    assert odds(["one"], ["a"], runs).policies[0].cost_usd is None
    known = odds(["one"], ["a"], runs[:1]).policies[0].cost_usd
    assert known is not None
    assert known.p50 == 1


# ---- the command


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return written(tmp_path, ONE_OUTPUT)


def test_the_command_prints_the_odds(ctxbudget: Command, flow: Path) -> None:
    ran = ctxbudget("simulate", flow, "--runs", 100, "--seed", 7, "--policy", "moderate")
    assert "flow under policy moderate, 100 runs, seed 7" in ran.out
    assert "probabilities are good to ±9.8% of runs, or better" in ran.out
    assert "most to blame: phase large, for 56 of the 56 runs" in ran.out
    again = ctxbudget("simulate", flow, "--runs", 100, "--seed", 7, "--policy", "moderate")
    assert again.out == ran.out
    assert ran.err == ""


def test_the_json_holds_counts_and_shares(ctxbudget: Command, flow: Path) -> None:
    found = ctxbudget("simulate", flow, "--runs", 100, "--seed", 7, "--json").json
    assert (found["runs"], found["seed"], found["is_uncertain"]) == (100, 7, True)
    (policy,) = found["policies"]
    assert policy["critical_runs"] == 56
    assert policy["critical_frac"] == 0.56
    assert policy["most_to_blame"] == {"phase": "large", "runs": 56, "of_runs": 56}
    assert [row["phase"] for row in policy["phases"]] == ["small", "large", "last"]
    assert set(policy["peak_tokens"]) == {"p5", "p50", "p95", "max"}
    assert policy["cost_usd"] is None
    other = ctxbudget("simulate", flow, "--runs", 100, "--seed", 8, "--json").json
    assert other["policies"][0]["peak_tokens"] != policy["peak_tokens"]
    assert ctxbudget("simulate", flow, "--runs", 100, "--json").json["seed"] == 0


def test_fixed_sizes_are_said_to_make_all_runs_alike(ctxbudget: Command) -> None:
    ran = ctxbudget("simulate", "jwt_auth", "--runs", 1000, "--seed", 7)
    assert "nothing in this workflow is uncertain: all runs are alike" in ran.out
    found = ctxbudget("simulate", "jwt_auth", "--runs", 1000, "--seed", 7, "--json").json
    one = ctxbudget("simulate", "jwt_auth", "--json").json
    assert found["is_uncertain"] is False
    peak = one["run"]["peak_tokens"]
    (policy,) = found["policies"]
    assert policy["peak_tokens"] == {"p5": peak, "p50": peak, "p95": peak, "max": peak}
    assert policy["sent_tokens"]["p50"] == one["run"]["sent_tokens"]
    told = {(row["id"], event["level"]) for row in one["phases"] for event in row["events"]}
    for row in policy["phases"]:
        assert row["critical_runs"] == (1000 if (row["phase"], "critical") in told else 0)


def test_one_run_of_an_uncertain_workflow_says_that_it_is_the_expected_course(
    ctxbudget: Command, flow: Path
) -> None:
    ran = ctxbudget("simulate", flow)
    assert "expected course: each uncertain size at its median" in " ".join(ran.out.split())
    assert "expected course" not in ctxbudget("simulate", flow, "--runs", 10).out
    assert "expected course" not in ctxbudget("simulate", "jwt_auth").out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--seed", 1), "--seed: goes with --runs; add --runs 1000"),
        (("--workers", 2), "--workers: goes with --runs; add --runs 1000"),
        (("--backend", "ray"), "--backend: goes with --runs; add --runs 1000"),
        (("--runs", 5, "--journal", "j.jsonl"), "--journal: is of one run; leave it or --runs out"),
        (("--runs", 5, "--html", "o.html"), "--html: is of one run; leave it or --runs out"),
        (("--runs", 0), "Invalid value for '--runs': 0 is not in the range 1<=x<=1000000"),
        (("--runs", 5, "--workers", 0), "0 is not in the range 1<=x<=1024"),
        (("--runs", 5, "--backend", "spark"), "'spark' is not one of 'processes', 'ray', 'dask'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    ctxbudget: Command, flow: Path, options: tuple[object, ...], error: str
) -> None:
    assert error in ctxbudget("simulate", flow, *options).error


def test_a_file_that_is_missing_is_named(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, "phases:\n  - {id: a, skip: 1%, output: {file: no.txt}}\n")
    error = ctxbudget("simulate", path, "--runs", 5).error
    assert "flow.yaml:2: phases[0].output.file: 'no.txt'" in error


@pytest.mark.parametrize(
    ("level", "code", "said"),
    [
        ("warn", 1, "--fail-on warn: critical in 56 of 100 runs"),
        ("critical", 1, "--fail-on critical: critical in 56 of 100 runs"),
        ("overflow", 0, ""),
    ],
)
def test_the_gate_fails_if_one_run_does(
    ctxbudget: Command, flow: Path, level: str, code: int, said: str
) -> None:
    options = ("--runs", 100, "--seed", 7, "--policy", "moderate", "--fail-on", level)
    ran = ctxbudget("simulate", flow, *options)
    assert ran.code == code
    assert said in ran.err


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_tables_fit_and_no_number_is_cut(
    ctxbudget: Command, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ran = ctxbudget(
        "simulate", "uncertain", "--runs", 10, "--policy", "aggressive", "--policy", "none"
    )
    assert max(map(len, ran.out.splitlines())) <= width
    assert "…" not in ran.out
    for phase in ("scope", "research", "design", "implement", "test", "document", "deliver"):
        assert any(line.startswith(f" {phase} ") for line in ran.out.splitlines())
    assert "The same draws under each policy" in ran.out


def test_names_do_nothing_to_a_terminal(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "phases: [{id: '[red]x', skip: 50%, agents: [{id: '[b]', output: 1, fails: 9%}]}]",
    )
    assert "phase [red]x: skipped in" in ctxbudget("simulate", path, "--runs", 9).out
    assert "agent [red]x/[b]: a try fails" in ctxbudget("simulate", path, "--runs", 9).out


def test_the_help_says_what_is_of_one_run_only(ctxbudget: Command, flow: Path) -> None:
    told = " ".join(ctxbudget("simulate", "--help").out.split())
    assert "--journal, --html and --markdown are of one run, and do not go with --runs" in told
    for option in (("--journal", "j.jsonl"), ("--html", "page.html"), ("--markdown",)):
        said = ctxbudget("simulate", flow, "--runs", 2, *option).error
        assert said.startswith(f"{option[0]}: is of one run")


def test_a_terminal_shows_progress_and_a_pipe_does_not(flow: Path) -> None:
    shown, printed = on_terminal("simulate", flow, "--runs", 100, "--seed", 7, "--json")
    assert "simulating" in shown
    assert json.loads(printed)["policies"][0]["critical_runs"] == 56
    assert in_subprocess("simulate", flow, "--runs", 100, "--json", cwd=flow.parent).err == ""


# ---- who plays makes no difference


def as_json(*options: object, cwd: Path) -> str:
    runs = 2 * MOST_RUNS_AT_ONCE + 1  # several tasks, the last a small one
    policies = ("--policy", "aggressive", "--policy", "own:lazy")
    ran = in_subprocess(
        "simulate", "uncertain", "--runs", runs, "--seed", 7, *policies, "--json", *options, cwd=cwd
    )
    assert ran.code == 0, ran.err
    return ran.out


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a policy that a worker has to import."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text("def lazy(moment):\n    return ()\n")
    return folder


@pytest.fixture(scope="module")
def by_one(own_folder: Path) -> str:
    """Return what one process makes of it."""
    printed = as_json(cwd=own_folder)
    assert len({json.dumps(one["peak_tokens"]) for one in json.loads(printed)["policies"]}) == 2
    return printed


@pytest.mark.parametrize(
    "options",
    [
        ("--workers", 2),
        ("--workers", 3),
        ("--workers", 2, "--backend", "dask"),
        ("--workers", 1, "--backend", "ray"),
    ],
)
def test_the_same_bytes_whoever_plays(
    options: tuple[object, ...], own_folder: Path, by_one: str
) -> None:
    assert as_json(*options, cwd=own_folder) == by_one
