"""Tests of `ctxbudget workflow-from`: the real command on sessions written here."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import ROOT, Command
from recorded_lines import (
    as_bytes,
    claude_progress,
    claude_usage,
    codex_count,
    codex_meta,
    codex_turn,
    codex_usage,
)
from test_drafting import Talk, session, use

from ctxbudget import Run


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a session of seven calls, the second of which starts a sub-agent."""
    path = tmp_path / "cart.jsonl.gz"
    path.write_bytes(gzip.compress(as_bytes(session().lines)))
    return path


def test_a_session_becomes_a_workflow_that_can_be_simulated(
    ctxbudget: Command, recorded: Path, tmp_path: Path
) -> None:
    ran = ctxbudget("workflow-from", recorded)
    assert (ran.code, ran.err) == (0, "")
    flow = tmp_path / "flow.yaml"
    flow.write_text(ran.out, encoding="utf-8")
    assert "fine, a workflow of 2 phases in 2 waves" in ctxbudget("validate", flow).out
    found = ctxbudget("simulate", flow, "--json").json
    assert (found["policy"], found["run"]["calls"]) == ("none", 8)
    assert abs(found["run"]["peak_tokens"] / 12_200 - 1) < 0.02
    options = ("--policy", "masking:keep=1", "--window", "100k", "--json")
    masked = ctxbudget("simulate", flow, *options).json
    assert masked["run"]["budget_tokens"] == 100_000
    assert masked["run"]["sent_tokens"] < found["run"]["sent_tokens"]


@pytest.mark.parametrize(
    ("cut", "phases"),
    [
        ("auto", ["implement", "research"]),
        ("subagents", ["research", "implement"]),
        ("prompts", ["prompt", "prompt_2"]),
        ("one", ["implement"]),
    ],
)
def test_phases(ctxbudget: Command, recorded: Path, cut: str, phases: list[str]) -> None:
    ran = ctxbudget("workflow-from", recorded, "--phases", cut, "--json")
    assert [phase["id"] for phase in ran.json["phases"]] == phases
    assert sum(phase["calls"] for phase in ran.json["phases"]) == 7


def test_json_and_yaml_say_the_same(ctxbudget: Command, recorded: Path, tmp_path: Path) -> None:
    data = ctxbudget("workflow-from", recorded, "--json").json
    assert data == yaml.safe_load(ctxbudget("workflow-from", recorded).out)
    file = tmp_path / "flow.json"
    assert ctxbudget("workflow-from", recorded, "--json", "-o", file).out == ""
    assert json.loads(file.read_text(encoding="utf-8")) == data
    assert ctxbudget("validate", file).code == 0


def test_no_text_and_no_folder_of_the_session_is_shown(ctxbudget: Command, recorded: Path) -> None:
    for options in ((), ("--json",)):
        out = ctxbudget("workflow-from", recorded, *options).out
        assert "SECRET" not in out
        assert str(recorded.parent) not in out
    assert "from a Claude Code session, cart.jsonl.gz," in ctxbudget("workflow-from", recorded).out


def test_a_file_is_replaced_only_when_forced(
    ctxbudget: Command, recorded: Path, tmp_path: Path
) -> None:
    flow = tmp_path / "flow.yaml"
    assert ctxbudget("workflow-from", recorded, "-o", flow).code == 0
    written = flow.read_text(encoding="utf-8")
    assert written == ctxbudget("workflow-from", recorded).out
    flow.write_text("mine", encoding="utf-8")
    error = ctxbudget("workflow-from", recorded, "-o", flow).error
    assert error == f"{flow}: is there already; choose another name or add --force"
    assert flow.read_text(encoding="utf-8") == "mine"
    assert ctxbudget("workflow-from", recorded, "-o", flow, "--force").code == 0
    assert flow.read_text(encoding="utf-8") == written


def test_stdout_has_a_name(ctxbudget: Command, recorded: Path) -> None:
    plain = ctxbudget("workflow-from", recorded).out
    assert ctxbudget("workflow-from", recorded, "-o", "-").out == plain
    assert ctxbudget("workflow-from", recorded, "-o", "").error == (
        "--output: is empty; name a file, or - for stdout"
    )
    assert ctxbudget("workflow-from", recorded, "-o", "-", "--force").error == (
        "--force: needs a file to replace; add -o FILE"
    )


def test_what_is_no_workflow_is_for_replay(
    ctxbudget: Command, recorded: Path, tmp_path: Path
) -> None:
    lines, binary = tmp_path / "cart.jsonl", tmp_path / "cart.bin"
    lines.write_bytes(gzip.decompress(recorded.read_bytes()))
    binary.write_bytes(b"\x7fELF\x02\x00\x00\x00\xff\xfe")
    for path, what in (
        (recorded, "is a gzip file"),
        (lines, "is a file of JSON lines"),
        (binary, "is a binary file"),
    ):
        assert ctxbudget("simulate", path).error == (
            f"{path}: {what}, not a workflow or policy; use `ctxbudget replay` for a recorded "
            "session, or `ctxbudget workflow-from` to draft a workflow of it"
        )


