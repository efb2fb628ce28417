"""Reads recorded runs for the commands that replay them, and says what could not be read."""

from __future__ import annotations

from pathlib import Path

from ctxbudget.cli.journal_view import read_into
from ctxbudget.cli.output import note
from ctxbudget.core.events import Event
from ctxbudget.journal import TextLine
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, recorded_run
from ctxbudget.transcripts.session import RecordedSession, read_session


def run_in_journal(name: str) -> RecordedRun:
    """Return the run that a journal of ours tells of.

    Raises:
        JournalError: it cannot be read.
    """
    records: list[Event | TextLine] = []
    read_into(Path(name), [records.append], on_text=records.append)
    return recorded_run(records, name)


def session_in(name: str, agent: str | None) -> RecordedSession:
    """Return a session of another program, or of a sub-agent that it records.

    Raises:
        SourceError: it cannot be read.
    """
    file = RecordedFile(file=name)
    found = read_session(file, PriceBook(price_of), agent)
    tell_unread(file)
    return found


def tell_unread(file: RecordedFile, *, is_whole: bool = True) -> None:
    """Say on stderr what could not be read of a file; `is_whole` as of `file_notes`."""
    from ctxbudget.report.bill_notes import file_notes

    for one in file_notes(file, is_whole=is_whole):
        note(one)
