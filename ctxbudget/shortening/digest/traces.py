"""Reads stack traces: what went wrong, and the frames of one's own code that are nearest to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ctxbudget.references import identifiers
from ctxbudget.shortening.digest.found import Found, once, one_line, plural

_PYTHON_FRAME: Final = re.compile(r'\s*+File "([^"]++)", line (\d++)(?:, in (.++))?')
_OTHER_FRAME: Final = re.compile(r"\s++at \S.*+|\s++\S+?\.(?:go|rs):\d++.*+")
_EXCEPTION: Final = re.compile(
    r"(?:Caused by: |Uncaught |Exception in thread \S++ |panic: |thread '[^']*+' panicked|fatal error: )"
    r"|(?:[A-Za-z_$][\w$]*+\.)*+(?![\d])\w*(?:Error|Exception|Warning|Interrupt|Exit|Failure)\b"
)
_FOREIGN: Final = re.compile(
    r"site-packages|node_modules|/lib/python|/usr/l|node:internal|\bjava\.|\bjavax\.|\bsun\.|"
    r"\bjdk\.|org\.spring|org\.junit|/rustc/|/go/src/|/go/pkg/|<frozen"
)
_SHOWN_FRAMES: Final = 6


def is_frame(line: str) -> bool:
    """Return whether `line` is a frame of a stack trace in one of the common languages."""
    return bool(_PYTHON_FRAME.match(line) or _OTHER_FRAME.match(line))


def is_exception(line: str) -> bool:
    """Return whether `line` begins with the name of an exception or a panic."""
    return bool(_EXCEPTION.match(line))


def read_trace(lines: Sequence[str]) -> Found:
    """Return the exceptions and the innermost own frames."""
    exceptions = once([one_line(line) for line in lines if is_exception(line)])
    frames = [_frame(line) for line in lines if is_frame(line)]
    # Python puts the innermost frame last, everybody else first.
    innermost_last = any(_PYTHON_FRAME.match(line) for line in lines)
    own = once([frame for frame in frames if not _FOREIGN.search(frame)] or frames)
    nearest = once(own[::-1] if innermost_last else own)[:_SHOWN_FRAMES]
    # The last exception of a chain is what was seen in Python; elsewhere it is the root cause.
    main = exceptions[-1:] + exceptions[:-1] if innermost_last else exceptions
    foreign = set(frames) - set(own)
    return Found(
        title=main[0] if main else "",
        shape=f"stack trace of {plural(len(frames), 'frame')}",
        findings=once([*main[:3], *nearest]),
        names=tuple(name for frame in nearest for name in identifiers(frame)),
        skipped=frozenset(name for frame in foreign for name in identifiers(frame)),
    )


def _frame(line: str) -> str:
    python = _PYTHON_FRAME.match(line)
    if python is None:
        return one_line(line)
    where = f" in {python[3]}" if python[3] else ""
    return f"{python[1]} line {python[2]}{where}"
