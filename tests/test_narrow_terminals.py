"""Tables on terminals of every width: no number is cut, no two phases look the same."""

from __future__ import annotations

import re
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commands import Command, written
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ctxbudget.config.lookup import find
from ctxbudget.config.run_setup import Overrides
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.fresh import Windows, compare_windows
from ctxbudget.report.narrow import BETWEEN, Column, beside_names, fitting, told_apart, width_of
from ctxbudget.report.windows_terminal import print_windows
from ctxbudget.simulate import measure_for

WIDTHS = (40, 60, 80, 100, 120)

PHASES = (
    "research-the-existing-authentication-code",
    "research-the-existing-session-storage",
    "research-the-threat-model",
    "plan-the-token-service",
    "plan-the-login-routes",
    "implement-the-token-service",
    "implement-the-login-routes",
    "implement-the-middleware",
    "test-the-token-service",
    "test-the-login-routes",
    "review-everything-once-more",
    "document-everything-once-more",
)

HEAD = """
name: long_names
window: 2000000
budget: 300000
policy: aggressive
model: claude-sonnet-4-5
thresholds: {layers: {transient: {limit: 200000}}}
phases:
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workflow of twelve phases with long names and peaks of six digits."""
    phases = "".join(
        f"  - {{id: {name}, output: {100_000 + 7_919 * number}, metadata: 500, calls: 3, "
        f"turn: {{call: 1000, result: {20_000 + 1_111 * number}}}}}\n"
        for number, name in enumerate(PHASES)
    )
    return written(tmp_path_factory.mktemp("flow"), HEAD + phases)


@pytest.fixture(scope="module")
def both_ways(flow: Path) -> Windows:
    """Return it in one long window and in fresh ones, which takes seconds to find."""
    loaded = read_workflow(find("workflows", str(flow)))
    return compare_windows(loaded, Overrides(), measure_for(loaded))


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, ctxbudget: Command, monkeypatch: Any) -> int:
    """Set a width of the terminal; the command's own fixture is asked for since it unsets it."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    found: int = request.param
    return found


def said(ctxbudget: Command, width: int, *arguments: object) -> str:
    """Return what a command prints, which fits the width."""
    ran = ctxbudget(*arguments)
    assert ran.code == 0, ran.err
    assert not any(line.endswith(" ") for line in ran.out.splitlines())
    check(ran.out, width)
    return ran.out


def check(printed: str, width: int) -> None:
    """Check that lines fit, and that no number is cut."""
    for line in printed.splitlines():
        assert len(line) <= width, line
        assert not re.search(r"[\d,.%]…|…[\d,.%]", line), line


def tables(printed: str) -> list[list[str]]:
    """Return the lines of each table's body, of those with a line below their heads."""
    found: list[list[str]] = []
    is_body = False
    for line in printed.splitlines():
        if re.fullmatch(r" ?─+ ?", line):
            found.append([])
            is_body = True
        elif not line.strip():
            is_body = False
        elif is_body:
            found[-1].append(line)
    return found


def names_in(rows: list[str]) -> list[str]:
    """Return the names that rows begin with, those on several lines put together."""
    names: list[str] = []
    for row in rows:
        name = row[1:].split("  ")[0].rstrip()
        if re.search(r"\s[\d,]{2,}(\s|$)", row):
            names.append(name)
        else:
            names[-1] += name
    return names


def numbers(values: Any) -> list[str]:
    return [f"{value:,}" for value in values]


def has_all(text: str, expected: list[str]) -> bool:
    found = text.split()
    return all(found.count(number) >= expected.count(number) for number in expected)


def test_simulate(ctxbudget: Command, flow: Path, width: int) -> None:
    asked = ("simulate", flow, "--policy", "none", "--policy", "aggressive")
    data = ctxbudget(*asked, "--json").json
    phases, policies = tables(said(ctxbudget, width, *asked))
    assert len(set(names_in(phases))) == len(PHASES)
    rows = data["phases"]
    assert has_all("\n".join(phases), numbers(row["peak_tokens"] for row in rows))
    assert [line.split()[0] for line in policies if re.search(r"\d{3},\d{3}", line)] == [
        "none",
        "aggressive",
    ]
    assert has_all("\n".join(policies), [f"{max(row['peak_tokens'] for row in rows):,}"])


def test_show(ctxbudget: Command, flow: Path, tmp_path: Path, width: int) -> None:
    journal = tmp_path / "run.jsonl"
    data = ctxbudget("simulate", flow, "--journal", journal, "--json").json
    printed = said(ctxbudget, width, "show", journal, "--rent", "item")
    phases, _, rent, plans = tables(printed)
    assert len(set(names_in(phases))) == len(PHASES)
    assert has_all("\n".join(phases), numbers(row["peak_tokens"] for row in data["phases"]))
    shown = ctxbudget("show", journal, "--rent", "item", "--json").json
    assert has_all("\n".join(rent), numbers(row["rent_tokens"] for row in shown["rent"][:10]))
    assert has_all("\n".join(plans), numbers(row["gained_tokens"] for row in shown["plans"][-10:]))


@pytest.mark.parametrize("columns", WIDTHS)
def test_windows(both_ways: Windows, columns: int) -> None:
    printed = StringIO()
    print_windows(Console(file=printed, width=columns, color_system=None), both_ways, None)
    check(printed.getvalue(), columns)
    table = [line for rows in tables(printed.getvalue()) for line in rows]
    assert len(set(names_in(table))) == len(PHASES)
    for way in (both_ways.long, both_ways.fresh):
        assert has_all("\n".join(table), numbers(row.peak_tokens for row in way.metrics.phases))


