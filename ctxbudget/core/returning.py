"""What comes back into a prompt: one item with its group, or all that a plan took."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

from ctxbudget.core.errors import SourceError, near_misses
from ctxbudget.core.store import Store
from ctxbudget.core.thread import Done, Thread
from ctxbudget.core.types import Item, Kind
from ctxbudget.core.watch import Entry, Slot

NO_PLACE: Slot = (-1, -1)
"""Of an item that never stood in the prompt it comes into: it goes to the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What would come back, what would leave for it, and what that costs.

    `gained_tokens` is what the prompt would gain; `rewritten_tokens` what the cache holds behind
    the first place that would change, which it would have to write again.
    """

    entries: tuple[Entry, ...]
    removed: tuple[str, ...]
    gained_tokens: int
    gained_error_tokens: int
    """What the error bounds would gain."""
    rewritten_tokens: int

    @property
    def ids(self) -> frozenset[str]:
        """Every item that is concerned."""
        return frozenset(self.removed) | {entry.item.id for entry in self.entries}


def return_of_item(thread: Thread, item: str, elsewhere: Thread) -> Return:
    """Return what brings an item back as it was at first, with the rest of its group.

    What another thread (`elsewhere`, the main one) has on its shelf comes to the end of the prompt.

    Raises:
        SourceError: it is there already, never left, or is thinking that is bound to its place.
    """
    store = thread.store
    is_own = item in store or item in store.shelf
    source = store if is_own else elsewhere.store
    shelf = source.shelf
    if item not in shelf and item not in store:
        known = [*store.shelf, *elsewhere.store.shelf]
        raise SourceError(f"item {item!r} never left a prompt; {near_misses(item, known)}")
    if item in store and (item not in shelf or store[item].version == shelf[item][0].item.version):
        raise SourceError(f"item {item!r} is in the prompt as a whole; there is nothing to restore")
    group = shelf[item][0].item.group
    members = {item: None}
    if group is not None:
        left = (name for name, forms in shelf.items() if forms[0].item.group == group)
        standing = (one.id for one in source if one.group == group)  # with what left
        members |= dict.fromkeys(
            name for name in (*left, *(() if is_own else standing)) if name not in store
        )
    entries = [_as_it_was(name, source) for name in members]
    if thread.strips_thinking and any(one.item.kind is Kind.THINKING for one in entries):
        raise SourceError(
            f"item {item!r} is thinking, which is bound to what stood before it and cannot come "
            "back; restore another item"
        )
    if not is_own:
        entries.sort(key=lambda entry: entry.slot)
        entries = [replace(entry, slot=NO_PLACE) for entry in entries]
    return _priced(thread, entries, [item] if item in store else [])


def return_of_plan(thread: Thread, plan: int | None) -> tuple[int, Return]:
    """Return a plan's number (the latest's if none is given) and what reverses it.

    Thinking that is bound to what stood before it stays away.

    Raises:
        SourceError: there is no such plan, or later ones took what it left.
    """
    store = thread.store
    number = max(thread.plans, default=0) if plan is None else plan
    if number not in thread.plans:
        known = ", ".join(map(str, sorted(thread.plans)[-5:])) or "none"
        raise SourceError(
            f"thread {thread.name!r} has no plan {number} to undo; the latest are: {known}"
        )
    entries: dict[str, Entry] = {}
    removed: list[str] = []
    for done in reversed(thread.plans[number]):
        if not _still_stands(thread, done, entries):
            later = [one for one in sorted(thread.plans) if one > number]
            raise SourceError(
                f"plan {number} cannot be undone: what it left has changed since; undo "
                f"{', '.join(map(str, reversed(later))) or 'the restore'} first, or restore items"
            )
        if done.stand_in is not None and entries.pop(done.stand_in[0], None) is None:
            removed.append(done.stand_in[0])
        entries.update((entry.item.id, entry) for entry in done.entries)
    removed = [name for name in removed if name in store]
    coming = [
        entry
        for entry in entries.values()
        if not (thread.strips_thinking and entry.item.kind is Kind.THINKING)
    ]
    return number, _priced(thread, coming, removed)


def bring_back(thread: Thread, back: Return, *, pin: bool = False) -> tuple[Item, ...]:
    """Carry out a return; return the items as they now stand in the prompt."""
    for name in back.removed:
        thread.gauge.went(thread.store[name])
    thread.store.replace(back.removed, None)
    moved = set[str]()
    for entry in sorted(back.entries, key=lambda one: one.slot):
        group = entry.item.group
        place = replace(entry, slot=NO_PLACE) if group in moved else entry
        in_place = thread.store.put_back(place, pin=pin)
        if group is not None and not in_place:
            moved.add(group)  # what comes after it in its group must stay behind it
        thread.gauge.came(thread.store[entry.item.id])
    return tuple(thread.store[entry.item.id] for entry in back.entries)


def _as_it_was(name: str, store: Store) -> Entry:
    """Return an item in its first form, at the last of its places."""
    forms = store.shelf.get(name, [])
    last = store.entry(name) if name in store else forms[-1]
    return replace(last, item=forms[0].item) if forms else last


def _still_stands(thread: Thread, done: Done, entries: dict[str, Entry]) -> bool:
    """Return True if what an operation left is there, and what it took is not."""
    store = thread.store
    if done.stand_in is not None:
        name, version = done.stand_in
        later = entries.get(name)
        there = store.get(name) if later is None else later.item
        if there is None or there.version != version:
            return False
    own = None if done.stand_in is None else done.stand_in[0]
    return all(
        entry.item.id == own or entry.item.id in entries or entry.item.id not in store
        for entry in done.entries
    )


def _priced(thread: Thread, entries: list[Entry], removed: list[str]) -> Return:
    store = thread.store
    leaving = [store.entry(name) for name in removed]
    slots = [entry.slot for entry in (*entries, *leaving) if entry.slot != NO_PLACE]
    came = sum(entry.item.tokens for entry in entries)
    return Return(
        entries=tuple(entries),
        removed=tuple(removed),
        gained_tokens=came - sum(entry.item.tokens for entry in leaving),
        gained_error_tokens=_gained_extra_tokens(thread, entries, leaving),
        rewritten_tokens=thread.cached_behind_tokens(min(slots)) if slots else 0,
    )


def _gained_extra_tokens(thread: Thread, entries: list[Entry], leaving: list[Entry]) -> int:
    """Return what drift and margin would gain; a token more where drift may be rounded up."""
    gauge = deepcopy(thread.gauge)
    for entry in leaving:
        gauge.went(entry.item)
    for entry in entries:
        gauge.came(entry.item)
    rounded = int(bool(leaving and (gauge.drift_tokens or thread.gauge.drift_tokens)))
    return gauge.extra_tokens - thread.gauge.extra_tokens + rounded
