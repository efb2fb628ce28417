"""Plays many runs of a workflow as the command line asks for them, and shows how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ctxbudget.cli.progress import counted_bar
from ctxbudget.config.run_setup import RunSetup
from ctxbudget.core.errors import ConfigError
from ctxbudget.odds.runs import Played, play_runs
from ctxbudget.parallel import Backend
from ctxbudget.simulate import sizes_for


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
    refused: Sequence[tuple[str, object]] = (),
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
                raise ConfigError(GOES_WITH_RUNS, location=(option,))
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


GOES_WITH_RUNS: Final = "goes with --runs; add --runs 1000"


def draw(setups: Sequence[RunSetup], many: Many) -> list[Played]:
    """Return the runs, each under all setups of the one workflow. Errors as in `play_runs`."""
    with counted_bar("simulating", many.runs) as on_done:
        return play_runs(
            setups,
            sizes_for(setups[0].loaded),
            runs=many.runs,
            seed=many.seed,
            workers=many.workers,
            backend=many.backend,
            on_done=on_done,
        )
