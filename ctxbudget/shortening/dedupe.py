"""Shorter forms that leave out what later items of the prompt hold as well.

Nothing here knows a prompt: whether a later item holds a line or an identifier is asked of functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ctxbudget.references import QUOTE_CHARS, identifiers, unnumbered
from ctxbudget.shortening.digest.names import ranked_names
from ctxbudget.shortening.digest.packing import are_numbered, with_names
from ctxbudget.shortening.snip import clipped

if TYPE_CHECKING:
    from ctxbudget.counting.counters import Counter

IsHeld: TypeAlias = Callable[[str], bool]
"""Says whether a later item holds an identifier, or a line as `references.unnumbered` reads it."""

MARK: Final = "…"
"""Stands for the lines that were left out, on a line of its own."""

LEAST_LINES: Final = 3
"""Fewer lines in a row are not left out: a mark for each would tell more of gaps than of the text."""

# A line number that may go without changing what recall reads in its line: no identifier takes it
# in (such as `12:name`, or six digits), and what follows does not look numbered itself.
_NUMBER: Final = re.compile(
    r"^\s*+[0-9]{1,5}+(?:[→\t|]|:(?![A-Za-z0-9_./:-]))(?!\s*+[0-9]++[→\t:|])"
)


class _Line(NamedTuple):
    text: str
    may_go: bool
    is_duplicate: bool


def deduped(text: str, is_held_line: IsHeld, is_held_name: IsHeld) -> str:
    """Return `text` without what later items hold, its lines otherwise as they are.

    Left out are runs of at least three lines, each run for one line `…`. Every line of a run must
    be held elsewhere: a line of 24 characters or more as a whole with all its identifiers, a
    shorter one (a brace, a blank line) with its identifiers, if it has any. At least one must be
    such a long line, so that short ones alone never go.

    Where nearly all lines are numbered, as tools print the lines of a file, the numbers are taken
    off the lines that stay: gaps have no use for exact places, and numbers cost more than they
    tell. Indentation stays, and a number stays that is part of an identifier.
    """
    lines = text.split("\n")
    strip = are_numbered(lines)
    judged = (_judged(line, is_held_line, is_held_name) for line in lines)
    left: list[str] = []
    for may_go, run in groupby(judged, key=lambda line: line.may_go):
        taken = list(run)
        if may_go and len(taken) >= LEAST_LINES and any(line.is_duplicate for line in taken):
            left.append(MARK)
        else:
            left += (_NUMBER.sub("", one.text, count=1) if strip else one.text for one in taken)
    return "\n".join(left)


def names_left(text: str, limit_tokens: int, count: Counter, is_held: IsHeld, *, head: str) -> str:
    """Return a head line and the identifiers of `text` that nothing else holds, inside a limit.

    They are ranked as in a digest, which leaves out times, ruled lines and what is longer than 120
    characters, and as many are kept as `limit_tokens` (of `count`) lets in. Under a limit too small
    for the head its beginning is left, or nothing.
    """
    missing = (name for name in ranked_names(text.split("\n")) if not is_held(name))
    found = "\n".join(with_names([head], missing, limit_tokens, count))
    return found if count(found) <= limit_tokens else clipped(head, limit_tokens, count)


def _judged(line: str, is_held_line: IsHeld, is_held_name: IsHeld) -> _Line:
    read = unnumbered(line)
    is_duplicate = len(read) >= QUOTE_CHARS and is_held_line(read)
    may_go = (is_duplicate or len(read) < QUOTE_CHARS) and all(map(is_held_name, identifiers(line)))
    return _Line(line, may_go, is_duplicate)
