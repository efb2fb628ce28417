"""Says why a provider would refuse a prompt, before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ctxbudget.live.pieces import THINKING

MOST_CACHE_MARKS = 4
"""Source: Anthropic's prompt caching page; so is the order of lifetimes."""

ROLES: Final = ("user", "assistant", "system")

ROLE_OF_BLOCK: Final = {
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "tool_result": "user",
}
"""Who alone may say a block. Source: Anthropic's Messages API."""


def problems(
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    system: Sequence[Mapping[str, Any]] = (),
) -> Iterator[str]:
    """Yield what is wrong with messages in the shape of Anthropic's Messages API.

    Checked are roles, empty texts, tool calls and results that are not side by side, ids that
    come twice, and cache marks.
    """
    if not messages:
        yield "there is no message; add one of the user's"
        return
    if messages[0].get("role") != "user":
        yield "the first message is not the user's"
    yield from _pair_problems(messages)
    if _holds_empty_text(system):
        yield "the system prompt holds an empty text"
    before = ""
    for number, message in enumerate(messages):
        for problem in _message_problems(message, before):
            yield f"message {number} {problem}"
        before = str(message.get("role"))
    yield from _mark_problems([*tools, *system, *_all_blocks(messages)])


def _message_problems(message: Mapping[str, Any], role_before: str) -> Iterator[str]:
    role = str(message.get("role"))
    if role not in ROLES:
        yield f"has the role {role!r}; allowed are {', '.join(ROLES)}"
    if role == "system" and role_before != "user":
        yield "is the system's but does not follow one of the user's"
    if unknown := sorted(set(message) - {"role", "content"}):
        yield f"has fields that no provider knows: {', '.join(unknown)}"
    if not message.get("content"):
        yield "is empty"
    blocks = list(_blocks(message))
    if _holds_empty_text(blocks):
        yield "holds an empty text"
    for block in blocks:
        type_ = str(block.get("type"))
        if ROLE_OF_BLOCK.get(type_, role) != role:
            yield f"is of role {role!r} but holds a {type_} block"
        if type_ in THINKING and "cache_control" in block:
            yield "holds thinking with a cache mark"


def _holds_empty_text(blocks: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        block.get("type") == "text" and not str(block.get("text") or "").strip()
        for block in _with_inner(blocks)
    )


def _pair_problems(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    waiting: list[str] = []
    for number, message in enumerate(messages):
        blocks = list(_blocks(message))
        for problem in _answer_problems(blocks, waiting):
            yield f"message {number}: {problem}"
        waiting = [str(b.get("id")) for b in blocks if b.get("type") == "tool_use"]
        for call in waiting:
            if call in seen:
                yield f"message {number}: the tool call id {call!r} is there twice"
            seen.add(call)
    if waiting:
        yield f"the tool calls {', '.join(waiting)} at the end are not answered"


def _answer_problems(blocks: Sequence[Mapping[str, Any]], waiting: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with how a message answers the calls of the one before."""
    is_result = [block.get("type") == "tool_result" for block in blocks]
    answered = [str(b.get("tool_use_id")) for b in blocks if b.get("type") == "tool_result"]
    for call in waiting:
        if call not in answered:
            yield f"tool call {call!r} is not answered right after it"
    for call in answered:
        if call not in waiting:
            yield f"tool result {call!r} has no call right before it"
    if len(set(answered)) < len(answered):
        yield "a tool call is answered twice"
    if is_result != sorted(is_result, reverse=True):
        yield "tool results do not come first"


def _mark_problems(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    lifetimes = [
        str(block["cache_control"].get("ttl", "5m"))
        for block in _with_inner(blocks)
        if "cache_control" in block
    ]
    if len(lifetimes) > MOST_CACHE_MARKS:
        yield f"{len(lifetimes)} cache marks, at most {MOST_CACHE_MARKS} are allowed"
    if lifetimes != sorted(lifetimes):  # "1h" sorts before "5m"
        yield "a long-lived cache mark stands behind a short-lived one"


def _blocks(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    else:
        yield from content or ()


def _all_blocks(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        yield from _blocks(message)


def _with_inner(blocks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield blocks, and behind each tool result (whose own mark comes first) those inside it."""
    for block in blocks:
        yield block
        content = block.get("content")
        if block.get("type") == "tool_result" and isinstance(content, list):
            yield from (one for one in content if isinstance(one, Mapping))
