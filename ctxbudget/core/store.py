"""One thread's four layers: what is in the prompt, in which order, and what left it.

Totals are kept as things change, so nothing here slows down as the store grows: each change
costs O(log n), each total O(1), and a selection costs what it selects.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ctxbudget.core.errors import SourceError
from ctxbudget.core.fenwick import Fenwick
from ctxbudget.core.types import Item, Kind, Layer
from ctxbudget.core.watch import Entry, Filter, Slot, Watch

PARTS = 4
"""Of a prompt, in order: tools, the permanent system prompt, what else is permanent, the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A prompt against that of the call before it."""

    same_prefix_tokens: int
    """At the front, as they were."""
    carried_after_tokens: int
    """Behind the first change, but carried by the last call as they are."""


class Store:
    """The items of one thread.

    Attributes:
        tokens: occupancy of the prompt.
        peak_tokens: highest occupancy since it was last set back.
        layer_tokens, phase_tokens, group_tokens: the same total split; absent means 0.
        calls: calls that have carried this prompt.
        shelf: every version of an item that left the prompt, with its place, oldest first.
        patched: items that were replaced in place by a form of their own since `take_changes` was
            last asked; None until it was asked once.
        edited: the first place since the last call where something left, or came between others.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.peak_tokens = 0
        self.layer_tokens: dict[Layer, int] = dict.fromkeys(Layer, 0)
        self.phase_tokens: defaultdict[str | None, int] = defaultdict(int)
        self.group_tokens: defaultdict[str, int] = defaultdict(int)
        self.calls = 0
        self.shelf: dict[str, list[Entry]] = {}
        self.patched: dict[str, None] | None = None
        self._unread: Slot | None = None
        self.edited: Slot | None = None
        self._entries: dict[str, Entry] = {}
        self._rows = tuple(Fenwick() for _ in range(PARTS))
        self._order: list[Slot] = []
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
        return (entry.item for entry in self.entries())

    def entries(self, start: Slot | None = None) -> Iterator[Entry]:
        """Yield the items with their places in prompt order, from a place on if one is given."""
        begin = 0 if start is None else bisect_left(self._order, start)
        return (self._entries[self._at_slot[slot][0]] for slot in self._order[begin:])

    def take_changes(self) -> tuple[Slot | None, tuple[str, ...]]:
        """Return the first place where items came or went, and the items that only changed form.

        Since this was last asked; for the one reader that keeps a rendered prompt up to date.
        """
        first, self._unread = self._unread, None
        patched, self.patched = tuple(self.patched or ()), {}
        return first, patched

    def get(self, item: str) -> Item | None:
        """Return an item, or None if it is not in the prompt."""
        entry = self._entries.get(item)
        return None if entry is None else entry.item

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
        part, index = slot
        ahead = sum(row.total for row in self._rows[:part])
        return ahead + self._rows[part].before(index)

    # ---- changing

    def add(self, item: Item) -> None:
        """Put a new item at the end of its part of the prompt.

        Raises:
            SourceError: the id is already in the prompt.
        """
        if item.id in self._entries:
            raise SourceError(f"item {item.id!r} is already in the prompt; ids must differ")
        self._insert(self._arriving(item))
        if item.source is not None:
            older = self._latest_of_source.get(item.source)
            if older in self._entries and older != item.id:
                self.update(replace(self._entries[older].item, superseded=True))
            self._latest_of_source[item.source] = item.id

    def update(self, item: Item) -> None:
        """Change what is known of an item without changing its text or its place."""
        entry = self._entries[item.id]
        self._unlist(entry)
        self._list(replace(entry, item=item))

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
        unread = self._unread
        if stand_in is not None and stand_in.id in self and stand_in.id not in leaving_ids:
            raise SourceError(f"item {stand_in.id!r} is already in the prompt; ids must differ")
        for entry in leaving:
            self._take_out(entry)
            self.shelf.setdefault(entry.item.id, []).append(entry)
        if stand_in is None:
            return
        if not leaving or leaving[0].slot[0] != _part(stand_in):
            self._insert(self._arriving(stand_in))
            return
        first = leaving[0]
        is_version = stand_in.id == first.item.id
        touched_call = first.touched_call if is_version else self.calls
        self._insert(Entry(stand_in, first.slot, first.arrived_call, touched_call))
        if is_version and len(leaving) == 1 and self.patched is not None:
            self.patched[stand_in.id] = None
            self._unread = unread

    def put_back(self, entry: Entry, *, pin: bool = False) -> bool:
        """Put back what had left, in its old place if that is free, else at the end of its part.

        Return True if the old place was free. It counts as used now, and as not yet carried by a
        call. In its old place it is as old as it was, unless that is behind all that was sent
        without it: there it arrives now, since it is no part of the answer it once belonged to.
        """
        latest = self._latest_of_source.get(entry.item.source or "")
        item = replace(
            entry.item,
            pinned=pin or entry.item.pinned,
            superseded=latest in self._entries and latest != entry.item.id,
        )
        is_free = entry.slot not in self._at_slot and entry.slot[0] == _part(item)
        slot = entry.slot if is_free else self._new_slot(item)
        arrived_call = self._arrived_in_place(entry) if is_free else self.calls
        self._insert(Entry(item, slot, arrived_call, self.calls, self.calls))
        if item.source is not None and latest == item.id:
            older = [one for one in self if one.source == item.source and one.id != item.id]
            for one in older:
                self.update(replace(one, superseded=True))
        return is_free

    def next_version(self, item: str) -> int:
        """Return a version of an item that has never been in the prompt."""
        seen = [entry.item.version for entry in self.shelf.get(item, ())]
        if item in self._entries:
            seen.append(self._entries[item].item.version)
        return max(seen, default=-1) + 1

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
        self.edited = None
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
        part = _part(item)
        return (part, self._rows[part].append(0))

    def _arriving(self, item: Item) -> Entry:
        return Entry(item, self._new_slot(item), self.calls, self.calls)

    def _arrived_in_place(self, entry: Entry) -> int:
        """Return the call count at which an item arrived that goes back to its free old place.

        Age never falls along the prompt; what once came to the end anew stays as young as then.
        """
        name, slot = entry.item.id, entry.slot
        place = bisect_left(self._order, slot)
        carried = self._changed.get(slot)
        if place == len(self._order) and (carried is None or carried[0] != name):
            return self.calls
        here = [one.arrived_call for one in self.shelf.get(name, ()) if one.slot == slot]
        ahead = self._arrivals(slot[0], self._order[max(0, place - 1) : place])
        behind = self._arrivals(slot[0], self._order[place : place + 1])
        return min(max([entry.arrived_call, *here, *ahead]), self.calls, *behind)

    def _arrivals(self, part: int, slots: Iterable[Slot]) -> list[int]:
        """Return when what stands at these places arrived, as far as it is of a part."""
        names = (self._at_slot[slot][0] for slot in slots if slot[0] == part)
        return [self._entries[name].arrived_call for name in names]

    def _insert(self, entry: Entry) -> None:
        self._list(entry)
        self._write(entry.slot, (entry.item.id, entry.item.version), entry.item.tokens)

    def _take_out(self, entry: Entry) -> None:
        self._unlist(entry)
        self._write(entry.slot, None, 0)

    def _list(self, entry: Entry) -> None:
        """Count an entry in, wherever it stands."""
        item = entry.item
        self._entries[item.id] = entry
        self._count(item, item.tokens)
        if item.group is not None:
            self._groups[item.group][item.id] = None
        if item.untouchable:
            self._untouchable[item.id] = None
        for what, watch in self._watches.items():
            if what.matches(item):
                watch.add(entry)

    def _unlist(self, entry: Entry) -> None:
        item = entry.item
        del self._entries[item.id]
        self._count(item, -item.tokens)
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
        before = self._at_slot.get(slot)
        self._changed.setdefault(slot, before)
        is_edit = content is None or bool(self._order and slot < self._order[-1])
        if is_edit and (self.edited is None or slot < self.edited):
            self.edited = slot
        if self._unread is None or slot < self._unread:
            self._unread = slot
        if content is None:
            self._at_slot.pop(slot, None)
            del self._order[bisect_left(self._order, slot)]
        else:
            self._at_slot[slot] = content
            if before is None:
                insort(self._order, slot)
        self._rows[slot[0]].set(slot[1], tokens)


def _part(item: Item) -> int:
    """Return the part of the prompt that an item belongs to; providers send tools first."""
    if item.kind is Kind.TOOLS:
        return 0
    if item.layer is not Layer.PERMANENT:
        return 3
    return 1 if item.kind is Kind.SYSTEM else 2
