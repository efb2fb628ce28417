"""One line for each event, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctxbudget.core.events import Event
from ctxbudget.core.types import MAIN
from ctxbudget.journal import to_line
from ctxbudget.report.plain import one_line

CATEGORIES = ("fact", "decision", "effect")
LEFT_OUT = frozenset({*CATEGORIES, "at", "thread", "text"})
MAX_CHARS = 60
"""Of a value that is no number; policies and reasons are longer than a line has room for."""


def line_of(event: Event, start_at: float) -> str:
    """Return an event on one line: when (seconds since the start), thread, name, what else it says."""
    fields = to_line(event)
    category = next(one for one in CATEGORIES if one in fields)
    said = [str(fields.get("thread", MAIN)), str(fields[category])]
    said += [f"{key}={_short(value)}" for key, value in fields.items() if key not in LEFT_OUT]
    return f"{event.at - start_at:9.1f} s  {one_line(' '.join(said))}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        text = f"{value['id']}:{value.get('tokens', 0)}" if "id" in value else f"{{{len(value)}}}"
    elif isinstance(value, list):
        text = ",".join(map(_short, value))
    else:
        text = str(value)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"
