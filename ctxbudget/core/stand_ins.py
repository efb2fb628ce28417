"""What stands for several items, and which of these the host has not taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class StandIns:
    """Who speaks for whom in one thread; each step costs what it names."""

    _items: dict[str, set[str]] = field(default_factory=dict)
    """Of each stand-in: those of its items that have not been taken back."""
    _of: dict[str, str] = field(default_factory=dict)
    """Of each item: the stand-in that speaks for it now."""

    def came(self, stand_in: str, items: Iterable[str]) -> None:
        """Take in a stand-in for items, which may be stand-ins themselves."""
        stood_for: set[str] = set()
        for name in items:
            stood_for |= self._items.pop(name, {name})
        self._items[stand_in] = stood_for
        self._of.update(dict.fromkeys(stood_for, stand_in))

    def orphans(self, withdrawn: Iterable[str]) -> tuple[str, ...]:
        """Take in what the host took back; return the stand-ins that speak for nothing any more."""
        found = []
        for name in withdrawn:
            stand_in = self._of.pop(name, None)
            left = self._items.get(stand_in or "")
            if stand_in is None or left is None:
                continue
            left.discard(name)
            if not left:
                del self._items[stand_in]
                found.append(stand_in)
        return tuple(found)
