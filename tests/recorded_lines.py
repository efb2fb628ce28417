"""Builds recorded sessions in their real schemas, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from ctxbudget.recorded.formats import usage_rows
from ctxbudget.recorded.usage import RecordedFile, UsageRow

DAY = "2026-03-02"
OPUS = "claude-opus-4-6"


def as_bytes(lines: Iterable[object]) -> bytes:
    """Return JSON lines; what is bytes already stays as it is."""
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


def read(lines: Iterable[object]) -> tuple[list[UsageRow], RecordedFile]:
    """Return the calls of JSON lines, and what else was found."""
    return read_bytes(as_bytes(lines))


def read_bytes(raw: bytes) -> tuple[list[UsageRow], RecordedFile]:
    """Return the calls of a file's bytes, and what else was found."""
    file = RecordedFile(file="one.jsonl")
    return list(usage_rows(BytesIO(raw), file)), file


def claude_usage(
    uncached: int = 3, *, read: int = 0, w5m: int = 0, w1h: int = 0, output: int = 1
) -> dict[str, Any]:
    """Return the usage of a Claude Code line."""
    return {
        "input_tokens": uncached,
        "cache_creation_input_tokens": w5m + w1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": w5m, "ephemeral_1h_input_tokens": w1h},
        "output_tokens": output,
        "service_tier": "standard",
    }


def claude_message(
    id_: str, usage: dict[str, Any], *, model: str = OPUS, stop: str | None = None, text: str = "ok"
) -> dict[str, Any]:
    """Return an answer as Claude Code keeps it, with one block."""
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop,
        "usage": usage,
    }


def claude(
    id_: str,
    usage: dict[str, Any],
    *,
    at: str = f"{DAY}T10:00:00.000Z",
    session: str = "s-1",
    agent: str | None = None,
    **message: Any,
) -> dict[str, Any]:
    """Return a line of an answer; of a sub-agent's own file, if `agent` is named."""
    return {
        "type": "assistant",
        "uuid": f"u-{id_}",
        "parentUuid": None,
        "sessionId": session,
        "cwd": "/home/ann/shop",
        "version": "2.1.120",
        "timestamp": at,
        "isSidechain": agent is not None,
        **({"agentId": agent} if agent else {}),
        "message": claude_message(id_, usage, **message),
    }


def claude_user(*, session: str = "s-1", **fields: Any) -> dict[str, Any]:
    """Return a line of the user's."""
    return {
        "type": "user",
        "uuid": "u-user",
        "sessionId": session,
        "cwd": "/home/ann/shop",
        "timestamp": f"{DAY}T09:59:00.000Z",
        "isSidechain": False,
        "message": {"role": "user", "content": "mend the cart"},
        **fields,
    }


def claude_progress(id_: str, usage: dict[str, Any], agent: str) -> dict[str, Any]:
    """Return a sub-agent's answer as copied into its parent's file."""
    return {
        "type": "progress",
        "uuid": f"p-{id_}",
        "sessionId": "s-1",
        "cwd": "/home/ann/shop",
        "timestamp": f"{DAY}T10:05:00.000Z",
        "isSidechain": False,
        "parentToolUseID": "toolu_1",
        "data": {
            "type": "agent_progress",
            "agentId": agent,
            "message": {"type": "assistant", "message": claude_message(id_, usage)},
        },
    }


def codex_meta(id_: str = "t-1", **fields: Any) -> dict[str, Any]:
    """Return the line with which a Codex rollout begins."""
    payload = {"id": id_, "cwd": "/home/ann/shop", "cli_version": "0.130.0", "source": "cli"}
    return {
        "timestamp": f"{DAY}T10:00:00.000Z",
        "type": "session_meta",
        "payload": {**payload, **fields},
    }


def codex_turn(model: str) -> dict[str, Any]:
    """Return the line with which a turn begins."""
    return {
        "timestamp": f"{DAY}T10:00:01.000Z",
        "type": "turn_context",
        "payload": {"model": model, "cwd": "/home/ann/shop"},
    }


def codex_usage(input_: int, cached: int, output: int, **more: int) -> dict[str, int]:
    """Return a Codex usage, whose input includes what was cached."""
    return {
        "input_tokens": input_,
        "cached_input_tokens": cached,
        "output_tokens": output,
        "reasoning_output_tokens": output // 2,
        "total_tokens": input_ + output,
        **more,
    }


def codex_count(total: dict[str, int] | None, last: dict[str, int] | None) -> dict[str, Any]:
    """Return a token_count event; without a total, one that tells rate limits only."""
    told = {"total_token_usage": total, "last_token_usage": last, "model_context_window": 258_400}
    return {
        "timestamp": f"{DAY}T10:00:09.000Z",
        "type": "event_msg",
        "payload": {"type": "token_count", "info": told if total else None, "rate_limits": {}},
    }


def mini_swe(*answers: dict[str, Any]) -> dict[str, Any]:
    """Return a mini-swe-agent trajectory with these answers' `extra`."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You mend code."}]
    for extra in answers:
        messages.append({"role": "assistant", "content": "ls", "extra": extra})
        messages.append({"role": "user", "content": "cart.py"})
    return {
        "trajectory_format": "mini-swe-agent-1",
        "instance_id": "shop-7",
        "info": {
            "exit_status": "Submitted",
            "mini_version": "1.15.0",
            "model_stats": {"instance_cost": 0.1, "api_calls": len(answers)},
            "config": {"model": {"model_name": "google/gemini-3-pro-preview"}},
        },
        "messages": messages,
    }


def mini_swe_answer(id_: str, prompt: int, cached: int, output: int, cost: Any) -> dict[str, Any]:
    """Return the `extra` of an answer that OpenRouter gave."""
    return {
        "response": {
            "id": id_,
            "model": "google/gemini-3-pro-preview",
            "created": 1_763_509_354,
            "choices": [],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": output,
                "total_tokens": prompt + output,
                "cost": cost,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens_details": {"reasoning_tokens": output // 2},
            },
        }
    }
