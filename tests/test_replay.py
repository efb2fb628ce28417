"""What-ifs: recorded runs under other policies, with costs, sizes and misses worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import PolicySpec, World, rules

from ctxbudget import BudgetExceededError, Event, JournalError, Run, Usage
from ctxbudget.config.policy_file import LoadedPolicy, load_policy, policy_from_data
from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    ItemAdded,
    PromptCounted,
    Rejected,
    RestoreAsked,
    RunStarted,
    Shortened,
    UndoAsked,
)
from ctxbudget.core.types import Cache, Price
from ctxbudget.journal import read_records
from ctxbudget.metrics import Metrics
from ctxbudget.replay import RecordedRun, Settings, WhatIf, recorded_run, what_if

SONNET = "claude-sonnet-5-5"
START_S = 1_790_000_000.0  # September 2026: Sonnet 5.5 is 2 / 0.2 / 2.5 / 4 / 10 USD a million

PRICE = Price(
    input_usd=Decimal("0.00010"),
    cache_read_usd=Decimal("0.00001"),
    cache_write_5m_usd=Decimal("0.00012"),
    cache_write_1h_usd=Decimal("0.00020"),
    output_usd=Decimal("0.00050"),
)
CACHE = Cache(min_tokens=1)

Script: TypeAlias = Callable[[Run, "Clock"], None]


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def journaled(path: Path, script: Script, **options: Any) -> Path:
    """Return the journal of a live run that a script made."""
    clock = Clock()
    usual = {
        "model": SONNET,
        "counter": "o200k_base",
        "window_tokens": 100_000,
        "policy": "none",
        "clock": clock,
        "journal": path,
    }
    with Run.open(**{**usual, **options}) as run:
        script(run, clock)
    return path


def events_of(path: Path) -> list[Event]:
    return [one for one in read_records(path) if isinstance(one, Event)]


def run_of(path: Path) -> RecordedRun:
    return recorded_run(read_records(path))


def policy(spec: PolicySpec) -> LoadedPolicy:
    return load_policy(spec) if isinstance(spec, str) else policy_from_data(spec)  # type: ignore[arg-type]


def told(events: Iterable[Event]) -> Metrics:
    """Return what a recorded run's own events say."""
    metrics = Metrics()
    for event in events:
        metrics(event)
    return metrics


def result_text(number: int, lines: int = 60) -> str:
    body = "\n".join(f"    value_{number}_{line} = compute_thing({line})" for line in range(lines))
    return f"def part_{number}():\n{body}\n"


def reads(run: Any, number: int, lines: int = 60) -> None:
    """Let a thread read a file."""
    name = f"src/file_{number}.py"
    run.tool_call("read", {"path": name}, call_id=f"c{number}", source=name)
    run.tool_result(f"c{number}", result_text(number, lines), source=name)


# ---- the same engine: a what-if is what the policy would have done live


def worked(run: Run, clock: Clock) -> None:
    """Read, call, deliver through agents, and use a registered text, in three phases."""
    run.system("be brief")
    run.register("style", result_text(90, 20), activated_by="edit")
    run.user("mend the login of the shop")
    with run.phase("look") as look:
        for number in range(5):
            reads(look, number)
            look.prompt()
            clock.now_s += 400 if number == 2 else 20
            look.assistant(f"saw value_{number}_3 there")
        for name in ("left", "right"):
            with look.agent(name) as agent:
                reads(agent, 10)
                agent.prompt()
                agent.deliver(result_text(20, 80), title=name, path=f"{name}.md")
    with run.phase("plan") as plan:
        with plan.agent("planner") as agent:
            agent.user("plan it")
            agent.prompt()
            agent.assistant("by value_20_7 it is")
            agent.deliver(result_text(30, 80), metadata="the plan of it")
        plan.prompt()
    with run.phase("build") as build:
        build.tool_call("edit", {"path": "a.py"}, call_id="e1")
        build.tool_result("e1", "done")
        build.prompt()
        reads(build, 40, 100)
        build.prompt()


