"""Snips: the head and the tail of a text at exact token cuts, around a line that says what is gone.

Nothing here encodes or counts the middle of a long text. The work grows with the tokens asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from ctxbudget.counting.counters import TiktokenCounter, o200k_encoding

if TYPE_CHECKING:
    from ctxbudget.counting.counters import Counter

# A window of this many characters per token wanted is mostly enough at the first try; the slack
# keeps the window's far end, where a token may be torn, away from the cut.
_WINDOW_CHARS_PER_TOKEN: Final = 6
_WINDOW_EXTRA_CHARS: Final = 64
_SLACK_TOKENS: Final = 8

# Given to tiktoken at once, in characters: it panics on about 1,000,000 spaces in a row.
_PIECE_CHARS: Final = 256 * 1024

# To tell whether a long text fits, its beginning is counted first, this long.
_PROBE_CHARS_PER_TOKEN: Final = 16
_PROBE_EXTRA_CHARS: Final = 1024

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CHARACTER: Final = re.compile(r"[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)

_HEAD_THIRDS: Final = 2
_LINE_END_FRAC: Final = 0.2  # how much of a head or tail may be given up to cut at a line's end
_TRIES: Final = 12
_FULL_FRAC: Final = 0.97  # a snip that uses this much of its limit is not improved further
_NAME_CHARS: Final = 200


def _encode(text: str) -> list[int]:
    """Return the tokens of `text`; a hard cut between pieces may cost a few tokens."""
    encode = o200k_encoding().encode_ordinary  # `encode` raises on special-token text
    starts = range(0, len(text), _PIECE_CHARS)
    return [token for start in starts for token in encode(text[start : start + _PIECE_CHARS])]


def _characters(text: str) -> list[str] | str:
    """Return `text` in what tiktoken sees as characters: it joins a pair of surrogates into one."""
    return _CHARACTER.findall(text) if _SURROGATE.search(text) else text


def _window(text: str, tokens: int, take: Callable[[int], str]) -> tuple[str, list[int]]:
    """Return one end of `text`, with its tokens: enough for `tokens` of them, or all of it."""
    chars = _WINDOW_CHARS_PER_TOKEN * tokens + _WINDOW_EXTRA_CHARS
    while True:
        window = take(chars)
        encoded = _encode(window)
        if chars >= len(text) or len(encoded) >= tokens + _SLACK_TOKENS:
            return window, encoded
        chars *= 2


def first_tokens(text: str, tokens: int) -> str:
    """Return the beginning of `text` that holds at most `tokens` o200k_base tokens.

    It ends at a token's end, or before it where that would split a character. Counted again it
    never holds more than `tokens`; it is all of `text` if that does not either.
    """
    if tokens <= 0:
        return ""
    window, encoded = _window(text, tokens, lambda chars: text[:chars])
    if len(window) == len(text) and len(encoded) <= tokens:
        return text
    characters, decode = _characters(window), o200k_encoding().decode_bytes
    heads = (
        "".join(characters[: len(decode(encoded[:kept]).decode("utf-8", "ignore"))])
        for kept in range(min(tokens, len(encoded)), 0, -1)
    )
    return _first_that_holds(tokens, heads)


def last_tokens(text: str, tokens: int) -> str:
    """Return the end of `text` that holds at most `tokens` o200k_base tokens.

    It begins at a token's start, or after it where that would split a character. Counted again
    it never holds more than `tokens`; it is all of `text` if that does not either.
    """
    if tokens <= 0:
        return ""
    window, encoded = _window(text, tokens, lambda chars: text[max(0, len(text) - chars) :])
    if len(window) == len(text) and len(encoded) <= tokens:
        return text
    characters, decode = _characters(window), o200k_encoding().decode_bytes
    wholes = (
        len(_after_torn_character(decode(encoded[-kept:])).decode("utf-8", "ignore"))
        for kept in range(min(tokens, len(encoded)), 0, -1)
    )
    tails = ("".join(characters[len(characters) - whole :]) for whole in wholes)
    return _first_that_holds(tokens, tails)


def _first_that_holds(tokens: int, texts: Iterable[str]) -> str:
    """Return the first of `texts` with at most `tokens`; mostly the first there is."""
    count = TiktokenCounter()
    return next((text for text in texts if count(text) <= tokens), "")


def _after_torn_character(utf8: bytes) -> bytes:
    """Return `utf8` from its first whole character on; 0x80 to 0xBF continue a character."""
    torn = next((at for at, byte in enumerate(utf8[:4]) if not 0x80 <= byte <= 0xBF), len(utf8))
    return utf8[torn:]


def fits(text: str, limit_tokens: int, count: Counter) -> bool:
    """Return whether `count` gives `text` at most `limit_tokens`.

    A long text is not counted as a whole if its beginning is already far over the limit.
    """
    chars = _PROBE_CHARS_PER_TOKEN * max(0, limit_tokens) + _PROBE_EXTRA_CHARS
    while chars < len(text):
        # Far over: a cut through a long token can make a beginning larger than the whole.
        if count(text[:chars]) > 2 * limit_tokens + _PROBE_EXTRA_CHARS // 32:
            return False
        chars *= 2
    return count(text) <= limit_tokens


def clipped(text: str, limit_tokens: int, count: Counter) -> str:
    """Return the longest beginning of `text`, within a few tokens, that `count` lets fit."""
    if limit_tokens <= 0:
        return ""
    if fits(text, limit_tokens, count):
        return text
    best, low, high = "", 0, limit_tokens + 1
    while high - low > 1:
        middle = (low + high) // 2
        head = first_tokens(text, middle)
        if count(head) <= limit_tokens:
            best, low = head, middle
        else:
            high = middle
    return best


def snip(text: str, limit_tokens: int, count: Counter, *, name: str = "") -> str:
    """Return the head and the tail of `text`, two to one, around a line that tells what is gone.

    `count` gives the result at most `limit_tokens`. A text that fits is returned as it is. Under
    a limit too small for text and marker only the marker is left, or its beginning, or nothing.

    Args:
        text: what to shorten.
        limit_tokens: the most that the result may hold, in tokens of `count`.
        count: the counter that the limit is measured with.
        name: what to restore to have the whole text again; the marker says it.
    """
    if limit_tokens <= 0:
        return ""
    if fits(text, limit_tokens, count):
        return text
    marker = _marker(len(text), name)
    room_tokens = limit_tokens - count(f"\n{marker}\n")
    best, least, most = "", 0, limit_tokens * 16  # a counter may be coarser than o200k
    guess = room_tokens
    for _ in range(_TRIES):
        if room_tokens <= 0 or not least < guess < most:
            break
        candidate = _around_marker(text, guess, name)
        size_tokens = count(candidate) if candidate else limit_tokens + 1
        if size_tokens <= limit_tokens:
            best, least = candidate, guess
            if size_tokens >= _FULL_FRAC * limit_tokens:
                break
        else:
            most = guess
        guess = _next_guess(guess, room_tokens, limit_tokens - size_tokens, least, most)
    return best or clipped(marker, limit_tokens, count)


def _next_guess(guess: int, room_tokens: int, left_tokens: int, least: int, most: int) -> int:
    """Return the size to try next: in proportion to how the last guess was off, inside bounds."""
    used_tokens = max(1, room_tokens - left_tokens)
    scaled = guess * room_tokens // used_tokens
    return scaled if least < scaled < most else (least + most) // 2


def _marker(left_out_chars: int, name: str) -> str:
    restore = " ".join(name[:_NAME_CHARS].split())
    return f"[… {left_out_chars:,} characters left out{restore and f'; restore {restore}'}]"


def _around_marker(text: str, tokens: int, name: str) -> str:
    """Return head, marker and tail with `tokens` o200k tokens of `text`; empty if they meet."""
    head_tokens = -(-tokens * _HEAD_THIRDS // 3)
    head = _to_line_end(first_tokens(text, head_tokens))
    tail = _from_line_start(last_tokens(text, tokens - head_tokens))
    left_out_chars = len(text) - len(head) - len(tail)
    if left_out_chars <= 0:
        return ""
    before = "" if not head or head.endswith("\n") else "\n"
    after = "\n" if tail else ""
    return f"{head}{before}{_marker(left_out_chars, name)}{after}{tail}"


def _to_line_end(head: str) -> str:
    end = head.rfind("\n", int(len(head) * (1 - _LINE_END_FRAC))) + 1
    return head[:end] if end else head


def _from_line_start(tail: str) -> str:
    start = tail.find("\n", 0, int(len(tail) * _LINE_END_FRAC)) + 1
    return tail[start:]
