"""A thread's prompt as messages, kept up to date as the prompt changes.

Only what stands behind the last change is rendered again, so an unchanged prefix costs nothing
and stays the same bytes. Messages that were handed out are never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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


_Named: TypeAlias = tuple[str | None, Block]
"""A block, and the item that it is all there is of."""


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
    _where: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Message and block of the items that stand there as one block."""
    _is_new: bool = True

    def update(self, store: Store) -> None:
        """Take in what changed in the prompt since the last update."""
        changed, patched = store.take_changes()
        if self._is_new:
            changed, patched, self._is_new = (0, 0), (), False
        self.fresh_from = len(self.messages)
        for name in patched:
            changed = self._patch(store, name, changed)
        if changed is None:
            return
        if changed[0] <= SYSTEM_PART:
            self._render_head(store)
        self._cut_back(changed)
        start = self._marks[-1].slot if self._marks else BEHIND_HEAD
        if self._marks:
            del self.messages[self._marks.pop().messages :]
        else:
            self.messages.clear()
            self._where.clear()
        self.fresh_from = min(self.fresh_from, len(self.messages))
        self._render(store.entries(start))

    def _patch(self, store: Store, name: str, changed: Slot | None) -> Slot | None:
        """Put an item's new form in the place of the old one; return what is the first change then.

        What stands behind the first change is rendered again, and may have stood elsewhere before.
        """
        if name not in store:
            return changed
        entry = store.entry(name)
        if changed is not None and entry.slot >= changed:
            return changed
        place = self._where.get(name)
        if place is None:
            return entry.slot
        number, index = place
        old = self.messages[number]
        content = list(old["content"])
        content[index] = as_sent(self._block(entry))
        self.messages[number] = {**old, "content": content}
        self.fresh_from = min(self.fresh_from, number)
        return changed

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
        for said, heard in _turns(entries):
            if said:
                if not self.messages:
                    self._say("user", [(None, {"type": "text", "text": CONTINUED})])
                self._marks.append(_Mark(said[0].slot, len(self.messages)))
                self._say("assistant", [(one.item.id, as_sent(self._block(one))) for one in said])
            calls = [entry for entry in said if entry.item.kind is Kind.TOOL_CALL]
            self._say("user", self._users_side(heard, calls))

    def _say(self, role: str, said: list[_Named]) -> None:
        if not said:
            return
        before: list[Block] = []
        if self.messages and self.messages[-1]["role"] == role:
            before = self.messages.pop()["content"]  # may have been handed out: never changed
        number, first = len(self.messages), len(before)
        for index, (name, _) in enumerate(said, first):
            if name is not None:
                self._where[name] = (number, index)
        self.messages.append({"role": role, "content": [*before, *(block for _, block in said)]})

    def _users_side(self, run: list[Entry], calls: list[Entry]) -> list[_Named]:
        """Return results of the calls just made, in their order, then all else as it came."""
        groups = {call.item.group for call in calls}
        results: dict[str | None, Entry] = {}
        others = []
        for entry in run:
            item = entry.item
            is_answer = item.kind is Kind.TOOL_RESULT and item.group in groups
            if is_answer and item.group not in results:
                results[item.group] = entry
            else:
                others.append(entry)
        said: list[_Named] = []
        for call in calls:
            found = results.get(call.item.group)
            if found is None:
                said.append((None, _pending(self._block(call))))
            else:
                said.append((found.item.id, self._block(found)))
        for entry in others:
            block = self._block(entry)
            if block.get("type") == "tool_result":
                self._where.pop(entry.item.id, None)
                said += ((None, one) for one in _late(block, entry))
            else:
                said.append((entry.item.id, as_sent(block)))
        return said

    def _block(self, entry: Entry) -> Block:
        block = self.texts.block(self.thread, entry.item.id, entry.item.version)
        return _with_own_id(block, entry.item.group)


def _turns(entries: Iterable[Entry]) -> Iterator[tuple[list[Entry], list[Entry]]]:
    """Yield what the model said in one go, each with what the user's side said behind it."""
    said: list[Entry] = []
    heard: list[Entry] = []
    for entry in entries:
        if entry.item.kind not in ASSISTANT_KINDS:
            heard.append(entry)
            continue
        if (said or heard) and not _is_one_answer(said, heard, entry):
            yield said, heard
            said, heard = [], []
        said.append(entry)
    yield said, heard


def _is_one_answer(said: list[Entry], heard: list[Entry], entry: Entry) -> bool:
    """Return True if what the model says next goes on with what it said last.

    An open call was sent with a placeholder, so what a later call brought stands behind that.
    Instructions that a call brought in while the model was still speaking do not interrupt it.
    """
    has_calls = any(one.item.kind is Kind.TOOL_CALL for one in said)
    is_same_call = bool(said) and said[-1].arrived_call == entry.arrived_call
    if not heard:
        return is_same_call or not has_calls
    is_brought_in = all(one.item.kind is Kind.SYSTEM for one in heard)
    return has_calls and is_same_call and is_brought_in


def _with_own_id(block: Block, group: str | None) -> Block:
    """Return a call or result under an id of its own, where one was used before."""
    key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(str(block.get("type")))
    if key is None or group is None or block.get(key) == group:
        return block
    return {**block, key: group.replace("#", "_")}


def _pending(call: Block) -> Block:
    return {"type": "tool_result", "tool_use_id": call.get("id"), "content": PENDING}


def _late(block: Block, entry: Entry) -> Iterator[Block]:
    """Yield a result that cannot stand next to its call, since the model has spoken in between."""
    tool = f" of {entry.item.tool}" if entry.item.tool else ""
    call = block.get("tool_use_id")
    yield {"type": "text", "text": f"[result{tool}, call {call}]\n{text_of(block)}"}
    yield from media_of(block)
