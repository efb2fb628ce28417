"""Our own journals: of a live run, each answered call and what summaries used.

A simulation's journal holds no answer of a provider, so it has no calls here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ctxbudget.core.types import MAIN
from ctxbudget.journal.lines import HEADER
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.usage import (
    DamagedUsageError,
    RecordedFile,
    Split,
    UsageRow,
    count,
    mapping,
    seconds,
    text_of,
)

SOURCE: Final = "journal"

_EPOCH_S: Final = 1e9
"""Below it (the year 2001), a clock does not count from 1970, and a call's date is not known."""


def is_line(line: Mapping[str, Any]) -> bool:
    """Return whether a line is the first one of this format."""
    return line.get("journal") == HEADER["journal"]


def rows(lines: Iterable[Line], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield a journal's calls as they come, and the summaries a model wrote as calls of their thread."""
    model = ""
    for number, line in lines:
        fact = line.get("fact")
        if fact == "run_started":
            model = text_of(line.get("model")) or ""
            file.project = text_of(line.get("workflow"))
        elif not line.keys() & {"fact", "decision", "effect", "text", "journal"}:
            file.skip(None)
        if line.get("decision") == "call_sent":
            file.silent_calls += 1
        elif fact == "call_answered":
            file.silent_calls = max(0, file.silent_calls - 1)
        usage = line if fact == "call_answered" else mapping(line.get("charge"))
        if not usage or (fact != "call_answered" and fact != "shortened"):
            continue
        try:
            tokens = _split(usage)
        except DamagedUsageError:
            file.damage(number)
            continue
        thread, at_s = text_of(line.get("thread")) or MAIN, seconds(line.get("at"))
        yield UsageRow(
            model=text_of(usage.get("model")) or model,
            agent=None if thread == MAIN else thread,
            at_s=at_s if at_s is not None and at_s >= _EPOCH_S else None,
            tokens=tokens,
        )


def _split(usage: Mapping[str, Any]) -> Split:
    long_tokens = count(usage, "cache_write_1h_tokens")
    written_tokens = count(usage, "cache_write_tokens")
    if long_tokens > written_tokens:
        raise DamagedUsageError(f"{long_tokens} of {written_tokens} written tokens")
    return Split(
        count(usage, "uncached_tokens"),
        count(usage, "cache_read_tokens"),
        written_tokens - long_tokens,
        long_tokens,
        count(usage, "output_tokens"),
    )
