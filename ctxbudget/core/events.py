"""Every fact, decision and effect: the whole language between the engine and the world.

A fact came from the world; a decision is the engine's; an effect is a question to the world that
is answered by a fact: `Shorten` by `Shortened`, `Review` by `Reviewed`. All carry `at`, in seconds on the source's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from ctxbudget.core.types import MAIN, Cache, Do, Item, Layer, Level, Limit, Price, Scale


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
class MoneyBudget:
    """What a run or a phase may spend, with levels as fractions of it."""

    scope: str
    """`run` or `phase:ID`."""
    limit_usd: Decimal
    warn_frac: float = 0.75
    critical_frac: float = 0.95
    stop: bool = True
    """No call is made once it is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """What the workflow says of an agent."""

    phase: str
    agent: str
    model: str = ""
    calls: int = 1
    scale: Scale | None = None
    """Of its own model, where it differs."""


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
    prices: Mapping[str, Price] = field(default_factory=dict)
    """Of the models that are expected; a call on another one is not priced."""
    money: tuple[MoneyBudget, ...] = ()
    reviews: bool = False
    """Whether somebody is asked before a plan is carried out."""
    strips_thinking: bool = False
    """Whether thinking behind an edit leaves the prompt, as providers ask that bind it."""
    model: str = ""
    """Of the calls, unless they name another."""
    holds_limit: bool = True
    """False for a bound that prompts are compared with: it is not made to fit the hard limit."""
    agents: tuple[AgentPlan, ...] = ()
    """For a live run, which opens agents by name."""
    tells_uses: bool = False
    """Whether uses are told as facts, so that nobody has to find them in the texts."""


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
    text: str | None = None
    """The hash of its text, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An item that costs nothing until something activates it.

    It then stands in the prompt until its phase ends. `activated_by` are names of tools; `*` and
    `?` are wildcards.
    """

    at: float
    item: Item
    activated_by: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """A registered item is needed now."""

    at: float
    item: str
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTouched:
    """Items were used again."""

    at: float
    items: tuple[str, ...]
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The host took items back: a rewind, an edit, or a compaction of its own."""

    at: float
    items: tuple[str, ...]
    thread: str = MAIN
    is_compaction: bool = False
    into: tuple[str, ...] = ()
    """Items that come in next and stand for those that a compaction took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A thread is about to call its model."""

    at: float
    thread: str = MAIN
    model: str = ""
    ttl_s: float | None = None
    """How long what it writes to the cache is asked to live; None is the model's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLost:
    """The provider's cache holds less of a prompt than it should; the next call finds out."""

    at: float
    kept_tokens: int
    """The most that is left, of the prompt's beginning."""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFound:
    """The provider's cache holds what no call of this run kept there: other runs share it."""

    at: float
    tokens: int
    """Of the beginning of the thread's prompt; the next call finds them."""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered:
    """The provider answered the thread's last call, and says what it counted."""

    at: float
    uncached_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """With either lifetime."""
    cache_write_1h_tokens: int = 0
    """Of those, with the long one."""
    output_tokens: int = 0
    model: str = ""
    thread: str = MAIN

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, by the provider's count."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCounted:
    """The provider counted the prompt as it stands."""

    at: float
    tokens: int
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider refused the prompt as too large; what it said of the sizes, if it did."""

    at: float
    thread: str = MAIN
    tokens: int | None = None
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreAsked:
    """Somebody wants an item back in the prompt, as it was at first."""

    at: float
    item: str
    thread: str = MAIN
    pin: bool = False
    """No rule may touch it from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoAsked:
    """Somebody wants a plan reversed."""

    at: float
    plan: int | None = None
    """Its number; None is the latest of the thread."""
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
    error_tokens: int = 0
    text: str | None = None
    """The hash of the shorter form, where there is a text."""
    charge: Charge | None = None
    """What writing it used, if a model did."""
    note: str = ""
    """What went wrong with it, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Tokens that a call outside of any thread used, by the provider's count."""

    model: str
    uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """With either lifetime."""
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """The answer to `Review`."""

    at: float
    rule: str
    allowed: bool
    reason: str = ""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The effect: asks whether a plan may be carried out.

    `operations` are (operation, items); `gain_tokens` is what the prompt would lose.
    """

    at: float
    rule: str
    reason: str
    operations: tuple[tuple[Do, tuple[str, ...]], ...]
    gain_tokens: int
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
    reads: tuple[str, ...] = ()
    """What a summary stands for beside `items`, without taking it away."""
    limit_tokens: int | None = None
    """The most that the stand-in was allowed to hold."""

    @property
    def net_tokens(self) -> int:
        """Tokens removed minus those of the stand-in left behind."""
        return self.removed_tokens - (self.stand_in.tokens if self.stand_in else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetoed:
    """A plan was not carried out, because who was asked said no."""

    at: float
    rule: str
    reason: str
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Items came back into a prompt, and their stand-ins left it."""

    at: float
    items: tuple[Item, ...]
    removed: tuple[str, ...]
    """Stand-ins that left, by id."""
    gained_tokens: int
    """Net: what came minus the stand-ins."""
    rewritten_tokens: int
    """What the cache held behind the first place that changed."""
    occupancy_tokens: int
    plan: int | None = None
    """The plan that was undone, if it was one."""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A registered item was put into a prompt."""

    at: float
    item: Item
    by: str
    """The tool, or the wish, that activated it."""
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Thrashing:
    """A prompt was compacted three times in a row within three calls each."""

    at: float
    item: str
    """The largest that came since the compaction before."""
    tokens: int
    thread: str = MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingTold:
    """A level of a budget in money was crossed."""

    at: float
    level: Level
    scope: str
    spent_usd: Decimal
    limit_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSent:
    """A prompt was sent; its tokens split by what the cache does with them."""

    at: float
    call: int
    """1-based within the thread."""
    tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    """With either lifetime."""
    uncached_tokens: int
    cache_write_1h_tokens: int = 0
    """Of those written, with the long lifetime."""
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
    | Registered
    | Activated
    | Withdrawn
    | CacheLost
    | CacheFound
    | CallStarted
    | CallAnswered
    | PromptCounted
    | Rejected
    | RestoreAsked
    | UndoAsked
    | AgentFinished
    | WaveFinished
    | PhaseFinished
    | RunFinished
    | Shortened
    | Reviewed
)
Decision: TypeAlias = (
    Allocated
    | HeadroomShared
    | Told
    | Seeded
    | Pruned
    | Vetoed
    | Restored
    | Injected
    | Thrashing
    | SpendingTold
    | CallSent
    | ThreadClosed
    | WaveClosed
    | PhaseClosed
    | RunClosed
)
Effect: TypeAlias = Shorten | Review
Answered: TypeAlias = Shortened | Reviewed
"""What the world says to an effect."""
Event: TypeAlias = Fact | Decision | Effect
