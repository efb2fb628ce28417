"""One long window and fresh ones side by side, as Markdown."""

from __future__ import annotations

from ctxbudget.fresh import Windows
from ctxbudget.report.markdown import escaped, table
from ctxbudget.report.windows_words import PHASE_HEADS, phase_rows, sentences


def windows_markdown(found: Windows, price_date: str | None) -> str:
    """Return a table of both ways, phase by phase, and what it says."""
    heads = ("phase", *(f"{way} {head}" for way in ("long", "fresh") for head in PHASE_HEADS))
    rows = [(escaped(name), *long, *fresh) for name, long, fresh in phase_rows(found)]
    lines = "\n".join(f"- {escaped(line)}" for line in sentences(found, price_date))
    return f"**{escaped(found.long.metrics.workflow)}**\n\n{table(heads, rows)}\n\n{lines}"
