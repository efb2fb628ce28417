"""What is known of models: how their names are read, their families, their windows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# In front of Anthropic's own name on Amazon Bedrock: `anthropic.`, with a region such as `us.`.
_BEDROCK_PREFIX: Final = re.compile(r"^(?:[a-z-]+\.)?anthropic\.(?=claude)")
# After it, for example `-v1:0`. Not the whole name of `claude-v2`: a digit stands before.
_BEDROCK_SUFFIX: Final = re.compile(r"(?<=\d)-v\d+(?::\d+)?$")
_CLAUDE: Final = re.compile(r"(?<![a-z])(?:claude|opus|sonnet|haiku|fable|mythos)(?![a-z])")
_LINE: Final = re.compile(r"opus|sonnet|haiku|fable|mythos")
# A date (eight digits) is no version, nor is its beginning.
_VERSION: Final = re.compile(r"(?<!\d)(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_O200K: Final = re.compile(
    r"(?:chatgpt-4o|gpt-4o|gpt-4\.[15]|gpt-[5-9]|gpt-oss|codex|o[1-9](?!\d))"
)


class ModelFamily(StrEnum):
    """Models that share a tokenizer, as far as is known."""

    CLAUDE_TO_4_6 = "claude_to_4_6"
    """Claude up to 4.6, with Haiku 4.5."""
    CLAUDE_FROM_4_7 = "claude_from_4_7"
    """Claude Opus 4.7 and everything later; a Claude whose version cannot be read counts here."""
    O200K = "o200k"
    """OpenAI's models that use o200k_base or o200k_harmony."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeName:
    """A Claude model's name, taken apart; None where the name does not say."""

    line: str | None
    """opus, sonnet, haiku, fable or mythos."""
    version: tuple[int, int] | None


def bare_name(model: str) -> str:
    """Return a model's name as its maker writes it, in lower case.

    Taken off are a `provider/` prefix, Bedrock's `us.anthropic.` and `-v1:0`, and Claude Code's
    `[1m]`; Vertex AI's `@` before a date becomes `-`.
    """
    name = model.strip().lower().removesuffix("[1m]").rpartition("/")[2]
    name = _BEDROCK_SUFFIX.sub("", _BEDROCK_PREFIX.sub("", name))
    return name.replace("@", "-")


def claude_name(model: str) -> ClaudeName | None:
    """Return the line and version of a Claude model, or None if it is none."""
    name = bare_name(model)
    if not _CLAUDE.search(name):
        return None
    line, version = _LINE.search(name), _VERSION.search(name)
    return ClaudeName(
        line=line.group() if line else None,
        version=(int(version[1]), int(version[2] or 0)) if version else None,
    )


def family_of(model: str) -> ModelFamily:
    """Return the family whose tokenizer `model` is taken to use.

    Source: Anthropic's migration guide (Opus 4.7 brought a new tokenizer, which later models
    share) and tiktoken's table of models. For OpenAI's later models and for Claude's, that no
    further change came is an assumption.
    """
    claude = claude_name(model)
    if claude is not None:
        old = claude.version is not None and claude.version < (4, 7)
        return ModelFamily.CLAUDE_TO_4_6 if old else ModelFamily.CLAUDE_FROM_4_7
    return ModelFamily.O200K if _O200K.match(bare_name(model)) else ModelFamily.OTHER


def window_tokens(model: str) -> int | None:
    """Return a model's context window in tokens, or None if it is not known.

    Source: the price and model data of `genai-prices`. A `[1m]` suffix and a `provider/` prefix
    are understood, as by `bare_name`.
    """
    from genai_prices.data_snapshot import get_snapshot

    if model.lower().endswith("[1m]"):
        return 1_000_000
    try:
        _, found = get_snapshot().find_provider_model(bare_name(model), None, None, None)
    except LookupError:
        return None
    return found.context_window
