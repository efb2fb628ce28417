"""The models that a workflow names, what they cost, and what their prompt caches are like."""

from __future__ import annotations

from ctxbudget.config.workflow_format import Workflow
from ctxbudget.core.types import Cache, Price


def models_of(workflow: Workflow) -> tuple[str, ...]:
    """Return the models that calls may name, in order, each once."""
    named = [workflow.model]
    for phase in workflow.phases:
        named.append(phase.model)
        named += [agent.model for wave in phase.all_waves() for agent in wave.agents]
    return tuple(dict.fromkeys(model for model in named if model))


def prices_of(models: tuple[str, ...], at_s: float | None) -> dict[str, Price]:
    """Return the prices at a time of those models whose price is known; None is the newest."""
    if not models:
        return {}
    from ctxbudget.providers.prices import price_of  # slow, and of no use to a run without a model

    found = {model: price_of(model, at_s) for model in models}
    return {model: price for model, price in found.items() if price is not None}


def caches_of(models: tuple[str, ...]) -> dict[str, Cache]:
    """Return the prompt cache of each model."""
    if not models:
        return {}
    from ctxbudget.providers.prices import cache_of

    return {model: cache_of(model) for model in models}
