"""Runs the `ctxbudget` command as a user does."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON; it must have gone well or failed a gate."""
        assert self.code in (0, 1), self.err
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that it complained in, without `ctxbudget: error: `."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.out == ""
        start, line = "ctxbudget: error: ", self.err.removesuffix("\n")
        assert "\n" not in line, self.err
        assert line.startswith(start), self.err
        return line.removeprefix(start)


class Command(Protocol):
    """Runs the command with arguments."""

    def __call__(self, *arguments: object) -> Ran:
        """Return what it did."""
        ...


def in_subprocess(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Ran:
    """Return what the command did in a process of its own, with only the given variables added."""
    plain = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "ctxbudget", *map(str, arguments)],
        cwd=cwd,
        env={**plain, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **(env or {})},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def written(folder: Path, text: str, name: str = "flow.yaml") -> Path:
    """Return the path of a new file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def on_terminal(*arguments: object) -> tuple[str, bytes]:
    """Return what the command shows on stderr if that is a terminal, and what it prints."""
    ours, theirs = pty.openpty()
    with (
        TemporaryFile() as printed,
        subprocess.Popen(
            [sys.executable, "-m", "ctxbudget", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"},
            stdout=printed,
            stderr=theirs,
        ) as process,
    ):
        os.close(theirs)
        shown = all_shown(ours).decode()
        assert process.wait() == 0, shown
        printed.seek(0)
        return shown, printed.read()


def all_shown(terminal: int) -> bytes:
    """Return all that is shown on a terminal until nobody has it open any more, and close it.

    Whoever writes there would wait for us once too much is unread.
    """
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(terminal, 65_536):
            shown += part
    os.close(terminal)
    return shown
