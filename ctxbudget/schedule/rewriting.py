"""Puts the phases of a workflow file into another order, as text: all else stays as it was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from ctxbudget.config.document import Document, parse_document
from ctxbudget.core.errors import ConfigError


def with_order(text: str, path: str, order: Sequence[int]) -> str:
    """Return a workflow's text with its phases in another order.

    A phase takes along the comments that stand right above it. Blank lines between phases stay
    where they are. JSON has no comments and is written anew.

    Args:
        text: of the file.
        path: what errors call it.
        order: for each place, the number of the phase that goes there, as they stand now.

    Raises:
        ConfigError: the phases cannot be told apart in the text, or the result would say
            something else, as where an alias would stand before its anchor.
    """
    if path.endswith(".json") and (anew := _json_anew(text, order)) is not None:
        return anew
    document = parse_document(text, path)
    node = _phases_node(document)
    pieces = _flow_pieces(text, node) if node.flow_style else _block_pieces(text, node)
    written = _rearranged(text, pieces, order) if pieces else ""
    if not _says(written, path, _expected(document.content, order)):
        raise ConfigError(
            "its phases cannot be moved as text without changing what the file says, as where an "
            "alias (*) would come before its anchor (&); write them out one below the other, "
            "without aliases, or reorder them by hand",
            path=path,
            line=document.line_of(("phases",)),
            location=("phases",),
        )
    return written


def _json_anew(text: str, order: Sequence[int]) -> str | None:
    """Return JSON with its phases in another order; None if it is YAML, which may be called so."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return json.dumps(_expected(content, order), indent=2, ensure_ascii=False) + "\n"


def _phases_node(document: Document) -> yaml.SequenceNode:
    for key, value in document.root.value:
        if key.value == "phases" and isinstance(value, yaml.SequenceNode):
            return value
    raise ConfigError("has no list of phases; add `phases`", path=document.path)


def _expected(content: dict[str, Any], order: Sequence[int]) -> dict[str, Any]:
    return {**content, "phases": [content["phases"][one] for one in order]}


def _says(text: str, path: str, content: dict[str, Any]) -> bool:
    try:
        found = parse_document(text, path).content
    except ConfigError:
        return False
    return found == content and list(found) == list(content)


def _rearranged(text: str, pieces: list[tuple[int, int]], order: Sequence[int]) -> str:
    """Return a text with pieces of it in another order; what is between them stays in place."""
    parts, here = [], 0
    for (start, end), one in zip(pieces, order, strict=True):
        parts += [text[here:start], text[slice(*pieces[one])]]
        here = end
    return "".join((*parts, text[here:]))


def _flow_pieces(text: str, node: yaml.SequenceNode) -> list[tuple[int, int]]:
    """Return where each phase of a list in brackets stands."""
    pieces = [(one.start_mark.index, one.end_mark.index) for one in node.value]
    return pieces if _are_apart(pieces, len(text)) else []


def _block_pieces(text: str, node: yaml.SequenceNode) -> list[tuple[int, int]]:
    """Return where each phase of a list with dashes stands, comments above it included."""
    column = node.start_mark.column
    dashes = [_dash_line(text, one.start_mark.index, column) for one in node.value]
    starts = [_with_comments(text, one, column) for one in dashes]
    ends = [*starts[1:], _end(text, node, column)]
    pieces = [
        (start, start + len(text[start:end].rstrip()))
        for start, end in zip(starts, ends, strict=True)
    ]
    return pieces if _are_apart(pieces, len(text)) else []


def _are_apart(pieces: list[tuple[int, int]], length: int) -> bool:
    """Return True if pieces stand one behind the other; an alias stands where its anchor does."""
    edges = [0, *(edge for piece in pieces for edge in piece), length]
    return edges == sorted(edges)


def _dash_line(text: str, index: int, column: int) -> int:
    """Return where the line with the dash of a list's entry begins."""
    start = _line_start(text, index)
    while not _is_dash(text, start, column):
        if start == 0:
            return index
        start = _line_start(text, start - 1)
    return start


def _is_dash(text: str, start: int, column: int) -> bool:
    return text[start : start + column].isspace() is bool(column) and text.startswith(
        "-", start + column
    )


def _with_comments(text: str, start: int, column: int) -> int:
    """Return where the comments begin that stand right above a line, as far in as its dash."""
    while start:
        above = _line_start(text, start - 1)
        is_comment = not text[above : above + column].strip() and text.startswith(
            "#", above + column
        )
        if not is_comment:
            break
        start = above
    return start


def _end(text: str, node: yaml.SequenceNode, column: int) -> int:
    """Return where the last phase ends: comments behind it are its own if they stand further in."""
    start: int = node.value[-1].start_mark.index
    end = min(node.end_mark.index, len(text))
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and _is_outside(lines[-1], column):
        lines.pop()
    return start + sum(map(len, lines))


def _is_outside(line: str, column: int) -> bool:
    inner = line.strip()
    indent = len(line) - len(line.lstrip())
    return not inner or (inner.startswith("#") and indent <= column)


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1
