"""Workflow files that commands write: where they go, and what they come to before they are there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctxbudget.config.run_setup import RunSetup, set_up_run
from ctxbudget.config.workflow_file import workflow_of_text
from ctxbudget.core.errors import ConfigError, reason_of
from ctxbudget.metrics import Metrics
from ctxbudget.report.money import usd_cell
from ctxbudget.report.plain import how_many
from ctxbudget.simulate import measure_for, simulate

STDOUT: Final = "-"


@dataclass(frozen=True, slots=True)
class Checked:
    """A workflow that has been validated and simulated."""

    setup: RunSetup
    metrics: Metrics


def checked(text: str, path: str) -> Checked:
    """Return what a workflow file of this text comes to; `path` is what errors call it.

    Raises:
        ConfigError: it is no workflow.
        BudgetExceededError: what may not be pruned does not fit its window.
    """
    loaded = workflow_of_text(text, path)
    setup = set_up_run(loaded)
    return Checked(setup, simulate(setup, measure_for(loaded)))


def in_words(one: Checked) -> str:
    """Return what a workflow comes to, in one sentence."""
    run, phases = one.metrics.run, len(one.setup.graph)
    worst = max(one.metrics.phases, key=lambda row: row.peak_tokens)
    cost = f", {usd_cell(run.cost_usd)} USD of input" if run.cost_usd is not None else ""
    unknown = [row.model for row in one.metrics.models if row.model and row.cost_usd is None]
    if unknown:
        cost += f"; the price of {', '.join(unknown)} is not known"
    return (
        f"{how_many(phases, 'phase')} under policy {one.setup.policy.label}: "
        f"peaks at {run.peak_tokens:,} tokens in phase {worst.id} "
        f"({run.peak_tokens / run.budget_tokens:.1%} of a budget of {run.budget_tokens:,}), sends "
        f"{run.sent_tokens:,} in {how_many(run.calls, 'call')}{cost}"
    )


def path_of(output: str | None, option: str) -> Path | None:
    """Return the file to write; None for stdout.

    Raises:
        ConfigError: its name is empty.
    """
    if output == "":
        raise ConfigError("is empty; name a file, or - for stdout", location=(option,))
    return None if output in (None, STDOUT) else Path(output)


def refuse_to_replace(
    path: Path, *, force: bool, read: str | None = None, what: str = "file to read"
) -> None:
    """Check that nothing is there that should not be replaced; `read`, the `what`, never is.

    Raises:
        ConfigError: something is.
    """
    if not os.path.lexists(path):
        return
    is_file = read is not None and os.path.exists(read)
    if is_file and path.exists() and os.path.samefile(path, read or ""):
        raise ConfigError(f"is the {what} itself; choose another name", path=str(path))
    if path.is_dir():
        raise ConfigError("is a folder; name a file", path=str(path))
    if not force:
        raise ConfigError("is there already; choose another name or add --force", path=str(path))


def write(path: Path, text: str, *, force: bool) -> None:
    """Write a file; one that is there is replaced only by force.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        reason = reason_of(error, "cannot be written")
        raise ConfigError(f"{reason}; choose another place", path=str(path)) from None
