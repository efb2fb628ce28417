"""Reads plain prose: its first sentence, then the sentences with decisions, names or numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ctxbudget.references import identifiers
from ctxbudget.shortening.digest.found import Found, once, one_line, plural
from ctxbudget.shortening.digest.markdown import rank_of

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s++(?=[A-Z\d\"'(])|(?<=[。！？])")
_NO_MARK: Final = 3


def read_prose(lines: Sequence[str]) -> Found:
    """Return the first sentence as title, then marked sentences and those that hold names."""
    paragraphs = "\n".join(lines).split("\n\n")
    sentences = [
        one_line(sentence)
        for paragraph in paragraphs
        for sentence in _SENTENCE_END.split(paragraph.replace("\n", " "))
        if sentence.strip()
    ]
    marked = [sentence for sentence in sentences if _order(sentence) <= _NO_MARK]
    return Found(
        title=sentences[0] if sentences else "",
        shape=plural(len(sentences), "sentence"),
        findings=once([*sorted(marked, key=_order), *sentences[1:3]]),
    )


def _order(sentence: str) -> int:
    """Return 0 to 2 for marked sentences, 3 for one with names or numbers, 4 for the others."""
    rank = rank_of(sentence)
    tells = any(True for _ in identifiers(sentence)) or re.search(r"\d", sentence)
    return rank if rank < _NO_MARK or tells else _NO_MARK + 1
