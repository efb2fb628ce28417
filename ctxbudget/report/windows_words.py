"""One long window and fresh ones side by side: the rows and words that all reports share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ctxbudget.fresh import HANDOFF_TOKENS, MOST_CALLS, Played, Windows
from ctxbudget.metrics import PhaseRow
from ctxbudget.report.course_words import EXPECTED_COURSE
from ctxbudget.report.money import usd_cell

RUN: Final = "run"

PHASE_HEADS: Final = ("calls", "peak", "sent", "USD")
"""Shown of each way."""


def phase_rows(found: Windows) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield each phase's name with its cells in the long window and in a fresh one; the run's last.

    USD of the run hold the hand-offs as output, which no phase's hold.
    """
    pairs = zip(found.long.metrics.phases, found.fresh.metrics.phases, strict=True)
    for long, fresh in pairs:
        yield long.id, _phase_cells(long), _phase_cells(fresh)
    yield RUN, _run_cells(found.long), _run_cells(found.fresh)


def _phase_cells(row: PhaseRow) -> tuple[str, ...]:
    return (
        f"{row.calls:,}",
        f"{row.peak_tokens:,}",
        f"{row.sent_tokens:,}",
        usd_cell(row.cost_usd),
    )


def _run_cells(played: Played) -> tuple[str, ...]:
    run = played.metrics.run
    return (
        f"{run.calls:,}",
        f"{run.peak_tokens:,}",
        f"{run.sent_tokens:,}",
        usd_cell(played.cost_usd),
    )


def sentences(found: Windows, price_date: str | None) -> Iterator[str]:
    """Yield what the numbers say, and what they rest on."""
    long, fresh, saved = found.long, found.fresh, found.saved_usd
    if saved is None:
        yield "costs are not known: name a model with a price, by --model or in the file"
    elif saved > 0:
        yield f"fresh windows are cheaper by {saved:.4f} USD ({_share(found)} of the long one)"
    elif saved < 0:
        yield f"the long window is cheaper by {-saved:.4f} USD (fresh ones cost {_share(found)} of it)"
    else:
        yield "both cost the same"
    yield f"rewrites of a warm cache: {long.rewrites:,} in the long window, {fresh.rewrites:,} in fresh ones"
    yield from _handoffs(found)
    if saved is not None:
        yield _handoff_limit(found)
        yield _calls_limit(found)
    if found.is_expected:
        yield EXPECTED_COURSE
    if price_date is not None:
        yield f"USD: input, summaries, and hand-offs as output; prices: {price_date}"


def _share(found: Windows) -> str:
    long, fresh = found.long.cost_usd, found.fresh.cost_usd
    return f"{fresh / long:.1%}" if long and fresh is not None else "–"


def _handoffs(found: Windows) -> Iterator[str]:
    declared = [one.tokens for one in found.handoffs if not one.is_written]
    written = [one.tokens for one in found.handoffs if one.is_written]
    said = []
    if declared:
        said.append(f"{len(declared)} declared as metadata ({_range(declared)} tokens)")
    if written:
        usd = found.fresh.written_usd
        cost = "" if usd is None else f", {usd:.4f} USD as output"
        assumed = ", assumed" if set(written) == {HANDOFF_TOKENS} else ""
        said.append(
            f"{len(written)} written by one more call ({_range(written)} tokens{assumed}{cost})"
        )
    yield f"hand-offs: {'; '.join(said) or 'none, since no phase builds on another'}"


def _range(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _handoff_limit(found: Windows) -> str:
    limit = found.handoff_limit_tokens
    if limit is None:
        return "break-even: even a written hand-off of 1 token makes fresh windows no cheaper"
    if found.is_limit_open:
        return (
            f"break-even: fresh windows are cheaper with written hand-offs of up to {limit:,} "
            "tokens each, the most that fit, too"
        )
    return f"break-even: fresh windows are cheaper with written hand-offs of up to {limit:,} tokens each"


def _calls_limit(found: Windows) -> str:
    limit = found.calls_limit
    if limit is None:
        return (
            f"break-even: not even with {MOST_CALLS} calls in every phase are fresh windows cheaper"
        )
    if limit == 1:
        return "break-even: fresh windows are cheaper with a single call in every phase, too"
    return f"break-even: with {limit:,} calls or more in every phase fresh windows are cheaper"
