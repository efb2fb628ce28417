"""Tiny hand-made worlds: facts, answers with known sizes, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from ctxbudget.config.policy_file import load_policy, policy_from_data
from ctxbudget.core.engine import Engine
from ctxbudget.core.events import (
    Activated,
    AgentFinished,
    AgentStarted,
    AllocatorSpec,
    Answered,
    CallAnswered,
    CallSent,
    CallStarted,
    Charge,
    Effect,
    Event,
    Fact,
    ItemAdded,
    ItemTouched,
    Phase,
    PhaseFinished,
    PhaseStarted,
    PromptCounted,
    Pruned,
    Registered,
    Rejected,
    RestoreAsked,
    Review,
    Reviewed,
    RunFinished,
    RunStarted,
    Shortened,
    Told,
    UndoAsked,
    WaveFinished,
    WaveStarted,
    Withdrawn,
)
from ctxbudget.core.policy import Policy
from ctxbudget.core.store import Store
from ctxbudget.core.types import MAIN, Cache, Do, Item, Kind, Scale
from ctxbudget.session import Session

E = TypeVar("E")

PolicySpec: TypeAlias = str | Mapping[str, Any] | Policy
"""A shipped name (with params), the content of a policy file, or a function."""


def rules(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy's content; a rule that is not named is `rule 1`, `rule 2`, and so on."""
    named = [
        {"name": f"rule {number}", "why": "a test", **rule} for number, rule in enumerate(given, 1)
    ]
    return {"name": "test", "rules": named}


def policy_of(spec: PolicySpec) -> Policy:
    """Return the policy that a test means."""
    if isinstance(spec, str):
        return load_policy(spec).policy
    return policy_from_data(spec).policy if isinstance(spec, Mapping) else spec


