"""Tables on narrow terminals: columns give way, so that no number is cut and every row has a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BETWEEN = 2
"""Columns of the terminal that a column of a table takes beside its cells."""

LEAST_NAME = 16
"""So many columns of the terminal a name gets, or all it needs, before a number stands beside it."""

_PIECE = re.compile(r"[^\s/_.-]*[\s/_.-]|[^\s/_.-]+")
"""Between two of these, a name may be broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of short texts, whose name may stand on several lines."""

    name: str
    cells: tuple[str, ...]
    group: str = ""
    """Columns of one group come and go together; without one, each goes by its name."""

    @property
    def key(self) -> str:
        """What it goes by where columns give way."""
        return self.group or self.name

    @property
    def width(self) -> int:
        """What it takes of a table's width."""
        return BETWEEN + max(map(len, (*self.name.splitlines(), *self.cells)), default=0)


def width_of(columns: Iterable[Column]) -> int:
    """Return the width of columns that stand beside each other."""
    return sum(one.width for one in columns)


def fitting(columns: Sequence[Column], width: int, *, drop: Iterable[str]) -> list[Column]:
    """Return the columns that fit into a width; those whose key `drop` has go, in its order."""
    shown = list(columns)
    for name in drop:
        if width_of(shown) <= width:
            break
        shown = [one for one in shown if one.key != name]
    return shown


def beside_names(
    columns: Sequence[Column], names: Sequence[str], width: int, *, drop: Iterable[str]
) -> tuple[list[Column], list[str]]:
    """Return the columns that fit beside a column of names, and those names as they fit there.

    The column's own head is the first of `names`; `drop` is as in `fitting`.
    """
    least = min(LEAST_NAME, max(map(len, names)))
    shown = fitting(columns, width - BETWEEN - least, drop=drop)
    return shown, told_apart(names, max(1, width - BETWEEN - width_of(shown)))


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Return names as they fit a width, different ones still different.

    They lose their middle (if that leaves enough to be read), or stand on two lines, or, where that
    would make two the same, on as many as they need.
    """
    for form in (in_middle, _on_lines) if width >= LEAST_NAME else (_on_lines, in_middle):
        shown = [form(name, width) for name in names]
        if len(set(shown)) == len(set(names)):
            return shown
    return ["\n".join(_pieces(name, width)) for name in names]


def _on_lines(name: str, width: int) -> str:
    return "\n".join(name_lines(name, width))


def _pieces(name: str, width: int) -> Iterator[str]:
    while len(name) > width:
        head = _head(name, width)
        yield head
        name = name[len(head) :]
    yield name


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
