"""Reads JSON and JSON lines: keys, lengths, and the scalar values that tell most."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line

_DEPTH: Final = 4
_NEAR_TOP: Final = 2
_SHOWN_KEYS: Final = 12
_SHOWN_ITEMS: Final = 3
_VALUE_CHARS: Final = 100
_MOST_LINES: Final = 200

# Keys whose values a later reader asks for first.
_TELLING_KEY: Final = re.compile(
    r"error|message|reason|status|state|^id$|_id$|Id$|name|path|file|code|url|version|total|count",
    re.IGNORECASE,
)
_BAD_VALUE: Final = re.compile(r"error|fail|exception|denied|invalid|timeout|missing", re.I)
_KEY: Final = re.compile(r'"([^"\\\n]{1,60}+)"\s*+:')


def parsed(text: str) -> object:
    """Return the value of a JSON text, or a list of the values of JSON lines; else None."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        return None
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    lines = [line for line in stripped.split("\n") if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(("{", "[")) for line in lines):
        return None
    try:
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return None


def looks_like_json(lines: Sequence[str]) -> bool:
    """Return whether the lines are a piece of a JSON text, which may not parse by itself."""
    text = "\n".join(lines[:40]).strip()
    return text.startswith(("{", "[")) and len(_KEY.findall(text)) >= 2


def read_json(value: object) -> Found:
    """Return the outline of a parsed JSON value."""
    told = sorted(_told(value), key=lambda pair: pair[0])
    return Found(
        title=one_line(f"JSON {_shape(value)}"),
        findings=once([one_line(line) for _, line in told[:_MOST_LINES]]),
    )


def read_json_piece(lines: Sequence[str]) -> Found:
    """Return the keys of a JSON text that is cut off or otherwise does not parse."""
    keys = once([key for line in lines for key in _KEY.findall(line)])
    told = one_line(f"keys: {' '.join(keys)}")
    return Found(title="JSON that does not parse as it stands", findings=(told,))


def _shape(value: object, depth: int = 0) -> str:
    """Return `object {a, b}`, `list of 3: object {a, b}`, or the scalar itself."""
    if isinstance(value, dict):
        keys = ", ".join(list(value)[:_SHOWN_KEYS])
        more = f", … {len(value)} keys" if len(value) > _SHOWN_KEYS else ""
        return f"object {{{keys}{more}}}"
    if isinstance(value, list):
        return f"list of {len(value):,}" + (
            f": {_shape(value[0], depth + 1)}" if value and depth < _DEPTH else ""
        )
    return json.dumps(value, ensure_ascii=False)[:_VALUE_CHARS]


def _told(root: object) -> Iterator[tuple[int, str]]:
    """Yield (rank, line) for scalars and containers near the top; rank 0 tells most."""
    rest: list[tuple[str, object, int, bool]] = [("", root, 0, False)]
    while rest:
        path, value, depth, beside_failure = rest.pop()
        if not isinstance(value, dict | list):
            yield _rank(path, value, depth, beside_failure), f"{path}: {_shape(value)}"
            continue
        if depth:
            yield 2 + depth, f"{path}: {_shape(value)}"
        if depth < _DEPTH:
            children = list(_children(path, value))
            failed = any(_tells_failure(child_path, child) for child_path, child in children)
            rest.extend((*child, depth + 1, failed) for child in reversed(children))


def _tells_failure(path: str, value: object) -> bool:
    key = path.rpartition(".")[2]
    told = isinstance(value, str) and _TELLING_KEY.search(key)
    return bool(told and _BAD_VALUE.search(f"{key} {str(value)[:500]}"))


def _rank(path: str, value: object, depth: int, beside_failure: bool) -> int:
    """Return 0 for what failed and what names it, 1 for telling keys near the top, else more."""
    if not _TELLING_KEY.search(path.rpartition(".")[2]):
        return 2 + depth
    return 0 if beside_failure else 1 if depth <= _NEAR_TOP else 2 + depth


def _children(path: str, value: dict[str, object] | list[object]) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, child in list(value.items())[: 4 * _SHOWN_KEYS]:
            yield (f"{path}.{key}" if path else str(key)), child
    else:
        for at, child in enumerate(value[:_SHOWN_ITEMS]):
            yield f"{path}[{at}]", child
