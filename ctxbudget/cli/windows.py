"""`ctxbudget windows`: its options. The work is in `run_windows`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import agent_option, phases_option, policy_option, run_options
from ctxbudget.cli.completing import workflows


@click.command("windows")
@click.argument("file", metavar="WORKFLOW|SESSION", shell_complete=workflows)
@click.option(
    "--handoff",
    metavar="TOKENS",
    help="The size of every hand-off, written by the phase before. Default: the metadata that "
    "the workflow declares, 1500 for phases that declare none.",
)
@policy_option("Play both under this policy; `none` for windows that nobody prunes.")
@run_options
@agent_option
@phases_option
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a table for a pull request.")
def command(**options: Any) -> None:
    """Compare one long window for a workflow with a fresh one for each phase.

    A fresh window starts with the permanent items and a hand-off of each phase that it builds
    on. A hand-off that the workflow does not declare as metadata is written by one more call at
    the end of its phase. Both ways are played by the engine, with the prompt cache; so are the
    break-evens: the largest hand-off, and the fewest calls in each phase, with which fresh
    windows are cheaper. A recorded session goes by the draft that `ctxbudget workflow-from` makes
    of it, with --agent and --phases as there.

    \b
    Examples:
      ctxbudget windows jwt_auth --model claude-sonnet-4-6
      ctxbudget windows flow.yaml --policy none --handoff 3000
      ctxbudget windows session.jsonl --phases prompts
    """
    from ctxbudget.cli.run_windows import run

    run(**options)
