"""The lock that keeps two writers off one file; it ends with the process that holds it."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

# What the systems say if somebody else holds the lock.
_HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK})

if sys.platform == "win32":
    import msvcrt

    # Windows keeps others from reading locked bytes, so the lock is far behind the last one.
    _LOCKED_OFFSET = 1 << 40

    def _lock(file: int) -> None:
        os.lseek(file, _LOCKED_OFFSET, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def unlock(file: int) -> None:
        """Give up the lock on an open file."""
        os.lseek(file, _LOCKED_OFFSET, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: int) -> None:
        """Give up the lock on an open file, also for forked processes that share it."""
        fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(file: int) -> bool:
    """Lock an open file for this process; return False if another writer holds the lock.

    Moves the file's position. Raises `OSError` where the file system knows no locks.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def is_locked(path: Path) -> bool:
    """Return whether a writer, in whatever process, holds the lock on a file."""
    try:
        with path.open("rb") as file:
            if not try_lock(file.fileno()):
                return True
            unlock(file.fileno())
    except OSError:
        return False
    return False
