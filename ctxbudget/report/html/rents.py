"""Who pays the rent: what it took to carry things from call to call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from ctxbudget.core.types import Item
from ctxbudget.history import Rent
from ctxbudget.report.html import words
from ctxbudget.report.html.colors import BLUE, GREY
from ctxbudget.report.html.figures import Trace, figure, lying_axis, rows_height_px
from ctxbudget.report.html.page import Chart, Table

TOP: Final = 12
"""So many of the dearest are named; the rest is one bar."""


def dearest(rents: Sequence[Rent]) -> list[Rent]:
    """Return who paid most first: in money, or in tokens where a price is not known."""
    if not _is_priced(rents):
        return list(rents)
    return sorted(rents, key=lambda one: (-(one.cost_usd or Decimal(0)), -one.rent_tokens))


def share_frac(some: Sequence[Rent], of: Sequence[Rent]) -> float:
    """Return what some paid of all rent, in what `dearest` goes by."""
    part, whole = _together(some), _together(of)
    if whole.cost_usd:
        return float((part.cost_usd or Decimal(0)) / whole.cost_usd)
    return part.rent_tokens / whole.rent_tokens


def rent_chart(rents: Sequence[Rent], what: str, items: Mapping[str, Item] | None = None) -> Chart:
    """Return the chart of who paid most; `items` says what the names of items stand for."""
    is_priced, ordered = _is_priced(rents), dearest(rents)
    shown, rest = ordered[:TOP], ordered[TOP:]
    rows = [(_name(one, items) if one.name != "-" else f"no {what}", one) for one in shown]
    if rest:
        rows.append((f"{len(rest):,} others", _together(rest)))
    whole = _together(rents) if rents else Rent(name="", rent_tokens=0, calls=0, cost_usd=None)
    bars = _bars(rows, what, whole, is_priced=is_priced, others=len(rows) - len(shown))
    chart = figure(
        [bars],
        rows_height_px(len(rows)) - 20,
        right_px=56,
        bargap=0.3,
        xaxis={
            "title": {"text": "USD, its share of what calls cost" if is_priced else "token-calls"},
            "tickformat": "" if is_priced else ",",
            "rangemode": "tozero",
        },
        yaxis=lying_axis([words.name(name, 44) for name, _ in rows]),
    )
    caption = "Rent: an item's tokens, once for each call that sent them. "
    caption += (
        "A bar is its share, by tokens, of what the input of these calls cost."
        if is_priced
        else "The percentage is of all rent."
    )
    return Chart(
        figure=chart,
        says=f"The dearest to carry, by {what}",
        caption=caption,
        tables=[_table(rows, what, whole, is_priced=is_priced)],
    )


def _bars(
    rows: Sequence[tuple[str, Rent]], what: str, whole: Rent, *, is_priced: bool, others: int
) -> Trace:
    """Return the bars; the last `others` of them stand for several."""
    values = [float(one.cost_usd or 0) if is_priced else one.rent_tokens for _, one in rows]
    named = len(rows) - others
    colors = [BLUE] * named + [GREY] * others
    pattern = {"shape": [""] * named + ["/"] * others, "bgcolor": colors, "fgcolor": "#FFFFFF"}
    return {
        "type": "bar",
        "orientation": "h",
        "name": what,
        "showlegend": False,
        "x": [round(value, 6) for value in values],
        "y": list(range(len(rows))),
        "hoverinfo": "text",
        "hovertext": [_words(name, one, whole) for name, one in rows],
        "text": [_share(one, whole, is_priced=is_priced) for _, one in rows],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": colors, "pattern": {**pattern, "solidity": 0.2}},
    }


def _is_priced(rents: Sequence[Rent]) -> bool:
    return all(one.cost_usd is not None for one in rents)


def _name(rent: Rent, items: Mapping[str, Item] | None) -> str:
    """Return what pays, with what it is."""
    item = None if items is None else items.get(rent.name)
    if item is None:
        return rent.name
    about = " ".join(filter(None, (item.kind.value.replace("_", " "), item.tool, item.source)))
    return f"{rent.name} ({about})"


def _together(rents: Sequence[Rent]) -> Rent:
    amounts = [one.cost_usd for one in rents]
    known = [one for one in amounts if one is not None]
    return Rent(
        name="others",
        rent_tokens=sum(one.rent_tokens for one in rents),
        calls=max(one.calls for one in rents),
        cost_usd=sum(known, Decimal(0)) if len(known) == len(amounts) else None,
    )


def _share(one: Rent, whole: Rent, *, is_priced: bool) -> str:
    if is_priced:
        return words.share(one.cost_usd, whole.cost_usd)
    return words.share(one.rent_tokens, whole.rent_tokens)


def _words(name: str, one: Rent, whole: Rent) -> str:
    cost = ""
    if one.cost_usd is not None:
        share = words.share(one.cost_usd, whole.cost_usd)
        cost = f"\n{words.usd(one.cost_usd)}, {share} of what calls' input cost"
    return words.wrapped(
        f"{name}: {one.rent_tokens:,} token-calls "
        f"({words.share(one.rent_tokens, whole.rent_tokens)} of the rent), carried by up to "
        f"{words.times(one.calls, 'call')}{cost}"
    )


def _table(rows: Sequence[tuple[str, Rent]], what: str, whole: Rent, *, is_priced: bool) -> Table:
    def money(one: Rent) -> tuple[str, ...]:
        share = words.share(one.cost_usd, whole.cost_usd)
        return (words.usd_cell(one.cost_usd), share) if is_priced else ()

    return Table(
        head=(
            what,
            "token-calls",
            "share of tokens",
            "calls",
            *(("USD", "share of USD") if is_priced else ()),
        ),
        rows=[
            (
                name,
                words.tokens(one.rent_tokens),
                words.share(one.rent_tokens, whole.rent_tokens),
                f"{one.calls:,}",
                *money(one),
            )
            for name, one in rows
        ],
    )
