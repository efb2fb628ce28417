"""`--html` of the commands: writes a report to look at in a browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ctxbudget.cli.whole_file import whole_file
from ctxbudget.core.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from ctxbudget.report.html.page import Page

HEAD: Final = b"<!doctype html"
"""How a file begins that a report may replace, in any case."""

html_option = click.option(
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write a report to look at in a browser: one file that works offline.",
)
"""The option; it needs the extra `html`."""


def check_html(path: Path | None) -> None:
    """Check that a report can be made and written, before the work for it is done.

    Raises:
        ConfigError: plotly is missing, or there is something else of that name.
    """
    if path is None:
        return
    from ctxbudget.report.html.plotting import require_plotly

    require_plotly()
    try:
        _check_place(path)
    except OSError as error:
        raise _refused(path, reason_of(error, "cannot be written")) from None


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise _refused(path, "is a folder")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise _refused(path, f"there is no folder {folder.name!r}")
    if path.exists():
        if not path.is_file():
            raise _refused(path, "is not an ordinary file")
        with path.open("rb") as file:
            head = file.read(len(HEAD))
        if head and head.lower() != HEAD:
            raise _refused(path, "exists and is no HTML file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(path, "permission denied")


def _refused(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path}: {reason}; choose another place", location=("--html",))


def write_html(path: Path, page: Page) -> None:
    """Write a report. The file takes its name only once it is whole.

    Raises:
        ConfigError: it cannot be written.
    """
    from ctxbudget.report.html.page import rendered

    text = rendered(page)
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise _refused(path, reason_of(error, "cannot be written")) from None
    size = len(text.encode()) / 1e6
    click.echo(
        f"ctxbudget: report written to {path} ({size:.1f} MB); open it in a browser", err=True
    )
