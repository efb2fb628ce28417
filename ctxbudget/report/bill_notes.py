"""What a bill has to be read with: what is missing in it, and what stands in it twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ctxbudget.recorded.bill import UNKNOWN, Bill
from ctxbudget.recorded.formats import DOCUMENT_FORMATS
from ctxbudget.recorded.usage import DAMAGED_KEPT, RecordedFile
from ctxbudget.report.plain import how_many

_DOCUMENTS: Final = frozenset(one.source for one in DOCUMENT_FORMATS)
"""Formats whose places are messages, not lines."""


def file_notes(file: RecordedFile, *, is_whole: bool = True) -> Iterator[str]:
    """Yield what is to be told of one file once it was read.

    Unless all of it was asked for, what it counts over all its calls is left out: nobody knows how
    much of that falls into the range.
    """
    if file.damaged_lines:
        numbers = ", ".join(f"{number:,}" for number in file.damaged)
        more = file.damaged_lines - DAMAGED_KEPT
        rest = f" and {more:,} more" if more > 0 else ""
        place = "message" if file.source in _DOCUMENTS else "line"
        what = f"damaged {place}{'' if file.damaged_lines == 1 else 's'}"
        yield f"{file.file}: {what} left out: {numbers}{rest}"
    if file.broken_off is not None:
        yield f"{file.file}: {file.broken_off}"
    if file.skipped:
        types = ", ".join(f"{kind} {lines:,}" for kind, lines in sorted(file.skipped.items()))
        yield f"{file.file}: lines of types that are not known, skipped: {types}"
    if is_whole:
        yield from _not_in_the_bill(file)


def _not_in_the_bill(file: RecordedFile) -> Iterator[str]:
    if file.silent_calls:
        yield (
            f"{file.file}: of {how_many(file.silent_calls, 'call')} no provider told what was used, so "
            "they are not in the bill; `ctxbudget show` has what was counted before"
        )
    if file.unlisted_tokens:
        yield (
            f"{file.file}: its running total grew by {file.unlisted_tokens:,} tokens more than its "
            "calls used, so a call is missing in it and in the bill"
        )


def bill_notes(bill: Bill, files: Iterable[RecordedFile]) -> Iterator[str]:
    """Yield what is to be told of a finished bill; `files` are those that count as a whole."""
    for model in bill.prices.unknown:
        yield (
            f"no price is known for model {model or UNKNOWN}; its calls are counted, their cost "
            "is not"
        )
    for rate, calls in sorted(bill.rates.items()):
        yield f"{_calls(calls)} at another rate ({rate}) cost the standard one here"
    if bill.undated_calls:
        yield f"{_calls(bill.undated_calls)} without a date left out, as a range is asked for"
    for one in bill.duplicates:
        where = "earlier in it" if one.file == one.also_in else f"in {one.also_in}"
        yield (
            f"{one.file}: {_calls(one.sums.calls)} ({one.sums.cost_usd:.4f} USD) recorded "
            f"{where} too, and counted again"
        )
    total = bill.total
    if total.placeholder_calls:
        yield (
            f"{_calls(total.placeholder_calls)} of {total.calls:,} recorded only a placeholder of "
            f"their output; by their text, about {total.placeholder_missing_tokens:,} tokens "
            f"({total.placeholder_missing_usd:.4f} USD) are missing in the bill"
        )
    yield from _not_in_the_logs(bill, list(files))


def _not_in_the_logs(bill: Bill, files: list[RecordedFile]) -> Iterator[str]:
    summaries = sum(file.summaries for file in files)
    if summaries:
        yield f"of {how_many(summaries, 'compaction')} the call that summarized is not recorded"
    heard = {thread.agent for thread in bill.threads}
    silent = {agent for file in files for agent in file.named_agents} - heard
    if silent:
        yield f"of {how_many(len(silent), 'sub-agent')} only the result is recorded, not the calls"


def _calls(calls: int) -> str:
    return how_many(calls, "call")
