"""Facts from a workflow file: what would happen if the phases ran as declared."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import takewhile

from ctxbudget.chance import EXPECTED, Chance, Course, times_of
from ctxbudget.config.run_setup import RunSetup, placed
from ctxbudget.config.sizes import Part, Sizes, Source
from ctxbudget.config.workflow_format import (
    AgentPart,
    Deliver,
    ItemPart,
    PhasePart,
    ToolsPart,
    Turn,
    WavePart,
)
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
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Do, Item, Kind, Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """How an agent fares in one wave."""

    name: str
    """Of the agent's output, and of the thread of its first try."""
    count: int = 1
    is_lost: bool = False
    """All of them failed: it delivers nothing."""

    def thread(self, number: int) -> str:
        """Return the name of a try's thread; `number` counts from 1."""
        return self.name if number == 1 else f"{self.name}/try {number}"


@dataclass(slots=True)
class WorkflowSource:
    """Yields the facts of a workflow, and answers effects from its declared sizes.

    Deterministic: the clock advances by `call_s` per call, agents of a wave start together, ids
    are built from the workflow's own, and what the workflow leaves open is asked of `chance`. The
    facts do not depend on the answers to effects: they are the same under every policy.
    """

    setup: RunSetup
    measure: Sizes
    chance: Chance = EXPECTED
    course: Course = field(default_factory=Course)
    """What chance decided so far."""
    _offered: tuple[ToolsPart, ...] = ()
    """The tools that head the orchestrator's prompt."""
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
        if effect.do in (Do.DIGEST, Do.NAMES):
            tokens = self._metadata_tokens.get(first, int(whole * sizes.digest))
        elif effect.do is Do.SUMMARIZE:
            tokens = effect.limit_tokens or 0
        elif effect.do is Do.SNIP:
            tokens = min(whole, effect.limit_tokens or sizes.snip)
        elif effect.do is Do.DEDUPE:
            tokens = whole  # what else holds its lines is not known
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
        """Yield a phase; one that is skipped is told with nothing in it, so that it is over."""
        times = self._times(part)
        self._at += part.pause_s if times else 0
        tools = self._offered
        if times and part.main_calls():
            tools = self.setup.loaded.workflow.tools_of(part)
        kept = yield from self._take_back(tools)
        yield PhaseStarted(at=self._at, phase=part.id)
        yield from self._tools(tools[kept:], MAIN, self._at)
        for one in part.items if times else ():
            yield self._given(one, f"{part.id}/items/{one.id}", Layer.PHASE, phase=part.id)
        for time in range(1, times + 1):
            yield from self._time(part, time)
        yield PhaseFinished(at=self._at, phase=part.id)

    def _times(self, part: PhasePart) -> int:
        """Return how often a phase runs; 0 leaves it out."""
        if part.skip and self.chance.happens(part.skip, f"{part.id}/?skip"):
            times = 0
        elif part.repeat is None:
            times = 1
        else:
            again, at_most = part.repeat.again, part.repeat.at_most
            times = times_of(self.chance, again, at_most, f"{part.id}/?again")
        if part.skip or part.may_repeat:
            self.course.times[part.id] = times
        return times

    def _time(self, part: PhasePart, time: int) -> Iterator[Fact]:
        """Yield a phase's work; when it is done again, waves are counted on."""
        name = part.id if time == 1 else f"{part.id}/time {time}"
        yield from self._reads(part.reads, part.id, MAIN, name, self._at)
        waves = part.all_waves()
        for number, wave in enumerate(waves, 1 + (time - 1) * len(waves)):
            yield from self._wave(part, wave, number, name)
        if not waves:
            yield from self._own_work(part, time, name)

    def _own_work(self, part: PhasePart, time: int, within: str) -> Iterator[Fact]:
        """Yield what the orchestrator does in its own thread, the last call writing the output."""
        calls = part.main_calls()
        turns = calls if part.output is None else calls - 1
        yield from self._main_calls(part, calls, turns, f"{within}/turn")
        if part.output is None:
            return
        name = f"{within}/output"
        output = self._artifact(part.output, part.metadata, name, part.metadata_to, part.id)
        yield output
        yield AgentFinished(at=self._at, phase=part.id, wave=time, agent=part.id, delivered=(name,))

    def _wave(self, part: PhasePart, wave: WavePart, number: int, within: str) -> Iterator[Fact]:
        agents = tuple(agent.id for agent in wave.agents)
        yield WaveStarted(at=self._at, phase=part.id, wave=number, agents=agents)
        for one in wave.items:
            name = f"{within}/wave {number}/{one.id}"
            yield self._given(one, name, Layer.PHASE, phase=part.id, wave=number)
        tries = [self._tries(part, agent, f"{within}/{agent.id}") for agent in wave.agents]
        works = [
            self._agent_work(part, agent, number, made, self._at)
            for agent, made in zip(wave.agents, tries, strict=True)
        ]
        yield from merge(*works, key=lambda fact: fact.at)
        calls = [agent.calls * made.count for agent, made in zip(wave.agents, tries, strict=True)]
        self._at += self.setup.loaded.workflow.call_s * max(calls)
        yield from self._deliveries(part, wave, tries, number)
        yield WaveFinished(at=self._at, phase=part.id, wave=number)
        after = 1 if part.calls is None else part.calls
        yield from self._main_calls(part, after, after, f"{within}/after wave {number}, turn")

    def _tries(self, part: PhasePart, agent: AgentPart, name: str) -> _Tries:
        """Return how an agent fares."""
        if not agent.fails:
            return _Tries(name=name)
        failed = 0
        while failed < agent.tries and self.chance.happens(
            agent.fails, f"{name}/?fails {failed + 1}"
        ):
            failed += 1
        is_lost = failed == agent.tries
        self.course.note_agent(f"{part.id}/{agent.id}", failed, is_lost=is_lost)
        return _Tries(name=name, count=failed + (not is_lost), is_lost=is_lost)

    def _deliveries(
        self, part: PhasePart, wave: WavePart, tries: Sequence[_Tries], number: int
    ) -> Iterator[Fact]:
        finished: list[Fact] = []
        for agent, made in zip(wave.agents, tries, strict=True):
            if made.is_lost:
                continue
            yield self._artifact(
                agent.output,
                agent.metadata,
                made.name,
                agent.metadata_to,
                part.id,
                number,
                agent.id,
            )
            finished.append(
                AgentFinished(
                    at=self._at,
                    phase=part.id,
                    wave=number,
                    agent=agent.id,
                    thread=made.thread(made.count),
                    delivered=(made.name,),
                )
            )
            if self.setup.deliver is Deliver.IN_TURN:
                yield finished.pop()
        yield from finished

    # ---- threads

    def _agent_work(
        self, part: PhasePart, agent: AgentPart, wave: int, made: _Tries, start: float
    ) -> Iterator[Fact]:
        """Yield an agent's tries, each in a thread of its own, one after the other."""
        at = start
        for number in range(1, made.count + 1):
            thread = made.thread(number)
            yield from self._one_try(part, agent, wave, thread, at)
            at += self.setup.loaded.workflow.call_s * agent.calls
            if made.is_lost or number < made.count:
                yield AgentFinished(
                    at=at, phase=part.id, wave=wave, agent=agent.id, thread=thread, delivered=()
                )

    def _one_try(
        self, part: PhasePart, agent: AgentPart, wave: int, thread: str, at: float
    ) -> Iterator[Fact]:
        """Yield an agent's life in its own thread, on a clock of its own."""
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
        tools = self.setup.loaded.workflow.tools_of(part, agent)
        yield from self._tools(tools, thread, at, part.id)
        if agent.prompt is not None:
            name = f"{thread}/prompt"
            tokens = self._tokens(agent.prompt, name)
            item = Item(id=name, tokens=tokens, kind=Kind.USER, phase=part.id)
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

    def _take_back(self, tools: tuple[ToolsPart, ...]) -> Generator[Fact, None, int]:
        """Yield the end of what the orchestrator is no longer offered; return how many tools stay.

        What stands behind the first other one is sent anew.
        """
        pairs = zip(self._offered, tools, strict=False)
        kept = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        gone, self._offered = self._offered[kept:], tools
        if gone:
            yield Withdrawn(at=self._at, items=tuple(f"{MAIN}/tools/{one.id}" for one in gone))
        return kept

    def _tools(
        self, tools: Iterable[ToolsPart], thread: str, at: float, phase: str | None = None
    ) -> Iterator[Fact]:
        for one in tools:
            item = Item(
                id=f"{thread}/tools/{one.id}",
                tokens=self._tokens(one, f"tools/{one.id}"),
                layer=Layer.PHASE,  # an agent starts with what is permanent, not with these
                kind=Kind.TOOLS,
                phase=phase,
                pinned=True,
            )
            yield self._added(item, at, thread)

    def _parts(self, size: Source, place: str) -> tuple[Part, ...]:
        """Return the pieces of a size; an uncertain one is drawn for its place."""
        spread = size.spread
        if spread is None:
            return self.measure.parts(size)
        return (Part(name="", tokens=self.chance.tokens(spread, place)),)

    def _tokens(self, size: Source, place: str) -> int:
        return sum(piece.tokens for piece in self._parts(size, place))

    def _turn(self, turn: Turn, name: str, phase: str, thread: str, at: float) -> Iterator[Fact]:
        pieces = ((Kind.TOOL_CALL, turn.call, "call"), (Kind.TOOL_RESULT, turn.result, "result"))
        for kind, size, label in pieces:
            item = Item(
                id=f"{name}/{label}",
                tokens=self._tokens(size, f"{name}/{label}"),
                kind=kind,
                phase=phase,
                group=name,
                tool=turn.tool,
            )
            yield self._added(item, at, thread)

    def _reads(
        self, reads: tuple[Source, ...], phase: str, thread: str, name: str, at: float
    ) -> Iterator[Fact]:
        pieces = [
            piece
            for place, size in enumerate(reads, 1)
            for piece in self._parts(size, f"{name}/?reads {place}")
        ]
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
            tokens=self._tokens(part, name),
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
        tokens = self._tokens(output, name)
        if metadata is None:
            shorter = min(tokens, self.setup.loaded.workflow.sizes.metadata)
        else:
            shorter = self._tokens(metadata, f"{name}/?metadata")
        self._metadata_tokens[name] = shorter
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
