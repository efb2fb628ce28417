"""Pi's session files as exchanges: their lines form a tree, and a prompt is a path in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.core.types import Kind
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.pi import rows
from ctxbudget.recorded.usage import RecordedFile, UsageRow, mapping, seconds, text_of
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.message_list import PartReader

_BROKEN_OFF: Final = ("aborted", "error")
"""Reasons to stop after which Pi does not send an answer again."""

_SUMMARIES: Final = ("compaction", "branch_summary")
"""Lines that hold a summary, of what was compacted or of a branch that was left."""


def exchanges(lines: Iterable[Line], file: RecordedFile) -> Iterator[Exchange]:
    """Yield a session's calls, as the bill counts them, with what each changed in the prompt.

    All parts are held until the end, since a later line may go back to any place in the tree; a
    part that comes again has a new id. Blocks that are damaged are skipped and told to `file`.
    """
    tree = _Tree(file)
    for row in rows(tree.taken_in(lines), file):
        yield tree.exchange(row)


@dataclass(slots=True, kw_only=True)
class _Entry:
    """A line of the tree."""

    parent: str | None
    at_s: float
    parts: list[Part]
    is_sent_again: bool
    """Whether the prompts behind it hold it."""
    is_compaction: bool
    first_kept: str | None
    """Of a compaction, the entry from which on all is kept."""
    times_shown: int = 0


class _Tree:
    """The lines of one session, and what the prompt held at the last call."""

    def __init__(self, file: RecordedFile) -> None:
        self._reader = PartReader(file=file, mark="L")
        self._entries: dict[str, _Entry] = {}
        self._leaf = ""
        self._answer = ""
        """The leaf at the last call."""
        self._present: dict[str, list[str]] = {}
        """Of each entry in the prompt, the ids of its parts."""
        self._at_s = 0.0

    def taken_in(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines, each once it has been taken in."""
        for number, line in lines:
            if line.get("type") != "session":
                self._enter(number, line)
            yield number, line

    def _enter(self, number: int, line: Mapping[str, Any]) -> None:
        name = text_of(line.get("id"))
        if name is None or name in self._entries:
            name = f"line {number}"
        entry = _Entry(
            parent=self._parent(line),
            at_s=seconds(line.get("timestamp")) or 0.0,
            parts=_parts(self._reader, number, line),
            is_sent_again=mapping(line.get("message")).get("stopReason") not in _BROKEN_OFF,
            is_compaction=line.get("type") == "compaction",
            first_kept=text_of(line.get("firstKeptEntryId")),
        )
        self._entries[name], self._leaf = entry, name

    def _parent(self, line: Mapping[str, Any]) -> str | None:
        """Return the entry above a line: the last one, if it names none or one that is lost."""
        if line.get("parentId", "") is None:
            return None
        parent = text_of(line.get("parentId"))
        return parent if parent in self._entries else self._leaf or None

    def exchange(self, row: UsageRow) -> Exchange:
        """Return the call that the last line answers."""
        path, is_on = self._path()
        left: list[str] = []
        compacted: list[str] = []
        prompt = self._prompt(path)
        if not is_on:
            wanted, standing = set(prompt), set(path)
            for name in [one for one in self._present if one not in wanted]:
                is_kept_out = name in standing and self._entries[name].is_sent_again
                (compacted if is_kept_out else left).extend(self._present.pop(name))
        new = [name for name in prompt if name not in self._present]
        shown = {name: self._show(name) for name in new}
        wrote = self._show(self._leaf)
        self._ask(row, [self._entries[name].at_s for name, parts in shown.items() if parts])
        self._answer = self._leaf
        stand_ins = [shown[name] for name in new if self._entries[name].is_compaction]
        return Exchange(
            at_s=self._at_s,
            model=row.model,
            tokens=row.tokens,
            output_is_known=row.estimated_output_tokens is None,
            rate=row.rate,
            left=tuple(left),
            compacted=tuple(compacted),
            stand_ins=tuple(part.id for parts in stand_ins for part in parts),
            came=tuple(part for parts in shown.values() for part in parts),
            wrote=tuple(wrote),
        )

    def _path(self) -> tuple[list[str], bool]:
        """Return what stands above the leaf: behind the last answer alone, if it just goes on."""
        path: list[str] = []
        goes_on = bool(self._answer) and self._entries[self._answer].is_sent_again
        name = self._entries[self._leaf].parent
        while name is not None:
            if name == self._answer and goes_on:
                return path[::-1], True
            path.append(name)
            goes_on = goes_on and not self._entries[name].is_compaction
            name = self._entries[name].parent
        return path[::-1], False

    def _prompt(self, path: list[str]) -> list[str]:
        """Return the entries of a path that are sent: what the last compaction left, and the rest."""
        compactions = [place for place, one in enumerate(path) if self._entries[one].is_compaction]
        sent = path
        if compactions:
            last = compactions[-1]
            first_kept = self._entries[path[last]].first_kept
            begin = path.index(first_kept) if first_kept in path[:last] else last
            kept = [one for one in path[begin:last] if not self._entries[one].is_compaction]
            sent = [path[last], *kept, *path[last + 1 :]]
        return [one for one in sent if self._entries[one].is_sent_again]

    def _show(self, name: str) -> list[Part]:
        """Return an entry's parts as they come into the prompt."""
        entry = self._entries[name]
        entry.times_shown += 1
        parts = entry.parts
        if entry.times_shown > 1:
            again = f"again{entry.times_shown}"
            parts = [dataclasses.replace(part, id=f"{part.id}.{again}") for part in parts]
        self._present[name] = [part.id for part in parts]
        return parts

    def _ask(self, row: UsageRow, came_s: list[float]) -> None:
        """Set the time at which a call was asked: when the last of its prompt came."""
        asked_s = max(came_s, default=0.0) or row.at_s or 0.0
        self._at_s = max(self._at_s, min(asked_s, row.at_s or asked_s))


