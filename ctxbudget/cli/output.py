"""What the commands share for printing."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from io import TextIOBase
from typing import IO, TYPE_CHECKING, Any, NoReturn, TextIO, cast

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 120
"""Width of tables that go into a file or a pipe, unless COLUMNS says otherwise."""

LEAST_COLUMNS = 40
"""Tables are not made narrower, so that no number is cut: a smaller terminal wraps their lines."""

_PLAIN_COLUMNS = 80
"""Width of a terminal that does not tell its own."""

_COUNT = re.compile(r"[0-9]{1,6}")
_BREAKS = re.compile(r"\s*[\r\n]\s*")
_TRAILING = re.compile(r" +$", re.MULTILINE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class StdoutClosedError(OSError):
    """Something was to be printed, but the command was started without a stdout."""


class ClosedStdout(TextIOBase):
    """Stands for the stdout of a command that was started without one, as by `>&-`.

    A command that prints nothing, or writes to a file, does its work as always.
    """

    encoding = "utf-8"

    def writable(self) -> bool:
        """Return True: only writing itself finds out."""
        return True

    def write(self, text: str) -> NoReturn:
        """Refuse.

        Raises:
            StdoutClosedError: always.
        """
        raise StdoutClosedError(errno.EBADF, "stdout is closed")


class Trimmed(TextIOBase):
    """Stands before a stream that is no terminal: what is written loses the blanks that end a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write whole lines."""
        return self._stream.write(_TRAILING.sub("", text))

    def flush(self) -> None:
        """Write out what the stream still holds."""
        self._stream.flush()


def complain(message: str) -> None:
    """Print an error as one line on stderr, with nothing in it that a terminal would obey."""
    line = _BREAKS.sub(" ", message)
    safe = _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), line)
    click.echo(f"ctxbudget: error: {safe}", err=True)


def note(message: str) -> None:
    """Say something on stderr that is no error."""
    from ctxbudget.report.plain import one_line

    click.echo(f"ctxbudget: note: {one_line(message)}", err=True)


def print_json(value: Any) -> None:
    """Print JSON, in ASCII if stdout cannot hold more: it must never be damaged."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    click.echo(text)


def console() -> Console:
    """Return a console: colours on a terminal unless NO_COLOR is set, plain when piped."""
    from rich.console import Console

    return Console(
        file=None if sys.stdout.isatty() else cast("IO[str]", Trimmed(sys.stdout)),
        width=max(LEAST_COLUMNS, _columns()),
        highlight=False,
        soft_wrap=False,
        emoji=False,  # a phase may be called `:fire:`
        # rich's own NO_COLOR leaves bold and dim, which are escape codes too
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def wrapped(line: str) -> Iterator[str]:
    """Yield a line as it fits a terminal, broken below its own indent; whole where it is piped."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()))
    width = max(LEAST_COLUMNS, _columns())
    yield from textwrap.wrap(line, width, subsequent_indent=f"{indent}    ") or (line,)


def _columns() -> int:
    """Return what COLUMNS says if it is a number above 0, or else the terminal's width."""
    told = os.environ.get("COLUMNS", "")
    if _COUNT.fullmatch(told) and int(told):
        return int(told)
    if not sys.stdout.isatty():
        return PIPED_COLUMNS
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _PLAIN_COLUMNS
    except OSError:
        return _PLAIN_COLUMNS
