"""One thread's four layers: what is in the prompt, in which order, and what left it.

Totals are kept as things change, so nothing here slows down as the store grows: each change
costs O(log n), each total O(1), and a selection costs what it selects.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, KeysView
from dataclasses import dataclass, replace
from typing import TypeAlias

from ctxbudget.core.errors import SourceError
from ctxbudget.core.fenwick import Fenwick
from ctxbudget.core.types import CONVERSATION, Form, Item, Kind, Layer

Slot: TypeAlias = tuple[int, int]
"""A place in the prompt: (0, n) among the permanent items, (1, n) among all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What can be said of an item by itself; an empty tuple means any.

    Untouchable items never match.
    """

    layers: tuple[Layer, ...] = ()
    kinds: tuple[Kind, ...] = ()
    tools: tuple[str, ...] = ()
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

    def is_fresh(self, calls: int) -> bool:
        """Return True for a part of the conversation that no call has carried yet.

        No policy may take it away; an artifact, on the other hand, is meant to be taken on
        arrival.
        """
        return self.arrived_call == calls and self.item.kind in CONVERSATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A prompt against that of the call before it."""

    same_prefix_tokens: int
    """At the front, as they were."""
    carried_after_tokens: int
    """Behind the first change, but carried by the last call as they are."""


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