def _parts(reader: PartReader, number: int, line: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a line as Pi sends them; those that it put in itself are marked so."""
    kind, message = line.get("type"), line.get("message")
    if kind in _SUMMARIES:
        parts = reader.parts({"role": "user", "content": text_of(line.get("summary"))}, number)
        return [dataclasses.replace(part, kind=Kind.SUMMARY) for part in parts]
    if kind == "custom_message":
        message = {"role": "custom", "content": line.get("content")}
    if not isinstance(message, dict):
        return []
    role, content = message.get("role"), _content(message.get("content"))
    if role == "toolResult":
        return reader.parts({"role": "user", "content": [_result(message, content)]}, number)
    if role in ("user", "assistant"):
        return reader.parts({"role": role, "content": content}, number)
    if role == "bashExecution":
        content = None if message.get("excludeFromContext") else _run_by_user(message)
    parts = reader.parts({"role": "user", "content": content}, number)
    return [dataclasses.replace(part, is_injected=True) for part in parts]


def _result(message: Mapping[str, Any], content: object) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": message.get("toolCallId"), "content": content}
    return {**block, "is_error": True} if message.get("isError") is True else block


def _run_by_user(message: Mapping[str, Any]) -> str:
    """Return a command that the user ran, with its output."""
    said = (text_of(message.get(key)) for key in ("command", "output"))
    return "\n".join(one for one in said if one is not None)


def _content(content: object) -> object:
    return [_block(one) for one in content] if isinstance(content, list) else content


def _block(block: object) -> object:
    """Return a block in Anthropic's shape; what is no block stays as it is."""
    found = mapping(block)
    if found.get("type") == "toolCall":
        return {
            "type": "tool_use",
            "id": found.get("id"),
            "name": found.get("name"),
            "input": mapping(found.get("arguments")),
        }
    if found.get("type") == "thinking":  # what is encrypted would be counted as text
        return {"type": "thinking", "thinking": text_of(found.get("thinking")) or ""}
    if found.get("type") == "text":
        return {"type": "text", "text": text_of(found.get("text")) or ""}
    if found.get("type") == "image":
        media = {"media_type": found.get("mimeType"), "data": found.get("data")}
        return {"type": "image", "source": {"type": "base64", **media}}
    return block
