"""`ctxbudget explain`: its options. The work is in `explain_phase`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.completing import phases, policies, workflows


@click.command("explain")
@click.argument("workflow", shell_complete=workflows)
@click.argument("phase", shell_complete=phases)
@click.option(
    "--policy",
    metavar="NAME|FILE|MODULE:ATTR",
    shell_complete=policies,
    help="Another policy. NAME:key=value sets a param.",
)
@click.option("--allocator", metavar="NAME", help="fixed, dynamic, reserve or MODULE:ATTR.")
@click.option(
    "--budget", metavar="LIMIT", help="Input tokens allowed: 7500, 60k or 30% (of window)."
)
@click.option("--window", metavar="TOKENS", help="The model's window: 200000 or 200k.")
@click.option("--model", metavar="NAME", help="The run's model.")
@click.option(
    "--deliver",
    type=click.Choice(["together", "in_turn"]),
    help="How the outputs of one wave arrive.",
)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> None:
    """Say in words what happens in PHASE of WORKFLOW when it is simulated.

    What the prompt holds when the phase starts and where that is from, what comes in, what its
    agents get, what is pruned by which rule and why, where it peaks and what is to blame, what it
    sends, and what it hands on.

    \b
    Examples:
      ctxbudget explain jwt_auth 3
      ctxbudget explain flow.yaml implement --policy none
      ctxbudget explain flow.yaml implement --json | jq '.peak.largest'

    \b
    Keys of the JSON:
      number (of `of`, in the order of running), needs, needed_by,
      start, added, peak, end (tokens, groups, by_layer), agents, pruned
      (rule, why, do, thread, items, removed_tokens, left_tokens), told,
      findings, calls, sent_tokens, cost_usd or null, kept_tokens.
    """
    from ctxbudget.cli.explain_phase import run

    run(**options)
