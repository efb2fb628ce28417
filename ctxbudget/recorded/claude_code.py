"""Claude Code's session files: one JSON line for each block of an answer.

All lines of an answer carry its usage: the input is the same on each, the output grows from a
placeholder to the final number. So a call is counted once per message id, with its largest output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import (
    STANDARD,
    DamagedUsageError,
    RecordedFile,
    Split,
    UsageRow,
    anthropic_split,
    count,
    mapping,
    seconds,
    text_of,
)

SOURCE: Final = "claude_code"

_KNOWN: Final = frozenset(
    {
        "assistant",
        "user",
        "progress",
        "attachment",
        "system",
        "file-history-snapshot",
        "file-history-delta",
        "last-prompt",
        "permission-mode",
        "mode",
        "ai-title",
        "agent-name",
        "custom-title",
        "queue-operation",
        "pr-link",
        "summary",
        "bridge-session",
        "worktree-state",
        "atis-latch",
    }
)
_MARKS: Final = ("sessionId", "session_id", "uuid", "leafUuid", "messageId")

_SYNTHETIC: Final = "<synthetic>"
"""The model of lines that the program wrote itself; no call was made."""

_SIDECHAIN: Final = "sidechain"
"""The agent of sub-agents' lines that do not name theirs."""

_PLACEHOLDER_TOKENS: Final = 10
"""An output up to here, on an answer that never says why it stopped, is a streaming placeholder.

Source: measured on recorded sessions up to version 2.1.58 of the program.
"""

_CHARS_PER_TOKEN: Final = 3.0
"""Of an answer's text, thinking and tool inputs.

Source: measured on answers of versions 2.0.76 to 2.1.49 that do tell their output (2.8 to 3.3).
"""


def is_line(line: Mapping[str, Any]) -> bool:
    """Return whether a line is of this format."""
    return text_of(line.get("type")) in _KNOWN and any(mark in line for mark in _MARKS)


@dataclass(slots=True, kw_only=True)
class OpenCall:
    """A call of which more lines may come."""

    model: str
    at: object
    agent: str | None
    split: Split
    output_tokens: int = 0
    has_ended: bool = False
    written_chars: int = 0
    """Of what the lines hold, as long as the output may be a placeholder."""
    rate: str = STANDARD

    @property
    def output_is_known(self) -> bool:
        """False if all that is recorded of the output so far is a streaming placeholder."""
        return self.has_ended or self.output_tokens > _PLACEHOLDER_TOKENS


def rows(lines: Iterable[Line], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield a file's calls in the order of their first lines, once all lines were read."""
    calls: dict[str, OpenCall] = {}
    has_main = has_sidechain = False
    for number, line in lines:
        kind = text_of(line.get("type"))
        if file.session is None or file.project is None:
            file.session = file.session or text_of(line.get("sessionId"))
            file.project = file.project or text_of(line.get("cwd"))
        try:
            if kind == "assistant":
                take(calls, line, agent_of(line), number)
            elif kind == "progress":
                copied = progress_of(line)
                if copied is not None and copied[1].get("type") == "assistant":
                    take(calls, copied[1], copied[0], number)
            else:
                _note(line, kind, file)
        except DamagedUsageError:
            file.damage(number)
            continue
        if kind == "assistant" or kind == "user":
            is_sidechain = line.get("isSidechain") is True
            has_sidechain |= is_sidechain
            has_main |= not is_sidechain
    file.has_main = has_main or not has_sidechain
    file.parent_session = None if file.has_main else file.session
    for id_, call in calls.items():
        yield _row(id_, call)


def _note(line: Mapping[str, Any], kind: object, file: RecordedFile) -> None:
    """Keep what a line without usage says of calls that are recorded elsewhere or nowhere."""
    if kind == "user":
        _name_agent(line, file)
    elif kind == "system":
        file.summaries += line.get("subtype") == "compact_boundary"
    elif kind not in _KNOWN:
        file.skip(kind)


def agent_of(line: Mapping[str, Any]) -> str | None:
    """Return the sub-agent that a line is of; None for the main thread."""
    if line.get("isSidechain") is not True:
        return None
    return text_of(line.get("agentId")) or _SIDECHAIN


def progress_of(line: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return the sub-agent and its own line, of a line that copies one into its parent's file."""
    progress = mapping(line.get("data"))
    inner = mapping(progress.get("message"))
    if progress.get("type") != "agent_progress" or not inner:
        return None
    agent = text_of(progress.get("agentId")) or _SIDECHAIN
    return agent, inner if "timestamp" in inner else {**inner, "timestamp": line.get("timestamp")}


def take(
    calls: dict[str, OpenCall], line: Mapping[str, Any], agent: str | None, number: int
) -> OpenCall | None:
    """Take one line of an answer into `calls`; return its call, or None if it is of none.

    Raises:
        DamagedUsageError: its usage makes no sense.
    """
    message = mapping(line.get("message"))
    usage = message.get("usage")
    model = text_of(message.get("model")) or ""
    if model == _SYNTHETIC or not isinstance(usage, dict):
        return None
    id_ = text_of(message.get("id")) or text_of(line.get("requestId")) or f"line {number}"
    call = calls.get(id_)
    if call is None:
        split = anthropic_split(usage)
        call = calls[id_] = OpenCall(
            model=model, at=line.get("timestamp"), agent=agent, split=split, rate=_rate(usage)
        )
    call.output_tokens = max(call.output_tokens, count(usage, "output_tokens"))
    call.has_ended = call.has_ended or message.get("stop_reason") is not None
    if not call.output_is_known:
        call.written_chars += _visible_chars(message.get("content"))
    return call


def _rate(usage: Mapping[str, Any]) -> str:
    """Return what makes a call's rate other than the standard one, if anything does."""
    if usage.get("speed") == "fast":
        return "fast"
    tier, region = usage.get("service_tier"), usage.get("inference_geo")
    if tier in ("batch", "priority"):
        return str(tier)
    return f"region {region}" if region == "us" else STANDARD


def _visible_chars(content: object) -> int:
    """Return how many characters a line's blocks took to write."""
    blocks = content if isinstance(content, list) else [{"text": content}]
    chars = 0
    for block in map(mapping, blocks):
        chars += sum(len(text_of(block.get(key)) or "") for key in ("text", "thinking"))
        if block.get("type") == "tool_use":
            chars += len(f"{block.get('name')} {block.get('input')}")
    return chars


def _name_agent(line: Mapping[str, Any], file: RecordedFile) -> None:
    """Keep the sub-agent whose result a line brings; its usage is its last call's, not a sum."""
    agent = text_of(mapping(line.get("toolUseResult")).get("agentId"))
    if agent is not None:
        file.named_agents.add(agent)


def _row(id_: str, call: OpenCall) -> UsageRow:
    estimated_tokens = None
    if not call.output_is_known:
        estimated_tokens = max(round(call.written_chars / _CHARS_PER_TOKEN), call.output_tokens)
    return UsageRow(
        id=None if id_.startswith("line ") else id_,
        model=call.model,
        agent=call.agent,
        at_s=seconds(call.at),
        tokens=call.split._replace(output_tokens=call.output_tokens),
        estimated_output_tokens=estimated_tokens,
        rate=call.rate,
    )
