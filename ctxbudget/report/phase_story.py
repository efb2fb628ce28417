"""What happened in one phase of a run, told by its events: who brought what, what left, and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    CallSent,
    Event,
    Injected,
    ItemAdded,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    Restored,
    Seeded,
    ThreadClosed,
    Told,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Do, Form, Item, Kind, Layer
from ctxbudget.metrics import Metrics, PhaseRow
from ctxbudget.report.prompts import Prompts

Change = ItemAdded | Injected | Withdrawn | Pruned | Restored


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Items of one kind, from one phase.

    Attributes:
        what: what they are, in the plural where there are several.
        phase: where they came from; None for what lives for the whole run.
        names: the items', largest first.
    """

    what: str
    phase: str | None
    tokens: int
    count: int
    names: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class AgentStory:
    """An agent of the phase, in its own thread.

    Attributes:
        start: what its prompt held at first.
        added: what came in later.
        pruned_tokens: net, what left it.
        output_tokens: what it handed back.
    """

    agent: str
    thread: str
    wave: int
    model: str = ""
    start: list[Item] = field(default_factory=list)
    added: list[Item] = field(default_factory=list)
    calls: int = 0
    peak_tokens: int = 0
    sent_tokens: int = 0
    pruned_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class PrunedStory:
    """What one rule did to one thread with one operation.

    Attributes:
        removed_tokens, left_tokens: what it took out, and what the stand-ins hold.
    """

    rule: str
    why: str
    do: Do
    thread: str
    items: list[str] = field(default_factory=list)
    removed_tokens: int = 0
    left_tokens: int = 0


@dataclass(slots=True)
class PhaseStory:
    """A listener that keeps what happens in one phase; the numbers are the main thread's.

    Attributes:
        metrics: of the whole run.
        start, peak, end: what the prompt held when the phase began, at its peak, and at its end.
        peak_came: the item upon whose arrival it peaked; None if it was highest at the start.
        added: what came into the prompt.
        told: levels that were crossed, in any thread.
    """

    phase: str
    metrics: Metrics = field(default_factory=Metrics)
    start: list[Item] = field(default_factory=list)
    peak: list[Item] = field(default_factory=list)
    end: list[Item] = field(default_factory=list)
    peak_came: str | None = None
    added: list[Item] = field(default_factory=list)
    agents: dict[str, AgentStory] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    waves: int = 0
    _pruned: dict[tuple[str, Do, str], PrunedStory] = field(default_factory=dict)
    _came_tokens: dict[str, int] = field(default_factory=dict)
    _prompts: Prompts = field(default_factory=Prompts)
    _changes: list[Change] = field(default_factory=list)
    _peak_at: int = 0
    _peak_tokens: int = 0
    _is_open: bool = False

    @property
    def pruned(self) -> list[PrunedStory]:
        """What was pruned, by rule, operation and thread, in the order of first use."""
        return list(self._pruned.values())

    @property
    def row(self) -> PhaseRow:
        """The phase's metrics."""
        return next(row for row in self.metrics.phases if row.id == self.phase)

    def __call__(self, event: Event) -> None:
        """Take an event in; each is O(items it names)."""
        self.metrics(event)
        self._prompts(event)
        if isinstance(event, PhaseStarted) and event.phase == self.phase:
            self._open()
        elif self._is_open:
            self._note(event)

    def _open(self) -> None:
        self._is_open = True
        main = self._prompts.threads[MAIN]
        self.start = list(main.items.values())
        self._peak_tokens = main.tokens

    def _note(self, event: Event) -> None:
        match event:
            case ItemAdded() | Injected() | Withdrawn() | Pruned() | Restored():
                self._changed(event)
            case WaveStarted():
                self.waves += 1
            case AgentStarted() | Seeded() | CallSent() | ThreadClosed() | AgentFinished():
                self._of_agent(event)
            case Told():
                self.told.append(event)
            case PhaseClosed():
                self._close()
            case _:
                pass

    def _changed(self, event: Change) -> None:
        if isinstance(event, Pruned):
            self._prune(event)
        if event.thread != MAIN:
            self._in_agent(event)
            return
        self._changes.append(event)
        if isinstance(event, ItemAdded | Injected):
            self.added.append(event.item)
            self._came_tokens[event.item.id] = event.item.tokens
        tokens = self._prompts.threads[MAIN].tokens
        if tokens > self._peak_tokens:
            self._peak_tokens, self._peak_at = tokens, len(self._changes)

    def _prune(self, event: Pruned) -> None:
        key = (event.rule, event.do, event.thread)
        if key not in self._pruned:
            self._pruned[key] = PrunedStory(
                rule=event.rule, why=event.reason, do=event.do, thread=event.thread
            )
        story = self._pruned[key]
        story.items += event.items
        story.removed_tokens += event.removed_tokens
        story.left_tokens += event.stand_in.tokens if event.stand_in is not None else 0

    def _in_agent(self, event: Change) -> None:
        agent = self.agents.get(event.thread)
        if agent is None:
            return
        if isinstance(event, Pruned):
            agent.pruned_tokens += event.net_tokens
        elif isinstance(event, ItemAdded | Injected):
            (agent.added if agent.calls else agent.start).append(event.item)

    def _of_agent(
        self, event: AgentStarted | Seeded | CallSent | ThreadClosed | AgentFinished
    ) -> None:
        if isinstance(event, AgentStarted):
            self.agents[event.thread] = AgentStory(
                agent=event.agent, thread=event.thread, wave=event.wave
            )
            return
        agent = self.agents.get(event.thread or "")
        if agent is None:
            return
        match event:
            case Seeded():
                main = self._prompts.threads[MAIN].items
                agent.start += [main[name] for name, _ in event.items if name in main]
            case CallSent():
                agent.calls += 1
                agent.sent_tokens += event.tokens
                agent.model = event.model
            case ThreadClosed():
                agent.peak_tokens = event.peak_tokens
            case AgentFinished():
                agent.output_tokens = sum(
                    self._came_tokens.get(name, 0) for name in event.delivered
                )

    def _close(self) -> None:
        self._is_open = False
        self.end = list(self._prompts.threads[MAIN].items.values())
        self.peak = self._at_the_peak()
        if self._peak_at:
            last = self._changes[self._peak_at - 1]
            self.peak_came = last.item.id if isinstance(last, ItemAdded | Injected) else None

    def _at_the_peak(self) -> list[Item]:
        """Return what the prompt held then, from its start and what changed since."""
        held = {item.id: item for item in self.start}
        for change in self._changes[: self._peak_at]:
            came, went = _moved(change)
            for name in went:
                held.pop(name, None)
            held |= {item.id: item for item in came}
        return list(held.values())


