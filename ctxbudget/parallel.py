"""One pure function over many inputs: in this process, on several, or on a Ray or Dask cluster.

Results come in the order of the inputs, each as soon as it and all before it are there; who keeps
them is told of each as soon as it is there. How they were worked out does not show in them.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from ctxbudget.core.errors import ConfigError, CtxBudgetError

if TYPE_CHECKING:
    from concurrent.futures import Future

A = TypeVar("A")
B = TypeVar("B")

MOST_WORKERS: Final = 1024
"""More cannot be asked for."""

TRIES: Final = 3
"""How often an input is worked on whose worker is killed each time, as by a lack of memory."""

AHEAD_PER_WORKER: Final = 3
"""Inputs on their way for each worker, so that none waits for us."""

WAITING_PER_AHEAD: Final = 20
"""Results that may wait for an earlier one, for each input on its way: they take memory."""

RESTARTED_S: Final = 30.0
"""At most so long do we wait for Dask to start a worker again that was killed."""

CLOSED_S: Final = 20.0
"""At most so long do we wait for a local Dask cluster to end."""

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
    on_result: Callable[[int, B], None] | None = None,
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
        on_result: called in this process with the place of each input and its result, once, as
            soon as it is there, even if earlier ones are not: what it keeps outlives an interrupt.

    Raises:
        ConfigError: the package of the backend is not installed.
        WorkersDiedError: a worker died each time over the same input.
    """
    if backend is Backend.PROCESSES and workers in (None, 1):
        for place, one in enumerate(inputs):
            result = work(one)
            if on_result is not None:
                on_result(place, result)
            yield result
        return
    pool = _POOLS[backend](workers)
    try:
        yield from _in_order(pool, work, inputs, on_result or _ignored)
    except BaseException:
        pool.close(at_once=True)
        raise
    pool.close(at_once=False)


def _ignored(place: int, result: object) -> None:
    """Do nothing with a result."""


class _WorkerDied(Exception):  # noqa: N818  # never leaves this module
    """A worker was killed before it was done."""


class _Pool(Protocol):
    """Workers that are given inputs and asked for results."""

    ahead: int
    """How many inputs may be on their way."""

    def submit(self, work: Callable[[A], B], one: A) -> Any:
        """Return a ticket for the result."""
        ...

    def wait(self, tickets: Sequence[Any]) -> None:
        """Wait until a result is there."""
        ...

    def there(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """Return the tickets whose results are there now."""
        ...

    def result(self, ticket: Any) -> Any:
        """Return a result that is there; `_WorkerDied` if it must be worked out again.

        Raises what the work raised, or WorkersDiedError if the pool has tried again by itself.
        """
        ...

    def renew(self) -> None:
        """Make it work again after a death."""
        ...

    def close(self, *, at_once: bool) -> None:
        """End what it started; `at_once` if work is still in hand."""
        ...


@dataclass(slots=True)
class _Stock(Generic[A, B]):
    """What has been given to a pool, and what has come back but was not yet yielded."""

    pool: _Pool
    work: Callable[[A], B]
    inputs: Sequence[A]
    on_result: Callable[[int, B], None]
    next_place: int = 0
    """Of the first input that was never given."""
    again: list[int] = field(default_factory=list)
    """Places of inputs whose worker died."""
    in_hand: dict[int, Any] = field(default_factory=dict)
    """Tickets by place, in the order in which they were given."""
    results: dict[int, B] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)

    def give(self, *, before: int) -> None:
        """Give inputs until enough are on their way, none from the place `before` on."""
        while len(self.in_hand) < self.pool.ahead:
            is_new = not self.again
            place = self.next_place if is_new else self.again[0]
            if place >= min(before, len(self.inputs)):
                return
            self.in_hand[place] = self.pool.submit(self.work, self.inputs[place])
            if is_new:
                self.next_place += 1
            else:
                del self.again[0]

    def take(self) -> None:
        """Wait until results are there, and take all that are."""
        self.pool.wait(list(self.in_hand.values()))
        self.take_what_is_there()

    def take_what_is_there(self) -> None:
        """Take the results that are there; none is told twice, whatever interrupts this."""
        there = self.pool.there(list(self.in_hand.values()))
        has_died = False
        for place in [at for at, ticket in self.in_hand.items() if ticket in there]:
            try:
                result = self.pool.result(self.in_hand[place])
            except _WorkerDied:
                has_died = True  # what the others brought back is taken first
                continue
            except Exception as error:  # the work's own; it is raised at its place
                self.errors[place] = error
                del self.in_hand[place]
            else:
                self.results[place] = result
                del self.in_hand[place]
                self.on_result(place, result)
        if has_died:
            raise _WorkerDied

    def give_again(self) -> None:
        """Have done again what was in hand."""
        self.again = sorted({*self.again, *self.in_hand})
        self.in_hand.clear()


