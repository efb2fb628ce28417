"""Options that several commands share: of the run, of many runs, and of what is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from ctxbudget.cli.completing import policies
from ctxbudget.core.errors import ConfigError
from ctxbudget.parallel import MOST_WORKERS, Backend

F = TypeVar("F", bound=Callable[..., Any])

_POLICY: Final = "NAME|FILE|MODULE:ATTR"


def policy_option(text: str) -> Callable[[F], F]:
    """Return what gives a command --policy, once; `text` is its help."""
    return click.option("--policy", metavar=_POLICY, shell_complete=policies, help=text)


def policies_option(text: str) -> Callable[[F], F]:
    """Return what gives a command --policy, as `policies`: any number of them."""
    return click.option(
        "--policy",
        "policies",
        multiple=True,
        metavar=_POLICY,
        shell_complete=policies,
        help=text,
    )


# ---- of a workflow's run


def workflow_options(command: F) -> F:
    """Give a command --budget, --window, --model and --deliver, for a run on paper."""
    return _all_of(
        command,
        click.option(
            "--budget", metavar="LIMIT", help="Input tokens allowed: 7500, 60k or 30% (of window)."
        ),
        click.option("--window", metavar="TOKENS", help="The model's window: 200000 or 200k."),
        click.option(
            "--model",
            metavar="NAME",
            help="The run's model: its prices, cache and (unless given) window.",
        ),
        click.option(
            "--deliver",
            type=click.Choice(["together", "in_turn"]),
            help="How the outputs of one wave arrive.",
        ),
    )


allocator_option: Final = click.option(
    "--allocator", metavar="NAME", help="fixed, dynamic, reserve or MODULE:ATTR."
)


def workers_option(text: str) -> Callable[[F], F]:
    """Return what gives a command --workers; `text` is its help."""
    return click.option("--workers", type=click.IntRange(1, MOST_WORKERS), metavar="N", help=text)


def backend_option(text: str) -> Callable[[F], F]:
    """Return what gives a command --backend; `text` is its help."""
    return click.option("--backend", type=click.Choice([one.value for one in Backend]), help=text)


def drawn_options(command: F) -> F:
    """Give a command --runs (as `run_count`), --seed, --workers and --backend."""
    return _all_of(
        command,
        click.option(
            "--runs",
            "run_count",
            type=click.IntRange(1, 1_000_000),
            metavar="N",
            help="Draw what is uncertain N times; say how likely each level is.",
        ),
        click.option("--seed", type=int, metavar="N", help="Of the draws; default 0."),
        workers_option("Play --runs in so many processes; default 1, or what a cluster has."),
        backend_option("Who plays --runs; default processes."),
    )


# ---- of any run

window_option: Final = click.option(
    "--window", metavar="TOKENS", help="Another window: 200000 or 200k."
)


def run_options(command: F) -> F:
    """Give a command --model, --window and --budget."""
    return _all_of(
        command,
        click.option("--model", metavar="NAME", help="Another model: its prices and cache."),
        window_option,
        click.option(
            "--budget", metavar="LIMIT", help="Another budget: 7500, 60k or 30% (of window)."
        ),
    )


# ---- of what was recorded

agent_option: Final = click.option(
    "--agent", metavar="ID", help="A sub-agent that the file records, instead."
)
ttl_option: Final = click.option(
    "--ttl", metavar="TIME", help="Another lifetime of the cache: 5m or 1h."
)
price_option: Final = click.option(
    "--price",
    metavar="KEY=USD,...",
    help="Other prices of all models, for a million tokens: "
    "input=3,read=0.3,write=3.75,write_1h=6,output=15. What is left out costs what input does.",
)


phases_option: Final = click.option(
    "--phases",
    type=click.Choice(["auto", "subagents", "prompts", "one"]),
    default="auto",
    help="Where a phase of a recorded session begins: at another kind of work (auto), where "
    "sub-agents hand something back, at each prompt of the user's, or nowhere.",
)


def recorded_options(command: F) -> F:
    """Give a command --agent, --ttl and --price, which go with a recorded session or a replay."""
    return _all_of(command, agent_option, ttl_option, price_option)


def _all_of(command: F, *options: Callable[[F], F]) -> F:
    """Return the command with options that its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


# ---- checks


def check_model(name: str | None) -> None:
    """Check that a model that is named has a name.

    Raises:
        ConfigError: it is empty.
    """
    if name is not None and not name.strip():
        raise ConfigError("expected a model's name, found nothing", location=("--model",))


def check_one_form(*, as_machine: bool, as_markdown: bool) -> None:
    """Check that not both JSON and Markdown are asked for.

    Raises:
        ConfigError: they are.
    """
    if as_machine and as_markdown:
        raise ConfigError("goes without --json; leave one out", location=("--markdown",))
