"""Reads a file that tells of a run, whichever of our three kinds it is, for gates and comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from ctxbudget.config.fields import budget_option, tokens_option
from ctxbudget.config.lookup import SUFFIXES, find, names
from ctxbudget.config.policy_file import load_policy, refuse_impossible
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import is_workflow_file, read_workflow
from ctxbudget.core.errors import ConfigError, SourceError
from ctxbudget.core.events import Event
from ctxbudget.core.pricing import InputCosts
from ctxbudget.gate.outcome import Outcome, Places, Source, outcome_of_replay, outcome_of_run
from ctxbudget.journal import TextLine
from ctxbudget.journal.reading import is_journal
from ctxbudget.metrics import Metrics
from ctxbudget.replay import RecordedRun, Settings, recorded_run, what_if
from ctxbudget.replay.what_if import OtherModel
from ctxbudget.simulate import measure_for, simulate

Under: TypeAlias = Callable[[str | None], Outcome]
"""Plays a run under a policy; None is its own, or `none` for a session of another program."""

NONE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line changes of a run beside its policy; None leaves it."""

    model: str | None = None
    window: str | None = None
    budget: str | None = None

    @property
    def given(self) -> list[str]:
        """The names of those that were given."""
        found = {"--model": self.model, "--window": self.window, "--budget": self.budget}
        return [name for name, value in found.items() if value is not None]


def any_run(name: str, options: Options) -> Under:
    """Return what plays the run that a file tells of: a workflow, a journal or a session.

    Raises:
        ConfigError: an option is wrong, or the file is a workflow that is.
        SourceError: the file is none of the three.
    """
    if options.model is not None and not options.model.strip():
        raise ConfigError("expected a model's name, found nothing", location=("--model",))
    if not name.strip():
        raise ConfigError("expected a file, found nothing; name a workflow, a journal or a session")
    path = Path(name)
    if name != "-" and path.is_dir():
        raise SourceError(f"{name}: is a directory; name a file in it")
    if name != "-" and path.is_file() and is_journal(path):
        return _journal(name, options)
    if _is_workflow(name):
        return _workflow(name, options)
    return _session(name, options)


def _is_workflow(name: str) -> bool:
    if name == "-":
        return False
    path = Path(name)
    if name in names("workflows") or is_workflow_file(path):
        return True
    return not path.exists() and (path.suffix in SUFFIXES or not path.suffix)


# ---- a workflow


def _workflow(name: str, options: Options) -> Under:
    loaded = read_workflow(find("workflows", name))
    overrides = Overrides(
        model=options.model,
        window_tokens=None if options.window is None else tokens_option(options.window, "--window"),
        budget=None if options.budget is None else budget_option(options.budget, "--budget"),
    )
    measure = measure_for(loaded)

    def under(policy: str | None) -> Outcome:
        setup = set_up_run(loaded, overrides.with_policy(policy))
        places = Places()
        metrics = simulate(setup, measure, [places])
        return outcome_of_run(name, Source.WORKFLOW, setup.policy.label, metrics, places)

    return under


# ---- what was recorded


def _journal(name: str, options: Options) -> Under:
    def under(policy: str | None) -> Outcome:
        if policy is not None:
            return _replayed(name, _recorded_journal(name), policy, options)
        if options.given:
            raise ConfigError(
                f"{name} is a journal and is taken as it ran; add --policy to replay it otherwise",
                location=(options.given[0],),
            )
        from ctxbudget.cli.journal_view import read_into

        metrics, places = Metrics(), Places()
        start = read_into(Path(name), [metrics, places])
        label = str(start.policy.get("name", "its own"))
        return outcome_of_run(name, Source.JOURNAL, label, metrics, places)

    return under


def _recorded_journal(name: str) -> RecordedRun:
    from ctxbudget.cli.journal_view import read_into

    records: list[Event | TextLine] = []
    read_into(Path(name), [records.append], on_text=records.append)
    return recorded_run(records, name)


def _session(name: str, options: Options) -> Under:
    from ctxbudget.cli.journal_view import note
    from ctxbudget.prices import price_of
    from ctxbudget.recorded.price_book import PriceBook
    from ctxbudget.recorded.usage import RecordedFile
    from ctxbudget.report.bill_notes import file_notes
    from ctxbudget.transcripts.session import read_session

    file = RecordedFile(file=name)
    run = read_session(file, PriceBook(price_of)).run
    for one in file_notes(file):
        note(one)
    return lambda policy: _replayed(name, run, policy or NONE, options)


def _replayed(name: str, run: RecordedRun, policy: str, options: Options) -> Outcome:
    settings = _settings(run, options)
    loaded = load_policy(policy)
    refuse_impossible(loaded, settings.scale(run.start.scale))
    places = Places(costs=InputCosts(assumes_summaries=True))
    found = what_if(run, loaded, settings, listeners=[places])
    return outcome_of_replay(name, found, places)


def _settings(run: RecordedRun, options: Options) -> Settings:
    window = None if options.window is None else tokens_option(options.window, "--window")
    settings = Settings(window_tokens=window, model=_other_model(options.model))
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
    return Settings(window_tokens=window, model=settings.model, budget_tokens=budget_tokens)


def _other_model(name: str | None) -> OtherModel | None:
    if name is None:
        return None
    from ctxbudget.prices import cache_of, price_of

    return OtherModel(name=name, price=price_of(name, None), cache=cache_of(name))
