"""What the commands share for printing."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 120
"""Width of tables that go into a file or a pipe, unless COLUMNS says otherwise."""

_BREAKS = re.compile(r"\s*[\r\n]\s*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def complain(message: str) -> None:
    """Print an error as one line on stderr, with nothing in it that a terminal would obey."""
    line = _BREAKS.sub(" ", message)
    safe = _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), line)
    click.echo(f"ctxbudget: error: {safe}", err=True)


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

    is_wide = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal()
    return Console(
        width=PIPED_COLUMNS if is_wide else None,
        highlight=False,
        soft_wrap=False,
        emoji=False,  # a phase may be called `:fire:`
        # rich's own NO_COLOR leaves bold and dim, which are escape codes too
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
