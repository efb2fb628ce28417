"""Which reader turns a recorded file into exchanges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ctxbudget.core.errors import SourceError
from ctxbudget.recorded.claude_code import SOURCE as CLAUDE_CODE
from ctxbudget.recorded.formats import Recognized
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.transcripts import claude_code, codex, message_list, mini_swe, pi
from ctxbudget.transcripts.exchange import Exchange

READERS: Final[dict[str, Callable[[Any, RecordedFile], Iterator[Exchange]]]] = {
    CLAUDE_CODE: claude_code.exchanges,
    "codex": codex.exchanges,
    "mini_swe": mini_swe.exchanges,
    "messages": message_list.exchanges,
    "pi": pi.exchanges,
}


def exchanges(
    found: Recognized, file: RecordedFile, agent: str | None = None
) -> Iterator[Exchange]:
    """Yield a file's exchanges: its main thread's, or those of a sub-agent that it records.

    Raises:
        SourceError: a sub-agent is asked for where the format keeps each in a file of its own, or
            the file is a journal of ours, which needs no reader.
    """
    if found.source not in READERS:
        raise SourceError(f"{file.file}: a journal is read from a plain file; unpack it first")
    if agent is None:
        return READERS[found.source](found.content, file)
    if found.source != CLAUDE_CODE:
        raise SourceError(
            f"{file.file}: sub-agents of {found.source} sessions have files of their own; name that "
            "file instead of --agent"
        )
    return claude_code.exchanges(found.content, file, agent)
