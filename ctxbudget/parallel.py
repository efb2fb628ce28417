"""One pure function over many inputs: in this process, on several, or on a Ray or Dask cluster.

Results come in the order of the inputs, each as soon as it and all before it are there. How they
were worked out does not show in them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ctxbudget.core.errors import ConfigError, CtxBudgetError

if TYPE_CHECKING:
    from concurrent.futures import Future

A = TypeVar("A")
B = TypeVar("B")

MOST_WORKERS: Final = 1024

TRIES: Final = 3
"""How often an input is worked on whose worker is killed each time, as by a lack of memory."""

AHEAD_PER_WORKER: Final = 3
"""Inputs on their way for each worker, so that none waits for us."""

ORPHANED_S: Final = 1.0
"""So often a process looks whether the one that started it is still there."""


class Backend(StrEnum):
    """Where work is done."""

    PROCESSES = "processes"
    """On this machine: in this process, or in several of our own."""
    RAY = "ray"
    DASK = "dask"


class WorkersDiedError(CtxBudgetError):
    """Whatever works on an input is killed.

    Attributes:
        tries: how often.
    """

    def __init__(self, tries: int) -> None:
        self.tries = tries
        super().__init__(
            f"a worker died {tries} times over the same piece of work, perhaps for lack of memory; "
            "use fewer workers (--workers), or a machine with more memory"
        )


def run_all(
    work: Callable[[A], B],
    inputs: Sequence[A],
    *,
    workers: int | None = None,
    backend: Backend = Backend.PROCESSES,
    on_done: Callable[[], None] | None = None,
) -> Iterator[B]:
    """Yield `work` of each input, in the order of the inputs.

    What a worker had in hand that was killed is done again. At the end, and when the iterator is
    closed or an error goes through it, `KeyboardInterrupt` included, the processes that it started
    are ended, and no others. A cluster that this process is connected to, or that the environment
    names (RAY_ADDRESS, DASK_SCHEDULER_ADDRESS), is used and goes on; else one is started on this
    machine.

    Args:
        work: a function of a module; what it returns depends on its input alone.
        inputs: what it is called with.
        workers: how many at a time; by default 1 process, or all that a cluster has.
        backend: where; one process is this one.
        on_done: called for each result, before it is yielded.

    Raises:
        ConfigError: the package of the backend is not installed.
        WorkersDiedError: a worker died each time over the same input.
    """
    if backend is Backend.PROCESSES and workers in (None, 1):
        for one in inputs:
            result = work(one)
            if on_done is not None:
                on_done()
            yield result
        return
    pool = _POOLS[backend](workers)
    try:
        for result in _in_order(pool, work, inputs):
            if on_done is not None:
                on_done()
            yield result
    except BaseException:
        pool.close(at_once=True)
        raise
    pool.close(at_once=False)


class _WorkerDied(Exception):  # noqa: N818  # never leaves this module
    """A worker was killed before it was done."""


class _Pool(Protocol):
    """Workers that are given inputs and asked for results."""

    ahead: int
    """How many inputs may be on their way."""

    def submit(self, work: Callable[[A], B], one: A) -> Any:
        """Return a ticket for the result."""
        ...

    def result(self, ticket: Any) -> Any:
        """Wait for a result and return it; `_WorkerDied` if there will be none."""
        ...

    def renew(self) -> bool:
        """Make it work again after a death; return False if it has tried that itself."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End what it started; `at_once` if work is still in hand."""
        ...


def _in_order(pool: _Pool, work: Callable[[A], B], inputs: Sequence[A]) -> Iterator[B]:
    """Yield results in order; a bounded number of inputs is on its way."""
    given, died = 0, 0
    tickets: deque[Any] = deque()
    for done in range(len(inputs)):
        while True:
            try:
                for one in islice(inputs, given, min(len(inputs), done + pool.ahead)):
                    tickets.append(pool.submit(work, one))
                    given += 1
                result = pool.result(tickets[0])
                break
            except _WorkerDied:
                died += 1
                if not pool.renew():
                    raise WorkersDiedError(TRIES) from None
                if died == TRIES:
                    raise WorkersDiedError(died) from None
                tickets.clear()
                given = done
        tickets.popleft()
        died = 0
        yield result


