"""`ctxbudget init`: its options. The work is in `init_workflow`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import policy_option


@click.command("init")
@click.argument("file", default="workflow.yaml", type=click.Path(allow_dash=True))
@click.option("--name", metavar="NAME", help="What reports call it (the file's name).")
@click.option("--model", metavar="NAME", help="The model: its prices, cache and window.")
@click.option("--window", metavar="TOKENS", help="The model's window: 200000 or 200k.")
@click.option("--phases", metavar="A,B,C", help="The steps, in order (plan,implement,test).")
@click.option(
    "--outputs",
    metavar="SIZE",
    help="What a phase hands on: small, medium (3,000 tokens), large, or tokens.",
)
@click.option("--rounds", metavar="N", help="Rounds of tools in a phase (8).")
@policy_option("What leaves the prompt (what suits the phases).")
@click.option("--yes", is_flag=True, help="Ask nothing: take what is not given as shown here.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def command(**options: Any) -> None:
    """Write a first workflow file, with comments, and say what it comes to.

    FILE is workflow.yaml unless named; - is stdout. On a terminal, what is not given as an option
    is asked for; elsewhere it is assumed. The file is checked and simulated before it is written.

    \b
    Examples:
      ctxbudget init
      ctxbudget init flow.yaml --phases research,plan,implement,test --rounds 12
      ctxbudget init flow.yaml --outputs large --policy masking --yes
      ctxbudget init - --window 128k > flow.yaml
    """
    from ctxbudget.cli.init_workflow import run

    run(**options)
