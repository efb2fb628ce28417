"""What one policy's prompts no longer held when the recorded model used it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Item
from ctxbudget.recall.uses import Library, Use, Used, What


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Something that a call used and that the policy's prompt did not hold."""

    what: What
    text: str
    item: str
    """Held it last in the recorded prompt."""
    call: int
    """That used it, 1-based within the thread."""
    thread: str
    since_call: int | None
    """The first call that went without it; None if the policy's prompt never held the item."""
    rule: str
    """That took it away; empty if none did."""
    tokens: int
    """Of the item, to be written again."""
    is_charged: bool
    """False where another miss of the call already pays for fetching the item."""


@dataclass(slots=True)
class Tally:
    """How many uses there were, and how many of them the prompt could serve."""

    served: int = 0
    all: int = 0

    @property
    def share_frac(self) -> float | None:
        """The share that was served, 0 to 1; None if there was nothing to serve."""
        return self.served / self.all if self.all else None


@dataclass(frozen=True, slots=True)
class _Loss:
    """An item's text changed; `left` are the names in what stands in its place, if anything does.

    Coming back is one, too: what it brings back is `left`.
    """

    since_call: int
    rule: str
    stand_in: str
    left: Sequence[int]


@dataclass(slots=True)
class _Prompt:
    """One thread's prompt under the policy."""

    calls: int = 0
    items: dict[str, Sequence[int]] = field(default_factory=dict)
    """The names in each item's present form."""
    fetched: dict[str, Sequence[int]] = field(default_factory=dict)
    """Items that a miss brought back, beside what the policy itself keeps of them."""
    holders: Counter[int] = field(default_factory=Counter)
    """How many of all these hold a name: it is served if any does."""
    losses: defaultdict[str, list[_Loss]] = field(default_factory=lambda: defaultdict(list))

    def put(self, item: str, names: Sequence[int]) -> None:
        self.take(item)
        self.items[item] = names
        self.holders.update(names)

    def take(self, item: str) -> None:
        self._release(self.items.pop(item, ()))

    def fetch(self, item: str, names: Sequence[int]) -> None:
        self.fetched[item] = names
        self.holders.update(names)

    def forget(self, item: str) -> None:
        """Take an item out because the recorded prompt no longer held it, either."""
        self.take(item)
        self._release(self.fetched.pop(item, ()))
        self.losses.pop(item, None)

    def _release(self, names: Iterable[int]) -> None:
        for name in names:
            self.holders[name] -= 1

    def loss_of(self, item: str, name: int) -> _Loss | None:
        """Return how the prompt lost a name that an item once held, or None if it never did.

        A stand-in that still held the name passed the question on: it is lost when that goes.
        """
        asked: set[str] = set()
        while item not in asked:
            asked.add(item)
            losses = self.losses.get(item, [])
            gone = list(takewhile(lambda loss: name not in loss.left, reversed(losses)))
            if gone:
                return gone[-1]
            item = losses[-1].stand_in if losses else item
        return None


