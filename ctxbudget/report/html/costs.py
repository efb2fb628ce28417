"""What the money went for, of one run or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ctxbudget.report.cost_split import CostSplit
from ctxbudget.report.html import words
from ctxbudget.report.html.calls import KINDS
from ctxbudget.report.html.colors import GREEN, PURPLE
from ctxbudget.report.html.figures import Trace, figure, lying_axis, patterned, rows_height_px
from ctxbudget.report.html.page import Chart, Table

PARTS: Final = (
    *KINDS,
    ("summaries", "reading what was summarized, and writing the summaries", PURPLE, "."),
    ("output", "what the model wrote", GREEN, "\\"),
)


NAME_CHARS: Final = 48
"""A bar may be a file, of which the folder alone says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A bar of the chart: a run, a policy or a session, by what it paid for."""

    name: str
    split: CostSplit
    output_usd: Decimal | None = None
    """Of the calls; None where it is not told."""

    @property
    def amounts(self) -> tuple[Decimal | None, ...]:
        """What each part cost, in the order of `PARTS`."""
        split = self.split
        return (
            split.cache_read_usd,
            split.cache_write_usd,
            split.uncached_usd,
            split.summaries_usd,
            self.output_usd,
        )

    @property
    def whole_usd(self) -> Decimal:
        """All parts that are known."""
        return sum((one for one in self.amounts if one is not None), Decimal(0))


def cost_chart(spent: Sequence[Spent], what: str = "policy", note: str = "") -> Chart:
    """Return the chart of costs; `what` a bar is, for the table."""
    traces = [_bars(spent, number) for number in range(len(PARTS))]
    has_output = any(one.output_usd is not None for one in spent)
    chart = figure(
        [trace for trace in traces if any(trace["x"])],
        rows_height_px(len(spent), per_row=40),
        barmode="stack",
        bargap=0.35,
        xaxis={"title": {"text": "USD"}, "tickprefix": "", "rangemode": "tozero"},
        yaxis=lying_axis([words.name(one.name, NAME_CHARS) for one in spent]),
    )
    caption = "; ".join(
        f"{name}: {meaning}" for name, meaning, _, _ in PARTS[: None if has_output else 4]
    )
    return Chart(
        figure=chart,
        says=f"What each {what} cost, by what was paid for",
        caption=f"{words.capital(caption)}. {note}".strip(),
        tables=[_table(spent, what)],
    )


def _bars(spent: Sequence[Spent], number: int) -> Trace:
    name, meaning, color, pattern = PARTS[number]
    amounts = [one.amounts[number] for one in spent]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": [round(float(amount or 0), 6) for amount in amounts],
        "y": list(range(len(spent))),
        "hoverinfo": "text",
        "hovertext": [
            words.wrapped(
                f"{one.name}: {words.usd(amount)} for {name} ({meaning}), "
                f"{words.share(amount, one.whole_usd)} of {words.usd(one.whole_usd)}"
            )
            for one, amount in zip(spent, amounts, strict=True)
        ],
        "marker": patterned(color, pattern),
    }


def _table(spent: Sequence[Spent], what: str) -> Table:
    return Table(
        head=(what, *(name for name, _, _, _ in PARTS), "together"),
        rows=[
            (one.name, *map(words.usd_cell, one.amounts), words.usd_cell(one.whole_usd))
            for one in spent
        ],
        note="USD. A dash: not told.",
    )
