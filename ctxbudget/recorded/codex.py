"""Codex rollouts: JSON lines of time, type and payload; usage comes as a running total.

An event may repeat the total it told last, so a call is counted where the total changes; its
tokens are those the event gives for the last call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import (
    DamagedUsageError,
    RecordedFile,
    Split,
    UsageRow,
    count,
    inclusive_split,
    mapping,
    seconds,
    text_of,
)

SOURCE: Final = "codex"

_KNOWN: Final = frozenset(
    {
        "session_meta",
        "turn_context",
        "response_item",
        "event_msg",
        "compacted",
        "world_state",
        "inter_agent_communication_metadata",
    }
)


def is_line(line: Mapping[str, Any]) -> bool:
    """Return whether a line is of this format."""
    return (
        text_of(line.get("type")) in _KNOWN
        and "timestamp" in line
        and isinstance(line.get("payload"), dict)
    )


def rows(lines: Iterable[Line], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield a file's calls as they come."""
    thread, model, agent = "", "", None
    total: Mapping[str, Any] = {}
    for number, line in lines:
        kind, payload = text_of(line.get("type")), mapping(line.get("payload"))
        if kind == "session_meta":
            if file.session is None:
                agent = _identify(file, payload)
            thread = text_of(payload.get("id")) or thread
        elif kind == "turn_context":
            model = text_of(payload.get("model")) or model
        elif kind not in _KNOWN:
            file.skip(kind)
        if kind != "event_msg" or payload.get("type") != "token_count":
            continue
        told = mapping(payload.get("info"))
        new_total = mapping(told.get("total_token_usage"))
        if not new_total or new_total == total:
            continue
        try:
            tokens = _call(told, new_total, total, file)
            file.window_tokens = count(told, "model_context_window") or file.window_tokens
        except DamagedUsageError:
            file.damage(number)
            continue
        total = new_total
        yield UsageRow(
            id=f"{thread} {new_total.get('input_tokens')} {new_total.get('output_tokens')}",
            model=model,
            agent=agent,
            at_s=seconds(line.get("timestamp")),
            tokens=tokens,
        )


def _identify(file: RecordedFile, payload: Mapping[str, Any]) -> str | None:
    """Keep whose file it is; return the agent's name if it is a sub-agent's."""
    file.session = text_of(payload.get("id")) or ""
    file.project = text_of(payload.get("cwd"))
    origin = mapping(payload.get("source")).get("subagent")
    if origin is None:
        return None
    file.has_main = False
    spawn = mapping(mapping(origin).get("thread_spawn"))
    file.parent_session = (
        text_of(spawn.get("parent_thread_id"))
        or text_of(payload.get("parent_thread_id"))
        or text_of(payload.get("forked_from_id"))
    )
    return text_of(spawn.get("agent_nickname")) or text_of(origin) or file.session


def _call(
    told: Mapping[str, Any],
    new_total: Mapping[str, Any],
    total: Mapping[str, Any],
    file: RecordedFile,
) -> Split:
    """Return the tokens of the call by which the total grew.

    A total that fell began anew, with a fork or a rewind.
    """
    grown_tokens = _all_tokens(new_total) - _all_tokens(total)
    has_grown = bool(total) and grown_tokens >= 0
    last = told.get("last_token_usage")
    if not isinstance(last, dict):
        return _split(_difference(new_total, total) if has_grown else new_total)
    if has_grown:
        file.unlisted_tokens += max(0, grown_tokens - _all_tokens(last))
    return _split(last)


def _difference(new_total: Mapping[str, Any], total: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: count(new_total, key) - count(total, key) for key in new_total}


def _all_tokens(usage: Mapping[str, Any]) -> int:
    return count(usage, "input_tokens") + count(usage, "output_tokens")


def _split(usage: Mapping[str, Any]) -> Split:
    """Return the tokens of a usage whose input includes the cache, and whose output the reasoning."""
    return inclusive_split(
        count(usage, "input_tokens"),
        read_tokens=count(usage, "cached_input_tokens"),
        written_tokens=count(usage, "cache_write_input_tokens"),
        output_tokens=count(usage, "output_tokens"),
    )
