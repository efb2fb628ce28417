"""What a thread's prompt held while a run went on, layer by layer, with what happened to it."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ctxbudget.core.events import (
    Activated,
    AgentFinished,
    AgentStarted,
    CallSent,
    CallStarted,
    Event,
    Injected,
    ItemAdded,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Pruned,
    Rejected,
    Restored,
    RunFinished,
    Seeded,
    Told,
    WaveFinished,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Item, Layer
from ctxbudget.report.plain import how_many

MarkKind: TypeAlias = Literal[
    "phase", "wave", "prune", "restore", "rewrite", "compaction", "rejected", "level"
]

LAYERS: Final = tuple(Layer)
"""In the order in which they are stacked."""

IN_STEP: Final = 0.25
"""A plan stands so far behind its step, on the height that the prompt had before it."""

AFTER_STEP: Final = 0.5
"""What a step's decisions left stands so far behind the step itself."""

AFTER_ALL: Final = 0.75
"""A phase begins so far behind the last step of the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened to the prompt.

    Attributes:
        step: where it stands, in steps.
        call: the number of calls that had been sent by then.
        tokens: its size, by which the largest are chosen where there are too many to show.
        level_tokens: what the prompt held then.
        words: what happened, for people, raw.
    """

    what: MarkKind
    step: float
    call: int
    tokens: int
    level_tokens: int
    words: str


