"""`ctxbudget why`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("why")
@click.argument("journal", type=click.Path(path_type=Path))
@click.argument("item")
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(journal: Path, item: str, as_machine: bool) -> None:
    """Say what was decided on ITEM in JOURNAL, why, and where it is now.

    `ctxbudget show JOURNAL --rent item` names the items that cost most to carry; `--events` names
    all.

    \b
    Examples:
      ctxbudget why run.jsonl main/4
      ctxbudget why run.jsonl '~summary1'
      ctxbudget why run.jsonl main/4 --json | jq '.happenings[].reason'

    \b
    Keys of the JSON:
      item (as it came), stands_for (ids),
      happenings (at, thread, what, tokens, rule, reason, plan, by),
      present (thread, form, version, tokens), evicted (thread, is_open, tokens),
      text_chars, text_start; both null without a text.
      Times are seconds since the start.
    """
    from ctxbudget.cli.item_view import ItemView
    from ctxbudget.cli.output import print_json
    from ctxbudget.report import item_why

    why = ItemView.read(journal, item).why()
    if as_machine:
        print_json(item_why.as_data(why))
        return
    for line in item_why.lines(why):
        click.echo(line)
