"""Numbers from events: what each phase was granted, held, sent and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from ctxbudget.core.events import (
    AgentStarted,
    Allocated,
    CallSent,
    Event,
    HeadroomShared,
    Injected,
    ItemAdded,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    Restored,
    RunClosed,
    RunStarted,
    ThreadClosed,
    Told,
    WaveClosed,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.pricing import Cost, InputCosts, plus_usd
from ctxbudget.core.types import MAIN, Form, Item, Kind, Layer, Scale


@dataclass(slots=True, kw_only=True)
class EventRow:
    """A level that was crossed."""

    level: str
    scope: str
    at: float
    tokens: int
    limit_tokens: int


@dataclass(slots=True, kw_only=True)
class WaveRow:
    """A wave of agents."""

    wave: int
    agents: int
    residual_tokens: int = 0
    headroom_tokens: int | None = None
    """What was left of the budget when it began; None for a single agent."""
    each_tokens: int | None = None
    """What each agent could deliver for all to fit."""


@dataclass(slots=True, kw_only=True)
class ThreadRow:
    """An agent's own thread."""

    id: str
    peak_tokens: int = 0
    calls: int = 0
    sent_tokens: int = 0
    pruned_tokens: int = 0
    cost_usd: Decimal | None = None
    """As of the run."""


@dataclass(slots=True, kw_only=True)
class ModelRow:
    """What went to one model."""

    model: str
    """Empty for calls that name none."""
    calls: int = 0
    sent_tokens: int = 0
    cost_usd: Decimal | None = None
    """As of the run."""


@dataclass(slots=True, kw_only=True)
class CacheRow:
    """Sent tokens by what the prompt cache did with them; they add up to what was sent."""

    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    uncached_tokens: int = 0
    rewritten_tokens: int = 0
    """Of those not read, what a warm cache held behind a change."""

    def add(self, call: CallSent) -> None:
        """Count a call."""
        self.cache_read_tokens += call.cache_read_tokens
        self.cache_write_tokens += call.cache_write_tokens
        self.uncached_tokens += call.uncached_tokens
        self.rewritten_tokens += call.rewritten_tokens


@dataclass(slots=True, kw_only=True)
class WholeRow:
    """What the main prompt holds at full length of what rules can shorten."""

    output_tokens: int = 0
    """Of outputs that agents and phases handed over."""
    rounds: int = 0
    """Of tools: a call and its result, or a result by itself."""
    round_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class PhaseRow:
    """A phase; occupancy is the main thread's, sent is over all threads."""

    id: str
    allocated_tokens: int = 0
    peak_tokens: int = 0
    residual_tokens: int = 0
    kept_tokens: int = 0
    over_tokens: int = 0
    pruned_tokens: int = 0
    """Net, in the main thread: removed minus the stand-ins left."""
    restored_tokens: int = 0
    """Net, in the main thread: what came back minus the stand-ins that left."""
    sent_tokens: int = 0
    calls: int = 0
    cost_usd: Decimal | None = None
    """As of the run, over all threads."""
    cache: CacheRow = field(default_factory=CacheRow)
    events: list[EventRow] = field(default_factory=list)
    waves: list[WaveRow] = field(default_factory=list)
    threads: list[ThreadRow] = field(default_factory=list)
    pruned_by_rule: dict[str, int] = field(default_factory=dict)
    kept_by_layer: dict[str, int] = field(default_factory=dict)
    """How each layer changed from the phase's start to its end."""
    outputs: int = 0
    largest_output_tokens: int = 0
    outputs_tokens: int = 0
    whole_at_start: WholeRow = field(default_factory=WholeRow)
    whole_at_peak: WholeRow = field(default_factory=WholeRow)
    whole_at_end: WholeRow = field(default_factory=WholeRow)


@dataclass(slots=True, kw_only=True)
class RunRow:
    """The whole run."""

    window_tokens: int = 0
    reserve_tokens: int = 0
    budget_tokens: int = 0
    warn_tokens: int = 0
    critical_tokens: int = 0
    planned_tokens: int = 0
    over_tokens: int = 0
    peak_tokens: int = 0
    residual_tokens: int = 0
    pruned_tokens: int = 0
    restored_tokens: int = 0
    sent_tokens: int = 0
    calls: int = 0
    cost_usd: Decimal | None = None
    """Input of calls, by the cache model, and summaries; None if a price that it takes is not known."""
    cache: CacheRow = field(default_factory=CacheRow)
    events: list[EventRow] = field(default_factory=list)
    """All events, those outside of phases included."""


_OF_ROUNDS: Final = frozenset({Kind.TOOL_CALL, Kind.TOOL_RESULT})

_Priced: TypeAlias = RunRow | PhaseRow | ThreadRow | ModelRow


