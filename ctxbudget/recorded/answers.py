"""Usage as providers put it into an answer, in whichever of the three usual shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctxbudget.recorded.usage import Split, anthropic_split, count, inclusive_split, mapping


def split_of(usage: Mapping[str, Any]) -> Split | None:
    """Return the tokens of a usage in the shape of OpenAI's (either API) or Anthropic's.

    None if it is of neither shape. Raises `DamagedUsageError` if its numbers make no sense.
    """
    if "prompt_tokens" in usage:
        return _openai(usage, "prompt_tokens", "completion_tokens")
    if "input_tokens" in usage and "input_tokens_details" in usage:
        return _openai(usage, "input_tokens", "output_tokens")
    return anthropic_split(usage) if "input_tokens" in usage else None


def _openai(usage: Mapping[str, Any], input_key: str, output_key: str) -> Split:
    details = mapping(usage.get(f"{input_key}_details"))
    input_tokens = count(usage, input_key)
    read_tokens = count(details, "cached_tokens") or count(usage, "cache_read_input_tokens")
    written_tokens = (
        count(details, "cache_write_tokens")
        or count(details, "cache_creation_tokens")
        or count(usage, "cache_creation_input_tokens")
    )
    return inclusive_split(
        input_tokens,
        read_tokens=read_tokens,
        written_tokens=written_tokens,
        output_tokens=count(usage, output_key),
    )
