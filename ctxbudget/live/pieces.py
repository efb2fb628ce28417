"""Messages of providers as pieces, one for each block, and the text that a block holds.

A piece keeps its block in the shape of Anthropic's Messages API, which knows more kinds of blocks
than the others; OpenAI-style messages are turned into it and back.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.references import string_values

Block: TypeAlias = Mapping[str, Any]
"""A content block, never changed once it is in a prompt."""

Message: TypeAlias = Mapping[str, Any]
"""A provider's message: a role and its content."""

MEDIA = frozenset({"image", "document", "image_url", "input_image"})
THINKING = frozenset({"thinking", "redacted_thinking"})

EMPTY = "[empty]"
"""Stands for an output, or a shorter form, that holds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One block on its way into a prompt."""

    kind: Kind
    block: Block
    call_id: str | None = None
    """What a tool call and its result share."""
    tool: str | None = None


def text_piece(kind: Kind, text: str) -> Piece:
    """Return a piece of plain text."""
    return Piece(kind=kind, block={"type": "text", "text": text})


def artifact_piece(text: str, *, title: str, path: str, metadata: str) -> Piece:
    """Return what an agent hands over, with what its metadata will say, where that is given."""
    fields = {"title": title, "path": path, "metadata": metadata}
    block = {"type": "artifact", "text": text, **{key: one for key, one in fields.items() if one}}
    return Piece(kind=Kind.ARTIFACT, block=block)


def pieces_of(message: Any) -> list[Piece]:
    """Return a message, Anthropic-style or OpenAI-style, block by block; empty texts are left out.

    Objects of a provider's SDK are read as the mappings they stand for.

    Raises:
        AdapterError: it is no message.
    """
    found = _plain(message)
    if not isinstance(found, Mapping) or not isinstance(found.get("role"), str):
        raise AdapterError(
            f"expected a message with a role, found {str(message)[:80]!r}; pass a mapping such as "
            '{"role": "user", "content": "..."}'
        )
    return [piece for piece in _read(found) if not _is_empty(piece.block)]


def _read(message: Mapping[str, Any]) -> Iterator[Piece]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        block = {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id"),
            "content": content,
        }
        yield _piece(_cleaned(block), role)
        return
    if role not in ("user", "assistant", "system", "developer"):
        raise AdapterError(
            f"expected role user, assistant, system, developer or tool, found {role!r}; rename it"
        )
    for block in _blocks(content):
        yield _piece(block, role)
    for call in message.get("tool_calls") or ():
        yield _piece(_from_openai_call(call), role)


def _blocks(content: Any) -> Iterator[dict[str, Any]]:
    if content is None:
        return
    if isinstance(content, str):
        yield {"type": "text", "text": content}
        return
    if not isinstance(content, Iterable) or isinstance(content, Mapping):
        raise AdapterError(f"expected text or a list of blocks, found {str(content)[:80]!r}")
    for block in content:
        if isinstance(block, str):
            yield {"type": "text", "text": block}
        elif isinstance(block, Mapping):
            yield _cleaned(block)
        else:
            raise AdapterError(f"expected a content block, found {str(block)[:80]!r}")


