"""Reads what the command line changes of a workflow's run."""

from __future__ import annotations

from ctxbudget.cli.any_run_options import check_model
from ctxbudget.config.fields import budget_option, tokens_option
from ctxbudget.config.run_setup import Overrides
from ctxbudget.config.workflow_format import Deliver


def workflow_overrides(
    *,
    policy: str | None = None,
    allocator: str | None = None,
    budget: str | None,
    window: str | None,
    model: str | None,
    deliver: str | None = None,
) -> Overrides:
    """Return what the options say, each as it was given; None leaves the workflow's own.

    Raises:
        ConfigError: an option says nothing that it may; it is blamed.
    """
    check_model(model)
    return Overrides(
        policy=policy,
        allocator=allocator,
        budget=None if budget is None else budget_option(budget, "--budget"),
        window_tokens=None if window is None else tokens_option(window, "--window"),
        deliver=None if deliver is None else Deliver(deliver),
        model=model,
    )
