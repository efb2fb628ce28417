"""Random workflows under random policies: what must hold whatever happens."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import validated
from ctxbudget.config.policy_file import policy_from_data
from ctxbudget.config.run_setup import RunSetup, find_allocator, set_up_run
from ctxbudget.config.workflow_file import LoadedWorkflow
from ctxbudget.config.workflow_format import Workflow
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import BudgetExceededError, SourceError
from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    CallStarted,
    Event,
    Fact,
    ItemAdded,
    PromptCounted,
    Pruned,
    RestoreAsked,
    Restored,
    UndoAsked,
    Withdrawn,
)
from ctxbudget.core.store import Store
from ctxbudget.core.types import Do, Form, Kind, Layer, Trigger
from ctxbudget.journal import JournalWriter, read_events
from ctxbudget.session import Session
from ctxbudget.simulate import measure_for
from ctxbudget.sources.journal import replay
from ctxbudget.sources.workflow import WorkflowSource

tokens = st.integers(0, 3000)
turns = st.fixed_dictionaries({"call": tokens, "result": tokens})


def optional(**keys: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return keys


def agents() -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries(
        {"output": tokens},
        optional=optional(
            metadata=tokens,
            metadata_to=st.sampled_from(["metadata", "permanent"]),
            calls=st.integers(1, 4),
            prompt=tokens,
            reads=st.lists(tokens, max_size=2),
            turn=turns,
        ),
    )
    return st.lists(one, min_size=1, max_size=3).map(
        lambda many: [{"id": f"a{number}", **agent} for number, agent in enumerate(many)]
    )


items = st.lists(
    st.fixed_dictionaries({"tokens": tokens, "pinned": st.booleans()}), max_size=2
).map(lambda many: [{"id": f"i{number}", **item} for number, item in enumerate(many)])


def phases() -> st.SearchStrategy[list[dict[str, Any]]]:
    common = optional(
        complexity=st.integers(1, 9),
        calls=st.integers(0, 4),
        items=items,
        reads=st.lists(tokens, max_size=2),
        turn=turns,
        pause_s=st.sampled_from([0, 10, 400]),
    )
    own = st.fixed_dictionaries({}, optional={**common, "output": tokens})
    with_agents = st.fixed_dictionaries(
        {"agents": agents(), "mode": st.sampled_from(["parallel", "sequential"])}, optional=common
    )
    needs = st.lists(st.integers(0, 5), max_size=3)
    parts = st.tuples(st.one_of(own, with_agents), needs)
    return st.lists(parts, min_size=1, max_size=6).map(
        lambda many: [
            {
                "id": f"p{number}",
                "after": sorted({f"p{need}" for need in needs if need < number}),
                **part,
            }
            for number, (part, needs) in enumerate(many)
        ]
    )


limits = st.one_of(
    st.integers(1, 20_000), st.sampled_from(["10%", "60%", "50% of window", "10 below window"])
)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    do = draw(st.sampled_from(list(Do)))
    rule: dict[str, Any] = {
        "on": draw(st.lists(st.sampled_from(list(Trigger)), min_size=1, max_size=3)),
        "do": do,
        "why": "random",
        "select": draw(
            st.fixed_dictionaries(
                {},
                optional=optional(
                    layer=st.lists(st.sampled_from(list(Layer)), min_size=1, max_size=2),
                    kind=st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=3),
                    form=st.lists(st.sampled_from(list(Form)), min_size=1, max_size=3),
                    min_tokens=tokens,
                    ready=st.booleans(),
                    phase=st.sampled_from(["current", "earlier"]),
                    phase_age=st.integers(0, 3),
                    wave=st.sampled_from(["current", "earlier"]),
                    live=st.booleans(),
                    age_calls=st.integers(0, 4),
                    idle_calls=st.integers(0, 4),
                    keep_last=st.integers(0, 4),
                    keep_last_turns=st.integers(0, 4),
                ),
            )
        ),
        "when": draw(
            st.fixed_dictionaries(
                {},
                optional=optional(
                    above=limits,
                    until=limits,
                    min_items=st.integers(0, 4),
                    min_turns=st.integers(0, 4),
                    min_gain_tokens=tokens,
                    every_calls=st.integers(0, 3),
                    pays_off=st.booleans(),
                ),
            )
        ),
    }
    if do in (Do.SUMMARIZE, Do.STUB):
        rule["by"] = draw(st.sampled_from(["turn", "phase", "all"]))
    if do is Do.SUMMARIZE:
        rule["to"] = draw(st.integers(0, 2000))
        rule["leave_metadata"] = draw(st.booleans())
    return rule


plain_rules = st.fixed_dictionaries(
    {
        "on": st.sampled_from(["before_call", "item_added", "agent_finished", "phase_finished"]),
        "do": st.sampled_from(["drop", "clear", "digest", "stub"]),
        "why": st.just("takes whatever it may"),
    }
)


@st.composite
def setups(draw: st.DrawFn) -> RunSetup:
    allocator = {
        "use": draw(st.sampled_from(["dynamic", "reserve"])),
        "rollover": draw(st.booleans()),
        "borrow": draw(st.booleans()),
        "buffer_for": draw(st.lists(st.sampled_from(["overrun", "critical"]), unique=True)),
        "fan_in_headroom": draw(st.sampled_from(["10%", 100, 0])),
    }
    content = {
        "window": draw(st.sampled_from([5_000, 8_000, 20_000])),
        "budget": "50%",
        "deliver": draw(st.sampled_from(["together", "in_turn"])),
        "permanent": draw(items),
        "allocator": allocator,
        "policy": {"name": "random", "rules": draw(st.lists(plain_rules | rules(), max_size=4))},
        "phases": draw(phases()),
    }
    document = parse_document(json.dumps(content), "random.json")
    return set_up_run(LoadedWorkflow(workflow=validated(Workflow, document), document=document))


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Something that somebody asks of a thread between two facts, by number."""

    what: str
    number: int
    pin: bool


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What happens beside the workflow; each list is gone through again and again."""

    wishes: tuple[Wish | None, ...]
    reports: tuple[int | None, ...]
    """Of each call, in percent of what we counted."""
    errors: tuple[int, ...]
    """Of each item, in percent of its tokens."""
    late: tuple[bool, ...]
    """Of each report, whether something else is asked for before it comes."""

    def weave(self, engine: Engine, facts: Iterator[Fact]) -> Iterator[Fact]:
        """Yield a workflow's facts, and between them what else happens."""
        wishes, reports, errors = cycle(self.wishes), cycle(self.reports), cycle(self.errors)
        late = cycle(self.late)
        for fact in facts:
            if isinstance(fact, ItemAdded):
                error = fact.item.tokens * next(errors) // 100
                fact = replace(fact, item=replace(fact.item, error_tokens=error))
            yield fact
            if isinstance(fact, CallStarted) and (percent := next(reports)) is not None:
                tokens = engine.state.threads[fact.thread].store.tokens * percent // 100
                if next(late) and (wish := next(wishes)) is not None:
                    yield from asked(wish, engine, fact.at)
                yield CallAnswered(at=fact.at, thread=fact.thread, uncached_tokens=tokens)
            if (wish := next(wishes)) is not None:
                yield from asked(wish, engine, fact.at)


