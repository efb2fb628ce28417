"""Numbers and names as the page and its charts show them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from ctxbudget.report.money import usd_cell as usd_cell
from ctxbudget.report.narrow import in_middle
from ctxbudget.report.plain import how_many, visible

BREAK: Final = "<br>"
"""A line break in a chart's text; plotly knows it, and no name can hold one."""

NAME_CHARS: Final = 28
"""A longer name loses its middle on an axis or in a legend; hover texts and tables have all of it."""


HOVER_CHARS: Final = 400
"""Of a text in a hover box; tables have more of it."""


def tokens(number: float) -> str:
    """Return a number of tokens, written out."""
    return f"{number:,.0f}"


def short_tokens(number: float) -> str:
    """Return a number of tokens for a heading: 950, 58.3k, 1.25M, 9.24G."""
    for unit, name in ((1e9, "G"), (1e6, "M")):
        if abs(number) >= unit:
            return f"{number / unit:,.2f}{name}"
    return f"{number:,.0f}" if abs(number) < 10_000 else f"{number / 1e3:,.1f}k"


def usd(amount: Decimal | None) -> str:
    """Return an amount of money with its unit."""
    return "not known" if amount is None else f"{amount:,.4f} USD"


def short_usd(amount: Decimal | None) -> str:
    """Return an amount of money for a heading, which is no more exact than it has to be."""
    if amount is None or abs(amount) < 10:
        return usd(amount)
    return f"{amount:,.2f} USD" if abs(amount) < 1000 else f"{amount:,.0f} USD"


def share(part: float | Decimal | None, whole: float | Decimal | None) -> str:
    """Return a part as a percentage of a whole; a dash of nothing."""
    return "–" if part is None or not whole else f"{float(part) / float(whole):.1%}"


def frac(value: float | None) -> str:
    """Return a share from 0 to 1 as a percentage."""
    return "–" if value is None else f"{value:.1%}"


def times(number: int, what: str, several: str = "") -> str:
    """Return a count with its noun: 1 call, 3 calls."""
    return how_many(number, what, several)


def in_words(names: Iterable[str]) -> str:
    """Return names as a sentence lists them: a, b and c."""
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def capital(text: str) -> str:
    """Return a text that begins a sentence."""
    return text[:1].upper() + text[1:]


_PLOTLY: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;", "$": "&#36;"})
"""Charts read `<b>` as bold, `%{x}` as a value and `$x$` as a formula; a name must be none of them."""


def plain(text: str) -> str:
    """Return a text from elsewhere that a chart shows as it is; line feeds break its lines."""
    return visible(text).translate(_PLOTLY).replace("\n", BREAK)


def name(text: str, chars: int = NAME_CHARS) -> str:
    """Return a name for an axis or a legend, on one line."""
    return plain(in_middle(" ".join(text.split()), chars))


def bounded(text: str, chars: int) -> str:
    """Return a text without what is beyond so many characters."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def wrapped(text: str, chars: int = 72) -> str:
    """Return a text for a hover box, on lines of about so many characters; a long one is cut."""
    text = bounded(text, HOVER_CHARS)
    return BREAK.join(_lines(line, chars) for line in text.split("\n"))


def _lines(text: str, chars: int) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        shown = in_middle(word, chars)
        if line and len(line) + 1 + len(shown) > chars:
            lines.append(line)
            line = shown
        else:
            line = f"{line} {shown}" if line else shown
    return BREAK.join(plain(one) for one in (*lines, line))
