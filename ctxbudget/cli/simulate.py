"""`ctxbudget simulate`: its options. The work is in `run_simulation`, imported only to do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctxbudget.cli.any_run_options import (
    allocator_option,
    drawn_options,
    policies_option,
    workflow_options,
)
from ctxbudget.cli.completing import workflows
from ctxbudget.cli.html_file import html_option


@click.command("simulate")
@click.argument("workflow", shell_complete=workflows)
@policies_option("Use this policy; repeat to compare. NAME:key=value sets a param.")
@allocator_option
@workflow_options
@click.option("--journal", type=click.Path(path_type=Path), help="Write every event as JSONL.")
@html_option
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print tables for a pull request.")
@click.option(
    "--fail-on",
    type=click.Choice(["warn", "critical", "overflow"]),
    help="Exit 1 if the run (of the first policy), or one of --runs, reaches this level or a "
    "graver one.",
)
@drawn_options
def command(**options: Any) -> int:
    """Run WORKFLOW on paper: does it fit, where does it peak, what is pruned, what would it cost.

    WORKFLOW is a YAML file or the name of a shipped one, such as jwt_auth or masking_study. No
    model is called. With several policies the first one is shown in full.
    Costs are of input and summaries; phases and agents that name a model keep it.
    --journal, --html and --markdown are of one run, and do not go with --runs.

    \b
    Examples:
      ctxbudget simulate jwt_auth
      ctxbudget simulate jwt_auth --deliver in_turn
      ctxbudget simulate flow.yaml --policy masking:keep=5
      ctxbudget simulate flow.yaml --budget 60k --fail-on warn
      ctxbudget simulate flow.yaml --model claude-sonnet-4-5
      ctxbudget simulate uncertain --runs 1000 --seed 7
      ctxbudget simulate jwt_auth --html report.html
    """
    from ctxbudget.cli.run_simulation import run

    return run(**options)