POLICIES: tuple[PolicySpec, ...] = (
    "none",
    "masking:keep=1",
    "masking:keep=2,step=2",
    "compact-at-threshold:above=3000,keep_turns=1,min_turns=1,summary_tokens=300",
    "aggressive",
    "moderate",
    "minimal",
    "tidy",
    "ladder",
    rules(
        {
            "on": "before_call",
            "select": {"kind": "tool_result", "age_calls": 1},
            "do": "snip",
            "to": 90,
        },
        {"on": "phase_finished", "select": {"kind": "artifact", "ready": True}, "do": "digest"},
        {"on": "before_call", "select": {"kind": "system", "layer": "phase"}, "do": "drop"},
    ),
)
PHASES = ({"id": "look"}, {"id": "plan", "after": ["look"]}, {"id": "build", "after": ["plan"]})


@pytest.mark.parametrize("window", [100_000, 5_000])
@pytest.mark.parametrize("recorded", ["none", "masking:keep=1", "moderate"])
def test_a_what_if_is_what_the_policy_does_live(tmp_path: Path, recorded: str, window: int) -> None:
    options: dict[str, Any] = {"phases": PHASES, "window_tokens": window}
    path = journaled(tmp_path / "run.jsonl", worked, policy=recorded, **options)
    run = run_of(path)
    for number, spec in enumerate(POLICIES):
        if spec == "ladder" and window < 50_000:
            continue  # its limits lie 48,000 tokens below the window
        live = journaled(tmp_path / f"{number}.jsonl", worked, policy=spec, **options)
        was, found = told(events_of(live)), what_if(run, policy(spec))
        assert found.metrics.phases == was.phases, spec
        assert found.metrics.run == was.run, spec
        sent = [event.tokens for event in events_of(live) if isinstance(event, CallSent)]
        assert (found.peak_tokens, found.skipped_facts) == (max(sent), 0)


def test_a_what_if_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    run = run_of(journaled(tmp_path / "run.jsonl", used_late))
    first = what_if(run, policy("masking:keep=1"))
    what_if(run, policy("moderate"))
    again = what_if(run, policy("masking:keep=1"))
    assert first.recall is not None
    assert again.recall is not None
    assert first.recall.misses == again.recall.misses != []
    assert (first.metrics.run, first.total_cost_usd) == (again.metrics.run, again.total_cost_usd)


# ---- costs, worked by hand on a run without texts


def world(**options: Any) -> World:
    """Return a goal of 100 tokens and three turns of 1,000, each followed by a call."""
    made = World("none", cache=CACHE, **{"prices": {"": PRICE}, **options})
    made.add("goal", 100, "user")
    for name in ("one", "two", "three"):
        made.turn(name).call()
    return made


def of_world(made: World, spec: PolicySpec, **changed: Any) -> WhatIf:
    return what_if(recorded_run(made.events), policy(spec), Settings(**changed))


SUMMARIZING = rules(
    {
        "on": "before_call",
        "select": {"kind": ["tool_call", "tool_result"], "keep_last_turns": 1},
        "do": "summarize",
        "by": "all",
        "to": 200,
    }
)


@pytest.mark.parametrize(
    ("spec", "sent", "peak", "written", "read", "rewrites", "summaries"),
    [
        # 1,100 | 1,100 read + 1,000 | 2,100 read + 1,000
        ("none", 6_300, 3_100, 3_100, 3_200, 0, 0),
        # a placeholder has 10: 1,100 | 260 read + 1,010 | 430 read + 1,010
        ("masking:keep=1", 3_810, 1_440, 3_120, 690, 0, 0),
        # as none | as none | 260 read + 2,010, of which the second turn's 1,000 are a rewrite
        ("masking:keep=2", 5_470, 2_270, 4_110, 1_360, 1, 0),
        # 1,100 | goal read + 200 + 1,000 | goal and summary read + 200 + 1,000
        (SUMMARIZING, 3_900, 1_500, 3_500, 400, 0, 2),
    ],
    ids=["none", "masking 1", "masking 2", "summarizing"],
)
def test_costs_are_worked_by_hand(
    spec: PolicySpec, sent: int, peak: int, written: int, read: int, rewrites: int, summaries: int
) -> None:
    found = of_world(world(), spec)
    cache = found.metrics.run.cache
    assert (found.metrics.run.calls, found.metrics.run.sent_tokens) == (3, sent)
    assert found.peak_tokens == peak
    assert (cache.cache_write_tokens, cache.cache_read_tokens, cache.uncached_tokens) == (
        written,
        read,
        0,
    )
    assert (found.rewrites, found.compactions) == (rewrites, summaries)
    # a summary reads the 1,000 of a turn at 0.0001 and writes 200 at 0.0005
    by_hand = written * Decimal("0.00012") + read * Decimal("0.00001") + summaries * Decimal("0.2")
    assert found.cost_usd == by_hand
    assert (found.recall, found.refetch_usd, found.total_cost_usd) == (None, None, by_hand)


