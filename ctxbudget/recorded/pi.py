"""Pi's session files: JSON lines, of which a message of the assistant carries its usage and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

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
    usd,
)

SOURCE: Final = "pi"

_KNOWN: Final = frozenset(
    {
        "session",
        "message",
        "model_change",
        "thinking_level_change",
        "compaction",
        "branch_summary",
        "custom",
        "custom_message",
        "label",
        "session_info",
    }
)


def is_line(line: Mapping[str, Any]) -> bool:
    """Return whether a line is the first one of this format."""
    return line.get("type") == "session" and "version" in line and "cwd" in line


def rows(lines: Iterable[Line], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield a file's calls as they come."""
    for number, line in lines:
        kind, message = text_of(line.get("type")), mapping(line.get("message"))
        if kind == "session" and file.session is None:
            file.session, file.project = text_of(line.get("id")), text_of(line.get("cwd"))
        elif kind == "compaction":
            file.summaries += 1
        elif kind not in _KNOWN:
            file.skip(kind)
        usage = message.get("usage")
        if message.get("role") != "assistant" or not isinstance(usage, dict):
            continue
        try:
            tokens = Split(
                count(usage, "input"),
                count(usage, "cacheRead"),
                count(usage, "cacheWrite"),
                0,
                count(usage, "output"),
            )
        except DamagedUsageError:
            file.damage(number)
            continue
        if not any(tokens):
            continue  # the call was refused or broken off before anything was counted
        yield UsageRow(
            id=text_of(message.get("responseId")),
            model=text_of(message.get("model")) or "",
            at_s=seconds(line.get("timestamp")),
            tokens=tokens,
            recorded_usd=usd(mapping(usage.get("cost")).get("total")),
        )
