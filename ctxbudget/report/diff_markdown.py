"""A comparison of two runs as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ctxbudget.gate.comparing import Comparison, Growth
from ctxbudget.report.diff_words import PHASE_ROWS, change_cells, failed, name, notes
from ctxbudget.report.markdown import escaped, table

HEADS: Final = ("before", "after", "change", "share")


def compared_markdown(found: Comparison, judged: Sequence[Growth]) -> str:
    """Return tables of what changed in the run and in its phases, the weightiest first."""
    before, after = escaped(name(found.before)), escaped(name(found.after))
    parts = [f"**Context budget**: {before} → {after}"]
    if judged:
        lines = failed(judged)
        parts += [f"**failed**: {line}" for line in lines] or ["All limits on growth were kept."]
    if found.changed:
        parts.append(table(("run", *HEADS), map(change_cells, found.changed)))
    else:
        parts.append("Nothing changed in the run's numbers.")
    if found.phases:
        shown = found.phases[:PHASE_ROWS]
        rows = [(escaped(one.phase or ""), *change_cells(one)) for one in shown]
        parts.append(table(("phase", "measure", *HEADS), rows, texts=2))
        if (more := len(found.phases) - PHASE_ROWS) > 0:
            parts.append(f"Smaller changes of phases left out: {more:,}.")
    return "\n\n".join([*parts, *notes(found, escaped)])
