"""Options of the commands that take any file that tells of a run: `check`, `diff`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def run_options(command: F) -> F:
    """Give a command --model, --window and --budget."""
    for option in (
        click.option(
            "--budget", metavar="LIMIT", help="Another budget: 7500, 60k or 30% (of window)."
        ),
        click.option("--window", metavar="TOKENS", help="Another window: 200000 or 200k."),
        click.option("--model", metavar="NAME", help="Another model: its prices and cache."),
    ):
        command = option(command)
    return command
