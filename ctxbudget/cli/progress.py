"""Bars on stderr for long work: on a terminal only, and gone when the work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ctxbudget.report.plain import one_line

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


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
def bar_over(what: str, things: Sequence[T], name_of: Callable[[T], str]) -> Iterator[Iterable[T]]:
    """Yield things to go through, each named beside the bar while it is in hand."""
    with bar() as progress:
        yield things if progress is None else _named(progress, what, things, name_of)


def _named(
    progress: Progress, what: str, things: Sequence[T], name_of: Callable[[T], str]
) -> Iterator[T]:
    from rich.markup import escape

    task = progress.add_task(what, total=len(things))
    for thing in things:
        progress.update(task, description=f"{what} {escape(one_line(name_of(thing)))}")
        yield thing
        progress.update(task, advance=1)


@contextmanager
def counted_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield what is told how many of a number of pieces are done."""
    with bar() as progress:
        if progress is None or not total:
            yield lambda done: None
            return
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, advance=done)
