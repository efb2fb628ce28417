"""What `ctxbudget windows` does once its options are read."""

from __future__ import annotations

from pathlib import Path

import click

from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.output import console, print_json
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.fields import tokens_option
from ctxbudget.config.lookup import find
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.errors import ConfigError
from ctxbudget.fresh import Windows, compare_windows
from ctxbudget.journal.reading import is_journal
from ctxbudget.report.windows_data import windows_as_data, windows_markdown
from ctxbudget.simulate import measure_for


def run(
    *,
    workflow: str,
    handoff: str | None,
    policy: str | None,
    model: str | None,
    window: str | None,
    budget: str | None,
    as_machine: bool,
    as_markdown: bool,
) -> None:
    """Play both ways and print."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    overrides = workflow_overrides(policy=policy, budget=budget, window=window, model=model)
    handoff_tokens = None if handoff is None else tokens_option(handoff, "--handoff")
    loaded = read_workflow(_workflow(workflow))
    found = compare_windows(loaded, overrides, measure_for(loaded), handoff_tokens)
    date = _price_date(found)
    if as_machine:
        print_json(windows_as_data(found, date))
    elif as_markdown:
        click.echo(windows_markdown(found, date))
    else:
        from ctxbudget.report.windows_terminal import print_windows

        print_windows(console(), found, date)


def _workflow(name: str) -> Path:
    """Return a workflow's path; of what was recorded, say how to come to one."""
    path = Path(name)
    is_recorded = path.suffix in (".jsonl", ".gz", ".zst") or name == "-"
    if is_recorded or (path.is_file() and is_journal(path)):
        raise ConfigError(
            "is no workflow; `ctxbudget workflow-from` drafts one from a recorded session, which "
            "`ctxbudget windows` then takes",
            path=name,
        )
    return find("workflows", name)


def _price_date(found: Windows) -> str | None:
    if not found.long.metrics.is_priced:
        return None
    from ctxbudget.providers.prices import price_date

    return price_date()
