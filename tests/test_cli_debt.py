"""Tests of `ctxbudget audit --debt`: the real command on sessions written here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, in_subprocess, on_terminal
from recorded_lines import as_bytes, claude_usage
from rich.console import Console

from ctxbudget import Run, Usage
from ctxbudget.debt import Debt, Finding
from ctxbudget.debt.findings import Saving
from ctxbudget.debt.reads import Rereads
from ctxbudget.debt.rent import Rents
from ctxbudget.recorded.bill import Thread
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.report.debt_rows import DebtRow
from ctxbudget.report.debt_terminal import print_debt

OPUS = "claude-opus-4-6"
FIRST, CALLED, READ = 20_000, 100, 2_000
"""Tokens of the first prompt, of each answer, and of each result."""


def text_of(number: int) -> str:
    return "\n".join(f"value_{number}_{line} = compute_thing({line})" for line in range(110))


def line(kind: str, number: int, parent: str | None, minute: int, **message: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"{kind}-{number}",
        "parentUuid": parent,
        "sessionId": "s-1",
        "cwd": "/home/ann/shop",
        "version": "2.1.120",
        "timestamp": f"2026-03-02T10:{minute:02d}:00.000Z",
        "isSidechain": False,
        "message": message,
    }


def session(calls: int, *, name: str = "s", break_at: int = 0, model: str = OPUS) -> bytes:
    """Return a session that reads a file with each call and uses none of them.

    Before the call `break_at`, a result takes ten minutes, so that the five-minute cache is gone.
    """
    lines: list[object] = [line("user", 0, None, 0, role="user", content="mend the cart")]
    parent, minute, cached = "user-0", 0, 0
    for number in range(1, calls + 1):
        prompt = FIRST + (number - 1) * (CALLED + READ)
        read = 0 if number == break_at else cached
        block: dict[str, Any] = {
            "type": "tool_use",
            "id": f"toolu_{number}",
            "name": "Read",
            "input": {"file_path": f"/home/ann/shop/f{number}.py"},
        }
        answer = {
            "id": f"{name}-{number}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [block],
            "stop_reason": "tool_use",
            "usage": claude_usage(0, read=read, w5m=prompt - read, output=CALLED),
        }
        lines.append(line("assistant", number, parent, minute, **answer))
        minute += 10 if number + 1 == break_at else 1
        result = {
            "type": "tool_result",
            "tool_use_id": f"toolu_{number}",
            "content": text_of(number),
        }
        parent = f"assistant-{number}"
        lines.append(line("user", number, parent, minute, role="user", content=[result]))
        parent, cached = f"user-{number}", prompt
    return as_bytes(lines)


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Return a folder of a session with a break, one without, and one that is too short."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    (folder / "broken.jsonl").write_bytes(session(14, name="broken", break_at=12))
    (folder / "even.jsonl").write_bytes(session(10, name="even"))
    (folder / "short.jsonl").write_bytes(session(9, name="short"))
    return folder


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {Path(row["file"]).stem: row for row in found["sessions"]}


def test_the_debt_stands_beside_the_bill(ctxbudget: Command, sessions: Path) -> None:
    plain = ctxbudget("audit", sessions, "--json").json
    found = ctxbudget("audit", sessions, "--debt", "--json").json
    rows = by_name(found)
    even = rows["even"]["debt"]
    assert even["calls"] == 10
    # of the results of the calls 1 to 8, nothing was used and two or more calls carried them
    reads = even["speculative_reads"]
    assert [(one["source"], one["tokens"], one["arrived_before_call"]) for one in reads] == [
        (f"/home/ann/shop/f{number}.py", READ, number + 1) for number in range(1, 9)
    ]
    assert [one["calls"] for one in reads] == list(range(8, 0, -1))
    # opus 4.6 costs 0.5 and 6.25 USD a million: 20,000 and 9 x 2,100 are written, the rest is read
    read_tokens = sum(FIRST + number * (CALLED + READ) for number in range(9))
    assert float(even["input_cost_usd"]) == pytest.approx(
        (6.25 * (FIRST + 9 * (CALLED + READ)) + 0.5 * read_tokens) / 1e6, abs=1e-6
    )
    (finding,) = even["findings"]
    assert finding["what"] == "speculative_reads"
    assert (finding["count"], finding["tokens"]) == (8, 8 * READ)
    assert (finding["misses"], finding["why_no_saving"]) == (0, None)
    saved, whole = float(finding["saves_usd"]), float(even["input_cost_usd"])
    assert finding["saves_frac"] == pytest.approx(saved / whole, abs=1e-5)
    assert finding["saves_with_misses_usd"] == finding["saves_usd"]
    for row in found["sessions"]:
        row.pop("debt")
        row.pop("debt_left_out", None)
    found.pop("debt")
    assert found == plain


def test_coming_back_is_found_and_all_sessions_are_added_up(
    ctxbudget: Command, sessions: Path
) -> None:
    found = ctxbudget("audit", sessions, "--debt", "--json").json
    rows = by_name(found)
    broken = rows["broken"]["debt"]
    again = FIRST + 10 * (CALLED + READ)
    (entry,) = broken["cache_reentries"]
    assert (entry["call"], entry["gap_s"], entry["tokens"]) == (12, 600, again)
    assert float(entry["cost_usd"]) == pytest.approx(again * 5.75 / 1e6, abs=1e-6)
    kinds = {one["what"]: one for one in broken["findings"]}
    assert set(kinds) == {"cache_reentries", "five_minute_cache", "speculative_reads"}
    assert kinds["cache_reentries"]["policy"] == "compact-before-break"
    assert kinds["five_minute_cache"]["options"] == "--ttl 1h"
    assert rows["short"]["debt"] is None
    assert rows["short"]["debt_left_out"] == "fewer than 10 calls"
    total = found["debt"]
    assert (total["sessions"], total["left_out"]) == (2, 1)
    whole = float(broken["input_cost_usd"]) + float(rows["even"]["debt"]["input_cost_usd"])
    assert float(total["input_cost_usd"]) == pytest.approx(whole, abs=2e-6)
    sums = {one["what"]: one for one in total["findings"]}
    speculative = sums["speculative_reads"]
    assert (speculative["sessions"], speculative["count"]) == (2, 8 + 12)
    saves = [
        float(rows[name]["debt"]["findings"][place]["saves_usd"])
        for name in ("broken", "even")
        for place, one in enumerate(rows[name]["debt"]["findings"])
        if one["what"] == "speculative_reads"
    ]
    assert float(speculative["saves_usd"]) == pytest.approx(sum(saves), abs=2e-6)
    assert speculative["saves_frac"] == pytest.approx(sum(saves) / whole, abs=1e-5)
    ranked = [float(one["saves_usd"]) for one in total["findings"]]
    assert ranked == sorted(ranked, reverse=True)


def test_rents_are_shares_of_the_input_cost(ctxbudget: Command, sessions: Path) -> None:
    found = ctxbudget("audit", sessions / "even.jsonl", "--debt", "--json").json
    rent = found["sessions"][0]["debt"]["rent"]
    assert rent["items"][0]["id"] == "prefix"
    assert rent["items"][0]["calls"] == 10
    assert rent["items"][0]["rent_tokens"] == 10 * rent["items"][0]["tokens"]
    for name in ("by_tool", "by_kind", "by_source"):
        assert sum(one["cost_frac"] for one in rent[name]) == pytest.approx(1, abs=1e-4)
    assert {one["name"] for one in rent["by_tool"]} == {"-", "Read"}


def test_as_tables(ctxbudget: Command, sessions: Path) -> None:
    ran = ctxbudget("audit", sessions, "--debt")
    assert ran.code == 0
    out = " ".join(ran.out.split())
    for words in (
        "Debt of broken.jsonl, 14 calls, input cost",
        "Debt of even.jsonl, 10 calls",
        "Dearest to carry: prefix (system)",
        "(tool_result Read f1.py) 2,000 tokens in 9 calls",
        "Came back to a cold cache once; the longest gap was 0.2 hours.",
        "Debt of 2 sessions, input cost",
        "speculative reads",
        "cache reentries: compact before a break",
        "replayed with compact-before-break",
        "replayed with none --ttl 1h",
        "they overlap, and do not add up",
        "It can be more than USD, since a prompt that was made shorter stays shorter",
        "L19 is from line 19 of the file",
        "prefix is the hidden system prompt with the tools; unseen3 came in without being shown",
    ):
        assert words in out, words
    assert "short.jsonl, 9 calls" not in out
    assert ran.err == ""


def test_a_narrow_terminal_has_fewer_columns(sessions: Path, tmp_path: Path) -> None:
    narrow = in_subprocess("audit", sessions, "--debt", cwd=tmp_path, env={"COLUMNS": "80"}).out
    (head, *_) = [one for one in narrow.splitlines() if "of input" in one]
    assert "with misses" in head
    assert " tokens " not in head
    assert all(len(one) <= 80 for one in narrow.splitlines())


@pytest.mark.parametrize("columns", [40, 60])
def test_numbers_are_never_cut(
    ctxbudget: Command, sessions: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    wide = ctxbudget("audit", sessions, "--debt").out
    monkeypatch.setenv("COLUMNS", str(columns))
    out = ctxbudget("audit", sessions, "--debt").out
    assert "…" not in out
    for shown in (out, wide):
        assert max(map(len, shown.splitlines())) <= (columns if shown is out else 120)
    (saved,) = {one.split()[-1] for one in wide.splitlines() if one.startswith(" five minute")}
    assert saved in {one.split()[-1] for one in out.splitlines() if one.startswith(" five minute")}


def test_a_step_that_would_not_have_paid_is_not_recommended() -> None:
    """With misses, it would have cost 2 cents more; without, it would have saved one."""
    saving = Saving(
        policy="compact-before-break",
        usd=Decimal("0.01"),
        with_misses_usd=Decimal("-0.02"),
        misses=3,
    )
    found = Finding(
        what="cache_reentries",
        count=1,
        tokens=9_000,
        cost_usd=Decimal("0.05"),
        input_usd=Decimal(1),
        saving=saving,
    )
    good = replace(
        found, what="speculative_reads", saving=replace(saving, with_misses_usd=Decimal(0))
    )
    thread = Thread(file=RecordedFile(file="a.jsonl"), agent=None)
    debt = Debt(
        calls=12,
        input_usd=Decimal(1),
        rents=Rents(items=(), by_tool=(), by_source=(), by_kind=()),
        speculative=(),
        superseded=(),
        rereads=Rereads(redundant=(), lost=()),
        reentries=(),
        compactions=(),
        findings=(found, good),
    )
    heard = StringIO()
    print_debt(Console(file=heard, width=200), [DebtRow(thread=thread, debt=debt)])
    (bad_at, good_at) = (
        heard.getvalue().index(f"\n{one}: ") for one in ("cache reentries", "speculative reads")
    )
    assert good_at < bad_at
    assert (
        "\ncache reentries: would not have paid here (compact before a break: the cache will be cold "
        "when work goes on; replayed with compact-before-break)\n" in heard.getvalue()
    )
    assert "speculative reads: load only what is needed" in heard.getvalue()


def test_many_sessions_are_shown_by_the_few_that_hold_half(
    ctxbudget: Command, tmp_path: Path
) -> None:
    for number in range(11):
        calls = 30 if number == 5 else 10
        (tmp_path / f"s{number:02}.jsonl").write_bytes(session(calls, name=f"s{number}"))
    out = ctxbudget("audit", tmp_path, "--debt").out
    assert "Debt of s05.jsonl, 30 calls" in out
    assert out.count("Debt of s") < 11
    assert "Above are the sessions that hold half of the cost" in out
    assert "Debt of 11 sessions" in out


def test_what_cannot_be_replayed_is_told_and_left_out(
    ctxbudget: Command, sessions: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "own.jsonl"
    with Run.open(
        model=OPUS, counter="o200k_base", window_tokens=100_000, policy="none", journal=journal
    ) as run:
        run.user("mend the cart")
        for _ in range(10):
            run.prompt()
            run.used(Usage(uncached_tokens=100, output_tokens=5, model=OPUS))
            run.assistant("It is done.")
    ran = ctxbudget("audit", sessions / "even.jsonl", journal, "--debt", "--json")
    rows = by_name(ran.json)
    assert rows["own"]["calls"] == 10
    assert rows["own"]["debt"] is None
    assert "a journal of ctxbudget" in rows["own"]["debt_left_out"]
    assert "own.jsonl: a journal of ctxbudget" in ran.err
    assert rows["even"]["debt"]["calls"] == 10


def test_stdin_is_billed_and_its_debt_left_out(sessions: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ctxbudget", "audit", "-", "--debt", "--json"],
        input=session(12),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    (row,) = json.loads(done.stdout)["sessions"]
    assert (row["calls"], row["debt"]) == (12, None)
    assert "stdin cannot be read twice" in done.stderr.decode()


def test_without_a_long_session_there_is_nothing_to_show(
    ctxbudget: Command, sessions: Path
) -> None:
    ran = ctxbudget("audit", sessions / "short.jsonl", "--debt")
    assert "No session of 10 calls or more could be replayed" in ran.out
    assert ran.err == ""


def test_a_model_without_a_price(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(session(12, model="gryphon-9"))
    (row,) = ctxbudget("audit", path, "--debt", "--json").json["sessions"]
    debt = row["debt"]
    assert debt["input_cost_usd"] is None
    (finding,) = debt["findings"]
    assert (finding["cost_usd"], finding["saves_usd"], finding["saves_frac"]) == (None, None, None)
    assert finding["tokens"] == 10 * READ
    assert "input cost – USD" in ctxbudget("audit", path, "--debt").out


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_range_does_not_go_with_debt(ctxbudget: Command, sessions: Path, option: str) -> None:
    error = ctxbudget("audit", sessions, "--debt", option, "2026-03-02").error
    assert "leave --since and --until out" in error


def test_a_terminal_shows_how_far_replaying_is(sessions: Path) -> None:
    shown, _ = on_terminal("audit", sessions, "--debt")
    assert "replaying" in shown
