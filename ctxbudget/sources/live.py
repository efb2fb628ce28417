"""Facts from a running orchestrator: what it says it does, as the engine wants to hear it.

Every method is a generator: it yields facts, each to be fed before the next is asked for, and
returns what its caller gets. It touches neither engine nor clock by itself, so a synchronous and
an asynchronous run share it. Ids are counters over what was heard, so a run that was taken up again
counts on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Activated,
    AgentFinished,
    AgentStarted,
    CallAnswered,
    CallSent,
    CallStarted,
    Event,
    Fact,
    ItemAdded,
    ItemTouched,
    PhaseFinished,
    PhaseStarted,
    PromptCounted,
    Pruned,
    Registered,
    Rejected,
    RestoreAsked,
    Restored,
    RunFinished,
    RunStarted,
    UndoAsked,
    WaveFinished,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Item, Kind, Layer, Scale
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.live.pieces import Block, Piece
from ctxbudget.live.sizing import Size, Sizer
from ctxbudget.live.texts import Texts
from ctxbudget.live.uses import Uses
from ctxbudget.sources.tool_groups import ToolGroups

T = TypeVar("T")
Facts: TypeAlias = Generator[Fact, None, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a provider reported for one call."""

    uncached_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """With either lifetime."""
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    model: str = ""

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(slots=True)
class _Gain:
    """What a thread's prompt gained since the last report, for a counter to learn from."""

    counted: dict[ContentClass, int] = field(default_factory=dict)
    at_call: dict[ContentClass, int] = field(default_factory=dict)
    reported_tokens: int = 0
    is_whole: bool = True
    """Nothing left since, and each item was measured here."""

    def add(self, size: Size) -> None:
        self.counted[size.content] = self.counted.get(size.content, 0) + size.counted_tokens


@dataclass(slots=True)
class _Wave:
    """A wave of agents that runs."""

    number: int
    open_agents: set[str] = field(default_factory=set)
    announced: int = 1


