"""One long window and fresh ones side by side, as data."""

from __future__ import annotations

from typing import Any

from ctxbudget._version import __version__
from ctxbudget.fresh import Played, Windows
from ctxbudget.report.money import usd_text


def windows_as_data(found: Windows, price_date: str | None) -> dict[str, Any]:
    """Return both ways as data, money as text; limits are null where there is none."""
    return {
        "ctxbudget": __version__,
        "workflow": found.long.metrics.workflow,
        "price_date": price_date,
        "is_expected": found.is_expected,
        "long": _as_data(found.long),
        "fresh": _as_data(found.fresh),
        "saved_usd": usd_text(found.saved_usd),
        "handoffs": [
            {"phase": one.phase, "tokens": one.tokens, "written": one.is_written}
            for one in found.handoffs
        ],
        "break_even": {
            "handoff_tokens": found.handoff_limit_tokens,
            "handoff_is_the_most_that_fits": found.is_limit_open,
            "calls": found.calls_limit,
        },
    }


def _as_data(played: Played) -> dict[str, Any]:
    run = played.metrics.run
    return {
        "calls": run.calls,
        "peak_tokens": run.peak_tokens,
        "sent_tokens": run.sent_tokens,
        "rewrites": played.rewrites,
        "cost_usd": usd_text(played.cost_usd),
        "handoffs_usd": usd_text(played.written_usd),
        "handoff_output_tokens": played.written_tokens,
        "phases": [
            {
                "id": row.id,
                "calls": row.calls,
                "peak_tokens": row.peak_tokens,
                "sent_tokens": row.sent_tokens,
                "cost_usd": usd_text(row.cost_usd),
            }
            for row in played.metrics.phases
        ],
    }
