"""A prompt that is ready to be sent, in the shape of the provider at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ctxbudget.core.errors import ConfigError
from ctxbudget.live import checking
from ctxbudget.live.pieces import Block, compact_json, media_of, sendable, text_of

Lifetime: TypeAlias = Literal["5m", "1h"]
"""Of a cache entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMarks:
    """Where a prompt may be cut for the provider's cache.

    The head (tools, system prompt) may live longer than the rest; a long lifetime stands ahead of
    a short one. Below the model's minimum nothing is marked.
    """

    head: Lifetime = "1h"
    rest: Lifetime = "5m"

    def __post_init__(self) -> None:
        if (self.head, self.rest) == ("5m", "1h"):
            raise ConfigError(
                "cache marks of 5m for the head cannot stand ahead of 1h for the rest; set the "
                "head to 1h too",
                location=("marks",),
            )


DEFAULT_MARKS = CacheMarks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One call's prompt; its parts are shared with later prompts and must not be changed.

    Attributes:
        tokens: an upper bound of what the provider counts, which is what limits are held to.
        limit_tokens: the hard limit, window minus reserve.
        tools, system: blocks ahead of the messages.
        messages: alternating user and assistant, in the shape of Anthropic's Messages API.
        marked_messages: those behind whose last block a cache mark goes, in order.
        marks_head: whether one goes behind the system prompt; not if it is too short to be cached.
        marks: the lifetimes of cache marks; None sets none.
    """

    thread: str
    call: int
    model: str
    tokens: int
    limit_tokens: int
    tools: Sequence[Block]
    system: Sequence[Block]
    messages: Sequence[Mapping[str, Any]]
    marked_messages: tuple[int, ...] = ()
    marks_head: bool = False
    marks: CacheMarks | None = None

    def problems(self) -> list[str]:
        """Return why a provider would refuse this prompt; empty if it would not."""
        return list(checking.problems(self.messages, tools=self.tools, system=self.system))

    def anthropic(self) -> dict[str, Any]:
        """Return `system`, `tools` and `messages` for Anthropic's `messages.create`.

        At most four cache marks stand at the boundaries of the layers.
        """
        tools, system = list(map(sendable, self.tools)), list(map(sendable, self.system))
        messages = [_with_anthropic_images(sendable(message)) for message in self.messages]
        if self.marks is not None:
            head = system or tools  # a mark on the system prompt covers the tools ahead of it
            if head and self.marks_head:
                head[-1] = _marked(head[-1], self.marks.head)
            for number in self.marked_messages:
                messages[number] = _with_mark(messages[number], self.marks.rest)
        found: dict[str, Any] = {"messages": messages}
        if system:
            found["system"] = system
        if tools:
            found["tools"] = tools
        return found

    def openai(self) -> list[dict[str, Any]]:
        """Return messages for OpenAI-style chat completions; `openai_tools` are apart."""
        found: list[dict[str, Any]] = []
        if self.system:
            text = "\n\n".join(map(text_of, self.system))
            found.append({"role": "system", "content": text})
        for message in self.messages:
            convert = _openai_answer if message["role"] == "assistant" else _openai_user
            found.extend(convert(message["content"]))
        return found

    def openai_tools(self) -> list[dict[str, Any]]:
        """Return the tools for OpenAI-style chat completions."""
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.get("name"),
                    "description": tool.get("description", ""),
                    "parameters": tool.get("input_schema", {}),
                },
            }
            for tool in self.tools
        ]

    def text(self) -> str:
        """Return the prompt as plain text, each part under its role."""
        parts = [("system", block) for block in self.system]
        parts += [
            (message["role"], block) for message in self.messages for block in message["content"]
        ]
        return "\n\n".join(f"{role}: {text_of(block)}" for role, block in parts)


def _with_anthropic_images(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message in which images that came OpenAI-style are in Anthropic's shape."""
    if not any(block.get("type") == "image_url" for block in message["content"]):
        return message
    return {**message, "content": [_anthropic_image(block) for block in message["content"]]}


def _anthropic_image(block: Block) -> Block:
    given = block.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if block.get("type") != "image_url" or not isinstance(url, str):
        return block
    media_type, is_base64, content = url.removeprefix("data:").partition(";base64,")
    if url.startswith("data:") and is_base64:
        source = {"type": "base64", "media_type": media_type, "data": content}
    else:
        source = {"type": "url", "url": url}
    return {"type": "image", "source": source}


def _marked(block: Block, lifetime: Lifetime) -> Block:
    return {**block, "cache_control": {"type": "ephemeral", "ttl": lifetime}}


def _with_mark(message: Mapping[str, Any], lifetime: Lifetime) -> Mapping[str, Any]:
    """Return a message whose last block that can be marked is; thinking cannot."""
    content = list(message["content"])
    for number in range(len(content) - 1, -1, -1):
        if content[number].get("type") not in ("thinking", "redacted_thinking"):
            content[number] = _marked(content[number], lifetime)
            return {**message, "content": content}
    return message


def _openai_answer(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    text = "\n\n".join(text_of(block) for block in blocks if block.get("type") == "text")
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": compact_json(block["input"])},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    return [message] if text or calls else []


def _openai_user(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Return tool messages, which come first, and one user message for all else."""
    found = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text_of(block)}
        for block in blocks
        if block.get("type") == "tool_result"
    ]
    shown = [
        part
        for block in blocks  # a tool's message takes texts alone
        for part in (media_of(block) if block.get("type") == "tool_result" else [block])
    ]
    parts = [_openai_part(block) for block in shown]
    if parts:
        only_text = all(part.get("type") == "text" for part in parts)
        content: Any = "\n\n".join(part["text"] for part in parts) if only_text else parts
        found.append({"role": "user", "content": content})
    return found


def _openai_part(block: Block) -> dict[str, Any]:
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, Mapping):
        url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    if block.get("type") == "image_url":
        return dict(block)
    return {"type": "text", "text": text_of(block)}