def test_schedule(ctxbudget: Command, flow: Path, width: int) -> None:
    data = ctxbudget("schedule", flow, "--json").json
    printed = said(ctxbudget, width, "schedule", flow)
    assert "proposed" in printed.partition("──")[0].split()  # heads are broken between words only
    (table,) = tables(printed)
    peaks = [row["peak_tokens"] for way in ("file", "schedule") for row in data[way]["phases"]]
    assert has_all("\n".join(table), numbers(peaks))


def test_diff(ctxbudget: Command, flow: Path, tmp_path: Path, width: int) -> None:
    text = flow.read_text(encoding="utf-8").replace("aggressive", "none")
    other = written(tmp_path, text, "other.yaml")
    data = ctxbudget("diff", flow, other, "--json").json
    run, phases = tables(said(ctxbudget, width, "diff", flow, other))
    for side in ("before", "after"):
        tokens = [row[side] for row in data["changed"] if row["unit"] == "tokens"]
        assert has_all("\n".join(run), numbers(tokens))
        tokens = [row[side] for row in data["phases_changed"][:20] if row["unit"] == "tokens"]
        assert has_all("\n".join(phases), numbers(tokens))
    assert "%" in "".join(run) or width == 40  # what A and B tell too goes first


# ---- columns are dropped only where they do not fit


@pytest.mark.parametrize(
    ("command", "columns", "shown"),
    [
        ("diff jwt_auth naive", 60, ["A", "B", "change"]),
        ("diff jwt_auth naive", 42, ["A", "B", "change"]),
        ("diff jwt_auth naive", 40, ["A", "B"]),
        ("windows jwt_auth --model claude-sonnet-4-6", 69, ["calls", "peak", "sent", "USD"] * 2),
        ("windows jwt_auth --model claude-sonnet-4-6", 68, ["peak", "sent", "USD"] * 2),
        ("windows jwt_auth --model claude-sonnet-4-6", 40, ["peak", "USD"] * 2),
    ],
)
def test_no_column_is_dropped_that_fits(
    ctxbudget: Command, monkeypatch: Any, command: str, columns: int, shown: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ctxbudget(*command.split()).out.splitlines()
    heads = next(before for before, line in pairwise(lines) if "──" in line)
    assert heads.split()[1:] == shown


TWO_ORDERS = """
policy: aggressive
phases:
- {id: all, output: 5000, metadata: 4000}
- {id: one, output: 5000, metadata: 4000}
- {id: end all, after: [all], output: 900, metadata: 300}
- {id: end one, after: [one], output: 900, metadata: 300}
"""


@pytest.mark.parametrize(("columns", "has_bars"), [(80, True), (65, True), (50, False)])
def test_bars_of_both_orders_stay_while_they_fit(
    ctxbudget: Command, tmp_path: Path, monkeypatch: Any, columns: int, has_bars: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = ctxbudget("schedule", written(tmp_path, TWO_ORDERS)).out
    assert "proposed" in printed
    assert ("░" in printed) is has_bars
    assert ("a full bar" in " ".join(printed.split())) is has_bars


def test_columns_of_a_group_go_together() -> None:
    columns = [
        Column(name="long\ncalls", cells=("1",), group="calls"),
        Column(name="long\npeak", cells=("9,000",), group="peak"),
        Column(name="fresh\ncalls", cells=("1",), group="calls"),
    ]
    assert [one.width for one in columns] == [7, 7, 7]
    assert fitting(columns, 21, drop=("calls",)) == columns
    assert fitting(columns, 20, drop=("calls",)) == columns[1:2]


@pytest.mark.parametrize(
    ("names", "width", "shown"),
    [
        (["plan", "test"], 4, ["plan", "test"]),
        (["read-the-old-code", "test-the-old-code"], 16, ["read-…old-code", "test-…old-code"]),
        # on one line both would be `read-…-code`
        (["read-the-old-code", "read-the-new-code"], 11,
         ["read-the-\nold-code", "read-the-\nnew-code"]),
        # on two lines, too, without their middle
        (["read-it-once-and-then-go", "read-it-twice-and-then-go"], 8,
         ["read-it-\nonce-\nand-then\n-go", "read-it-\ntwice-\nand-then\n-go"]),
        (["aaab", "aaac", "aac"], 1, ["a\na\na\nb", "a\na\na\nc", "a\na\nc"]),
    ],
)  # fmt: skip
def test_names_are_told_apart(names: list[str], width: int, shown: list[str]) -> None:
    assert told_apart(names, width) == shown


NAMES = st.lists(st.text("ab-/", min_size=1, max_size=30), min_size=1, max_size=6)


@given(NAMES, st.integers(1, 40))
def test_different_names_stay_different_and_fit(names: list[str], width: int) -> None:
    shown = told_apart(names, width)
    assert len(set(shown)) == len(set(names))
    assert all(len(line) <= width for name in shown for line in name.splitlines())


@given(
    NAMES,
    st.lists(st.text("0123456789", min_size=1, max_size=9), min_size=1, max_size=6),
    st.integers(8, 120),
)
def test_columns_beside_names_fit(names: list[str], cells: list[str], width: int) -> None:
    columns = [
        Column(name=str(place), cells=(cell,), group="" if place else "kept")
        for place, cell in enumerate(cells)
    ]
    drop = [str(place) for place in range(1, len(cells))]
    shown, fitted = beside_names(columns, names, width, drop=drop)
    assert shown[0] == columns[0]
    assert len(fitted) == len(names)
    name_width = max(len(line) for name in fitted for line in name.splitlines())
    assert BETWEEN + name_width + width_of(shown) <= max(width, BETWEEN + 1 + columns[0].width)
