"""Tables on narrow terminals: columns give way, so that no number is cut and every row has a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BETWEEN = 2
"""Columns of the terminal that a column of a table takes beside its cells."""

_PIECE = re.compile(r"[^\s/_.-]*[\s/_.-]|[^\s/_.-]+")
"""Between two of these, a name may be broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of short texts."""

    name: str
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        """What it takes of a table's width."""
        return BETWEEN + max(map(len, (self.name, *self.cells)))


def width_of(columns: Iterable[Column]) -> int:
    """Return the width of columns that stand beside each other."""
    return sum(one.width for one in columns)


def fitting(columns: Sequence[Column], width: int, *, drop: Iterable[str]) -> list[Column]:
    """Return the columns that fit into a width; those that `drop` names go first, in its order."""
    shown = list(columns)
    for name in drop:
        if width_of(shown) <= width:
            break
        shown = [one for one in shown if one.name != name]
    return shown


def name_lines(name: str, width: int) -> list[str]:
    """Return a name on one or two lines, broken between its parts; a longer one loses its middle."""
    if len(name) <= width:
        return [name]
    head = _head(name, width)
    if len(name) - len(head) <= width:
        return [head, name[len(head) :]]
    return [f"{_head(name, width - 1)}…", _tail(name, width)]


def in_middle(name: str, width: int) -> str:
    """Return a name on one line, without its middle if it is longer than that."""
    if len(name) <= width:
        return name
    head = _head(name, (width - 1) // 2)
    return f"{head}…{_tail(name, width - 1 - len(head))}"


def _head(name: str, width: int) -> str:
    """Return the first whole parts of a name, or what fits of it if that would be little."""
    head = ""
    for piece in _PIECE.findall(name):
        if len(head) + len(piece) > width:
            break
        head += piece
    return head if len(head) > width // 2 else name[:width]


def _tail(name: str, width: int) -> str:
    """Return the last whole parts of a name, or what fits of it if that would be little."""
    tail = ""
    for piece in reversed(_PIECE.findall(name)):
        if len(tail) + len(piece) > width:
            break
        tail = piece + tail
    return tail if len(tail) > width // 2 else name[len(name) - width :]
