"""Tests of shell completion: what is offered, and that real shells take it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import ROOT, Command, in_subprocess, written

from ctxbudget.cli.main import COMMANDS

HEAVY = ("anthropic", "genai_prices", "networkx", "pydantic", "rich", "tiktoken")

REPORT = "\x07"
"""The key that has a shell write down its line, and clear it."""

RC_FILES = {
    "bash": (
        ".bashrc",
        """
eval "$(ctxbudget completion bash)"
report() { printf '%s\\n' "$READLINE_LINE" >> lines; READLINE_LINE=; }
bind -x '"\\C-g": report'
echo ready >> lines
""",
    ),
    "zsh": (
        ".zshrc",
        """
autoload -Uz compinit
compinit -u -D
eval "$(ctxbudget completion zsh)"
report() { print -r -- "$BUFFER" >> lines; BUFFER=; }
zle -N report
bindkey '^G' report
echo ready >> lines
""",
    ),
}
"""As docs/ways-in.md tells a user to load the script, and what REPORT does."""


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
    written(tmp_path / "flows", "", ".hidden.yml")
    written(tmp_path / "flows", "phases: [{id: a}]", "deep.yml")
    written(tmp_path, "phases: [{id: read logs}, {id: 'part:one'}]", "my plan.yaml")
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
        (["simulate", "flo"], []),
        (["simulate", "flow.yaml", "--policy", "mas"], ["masking"]),
        (["replay", "x", "--policy", "lad"], ["ladder"]),
        (["init", "--policy", "agg"], ["aggressive"]),
        (["policies", "lad"], ["ladder"]),
        (["validate", "nai"], ["naive"]),
        (["validate", "x", "lad"], ["ladder"]),
        (["explain", "nai"], ["naive"]),
        (["sweep", "x", "nai"], ["naive"]),
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
    # What is typed tells fish where to look; zsh's script of old would lose what follows "".
    assert offered(folder, *words)[-1] == ("file", words[-1])


def test_other_shells_are_refused(ctxbudget: Command) -> None:
    assert "'bash', 'zsh', 'fish'" in ctxbudget("completion", "tcsh").error


# ---- real shells


def installed(shell: str) -> str:
    """Return where a shell is."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    return found


def surroundings(folder: Path) -> dict[str, str]:
    """Return variables with a `ctxbudget` of this checkout on the path, and a home of one's own."""
    program = folder / "bin" / "ctxbudget"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m ctxbudget "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_DATA_HOME": str(folder / ".local"),
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    }


def typed(shell: str, folder: Path, keys: Sequence[str]) -> list[str]:
    """Return what a shell's line is after each of these, typed at a terminal with a tab behind."""
    name, content = RC_FILES[shell]
    written(folder, content, name)
    lines = written(folder, "", "lines")
    program, variables = installed(shell), surroundings(folder)
    ours, theirs = pty.openpty()
    # With our settings, and none of the machine's.
    options = ["--rcfile", name, "-i"] if shell == "bash" else ["-d", "-i"]
    with subprocess.Popen(
        [program, *options],
        cwd=folder,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        reader = threading.Thread(target=drained, args=(ours,))
        reader.start()
        try:
            for number, one in enumerate(keys, 1):
                until(lines, number)
                os.write(ours, f"{one}\t{REPORT}".encode())
            until(lines, len(keys) + 1)
        finally:
            process.kill()
            process.wait()
            reader.join()
            os.close(ours)
    return lines.read_text(encoding="utf-8").splitlines()[1:]


def drained(terminal: int) -> None:
    """Read what a shell shows until it has ended, or it would wait."""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while select.select([terminal], [], [])[0] and os.read(terminal, 100_000):
            pass


def until(path: Path, lines: int) -> None:
    """Wait until a file has so many lines."""
    for _ in range(3000):
        if path.read_text(encoding="utf-8").count("\n") >= lines:
            return
        time.sleep(0.01)
    raise AssertionError(f"after half a minute: {path.read_text(encoding='utf-8')!r}")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_real_shell_completes(folder: Path, shell: str) -> None:
    expected = {
        "ctxbudget expl": "ctxbudget explain ",
        "ctxbudget simulate --win": "ctxbudget simulate --window ",
        "ctxbudget simulate jwt": "ctxbudget simulate jwt_auth ",
        "ctxbudget simulate x --policy cle": "ctxbudget simulate x --policy clear-tool-uses ",
        "ctxbudget simulate x --policy=ladd": "ctxbudget simulate x --policy=ladder ",
        "ctxbudget explain ~/flow.yaml t": "ctxbudget explain ~/flow.yaml third ",
        "ctxbudget audit no": "ctxbudget audit notes.txt ",
        "ctxbudget simulate flows/": "ctxbudget simulate flows/deep.yml ",
        "ctxbudget simulate my": "ctxbudget simulate my\\ plan.yaml ",
        "ctxbudget explain my\\ plan.yaml r": "ctxbudget explain my\\ plan.yaml read\\ logs ",
        "ctxbudget explain my\\ plan.yaml part:": "ctxbudget explain my\\ plan.yaml part:one ",
        "ctxbudget explain 'my plan.yaml' 'rea": "ctxbudget explain 'my plan.yaml' 'read logs' ",
    }
    assert typed(shell, folder, list(expected)) == list(expected.values())


def test_a_real_fish_completes(folder: Path) -> None:
    program, variables = installed("fish"), surroundings(folder)
    lines = {
        "ctxbudget expl": ["explain"],
        "ctxbudget completion ": ["bash", "zsh", "fish"],
        "ctxbudget simulate jwt": ["jwt_auth"],
        "ctxbudget simulate x --policy cle": ["clear-tool-uses"],
        "ctxbudget simulate x --policy=ladd": ["--policy=ladder"],
        "ctxbudget explain ~/flow.yaml t": ["third"],
        "ctxbudget audit no": ["notes.txt"],
        "ctxbudget simulate flows/": ["flows/deep.yml"],
        "ctxbudget explain 'my plan.yaml' r": ["read logs"],
        "ctxbudget explain 'my plan.yaml' part:": ["part:one"],
    }
    asked = "; echo end; ".join(f'complete --do-complete "{line}"' for line in lines)
    folder_of_scripts = folder / ".config" / "fish" / "completions"
    folder_of_scripts.mkdir(parents=True)
    script = subprocess.run(
        [folder / "bin" / "ctxbudget", "completion", "fish"],
        env=variables,
        capture_output=True,
        check=True,
    )
    (folder_of_scripts / "ctxbudget.fish").write_bytes(script.stdout)
    done = subprocess.run(
        [program, "-c", f"{asked}; echo end"],
        cwd=folder,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == ""
    found = [
        [line.partition("\t")[0] for line in part.splitlines()]
        for part in done.stdout.split("end\n")[:-1]
    ]
    assert dict(zip(lines, found, strict=True)) == lines


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
