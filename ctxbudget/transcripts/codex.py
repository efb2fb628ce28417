"""Codex rollouts as exchanges; prompts are built from their response items alone.

A call is told by a `token_count` event. Some versions write it before the outputs of the tools
that the call asked for, some after them; an output is never part of its own call's prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, compact_json
from ctxbudget.live.pieces import text_of as text_of_block
from ctxbudget.recorded.codex import rows
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import RecordedFile, UsageRow, mapping, seconds, text_of
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.message_list import PartReader

_OF_HOST: Final = (
    "# AGENTS.md instructions",
    "<collaboration_mode>",
    "<environment_context>",
    "<model_switch>",
    "<permissions instructions>",
    "<recommended_plugins>",
    "<skill>",
    "<subagent_notification>",
    "<system-reminder>",
    "<turn_aborted>",
    "<user_instructions>",
    "<user_shell_command>",
)
"""Beginnings of texts that stand under the user's role but that Codex itself put in."""

_SUMMARIES: Final = frozenset({"compaction", "compaction_summary", "context_compaction"})
"""Items that stand for what was compacted, in a form that only the provider can read."""

_NEVER_SENT: Final = frozenset({"ghost_snapshot", "other"})

_TEXTS: Final = ("input_text", "output_text", "text")


def exchanges(lines: Iterable[Line], file: RecordedFile) -> Iterator[Exchange]:
    """Yield a rollout's calls, as the bill counts them, with what each changed in the prompt.

    What a call wrote of which no usage is told came in before the next call that is counted.
    Blocks that are damaged are skipped and told to `file`.
    """
    thread = _Thread(file)
    for row in rows(thread.taken_in(lines), file):
        yield thread.exchange(row)


@dataclass(slots=True)
class _Arrived:
    """Parts that no call has carried yet, and when the last of them arrived."""

    parts: list[Part] = field(default_factory=list)
    at_s: float = 0.0

    def add(self, parts: Iterable[Part], at_s: float) -> None:
        """Take parts in."""
        before = len(self.parts)
        self.parts += parts
        if len(self.parts) > before:
            self.at_s = max(self.at_s, at_s)

    def keep(self, ids: Iterable[str]) -> None:
        """Take out all but these."""
        kept = set(ids)
        self.parts = [part for part in self.parts if part.id in kept]
        self.at_s = self.at_s if self.parts else 0.0


