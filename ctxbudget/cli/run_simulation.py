"""What `ctxbudget simulate` does once its options are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.draw_runs import many_runs
from ctxbudget.cli.exit_codes import FINE, GATE_FAILED
from ctxbudget.cli.html_file import check_html, write_html
from ctxbudget.cli.output import console, print_json
from ctxbudget.cli.priced import price_date_if
from ctxbudget.cli.simulate_runs import run_many
from ctxbudget.cli.whole_file import whole_file
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.lookup import find
from ctxbudget.config.policy_file import NONE
from ctxbudget.config.run_setup import Overrides, RunSetup, set_up_run
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow
from ctxbudget.core.errors import JournalError, reason_of
from ctxbudget.core.types import Level
from ctxbudget.journal import JournalWriter, is_journal, is_locked
from ctxbudget.metrics import Metrics
from ctxbudget.report import as_json
from ctxbudget.report.course_words import EXPECTED_UNLESS_DRAWN
from ctxbudget.report.drawn import Drawing, listeners
from ctxbudget.simulate import measure_for, simulate

GATES = (Level.WARN, Level.CRITICAL, Level.OVERFLOW)
"""Levels that --fail-on takes, mildest first; a graver one fails too."""


def run(
    *,
    workflow: str,
    policies: tuple[str, ...],
    allocator: str | None,
    budget: str | None,
    window: str | None,
    model: str | None,
    deliver: str | None,
    journal: Path | None,
    html: Path | None,
    as_machine: bool,
    as_markdown: bool,
    fail_on: str | None,
    run_count: int | None,
    seed: int | None,
    workers: int | None,
    backend: str | None,
) -> int:
    """Simulate, print, and return the exit code."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    of_one = (("--journal", journal), ("--html", html), ("--markdown", as_markdown or None))
    many = many_runs(run_count, seed, workers, backend, refused=of_one)
    check_html(html)
    drawing = Drawing() if html is not None else None
    loaded = read_workflow(find("workflows", workflow))
    overrides = workflow_overrides(
        allocator=allocator, budget=budget, window=window, model=model, deliver=deliver
    )
    setups = [set_up_run(loaded, overrides.with_policy(policy)) for policy in policies or (None,)]
    if many is not None:
        notes, levels = _notes(setups[0], is_drawn=True), _failing(fail_on)
        return run_many(setups, many, notes, as_machine=as_machine, fail_on=levels)
    with _journal(journal) as writer:
        runs = _run_all(loaded, setups, writer, drawing)
        none = _under_none(loaded, overrides, runs, drawing)
    date = price_date_if(runs[0][1].is_priced)
    if html is not None and drawing is not None:
        from ctxbudget.report.html.of_simulation import simulated_page

        write_html(html, simulated_page(runs, none, drawing.runs, _notes(setups[0]), date))
    if as_machine:
        print_json(as_json.simulation(runs, none, date, _notes(setups[0])))
    elif as_markdown:
        from ctxbudget.report.run_markdown import simulation_markdown

        click.echo(simulation_markdown(runs, none, _notes(setups[0]), date))
    else:
        from ctxbudget.report import terminal

        terminal.print_simulation(console(), runs, none, _notes(setups[0]), date)
    return _gate(runs[0][1], fail_on)


def _run_all(
    loaded: LoadedWorkflow,
    setups: list[RunSetup],
    writer: JournalWriter | None,
    drawing: Drawing | None,
) -> list[tuple[str, Metrics]]:
    """Return each policy's metrics; the journal is the first one's."""
    measure = measure_for(loaded)
    runs = []
    for number, setup in enumerate(setups):
        heard = list(listeners(drawing, number))
        if writer is not None and number == 0:
            heard.append(writer)
        runs.append((setup.policy.label, simulate(setup, measure, heard)))
    return runs


