"""Fits a host's list of messages before each call, for every host alike."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar, cast

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.live.aio import AsyncScope
from ctxbudget.live.mirror import Codec
from ctxbudget.live.pieces import Block, Piece
from ctxbudget.live.run import Scope

M = TypeVar("M")
T = TypeVar("T")

AnyScope: TypeAlias = Scope | AsyncScope


@dataclass(frozen=True, slots=True, eq=False)
class _Placed(Generic[M]):
    """A host's message and where it stands in the host's list; a note stands nowhere.

    With `blocks`, only these of its pieces are left, by number.
    """

    message: M
    place: int | None
    blocks: dict[int, Block] | None = None


@dataclass(frozen=True, slots=True)
class _PlacingCodec(Generic[M]):
    """Reads through to the host's codec, and leaves the writing for later."""

    codec: Codec[M]

    def pieces(self, message: _Placed[M]) -> list[Piece]:
        return self.codec.pieces(message.message)

    def rebuilt(self, message: _Placed[M], blocks: dict[int, Block]) -> _Placed[M]:
        return replace(message, blocks=blocks)

    def note(self, block: Block) -> _Placed[M]:
        return _Placed(self.codec.note(block), None)


class Fitting(Generic[M]):
    """Keeps a scope in step with one conversation of a host's.

    What did not change goes out as the very objects of this call, also where a host makes equal
    ones anew each time: fields that are no part of the prompt, such as cache marks, are this
    call's. A note never comes between a tool call and its result.
    """

    def __init__(self, scope: AnyScope, codec: Codec[M]) -> None:
        self._codec = codec
        self._scope = scope
        self._fit = scope.mirror(_PlacingCodec(codec))
        self._given: list[_Placed[M]] = []
        self._rebuilt: dict[int, tuple[_Placed[M], M, M]] = {}

    def now(self, messages: Sequence[M], head: Iterable[Piece] = (), model: str = "") -> list[M]:
        """Return what to send of a host's messages; `head` is what it sends ahead of them.

        Raises:
            AdapterError: the scope has to be awaited.
            CtxBudgetError: as `Scope.prompt`.
        """
        synchronous(self._scope)
        fitted = self._fit(self._placed(messages), head, model)
        return self._written(cast("list[_Placed[M]]", fitted), messages)

    async def later(
        self, messages: Sequence[M], head: Iterable[Piece] = (), model: str = ""
    ) -> list[M]:
        """Return the same, whichever kind of scope it is."""
        fitted = await settled(self._fit(self._placed(messages), head, model))
        return self._written(fitted, messages)

    def _placed(self, messages: Sequence[M]) -> list[_Placed[M]]:
        """Return the messages with their places; equal ones as the same objects, to save time."""
        known = self._given
        self._given = [
            known[place]
            if place < len(known) and known[place].message == message
            else _Placed(message, place)
            for place, message in enumerate(messages)
        ]
        return self._given

    def _written(self, fitted: Iterable[_Placed[M]], messages: Sequence[M]) -> list[M]:
        return [self._write(one, messages) for one in self._ordered(fitted)]

    def _write(self, placed: _Placed[M], messages: Sequence[M]) -> M:
        if placed.place is None:
            return placed.message
        message = messages[placed.place]
        if placed.blocks is None:
            return message
        before, source, found = self._rebuilt.get(placed.place, (None, None, None))
        if before is None or before.blocks != placed.blocks or source != message:
            found = self._codec.rebuilt(message, placed.blocks)
            self._rebuilt[placed.place] = (placed, message, found)
        return cast("M", found)

    def _ordered(self, fitted: Iterable[_Placed[M]]) -> Iterator[_Placed[M]]:
        """Yield the messages, notes behind the results that follow them.

        A note takes the place of the first item that it stands for. Where that is one of several
        calls made at once, the results of the others come next, and must.
        """
        notes: list[_Placed[M]] = []
        for one in fitted:
            if one.place is None:
                notes.append(one)
                continue
            if notes and not self._is_result(one.message):
                yield from notes
                notes = []
            yield one
        yield from notes

    def _is_result(self, message: M) -> bool:
        return any(piece.kind is Kind.TOOL_RESULT for piece in self._codec.pieces(message))


def synchronous(scope: AnyScope) -> Scope:
    """Return a scope that need not be awaited.

    Raises:
        AdapterError: it has to be.
    """
    if isinstance(scope, AsyncScope):
        raise AdapterError(
            "the host calls its model synchronously, but the scope is of an AsyncRun; open a Run, "
            "or use the host's asynchronous calls"
        )
    return scope


async def settled(found: T | Awaitable[T]) -> T:
    """Return what a scope of either kind answered."""
    if inspect.isawaitable(found):
        return cast("T", await found)
    return found
