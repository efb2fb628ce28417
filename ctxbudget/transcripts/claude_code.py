"""Claude Code's session files as exchanges: one JSON line for each block of a prompt.

The lines form a tree; a prompt is a path in it. Lines are taken in the order of the file, and a
line whose parent is not the last one takes back what stands between them: the user went back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, media_of, text_of
from ctxbudget.recorded.claude_code import OpenCall, agent_of, progress_of, take
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import DamagedUsageError, RecordedFile, mapping, seconds
from ctxbudget.recorded.usage import text_of as text
from ctxbudget.references import string_values
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.files_read import file_read
from ctxbudget.transcripts.line_order import parents_first

_INJECTED: Final = {
    "agent_listing_delta": ("addedLines",),
    "date_change": ("newDate",),
    "deferred_tools_delta": ("addedLines", "removedNames"),
    "diagnostics": ("files",),
    "edited_text_file": ("filename", "snippet"),
    "file": ("filename", "content"),
    "hook_additional_context": ("content",),
    "mcp_instructions_delta": ("addedBlocks",),
    "plan_mode": ("planFilePath",),
    "queued_command": ("prompt",),
    "skill_listing": ("content",),
    "task_reminder": ("content",),
}
"""Attachments that may reach the prompt, and what of them does; whether one did, the growth of the
prompt has to show. Not stated in the format: seen in recorded sessions."""

_KIND_OF_BLOCK: Final = {
    "thinking": Kind.THINKING,
    "redacted_thinking": Kind.THINKING,
    "tool_use": Kind.TOOL_CALL,
    "tool_result": Kind.TOOL_RESULT,
}


def exchanges(
    lines: Iterable[Line], file: RecordedFile, agent: str | None = None
) -> Iterator[Exchange]:
    """Yield the calls of a file's main thread, or of one sub-agent's, with what each changed.

    The first line of a conversation decides what the main thread is: a sub-agent's own file has
    no other. Damaged usage is told to `file`, and the line left out.
    """
    reader = _Reader(file, agent)
    for number, line in parents_first(lines):
        yield from reader.read(number, line)
    yield from reader.finished()


@dataclass(slots=True)
class _Node:
    """A line of the conversation."""

    owner: str
    """What it belongs to: an answer, with the results of the tools that it called; or itself."""
    parts: list[str] = field(default_factory=list)
    left: bool = False


@dataclass(slots=True)
class _Pending:
    """What has changed since the last call began."""

    came: list[Part] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    compacted: list[str] = field(default_factory=list)
    stand_ins: list[str] = field(default_factory=list)
    at_s: float = 0.0
    has_compacted: bool = False


@dataclass(slots=True)
class _Asked:
    """A call whose answer may have more lines."""

    id: str
    call: OpenCall
    before: _Pending
    at_s: float
    wrote: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class _Tool:
    """A tool call."""

    name: str | None
    reads: str | None
    """The file that it reads."""
    owner: str
    """The answer that it is part of."""
    parts: list[str] = field(default_factory=list)
    """Itself and its result."""


class _Reader:
    """Follows one thread through the lines of a file."""

    def __init__(self, file: RecordedFile, agent: str | None) -> None:
        self.file = file
        self.agent = agent
        self._thread_is_known = agent is not None
        self._calls: dict[str, OpenCall] = {}
        self._open: _Asked | None = None
        self._pending = _Pending()
        self._nodes: list[_Node] = []
        self._place: dict[str, int] = {}
        """Of each line, by its uuid."""
        self._tools: dict[str, _Tool] = {}
        self._gone: set[str] = set()
        """The parts that have left."""
        self._read: set[str] = set()
        """The uuids of all lines; a resumed session may write its earlier lines again."""

    def read(self, number: int, line: Mapping[str, Any]) -> Iterator[Exchange]:
        """Take a line in; yield the exchange that it completes, if it begins the next one."""
        kind = line.get("type")
        if kind == "progress":
            copied = progress_of(line)
            if copied is not None and copied[0] == self.agent:
                line, kind = copied[1], copied[1].get("type")
            elif self.agent is None:
                self._enter(line)  # others name it as their parent
        elif not self._is_of_thread(line, kind):
            return
        if self._is_repeated(line):
            return
        if kind == "assistant":
            yield from self._answered(number, line)
        elif kind == "user":
            self._said(number, line)
        elif kind == "attachment":
            self._attached(number, line)
        elif kind == "system":
            self._told(line)

    def _is_repeated(self, line: Mapping[str, Any]) -> bool:
        uuid, known = text(line.get("uuid")), len(self._read)
        if uuid is not None:
            self._read.add(uuid)
        return uuid is not None and len(self._read) == known

    def finished(self) -> Iterator[Exchange]:
        """Yield the last exchange."""
        if self._open is not None:
            yield self._exchange(self._open)

    def _is_of_thread(self, line: Mapping[str, Any], kind: object) -> bool:
        agent = agent_of(line)
        if not self._thread_is_known and kind in ("assistant", "user"):
            self.agent, self._thread_is_known = agent, True
        return agent == self.agent

    # ---- lines

    def _answered(self, number: int, line: Mapping[str, Any]) -> Iterator[Exchange]:
        known = len(self._calls)
        try:
            call = take(self._calls, line, self.agent, number)
        except DamagedUsageError:
            self.file.damage(number)
            return
        if call is None:
            self._enter(line)
            return
        if len(self._calls) > known:
            if self._open is not None:
                yield self._exchange(self._open)
            self._begin(call, line)
        opened = self._open
        if opened is None:
            return
        node = self._enter(line, opened.id)
        for name, block in _blocks(number, mapping(line.get("message")).get("content")):
            opened.wrote.append(self._part(name, block, Kind.ASSISTANT, node))

    def _begin(self, call: OpenCall, line: Mapping[str, Any]) -> None:
        at_s = self._pending.at_s or seconds(line.get("timestamp")) or 0.0
        if self._open is not None:
            at_s = max(at_s, self._open.at_s)
        self._enter(line, next(reversed(self._calls)))  # may take back what was pending
        before, self._pending = self._pending, _Pending()
        self._open = _Asked(next(reversed(self._calls)), call, before, at_s)

    def _said(self, number: int, line: Mapping[str, Any]) -> None:
        node = self._enter(line)
        if line.get("isVisibleInTranscriptOnly") is True and not line.get("isCompactSummary"):
            return
        is_summary = line.get("isCompactSummary") is True
        kind = Kind.SUMMARY if is_summary else Kind.USER
        content = mapping(line.get("message")).get("content")
        parts = [
            self._part(name, block, kind, node, is_injected=line.get("isMeta") is True)
            for name, block in _blocks(number, content)
        ]
        self._come(parts, line)
        if is_summary:
            self._pending.stand_ins += (part.id for part in parts)

    def _attached(self, number: int, line: Mapping[str, Any]) -> None:
        node = self._enter(line)
        attachment = mapping(line.get("attachment"))
        keys = _INJECTED.get(str(attachment.get("type")), ())
        said = "\n".join(string_values([attachment.get(key) for key in keys]))
        if not said.strip():
            return
        block = {"type": "text", "text": said}
        is_users = attachment.get("type") == "queued_command"
        part = self._part(f"L{number}", block, Kind.USER, node, is_injected=not is_users)
        self._come([part], line)

    def _told(self, line: Mapping[str, Any]) -> None:
        """Take in what the program says of its own compactions."""
        if line.get("subtype") == "compact_boundary":
            self._compact(one for node in self._nodes if not node.left for one in node.parts)
            self._pending.has_compacted = True
            self._nodes.clear()
            self._place.clear()
        elif line.get("subtype") == "microcompact_boundary":
            named = mapping(line.get("microcompactMetadata")).get("compactedToolIds")
            cleared = set(map(str, named)) if isinstance(named, list) else set()
            self._compact(
                one for name, tool in self._tools.items() if name in cleared for one in tool.parts
            )
        self._enter(line)

    def _come(self, parts: list[Part], line: Mapping[str, Any]) -> None:
        if not parts:
            return
        pending = self._pending
        pending.came += parts
        pending.at_s = max(pending.at_s, seconds(line.get("timestamp")) or 0.0)
        if pending.has_compacted:
            pending.stand_ins += (part.id for part in parts if part.is_injected)

    # ---- the tree

    def _enter(self, line: Mapping[str, Any], owner: str | None = None) -> _Node:
        """Return the line's node, once what it takes back has left."""
        uuid, parent = text(line.get("uuid")), text(line.get("parentUuid"))
        if uuid is not None and uuid in self._place:
            return self._nodes[self._place[uuid]]
        above = self._place.get(parent or "")
        parent_owner = self._nodes[above].owner if above is not None else None
        own = owner or self._answer_of(line) or uuid or f"line {len(self._nodes)}"
        if above is not None and (owner is not None or _is_prompt(line)):
            self._go_back(above, {parent_owner, own})
        is_added = owner is None and not _is_prompt(line)
        node = _Node(parent_owner if is_added and parent_owner is not None else own)
        if uuid is not None:
            self._place[uuid] = len(self._nodes)
        self._nodes.append(node)
        return node

    def _go_back(self, above: int, owners: set[str | None]) -> None:
        """Take back what stands behind a line's parent, but for what belongs to either's answer."""
        for node in reversed(self._nodes[above + 1 :]):
            if node.owner in owners or node.left:
                continue
            node.left = True
            self._leave(node.parts, self._pending.left)

    def _answer_of(self, line: Mapping[str, Any]) -> str | None:
        """Return the answer that a line belongs to because it brings the result of its tool."""
        tools = (self._tools.get(name) for name in _results(line))
        return next((tool.owner for tool in tools if tool is not None), None)

    def _leave(self, parts: Iterable[str], into: list[str]) -> None:
        """Take parts out; those that no call has carried yet just do not come."""
        pending = self._pending
        gone = [one for one in parts if one not in self._gone]
        self._gone.update(gone)
        unsent = {part.id for part in pending.came}.intersection(gone)
        if unsent:
            pending.came = [part for part in pending.came if part.id not in unsent]
            pending.stand_ins = [one for one in pending.stand_ins if one not in unsent]
        into += (one for one in gone if one not in unsent)

    def _compact(self, parts: Iterable[str]) -> None:
        self._leave(parts, self._pending.compacted)

    # ---- parts

    def _part(
        self, name: str, block: Block, kind: Kind, node: _Node, *, is_injected: bool = False
    ) -> Part:
        kind = _KIND_OF_BLOCK.get(str(block.get("type")), kind)
        group, tool, source = None, None, None
        if kind is Kind.TOOL_CALL:
            group, tool = text(block.get("id")), text(block.get("name"))
            if group is not None:
                path = file_read(tool, mapping(block.get("input")))
                self._tools[group] = _Tool(tool, path, node.owner, [name])
        elif kind is Kind.TOOL_RESULT:
            called = self._tools.get(text(block.get("tool_use_id")) or "")
            if called is not None:
                group, tool, source = text(block["tool_use_id"]), called.name, called.reads
                called.parts.append(name)
        node.parts.append(name)
        return Part(
            id=name,
            kind=kind,
            block=block,
            group=group,
            tool=tool,
            source=source,
            is_injected=is_injected,
        )

    def _exchange(self, asked: _Asked) -> Exchange:
        before, call = asked.before, asked.call
        return Exchange(
            at_s=asked.at_s,
            model=call.model,
            tokens=call.split._replace(output_tokens=call.output_tokens),
            output_is_known=call.output_is_known,
            rate=call.rate,
            left=tuple(before.left),
            compacted=tuple(before.compacted),
            stand_ins=tuple(before.stand_ins),
            came=tuple(before.came),
            wrote=tuple(asked.wrote),
        )


def _results(line: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tool calls of which a line brings results."""
    content = mapping(line.get("message")).get("content")
    for block in map(mapping, content if isinstance(content, list) else ()):
        if block.get("type") == "tool_result":
            yield str(block.get("tool_use_id"))


def _is_prompt(line: Mapping[str, Any]) -> bool:
    """Return whether a line is something that a user said, not what a program or a tool added."""
    return line.get("type") == "user" and not line.get("isMeta") and not any(_results(line))


def _blocks(number: int, content: object) -> Iterator[tuple[str, Block]]:
    """Yield the blocks of a line's content that hold something, with their names."""
    listed = content if isinstance(content, list) else [{"type": "text", "text": content}]
    found = [one for one in map(mapping, listed) if one and _holds_something(one)]
    for place, block in enumerate(found, 1):
        yield (f"L{number}" if len(found) == 1 else f"L{number}.{place}"), block


def _holds_something(block: Block) -> bool:
    if block.get("type") != "text":
        return True
    return bool(text_of(block).strip()) or any(True for _ in media_of(block))
