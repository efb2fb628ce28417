"""Tests of sweeps: the grid, the front, what is kept, and the command."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, on_terminal
from rich.console import Console

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Base, Limit
from ctxbudget.report.sweep_terminal import print_sweep
from ctxbudget.report.sweep_words import budgets_text, failure_text, reason_text, rule_text
from ctxbudget.sweep.front import is_less, unbeaten
from ctxbudget.sweep.grid import Setting, budgets_of, grid, params_of
from ctxbudget.sweep.outcome import Outcome
from ctxbudget.sweep.summary import Row, failures_of, recommended, rows_of

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"
ASKED = ("--policy", "masking", "--param", "policy.keep=3,5", "--budget", "20k,60k", "--json")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, []),
        ("60k,100k", ["60,000", "100,000"]),
        ("60k..120k", ["60,000", "80,000", "100,000", "120,000"]),
        ("10k..20k/3,30%", ["10,000", "15,000", "20,000", "30%"]),
        ("30%,90k,60k", ["60,000", "90,000", "30%"]),
    ],
)
def test_budgets(text: str | None, names: list[str]) -> None:
    assert [name for name, _ in budgets_of(text)] == names


@pytest.mark.parametrize("text", ["", "60k..", "9k..5k", "5k..9k/1", "5k..9k/x", "many"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget"):
        budgets_of(text)


@pytest.mark.parametrize("text", ["keep=3", "policy.=3", "policy.keep", "policy.keep=3,,5"])
def test_what_is_no_param(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected policy\.NAME"):
        params_of([text])


def test_the_grid_varies_a_param_where_there_is_one() -> None:
    settings, notes = grid(
        ["masking:step=2", "ladder"], budgets_of("10k,20k"), {"keep": ("3", "5")}, has_bounds=True
    )
    assert [(one.policy.label, one.budget_text) for one in settings] == [
        ("masking:step=2,keep=3", "10,000"),
        ("masking:step=2,keep=3", "20,000"),
        ("masking:step=2,keep=5", "10,000"),
        ("masking:step=2,keep=5", "20,000"),
        ("ladder", "10,000"),
        ("ladder", "20,000"),
        ("none", "20,000"),
        ("unbounded", "20,000"),
        ("clairvoyant", "20,000"),
    ]
    assert notes == ["ladder has no policy.keep: not varied there"]


def test_an_empty_grid_and_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="the sweep is empty"):
        grid([], [], {}, has_bounds=False)
    with pytest.raises(ConfigError, match="did you mean 'keep'"):
        grid(["masking"], [], {"kep": ("3",)}, has_bounds=False)
    with pytest.raises(ConfigError, match="there is no policy 'msking'"):
        grid(["msking"], [], {}, has_bounds=False)


def test_the_front() -> None:
    assert unbeaten([(1, 3), (2, 2), (2, 3), (3, 1), (1, 3)], is_less) == [0, 1, 3, 4]
    assert unbeaten([], is_less) == []


# ---- what settings come to


def ran(total: str, peak: int, budget: int, recall: float | None = 1.0, **more: Any) -> Outcome:
    return Outcome(
        cost_usd=Decimal(total),
        total_usd=Decimal(total),
        peak_tokens=peak,
        budget_tokens=budget,
        **({"recall": recall, "quote_recall": recall} | more),
    )


def swept(**outcomes: list[Outcome]) -> list[Row]:
    """Return the rows of policies whose outcomes at the budgets 10 and 20 are given, and of none."""
    own = [(name, at, one) for name, found in outcomes.items() for at, one in enumerate(found)]
    settings = [setting(name, ("10", "20")[at]) for name, at, _ in own]
    rows, apart = rows_of(
        [*settings, setting("none", "20")],
        {"a": [*(one for *_, one in own), ran("1.00", 30, 20)]},
    )
    assert apart == {}
    return rows


def setting(name: str, budget: str) -> Setting:
    limit = Limit(tokens=int(budget), of=Base.WINDOW)
    return Setting(policy=load_policy(name), spec=name, budget=limit, budget_text=budget)


def front(rows: list[Row]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.setting.policy.name, one.budgets) for one in rows if one.is_on_front]


def test_budgets_that_change_nothing_share_a_row() -> None:
    same, over = ran("0.50", 9, 10), ran("0.50", 15, 10)
    rows = swept(
        ladder=[same, replace(same, budget_tokens=20)],
        masking=[over, replace(over, budget_tokens=20)],  # above the one, not above the other
        moderate=[same, replace(same, budget_tokens=20, misses=1)],
    )
    assert [(one.setting.policy.name, one.budgets, one.over) for one in rows] == [
        ("ladder", ("10", "20"), 0),
        ("masking", ("10",), 1),
        ("masking", ("20",), 0),
        ("moderate", ("10",), 0),
        ("moderate", ("20",), 0),
        ("none", ("20",), 1),
    ]


def test_a_lower_peak_counts_where_it_keeps_a_budget_that_the_other_exceeds() -> None:
    rows = swept(
        # keeps 10, which none exceeds: dearer than none and yet on the front
        ladder=[ran("1.50", 9, 10, 0.5)],
        # peaks lower than none, but above 10 all the same
        masking=[ran("1.40", 12, 10, 0.6)],
        # keeps 20, as moderate does that is cheaper and recalls more: its lower peak buys nothing
        adaptive=[ran("2.00", 50, 10, 0.1), ran("0.90", 14, 20, 0.7)],
        moderate=[ran("2.00", 50, 10, 0.1), ran("0.80", 18, 20, 0.9)],
    )
    assert front(rows) == [("ladder", ("10",)), ("moderate", ("20",)), ("none", ("20",))]


def test_what_keeps_its_budget_is_beaten_by_a_none_that_keeps_it_too() -> None:
    found = {"a": [ran("1.50", 9, 30, 0.5), ran("1.00", 30, 30)]}
    rows, _ = rows_of([setting("ladder", "30"), setting("none", "30")], found)
    assert front(rows) == [("none", ("30",))]


def test_of_equals_the_lower_peak_is_on_the_front_and_failures_are_not() -> None:
    rows = swept(
        ladder=[ran("0.50", 9, 10)],
        masking=[ran("0.50", 8, 10)],
        moderate=[Outcome(failure="no room")],
    )
    assert front(rows) == [("masking", ("10",))]


def best(rows: list[Row]) -> tuple[str, tuple[str, ...], int] | None:
    found = recommended(rows, least_recall=0.9, least_quotes=0.9)
    return None if found is None else (found.setting.policy.name, found.budgets, found.over)


def test_what_exceeds_its_budget_is_recommended_only_if_nothing_else_is_left() -> None:
    cheap_but_over, kept = ran("0.10", 12, 10), ran("0.70", 18, 20)
    assert best(swept(ladder=[cheap_but_over, kept])) == ("ladder", ("20",), 0)
    assert best(swept(ladder=[cheap_but_over, replace(kept, recall=0.89)])) == (
        "ladder",
        ("10",),
        1,
    )
    assert best(swept(ladder=[ran("0.1", 9, 10, 0.8)])) == ("none", ("20",), 1)
    lossy = {"a": [ran("1.0", 9, 10, 0.8)]}
    assert best(rows_of([setting("none", "10")], lossy)[0]) is None


def test_the_reason_says_the_rule_with_its_floors() -> None:
    rule = rule_text(0.9, 0.85)
    kept, over = swept(ladder=[ran("0.5", 9, 10)])
    said = reason_text(kept, "10", rule)
    assert said.startswith("Recommended: ladder at a budget of 10, 50.0% of none (lowest cost")
    assert "recall of at least 0.9 and a mean quote recall of at least 0.85" in said
    assert "but 1 peak is above the budget: no setting meets the whole rule" in reason_text(
        over, "20", rule
    )
    assert reason_text(None, "", rule).startswith("Nothing is recommended: no setting meets")


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        (["10"], "10"),
        (["20", "30"], "20–30"),
        (["10", "30"], "10, 30"),
        (["30", "5%"], "30, 5%"),
        ([""], ""),
    ],
)
def test_budgets_in_words(budgets: list[str], text: str) -> None:
    assert budgets_text(budgets, ["", "10", "20", "30", "5%"]) == text


def test_why_settings_failed() -> None:
    settings = [setting("ladder", "10"), setting("ladder", "20"), setting("none", "20")]
    fine, too_small = ran("1", 9, 10), Outcome(failure="9,000 tokens do not fit into 10.")
    found = {
        "a": [too_small, replace(too_small, failure="9,000 tokens do not fit into 20."), fine],
        "b": [too_small, Outcome(failure="odd"), fine],
    }
    assert [failure_text(one) for one in failures_of(settings, found)] == [
        "ladder could not run 3 times (for example): 9,000 tokens do not fit into 10.",
        "ladder could not run once: odd",
    ]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_and_keeps_its_numbers(columns: int) -> None:
    big = ran("1234567.5", 12_345_678, 9)
    rows = swept(ladder=[big, replace(big, misses=3)], masking=[ran("0.5", 9, 10, 0.5)])
    printed = StringIO()
    print_sweep(
        Console(file=printed, width=columns),
        rows,
        subjects=1,
        apart={"b.jsonl": "is [red]empty[/red]"},
        failures=[],
        reason="Because.",
    )
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in printed.getvalue()
    assert "left out: b.jsonl: is [red]empty[/red]" in lines
    (head,) = (line.split() for line in lines if line.split()[:1] == ["setting"])
    wide = ["setting", "budget", "cost", "total", "recall", "quotes", "misses", "peak", "over"]
    gone = {60: ["misses", "cost", "over", "quotes"], 80: ["misses", "cost"], 120: []}[columns]
    assert head == [one for one in wide if one not in gone]


# ---- the command


def test_write_is_checked_before_the_work(ctxbudget: Command, tmp_path: Path) -> None:
    (tmp_path / "there.yaml").touch()
    kept = tmp_path / "r"
    asked = ("sweep", "jwt_auth", "--policy", "moderate", "--results", kept, "--write")
    assert "is there already" in ctxbudget(*asked, tmp_path / "there.yaml").error
    assert "no such file or directory" in ctxbudget(*asked, tmp_path / "no" / "p.yaml").error
    assert "keeps the results" in ctxbudget(*asked, kept).error
    own = ctxbudget(*asked, tmp_path / "new.yaml", "--policy", "os.path:join")
    assert "os.path:join is code of your own" in own.error
    assert [one.name for one in tmp_path.iterdir()] == ["there.yaml"]
    done = ctxbudget(*asked, tmp_path / "new.yaml")
    assert "policy written to" in done.err
    assert load_policy(str(tmp_path / "new.yaml")).name == "moderate"


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    asked = ("sweep", "jwt_auth", "--policy", "moderate", "--json", "--results", tmp_path / "r")
    shown, printed = on_terminal(*asked)
    assert "sweeping" in shown
    again, as_before = on_terminal(*asked)
    assert "sweeping" not in again  # nothing is left to do
    assert as_before == printed


def test_workers_and_a_second_start_change_nothing(ctxbudget: Command, tmp_path: Path) -> None:
    kept = tmp_path / "r.jsonl"
    first = ctxbudget("sweep", SESSION, *ASKED, "--results", kept)
    assert len(first.json["settings"]) == 7
    lines = kept.read_text(encoding="utf-8").splitlines(keepends=True)
    kept.write_text("".join(lines[:4]) + lines[4][:20], encoding="utf-8")
    again = ctxbudget("sweep", SESSION, *ASKED, "--results", kept, "--workers", 2)
    assert again.out == first.out
    assert kept.read_text(encoding="utf-8") == "".join(lines)


def test_errors(ctxbudget: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("mine\n", encoding="utf-8")
    asked = ("sweep", "jwt_auth", "--policy", "moderate", "--results")
    assert "holds no results of a sweep" in ctxbudget(*asked, other).error
    assert other.read_text(encoding="utf-8") == "mine\n"
    (tmp_path / "empty").mkdir()
    found = ctxbudget("sweep", tmp_path / "empty", "--policy", "ladder", "--results", other)
    assert "there is no .jsonl, .json or .gz file" in found.error


def test_it_can_be_interrupted_and_goes_on(ctxbudget: Command, tmp_path: Path) -> None:
    asked = [*ASKED, "--param", "policy.step=1,2,3,4,5,6,7,8", "--results", str(tmp_path / "r")]
    command = [sys.executable, "-m", "ctxbudget", "sweep", str(SESSION), *asked]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not _lines(tmp_path / "r") > 1:
        pass
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "start the same command again" in told
    before = _lines(tmp_path / "r")
    resumed = ctxbudget("sweep", SESSION, *asked)
    assert 1 < before < _lines(tmp_path / "r") == 1 + 35
    fresh = ctxbudget("sweep", SESSION, *asked[:-1], tmp_path / "other")
    assert resumed.out == fresh.out


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
