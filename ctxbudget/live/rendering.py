"""A thread's prompt as messages, kept up to date as the prompt changes.

Only what stands behind the last change is rendered again, so an unchanged prefix costs nothing
and stays the same bytes. Messages that were handed out are never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ctxbudget.core.store import Store
from ctxbudget.core.types import Kind
from ctxbudget.core.watch import Entry, Slot
from ctxbudget.live.pieces import Block, as_sent, media_of, text_of
from ctxbudget.live.texts import Texts

ASSISTANT_KINDS = frozenset({Kind.ASSISTANT, Kind.THINKING, Kind.TOOL_CALL})
"""What the model wrote; everything else is said by the user's side."""

PENDING = "[no result yet; if one comes, it follows below]"
CONTINUED = "[continued]"
"""Said by the user's side where a prompt would begin with the model."""

SYSTEM_PART = 1
"""Of the prompt; tools stand ahead of it, messages behind."""

BEHIND_HEAD: Slot = (SYSTEM_PART + 1, 0)
"""Where messages begin."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a run of the model's own words begins; rendering can start again there."""

    slot: Slot
    messages: int


@dataclass(slots=True)
class Rendering:
    """The messages of one thread.

    Attributes:
        tools, system: blocks ahead of the messages.
        messages: alternating user and assistant, each with a list of blocks.
        fresh_from: the first message that the last update rendered again.
    """

    thread: str
    texts: Texts
    tools: list[Block] = field(default_factory=list)
    system: list[Block] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    fresh_from: int = 0
    _marks: list[_Mark] = field(default_factory=list)
    _is_new: bool = True

    def update(self, store: Store) -> None:
        """Take in what changed in the prompt since the last update."""
        changed = store.read_from()
        if self._is_new:
            changed, self._is_new = (0, 0), False
        if changed is None:
            self.fresh_from = len(self.messages)
            return
        if changed[0] <= SYSTEM_PART:
            self._render_head(store)
        self._cut_back(changed)
        start = self._marks[-1].slot if self._marks else BEHIND_HEAD
        if self._marks:
            del self.messages[self._marks.pop().messages :]
        else:
            self.messages.clear()
        self.fresh_from = max(0, len(self.messages) - 1)
        self._render(store.entries(start))

    def _render_head(self, store: Store) -> None:
        self.tools, self.system = [], []
        for entry in store.entries():
            if entry.slot[0] > SYSTEM_PART:
                break
            block = as_sent(self._block(entry))
            (self.tools if entry.item.kind is Kind.TOOLS else self.system).append(block)

    def _cut_back(self, changed: Slot) -> None:
        """Forget the marks from the first change on.

        The one before it stays: what the user's side says there may answer calls made at it.
        """
        while self._marks and self._marks[-1].slot >= changed:
            self._marks.pop()

    def _render(self, entries: Iterable[Entry]) -> None:
        runs = groupby(entries, key=lambda entry: entry.item.kind in ASSISTANT_KINDS)
        calls: list[Entry] = []
        for is_model, run in runs:
            if not is_model:
                self._say("user", self._users_side(list(run), calls))
                calls = []
                continue
            said = list(run)
            if not self.messages:
                self._say("user", [{"type": "text", "text": CONTINUED}])
            self._marks.append(_Mark(said[0].slot, len(self.messages)))
            self._say("assistant", [self._block(entry) for entry in said])
            calls = [entry for entry in said if entry.item.kind is Kind.TOOL_CALL]
        if calls:
            self._say("user", self._users_side([], calls))

    def _say(self, role: str, blocks: Iterable[Block]) -> None:
        content = list(blocks)
        if self.messages and self.messages[-1]["role"] == role:
            # a new message: the old one may have been handed out
            last = self.messages.pop()
            content = [*last["content"], *content]
        self.messages.append({"role": role, "content": content})

    def _users_side(self, run: list[Entry], calls: list[Entry]) -> Iterator[Block]:
        """Yield results of the calls just made, in order, then all else as it came."""
        waiting = {call.item.group: call for call in calls}
        results = {
            entry.item.group: entry
            for entry in run
            if entry.item.kind is Kind.TOOL_RESULT and entry.item.group in waiting
        }
        for group, call in waiting.items():
            found = results.get(group)
            yield _pending(self._block(call)) if found is None else self._block(found)
        for entry in run:
            item = entry.item
            if item.kind is Kind.TOOL_RESULT and results.get(item.group) is entry:
                continue
            block = self._block(entry)
            if block.get("type") == "tool_result":
                yield from _late(block, entry)
            else:
                yield as_sent(block)

    def _block(self, entry: Entry) -> Block:
        return self.texts.block(self.thread, entry.item.id, entry.item.version)


def _pending(call: Block) -> Block:
    return {"type": "tool_result", "tool_use_id": call.get("id"), "content": PENDING}


def _late(block: Block, entry: Entry) -> Iterator[Block]:
    """Yield a result that cannot stand next to its call, since the model has spoken in between."""
    tool = f" of {entry.item.tool}" if entry.item.tool else ""
    call = block.get("tool_use_id")
    yield {"type": "text", "text": f"[result{tool}, call {call}]\n{text_of(block)}"}
    yield from media_of(block)