def _in_order(
    pool: _Pool,
    work: Callable[[A], B],
    inputs: Sequence[A],
    on_result: Callable[[int, B], None],
) -> Iterator[B]:
    """Yield results in order; a bounded number of inputs is on its way, or waits to be yielded."""
    stock = _Stock(pool, work, inputs, on_result)
    waiting = WAITING_PER_AHEAD * pool.ahead
    for place in range(len(inputs)):
        died = 0
        while place not in stock.results and place not in stock.errors:
            try:
                stock.give(before=place + waiting)
                stock.take()
            except _WorkerDied:
                died += 1
                if died == TRIES:
                    raise WorkersDiedError(died) from None
                stock.give_again()
                pool.renew()
            except KeyboardInterrupt:
                with suppress(_WorkerDied):
                    stock.take_what_is_there()
                raise
        if place in stock.errors:
            raise stock.errors[place]
        yield stock.results.pop(place)


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

    def wait(self, tickets: Sequence[Future[Any]]) -> None:
        """Wait for futures."""
        from concurrent.futures import FIRST_COMPLETED, wait

        wait(tickets, return_when=FIRST_COMPLETED)

    def there(self, tickets: Sequence[Future[Any]]) -> Sequence[Future[Any]]:
        """Return the futures that are done."""
        return [one for one in tickets if one.done()]

    def result(self, ticket: Future[B]) -> B:
        """Return a future's result; one death breaks the whole pool."""
        from concurrent.futures import BrokenExecutor

        try:
            return ticket.result()
        except BrokenExecutor:
            raise _WorkerDied from None

    def renew(self) -> None:
        """Start the processes again."""
        self.close(at_once=True)
        self._open()

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

    def wait(self, tickets: Sequence[Any]) -> None:
        """Wait for references."""
        import ray

        ray.wait(list(tickets), num_returns=1)

    def there(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """Return the references whose results are there."""
        import ray

        if not tickets:  # which Ray refuses
            return []
        there, _ = ray.wait(list(tickets), num_returns=len(tickets), timeout=0)
        return there

    def result(self, ticket: Any) -> Any:
        """Return a task's result; Ray has tried it again by itself."""
        import ray
        from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

        try:
            return ray.get(ticket)
        except (WorkerCrashedError, OutOfMemoryError):
            raise WorkersDiedError(TRIES) from None
        except RayTaskError as error:
            raise error.cause from None

    def renew(self) -> None:
        """Do nothing."""

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
                with _deaf_to_interrupts():
                    self._cluster = LocalCluster(  # type: ignore[no-untyped-call]
                        n_workers=workers,
                        threads_per_worker=1,
                        dashboard_address=":0",  # without one it warns where the usual is taken
                        silence_logs=logging.CRITICAL,  # errors come back to us
                    )
            self._client = self._ours = Client(self._cluster)  # type: ignore[no-untyped-call]
        threads = sum(self._client.nthreads().values())
        self.ahead = workers or AHEAD_PER_WORKER * max(1, threads)

    def submit(self, work: Callable[[A], B], one: A) -> Any:
        """Return a future."""
        return self._client.submit(work, one, pure=False)

    def wait(self, tickets: Sequence[Any]) -> None:
        """Wait for futures."""
        from distributed import wait

        wait(list(tickets), return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]

    def there(self, tickets: Sequence[Any]) -> Sequence[Any]:
        """Return the futures that are done."""
        return [one for one in tickets if one.done()]

    def result(self, ticket: Any) -> Any:
        """Return a future's result; Dask has tried it again by itself."""
        from distributed import KilledWorker

        try:
            return ticket.result()
        except KilledWorker:
            raise WorkersDiedError(TRIES) from None

    def renew(self) -> None:
        """Do nothing."""

    def close(self, *, at_once: bool) -> None:
        """End the local cluster, or the connection."""
        if self._cluster is not None:
            # A local cluster fails on its way out while it starts a worker again that was killed,
            # which it may still do where others have finished its work.
            with suppress(TimeoutError):
                self._client.wait_for_workers(len(self._cluster.worker_spec), timeout=RESTARTED_S)
        for one in (self._ours, self._cluster):
            if one is not None:
                with suppress(TimeoutError):  # what does not end now ends with this process
                    one.close(timeout=CLOSED_S)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that leave Ctrl-C, which a terminal sends to all, to this one.

    Only the main thread can say so; workers that another one starts hear it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