def test_a_cold_or_too_short_cache_is_charged_as_such() -> None:
    cold = World("none", cache=CACHE, prices={"": PRICE}).add("goal", 100, "user").call()
    cold.wait(301).call()
    assert of_world(cold, "none").cost_usd == 200 * Decimal("0.00012")
    short = World("none", cache=Cache(min_tokens=101), prices={"": PRICE}).add("goal", 100, "user")
    assert of_world(short.call(2), "none").cost_usd == 200 * Decimal("0.00010")


def test_a_price_for_large_prompts_holds_for_the_whole_call() -> None:
    double = Price(
        input_usd=Decimal(1),
        cache_read_usd=Decimal(1),
        cache_write_5m_usd=Decimal(1),
        cache_write_1h_usd=Decimal(1),
        output_usd=Decimal(1),
    )
    prices = {"": Price(**{**_fields(PRICE), "larger": ((2_500, double),)})}
    # the third call's 3,100 all cost 1 each; the two before cost as ever
    assert of_world(world(prices=prices), "none").cost_usd == (
        2_100 * Decimal("0.00012") + 1_100 * Decimal("0.00001") + 3_100
    )


def _fields(price: Price) -> dict[str, Any]:
    return {name: getattr(price, name) for name in Price.__slots__}


def test_a_model_without_a_price_makes_the_cost_unknown_and_never_zero() -> None:
    for made in (world(prices={}), world().call(model="other")):
        for spec in ("none", "masking:keep=1", SUMMARIZING):
            found = of_world(made, spec)
            assert (found.cost_usd, found.refetch_usd, found.total_cost_usd) == (None, None, None)
            assert found.metrics.run.sent_tokens > 0


def test_each_call_costs_what_its_model_costs() -> None:
    dear = Price(**{**_fields(PRICE), "cache_write_5m_usd": Decimal(1)})
    made = World("none", prices={"": PRICE, "dear": dear})
    made.add("goal", 2_000, "user").call().call(model="dear").call(model="dear")
    # another model has a cache of its own: 2,000 written by each, then read
    assert of_world(made, "none").cost_usd == (
        2_000 * Decimal("0.00012") + 2_000 + 2_000 * Decimal("0.00001")
    )


def test_what_the_run_really_cost_is_that_of_its_reports() -> None:
    made = world()
    made.answered(
        700,
        cache_read_tokens=2_000,
        cache_write_tokens=400,
        cache_write_1h_tokens=300,
        output_tokens=9_999,
    )
    run = recorded_run(made.events)
    assert (run.calls, run.reported_calls) == (3, 1)
    # uncached 0.07, read 0.02, 100 for five minutes 0.012, 300 for an hour 0.06; output is apart
    assert run.cost_usd == Decimal("0.162")
    assert recorded_run(world().events).cost_usd is None
    assert recorded_run(made.answered(1, model="other").events).cost_usd is None


