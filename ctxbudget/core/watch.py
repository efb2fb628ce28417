"""What can be asked of a prompt's items: filters, and live views of what matches them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, KeysView
from dataclasses import dataclass
from typing import TypeAlias

from ctxbudget.core.types import CONVERSATION, Form, Item, Kind, Layer

Slot: TypeAlias = tuple[int, int]
"""A place in the prompt: the part that the item belongs to, and its number there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What can be said of an item by itself; an empty tuple means any.

    Untouchable items never match.
    """

    layers: tuple[Layer, ...] = ()
    kinds: tuple[Kind, ...] = ()
    tools: tuple[str, ...] = ()
    not_tools: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()
    min_tokens: int = 0
    ready: bool | None = None
    superseded: bool | None = None

    def matches(self, item: Item) -> bool:
        """Return True if the item may be selected by this filter."""
        return (
            not item.untouchable
            and item.tokens >= self.min_tokens
            and (not self.layers or item.layer in self.layers)
            and (not self.kinds or item.kind in self.kinds)
            and (not self.tools or item.tool in self.tools)
            and (not self.not_tools or item.tool not in self.not_tools)
            and (not self.forms or item.form in self.forms)
            and (self.ready is None or item.ready is self.ready)
            and (self.superseded is None or item.superseded is self.superseded)
        )


@dataclass(slots=True)
class Entry:
    """An item in the prompt, with where it stands and when it was used."""

    item: Item
    slot: Slot
    arrived_call: int
    """Calls the thread had made when it arrived."""
    touched_call: int
    """Calls the thread had made when it was last used."""
    returned_call: int = -1
    """Calls the thread had made when it was put back, if it was."""

    def is_fresh(self, calls: int) -> bool:
        """Return True for what no call has carried yet: of the conversation, or put back.

        No policy may take it away; an artifact, on the other hand, is meant to be taken on
        arrival.
        """
        if self.is_returned(calls):
            return True
        return self.arrived_call == calls and self.item.kind in CONVERSATION

    def is_returned(self, calls: int) -> bool:
        """Return True for what was put back and not carried by a call since."""
        return self.returned_call == calls


class Watch:
    """The items that match a filter, kept in prompt order, by last use and by phase.

    The two orders are sorted lists of small tuples: inserting moves memory, which stays cheaper
    than any tree up to hundreds of thousands of entries.
    """

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._uses: list[tuple[int, Slot]] = []
        self._by_slot: dict[Slot, Entry] = {}
        self._by_phase: defaultdict[str | None, dict[Slot, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in prompt order."""
        return (self._by_slot[slot] for slot in self._slots)

    def newest_first(self) -> Iterator[Entry]:
        """Yield the entries from the end of the prompt."""
        return (self._by_slot[slot] for slot in reversed(self._slots))

    def behind(self, slot: Slot) -> list[Entry]:
        """Return the entries that stand behind a place, in prompt order."""
        return [self._by_slot[one] for one in self._slots[bisect_right(self._slots, slot) :]]

    def least_used_first(self) -> Iterator[Entry]:
        """Yield the entries, those untouched for longest first."""
        return (self._by_slot[slot] for _, slot in self._uses)

    def phases(self) -> KeysView[str | None]:
        """Return the phases that have entries here."""
        return self._by_phase.keys()

    def of_phase(self, phase: str | None) -> list[Entry]:
        """Return a phase's entries in prompt order."""
        return [self._by_slot[slot] for slot in sorted(self._by_phase.get(phase, ()))]

    def add(self, entry: Entry) -> None:
        """Put an entry in."""
        insort(self._slots, entry.slot)
        insort(self._uses, (entry.touched_call, entry.slot))
        self._by_slot[entry.slot] = entry
        self._by_phase[entry.item.phase][entry.slot] = None

    def remove(self, entry: Entry) -> None:
        """Take an entry out."""
        del self._slots[bisect_left(self._slots, entry.slot)]
        del self._uses[bisect_left(self._uses, (entry.touched_call, entry.slot))]
        del self._by_slot[entry.slot]
        of_phase = self._by_phase[entry.item.phase]
        del of_phase[entry.slot]
        if not of_phase:
            del self._by_phase[entry.item.phase]