def test_the_draft_says_what_it_is_not_for(ctxbudget: Command, recorded: Path) -> None:
    head = ctxbudget("workflow-from", recorded).out.split("\nname: ")[0].replace("\n# ", " ")
    assert "To choose a policy for this very session, use `ctxbudget replay`" in head
    assert "a policy that cuts deep can come out quite differently" in head
    assert "use `ctxbudget replay`" in " ".join(ctxbudget("workflow-from", "--help").out.split())


def test_the_session_itself_is_never_replaced(ctxbudget: Command, recorded: Path) -> None:
    before, link = recorded.read_bytes(), recorded.parent / "link.yaml"
    link.symlink_to(recorded)
    for target in (recorded, link):
        error = ctxbudget("workflow-from", recorded, "-o", target, "--force").error
        assert error == f"{target}: is the session itself; choose another name"
    assert recorded.read_bytes() == before


def test_a_file_that_cannot_be_written(ctxbudget: Command, recorded: Path) -> None:
    target = recorded.parent / "nowhere" / "flow.yaml"
    error = ctxbudget("workflow-from", recorded, "-o", target).error
    assert error == f"{target}: no such file or directory; choose another place"
    error = ctxbudget("workflow-from", recorded, "-o", recorded.parent, "--force").error
    assert error.endswith(": is a folder; name a file")
    assert ctxbudget("workflow-from", recorded, "--force").error == (
        "--force: needs a file to replace; add -o FILE"
    )


def test_what_cannot_be_read(ctxbudget: Command, tmp_path: Path) -> None:
    missing, other, empty = (tmp_path / name for name in ("no.jsonl", "other.json", "none.jsonl"))
    other.write_text('{"name": "shop"}', encoding="utf-8")
    talk = Talk()
    talk.user("hello")
    empty.write_bytes(as_bytes(talk.lines))
    assert ctxbudget("workflow-from", missing).error == (
        f"{missing}: no such file or directory; check the path"
    )
    assert ": is of no format that is known; name a file that holds Claude Code sessions" in (
        ctxbudget("workflow-from", other).error
    )
    assert ctxbudget("workflow-from", empty).error == (
        f"{empty}: holds no call to a model; name a session that does"
    )
    assert "see `ctxbudget workflow-from --help`" in ctxbudget("workflow-from").error
    assert "'--phases'" in ctxbudget("workflow-from", other, "--phases", "two").error


def test_a_journal_is_no_session_of_a_coding_agent(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Run.open(name="x", window_tokens=1_000, counter="chars", journal=path) as run:
        run.user("hello")
        run.prompt()
    assert ctxbudget("workflow-from", path).error.startswith(
        f"{path}: is a journal of ctxbudget, whose phases a workflow has named already; name"
    )


def test_a_sub_agent_that_the_file_records(ctxbudget: Command, tmp_path: Path) -> None:
    lines = [*session().lines, claude_progress("a1", claude_usage(4_000, output=50), "ab12")]
    path = tmp_path / "with_agent.jsonl"
    path.write_bytes(as_bytes(lines))
    ran = ctxbudget("workflow-from", path, "--agent", "ab12")
    assert "1 call of its sub-agent ab12, 4,000 tokens sent" in ran.out.replace("\n# ", " ")
    assert [one["calls"] for one in yaml.safe_load(ran.out)["phases"]] == [1]
    assert ctxbudget("workflow-from", path, "--agent", "cd").error == (
        f"{path}: records no call of a sub-agent 'cd'; `ctxbudget audit {path}` lists those that "
        "it does"
    )


def test_a_codex_rollout(ctxbudget: Command, tmp_path: Path) -> None:
    lines: list[object] = [codex_meta(), codex_turn("gpt-5.5")]
    for number in range(1, 4):
        last = codex_usage(10_000 + 500 * number, 0, 100)
        total = codex_usage(sum(10_000 + 500 * one for one in range(1, number + 1)), 0, 100)
        lines.append(codex_count(total, last))
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(as_bytes(lines))
    ran = ctxbudget("workflow-from", path)
    head = ran.out.replace("\n# ", " ")
    assert "from a Codex rollout, rollout.jsonl, of 2026-03-02: 3 calls of its main" in head
    assert "33,000 tokens sent, the largest prompt 11,500." in head
    assert yaml.safe_load(ran.out)["model"] == "gpt-5.5"


def test_a_session_on_stdin(tmp_path: Path) -> None:
    """In a process of its own; a damaged line is left out and told."""
    talk = Talk()
    talk.user("mend it")
    talk.call(5_000, use("t1", "Read", file_path="a.py"))
    done = subprocess.run(
        [sys.executable, "-m", "ctxbudget", "workflow-from", "-"],
        input=as_bytes(talk.lines) + b'{"type":"assistant","uuid"\n',
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert b"damaged line left out: 3" in done.stderr
    data = yaml.safe_load(done.stdout)
    assert (data["name"], data["phases"][0]["calls"]) == ("stdin", 1)


def test_help(ctxbudget: Command) -> None:
    assert "workflow-from  Draft a workflow file from a recorded session." in ctxbudget().out
    shown = ctxbudget("workflow-from", "--help").out
    for option in ("--output", "--force", "--agent", "--phases [auto|subagents|prompts|one]"):
        assert option in shown
