"""What the model used again of its prompts, found while the run goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    ItemTouched,
    Pruned,
    Rejected,
    Restored,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Form, Item, Kind
from ctxbudget.journal import content_hash
from ctxbudget.live.pieces import Block, text_of
from ctxbudget.live.texts import Texts
from ctxbudget.recall import Library, words

WRITTEN: Final = frozenset({Kind.ASSISTANT, Kind.THINKING, Kind.TOOL_CALL})
"""Kinds of what a model writes."""

_WITH_TEXT: Final = frozenset({Form.WHOLE, Form.DEDUPED, Form.SNIP})
"""Forms in which an item's own text still stands; what is less cannot be used by its lines."""


def words_of(kind: Kind, block: Block) -> tuple[str, ...]:
    """Return the texts of an item's block as recall reads them."""
    return words(kind, block.get("input") if kind is Kind.TOOL_CALL else text_of(block))


@dataclass(slots=True)
class _Prompt:
    """A thread's prompt, as far as uses need it."""

    came: dict[str, int] = field(default_factory=dict)
    """Of each item whose text stands in it: how many calls had been sent when it came."""
    calls: int = 0
    is_answered: bool = False
    """Whether what is written now answers a call: not before the first, nor one that was refused."""
    said: list[str] = field(default_factory=list)
    """What the model wrote since the last call."""
    touched: set[str] = field(default_factory=set)
    """What was said to be used since the last call, by anybody."""

    def was_sent(self, item: str) -> bool:
        """Return True if the last call carried an item, and it still stands."""
        return self.came.get(item, self.calls) < self.calls


@dataclass(slots=True)
class Uses:
    """A listener that knows which items served what each thread's model wrote last.

    All that it knows follows from events and texts, so a run that was taken up again finds the
    same. No event costs more because the prompt has grown.

    Args:
        texts: has heard each event before.
        library: takes in the identifiers and lines of each item that comes, once.
    """

    texts: Texts
    library: Library = field(default_factory=Library)
    _prompts: defaultdict[str, _Prompt] = field(default_factory=lambda: defaultdict(_Prompt))

    def untold(self, thread: str) -> tuple[str, ...]:
        """Return the items that the model used since the last call, but for those told already.

        They are the latest holders of each identifier and line that it wrote, among the items that
        the call carried and that still stand as a text. Asking changes nothing.
        """
        prompt = self._prompts[thread]
        if not prompt.said:
            return ()
        use = self.library.output(prompt.calls, prompt.said, prompt.was_sent, thread)
        used = (one.holders[0] for one in (*use.references, *use.quotes))
        return tuple(name for name in dict.fromkeys(used) if name not in prompt.touched)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    # ---- what comes and goes

    def _added(self, event: ItemAdded) -> None:
        said = self._read(event.item, event.thread, event.text)
        self._stands(event.thread, (event.item,))
        prompt = self._prompts[event.thread]
        if event.item.kind in WRITTEN and prompt.is_answered:
            prompt.said += said  # thinking has no words

    def _injected(self, event: Injected) -> None:
        if not self.library.names(event.item.id):  # it comes once for each phase that needs it
            self._read(event.item, event.thread, None)
        self._stands(event.thread, (event.item,))

    def _seeded(self, event: Seeded) -> None:
        main, prompt = self._prompts[MAIN], self._prompts[event.thread]
        prompt.came.update((name, 0) for name, _ in event.items if name in main.came)

    def _pruned(self, event: Pruned) -> None:
        if event.stand_in is None or event.stand_in.form not in _WITH_TEXT:
            self._went(event.thread, event.items)

    def _withdrawn(self, event: Withdrawn) -> None:
        self._went(event.thread, event.items)

    def _restored(self, event: Restored) -> None:
        # what leaves for them are stand-ins, which hold no text but that of what comes
        self._stands(event.thread, (item for item in event.items if item.form in _WITH_TEXT))

    def _stands(self, thread: str, items: Iterable[Item]) -> None:
        prompt = self._prompts[thread]
        for item in items:
            prompt.came.setdefault(item.id, prompt.calls)

    def _went(self, thread: str, items: Iterable[str]) -> None:
        came = self._prompts[thread].came
        for name in items:
            came.pop(name, None)

    def _read(self, item: Item, thread: str, text: str | None) -> tuple[str, ...]:
        """Take an item's words into the library and return them."""
        block = self.texts.find(thread, item.id, item.version)
        if block is None:
            return ()
        said = words_of(item.kind, self._as_written(block, text))
        with suppress(SourceError):  # a registered text may bear the id of an item
            self.library.add(item.id, said)
        return said

    def _as_written(self, block: Block, text: str | None) -> Block:
        """Return a block as the journal holds it, which is what a resumed run will read.

        Redaction is slow. A block whose hash is that of what was written holds nothing to redact.
        """
        redact = self.texts.redact
        if redact is None or not self.texts.is_written:
            return block
        if text is not None and content_hash(block) == text:
            return block
        redacted: Block = redact(block)
        return redacted

    # ---- calls

    def _sent(self, event: CallSent) -> None:
        prompt = self._prompts[event.thread]
        prompt.calls += 1
        prompt.is_answered = True
        prompt.said.clear()
        prompt.touched.clear()

    def _rejected(self, event: Rejected) -> None:
        prompt = self._prompts[event.thread]
        prompt.is_answered = False
        prompt.said.clear()

    def _touched(self, event: ItemTouched) -> None:
        self._prompts[event.thread].touched.update(event.items)

    def _closed(self, event: ThreadClosed) -> None:
        self._prompts.pop(event.thread, None)


_NOTES: Final[dict[type, Callable[[Uses, Any], None]]] = {
    ItemAdded: Uses._added,
    Injected: Uses._injected,
    Seeded: Uses._seeded,
    Pruned: Uses._pruned,
    Withdrawn: Uses._withdrawn,
    Restored: Uses._restored,
    CallSent: Uses._sent,
    Rejected: Uses._rejected,
    ItemTouched: Uses._touched,
    ThreadClosed: Uses._closed,
}
"""What each event says of the prompts."""
