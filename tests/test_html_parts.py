"""Tests of what the HTML reports are made of: words, limits, the front, the page itself."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from evil import EVIL, LINK
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.events import CallSent, Event, ItemAdded, RunStarted
from ctxbudget.core.types import Item, Kind, Price, Scale
from ctxbudget.metrics import RunRow
from ctxbudget.report.drawn import DrawnRun
from ctxbudget.report.html import words
from ctxbudget.report.html.axis import place_words
from ctxbudget.report.html.colors import LINES, ON_DARK
from ctxbudget.report.html.common import rent_section
from ctxbudget.report.html.figures import figure, line_styles
from ctxbudget.report.html.limits import far_words, limit_names, near_and_far
from ctxbudget.report.html.page import (
    MOST_CHARS,
    Chart,
    Page,
    Section,
    Table,
    data_block,
    rendered,
)
from ctxbudget.report.html.tradeoff import front

# ---- words


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (58_300, "58.3k"),
        (1_250_000, "1.25M"),
        (9_236_760_000, "9.24G"),
    ],
)
def test_tokens_of_a_heading(number: int, text: str) -> None:
    assert words.short_tokens(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "not known"),
        ("0.12345", "0.1234 USD"),
        ("63.4763", "63.48 USD"),
        ("3586.2", "3,586 USD"),
    ],
)
def test_money_of_a_heading(amount: str | None, text: str) -> None:
    assert words.short_usd(None if amount is None else Decimal(amount)) == text


def test_a_share_of_nothing_is_a_dash() -> None:
    assert (words.share(1, 0), words.share(None, 5), words.share(1, 8)) == ("–", "–", "12.5%")


def test_a_name_is_neither_a_tag_nor_a_value_nor_a_formula_for_a_chart() -> None:
    assert words.plain("<b>%{x} $y$ & z\x1b") == ("&lt;b&gt;&#37;{x} &#36;y&#36; &amp; z\\x1b")
    assert words.plain("a\nb") == "a<br>b"
    assert words.name("a\n  b" * 2) == "a ba b"


def test_a_hover_text_is_wrapped_and_cut() -> None:
    assert words.wrapped("one two three", 7) == "one two<br>three"
    assert words.wrapped("a\nb") == "a<br>b"
    long = words.wrapped("<" * 5000)
    assert len(long) < 5000
    assert "<" not in long.replace("<br>", "")


@given(st.text())
def test_nothing_of_a_name_is_left_that_a_chart_obeys(text: str) -> None:
    for shown in (words.plain(text), words.wrapped(text), words.name(text)):
        left = shown.replace(words.BREAK, "")
        assert not set(left) & set("<>%$")
        assert re.fullmatch(r"(?:[^&]|&(?:amp|lt|gt|#37|#36);)*", left, re.DOTALL)


# ---- the front


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ([], []),
        ([(1.0, 1.0)], [0]),
        ([(2.0, 1.0), (1.0, 0.8), (1.5, 0.7)], [1, 0]),
        ([(1.0, 0.9), (1.0, 0.9)], [0]),
        ([(1.0, 0.5), (1.0, 0.9)], [1]),
    ],
)
def test_the_front_by_hand(points: list[tuple[float, float]], best: list[int]) -> None:
    assert front(points) == best


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    given = [(float(cost), float(recall)) for cost, recall in points]
    best = {
        one
        for one in given
        if not any(other[0] <= one[0] and other[1] >= one[1] and other != one for other in given)
    }
    assert {given[place] for place in front(given)} == best


# ---- rents and marks

CHEAP, DEAR = (
    Price(
        input_usd=Decimal(usd),
        cache_read_usd=Decimal(0),
        cache_write_5m_usd=Decimal(0),
        cache_write_1h_usd=Decimal(0),
        output_usd=Decimal(0),
    )
    for usd in ("0.001", "0.1")
)


def drawn(*events: Event, **prices: Price) -> DrawnRun:
    scale = Scale(window_tokens=9000, reserve_tokens=0, budget_tokens=9000)
    found = DrawnRun()
    for event in (RunStarted(at=0.0, workflow="w", scale=scale, phases=(), prices=prices), *events):
        found(event)
    return found


def result(name: str, tokens: int, tool: str = "bash", thread: str = "main") -> ItemAdded:
    item = Item(id=name, tokens=tokens, kind=Kind.TOOL_RESULT, tool=tool)
    return ItemAdded(at=0.0, item=item, thread=thread)


def sent(tokens: int, model: str = "cheap", thread: str = "main") -> CallSent:
    return CallSent(
        at=0.0,
        call=1,
        tokens=tokens,
        cache_read_tokens=0,
        cache_write_tokens=0,
        uncached_tokens=tokens,
        rewritten_tokens=0,
        model=model,
        thread=thread,
    )


def test_the_dearest_of_the_title_are_the_first_bars() -> None:
    """By tokens a, b, c are the dearest, and d pays 100 times as much for each."""
    events = [*(result(name, tokens) for name, tokens in (("a", 40), ("b", 30), ("c", 20)))]
    run = drawn(
        *events,
        sent(90),
        result("d", 10, thread="x"),
        sent(10, "dear", "x"),
        cheap=CHEAP,
        dear=DEAR,
    )
    section = rent_section(run)
    assert section is not None
    # 1.00 for d and 0.09 for the others, of which a and b are 0.07
    assert section.title == "3 items pay 98.2% of the rent: d, a and b"
    bars = section.charts[0].figure["data"][0]
    assert bars["x"] == [1.0, 0.04, 0.03, 0.02]
    unpriced = rent_section(drawn(*events, result("d", 10), sent(100)))
    assert unpriced is not None
    assert unpriced.title == "3 items pay 90.0% of the rent: a, b and c"


def test_where_no_item_is_to_blame_the_dearest_tool_is_named() -> None:
    events = [result(f"r{number}", 2, "grep" if number < 100 else "bash") for number in range(400)]
    notes = ItemAdded(at=0.0, item=Item(id="n", tokens=2, kind=Kind.USER))
    section = rent_section(drawn(*events, notes, sent(802)))
    assert section is not None
    assert section.title == (
        "Tool bash pays 74.8% of the rent, the three dearest items less than 1%"
    )
    assert [one.says for one in section.charts] == [
        "The dearest to carry, by tool",
        "The dearest to carry, by kind",
    ]
    # with one tool and one kind there is nothing else to name
    alone = rent_section(drawn(*events[100:], *(result(f"s{n}", 2) for n in range(100)), sent(800)))
    assert alone is not None
    assert alone.title == "3 items pay 0.8% of the rent: r100, r101 and r102"


@pytest.mark.parametrize(
    ("step", "said"), [(0.0, "0"), (1.25, "1"), (1.75, "1"), (2_000.5, "2,000")]
)
def test_what_is_drawn_between_two_steps_is_told_of_the_first(step: float, said: str) -> None:
    assert place_words(3, step, "p") == f"after call 3, step {said}, phase p"


# ---- limits


def run_row(budget: int = 500, warn: int = 375, critical: int = 475) -> RunRow:
    return RunRow(
        window_tokens=1000, budget_tokens=budget, warn_tokens=warn, critical_tokens=critical
    )


def test_limits_far_above_the_prompt_are_named_and_not_drawn() -> None:
    near, far = near_and_far(run_row(), 300)
    assert [one.name for one in near] == ["warn", "critical", "budget"]
    assert far_words(far) == "Far above the chart and not drawn: hard limit (1,000 tokens)."
    assert near_and_far(run_row(), 600)[1] == []


def test_equal_limits_are_one_line() -> None:
    near, _ = near_and_far(run_row(budget=1000), 900)
    assert [one.name for one in near] == ["warn", "critical", "budget and hard limit"]


def test_labels_of_limits_do_not_touch() -> None:
    near, _ = near_and_far(run_row(warn=498, critical=499), 500)
    heights = [one["y"] for one in limit_names(near, 1100)]
    assert all(later - first >= 0.0499 for first, later in pairwise(heights))


# ---- colours


def test_every_policy_has_a_look_of_its_own_and_bounds_keep_theirs() -> None:
    names = ["none", "unbounded", "clairvoyant", *"abcdefghijkl"]
    styles = line_styles(names)
    assert len(set(styles)) == len(names)
    assert line_styles(["unbounded"]) == [styles[1]]
    assert (
        len({dash for _, dash, _ in LINES}) == len({symbol for *_, symbol in LINES}) == len(LINES)
    )


def test_every_colour_has_another_on_dark() -> None:
    assert len(set(ON_DARK.values())) == len(ON_DARK)
    assert {color for color, _, _ in LINES} <= set(ON_DARK)


# ---- the page


class Read(HTMLParser):
    """Reads a page: its tags, and its texts outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        if last == "script" and self.cdata_elem == "script":
            self.scripts[-1] += text
        elif self.cdata_elem is None:
            self.text += text


