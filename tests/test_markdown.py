"""Tests of what is printed for pull requests: cells that stay cells, and numbers as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ROOT, Command, written

from ctxbudget.gate.outcome import Unit
from ctxbudget.report.markdown import escaped, table
from ctxbudget.report.numbers import cell, difference

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jwt_auth", "jwt_auth"),
        ("_a_ b_", "&#95;a&#95; b&#95;"),
        ("a|b", "a&#124;b"),
        ("<b>&amp;", "&#60;b&#62;&#38;amp;"),
        ("@all #7 `x` *y* [z](u)", "&#64;all &#35;7 &#96;x&#96; &#42;y&#42; &#91;z&#93;(u)"),
        ("two\nlines\x1b[31m", "two lines&#92;x1b&#91;31m"),
    ],
)
def test_what_users_wrote_is_shown_as_they_wrote_it(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_a_table() -> None:
    assert table(("a", "b"), [("x", "1"), ("y", "2")]) == (
        "| a | b |\n| :--- | ---: |\n| x | 1 |\n| y | 2 |"
    )
    assert table(("a", "b"), [], texts=2).endswith("| :--- | :--- |")


def rows_of(out: str) -> list[list[str]]:
    lines = [line for line in out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_simulation(ctxbudget: Command) -> None:
    options = ("jwt_auth", "--policy", "aggressive", "--policy", "minimal")
    out = ctxbudget("simulate", *options, "--markdown").out
    data = ctxbudget("simulate", *options, "--json").json
    rows = rows_of(out)
    for phase in data["phases"]:
        (row,) = (row for row in rows if row[0] == phase["id"])
        numbers = [phase[key] for key in ("allocated_tokens", "peak_tokens", "residual_tokens")]
        assert [row[2], row[3], row[5]] == [f"{number:,}" for number in numbers]
        assert (row[6], row[7]) == (f"{phase['pruned_tokens']:,}", f"{phase['sent_tokens']:,}")
    assert [row[0] for row in rows if row[0] in ("aggressive", "minimal", "none")] == [
        "aggressive",
        "minimal",
        "none",
    ]
    assert "**jwt_auth** under policy aggressive: peak 15,500 of a budget of 7,500" in out
    assert "- phase 1 peaks at 15,500, above critical" in out


def test_hostile_names_stay_in_their_cells(ctxbudget: Command, tmp_path: Path) -> None:
    flow = "name: '<script>'\nphases:\n  - {id: 'a|b', output: 5}\n  - {id: '@me', output: 6}\n"
    out = ctxbudget("simulate", written(tmp_path, flow), "--markdown").out
    assert "<script>" not in out
    rows = rows_of(out)
    assert {len(row) for row in rows} == {9, 7}
    assert [row[0] for row in rows if len(row) == 9][2:] == ["a&#124;b", "&#64;me"]


def test_a_replay(ctxbudget: Command) -> None:
    out = ctxbudget("replay", SESSION, "--policy", "masking", "--markdown").out
    data = ctxbudget("replay", SESSION, "--policy", "masking", "--json").json["policies"]
    rows = rows_of(out)[2:]
    assert [row[0] for row in rows] == [
        "masking",
        "none",
        "unbounded (bound)",
        "clairvoyant (bound)",
    ]
    for row, one in zip(rows, data, strict=True):
        assert row[1:3] == [f"{one['sent_tokens']:,}", f"{one['peak_tokens']:,}"]
        assert float(row[3]) == pytest.approx(float(one["cost_usd"]), abs=0.00006)
        assert float(row[9]) == pytest.approx(float(one["total_cost_usd"]), abs=0.00006)
        assert (row[5], row[8]) == (str(one["rewrites"]), str(one["misses"]))
        assert row[6] == f"{one['recall']:.1%}"


def test_not_both_forms_at_once(ctxbudget: Command) -> None:
    for command in (("simulate", "jwt_auth"), ("replay", SESSION)):
        assert "goes without --json" in ctxbudget(*command, "--json", "--markdown").error
    many = ctxbudget("simulate", "uncertain", "--runs", 3, "--markdown").error
    assert "--markdown: is of one run" in many


@pytest.mark.parametrize(
    ("before", "after", "cells"),
    [
        (1.0, 0.99497, ("100.00%", "99.49%", "-0.51 points")),
        (1.0, 0.999999, ("100.00%", "99.99%", "-0.01 points")),
        (0.5, 1.0, ("50.00%", "100.00%", "+50.00 points")),
    ],
)
def test_a_share_is_never_rounded_up_to_all(
    before: float, after: float, cells: tuple[str, ...]
) -> None:
    shown = (cell(before, Unit.SHARE), cell(after, Unit.SHARE))
    assert (*shown, difference(after - before, Unit.SHARE)) == cells
