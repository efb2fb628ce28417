"""Tests of `--html`: one file that needs nothing else, with the numbers of the other reports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builders import phases
from commands import ROOT, Command, in_subprocess, written

from ctxbudget.core.events import (
    CallSent,
    Event,
    ItemAdded,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    RunClosed,
    RunStarted,
)
from ctxbudget.core.types import Do, Item, Kind, Price, Scale
from ctxbudget.report.drawn import DrawnRun
from ctxbudget.report.html.of_journal import journal_page
from ctxbudget.report.html.page import rendered
from ctxbudget.report.journal_rows import JournalRows

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"
MOST_BYTES = 6_000_000


def charts_of(page: Path) -> dict[str, Any]:
    """Return the charts of a page as plotly is given them."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', text)
    charts: dict[str, Any] = json.loads(found)
    return charts


def check_alone(page: Path) -> str:
    """Check that a page needs no other file; return its part without scripts."""
    assert page.stat().st_size < MOST_BYTES
    text = page.read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1
    body = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import|https?://|<link|<iframe", body)
    sections = body.split("<section>")[1:]
    for section in sections:
        assert section.count("<table>") >= section.count('class="chart"')
    return body


def trace(chart: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in chart["data"] if one.get("name") == name)
    return found


# ---- each command


def test_simulate_draws_what_its_json_says(ctxbudget: Command, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    model = ("--model", "claude-sonnet-4-5")
    ran = ctxbudget(
        "simulate", "jwt_auth", "--policy", "moderate", *model, "--html", page, "--json"
    )
    run = ran.json["run"]
    assert ran.err.startswith(f"ctxbudget: report written to {page} (4.")
    body = check_alone(page)
    charts = charts_of(page)
    prompt, by_phase, lines, costs, calls, *_ = charts.values()
    assert max(trace(prompt, "whole prompt")["y"]) == run["peak_tokens"]
    assert trace(prompt, "peak")["y"] == [run["peak_tokens"]]
    assert trace(by_phase, "kept")["x"] == [row["kept_tokens"] for row in ran.json["phases"]]
    assert trace(by_phase, "allocated")["x"] == [
        row["allocated_tokens"] for row in ran.json["phases"]
    ]
    assert max(trace(lines, "none")["y"]) == ran.json["none"]["run"]["peak_tokens"]
    parts = [one["x"][0] for one in costs["data"]]
    assert sum(parts) == pytest.approx(float(run["cost_usd"]), abs=1e-5)
    assert len(calls["data"]) == 2
    for number in (
        f"{run['peak_tokens']:,}",
        f"{run['sent_tokens']:,}",
        f"{run['pruned_tokens']:,}",
    ):
        assert number in body
    assert f"{Decimal(run['cost_usd']):.4f}" in body


def test_simulate_compares_all_its_policies(ctxbudget: Command, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    asked = ("--policy", "none", "--policy", "aggressive", "--policy", "aggressive")
    ctxbudget("simulate", "jwt_auth", *asked, "--html", page)
    lines = list(charts_of(page).values())[2]
    names = [one["name"] for one in lines["data"]]
    assert names == ["none", "aggressive", "aggressive", "budget"]


def test_replay_draws_what_its_json_says(ctxbudget: Command, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    asked = ("--policy", "masking", "--policy", "clear-tool-uses:above=40000")
    ran = ctxbudget("replay", SESSION, *asked, "--html", page, "--json")
    found = ran.json["policies"]
    check_alone(page)
    lines, tradeoff, costs, _, calls, misses, *_ = charts_of(page).values()
    names = [one["policy"] for one in found]
    assert [one["name"] for one in lines["data"]] == names
    shown = [one for one in tradeoff["data"] if one["mode"] == "markers"]
    for one, left, right in zip(found, shown, shown[len(found) :], strict=False):
        assert left["x"] == [pytest.approx(one["recall"])]
        assert right["x"] == [pytest.approx(one["quote_recall"])]
        assert left["y"] == [pytest.approx(float(one["cost_usd"]), abs=1e-6)]
    front = trace(tradeoff, "Pareto front: no other beats these")
    assert front["x"] == [pytest.approx(found[1]["recall"]), 1.0]
    for place, one in enumerate(found):
        parts = sum(part["x"][place] for part in costs["data"])
        whole = float(one["cost_usd"]) + float(ran.json["output_cost_usd"])
        assert parts == pytest.approx(whole, abs=1e-5)
    assert sum(sum(part["y"]) for part in calls["data"]) == found[0]["sent_tokens"]
    assert [sum(one) for one in zip(*(part["x"] for part in misses["data"]), strict=True)] == [
        one["misses"] for one in found
    ]


def test_replay_of_a_journal_without_texts_says_what_is_missing(
    ctxbudget: Command, tmp_path: Path
) -> None:
    journal, page = tmp_path / "run.jsonl", tmp_path / "out.html"
    ctxbudget("simulate", "jwt_auth", "--journal", journal)
    ctxbudget("replay", journal, "--policy", "masking", "--html", page)
    body = check_alone(page)
    assert "The journal holds no texts" in body
    assert "The price of a model is not known" in body
    assert "recall of identifiers" not in body


def test_audit_draws_what_its_json_says(ctxbudget: Command, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    ran = ctxbudget("audit", SESSION, "--by", "model", "--html", page, "--json")
    (session,) = ran.json["sessions"]
    body = check_alone(page)
    costs, calls = charts_of(page).values()
    parts = {one["name"]: one["x"][0] for one in costs["data"]}
    assert sum(parts.values()) == pytest.approx(float(session["cost_usd"]), abs=1e-5)
    assert sum(trace(calls, "cache read")["y"]) == session["cache_read_tokens"]
    assert "By model: claude-sonnet-4-6 costs most" in body


def test_audit_leaves_out_of_the_picture_what_a_range_leaves_out(
    ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    ctxbudget("audit", SESSION, "--since", "2030-01-01", "--html", page)
    assert "No call was found, so there is nothing to draw." in page.read_text(encoding="utf-8")


def test_show_draws_a_thread_and_a_phase(ctxbudget: Command, tmp_path: Path) -> None:
    journal, page = tmp_path / "run.jsonl", tmp_path / "out.html"
    ctxbudget("simulate", "jwt_auth", "--policy", "moderate", "--journal", journal)
    shown = ctxbudget("show", journal, "--html", page, "--json").json
    body = check_alone(page)
    prompt, by_phase, *_ = charts_of(page).values()
    assert trace(prompt, "peak")["y"] == [shown["run"]["peak_tokens"]]
    assert len(trace(by_phase, "kept")["x"]) == len(shown["phases"])
    assert "9 agents worked in threads of their own" in body.replace("Agents", "agents")
    (plan, *_) = shown["plans"]
    assert plan["rule"] in body
    ctxbudget("show", journal, "--thread", "3/middleware", "--phase", "3", "--html", page)
    body = check_alone(page)
    assert "The prompt of 3/middleware peaks at" in body
    assert "Asked for: phase 3 and thread 3/middleware." in body
    assert len(trace(list(charts_of(page).values())[1], "kept")["x"]) == 1


# ---- little to show, and much


def lines_of(journal: Path, count: int) -> Path:
    """Return a copy of a journal that ends after so many lines."""
    path = journal.with_name(f"first-{count}.jsonl")
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:count]), encoding="utf-8")
    return path


@pytest.mark.parametrize("events", [1, 2, 3])
def test_a_run_that_has_hardly_begun_has_a_small_report(
    ctxbudget: Command, tmp_path: Path, events: int
) -> None:
    journal, page = tmp_path / "run.jsonl", tmp_path / "out.html"
    ctxbudget("simulate", "jwt_auth", "--journal", journal)
    short = lines_of(journal, events + 1)
    assert ctxbudget("show", short, "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "The run had not ended when this was read: the journal stops " in text
    assert "No call had been sent" in text
    if events == 1:
        assert "Nothing came into this prompt, so there is no picture." in text
        assert "plotly.js v" not in text


def test_a_journal_without_an_event_is_an_error(ctxbudget: Command, tmp_path: Path) -> None:
    journal, page = tmp_path / "run.jsonl", tmp_path / "out.html"
    ctxbudget("simulate", "jwt_auth", "--journal", journal)
    error = ctxbudget("show", lines_of(journal, 1), "--html", page).error
    assert "holds no run yet" in error
    assert not page.exists()


def long_run(calls: int) -> list[Event]:
    """Return the events of a run of many calls, with a prune every ten of them."""
    price = Price(
        input_usd=Decimal("0.000003"),
        cache_read_usd=Decimal("0.0000003"),
        cache_write_5m_usd=Decimal("0.00000375"),
        cache_write_1h_usd=Decimal("0.000006"),
        output_usd=Decimal("0.000015"),
    )
    names = [f"p{number}" for number in range(20)]
    found: list[Event] = [
        RunStarted(
            at=0.0,
            workflow="long",
            scale=Scale(window_tokens=200_000, reserve_tokens=0, budget_tokens=100_000),
            phases=phases(**dict.fromkeys(names, "")),
            policy={"name": "by hand"},
            prices={"m": price},
        )
    ]
    tokens, number = 0, 0
    for name in names:
        found.append(PhaseStarted(at=float(number), phase=name))
        for _ in range(calls // len(names)):
            number += 1
            size = 500 + number * 7919 % 3001
            tokens += size
            item = Item(
                id=f"i{number}", tokens=size, kind=Kind.TOOL_RESULT, tool="Read", phase=name
            )
            found.append(ItemAdded(at=float(number), item=item))
            found.append(
                CallSent(
                    at=float(number),
                    call=number,
                    tokens=tokens,
                    cache_read_tokens=tokens - size,
                    cache_write_tokens=size,
                    uncached_tokens=0,
                    rewritten_tokens=tokens // 2 if number % 5 == 0 else 0,
                    model="m",
                )
            )
            if number % 10 == 0:
                gone = tuple(f"i{old}" for old in range(number - 9, number + 1))
                found.append(
                    Pruned(
                        at=float(number),
                        rule="by hand",
                        reason="ten calls have gone by, and what they brought is not needed",
                        do=Do.DROP,
                        items=gone,
                        removed_tokens=tokens,
                        occupancy_tokens=0,
                        plan=number // 10,
                    )
                )
                tokens = 0
        found.append(
            PhaseClosed(
                at=float(number),
                phase=name,
                allocated_tokens=5_000,
                start_tokens=0,
                peak_tokens=30_000,
                residual_tokens=0,
                kept_tokens=0,
                over_tokens=0,
            )
        )
    closed = RunClosed(
        at=1e5, planned_tokens=1, peak_tokens=30_000, residual_tokens=0, over_tokens=0
    )
    return [*found, closed]


def test_fifty_thousand_calls_stay_small_and_keep_their_peak() -> None:
    rows = JournalRows()
    drawn = DrawnRun(history=rows.history)
    events = long_run(50_000)
    for event in events:
        rows(event)
        drawn(event)
    start = events[0]
    assert isinstance(start, RunStarted)
    text = rendered(journal_page("long.jsonl", rows, start, drawn))
    assert len(text.encode()) < MOST_BYTES
    (data,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', text)
    prompt = json.loads(data)["chart-1"]
    assert max(trace(prompt, "whole prompt")["y"]) == max(drawn.timeline.totals)
    assert "The 250 largest of 5,000 prunes are shown." in text
    assert "The 250 largest of 10,000 cache rewrites are shown." in text
    assert re.search(r"1,\d{3} of \d\d,\d{3} points are drawn", text)


# ---- places


def test_a_report_is_replaced_and_nothing_else_is(ctxbudget: Command, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    page.write_text("<!DOCTYPE html><p>an older one", encoding="utf-8")
    assert ctxbudget("simulate", "jwt_auth", "--html", page).code == 0
    assert page.stat().st_size > 1_000_000
    flow = written(tmp_path, "phases: [{id: a}]")
    error = ctxbudget("simulate", flow, "--html", flow).error
    assert error == f"--html: {flow}: exists and is no HTML file; choose another place"
    assert flow.read_text(encoding="utf-8") == "phases: [{id: a}]"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["flow.yaml", "out.html"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is a folder"),
        ("missing/out.html", "there is no folder 'missing'"),
        ("pipe", "is not an ordinary file"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_any_work(
    ctxbudget: Command, tmp_path: Path, name: str, why: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    place = tmp_path / name if name else tmp_path
    for words in (
        ("simulate", "no such workflow"),
        ("replay", "no such session"),
        ("audit", "no such session"),
        ("show", "no such journal"),
    ):
        error = ctxbudget(*words, "--html", place).error
        assert error == f"--html: {place}: {why}; choose another place"


def test_a_folder_that_takes_no_file_is_told(ctxbudget: Command) -> None:
    error = ctxbudget("simulate", "jwt_auth", "--html", "/proc/out.html").error
    assert error.startswith("--html: /proc/out.html: ")
    assert error.endswith("; choose another place")


def test_without_plotly_it_is_said_how_to_install_it(tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "plotly"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ModuleNotFoundError('plotly')\n", encoding="utf-8")
    path = os.pathsep.join((str(absent.parent), str(ROOT)))
    ran = in_subprocess(
        *("simulate", "jwt_auth", "--html", "out.html"), cwd=tmp_path, env={"PYTHONPATH": path}
    )
    assert ran.error == (
        "--html: the HTML report is made with plotly, which is not installed; "
        "run: pip install 'ctxbudget[html]'"
    )
    plain = in_subprocess("simulate", "jwt_auth", cwd=tmp_path, env={"PYTHONPATH": path})
    assert plain.code == 0


def test_an_interrupted_run_leaves_the_older_report_alone(tmp_path: Path) -> None:
    """Interrupted as it begins to write: the file is the old one, or a whole new one already."""
    page = tmp_path / "out.html"
    older = "<!DOCTYPE html><p>an older one"
    page.write_text(older, encoding="utf-8")
    command = [sys.executable, "-m", "ctxbudget", "replay", str(SESSION), "--html", str(page)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None and not list(tmp_path.glob(".out.html.*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    process.communicate()
    text = page.read_text(encoding="utf-8")
    assert text == older or text.rstrip().endswith("</html>")
    assert [one.name for one in tmp_path.iterdir()] == ["out.html"]