class _Processes:
    """Processes of our own. Those of joblib belong to all who use it in this process."""

    def __init__(self, workers: int | None) -> None:
        self._workers = workers or 1
        self.ahead = AHEAD_PER_WORKER * self._workers
        self._open()

    def _open(self) -> None:
        from loky import ProcessPoolExecutor  # type: ignore[import-untyped]

        self._pool = ProcessPoolExecutor(
            self._workers, initializer=_be_a_worker, initargs=(os.getpid(),)
        )

    def submit(self, work: Callable[[A], B], one: A) -> Future[B]:
        """Return a future."""
        from concurrent.futures import BrokenExecutor

        try:
            ticket: Future[B] = self._pool.submit(work, one)
        except BrokenExecutor:
            raise _WorkerDied from None
        return ticket

    def result(self, ticket: Future[B]) -> B:
        """Return a future's result; one death breaks the whole pool."""
        from concurrent.futures import BrokenExecutor

        try:
            return ticket.result()
        except BrokenExecutor:
            raise _WorkerDied from None

    def renew(self) -> bool:
        """Start the processes again."""
        self.close(at_once=True)
        self._open()
        return True

    def close(self, *, at_once: bool) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, kill_workers=at_once)


def _be_a_worker(parent: int) -> None:
    """Leave Ctrl-C, which a terminal sends to all, to the parent; end when it has been killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHANED_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Ray:
    """Tasks of Ray. Its backend for joblib gives results only when all are there."""

    def __init__(self, workers: int | None) -> None:
        _check_installed("ray", "ray")
        import ray

        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
            if not os.environ.get("RAY_ADDRESS"):
                quiet |= {"num_cpus": workers, "include_dashboard": False}
            ray.init(configure_logging=False, **quiet)
        found = ray.cluster_resources()  # type: ignore[no-untyped-call]
        cpus = max(1, int(found.get("CPU", 1)))
        self.ahead = workers or AHEAD_PER_WORKER * cpus

    def submit(self, work: Callable[[A], B], one: A) -> Any:
        """Return a reference."""
        import ray

        return ray.remote(work).options(max_retries=TRIES - 1).remote(one)

    def result(self, ticket: Any) -> Any:
        """Return a task's result; Ray has tried it again by itself."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

        try:
            return ray.get(ticket)
        except (WorkerCrashedError, OutOfMemoryError):
            raise _WorkerDied from None
        except RayTaskError as error:
            raise error.cause from None

    def renew(self) -> bool:
        """Do nothing."""
        return False

    def close(self, *, at_once: bool) -> None:
        """End the local cluster, or the connection."""
        if self._is_ours:
            import ray

            ray.shutdown()


class _Dask:
    """Tasks of Dask's distributed scheduler."""

    def __init__(self, workers: int | None) -> None:
        _check_installed("distributed", "dask")
        import dask
        from distributed import Client, LocalCluster, default_client

        self._cluster: Any = None
        self._ours: Any = None
        try:
            self._client: Any = default_client()  # type: ignore[no-untyped-call]
        except ValueError:  # there is none yet
            if not dask.config.get("scheduler-address", None):
                self._cluster = LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                )
            self._client = self._ours = Client(self._cluster)  # type: ignore[no-untyped-call]
        threads = sum(self._client.nthreads().values())
        self.ahead = workers or AHEAD_PER_WORKER * max(1, threads)

    def submit(self, work: Callable[[A], B], one: A) -> Any:
        """Return a future."""
        return self._client.submit(work, one, pure=False)

    def result(self, ticket: Any) -> Any:
        """Return a future's result; Dask has tried it again by itself."""
        from distributed import KilledWorker

        try:
            return ticket.result()
        except KilledWorker:
            raise _WorkerDied from None

    def renew(self) -> bool:
        """Do nothing."""
        return False

    def close(self, *, at_once: bool) -> None:
        """End the local cluster, or the connection."""
        for one in (self._ours, self._cluster):
            if one is not None:
                one.close()


def _check_installed(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise ConfigError(
            f"{extra} is not installed; pip install 'ctxbudget[{extra}]', or use processes",
            location=("--backend",),
        )


_POOLS: Final[dict[Backend, Callable[[int | None], _Pool]]] = {
    Backend.PROCESSES: _Processes,
    Backend.RAY: _Ray,
    Backend.DASK: _Dask,
}