class _Thread:
    """The prompt of one rollout, as far as it has been read."""

    def __init__(self, file: RecordedFile) -> None:
        self._file = file
        self._reader = PartReader(
            file=file, mark="L", is_of_host=lambda text: text.lstrip().startswith(_OF_HOST)
        )
        self._came = _Arrived()
        """In the prompt of the call that is read."""
        self._wrote = _Arrived()
        self._next = _Arrived()
        """In the prompt of the call after it."""
        self._is_cut_off = False
        """Whether something else than an output has come since the model wrote."""
        self._present: list[str] = []
        self._base: set[str] = set()
        self._said: dict[str, bool] = {}
        """Parts that the user said, and whether a turn begins with them."""
        self._left: list[str] = []
        self._compacted: list[str] = []
        self._stand_ins: set[str] = set()
        self._threads: set[str | None] = set()
        self._at_s = 0.0
        """When the call before was asked."""

    def taken_in(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines, each once it has been taken in."""
        for number, line in lines:
            kind, payload = text_of(line.get("type")), mapping(line.get("payload"))
            at_s = seconds(line.get("timestamp")) or 0.0
            if kind == "response_item":
                self._take_item(number, payload, at_s)
            elif kind == "session_meta":
                self._begin(number, payload, at_s)
            elif kind == "compacted":
                self._compact(number, payload, at_s)
            elif kind == "event_msg" and payload.get("type") == "thread_rolled_back":
                self._roll_back(payload.get("num_turns"))
            yield number, line

    def exchange(self, row: UsageRow) -> Exchange:
        """Return the call that the last line counts."""
        came, wrote = self._came, self._wrote
        asked_s = came.at_s or row.at_s or 0.0
        self._at_s = max(self._at_s, min(asked_s, row.at_s or asked_s))
        found = Exchange(
            at_s=self._at_s,
            model=row.model,
            tokens=row.tokens,
            output_is_known=row.estimated_output_tokens is None,
            rate=row.rate,
            left=tuple(self._left),
            compacted=tuple(self._compacted),
            stand_ins=tuple(part.id for part in came.parts if part.id in self._stand_ins),
            came=tuple(came.parts),
            wrote=tuple(wrote.parts),
        )
        self._present += (part.id for part in (*came.parts, *wrote.parts))
        self._came, self._wrote, self._next = self._next, _Arrived(), _Arrived()
        self._is_cut_off = False
        self._left, self._compacted, self._stand_ins = [], [], set()
        return found

    # ---- lines

    def _take_item(self, number: int, payload: Mapping[str, Any], at_s: float) -> None:
        parts = self._parts(number, payload)
        kind = text_of(payload.get("type")) or ""
        if _is_written(kind, payload):
            if self._is_cut_off:
                self._settle()
            self._wrote.add(parts, at_s)
            return
        (self._next if self._wrote.parts else self._came).add(parts, at_s)
        is_output = kind.endswith("_output")
        self._is_cut_off |= bool(self._wrote.parts) and bool(parts) and not is_output

    def _settle(self) -> None:
        """Count what a call without usage wrote, and what followed it, to the next call's prompt."""
        for arrived in (self._wrote, self._next):
            self._came.add(arrived.parts, arrived.at_s)
        self._wrote, self._next, self._is_cut_off = _Arrived(), _Arrived(), False

    def _begin(self, number: int, payload: Mapping[str, Any], at_s: float) -> None:
        """Take a new thread's base prompt in; a thread that goes on names itself again.

        A fork begins with its own line, and copies its parent's history behind it.
        """
        thread = text_of(payload.get("id"))
        if thread in self._threads:
            return
        self._threads.add(thread)
        self._left += self._present
        self._present.clear()
        self._drop_unsent(())
        base = payload.get("base_instructions")
        text = base if isinstance(base, str) else mapping(base).get("text")
        parts = self._reader.parts({"role": "system", "content": text_of(text)}, number)
        self._base.update(part.id for part in parts)
        self._came.add(parts, at_s)

    def _compact(self, number: int, payload: Mapping[str, Any], at_s: float) -> None:
        """Put the new history in place of all but the base prompt.

        Older versions write the summary alone; with it stay the messages of the user's.
        """
        history, message = payload.get("replacement_history"), text_of(payload.get("message"))
        kept = self._base if isinstance(history, list) else self._base.union(self._said)
        self._compacted += (one for one in self._present if one not in kept)
        self._present = [one for one in self._present if one in kept]
        self._drop_unsent(kept)
        parts: list[Part] = []
        if isinstance(history, list):
            for place, item in enumerate(history, 1):
                parts += self._parts(number, mapping(item), f"L{number}.{place}")
        elif message is not None:
            said = {"type": "message", "role": "user", "content": message}
            parts = self._parts(number, said)
        parts = [_as_summary(part, message) for part in parts]
        self._stand_ins.update(part.id for part in parts)
        self._came.add(parts, at_s)

    def _roll_back(self, turns: object) -> None:
        """Take out the last turns, each of which begins with a message of the user's."""
        if not isinstance(turns, int) or turns < 1:
            return
        self._settle()
        every = [*self._present, *(part.id for part in self._came.parts)]
        begins = [place for place, one in enumerate(every) if self._said.get(one)]
        if not begins:
            return
        kept = set(every[: begins[max(0, len(begins) - turns)]])
        self._left += (one for one in self._present if one not in kept)
        self._present = [one for one in self._present if one in kept]
        self._drop_unsent(kept)

    def _drop_unsent(self, kept: Iterable[str]) -> None:
        """Forget what no call has carried, but for what is kept."""
        self._settle()
        self._came.keep(kept)

    # ---- parts

    def _parts(self, number: int, payload: Mapping[str, Any], at: str | None = None) -> list[Part]:
        kind = text_of(payload.get("type"))
        if kind in _NEVER_SENT:
            return []
        if kind in _SUMMARIES:
            name = at or f"L{number}"
            return [Part(id=name, kind=Kind.SUMMARY, block={"type": "text", "text": ""})]
        message = None if kind is None else _as_message(kind, payload)
        if message is None:
            self._file.skip(kind)
            return []
        parts = self._reader.parts(message, number, at=at)
        if kind == "agent_message" and not _is_from_parent(payload):
            parts = [dataclasses.replace(part, is_injected=True) for part in parts]
        said = [part for part in parts if part.kind is Kind.USER and not part.is_injected]
        self._said.update((part.id, part is said[0]) for part in said)
        return parts


def _is_written(kind: str, payload: Mapping[str, Any]) -> bool:
    """Return whether an item is the model's own."""
    if kind == "message":
        return payload.get("role") == "assistant"
    return kind == "reasoning" or kind.endswith("_call")


def _is_from_parent(payload: Mapping[str, Any]) -> bool:
    """Return whether a message between agents comes from above: it then says what to do."""
    author, recipient = text_of(payload.get("author")), text_of(payload.get("recipient"))
    return author is not None and (recipient or "").startswith(f"{author}/")


def _as_summary(part: Part, summary: str | None) -> Part:
    """Return a part of a new history, which is of another kind if it is the summary in it."""
    is_summary = summary is not None and text_of_block(part.block).strip() == summary.strip()
    return dataclasses.replace(part, kind=Kind.SUMMARY) if is_summary else part


def _as_message(kind: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an item as a message of Anthropic's or OpenAI's shape; None if it is not known."""
    call_id = text_of(payload.get("call_id"))
    if kind == "message":
        return {"role": payload.get("role"), "content": _content(payload.get("content"))}
    if kind == "agent_message":
        return {"role": "user", "content": _content(payload.get("content"))}
    if kind == "reasoning":
        return _written({"type": "thinking", "thinking": _summary(payload.get("summary"))})
    if kind == "function_call":
        return {"role": "assistant", "tool_calls": [{"id": call_id, "function": payload}]}
    if kind.endswith("_call"):
        name = text_of(payload.get("name")) or kind.removesuffix("_call")
        block = {"type": "tool_use", "id": call_id, "name": name, "input": _given(payload)}
        return _written(block)
    if kind.endswith("_output"):
        content = _output(payload)
        result = {"type": "tool_result", "tool_use_id": call_id, "content": content}
        return {"role": "user", "content": [result]}
    return None


def _written(block: Block) -> dict[str, Any]:
    return {"role": "assistant", "content": [block]}


def _summary(summary: object) -> str:
    """Return what a reasoning item shows of itself; the rest is encrypted."""
    shown = map(mapping, summary if isinstance(summary, list) else ())
    return "\n".join(text_of(one.get("text")) or "" for one in shown)


def _given(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the input of a call other than a function's."""
    for key in ("input", "arguments", "action"):
        given = payload.get(key)
        if isinstance(given, dict):
            return given
        if given is not None:
            return {key: given}
    return {}


def _output(payload: Mapping[str, Any]) -> object:
    """Return the content of a result: a text, or blocks."""
    output = payload.get("output")
    if output is None:
        output = payload.get("tools")
        return "" if output is None else _json(output)
    if isinstance(output, dict):  # of versions that told success apart
        output = output.get("content")
    return _content(output) if isinstance(output, str | list) else _json(output)


def _content(content: object) -> object:
    """Return a message's content; what is encrypted in it is left out, and what is no block stays."""
    if not isinstance(content, list):
        return content
    return [_block(one) for one in content if mapping(one).get("type") != "encrypted_content"]


def _block(block: object) -> object:
    found = mapping(block)
    if found.get("type") == "refusal":
        return {"type": "text", "text": found.get("refusal")}
    is_text = found.get("type") in _TEXTS
    return {"type": "text", "text": found.get("text")} if is_text else block


def _json(value: object) -> str:
    try:
        return compact_json(value)
    except AdapterError:
        return str(value)
