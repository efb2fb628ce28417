"""Tells what kind of text it is by a cheap look at its lines, and reads it accordingly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ctxbudget.shortening.digest.code import is_code_line, read_code
from ctxbudget.shortening.digest.diffs import read_diff
from ctxbudget.shortening.digest.found import Found, Reader
from ctxbudget.shortening.digest.json_text import (
    looks_like_json,
    parsed,
    read_json,
    read_json_piece,
)
from ctxbudget.shortening.digest.logs import is_log_line, read_log
from ctxbudget.shortening.digest.markdown import is_markdown_line, read_markdown
from ctxbudget.shortening.digest.prose import read_prose
from ctxbudget.shortening.digest.tests_run import is_test_line, read_test_run
from ctxbudget.shortening.digest.traces import is_exception, is_frame, read_trace

_JSON_CHARS: Final = 4_000_000  # a longer text is not parsed as a whole
_LOOKED_AT: Final = 150  # lines from either end
_TEST_LINES: Final = 2
_FRAMES: Final = 2


def read(text: str, lines: Sequence[str]) -> Found:
    """Return what the text says, read by the shape it has; `lines` may be a sample of it."""
    value = parsed(text) if len(text) <= _JSON_CHARS else None
    if value is not None:
        return read_json(value)
    return reader_for(lines)(lines)


def reader_for(lines: Sequence[str]) -> Reader:
    """Return the reader of the shape that the lines have; prose if they have no other."""
    looked_at = [line for line in lines if line.strip()]
    if len(looked_at) > 2 * _LOOKED_AT:
        looked_at = looked_at[:_LOOKED_AT] + looked_at[-_LOOKED_AT:]

    def share_frac(is_one: Callable[[str], bool]) -> float:
        return sum(map(is_one, looked_at)) / max(1, len(looked_at))

    frames = sum(map(is_frame, looked_at))
    trace = frames >= _FRAMES and any(map(is_exception, looked_at))
    tests = sum(map(is_test_line, looked_at)) >= _TEST_LINES
    # The first that holds; a shape that others may hold inside comes later than they.
    choices: tuple[tuple[bool, Reader], ...] = (
        (looks_like_json(looked_at), read_json_piece),
        (_is_diff(looked_at), read_diff),
        (share_frac(is_log_line) >= 0.5, read_log),
        (tests, read_test_run),
        (trace and share_frac(is_code_line) < 0.5, read_trace),
        (share_frac(is_code_line) >= 0.3, read_code),
        (share_frac(is_log_line) >= 0.3, read_log),
        (share_frac(is_markdown_line) >= 0.1, read_markdown),
    )
    return next((reader for holds, reader in choices if holds), read_prose)


def _is_diff(lines: Sequence[str]) -> bool:
    """Return whether most lines could stand in a diff that has hunks."""
    if not any(line.startswith("@@ -") for line in lines):
        return False
    starts = ("+", "-", " ", "@@", "diff ", "index ", "commit ", "Author", "Date", "new ", "\\")
    return sum(line.startswith(starts) for line in lines) >= 0.7 * len(lines)