def _moved(change: Change) -> tuple[Sequence[Item], Iterable[str]]:
    """Return what a change put into the prompt, and what it took out."""
    match change:
        case ItemAdded() | Injected():
            return (change.item,), ()
        case Withdrawn():
            return (), change.items
        case Pruned():
            return (change.stand_in,) if change.stand_in is not None else (), change.items
        case Restored():
            return change.items, change.removed


# ---- items, told apart


def grouped(items: Iterable[Item]) -> list[Group]:
    """Return items by what they are and which phase they came from, in order of arrival."""
    found: dict[tuple[str, str | None], list[Item]] = {}
    for item in items:
        phase = None if item.phase is None else item.phase
        found.setdefault((_what(item), phase), []).append(item)
    return [_group(what, phase, members) for (what, phase), members in found.items()]


def _group(what: str, phase: str | None, members: Sequence[Item]) -> Group:
    by_size = sorted(members, key=lambda item: -item.tokens)
    is_turns = what == "round of tools"
    count = len({item.turn for item in members}) if is_turns else len(members)
    names = dict.fromkeys((item.group or item.id) if is_turns else item.id for item in by_size)
    return Group(
        what=_counted(count, what),
        phase=phase,
        tokens=sum(item.tokens for item in members),
        count=count,
        names=tuple(names),
    )


def _what(item: Item) -> str:
    """Return what an item is, in the singular."""
    if item.kind is Kind.SUMMARY:
        return "summary"
    if item.kind is Kind.NOTE:
        return "note that it is done"
    whole = _whole(item)
    forms = {
        Form.WHOLE: whole,
        Form.DEDUPED: f"{whole} without what stands elsewhere",
        Form.SNIP: f"{whole} as head and tail",
        Form.DIGEST: "output as metadata" if item.kind is Kind.ARTIFACT else f"{whole} as a digest",
        Form.NAMES: f"{whole} as its names",
        Form.CLEAR: f"{whole} as a placeholder",
        Form.SUMMARY: "summary",
        Form.STUB: "note that it is done",
    }
    return forms[item.form]


def _whole(item: Item) -> str:
    if item.kind is Kind.ARTIFACT:
        return "full output"
    if item.kind is Kind.TOOLS:
        return "definition of tools"
    if item.layer is Layer.PERMANENT:
        return "permanent item"
    if item.layer is Layer.PHASE:
        return "item of the phase"
    if item.group is not None and item.kind in (Kind.TOOL_CALL, Kind.TOOL_RESULT):
        return "round of tools" if item.form is Form.WHOLE else item.kind.value.replace("_", " ")
    if item.kind is Kind.TOOL_RESULT:
        return "read"
    return "prompt" if item.kind is Kind.USER else item.kind.value.replace("_", " ")


_PLURALS = {
    "round of": "rounds of",
    "definition of": "definitions of",
    "summary": "summaries",
    "note that it is": "notes that they are",
}


def _counted(count: int, what: str) -> str:
    """Return a count and what it counts: `3 full outputs`."""
    if count == 1:
        return f"1 {what}"
    for one, several in _PLURALS.items():
        if what.startswith(one):
            return f"{count:,} {several}{what.removeprefix(one)}"
    head, *rest = what.split(" as ", 1)
    noun, *behind = head.split(" without ", 1)
    noun = noun.replace("item of", "items of") if noun.startswith("item of") else f"{noun}s"
    words = " without ".join([noun, *behind])
    return f"{count:,} {' as '.join([words, *rest])}"
