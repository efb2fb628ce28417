"""The same work in one long window, or in a fresh one for each phase with a hand-off.

Both are played by the same engine, under the same policy, with the same prompt cache: a fresh
window keeps the permanent items, so what the provider still holds of them is read, not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from ctxbudget.config.run_setup import Overrides, RunSetup, find_allocator, set_up_run
from ctxbudget.config.sizes import Measure
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.config.workflow_format import MetadataLayer, PhasePart
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import BudgetExceededError, ConfigError
from ctxbudget.core.events import (
    CallStarted,
    Fact,
    ItemAdded,
    PhaseFinished,
    PhaseStarted,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Item, Kind, Layer
from ctxbudget.gate.places import Places
from ctxbudget.metrics import Metrics
from ctxbudget.session import Session
from ctxbudget.sources.workflow import WorkflowSource

HANDOFF_TOKENS: Final = 1_500
"""Of a hand-off whose size nothing declares: a page or two. An assumption."""

_HANDOFF_OF: Final = "/?hand-off of "
"""In the ids of hand-offs, between the phase that takes one and the one that left it."""

MOST_CALLS: Final = 256
"""In each phase; the search for the number from which on fresh windows are cheaper ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """What a phase leaves for windows that do not hold its work.

    `is_written` is False for the metadata that the workflow declares: it is extracted from the
    phase's output, so no call has to write it.
    """

    phase: str
    tokens: int
    is_written: bool
    is_permanent: bool = False
    """It goes to all later windows, not only to those of phases that ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One way to run a workflow.

    Attributes:
        rewrites: calls at which a warm cache had to be written again behind a change.
        written_usd: what writing the hand-offs cost as output; None if a price is not known.
        written_tokens: the same in tokens.
    """

    metrics: Metrics
    rewrites: int
    written_usd: Decimal | None = Decimal(0)
    written_tokens: int = 0

    @property
    def cost_usd(self) -> Decimal | None:
        """Input and summaries, and the hand-offs as output."""
        input_usd = self.metrics.run.cost_usd
        if input_usd is None or self.written_usd is None:
            return None
        return input_usd + self.written_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A workflow both ways, and where one becomes cheaper than the other.

    Attributes:
        handoffs: of each phase that has one, in the order of the run.
        handoff_limit_tokens: the largest hand-off of every phase at which fresh windows are still
            cheaper; None where even an empty one is not, or costs are not known.
        is_expected: chance has a say in the workflow, which was left out.
        is_limit_open: they are cheaper with the largest hand-off that was tried, too.
        calls_limit: the fewest calls in every phase from which on fresh windows are cheaper; None
            where they are not with `MOST_CALLS`, or costs are not known.
    """

    long: Played
    fresh: Played
    handoffs: tuple[HandOff, ...]
    handoff_limit_tokens: int | None
    is_limit_open: bool
    calls_limit: int | None
    is_expected: bool

    @property
    def saved_usd(self) -> Decimal | None:
        """What fresh windows save; below 0 what they cost more; None if costs are not known."""
        long_usd, fresh_usd = self.long.cost_usd, self.fresh.cost_usd
        return None if long_usd is None or fresh_usd is None else long_usd - fresh_usd


def compare_windows(
    loaded: LoadedWorkflow,
    overrides: Overrides,
    measure: Measure,
    handoff_tokens: int | None = None,
) -> Windows:
    """Return a workflow in one window and in fresh ones, and the break-evens, all by playing.

    `handoff_tokens` is the size of every hand-off, each written by a model; None takes what the
    workflow declares as metadata, and `HANDOFF_TOKENS` for phases that declare none.

    Raises:
        ConfigError: the workflow or an override is wrong, there is only one phase, or hand-offs do
            not fit the window.
        BudgetExceededError: what may not be pruned does not fit the window.
    """
    setup = set_up_run(loaded, overrides)
    if len(setup.graph.order) < 2:
        raise ConfigError(
            "has a single phase, so there is only one window; split it into phases to compare, or a "
            "recorded session by other --phases",
            path=loaded.document.path,
        )
    long = _played(setup, measure, None)
    try:
        fresh = _played(setup, measure, handoff_tokens, is_fresh=True)
    except BudgetExceededError as error:
        raise _too_large(error) from None
    found: tuple[int | None, bool] = (None, False)
    calls = None
    if long.cost_usd is not None and fresh.cost_usd is not None:
        found = _largest_handoff(setup, measure, long.cost_usd)
        calls = _fewest_calls(loaded, overrides, measure, handoff_tokens)
    return Windows(
        long=long,
        fresh=fresh,
        handoffs=tuple(_HandOffs(setup, measure, handoff_tokens).all()),
        handoff_limit_tokens=found[0],
        is_limit_open=found[1],
        calls_limit=calls,
        is_expected=loaded.workflow.is_uncertain,
    )


# ---- the hand-offs


@dataclass(slots=True)
class _HandOffs:
    """Who hands over what to whom."""

    setup: RunSetup
    measure: Measure
    tokens: int | None
    parts: dict[str, PhasePart] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = {part.id: part for part in self.setup.loaded.workflow.phases}

    def all(self) -> Iterator[HandOff]:
        """Yield the hand-off of each phase that some later phase takes."""
        order = self.setup.graph.order
        taken = {one.phase for name in order for one in self.to(name)}
        return (self.of(name) for name in order if name in taken)

    def of(self, phase: str) -> HandOff:
        """Return what a phase leaves."""
        part = self.parts[phase]
        declared = [part.metadata] if part.metadata is not None else []
        kept = [part.metadata_to] if part.metadata is not None else []
        for wave in part.all_waves():
            declared += [one.metadata for one in wave.agents if one.metadata is not None]
            kept += [one.metadata_to for one in wave.agents if one.metadata is not None]
        is_permanent = MetadataLayer.PERMANENT in kept
        if self.tokens is None and declared:
            tokens = sum(map(self.measure.tokens, declared))
            return HandOff(phase=phase, tokens=tokens, is_written=False, is_permanent=is_permanent)
        tokens = HANDOFF_TOKENS if self.tokens is None else self.tokens
        return HandOff(phase=phase, tokens=tokens, is_written=True, is_permanent=is_permanent)

    def to(self, phase: str) -> list[HandOff]:
        """Return what a phase's window starts with: of the phases it needs, and what all get.

        A workflow in which no phase says what it needs is taken as a chain.
        """
        order = self.setup.graph.order
        before = order[: order.index(phase)]
        is_chain = not any(part.after for part in self.parts.values())
        needed = set(before[-1:]) if is_chain else set(self.parts[phase].after)
        found = [self.of(name) for name in before]
        return [one for one in found if one.phase in needed or one.is_permanent]


# ---- playing


def _played(
    setup: RunSetup, measure: Measure, tokens: int | None, *, is_fresh: bool = False
) -> Played:
    metrics, places = Metrics(), Places()
    source = WorkflowSource(setup, measure)
    engine = Engine(setup.policy.policy, find_allocator)
    session = Session(engine, source.answer, (metrics, places))
    if not is_fresh:
        session.run(source.facts())
        return Played(metrics=metrics, rewrites=len(places.rewrites))
    fresh = _Fresh(source, engine, _HandOffs(setup, measure, tokens))
    session.run(fresh.facts())
    return Played(
        metrics=metrics,
        rewrites=len(places.rewrites),
        written_usd=fresh.written_usd,
        written_tokens=fresh.written_tokens,
    )


@dataclass(slots=True)
class _Fresh:
    """A workflow's facts, with all but tools and permanent items taken back where a phase begins."""

    source: WorkflowSource
    engine: Engine
    handoffs: _HandOffs
    written_usd: Decimal | None = Decimal(0)
    written_tokens: int = 0

    def facts(self) -> Iterator[Fact]:
        """Yield the facts in order."""
        taken = {one.phase: one for one in self.handoffs.all()}
        for fact in self.source.facts():
            if isinstance(fact, PhaseFinished) and fact.phase in taken:
                yield from self._write(taken[fact.phase], fact.at)
            if isinstance(fact, PhaseStarted):
                yield from self._clear(fact.at)
                yield fact
                yield from self._start(fact)
            else:
                yield fact

    def _clear(self, at: float) -> Iterator[Fact]:
        """Yield the end of a window: all that it held goes, stand-ins for outputs included."""
        kept = {part.id for part in self.handoffs.setup.loaded.workflow.permanent}
        store = self.engine.state.threads[MAIN].store
        items = tuple(
            item.id for item in store if item.id not in kept and item.kind is not Kind.TOOLS
        )
        if items:
            yield Withdrawn(at=at, items=items)

    def _start(self, fact: PhaseStarted) -> Iterator[Fact]:
        for one in self.handoffs.to(fact.phase):
            if one.tokens:
                item = Item(
                    id=f"{fact.phase}{_HANDOFF_OF}{one.phase}",
                    tokens=one.tokens,
                    layer=Layer.PHASE,
                    kind=Kind.USER,
                    phase=fact.phase,
                    pinned=True,
                )
                yield ItemAdded(at=fact.at, item=item)

    def _write(self, one: HandOff, at: float) -> Iterator[Fact]:
        """Yield the call that writes a hand-off, with all of the phase in its prompt."""
        if not one.is_written:
            return
        setup = self.handoffs.setup
        model = self.handoffs.parts[one.phase].model or setup.loaded.workflow.model or ""
        yield CallStarted(at=at, model=model)
        self.written_tokens += one.tokens
        price = setup.start.prices.get(model)
        if price is None or self.written_usd is None:
            self.written_usd = None
        else:
            self.written_usd += price.cost_usd(output_tokens=one.tokens)


