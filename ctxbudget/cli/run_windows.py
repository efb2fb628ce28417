"""What `ctxbudget windows` does once its options are read."""

from __future__ import annotations

import click

from ctxbudget.cli.any_run import is_workflow
from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.output import console, note, print_json
from ctxbudget.cli.priced import price_date_if
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.fields import tokens_option
from ctxbudget.config.lookup import find
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow, workflow_of_text
from ctxbudget.core.errors import ConfigError
from ctxbudget.fresh import compare_windows
from ctxbudget.report.windows_json import windows_as_data
from ctxbudget.report.windows_markdown import windows_markdown
from ctxbudget.simulate import measure_for


def run(
    *,
    file: str,
    handoff: str | None,
    policy: str | None,
    model: str | None,
    window: str | None,
    budget: str | None,
    agent: str | None,
    phases: str,
    as_machine: bool,
    as_markdown: bool,
) -> None:
    """Play both ways and print."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    overrides = workflow_overrides(policy=policy, budget=budget, window=window, model=model)
    handoff_tokens = None if handoff is None else tokens_option(handoff, "--handoff")
    loaded = _loaded(file, agent, phases)
    found = compare_windows(loaded, overrides, measure_for(loaded), handoff_tokens)
    date = price_date_if(found.long.metrics.is_priced)
    if as_machine:
        print_json(windows_as_data(found, date))
    elif as_markdown:
        click.echo(windows_markdown(found, date))
    else:
        from ctxbudget.report.windows_terminal import print_windows

        print_windows(console(), found, date)


def _loaded(name: str, agent: str | None, phases: str) -> LoadedWorkflow:
    """Return a workflow; of a recorded session, its draft."""
    if is_workflow(name):
        if agent is not None:
            raise ConfigError(
                f"{name} is a workflow, and this is about what was recorded; leave it out",
                location=("--agent",),
            )
        return read_workflow(find("workflows", name))
    from ctxbudget.cli.draft_workflow import draft_of
    from ctxbudget.drafting import as_yaml

    found = workflow_of_text(as_yaml(draft_of(name, agent, phases)), name)
    note(f"{name}: compared by its draft; `ctxbudget workflow-from {name}` shows it")
    return found
