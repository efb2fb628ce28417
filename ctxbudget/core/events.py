"""Every fact, decision and effect: the whole language between the engine and the world.

A fact came from the world; a decision is the engine's; an effect is a question to the world that
is answered by the fact `Shortened`. All carry `at`, in seconds on the source's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ctxbudget.core.types import MAIN, Cache, Do, Item, Layer, Level, Limit, Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A node of the phase graph, as the run's first fact describes it."""

    id: str
    after: tuple[str, ...] = ()
    """Phases whose artifacts it needs."""
    complexity: float = 1.0
    """Its weight for the dynamic allocator."""
    allocate_tokens: int | None = None
    """The grant that the fixed allocator hands out."""
    calls: int = 1
    """Calls it is expected to make in the main thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorSpec:
    """Which allocator shares the budget out, and how."""

    use: str = "dynamic"
    """`fixed`, `dynamic`, `reserve`, or `package.module:attribute`."""
    rollover: bool = False
    """What a finished phase did not use goes to the phases that remain."""
    borrow: bool = False
    """What a finished phase kept beyond its grant is taken from the phases that remain."""
    fan_in_headroom: Limit | None = None
    """Held back from all grants, for outputs that arrive together."""
    core_frac: float = 0.6
    reserve_frac: float = 0.2
    buffer_frac: float = 0.2
    reserve_for: tuple[str, ...] = ()
    """Phases that draw on the reserve instead of the core share."""
    buffer_for: tuple[Level, ...] = ()
    """Events upon which a phase may draw on the overflow buffer: `overrun`, `critical`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A layer's share of the budget, with levels as fractions of that share."""

    layer: Layer
    limit: Limit
    warn_frac: float = 0.75
    critical_frac: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Where warn and critical lie."""

    warn: Limit = field(default_factory=lambda: Limit(share_frac=0.75))
    critical: Limit = field(default_factory=lambda: Limit(share_frac=0.95))
    phase_warn_frac: float | None = None
    """Of a phase's allocation; None is off, since an exact grant would always be critical."""
    phase_critical_frac: float | None = None
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The first fact: all that the engine has to know of the plan."""

    at: float
    workflow: str
    scale: Scale
    phases: tuple[Phase, ...]
    allocator: AllocatorSpec = AllocatorSpec()
    thresholds: Thresholds = field(default_factory=Thresholds)
    policy: Mapping[str, Any] = field(default_factory=dict)
    """The policy as data, so that a journal can be replayed by itself."""
    caches: Mapping[str, Cache] = field(default_factory=dict)
    """The prompt cache of each model; a model that is not named has the default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    """A phase begins."""

    at: float
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStarted:
    """A wave of agents begins inside a phase; `wave` counts from 1."""

    at: float
    phase: str
    wave: int
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted:
    """An agent opens a thread of its own."""

    at: float
    phase: str
    wave: int
    agent: str
    thread: str
    calls: int = 1
    """Calls it is expected to make."""
    scale: Scale | None = None
    """Its own window and budget, where they differ from the run's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemAdded:
    """An item entered a thread's prompt."""

    at: float
    item: Item
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTouched:
    """Items were used again."""

    at: float
    items: tuple[str, ...]
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A thread is about to call its model."""

    at: float
    thread: str = MAIN
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider refused the prompt as too large."""

    at: float
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFinished:
    """A worker is done; the artifacts it delivered to the main thread are ready."""

    at: float
    phase: str
    wave: int
    agent: str
    thread: str | None = None
    """Its own thread, which closes; None if the orchestrator did the work itself."""
    delivered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveFinished:
    """All agents of a wave are done."""

    at: float
    phase: str
    wave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFinished:
    """A phase is over."""

    at: float
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The workflow is over."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortened:
    """The answer to `Shorten`: how many tokens the shorter form holds."""

    at: float
    do: Do
    items: tuple[str, ...]
    tokens: int
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorten:
    """The effect: asks how large this shorter form of these items would be."""

    at: float
    do: Do
    items: tuple[str, ...]
    limit_tokens: int | None = None
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """A phase was granted tokens, at the start or again when others finished."""

    at: float
    phase: str
    tokens: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadroomShared:
    """What each agent of a wave may deliver if all are to fit what is left of the budget."""

    at: float
    phase: str
    wave: int
    agents: int
    headroom_tokens: int
    each_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event for a listener: a level was crossed in a scope.

    `scope` is `run`, `phase:ID`, `layer:NAME`, `thread:ID` or `agent:PHASE/AGENT`; `tokens` is
    what was found and `limit_tokens` what it is strictly above.
    """

    at: float
    level: Level
    scope: str
    tokens: int
    limit_tokens: int
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """A new thread was given the items that it starts with, as (id, version)."""

    at: float
    thread: str
    items: tuple[tuple[str, int], ...]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """Items left a prompt and went to the shelf; at most one stand-in took their place."""

    at: float
    rule: str
    reason: str
    do: Do
    items: tuple[str, ...]
    removed_tokens: int
    occupancy_tokens: int
    """Of the thread, afterwards."""
    plan: int
    """Operations of one plan share this number; plans count from 1."""
    stand_in: Item | None = None
    thread: str = MAIN

    @property
    def net_tokens(self) -> int:
        """Tokens removed minus those of the stand-in left behind."""
        return self.removed_tokens - (self.stand_in.tokens if self.stand_in else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSent:
    """A prompt was sent; its tokens split by what the cache does with them."""

    at: float
    call: int
    """1-based within the thread."""
    tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    uncached_tokens: int
    rewritten_tokens: int = 0
    """Of those not read, how many a warm cache held before a change ahead of them."""
    model: str = ""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadClosed:
    """An agent's thread ended."""

    at: float
    thread: str
    peak_tokens: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveClosed:
    """A wave's finish rules have run."""

    at: float
    phase: str
    wave: int
    residual_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseClosed:
    """A phase's finish rules have run; the numbers are the main thread's."""

    at: float
    phase: str
    allocated_tokens: int
    start_tokens: int
    peak_tokens: int
    residual_tokens: int
    kept_tokens: int
    over_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClosed:
    """The run's finish rules have run; the numbers are the main thread's."""

    at: float
    planned_tokens: int
    """Sum of the grants."""
    peak_tokens: int
    residual_tokens: int
    over_tokens: int
    """What the run kept beyond the plan, at least 0."""


Fact: TypeAlias = (
    RunStarted
    | PhaseStarted
    | WaveStarted
    | AgentStarted
    | ItemAdded
    | ItemTouched
    | CallStarted
    | Rejected
    | AgentFinished
    | WaveFinished
    | PhaseFinished
    | RunFinished
    | Shortened
)
Decision: TypeAlias = (
    Allocated
    | HeadroomShared
    | Told
    | Seeded
    | Pruned
    | CallSent
    | ThreadClosed
    | WaveClosed
    | PhaseClosed
    | RunClosed
)
Effect: TypeAlias = Shorten
Event: TypeAlias = Fact | Decision | Effect