@dataclass(slots=True)
class LiveSource:
    """Turns what an orchestrator does into facts; also a listener, to know what happened.

    Args:
        clock: seconds; where it goes back, time stands still here.
        sizer: measures blocks.
        texts: keeps them.
        uses: finds what the model used again, where a policy asks for it.
    """

    clock: Callable[[], float]
    sizer: Sizer
    texts: Texts
    uses: Uses | None = None
    phase: str | None = None
    """The phase that runs."""
    wave: _Wave | None = None
    finished_phases: dict[str, None] = field(default_factory=dict)
    """Those that are over, in the order in which they ended."""
    _at: float = 0.0
    _phase_of_thread: dict[str, str | None] = field(default_factory=dict)
    _agents: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _waves: dict[str, int] = field(default_factory=dict)
    _tool_groups: ToolGroups = field(default_factory=ToolGroups)
    _gains: dict[str, _Gain] = field(default_factory=dict)
    _delivered: dict[str, list[str]] = field(default_factory=dict)
    _is_finished: bool = False
    _measured: tuple[str, Size] | None = None
    """The item whose fact is next, and its size."""

    def now(self) -> float:
        """Return the time, which never goes back."""
        self._at = max(self._at, self.clock())
        return self._at

    # ---- phases, waves, agents

    def start_phase(self, phase: str, *, again: bool = False) -> Facts[None]:
        """Begin a phase, or go on with it if it is the one that runs.

        Raises:
            SourceError: another one is open, or it is over already and is not meant `again`.
        """
        if self.phase == phase:
            return
        self._check_open()
        if self.phase is not None:
            raise SourceError(
                f"phase {self.phase!r} is still open, so {phase!r} cannot start; finish it first, "
                "with `with run.phase(...)` or `phase.finish()`"
            )
        if phase in self.finished_phases and not again:
            raise SourceError(
                f"phase {phase!r} is over; go on with the next, or say `again=True` to repeat it"
            )
        yield PhaseStarted(at=self.now(), phase=phase)

    def finish_phase(self, phase: str) -> Facts[None]:
        """End the running phase, and the wave that is open in it."""
        if self.phase != phase:
            return
        if self._agents:
            names = ", ".join(sorted(self._agents))
            raise SourceError(f"phase {phase!r} has agents at work: {names}; finish them first")
        yield from self._end_wave()
        yield PhaseFinished(at=self.now(), phase=phase)

    def start_wave(self, phase: str, agents: tuple[str, ...]) -> Facts[None]:
        """Begin a wave of agents that run together."""
        self._in_phase(phase)
        yield from self._end_wave()
        if self.wave is not None:
            raise SourceError("a wave is still open; finish its agents before the next")
        number = self._waves.get(phase, 0) + 1
        yield WaveStarted(at=self.now(), phase=phase, wave=number, agents=agents)

    def start_agent(
        self, phase: str, agent: str, *, calls: int = 1, scale: Scale | None = None
    ) -> Facts[str]:
        """Open an agent's thread and return its name; goes on with one that is open.

        Outside of a wave it begins one; while others work it joins theirs.
        """
        self._in_phase(phase)
        thread = f"{phase}/{agent}"
        for at_work, (of_phase, _, name) in self._agents.items():
            if (of_phase, name) == (phase, agent):
                return at_work
        yield from self._end_wave()
        if self.wave is None:
            yield from self.start_wave(phase, (agent,))
        if thread in self._phase_of_thread:
            thread = f"{thread}#{self._count(f'agent {thread}')}"
        wave = self._waves[phase]
        yield AgentStarted(
            at=self.now(),
            phase=phase,
            wave=wave,
            agent=agent,
            thread=thread,
            calls=calls,
            scale=scale,
        )
        return thread

    def finish_agent(self, thread: str) -> Facts[None]:
        """Close an agent's thread; the last of a wave ends it."""
        if thread not in self._agents:
            return
        phase, number, agent = self._agents[thread]
        yield AgentFinished(
            at=self.now(),
            phase=phase,
            wave=number,
            agent=agent,
            thread=thread,
            delivered=tuple(self._delivered.get(thread, ())),
        )
        yield from self._end_wave()

    def _end_wave(self) -> Facts[None]:
        """End the wave whose agents have all come and gone."""
        wave, phase = self.wave, self.phase
        if wave is None or phase is None or wave.open_agents or wave.announced > 0:
            return
        yield WaveFinished(at=self.now(), phase=phase, wave=wave.number)

    def finish_run(self) -> Facts[None]:
        """End the run."""
        self._check_open()
        if self.phase is not None:
            raise SourceError(f"phase {self.phase!r} is still open; finish it before the run")
        yield RunFinished(at=self.now())

    # ---- items

    def add(
        self,
        piece: Piece,
        *,
        thread: str = MAIN,
        layer: Layer = Layer.TRANSIENT,
        pinned: bool = False,
        source: str | None = None,
        name: str | None = None,
        size: Size | None = None,
    ) -> Facts[str]:
        """Add one block to a thread's prompt and return its id.

        `source` says what the text is a copy of: a later item of the same source supersedes it.
        `size` is the block's, where it has been measured already.

        Raises:
            SourceError: a tool result has no call.
            AdapterError: it cannot be counted.
        """
        self._check_open()
        size = size or self.sizer(piece.block)
        item = Item(
            id=name or self._new_id(thread),
            tokens=size.tokens,
            error_tokens=size.error_tokens,
            layer=layer,
            kind=piece.kind,
            phase=self._phase_of(thread),
            group=self._tool_groups.group_of(piece, thread),
            pinned=pinned,
            tool=piece.tool or self._tool_groups.tool_of(piece, thread),
            source=source,
        )
        text = self.texts.take_in(piece.block)
        self._measured = (item.id, size)
        yield ItemAdded(at=self.now(), item=item, thread=thread, text=text)
        return item.id

    def add_all(
        self,
        pieces: Iterable[Piece],
        *,
        thread: str = MAIN,
        layer: Layer = Layer.TRANSIENT,
        pinned: bool = False,
        source: str | None = None,
    ) -> Facts[tuple[str, ...]]:
        """Add blocks in order and return their ids."""
        ids = []
        # all are measured before the first is added, so that an error adds none
        measured = [(piece, self.sizer(piece.block)) for piece in pieces]
        for piece, size in measured:
            name = yield from self.add(
                piece, thread=thread, layer=layer, pinned=pinned, source=source, size=size
            )
            ids.append(name)
        return tuple(ids)

    def deliver(self, thread: str, piece: Piece, *, keep_metadata: bool = False) -> Facts[str]:
        """Hand an agent's artifact to the orchestrator's prompt and return its id."""
        if thread not in self._agents:
            raise SourceError(f"agent {thread!r} has finished; deliver before that")
        phase, wave, agent = self._agents[thread]
        item = self._artifact(piece, thread, phase, wave, agent, keep_metadata=keep_metadata)
        yield ItemAdded(at=self.now(), item=item, text=self.texts.take_in(piece.block))
        return item.id

    def deliver_own(self, phase: str, piece: Piece, *, keep_metadata: bool = False) -> Facts[str]:
        """Put what the orchestrator itself made into its prompt, ready; return its id."""
        if self.phase != phase:
            raise SourceError(f"phase {phase!r} is not running; deliver before it is finished")
        item = self._artifact(piece, phase, phase, None, None, keep_metadata=keep_metadata)
        yield ItemAdded(at=self.now(), item=item, text=self.texts.take_in(piece.block))
        yield AgentFinished(
            at=self.now(),
            phase=phase,
            wave=self._waves.get(phase, 0) + 1,
            agent=phase,
            delivered=(item.id,),
        )
        return item.id

    def _artifact(
        self,
        piece: Piece,
        name: str,
        phase: str,
        wave: int | None,
        agent: str | None,
        *,
        keep_metadata: bool,
    ) -> Item:
        size = self.sizer(piece.block)
        count = self._count(f"{name}/output")
        self._gain(MAIN).is_whole = False  # what is delivered is not learnt from
        return Item(
            id=f"{name}/output" + (f" {count}" if count > 1 else ""),
            tokens=size.tokens,
            error_tokens=size.error_tokens,
            kind=Kind.ARTIFACT,
            phase=phase,
            wave=wave,
            agent=agent,
            source=piece.block.get("path"),
            stand_in_layer=Layer.PERMANENT if keep_metadata else Layer.METADATA,
        )

    def register(
        self, name: str, block: Block, activated_by: tuple[str, ...], *, kind: Kind = Kind.SYSTEM
    ) -> Facts[str]:
        """Keep a text that costs nothing until a tool, or `activate`, needs it."""
        size = self.sizer(block)
        item = Item(
            id=name,
            tokens=size.tokens,
            error_tokens=size.error_tokens,
            layer=Layer.PHASE,
            kind=kind,
        )
        yield Registered(
            at=self.now(), item=item, activated_by=activated_by, text=self.texts.take_in(block)
        )
        return name

    def activate(self, name: str, thread: str) -> Facts[None]:
        """Put a registered text into a prompt now."""
        self._gain(thread).is_whole = False
        yield Activated(at=self.now(), item=name, thread=thread)

    def touch(self, items: tuple[str, ...], thread: str) -> Facts[None]:
        """Say that items were used again."""
        yield ItemTouched(at=self.now(), items=items, thread=thread)

    def withdraw(self, items: tuple[str, ...], thread: str) -> Facts[None]:
        """Say that the host took items back."""
        self._gain(thread).is_whole = False
        yield Withdrawn(at=self.now(), items=items, thread=thread)

    def restore(self, item: str, thread: str, *, pin: bool) -> Facts[None]:
        """Bring an item back."""
        yield RestoreAsked(at=self.now(), item=item, thread=thread, pin=pin)

    def undo(self, plan: int | None, thread: str) -> Facts[None]:
        """Reverse a plan."""
        yield UndoAsked(at=self.now(), plan=plan, thread=thread)

    # ---- calls

    def call(self, thread: str, model: str) -> Facts[None]:
        """Say that the thread is about to call its model, and what it used since its last call."""
        used = () if self.uses is None else self.uses.untold(thread)
        if used:
            yield from self.touch(used, thread)
        yield CallStarted(at=self.now(), thread=thread, model=model)

    def counted(self, tokens: int, thread: str) -> Facts[None]:
        """Say what the provider counted in the prompt as it stands."""
        yield PromptCounted(at=self.now(), tokens=tokens, thread=thread)

    def rejected(self, thread: str, tokens: int | None, limit_tokens: int | None) -> Facts[None]:
        """Say that the provider refused the prompt."""
        yield Rejected(at=self.now(), thread=thread, tokens=tokens, limit_tokens=limit_tokens)

    def answered(self, usage: Usage, thread: str) -> Facts[None]:
        """Say what the provider reported for the last call, and learn from it."""
        gain = self._gain(thread)
        reported = usage.prompt_tokens
        if gain.is_whole and reported > gain.reported_tokens:
            self.sizer.learn(gain.at_call, reported - gain.reported_tokens)
        yield CallAnswered(
            at=self.now(),
            thread=thread,
            uncached_tokens=usage.uncached_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
            model=usage.model,
        )

    # ---- what was heard

    def __call__(self, event: Event) -> None:
        """Take an event in, so that the counters are right, also after a resume."""
        note = _NOTES.get(type(event))
        self._at = max(self._at, event.at)
        if note is not None:
            note(self, event)

    def _heard_item(self, event: ItemAdded) -> None:
        self._counts[event.thread] = self._count(event.thread)
        item = event.item
        if item.kind is Kind.ARTIFACT:
            name = f"{item.id.rpartition('/output')[0]}/output"
            self._counts[name] = self._count(name)
            if item.agent is not None:
                self._delivered.setdefault(item.id.rpartition("/output")[0], []).append(item.id)
        block = self.texts.find(event.thread, item.id, item.version) or {}
        self._tool_groups.added(item, event.thread, str(block.get("id")))
        measured, self._measured = self._measured, None
        if measured is not None and measured[0] == item.id:
            self._gain(event.thread).add(measured[1])
        else:  # not measured here, such as before the run was taken up
            self._gain(event.thread).is_whole = False

    def _heard_phase(self, event: PhaseStarted) -> None:
        self.phase, self.wave = event.phase, None

    def _heard_withdrawal(self, event: Withdrawn) -> None:
        self._tool_groups.withdrawn(event.items, event.thread)

    def _heard_phase_end(self, event: PhaseFinished) -> None:
        self.finished_phases[event.phase] = None
        self.phase = self.wave = None

    def _heard_wave(self, event: WaveStarted) -> None:
        self._waves[event.phase] = event.wave
        self.wave = _Wave(event.wave, announced=len(event.agents))

    def _heard_wave_end(self, event: WaveFinished) -> None:
        self.wave = None

    def _heard_agent(self, event: AgentStarted) -> None:
        self._agents[event.thread] = (event.phase, event.wave, event.agent)
        self._phase_of_thread[event.thread] = event.phase
        name = f"agent {event.phase}/{event.agent}"
        self._counts[name] = self._count(name)
        self._gain(event.thread).is_whole = False  # it starts with what was not measured for it
        if self.wave is not None:
            self.wave.open_agents.add(event.thread)
            self.wave.announced -= 1

    def _heard_agent_end(self, event: AgentFinished) -> None:
        if event.thread is None:
            return
        self._agents.pop(event.thread, None)
        if self.wave is not None:
            self.wave.open_agents.discard(event.thread)

    def _heard_removal(self, event: Pruned | Restored) -> None:
        self._gain(event.thread).is_whole = False

    def _heard_sent(self, event: CallSent) -> None:
        gain = self._gain(event.thread)
        gain.at_call = dict(gain.counted)

    def _heard_answer(self, event: CallAnswered) -> None:
        gain = self._gain(event.thread)
        gain.reported_tokens, gain.is_whole = event.prompt_tokens, True
        gain.counted = {
            content: tokens - gain.at_call.get(content, 0)
            for content, tokens in gain.counted.items()
        }
        gain.at_call = {}

    def _heard_start(self, event: RunStarted) -> None:
        self._at = event.at

    def _heard_end(self, event: RunFinished) -> None:
        self._is_finished = True

    # ---- names

    def _check_open(self) -> None:
        if self._is_finished:
            raise SourceError("the run is finished; open another one")

    def _in_phase(self, phase: str) -> None:
        if self.phase != phase:
            raise SourceError(f"phase {phase!r} is not running; start it before its agents")

    def _phase_of(self, thread: str) -> str | None:
        return self._phase_of_thread.get(thread, self.phase)

    def _new_id(self, thread: str) -> str:
        return f"{thread}/{self._counts.get(thread, 0) + 1}"

    def _count(self, name: str) -> int:
        """Return which one of a name the next would be, from 1."""
        return self._counts.get(name, 0) + 1

    def _gain(self, thread: str) -> _Gain:
        return self._gains.setdefault(thread, _Gain())


_NOTES: dict[type, Callable[[LiveSource, Any], None]] = {
    RunStarted: LiveSource._heard_start,
    PhaseStarted: LiveSource._heard_phase,
    PhaseFinished: LiveSource._heard_phase_end,
    WaveStarted: LiveSource._heard_wave,
    WaveFinished: LiveSource._heard_wave_end,
    AgentStarted: LiveSource._heard_agent,
    AgentFinished: LiveSource._heard_agent_end,
    ItemAdded: LiveSource._heard_item,
    Pruned: LiveSource._heard_removal,
    Restored: LiveSource._heard_removal,
    CallSent: LiveSource._heard_sent,
    CallAnswered: LiveSource._heard_answer,
    RunFinished: LiveSource._heard_end,
    Withdrawn: LiveSource._heard_withdrawal,
}
"""What each event means to the counters."""
