"""Runs pieces of work on a local cluster that it starts itself, as a host with one would.

`python on_cluster.py ray|dask FOLDER ARGUMENT...` prints what came of it as JSON, and what the
command `ctxbudget ARGUMENT...` printed there. A process of its own: what a
cluster leaves behind in a process stays out of the tests'.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import pieces_of_work

from ctxbudget.cli.main import main as ctxbudget
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

    found = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)  # type: ignore[no-untyped-call]
    client = Client(found)  # type: ignore[no-untyped-call]
    yield lambda: client.status == "running"
    # A worker that was started again after a death may keep a cluster from ending; it is not what
    # is tested here.
    for worker in found.workers.values():
        os.kill(worker.pid, signal.SIGKILL)


def printed(arguments: list[str]) -> str:
    """Return what the command prints, run in this process and so on its cluster."""
    out = io.StringIO()
    with redirect_stdout(out), suppress(SystemExit):
        ctxbudget(arguments)
    return out.getvalue()


def main() -> None:
    """Print results, an error of the work, one of a worker, and whether the cluster goes on."""
    backend, folder, arguments = Backend(sys.argv[1]), sys.argv[2], sys.argv[3:]
    said: dict[str, Any] = {}
    with cluster(backend) as goes_on:
        told: list[tuple[int, int]] = []
        squares = run_all(
            pieces_of_work.square,
            range(7),
            backend=backend,
            on_result=lambda *one: told.append(one),
        )
        said["squares"], said["told"] = list(squares), sorted(told)
        said["command"] = printed(arguments)
        try:
            list(run_all(pieces_of_work.refuse_three, range(5), workers=1, backend=backend))
        except ValueError as error:
            said["error"] = str(error)
        marked = [(number, folder) for number in range(4)]
        told.clear()
        said["after a death"] = list(
            run_all(
                pieces_of_work.die_once,
                marked,
                backend=backend,
                on_result=lambda *one: told.append(one),
            )
        )
        said["told after it"] = sorted(told)
        try:
            list(run_all(pieces_of_work.always_die, range(3), workers=1, backend=backend))
        except WorkersDiedError as error:
            said["deaths"] = error.tries
        # What was killed must be there again: a cluster that is starting a worker cannot be ended.
        said["goes on"] = goes_on() and list(
            run_all(pieces_of_work.square, range(2), backend=backend)
        )
    print(json.dumps(said), flush=True)  # noqa: T201  # it is how it answers
    os._exit(0)


if __name__ == "__main__":
    main()
