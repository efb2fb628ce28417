"""Keeps a thread in step with a host that sends its whole list of messages at each call.

The host's list is taken for what happened: what is new is added, what the host took back is
withdrawn. What the policy left is given back as the host's own messages, unchanged ones as the
very same objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ctxbudget.core.errors import CtxBudgetError
from ctxbudget.core.types import Item, Kind, Layer
from ctxbudget.journal import content_hash
from ctxbudget.live.parts import Parts
from ctxbudget.live.pieces import Block, Piece, as_sent
from ctxbudget.sources.live import Facts

M = TypeVar("M")

_ENDS_CALLS = frozenset({Kind.USER, Kind.SYSTEM})
"""Said once the calls ahead have their results, if ever."""


class Codec(Protocol[M]):
    """How a host's messages are read and written."""

    def pieces(self, message: M) -> list[Piece]:
        """Return a message block by block."""
        ...

    def rebuilt(self, message: M, blocks: dict[int, Block]) -> M:
        """Return a message that holds only these of its pieces, by number, as they are now."""
        ...

    def note(self, block: Block) -> M:
        """Return a message of the user's side that says what stands in for others."""
        ...


@dataclass(slots=True)
class _Seen(Generic[M]):
    """A message of the host's, and the items that its pieces became."""

    key: Hashable
    message: M
    items: tuple[str, ...]


@dataclass(slots=True)
class Mirror(Generic[M]):
    """One conversation of a host's, as a thread.

    `sync` and `view` are used one after the other: what is new goes in, a call is begun (which
    prunes), what is left comes out.
    """

    parts: Parts
    thread: str
    codec: Codec[M]
    _seen: list[_Seen[M]] = field(default_factory=list)
    _head: dict[Hashable, str] = field(default_factory=dict)
    _place: dict[str, tuple[int, int]] = field(default_factory=dict)

    def common(self, messages: Sequence[M]) -> int:
        """Return how many messages at the front are those seen before."""
        count = 0
        for seen, message in zip(self._seen, messages, strict=False):
            if seen.key != self._key(message):  # the same object may say something else by now
                break
            count += 1
        return count

    def sync(self, messages: Sequence[M], head: Iterable[Piece] = ()) -> Facts[None]:
        """Take in a host's messages; `head` is what it sends ahead of them (system, tools)."""
        source = self.parts.source
        yield from self._sync_head(list(head))
        same = self.common(messages)
        for seen, message in zip(self._seen, messages[:same], strict=False):
            seen.message = message  # equal, but for what is no part of the prompt
        gone = tuple(name for seen in self._seen[same:] for name in seen.items)
        del self._seen[same:]
        if gone:
            for name in gone:
                self._place.pop(name, None)
            yield from source.withdraw((*gone, *self._orphans(gone)), self.thread)
        for number, message in enumerate(messages[same:], same):
            items = yield from self._add(self.codec.pieces(message))
            self._seen.append(_Seen(self._key(message), message, items))
            self._place.update((name, (number, index)) for index, name in enumerate(items))

    def _add(self, pieces: list[Piece]) -> Facts[tuple[str, ...]]:
        """Add a message's pieces, or none of them."""
        items: list[str] = []
        try:
            for piece in pieces:
                name = yield from self.parts.source.add(piece, thread=self.thread)
                items.append(name)
        except CtxBudgetError:
            if items:
                yield from self.parts.source.withdraw(tuple(items), self.thread)
            raise
        return tuple(items)

    def _sync_head(self, head: list[Piece]) -> Facts[None]:
        keys = [_key_of([piece]) for piece in head]
        gone = tuple(name for key, name in self._head.items() if key not in keys)
        if gone:
            self._head = {key: name for key, name in self._head.items() if key in keys}
            yield from self.parts.source.withdraw(gone, self.thread)
        for key, piece in zip(keys, head, strict=True):
            if key not in self._head:
                self._head[key] = yield from self.parts.source.add(
                    piece, thread=self.thread, layer=Layer.PERMANENT
                )

    def _orphans(self, gone: Iterable[str]) -> Iterator[str]:
        """Yield stand-ins for nothing but what the host took back."""
        thread, known = self.parts.thread(self.thread), set(gone)
        for number in sorted(thread.plans):
            for done in thread.plans[number]:
                replaced = {entry.item.id for entry in done.entries}
                if done.stand_in is None or done.stand_in[0] in replaced or not replaced <= known:
                    continue
                known.add(done.stand_in[0])
                yield done.stand_in[0]

    def view(self) -> list[M]:
        """Return what is left of the host's messages, with stand-ins in their places."""
        kept: dict[int, dict[int, Block]] = {}
        order: list[int | Block] = []
        held: list[Block] = []  # until the calls ahead have their results
        waiting: set[str | None] = set()
        calls = self._open_calls()
        for item in self._behind_head():
            block = self.parts.texts.block(self.thread, item.id, item.version)
            number, index = self._place.get(item.id, (-1, -1))
            if number not in kept and item.kind in _ENDS_CALLS and number >= 0:
                waiting.clear()
            if not waiting:
                order += held
                held.clear()
            if number < 0:
                (held if waiting else order).append(as_sent(block))
                continue
            if number not in kept:
                kept[number] = {}
                order.append(number)
                waiting |= calls[number]
            kept[number][index] = block
            if item.kind is Kind.TOOL_RESULT:
                waiting.discard(item.group)
        return [
            self._message(one, kept[one]) if isinstance(one, int) else self.codec.note(one)
            for one in [*order, *held]
        ]

    def _behind_head(self) -> Iterator[Item]:
        head = set(self._head.values())
        return (one for one in self.parts.thread(self.thread).store if one.id not in head)

    def _open_calls(self) -> defaultdict[int, set[str | None]]:
        """Return the groups of the calls that are left, by message."""
        found: defaultdict[int, set[str | None]] = defaultdict(set)
        for item in self._behind_head():
            if item.kind is Kind.TOOL_CALL and item.id in self._place:
                found[self._place[item.id][0]].add(item.group)
        return found

    def _message(self, number: int, blocks: dict[int, Block]) -> M:
        seen = self._seen[number]
        is_whole = len(blocks) == len(seen.items) and all(
            self.parts.texts.find(self.thread, name, 0) is blocks[index]
            for index, name in enumerate(seen.items)
        )
        return seen.message if is_whole else self.codec.rebuilt(seen.message, blocks)

    def _key(self, message: M) -> Hashable:
        return _key_of(self.codec.pieces(message))


def _key_of(pieces: Sequence[Piece]) -> str:
    return content_hash([[piece.kind, dict(piece.block)] for piece in pieces])
