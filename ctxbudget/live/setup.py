"""From a workflow file or plain arguments to the plan of a live run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from os import PathLike, fspath
from typing import Any, TypeAlias

from ctxbudget.config.fields import budget_option
from ctxbudget.config.lookup import find
from ctxbudget.config.run_setup import Overrides, RunSetup, set_up_run
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow, workflow_of_text
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.events import AgentPlan, MoneyBudget
from ctxbudget.core.policy import Policy
from ctxbudget.core.types import Limit, Price
from ctxbudget.providers.models import claude_name

PolicyLike: TypeAlias = str | Mapping[str, Any] | Policy
"""A shipped name, a file, `package.module:attribute`, the content of a policy file, or a function
that can be imported."""

MoneyLike: TypeAlias = float | int | str | Decimal | Mapping[str, "float | int | str | Decimal"]
"""US dollars for the run, or for each scope (`run`, or a phase's id)."""

DEFAULT_PHASE = "work"


def live_setup(
    workflow: str | PathLike[str] | None,
    *,
    name: str | None = None,
    model: str = "",
    window_tokens: int | None = None,
    reserve_tokens: int = 0,
    budget: int | str | None = None,
    phases: Sequence[str | Mapping[str, Any]] | None = None,
    policy: PolicyLike | None = None,
    allocator: str | None = None,
    budget_usd: MoneyLike | None = None,
    strips_thinking: bool | None = None,
    reviews: bool = False,
    at: float = 0.0,
) -> RunSetup:
    """Return the plan of a run that happens now.

    Raises:
        ConfigError: a file or an argument is wrong; arguments are named as in a workflow file.
    """
    spec = _policy_spec(policy)
    if workflow is None:
        loaded = _from_arguments(
            name or "run", model, window_tokens, reserve_tokens, budget, phases, spec
        )
        overrides = Overrides(allocator=allocator, policy=spec if isinstance(spec, str) else None)
    else:
        said = {"name": name, "phases": phases, "reserve_tokens": reserve_tokens or None}
        for key, one in said.items():
            if one is not None:
                raise ConfigError("is said by the workflow file; change it there", location=(key,))
        loaded = read_workflow(find("workflows", fspath(workflow)))
        overrides = _overrides(spec, allocator, budget, window_tokens, model)
    setup = set_up_run(loaded, overrides, at=at)
    if setup.policy.bound is not None:
        raise ConfigError(
            f"policy {setup.policy.label} is a bound to compare with and cannot run live; choose "
            "another",
            location=("policy",),
        )
    is_claude = claude_name(setup.start.model) is not None
    start = replace(
        setup.start,
        money=_money(budget_usd, [p.id for p in loaded.workflow.phases], setup.start.prices),
        reviews=reviews,
        strips_thinking=is_claude if strips_thinking is None else strips_thinking,
        agents=_agents(setup),
        tells_uses=setup.policy.reads_uses,
    )
    return replace(setup, start=start)


def _agents(setup: RunSetup) -> tuple[AgentPlan, ...]:
    return tuple(
        AgentPlan(
            phase=phase.id,
            agent=one.id,
            model=one.model or "",
            calls=one.calls,
            scale=setup.scale_of(one.model),
        )
        for phase in setup.loaded.workflow.phases
        for wave in phase.all_waves()
        for one in wave.agents
    )


def _policy_spec(policy: PolicyLike | None) -> str | Mapping[str, Any] | None:
    if policy is None or isinstance(policy, str | Mapping):
        return policy
    module, name = getattr(policy, "__module__", ""), getattr(policy, "__qualname__", "")
    if not name or "<" in name:
        raise ConfigError(
            f"policy {policy!r} has no name to import it by, so no journal could be replayed; "
            "define it at the top of a module",
            location=("policy",),
        )
    return f"{module}:{name}"


def _from_arguments(
    name: str,
    model: str,
    window_tokens: int | None,
    reserve_tokens: int,
    budget: int | str | None,
    phases: Sequence[str | Mapping[str, Any]] | None,
    policy: str | Mapping[str, Any] | None,
) -> LoadedWorkflow:
    """Return the workflow file that the arguments stand for, read as any other."""
    content: dict[str, Any] = {
        "name": name,
        "reserve": reserve_tokens,
        "phases": _phases(phases or (DEFAULT_PHASE,)),
    }
    given = {"model": model or None, "window": window_tokens, "budget": budget}
    content |= {key: value for key, value in given.items() if value is not None}
    if isinstance(policy, Mapping):
        content["policy"] = dict(policy)
    try:
        text = json.dumps(content)
    except TypeError as error:
        raise ConfigError(f"the arguments of the run cannot be read: {error}") from None
    return workflow_of_text(text, "arguments")


def _phases(phases: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return phases as a file says them; those given by name come one after the other."""
    found: list[dict[str, Any]] = []
    if isinstance(phases, str):
        raise ConfigError(f"expected a list of phases, found {phases!r}", location=("phases",))
    for phase in phases:
        if not isinstance(phase, str | Mapping):
            raise ConfigError(
                f"expected names or mappings of phases, found {phase!r}", location=("phases",)
            )
        if isinstance(phase, str):
            after = [found[-1]["id"]] if found and "id" in found[-1] else []
            found.append({"id": phase, "after": after})
        else:
            found.append(dict(phase))
    return found


def _overrides(
    policy: str | Mapping[str, Any] | None,
    allocator: str | None,
    budget: int | str | None,
    window_tokens: int | None,
    model: str,
) -> Overrides:
    if isinstance(policy, Mapping):
        raise ConfigError(
            "a policy's content goes into the workflow file; give a name or a path beside a file",
            location=("policy",),
        )
    limit: Limit | None = None
    if budget is not None:
        limit = Limit(tokens=budget) if isinstance(budget, int) else budget_option(budget, "budget")
    return Overrides(
        policy=policy,
        allocator=allocator,
        budget=limit,
        window_tokens=window_tokens,
        model=model or None,
    )


def _money(
    given: MoneyLike | None, phases: Sequence[str], prices: Mapping[str, Price]
) -> tuple[MoneyBudget, ...]:
    if given is None:
        return ()
    if not prices:
        raise ConfigError(
            "a budget in money needs a model whose price is known; name it as `model`",
            location=("budget_usd",),
        )
    for scope in given if isinstance(given, Mapping) else ():
        if scope != "run" and scope.removeprefix("phase:") not in phases:
            raise ConfigError(
                f"{scope!r} is no phase; {near_misses(scope, ['run', *phases])}",
                location=("budget_usd",),
            )
    scopes = given if isinstance(given, Mapping) else {"run": given}
    return tuple(
        MoneyBudget(
            scope=scope if scope == "run" or scope.startswith("phase:") else f"phase:{scope}",
            limit_usd=_usd(amount),
        )
        for scope, amount in scopes.items()
    )


def _usd(amount: object) -> Decimal:
    try:
        found = Decimal(str(amount))
    except ArithmeticError:
        found = Decimal(-1)
    if not found.is_finite() or found <= 0:
        raise ConfigError(
            f"expected US dollars above 0, found {amount!r}", location=("budget_usd",)
        )
    return found


Clock: TypeAlias = Callable[[], float]
"""Seconds; for prices, since 1970."""
