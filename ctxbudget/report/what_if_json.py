"""What-ifs as JSON for machines."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from ctxbudget.core.types import Price
from ctxbudget.replay import WhatIf
from ctxbudget.report.money import usd_text
from ctxbudget.report.replayed import Replayed


def replayed_as_data(one: Replayed, *, misses: bool) -> dict[str, Any]:
    """Return a run under each policy; ratios are of `none`, null where money is not known."""
    run = one.run
    scale, asked = one.scale, one.settings
    return {
        "file": one.file,
        "calls": run.calls,
        "window_tokens": scale.window_tokens,
        "reserve_tokens": scale.reserve_tokens,
        "budget_tokens": scale.budget_tokens,
        "ttl_s": asked.ttl_s,
        "model": asked.model.name if asked.model is not None else None,
        "price": _price(asked.price),
        "ignores_compactions": asked.ignores_compactions,
        "recorded_cost_usd": usd_text(run.cost_usd),
        "recorded_cost_calls": run.reported_calls,
        "output_cost_usd": usd_text(run.output_usd),
        "price_date": one.price_date,
        **_validity(one),
        "policies": [_row(found, one.none, with_misses=misses) for found in one.found],
    }


def _validity(one: Replayed) -> dict[str, Any]:
    """Return how far the session could be rebuilt; nothing for our own journals."""
    if one.session is None:
        return {}
    errors, plain = one.prompt_errors, one.plain_errors
    return {
        "bill_error_frac": rounded(one.bill_error_frac(one.none)),
        "bill_error_without_cache_lost_frac": rounded(one.bill_error_frac(one.none_without_losses)),
        "window_from": one.session.window_from,
        "cache_lost": one.cache_losses,
        "cache_found": one.cache_finds,
        "unseen_tokens": one.session.unseen_tokens,
        "prompt_error": None if errors is None else asdict(errors),
        "prompt_error_uncalibrated": None if plain is None else asdict(plain),
    }


def _row(one: WhatIf, none: WhatIf | None, *, with_misses: bool) -> dict[str, Any]:
    recall, sent = one.recall, one.metrics.run
    row: dict[str, Any] = {
        "policy": one.policy,
        "bound": one.bound,
        "calls": sent.calls,
        "sent_tokens": sent.sent_tokens,
        "peak_tokens": one.peak_tokens,
        "cost_usd": usd_text(one.cost_usd),
        "cost_ratio": rounded(ratio(one.cost_usd, none.cost_usd if none else None)),
        "cache_read_frac": rounded(share(sent.cache.cache_read_tokens, sent.sent_tokens)),
        "rewrites": one.rewrites,
        "compactions": one.compactions,
        "compactions_usd": usd_text(one.summaries_usd),
        "recall": recall.recall if recall is not None else None,
        "quote_recall": recall.quote_recall if recall is not None else None,
        "misses": len(recall.misses) if recall is not None else None,
        "refetch_usd": usd_text(one.refetch_usd),
        "total_cost_usd": usd_text(one.total_cost_usd),
        "fitted_calls": one.fitted_calls,
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


def _price(price: Price | None) -> dict[str, str] | None:
    """Return a price in dollars a million tokens."""
    if price is None:
        return None
    return {
        "input": f"{price.input_usd * 10**6:f}",
        "read": f"{price.cache_read_usd * 10**6:f}",
        "write": f"{price.cache_write_5m_usd * 10**6:f}",
        "write_1h": f"{price.cache_write_1h_usd * 10**6:f}",
        "output": f"{price.output_usd * 10**6:f}",
    }


def ratio(part_usd: Decimal | None, whole_usd: Decimal | None) -> float | None:
    """Return an amount as a share of another; None where either is not known."""
    return float(part_usd / whole_usd) if part_usd is not None and whole_usd else None


def of_none(one: WhatIf, none: WhatIf | None) -> float | None:
    """Return the cost as a share of that under `none`; without a price, the tokens sent."""
    if none is None:
        return None
    if one.cost_usd is None or none.cost_usd is None:
        return share(one.metrics.run.sent_tokens, none.metrics.run.sent_tokens)
    return ratio(one.cost_usd, none.cost_usd)


def share(part: int, whole: int) -> float | None:
    """Return a part as a share of a whole; None of nothing."""
    return part / whole if whole else None


def rounded(frac: float | None) -> float | None:
    """Return a share with as many digits as are worth telling."""
    return None if frac is None else round(frac, 4)
