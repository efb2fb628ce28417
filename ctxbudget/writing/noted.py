"""Values with comments beside them, and how they are written down as YAML.

A workflow that we write is a tree of mappings, lists and scalars. Any value in it may be `Noted`, to
carry a comment; a key that begins with `#` is a comment on lines of its own, or a blank line if it
is empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, Final

WIDTH: Final = 99
"""Of a line; a comment that makes one longer goes above it."""

_PLAIN: Final = re.compile(r"[A-Za-z][\w.-]*%?|[0-9]{1,3}%")
_NOT_TEXT: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_FOLDABLE: Final = re.compile(r"\S+(?: \S+)*")
"""Words with one space between them: what comes back from a folded text as it was."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment.

    Attributes:
        is_spaced: of a list of mappings, whether each is written key by key, with a blank line
            between two of them.
    """

    value: Any
    note: str = ""
    is_spaced: bool = False


def bare(value: Any) -> Any:
    """Return a value without its comments: what reading the written YAML gives."""
    if isinstance(value, Noted):
        return bare(value.value)
    if isinstance(value, Mapping):
        return {key: bare(one) for key, one in value.items() if not key.startswith("#")}
    if isinstance(value, list | tuple):
        return [bare(one) for one in value]
    return value


def as_text(head: Sequence[str], content: Mapping[str, Any]) -> str:
    """Return the text of a YAML file: paragraphs as comments at its top, then its content."""
    lines = [line for paragraph in head for line in comment(paragraph)]
    return "\n".join([*lines, *_mapping(content, "")]) + "\n"


def comment(text: str, indent: str = "") -> list[str]:
    """Return a paragraph as lines of comment; nothing in it can end one early."""
    mark = f"{indent}# "
    return wrap(
        _printable(text),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_long_words=False,
        break_on_hyphens=False,
    )


def scalar(value: str | float | bool | None) -> str:
    """Return a scalar as YAML: text plain where that is safe, else in double quotes."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
            return value
        return "".join(map(_escaped, json.dumps(value, ensure_ascii=False)))
    return json.dumps(value)


def _escaped(char: str) -> str:
    """Return a character as it may stand between double quotes."""
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _mapping(content: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, one in content.items():
        if key.startswith("#"):
            yield from comment(str(bare(one)), indent) or [""]
        else:
            yield from _entry(f"{indent}{scalar(key)}:", one, indent)


def _entry(start: str, one: Any, indent: str) -> Iterator[str]:
    """Yield the lines of a key or a list's dash, and of what stands behind it."""
    value, note, is_spaced = _taken_apart(one)
    if isinstance(value, Mapping) and not bare(value):
        value = {}  # comments alone would leave nothing, not an empty mapping
    flow = None if is_spaced and value else _flow(value)
    if flow is not None and len(start) + 1 + len(flow) <= WIDTH:
        yield from _with_note(f"{start} {flow}", note, indent)
    elif isinstance(value, str) and _FOLDABLE.fullmatch(value) and value.isprintable():
        yield from _with_note(f"{start} >-", note, indent)
        inner = indent + "  "
        yield from wrap(
            value,
            WIDTH,
            initial_indent=inner,
            subsequent_indent=inner,
            break_long_words=False,
            break_on_hyphens=False,
        )
    elif isinstance(value, Mapping) and value:
        yield from _with_note(start, note, indent)
        yield from _mapping(value, indent + "  ")
    elif isinstance(value, list | tuple) and value:
        yield from _with_note(start, note, indent)
        yield from _list(value, indent + "  ", is_spaced=is_spaced)
    else:
        yield from _with_note(f"{start} {flow}", note, indent)


def _list(elements: Sequence[Any], indent: str, *, is_spaced: bool) -> Iterator[str]:
    for number, one in enumerate(elements):
        value, note, _ = _taken_apart(one)
        flow = _flow(value)
        fits = flow is not None and len(indent) + 2 + len(flow) <= WIDTH
        is_empty = isinstance(value, Mapping) and not bare(value)
        if not isinstance(value, Mapping) or is_empty or (fits and not is_spaced):
            yield from _entry(f"{indent}-", one, indent)
            continue
        if is_spaced and number:
            yield ""
        if note:
            yield from comment(note, indent)
        yield from _dashed(_mapping(value, indent + "  "), indent)


def _dashed(lines: Iterator[str], indent: str) -> Iterator[str]:
    """Yield an element's lines, with its dash on the first that is no comment."""
    is_open = True
    for line in lines:
        if is_open and not line.lstrip().startswith("#"):
            is_open = False
            yield f"{indent}- {line[len(indent) + 2 :]}"
        else:
            yield line


def _with_note(line: str, note: str, indent: str) -> Iterator[str]:
    if not note:
        yield line
    elif len(line) + 3 + len(note) <= WIDTH:
        yield f"{line} # {_printable(note)}"
    else:
        yield from comment(note, indent)
        yield line


def _taken_apart(one: Any) -> tuple[Any, str, bool]:
    if isinstance(one, Noted):
        return one.value, one.note, one.is_spaced
    return one, "", False


def _flow(value: Any) -> str | None:
    """Return a value on one line; None if it has comments in it, or is a list of mappings."""
    if isinstance(value, Mapping):
        pairs = [(key, _flow(one)) for key, one in value.items()]
        if any(key.startswith("#") or flow is None for key, flow in pairs):
            return None
        return "{" + ", ".join(f"{scalar(key)}: {flow}" for key, flow in pairs) + "}"
    if isinstance(value, list | tuple):
        flows = [_flow(one) for one in value if not isinstance(one, Mapping)]
        if len(flows) < len(value):
            return None
        shown = [flow for flow in flows if flow is not None]
        return f"[{', '.join(shown)}]" if len(shown) == len(flows) else None
    return None if isinstance(value, Noted) else scalar(value)
