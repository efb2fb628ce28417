"""`ctxbudget policies`."""

from __future__ import annotations

import click

from ctxbudget.cli.completing import policies


@click.command("policies")
@click.argument("name", required=False, shell_complete=policies)
@click.option("--json", "as_machine", is_flag=True, help="Print JSON for machines.")
def command(name: str | None, as_machine: bool) -> None:
    """List the shipped policies, or show the file of one: NAME, or your own FILE.

    \b
    Examples:
      ctxbudget policies
      ctxbudget policies ladder
    """
    from ctxbudget.cli.output import print_json
    from ctxbudget.config.document import read_document
    from ctxbudget.config.lookup import find, names
    from ctxbudget.config.policy_file import read_policy

    if name is not None:
        path = find("policies", name)
        loaded = read_policy(path)
        if as_machine:
            print_json(loaded.as_data)
        else:
            click.echo(path.read_text("utf-8-sig").rstrip())
        return
    found = {one: read_document(find("policies", one)).content for one in names("policies")}
    if as_machine:
        rows = [
            {"name": one, "about": data.get("about", ""), "params": data.get("params", {})}
            for one, data in found.items()
        ]
        print_json(rows)
        return
    _print_table(found)


def _print_table(found: dict[str, dict[str, object]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ctxbudget.cli.output import console

    table = Table(caption="ctxbudget policies NAME shows one; NAME:key=value sets a param.")
    table.add_column("policy", no_wrap=True)
    table.add_column("what it does")
    table.add_column("params")
    for name, data in found.items():
        params = data.get("params")
        pairs = params.items() if isinstance(params, dict) else ()
        shown = "\n".join(f"{key}={value}" for key, value in pairs)
        table.add_row(escape(name), escape(str(data.get("about", ""))), escape(shown))
    console().print(table)
