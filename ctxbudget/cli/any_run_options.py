"""Options that several commands share: of the run, and of what is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ctxbudget.core.errors import ConfigError

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


def check_one_form(*, as_machine: bool, as_markdown: bool) -> None:
    """Check that not both JSON and Markdown are asked for.

    Raises:
        ConfigError: they are.
    """
    if as_machine and as_markdown:
        raise ConfigError("goes without --json; leave one out", location=("--markdown",))
