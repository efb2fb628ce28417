"""What the prompt cache did with each call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ctxbudget.report.html import words
from ctxbudget.report.html.colors import BLACK, BLUE, ORANGE, VERMILLION
from ctxbudget.report.html.figures import Trace, figure, patterned
from ctxbudget.report.html.page import Chart, Table
from ctxbudget.report.html.thinning import MOST_POINTS, MOST_ROWS, chosen, said, thinned

HEIGHT_PX: Final = 380

KINDS: Final = (
    ("cache read", "read from the cache", BLUE, ""),
    ("cache written", "written to the cache", ORANGE, "/"),
    ("uncached", "neither read nor written", VERMILLION, "x"),
)
"""Name, meaning, colour and pattern of what the cache does with a token, cheapest first."""

BARS: Final = 120
"""Up to so many calls have a bar each; more are an area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The calls of one thread: tokens of each, by what the cache did with them."""

    read: Sequence[int]
    written: Sequence[int]
    uncached: Sequence[int]

    @property
    def sent(self) -> list[int]:
        """All input of each call."""
        return [sum(one) for one in zip(self.read, self.written, self.uncached, strict=True)]


def calls_chart(calls: Calls) -> Chart:
    """Return the chart of what each call sent."""
    sent = calls.sent
    places = thinned(sent, MOST_POINTS)
    traces = list(_traces(calls, sent, places))
    chart = figure(
        traces,
        HEIGHT_PX,
        barmode="stack",
        bargap=0.15,
        xaxis={"title": {"text": "calls"}, "showgrid": False, "tickformat": ",d"},
        yaxis={"title": {"text": "tokens sent"}, "tickformat": ",", "rangemode": "tozero"},
    )
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning, _, _ in KINDS)
    caption = f"{words.capital(meanings)}. {said(len(places), len(sent))}".strip()
    return Chart(
        figure=chart,
        says=f"Tokens sent by each of {words.times(len(sent), 'call')}, by what the cache did",
        caption=caption,
        tables=[_table(calls, sent)],
    )


def _traces(calls: Calls, sent: Sequence[int], places: Sequence[int]) -> Iterator[Trace]:
    """Yield what the cache did: bars for few calls, areas for many."""
    hover = [_words(calls, place) for place in places]
    xs = [place + 1 for place in places]
    parts = (calls.read, calls.written, calls.uncached)
    for (name, _, color, pattern), tokens in zip(KINDS, parts, strict=True):
        if not any(tokens):
            continue
        common: Trace = {"name": name, "x": xs, "y": chosen(tokens, places)}
        if len(sent) > BARS:
            yield {**common, **_area(color, pattern)}
        else:
            said_by = {"hoverinfo": "text", "hovertext": hover}
            yield {**common, **said_by, "type": "bar", "marker": patterned(color, pattern)}
    if len(sent) > BARS:
        yield _whole(xs, chosen(sent, places), hover)


def _area(color: str, pattern: str) -> Trace:
    """Return the look of an area; the line on top speaks for it."""
    return {
        "type": "scatter",
        "mode": "lines",
        "stackgroup": "sent",
        "hoverinfo": "skip",
        "line": {"width": 0.6, "color": color, "shape": "hvh"},
        "fillcolor": color,
        "fillpattern": {
            "shape": pattern,
            "bgcolor": color,
            "fgcolor": "#FFFFFF",
            "fgopacity": 0.45,
            "solidity": 0.2,
            "size": 7,
        },
        "opacity": 0.9,
    }


def _whole(xs: Sequence[int], sent: Sequence[int], hover: Sequence[str]) -> Trace:
    """Return the line on top of an area, which says in words what each call sent."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "sent",
        "x": list(xs),
        "y": list(sent),
        "line": {"width": 1, "color": BLACK, "shape": "hvh"},
        "hoverinfo": "text",
        "hovertext": list(hover),
    }


def _words(calls: Calls, place: int) -> str:
    read, written = calls.read[place], calls.written[place]
    uncached = calls.uncached[place]
    sent = read + written + uncached
    return words.plain(
        f"Call {place + 1:,} sent {sent:,} tokens\n{read:,} read from the cache "
        f"({words.share(read, sent)})\n{written:,} written to it, {uncached:,} uncached"
    )


def _table(calls: Calls, sent: Sequence[int]) -> Table:
    places = thinned(sent, MOST_ROWS)
    rows = [
        (
            f"{place + 1:,}",
            words.tokens(calls.read[place]),
            words.tokens(calls.written[place]),
            words.tokens(calls.uncached[place]),
            words.tokens(sent[place]),
            words.share(calls.read[place], sent[place]),
        )
        for place in places
    ]
    return Table(
        head=("call", "cache read", "cache written", "uncached", "sent", "read of sent"),
        rows=rows,
        texts=frozenset(),
        note=f"Tokens. {said(len(places), len(sent)).replace('drawn', 'listed')}".strip(),
    )
