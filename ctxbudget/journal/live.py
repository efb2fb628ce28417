"""The journal of a run that happens now: begun, and taken up again after a crash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Event
from ctxbudget.journal.appended import AppendedFile, FilePath, Fsync
from ctxbudget.journal.lines import TextLine
from ctxbudget.journal.reading import is_journal, placed_records, size_text
from ctxbudget.journal.writing import ContentOf, JournalWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A journal that is written on: what it held, and the writer that goes on."""

    events: tuple[Event, ...]
    texts: Mapping[str, Any]
    """Contents by hash."""
    writer: JournalWriter
    dropped: str | None
    """What a crash had left at the end and was cut off, as a sentence without a full stop."""


@dataclass(slots=True)
class _Held:
    """What a journal was found to hold, up to its last event."""

    events: list[Event] = field(default_factory=list)
    texts: dict[str, Any] = field(default_factory=dict)
    end_bytes: int = 0
    lines: int = 0
    dropped: str | None = None


def open_journal(
    path: FilePath,
    *,
    fsync: Fsync = Fsync.PHASE,
    content_of: ContentOf | None = None,
    known_texts: Iterable[str] = (),
) -> JournalWriter:
    """Return a writer that begins a journal, each event on disk as soon as it is told.

    A new file can be read by its owner only. The file is locked until the writer is closed or
    its process ends. A killed process loses at most the line that it was writing.

    Args:
        path: a file that is not there yet, or is empty; symlinks are followed.
        fsync: when to wait for the disk.
        content_of: gives the content of a hash that an event names; None leaves contents out.
        known_texts: hashes whose content is kept elsewhere.

    Raises:
        JournalError: the file is not empty, is being written by somebody else, or cannot be
            written.
    """
    file = AppendedFile(path, fsync=fsync, create=True)
    try:
        if file.size_bytes:
            found = (
                "holds a journal already; resume it, or choose another name"
                if is_journal(Path(path))
                else "exists and is not a journal; choose another name"
            )
            raise JournalError(found, path=file.path)
        writer = JournalWriter(file, content_of, known_texts=known_texts)
        file.sync_birth()
    except BaseException:
        file.close()
        raise
    return writer


def resume_journal(
    path: FilePath, *, fsync: Fsync = Fsync.PHASE, content_of: ContentOf | None = None
) -> Resumed:
    """Return what a journal holds and a writer that goes on behind it, locked as a new one.

    What a crash left at the end, a part of a line or texts without the event that names them, is
    cut off and told in `dropped`. Nothing is changed if there is an error.

    Raises:
        JournalError: the file is no journal, is of another version, is damaged elsewhere than at
            its end, is being written by somebody else, or cannot be written.
    """
    file = AppendedFile(path, fsync=fsync, create=False)
    try:
        held = _read(file) if file.size_bytes else _Held()
        if held.end_bytes < file.size_bytes:
            file.truncate(held.end_bytes)
        writer = JournalWriter(
            file, content_of, known_texts=held.texts, with_header=not held.end_bytes
        )
        file.sync_birth()
    except BaseException:
        file.close()
        raise
    return Resumed(events=tuple(held.events), texts=held.texts, writer=writer, dropped=held.dropped)


def _read(file: AppendedFile) -> _Held:
    """Return what a journal holds up to its last event; texts behind that belong to a lost one."""
    held, torn = _Held(), list[str]()
    waiting: dict[str, Any] = {}
    with file.reader() as lines:
        for placed in placed_records(lines, file.path, torn.append):
            if isinstance(placed.record, TextLine):
                waiting[placed.record.hash] = placed.record.content
                continue
            held.texts.update(waiting)
            waiting.clear()
            if placed.record is not None:
                held.events.append(placed.record)
            held.end_bytes, held.lines = placed.end_bytes, placed.number
    if waiting:
        size = size_text(file.size_bytes - held.end_bytes)
        held.dropped = (
            f"what stood behind line {held.lines} ({size}) was a text whose event was cut off by "
            "a crash, and was dropped"
        )
    elif torn:
        held.dropped = torn[0]
    return held
