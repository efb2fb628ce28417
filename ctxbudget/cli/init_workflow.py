"""What `ctxbudget init` does once its options are read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TypeVar

import click

from ctxbudget.cli.answers import (
    given,
    model_of,
    name_of,
    output_tokens,
    phases_of,
    rounds_of,
    window_of,
)
from ctxbudget.cli.new_workflow import (
    STDOUT,
    checked,
    in_words,
    path_of,
    refuse_to_replace,
    write,
)
from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.errors import ConfigError
from ctxbudget.providers.models import window_tokens
from ctxbudget.writing.assumed import WINDOW_TOKENS, Assumed
from ctxbudget.writing.starter import Wish, starter

T = TypeVar("T")

MODEL = "claude-sonnet-4-6"
"""Offered on a terminal; whoever has another writes that."""

PHASES = "plan,implement,test"


@dataclass(frozen=True, slots=True)
class Asker:
    """Where an answer comes from: an option, else a question, else what is assumed."""

    is_asking: bool

    def __call__(
        self, told: str | None, option: str, question: str, default: str, read: Callable[[str], T]
    ) -> T:
        """Return what an answer means; one that means nothing is asked for again.

        Raises:
            ConfigError: an option means nothing.
        """
        if told is not None:
            return given(told, option, read)
        if not self.is_asking:
            return read(default)

        def checked_answer(answer: str) -> T:
            try:
                return read(answer)
            except ConfigError as error:
                raise click.UsageError(error.message) from None

        answer: T = click.prompt(
            question, default=default, value_proc=checked_answer, err=True, show_default=True
        )
        return answer


def run(
    *,
    file: str,
    name: str | None,
    model: str | None,
    window: str | None,
    phases: str | None,
    outputs: str | None,
    rounds: str | None,
    policy: str | None,
    yes: bool,
    force: bool,
) -> None:
    """Ask, check, write, and say what the workflow comes to.

    Raises:
        ConfigError: an answer means nothing, or the file is there or cannot be written.
    """
    path = path_of(file, "FILE")
    if path is not None:
        refuse_to_replace(path, force=force)
    elif force:
        raise ConfigError("needs a file to replace; name one", location=("--force",))
    ask = Asker(not yes and sys.stdin.isatty() and sys.stderr.isatty())
    stem = "workflow" if path is None else path.stem
    name = ask(name, "--name", "Name of the workflow", stem, name_of)
    offered = MODEL if ask.is_asking and window is None else "none"
    model = ask(model, "--model", "Model (none: I know its window only)", offered, model_of)
    known = window_tokens(model) if model else None
    own_window: int | None = None
    if window is not None or known is None:
        question = "Its window, in tokens"
        own_window = ask(window, "--window", question, str(WINDOW_TOKENS), window_of)
    wish = Wish(
        name=name,
        model=model,
        model_window_tokens=known,
        window_tokens=own_window,
        phases=ask(phases, "--phases", "Phases, in order", PHASES, phases_of),
        assumed=Assumed(
            output_tokens=ask(
                outputs, "--outputs", "What a phase hands on (small, medium, large, or tokens)",
                "medium", output_tokens,
            ),
            rounds=ask(rounds, "--rounds", "Rounds of tools in a phase", "8", rounds_of),
        ),
    )  # fmt: skip
    shown = STDOUT if path is None else str(path)
    called = "FILE" if path is None else shown
    suits = checked(starter(wish, called), shown).setup.policy.label
    wish = replace(wish, policy=ask(policy, "--policy", "Policy", suits, _policy))
    text = starter(wish, called)
    found = checked(text, shown)
    if path is None:
        click.echo(text, nl=False)
        click.echo(f"ctxbudget: {in_words(found)}", err=True)
        return
    write(path, text, force=force)
    click.echo(f"wrote {path}: {in_words(found)}")
    _say_how_to_go_on(path, wish.phases[-1])


def _say_how_to_go_on(path: Path, phase: str) -> None:
    click.echo("Its sizes are assumptions: put in what you know, then")
    click.echo(f"  ctxbudget validate {quote(str(path))}")
    click.echo(f"  ctxbudget simulate {quote(str(path))} --policy none --policy adaptive")
    click.echo(f"  ctxbudget explain {quote(str(path))} {quote(phase)}")


def _policy(answer: str) -> str:
    load_policy(answer.strip())
    return answer.strip()
