"""`ctxbudget diff`: its options. The work is in `run_diff`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import policies_option, recorded_options, run_options
from ctxbudget.cli.completing import workflows


@click.command("diff")
@click.argument("before", metavar="A", shell_complete=workflows)
@click.argument("after", metavar="[B]", required=False, shell_complete=workflows)
@policies_option(
    "Play both under this policy; twice: A under the first, B (or A again) under the second."
)
@run_options
@recorded_options
@click.option(
    "--fail-on-increase",
    "allowed",
    metavar="KEY=LIMIT,...",
    help="Exit 1 if a number of the run grows by more: peak=5%,cost=0%,rewrites=2.",
)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables for a pull request.")
def command(**options: Any) -> int:
    """Say what changed from A to B: peak, sent, cost, prunes, rewrites, for the run and its phases.

    A and B are workflows (simulated), journals (as they ran) or recorded sessions, not
    necessarily both of one kind. Without B, A is compared with itself under another policy.
    The largest changes come first; phases are the same if their ids are.

    \b
    Examples:
      ctxbudget diff old.yaml new.yaml
      ctxbudget diff old.yaml new.yaml --fail-on-increase peak=5%,cost=0%
      ctxbudget diff flow.yaml --policy aggressive --policy none
      ctxbudget diff session.jsonl --policy masking
      ctxbudget diff flow.yaml run.jsonl --markdown

    \b
    Keys of --fail-on-increase: peak, sent, cost, total (cost with misses), pruned,
    rewrites, calls, misses. A limit is a share of what A has, or an amount: tokens,
    USD, a count.
    """
    from ctxbudget.cli.run_diff import run

    return run(**options)
