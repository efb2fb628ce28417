"""Facts from a workflow file: what would happen if the phases ran as declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge

from ctxbudget.config.run_setup import RunSetup, placed
from ctxbudget.config.sizes import Measure, Source
from ctxbudget.config.workflow_file import AgentPart, Deliver, ItemPart, PhasePart, Turn, WavePart
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    Answered,
    CallStarted,
    Effect,
    Fact,
    ItemAdded,
    PhaseFinished,
    PhaseStarted,
    Review,
    Reviewed,
    RunFinished,
    Shortened,
    WaveFinished,
    WaveStarted,
)
from ctxbudget.core.types import MAIN, Do, Item, Kind, Layer


@dataclass(slots=True)
class WorkflowSource:
    """Yields the facts of a workflow, and answers effects from its declared sizes.

    Deterministic: the clock advances by `call_s` per call, agents of a wave start together, and
    ids are built from the workflow's own.
    """

    setup: RunSetup
    measure: Measure
    _metadata_tokens: dict[str, int] = field(default_factory=dict)
    _item_tokens: dict[str, int] = field(default_factory=dict)
    _at: float = 0.0

    def facts(self) -> Iterator[Fact]:
        """Yield the run's facts in order.

        Raises:
            ConfigError: a file or glob that the workflow names cannot be counted.
        """
        try:
            yield from self._facts()
        except ConfigError as error:
            raise placed(error, self.setup.loaded.document) from None

    def answer(self, effect: Effect) -> Answered:
        """Return the size of a shorter form: declared, or assumed by the workflow's `sizes`."""
        if isinstance(effect, Review):
            return Reviewed(at=effect.at, rule=effect.rule, allowed=True, thread=effect.thread)
        sizes = self.setup.loaded.workflow.sizes
        whole = sum(self._item_tokens.get(item, 0) for item in effect.items)
        first = effect.items[0] if effect.items else ""
        if effect.do is Do.DIGEST:
            tokens = self._metadata_tokens.get(first, int(whole * sizes.digest))
        elif effect.do is Do.SUMMARIZE:
            tokens = effect.limit_tokens or 0
        elif effect.do is Do.SNIP:
            tokens = min(whole, effect.limit_tokens or sizes.snip)
        else:
            tokens = sizes.clear if effect.do is Do.CLEAR else sizes.stub
        if effect.limit_tokens is not None:
            tokens = min(tokens, effect.limit_tokens)
        return Shortened(
            at=effect.at, do=effect.do, items=effect.items, tokens=tokens, thread=effect.thread
        )

    # ---- the run

    def _facts(self) -> Iterator[Fact]:
        setup = self.setup
        yield setup.start
        for part in setup.loaded.workflow.permanent:
            yield self._given(part, part.id, Layer.PERMANENT)
        parts = {phase.id: phase for phase in setup.loaded.workflow.phases}
        for name in setup.graph.order:
            yield from self._phase(parts[name])
        yield RunFinished(at=self._at)

    def _phase(self, part: PhasePart) -> Iterator[Fact]:
        self._at += part.pause_s
        yield PhaseStarted(at=self._at, phase=part.id)
        for one in part.items:
            yield self._given(one, f"{part.id}/items/{one.id}", Layer.PHASE, phase=part.id)
        yield from self._reads(part.reads, part.id, MAIN, part.id, self._at)
        waves = part.all_waves()
        for number, wave in enumerate(waves, 1):
            yield from self._wave(part, wave, number)
        if not waves:
            yield from self._own_work(part)
        yield PhaseFinished(at=self._at, phase=part.id)

    def _own_work(self, part: PhasePart) -> Iterator[Fact]:
        """Yield what the orchestrator does in its own thread, the last call writing the output."""
        calls = part.main_calls()
        turns = calls if part.output is None else calls - 1
        yield from self._main_calls(part, calls, turns, f"{part.id}/turn")
        if part.output is None:
            return
        name = f"{part.id}/output"
        output = self._artifact(part.output, part.metadata, name, part.metadata_to, part.id)
        yield output
        yield AgentFinished(at=self._at, phase=part.id, wave=1, agent=part.id, delivered=(name,))

    def _wave(self, part: PhasePart, wave: WavePart, number: int) -> Iterator[Fact]:
        agents = tuple(agent.id for agent in wave.agents)
        yield WaveStarted(at=self._at, phase=part.id, wave=number, agents=agents)
        for one in wave.items:
            name = f"{part.id}/wave {number}/{one.id}"
            yield self._given(one, name, Layer.PHASE, phase=part.id, wave=number)
        works = [self._agent_work(part, agent, number, self._at) for agent in wave.agents]
        yield from merge(*works, key=lambda fact: fact.at)
        self._at += self.setup.loaded.workflow.call_s * max(agent.calls for agent in wave.agents)
        yield from self._deliveries(part, wave, number)
        yield WaveFinished(at=self._at, phase=part.id, wave=number)
        calls = 1 if part.calls is None else part.calls
        yield from self._main_calls(part, calls, calls, f"{part.id}/after wave {number}, turn")

    def _deliveries(self, part: PhasePart, wave: WavePart, number: int) -> Iterator[Fact]:
        finished: list[Fact] = []
        for agent in wave.agents:
            name = f"{part.id}/{agent.id}"
            yield self._artifact(
                agent.output, agent.metadata, name, agent.metadata_to, part.id, number, agent.id
            )
            finished.append(
                AgentFinished(
                    at=self._at,
                    phase=part.id,
                    wave=number,
                    agent=agent.id,
                    thread=name,
                    delivered=(name,),
                )
            )
            if self.setup.deliver is Deliver.IN_TURN:
                yield finished.pop()
        yield from finished

    # ---- threads

    def _agent_work(
        self, part: PhasePart, agent: AgentPart, wave: int, start: float
    ) -> Iterator[Fact]:
        """Yield an agent's life in its own thread, on a clock of its own."""
        thread, at = f"{part.id}/{agent.id}", start
        model = agent.model or part.model or self.setup.loaded.workflow.model or ""
        yield AgentStarted(
            at=at,
            phase=part.id,
            wave=wave,
            agent=agent.id,
            thread=thread,
            calls=agent.calls,
            scale=self.setup.scale_of(agent.model or part.model),
        )
        if agent.prompt is not None:
            tokens = self.measure.tokens(agent.prompt)
            item = Item(id=f"{thread}/prompt", tokens=tokens, kind=Kind.USER, phase=part.id)
            yield ItemAdded(at=at, item=item, thread=thread)
        yield from self._reads(agent.reads, part.id, thread, thread, at)
        for number in range(1, agent.calls + 1):
            yield CallStarted(at=at, thread=thread, model=model)
            at += self.setup.loaded.workflow.call_s
            if agent.turn is not None and number < agent.calls:
                yield from self._turn(agent.turn, f"{thread}/turn {number}", part.id, thread, at)

    def _main_calls(self, part: PhasePart, calls: int, turns: int, name: str) -> Iterator[Fact]:
        model = part.model or self.setup.loaded.workflow.model or ""
        for number in range(1, calls + 1):
            yield CallStarted(at=self._at, model=model)
            self._at += self.setup.loaded.workflow.call_s
            if part.turn is not None and number <= turns:
                yield from self._turn(part.turn, f"{name} {number}", part.id, MAIN, self._at)

    # ---- items

    def _turn(self, turn: Turn, name: str, phase: str, thread: str, at: float) -> Iterator[Fact]:
        pieces = ((Kind.TOOL_CALL, turn.call, "call"), (Kind.TOOL_RESULT, turn.result, "result"))
        for kind, size, label in pieces:
            item = Item(
                id=f"{name}/{label}",
                tokens=self.measure.tokens(size),
                kind=kind,
                phase=phase,
                group=name,
                tool=turn.tool,
            )
            yield self._added(item, at, thread)

    def _reads(
        self, reads: tuple[Source, ...], phase: str, thread: str, name: str, at: float
    ) -> Iterator[Fact]:
        pieces = [piece for size in reads for piece in self.measure.parts(size)]
        for number, piece in enumerate(pieces, 1):
            item = Item(
                id=f"{name}/reads/{number}" + (f" {piece.name}" if piece.name else ""),
                tokens=piece.tokens,
                kind=Kind.TOOL_RESULT,
                phase=phase,
                source=piece.name or None,
            )
            yield self._added(item, at, thread)

    def _given(
        self,
        part: ItemPart,
        name: str,
        layer: Layer,
        phase: str | None = None,
        wave: int | None = None,
    ) -> Fact:
        item = Item(
            id=name,
            tokens=self.measure.tokens(part),
            layer=layer,
            kind=Kind.SYSTEM,
            phase=phase,
            wave=wave,
            pinned=part.pinned,
        )
        return self._added(item, self._at, MAIN)

    def _artifact(
        self,
        output: Source,
        metadata: Source | None,
        name: str,
        metadata_to: str,
        phase: str,
        wave: int | None = None,
        agent: str | None = None,
    ) -> Fact:
        tokens = self.measure.tokens(output)
        assumed = min(tokens, self.setup.loaded.workflow.sizes.metadata)
        self._metadata_tokens[name] = self.measure.tokens(metadata) if metadata else assumed
        item = Item(
            id=name,
            tokens=tokens,
            kind=Kind.ARTIFACT,
            phase=phase,
            wave=wave,
            agent=agent,
            stand_in_layer=Layer(metadata_to),
        )
        return self._added(item, self._at, MAIN)

    def _added(self, item: Item, at: float, thread: str) -> Fact:
        self._item_tokens[item.id] = item.tokens
        return ItemAdded(at=at, item=item, thread=thread)
