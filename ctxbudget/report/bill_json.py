"""A bill of recorded sessions as JSON: the shape that machines read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.recorded.bill import Bill, Sums, Thread, families, holding_half

_PLACES = 9
"""Decimal places of amounts that are not exact: quotients, and what others recorded."""


def bill_as_data(bill: Bill, price_date: str) -> dict[str, Any]:
    """Return a finished bill; sessions by falling cost, each followed by its sub-agents.

    Money is text, exact; times are ISO 8601 in UTC.
    """
    by_cost = families(bill.threads)
    found: dict[str, Any] = {
        "ctxbudget": __version__,
        "sessions": [_thread(one) for family in by_cost for one in family.threads],
        "totals": _totals(bill),
        "half_of_cost": [family.threads[0].file.file for family in holding_half(by_cost)],
        "price_date": price_date,
        "unknown_models": list(bill.prices.unknown),
        "other_rates": bill.rates,
        "undated_calls": bill.undated_calls,
        "duplicates": [
            {
                "file": one.file,
                "also_in": one.also_in,
                "calls": one.sums.calls,
                "cost_usd": usd_text(one.sums.known_cost_usd),
            }
            for one in bill.duplicates
        ],
    }
    if bill.by != "session":
        found["by"] = bill.by
        found["groups"] = [{"name": name, **_sums(sums)} for name, sums in ordered_groups(bill)]
    return found


def ordered_groups(bill: Bill) -> list[tuple[str, Sums]]:
    """Return the groups: days in order, others by falling cost."""
    if bill.by == "day":
        return sorted(bill.groups.items())
    return sorted(bill.groups.items(), key=lambda one: (-one[1].cost_usd, one[0]))


def _thread(thread: Thread) -> dict[str, Any]:
    file = thread.file
    is_first = thread.agent is None or not file.has_main
    return {
        "file": file.file,
        "source": file.source,
        "session": file.session,
        "project": file.project,
        "parent": thread.parent,
        "agent": thread.agent,
        **_sums(thread.sums),
        "skipped_lines": file.skipped.total() if is_first else 0,
        "skipped_types": dict(sorted(file.skipped.items())) if is_first else {},
        "damaged_lines": file.damaged_lines if is_first else 0,
        "unrecorded_summaries": file.summaries if is_first else 0,
        "unreported_calls": file.silent_calls if is_first else 0,
        "unlisted_tokens": file.unlisted_tokens if is_first else 0,
    }


def _totals(bill: Bill) -> dict[str, Any]:
    files = {id(thread.file): thread.file for thread in bill.threads}.values()
    return {
        "files": len(files),
        **_sums(bill.total),
        "duplicate_calls": sum(one.sums.calls for one in bill.duplicates),
        "duplicate_cost_usd": usd_text(
            sum((one.sums.cost_usd for one in bill.duplicates), Decimal(0))
        ),
        "skipped_lines": sum(file.skipped.total() for file in files),
        "damaged_lines": sum(file.damaged_lines for file in files),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    recorded_usd = sums.recorded_usd if sums.recorded_calls else None
    return {
        "calls": sums.calls,
        "models": list(sums.models),
        "uncached_input_tokens": sums.uncached_input_tokens,
        "cache_read_tokens": sums.cache_read_tokens,
        "cache_write_5m_tokens": sums.cache_write_5m_tokens,
        "cache_write_1h_tokens": sums.cache_write_1h_tokens,
        "output_tokens": sums.output_tokens,
        "cost_usd": usd_text(sums.known_cost_usd),
        "cost_known_frac": round(sums.cost_known_frac, 6),
        "usd_per_million_sent": usd_text(_rounded(sums.usd_per_million_sent)),
        "cache_read_frac": None if sums.cache_read_frac is None else round(sums.cache_read_frac, 6),
        "recorded_cost_usd": usd_text(_rounded(recorded_usd)),
        "recorded_cost_calls": sums.recorded_calls,
        "peak_prompt_tokens": sums.peak_prompt_tokens,
        "placeholder_calls": sums.placeholder_calls,
        "placeholder_missing_tokens": sums.placeholder_missing_tokens,
        "placeholder_missing_usd": usd_text(sums.placeholder_missing_usd),
        "started_at": iso_time(sums.started_at_s),
        "ended_at": iso_time(sums.ended_at_s),
    }


def _rounded(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else round(amount, _PLACES)


def usd_text(amount: Decimal | None) -> str | None:
    """Return an amount as a plain decimal number without trailing zeros."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def iso_time(at_s: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if at_s is None:
        return None
    text = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
