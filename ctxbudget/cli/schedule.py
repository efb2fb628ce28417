"""`ctxbudget schedule`: its options. The work is in `run_schedule`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import policy_option, workflow_options
from ctxbudget.cli.completing import files, workflows


@click.command("schedule")
@click.argument("workflow", shell_complete=workflows)
@policy_option("Use this policy. NAME:key=value sets a param.")
@workflow_options
@click.option(
    "--slack",
    metavar="SHARE",
    help="Allow the peak so much above the lowest, such as 5%, if that saves switches.",
)
@click.option(
    "-o",
    "--write",
    "output",
    metavar="FILE",
    shell_complete=files,
    help="Write the workflow with its phases in the proposed order.",
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> None:
    """Find the order of WORKFLOW's phases that keeps the peak of the main thread lowest.

    WORKFLOW is a YAML file or the name of a shipped one. `after` says which orders are possible;
    the file's order is what `simulate` plays. Of orders with the same peak, the one with the
    fewest switches of model or tools is proposed, then the one nearest to the file's. Both orders
    are played, and shown with the peak of each phase.

    \b
    Examples:
      ctxbudget schedule flow.yaml
      ctxbudget schedule flow.yaml --write better.yaml
      ctxbudget schedule flow.yaml --slack 5%
    """
    from ctxbudget.cli.run_schedule import run

    run(**options)
