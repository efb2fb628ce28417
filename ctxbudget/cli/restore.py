"""`ctxbudget restore`: its options. The work is in `restore_item`, imported only to do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("restore")
@click.argument("journal", type=click.Path(path_type=Path))
@click.argument("item")
@click.option(
    "--thread", metavar="THREAD", help="Whose prompt it would come back into: main, or an agent's."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the text to a new file."
)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(**options: Any) -> None:
    """Print the whole text of ITEM from JOURNAL, and on stderr what its return would cost.

    The text is what the item held when it came, however much was pruned since. The journal is not
    changed; in a run that goes on, `run.restore(ITEM)` brings the item back into the prompt.

    \b
    Examples:
      ctxbudget restore run.jsonl main/4
      ctxbudget restore run.jsonl main/4 --out found.txt
      ctxbudget restore run.jsonl main/4 --json | jq .cost.gained_tokens

    \b
    Keys of the JSON:
      item (as it came), thread,
      cost (items, gained_tokens, rewritten_tokens, occupancy_tokens, fits,
      to_prune_tokens) or null, no_cost (why not, or null),
      text and block (null with --out), out.
    """
    from ctxbudget.cli.restore_item import run

    run(**options)
