"""One session or workflow under some settings: what a worker of a sweep does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ctxbudget.config.policy_file import (
    NONE,
    LoadedPolicy,
    policy_from_data,
    refuse_impossible,
)
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.errors import CtxBudgetError
from ctxbudget.core.types import Base, Limit, Scale
from ctxbudget.journal.reading import is_journal, read_records
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, Settings, recorded_run, what_if
from ctxbudget.simulate import measure_for, simulate
from ctxbudget.sweep.grid import Setting
from ctxbudget.sweep.outcome import Outcome
from ctxbudget.transcripts.session import read_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Some settings of one subject."""

    path: str
    is_workflow: bool
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The outcomes of a task, in order; none if the subject cannot be read."""

    path: str
    outcomes: tuple[Outcome, ...] = ()
    failure: str | None = None


def work(task: Task) -> Done:
    """Return what a task comes to; nothing that a user got wrong raises."""
    if task.is_workflow:
        return Done(
            path=task.path, outcomes=tuple(_simulated(task.path, one) for one in task.settings)
        )
    try:
        run, unread = _read(task.path)
    except CtxBudgetError as error:
        return Done(path=task.path, failure=str(error))
    outcomes = (_replayed(run, one) for one in task.settings)
    return Done(path=task.path, outcomes=tuple(replace(one, unread=unread) for one in outcomes))


def _read(path: str) -> tuple[RecordedRun, str | None]:
    """Return a session, and what of it could not be read, in words."""
    if is_journal(Path(path)):
        return recorded_run(read_records(Path(path)), path), None
    file = RecordedFile(file=path)
    run = read_session(file, PriceBook(price_of)).run
    count = file.damaged_lines
    damaged = f"{count:,} damaged {'place' if count == 1 else 'places'}" if count else None
    return run, "; ".join(filter(None, (damaged, file.broken_off))) or None


def _budget(limit: Limit | None, scale: Scale) -> int:
    """Return a budget in tokens; one beyond what the window leaves is all of that."""
    if limit is None:
        return scale.budget_tokens
    return max(1, min(limit.resolve_tokens(scale), scale.hard_limit_tokens))


def _replayed(run: RecordedRun, setting: Setting) -> Outcome:
    budget = _budget(setting.budget, run.start.scale)
    settings = Settings(budget_tokens=budget)
    loaded: LoadedPolicy = policy_from_data(setting.policy.as_data)
    try:
        refuse_impossible(loaded, settings.scale(run.start.scale))
        found = what_if(run, loaded, settings)
    except CtxBudgetError as error:
        return Outcome(budget_tokens=budget, failure=str(error))
    recall = found.recall
    return Outcome(
        cost_usd=found.cost_usd,
        total_usd=found.total_cost_usd,
        sent_tokens=found.metrics.run.sent_tokens,
        peak_tokens=found.peak_tokens,
        budget_tokens=budget,
        recall=None if recall is None else recall.recall,
        quote_recall=None if recall is None else recall.quote_recall,
        misses=0 if recall is None else len(recall.misses),
    )


def _simulated(path: str, setting: Setting) -> Outcome:
    budget = 0
    try:
        loaded = read_workflow(Path(path))
        scale = set_up_run(loaded, Overrides(policy=NONE)).start.scale
        budget = _budget(setting.budget, scale)
        limit = None if setting.budget is None else Limit(tokens=budget, of=Base.WINDOW)
        setup = set_up_run(loaded, Overrides(policy=setting.spec, budget=limit))
        run = simulate(setup, measure_for(loaded)).run
    except CtxBudgetError as error:
        return Outcome(budget_tokens=budget, failure=str(error))
    return Outcome(
        cost_usd=run.cost_usd,
        total_usd=run.cost_usd,
        sent_tokens=run.sent_tokens,
        peak_tokens=run.peak_tokens,
        budget_tokens=budget,
    )
