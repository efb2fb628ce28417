"""Reads Markdown reports and plans: marked lines, conclusions, the sections there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line, plural

_HEADING: Final = re.compile(r"(#{1,6}) ++(.++)")
_BULLET: Final = re.compile(r"\s*+(?:[-*+]|\d++[.)]) ++(?:\[[ xX]\] ++)?(.++)")
_FENCE: Final = re.compile(r"\s*+(?:```|~~~)")
_TABLE: Final = re.compile(r"\s*+\||[\s:|-]++$")

# Words that mark a line as worth keeping, the strongest first; the rank orders the findings.
_MARKS: Final = (
    re.compile(
        r"\b(?:decisions?|decided|conclusions?|must(?: not)?|may not|nothing may|never|constraints?)\b",
        re.I,
    ),
    re.compile(r"\b(?:findings?|results?|root cause|because|bug|fails?|failed|error)\b", re.I),
    re.compile(r"\b(?:open questions?|questions?|todo|fixme|risks?|blocked|warning)\b", re.I),
)
_KEY_SECTION: Final = re.compile(
    r"\b(?:conclusions?|summary|results?|decisions?|findings|recommendations?|next steps|outcome|"
    r"open questions|constraints|risks)\b",
    re.I,
)
_EMPHASIS: Final = re.compile(r"\*\*|__(?=\s|$)")
_SHOWN_SECTIONS: Final = 12
_UNMARKED: Final = len(_MARKS) + 1


def is_markdown_line(line: str) -> bool:
    """Return whether `line` is a heading, a bullet, a fence or a row of a table."""
    return bool(
        _HEADING.match(line)
        or _BULLET.match(line)
        or _FENCE.match(line)
        or line.lstrip().startswith("|")
    )


def rank_of(line: str) -> int:
    """Return how strongly a line is marked: 0 is the strongest, `len(_MARKS)` is not at all."""
    return next((rank for rank, mark in enumerate(_MARKS) if mark.search(line)), len(_MARKS))


def read_markdown(lines: Sequence[str]) -> Found:
    """Return the title, marked lines and key sections first, then the other sections' names."""
    headings = [found[2].strip(" #") for line in lines if (found := _HEADING.match(line))]
    ranked = sorted(_ranked(lines), key=lambda pair: pair[0])
    sections = f"sections: {'; '.join(headings[1 : 1 + _SHOWN_SECTIONS])}"
    key_lines = [one_line(line) for rank, line in ranked if rank < _UNMARKED]
    rest = [one_line(line) for rank, line in ranked if rank >= _UNMARKED]
    return Found(
        title=one_line(headings[0]) if headings else "",
        shape=f"Markdown, {plural(len(headings), 'heading')}",
        findings=once([*key_lines, *([one_line(sections)] if headings[1:] else []), *rest]),
    )


def _ranked(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield (rank, line) of bullets and sentences; a key section lifts its lines by one rank."""
    in_key_section = False
    for block in _blocks(lines):
        if heading := _HEADING.match(block):
            in_key_section = bool(_KEY_SECTION.search(heading[2]))
            continue
        bullet = _BULLET.match(block)
        text = _EMPHASIS.sub("", bullet[1] if bullet else block.strip())
        rank = rank_of(text)
        marked = rank < len(_MARKS) or in_key_section
        yield (rank - in_key_section if marked else _UNMARKED + (not bullet)), text


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    """Yield headings, bullets and paragraphs, wrapped lines joined; no fences, no tables."""
    block: list[str] = []
    in_fence = False
    for line in lines:
        is_fence = bool(_FENCE.match(line))
        in_fence ^= is_fence
        skipped = in_fence or is_fence or not line.strip() or bool(_TABLE.match(line))
        is_heading = bool(_HEADING.match(line))
        if block and (skipped or is_heading or _BULLET.match(line)):
            yield " ".join(block)
            block = []
        if is_heading and not skipped:
            yield line
        elif not skipped:
            block.append(line.strip())
    if block:
        yield " ".join(block)
