"""Which names stand where in each thread's prompt: what a later item holds may be left out."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    Seeded,
    ThreadClosed,
    Vetoed,
    Withdrawn,
)
from ctxbudget.core.store import Store
from ctxbudget.core.types import Form, Item, Kind
from ctxbudget.core.watch import Slot
from ctxbudget.recall import Library

WordsOf: TypeAlias = Callable[[str, Item], "str | Iterable[str] | None"]
"""Returns the texts of a thread's item, in the version it has, as recall reads them; None if they
are not known."""


class Held:
    """A listener that knows which identifiers and lines later items of a prompt hold.

    An event costs O(1) for each item that it names: texts are read when a shorter form first asks,
    and each version of an item that stands in the prompt by then is read once.

    A shorter form that was just made counts at once as all that its items hold, so that no two
    items of a plan rely on each other; if the plan is not carried out, they count as whole again
    from the next call on. What a plan only drops is not known before it is gone.
    """

    def __init__(
        self, library: Library, words_of: WordsOf, store_of: Callable[[str], Store]
    ) -> None:
        """Listen to a run; `store_of` gives the store of an open thread.

        Names of whole items are taken from the library where it has them.
        """
        self._library = library
        self._words_of = words_of
        self._store_of = store_of
        self._indexes: defaultdict[str, _Index] = defaultdict(_Index)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case ItemAdded() | Injected():
                self._indexes[event.thread].came_or_went((event.item.id,))
            case Seeded():
                self._indexes[event.thread].came_or_went(name for name, _ in event.items)
            case Pruned():
                stand_in = () if event.stand_in is None else (event.stand_in.id,)
                self._indexes[event.thread].came_or_went((*event.items, *stand_in))
            case Restored():
                back = (item.id for item in event.items)
                self._indexes[event.thread].came_or_went((*back, *event.removed))
            case Withdrawn():
                self._indexes[event.thread].came_or_went(event.items)
            case CallSent() | Vetoed():
                self._indexes[event.thread].forget_answers()
            case ThreadClosed():
                self._indexes.pop(event.thread, None)
            case _:
                pass

    def behind(self, thread: str, item: str) -> Behind:
        """Return what can be asked of the items behind one that stands in a thread's prompt."""
        index = self._indexes[thread]
        self._catch_up(thread, index)
        return Behind(self._library, index.slots, self._store_of(thread).entry(item).slot)

    def answered(self, thread: str, items: Iterable[str], text: str) -> None:
        """Take in that a shorter form was made of items: they hold no more than its text does."""
        index = self._indexes[thread]
        for name in items:
            index.forget_answer(name)
            index.answers[name] = text

    def _catch_up(self, thread: str, index: _Index) -> None:
        store = self._store_of(thread)
        for name in index.unread:
            index.take(name)
            if name in store:
                index.put(name, store.entry(name).slot, self._names(thread, store[name]))
        index.unread.clear()
        for name, text in index.answers.items():
            index.keep_only(name, frozenset(self._library.read(text)))
        index.assumed.update(dict.fromkeys(index.answers))
        index.answers.clear()

    def _names(self, thread: str, item: Item) -> Sequence[int]:
        if item.kind is Kind.THINKING:
            return ()
        if item.form is Form.WHOLE and (names := self._library.names(item.id)):
            return names
        texts = self._words_of(thread, item)
        return () if texts is None else self._library.read(texts)


@dataclass(frozen=True, slots=True)
class Behind:
    """The names behind a place of a prompt; to be asked before anything else changes there."""

    _library: Library
    _slots: dict[int, list[Slot]]
    _place: Slot

    def has_line(self, line: str) -> bool:
        """Return whether a later item holds a whole line, as `references.quotes` yields it."""
        return self._has(self._library.number_of("quote", line))

    def has_name(self, name: str) -> bool:
        """Return whether a later item holds an identifier."""
        return self._has(self._library.number_of("reference", name))

    def _has(self, number: int | None) -> bool:
        slots = self._slots.get(number) if number is not None else None
        return slots is not None and slots[-1] > self._place


@dataclass(slots=True)
class _Index:
    """One thread's names and the places of the items that hold them."""

    slots: defaultdict[int, list[Slot]] = field(default_factory=lambda: defaultdict(list))
    """Of each name that is held, in prompt order."""
    end: Slot = (-1, -1)
    """The last place that anything was read at."""
    places: dict[str, tuple[Slot, Sequence[int]]] = field(default_factory=dict)
    """Of each item that was read: where it stands and which names it is taken to hold."""
    unread: dict[str, None] = field(default_factory=dict)
    """Items that came, went or changed."""
    answers: dict[str, str] = field(default_factory=dict)
    """Texts of shorter forms that were made and not read yet."""
    assumed: dict[str, None] = field(default_factory=dict)
    """Items that are taken to hold no more than a shorter form that is not in the prompt."""

    def came_or_went(self, items: Iterable[str]) -> None:
        for name in items:
            self.unread[name] = None
            self.answers.pop(name, None)
            self.assumed.pop(name, None)

    def forget_answer(self, item: str) -> None:
        """Let an item count as it stands in the prompt."""
        self.answers.pop(item, None)
        if item in self.assumed:
            del self.assumed[item]
            self.unread[item] = None

    def forget_answers(self) -> None:
        self.unread.update(self.assumed)
        self.assumed.clear()
        self.answers.clear()

    def put(self, item: str, slot: Slot, names: Sequence[int]) -> None:
        """Take an item in; at the end of the prompt, where nearly all arrive, that is quickest."""
        self.places[item] = (slot, names)
        if slot > self.end:
            self.end = slot
            for name in names:
                self.slots[name].append(slot)
        else:
            for name in names:
                insort(self.slots[name], slot)

    def take(self, item: str) -> None:
        slot, names = self.places.pop(item, (None, ()))
        if slot is not None:
            self._release(slot, names)

    def keep_only(self, item: str, left: AbstractSet[int]) -> None:
        """Take an item to hold none of its names but those that are left."""
        if item not in self.places:
            return
        slot, names = self.places[item]
        self._release(slot, (name for name in names if name not in left))
        self.places[item] = (slot, [name for name in names if name in left])

    def _release(self, slot: Slot, names: Iterable[int]) -> None:
        for name in names:
            slots = self.slots[name]
            if len(slots) == 1:
                del self.slots[name]
            else:
                del slots[bisect_left(slots, slot)]
