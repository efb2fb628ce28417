"""Tests of the loop: what listeners hear, who is asked, and what an error leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from builders import item
from worlds import policy_of, rules

from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import BudgetExceededError, SourceError
from ctxbudget.core.events import (
    Answered,
    CallStarted,
    Effect,
    Event,
    Fact,
    ItemAdded,
    Phase,
    PhaseStarted,
    Rejected,
    Review,
    Reviewed,
    RunStarted,
    Shortened,
)
from ctxbudget.core.types import Kind, Scale
from ctxbudget.session import AsyncSession, Listener, Loop, Session

CLEAR = rules({"on": "before_call", "do": "clear", "select": {"kind": "tool_result"}})
START = RunStarted(
    at=0.0,
    workflow="test",
    scale=Scale(window_tokens=1_000, reserve_tokens=0, budget_tokens=1_000),
    phases=(Phase(id="a"),),
    reviews=True,
)
RESULT = ItemAdded(at=1.0, item=item("r", 900, kind=Kind.TOOL_RESULT))
FACTS = (START, PhaseStarted(at=0.5, phase="a"), RESULT, CallStarted(at=2.0), CallStarted(at=3.0))
NAMES = [
    *("RunStarted", "Allocated", "PhaseStarted", "ItemAdded", "Told", "CallStarted", "CallSent"),
    *("CallStarted", "Shorten", "Shortened", "Review", "Reviewed", "Pruned", "CallSent"),
]


def answer(effect: Effect) -> Answered:
    if isinstance(effect, Review):
        return Reviewed(at=effect.at, rule=effect.rule, allowed=True)
    return Shortened(at=effect.at, do=effect.do, items=effect.items, tokens=10)


async def answer_later(effect: Effect) -> Answered:
    await asyncio.sleep(0)
    return answer(effect)


def run_sync(facts: Sequence[Fact], listeners: Sequence[Listener]) -> Engine:
    engine = Engine(policy_of(CLEAR))
    session = Session(engine, answer, listeners)
    for fact in facts:
        session.feed(fact)
    return engine


def run_async(facts: Sequence[Fact], listeners: Sequence[Listener]) -> Engine:
    engine = Engine(policy_of(CLEAR))
    session = AsyncSession(engine, answer_later, listeners)

    async def feed_all() -> None:
        for fact in facts:
            await session.feed(fact)

    asyncio.run(feed_all())
    return engine


Run = Callable[[Sequence[Fact], Sequence[Listener]], Engine]
both = pytest.mark.parametrize("run", [run_sync, run_async])


def names(events: Sequence[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


# ---- what listeners hear


@both
def test_a_fact_is_heard_first_then_what_follows_each_question_with_its_answer(run: Run) -> None:
    heard: list[Event] = []
    run(FACTS, [heard.append])
    assert names(heard) == NAMES


def test_an_async_session_does_what_a_session_does() -> None:
    sync_heard: list[Event] = []
    async_heard: list[Event] = []
    sync_engine = run_sync(FACTS, [sync_heard.append])
    async_engine = run_async(FACTS, [async_heard.append])
    assert sync_heard == async_heard
    assert list(sync_engine.state.main.store) == list(async_engine.state.main.store)


@both
def test_all_listeners_hear_the_same_in_the_order_given(run: Run) -> None:
    heard: list[tuple[str, Event]] = []
    run(FACTS, [lambda event: heard.append(("a", event)), lambda event: heard.append(("b", event))])
    assert [who for who, _ in heard] == ["a", "b"] * len(NAMES)
    assert heard[::2] == [("a", event) for _, event in heard[1::2]]


@both
def test_a_session_works_without_listeners(run: Run) -> None:
    assert run(FACTS, []).state.main.store.tokens == 10


def test_run_feeds_all_facts_in_order() -> None:
    heard: list[Event] = []
    Session(Engine(policy_of(CLEAR)), answer, [heard.append]).run(iter(FACTS))
    assert names(heard) == NAMES


def test_the_loop_leaves_effects_to_the_caller_and_goes_on_with_the_answer() -> None:
    heard: list[Event] = []
    loop = Loop(Engine(policy_of(CLEAR)), [heard.append])
    for fact in FACTS[:-1]:
        assert list(loop.feed(fact)) == []
    effects = loop.feed(FACTS[-1])
    shorten = next(effects)
    assert names(heard)[-2:] == ["CallStarted", "Shorten"]
    review = effects.send(answer(shorten))
    assert isinstance(review, Review)
    with pytest.raises(StopIteration):
        effects.send(answer(review))
    assert names(heard) == NAMES


# ---- facts that are refused

REFUSED: dict[str, tuple[Fact, str]] = {
    "an id twice": (RESULT, "already in the prompt"),
    "a second beginning": (START, "exactly one run_started"),
    "a thread that is not open": (CallStarted(at=9.0, thread="x"), "'x' is not open"),
    "an answer to nothing": (Reviewed(at=9.0, rule="r", allowed=True), "nobody asked"),
}


@both
@pytest.mark.parametrize(("fact", "message"), REFUSED.values(), ids=REFUSED)
def test_a_fact_that_is_refused_outright_is_not_told(run: Run, fact: Fact, message: str) -> None:
    heard: list[Event] = []
    with pytest.raises(SourceError, match=message):
        run((*FACTS, fact), [heard.append])
    assert names(heard) == NAMES


@both
def test_a_fact_before_the_beginning_is_not_told(run: Run) -> None:
    heard: list[Event] = []
    with pytest.raises(SourceError, match="exactly one run_started"):
        run(FACTS[1:], [heard.append])
    assert heard == []


@both
def test_a_fact_that_had_consequences_before_it_failed_is_told_with_them(run: Run) -> None:
    heard: list[Event] = []
    facts = (START, ItemAdded(at=1.0, item=item("pin", 600, pinned=True)))
    with pytest.raises(BudgetExceededError):
        run((*facts, Rejected(at=2.0, limit_tokens=500)), [heard.append])
    assert names(heard)[-2:] == ["Rejected", "Told"]


def test_a_session_goes_on_after_a_fact_was_refused() -> None:
    heard: list[Event] = []
    session = Session(Engine(policy_of(CLEAR)), answer, [heard.append])
    session.run(FACTS[:3])
    with pytest.raises(SourceError):
        session.feed(RESULT)
    session.run(FACTS[3:])
    assert names(heard) == NAMES


# ---- listeners that raise


class Fussy:
    """A listener that raises at each event of some types."""

    def __init__(self, *at: str) -> None:
        self.at, self.heard = at, list[str]()

    def __call__(self, event: Event) -> None:
        self.heard.append(type(event).__name__)
        if type(event).__name__ in self.at:
            raise OSError(f"{type(event).__name__} {len(self.heard)}")


@both
@pytest.mark.parametrize("at", ["Shorten", "Shortened", "Review", "Reviewed", "Pruned"])
def test_a_listener_that_raises_stops_neither_the_engine_nor_the_others(run: Run, at: str) -> None:
    before: list[Event] = []
    after: list[Event] = []
    fussy = Fussy(at)
    with pytest.raises(OSError, match=f"{at} {NAMES.index(at) + 1}"):
        run(FACTS, [before.append, fussy, after.append])
    assert names(before) == names(after) == fussy.heard == NAMES


def test_the_first_of_several_errors_is_raised_and_the_session_goes_on() -> None:
    fussy, heard = Fussy("CallStarted", "CallSent"), list[Event]()
    engine = Engine(policy_of(CLEAR))
    session = Session(engine, answer, [fussy, heard.append])
    session.run(FACTS[:3])
    for number, fact in ((6, FACTS[3]), (8, FACTS[4])):
        with pytest.raises(OSError, match=f"CallStarted {number}"):
            session.feed(fact)
    assert names(heard) == fussy.heard == NAMES
    assert engine.state.main.store.calls == 2


@both
def test_an_error_of_a_fact_without_consequences_is_raised_too(run: Run) -> None:
    with pytest.raises(OSError, match="ItemAdded"):
        run((START, ItemAdded(at=1.0, item=item("small", 1))), [Fussy("ItemAdded")])


@both
def test_the_engines_error_comes_before_a_listeners(run: Run) -> None:
    facts = (START, ItemAdded(at=1.0, item=item("pin", 600, pinned=True)))
    with pytest.raises(BudgetExceededError):
        run((*facts, Rejected(at=2.0, limit_tokens=500)), [Fussy("Rejected", "Told")])


def test_an_error_of_the_world_is_passed_on() -> None:
    def refuse(effect: Effect) -> Answered:
        raise ConnectionError("no summary today")

    heard: list[Event] = []
    session = Session(Engine(policy_of(CLEAR)), refuse, [heard.append])
    session.run(FACTS[:4])
    with pytest.raises(ConnectionError, match="no summary today"):
        session.feed(FACTS[4])
    assert names(heard)[-2:] == ["CallStarted", "Shorten"]
