"""A comparison of two runs as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.gate.comparing import Change, Comparison, Growth
from ctxbudget.gate.outcome import MEASURES, Outcome
from ctxbudget.report.course_words import basis_notes
from ctxbudget.report.numbers import as_data


def compared_as_data(found: Comparison, judged: Sequence[Growth]) -> dict[str, Any]:
    """Return both runs' numbers and what changed, the weightiest first; money is text.

    `change_frac` is of what A had (null where that was nothing), `size_frac` of the larger of the
    two runs' numbers.
    """
    return {
        "ctxbudget": __version__,
        "before": _outcome(found.before),
        "after": _outcome(found.after),
        "changed": [_change(one) for one in found.changed],
        "phases_changed": [{"phase": one.phase, **_change(one)} for one in found.phases],
        "phases_only_before": list(found.only_before),
        "phases_only_after": list(found.only_after),
        "passed": all(one.is_kept for one in judged),
        "limits": [
            {
                "measure": one.allowed.key,
                "allowed": one.allowed.said,
                "grown": as_data(one.change.difference),
                "passed": one.is_kept,
            }
            for one in judged
        ],
    }


def _outcome(one: Outcome) -> dict[str, Any]:
    return {
        "file": one.file,
        "source": one.source.value,
        "policy": one.policy,
        "budget_tokens": one.scale.budget_tokens,
        "window_tokens": one.scale.window_tokens,
        "notes": list(basis_notes(one)),
        **{measure.key: as_data(measure.of(one.run)) for measure in MEASURES},
    }


def _change(one: Change) -> dict[str, Any]:
    frac = one.change_frac
    return {
        "measure": one.measure.key,
        "unit": one.measure.unit.value,
        "before": as_data(one.before),
        "after": as_data(one.after),
        "difference": as_data(one.difference),
        "change_frac": None if frac is None else round(frac, 6),
        "size_frac": round(one.size_frac, 6),
    }
