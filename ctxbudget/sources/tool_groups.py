"""Which tool call a result belongs to: providers' ids may come again, groups may not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ctxbudget.core.errors import SourceError
from ctxbudget.core.types import Item, Kind
from ctxbudget.live.pieces import Piece


@dataclass(slots=True)
class ToolGroups:
    """The groups of tool calls and results, by thread; follows from what was heard."""

    _calls: dict[tuple[str, str], str] = field(default_factory=dict)
    """The group of each (thread, call id) that waits for its result, or had it last."""
    _tools: dict[tuple[str, str], str] = field(default_factory=dict)
    _waiting: set[tuple[str, str | None]] = field(default_factory=set)
    """The groups of calls without a result, by thread."""
    _members: dict[tuple[str, str], tuple[str, Kind]] = field(default_factory=dict)
    """The group and kind of each item of a call, by thread."""

    def tool_of(self, piece: Piece, thread: str) -> str | None:
        """Return the tool that a result is of."""
        group = self._calls.get((thread, piece.call_id or ""))
        return None if group is None else self._tools.get((thread, group)) or None

    def group_of(self, piece: Piece, thread: str) -> str | None:
        """Return the group of a call or result; an id that is used again gets a number.

        Raises:
            SourceError: the call waits already, or the result has no call that waits for it.
        """
        call = piece.call_id
        if call is None:
            return None
        known = self._calls.get((thread, call))
        is_waiting = (thread, known) in self._waiting
        if piece.kind is Kind.TOOL_CALL and is_waiting:
            raise SourceError(
                f"tool call {call!r} waits for its result already; add that, or give this call "
                "another id"
            )
        if piece.kind is Kind.TOOL_CALL:
            group, number = call, 1
            while (thread, group) in self._tools:
                number += 1
                group = f"{call}#{number}"
            return group
        if known is None:
            raise SourceError(
                f"tool result {call!r} has no tool call in thread {thread!r}; add the call first"
            )
        if not is_waiting:
            raise SourceError(f"tool call {call!r} has its result already; each call has one")
        return known

    def added(self, item: Item, thread: str, call: str) -> None:
        """Note that an item came; `call` is the provider's id, if it is a tool call."""
        group = item.group
        if group is None:
            return
        if item.kind is Kind.TOOL_CALL:
            self._calls[thread, call] = group
            self._tools[thread, group] = item.tool or ""
            self._waiting.add((thread, group))
        elif item.kind is Kind.TOOL_RESULT:
            self._waiting.discard((thread, group))
        self._members[thread, item.id] = (group, item.kind)

    def withdrawn(self, items: Iterable[str], thread: str) -> None:
        """Let calls that the host took back, or whose results it took back, be said again."""
        gone = [self._members.pop((thread, name), None) for name in items]
        for found in gone:
            if found is not None and found[1] is Kind.TOOL_RESULT:
                self._waiting.add((thread, found[0]))
        for found in gone:
            if found is not None and found[1] is Kind.TOOL_CALL:
                self._waiting.discard((thread, found[0]))
                self._tools.pop((thread, found[0]), None)