def asked(wish: Wish, engine: Engine, at: float) -> Iterator[Fact]:
    """Yield the fact that a wish makes, if there is anything to wish for."""
    threads = engine.state.threads
    name = sorted(threads)[wish.number % len(threads)]
    store, plans, main = threads[name].store, sorted(threads[name].plans), engine.state.main
    if wish.what == "count":
        yield PromptCounted(at=at, thread=name, tokens=store.tokens * (50 + 7 * wish.number) // 100)
    elif wish.what == "restore" and (shelf := sorted({*store.shelf, *main.store.shelf})):
        item = shelf[wish.number % len(shelf)]
        yield RestoreAsked(at=at, thread=name, item=item, pin=wish.pin)
    elif wish.what == "undo" and plans:
        plan = None if wish.pin else plans[wish.number % len(plans)]
        yield UndoAsked(at=at, thread=name, plan=plan)
    elif wish.what == "withdraw" and (there := [item.id for item in store]):
        turn = store.leaving_with(there[wish.number % len(there)])
        yield Withdrawn(at=at, thread=name, items=tuple(one.item.id for one in turn))


wishes = st.builds(
    Wish,
    what=st.sampled_from(["restore", "restore", "undo", "undo", "count", "withdraw"]),
    number=st.integers(0, 20),
    pin=st.booleans(),
)
chances = st.builds(
    Chance,
    wishes=st.lists(wishes | st.none() | wishes, min_size=3, max_size=8).map(tuple),
    reports=st.lists(st.none() | st.integers(50, 200), min_size=1, max_size=5).map(tuple),
    errors=st.lists(st.integers(0, 50), min_size=1, max_size=5).map(tuple),
    late=st.lists(st.booleans(), min_size=1, max_size=4).map(tuple),
)


class Witness:
    """Remembers what was ever added, and checks the stores against it after each fact."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.added: defaultdict[str, set[str]] = defaultdict(set)
        self.pinned: defaultdict[str, set[str]] = defaultdict(set)

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemAdded):
            self.added[event.thread].add(event.item.id)
            if event.item.pinned:
                self.pinned[event.thread].add(event.item.id)
        if isinstance(event, Pruned):
            assert not self.pinned[event.thread].intersection(event.items)
        if isinstance(event, Restored):
            self.pinned[event.thread].difference_update(event.removed)
            self.pinned[event.thread] |= {item.id for item in event.items if item.pinned}
            back = self.engine.state.threads[event.thread]
            assert back.occupancy_tokens <= back.scale.hard_limit_tokens
        if isinstance(event, CallSent):
            thread = self.engine.state.threads[event.thread]
            assert thread.occupancy_tokens <= thread.scale.hard_limit_tokens
            assert event.tokens == thread.store.tokens

    def content(self) -> dict[str, list[tuple[str, int]]]:
        """Return what stands in each prompt."""
        threads = self.engine.state.threads.items()
        return {name: [(one.id, one.version) for one in thread.store] for name, thread in threads}

    def check(self) -> None:
        state = self.engine.state
        for name, thread in state.threads.items():
            self._check_store(name, thread.store)
            errors = sum(item.error_tokens for item in thread.store)
            assert 0 <= thread.gauge.margin_tokens <= errors
            assert thread.occupancy_tokens >= 0
        ledger = state.ledger
        held = sum(ledger.granted.values()) + ledger.pool_tokens
        held += ledger.reserve_tokens + ledger.buffer_tokens + ledger.headroom_tokens
        assert held == ledger.budget_tokens
        assert min(ledger.granted.values()) >= 0

    def check_refusal(self, error: BudgetExceededError) -> None:
        assert error.tokens > error.limit_tokens
        there = [item for item in self.engine.state.threads[error.thread].store if item.tokens]
        bound = {item.group for item in there if item.untouchable and item.group}
        assert all(item.untouchable or item.group in bound for item in there)

    def _check_store(self, thread: str, store: Store) -> None:
        there = list(store)
        assert store.tokens == sum(item.tokens for item in there)
        for layer in Layer:
            held = sum(item.tokens for item in there if item.layer is layer)
            assert store.layer_tokens[layer] == held
        for phase in {item.phase for item in there}:
            held = sum(item.tokens for item in there if item.phase == phase)
            assert store.phase_tokens[phase] == held
        rows = [item.layer is not Layer.PERMANENT for item in there]
        assert rows == sorted(rows)
        ids = {item.id for item in there}
        assert self.pinned[thread] <= ids
        assert self.added[thread] <= ids | store.shelf.keys()
        self._check_pairs(store, ids)

    def _check_pairs(self, store: Store, ids: set[str]) -> None:
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for item in [*store, *(old[0].item for old in store.shelf.values())]:
            if item.group is not None:
                groups[item.group].add(item.id)
        for members in groups.values():
            gone = members - ids
            assert not gone or gone == members
        called: set[str | None] = {None}
        for item in store:
            if item.kind is Kind.TOOL_CALL:
                called.add(item.group)
            assert item.kind is not Kind.TOOL_RESULT or item.group in called


def run(setup: RunSetup, chance: Chance) -> str:
    """Return the journal of a run, its invariants checked after each fact."""
    source = WorkflowSource(setup, measure_for(setup.loaded))
    engine = Engine(setup.policy.policy, find_allocator)
    witness, file = Witness(engine), io.StringIO()
    session = Session(engine, source.answer, [JournalWriter(file), witness])
    with suppress(BudgetExceededError):
        for fact in chance.weave(engine, source.facts()):
            if isinstance(fact, RestoreAsked | UndoAsked):
                bring_back(session, witness, fact)
            else:
                feed(session, witness, fact)
            witness.check()
    return file.getvalue()


def feed(session: Session, witness: Witness, fact: Fact) -> None:
    try:
        session.feed(fact)
    except BudgetExceededError as error:
        witness.check_refusal(error)
        raise


def bring_back(session: Session, witness: Witness, fact: RestoreAsked | UndoAsked) -> None:
    """Bring something back; where that is refused, nothing may have changed."""
    before = witness.content()
    try:
        session.feed(fact)
    except SourceError:
        assert witness.content() == before
    except BudgetExceededError:
        assert witness.content() == before


def replayed(journal: str) -> str:
    """Return what the journal's facts give again."""
    file = io.StringIO()
    with suppress(BudgetExceededError):
        replay(read_events(io.StringIO(journal)), [JournalWriter(file)])
    return file.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(setups(), chances)
def test_whatever_happens(setup: RunSetup, chance: Chance) -> None:
    journal = run(setup, chance)
    assert run(setup, chance) == journal
    assert replayed(journal) == journal
    assert policy_from_data(setup.start.policy).policy == setup.policy.policy