@dataclass(slots=True, kw_only=True)
class _Gone:
    """A plan that is being carried out: its operations are told one by one."""

    rule: str
    reason: str
    step: float
    call: int
    before_tokens: int
    after_tokens: int = 0
    gained_tokens: int = 0
    did: dict[str, int] = field(default_factory=dict)

    def mark(self) -> Mark:
        did = " and ".join(f"{do} of {how_many(count, 'item')}" for do, count in self.did.items())
        words = (
            f"rule {self.rule}: {did}, "
            f"{self.gained_tokens:,} tokens fewer ({self.before_tokens:,} → {self.after_tokens:,})"
        )
        return Mark(
            what="prune",
            step=self.step,
            call=self.call,
            tokens=self.gained_tokens,
            level_tokens=self.before_tokens,
            words=f"{words}\n{self.reason}" if self.reason else words,
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a phase stands, in steps; `end` is where it ended, or how far it came."""

    phase: str
    start: float
    end: float


class Timeline:
    """A listener that keeps the occupancy of one thread's prompt, by step.

    A step is a fact that can change the prompt: an item came or was taken back, a call was to be
    sent, a phase began, an agent, a wave or a phase finished. Steps are facts and no decisions, so
    they are the same under every policy. Of each step the highest occupancy is kept, and what was
    left of it.

    Attributes:
        steps: of each point; rising.
        totals: tokens of the whole prompt at each point.
        layers: of them, the tokens of each layer.
        marks: what happened, in order.
        call_steps: the step of each call that was sent.
        sent, read, written, rewritten: tokens of each call; the rest of `sent` was uncached.
    """

    def __init__(self, thread: str = MAIN) -> None:
        self.thread = thread
        self.steps = array("d")
        self.totals = array("q")
        self.layers: dict[Layer, array[int]] = {layer: array("q") for layer in LAYERS}
        self.call_steps = array("q")
        self.sent, self.read = array("q"), array("q")
        self.written, self.rewritten = array("q"), array("q")
        self._marks: list[Mark] = []
        self._phases: list[Stretch] = []
        self._items: dict[str, dict[str, tuple[Layer, int]]] = {MAIN: {}, thread: {}}
        self._held = dict.fromkeys(LAYERS, 0)
        self._high: tuple[int, ...] = ()
        self._total = self._high_total = 0
        self._step = 0
        self._plans: dict[int, _Gone] = {}

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    # ---- asking

    @property
    def marks(self) -> list[Mark]:
        """What happened, in order."""
        plans = (plan.mark() for plan in self._plans.values())
        return sorted([*self._marks, *plans], key=lambda mark: mark.step)

    @property
    def phases(self) -> list[Stretch]:
        """Where the phases stand; one that never ended goes on to the last step."""
        last = self._step + AFTER_ALL
        return [one if one.end else Stretch(one.phase, one.start, last) for one in self._phases]

    def settle(self) -> None:
        """Keep the last step too, and what is left in the end; to be told once, after all events."""
        self._keep()
        if self._step:
            self._point(self._step + AFTER_ALL, tuple(self._held.values()), self._total)

    def in_calls(self, steps: Sequence[float]) -> list[float]:
        """Return where steps stand if calls are counted instead: between them, evenly."""
        sent_at = [0, *self.call_steps]
        last = len(sent_at) - 1
        rest = max(1.0, self._step + 1.0 - sent_at[last])
        found = []
        for step in steps:
            before = min(max(0, bisect_left(sent_at, step) - 1), last)
            width = sent_at[before + 1] - sent_at[before] if before < last else rest
            found.append(round(before + min(1.0, (step - sent_at[before]) / width), 4))
        return found

    # ---- steps

    def _begin(self) -> None:
        self._keep()
        self._step += 1
        self._high, self._high_total = (), -1
        self._look()

    def _look(self) -> None:
        """Note the highest occupancy of the step."""
        if self._total > self._high_total:
            self._high, self._high_total = tuple(self._held.values()), self._total

    def _keep(self) -> None:
        """Keep the step: how high it was, and what was left."""
        if not self._step:
            return
        left = tuple(self._held.values())
        self._point(float(self._step), self._high, self._high_total)
        if left != self._high:
            self._point(self._step + AFTER_STEP, left, self._total)

    def _point(self, step: float, layers: Sequence[int], total: int) -> None:
        self.steps.append(step)
        self.totals.append(total)
        for layer, tokens in zip(LAYERS, layers, strict=True):
            self.layers[layer].append(tokens)

    def _mark(self, what: MarkKind, words: str, tokens: int = 0, step: float | None = None) -> None:
        self._marks.append(
            Mark(
                what=what,
                step=float(self._step) if step is None else step,
                call=len(self.sent),
                tokens=tokens,
                level_tokens=self._total,
                words=words,
            )
        )

    # ---- items

    def _put(self, thread: str, item: Item) -> None:
        self._place(thread, item.id, item.layer, item.tokens)

    def _place(self, thread: str, name: str, layer: Layer, tokens: int) -> None:
        self._take(thread, name)
        self._items[thread][name] = (layer, tokens)
        if thread == self.thread:
            self._held[layer] += tokens
            self._total += tokens
            self._look()

    def _take(self, thread: str, name: str) -> None:
        layer, tokens = self._items[thread].pop(name, (Layer.TRANSIENT, 0))
        if thread == self.thread:
            self._held[layer] -= tokens
            self._total -= tokens

    # ---- events

    def _added(self, event: ItemAdded) -> None:
        if event.thread == self.thread:
            self._begin()
        if event.thread in self._items:
            self._put(event.thread, event.item)

    def _injected(self, event: Injected) -> None:
        if event.thread in self._items:
            self._put(event.thread, event.item)

    def _withdrawn(self, event: Withdrawn) -> None:
        if event.thread not in self._items:
            return
        if event.thread == self.thread:
            self._begin()
        before = self._total
        for name in event.items:
            self._take(event.thread, name)
        if event.is_compaction and event.thread == self.thread:
            gone = before - self._total
            words = f"the host compacted its prompt: {how_many(len(event.items), 'item')}, {gone:,} tokens"
            self._mark("compaction", words, gone, self._step + AFTER_STEP)

    def _seeded(self, event: Seeded) -> None:
        if event.thread != self.thread:
            return
        for name, _ in event.items:
            layer, tokens = self._items[MAIN].get(name, (Layer.TRANSIENT, 0))
            self._place(self.thread, name, layer, tokens)

    def _pruned(self, event: Pruned) -> None:
        if event.thread not in self._items:
            return
        before = self._total
        for name in event.items:
            self._take(event.thread, name)
        if event.stand_in is not None:
            self._put(event.thread, event.stand_in)
        if event.thread != self.thread:
            return
        plan = self._plans.get(event.plan)
        if plan is None:
            plan = self._plans[event.plan] = _Gone(
                rule=event.rule,
                reason=event.reason,
                step=self._step + IN_STEP,
                call=len(self.sent),
                before_tokens=before,
            )
        plan.did[event.do] = plan.did.get(event.do, 0) + len(event.items or event.reads)
        plan.gained_tokens += event.net_tokens
        plan.after_tokens = self._total

    def _restored(self, event: Restored) -> None:
        if event.thread not in self._items:
            return
        for name in event.removed:
            self._take(event.thread, name)
        for item in event.items:
            self._put(event.thread, item)
        if event.thread == self.thread:
            words = (
                f"{how_many(len(event.items), 'item')} came back, {event.gained_tokens:,} tokens"
            )
            self._mark("restore", words, event.gained_tokens)

    def _started_call(self, event: CallStarted) -> None:
        if event.thread == self.thread:
            self._begin()

    def _sent(self, event: CallSent) -> None:
        if event.thread != self.thread:
            return
        self.call_steps.append(self._step)
        self.sent.append(event.tokens)
        self.read.append(event.cache_read_tokens)
        self.written.append(event.cache_write_tokens)
        self.rewritten.append(event.rewritten_tokens)
        if event.rewritten_tokens:
            words = (
                f"call {event.call:,} had to write {event.rewritten_tokens:,} tokens to the cache "
                "again: something ahead of them had changed"
            )
            self._mark("rewrite", words, event.rewritten_tokens, self._step + AFTER_STEP)

    def _rejected(self, event: Rejected) -> None:
        if event.thread == self.thread:
            self._begin()
            self._mark("rejected", "the provider refused the prompt as too large", self._total)

    def _activated(self, event: Activated) -> None:
        if event.thread == self.thread:
            self._begin()

    def _turned(
        self, event: PhaseStarted | AgentFinished | WaveFinished | PhaseFinished | RunFinished
    ) -> None:
        if self.thread == MAIN:
            self._begin()

    def _told(self, event: Told) -> None:
        is_ours = event.thread == self.thread and not event.scope.startswith("agent:")
        if is_ours:
            words = (
                f"{event.level} of {event.scope}: {event.tokens:,} tokens, above the limit of "
                f"{event.limit_tokens:,}"
            )
            self._mark("level", words, event.tokens)

    # ---- where the run stands

    def _phase_started(self, event: PhaseStarted) -> None:
        start = self._step + AFTER_ALL if self._step else 0.0
        self._phases.append(Stretch(event.phase, start, 0.0))
        self._mark("phase", f"phase {event.phase} begins", step=start)
        self._turned(event)

    def _phase_closed(self, event: PhaseClosed) -> None:
        if self._phases:
            open_one = self._phases[-1]
            self._phases[-1] = Stretch(open_one.phase, open_one.start, self._step + AFTER_ALL)

    def _wave_started(self, event: WaveStarted) -> None:
        agents = how_many(len(event.agents), "agent")
        words = (
            f"wave {event.wave} of phase {event.phase} begins with {agents}: "
            f"{', '.join(event.agents)}"
        )
        self._mark("wave", words, len(event.agents), self._step + AFTER_ALL)

    def _agent_started(self, event: AgentStarted) -> None:
        if event.thread == self.thread:
            self._begin()


_NOTES: dict[type, Callable[[Timeline, Any], None]] = {
    ItemAdded: Timeline._added,
    Injected: Timeline._injected,
    Withdrawn: Timeline._withdrawn,
    Activated: Timeline._activated,
    Seeded: Timeline._seeded,
    Pruned: Timeline._pruned,
    Restored: Timeline._restored,
    CallStarted: Timeline._started_call,
    CallSent: Timeline._sent,
    Rejected: Timeline._rejected,
    Told: Timeline._told,
    PhaseStarted: Timeline._phase_started,
    PhaseClosed: Timeline._phase_closed,
    PhaseFinished: Timeline._turned,
    WaveStarted: Timeline._wave_started,
    WaveFinished: Timeline._turned,
    AgentStarted: Timeline._agent_started,
    AgentFinished: Timeline._turned,
    RunFinished: Timeline._turned,
}
"""What each event means to the timeline."""
