"""What `ctxbudget replay` does once its options are read."""

from __future__ import annotations

from pathlib import Path

from ctxbudget.cli.journal_view import note, read_into
from ctxbudget.cli.output import console, print_json
from ctxbudget.config.fields import tokens_option
from ctxbudget.config.policy_file import (
    LoadedPolicy,
    load_policy,
    policy_from_data,
    refuse_impossible,
)
from ctxbudget.core.errors import BudgetExceededError, ConfigError, PolicyError
from ctxbudget.core.events import Event
from ctxbudget.core.types import Scale
from ctxbudget.journal import TextLine
from ctxbudget.replay import RecordedRun, Settings, WhatIf, recorded_run, what_if


def run(
    *,
    journal: Path,
    policies: tuple[str, ...],
    window: str | None,
    budget: str | None,
    misses: bool,
    as_machine: bool,
) -> int:
    """Replay, print, and return the exit code."""
    settings = Settings(
        window_tokens=None if window is None else tokens_option(window, "--window"),
        budget_tokens=None if budget is None else tokens_option(budget, "--budget"),
    )
    records: list[Event | TextLine] = []
    read_into(journal, [records.append], on_text=records.append)
    recorded = recorded_run(records, str(journal))
    found = _replays(recorded, policies, settings)
    if as_machine:
        from ctxbudget.report import what_if_json

        print_json(what_if_json.what_ifs(str(journal), recorded, found, misses))
    else:
        from ctxbudget.report import what_if_terminal

        what_if_terminal.print_what_ifs(console(), str(journal), recorded, found, misses=misses)
    return 0


def _replays(recorded: RecordedRun, policies: tuple[str, ...], settings: Settings) -> list[WhatIf]:
    """Return the run under its own policy or those that were named, and under `none`."""
    chosen = [load_policy(name) for name in policies] or [policy_from_data(recorded.start.policy)]
    if all(one.label != "none" for one in chosen):
        chosen.append(load_policy("none"))
    found = []
    for one in chosen:
        try:
            _check(one, recorded, settings)
            found.append(what_if(recorded, one, settings))
        except (BudgetExceededError, ConfigError, PolicyError) as error:
            if not found and one is chosen[-1]:
                raise
            note(f"policy {one.label} is left out: {error}")
    return found


def _check(policy: LoadedPolicy, recorded: RecordedRun, settings: Settings) -> None:
    scale = recorded.start.scale
    window = settings.window_tokens or scale.window_tokens
    limit = window - scale.reserve_tokens
    if limit < 1:
        raise ConfigError(
            f"{window:,} tokens leave nothing beside the reserve of {scale.reserve_tokens:,}; "
            "name a larger window",
            location=("--window",),
        )
    if settings.budget_tokens is not None and settings.budget_tokens > limit:
        raise ConfigError(
            f"{settings.budget_tokens:,} tokens are more than the {limit:,} that the window "
            "leaves; name a smaller budget or a larger --window",
            location=("--budget",),
        )
    refuse_impossible(
        policy,
        Scale(
            window_tokens=window,
            reserve_tokens=scale.reserve_tokens,
            budget_tokens=settings.budget_tokens or min(scale.budget_tokens, limit),
        ),
    )
