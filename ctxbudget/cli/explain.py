"""`ctxbudget explain`: its options. The work is in `explain_phase`, imported only to do it."""

from __future__ import annotations

from typing import Any

import click

from ctxbudget.cli.any_run_options import allocator_option, policy_option, workflow_options
from ctxbudget.cli.completing import phases, workflows


@click.command("explain")
@click.argument("workflow", shell_complete=workflows)
@click.argument("phase", shell_complete=phases)
@policy_option("Another policy. NAME:key=value sets a param.")
@allocator_option
@workflow_options
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