class World:
    """An engine with one run begun, and a world around it that answers with known sizes.

    A placeholder has 10 tokens, a note 5, a digest 100, names, a summary and a snip their limit;
    nothing is left out as held by a later item. What
    stands in `sizes` for (operation, first item) goes first, and `errors` says how far that may be
    too low. A summary uses what `charge` says. The clock stands still but for `call`, which takes
    10 seconds, and `wait`.

    Args:
        policy: what is tested.
        phases: each phase with those it depends on.
        calls: calls that the whole run is expected to make.
        grants: what the fixed allocator gives each phase; the dynamic one works without them.
        cache: of the model without a name.
        start: further fields of the run's first fact.
    """

    def __init__(
        self,
        policy: PolicySpec,
        *,
        phases: Mapping[str, Sequence[str]] | None = None,
        window: int = 1_000_000,
        reserve: int = 0,
        budget: int | None = None,
        calls: int = 1,
        grants: Mapping[str, int] | None = None,
        cache: Cache | None = None,
        **start: Any,
    ) -> None:
        self.at = 0.0
        self.events: list[Event] = []
        self.sizes: dict[tuple[Do, str], int] = {}
        self.errors: dict[tuple[Do, str], int] = {}
        self.charge: Charge | None = None
        self.verdicts: dict[str, str] = {}
        self.engine = Engine(policy_of(policy))
        self.session = Session(self.engine, self._answer, [self.events.append])
        graph = phases or {"a": ()}
        self.feed(
            RunStarted(
                at=0.0,
                workflow="test",
                scale=Scale(
                    window_tokens=window,
                    reserve_tokens=reserve,
                    budget_tokens=window - reserve if budget is None else budget,
                ),
                phases=tuple(
                    Phase(
                        id=name,
                        after=tuple(after),
                        calls=0 if number else calls,
                        allocate_tokens=None if grants is None else grants[name],
                    )
                    for number, (name, after) in enumerate(graph.items())
                ),
                allocator=AllocatorSpec(use="fixed" if grants else "dynamic"),
                caches={} if cache is None else {"": cache},
                **start,
            )
        )

    def _answer(self, effect: Effect) -> Answered:
        if isinstance(effect, Review):
            return self.review(effect)
        usual = {Do.CLEAR: 10, Do.STUB: 5, Do.DIGEST: 100}.get(effect.do, effect.limit_tokens or 0)
        if effect.do is Do.DEDUPE:
            usual = self.store(effect.thread)[effect.items[0]].tokens
        return Shortened(
            at=effect.at,
            do=effect.do,
            items=effect.items,
            tokens=self.sizes.get((effect.do, effect.items[0]), usual),
            error_tokens=self.errors.get((effect.do, effect.items[0]), 0),
            thread=effect.thread,
            charge=self.charge if effect.do is Do.SUMMARIZE else None,
        )

    def review(self, review: Review) -> Reviewed:
        """Answer a review by `verdicts`, in which a rule that is not named is allowed."""
        reason = self.verdicts.get(review.rule, "")
        return Reviewed(at=review.at, rule=review.rule, allowed=not reason, reason=reason)

    # ---- facts

    def answered(self, tokens: int, thread: str = MAIN, **fields: Any) -> World:
        """Let the provider report the size of the last prompt."""
        return self.feed(CallAnswered(at=self.at, uncached_tokens=tokens, thread=thread, **fields))

    def counted(self, tokens: int, thread: str = MAIN) -> World:
        """Let the provider count the prompt as it stands."""
        return self.feed(PromptCounted(at=self.at, tokens=tokens, thread=thread))

    def register(self, name: str, tokens: int, *activated_by: str, **fields: Any) -> World:
        """Register an item; any field of it may be given."""
        item = Item(id=name, tokens=tokens, **{"kind": Kind.NOTE, **fields})
        return self.feed(Registered(at=self.at, item=item, activated_by=activated_by))

    def activate(self, name: str, thread: str = MAIN) -> World:
        """Ask for a registered item."""
        return self.feed(Activated(at=self.at, item=name, thread=thread))

    def withdraw(self, *items: str, thread: str = MAIN) -> World:
        """Let the host take items back."""
        return self.feed(Withdrawn(at=self.at, items=items, thread=thread))

    def restore(self, name: str, thread: str = MAIN, *, pin: bool = False) -> World:
        """Ask for an item back."""
        return self.feed(RestoreAsked(at=self.at, item=name, thread=thread, pin=pin))

    def undo(self, plan: int | None = None, thread: str = MAIN) -> World:
        """Ask for a plan to be reversed."""
        return self.feed(UndoAsked(at=self.at, plan=plan, thread=thread))

    def feed(self, *facts: Fact) -> World:
        """Feed facts and return the world, so that facts can be chained."""
        for fact in facts:
            self.session.feed(fact)
        return self

    def add(self, name: str, tokens: int, kind: str = "tool_result", **fields: Any) -> World:
        """Add an item; `thread` and any field of an item may be given."""
        thread = fields.pop("thread", MAIN)
        item = Item(id=name, tokens=tokens, kind=Kind(kind), **fields)
        return self.feed(ItemAdded(at=self.at, item=item, thread=thread))

    def output(self, name: str, tokens: int, metadata: int | None = None, **fields: Any) -> World:
        """Add an artifact that is not ready yet."""
        if metadata is not None:
            self.sizes[Do.DIGEST, name] = metadata
        return self.add(name, tokens, "artifact", **fields)

    def turn(self, name: str, call: int = 160, result: int = 840, **fields: Any) -> World:
        """Add a tool call and its result, 1,000 tokens unless said otherwise."""
        self.add(f"{name} call", call, "tool_call", group=name, **fields)
        return self.add(f"{name} result", result, "tool_result", group=name, **fields)

    def call(self, times: int = 1, *, thread: str = MAIN, model: str = "") -> World:
        """Call the model."""
        for _ in range(times):
            self.feed(CallStarted(at=self.at, thread=thread, model=model))
            self.at += 10
        return self

    def wait(self, seconds: float) -> World:
        """Let time pass."""
        self.at += seconds
        return self

    def touch(self, *items: str) -> World:
        """Use items again."""
        return self.feed(ItemTouched(at=self.at, items=items))

    def start(self, phase: str) -> World:
        """Start a phase."""
        return self.feed(PhaseStarted(at=self.at, phase=phase))

    def end(self, phase: str) -> World:
        """Finish a phase."""
        return self.feed(PhaseFinished(at=self.at, phase=phase))

    def wave(self, phase: str, wave: int, agents: tuple[str, ...] = ("x",)) -> World:
        """Start a wave."""
        return self.feed(WaveStarted(at=self.at, phase=phase, wave=wave, agents=agents))

    def end_wave(self, phase: str, wave: int) -> World:
        """Finish a wave."""
        return self.feed(WaveFinished(at=self.at, phase=phase, wave=wave))

    def agent(self, phase: str, thread: str, wave: int = 1) -> World:
        """Start an agent in a thread of its own."""
        fact = AgentStarted(at=self.at, phase=phase, wave=wave, agent=thread, thread=thread)
        return self.feed(fact)

    def finish(self, phase: str, *delivered: str, wave: int = 1) -> World:
        """Finish an agent that has delivered these items."""
        return self.feed(
            AgentFinished(at=self.at, phase=phase, wave=wave, agent="x", delivered=delivered)
        )

    def reject(
        self, thread: str = MAIN, limit_tokens: int | None = 10**9, tokens: int | None = None
    ) -> World:
        """Let the provider refuse the prompt; unless said otherwise, without a new limit."""
        fact = Rejected(at=self.at, thread=thread, limit_tokens=limit_tokens, tokens=tokens)
        return self.feed(fact)

    def end_run(self) -> World:
        """Finish the run."""
        return self.feed(RunFinished(at=self.at))

    # ---- what came of them

    def store(self, thread: str = MAIN) -> Store:
        """Return a thread's store."""
        return self.engine.state.threads[thread].store

    @property
    def tokens(self) -> int:
        """Occupancy of the main thread."""
        return self.store().tokens

    def prompt(self, thread: str = MAIN) -> dict[str, int]:
        """Return the tokens of each item, in the order of the prompt."""
        return {item.id: item.tokens for item in self.store(thread)}

    @property
    def occupancy(self) -> int:
        """What limits are held to in the main thread."""
        return self.engine.state.main.occupancy_tokens

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def pruned(self) -> list[Pruned]:
        """All prunes so far."""
        return [event for event in self.events if isinstance(event, Pruned)]

    @property
    def told(self) -> list[str]:
        """The levels told so far."""
        return [event.level.value for event in self.events if isinstance(event, Told)]

    @property
    def sent(self) -> list[int]:
        """The tokens of each call so far."""
        return [event.tokens for event in self.events if isinstance(event, CallSent)]
