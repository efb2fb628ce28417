"""Runs a workflow on paper: its facts through the engine, its events into metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctxbudget.config.lookup import package_folder
from ctxbudget.config.run_setup import RunSetup, find_allocator, placed
from ctxbudget.config.sizes import Counted, Measure, counted
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import ConfigError
from ctxbudget.counting.counters import Counter, MemoCounter, count_file, counter
from ctxbudget.metrics import Metrics
from ctxbudget.session import Listener, Session
from ctxbudget.sources.workflow import WorkflowSource


def simulate(setup: RunSetup, measure: Measure, listeners: Sequence[Listener] = ()) -> Metrics:
    """Return the metrics of a run that never called a model; what is uncertain is as expected.

    Raises:
        ConfigError: a file or glob that the workflow names cannot be counted.
        BudgetExceededError: what may not be pruned does not fit the window.
    """
    metrics = Metrics()
    source = WorkflowSource(setup, measure)
    session_of(source, (*listeners, metrics)).run(source.facts())
    return metrics


def session_of(source: WorkflowSource, listeners: Sequence[Listener]) -> Session:
    """Return the session in which a workflow's facts are decided on."""
    engine = Engine(source.setup.policy.policy, find_allocator)
    return Session(engine, source.answer, listeners)


def measure_for(loaded: LoadedWorkflow) -> Measure:
    """Return what counts the texts and files that a workflow names, each only once.

    Raises:
        ConfigError: the counter or the root is unknown.
    """
    try:
        count = MemoCounter(_counter(loaded.workflow.counter))
        root = _root(loaded)
    except ConfigError as error:
        raise placed(error, loaded.document) from None
    return Measure(
        root=root,
        count_text=count,
        count_file=lambda path: count_file(path, count),
        document=loaded.document,
    )


def sizes_for(loaded: LoadedWorkflow) -> Counted:
    """Return the sizes of the texts and files that a workflow names, all counted.

    Raises:
        ConfigError: one of them cannot be counted, or as of `measure_for`.
    """
    measure = measure_for(loaded)
    try:
        return counted(loaded.workflow, measure)
    except ConfigError as error:
        raise placed(error, loaded.document) from None


def _counter(name: str) -> Counter:
    try:
        return counter(name)
    except ConfigError as error:
        raise ConfigError(error.message, location=("counter",)) from None


def _root(loaded: LoadedWorkflow) -> Path:
    root = loaded.workflow.root
    if root is None:
        return loaded.folder
    if root.startswith("package:"):
        return package_folder(root.removeprefix("package:"))
    folder = loaded.folder / root
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {root!r} in {loaded.folder}; check the path", location=("root",)
        )
    return folder