def test_a_live_run_cost_what_the_price_at_its_time_says(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("goal")
        run.prompt()
        usage = Usage(
            uncached_tokens=1_000,
            cache_read_tokens=10_000,
            cache_write_tokens=3_000,
            cache_write_1h_tokens=1_000,
            output_tokens=50,
            model=SONNET,
        )
        run.used(usage)

    run = run_of(journaled(tmp_path / "run.jsonl", script))
    # 1,000 at 2, 10,000 at 0.2, 2,000 at 2.5 and 1,000 at 4 USD a million
    assert run.cost_usd == Decimal("0.013")


# ---- which facts hold under any policy


def test_what_only_the_recorded_policy_brought_is_not_replayed() -> None:
    made = World("masking:keep=1", cache=CACHE, prices={"": PRICE}, window=10_000)
    made.add("goal", 100, "user")
    made.turn("one").call().answered(5_000)
    made.turn("two").call()
    made.restore("one result").call()
    made.counted(9_000)
    made.turn("three").call()
    made.output("out", 500)
    made.finish("a", "out").call()
    run = recorded_run(made.events)
    ours = (CallAnswered, PromptCounted, RestoreAsked, Shortened)
    assert [fact for fact in run.facts if isinstance(fact, ours)] == []
    assert {type(event) for event in made.events} >= set(ours)
    found = what_if(run, policy("none"))
    # 1,100 | 2,100 twice | 3,100 | 3,600: nothing that was reported made it smaller
    assert found.metrics.run.sent_tokens == 1_100 + 2_100 + 2_100 + 3_100 + 3_600
    assert (found.peak_tokens, found.metrics.run.restored_tokens) == (3_600, 0)
    # 1,270 twice, for the restored result is masked again as it was the first time
    masked = what_if(run, policy("masking:keep=1"))
    assert masked.metrics.run.sent_tokens == 1_100 + 1_270 + 1_270 + 1_440 + 1_940


def test_the_limit_that_a_refusal_taught_is_not_replayed() -> None:
    made = World("none", cache=CACHE, prices={"": PRICE}, window=10_000).add("goal", 100, "user")
    made.turn("one").call().turn("two").call().reject(limit_tokens=1_500).call()
    assert made.sent[-1] < 1_500
    made.turn("three").call()
    run = recorded_run(made.events)
    assert not any(isinstance(fact, Rejected) for fact in run.facts)
    found = what_if(run, policy("none"))
    assert (found.peak_tokens, found.metrics.run.pruned_tokens) == (3_100, 0)


def test_an_undone_plan_is_not_undone_again() -> None:
    made = world_under("masking:keep=1").undo().call()
    run = recorded_run(made.events)
    assert not any(isinstance(fact, UndoAsked) for fact in run.facts)
    assert what_if(run, policy("none")).metrics.run.sent_tokens == 6_300 + 3_100
    assert what_if(run, policy("masking:keep=1")).metrics.run.sent_tokens == 3_810 + 1_440


def world_under(spec: PolicySpec) -> World:
    made = World(spec, cache=CACHE, prices={"": PRICE})
    made.add("goal", 100, "user")
    for name in ("one", "two", "three"):
        made.turn(name).call()
    return made


def test_error_bounds_of_the_recorded_run_are_not_replayed() -> None:
    made = World("none", cache=CACHE, prices={"": PRICE}, window=1_000)
    made.add("goal", 600, "user", error_tokens=300).call()
    run = recorded_run(made.events)
    (item,) = [fact.item for fact in run.facts if isinstance(fact, ItemAdded)]
    assert item.error_tokens == 0
    assert what_if(run, policy("none")).metrics.run.peak_tokens == 600


def test_what_the_host_took_back_is_taken_back_under_any_policy() -> None:
    made = world()
    made.withdraw("one call", "one result").call()
    assert of_world(made, "none").metrics.run.sent_tokens == 6_300 + 2_100
    assert of_world(made, "masking:keep=1").metrics.run.sent_tokens == 3_810 + 1_270
    assert of_world(made, "masking:keep=1").skipped_facts == 0


# ---- recall and misses


def used_late(run: Run, clock: Clock) -> None:
    """Read three files, then use names of the first after the second and the third were read."""
    run.user("mend the login")
    for number in range(3):
        reads(run, number)
        run.prompt()
        clock.now_s += 10
    run.assistant("both value_0_7 and value_0_9 go, but value_2_1 stays; so does value_9_9")
    run.user("go on")
    run.prompt()
    run.assistant("value_0_7 once more, and value_1_5\n    value_1_3 = compute_thing(3)\n")


def test_recall_and_misses_are_worked_by_hand(tmp_path: Path) -> None:
    run = run_of(journaled(tmp_path / "run.jsonl", used_late))
    live = journaled(tmp_path / "live.jsonl", used_late, policy="masking:keep=1")
    found = what_if(run, policy("masking:keep=1"))
    recall = found.recall
    assert recall is not None
    missed = [
        (one.what, one.text, one.item, one.call, one.since_call, one.is_charged)
        for one in recall.misses
    ]
    # Call 3 wrote value_0_7, value_0_9 and value_2_1; value_9_9 stood nowhere. Its result, main/3,
    # went before call 2. Call 4 wrote value_0_7 (there again), value_1_5, value_1_3, compute_thing.
    assert missed == [
        ("reference", "value_0_7", "main/3", 3, 2, True),
        ("reference", "value_0_9", "main/3", 3, 2, False),
        ("reference", "value_1_5", "main/5", 4, 3, True),
        ("reference", "value_1_3", "main/5", 4, 3, False),
        ("quote", "value_1_3 = compute_thing(3)", "main/5", 4, 3, False),
    ]
    assert {(one.rule, one.thread) for one in recall.misses} == {("mask old results", "main")}
    assert (recall.references.served, recall.references.all) == (3, 7)
    assert (recall.quotes.served, recall.quotes.all) == (0, 1)
    assert (recall.recall, recall.quote_recall) == (3 / 7, 0.0)
    tokens = {e.item.id: e.item.tokens for e in events_of(live) if isinstance(e, ItemAdded)}
    assert [one.tokens for one in recall.misses] == [tokens[one.item] for one in recall.misses]
    # each item is written again at 2.5 and its call's whole prompt read at 0.2 USD a million
    sent = [event.tokens for event in events_of(live) if isinstance(event, CallSent)]
    by_hand = (sent[2] + sent[3]) * Decimal("0.0000002")
    by_hand += (tokens["main/3"] + tokens["main/5"]) * Decimal("0.0000025")
    assert found.refetch_usd == by_hand
    assert found.cost_usd is not None
    assert found.total_cost_usd == found.cost_usd + by_hand


def test_only_what_the_recorded_prompt_held_counts(tmp_path: Path) -> None:
    run = run_of(journaled(tmp_path / "run.jsonl", used_late, policy="masking:keep=1"))
    recall = what_if(run, policy("masking:keep=1")).recall
    assert recall is not None
    # call 3: value_2_1; call 4: value_0_7, which its own words before hold, and compute_thing
    assert (recall.references.served, recall.references.all) == (3, 3)
    assert (recall.quotes.all, recall.misses) == (0, [])


def test_thinking_tools_and_the_user_use_nothing(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("mend value_0_1")
        reads(run, 0)
        run.prompt()
        thinking = {"type": "thinking", "thinking": "value_0_2 maybe", "signature": "s"}
        run.assistant([thinking])
        run.user("what of value_0_3")
        run.tool_call("edit", {"old": "    value_0_5 = compute_thing(5)"}, call_id="e")
        run.tool_result("e", "value_0_4 changed")

    run = run_of(journaled(tmp_path / "run.jsonl", script))
    (use,) = run.uses.values()
    assert [one.text for one in use.references] == ["value_0_5", "compute_thing"]
    assert [one.text for one in use.quotes] == ["value_0_5 = compute_thing(5)"]


def test_a_worker_misses_what_its_seed_lost(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("mend the login")
        with run.phase("look") as look, look.agent("scout") as scout:
            scout.prompt()
            scout.deliver(result_text(7), metadata="a map")
        with run.phase("plan") as plan, plan.agent("planner") as planner:
            planner.user("plan")
            planner.prompt()
            planner.assistant("by value_7_3 and value_7_4")

    run = run_of(journaled(tmp_path / "run.jsonl", script, phases=PHASES))
    spec = rules({"on": "agent_finished", "select": {"kind": "artifact"}, "do": "digest"})
    recall = what_if(run, policy(spec)).recall
    assert recall is not None
    assert [(one.text, one.item, one.thread, one.call) for one in recall.misses] == [
        ("value_7_3", "look/scout/output", "plan/planner", 1),
        ("value_7_4", "look/scout/output", "plan/planner", 1),
    ]
    assert {(one.since_call, one.rule) for one in recall.misses} == {(1, "rule 1")}
    assert recall.recall == 0.0
    none = what_if(run, policy("none")).recall
    assert none is not None
    assert none.recall == 1.0


def test_a_registered_text_can_be_missed(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.register("style", "always use snake_case_names here", activated_by="edit")
        run.user("mend the login")
        run.tool_call("edit", {}, call_id="e1")
        run.tool_result("e1", "done")
        run.prompt()
        run.prompt()
        run.assistant("with snake_case_names then")

    run = run_of(journaled(tmp_path / "run.jsonl", script))
    spec = rules({"on": "before_call", "select": {"kind": "system", "age_calls": 1}, "do": "drop"})
    recall = what_if(run, policy(spec)).recall
    assert recall is not None
    (miss,) = recall.misses
    assert (miss.item, miss.text, miss.since_call) == ("style", "snake_case_names", 2)
    none = what_if(run, policy("none")).recall
    assert none is not None
    assert (none.references.served, none.references.all) == (1, 1)


def test_a_shorter_form_serves_what_it_still_holds(tmp_path: Path) -> None:
    run = run_of(journaled(tmp_path / "run.jsonl", used_late))
    spec = rules(
        {
            "on": "before_call",
            "select": {"kind": "tool_result", "keep_last": 1},
            "do": "snip",
            "to": 400,
        }
    )
    recall = what_if(run, policy(spec)).recall
    assert recall is not None
    # head and tail keep value_0_7 and value_1_3 of sixty lines
    assert (recall.recall, recall.misses) == (1.0, [])


NAMES = st.sampled_from(
    ["alpha_1", "beta_22", "gamma_3", "src/delta.py", "a line that is a quote_4"]
)
STEPS = st.one_of(
    st.tuples(st.just("says"), st.lists(NAMES, max_size=2)),
    st.tuples(st.just("reads"), st.lists(NAMES, max_size=3)),
    st.tuples(st.just("calls"), st.just(())),
    st.tuples(st.just("works"), st.lists(NAMES, max_size=2)),
    st.tuples(st.just("takes back"), st.just(())),
    st.tuples(st.just("restores"), st.just(())),
)
NUMBERS = count()


def play(run: Run, steps: Iterable[tuple[str, Iterable[str]]]) -> None:
    run.user("the goal of goal_1")
    with run.phase("work") as phase:
        for number, (what, names) in enumerate(steps):
            text = "\n".join(names) or "nothing"
            if what == "says":
                phase.assistant(text)
            elif what == "reads":
                phase.tool_call("read", {"path": text}, call_id=f"c{number}")
                phase.tool_result(f"c{number}", text + "\n" + "word " * 30)
            elif what == "works":
                with phase.agent(f"agent{number}") as agent:
                    agent.user(text)
                    agent.prompt()
                    agent.assistant(text)
                    agent.deliver(text + " and more words of it " * 9, metadata="short")
            elif what == "restores":
                gone = [item.id for item in run.items() if item.form != "whole"]
                for name in gone[:1]:
                    if not name.startswith("~"):
                        phase.restore(name)
            else:
                phase.prompt()


@given(
    steps=st.lists(STEPS, max_size=10),
    recorded=st.sampled_from(["none", "masking:keep=1", "aggressive"]),
)
@settings(max_examples=30, deadline=None)
def test_none_loses_nothing_of_any_run(
    tmp_path_factory: pytest.TempPathFactory, steps: Any, recorded: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"none{next(NUMBERS)}.jsonl"
    journaled(path, lambda run, _: play(run, steps), policy=recorded, counter=Words())
    run = run_of(path)
    none = what_if(run, policy("none"))
    assert none.recall is not None
    assert none.recall.misses == []
    assert none.recall.recall in (None, 1.0)
    assert none.refetch_usd == 0
    masked = what_if(run, policy("masking:keep=0")).recall
    assert masked is not None
    # what was used is the same under any policy; only what was served differs
    assert (masked.references.all, masked.quotes.all) == (
        none.recall.references.all,
        none.recall.quotes.all,
    )


# ---- journals without texts, other windows, and what is no run


def test_a_journal_without_texts_is_replayed_with_assumed_sizes(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("mend the login")  # 3 + 4
        for number in range(2):
            run.tool_call("read", {}, call_id=f"c{number}")  # "read {}", 2 + 4
            run.tool_result(f"c{number}", "word " * 96)  # 100
            run.prompt()
        run.assistant("uses nothing_1")

    path = journaled(tmp_path / "run.jsonl", script, keeps_texts=False, counter=Words())
    run = run_of(path)
    assert not run.has_texts
    found = what_if(run, policy("masking:keep=1"))
    assert (found.recall, found.refetch_usd) == (None, None)
    assert found.cost_usd is not None
    assert found.total_cost_usd == found.cost_usd
    # 7 + 6 + 100 | 7 + 6 + 10 + 6 + 100
    assert found.metrics.run.sent_tokens == 113 + 129


@pytest.mark.parametrize(
    ("rule", "tokens"),
    [
        ({"do": "clear"}, 10),
        ({"do": "digest"}, 250),
        ({"do": "digest", "to": 40}, 40),
        ({"do": "snip"}, 2_000),
        ({"do": "snip", "to": 300}, 300),
        ({"do": "summarize", "by": "all", "to": 70}, 70),
        ({"do": "stub", "by": "all"}, 5),
    ],
)
def test_sizes_are_assumed_as_in_a_workflow(rule: dict[str, Any], tokens: int) -> None:
    made = World("none").add("goal", 100, "user").turn("one", call=0, result=5_000).call().call()
    spec = rules({"on": "before_call", "select": {"kind": "tool_result", "age_calls": 1}, **rule})
    assert of_world(made, spec).metrics.run.sent_tokens == 5_100 + 100 + tokens


def test_another_window_is_kept_to() -> None:
    found = of_world(world(), "none", window_tokens=2_500)
    assert found.peak_tokens == 2_100
    run = found.metrics.run
    assert (run.window_tokens, run.budget_tokens) == (2_500, 2_500)
    # 3,100 are too many; with room of 30 % for more of this growth, 1,750 are aimed at: the two
    # older results are cleared
    assert run.sent_tokens == 1_100 + 2_100 + 1_440


def test_another_window_leaves_the_budget_and_another_budget_the_window() -> None:
    made = World("none", window=10_000, reserve=1_000, budget=4_000).add("goal", 100, "user").call()
    wide = of_world(made, "none", window_tokens=50_000).metrics.run
    assert (wide.window_tokens, wide.reserve_tokens, wide.budget_tokens) == (50_000, 1_000, 4_000)
    small = of_world(made, "none", window_tokens=3_000).metrics.run
    assert (small.window_tokens, small.budget_tokens) == (3_000, 2_000)
    frugal = of_world(made, "none", budget_tokens=600).metrics.run
    assert (frugal.window_tokens, frugal.budget_tokens) == (10_000, 600)


def test_a_rule_of_the_budget_follows_another_budget() -> None:
    spec = rules(
        {
            "on": "before_call",
            "select": {"kind": "tool_result", "age_calls": 1},
            "do": "clear",
            "when": {"above": "50%"},
        }
    )
    made = world(window=10_000)
    assert of_world(made, spec).metrics.run.sent_tokens == 6_300
    # above 1,000: 1,100 | 1,270 | 1,440
    assert of_world(made, spec, budget_tokens=2_000).metrics.run.sent_tokens == 3_810


def test_what_may_not_be_pruned_and_does_not_fit_is_an_error() -> None:
    with pytest.raises(BudgetExceededError, match="goal"):
        of_world(world(), "none", window_tokens=99)


def test_a_run_is_what_begins_with_one() -> None:
    made = world()
    with pytest.raises(JournalError, match="no run"):
        recorded_run([], "empty.jsonl")
    with pytest.raises(JournalError, match=r"late\.jsonl.*run_started"):
        recorded_run(made.events[1:], "late.jsonl")


def test_a_journal_that_ends_anywhere_can_be_replayed(tmp_path: Path) -> None:
    path = journaled(tmp_path / "run.jsonl", used_late)
    records = list(read_records(path))
    first = next(n for n, record in enumerate(records) if isinstance(record, RunStarted))
    calls = 0
    for end in range(first + 1, len(records) + 1):
        run = recorded_run(records[:end])
        found = what_if(run, policy("masking:keep=1"))
        assert found.metrics.run.calls - run.calls in (0, 1)  # a call may not have been sent yet
        calls = found.metrics.run.calls
    assert calls == 4
