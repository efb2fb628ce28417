"""Reads a journal for the commands that look into one: `show`, `why`, `restore`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TypeAlias

from ctxbudget.cli.output import note
from ctxbudget.cli.progress import bar
from ctxbudget.core.errors import JournalError, SourceError, near_misses, reason_of
from ctxbudget.core.events import Event, RunStarted
from ctxbudget.journal import TextLine, is_locked
from ctxbudget.journal.reading import placed_records

Heard: TypeAlias = Callable[[Event], object]

LARGE_BYTES = 8_000_000
"""From this size on, reading takes long enough for a progress bar."""

HEAD_BYTES = 200
"""So much of the first line is looked at; a journal's is shorter."""

NO_JOURNAL = (
    "is not a journal of ctxbudget; use `ctxbudget replay` or `ctxbudget audit` for a recorded "
    "session, `ctxbudget simulate` for a workflow"
)

STEP_RECORDS = 500
"""Between two looks at the progress bar."""


def read_into(
    path: Path,
    heard: Iterable[Heard],
    *,
    on_text: Callable[[TextLine], object] | None = None,
    quiet: bool = False,
) -> RunStarted:
    """Tell a journal's events to listeners, and return the first one.

    What is missing at the end, cut off by a crash or still being written, is told on stderr. On a
    terminal, a large journal shows how far reading has come, unless `quiet`.

    Raises:
        JournalError: the file is no journal, is damaged elsewhere than at its end, or holds no run.
    """
    torn: list[str] = []
    heard = tuple(heard)
    start: RunStarted | None = None
    try:
        with path.open("rb") as file, _progress(file, quiet=quiet) as told:
            for placed in placed_records(file, str(path), torn.append):
                told(placed.number, placed.end_bytes)
                record = placed.record
                if isinstance(record, TextLine):
                    if on_text is not None:
                        on_text(record)
                elif record is not None:
                    start = _first(record, path) if start is None else start
                    _tell(record, heard, path, placed.number)
    except OSError as error:
        reason = reason_of(error, "cannot be read")
        raise JournalError(f"{reason}; check the path", path=str(path)) from None
    except JournalError as error:
        if error.line in (None, 1) and _is_something_else(path):
            raise JournalError(NO_JOURNAL, path=str(path)) from None
        raise
    if torn:
        _say_what_is_missing(path, torn[0])
    if start is None:
        raise JournalError("holds no run yet; wait for its first event", path=str(path))
    return start


def _is_something_else(path: Path) -> bool:
    """Return whether a file that can be read twice holds something, and surely no journal."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.readline(HEAD_BYTES)
    return bool(head) and b'"journal"' not in head


def _first(event: Event, path: Path) -> RunStarted:
    if not isinstance(event, RunStarted):
        raise JournalError("the first event is not run_started; is the file whole?", path=str(path))
    return event


def _tell(event: Event, heard: Iterable[Heard], path: Path, number: int) -> None:
    try:
        for one in heard:
            one(event)
    except LookupError as error:
        raise JournalError(
            f"the event speaks of {error}, of which no earlier line does; restore the lines that "
            "are missing",
            path=str(path),
            line=number,
        ) from None


def _say_what_is_missing(path: Path, torn: str) -> None:
    if is_locked(path):
        torn = "is still being written; the last line was not whole yet and was left out"
    note(f"{path}: {torn}")


@contextmanager
def _progress(file: IO[bytes], *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what is told line numbers and offsets; it draws a bar for a large file on a terminal."""
    size_bytes = os.fstat(file.fileno()).st_size
    with nullcontext() if quiet or size_bytes < LARGE_BYTES else bar() as progress:
        if progress is None:
            yield lambda number, end_bytes: None
            return
        task = progress.add_task("reading", total=size_bytes)

        def told(number: int, end_bytes: int) -> None:
            if number % STEP_RECORDS == 0:
                progress.update(task, completed=end_bytes)

        yield told
        progress.update(task, completed=size_bytes)


def check_known(what: str, name: str | None, known: Iterable[str]) -> None:
    """Check that a phase or thread that was asked for is one of the journal's.

    Raises:
        SourceError: there is none of that name.
    """
    names = list(known)
    if name is not None and name not in names:
        raise SourceError(f"there is no {what} {name!r} in the journal; {near_misses(name, names)}")
