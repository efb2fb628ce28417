"""A proposed order of phases as JSON."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.report.money import usd_text
from ctxbudget.schedule.board import Lane
from ctxbudget.schedule.proposal import Known, Played, Proposal


def proposal_data(proposal: Proposal, price_date: str | None) -> dict[str, Any]:
    """Return a proposal's numbers: both orders as played, what is saved, and what is known of it."""
    setup, refused = proposal.setup, proposal.refused
    before = proposal.as_filed.peak_tokens
    return {
        "ctxbudget": __version__,
        "workflow": setup.loaded.name,
        "policy": setup.policy.label,
        "price_date": price_date,
        "is_new": proposal.is_new,
        "known": proposal.known.value,
        "is_lowest": proposal.known in (Known.ONLY, Known.LOWEST),
        "doubt": proposal.doubt,
        "bound_tokens": proposal.bound_tokens,
        "lowest_tokens": proposal.lowest_tokens,
        "saved_tokens": proposal.saved_tokens,
        "saved_frac": round(proposal.saved_tokens / before, 6) if before else 0.0,
        "has_fewest_switches": proposal.has_fewest_switches,
        "in_turn_peak_tokens": proposal.in_turn_tokens,
        "file": _played(proposal, proposal.as_filed),
        "schedule": _played(proposal, proposal.proposed),
        "refused": None if refused is None else _played(proposal, refused),
    }


def groups(proposal: Proposal, played: Played) -> list[tuple[Lane, list[str]]]:
    """Return the phases that stand next to each other on one model with the same tools."""
    models, tools = models_of(proposal), tools_of(proposal)
    found = groupby(played.order, key=lambda phase: (models[phase], tools[phase]))
    return [(lane, list(phases)) for lane, phases in found]


def models_of(proposal: Proposal) -> dict[str, str]:
    """Return the model of each phase's calls in the main thread; empty if none is named."""
    workflow = proposal.setup.loaded.workflow
    return {part.id: part.model or workflow.model or "" for part in workflow.phases}


def tools_of(proposal: Proposal) -> dict[str, tuple[str, ...]]:
    """Return the tools that each phase offers in the main thread."""
    workflow = proposal.setup.loaded.workflow
    return {part.id: tuple(one.id for one in workflow.tools_of(part)) for part in workflow.phases}


def _played(proposal: Proposal, played: Played) -> dict[str, Any]:
    models, tools = models_of(proposal), tools_of(proposal)
    return {
        "order": list(played.order),
        "peak_tokens": played.peak_tokens,
        "expected_peak_tokens": played.expected_tokens,
        "sent_tokens": played.metrics.run.sent_tokens,
        "cost_usd": usd_text(played.metrics.run.cost_usd),
        "phases": [
            {
                "id": row.id,
                "model": models[row.id],
                "tools": list(tools[row.id]),
                "began_tokens": played.began_tokens[row.id],
                "peak_tokens": row.peak_tokens,
                "residual_tokens": row.residual_tokens,
            }
            for row in played.metrics.phases
        ],
        "groups": [
            {"model": model, "tools": list(offered), "phases": phases}
            for (model, offered), phases in groups(proposal, played)
        ],
        "switches": [
            {
                "phase": one.phase,
                "from": one.from_model,
                "to": one.to_model,
                "from_tools": list(one.from_tools),
                "to_tools": list(one.to_tools),
                "rewritten_tokens": one.rewritten_tokens,
                "cost_usd": usd_text(one.cost_usd),
            }
            for one in played.switches.found
        ],
        "rewritten_tokens": played.switches.rewritten_tokens,
        "switches_cost_usd": usd_text(played.switches.cost_usd),
    }
