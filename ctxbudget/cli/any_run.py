"""Reads a file that tells of a run, whichever of our three kinds it is, for gates and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ctxbudget.cli.any_run_options import check_model
from ctxbudget.cli.draw_runs import Many, draw
from ctxbudget.cli.replay_settings import (
    other_model,
    price_said,
    refuse_agent_of_journal,
    ttl_s_of,
)
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.fields import budget_option, tokens_option
from ctxbudget.config.lookup import SUFFIXES, find, names
from ctxbudget.config.policy_file import NONE, policy_option, refuse_impossible
from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import is_workflow_file, read_workflow
from ctxbudget.core.errors import ConfigError, JournalError, SourceError
from ctxbudget.core.pricing import InputCosts
from ctxbudget.gate.drawn import outcome_of_runs
from ctxbudget.gate.outcome import Outcome, Source, outcome_of_replay, outcome_of_run
from ctxbudget.gate.places import Places
from ctxbudget.journal.reading import is_journal
from ctxbudget.metrics import Metrics
from ctxbudget.replay import RecordedRun, Settings, what_if
from ctxbudget.simulate import measure_for, simulate

Under: TypeAlias = Callable[[str | None], Outcome]
"""Plays a run under a policy; None is its own, or `none` for a session of another program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line changes of a run beside its policy; None leaves it."""

    model: str | None = None
    window: str | None = None
    budget: str | None = None
    agent: str | None = None
    ttl: str | None = None
    price: str | None = None

    @property
    def of_a_replay(self) -> list[str]:
        """The names of those that were given, of those that change a replay."""
        found = {"--model": self.model, "--window": self.window, "--budget": self.budget}
        return _given({**found, "--ttl": self.ttl, "--price": self.price})

    @property
    def of_what_was_recorded(self) -> list[str]:
        """The names of those that were given, of those that a workflow has no use for."""
        return _given({"--agent": self.agent, "--ttl": self.ttl, "--price": self.price})


def _given(options: dict[str, str | None]) -> list[str]:
    return [name for name, value in options.items() if value is not None]


def any_run(name: str, options: Options, many: Many | None = None) -> Under:
    """Return what plays the run that a file tells of: a workflow, a journal or a session.

    `many` asks for so many runs of a workflow, each with its own draws.

    Raises:
        ConfigError: an option is wrong, or the file is a workflow that is.
        SourceError: the file is none of the three.
    """
    check_model(options.model)
    if not name.strip():
        raise ConfigError("expected a file, found nothing; name a workflow, a journal or a session")
    path = Path(name)
    if name != "-" and path.is_dir():
        raise SourceError(f"{name}: is a directory; name a file in it")
    if name != "-" and path.is_file() and is_journal(path):
        _refuse_many(name, "a journal", many)
        return _journal(name, options)
    if is_workflow(name):
        return _workflow(name, options, many)
    _refuse_many(name, "a recorded session", many)
    return _session(name, options)


def _refuse_many(name: str, what: str, many: Many | None) -> None:
    if many is not None:
        raise ConfigError(
            f"{name} is {what}, which ran once; leave --runs out", location=("--runs",)
        )


def is_workflow(name: str) -> bool:
    """Return whether a name means a workflow, shipped or in a file that may not be there."""
    if name == "-":
        return False
    path = Path(name)
    if name in names("workflows") or is_workflow_file(path):
        return True
    return not path.exists() and (path.suffix in SUFFIXES or not path.suffix)


# ---- a workflow


def _workflow(name: str, options: Options, many: Many | None) -> Under:
    if options.of_what_was_recorded:
        raise ConfigError(
            f"{name} is a workflow, and this is about what was recorded; leave it out",
            location=(options.of_what_was_recorded[0],),
        )
    loaded = read_workflow(find("workflows", name))
    overrides = workflow_overrides(
        model=options.model, window=options.window, budget=options.budget
    )
    measure = measure_for(loaded)

    def under(policy: str | None) -> Outcome:
        setup = set_up_run(loaded, overrides.with_policy(policy))
        if many is not None:
            return outcome_of_runs(name, setup, draw([setup], many), many.seed)
        places = Places()
        metrics = simulate(setup, measure, [places])
        return outcome_of_run(
            name,
            Source.WORKFLOW,
            setup.policy.label,
            metrics,
            places,
            is_expected=loaded.workflow.is_uncertain,
        )

    return under


# ---- what was recorded


def _journal(name: str, options: Options) -> Under:
    refuse_agent_of_journal(options.agent)

    def under(policy: str | None) -> Outcome:
        if policy is not None:
            from ctxbudget.cli.recorded_files import run_in_journal

            run = run_in_journal(name)
            _refuse_empty(name, run.calls)
            return _replayed(name, run, policy, options, is_journal=True)
        if options.of_a_replay:
            raise ConfigError(
                f"{name} is a journal and is taken as it ran; add --policy to replay it otherwise",
                location=(options.of_a_replay[0],),
            )
        from ctxbudget.cli.journal_view import read_into
        from ctxbudget.report.journal_json import policy_name

        metrics, places = Metrics(), Places()
        start = read_into(Path(name), [metrics, places])
        _refuse_empty(name, metrics.run.calls)
        return outcome_of_run(name, Source.JOURNAL, policy_name(start), metrics, places)

    return under


def _refuse_empty(name: str, calls: int) -> None:
    """Check that there is something to judge: a run without a call keeps any limit."""
    if not calls:
        raise JournalError("holds no call yet; wait for its first one", path=name)


def _session(name: str, options: Options) -> Under:
    from ctxbudget.cli.recorded_files import session_in

    run = session_in(name, options.agent).run
    return lambda policy: _replayed(name, run, policy or NONE, options)


def _replayed(
    name: str, run: RecordedRun, policy: str, options: Options, *, is_journal: bool = False
) -> Outcome:
    settings = _settings(run, options)
    loaded = policy_option(policy)
    refuse_impossible(loaded, settings.scale(run.start.scale))
    places = Places(costs=InputCosts(assumes_summaries=True))
    found = what_if(run, loaded, settings, listeners=[places])
    return outcome_of_replay(name, found, places, is_journal=is_journal)


def _settings(run: RecordedRun, options: Options) -> Settings:
    window = None if options.window is None else tokens_option(options.window, "--window")
    settings = Settings(
        window_tokens=window,
        ttl_s=ttl_s_of(options.ttl),
        model=other_model(options.model),
        price=price_said(options.price),
    )
    limit_tokens = settings.scale(run.start.scale).hard_limit_tokens
    if limit_tokens < 1:
        raise ConfigError(
            f"{window:,} tokens leave nothing beside the reserve of "
            f"{run.start.scale.reserve_tokens:,}; name a larger window",
            location=("--window",),
        )
    if options.budget is None:
        return settings
    limit = budget_option(options.budget, "--budget")
    budget_tokens = limit.resolve_tokens(settings.scale(run.start.scale))
    if not 1 <= budget_tokens <= limit_tokens:
        raise ConfigError(
            f"{budget_tokens:,} tokens are not 1 to {limit_tokens:,}, what the window leaves; "
            "choose a number in between",
            location=("--budget",),
        )
    return replace(settings, budget_tokens=budget_tokens)
