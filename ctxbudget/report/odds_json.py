"""What many runs tell, as JSON: nothing in it depends on who played them, or how long it took."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any, TypeVar

from ctxbudget._version import __version__
from ctxbudget.core.events import RunStarted
from ctxbudget.odds.tally import (
    AgentCourse,
    Odds,
    Percentiles,
    PhaseCourse,
    PhaseOdds,
    PolicyOdds,
    Reached,
)
from ctxbudget.report.money import usd_text

N = TypeVar("N", int, Decimal)

DIGITS = 6
"""Of a share."""


def drawn_runs(
    odds: Odds, start: RunStarted, *, seed: int, is_uncertain: bool, price_date: str | None
) -> dict[str, Any]:
    """Return the numbers of many runs.

    Args:
        odds: of the runs.
        start: what each of them began with.
        seed: of the draws.
        is_uncertain: whether chance had a say; else all runs are alike.
        price_date: how new the prices are; None without prices.
    """
    scale = start.scale
    return {
        "ctxbudget": __version__,
        "workflow": start.workflow,
        "runs": odds.runs,
        "seed": seed,
        "is_uncertain": is_uncertain,
        "probability_error_frac": round(odds.error_frac, DIGITS) if is_uncertain else 0.0,
        "price_date": price_date,
        "window_tokens": scale.window_tokens,
        "reserve_tokens": scale.reserve_tokens,
        "budget_tokens": scale.budget_tokens,
        "warn_tokens": start.thresholds.warn.resolve_tokens(scale),
        "critical_tokens": start.thresholds.critical.resolve_tokens(scale),
        "course": {
            "phases": [_phase_course(one, odds.runs) for one in odds.phases],
            "agents": [_agent_course(one, odds.runs) for one in odds.agents],
        },
        "policies": [_policy(one, odds.runs) for one in odds.policies],
    }


def _policy(one: PolicyOdds, runs: int) -> dict[str, Any]:
    worst = one.most_to_blame
    return {
        "policy": one.policy,
        **_reached(one.reached, runs),
        "stopped_runs": one.stopped_runs,
        "why_stopped": one.why_stopped,
        "peak_tokens": _spread(one.peak_tokens),
        "sent_tokens": _spread(one.sent_tokens),
        "cost_usd": _spread(one.cost_usd),
        "sends_less_than_first_runs": one.sends_less_runs,
        "most_to_blame": None
        if worst is None
        else {"phase": worst.phase, "runs": worst.blamed_runs, "of_runs": one.blamed_runs},
        "phases": [_phase(row, runs) for row in one.phases],
    }


def _phase(row: PhaseOdds, runs: int) -> dict[str, Any]:
    return {
        "phase": row.phase,
        "ran_runs": row.ran_runs,
        **_reached(row.reached, runs),
        "blamed_runs": row.blamed_runs,
        "peak_tokens": _spread(row.peak_tokens),
        "sent_tokens": _spread(row.sent_tokens),
    }


def _reached(reached: Reached, runs: int) -> dict[str, Any]:
    counts = asdict(reached)
    shares = {
        f"{key.removesuffix('_runs')}_frac": round(count / runs, DIGITS)
        for key, count in counts.items()
    }
    return {**counts, **shares}


def _spread(found: Percentiles[N] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        key: usd_text(value) if isinstance(value, Decimal) else value
        for key, value in asdict(found).items()
    }


def _phase_course(one: PhaseCourse, runs: int) -> dict[str, Any]:
    return {
        "phase": one.phase,
        "times": [
            {"times": times, "runs": count, "frac": round(count / runs, DIGITS)}
            for times, count in one.runs_by_times
        ],
    }


def _agent_course(one: AgentCourse, runs: int) -> dict[str, Any]:
    return {
        **asdict(one),
        "failed_frac": round(one.failed_runs / runs, DIGITS),
        "lost_frac": round(one.lost_runs / runs, DIGITS),
    }