def page_of(text: str) -> Page:
    """Return a page that holds a text wherever one may stand."""
    trace = {"type": "bar", "x": [1], "y": [2], "name": words.name(text)}
    return Page(
        kind=text,
        title=text,
        about=text,
        cards=[(text, text)],
        notes=[text],
        sections=[
            Section(
                title=text,
                intro=text,
                charts=[
                    Chart(
                        figure=figure([trace], 300),
                        says=text,
                        caption=text,
                        tables=[Table(head=(text,), rows=[(text,)], note=text, name=text)],
                    )
                ],
            )
        ],
        foot=[text],
    )


@pytest.mark.parametrize("text", [EVIL, LINK, "&amp;", '"x" onclick="y"', "]]>", "<!--"])
def test_no_text_becomes_a_tag_wherever_it_stands(text: str) -> None:
    plain, strange = Read(rendered(page_of("x"))), Read(rendered(page_of(text)))
    assert [tag for tag, _ in strange.tags] == [tag for tag, _ in plain.tags]
    assert [set(found) for _, found in strange.tags] == [set(found) for _, found in plain.tags]
    assert strange.text.count(text) == plain.text.count("x") - _own_x(plain.text)
    (says,) = [found["aria-label"] for _, found in strange.tags if "aria-label" in found]
    assert says == text
    charts = json.loads(strange.scripts[0])
    assert charts["chart-1"]["data"][0]["name"] == words.name(text)


def _own_x(text: str) -> int:
    """Return how often an x stands in the words of the page itself."""
    return len(re.findall(r"ctxbudget", text))


def test_nothing_in_a_block_of_data_ends_it() -> None:
    data = json.dumps({"a": f"{EVIL}<!-- &lt;"})
    block = data_block("x", data)
    assert block.count("<") == 2
    assert json.loads(Read(block).scripts[0]) == json.loads(data)


def test_a_long_text_is_cut() -> None:
    assert len(rendered(page_of("y" * 1_000_000))) < len(rendered(page_of("y"))) + 20 * MOST_CHARS


def test_a_page_without_charts_has_no_script() -> None:
    page = Page(kind="k", title="t", about="a", sections=[Section(title="s", intro="nothing")])
    text = rendered(page)
    assert "<script" not in text
    assert "script-src 'none'" in text


def test_a_chart_that_plotly_does_not_know_is_refused() -> None:
    wrong = Chart(figure=figure([{"type": "bar", "hight": 3}], 300), says="s")
    with pytest.raises(ValueError, match="hight"):
        rendered(Page(kind="", title="", about="", sections=[Section(title="", charts=[wrong])]))
