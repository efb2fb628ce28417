"""The journal: every fact, decision and effect as one JSON line, and the way back.

The first line says what the file is; then `{"fact": NAME, ...}`, `{"decision": NAME, ...}` and
`{"effect": NAME, ...}` in the order in which they came about. Fields at their default are left
out. The same events always give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, get_args

import jsonlines
from pydantic import TypeAdapter, ValidationError

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Decision, Effect, Event, Fact

VERSION = 1
HEADER = {"journal": "ctxbudget", "version": VERSION}


def _name(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_CATEGORIES: dict[str, tuple[type, ...]] = {
    "fact": get_args(Fact),
    "decision": get_args(Decision),
    "effect": (Effect,),
}
_KINDS = {(cat, _name(kind)): kind for cat, kinds in _CATEGORIES.items() for kind in kinds}
_LABELS = {kind: label for label, kind in _KINDS.items()}


@cache
def _adapter(label: tuple[str, str]) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[label])


def to_line(event: Event) -> dict[str, Any]:
    """Return an event as the mapping that a journal line holds."""
    label = _LABELS[type(event)]
    category, name = label
    fields = _adapter(label).dump_python(event, mode="json", exclude_defaults=True)
    return {category: name, **fields}


def from_line(line: dict[str, Any], *, path: str = "journal", number: int | None = None) -> Event:
    """Return the event of a journal line.

    Raises:
        JournalError: the line is no event of this version.
    """
    category = next((cat for cat in _CATEGORIES if cat in line), "")
    label = (category, str(line.get(category)))
    if label not in _KINDS:
        raise JournalError(
            f"no event of journal version {VERSION}: {str(line)[:80]}", path=path, line=number
        )
    fields = {key: value for key, value in line.items() if key != category}
    try:
        event: Event = _adapter(label).validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise JournalError(
            f"{line[category]}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            path=path,
            line=number,
        ) from None
    return event


class JournalWriter:
    """A listener that writes each event to an open text file; a context manager."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = jsonlines.Writer(file, compact=True)
        self._writer.write(HEADER)

    def __call__(self, event: Event) -> None:
        """Write an event."""
        self._writer.write(to_line(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def is_journal(path: Path) -> bool:
    """Return True if a file begins as a journal does."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline(200).startswith('{"journal":"ctxbudget"')
    except (OSError, UnicodeDecodeError):
        return False


def read_journal(path: Path) -> Iterator[Event]:
    """Yield a journal's events in order.

    Raises:
        JournalError: the file is no journal, is of another version, or a line is damaged.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from read_events(file, str(path))
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise JournalError(f"{reason}; check the path", path=str(path)) from None
    except UnicodeDecodeError:
        raise JournalError("is not UTF-8 text, so not a journal", path=str(path)) from None


def read_events(file: IO[str], path: str = "journal") -> Iterator[Event]:
    """Yield the events of an open journal; `path` is what errors call it. Errors as above."""
    number = 0
    try:
        for number, line in enumerate(jsonlines.Reader(file).iter(type=dict), 1):
            if number == 1:
                _check_header(line, path)
            else:
                yield from_line(line, path=path, number=number)
    except jsonlines.InvalidLineError as error:
        raise JournalError(
            "the line is damaged; restore it or cut the journal before it",
            path=path,
            line=error.lineno,
        ) from None
    if number == 0:
        raise JournalError("is empty, so not a journal", path=path)


def _check_header(line: dict[str, Any], path: str) -> None:
    if line.get("journal") != HEADER["journal"]:
        raise JournalError("does not begin as a ctxbudget journal", path=path, line=1)
    if line.get("version") != VERSION:
        raise JournalError(
            f"is of version {line.get('version')!r}, this program reads {VERSION}; update it",
            path=path,
            line=1,
        )
