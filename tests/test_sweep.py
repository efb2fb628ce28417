"""Tests of sweeps: the grid, the front, what is kept, and the command."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from commands import ROOT, Command, in_subprocess, on_terminal, written
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Base, Limit
from ctxbudget.report.sweep_terminal import print_sweep
from ctxbudget.report.sweep_words import (
    budgets_text,
    failure_text,
    front_rule,
    reason_text,
    rule_text,
)
from ctxbudget.sweep.front import beaters, unbeaten
from ctxbudget.sweep.grid import Setting, budgets_of, grid, params_of
from ctxbudget.sweep.outcome import Outcome
from ctxbudget.sweep.summary import Row, best_within_budget, failures_of, recommended, rows_of

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


def test_the_grid_varies_a_policy_in_a_folder_with_an_equals_sign(tmp_path: Path) -> None:
    folder = tmp_path / "run=1"
    folder.mkdir()
    rule = "{on: warn, select: {keep_last: $keep}, do: clear, why: x}"
    path = written(folder, f"name: own\nparams: {{keep: 2}}\nrules: [{rule}]\n", "own.yaml")
    settings, _ = grid([str(path)], [], {"keep": ("3", "5")}, has_bounds=False)
    assert [one.policy.label for one in settings] == ["own:keep=3", "own:keep=5", "none"]


def test_an_empty_grid_and_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="the sweep is empty"):
        grid([], [], {}, has_bounds=False)
    with pytest.raises(ConfigError, match="did you mean 'keep'"):
        grid(["masking"], [], {"kep": ("3",)}, has_bounds=False)
    with pytest.raises(ConfigError, match="there is no policy 'msking'"):
        grid(["msking"], [], {}, has_bounds=False)
    for policy, params, blamed in (
        ("masking:keep=abc", {}, "--policy"),
        ("masking", {"keep": ("3", "abc")}, "--param"),
    ):
        with pytest.raises(
            ConfigError, match=rf"^{blamed}: masking with keep=abc: expected a whole"
        ):
            grid([policy], [], params, has_bounds=False)


def test_the_front() -> None:
    assert unbeaten([(1, 3), (2, 2), (2, 3), (3, 1), (1, 3)]) == [0, 1, 3, 4]
    assert unbeaten([]) == []
    # the third is beaten by the first, the second and the last; equal ones beat nobody
    assert beaters([(1, 3), (2, 2), (2, 3), (3, 1), (1, 3)]) == [0, 0, 0b10011, 0, 0]
    assert beaters([]) == []


def is_less(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether a point is nowhere more than another, and somewhere less."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


few = st.integers(0, 3)  # so that many are equal


@given(st.lists(st.tuples(few, few, few), max_size=30))
def test_a_point_is_beaten_by_those_that_are_less(points: list[tuple[int, ...]]) -> None:
    assert beaters(points) == [
        sum(1 << at for at, one in enumerate(points) if is_less(one, point)) for point in points
    ]


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


LADDER, NONE = setting("ladder", "20"), setting("none", "20")


def beats(one: list[Outcome], other: list[Outcome]) -> bool:
    """Return what docs/sweep.md says of two settings with the outcomes of two sessions each."""

    def point(found: list[Outcome]) -> tuple[float, ...]:
        lacks = [sum(1 - (a or 0) for a in (one.recall, one.quote_recall)) for one in found]
        assert all(a.recall == a.quote_recall for a in found)
        return float(sum((a.total_usd or Decimal(0) for a in found), Decimal(0))), sum(lacks)

    peak, others = (max(a.peak_tokens for a in found) for found in (one, other))
    is_better = is_less(point(one), point(other)) or (point(one) == point(other) and peak < others)
    buys_nothing = any(a.peak_tokens > a.budget_tokens for a in other) or all(
        a.peak_tokens <= b.budget_tokens for a, b in zip(one, other, strict=True)
    )
    return is_better and (peak <= others or buys_nothing)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([(10, 10), (20, 20), (20, 10)]),
            *[st.tuples(few, st.sampled_from([5, 9, 15, 25]), few)] * 2,
        ),
        max_size=9,
    )
)
def test_the_front_is_of_those_that_no_other_beats(drawn: list[tuple[Any, ...]]) -> None:
    cells = [
        [
            ran(f"{1 + total}", peak, budget, recall / 4)
            for (total, peak, recall), budget in zip(both, budgets, strict=True)
        ]
        for budgets, *both in drawn
    ]
    cells.append([ran("2", 25, 20), ran("2", 15, 10)])
    settings = [replace(LADDER, spec=f"ladder {at}") for at in range(len(drawn))] + [NONE]
    rows, _ = rows_of(settings, {at: [cell[at] for cell in cells] for at in (0, 1)})  # type: ignore[misc]
    assert [row.is_on_front for row in rows] == [
        not any(beats(other, cell) for other in cells) for cell in cells
    ]


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


def nearest(rows: list[Row]) -> tuple[str, tuple[str, ...]] | None:
    found = best_within_budget(rows, least_recall=0.9, least_quotes=0.8)
    return None if found is None else (found.setting.policy.name, found.budgets)


def test_what_keeps_its_budget_is_nearest_if_it_lacks_least_to_the_floors() -> None:
    rows = swept(
        ladder=[ran("0.3", 9, 10, 0.7)],  # lacks 0.2 to the one floor, 0.1 to the other
        masking=[ran("0.9", 9, 10, 0.85, quote_recall=0.65)],  # 0.05 and 0.15: nearest
        moderate=[ran("0.8", 9, 10, 0.99, quote_recall=0.61)],  # 0 and 0.19
        adaptive=[ran("0.1", 12, 10, 0.9)],  # above its budget
    )
    assert nearest(rows) == ("masking", ("10",))
    chosen = recommended(rows, least_recall=0.85, least_quotes=0.65)  # floors as low as its recalls
    assert chosen is not None
    assert chosen.setting.policy.name == "masking"


def test_of_equally_near_ones_the_cheapest_then_the_lowest_is_taken() -> None:
    dear, cheap, low = ran("0.9", 7, 10, 0.7), ran("0.3", 9, 10, 0.7), ran("0.3", 8, 10, 0.7)
    assert nearest(swept(ladder=[dear], masking=[cheap])) == ("masking", ("10",))
    assert nearest(swept(ladder=[cheap], masking=[low])) == ("masking", ("10",))
    assert nearest(swept(ladder=[replace(cheap, recall=None, quote_recall=None)])) == (
        "ladder",
        ("10",),
    )
    assert nearest(swept(ladder=[ran("0.1", 12, 10)], masking=[Outcome(failure="no room")])) is None


def test_beside_what_exceeds_its_budget_stands_what_keeps_it() -> None:
    kept, over = swept(ladder=[ran("0.5", 9, 10, 0.826, quote_recall=0.7)])
    said = reason_text(over, kept, ["10", "20"], "the rule")
    assert said.startswith("Recommended: none, 100.0% of none, but 1 peak is above the budget: ")
    assert said.endswith(
        " Of those that keep their budget, ladder at a budget of 10, 50.0% of none, with a mean "
        "recall of 82.6% (17.4% lost) and a mean quote recall of 70.0% (30.0% lost), is nearest to "
        "the floors; floors below that (--recall, --quote-recall) recommend it."
    )
    assert reason_text(over, None, ["10", "20"], "the rule").endswith(
        " No setting that ran everywhere keeps its budget; try larger budgets."
    )


def test_the_reason_says_the_rule_with_its_floors() -> None:
    rows = swept(ladder=[ran("0.5", 9, 10)])
    kept, over = rows
    rule = rule_text(rows, 0.9, 0.85)
    said = reason_text(kept, None, ["10", "20"], rule)
    assert said.startswith("Recommended: ladder at a budget of 10, 50.0% of none (lowest cost")
    assert "recall of at least 0.9 and a mean quote recall of at least 0.85" in said
    assert "but 1 peak is above the budget: no setting meets the whole rule" in reason_text(
        over, kept, ["10", "20"], rule
    )
    assert reason_text(None, None, [], rule).startswith("Nothing is recommended: no setting meets")
    assert "costs as little with misses charged, recalls as much (items and" in front_rule(rows)


def test_without_a_recall_no_sentence_speaks_of_one() -> None:
    rows = [
        replace(one, recall=None, quote_recall=None) for one in swept(ladder=[ran("0.5", 9, 10)])
    ]
    assert rule_text(rows, 0.9, 0.85) == (
        "lowest cost, of the settings that ran everywhere, with no peak above the budget"
    )
    assert front_rule(rows).startswith(
        "on the front of cost and peak: no other setting costs as little, has as low a peak and is "
        "better in one of these; "
    )
    assert "recall" not in front_rule(rows)
    half = [replace(rows[0], quote_recall=0.5), rows[1]]
    assert "recall" in rule_text(half, 0.9, 0.85)
    assert "recall" in front_rule(half)


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
        partly_read={"c.jsonl": "1 damaged place"},
        failures=[],
        reason="Because.",
    )
    lines = printed.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in printed.getvalue()
    assert "left out: b.jsonl: is [red]empty[/red]" in lines
    assert "read in part: c.jsonl: 1 damaged place" in lines
    (head,) = (line.split() for line in lines if line.split()[:1] == ["setting"])
    wide = ["setting", "budget", "cost", "total", "recall", "quotes", "misses", "peak", "over"]
    gone = {60: ["misses", "cost", "over", "quotes"], 80: ["misses", "cost"], 120: []}[columns]
    assert head == [one for one in wide if one not in gone]


# ---- the command


def test_the_command_names_what_keeps_its_budget_beside_what_does_not(
    ctxbudget: Command, tmp_path: Path
) -> None:
    kept = tmp_path / "r"
    asked = ("sweep", SESSION, "--policy", "masking:keep=5", "--budget", "60k", "--results", kept)
    found = ctxbudget(*asked, "--json").json
    assert (found["recommended"]["policy"], found["recommended"]["over"]) == ("none", 1)
    beside = found["best_within_budget"]
    assert (beside["policy"], beside["budgets"], beside["over"]) == (
        "masking:keep=5",
        ["60,000"],
        0,
    )
    assert f"recall of {beside['recall']:.1%}" in found["reason"]
    assert f"quote recall of {beside['quote_recall']:.1%}" in found["reason"]
    shown = " ".join(ctxbudget(*asked).out.split())
    assert "Of those that keep their budget, masking:keep=5 at a budget of 60,000" in shown
    lower = ctxbudget(*asked, "--json", "--recall", 0.5, "--quote-recall", 0.5).json
    assert lower["recommended"] == beside
    assert lower["best_within_budget"] is None


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


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--workers", "0"], "'--workers': 0 is not in the range"),
        (["--backend", "spark"], "'spark' is not one of 'processes', 'ray', 'dask'"),
        (["--budget", "200k..60k"], "a range goes up, found '200k..60k'; swap its ends"),
        (["--budget", "60k..200k/0"], "expected 2 to 100 steps, as in 60k..200k/4; found '0'"),
        (["--budget", "0"], "--budget: expected at least 1 token, found 0"),
        (
            ["--budget", "0..9k"],
            "--budget: expected a number of tokens such as 200000 or 200k, found '0'",
        ),
        (["--recall", "nan"], "--recall: expected a share from 0 to 1, found nan"),
        (["--param", "policy.kep=3"], "did you mean 'keep'?"),
        (
            ["--budget", "1k..9k/100", "--param", f"policy.keep={','.join(map(str, range(101)))}"],
            "10,101 settings are too many, at most 10,000; name fewer policies, budgets or values",
        ),
        (["zzz"], "no such file, folder or shipped workflow; known are: "),
        (["jwt_aut"], "no such file, folder or shipped workflow; did you mean 'jwt_auth'?"),
        (["flows/jwt.yaml"], "no such file, folder or shipped workflow; check the path"),
    ],
)
def test_what_was_typed_wrong_is_told_before_anything_is_made(
    ctxbudget: Command, tmp_path: Path, more: list[str], told: str
) -> None:
    kept = tmp_path / "r"
    asked = ("sweep", "jwt_auth", "--policy", "masking", "--results", kept)
    assert told in ctxbudget(*asked, *more).error
    assert not kept.exists()


def test_a_workflow_that_names_a_missing_file_is_named(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, "phases:\n- {id: a, output: {file: gone.md}}\n")
    asked = ("--policy", "masking", "--results", tmp_path / "r")
    error = ctxbudget("sweep", "jwt_auth", path, *asked).error
    assert error.startswith(f"{path}:2: phases[0].output.file: 'gone.md' in ")


def test_an_empty_folder_and_one_without_sessions(ctxbudget: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.json").write_text('{"a": 1}', encoding="utf-8")
    asked = ("--policy", "ladder", "--results", tmp_path / "r")
    assert ctxbudget("sweep", tmp_path / "empty", *asked).error.endswith(
        "there is no .jsonl, .json or .gz file in it; name a file, or a folder with recorded sessions"
    )
    assert "is of no format that is known; name a file that holds" in (
        ctxbudget("sweep", tmp_path / "notes", *asked).error
    )


def test_damaged_files_among_good_ones_are_told_each_time(
    ctxbudget: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    whole = SESSION.read_bytes()
    (folder / "a.jsonl.gz").write_bytes(whole)
    (folder / "cut.jsonl.gz").write_bytes(whole[:3000])
    lines = gzip.decompress(whole).splitlines(keepends=True)
    (folder / "hole.jsonl").write_bytes(b"".join([*lines[:9], b"{oops\n", *lines[9:]]))
    (folder / "noise.json").write_bytes(b"\x00\xff")
    asked = ("sweep", folder, "--policy", "masking", "--results", tmp_path / "r", "--json")
    first = ctxbudget(*asked)
    assert list(first.json["left_out"]) == [str(folder / "noise.json")]
    cut, hole = (str(folder / name) for name in ("cut.jsonl.gz", "hole.jsonl"))
    assert list(first.json["partly_read"]) == [cut, hole]
    assert first.json["partly_read"][cut].startswith("cannot be read beyond line ")
    assert first.json["partly_read"][hole] == "1 damaged place"
    assert {one["ran"] for one in first.json["settings"]} == {3}
    assert ctxbudget(*asked).out == first.out


def test_a_results_file_serves_several_sweeps(ctxbudget: Command, tmp_path: Path) -> None:
    kept = tmp_path / "r"
    asked = ("sweep", "jwt_auth", "--policy", "moderate", "--json", "--results")
    ctxbudget("sweep", "naive", "--policy", "masking", "--json", "--results", kept)
    before = _lines(kept)
    assert ctxbudget(*asked, kept).out == ctxbudget(*asked, tmp_path / "own").out
    assert _lines(kept) == before + 2  # moderate and none


LONG: Final = (*ASKED, "--param", "policy.step=1,2,3,4,5,6,7,8")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what a sweep prints that nothing interrupts."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return in_subprocess("sweep", SESSION, *LONG, cwd=folder).out


@pytest.mark.parametrize("workers", ["1", "2", "1 --backend dask"])
def test_it_can_be_interrupted_and_goes_on(
    ctxbudget: Command, tmp_path: Path, uninterrupted: str, workers: str
) -> None:
    asked = [*LONG, "--results", str(tmp_path / "r")]
    command = [sys.executable, "-m", "ctxbudget", "sweep", str(SESSION), *asked]
    command += ["--workers", *workers.split()]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not _lines(tmp_path / "r") > 1:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers, too
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "start the same command again" in told
    assert told.splitlines()[1:] == ["", "ctxbudget: error: interrupted"]  # and no traceback
    before = _lines(tmp_path / "r")
    resumed = ctxbudget("sweep", SESSION, *asked)
    assert 1 < before < _lines(tmp_path / "r") == 1 + 35
    assert before % 8 in (1, 4)  # of a piece of work, 8 settings or the last 3, all or none is kept
    assert resumed.out == uninterrupted


KILLED_IN_A_LINE = """
import os, pathlib, resource, signal, sys
from ctxbudget.cli.main import main

# The file may not grow beyond the middle of a line; who is told so does not live on.
signal.signal(signal.SIGXFSZ, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_was_killed_in_the_middle_of_a_line_goes_on(
    ctxbudget: Command, tmp_path: Path, workers: str
) -> None:
    kept, other = tmp_path / "r", tmp_path / "other"
    asked = ["sweep", str(SESSION), *ASKED, "--results"]
    whole = ctxbudget(*asked, other)
    room = len(b"".join(other.read_bytes().splitlines(keepends=True)[:4])) + 30
    script = [
        sys.executable,
        "-c",
        KILLED_IN_A_LINE,
        str(room),
        *asked,
        str(kept),
        "--workers",
        workers,
    ]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert kept.stat().st_size == room
    assert not kept.read_bytes().endswith(b"\n")
    assert ctxbudget(*asked, kept).out == whole.out
    assert kept.read_bytes() == other.read_bytes()


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