def _under_none(
    loaded: LoadedWorkflow,
    overrides: Overrides,
    runs: list[tuple[str, Metrics]],
    drawing: Drawing | None,
) -> Metrics:
    """Return the same run under `none`."""
    for label, metrics in runs:
        if label == NONE:
            return metrics
    setup = set_up_run(loaded, overrides.with_policy(NONE))
    return simulate(setup, measure_for(loaded), listeners(drawing, NONE))


@contextmanager
def _journal(path: Path | None) -> Iterator[JournalWriter | None]:
    """Yield a writer to a file that takes its name only when all has gone well.

    Raises:
        JournalError: the file cannot be written, or would replace what is not a journal.
    """
    if path is None:
        yield None
        return
    try:
        _refuse_to_replace(path)
        with (
            whole_file(path) as partial,
            open(
                partial,
                "x",
                encoding="utf-8",
                errors="surrogatepass",
                newline="\n",
                opener=_owner_only,
            ) as file,
        ):
            yield JournalWriter(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = reason_of(error, "cannot be written")
        raise JournalError(f"{reason}; choose another place", path=str(path)) from None


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _refuse_to_replace(path: Path) -> None:
    """Check that nothing but an empty file, or a journal that nobody writes, is there."""
    if not path.exists():
        return
    if not path.is_file() or (path.stat().st_size and not is_journal(path)):
        raise JournalError("exists and is not a journal; choose another name", path=str(path))
    if is_locked(path):
        raise JournalError(
            "is being written by somebody else; wait until that run has ended, or choose another "
            "name",
            path=str(path),
        )


def _notes(setup: RunSetup, *, is_drawn: bool = False) -> list[str]:
    """Return what the numbers rest on that the file does not say."""
    workflow = setup.loaded.workflow
    notes = []
    if workflow.is_uncertain and not is_drawn:
        notes.append(EXPECTED_UNLESS_DRAWN)
    if setup.window_is_assumed:
        of = f"of {workflow.model} is not known" if workflow.model else "is not given"
        notes.append(f"assumed: the window {of}; set `window`")
    guessed = _outputs_without_metadata(setup)
    if guessed:
        notes.append(
            f"assumed: {workflow.sizes.metadata:,} tokens of metadata for each output that "
            f"declares none ({guessed:,})"
        )
    if workflow.counter == "chars":
        notes.append("estimate: texts are counted as characters ÷ 4")
    return notes


def _outputs_without_metadata(setup: RunSetup) -> int:
    phases = setup.loaded.workflow.phases
    own = [phase.metadata for phase in phases if phase.output is not None]
    agents = [
        agent.metadata for phase in phases for wave in phase.all_waves() for agent in wave.agents
    ]
    return sum(metadata is None for metadata in own + agents)


def _failing(fail_on: str | None) -> tuple[Level, ...]:
    """Return the levels at which the gate fails, mildest first."""
    return () if fail_on is None else GATES[GATES.index(Level(fail_on)) :]


def _gate(metrics: Metrics, fail_on: str | None) -> int:
    """Return the exit code, after saying on stderr what crossed the gate."""
    if fail_on is None:
        return FINE
    failing = _failing(fail_on)
    crossed = [
        event
        for event in metrics.run.events
        if event.level in failing and (event.scope == "run" or event.level == Level.OVERFLOW)
    ]
    if not crossed:
        return FINE
    worst = max(crossed, key=lambda event: (failing.index(Level(event.level)), event.tokens))
    # a level is told where it is first crossed; a prompt that overflows is never sent as it was
    how_far = f"{worst.tokens:,} tokens"
    if worst.level != Level.OVERFLOW:
        how_far = f"peak {metrics.run.peak_tokens:,} tokens"
    click.echo(
        f"ctxbudget: gate failed: --fail-on {fail_on}: {worst.level} in {worst.scope}, {how_far}, "
        f"limit {worst.limit_tokens:,}",
        err=True,
    )
    return GATE_FAILED
