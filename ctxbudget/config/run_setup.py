"""Puts a workflow file, a policy and the command line's overrides together into a run's first fact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from ctxbudget.config.document import Document, Location
from ctxbudget.config.model_prices import caches_of, models_of, prices_of
from ctxbudget.config.own_code import OwnAllocator, import_attribute
from ctxbudget.config.policy_file import (
    LoadedPolicy,
    load_policy,
    policy_option,
    refuse_impossible,
)
from ctxbudget.config.policy_format import Bound
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.config.workflow_format import (
    AllocatorPart,
    Deliver,
    PhasePart,
    QuotaPart,
    ThresholdsPart,
    Workflow,
)
from ctxbudget.core.allocation import ALLOCATORS, Allocator, open_ledger
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.events import AllocatorSpec, Phase, Quota, RunStarted, Thresholds
from ctxbudget.core.graph import PhaseGraph
from ctxbudget.core.types import Base, Layer, Level, Limit, Scale
from ctxbudget.providers.models import window_tokens

WindowOf: TypeAlias = Callable[[str], int | None]
"""Looks a model's window up, in tokens; None if it is not known."""

DEFAULT_WINDOW_TOKENS = 200_000
"""The window of a model that is not named: the smaller of the sizes common in 2026."""

MANY_CALLS = 20
"""From here on a thread is a long conversation: an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line may change of a workflow; None leaves it as the file says."""

    policy: str | None = None
    allocator: str | None = None
    budget: Limit | None = None
    window_tokens: int | None = None
    deliver: Deliver | None = None
    model: str | None = None
    """Of the run; phases and agents that name their own keep it."""

    def with_policy(self, policy: str | None) -> Overrides:
        """Return the same overrides with another policy."""
        return replace(self, policy=policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSetup:
    """All that a simulation needs."""

    loaded: LoadedWorkflow
    """With the model that the run has, wherever it was said."""
    policy: LoadedPolicy
    start: RunStarted
    graph: PhaseGraph
    deliver: Deliver
    window_is_assumed: bool
    scale_of: Callable[[str | None], Scale | None]
    """Window and budget of an agent's own model, where they differ from the run's."""


def set_up_run(
    loaded: LoadedWorkflow,
    overrides: Overrides = Overrides(),
    window_of: WindowOf = window_tokens,
    at: float = 0.0,
) -> RunSetup:
    """Return the plan of a run; `window_of` looks a model's window up.

    `at` is when it begins, in seconds since 1970 if prices of that time are meant; 0 asks for the
    newest.

    Raises:
        ConfigError: settings that contradict each other, with the file and the line.
    """
    try:
        return _set_up(_with_model(loaded, overrides), overrides, window_of, at)
    except ConfigError as error:
        raise placed(error, loaded.document) from None


def placed(error: ConfigError, document: Document) -> ConfigError:
    """Return an error with the file and line that it is about.

    One that names a file itself, or an option of the command line, stays as it is.
    """
    is_an_option = bool(error.location) and str(error.location[0]).startswith("--")
    if error.path is not None or is_an_option:
        return error
    line = document.line_of(error.location) if error.location else None
    return ConfigError(error.message, path=document.path, line=line, location=error.location)


def _with_model(loaded: LoadedWorkflow, overrides: Overrides) -> LoadedWorkflow:
    if overrides.model is None:
        return loaded
    return replace(loaded, workflow=loaded.workflow.model_copy(update={"model": overrides.model}))


def _set_up(
    loaded: LoadedWorkflow, overrides: Overrides, window_of: WindowOf, at: float
) -> RunSetup:
    workflow = loaded.workflow
    window, is_assumed = _window(loaded, overrides, window_of)
    scale = _scale(loaded, overrides, window)
    phases = tuple(_phase(part, index, scale) for index, part in enumerate(workflow.phases))
    policy = _policy(loaded, overrides)
    refuse_impossible(policy, scale)
    if policy.bound is Bound.KNOWS_THE_FUTURE:
        raise ConfigError(
            f"policy {policy.label} knows what a recorded session went on to use; it goes with "
            "`ctxbudget replay` only",
            location=("policy",),
        )
    models = models_of(workflow)
    start = RunStarted(
        at=at,
        workflow=loaded.name,
        scale=scale,
        phases=phases,
        allocator=_allocator(loaded, overrides),
        thresholds=_thresholds(workflow.thresholds, scale),
        policy=policy.as_recorded,
        caches=caches_of(models),
        prices=prices_of(models, at or None),
        model=workflow.model or "",
        holds_limit=policy.bound is None,
    )
    graph = PhaseGraph(phases)
    with _blaming("--allocator", overrides.allocator, ("allocator",)):
        open_ledger(scale, graph.phases(), start.allocator, find_allocator)  # refuses early
    return RunSetup(
        loaded=loaded,
        policy=policy,
        start=start,
        graph=graph,
        deliver=overrides.deliver or workflow.deliver,
        window_is_assumed=is_assumed,
        scale_of=_scale_finder(loaded, overrides, window_of),
    )


def _phase(part: PhasePart, index: int, scale: Scale) -> Phase:
    granted = part.allocate.resolve_tokens(scale) if part.allocate else None
    if granted is not None and granted < 0:
        raise ConfigError(
            f"comes to {granted:,} tokens of a budget of {scale.budget_tokens:,}; raise it",
            location=("phases", index, "allocate"),
        )
    return Phase(
        id=part.id,
        after=part.after,
        complexity=part.complexity,
        allocate_tokens=granted,
        calls=part.main_calls(),
    )


def _scale_finder(
    loaded: LoadedWorkflow, overrides: Overrides, window_of: WindowOf
) -> Callable[[str | None], Scale | None]:
    is_given = loaded.workflow.window is not None or overrides.window_tokens is not None

    def scale_of(model: str | None) -> Scale | None:
        window = None if is_given or model is None else window_of(model)
        return None if window is None else _scale(loaded, overrides, window)

    return scale_of


def _window(loaded: LoadedWorkflow, overrides: Overrides, window_of: WindowOf) -> tuple[int, bool]:
    workflow = loaded.workflow
    given = overrides.window_tokens if overrides.window_tokens is not None else workflow.window
    if given is not None:
        return given, False
    found = window_of(workflow.model) if workflow.model else None
    return found or DEFAULT_WINDOW_TOKENS, found is None


def _scale(loaded: LoadedWorkflow, overrides: Overrides, window_tokens: int) -> Scale:
    reserve = loaded.workflow.reserve
    hard_limit = window_tokens - reserve
    if hard_limit <= 0:
        raise ConfigError(
            f"the reserve of {reserve:,} leaves nothing of the window of {window_tokens:,} tokens; "
            "lower it, or choose a larger window",
            location=("reserve",),
        )
    limit = overrides.budget or loaded.workflow.budget or Limit(below_tokens=0, of=Base.HARD_LIMIT)
    scale = Scale(window_tokens=window_tokens, reserve_tokens=reserve, budget_tokens=hard_limit)
    budget = limit.resolve_tokens(scale)
    if not 0 < budget <= hard_limit:
        raise ConfigError(
            f"a budget of {budget:,} tokens does not fit a window of {window_tokens:,} with a "
            f"reserve of {reserve:,}; choose 1 to {hard_limit:,}",
            location=("budget",) if overrides.budget is None else ("--budget",),
        )
    return replace(scale, budget_tokens=budget)


def _policy(loaded: LoadedWorkflow, overrides: Overrides) -> LoadedPolicy:
    """Return the policy to use; without a wish, the one that suits the workflow."""
    default = _default_policy(loaded.workflow)
    if overrides.policy is not None:
        return policy_option(overrides.policy)  # a path is meant as the shell means it
    spec = default if loaded.policy_spec is None else loaded.policy_spec
    with _blaming("policy", spec, ()):
        return load_policy(spec, beside=loaded.folder)


def _default_policy(workflow: Workflow) -> str:
    """Return the shipped policy that suits a workflow.

    One conversation, or a thread of many calls, is mostly tool rounds, which `adaptive` is about;
    the others are about what phases hand over.

    Source: the layered-budget tutorial gives aggressive pruning to workflows of more than three
    phases and moderate to shorter ones.
    """
    phases = workflow.phases
    calls = [phase.main_calls() for phase in phases]
    calls += [one.calls for phase in phases for wave in phase.all_waves() for one in wave.agents]
    if len(phases) == 1 or max(calls) >= MANY_CALLS:
        return "adaptive"
    return "aggressive" if len(phases) > 3 else "moderate"


@contextmanager
def _blaming(name: str, given: object, location: Location) -> Iterator[None]:
    """Let errors that name no file but a location name an option instead, if it was given."""
    try:
        yield
    except ConfigError as error:
        if given is None or error.path is not None or error.location != location:
            raise
        raise ConfigError(error.message, location=(name,)) from error


def find_allocator(name: str) -> Allocator:
    """Return an allocator by name or `package.module:attribute`.

    Raises:
        ConfigError: there is none.
    """
    if name in ALLOCATORS:
        return ALLOCATORS[name]
    if ":" not in name:
        raise ConfigError(
            f"there is no allocator {name!r}; {near_misses(name, ALLOCATORS)}",
            location=("allocator",),
        )
    try:
        return OwnAllocator(import_attribute(name), name)
    except ConfigError as error:
        raise ConfigError(error.message, location=("allocator",)) from error


def _allocator(loaded: LoadedWorkflow, overrides: Overrides) -> AllocatorSpec:
    given = loaded.workflow.allocator
    has_grants = any(phase.allocate is not None for phase in loaded.workflow.phases)
    default = "fixed" if has_grants else "dynamic"
    if isinstance(given, AllocatorPart):
        spec = AllocatorSpec(
            use=given.use,
            rollover=given.rollover,
            borrow=given.borrow,
            fan_in_headroom=given.fan_in_headroom,
            core_frac=given.core,
            reserve_frac=given.debug_reserve,
            buffer_frac=given.overflow_buffer,
            reserve_for=given.reserve_for,
            buffer_for=tuple(Level(event) for event in given.buffer_for),
        )
    else:
        spec = AllocatorSpec(use=default if given is None else given)
    if overrides.allocator is not None:
        spec = replace(spec, use=overrides.allocator)
    with _blaming("--allocator", overrides.allocator, ("allocator",)):
        find_allocator(spec.use)
    known = {phase.id for phase in loaded.workflow.phases}
    for name in spec.reserve_for:
        if name not in known:
            raise ConfigError(
                f"{name!r} is not a phase; {near_misses(name, known)}",
                location=("allocator", "reserve_for"),
            )
    return spec


def _thresholds(part: ThresholdsPart, scale: Scale) -> Thresholds:
    given = Thresholds(
        warn=part.warn or Thresholds().warn,
        critical=part.critical or Thresholds().critical,
        phase_warn_frac=part.phases.warn,
        phase_critical_frac=part.phases.critical,
        quotas=tuple(
            Quota(
                layer=layer,
                limit=quota.limit,
                warn_frac=quota.warn,
                critical_frac=quota.critical,
            )
            for layer in Layer
            if isinstance(quota := getattr(part.layers, layer), QuotaPart)
        ),
    )
    warn, critical = given.warn.resolve_tokens(scale), given.critical.resolve_tokens(scale)
    if not 0 < warn < critical <= scale.window_tokens:
        raise ConfigError(
            f"warn comes to {warn:,} tokens and critical to {critical:,}; they must rise, above 0 "
            f"and up to the window of {scale.window_tokens:,}",
            location=("thresholds",),
        )
    for quota in given.quotas:
        tokens = quota.limit.resolve_tokens(scale)
        if tokens < 1:
            raise ConfigError(
                f"comes to {tokens:,} tokens of a budget of {scale.budget_tokens:,}; raise it, "
                "or leave the layer out",
                location=("thresholds", "layers", str(quota.layer), "limit"),
            )
    pairs: list[tuple[tuple[str, ...], float | None, float | None]]
    pairs = [(("phases",), given.phase_warn_frac, given.phase_critical_frac)]
    pairs += [(("layers", str(q.layer)), q.warn_frac, q.critical_frac) for q in given.quotas]
    for where, low, high in pairs:
        if low is not None and high is not None and not 0 < low < high <= 1:
            raise ConfigError(
                f"warn is {low:.0%} and critical {high:.0%}; they must rise, above 0 and up to 100%",
                location=("thresholds", *where),
            )
    return given
