"""Lists of messages as exchanges, and messages as parts, whichever file they stand in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, Piece, pieces_of
from ctxbudget.live.pieces import text_of as text_of_block
from ctxbudget.recorded.message_list import messages_of, rows
from ctxbudget.recorded.usage import RecordedFile, UsageRow, mapping, text_of
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.files_read import file_read

Rows: TypeAlias = Callable[[Mapping[str, Any], RecordedFile], Iterator[UsageRow]]
"""A bill's reader of documents that hold `messages`."""

_NO_BLOCK: Final = (AdapterError, RecursionError, TypeError)
"""What reading a block raises that is none; a TypeError if its type is no text."""

_KEY_OF_CALL: Final = {"tool_use": "id", "tool_result": "tool_use_id"}


def exchanges(document: object, file: RecordedFile) -> Iterator[Exchange]:
    """Yield the calls of a list of messages, as the bill counts them; what is damaged is skipped.

    Every prompt is all that stands before the answer. A message of another role that has usage
    stands for a call whose answer is not in the list.
    """
    reader = PartReader(file=file, mark="M")
    system = {"role": "system", "content": mapping(document).get("system")}
    came = reader.parts(system, 0)
    for number, message in enumerate(messages_of(document) or (), 1):
        parts = reader.parts(message, number)
        row = told_row(rows, document, message, number, file)
        if row is None:
            came += parts
        elif message["role"] == "assistant":
            yield exchange(row, came=came, wrote=parts)
            came = []
        else:
            yield exchange(row, came=came, wrote=[])
            came = parts


def told_row(
    read: Rows, document: object, message: object, number: int, file: RecordedFile
) -> UsageRow | None:
    """Return the call that the bill's reader finds in one message of a document, if there is one.

    What is damaged is told to `file` under the message's number.
    """
    alone = RecordedFile(file=file.file)
    row = next(read({**mapping(document), "messages": [message]}, alone), None)
    if alone.damaged_lines:
        file.damage(number)
    file.session = file.session or alone.session
    return row


def exchange(row: UsageRow, *, came: list[Part], wrote: list[Part]) -> Exchange:
    """Return a bill's row with the parts around it."""
    return Exchange(
        at_s=row.at_s or 0.0,
        model=row.model,
        tokens=row.tokens,
        output_is_known=row.estimated_output_tokens is None,
        rate=row.rate,
        came=tuple(came),
        wrote=tuple(wrote),
    )


@dataclass(frozen=True, slots=True)
class _Called:
    """A tool call, as its results need it."""

    group: str | None = None
    tool: str | None = None
    reads: str | None = None


@dataclass(slots=True)
class Pairs:
    """Which result answers which call, even where ids repeat."""

    _by_id: dict[str, list[_Called]] = field(default_factory=dict)
    """Of each id, the calls that wait for a result, or the last one if none does."""
    _answered: set[str] = field(default_factory=set)
    """Ids of which no call waits."""
    _groups: set[str] = field(default_factory=set)

    def call(self, call_id: str | None, tool: str | None, given: object) -> _Called:
        """Return a call with a group of its own; without an id it has none."""
        if call_id is None:
            return _Called(tool=tool)
        group, repeated = call_id, 1
        while group in self._groups:
            repeated += 1
            group = f"{call_id}#{repeated}"
        called = _Called(group, tool, file_read(tool, mapping(given)))
        self._groups.add(group)
        waiting = [] if call_id in self._answered else self._by_id.get(call_id, [])
        self._by_id[call_id] = [*waiting, called]
        self._answered.discard(call_id)
        return called

    def result(self, call_id: str | None) -> _Called:
        """Return the first call of this id that waits for a result, or else the last one."""
        waiting = self._by_id.get(call_id or "")
        if not waiting or call_id is None:
            return _Called()
        if len(waiting) == 1:
            self._answered.add(call_id)
            return waiting[0]
        return waiting.pop(0)


@dataclass(slots=True, kw_only=True)
class PartReader:
    """Turns a thread's messages, Anthropic-style or OpenAI-style, into parts."""

    file: RecordedFile
    """Is told of messages of which a block is none."""
    mark: str
    """With which ids begin: L for lines, M for messages."""
    is_of_host: Callable[[str], bool] = lambda text: text.lstrip().startswith("<system-reminder>")
    """Whether a text of the user's was put in by the host."""
    pairs: Pairs = field(default_factory=Pairs)

    def parts(
        self, message: Mapping[str, Any], number: int, *, at: str | None = None
    ) -> list[Part]:
        """Return the parts of a message, one for each block that holds something.

        `number` is the line's or the message's; `at`, if given, is the id in place of it.
        """
        name = at or f"{self.mark}{number}"
        singles = list(_singles(message))
        found: list[Part] = []
        is_damaged = False
        for place, single in enumerate(singles, 1):
            part_id = name if len(singles) == 1 else f"{name}.{place}"
            try:
                piece = _piece(single, part_id)
            except _NO_BLOCK:
                is_damaged = True
                continue
            if piece is not None:
                found.append(self._part(piece, part_id, message["role"]))
        if is_damaged:
            self.file.damage(number)
        return found

    def _part(self, piece: Piece, part_id: str, role: str) -> Part:
        call_id = (
            None if piece.call_id == part_id else piece.call_id
        )  # ours stands for a missing one
        called = _Called()
        if piece.kind is Kind.TOOL_CALL:
            called = self.pairs.call(call_id, text_of(piece.tool), piece.block.get("input"))
            called = dataclasses.replace(called, reads=None)
        elif piece.kind is Kind.TOOL_RESULT:
            called = self.pairs.result(call_id)
        is_of_host = piece.kind is Kind.USER and self.is_of_host(text_of_block(piece.block))
        return Part(
            id=part_id,
            kind=piece.kind,
            block=piece.block,
            group=called.group,
            tool=called.tool,
            source=called.reads,
            is_injected=is_of_host or role == "developer",
        )


def _singles(message: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Yield a message block by block, each in a message of its own; None for what is no block."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        yield dict(message)
        return
    if isinstance(content, list):
        for block in content:
            yield {"role": role, "content": [block]} if _is_block(block) else None
    elif content is not None:
        yield {"role": role, "content": content}
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        is_call = isinstance(mapping(call).get("function"), dict)
        yield {"role": role, "tool_calls": [call]} if is_call else None


def _is_block(block: object) -> bool:
    return isinstance(block, str) or isinstance(mapping(block).get("type"), str)


def _piece(single: dict[str, Any] | None, part_id: str) -> Piece | None:
    """Return the piece of a message with one block, or None if it holds nothing.

    Raises:
        AdapterError: it is no block, or of a role that is not known.
    """
    if single is None:
        raise AdapterError("no block")
    found = pieces_of(_with_id(single, part_id))
    if not found:
        return None
    text_of_block(found[0].block)  # raises if it holds what is no JSON value
    return found[0]


def _with_id(single: dict[str, Any], part_id: str) -> dict[str, Any]:
    """Return a message with one block whose call has an id, if need be that of its part."""
    if single.get("role") == "tool":
        return {**single, "tool_call_id": text_of(single.get("tool_call_id")) or part_id}
    if "tool_calls" in single:
        call = single["tool_calls"][0]
        return {**single, "tool_calls": [{**call, "id": text_of(call.get("id")) or part_id}]}
    block: Block = mapping(single["content"][0]) if isinstance(single["content"], list) else {}
    key = _KEY_OF_CALL.get(str(block.get("type")))
    if key is None:
        return single
    return {**single, "content": [{**block, key: text_of(block.get(key)) or part_id}]}
