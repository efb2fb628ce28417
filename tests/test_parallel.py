"""Tests of work on many inputs: order, deaths, interrupts, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ROOT, Command
from pieces_of_work import (
    ARRIVED,
    Telling,
    always_die,
    die_once,
    refuse_three,
    square,
    telling,
    who,
    who_of_two,
)

from ctxbudget.core.errors import ConfigError
from ctxbudget.parallel import AHEAD_PER_WORKER, TRIES, Backend, WorkersDiedError, run_all

TESTS = Path(__file__).parent


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that takes a moment; the test hangs no longer than a minute."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    """Return whether a process is there and not only waiting to be taken note of."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_results_come_in_the_order_of_the_inputs(workers: int | None) -> None:
    results = run_all(square, range(20), workers=workers)
    assert next(results) == 0
    assert list(results) == [number * number for number in range(1, 20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_input_is_no_result(workers: int) -> None:
    assert list(run_all(square, [], workers=workers)) == []


def test_one_worker_is_this_process_and_two_are_two_others(tmp_path: Path) -> None:
    assert {process for _, process in run_all(who, range(3))} == {os.getpid()}
    marked = [(number, str(tmp_path)) for number in range(20)]
    found = list(run_all(who_of_two, marked, workers=2))
    assert [number for number, _ in found] == list(range(20))
    processes = {process for _, process in found}
    assert os.getpid() not in processes
    assert len(processes) == 2
    wait_until(lambda: not any(map(is_running, processes)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_comes_at_its_place(workers: int) -> None:
    results = run_all(refuse_three, range(9), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three is refused"):
        next(results)
    assert list(results) == []


def test_what_a_killed_worker_had_in_hand_is_done_again(tmp_path: Path) -> None:
    marked = [(number, str(tmp_path)) for number in range(30)]
    told: list[tuple[int, int]] = []
    results = run_all(
        die_once,
        marked,
        workers=2,
        on_result=lambda *one: told.append(one),
    )
    assert list(results) == list(range(30))
    assert sorted(told) == [(number, number) for number in range(30)]
    assert (tmp_path / "died").exists()
    begun = [int(path.name.split()[0]) for path in tmp_path.iterdir() if " by " in path.name]
    assert begun.count(2) == 2
    assert begun.count(29) == 1  # only what was in hand is begun again
    assert len(begun) <= 30 + 2 * AHEAD_PER_WORKER


SLOW_FIRST = """
import sys, time
from pathlib import Path
from ctxbudget.parallel import Backend, run_all

def work(one):
    number, folder = one
    while number == 0 and not Path(folder, "go on").exists():
        time.sleep(0.01)
    return number * number

def keep(place, result):
    print(place, result, flush=True)
    if place == int(sys.argv[3]):
        Path(sys.argv[1], "go on").touch()

inputs = [(number, sys.argv[1]) for number in range(40)]
for result in run_all(work, inputs, workers=2, backend=Backend(sys.argv[2]), on_result=keep):
    print("in order", result, flush=True)
"""
"""Its first result is there only once that of the place in its third argument has been kept."""


@pytest.mark.parametrize("backend", [Backend.PROCESSES])
def test_no_result_waits_for_a_slow_one_to_be_kept(backend: Backend, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW_FIRST, tmp_path, backend, "39"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    quick = [f"{number} {number * number}" for number in range(1, 40)]
    assert sorted(lines[:39]) == sorted(quick)
    assert lines[39:] == ["0 0", *(f"in order {number * number}" for number in range(40))]


def test_what_is_there_is_kept_when_a_slow_one_is_interrupted(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", SLOW_FIRST, tmp_path, "processes", "-1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ours.stdout is not None
    kept = sorted(int(ours.stdout.readline().split()[0]) for _ in range(39))
    ours.send_signal(signal.SIGINT)
    out, said = ours.communicate(timeout=60)
    assert kept == list(range(1, 40))
    assert out == ""
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_what_came_in_while_another_was_kept_is_not_lost_to_an_interrupt() -> None:
    inputs = range(2 * AHEAD_PER_WORKER)  # all of them are on their way at once
    told: list[int] = []
    ARRIVED.clear()

    def keep(place: int, result: Telling) -> None:
        told.append(result.number)
        if len(told) == 1:
            wait_until(lambda: len(ARRIVED) == len(inputs))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_all(telling, inputs, workers=2, on_result=keep))
    assert set(ARRIVED[:-1]) <= set(told)  # the last one may still be on its way within
    assert len(told) == len(set(told))


def test_work_that_kills_every_worker_is_given_up() -> None:
    results = run_all(always_die, range(5), workers=2)
    with pytest.raises(WorkersDiedError, match=f"died {TRIES} times over the same piece") as raised:
        list(results)
    assert raised.value.tries == TRIES


def test_closing_ends_the_processes_that_it_started_and_no_others(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    bystander = subprocess.Popen(
        [sys.executable, "-c", f"import pieces_of_work as p; p.forever({str(other)!r})"], cwd=TESTS
    )
    try:
        script = (
            "from pieces_of_work import forever\n"
            "from ctxbudget.parallel import run_all\n"
            f"list(run_all(forever, [{str(mine)!r}] * 2, workers=2))\n"
        )
        ours = subprocess.Popen(
            [sys.executable, "-c", script], cwd=TESTS, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: len(list(mine.iterdir())) == 2 and bool(list(other.iterdir())))
        workers = [int(path.name) for path in mine.iterdir()]
        assert all(map(is_running, workers))
        ours.send_signal(signal.SIGINT)
        _, said = ours.communicate(timeout=60)
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert said.count("Traceback") == 1  # the workers say nothing
        wait_until(lambda: not any(map(is_running, workers)))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    script = (
        "from pieces_of_work import forever\n"
        "from ctxbudget.parallel import run_all\n"
        f"list(run_all(forever, [{str(tmp_path)!r}] * 2, workers=2))\n"
    )
    ours = subprocess.Popen([sys.executable, "-c", script], cwd=TESTS)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    ours.kill()
    ours.wait()
    wait_until(lambda: not any(map(is_running, workers)))


@pytest.mark.parametrize(
    ("backend", "module"), [(Backend.RAY, "ray"), (Backend.DASK, "distributed")]
)
def test_a_missing_package_is_named(
    backend: Backend, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # how Python marks what cannot be imported
    with pytest.raises(ConfigError) as raised:
        list(run_all(square, range(3), workers=2, backend=backend))
    assert str(raised.value) == (
        f"--backend: {backend} is not installed; pip install 'ctxbudget[{backend}]', or use processes"
    )


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_a_cluster_that_is_there_is_used_and_goes_on(
    backend: str, ctxbudget: Command, tmp_path: Path
) -> None:
    asked = ["sweep", "jwt_auth", "naive", "--policy", "moderate", "--policy", "masking"]
    asked += ["--param", "policy.keep=3,5", "--budget", "10k..20k", "--json", "--results"]
    there = [str(tmp_path / "r"), "--backend", backend, "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "on_cluster.py", backend, str(tmp_path), *asked, *there],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "squares": [0, 1, 4, 9, 16, 25, 36],
        "told": [[number, number * number] for number in range(7)],
        "command": ctxbudget(*asked, tmp_path / "here").out,
        "error": "three is refused",
        "after a death": [0, 1, 2, 3],
        "told after it": [[0, 0], [1, 1], [2, 2], [3, 3]],
        "deaths": TRIES,
        "goes on": [0, 1],
    }
    assert (tmp_path / "died").exists()
    kept = sorted((tmp_path / "r").read_bytes().splitlines())
    assert kept == sorted((tmp_path / "here").read_bytes().splitlines())
    assert len(kept) == 1 + 2 * (3 * 4 + 1)


def test_starting_the_command_imports_none_of_it() -> None:
    script = (
        "import sys, ctxbudget.cli.simulate, ctxbudget.cli.run_simulation\n"
        "print(sorted({'loky', 'joblib', 'ray', 'distributed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n"
