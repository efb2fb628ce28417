"""Tests of `ctxbudget audit`: the real command on sessions written here."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, in_subprocess, on_terminal
from recorded_lines import (
    as_bytes,
    claude,
    claude_progress,
    claude_usage,
    claude_user,
    codex_count,
    codex_meta,
    codex_turn,
    codex_usage,
    mini_swe,
    mini_swe_answer,
)

MAIN_LINES = [
    claude_user(),
    claude("m1", claude_usage(1_000, read=100_000, w1h=20_000, output=2), text="x" * 3000),
    claude("m1", claude_usage(1_000, read=100_000, w1h=20_000, output=3_000), stop="end_turn"),
    claude_progress("a1", claude_usage(100, w5m=4_000, output=50), "ab12"),
    {"type": "moon-phase", "sessionId": "s-1"},
    b'{"type":"assistant","uuid":"u',
    claude(
        "m2", claude_usage(10, read=121_000, output=900), stop="end_turn", at="2026-03-03T08:00:00Z"
    ),
]
"""At 5, 0.5, 6.25, 10 and 25 dollars per million tokens of each kind, the main thread costs
(1,010 x 5 + 221,000 x 0.5 + 20,000 x 10 + 3,900 x 25) / 1,000,000 = 0.41305 dollars.
"""


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Return a folder of one session of each of four kinds, and a file that is none."""
    folder = tmp_path / "recorded"
    (folder / "s-1" / "subagents").mkdir(parents=True)
    (folder / "s-1.jsonl.gz").write_bytes(gzip.compress(as_bytes(MAIN_LINES)))
    own = [claude("b1", claude_usage(500, output=20), agent="cd34", stop="end_turn")]
    (folder / "s-1" / "subagents" / "agent-cd34.jsonl").write_bytes(as_bytes(own))
    first = codex_usage(50_000, 40_000, 1_000)
    codex = [codex_meta(), codex_turn("gpt-5.5"), codex_count(first, first)]
    (folder / "t-1.jsonl").write_bytes(as_bytes(codex))
    trajectory = mini_swe(mini_swe_answer("g-1", 1820, 0, 565, 0.01042))
    (folder / "trajectory.json").write_text(json.dumps(trajectory, indent=1), encoding="utf-8")
    (folder / "package.json").write_text('{"name": "shop"}', encoding="utf-8")
    return folder


def by_file(found: dict[str, Any]) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(Path(row["file"]).name, row["agent"]): row for row in found["sessions"]}


def test_a_folder_of_sessions_as_json(ctxbudget: Command, sessions: Path) -> None:
    ran = ctxbudget("audit", sessions, "--json")
    rows = by_file(ran.json)
    main = rows["s-1.jsonl.gz", None]
    wanted = {
        "source": "claude_code",
        "session": "s-1",
        "project": "/home/ann/shop",
        "parent": None,
        "calls": 2,
        "models": ["claude-opus-4-6"],
        "uncached_input_tokens": 1_010,
        "cache_read_tokens": 221_000,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 20_000,
        "output_tokens": 3_900,
        "cost_usd": "0.41305",
        "cost_known_frac": 1.0,
        "peak_prompt_tokens": 121_010,
        "started_at": "2026-03-02T10:00:00.000Z",
        "ended_at": "2026-03-03T08:00:00.000Z",
        "skipped_lines": 1,
        "damaged_lines": 1,
    }
    assert {key: main[key] for key in wanted} == wanted
    inner, own = rows["s-1.jsonl.gz", "ab12"], rows["agent-cd34.jsonl", "cd34"]
    assert inner["parent"] == own["parent"] == main["file"]
    assert (inner["cost_usd"], own["cost_usd"]) == ("0.02675", "0.003")
    swe = rows["trajectory.json", None]
    assert (swe["cost_usd"], swe["recorded_cost_usd"]) == ("0.01042", "0.01042")
    assert {row["source"] for row in rows.values()} == {"claude_code", "codex", "mini_swe"}
    totals = ran.json["totals"]
    assert (totals["files"], totals["calls"]) == (4, 6)
    costs = [Decimal(row["cost_usd"]) for row in rows.values()]
    assert Decimal(totals["cost_usd"]) == sum(costs, Decimal(0))
    assert ran.json["price_date"].startswith("genai-prices")
    assert ran.json["half_of_cost"] == [main["file"]]


def test_what_was_left_out_is_told(ctxbudget: Command, sessions: Path) -> None:
    told = ctxbudget("audit", sessions).err
    assert "package.json: is of no format that is known; left out" in told
    assert "s-1.jsonl.gz: damaged line left out: 6" in told
    assert "skipped: moon-phase 1" in told


