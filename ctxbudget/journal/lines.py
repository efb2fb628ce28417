"""One event, or one text, as a JSON line, and the way back.

An event is `{"fact": NAME, ...}`, `{"decision": NAME, ...}` or `{"effect": NAME, ...}`, without
the fields at their default; a text is `{"text": HASH, "content": VALUE}`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import Decision, Effect, Event, Fact

VERSION: Final = 1
HEADER: Final = {"journal": "ctxbudget", "version": VERSION}

_dumped: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_canonical: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True
).encode

HEADER_LINE: Final = _dumped(HEADER) + "\n"

# All surrogates but the first half of a pair: as two escapes, a pair would be read as one
# character. Such a half stays as it is, and the file is then UTF-8 but for these three bytes.
_TO_ESCAPE: Final = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|[\udc00-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A content that events name by its hash; `content` is any JSON value."""

    hash: str
    content: Any


def content_hash(content: Any) -> str:
    """Return the 32 hex digits by which events name a content (any JSON value).

    They are the 16-byte BLAKE2b of its compact JSON with sorted keys, so that the order of keys
    does not count. Raises `TypeError` or `ValueError` if it cannot be written as JSON.
    """
    return _hashed(_canonical(content))


def _hashed(canonical: str) -> str:
    return blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _name(kind: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


_CATEGORIES: Final[dict[str, tuple[type, ...]]] = {
    category: get_args(kinds) or (kinds,)
    for category, kinds in (("fact", Fact), ("decision", Decision), ("effect", Effect))
}
_KINDS: Final = {(cat, _name(kind)): kind for cat, kinds in _CATEGORIES.items() for kind in kinds}
_LABELS: Final = {kind: label for label, kind in _KINDS.items()}


@cache
def _adapter(label: tuple[str, str]) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[label])


def to_line(event: Event) -> dict[str, Any]:
    """Return an event as the mapping that a journal line holds."""
    label = _LABELS[type(event)]
    category, name = label
    fields = _adapter(label).dump_python(event, mode="json", exclude_defaults=True)
    return {category: name, **fields}


def event_line(event: Event) -> str:
    """Return an event's line, with its newline; the same event always gives the same line."""
    return _utf8(_dumped(to_line(event)) + "\n")


def text_line(text: str, content: Any) -> str:
    """Return the line, with its newline, of a content whose hash is `text`.

    Raises:
        ValueError: reading the line back would not give a content of this hash. Also `TypeError`
            or `ValueError` if the content cannot be written as JSON.
    """
    value = _dumped(content)
    # A string has one JSON form only; anything else is judged as a reader would see it.
    found = _hashed(value) if isinstance(content, str) else content_hash(json.loads(value))
    if found != text:
        raise ValueError(f"its hash is {found}")
    return _utf8(f'{{"text":{_dumped(text)},"content":{value}}}\n')


def _utf8(line: str) -> str:
    """Return a line with lone surrogates as JSON escapes, so that it can be written as UTF-8."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return _TO_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
    return line


def from_line(line: dict[str, Any], *, path: str = "journal", number: int | None = None) -> Event:
    """Return the event of a journal line.

    Raises:
        JournalError: the line is no event of this version.
    """
    category = next((cat for cat in _CATEGORIES if cat in line), "")
    label = (category, str(line.get(category)))
    if label not in _KINDS:
        raise JournalError(
            f"no event of journal version {VERSION}: {str(line)[:80]}", path=path, line=number
        )
    fields = {key: value for key, value in line.items() if key != category}
    try:
        event: Event = _adapter(label).validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise JournalError(
            f"{line[category]}: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            path=path,
            line=number,
        ) from None
    return event


def record_from_line(line: dict[str, Any], *, path: str, number: int) -> Event | TextLine:
    """Return the event or the text of a journal line.

    Raises:
        JournalError: the line is neither, or a text is not what its hash says.
    """
    if line.keys() != {"text", "content"}:
        return from_line(line, path=path, number=number)
    text = line["text"]
    if content_hash(line["content"]) != text:
        raise JournalError(
            f"the content is not the one whose hash is {text!r}, so it was changed since; restore "
            "the line",
            path=path,
            line=number,
        )
    return TextLine(hash=text, content=line["content"])


def check_header(line: dict[str, Any], path: str) -> None:
    """Check a journal's first line.

    Raises:
        JournalError: it is not the first line of a journal, or of one of another version.
    """
    if line.get("journal") != HEADER["journal"]:
        raise JournalError("does not begin as a ctxbudget journal", path=path, line=1)
    if line.get("version") != VERSION:
        raise JournalError(
            f"is of version {line.get('version')!r}, this program reads {VERSION}; update it",
            path=path,
            line=1,
        )
