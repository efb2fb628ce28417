"""Bars on stderr for long work: on a terminal only, and gone when the work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def bar() -> Iterator[Progress | None]:
    """Yield a bar; None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True, color_system=None if os.environ.get("NO_COLOR") else "auto")
    with Progress(console=errors, transient=True) as progress:
        yield progress


@contextmanager
def counted_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield what is told how many of a number of pieces are done."""
    with bar() as progress:
        if progress is None or not total:
            yield lambda done: None
            return
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, advance=done)
