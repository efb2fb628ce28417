"""Runs a workflow on paper: its facts through the engine, its events into metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctxbudget.config.lookup import package_folder
from ctxbudget.config.run_setup import RunSetup, find_allocator
from ctxbudget.config.sizes import Measure
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.core.engine import Engine
from ctxbudget.counting import MemoCounter, count_file, counter
from ctxbudget.metrics import Metrics
from ctxbudget.session import Listener, Session
from ctxbudget.sources.workflow import WorkflowSource


def simulate(setup: RunSetup, measure: Measure, listeners: Sequence[Listener] = ()) -> Metrics:
    """Return the metrics of a run that never called a model.

    Raises:
        ConfigError: a file or glob that the workflow names cannot be counted.
        BudgetExceededError: what may not be pruned does not fit the window.
    """
    metrics = Metrics()
    source = WorkflowSource(setup, measure)
    engine = Engine(setup.policy.policy, find_allocator)
    Session(engine, source.answer, (*listeners, metrics)).run(source.facts())
    return metrics


def measure_for(loaded: LoadedWorkflow) -> Measure:
    """Return what counts the texts and files that a workflow names, each only once.

    Raises:
        ConfigError: the counter or the root is unknown.
    """
    count = MemoCounter(counter(loaded.workflow.counter))
    return Measure(
        root=_root(loaded),
        count_text=count,
        count_file=lambda path: count_file(path, count),
    )


def _root(loaded: LoadedWorkflow) -> Path:
    root = loaded.workflow.root
    if root is None:
        return loaded.folder
    if root.startswith("package:"):
        return package_folder(root.removeprefix("package:"))
    return loaded.folder / root