def test_the_table_has_sub_agents_under_their_parent(ctxbudget: Command, sessions: Path) -> None:
    lines = ctxbudget("audit", sessions).out.splitlines()
    first = [line.split()[0] for line in lines if "%" in line and "sent" not in line]
    assert first == ["s-1.jsonl.gz", "└", "└", "t-1.jsonl", "trajectory.json", "total"]
    assert "0.41" in lines[3]
    assert "91.3%" in lines[3]
    assert any(
        "1 of 3 sessions holds half of the cost (0.44 USD): s-1.jsonl.gz" in one for one in lines
    )
    assert any(one.startswith("prices: genai-prices") for one in lines)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2025-11-18", "2026-03-02", "2026-03-03"]),
        ("project", ["/home/ann/shop", "(not recorded)"]),
        ("model", ["claude-opus-4-6", "gpt-5.5", "google/gemini-3-pro-preview"]),
    ],
)
def test_other_rows(ctxbudget: Command, sessions: Path, by: str, names: list[str]) -> None:
    found = ctxbudget("audit", sessions, "--by", by, "--json").json
    assert (found["by"], [one["name"] for one in found["groups"]]) == (by, names)
    assert sum(one["calls"] for one in found["groups"]) == found["totals"]["calls"]
    out = ctxbudget("audit", sessions, "--by", by).out
    assert all(name in out for name in names)
    assert "s-1.jsonl" not in "".join(out.splitlines()[:-3])


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (["--since", "2026-03-03"], 1),
        (["--since", "2026-03-02"], 5),
        (["--until", "2026-03-02"], 5),
        (["--since", "2026-03-02", "--until", "2026-03-02"], 4),
        (["--since", "2027-01-01"], 0),
    ],
)
def test_a_range_of_days(
    ctxbudget: Command, sessions: Path, options: list[str], calls: int
) -> None:
    found = ctxbudget("audit", sessions, "--json", *options).json
    assert found["totals"]["calls"] == calls
    assert ctxbudget("audit", sessions, *options).code == 0


