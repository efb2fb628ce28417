"""What `ctxbudget simulate --runs` does once its options are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ctxbudget.cli.output import console, print_json
from ctxbudget.config.run_setup import RunSetup, placed
from ctxbudget.config.sizes import Counted, counted
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Level
from ctxbudget.odds.runs import play_runs
from ctxbudget.parallel import Backend
from ctxbudget.report import odds_json
from ctxbudget.simulate import measure_for

if TYPE_CHECKING:
    from ctxbudget.odds.tally import Odds, Reached

GATE_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """How many runs are asked for, and who plays them."""

    runs: int
    seed: int
    workers: int | None
    backend: Backend


def many_runs(
    runs: int | None,
    seed: int | None,
    workers: int | None,
    backend: str | None,
    refused: Sequence[tuple[str, object]],
) -> Many | None:
    """Return what is asked for; None if it is one run.

    Args:
        runs: as given on the command line, like the next three.
        seed: of the draws.
        workers: who play at a time.
        backend: who they are.
        refused: options that are about one run, with what they were given.

    Raises:
        ConfigError: an option that goes with many runs stands alone, or one of a single run not.
    """
    if runs is None:
        for option, given in (("--seed", seed), ("--workers", workers), ("--backend", backend)):
            if given is not None:
                raise ConfigError("goes with --runs; add --runs 1000", location=(option,))
        return None
    for option, other in refused:
        if other is not None:
            raise ConfigError("is of one run; leave it or --runs out", location=(option,))
    return Many(
        runs=runs,
        seed=0 if seed is None else seed,
        workers=workers,
        backend=Backend.PROCESSES if backend is None else Backend(backend),
    )


def run_many(
    setups: Sequence[RunSetup],
    many: Many,
    notes: Sequence[str],
    *,
    as_machine: bool,
    fail_on: Sequence[Level],
) -> int:
    """Play the runs, print what they tell, and return the exit code.

    Args:
        setups: one per policy.
        many: how many, and who plays them.
        notes: what the numbers rest on.
        as_machine: print JSON.
        fail_on: levels at which the gate fails, mildest first; empty without a gate.
    """
    from ctxbudget.odds.tally import odds

    loaded, start = setups[0].loaded, setups[0].start
    with _progress(many.runs) as on_done:
        played = play_runs(
            setups,
            _sizes(setups[0]),
            runs=many.runs,
            seed=many.seed,
            workers=many.workers,
            backend=many.backend,
            on_done=on_done,
        )
    found = odds([setup.policy.label for setup in setups], setups[0].graph.order, played)
    is_uncertain = loaded.workflow.is_uncertain
    date = _price_date(setups)
    if as_machine:
        print_json(
            odds_json.drawn_runs(
                found, start, seed=many.seed, is_uncertain=is_uncertain, price_date=date
            )
        )
    else:
        from ctxbudget.report.odds_terminal import print_odds

        if date is not None:
            notes = [
                *notes,
                f"USD: input of calls by the cache model, and summaries; prices: {date}",
            ]
        print_odds(console(), found, start, seed=many.seed, is_uncertain=is_uncertain, notes=notes)
    return _gate(found, fail_on)


def _sizes(setup: RunSetup) -> Counted:
    try:
        return counted(setup.loaded.workflow, measure_for(setup.loaded))
    except ConfigError as error:
        raise placed(error, setup.loaded.document) from None


def _price_date(setups: Sequence[RunSetup]) -> str | None:
    """Return how new the prices are, where there are any."""
    if not any(setup.start.prices for setup in setups):
        return None
    from ctxbudget.prices import price_date

    return price_date()


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[int], None]]:
    """Yield what shows progress: on a terminal a bar of the runs played, elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda runs: None
        return
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True, color_system=None if os.environ.get("NO_COLOR") else "auto")
    with Progress(console=errors, transient=True) as progress:
        task = progress.add_task("simulating", total=runs)
        yield lambda done: progress.update(task, advance=done)


def _gate(odds: Odds, fail_on: Sequence[Level]) -> int:
    """Return the exit code, after saying on stderr in how many runs the gate was crossed."""
    reached = odds.policies[0].reached
    crossed = [(level, runs) for level in fail_on if (runs := _runs_at(reached, level))]
    if not crossed:
        return 0
    level, runs = crossed[-1]
    click.echo(
        f"ctxbudget: gate failed: --fail-on {fail_on[0]}: {level} in {runs:,} of {odds.runs:,} runs",
        err=True,
    )
    return GATE_FAILED


def _runs_at(reached: Reached, level: Level) -> int:
    return {
        Level.WARN: reached.warn_runs,
        Level.CRITICAL: reached.critical_runs,
        Level.OVERFLOW: reached.overflow_runs,
    }[level]
