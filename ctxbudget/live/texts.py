"""Which text each version of each item holds, in each open thread.

Texts are kept as long as their thread is open, so nothing that was pruned is lost; the journal keeps
them for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from ctxbudget.core.errors import AdapterError, SourceError
from ctxbudget.core.events import (
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Registered,
    Restored,
    Seeded,
    Shorten,
    Shortened,
    ThreadClosed,
)
from ctxbudget.core.types import MAIN, Do
from ctxbudget.journal import content_hash
from ctxbudget.live.pieces import Block

Redact: TypeAlias = Callable[[Any], Any]
"""Returns a JSON value without what must not be written down."""

_Asked: TypeAlias = tuple[str, Do, tuple[str, ...], int | None]


@dataclass(slots=True)
class Texts:
    """A listener that knows the block behind each (thread, item, version).

    A block is handed in under its hash before the event that names it. What is written down may
    be redacted; the hash is that of the redacted block.
    """

    redact: Redact | None = None
    is_written: bool = True
    """Whether texts go to a journal; if not, they are numbered instead of hashed."""
    keeps_closed: bool = False
    """Whether texts of threads that have ended are kept."""
    _by_hash: dict[str, Block] = field(default_factory=dict)
    _to_write: dict[str, Any] = field(default_factory=dict)
    _blocks: defaultdict[str, dict[tuple[str, int], Block]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _known: dict[str, Block] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _registered: dict[str, Block] = field(default_factory=dict)
    _answers: dict[_Asked, Block] = field(default_factory=dict)
    _limit_tokens: int | None = None
    """Of the effect that is answered next."""

    def take_in(self, block: Block) -> str:
        """Keep a block until an event names it; return its hash."""
        if not self.is_written:
            name = f"#{next(self._numbers)}"
            self._by_hash[name] = block
            return name
        written = block if self.redact is None else self.redact(block)
        try:
            name = content_hash(written)
        except (TypeError, ValueError, RecursionError) as error:
            raise AdapterError(
                f"a block holds what is no JSON value: {error}; write it as text"
            ) from None
        self._by_hash[name] = block
        self._to_write[name] = written
        return name

    def content_of(self, text: str) -> Any:
        """Return what the journal writes for a hash; for the first event that names it."""
        return self._to_write.pop(text)

    def know(self, contents: Mapping[str, Any]) -> None:
        """Take in blocks by hash, as a journal holds them."""
        self._known.update(contents)

    def block(self, thread: str, item: str, version: int) -> Block:
        """Return the block of an item's version.

        Raises:
            SourceError: the journal that the run was resumed from holds no texts.
        """
        found = self.find(thread, item, version)
        if found is None:
            raise SourceError(
                f"the text of item {item!r} (version {version}) is not known; a run can go on "
                "only from a journal that keeps texts"
            )
        return found

    def find(self, thread: str, item: str, version: int) -> Block | None:
        """Return the block of an item's version, or None if its text is not known."""
        return self._blocks[thread].get((item, version))

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Shorten():
                self._limit_tokens = event.limit_tokens
            case ItemAdded() | Registered() | Shortened():
                self._named(event)
            case Pruned():
                self._pruned(event)
            case Injected():
                block = self._registered.get(event.item.id)
                self._keep(event.thread, event.item.id, event.item.version, block)
            case Seeded():
                self._share(event.thread, event.items)
            case Restored():
                self._share(event.thread, ((item.id, item.version) for item in event.items))
            case ThreadClosed() if not self.keeps_closed:
                self._blocks.pop(event.thread, None)
            case _:
                pass

    def _named(self, event: ItemAdded | Registered | Shortened) -> None:
        text = event.text or ""
        block = self._by_hash.pop(text, None) or self._known.get(text)
        self._to_write.pop(text, None)  # the journal, which hears events first, has it by now
        if block is None:
            return
        if isinstance(event, ItemAdded):
            self._keep(event.thread, event.item.id, event.item.version, block)
        elif isinstance(event, Registered):
            self._registered[event.item.id] = block
        else:
            self._answers[event.thread, event.do, event.items, self._limit_tokens] = block

    def _share(self, thread: str, items: Iterable[tuple[str, int]]) -> None:
        """Let a thread know items that it has from the main one."""
        for name, version in items:
            self._keep(thread, name, version, self.find(MAIN, name, version))

    def _pruned(self, event: Pruned) -> None:
        asked = (event.thread, event.do, (*event.items, *event.reads), event.limit_tokens)
        block = self._answers.pop(asked, None)
        if event.stand_in is not None and block is not None:
            stand_in = event.stand_in
            self._blocks[event.thread][stand_in.id, stand_in.version] = block

    def _keep(self, thread: str, item: str, version: int, block: Block | None) -> None:
        if block is not None:
            self._blocks[thread].setdefault((item, version), block)
