"""Which files the given paths mean, and their bytes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

STDIN: Final = "-"
SUFFIXES: Final = (".jsonl", ".json", ".gz")
"""Of the files that are looked for in a folder; a file that is named itself may have any."""


def found_files(
    paths: Iterable[str], on_empty: Callable[[str], object] = lambda folder: None
) -> Iterator[str]:
    """Yield the files that the paths name or hold, each once, folders in sorted order.

    A folder without any is told to `on_empty`.
    """
    seen: set[str] = set()
    for path in paths:
        names = list(_in_folder(path)) if os.path.isdir(path) else [path]
        if not names:
            on_empty(path)
        for name in names:
            true_name = name if name == STDIN else os.path.realpath(name)
            if true_name not in seen:
                seen.add(true_name)
                yield name


def _in_folder(folder: str) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(at, name)
            if name.endswith(SUFFIXES) and path.is_file():
                yield str(path)


@contextmanager
def opened(name: str) -> Iterator[BufferedReader]:
    """Open a file, or stdin for `-`.

    Raises:
        OSError: it cannot be opened.
    """
    if name == STDIN:
        if sys.stdin is None:  # closed before the program began, as by `<&-`
            raise OSError(errno.EBADF, "stdin is closed")
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    with Path(name).open("rb") as stream:
        yield stream
