"""`ctxbudget completion`."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, and names.

    Names are those of shipped policies and workflows, and of a workflow's phases.

    \b
    Examples:
      eval "$(ctxbudget completion bash)"      # in ~/.bashrc; needs bash 4.4
      eval "$(ctxbudget completion zsh)"       # in ~/.zshrc, after compinit
      ctxbudget completion fish > ~/.config/fish/completions/ctxbudget.fish
    """
    from click.shell_completion import get_completion_class

    from ctxbudget.cli.main import ASKED_BY_A_SHELL

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "ctxbudget", ASKED_BY_A_SHELL).source())
