"""`ctxbudget check`: its options. The work is in `run_check`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import (
    drawn_options,
    policy_option,
    recorded_options,
    run_options,
)
from ctxbudget.cli.completing import workflows


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=workflows)
@click.option(
    "--max-peak",
    metavar="LIMIT",
    help="The most a prompt may hold: 120k, 60% (of budget) or 60% of window.",
)
@click.option("--max-sent", metavar="TOKENS", help="The most tokens over all calls: 2M.")
@click.option("--max-cost", metavar="USD", help="The most that input and summaries may cost.")
@click.option(
    "--max-total", metavar="USD", help="The same with what the policy lost fetched again."
)
@click.option(
    "--max-rewrites", metavar="N", help="How often a warm cache may be written again, at most."
)
@click.option(
    "--max-warn-probability", metavar="SHARE", help="Of --runs, above warn: 0.2 or 20%, at most."
)
@click.option("--max-critical-probability", metavar="SHARE", help="Of --runs, above critical.")
@click.option(
    "--max-overflow-probability",
    metavar="SHARE",
    help="Of --runs, with a prompt over the hard limit, or that cannot go on.",
)
@click.option(
    "--min-recall", metavar="SHARE", help="Of identifiers used again, still there: 0.98 or 98%."
)
@click.option("--min-quote-recall", metavar="SHARE", help="Of whole lines used again, still there.")
@policy_option("Play the run under this policy.")
@run_options
@recorded_options
@drawn_options
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a table for a pull request.")
def command(**options: Any) -> int:
    """Check that a run keeps its limits: exit 1 with those that it does not keep.

    FILE is a workflow (simulated), a journal (as it ran) or a recorded session (as recorded);
    with --policy, journals and sessions are replayed under it. A number that equals its limit
    keeps it. A limit that cannot be judged on a file is an error, exit 2.

    A workflow that leaves something to chance is judged by its expected course; with --runs by so
    many draws, as an estimate: probabilities, and what 95 of 100 runs do not exceed of peak, sent
    and cost.

    \b
    Examples:
      ctxbudget check flow.yaml --max-peak 60% --max-cost 2.50
      ctxbudget check run.jsonl --max-peak "80% of window" --max-rewrites 3
      ctxbudget check session.jsonl --policy masking --min-recall 98% --max-total 5
      ctxbudget check flows/*.yaml --max-peak 90% --markdown
      ctxbudget check uncertain --runs 1000 --seed 7 --max-overflow-probability 1%
    """
    from ctxbudget.cli.run_check import run

    return run(**options)
