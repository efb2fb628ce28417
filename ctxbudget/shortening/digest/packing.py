"""Packs what was found in a text into a limit of tokens, the most important first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ctxbudget.references import identifiers
from ctxbudget.shortening.digest.found import Found, one_line, plural
from ctxbudget.shortening.digest.names import is_telling, ranked_names
from ctxbudget.shortening.digest.shape import read
from ctxbudget.shortening.snip import clipped, fits

if TYPE_CHECKING:
    from ctxbudget.counting.counters import Counter

DIGEST_TOKENS: Final = 250
"""The usual size of a digest.

Source: layered orchestration workflows keep metadata of 200 to 300 tokens for each artifact.
"""

# A longer text is read in three samples, from its head, middle and tail.
_WHOLE_CHARS: Final = 400_000
_SAMPLE_CHARS: Final = 120_000

_LINE_CHARS: Final = 2_000  # a longer line is read in pieces, so that no pattern meets a huge one
_NUMBERED_FRAC: Final = 0.8
_TITLE_CHARS: Final = 100
_FINDINGS_FRAC: Final = 0.45  # findings may take this share of the limit before the names come
_MISFITS: Final = 6  # stop trying smaller findings after so many that were too large
_MOST_FINDINGS: Final = 150
_NAMES: Final = "names: "


def digest(
    text: str,
    limit_tokens: int,
    count: Counter,
    *,
    title: str = "",
    path: str = "",
) -> str:
    """Return what `text` is and says, with its identifiers verbatim, inside a limit.

    The lines are: title, path, size and kind, findings, names. `count` gives the result at most
    `limit_tokens`. A text that fits together with title and path is kept as it is, so the digest
    of a digest is that digest. The result is empty only for an empty text or a limit of a few
    tokens. A long text (above 400,000 characters) is read in three samples, and the digest says so.

    Args:
        text: the artifact or tool result.
        limit_tokens: the most that the result may hold, in tokens of `count`.
        count: the counter that the limit is measured with.
        title: what to call the text; else its first heading, comment, exception or sentence.
        path: where the whole text is kept, if known.
    """
    if limit_tokens <= 0:
        return ""
    given = [line for line in (one_line(title), f"path: {path}" if path else "") if line]
    if fits(text, limit_tokens, count):
        whole = "\n".join([*(line for line in given if line not in text), text])
        if count(whole) <= limit_tokens:
            return whole
    sample, was_sampled = _sampled(text)
    lines = _lines(sample)
    found = read(text, lines)
    named = one_line(title) or found.title or _first_line(lines)
    head = _head(text, named, found.shape, path, was_sampled)
    packed = _packed(head, found, ranked_names(lines), limit_tokens, count)
    return packed or clipped("\n".join(head), limit_tokens, count)


def _sampled(text: str) -> tuple[str, bool]:
    """Return `text`, or its head, middle and tail, each cut at line ends, if it is long."""
    if len(text) <= _WHOLE_CHARS:
        return text, False
    middle = (len(text) - _SAMPLE_CHARS) // 2
    return "\n".join(
        (
            text[:_SAMPLE_CHARS].rpartition("\n")[0] or text[:_SAMPLE_CHARS],
            _inner(text[middle : middle + _SAMPLE_CHARS]),
            _inner(text[-_SAMPLE_CHARS:]),
        )
    ), True


def _inner(piece: str) -> str:
    return piece.partition("\n")[2] or piece


def _lines(text: str) -> list[str]:
    """Return the lines, without line numbers if nearly all have one; long ones in pieces."""
    lines = text.split("\n")
    pieces = [piece for line in lines for piece in _pieces(line.rstrip())]
    if not are_numbered(pieces):
        return pieces
    return [_NUMBER.sub("", line, count=1) for line in pieces]


def are_numbered(lines: Iterable[str]) -> bool:
    """Return whether nearly all lines that are not blank begin with rising line numbers.

    Hours in a log do not rise from line to line, so they are no line numbers.
    """
    shown = [line for line in lines if line.strip()]
    numbers = [int(found[1]) for line in shown if (found := _NUMBER.match(line))]
    is_rising = all(number < later for number, later in pairwise(numbers))
    return is_rising and len(numbers) >= max(1, _NUMBERED_FRAC * len(shown))


# As `references.unnumbered` takes it off, but the line keeps its indentation.
_NUMBER: Final = re.compile(r"^\s*+([0-9]++)[→\t:|]")
_BREAK: Final = re.compile(r"[\s,;]")


def _pieces(line: str) -> Iterator[str]:
    """Yield a long line in pieces that are cut where no identifier is torn, if there is a place."""
    start = 0
    while len(line) - start > _LINE_CHARS:
        end = start + _LINE_CHARS
        breaks = [found.end() for found in _BREAK.finditer(line, end - _LINE_CHARS // 4, end)]
        end = breaks[-1] if breaks else end
        yield line[start:end]
        start = end
    yield line[start:]


def _first_line(lines: Iterable[str]) -> str:
    """Return the first line with a letter or digit on it, or nothing."""
    shown = (one_line(line, _TITLE_CHARS) for line in lines)
    return next((line for line in shown if any(map(str.isalnum, line))), "")


def _head(text: str, named: str, shape: str, path: str, was_sampled: bool) -> list[str]:
    """Return the lines that say what the text is: title, path, size and kind."""
    size = f"{plural(text.count(chr(10)) + 1, 'line')}, {plural(len(text), 'character')}"
    size += f"; {shape}" if shape else ""
    size += "; read in samples of head, middle and tail" if was_sampled else ""
    return [line for line in (named, f"path: {path}" if path else "", one_line(size)) if line]


def _packed(
    head: Sequence[str], found: Found, ranked: Iterable[str], limit_tokens: int, count: Counter
) -> str:
    """Return the lines that fit, or nothing if not even the first does."""
    kept = _with_findings([], head, limit_tokens, count)
    share_tokens = int(limit_tokens * _FINDINGS_FRAC)
    told = [line for line in found.findings[:_MOST_FINDINGS] if line not in kept]
    kept = _with_findings(kept, told, share_tokens, count)
    names = [*found.names, *(name for name in ranked if name not in found.skipped)]
    telling = [*found.names, *(name for name in names if is_telling(name))]
    full = with_names(kept, telling, limit_tokens, count)
    full = _with_findings(full, told, limit_tokens, count)
    # The findings that came last may hold some of the names: once is enough.
    without_names = [line for line in full if not line.startswith(_NAMES)]
    return "\n".join(with_names(without_names, names, limit_tokens, count))


def _with_findings(
    kept: list[str], lines: Iterable[str], limit_tokens: int, count: Counter
) -> list[str]:
    """Return `kept` and as many of `lines`, in order, as the limit lets in; names stay last."""
    misfits = 0
    for line in lines:
        if line in kept:
            continue
        at = len(kept) - (bool(kept) and kept[-1].startswith(_NAMES))
        tried = [*kept[:at], line, *kept[at:]]
        if count("\n".join(tried)) <= limit_tokens:
            kept, misfits = tried, 0
        else:
            misfits += 1
        if misfits >= _MISFITS:
            break
    return kept


def with_names(
    kept: list[str], names: Iterable[str], limit_tokens: int, count: Counter
) -> list[str]:
    """Return `kept` and a line of the names that are not in it yet, as many as fit.

    `kept` and the line together hold at most `limit_tokens` of `count`, unless `kept` alone holds
    more: it comes back as it is then.
    """
    text = "\n".join(kept)
    present = {*identifiers(text), *re.findall(r"\w+", text)}
    missing = [name for name in dict.fromkeys(names) if name not in present][:limit_tokens]
    best, low, high = kept, 0, len(missing) + 1
    while high - low > 1:
        middle = (low + high) // 2
        tried = [*kept, _NAMES + " ".join(missing[:middle])]
        if count("\n".join(tried)) <= limit_tokens:
            best, low = tried, middle
        else:
            high = middle
    return best
