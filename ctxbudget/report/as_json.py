"""Metrics as JSON: the shape that machines read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.metrics import Metrics
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.report.money import as_data


def simulation(
    runs: Sequence[tuple[str, Metrics]],
    none: Metrics,
    price_date: str | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return a simulation's numbers: the first policy at the top, all of them under `compare`.

    Args:
        runs: (policy, metrics) in the order asked for.
        none: the same run under `none`.
        price_date: how new the prices are; None without prices.
        notes: what the numbers rest on that the file does not say.
    """
    policy, first = runs[0]
    result: dict[str, Any] = {
        "ctxbudget": __version__,
        "workflow": first.workflow,
        "allocator": first.allocator,
        "price_date": price_date,
        "notes": list(notes),
        **_one(policy, first),
        "findings": [asdict(finding) for finding in diagnose(first)],
        "none": {"run": as_data(none.run)},
    }
    if len(runs) > 1:
        result["compare"] = [_one(name, metrics) for name, metrics in runs]
    return result


def _one(policy: str, metrics: Metrics) -> dict[str, Any]:
    return {
        "policy": policy,
        "phases": [as_data(row) for row in metrics.phases],
        "run": as_data(metrics.run),
        "models": [as_data(row) for row in metrics.models],
    }
