"""Tells a provider's refusal of a too large prompt from its other errors, with the numbers in it.

No provider has a stable code for all of these refusals, so their wording is matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LONGEST_MESSAGE_CHARS: Final = 20_000
"""Of an error text; what follows is an echo of the request."""

_N: Final = r"(?P<{}>\d[\d,_]{{0,14}})"
_TOKENS, _LIMIT, _ANSWER = (_N.format(name) for name in ("tokens", "limit", "answer"))
_GAP: Final = r"[^\d]{0,120}?"

# The first that matches gives the numbers.
# Source: the error pages of Anthropic, OpenAI, Google, Amazon Bedrock, xAI, Mistral; the texts that
# vLLM, llama.cpp and LiteLLM write; what Claude Code takes for an overflow.
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Anthropic
        rf"prompt is too long{_GAP}{_TOKENS}\s*tokens?\s*>\s*{_LIMIT}",
        rf"exceeds? context limit{_GAP}{_TOKENS}\s*\+\s*{_ANSWER}\s*>\s*{_LIMIT}",
        # OpenAI, OpenRouter, vLLM; "messages resulted in", "you requested", "your request has"
        rf"maximum context length is {_LIMIT} tokens{_GAP}(?:resulted in|requested|request has|"
        rf"prompt contains|input has|contains)[^\d]{{0,40}}?{_TOKENS}",
        # Google
        rf"token count \(?{_TOKENS}\)?{_GAP}maximum number of tokens allowed \(?{_LIMIT}",
        # xAI
        rf"maximum prompt length is {_LIMIT}{_GAP}contains {_TOKENS}",
        # Mistral
        rf"prompt contains {_TOKENS} tokens.{{0,80}}? {_LIMIT} maximum context length",
        # Bedrock
        rf"max input tokens:? {_LIMIT}{_GAP}input token count:? {_TOKENS}",
        # llama.cpp
        rf"request \({_TOKENS} tokens\) exceeds the available context size \({_LIMIT}",
        # Cohere
        rf"too many tokens:{_GAP}cannot exceed {_LIMIT}",
        # The same without numbers, or with only one
        rf"maximum context length(?: is|:| of)? {_LIMIT}",
        r"prompt is too long",
        r"exceeds? context limit",
        r"maximum context length",
        r"maximum prompt length",
        r"context_length_exceeded",
        r"exceed_context_size_error",
        r"contextwindowexceedederror",
        r"exceeds? the (?:model'?s )?(?:available )?context (?:window|size|length)",
        r"exceeds the maximum number of tokens allowed",
        r"too many input tokens",
        r"input is too long for requested model",
        r"input token length (?:is )?too long",
    )
)

_BODY_SIZE: Final = re.compile(
    r"request_too_large|request_body_too_large|request exceeds the maximum (?:allowed )?(?:size|"
    r"number of bytes)|payload too large|request entity too large",
    re.IGNORECASE,
)

# A limit of tokens per time is over soon; a smaller prompt is not what is asked for.
_RATE: Final = re.compile(
    r"tokens? per (?:minute|min|hour|day)|rate[ _]limit|\btpm\b|throttling|overloaded_error",
    re.IGNORECASE,
)

_OTHER_STATUS: Final = frozenset({401, 402, 403, 404, 407, 408, 409, 429, 529})
_BODY_SIZE_STATUS: Final = 413


@dataclass(frozen=True, slots=True)
class Overflow:
    """A refused prompt: its size and the limit, in the provider's tokens, where they were told.

    `is_body_size` is True if the bytes of the request were too many, whatever its tokens.
    """

    tokens: int | None
    limit_tokens: int | None
    is_body_size: bool


def overflow_in(message: str) -> Overflow | None:
    """Return what an error text says of a too large prompt, or None if it is about another thing.

    Where the room for the answer is part of what was refused (`A + B > C`), `tokens` is the prompt
    alone and `limit_tokens` is what the answer leaves of the window.
    """
    message = message[:_LONGEST_MESSAGE_CHARS]
    if _RATE.search(message):
        return None
    for pattern in _PATTERNS:
        if match := pattern.search(message):
            found = {name: _number(value) for name, value in match.groupdict().items()}
            limit_tokens = found.get("limit")
            if limit_tokens is not None:
                limit_tokens = max(0, limit_tokens - (found.get("answer") or 0))
            return Overflow(found.get("tokens"), limit_tokens, is_body_size=False)
    if _BODY_SIZE.search(message):
        return Overflow(None, None, is_body_size=True)
    return None


def overflow_of(error: BaseException) -> Overflow | None:
    """Return what an exception, or one that it was raised from, says of a too large prompt.

    Reads what the exceptions of anthropic, openai, httpx, botocore and LiteLLM have in common
    (`status_code`, `body`, `message`, `response`) and imports none of them. The first exception of
    the chain with a status that means another thing (rate, overload, rights) ends the search.
    """
    for link in _chain(error):
        status = _status(link)
        if status in _OTHER_STATUS:
            return None
        texts = "\n".join(_texts(link))
        if found := overflow_in(texts):
            return found
        if status == _BODY_SIZE_STATUS and not _RATE.search(texts):
            return Overflow(None, None, is_body_size=True)
    return None


def _number(digits: str) -> int:
    return int(re.sub(r"[,_]", "", digits))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from; a circle ends where it closes."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _read(thing: object, name: str) -> object:
    """Return an attribute, or None; a property of a response may raise if it was not read yet."""
    try:
        return getattr(thing, name, None)
    except Exception:  # whatever the property of somebody else's class does
        return None


def _status(error: BaseException) -> int | None:
    """Return the HTTP status, whichever way the exception tells it."""
    response = _read(error, "response")
    found = [_read(thing, "status_code") for thing in (error, response)]
    if isinstance(response, dict):  # botocore
        found.append((response.get("ResponseMetadata") or {}).get("HTTPStatusCode"))
    return next((status for status in found if isinstance(status, int)), None)


def _texts(error: BaseException) -> Iterator[str]:
    """Yield all that an exception says, the plainest wording first."""
    yield from _strings(_read(error, "body"))
    yield str(_read(error, "message") or "")
    yield str(error)
    yield type(error).__name__
    if isinstance(text := _read(_read(error, "response"), "text"), str):
        yield text


def _strings(body: object, depth: int = 0) -> Iterator[str]:
    """Yield the strings of an error's body that can hold its message, type or code."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict) and depth < 3:
        for name in ("error", "message", "code", "type", "details", "error_code"):
            yield from _strings(body.get(name), depth + 1)