class Recall:
    """A listener to one policy's run that knows which names its prompts hold.

    An event costs O(names in the items that come or go), a use O(1) unless it is missed. Texts
    must be in the library before the event that brings their item is heard.

    A missed item counts as present from the next call on, whatever the policy does to it later:
    it was paid for once. So a policy that loses more may be served more afterwards; its misses
    and what fetching them costs belong beside its recall.

    Attributes:
        references, quotes: how many were used, and how many of them were served.
        misses: what was not served, in order of use.
        refetch_tokens: of the items that misses brought back.
        refetch_calls: one for each of these items.
    """

    def __init__(
        self,
        library: Library,
        text_of: Callable[[str, Item], str | Iterable[str] | None] | None = None,
    ) -> None:
        """Listen with a library of the session's texts.

        `text_of` returns the text of a thread's shorter form or summary (an item with the version
        that stands in the prompt), or None where only its size is known: that serves nothing.
        """
        self.references = Tally()
        self.quotes = Tally()
        self.misses: list[Miss] = []
        self.refetch_tokens = 0
        self.refetch_calls = 0
        self._library = library
        self._text_of = text_of
        self._arrived: dict[str, Item] = {}
        self._prompts: defaultdict[str, _Prompt] = defaultdict(_Prompt)

    @property
    def recall(self) -> float | None:
        """The share of references that were still in the prompt; None if there were none."""
        return self.references.share_frac

    @property
    def quote_recall(self) -> float | None:
        """The share of quotes that were still in the prompt; None if there were none."""
        return self.quotes.share_frac

    def __call__(self, event: Event) -> None:
        """Take an event of the policy's run in."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    def used(self, use: Use) -> None:
        """Judge what a call used against the policy's prompt as it stands now.

        To be told once the call was sent, before anything that came after it is heard.
        """
        prompt = self._prompts[use.thread]
        # Judged as a whole first: what one miss brings back comes too late for the next.
        missed = _missed(use.references, prompt, self.references)
        missed += _missed(use.quotes, prompt, self.quotes)
        for one in missed:
            self._miss(one, use, prompt)

    def _miss(self, one: Used, use: Use, prompt: _Prompt) -> None:
        item = one.holders[0]
        arrived = self._arrived.get(item)
        tokens = arrived.tokens if arrived is not None else 0
        loss = prompt.loss_of(item, one.name)
        since_call = loss.since_call if loss is not None else None
        if loss is None and use.thread != MAIN:
            # A worker's thread starts with what the main one kept.
            loss = self._prompts[MAIN].loss_of(item, one.name)
            since_call = 1 if loss is not None else None
        is_charged = item not in prompt.fetched
        if is_charged:
            prompt.fetch(item, self._library.names(item))
            self.refetch_tokens += tokens
            self.refetch_calls += 1
        self.misses.append(
            Miss(
                what=one.what,
                text=one.text,
                item=item,
                call=use.call,
                thread=use.thread,
                since_call=since_call,
                rule=loss.rule if loss is not None else "",
                tokens=tokens,
                is_charged=is_charged,
            )
        )

    # ---- events

    def _came(self, event: ItemAdded | Injected) -> None:
        self._arrived.setdefault(event.item.id, event.item)
        self._put(event.thread, event.item)

    def _put(self, thread: str, item: Item) -> Sequence[int]:
        """Put an item into a prompt; return the names in the form that it has there."""
        arrived = self._arrived.get(item.id)
        names: Sequence[int] = ()
        if arrived is not None and arrived.version == item.version:
            names = self._library.names(item.id)
        elif self._text_of is not None and (text := self._text_of(thread, item)) is not None:
            names = self._library.read(text)
        self._prompts[thread].put(item.id, names)
        return names

    def _seeded(self, event: Seeded) -> None:
        main = self._prompts[MAIN].items
        for item, _ in event.items:
            self._prompts[event.thread].put(item, main.get(item, ()))

    def _pruned(self, event: Pruned) -> None:
        prompt = self._prompts[event.thread]
        for item in event.items:
            prompt.take(item)
        stand_in = event.stand_in
        left = self._put(event.thread, stand_in) if stand_in is not None else ()
        name = stand_in.id if stand_in is not None else ""
        loss = _Loss(prompt.calls + 1, event.rule, name, left)
        for item in event.items:
            prompt.losses[item].append(loss)

    def _restored(self, event: Restored) -> None:
        prompt = self._prompts[event.thread]
        for item in event.removed:
            prompt.take(item)
        for back in event.items:
            left = self._put(event.thread, back)
            prompt.losses[back.id].append(_Loss(prompt.calls + 1, "", back.id, left))

    def _withdrawn(self, event: Withdrawn) -> None:
        for item in event.items:
            self._prompts[event.thread].forget(item)

    def _sent(self, event: CallSent) -> None:
        self._prompts[event.thread].calls = event.call

    def _closed(self, event: ThreadClosed) -> None:
        self._prompts.pop(event.thread, None)


_NOTES: dict[type, Callable[[Recall, Any], None]] = {
    ItemAdded: Recall._came,
    Injected: Recall._came,
    Seeded: Recall._seeded,
    Pruned: Recall._pruned,
    Restored: Recall._restored,
    Withdrawn: Recall._withdrawn,
    CallSent: Recall._sent,
    ThreadClosed: Recall._closed,
}
"""What each event means to recall."""


def _missed(uses: Iterable[Used], prompt: _Prompt, tally: Tally) -> list[Used]:
    """Count uses and return those that the prompt cannot serve."""
    found = []
    for one in uses:
        tally.all += 1
        if prompt.holders[one.name]:
            tally.served += 1
        else:
            found.append(one)
    return found
