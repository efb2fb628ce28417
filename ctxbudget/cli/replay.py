"""`ctxbudget replay`: its options. The work is in `replay_session`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import (
    agent_option,
    policies_option,
    price_option,
    ttl_option,
    window_option,
)
from ctxbudget.cli.completing import files
from ctxbudget.cli.html_file import html_option


@click.command("replay")
@click.argument("session", shell_complete=files)
@policies_option("A policy to try; repeat to compare. Always tried too: `none`, and two bounds.")
@agent_option
@window_option
@click.option("--reserve", metavar="TOKENS", help="Of it, kept free for the answer.")
@click.option("--budget", metavar="TOKENS", help="Another budget: 60000 or 60k.")
@ttl_option
@click.option("--model", metavar="NAME", help="Another model's prices and cache.")
@price_option
@click.option(
    "--ignore-compactions", is_flag=True, help="Leave out the compactions that the host made."
)
@click.option(
    "--misses", is_flag=True, help="List what each policy no longer had when it was used."
)
@click.option(
    "--prompts",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write each policy's prompts to DIR/POLICY.jsonl, and all texts to DIR/items.jsonl.",
)
@html_option
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a table for a pull request.")
def command(**options: Any) -> None:
    """Say what other policies would have made of a recorded session, and what they would have lost.

    SESSION is a file of a coding agent (those that `ctxbudget audit` reads), - for one on stdin, or
    a journal of ctxbudget. Its facts go through the engine again. No model is called: what the
    recorded model did is taken as given.

    \b
    Examples:
      ctxbudget replay session.jsonl
      ctxbudget replay session.jsonl --policy masking --policy ladder --misses
      ctxbudget replay session.jsonl --policy masking:keep=5 --window 200k --ttl 5m
      ctxbudget replay run.jsonl --policy clear-tool-uses --prompts prompts/
      ctxbudget replay session.jsonl --html report.html
    """
    from ctxbudget.cli.replay_session import run

    run(**options)
