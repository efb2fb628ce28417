"""Reads and searches of which nothing was used again, and files that were read more than once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ctxbudget.core.types import Kind
from ctxbudget.debt.as_recorded import AsRecorded, Stay
from ctxbudget.debt.looks import only_looks
from ctxbudget.replay.recorded_run import RecordedRun

LEAST_TOKENS: Final = 100
"""Of a result that is worth a word: a placeholder in its place holds tens of tokens itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A tool result that did not have to be carried so long.

    `cost_usd` is what carrying it cost from `from_call` on; None if a price is not known.
    """

    stay: Stay
    from_call: int
    cost_usd: Decimal | None

    @property
    def calls(self) -> int:
        """How many calls carried it in vain."""
        return self.stay.last_call - self.from_call + 1


def speculative_reads(run: RecordedRun, recorded: AsRecorded) -> list[Read]:
    """Return what was read or searched for and carried on although nothing of it was used.

    A result is used if a later call wrote an identifier or a line and this was the latest item in
    its prompt to hold it. The first call that carries a result is needed to see that; what the
    calls after it paid is the cost. Results without any identifier or line (images) cannot be
    judged and are left out.
    """
    used = {one.holders[0] for use in run.uses.values() for one in (*use.references, *use.quotes)}
    calls = _calls_by_group(run, recorded)
    return [
        _read(recorded, stay, stay.first_call + 1)
        for stay in recorded.stays
        if stay.item.kind is Kind.TOOL_RESULT
        and stay.item.id not in used
        and stay.item.tokens >= LEAST_TOKENS
        and stay.calls > 1
        and run.library.names(stay.item.id)
        and _is_look(stay, calls)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rereads:
    """Files that were read again without anything new in them.

    Attributes:
        redundant: while a copy still stood in the prompt; the cost is that of the second copy.
        lost: after a compaction, a rewind or an edit had taken the copy; likewise.
    """

    redundant: tuple[Read, ...]
    lost: tuple[Read, ...]


def rereads(run: RecordedRun, recorded: AsRecorded) -> Rereads:
    """Return which files were read again although each line had been read before, at its place."""
    earlier: defaultdict[str, list[tuple[Stay, frozenset[str]]]] = defaultdict(list)
    redundant: list[Read] = []
    lost: list[Read] = []
    for stay in recorded.stays:
        source = stay.item.source
        text = run.text_of(stay.text)
        if source is None or not text or stay.item.kind is not Kind.TOOL_RESULT:
            continue
        lines = frozenset(line.strip() for line in text.split("\n"))
        copies = [one for one, held in earlier[source] if lines <= held]
        if copies and stay.calls and stay.item.tokens >= LEAST_TOKENS:
            still_there = any(_stands_with(one, stay) for one in copies)
            (redundant if still_there else lost).append(_read(recorded, stay, stay.first_call))
        earlier[source].append((stay, lines))
    return Rereads(redundant=tuple(redundant), lost=tuple(lost))


def superseded_reads(recorded: AsRecorded) -> list[Read]:
    """Return the reads that were carried on although a later read of the same file stood there.

    The later one may show another part of the file.
    """
    latest: dict[str, Stay] = {}
    found = []
    for stay in recorded.stays:
        source = stay.item.source
        if source is None or stay.item.kind is not Kind.TOOL_RESULT or not stay.calls:
            continue
        older = latest.get(source)
        latest[source] = stay
        if older is not None and _stands_with(older, stay) and older.item.tokens >= LEAST_TOKENS:
            found.append(_read(recorded, older, stay.first_call))
    return found


def _stands_with(one: Stay, later: Stay) -> bool:
    return not one.is_gone or one.last_call >= later.first_call


def _read(recorded: AsRecorded, stay: Stay, from_call: int) -> Read:
    usd = recorded.carried_usd(stay.item.tokens, from_call, stay.last_call)
    return Read(stay=stay, from_call=from_call, cost_usd=usd)


def _calls_by_group(run: RecordedRun, recorded: AsRecorded) -> Mapping[str, Any]:
    """Return what the tool of each group was called with."""
    return dict(_inputs(run, recorded))


def _inputs(run: RecordedRun, recorded: AsRecorded) -> Iterator[tuple[str, Any]]:
    for stay in recorded.stays:
        block = run.contents.get(stay.text or "")
        if stay.item.kind is Kind.TOOL_CALL and stay.item.group is not None and block is not None:
            yield stay.item.group, block.get("input")


def _is_look(stay: Stay, calls: Mapping[str, Any]) -> bool:
    item = stay.item
    return item.source is not None or only_looks(item.tool, calls.get(item.group or ""))
