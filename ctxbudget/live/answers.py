"""What a provider's answer says: its blocks and its usage, whichever SDK it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctxbudget.core.errors import AdapterError
from ctxbudget.live.pieces import Piece, pieces_of
from ctxbudget.sources.live import Usage


def pieces_of_answer(answer: Any) -> list[Piece]:
    """Return what the model wrote, block by block.

    Understood are Anthropic's messages, OpenAI-style chat completions, and their mappings.

    Raises:
        AdapterError: it is neither.
    """
    found = _field(answer, "choices")
    if found:
        return pieces_of(_field(found[0], "message"))
    content = _field(answer, "content")
    if content is None:
        raise AdapterError(
            f"expected an answer with `content` or `choices`, found {str(answer)[:80]!r}; pass the "
            "provider's response, or add what the model wrote with `assistant`"
        )
    return pieces_of({"role": "assistant", "content": content})


def usage_of(answer: Any, model: str) -> Usage | None:
    """Return what an answer says it used; None if it says nothing.

    Source: Anthropic reports cached input beside `input_tokens`, OpenAI within `prompt_tokens`.
    Of an answer with several iterations the prompt is the last message's.
    """
    usage = _field(answer, "usage")
    if not usage:
        return None
    model = model or str(_field(answer, "model") or "")
    if _field(usage, "prompt_tokens") is not None:
        return _openai_usage(usage, model)
    messages = [
        one for one in _field(usage, "iterations") or () if _field(one, "type") == "message"
    ]
    counted = messages[-1] if messages else usage
    creation = _field(counted, "cache_creation")
    return Usage(
        uncached_tokens=_number(counted, "input_tokens"),
        cache_read_tokens=_number(counted, "cache_read_input_tokens"),
        cache_write_tokens=_number(counted, "cache_creation_input_tokens"),
        cache_write_1h_tokens=_number(creation, "ephemeral_1h_input_tokens"),
        output_tokens=_number(usage, "output_tokens"),
        model=model,
    )


def _openai_usage(usage: Any, model: str) -> Usage:
    read = _number(_field(usage, "prompt_tokens_details"), "cached_tokens")
    return Usage(
        uncached_tokens=_number(usage, "prompt_tokens") - read,
        cache_read_tokens=read,
        output_tokens=_number(usage, "completion_tokens"),
        model=model,
    )


def _field(thing: Any, name: str) -> Any:
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def _number(thing: Any, name: str) -> int:
    found = _field(thing, name)
    return found if isinstance(found, int) and found > 0 else 0
