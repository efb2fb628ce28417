"""Ranks the identifiers of a text by how likely a later reader needs them verbatim."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ctxbudget.references import occurrences

_NAME_CHARS: Final = 120  # a longer one costs more than it tells
_TELLING_WEIGHT: Final = 1.0

# How much a kind of name is needed; the first pattern that matches its beginning gives the kind.
# Chosen by what agents wrote again after they had seen it, in recorded coding sessions.
_WEIGHTS: Final = tuple(
    (re.compile(pattern), weight)
    for pattern, weight in (
        (r"[^A-Za-z0-9]++$|\d{4}-\d\d-\d\dT\d\d:|\d\d:\d\d:\d\d", 0.0),  # a ruled line; a time
        (r"\d{4}-\d\d-\d\d", 0.2),  # a date
        (r"[^A-Za-z]++$", 0.5),  # a number
        (r"[^:]++::", 3.2),  # a test, a path inside a crate
        (r"[A-Z]{1,10}+[-_]?\d{2,6}+$|ERR?_", 3.0),  # an error code, a ticket
        (r"[^/]*+/[^/]++/|\w*+/?[\w-]++\.[a-z]{1,4}(?::\d++)*+$", 2.6),  # a path, a file
        (r"\w++\.\w++$", 2.6),  # a member of something
        (r"[A-Za-z][a-z]*+(?:-[A-Za-z]?[a-z]*+)++$", 0.6),  # words with a hyphen
        (r"[A-Za-z-]++/[A-Za-z-]++$|[0-9a-f.-]++$", 1.0),  # two words with a slash, a hash
        (r"", 2.0),  # any other name
    )
)


def _weight(name: str) -> float:
    return next(weight for pattern, weight in _WEIGHTS if pattern.match(name))


def is_telling(name: str) -> bool:
    """Return whether a name is more than a number, a date or a word with a hyphen."""
    return _weight(name) >= _TELLING_WEIGHT


def ranked_names(texts: Iterable[str]) -> list[str]:
    """Return the identifiers of `texts`, most needed first; ties stay in order of appearance.

    The kind of name counts most, how often it appears counts a little, and of two alike the
    shorter comes first, since more of the shorter ones fit. Times are left out.
    """
    counts = Counter(name for text in texts for name in occurrences(text))
    scores = {
        name: _weight(name) * (1 + math.log2(times) / 2) / math.sqrt(len(name) + 8)
        for name, times in counts.items()
        if len(name) <= _NAME_CHARS
    }
    return sorted((name for name in scores if scores[name]), key=lambda name: -scores[name])
