"""What the policies' prompts no longer held when the recorded model used it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ctxbudget.core.types import MAIN
from ctxbudget.recall.losses import Miss
from ctxbudget.replay import WhatIf
from ctxbudget.report.html import words
from ctxbudget.report.html.colors import ORANGE, VERMILLION
from ctxbudget.report.html.figures import Trace, figure, lying_axis, patterned, rows_height_px
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.report.html.thinning import largest, said
from ctxbudget.report.narrow import in_middle

MOST_LISTED: Final = 60

KINDS: Final = (
    ("reference", "identifiers", ORANGE, ""),
    ("quote", "quoted lines", VERMILLION, "/"),
)
"""What a miss can be, its name, colour and pattern."""


def miss_chart(found: Sequence[WhatIf]) -> Chart:
    """Return the chart of how much each policy missed, with the misses of the first that did."""
    rows = [one for one in found if one.recall is not None]
    traces = [_bars(rows, *kind) for kind in KINDS]
    chart = figure(
        traces,
        rows_height_px(len(rows), per_row=36),
        barmode="stack",
        bargap=0.35,
        xaxis={"title": {"text": "misses"}, "tickformat": ",d", "rangemode": "tozero"},
        yaxis=lying_axis([words.name(one.policy) for one in rows]),
    )
    caption = (
        "A miss: an identifier or a whole line that a recorded call used and that the policy's "
        "prompt no longer held. It is charged with writing its item again and one more call."
    )
    return Chart(
        figure=chart,
        says="Misses of each policy, by identifiers and quoted lines",
        caption=caption,
        tables=[_counts(rows), *_listed(rows)],
    )


def _misses(one: WhatIf) -> Sequence[Miss]:
    return one.recall.misses if one.recall is not None else ()


def _bars(rows: Sequence[WhatIf], what: str, name: str, color: str, pattern: str) -> Trace:
    counts = [sum(miss.what == what for miss in _misses(one)) for one in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": counts,
        "y": list(range(len(rows))),
        "hoverinfo": "text",
        "hovertext": [
            words.wrapped(
                f"{one.policy} missed {count:,} {name}; fetching all it missed would have cost "
                f"{words.usd(one.refetch_usd)}"
            )
            for one, count in zip(rows, counts, strict=True)
        ],
        "marker": patterned(color, pattern),
    }


def _counts(rows: Sequence[WhatIf]) -> Table:
    return Table(
        head=("policy", "identifiers missed", "quoted lines missed", "tokens fetched again", "USD"),
        rows=[
            (
                one.policy,
                *(f"{sum(miss.what == what for miss in _misses(one)):,}" for what, *_ in KINDS),
                words.tokens(one.recall.refetch_tokens if one.recall is not None else 0),
                words.usd_cell(one.refetch_usd),
            )
            for one in rows
        ],
    )


def _listed(rows: Sequence[WhatIf]) -> list[Table]:
    """Return the misses of the first policy that has any."""
    first = next((one for one in rows if _misses(one)), None)
    if first is None:
        return []
    misses = _misses(first)
    shown = largest(misses, [miss.tokens for miss in misses], MOST_LISTED)
    return [
        Table(
            head=("missed", "what", "call", "item", "gone since", "by", "tokens"),
            rows=[
                (
                    in_middle(miss.text, 100),
                    miss.what,
                    f"{miss.call:,}" if miss.thread == MAIN else f"{miss.call:,} {miss.thread}",
                    miss.item,
                    "never there" if miss.since_call is None else f"call {miss.since_call:,}",
                    miss.rule or "–",
                    words.tokens(miss.tokens),
                )
                for miss in shown
            ],
            texts=frozenset({0, 1, 3, 4, 5}),
            note=said(len(shown), len(misses), "misses"),
            name=f"What {first.policy} missed",
        )
    ]
