"""`ctxbudget replay`: its options. The work is in `replay_journal`, imported only to do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("replay")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME|FILE|MODULE:ATTR",
    help="A policy to try; repeat to compare. `none` is always tried too.",
)
@click.option("--window", metavar="TOKENS", help="Another window: 200000 or 200k.")
@click.option("--budget", metavar="TOKENS", help="Another budget: 60000 or 60k.")
@click.option(
    "--misses", is_flag=True, help="List what each policy no longer had when it was used."
)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> int:
    """Say what other policies would have made of the run in JOURNAL, and what they would have lost.

    The journal's facts go through the engine again. No model is called: what the recorded model
    did is taken as given. With texts in the journal, shorter forms are made from them and recall is
    measured; without, their sizes are assumed.

    \b
    Examples:
      ctxbudget replay run.jsonl
      ctxbudget replay run.jsonl --policy masking --policy compact-at-threshold
      ctxbudget replay run.jsonl --policy masking:keep=5 --window 60k --misses
    """
    from ctxbudget.cli.replay_journal import run

    return run(**options)
