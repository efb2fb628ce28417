"""Tests of shell completion: what is offered, and that a real bash takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, Command, in_subprocess, written

from ctxbudget.cli.main import COMMANDS

HEAVY = ("anthropic", "genai_prices", "networkx", "pydantic", "rich", "tiktoken")

BASH = shutil.which("bash") or "/bin/bash"


def offered(folder: Path, *words: str) -> list[tuple[str, str]]:
    """Return what bash would be offered for the last of these words: kinds and values."""
    ran = in_subprocess(
        cwd=folder,
        env={
            "_CTXBUDGET_COMPLETE": "bash_complete",
            "COMP_WORDS": "\n".join(("ctxbudget", *words)),
            "COMP_CWORD": str(len(words)),
        },
    )
    assert (ran.code, ran.err) == (0, "")
    return [(kind, value) for kind, _, value in (line.partition(",") for line in ran.out.split())]


def values(folder: Path, *words: str) -> list[str]:
    return [value for kind, value in offered(folder, *words) if kind == "plain"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a workflow and more."""
    written(tmp_path, "phases: [{id: first}, {id: second}, {id: third}]")
    written(tmp_path, "not: yaml: at all", "broken.yaml")
    written(tmp_path, "text", "notes.txt")
    (tmp_path / "flows").mkdir()
    written(tmp_path / "flows", "phases: [{id: a}]", "deep.yml")
    return tmp_path


def test_commands_and_options(folder: Path) -> None:
    assert values(folder, "") == list(COMMANDS)
    assert values(folder, "va") == ["validate"]
    assert "--policy" in values(folder, "simulate", "--p")
    assert values(folder, "simulate", "x", "--deliver", "") == ["together", "in_turn"]
    assert values(folder, "completion", "") == ["bash", "zsh", "fish"]
    assert values(folder, "import", "x", "--from", "b") == ["bearing", "bmad"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["simulate", "jwt"], ["jwt_auth"]),
        (["simulate", "flo"], ["flow.yaml"]),
        (["simulate", "flows/"], ["flows/deep.yml"]),
        (["simulate", "flow.yaml", "--policy", "mas"], ["masking"]),
        (["replay", "x", "--policy", "lad"], ["ladder"]),
        (["init", "--policy", "agg"], ["aggressive"]),
        (["policies", "lad"], ["ladder"]),
        (["validate", "nai"], ["naive"]),
        (["validate", "x", "lad"], ["ladder"]),
        (["explain", "nai"], ["naive"]),
        (["explain", "flow.yaml", ""], ["first", "second", "third"]),
        (["explain", "flow.yaml", "s"], ["second"]),
        (["explain", "jwt_auth", ""], ["0", "1", "2", "3", "4", "6"]),
        (["explain", "broken.yaml", ""], []),
        (["explain", "nothing.yaml", ""], []),
        (["simulate", "no_such_folder/"], []),
    ],
)
def test_names(folder: Path, words: list[str], found: list[str]) -> None:
    assert values(folder, *words) == found


@pytest.mark.parametrize("words", [["audit", ""], ["import", "x"], ["simulate", "no"]])
def test_files_are_left_to_the_shell(folder: Path, words: list[str]) -> None:
    assert ("file", "") in offered(folder, *words)


@pytest.mark.parametrize(
    ("shell", "mark"),
    [
        ("bash", "complete -o nosort -F _ctxbudget_completion ctxbudget"),
        ("zsh", "#compdef ctxbudget"),
        ("fish", "complete --no-files --command ctxbudget"),
    ],
)
def test_scripts(ctxbudget: Command, shell: str, mark: str) -> None:
    ran = ctxbudget("completion", shell)
    assert ran.code == 0
    assert mark in ran.out
    assert "_CTXBUDGET_COMPLETE" in ran.out


def test_other_shells_are_refused(ctxbudget: Command) -> None:
    assert "'bash', 'zsh', 'fish'" in ctxbudget("completion", "tcsh").error


def in_bash(folder: Path, script: str) -> list[str]:
    """Return what a real bash prints, with `ctxbudget` on its path."""
    program = folder / "bin" / "ctxbudget"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m ctxbudget "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    done = subprocess.run(
        [BASH, "--norc", "--noprofile", "-c", script],
        cwd=folder,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_real_bash_completes(folder: Path) -> None:
    script = """
        eval "$(ctxbudget completion bash)"
        press_tab() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            $(complete -p ctxbudget | sed 's/.*-F \\([^ ]*\\).*/\\1/') ctxbudget 2>/dev/null
            echo "${COMPREPLY[@]}" end
        }
        press_tab ctxbudget expl
        press_tab ctxbudget simulate jwt
        press_tab ctxbudget simulate jwt_auth --policy clear
        press_tab ctxbudget explain flow.yaml t
    """
    found = " ".join(in_bash(folder, script)).split(" end")
    assert [line.split() for line in found] == [
        ["explain"],
        ["jwt_auth"],
        ["clear-tool-uses"],
        ["third"],
        [],
    ]


def test_nothing_heavy_is_imported_for_it(folder: Path) -> None:
    """A shell asks at every press of a key."""
    watched = f"""
import sys
from ctxbudget.cli.main import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    for words in ("simulate --policy mas", "simulate jwt", "explain flow.yaml s", ""):
        done = subprocess.run(
            [sys.executable, "-c", watched],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "_CTXBUDGET_COMPLETE": "bash_complete",
                "COMP_WORDS": f"ctxbudget {words}",
                "COMP_CWORD": str(len(words.split()) or 1),
            },
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert done.stderr == "[]\n"
        assert "plain," in done.stdout
