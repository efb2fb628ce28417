"""Items that cost nothing until something activates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from ctxbudget.core.errors import SourceError, near_misses
from ctxbudget.core.types import Item


@dataclass(slots=True)
class InjectionShelf:
    """What is registered, what activates it, and what a phase has taken in.

    Looking up what a tool activates costs no more for the tools that were used before.
    """

    _items: dict[str, Item] = field(default_factory=dict)
    _patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _by_tool: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _taken: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def register(self, item: Item, activated_by: tuple[str, ...], at: float) -> None:
        """Keep an item until it is activated.

        Raises:
            SourceError: one of that id is registered already.
        """
        if item.id in self._items:
            raise SourceError(f"item {item.id!r} is registered already; ids must differ", at=at)
        self._items[item.id] = item
        self._patterns[item.id] = activated_by
        self._by_tool.clear()

    def find(self, item: str, at: float) -> Item:
        """Return a registered item, or raise a SourceError."""
        if item not in self._items:
            raise SourceError(
                f"item {item!r} is not registered; {near_misses(item, self._items)}", at=at
            )
        return self._items[item]

    def activated_by(self, tool: str) -> Iterator[Item]:
        """Yield the items that a call of a tool activates."""
        if tool not in self._by_tool:
            self._by_tool[tool] = tuple(
                name
                for name, patterns in self._patterns.items()
                if any(fnmatchcase(tool, pattern) for pattern in patterns)
            )
        return (self._items[name] for name in self._by_tool[tool])

    def take(self, item: Item, thread: str, phase: str | None) -> Item | None:
        """Return an item as it goes into a thread's prompt; None if it was taken in already."""
        if (thread, item.id) in self._taken:
            return None
        self._taken[thread, item.id] = phase
        return replace(item, phase=phase)

    def forget(self, thread: str, item: str | None = None) -> None:
        """Let a thread (or one of its items) take in again what it took in before."""
        gone = [key for key in self._taken if key[0] == thread and item in (None, key[1])]
        for key in gone:
            del self._taken[key]

    def leaving(self, thread: str, phase: str) -> tuple[str, ...]:
        """Return what a thread took in during a phase that ends, and forget it."""
        names = tuple(
            name
            for (of, name), taken_in in self._taken.items()
            if of == thread and taken_in == phase
        )
        for name in names:
            del self._taken[thread, name]
        return names
