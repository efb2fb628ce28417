"""Which format a file is of, by what it holds; what cannot be billed is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Final

from ctxbudget.core.errors import SourceError
from ctxbudget.recorded import claude_code, codex, message_list, mini_swe, own_journal, pi
from ctxbudget.recorded.lines import BROKEN, Line, parsed_lines, raw_lines, rest_of, value_of
from ctxbudget.recorded.usage import RecordedFile, UsageRow, mapping

HEAD_LINES: Final = 50
"""So many lines are looked at for one that tells the format."""

READ: Final = (
    "Claude Code sessions, Codex rollouts or another format that `ctxbudget audit --help` lists"
)
"""What files may hold, for errors that name the next step."""

_PHASES: Final = re.compile(rb"^phases[ \t]*:", re.MULTILINE)
"""What every workflow in YAML has at its left edge."""

_HEAD_BYTES: Final = 1_000_000
"""So much of a file that is no JSON is looked at for that."""

_OPENING: Final = (b"{", b"[")


class RefusedError(SourceError):
    """A file is no recorded session, or is one that does not tell what its calls used.

    Attributes:
        step: what to do, where that is not to name another file.
    """

    def __init__(self, reason: str, *, step: str = "") -> None:
        self.step = step
        super().__init__(f"{reason}; {step}" if step else reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFormat:
    """A format of JSON lines."""

    source: str
    is_line: Callable[[Mapping[str, Any]], bool]
    rows: Callable[[Iterable[Line], RecordedFile], Iterator[UsageRow]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFormat:
    """A format of one JSON document."""

    source: str
    is_document: Callable[[object], bool]
    rows: Callable[[Any, RecordedFile], Iterator[UsageRow]]


LINE_FORMATS: Final = tuple(
    LineFormat(source=one.SOURCE, is_line=one.is_line, rows=one.rows)
    for one in (own_journal, codex, pi, claude_code)
)
DOCUMENT_FORMATS: Final = tuple(
    DocumentFormat(source=one.SOURCE, is_document=one.is_document, rows=one.rows)
    for one in (mini_swe, message_list)
)


@dataclass(frozen=True, slots=True)
class Recognized:
    """A recorded file's format and content: its lines, as they are asked for, or its document."""

    format: LineFormat | DocumentFormat
    content: Any

    @property
    def source(self) -> str:
        """The name of the format."""
        return self.format.source


def usage_rows(stream: IO[bytes], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield the calls that a stream records, telling `file` what else it holds.

    Raises:
        RefusedError: the format is not known, or has no usage by call.
    """
    found = recognized(stream, file)
    return found.format.rows(found.content, file)


def recognized(stream: IO[bytes], file: RecordedFile) -> Recognized:
    """Return what a stream is; JSON lines are read as they are asked for, a document is held whole.

    Raises:
        RefusedError: the format is not known, or has no usage by call.
    """
    raws = raw_lines(stream, file)
    head: list[bytes] = []
    found: list[dict[str, Any]] = []
    for raw in raws:
        head.append(raw)
        if raw.strip() in _OPENING and not found:
            break  # a document on many lines
        try:
            value = value_of(raw)
        except ValueError:
            value = None
        if isinstance(value, dict):
            found.append(value)
            for one in LINE_FORMATS:
                if one.is_line(value):
                    file.source = one.source
                    return Recognized(one, parsed_lines(chain(head, raws), file))
        if len(head) == HEAD_LINES:
            break
    return _document(head, found, stream, file)


def _document(
    head: list[bytes], found: list[dict[str, Any]], stream: IO[bytes], file: RecordedFile
) -> Recognized:
    filled = [raw for raw in head if raw.strip()]
    is_lines = bool(found) and len(filled) > 1 and _parses(filled[0])
    if not filled:
        raise RefusedError(file.broken_off or "is empty")
    if is_lines:
        raise _refused(found[0])
    if filled[0].lstrip()[:1] not in (b"{", b"["):
        is_workflow = not found and _PHASES.search(b"".join((*head, _more(stream))))
        raise _is_a_workflow() if is_workflow else _refused(found[0] if found else None)
    try:
        value = value_of(b"".join((*head, rest_of(stream, file))))
    except ValueError:
        error = RefusedError(file.broken_off) if file.broken_off else _refused(None)
        raise error from None
    for one in DOCUMENT_FORMATS:
        if one.is_document(value):
            file.source = one.source
            return Recognized(one, value)
    raise _refused(value)


def _more(stream: IO[bytes]) -> bytes:
    """Return a little of what is left of a stream; nothing where it cannot be read."""
    try:
        return stream.read(_HEAD_BYTES)
    except BROKEN:
        return b""


def _parses(raw: bytes) -> bool:
    try:
        value_of(raw)
    except ValueError:
        return False
    return True


def _refused(value: object) -> RefusedError:
    """Return the error for a file that is not read, by its name where it has one."""
    kind = mapping(value).get("type")
    if isinstance(kind, str) and kind.startswith("session.") and "data" in mapping(value):
        return RefusedError("is a log of the Copilot CLI, which does not tell what each call used")
    if "trajectory" in mapping(value) and "history" in mapping(value):
        return RefusedError(
            "is a SWE-agent trajectory, which tells totals but not what each call used"
        )
    if message_list.messages_of(value):
        return RefusedError("is a list of messages without usage")
    if "phases" in mapping(value):
        return _is_a_workflow()
    return RefusedError("is of no format that is known")


def _is_a_workflow() -> RefusedError:
    return RefusedError("is a workflow, not a recorded session", step="use `ctxbudget simulate`")
