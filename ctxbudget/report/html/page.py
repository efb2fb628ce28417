"""The document: title, key numbers, sections with charts and tables, as one HTML file.

What a page holds is raw text; it is escaped here, where it becomes HTML, and in `words`, where it
becomes part of a chart.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ctxbudget._version import __version__
from ctxbudget.report.html import plotting
from ctxbudget.report.html.colors import ON_DARK, template
from ctxbudget.report.html.figures import Figure
from ctxbudget.report.html.words import bounded
from ctxbudget.report.plain import visible

_HERE: Final = Path(__file__).parent

MOST_CHARS: Final = 2_000
"""Of a text; names and reasons come from elsewhere, and a page must stay small."""

CELL_CHARS: Final = 500
"""Of a cell of a table."""

ROWS_SHOWN: Final = 12
"""A longer table is folded; it is printed if it was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers as texts.

    Attributes:
        texts: which columns hold texts; the others hold numbers.
        note: what the columns mean, or what is left out.
        name: what it holds, to tell two tables of one chart apart.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[int] = frozenset({0})
    note: str = ""
    name: str = "The numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with the numbers that it shows.

    Attributes:
        says: what it shows, for readers who cannot see it.
        caption: how to read it, and what is left out.
    """

    figure: Figure
    says: str
    caption: str = ""
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question and its answer; the title says what was found."""

    title: str
    intro: str = ""
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that a report says.

    Attributes:
        kind: what kind of report it is.
        cards: (number, what it is) of the few that matter most.
        notes: what a reader must know before believing the numbers.
        foot: what the numbers rest on.
    """

    kind: str
    title: str
    about: str
    cards: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()
    foot: Sequence[str] = ()


def rendered(page: Page) -> str:
    """Return the whole document. It fetches nothing: scripts, styles and numbers are in it."""
    charts = [chart for section in page.sections for chart in section.charts]
    names = {id(chart): f"chart-{number}" for number, chart in enumerate(charts, 1)}
    script = _asset("page.js")
    figures = plotting.as_json({names[id(chart)]: chart.figure for chart in charts})
    scripts = [plotting.script(), script] if charts else []
    looks = {
        "light": template(is_dark=False),
        "dark": template(is_dark=True),
        "on_dark": ON_DARK,
    }
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_rules(scripts)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta name="generator" content="ctxbudget {__version__}">',
        f"<title>{_text(page.title)} – ctxbudget</title>",
        f"<style>\n{_asset('page.css')}</style>",
        "</head>",
        "<body>",
        *_header(page),
        "<main>",
        *(part for section in page.sections for part in _section(section, names)),
        "</main>",
        *_footer(page),
        *(
            (data_block("charts", figures), data_block("looks", json.dumps(looks)))
            if charts
            else ()
        ),
        *(f"<script>{one}</script>" for one in scripts),
        "</body>",
        "</html>",
        "",
    ]
    return "\n".join(parts)


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _rules(scripts: Sequence[str]) -> str:
    """Return what a browser may do with the page: run these scripts and no other, fetch nothing."""
    allowed = " ".join(f"'sha256-{_hash(one)}'" for one in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def data_block(name: str, data: str) -> str:
    """Return JSON as a block that no browser runs and that nothing in it can end."""
    safe = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{name}">{safe}</script>'


def _text(text: str, chars: int = MOST_CHARS) -> str:
    return html.escape(visible(bounded(text, chars)))


def _header(page: Page) -> Iterator[str]:
    yield "<header>"
    yield f'<p class="kind">{_text(page.kind)}</p>'
    yield f"<h1>{_text(page.title)}</h1>"
    yield f'<p class="about">{_text(page.about)}</p>'
    if page.cards:
        yield '<div class="cards">'
        for number, what in page.cards:
            yield f'<div class="card"><b>{_text(number)}</b><span>{_text(what)}</span></div>'
        yield "</div>"
    if page.notes:
        notes = "".join(f"<li>{_text(one)}</li>" for one in page.notes)
        yield f'<ul class="notes">{notes}</ul>'
    yield "<noscript><p>The charts need JavaScript; the tables hold their numbers.</p></noscript>"
    yield "</header>"


def _section(section: Section, names: dict[int, str]) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{_text(section.title)}</h2>"
    if section.intro:
        yield f"<p>{_text(section.intro)}</p>"
    for chart in section.charts:
        yield "<figure>"
        name, says = names[id(chart)], _text(chart.says)
        height_px = chart.figure["layout"]["height"]
        yield (
            f'<div class="chart" id="{name}" role="img" aria-label="{says}" '
            f'style="height:{height_px}px"></div>'
        )
        if chart.caption:
            yield f"<figcaption>{_text(chart.caption)}</figcaption>"
        yield "</figure>"
        yield from (part for table in chart.tables for part in _table(table))
    yield from (part for table in section.tables for part in _table(table))
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        return
    is_long = len(table.rows) > ROWS_SHOWN
    rows = f" ({len(table.rows):,} rows)" if is_long else ""
    summary = f"<summary>{_text(table.name)}{rows}</summary>"
    yield f"<details{'' if is_long else ' open'}>{summary}"
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(_cell("th", text, place, table) for place, text in enumerate(table.head))
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = "".join(_cell("td", text, place, table) for place, text in enumerate(row))
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="table-note">{_text(table.note)}</p>'
    yield "</details>"


def _cell(tag: str, text: str, place: int, table: Table) -> str:
    kind = ' class="text"' if place in table.texts else ""
    return f"<{tag}{kind}>{_text(text, CELL_CHARS)}</{tag}>"


def _footer(page: Page) -> Iterator[str]:
    yield "<footer>"
    yield from (f"<p>{_text(one)}</p>" for one in page.foot)
    yield f"<p>Written by ctxbudget {__version__}. This file holds all it shows and fetches nothing.</p>"
    yield "</footer>"
