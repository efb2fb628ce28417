"""The `ctxbudget` command. Each subcommand's module is imported only when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from ctxbudget._version import __version__
from ctxbudget.core.errors import CtxBudgetError

COMMANDS = {
    "simulate": "Run a workflow on paper: does it fit, where does it peak, what is pruned.",
    "validate": "Check workflow and policy files.",
    "policies": "List the shipped policies, or show one.",
    "schema": "Print the JSON Schema of workflow or policy files.",
}
"""The subcommands, in the order of the help, each in a module of its own name."""

USER_ERROR = 2


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"ctxbudget.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ctxbudget")
def cli() -> None:
    """Budget the context window of multi-phase LLM-agent workflows.

    \b
    Examples:
      ctxbudget simulate jwt_auth
      ctxbudget simulate workflow.yaml --policy aggressive --policy none
      ctxbudget validate workflow.yaml
    """


def main() -> None:
    """Run the command line: 0 fine, 1 a gate failed, 2 the user's mistake, without a traceback."""
    try:
        code = cli.main(standalone_mode=False)
    except CtxBudgetError as error:
        _complain(str(error))
        code = USER_ERROR
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        code = 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    click.echo(f"ctxbudget: error: {' '.join(message.split())}", err=True)
