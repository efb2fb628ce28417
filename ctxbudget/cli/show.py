"""`ctxbudget show`: its options. The work is in `show_journal`, imported only to do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctxbudget.cli.html_file import html_option


@click.command("show")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--phase", metavar="PHASE", help="Only what happened in this phase.")
@click.option("--thread", metavar="THREAD", help="Only this thread: main, or an agent's.")
@click.option(
    "--rent",
    "by",
    type=click.Choice(["item", "kind", "layer", "tool", "source", "phase", "agent", "thread"]),
    default="item",
    help="What to split the rent by (item).",
)
@click.option("--events", "lists_events", is_flag=True, help="List every event, one line each.")
@html_option
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> None:
    """Show the run that JOURNAL tells of: phases, prompts, rent, plans.

    JOURNAL is a file from `simulate --journal` or of a live run; one that is still being written
    is read as far as it goes. Rent is what carrying something took: its tokens, once for each
    call that sent them, and its share of what the calls cost.

    \b
    Examples:
      ctxbudget show run.jsonl
      ctxbudget show run.jsonl --rent tool
      ctxbudget show run.jsonl --phase 3 --events
      ctxbudget show run.jsonl --json | jq '.prompts[0].by_kind'
      ctxbudget show run.jsonl --html report.html

    \b
    Keys of the JSON:
      workflow, policy, allocator, models, is_finished, phase (that runs), phases, run,
      told (at, what, phase, thread, message),
      prompts (thread, is_open, tokens, budget_tokens, window_tokens, items,
      evicted, by_kind, by_layer),
      rent (name, rent_tokens, calls, cost_usd or null), plans.
      Times are seconds since the start; events, which --events adds, are as
      the journal holds them.
    """
    from ctxbudget.cli.show_journal import run

    run(**options)
