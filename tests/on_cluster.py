"""Runs pieces of work on a local cluster that it starts itself, as a host with one would.

`python on_cluster.py ray|dask FOLDER` prints what came of it as JSON. A process of its own: what a
cluster leaves behind in a process stays out of the tests'.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pieces_of_work

from ctxbudget.parallel import Backend, WorkersDiedError, run_all


@contextmanager
def cluster(backend: Backend) -> Iterator[Any]:
    """Yield a question whether a local cluster of one worker is still there."""
    if backend is Backend.RAY:
        import ray

        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)
        yield ray.is_initialized
        ray.shutdown()
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as found,  # type: ignore[no-untyped-call]
        Client(found) as client,  # type: ignore[no-untyped-call]
    ):
        yield lambda: client.status == "running"


def main() -> None:
    """Print results, an error of the work, one of a worker, and whether the cluster goes on."""
    backend, folder = Backend(sys.argv[1]), sys.argv[2]
    said: dict[str, Any] = {}
    with cluster(backend) as goes_on:
        done: list[int] = []
        squares = run_all(
            pieces_of_work.square, range(7), backend=backend, on_done=lambda: done.append(1)
        )
        said["squares"], said["done"] = list(squares), len(done)
        try:
            list(run_all(pieces_of_work.refuse_three, range(5), workers=1, backend=backend))
        except ValueError as error:
            said["error"] = str(error)
        marked = [(number, folder) for number in range(4)]
        said["after a death"] = list(run_all(pieces_of_work.die_once, marked, backend=backend))
        try:
            list(run_all(pieces_of_work.always_die, range(3), workers=1, backend=backend))
        except WorkersDiedError as error:
            said["deaths"] = error.tries
        # What was killed must be there again: a cluster that is starting a worker cannot be ended.
        said["goes on"] = goes_on() and list(
            run_all(pieces_of_work.square, range(2), backend=backend)
        )
    print(json.dumps(said))  # noqa: T201  # it is how it answers


if __name__ == "__main__":
    main()
