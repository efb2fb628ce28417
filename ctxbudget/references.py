"""What a later call may use of a text again: its identifiers and its whole lines.

The same definitions serve the digest, which tries to keep identifiers, and recall, which checks
whether they were kept. Every function here takes time linear in the length of its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

QUOTE_CHARS: Final = 24
"""The shortest line, in characters, that counts as a quote."""

# Possessive, as in all patterns here: what was taken is never given back, so no input is slow.
_RUN: Final = re.compile(r"[A-Za-z0-9_./:-]{6,}+")
_EDGE: Final = "./:-"

# What tells a name from a word: a digit, a camelCase hump, or a joining character.
_TELLING: Final = re.compile(r"[0-9_./:-]|[a-z][A-Z]")

_LINE_NUMBER: Final = re.compile(r"[0-9]++[→\t:|]")


def occurrences(text: str) -> Iterator[str]:
    """Yield every identifier of `text` in order of appearance, as often as it appears.

    An identifier is a run of six or more letters, digits and `_ . / : -`, without `. / : -` at
    its ends, that has a digit, a camelCase hump or one of `_ . / : -` inside.
    """
    for run in _RUN.finditer(text):
        name = run[0].strip(_EDGE)
        if _TELLING.search(name):
            yield name


def identifiers(text: str) -> Iterator[str]:
    """Yield the identifiers of `text` in order of first appearance, each once."""
    yield from dict.fromkeys(occurrences(text))


def unnumbered(line: str) -> str:
    """Return `line` without white space at its ends and without the line number it begins with.

    A line number is digits and then `→`, a tab, `:` or `|`, as tools print it before file lines.
    """
    stripped = line.strip()
    number = _LINE_NUMBER.match(stripped)
    return stripped[number.end() :].lstrip() if number else stripped


def quotes(text: str) -> Iterator[str]:
    r"""Yield the lines of `text` that are long enough to be a quote, each once, in order.

    A line ends at `\n`. White space at its ends and a line number before it are not part of it.
    """
    lines = (unnumbered(line) for line in text.split("\n"))
    yield from dict.fromkeys(line for line in lines if len(line) >= QUOTE_CHARS)


def string_values(value: object) -> Iterator[str]:
    """Yield the strings inside a JSON value, in order; keys, numbers and the like are left out.

    This is how a tool's input is read: escaped JSON would hide the ends of its lines. Depth is
    bounded by memory only.
    """
    rest = [value]
    while rest:
        first = rest.pop()
        if isinstance(first, str):
            yield first
        elif isinstance(first, Mapping):
            rest.extend(reversed(list(first.values())))
        elif isinstance(first, Sequence) and not isinstance(first, bytes | bytearray):
            rest.extend(reversed(first))
