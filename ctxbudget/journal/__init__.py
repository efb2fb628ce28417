"""The journal: every fact, decision and effect as one JSON line, and the way back.

The first line says what the file is; then come events in the order in which they came about, and
each text that an event names by its hash on a line of its own before the first such event. The
same events always give the same bytes.

`JournalWriter` writes to any text file; `open_journal` and `resume_journal` keep the journal of a
run that happens now, so that a crash loses at most the line that was being written.
"""

from __future__ import annotations

from ctxbudget.journal.appended import Fsync
from ctxbudget.journal.lines import TextLine, content_hash, from_line, to_line
from ctxbudget.journal.live import Resumed, open_journal, resume_journal
from ctxbudget.journal.locking import is_locked
from ctxbudget.journal.reading import is_journal, read_events, read_journal, read_records
from ctxbudget.journal.writing import JournalWriter

__all__ = [
    "Fsync",
    "JournalWriter",
    "Resumed",
    "TextLine",
    "content_hash",
    "from_line",
    "is_journal",
    "is_locked",
    "open_journal",
    "read_events",
    "read_journal",
    "read_records",
    "resume_journal",
    "to_line",
]
