"""From events to a journal's lines, each text ahead of the first event that names it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO, Any, Self, TypeAlias

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Event
from ctxbudget.journal.appended import AppendedFile
from ctxbudget.journal.lines import HEADER_LINE, event_line, text_line

ContentOf: TypeAlias = Callable[[str], Any]
"""Returns the content (a JSON value) of a hash that an event names; unknown is a `LookupError`."""


class JournalWriter:
    """A listener that writes each event to a file; a context manager; safe to share by threads.

    An error ends it: each later event raises again, since a journal must not have a hole.
    A file of the caller's own stays open; one from `open_journal` is closed by `close`.
    """

    def __init__(
        self,
        file: IO[str] | AppendedFile,
        content_of: ContentOf | None = None,
        *,
        known_texts: Iterable[str] = (),
        with_header: bool = True,
    ) -> None:
        """Write the first line, unless the file has it.

        Args:
            file: where to, an open text file or what `open_journal` opens.
            content_of: gives the content of a hash; None leaves contents out.
            known_texts: hashes whose content the file has already, or that are left out.
            with_header: False if the file has its first line already.
        """
        self._file = file
        self._content_of = content_of
        self._known_texts = set(known_texts)
        self._lock = threading.Lock()
        self._failure: str | None = None
        if with_header:
            file.write(HEADER_LINE)

    def __call__(self, event: Event) -> None:
        """Write an event.

        Raises:
            JournalError: it could not be written, or an earlier one could not.
        """
        with self._lock:
            if self._failure is not None:
                raise JournalError(
                    f"takes no more events since one could not be written ({self._failure}); mend "
                    "that and resume it",
                    path=self._path,
                )
            try:
                self._write(event)
            except BaseException as error:
                told = str(error).removeprefix(f"{self._path}: ")
                self._failure = told or type(error).__name__
                raise

    def _write(self, event: Event) -> None:
        text: str | None = getattr(event, "text", None)
        is_new = text is not None and text not in self._known_texts
        if text is not None and is_new and self._content_of is not None:
            self._file.write(self._text_line(text, self._content_of) + event_line(event))
            self._known_texts.add(text)
        else:
            self._file.write(event_line(event))
        if isinstance(self._file, AppendedFile):
            self._file.sync_after(type(event))

    def _text_line(self, text: str, content_of: ContentOf) -> str:
        try:
            content = content_of(text)
        except LookupError:
            raise JournalError(
                f"the content of text {text!r} is not known; keep it until the event is written",
                path=self._path,
            ) from None
        try:
            return text_line(text, content)
        except (TypeError, ValueError, RecursionError) as error:
            raise JournalError(
                f"the content of text {text!r} cannot be written: {error}; give a JSON value and "
                "its content_hash",
                path=self._path,
            ) from None

    @property
    def _path(self) -> str:
        if isinstance(self._file, AppendedFile):
            return self._file.path
        return str(getattr(self._file, "name", "journal"))

    def close(self) -> None:
        """Close a file from `open_journal` or `resume_journal`, and give up its lock."""
        if isinstance(self._file, AppendedFile):
            with self._lock:
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
