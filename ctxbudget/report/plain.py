"""Texts from elsewhere, made fit for a terminal: nothing in them that it would obey."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text with control characters written out, except line feeds and tabs."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def how_many(count: int, what: str, several: str = "") -> str:
    """Return a count with its noun, 1 call or 3 calls; `several` is a plural other than with `s`."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def one_line(text: str) -> str:
    """Return a text on one line, with control characters written out."""
    return visible(" ".join(text.split()))
