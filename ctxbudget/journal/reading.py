"""From a journal's lines to events and texts; what a crash may leave at the end is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from pydantic_core import from_json

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Event
from ctxbudget.journal.lines import HEADER_LINE, TextLine, check_header, record_from_line

OnTorn: TypeAlias = Callable[[str], None]
"""Is told of a last line that a crash cut off, and that is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A record and where its line stands; `record` is None for the first line."""

    record: Event | TextLine | None
    number: int
    """Of the line, from 1."""
    end_bytes: int
    """Offset in the file behind the line's newline."""


def is_journal(path: Path) -> bool:
    """Return True if a file begins as a journal does."""
    try:
        with path.open("rb") as file:
            return file.readline(200).startswith(b'{"journal":"ctxbudget"')
    except OSError:
        return False


def read_journal(path: Path, *, on_torn: OnTorn | None = None) -> Iterator[Event]:
    """Yield a journal's events in order. Arguments and errors are those of `read_records`."""
    return _only_events(read_records(path, on_torn=on_torn))


def read_records(path: Path, *, on_torn: OnTorn | None = None) -> Iterator[Event | TextLine]:
    """Yield a journal's events and texts in order; a text comes before the events that name it.

    A last line that a crash cut off (it has no newline, or its JSON ends too early) is left out
    and told to `on_torn`; without `on_torn`, JSON that ends too early is an error.

    Raises:
        JournalError: the file is no journal, is of another version, or a line is damaged.
    """
    try:
        with path.open("rb") as file:
            yield from _records(file, str(path), on_torn)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise JournalError(f"{reason}; check the path", path=str(path)) from None


def read_events(
    file: IO[str], path: str = "journal", *, on_torn: OnTorn | None = None
) -> Iterator[Event]:
    """Yield the events of an open journal; `path` is what errors call it. As `read_journal`."""
    return _only_events(_records(file, path, on_torn))


def _only_events(records: Iterable[Event | TextLine]) -> Iterator[Event]:
    return (record for record in records if not isinstance(record, TextLine))


def _records(
    lines: Iterable[str | bytes], path: str, on_torn: OnTorn | None
) -> Iterator[Event | TextLine]:
    for placed in placed_records(lines, path, on_torn):
        if placed.record is not None:
            yield placed.record


def placed_records(
    lines: Iterable[str | bytes], path: str, on_torn: OnTorn | None
) -> Iterator[Placed]:
    """Yield the first line and all records with their places, reading no further than these.

    Errors are those of `read_records`; a journal of which a crash left but a part of the first
    line yields nothing.
    """
    number = end_bytes = 0
    rest = iter(lines)
    for number, line in enumerate(rest, 1):
        raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
        try:
            if on_torn is not None and _lacks_newline(raw, number):
                raise JournalError("the line is cut off", path=path, line=number)
            values = _values(raw, path, number)
        except JournalError:
            if on_torn is None or not _is_torn(raw, number, rest):
                raise
            on_torn(f"line {number} was cut off by a crash ({size_text(len(raw))}) and was dropped")
            return
        end_bytes += len(raw)
        if number == 1:
            check_header(values, path)
            record = None
        else:
            record = record_from_line(values, path=path, number=number)
        yield Placed(record=record, number=number, end_bytes=end_bytes)
    if number == 0:
        raise JournalError("is empty, so not a journal", path=path)


def size_text(size_bytes: int) -> str:
    """Return a size as people write it."""
    return f"{size_bytes:,} {'byte' if size_bytes == 1 else 'bytes'}"


def _lacks_newline(raw: bytes, number: int) -> bool:
    """Return whether a line surely was cut off; what is no part of our own first line was not."""
    return not raw.endswith(b"\n") and (number > 1 or HEADER_LINE.encode().startswith(raw))


def _is_torn(raw: bytes, number: int, rest: Iterator[str | bytes]) -> bool:
    """Return whether a line that cannot be read was cut off; may look one line further."""
    if _lacks_newline(raw, number):
        return True
    return number > 1 and _begins_json(raw) and next(rest, None) is None


def _begins_json(raw: bytes) -> bool:
    """Return whether a line that holds no mapping is the beginning of one."""
    try:
        from_json(raw.rstrip(b"\r\n"), allow_partial="trailing-strings")
    except ValueError:
        return False
    return raw.startswith(b"{")


def _values(raw: bytes, path: str, number: int) -> dict[str, Any]:
    """Return the mapping that a line holds."""
    try:
        text = raw.decode("utf-8", "surrogatepass")
        values = json.loads(text.removeprefix("\ufeff") if number == 1 else text)
    except UnicodeDecodeError:
        if number == 1:
            raise JournalError("is not UTF-8 text, so not a journal", path=path) from None
        values = None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise JournalError(
            "the line is damaged; restore it or cut the journal before it", path=path, line=number
        )
    return values
