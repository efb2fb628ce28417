"""A file that only grows, by whole lines, and that one process at a time writes."""

from __future__ import annotations

import io
import os
import stat
import sys
from contextlib import suppress
from dataclasses import fields
from enum import StrEnum
from typing import Final, TypeAlias, get_args

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Decision, PhaseClosed, PhaseFinished, RunClosed, RunFinished
from ctxbudget.journal.locking import try_lock, unlock

FilePath: TypeAlias = str | os.PathLike[str]

_OWNER_ONLY: Final = 0o600  # a journal holds whatever the prompts hold


class Fsync(StrEnum):
    """When a journal waits until the disk itself holds what was written.

    A killed process loses nothing either way; this is for power cuts and crashed machines.
    """

    NEVER = "never"
    PHASE = "phase"
    """When a phase or the run ends, and after every decision that removes text."""
    ALWAYS = "always"
    """After every event."""


_PHASE_ENDS: Final = frozenset(
    {PhaseFinished, PhaseClosed, RunFinished, RunClosed}
    | {
        kind  # `removed_tokens`, or the stand-ins `removed` by a restore
        for kind in get_args(Decision)
        if any(field.name.startswith("removed") for field in fields(kind))
    }
)


class AppendedFile:
    """A file that is open for appending, locked against other writers.

    Attributes:
        path: what errors call it.
    """

    def __init__(self, path: FilePath, *, fsync: Fsync, create: bool) -> None:
        """Open and lock the file; symlinks are followed, a new file is its owner's only.

        Raises:
            JournalError: it cannot be opened or locked, or is no regular file.
        """
        self.path = os.fspath(path)
        self._fsync = fsync
        self._process = os.getpid()
        try:
            _check_kind(self.path)
            self._raw = io.FileIO(
                self.path, "a+", opener=_opener if create else _opener_of_what_is_there
            )
        except (OSError, ValueError) as error:
            raise JournalError(f"{_reason(error)}; choose another place", path=self.path) from None
        try:
            self._take()
        except BaseException:
            self._raw.close()
            raise

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return os.fstat(self._raw.fileno()).st_size

    def reader(self) -> io.BufferedReader:
        """Return the file for reading from its beginning; closing that leaves this one open."""
        raw = io.FileIO(self._raw.fileno(), "r", closefd=False)
        raw.seek(0)
        return io.BufferedReader(raw)

    def write(self, lines: str) -> None:
        """Append whole lines; when this returns, the operating system has them.

        Raises:
            JournalError: they could not be written whole; what was of them is cut off again.
        """
        self._check_usable()
        left = memoryview(lines.encode("utf-8", "surrogatepass"))
        start = self._raw.seek(0, os.SEEK_END)
        try:
            while left:
                left = left[self._raw.write(left) :]
        except OSError as error:
            raise JournalError(
                f"{_reason(error)}; the event is not in the journal, {self._cut_back(start)}; make "
                "room and resume it",
                path=self.path,
            ) from None
        except BaseException:  # an interrupt: the file must end with a whole line all the same
            self._cut_back(start)
            raise

    def _cut_back(self, size_bytes: int) -> str:
        """Cut off what a failed write left, and return what is to be said of it."""
        try:
            self._raw.truncate(size_bytes)
        except OSError:
            return "its last line is cut off, and nothing before that was lost"
        return "nothing before it was lost"

    def truncate(self, size_bytes: int) -> None:
        """Cut the file off.

        Raises:
            JournalError: it cannot be done.
        """
        try:
            self._raw.truncate(size_bytes)
        except OSError as error:
            raise JournalError(
                f"{_reason(error)}; its end cannot be mended", path=self.path
            ) from None

    def sync_after(self, event: type) -> None:
        """Wait for the disk if an event of this kind asks for it.

        Raises:
            JournalError: the disk failed.
        """
        if self._fsync is Fsync.ALWAYS or (self._fsync is Fsync.PHASE and event in _PHASE_ENDS):
            self._sync()

    def sync_birth(self) -> None:
        """Wait until the disk holds the file and its name, unless nothing is waited for."""
        if self._fsync is Fsync.NEVER:
            return
        self._sync()
        if sys.platform != "win32":  # where folders cannot be opened
            with suppress(OSError):  # not every file system can do it
                folder = os.open(os.path.dirname(os.path.realpath(self.path)), os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    def close(self) -> None:
        """Wait for the disk unless told never to, give up the lock and close; twice is once.

        Raises:
            JournalError: the disk failed; the file is closed all the same.
        """
        if self._raw.closed:
            return
        is_own = os.getpid() == self._process  # a fork must not give up its parent's lock
        try:
            if is_own and self._fsync is not Fsync.NEVER:
                self._sync()
        finally:
            if is_own:
                with suppress(OSError):
                    unlock(self._raw.fileno())
            self._raw.close()

    def _take(self) -> None:
        """Lock the file, and check that its name still is the name of what was locked."""
        try:
            if not try_lock(self._raw.fileno()):
                raise JournalError(
                    "is being written by somebody else; wait until that run has ended, or choose "
                    "another name",
                    path=self.path,
                )
            is_same = os.path.samestat(os.fstat(self._raw.fileno()), os.stat(self.path))
        except OSError as error:
            raise JournalError(
                f"cannot be locked ({_reason(error)}); choose a place on a local disk",
                path=self.path,
            ) from None
        if not is_same:
            raise JournalError("was replaced while it was opened; try again", path=self.path)

    def _check_usable(self) -> None:
        if self._raw.closed:
            raise JournalError("is closed; resume it to write on", path=self.path)
        if os.getpid() != self._process:
            raise JournalError(
                "is written by the process that opened it; a fork needs a journal of its own",
                path=self.path,
            )

    def _sync(self) -> None:
        try:
            os.fsync(self._raw.fileno())
        except OSError as error:
            raise JournalError(
                f"{_reason(error)}; the disk may not hold the last lines: check it, then resume",
                path=self.path,
            ) from None


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _opener_of_what_is_there(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)


def _check_kind(path: str) -> None:
    """Check that nothing but a regular file is there, without opening it: a pipe would wait."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening tells of a folder
        raise OSError(0, "is not a regular file")


def _reason(error: OSError | ValueError) -> str:
    """Return what went wrong, in the system's words."""
    return (getattr(error, "strerror", None) or str(error) or "cannot be written").lower()
