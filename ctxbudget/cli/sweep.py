"""`ctxbudget sweep`: its options. The work is in `run_sweep`, imported only to do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctxbudget.cli.any_run_options import backend_option, policies_option, workers_option
from ctxbudget.cli.completing import workflows


@click.command("sweep")
@click.argument(
    "subjects", nargs=-1, required=True, metavar="WORKFLOW|SESSIONS...", shell_complete=workflows
)
@policies_option("A policy to try; repeat for more.")
@click.option("--budget", metavar="LIMITS", help="60k..200k (4 steps), 60k..200k/8, or 60k,30%.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="policy.NAME=A,B",
    help="Values of a param, for the policies that have it.",
)
@click.option(
    "--recall",
    "least_recall",
    type=click.FloatRange(0, 1),
    default=0.99,
    help="The least mean recall of what is recommended; default 0.99.",
)
@click.option(
    "--quote-recall",
    "least_quotes",
    type=click.FloatRange(0, 1),
    default=0.97,
    help="Likewise of whole lines; default 0.97.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("sweep-results.jsonl"),
    metavar="FILE",
    help="Keeps what is finished; default sweep-results.jsonl.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the recommended setting as a policy file.",
)
@workers_option("Work in so many processes; default 1, or what a cluster has.")
@backend_option("Who works; default processes.")
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> int:
    """Try many settings on workflows or recorded sessions, and say which one to take.

    Name either workflows or sessions (files and folders). `none` is always tried; for sessions the
    bounds too. Started again with the same results file, a sweep that was stopped goes on.

    \b
    Examples:
      ctxbudget sweep jwt_auth --policy moderate --policy aggressive --budget 60k..200k
      ctxbudget sweep sessions/ --policy masking --param policy.keep=3,5,10
      ctxbudget sweep sessions/ --policy adaptive --budget 60k,100k --write chosen.yaml
    """
    from ctxbudget.cli.run_sweep import run

    return run(**options)
