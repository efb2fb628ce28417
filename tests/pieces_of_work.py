"""Functions for workers of `run_all`, in a module that every worker can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def square(number: int) -> int:
    return number * number


def who(number: int) -> tuple[int, int]:
    """Return the number and the process."""
    return number, os.getpid()


def who_of_two(marked: tuple[int, str]) -> tuple[int, int]:
    """Return the number and the process, once two processes have come by."""
    number, folder = marked
    Path(folder, str(os.getpid())).touch()
    while len(list(Path(folder).iterdir())) < 2:
        time.sleep(0.01)
    return who(number)


ARRIVED: list[int] = []
"""Numbers that have come to this process from another, as soon as they are there."""


class Telling:
    """A number that says when it has come to another process."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[object, ...]:
        return _arrive, (self.number,)


def _arrive(number: int) -> Telling:
    ARRIVED.append(number)
    return Telling(number)


def telling(number: int) -> Telling:
    return Telling(number)


def refuse_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is refused")
    return number


LATER = 20
"""A number that waits until 2 is begun again, so that no worker has come far beyond it by then."""


def die_once(marked: tuple[int, str]) -> int:
    """Return the number; the first worker that has 2 in hand is killed."""
    number, folder = marked
    Path(folder, f"{number} by {os.getpid()} at {time.time_ns()}").touch()
    seen = Path(folder, "died")
    if number == 2 and not seen.exists():
        seen.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while number == LATER and len(list(Path(folder).glob("2 by *"))) < 2:
        time.sleep(0.01)
    return number


def always_die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def forever(folder: str) -> None:
    """Say which process this is, and go on until it is ended."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)
