"""What-ifs as JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ctxbudget.replay import RecordedRun, WhatIf

DIGITS = 6
"""Of an amount of money; a millionth of a dollar."""


def what_ifs(file: str, run: RecordedRun, found: Sequence[WhatIf], misses: bool) -> dict[str, Any]:
    """Return a run under each policy; ratios are of `none`, null where money is not known."""
    none = next((one for one in found if one.policy == "none"), None)
    return {
        "file": file,
        "calls": run.calls,
        "recorded_cost_usd": usd(run.cost_usd),
        "recorded_cost_calls": run.reported_calls,
        "policies": [_row(one, none, with_misses=misses) for one in found],
    }


def _row(one: WhatIf, none: WhatIf | None, *, with_misses: bool) -> dict[str, Any]:
    recall, sent = one.recall, one.metrics.run
    row = {
        "policy": one.policy,
        "calls": sent.calls,
        "sent_tokens": sent.sent_tokens,
        "peak_tokens": one.peak_tokens,
        "cost_usd": usd(one.cost_usd),
        "cost_ratio": ratio(one.cost_usd, none.cost_usd if none else None),
        "cache_read_frac": share(sent.cache.cache_read_tokens, sent.sent_tokens),
        "rewrites": one.rewrites,
        "compactions": one.compactions,
        "recall": recall.recall if recall is not None else None,
        "quote_recall": recall.quote_recall if recall is not None else None,
        "misses": len(recall.misses) if recall is not None else None,
        "refetch_usd": usd(one.refetch_usd),
        "total_cost_usd": usd(one.total_cost_usd),
        "skipped_facts": one.skipped_facts,
    }
    if with_misses:
        row["missed"] = [
            {
                "what": miss.what,
                "text": miss.text,
                "item": miss.item,
                "thread": miss.thread,
                "call": miss.call,
                "since_call": miss.since_call,
                "rule": miss.rule,
                "tokens": miss.tokens,
            }
            for miss in (recall.misses if recall is not None else ())
        ]
    return row


def usd(amount: Decimal | None) -> str | None:
    """Return an amount of US dollars as text; null where it is not known."""
    return None if amount is None else f"{amount:.{DIGITS}f}"


def ratio(part_usd: Decimal | None, whole_usd: Decimal | None) -> float | None:
    """Return an amount as a share of another; None where either is not known."""
    return round(float(part_usd / whole_usd), 4) if part_usd is not None and whole_usd else None


def share(part: int, whole: int) -> float | None:
    """Return a part as a share of a whole; None of nothing."""
    return round(part / whole, 4) if whole else None
