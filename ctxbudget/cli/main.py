"""The `ctxbudget` command. Each subcommand's module is imported only when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from keyword import iskeyword
from pathlib import Path
from typing import TextIO, cast

import click

from ctxbudget._version import __version__
from ctxbudget.cli.exit_codes import FINE, INTERRUPTED, READER_GONE, USER_ERROR
from ctxbudget.cli.output import ClosedStdout, StdoutClosedError, complain
from ctxbudget.core.errors import CtxBudgetError

COMMANDS = {
    "init": "Write a first workflow file after a few questions.",
    "simulate": "Run a workflow on paper: does it fit, where does it peak, what is pruned.",
    "explain": "Say in words what happens in a phase of a workflow.",
    "schedule": "Find the order of phases that keeps the peak lowest.",
    "check": "Hold a workflow, a journal or a session to limits; exit 1 if it breaks one.",
    "diff": "Say what changed between two workflows, journals or sessions.",
    "windows": "Compare one long window with a fresh one for each phase.",
    "sweep": "Try many settings on workflows or sessions, and say which one to take.",
    "audit": "Say what recorded agent sessions cost.",
    "replay": "Say what another policy would have made of a recorded run.",
    "show": "Show what a journal tells: phases, prompts, rent, plans.",
    "why": "Say what was decided on an item of a journal, and why.",
    "restore": "Print an item's whole text from a journal, and what its return would cost.",
    "workflow-from": "Draft a workflow file from a recorded session.",
    "import": "Turn a workflow file of another tool into one of ours.",
    "validate": "Check workflow and policy files.",
    "policies": "List the shipped policies, or show one.",
    "schema": "Print the JSON Schema of workflow or policy files.",
    "completion": "Print the script that lets a shell complete what is typed.",
}
"""The subcommands, in the order of the help, each in a module of its own name.

One that Python keeps for itself has `_` behind it there.
"""

ASKED_BY_A_SHELL = "_CTXBUDGET_COMPLETE"
"""Set where a shell asks what fits at the cursor; click answers it, and ends the program."""


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_") + "_" * iskeyword(cmd_name)
        command: click.Command = import_module(f"ctxbudget.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="ctxbudget")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Budget the context window of multi-phase LLM-agent workflows.

    \b
    Examples:
      ctxbudget simulate jwt_auth
      ctxbudget simulate flow.yaml --policy ladder
      ctxbudget validate flow.yaml
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: 0 fine, 1 a gate failed, 2 the user's mistake, without a traceback."""
    _prepare()
    sys.exit(_run(arguments))


def _prepare() -> None:
    """Let users name modules in the current folder, and print to any terminal, or to none."""
    if "" not in sys.path:
        # As `python -m` does, but last, so that no file there stands in for a library.
        sys.path.append("")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    # Python has None in place of what was closed before it began.
    if sys.stdout is None:
        sys.stdout = cast("TextIO", ClosedStdout())
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _run(arguments: Sequence[str] | None) -> int:
    """Return the exit code, having told on stderr what went wrong."""
    try:
        code = cli.main(arguments, "ctxbudget", standalone_mode=False)
    except CtxBudgetError as error:
        complain(str(error))
        return USER_ERROR
    except click.ClickException as error:
        complain(_with_next_step(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return INTERRUPTED
    except SystemExit as ended:
        if ASKED_BY_A_SHELL in os.environ:
            return int(ended.code or FINE)
        # So do click and rich end when the reader of our output goes, as `head` does.
        return READER_GONE
    except StdoutClosedError:  # whoever closed it wants to hear nothing
        return USER_ERROR
    except OSError as error:
        complain(f"{error.strerror or error}; free some space or choose another place".lower())
        return USER_ERROR
    return code if isinstance(code, int) else FINE


def _with_next_step(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        joint = "" if message.endswith("?") else ";"
        return f"{message}{joint} see `{error.ctx.command_path} --help`"
    return message
