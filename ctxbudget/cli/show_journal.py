"""What `ctxbudget show` does once its options are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctxbudget.cli.html_file import check_html, write_html
from ctxbudget.cli.journal_view import Heard, check_known, read_into
from ctxbudget.cli.output import console, print_json
from ctxbudget.core.events import Event
from ctxbudget.core.types import MAIN
from ctxbudget.history import By
from ctxbudget.journal import to_line
from ctxbudget.report import journal_json
from ctxbudget.report.drawn import DrawnRun
from ctxbudget.report.journal_lines import line_of
from ctxbudget.report.journal_rows import JournalRows, Scope


def run(
    *,
    journal: Path,
    phase: str | None,
    thread: str | None,
    by: By,
    lists_events: bool,
    html: Path | None,
    as_machine: bool,
) -> None:
    """Read the journal and print what is asked for."""
    check_html(html)
    scope = Scope(phase=phase, thread=thread)
    rows = JournalRows(scope)
    chosen: list[Event] = []
    heard: list[Heard] = [rows]
    if lists_events:
        heard.append(lambda event: chosen.append(event) if _is_asked(event, rows) else None)
    drawn: DrawnRun | None = None
    if html is not None:
        drawn = DrawnRun(thread=thread or MAIN, history=rows.history)
        heard.append(drawn)
    start = read_into(journal, heard)
    check_known("phase", phase, (one.id for one in start.phases))
    check_known("thread", thread, rows.prompts.threads)
    if html is not None and drawn is not None:
        from ctxbudget.report.html.of_journal import journal_page

        write_html(html, journal_page(str(journal), rows, start, drawn))
    if as_machine:
        found = journal_json.shown(str(journal), rows, start, by)
        if lists_events:
            found["events"] = [to_line(event) for event in chosen]
        print_json(found)
    elif lists_events:
        for event in chosen:
            click.echo(line_of(event, start.at))
    else:
        from ctxbudget.report import journal_terminal

        journal_terminal.print_journal(console(), str(journal), rows, start, by)


def _is_asked(event: Event, rows: JournalRows) -> bool:
    phase: Any = getattr(event, "phase", None) or rows.phase
    return rows.scope.holds(phase, getattr(event, "thread", None) or MAIN)
