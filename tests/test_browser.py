"""Tests of the HTML reports in a real browser: they draw, explain themselves, and fetch nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, chromium
from commands import ROOT, Command
from evil import evil_journal

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"

DRAWN = """
return Array.from(document.querySelectorAll(".js-plotly-plot")).map((chart) => ({
  asked: JSON.parse(document.getElementById("charts").textContent)[chart.id].data.length,
  shown: chart._fullData.filter((trace) => trace.visible === true).length,
  lines: chart.querySelectorAll(".scatterlayer .trace").length,
  bars: chart.querySelectorAll(".barlayer .trace").length,
  width: chart.querySelector(".main-svg").getBoundingClientRect().width,
  room: chart.getBoundingClientRect().width,
}));
"""
"""What each chart was asked to draw, and what it drew."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def opened(browser: Browser, page: Path, scheme: str = "light") -> list[dict[str, Any]]:
    """Open a page and return what its charts drew, having checked that nothing went wrong."""
    browser.open(page, scheme=scheme)
    assert browser.errors() == []
    assert browser.fetched(page) == []
    assert browser.ask("return performance.getEntriesByType('resource').length") == 0
    charts: list[dict[str, Any]] = browser.ask(DRAWN)
    assert len(charts) == browser.ask("return document.querySelectorAll('.chart').length")
    for chart in charts:
        assert chart["shown"] == chart["asked"] == chart["lines"] + chart["bars"], chart
        assert 0.9 < chart["width"] / chart["room"] <= 1.01, chart
    return charts


def test_a_simulation_is_drawn_and_every_mark_says_what_it_is(
    browser: Browser, ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "jwt.html"
    ctxbudget("simulate", "jwt_auth", "--policy", "moderate", "--html", page)
    charts = opened(browser, page)
    assert [chart["shown"] for chart in charts] == [13, 3, 3, 2, 1, 1]
    browser.shoot("simulate")
    said = {
        ("peak", 0): "The peak: 16,150 tokens\nafter call 1, step 9, phase 1",
        ("phase begins", 3): "Phase 3 begins\nafter call 3, step 21, phase 3",
        ("wave begins", 3): "Wave 2 of phase 3 begins with 1 agent: middleware",
        ("pruned", 1): "Rule phase to metadata and summary: digest of 3 items and summarize of",
        ("level crossed", 2): "Critical of run: 10,950 tokens, above the limit of 7,125",
    }
    for (trace, number), words in said.items():
        assert browser.hover("chart-1", trace, number).startswith(words)
    bar = browser.hover("chart-2", "kept", 1)
    assert "Phase 1: allocated 900 tokens, kept 14,150, 13,250 over its grant" in bar


def test_a_replay_is_drawn_in_the_dark_as_well(
    browser: Browser, ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "replay.html"
    policies = ("--policy", "masking", "--policy", "clear-tool-uses:above=40000")
    ctxbudget("replay", SESSION, *policies, "--html", page)
    light = opened(browser, page)
    assert [chart["shown"] for chart in light] == [5, 12, 3, 6, 2, 2, 1, 1, 1]
    words = "document.querySelector('#chart-1 .xtick text').style.fill"
    line = "document.querySelector('#chart-1 .scatterlayer path.js-line').style.stroke"
    before = (browser.ask(f"return {words}"), browser.ask(f"return {line}"))
    browser.shoot("replay-light")
    browser.prefer("dark")
    assert before == ("rgb(51, 64, 77)", "rgb(0, 114, 178)")
    browser.wait_for(f"{words} === 'rgb(198, 208, 218)' && {line} === 'rgb(76, 159, 219)'")
    assert (
        browser.ask("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 28)"
    )
    dark = browser.ask(DRAWN)
    assert [chart["shown"] for chart in dark] == [chart["shown"] for chart in light]
    browser.shoot("replay-dark")
    said = browser.hover("chart-2", "clear-tool-uses:above=40000")
    assert said.startswith("clear-tool-uses:above=40000: 0.8714 USD for input and summaries")
    assert "clear-tool-uses:above=40000 missed 8 identifiers" in browser.hover(
        "chart-6", "identifiers", 1
    )


def test_an_audit_is_drawn_and_prints_in_light_colours(
    browser: Browser, ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "audit.html"
    ctxbudget("audit", SESSION, "--debt", "--html", page)
    charts = opened(browser, page, scheme="dark")
    assert [chart["shown"] for chart in charts] == [4, 3, 3, 1, 1]
    browser.shoot("audit-dark")
    browser.ask("window.dispatchEvent(new Event('beforeprint'))")
    fill = "return document.querySelector('#chart-1 .xtick text').style.fill"
    width = "return document.querySelector('#chart-1 .main-svg').getBoundingClientRect().width"
    assert (browser.ask(fill), browser.ask(width)) == ("rgb(51, 64, 77)", 680)
    browser.ask("window.dispatchEvent(new Event('afterprint'))")
    browser.wait_for(
        "document.querySelector('#chart-1 .xtick text').style.fill === 'rgb(198, 208, 218)'"
    )
    browser.wait_for("document.querySelector('#chart-1 .main-svg').clientWidth > 900")


def test_no_name_runs_as_a_script_even_where_the_page_would_let_it(
    browser: Browser, ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "evil.html"
    ctxbudget("show", evil_journal(tmp_path), "--html", page)
    charts = opened(browser, page)
    assert len(charts) == 7
    text = page.read_text(encoding="utf-8")
    open_page = tmp_path / "open.html"
    rules = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')
    assert len(rules.findall(text)) == 1
    open_page.write_text(rules.sub("", text), encoding="utf-8")
    opened(browser, open_page)
    traces = ("phase begins", "wave begins", "level crossed", "pruned", "cache rewritten", "peak")
    shown = "".join(browser.hover("chart-1", trace) for trace in traces).replace("\n", " ")
    assert shown.count("<img src=x onerror=window.hacked=1>") > 3
    assert '<a href="javascript:window.hacked=1">%{x} $y$</a>' in shown
    browser.hover("chart-2", "allocated")
    browser.shoot("evil-names")
    assert browser.ask("return window.hacked === undefined")
    strange = "main img, main script, main svg[onload], header img, a, iframe, object"
    assert browser.ask(f"return document.querySelectorAll('{strange}').length") == 0


def test_no_button_of_a_chart_sends_it_anywhere(
    browser: Browser, ctxbudget: Command, tmp_path: Path
) -> None:
    page = tmp_path / "jwt.html"
    ctxbudget("simulate", "jwt_auth", "--html", page)
    opened(browser, page)
    titles = browser.ask(
        "return Array.from(document.querySelectorAll('#chart-1 .modebar-btn'))"
        ".map((one) => one.dataset.title)"
    )
    assert titles == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
    outcome = (
        "const done = arguments[0];"
        "fetch('https://example.com').then(() => 'sent', () => 'refused').then(done)"
    )
    assert browser.driver.execute_async_script(outcome) == "refused"
