"""Writes the picture of an HTML report that `html-report.md` shows; needs Chromium and its driver.

Not part of `make docs`, which runs without a browser: `python docs/html_picture.py`.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from make import EXAMPLES, ROOT, SESSION, environment
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PICTURES = {
    "html-report-prompt.png": (
        ("simulate", "jwt_auth", "--policy", "moderate"),
        "light",
        1,
    ),
    "html-report-tradeoff.png": (
        (
            *("replay", SESSION.name, "--policy", "masking", "--policy", "tidy"),
            *("--policy", "clear-tool-uses:above=40000"),
        ),
        "dark",
        2,
    ),
}
"""File names, with the command whose report they show, the colour scheme, and the section."""

WIDTH_PX = 1280

PLACE = """
const box = document.querySelector(`section:nth-of-type(${arguments[0]})`).getBoundingClientRect();
const edge = 12;
return {x: box.x + scrollX - edge, y: box.y + scrollY - edge,
        width: box.width + 2 * edge, height: box.height + 2 * edge};
"""
"""Where a section of the page stands, with a little around it."""


def main() -> None:
    """Write the pictures."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for switch in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(switch)
    options.add_argument(f"--window-size={WIDTH_PX},1400")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for name, (command, scheme, section) in PICTURES.items():
            (ROOT / "docs" / name).write_bytes(_shot(driver, command, scheme, section))
    finally:
        driver.quit()


def _shot(
    driver: webdriver.Chrome,
    command: tuple[str, ...],
    scheme: str,
    section: int,
) -> bytes:
    with TemporaryDirectory() as folder:
        shutil.copy(EXAMPLES / SESSION.name, folder)
        subprocess.run(
            [sys.executable, "-m", "ctxbudget", *command, "--html", "out.html"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get((Path(folder) / "out.html").as_uri())
        place = driver.execute_script(PLACE, section)
        clip = {**place, "scale": 0.8}
        shot = {"captureBeyondViewport": True, "clip": clip}
        return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"])


if __name__ == "__main__":
    main()
