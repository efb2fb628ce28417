"""Simulations and replays as Markdown, for a comment on a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ctxbudget.metrics import EventRow, Metrics
from ctxbudget.replay import WhatIf
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.report.markdown import escaped, table
from ctxbudget.report.money import cost_notes, share_cell, usd_cell
from ctxbudget.report.plain import how_many
from ctxbudget.report.replayed import Replayed, missing_texts
from ctxbudget.report.what_if_json import of_none


def simulation_markdown(
    runs: Sequence[tuple[str, Metrics]],
    none: Metrics,
    notes: Sequence[str],
    price_date: str | None,
) -> str:
    """Return the first run phase by phase, all of them beside `none`, and what is assumed."""
    policy, first = runs[0]
    run = first.run
    head = (
        f"**{escaped(first.workflow)}** under policy {escaped(policy)}: peak {run.peak_tokens:,} "
        f"of a budget of {run.budget_tokens:,} tokens ({_share(run.peak_tokens, run.budget_tokens)})"
    )
    rows = [
        (
            escaped(row.id),
            _levels(row.events),
            f"{row.allocated_tokens:,}",
            f"{row.peak_tokens:,}",
            _share(row.peak_tokens, run.budget_tokens),
            f"{row.residual_tokens:,}",
            f"{row.pruned_tokens:,}",
            f"{row.sent_tokens:,}",
            usd_cell(row.cost_usd),
        )
        for row in first.phases
    ]
    heads = (
        *("phase", "events", "allocated", "peak", "of budget", "residual", "pruned", "sent", "USD"),
    )
    parts = [head, table(heads, rows, texts=2)]
    if found := diagnose(first):
        parts.append("\n".join(f"- {escaped(str(finding))}" for finding in found))
    parts.append(_policies(runs, none))
    parts += [escaped(note) for note in (*notes, *cost_notes(first, price_date))]
    return "\n\n".join(parts)


def _policies(runs: Sequence[tuple[str, Metrics]], none: Metrics) -> str:
    compared = list(runs)
    if all(name != "none" for name, _ in runs):
        compared.append(("none", none))
    rows = [
        (
            escaped(name),
            _levels(one.run.events),
            f"{one.run.peak_tokens:,}",
            f"{one.run.pruned_tokens:,}",
            f"{one.run.sent_tokens:,}",
            usd_cell(one.run.cost_usd),
            share_cell(one.run.cost_usd, none.run.cost_usd),
        )
        for name, one in compared
    ]
    return table(("policy", "events", "peak", "pruned", "sent", "USD", "of none"), rows, texts=2)


def _levels(events: Sequence[EventRow]) -> str:
    counts = Counter(one.level for one in events)
    return ", ".join(f"{times} {level}" for level, times in counts.items())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def replayed_markdown(replayed: Replayed) -> str:
    """Return a row for each policy: what it would have cost, and what it would have lost."""
    none = replayed.none
    head = (
        f"**{escaped(replayed.file)}**: {how_many(replayed.run.calls, 'call')}, window "
        f"{replayed.scale.window_tokens:,}"
    )
    heads = (
        *("policy", "sent", "peak", "USD", "of none", "rewrites"),
        *("recall", "quotes", "misses", "with misses"),
    )
    rows = [_replayed_row(one, none) for one in replayed.found]
    notes = (
        "USD: input and summaries, without output. With misses: each missed item written again, "
        f"and one more call for it. Prices: {replayed.price_date}"
    )
    parts = [head, table(heads, rows), *missing_texts(replayed), escaped(notes)]
    if any(one.bound is not None for one in replayed.found):
        parts.append("(bound): to compare with; it could not run.")
    return "\n\n".join(parts)


def _replayed_row(one: WhatIf, none: WhatIf | None) -> tuple[str, ...]:
    recall, run = one.recall, one.metrics.run
    return (
        escaped(one.policy) + (" (bound)" if one.bound is not None else ""),
        f"{run.sent_tokens:,}",
        f"{one.peak_tokens:,}",
        usd_cell(one.cost_usd),
        _percent(of_none(one, none)),
        f"{one.rewrites:,}",
        _percent(recall.recall if recall is not None else None),
        _percent(recall.quote_recall if recall is not None else None),
        f"{len(recall.misses):,}" if recall is not None else "–",
        usd_cell(one.total_cost_usd if recall is not None else None),
    )


def _percent(share_frac: float | None) -> str:
    return "–" if share_frac is None else f"{share_frac:.1%}"
