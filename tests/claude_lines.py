"""Builds Claude Code sessions line by line; the n-th line is `u<n>`, its parts are `L<n>`.

A line hangs on the one before it unless it names its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from recorded_lines import OPUS, claude_message, claude_usage

from ctxbudget.recorded import claude_code as bill
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.transcripts import claude_code
from ctxbudget.transcripts.exchange import Exchange, Part

Json = dict[str, Any]

NO_PARENT = "none"
"""As `parent`: the line is a root."""

_START = datetime(2026, 3, 2, 10, tzinfo=UTC)


def at(second: float) -> str:
    """Return a time so many seconds after the session's beginning."""
    moment = _START + timedelta(seconds=second)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at_s(second: float) -> float:
    """Return the same in seconds since 1970."""
    return (_START + timedelta(seconds=second)).timestamp()


def line(kind: str, second: float, fields: Json) -> Json:
    """Return a line; `uuid` and `parent` of the fields name it and what it hangs on."""
    agent = fields.pop("agent", None)
    return {
        "type": kind,
        "sessionId": "s-1",
        "cwd": "/home/ann/shop",
        "version": "2.1.120",
        "timestamp": at(second),
        "isSidechain": agent is not None,
        **({"agentId": agent} if agent else {}),
        **fields,
    }


def said(content: object = "mend the cart", second: float = 0, **fields: Any) -> Json:
    """Return a line of the user's."""
    return line("user", second, {"message": {"role": "user", "content": content}, **fields})


def wrote(
    id_: str,
    *blocks: Json,
    usage: Json | None = None,
    model: str = OPUS,
    stop: str | None = None,
    second: float = 1,
    **fields: Any,
) -> Json:
    """Return a line of an answer with these blocks, each line of which is so large unless said."""
    found = claude_usage(100, output=20) if usage is None else usage
    message = {**claude_message(id_, found, model=model, stop=stop), "content": list(blocks)}
    return line("assistant", second, {"message": message, **fields})


def text(words: str = "ok") -> Json:
    """Return a block of text."""
    return {"type": "text", "text": words}


def thinking(words: str = "") -> Json:
    """Return a block of thinking, as newer versions keep it: without its text."""
    return {"type": "thinking", "thinking": words, "signature": "c2lnbmVk"}


def called(call_id: str, name: str = "Bash", **given: Any) -> Json:
    """Return a block that calls a tool."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": given or {"command": "ls"}}


def result(call_id: str, content: Any = "cart.py", second: float = 2, **fields: Any) -> Json:
    """Return the line of a tool's result, with the copy of it that is no part of the prompt."""
    block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return said([block], second, toolUseResult={"stdout": "cart.py"}, **fields)


def attached(kind: str, second: float = 0, *, parent: str | None = None, **content: Any) -> Json:
    """Return a line of something that the program attached."""
    fields = {"attachment": {"type": kind, **content}}
    return line("attachment", second, {**fields, **({"parent": parent} if parent else {})})


def system(subtype: str, second: float = 0, **fields: Any) -> Json:
    """Return a line that the program says."""
    return line("system", second, {"subtype": subtype, "content": "", **fields})


def compacted(second: float = 0) -> Json:
    """Return the line behind which a compaction begins the prompt anew."""
    about = {"trigger": "auto", "preTokens": 155_000}
    return system("compact_boundary", second, parent=NO_PARENT, compactMetadata=about)


def summary(words: str = "what was done", second: float = 0) -> Json:
    """Return the line of what stands for all before it."""
    return said(words, second, isCompactSummary=True, isVisibleInTranscriptOnly=True)


def micro_compacted(*call_ids: str, second: float = 0) -> Json:
    """Return the line that tells which tools' results were cleared."""
    about = {"trigger": "auto", "preTokens": 90_000, "tokensSaved": 9, "clearedAttachmentUUIDs": []}
    about["compactedToolIds"] = list(call_ids)
    return system("microcompact_boundary", second, microcompactMetadata=about)


def progress(agent: str, inner: Json, second: float = 1) -> Json:
    """Return a line that copies a sub-agent's own one into its parent's file."""
    own = {"uuid": f"own-{crc32(repr(inner).encode()):x}", "timestamp": inner["timestamp"]}
    copied = {"type": inner["type"], "message": inner["message"], **own}
    data = {"type": "agent_progress", "agentId": agent, "message": copied}
    return line("progress", second, {"data": data, "parentToolUseID": "t1"})


def linked(lines: Iterable[Json]) -> list[Line]:
    """Return numbered lines, each with a uuid and a parent: the line before that has a uuid."""
    return list(_linked(lines))


def _linked(lines: Iterable[Json]) -> Iterator[Line]:
    before: str | None = None
    for number, one in enumerate(lines, 1):
        if one.get("uuid", ...) is None or "timestamp" not in one:
            yield number, one  # of a type that is no part of the tree
            continue
        made = {"uuid": f"u{number}", **one}
        parent = made.pop("parent", before)
        made["parentUuid"] = None if parent == NO_PARENT else parent
        before = made["uuid"]
        yield number, made


def read(lines: Iterable[Json], agent: str | None = None) -> list[Exchange]:
    """Return the exchanges of lines of which none is damaged."""
    found, file = read_with_file(lines, agent)
    assert file.damaged_lines == 0
    return found


def read_with_file(
    lines: Iterable[Json], agent: str | None = None
) -> tuple[list[Exchange], RecordedFile]:
    """Return the exchanges of lines, once they are known to be those that the bill counts."""
    numbered = linked(lines)
    file = RecordedFile(file="one.jsonl")
    found = list(claude_code.exchanges(iter(numbered), file, agent))
    rows = list(bill.rows(iter(numbered), RecordedFile(file="one.jsonl")))
    first = next((bill.agent_of(one) for _, one in numbered if one["type"] in _SAID), None)
    billed = [row for row in rows if row.agent == (agent or first)]
    assert [(one.model, one.tokens, one.rate, one.output_is_known) for one in found] == [
        (row.model, row.tokens, row.rate, row.estimated_output_tokens is None) for row in billed
    ]
    return found, file


_SAID = ("assistant", "user")


def ids(parts: Iterable[Part]) -> list[str]:
    """Return the names of parts."""
    return [part.id for part in parts]


def turns(*usages: Json, seconds: Iterable[float] | None = None, model: str = OPUS) -> list[Json]:
    """Return a session with a call for each of these usages, each asked so late, by what is said.

    A usage may name another `model`.
    """
    lines: list[Json] = []
    late = list(seconds) if seconds is not None else list(range(len(usages)))
    for place, (usage, second) in enumerate(zip(usages, late, strict=True)):
        kept = {key: one for key, one in usage.items() if key != "model"}
        lines.append(said(f"say {place}", second))
        answer = wrote(f"m{place}", text(f"said {place}"), usage=kept, stop="end_turn")
        answer["message"]["model"] = usage.get("model", model)
        answer["timestamp"] = at(second + 1)
        lines.append(answer)
    return lines
