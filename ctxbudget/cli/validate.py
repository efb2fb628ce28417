"""`ctxbudget validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ctxbudget.cli.completing import either
from ctxbudget.report.plain import how_many

if TYPE_CHECKING:
    from ctxbudget.config.policy_file import LoadedPolicy


@click.command("validate")
@click.argument("files", nargs=-1, required=True, shell_complete=either)
def command(files: tuple[str, ...]) -> int:
    """Check workflow and policy FILES, and list all that is wrong; exit 2 if anything is.

    A file with `phases` is a workflow, one with `rules` or `rent` a policy. Bare names mean shipped
    workflows or policies.

    \b
    Examples:
      ctxbudget validate flow.yaml
      ctxbudget validate workflows/*.yaml policies/*.yaml
    """
    from ctxbudget.cli.exit_codes import FINE, USER_ERROR
    from ctxbudget.cli.output import complain
    from ctxbudget.config.fields import WrongFileError
    from ctxbudget.core.errors import CtxBudgetError

    failed = False
    for name in files:
        try:
            click.echo(f"{name}: fine, {_check(name)}")
        except WrongFileError as error:
            for one in error.problems:
                complain(str(one))
            failed = True
        except CtxBudgetError as error:
            complain(str(error))
            failed = True
    return USER_ERROR if failed else FINE


def _check(name: str) -> str:
    """Return what a file holds, after checking it to the end."""
    from ctxbudget.config.document import read_document
    from ctxbudget.config.lookup import find, names
    from ctxbudget.config.policy_file import read_policy
    from ctxbudget.config.run_setup import set_up_run
    from ctxbudget.config.workflow_file import read_workflow
    from ctxbudget.simulate import measure_for, simulate

    path = find("policies" if name in names("policies") else "workflows", name)
    if not {"rules", "rent"}.isdisjoint(read_document(path).content):
        return _policy_words(read_policy(path))
    loaded = read_workflow(path)
    setup = set_up_run(loaded)
    simulate(setup, measure_for(loaded))  # finds missing files, and pins that do not fit
    phases, waves = len(setup.graph), len(setup.graph.waves())
    return (
        f"a workflow of {how_many(phases, 'phase')} in {how_many(waves, 'wave')}, "
        f"{setup.start.scale.budget_tokens:,} tokens of budget, policy {setup.policy.label}"
    )


def _policy_words(loaded: LoadedPolicy) -> str:
    rules = loaded.as_data.get("rules") or ()
    rent = loaded.as_data.get("rent")
    lines = f" and a rent of {how_many(len(rent['stays']), 'line')}" if rent else ""
    return f"a policy of {how_many(len(rules), 'rule')}{lines}"
