"""`ctxbudget import`: its options. The work is in `import_workflow`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.completing import files


@click.command("import")
@click.argument("file", shell_complete=files)
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    metavar="FILE",
    help="Write to FILE instead of stdout (-).",
    shell_complete=files,
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--from",
    "format_name",
    type=click.Choice(["archon", "spec-kit", "bearing", "bmad"]),
    help="What FILE is, where that cannot be told by what it holds.",
)
@click.option("--rounds", metavar="N", help="Rounds of tools assumed for each prompt (8).")
@click.option(
    "--outputs",
    metavar="SIZE",
    help="What each step hands on, assumed: small, medium (3,000 tokens), large, or tokens.",
)
@click.option("--json", "as_machine", is_flag=True, help="Write JSON, without comments.")
def command(**options: Any) -> None:
    """Turn the workflow FILE of another tool into one of ours, so that it can be simulated.

    Read are workflows of Archon, of GitHub's Spec Kit and of the BMAD method, and task files of
    bearing; which one it is shows in the file. Steps, what they need, agents, models and loops
    are carried over. Sizes are counted where the file holds the text, else assumed. What could
    not be carried over is told on stderr, and in comments of the file.

    \b
    Examples:
      ctxbudget import .archon/workflows/fix-issue.yaml -o flow.yaml
      ctxbudget import workflow.yml --rounds 20 > flow.yaml
      ctxbudget simulate flow.yaml --policy none --policy adaptive
    """
    from ctxbudget.cli.import_workflow import run

    run(**options)
