"""Reads logs: counts by level, the time they span, fatal lines, errors, what repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line
from ctxbudget.shortening.digest.names import ranked_names

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d++)?)?(?:Z|[+-]\d\d:?\d\d)?|\b\d\d:\d\d:\d\d(?:[.,]\d++)?"
)
_LEVEL: Final = re.compile(
    r"\b(FATAL|CRITICAL|ERROR|WARN(?:ING)?|INFO|DEBUG|TRACE)\b|\blevel=\"?(\w++)|\"level\": ?\"(\w++)"
)
_ORDER: Final = ("FATAL", "CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "TRACE")
_SEVERE: Final = frozenset({"FATAL", "CRITICAL", "ERROR"})
_SHORT: Final = {"WARN": "WARNING", "ERR": "ERROR", "PANIC": "FATAL"}
_CHANGING: Final = re.compile(r"0x[0-9a-f]++|[0-9a-f]{8,}+|\d++")
_SHOWN: Final = 12


def level_of(line: str) -> str:
    """Return the level a log line carries, in capitals, or nothing."""
    found = _LEVEL.search(line)
    if found is None:
        return ""
    level = next(group for group in found.groups() if group).upper()
    return _SHORT.get(level, level)


def is_log_line(line: str) -> bool:
    """Return whether `line` begins with a time or carries a level near its beginning."""
    return bool(_TIME.search(line[:40]) or level_of(line[:60]))


def read_log(lines: Sequence[str]) -> Found:
    """Return counts by level, fatal lines, errors (first, last, each kind), then warnings."""
    levels = [level_of(line) for line in lines]
    severe = [line for line, level in zip(lines, levels, strict=True) if level in _SEVERE]
    warned = [line for line, level in zip(lines, levels, strict=True) if level == "WARNING"]
    times = [found[0] for line in (*lines[:50], *lines[-50:]) if (found := _TIME.search(line[:60]))]
    counts = Counter(level for level in levels if level)
    told = ", ".join(f"{counts[level]} {level}" for level in _ORDER if counts[level])
    span = f", {times[0]} to {times[-1]}" if times else ""
    fatal = [line for line in severe if level_of(line) != "ERROR"]
    errors = [line for line in severe if level_of(line) == "ERROR"]
    ends = [f"first error: {errors[0]}", f"last error: {errors[-1]}"] if errors[1:] else []
    return Found(
        title=f"log{told and f': {told}'}{span}",
        findings=once([*_kinds(fatal), *map(one_line, ends), *_kinds(errors), *_kinds(warned)]),
        names=tuple(ranked_names(severe)),
    )


def _kinds(lines: Sequence[str]) -> list[str]:
    """Return one line for each kind of message, with how often it came, most frequent first."""
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for line in lines:
        message = _TIME.sub("", line[:400], count=1).strip()
        kind = _CHANGING.sub("#", message)
        examples.setdefault(kind, message)
        counts[kind] += 1
    return [
        one_line(f"{number}x {examples[kind]}" if number > 1 else examples[kind])
        for kind, number in counts.most_common(_SHOWN)
    ]