def _cleaned(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block, and what is inside a tool result, without cache marks and empty texts."""
    found = {key: one for key, one in block.items() if key != "cache_control"}
    content = found.get("content")
    if found.get("type") == "tool_result" and isinstance(content, list):
        inner = [_cleaned(one) if isinstance(one, Mapping) else one for one in content]
        found["content"] = [one for one in inner if not (isinstance(one, dict) and _is_empty(one))]
    return found


def _piece(block: dict[str, Any], role: str) -> Piece:
    kind_of_role = {
        "user": Kind.USER,
        "assistant": Kind.ASSISTANT,
        "system": Kind.SYSTEM,
        "developer": Kind.SYSTEM,
    }
    type_ = block.get("type")
    if type_ == "tool_use":
        call_id = _required(block, "id")
        return Piece(kind=Kind.TOOL_CALL, block=block, call_id=call_id, tool=block.get("name"))
    if type_ == "tool_result":
        call_id = _required(block, "tool_use_id")
        return Piece(kind=Kind.TOOL_RESULT, block=_without_empty_texts(block), call_id=call_id)
    if type_ in THINKING:
        return Piece(kind=Kind.THINKING, block=block)
    if type_ in ("input_text", "output_text"):
        block = {"type": "text", "text": block.get("text", "")}
    return Piece(kind=kind_of_role.get(role, Kind.USER), block=block)


def _without_empty_texts(block: dict[str, Any]) -> dict[str, Any]:
    """Return a result without the empty texts that a provider would refuse."""
    content = block.get("content")
    if not isinstance(content, list):
        return block
    left = [one for one in content if not (isinstance(one, Mapping) and _is_empty(one))]
    return block if len(left) == len(content) else {**block, "content": left or ""}


def _required(block: Mapping[str, Any], key: str) -> str:
    found = block.get(key)
    if not isinstance(found, str) or not found:
        raise AdapterError(f"a {block.get('type')} block needs `{key}`, found {found!r}; add it")
    return found


def _from_openai_call(call: Any) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments") or "{}"
    try:
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        given = None
    if not isinstance(given, Mapping):
        given = {"arguments": arguments}
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given}


def _plain(value: Any) -> Any:
    """Return what an SDK's object stands for, without the fields that were never set."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return _plain(dump(mode="json", exclude_unset=True, by_alias=True))
    return value


def sendable(value: Any) -> Any:
    """Return a JSON value as UTF-8 can hold it: a surrogate that stands alone becomes U+FFFD.

    What needs no change is returned as it is.
    """
    if isinstance(value, str):
        if value.isascii():
            return value
        found = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value if found == value else found
    if isinstance(value, Mapping):
        pairs = {sendable(key): sendable(one) for key, one in value.items()}
        is_same = all(key in pairs and pairs[key] is one for key, one in value.items())
        return value if is_same else pairs
    if isinstance(value, list | tuple):
        ones = [sendable(one) for one in value]
        return value if all(map(operator.is_, ones, value)) else ones
    return value


def _is_empty(block: Block) -> bool:
    return block.get("type") == "text" and not str(block.get("text") or "").strip()


# ---- the text of a block


def as_sent(block: Block) -> Block:
    """Return a block as a provider takes it; a text that is empty would be refused."""
    if block.get("type") == "artifact":
        block = {"type": "text", "text": text_of(block)}
    return {"type": "text", "text": EMPTY} if _is_empty(block) else block


def text_of(block: Block) -> str:
    """Return the text of a block: what is counted, shortened and searched; media have none."""
    type_ = block.get("type")
    if type_ == "text":
        return str(block.get("text") or "")
    if type_ == "artifact":
        named = " ".join(str(block[key]) for key in ("title", "path") if key in block)
        return f"{named}\n{block.get('text')}" if named else str(block.get("text") or "")
    if type_ == "tool_use":
        return f"{block.get('name')} {compact_json(block.get('input'))}"
    if type_ == "tool_result":
        return _text_of_content(block.get("content"))
    if type_ == "thinking":
        return str(block.get("thinking") or "")
    if _is_media(block):
        return ""
    return compact_json(block)


def text_to_shorten(block: Block) -> str:
    """Return the text that a shorter form is made from: of a tool call, its strings, line by line.

    As JSON they would be one line, escaped.
    """
    if block.get("type") == "tool_use":
        return "\n".join(string_values(block.get("input")))
    return text_of(block)


def media_of(block: Block) -> Iterator[Block]:
    """Yield the images and documents of a block, those inside a tool result included."""
    if _is_media(block):
        yield block
    content = block.get("content")
    if block.get("type") == "tool_result" and isinstance(content, list):
        yield from (one for one in content if isinstance(one, Mapping) and _is_media(one))


def _is_media(block: Block) -> bool:
    type_ = block.get("type")
    return isinstance(type_, str) and type_ in MEDIA


def with_text(block: Block, text: str) -> Block:
    """Return a block that says this text in place of its own; a call keeps its name and id."""
    type_ = block.get("type")
    if type_ == "tool_result":
        return {**block, "content": text}
    if type_ == "tool_use":
        return {**block, "input": {"shortened": text}}
    return {"type": "text", "text": text}


def compact_json(value: Any) -> str:
    """Return a value as JSON without spaces, keys in their order.

    Raises:
        AdapterError: it is no JSON value.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise AdapterError(
            f"expected JSON values, found {str(value)[:80]!r}: {error}; write it as text"
        ) from None


def _text_of_content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(one) if isinstance(one, Mapping) else str(one) for one in content)
    return compact_json(content)
