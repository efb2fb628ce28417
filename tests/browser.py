"""A real browser for tests: one for all tests of a file, without a window and without a network."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).parent.parent

SHOTS = ROOT / "build" / "screenshots"
"""Where people look at what the tests saw."""

REQUIRED = "CTXBUDGET_BROWSER"
"""Set to `required` where a missing browser is an error, as on the machine that checks changes."""

WAIT_S = 20
"""So long at most; only a page that never gets there takes it all."""

SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # there is none for root, who runs tests in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever is asked for, there is no network
)


FOUND = """
const chart = document.getElementById(arguments[0]);
const traces = chart._fullData;
const trace = traces.find((one) => one.name === arguments[1]);
const bars = traces.filter((one) => one.type === "bar");
const marks = trace.type === "bar"
  ? chart.querySelectorAll(".barlayer .trace")[bars.indexOf(trace)].querySelectorAll(".point path")
  : chart.querySelectorAll(`.scatterlayer .trace${trace.uid} path.point`);
marks[arguments[2]].scrollIntoView({block: "center"});
return marks[arguments[2]];
"""
"""Finds a mark or a bar of a chart's trace, and brings it into view."""

SAID = """
return Array.from(document.querySelectorAll(".hoverlayer .hovertext")).map((box) => Array.from(
  box.querySelectorAll("text.nums .line, text.nums:not(:has(.line))")
).map((line) => line.textContent).join("\\n")).join("\\n\\n");
"""
"""Reads the boxes that explain what is pointed at."""


class Browser:
    """Opens pages, points at things, and tells what went wrong."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, scheme: str = "light") -> None:
        """Open a page, as somebody sees it who prefers a colour scheme."""
        self.prefer(scheme)
        self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        self.driver.get(page.as_uri())

    def prefer(self, scheme: str) -> None:
        """Prefer a colour scheme from now on."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", features=features)

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return what a piece of JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, condition: str) -> None:
        """Wait until a piece of JavaScript is true, which a page may need a moment for."""
        WebDriverWait(self.driver, WAIT_S, poll_frequency=0.05).until(
            lambda _: self.ask(f"return {condition}")
        )

    def errors(self) -> list[str]:
        """Return what the page complained of since it was opened."""
        found = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [one["message"] for one in found]

    def fetched(self, page: Path) -> list[str]:
        """Return what was asked for beside the page itself, since it was opened."""
        events = [
            json.loads(one["message"])["message"]
            for one in self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        ]
        urls = [
            one["params"]["request"]["url"]
            for one in events
            if one["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if url != page.as_uri() and not url.startswith("data:")]

    def hover(self, chart: str, trace: str, number: int = 0) -> str:
        """Point at a mark or a bar of a chart's trace, and return what the box says that appears."""
        found = self.ask(FOUND, chart, trace, number)
        boxes = "document.querySelectorAll('.hoverlayer .hovertext').length"
        self.ask(
            "document.querySelectorAll('.js-plotly-plot').forEach((one) => Plotly.Fx.unhover(one))"
        )
        self.wait_for(f"{boxes} === 0")
        ActionChains(self.driver, duration=0).move_to_element(found).perform()
        self.wait_for(f"{boxes} > 0")
        return str(self.ask(SAID))

    def shoot(self, name: str) -> Path:
        """Write a picture of the whole page, and return where it is."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        height = self.ask("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": 1280, "height": height, "scale": 1}
        found = self._tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path = SHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def _tell(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; without one, the test is skipped, or fails where one is required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        reason = "needs a browser: apt-get install chromium chromium-driver"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(found)
    finally:
        found.quit()