class Store:
    """The items of one thread.

    Attributes:
        tokens: occupancy of the prompt.
        peak_tokens: highest occupancy since it was last set back.
        layer_tokens, phase_tokens, group_tokens: the same total split; absent means 0.
        calls: calls that have carried this prompt.
        shelf: every version of an item that left the prompt, oldest first.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.peak_tokens = 0
        self.layer_tokens: dict[Layer, int] = dict.fromkeys(Layer, 0)
        self.phase_tokens: defaultdict[str | None, int] = defaultdict(int)
        self.group_tokens: defaultdict[str, int] = defaultdict(int)
        self.calls = 0
        self.shelf: dict[str, list[Item]] = {}
        self._entries: dict[str, Entry] = {}
        self._rows = (Fenwick(), Fenwick())
        self._groups: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._untouchable: dict[str, None] = {}
        self._latest_of_source: dict[str, str] = {}
        self._watches: dict[Filter, Watch] = {}
        self._at_slot: dict[Slot, tuple[str, int]] = {}
        self._changed: dict[Slot, tuple[str, int] | None] = {}

    # ---- asking

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: object) -> bool:
        return item in self._entries

    def __getitem__(self, item: str) -> Item:
        return self._entries[item].item

    def __iter__(self) -> Iterator[Item]:
        """Yield the items in prompt order: permanent first, then by arrival."""
        return (entry.item for entry in sorted(self._entries.values(), key=lambda e: e.slot))

    def entry(self, item: str) -> Entry:
        """Return an item with its place and use."""
        return self._entries[item]

    def untouchable(self) -> Iterator[Item]:
        """Yield the pinned and permanent items in prompt order."""
        entries = (self._entries[item] for item in self._untouchable)
        return (entry.item for entry in sorted(entries, key=lambda entry: entry.slot))

    def group_of(self, item: str) -> tuple[str, ...]:
        """Return the ids that must stay or go with an item, itself included, in prompt order."""
        group = self._entries[item].item.group
        if group is None:
            return (item,)
        return tuple(sorted(self._groups[group], key=lambda member: self._entries[member].slot))

    def leaving_with(self, item: str) -> tuple[Entry, ...]:
        """Return what must leave together with an item, itself included, in prompt order.

        Empty if it may not leave: a member of its group is untouchable, or a tool call still
        waits for its result, which would arrive without its call.
        """
        group = tuple(self._entries[member] for member in self.group_of(item))
        kinds = [entry.item.kind for entry in group if entry.item.group is not None]
        waits = kinds.count(Kind.TOOL_CALL) > kinds.count(Kind.TOOL_RESULT)
        if waits or any(entry.item.untouchable for entry in group):
            return ()
        return group

    def matching(self, what: Filter) -> Watch:
        """Return the live view of what matches a filter; made once, then kept up."""
        watch = self._watches.get(what)
        if watch is None:
            watch = self._watches[what] = Watch()
            for entry in self._entries.values():
                if what.matches(entry.item):
                    watch.add(entry)
        return watch

    def tokens_before(self, slot: Slot) -> int:
        """Return the tokens that stand ahead of a place in the prompt."""
        row, index = slot
        ahead = self._rows[0].total if row else 0
        return ahead + self._rows[row].before(index)

    # ---- changing

    def add(self, item: Item) -> None:
        """Put a new item at the end of its part of the prompt.

        Raises:
            SourceError: the id is already in the prompt.
        """
        if item.id in self._entries:
            raise SourceError(f"item {item.id!r} is already in the prompt; ids must differ")
        self._insert(item, self._new_slot(item), self.calls)
        if item.source is not None:
            older = self._latest_of_source.get(item.source)
            if older in self._entries and older != item.id:
                self.update(replace(self._entries[older].item, superseded=True))
            self._latest_of_source[item.source] = item.id

    def update(self, item: Item) -> None:
        """Change what is known of an item without changing its text or its place."""
        entry = self._entries[item.id]
        self._take_out(entry)
        self._insert(item, entry.slot, entry.arrived_call, entry.touched_call)

    def touch(self, item: str) -> None:
        """Record that an item was used again."""
        entry = self._entries[item]
        watching = [watch for what, watch in self._watches.items() if what.matches(entry.item)]
        for watch in watching:
            watch.remove(entry)
        entry.touched_call = self.calls
        for watch in watching:
            watch.add(entry)

    def replace(self, items: Iterable[str], stand_in: Item | None) -> None:
        """Take items out to the shelf and put a stand-in in the place of the first.

        A stand-in that becomes permanent, or replaces nothing, goes to the end of its part. In
        its place it is as old as what stood there, so that age never falls along the prompt.

        Raises:
            SourceError: the stand-in's id is another item's.
        """
        leaving = sorted((self._entries[item] for item in items), key=lambda entry: entry.slot)
        leaving_ids = {entry.item.id for entry in leaving}
        if stand_in is not None and stand_in.id in self and stand_in.id not in leaving_ids:
            raise SourceError(f"item {stand_in.id!r} is already in the prompt; ids must differ")
        for entry in leaving:
            self._take_out(entry)
            self.shelf.setdefault(entry.item.id, []).append(entry.item)
        if stand_in is None:
            return
        if not leaving or leaving[0].slot[0] != _row(stand_in):
            self._insert(stand_in, self._new_slot(stand_in), self.calls)
            return
        first = leaving[0]
        is_version = stand_in.id == first.item.id
        touched_call = first.touched_call if is_version else self.calls
        self._insert(stand_in, first.slot, first.arrived_call, touched_call)

    def sent(self) -> Sent:
        """Record a call; return how its prompt relates to that of the last call.

        An item that left and came back at another place counts as changed.
        """
        first = self.first_change()
        same = self.tokens if first is None else self.tokens_before(first)
        fresh = sum(
            self._entries[content[0]].item.tokens
            for slot, old in self._changed.items()
            if (content := self._at_slot.get(slot)) is not None and content != old
        )
        self._changed.clear()
        self.calls += 1
        return Sent(same_prefix_tokens=same, carried_after_tokens=self.tokens - same - fresh)

    def first_change(self) -> Slot | None:
        """Return the first place that differs from the last call, or None."""
        return min(
            (slot for slot, old in self._changed.items() if self._at_slot.get(slot) != old),
            default=None,
        )

    # ---- bookkeeping

    def _new_slot(self, item: Item) -> Slot:
        row = _row(item)
        return (row, self._rows[row].append(0))

    def _insert(
        self, item: Item, slot: Slot, arrived_call: int, touched_call: int | None = None
    ) -> None:
        entry = Entry(
            item, slot, arrived_call, self.calls if touched_call is None else touched_call
        )
        self._entries[item.id] = entry
        self._count(item, item.tokens)
        self._write(slot, (item.id, item.version), item.tokens)
        if item.group is not None:
            self._groups[item.group][item.id] = None
        if item.untouchable:
            self._untouchable[item.id] = None
        for what, watch in self._watches.items():
            if what.matches(item):
                watch.add(entry)

    def _take_out(self, entry: Entry) -> None:
        item = entry.item
        del self._entries[item.id]
        self._count(item, -item.tokens)
        self._write(entry.slot, None, 0)
        if item.group is not None:
            del self._groups[item.group][item.id]
        self._untouchable.pop(item.id, None)
        for what, watch in self._watches.items():
            if what.matches(item):
                watch.remove(entry)

    def _count(self, item: Item, tokens: int) -> None:
        self.tokens += tokens
        self.peak_tokens = max(self.peak_tokens, self.tokens)
        self.layer_tokens[item.layer] += tokens
        self.phase_tokens[item.phase] += tokens
        if item.group is not None:
            self.group_tokens[item.group] += tokens

    def _write(self, slot: Slot, content: tuple[str, int] | None, tokens: int) -> None:
        self._changed.setdefault(slot, self._at_slot.get(slot))
        if content is None:
            self._at_slot.pop(slot, None)
        else:
            self._at_slot[slot] = content
        self._rows[slot[0]].set(slot[1], tokens)


def _row(item: Item) -> int:
    return 0 if item.layer is Layer.PERMANENT else 1