class Metrics:
    """A listener that turns a run's events into rows.

    Attributes:
        workflow, policy, allocator: names from the run's first fact.
        phases: rows in the order in which phases started.
        run: totals.
        on_phase: called with each phase's row when it closes.
        is_priced: whether the price of any model was known when the run began.
    """

    def __init__(self, on_phase: Callable[[PhaseRow], None] | None = None) -> None:
        self.workflow = self.policy = ""
        self.allocator = ""
        self.phases: list[PhaseRow] = []
        self.run = RunRow()
        self.on_phase = on_phase
        self.is_priced = False
        self._models: dict[str, ModelRow] = {}
        self._costs = InputCosts()
        self._phase: PhaseRow | None = None
        self._threads: dict[str, ThreadRow] = {}
        self._layers: dict[Layer, int] = dict.fromkeys(Layer, 0)
        self._layers_at_start: dict[Layer, int] = dict(self._layers)
        self._items: dict[str, Item] = {}
        self._whole = WholeRow()
        self._rounds: Counter[str | None] = Counter()
        self._tokens = 0
        self._start_tokens = 0
        self._granted: dict[str, int] = {}
        self._notes: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            Allocated: self._allocated,
            PhaseStarted: self._phase_started,
            WaveStarted: self._wave_started,
            HeadroomShared: self._headroom_shared,
            AgentStarted: self._agent_started,
            ItemAdded: self._item_added,
            Injected: self._injected,
            Withdrawn: self._withdrawn,
            Pruned: self._pruned,
            Restored: self._restored,
            CallSent: self._call_sent,
            ThreadClosed: self._thread_closed,
            Told: self._told,
            WaveClosed: self._wave_closed,
            PhaseClosed: self._phase_closed,
            RunClosed: self._run_closed,
        }

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        note = self._notes.get(type(event))
        if note is not None:
            note(event)
        cost = self._costs(event)
        if cost is not None:
            self._pay(cost)

    @property
    def models(self) -> list[ModelRow]:
        """A row for each model, in the order in which they were first used."""
        return list(self._models.values())

    def _nothing_spent(self) -> Decimal | None:
        return Decimal(0) if self.is_priced else None

    def _model(self, model: str) -> ModelRow:
        if model not in self._models:
            self._models[model] = ModelRow(model=model, cost_usd=self._nothing_spent())
        return self._models[model]

    def _pay(self, cost: Cost) -> None:
        rows: list[_Priced | None] = [self.run, self._phase, self._model(cost.model)]
        for row in (*rows, self._threads.get(cost.thread)):
            if row is not None:
                row.cost_usd = plus_usd(row.cost_usd, cost.usd)

    def _run_started(self, event: RunStarted) -> None:
        self.workflow, self.allocator = event.workflow, event.allocator.use
        self.policy = str(event.policy.get("name", ""))
        scale: Scale = event.scale
        self.is_priced = bool(event.prices)
        self.run.cost_usd = self._nothing_spent()
        self.run.window_tokens = scale.window_tokens
        self.run.reserve_tokens = scale.reserve_tokens
        self.run.budget_tokens = scale.budget_tokens
        self.run.warn_tokens = event.thresholds.warn.resolve_tokens(scale)
        self.run.critical_tokens = event.thresholds.critical.resolve_tokens(scale)

    def _allocated(self, event: Allocated) -> None:
        if event.phase not in self._granted:
            self.run.planned_tokens += event.tokens
        self._granted[event.phase] = event.tokens
        if self._phase is not None and self._phase.id == event.phase:
            self._phase.allocated_tokens = event.tokens

    def _stand(self) -> None:
        """Note where the run and its open phase stand; closing replaces it by the engine's say."""
        run, phase, tokens = self.run, self._phase, self._tokens
        run.residual_tokens = tokens
        run.peak_tokens = max(run.peak_tokens, tokens)
        if phase is not None:
            phase.residual_tokens = tokens
            if tokens > phase.peak_tokens:
                phase.peak_tokens, phase.whole_at_peak = tokens, replace(self._whole)
            phase.kept_tokens = max(0, tokens - self._start_tokens)

    def _phase_started(self, event: PhaseStarted) -> None:
        self._phase = PhaseRow(
            id=event.phase,
            allocated_tokens=self._granted.get(event.phase, 0),
            cost_usd=self._nothing_spent(),
            whole_at_start=replace(self._whole),
        )
        self.phases.append(self._phase)
        self._start_tokens = self._tokens
        self._stand()
        self._layers_at_start = dict(self._layers)

    def _wave_started(self, event: WaveStarted) -> None:
        if self._phase is not None:
            self._phase.waves.append(WaveRow(wave=event.wave, agents=len(event.agents)))

    def _headroom_shared(self, event: HeadroomShared) -> None:
        if self._phase is not None and self._phase.waves:
            wave = self._phase.waves[-1]
            wave.headroom_tokens, wave.each_tokens = event.headroom_tokens, event.each_tokens

    def _agent_started(self, event: AgentStarted) -> None:
        row = ThreadRow(id=event.thread, cost_usd=self._nothing_spent())
        self._threads[event.thread] = row
        if self._phase is not None:
            self._phase.threads.append(row)

    def _item_added(self, event: ItemAdded) -> None:
        if event.thread != MAIN:
            return
        item = event.item
        self._came(item)
        if self._phase is not None and item.kind is Kind.ARTIFACT:
            self._phase.outputs += 1
            self._phase.outputs_tokens += item.tokens
            self._phase.largest_output_tokens = max(self._phase.largest_output_tokens, item.tokens)

    def _injected(self, event: Injected) -> None:
        if event.thread == MAIN:
            self._came(event.item)

    def _withdrawn(self, event: Withdrawn) -> None:
        if event.thread == MAIN:
            for name in event.items:
                self._went(name)

    def _restored(self, event: Restored) -> None:
        if event.thread != MAIN:
            return
        for name in event.removed:
            self._went(name)
        for item in event.items:
            self._came(item)
        self.run.restored_tokens += event.gained_tokens
        if self._phase is not None:
            self._phase.restored_tokens += event.gained_tokens

    def _came(self, item: Item) -> None:
        self._items[item.id] = item
        self._weigh(item, 1)

    def _went(self, name: str) -> None:
        item = self._items.pop(name, None)
        if item is not None:
            self._weigh(item, -1)

    def _weigh(self, item: Item, sign: Literal[1, -1]) -> None:
        """Count an item in, or out."""
        tokens, whole = sign * item.tokens, self._whole
        self._layers[item.layer] += tokens
        self._tokens += tokens
        if item.form is Form.WHOLE and item.kind is Kind.ARTIFACT:
            whole.output_tokens += tokens
        elif item.form is Form.WHOLE and item.kind in _OF_ROUNDS:
            whole.round_tokens += tokens
            self._rounds[item.turn] += sign
            if not self._rounds[item.turn]:
                del self._rounds[item.turn]
            whole.rounds = len(self._rounds)
        self._stand()

    def _pruned(self, event: Pruned) -> None:
        if event.thread != MAIN:
            self._threads[event.thread].pruned_tokens += event.net_tokens
            return
        self.run.pruned_tokens += event.net_tokens
        for name in event.items:
            self._went(name)
        if event.stand_in is not None:
            self._came(event.stand_in)
        if self._phase is not None:
            self._phase.pruned_tokens += event.net_tokens
            by_rule = self._phase.pruned_by_rule
            by_rule[event.rule] = by_rule.get(event.rule, 0) + event.net_tokens

    def _call_sent(self, event: CallSent) -> None:
        self.run.sent_tokens += event.tokens
        self.run.calls += 1
        self.run.cache.add(event)
        if self._phase is not None:
            self._phase.sent_tokens += event.tokens
            self._phase.calls += 1
            self._phase.cache.add(event)
        if event.thread in self._threads:
            self._threads[event.thread].sent_tokens += event.tokens
        model = self._model(event.model)
        model.calls += 1
        model.sent_tokens += event.tokens

    def _thread_closed(self, event: ThreadClosed) -> None:
        row = self._threads.pop(event.thread)
        row.peak_tokens, row.calls = event.peak_tokens, event.calls

    def _told(self, event: Told) -> None:
        row = EventRow(
            level=event.level,
            scope=event.scope,
            at=event.at,
            tokens=event.tokens,
            limit_tokens=event.limit_tokens,
        )
        self.run.events.append(row)
        if self._phase is not None:
            self._phase.events.append(row)

    def _wave_closed(self, event: WaveClosed) -> None:
        if self._phase is not None:
            self._phase.waves[-1].residual_tokens = event.residual_tokens

    def _phase_closed(self, event: PhaseClosed) -> None:
        row = self._phase
        if row is None:
            return
        row.allocated_tokens = event.allocated_tokens
        row.peak_tokens = event.peak_tokens
        row.residual_tokens = event.residual_tokens
        row.kept_tokens = event.kept_tokens
        row.over_tokens = event.over_tokens
        row.whole_at_end = replace(self._whole)
        row.kept_by_layer = {
            layer.value: tokens - self._layers_at_start[layer]
            for layer, tokens in self._layers.items()
        }
        self._phase = None
        if self.on_phase is not None:
            self.on_phase(row)

    def _run_closed(self, event: RunClosed) -> None:
        self.run.planned_tokens = event.planned_tokens
        self.run.peak_tokens = event.peak_tokens
        self.run.residual_tokens = event.residual_tokens
        self.run.over_tokens = event.over_tokens