def test_mistakes_are_told_in_one_line(ctxbudget: Command, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    for arguments, words in (
        ([tmp_path / "nothing"], "no such file"),
        (
            [tmp_path / "x.json"],
            "of no format that is known; name files that hold Claude Code sessions, Codex rollouts "
            "or another format that `ctxbudget audit --help` lists",
        ),
        ([tmp_path / "x.json", "--since", "soon"], "%Y-%m-%d"),
        (["-", "--since", "2026-02-02", "--until", "2026-02-01"], "swap them"),
    ):
        assert words in ctxbudget("audit", *arguments).error
    (tmp_path / "empty").mkdir()
    assert "no .jsonl, .json or .gz file" in ctxbudget("audit", tmp_path / "empty").error


@pytest.mark.parametrize("where", ["session", "model", "project"])
@pytest.mark.parametrize("columns", [40, 60, 80, 115])
def test_narrow_tables_keep_names_and_whole_numbers(
    ctxbudget: Command, sessions: Path, monkeypatch: pytest.MonkeyPatch, where: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = ctxbudget("audit", sessions, "--by", where).out
    (head, rule, *rows) = out.splitlines()[1:]
    assert max(map(len, (head, rule, *rows))) <= columns
    table = rows[: next(at for at, one in enumerate(rows) if one.startswith(" total"))]
    names = head.split()
    assert (names[0], "USD" in names) == (where, True)
    numbers = re.compile(r"\d[\d,.]*[kM%+]?|–|unknown")
    for row in filter(str.strip, table):
        own = re.split(r"\s{2,}", row.strip())
        if len(own) > 1:  # not the second line of a name
            assert row[1:8].strip()
            assert all(numbers.fullmatch(one) for one in own[-1].split()), row
    assert "…" not in "".join(table)
    wanted = {"session": "trajectory.json", "model": "claude-opus-4-6", "project": "/home/ann/shop"}
    assert wanted[where] in out


def test_what_matters_least_gives_way_first(
    ctxbudget: Command, sessions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = {}
    for columns in (40, 60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        ran = ctxbudget("audit", sessions, "--by", "model")
        heads[columns] = ran.out.splitlines()[1].split()
    assert heads[40] == ["model", "USD"]
    assert heads[60] == ["model", "calls", "sent", "output", "USD"]
    assert heads[80] == ["model", "calls", "sent", "output", "USD", "%", "read", "peak"]


@pytest.mark.parametrize("columns", ["0", "many", "-5", ""])
def test_columns_that_are_no_width_are_not_known(
    ctxbudget: Command, sessions: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    plain = ctxbudget("audit", sessions).out
    monkeypatch.setenv("COLUMNS", columns)
    assert ctxbudget("audit", sessions).out == plain
    assert "total of 4 files" in plain


def test_long_names_are_broken_between_parts_and_lose_their_middle(
    ctxbudget: Command, sessions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = sessions / "first_part_of_it" / "second-part-of-it" / "third.part.of.it" / "a.jsonl"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(as_bytes([claude("z1", claude_usage(7))]))
    monkeypatch.setenv("COLUMNS", "60")
    lines = ctxbudget("audit", sessions).out.splitlines()
    (at,) = [number for number, one in enumerate(lines) if "first_part_of_it" in one]
    assert lines[at].split()[0] == "first_part_of_it/second-…"
    assert lines[at + 1].strip() == "it/third.part.of.it/a.jsonl"


def test_notes_of_a_range_do_not_speak_of_the_rest(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        claude("m1", claude_usage(10, output=20), stop="end_turn"),
        {**claude_user(), "toolUseResult": {"agentId": "ab99"}},
        {"type": "system", "subtype": "compact_boundary", "sessionId": "s-1"},
        b'{"type":"assistant","uuid":"u',
        claude("m2", claude_usage(10, output=20), stop="end_turn", at="2026-03-03T08:00:00Z"),
    ]
    path.write_bytes(as_bytes(lines))
    whole = ctxbudget("audit", path).err
    assert "of 1 compaction the call that summarized is not recorded" in whole
    assert "of 1 sub-agent only the result is recorded" in whole
    for options in (["--since", "2026-03-03"], ["--until", "2026-03-02"]):
        told = ctxbudget("audit", path, *options).err
        # nobody knows of which day a line is that cannot be read
        assert told == f"ctxbudget: note: {path}: damaged line left out: 4\n"


def test_a_document_has_messages_not_lines(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    usage = {"input_tokens": 5, "output_tokens": 1}
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a", "usage": {"input_tokens": -1, "output_tokens": 1}},
        {"role": "assistant", "content": "b", "model": "claude-opus-4-6", "usage": usage},
    ]
    path.write_text(json.dumps(said, indent=1), encoding="utf-8")
    assert ctxbudget("audit", path).err.endswith("talk.json: damaged message left out: 2\n")


def test_an_empty_folder_among_others_is_named(ctxbudget: Command, sessions: Path) -> None:
    empty = sessions.parent / "empty"
    empty.mkdir()
    ran = ctxbudget("audit", sessions / "t-1.jsonl", empty, "--json")
    assert len(ran.json["sessions"]) == 1
    assert ran.err == (
        f"ctxbudget: note: {empty}: there is no .jsonl, .json or .gz file in it; left out\n"
    )


@pytest.mark.parametrize("name", ["flow.yaml", "long.yaml", "flow.json"])
def test_a_workflow_is_for_simulate(ctxbudget: Command, tmp_path: Path, name: str) -> None:
    texts = {
        "flow.yaml": "# mine\nname: x\nphases:\n- {id: a}\n",
        "long.yaml": "# a line\n" * 80 + "phases: [{id: a}]\n",
        "flow.json": '{"phases": [{"id": "a"}]}',
    }
    path = tmp_path / name
    path.write_text(texts[name], encoding="utf-8")
    said = f"{path}: is a workflow, not a recorded session; use `ctxbudget simulate`"
    assert ctxbudget("audit", path).error == said
    assert ctxbudget("workflow-from", path).error == said
    assert ctxbudget("replay", path).error.startswith(said)


def test_a_gzip_file_that_is_cut_off_at_once(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(as_bytes(MAIN_LINES))[:10])
    assert f"{path}: no line can be read: compressed file ended" in ctxbudget("audit", path).error


def test_closed_streams(sessions: Path) -> None:
    """As `<&-` and `>&-` in a shell; Python has no `sys.stdin` and `sys.stdout` then."""
    session = sessions / "s-1.jsonl.gz"
    for words, code, told in (
        (["audit", session, ">&-"], 2, ""),
        (["audit", session, "--json", ">&-"], 2, ""),
        (["replay", session, "--json", ">&-"], 2, ""),
        (["workflow-from", session, "-o", sessions / "flow.yaml", ">&-"], 0, ""),
        (["audit", "-", "<&-"], 2, "ctxbudget: error: -: stdin is closed; name files that"),
        (["replay", "-", "<&-"], 2, "ctxbudget: error: -: stdin is closed; check the path"),
        (["audit", session, "2>&-"], 0, ""),
    ):
        line = " ".join([sys.executable, "-m ctxbudget", *map(str, words)])
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["sh", "-c", line], env=env, capture_output=True, check=False)
        err = "".join(one for one in done.stderr.decode().splitlines(True) if ": note: " not in one)
        assert (done.returncode, err[: len(told)]) == (code, told), words
        assert len(err.splitlines()) == bool(told), words


def test_the_benchmark_needs_an_index_to_check_against(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "bill.py"), "--check", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for text, reason in ((None, "no such file or directory"), ("[", "is no json")):
        if text is not None:
            (tmp_path / "INDEX.json").write_text(text, encoding="utf-8")
        done = subprocess.run(script, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{tmp_path / 'INDEX.json'}: {reason}; --check needs")


def test_one_unreadable_path_does_not_stop_the_others(ctxbudget: Command, sessions: Path) -> None:
    ran = ctxbudget("audit", sessions / "t-1.jsonl", sessions / "gone.jsonl", "--json")
    assert len(ran.json["sessions"]) == 1
    assert "gone.jsonl: no such file or directory; left out" in ran.err


def test_an_unknown_model_is_told_once(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    lines = [claude(f"m{number}", claude_usage(5), model="gryphon-9") for number in range(3)]
    path.write_bytes(as_bytes(lines))
    ran = ctxbudget("audit", path, "--json")
    (row,) = ran.json["sessions"]
    assert (row["calls"], row["cost_usd"], row["cost_known_frac"]) == (3, None, 0.0)
    assert ran.json["unknown_models"] == ["gryphon-9"]
    assert ran.err.count("gryphon-9") == 1
    assert "unknown" in ctxbudget("audit", path).out


def test_copies_and_placeholders_are_told(ctxbudget: Command, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        lines = [claude("m1", claude_usage(1_000, output=1), text="x" * 330)]
        (tmp_path / name).write_bytes(as_bytes(lines))
    ran = ctxbudget("audit", tmp_path, "--json")
    (copy,) = ran.json["duplicates"]
    assert (Path(copy["file"]).name, Path(copy["also_in"]).name) == ("b.jsonl", "a.jsonl")
    assert ran.json["totals"]["duplicate_calls"] == 1
    assert "recorded in" in ran.err
    assert "2 calls of 2 recorded only a placeholder" in ran.err
    assert "about 218 tokens" in ran.err


def run(cwd: Path, *arguments: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "ctxbudget", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=given,
        capture_output=True,
        check=True,
    )


@pytest.mark.parametrize("is_packed", [True, False])
def test_stdin_is_read_packed_or_not(tmp_path: Path, is_packed: bool) -> None:
    raw = as_bytes(MAIN_LINES)
    ran = run(tmp_path, "audit", "-", "--json", given=gzip.compress(raw) if is_packed else raw)
    found = json.loads(ran.stdout)
    assert [(row["file"], row["agent"]) for row in found["sessions"]] == [
        ("-", None),
        ("-", "ab12"),
    ]


def test_a_terminal_shows_how_far_reading_is(sessions: Path) -> None:
    shown, printed = on_terminal("audit", sessions)
    assert "reading" in shown
    assert "100%" in shown
    assert "\x1b[3" not in shown
    assert b"s-1.jsonl.gz" in printed


def test_the_help_has_examples(tmp_path: Path) -> None:
    ran = in_subprocess("audit", "--help", cwd=tmp_path)
    assert "Examples:" in ran.out
    assert "--since DATE" in ran.out


def test_a_journal_without_a_run_is_no_bill(ctxbudget: Command, tmp_path: Path) -> None:
    empty, begun = tmp_path / "empty.jsonl", tmp_path / "begun.jsonl"
    assert ctxbudget("simulate", "jwt_auth", "--journal", begun).code == 0
    lines = begun.read_text(encoding="utf-8").splitlines(keepends=True)
    empty.write_text(lines[0], encoding="utf-8")
    said = f"{empty}: holds no run yet; wait for its first event"
    assert ctxbudget("audit", empty).error == said
    assert ctxbudget("replay", empty).error == said
    begun.write_text("".join(lines[:2]), encoding="utf-8")
    ran = ctxbudget("audit", empty, begun, "--json")
    assert [one["file"] for one in ran.json["sessions"]] == [str(begun)]
    assert ran.err == f"ctxbudget: note: {said}; left out\n"
