"""What the reader of one text shape hands over, and the line tools that all readers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

LINE_CHARS: Final = 160
"""The longest finding, in characters; identifiers are short, sentences are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a text says, most important first.

    Attributes:
        title: one line that names the text, or empty.
        shape: what kind of text it is, with its totals, in a few words.
        findings: lines to keep, most important first.
        names: exact strings that a later reader needs, most important first.
        skipped: identifiers of the text that nobody needs.
    """

    title: str = ""
    shape: str = ""
    findings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: frozenset[str] = frozenset()


Reader: TypeAlias = Callable[[Sequence[str]], Found]
"""Reads the lines of a text, none of them longer than a few thousand characters."""


def one_line(text: str, chars: int = LINE_CHARS) -> str:
    """Return `text` with its white space folded, cut at a space so that no name is torn."""
    folded = " ".join(text[: 4 * chars].split())
    if len(folded) <= chars:
        return folded
    return folded[: chars + 1].rpartition(" ")[0] or folded[:chars]


def plural(number: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def once(lines: Sequence[str]) -> tuple[str, ...]:
    """Return `lines` in order, each once, without empty ones."""
    return tuple(dict.fromkeys(line for line in lines if line))
