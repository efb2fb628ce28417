"""From bytes to JSON values: plain or gzip, line by line, past what is damaged."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import IO, Any, NoReturn, TypeAlias, cast

from pydantic_core import from_json

from ctxbudget.recorded.usage import RecordedFile

Line: TypeAlias = tuple[int, dict[str, Any]]
"""Its number, from 1, and its values."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
BROKEN = (EOFError, zlib.error, OSError)
"""What gzip raises on a file that is cut off or damaged."""


def unpacked(stream: BufferedReader) -> IO[bytes]:
    """Return a stream as it is, or unpacked if it is gzip, whatever its name says."""
    if stream.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    return stream


def raw_lines(stream: IO[bytes], file: RecordedFile) -> Iterator[bytes]:
    """Yield a stream's lines; where it breaks off, that is kept in `file`, and it ends."""
    number = 0
    try:
        for raw in stream:
            number += 1
            yield raw
    except BROKEN as error:
        where = f"cannot be read beyond line {number:,}" if number else "no line can be read"
        file.broken_off = f"{where}: {_reason(error)}"


def rest_of(stream: IO[bytes], file: RecordedFile) -> bytes:
    """Return what is left of a stream; nothing if it breaks off, which is kept in `file`."""
    try:
        return stream.read()
    except BROKEN as error:
        file.broken_off = f"cannot be read to its end: {_reason(error)}"
        return b""


def _reason(error: Exception) -> str:
    return str(error).rstrip(".").lower()


def value_of(raw: bytes) -> Any:
    """Return the JSON value of a line or a document.

    Raises:
        ValueError: it is none.
    """
    try:
        return from_json(raw, cache_strings="keys", allow_inf_nan=False)
    except ValueError:
        return _value_slowly(raw)


def _value_slowly(raw: bytes) -> Any:
    """Return what the fast parser refuses: half a surrogate pair, a byte-order mark, deep nesting."""
    try:
        text = raw.removeprefix(_BOM).decode("utf-8", "surrogatepass")
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def parsed_lines(raws: Iterable[bytes], file: RecordedFile) -> Iterator[Line]:
    """Yield the lines that hold a mapping; others that are not blank count as damaged."""
    for number, raw in enumerate(raws, 1):
        try:
            value = value_of(raw)
        except ValueError:
            if raw.strip():
                file.damage(number)
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            file.damage(number)
