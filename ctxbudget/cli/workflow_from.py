"""`ctxbudget workflow-from`: its options. The work is in `draft_workflow`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import agent_option, phases_option
from ctxbudget.cli.completing import files


@click.command("workflow-from")
@click.argument("session", shell_complete=files)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=files,
    help="Write to FILE instead of stdout (-).",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@agent_option
@phases_option
@click.option("--json", "as_machine", is_flag=True, help="Write JSON, without comments.")
def command(**options: Any) -> None:
    """Draft a workflow file from a recorded session, so that the run can be simulated.

    SESSION is a file of a coding agent (those that `ctxbudget audit` reads), or - for one on
    stdin. The draft has the session's calls, and sizes under which a simulation with policy `none`
    sends about what was sent. No text of the session gets into it.

    To choose a policy for that very session, use `ctxbudget replay`: a draft knows mean sizes only.

    \b
    Examples:
      ctxbudget workflow-from session.jsonl > flow.yaml
      ctxbudget workflow-from session.jsonl -o flow.yaml --phases prompts
      ctxbudget simulate flow.yaml --policy masking --budget 60k
    """
    from ctxbudget.cli.draft_workflow import run

    run(**options)
