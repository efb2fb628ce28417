"""Lines of a tree in an order in which each parent comes before its children.

A program that runs several tools at once writes their lines as they come about, so that a tool's
result may stand ahead of its call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import text_of

WAIT_LINES: Final = 100
"""A line waits so many lines for its parent; beyond, the parent is taken to be missing."""


def parents_first(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield all lines, each behind its parent if that comes within `WAIT_LINES` after it."""
    seen: set[str] = set()
    waiting: dict[str, list[Line]] = {}
    for line in lines:
        parent = text_of(line[1].get("parentUuid"))
        if seen and parent is not None and parent not in seen:
            waiting.setdefault(parent, []).append(line)
        else:
            yield from _with_children(line, seen, waiting)
        while waiting and (first := next(iter(waiting.values()))[0])[0] < line[0] - WAIT_LINES:
            yield from _orphans(text_of(first[1].get("parentUuid")) or "", seen, waiting)
    while waiting:
        yield from _orphans(next(iter(waiting)), seen, waiting)


def _orphans(parent: str, seen: set[str], waiting: dict[str, list[Line]]) -> Iterator[Line]:
    for line in waiting.pop(parent):
        yield from _with_children(line, seen, waiting)


def _with_children(line: Line, seen: set[str], waiting: dict[str, list[Line]]) -> Iterator[Line]:
    """Yield a line and those that waited for it."""
    ready = [line]
    while ready:
        number, values = ready.pop()
        yield number, values
        uuid = text_of(values.get("uuid"))
        if uuid is not None:
            seen.add(uuid)
            ready += reversed(waiting.pop(uuid, ()))
