"""`ctxbudget schema`."""

from __future__ import annotations

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["workflow", "policy"]), default="workflow")
def command(kind: str) -> None:
    """Print the JSON Schema of workflow files, or of policy files.

    Editors use it to complete and check: put
    `# yaml-language-server: $schema=workflow.schema.json` on a file's first line.

    \b
    Examples:
      ctxbudget schema > workflow.schema.json
      ctxbudget schema policy > policy.schema.json
    """
    from ctxbudget.config.schema import schema_text

    click.echo(schema_text(kind), nl=False)
