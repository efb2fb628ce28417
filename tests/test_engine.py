"""The engine's own part: order of facts, levels, accounts, threads and calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from worlds import World, rules

from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    AgentFinished,
    Allocated,
    AllocatorSpec,
    Answered,
    CallSent,
    Effect,
    Event,
    HeadroomShared,
    ItemAdded,
    Phase,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Quota,
    Restored,
    RunStarted,
    Seeded,
    Shortened,
    ThreadClosed,
    Thresholds,
    Told,
)
from ctxbudget.core.types import Do, Item, Layer, Level, Limit, Scale
from ctxbudget.session import Session

NONE = rules()


# ---- facts that make no sense

OUT_OF_ORDER: dict[str, tuple[Callable[[World], object], str]] = {
    "a phase that is not there": (lambda w: w.start("b"), "'b' is not in the workflow"),
    "a phase that does not run": (lambda w: w.end("a"), "'a' finished but is not running"),
    "a thread that is not open": (lambda w: w.call(thread="x"), "thread 'x' is not open"),
    "a thread twice": (lambda w: w.agent("a", "x").agent("a", "x"), "'x' is already open"),
    "an item twice": (lambda w: w.add("i", 1).add("i", 2), "'i' is already in the prompt"),
    "an answer to nothing": (
        lambda w: w.feed(Shortened(at=7.0, do=Do.CLEAR, items=("i",), tokens=1)),
        "at 7 s: an answer to what nobody asked",
    ),
    "a second beginning": (
        lambda w: w.feed(replace(started(), at=1.0)),
        "a run begins with exactly one run_started",
    ),
}


@pytest.mark.parametrize(("feed", "message"), OUT_OF_ORDER.values(), ids=OUT_OF_ORDER)
def test_facts_that_make_no_sense_are_refused(
    feed: Callable[[World], object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        feed(World(NONE))


def test_nothing_comes_before_the_beginning() -> None:
    session = Session(Engine(lambda moment: []), lambda effect: pytest.fail("nothing to ask"))
    with pytest.raises(SourceError, match="begins with exactly one run_started"):
        session.feed(PhaseStarted(at=0.0, phase="a"))


def test_an_answer_to_another_question_is_refused() -> None:
    world = World(rules({"on": "before_call", "do": "clear"}))
    world.session = Session(
        world.engine, lambda effect: Shortened(at=0, do=Do.CLEAR, items=("other",), tokens=1)
    )
    with pytest.raises(SourceError, match="asked for clear of"):
        world.add("r", 100, "artifact").call()


@pytest.mark.parametrize("kind", ["tool_result", "user"])
def test_a_duplicate_that_is_refused_is_not_the_goal(kind: str) -> None:
    world = World(NONE).add("a", 5, kind="assistant")
    with pytest.raises(SourceError, match="item 'a' is already in the prompt"):
        world.add("a", 7, kind)
    world.add("goal", 9, "user").add("next", 9, "user")
    assert [one.id for one in world.store() if one.pinned] == ["goal"]


# ---- what the host takes back


def test_what_the_host_takes_back_leaves_for_the_shelf_and_can_be_restored() -> None:
    world = World(NONE).add("goal", 10, "user").turn("t").add("last", 5, "assistant").call()
    world.withdraw("t call", "t result", "goal")
    assert (world.prompt(), world.occupancy) == ({"last": 5}, 5)
    assert set(world.store().shelf) == {"goal", "t call", "t result"}
    assert [one.form for one in world.store() if one.version] == []
    world.restore("t result")
    assert world.prompt() == {"t call": 160, "t result": 840, "last": 5}


def test_what_the_host_takes_back_is_no_plan() -> None:
    world = World(NONE).add("a", 10).add("b", 20).withdraw("a")
    assert (world.pruned, world.of(Restored)) == ([], [])
    assert type(world.events[-1]).__name__ == "Withdrawn"
    with pytest.raises(SourceError, match="has no plan 0 to undo; the latest are: none"):
        world.undo()


def test_levels_fall_with_what_the_host_takes_back() -> None:
    world = World(NONE, window=1_000).add("a", 751)
    assert world.add("b", 1).told == ["warn"]
    world.withdraw("a").add("c", 751)  # 1 is far enough below for the level to be told again
    assert world.told == ["warn", "warn"]


def test_a_report_shrinks_by_what_the_host_takes_back() -> None:
    world = World(NONE).add("a", 300, error_tokens=9).add("b", 700, error_tokens=20)
    world.call().answered(1_100).withdraw("a")
    assert world.occupancy == 700 + 70 + 9


def test_what_is_not_there_cannot_be_taken_back_and_is_passed_over() -> None:
    world = World(NONE).add("a", 10).withdraw("zzz", "a").withdraw("a").withdraw()
    assert world.prompt() == {}
    assert len(world.store().shelf["a"]) == 1
    with pytest.raises(SourceError, match="thread 'x' is not open"):
        world.withdraw("a", thread="x")


def test_what_the_host_names_twice_is_taken_back_once() -> None:
    world = World(NONE).add("a", 10, error_tokens=3).add("b", 5, error_tokens=3).withdraw("a", "a")
    assert (world.prompt(), world.occupancy) == ({"b": 5}, 8)


def test_the_host_takes_back_from_one_thread_only_and_what_is_pinned_too() -> None:
    world = World(NONE).add("p", 5, pinned=True, layer=Layer.PERMANENT).start("a").agent("a", "x")
    world.withdraw("p", thread="x")
    assert (world.prompt(), world.prompt("x")) == ({"p": 5}, {})


def test_a_plan_whose_rest_the_host_took_back_cannot_be_undone() -> None:
    world = World(rules({"on": "rejected", "do": "clear", "select": {"kind": "tool_result"}}))
    world.turn("t").call().reject().withdraw("t result")
    with pytest.raises(SourceError, match="plan 1 cannot be undone"):
        world.undo()
    assert world.restore("t result").prompt() == {"t call": 160, "t result": 840}


def test_a_call_whose_result_the_host_took_back_waits_again() -> None:
    world = World(rules({"on": "before_call", "do": "drop", "select": {"kind": "tool_call"}}))
    world.turn("t").call().withdraw("t result").call()
    assert world.prompt() == {"t call": 160}


# ---- a result that comes late


@pytest.mark.parametrize("do", ["drop", "stub"])
def test_a_call_waits_for_a_result_that_comes_thirty_calls_later(do: str) -> None:
    world = World(rules({"on": "before_call", "select": {"age_calls": 1}, "do": do}))
    world.add("goal", 10, "user").add("late call", 50, "tool_call", group="late")
    for number in range(30):
        world.turn(f"t{number}").call()
        assert "late call" in world.prompt()
    world.add("late result", 500, group="late").call()
    assert {"late call", "late result"} <= world.prompt().keys()
    world.call()
    assert not {"late call", "late result"} & world.prompt().keys() or do == "stub"
    assert "late result" not in world.prompt()


def test_the_fit_leaves_a_call_that_waits() -> None:
    world = World(NONE, window=2_000).add("waits", 500, "tool_call", group="w")
    world.turn("old").turn("new", 160, 400).call()  # the room for the next result is 30 %, 600
    assert world.prompt() == {"waits": 500, "old call": 160, "old result": 10, "new call": 160,
                              "new result": 400}  # fmt: skip


# ---- levels


def started(
    *,
    budget: int = 1_000,
    phases: tuple[Phase, ...] = (Phase(id="a"),),
    thresholds: Thresholds | None = None,
    allocator: AllocatorSpec | None = None,
) -> RunStarted:
    return RunStarted(
        at=0.0,
        workflow="test",
        scale=Scale(window_tokens=10_000, reserve_tokens=0, budget_tokens=budget),
        phases=phases,
        thresholds=thresholds or Thresholds(),
        allocator=allocator or AllocatorSpec(),
    )


class Run:
    """A run without a policy, and what came of it."""

    def __init__(self, start: RunStarted) -> None:
        self.events: list[Event] = []
        engine = Engine(lambda moment: [])
        self.session = Session(engine, self._answer, [self.events.append])
        self.session.feed(start)

    def _answer(self, effect: Effect) -> Answered:
        return pytest.fail(f"nothing to ask: {effect}")

    def phase(self, name: str, *sizes: int, layer: Layer = Layer.TRANSIENT) -> Run:
        """Run a phase that adds items of these sizes."""
        self.session.feed(PhaseStarted(at=0.0, phase=name))
        for number, tokens in enumerate(sizes):
            item = Item(id=f"{name} {number}", tokens=tokens, layer=layer, phase=name)
            self.session.feed(ItemAdded(at=0.0, item=item))
        self.session.feed(PhaseFinished(at=0.0, phase=name))
        return self

    @property
    def told(self) -> list[tuple[str, str, int, int]]:
        return [
            (event.level.value, event.scope, event.tokens, event.limit_tokens)
            for event in self.events
            if isinstance(event, Told) and event.level is not Level.OVERRUN
        ]

    @property
    def closed(self) -> list[PhaseClosed]:
        return [event for event in self.events if isinstance(event, PhaseClosed)]


def test_a_level_is_told_strictly_above() -> None:
    assert Run(started()).phase("a", 750).told == []
    assert Run(started()).phase("a", 750, 1).told == [("warn", "run", 751, 750)]


def test_a_layer_with_a_quota_has_levels_of_its_own() -> None:
    quotas = (Quota(layer=Layer.METADATA, limit=Limit(share_frac=0.2)),)  # 200: 150 and 190
    run = Run(started(thresholds=Thresholds(quotas=quotas)))
    run.phase("a", 151, 40, layer=Layer.METADATA)
    assert run.told == [
        ("warn", "layer:metadata", 151, 150),
        ("critical", "layer:metadata", 191, 190),
    ]


def test_a_phase_has_levels_of_its_own_only_if_they_are_set() -> None:
    phases = (Phase(id="a"), Phase(id="b"))  # 500 each
    levels = Thresholds(phase_warn_frac=0.5, phase_critical_frac=0.9)
    run = Run(started(phases=phases, thresholds=levels)).phase("a", 250).phase("b", 251, 200)
    assert run.told == [("warn", "phase:b", 251, 250), ("critical", "phase:b", 451, 450)]


def test_an_agents_thread_is_judged_by_itself() -> None:
    world = World(NONE, budget=1_000).start("a").agent("a", "x")
    world.add("read", 960, thread="x")
    told = [event for event in world.events if isinstance(event, Told)]
    assert [(event.level.value, event.scope) for event in told] == [
        ("warn", "thread:x"),
        ("critical", "thread:x"),
    ]


# ---- accounts

THREE = tuple(Phase(id=name, complexity=weight) for name, weight in (("a", 5), ("b", 8), ("c", 12)))


@pytest.mark.parametrize(
    ("spec", "kept", "allocated", "over"),
    [
        # 2,500 over 5:8:12 is 500, 800, 1,200
        (AllocatorSpec(), (100, 900, 1_200), (500, 800, 1_200), (0, 100, 0)),
        # 400 left over go 8:12 to b and c; b's 60 go to c
        (AllocatorSpec(rollover=True), (100, 900, 1_500), (500, 960, 1_500), (0, 0, 0)),
        # b borrows 100 of c
        (AllocatorSpec(borrow=True), (500, 900, 1_200), (500, 900, 1_100), (0, 0, 100)),
        # the reserve has 1,500 for a and b and c, and a buffer of 500
        (
            AllocatorSpec(use="reserve", buffer_for=(Level.OVERRUN,)),
            (300, 780, 1_000),
            (300, 780, 920),
            (0, 0, 80),
        ),
    ],
)
def test_phases_settle_their_accounts(
    spec: AllocatorSpec, kept: tuple[int, ...], allocated: tuple[int, ...], over: tuple[int, ...]
) -> None:
    run = Run(started(budget=2_500, phases=THREE, allocator=spec))
    for phase, tokens in zip(THREE, kept, strict=True):
        run.phase(phase.id, tokens)
    assert tuple(row.allocated_tokens for row in run.closed) == allocated
    assert tuple(row.over_tokens for row in run.closed) == over
    overruns = [e for e in run.events if isinstance(e, Told) and e.level is Level.OVERRUN]
    assert len(overruns) == sum(tokens > 0 for tokens in over)


def test_a_critical_level_draws_on_the_buffer_where_it_is_named() -> None:
    spec = AllocatorSpec(use="reserve", buffer_for=(Level.CRITICAL,))
    run = Run(started(phases=(Phase(id="a"),), allocator=spec)).phase("a", 700, 260)
    drawn = [event for event in run.events if isinstance(event, Allocated)][-1]
    assert (drawn.tokens, drawn.reason) == (800, "drawn from the overflow buffer upon critical")


def test_a_wave_shares_what_is_left_of_the_budget() -> None:
    world = World(NONE, budget=7_500).start("a").add("before", 500)
    world.wave("a", 1, ("x", "y", "z")).wave("a", 2, ("x",))
    shared = [event for event in world.events if isinstance(event, HeadroomShared)]
    assert [(e.wave, e.headroom_tokens, e.each_tokens) for e in shared] == [(1, 7_000, 2_333)]


# ---- threads


def test_a_thread_starts_with_what_its_phase_needs() -> None:
    world = World(NONE, phases={"a": (), "b": (), "c": ("a",)})
    world.add("rules", 1, "system", layer=Layer.PERMANENT).start("a")
    world.output("of a", 2, phase="a").finish("a", "of a").end("a")
    world.start("b").output("of b", 4, phase="b").end("b").start("c")
    world.add("for c", 8, "system", layer=Layer.PHASE, phase="c")
    world.add("pin of c", 16, "system", layer=Layer.PHASE, phase="c", pinned=True)
    world.add("for b", 32, "system", layer=Layer.PHASE, phase="b").turn("t", phase="a")
    world.output("wave 1", 64, phase="c", wave=1).output("wave 2", 128, phase="c", wave=2)
    world.agent("c", "x", wave=2)
    (seeded,) = (event for event in world.events if isinstance(event, Seeded))
    assert {name for name, _ in seeded.items} == {"rules", "of a", "for c", "pin of c", "wave 1"}
    assert seeded.tokens == 1 + 2 + 8 + 16 + 64
    assert next(iter(world.prompt("x"))) == "rules"


def test_what_happens_in_a_thread_stays_there() -> None:
    world = World(rules({"on": "before_call", "select": {"age_calls": 1}, "do": "drop"}))
    world.start("a").turn("main").agent("a", "x").turn("own", thread="x")
    world.call(2, thread="x")
    assert world.prompt("x") == {}
    assert world.tokens == 1_000
    world.feed(AgentFinished(at=world.at, phase="a", wave=1, agent="x", thread="x"))
    (closed,) = (event for event in world.events if isinstance(event, ThreadClosed))
    assert (closed.peak_tokens, closed.calls) == (1_000, 2)


# ---- calls


def test_a_call_reads_what_the_last_one_left_and_writes_the_rest() -> None:
    world = World(rules({"on": "rejected", "select": {"kind": "tool_result"}, "do": "clear"}))
    world.add("rules", 2_000, "system", layer=Layer.PERMANENT)
    world.call().turn("t").call().reject().call().call(model="other").wait(291).call(model="other")
    split = [
        (event.cache_read_tokens, event.cache_write_tokens, event.rewritten_tokens)
        for event in world.events
        if isinstance(event, CallSent)
    ]
    assert split == [
        (0, 2_000, 0),
        (2_000, 1_000, 0),
        (2_160, 10, 0),  # the placeholder is new, and nothing stands behind it
        (0, 2_170, 0),  # another model has a cache of its own
        (0, 2_170, 0),  # 301 s later it is gone
    ]