def _too_large(error: BudgetExceededError) -> ConfigError:
    """Return the error for a fresh window that is too full: all but hand-offs fits the long one."""
    held_tokens = sum(tokens for name, tokens in error.items if _HANDOFF_OF in name)
    return ConfigError(
        f"hand-offs hold {held_tokens:,} of {error.tokens:,} tokens that may not go from thread "
        f"{error.thread!r}, over the hard limit of {error.limit_tokens:,}; choose a smaller size, or "
        "a larger window",
        location=("--handoff",),
    )


# ---- break-evens


def _largest_handoff(
    setup: RunSetup, measure: Measure, long_usd: Decimal
) -> tuple[int | None, bool]:
    """Return the largest hand-off with which fresh windows are cheaper, and if there may be more."""

    def is_cheaper(tokens: int) -> bool:
        try:
            cost_usd = _played(setup, measure, tokens, is_fresh=True).cost_usd
        except BudgetExceededError:  # pinned hand-offs that do not fit an agent's smaller window
            return False
        return cost_usd is not None and cost_usd < long_usd

    if not is_cheaper(1):
        return None, False
    most = max(2, _room_tokens(setup, measure))
    if is_cheaper(most):
        return most, True
    return _last(is_cheaper, 1, most), False


def _room_tokens(setup: RunSetup, measure: Measure) -> int:
    """Return what each hand-off may hold for the fullest window to stay within the hard limit."""
    handoffs = _HandOffs(setup, measure, 1)
    most_at_once = max(len(handoffs.to(name)) for name in setup.graph.order)
    peak_tokens = _played(setup, measure, 1, is_fresh=True).metrics.run.peak_tokens
    return (setup.start.scale.hard_limit_tokens - peak_tokens) // max(1, most_at_once)


def _fewest_calls(
    loaded: LoadedWorkflow, overrides: Overrides, measure: Measure, tokens: int | None
) -> int | None:
    """Return the fewest calls in every phase from which on fresh windows are cheaper."""

    def is_dearer(calls: int) -> bool:
        setup = set_up_run(_with_calls(loaded, calls), overrides)
        long = _played(setup, measure, None).cost_usd
        fresh = _played(setup, measure, tokens, is_fresh=True).cost_usd
        return long is None or fresh is None or fresh >= long

    if not is_dearer(1):
        return 1
    calls = 1
    while is_dearer(2 * calls):
        calls *= 2
        if calls >= MOST_CALLS:
            return None
    return _last(is_dearer, calls, 2 * calls) + 1


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return a number for which something holds, and for the next one not; by halving.

    It holds for `low` and not for `high`.
    """
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _with_calls(loaded: LoadedWorkflow, calls: int) -> LoadedWorkflow:
    phases = tuple(part.model_copy(update={"calls": calls}) for part in loaded.workflow.phases)
    workflow = loaded.workflow.model_copy(update={"phases": phases})
    return replace(loaded, workflow=workflow)
