"""Tests of what is said to be wrong with a prompt, and that nothing is wrong with what is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from claude_lines import called, compacted, linked, micro_compacted, result, said, summary, wrote
from claude_lines import text as text_block
from commands import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import (
    as_bytes,
    claude_usage,
    codex_count,
    codex_meta,
    codex_turn,
    codex_usage,
    mini_swe,
    mini_swe_answer,
)
from test_transcripts_pi import SESSION as PI_SESSION
from test_transcripts_pi import answered as pi_answered
from test_transcripts_pi import call as pi_call
from test_transcripts_pi import result as pi_result
from test_transcripts_pi import said as pi_said
from worlds import World

from ctxbudget.config.policy_file import LoadedPolicy, load_policy
from ctxbudget.config.policy_format import Bound
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import AgentFinished, AgentStarted, CallSent, Withdrawn
from ctxbudget.core.types import MAIN, Form, Item, Kind, Layer, Scale
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, Settings, WhatIf, recorded_run, what_if
from ctxbudget.replay.validity import Fault, Problem, Validity
from ctxbudget.transcripts.session import read_session

Found: TypeAlias = list[tuple[int, str | None, str]]
"""Problems as (call, item, fault)."""


def run_of(world: World) -> RecordedRun:
    return recorded_run(world.events)


def three_calls() -> World:
    """Return a run of three calls; the last one's tool call still waits for its result."""
    world = World("none").add("rules", 100, "system", layer=Layer.PERMANENT)
    world.add("goal", 10, "user").add("note", 20, "note", pinned=True).turn("t", 5, 50).call()
    world.add("say", 5, "assistant").turn("u", 6, 60).add("more", 7, "user").call()
    return world.add("v call", 5, "tool_call", group="v").call()


FIRST = "rules, goal, note, t call, t result"
SECOND = f"{FIRST}, say, u call, u result, more"
THIRD = f"{SECOND}, v call"


class Sent:
    """Shows prompts to a `Validity`, as lists of names, with the tokens that items had at first."""

    def __init__(self, world: World, limit: int | None = None, **given: Any) -> None:
        self.validity = Validity(run_of(world), limit, **given)
        self.items: dict[str, Item] = {}
        for event in world.events:
            item = getattr(event, "item", None)
            if isinstance(item, Item):
                self.items[item.id] = item
        self.calls: dict[str, int] = {}

    def show(
        self,
        names: str,
        *,
        thread: str = MAIN,
        more_tokens: int = 0,
        change: Callable[[Item], Item] = lambda item: item,
    ) -> Sent:
        items = [change(self.items.get(one, as_note(one))) for one in names.split(", ")]
        self.calls[thread] = self.calls.get(thread, 0) + 1
        tokens = sum(one.tokens for one in items) + more_tokens
        call = CallSent(
            at=0,
            call=self.calls[thread],
            tokens=tokens,
            cache_read_tokens=0,
            cache_write_tokens=0,
            uncached_tokens=tokens,
            thread=thread,
        )
        self.validity.sent(call, iter(items), lambda item: None)
        return self

    @property
    def found(self) -> Found:
        return [(one.call, one.item, one.what.name) for one in self.validity.problems]


def as_note(name: str) -> Item:
    """Return what stands for several items."""
    return Item(id=name, tokens=5, kind=Kind.NOTE, layer=Layer.METADATA, form=Form.STUB)


CASES: dict[str, tuple[str, str, str, Found]] = {
    "all of it": (FIRST, SECOND, THIRD, []),
    "whole groups left": (FIRST, "rules, goal, note, say, more", "rules, goal, note", []),
    "a note for a group": (FIRST, "rules, goal, note, ~stub1, say, u call, u result", THIRD, []),
    "a call that waits alone": (FIRST, SECOND, "rules, goal, note, v call", []),
    "a result without its call": (
        FIRST,
        "rules, goal, note, t result, say, u call, u result, more",
        THIRD,
        [(2, "t call", "PARTED")],
    ),
    "a call without its result": (
        FIRST,
        "rules, goal, note, t call, say, more",
        THIRD,
        [(2, "t result", "PARTED")],
    ),
    "a result that never was in a prompt": (
        FIRST,
        "rules, goal, note, t call, t result, say, u call, more",
        THIRD,
        [(2, "u result", "PARTED")],
    ),
    "parted for good": (
        "rules, goal, note, t call",
        "rules, goal, note, t call",
        "rules, goal, note, t call",
        [(1, "t result", "PARTED"), (2, "t result", "PARTED"), (3, "t result", "PARTED")],
    ),
    "a result ahead of its call": (
        "rules, goal, note, t result, t call",
        SECOND,
        THIRD,
        [(1, "t result", "RESULT_FIRST")],
    ),
    "no goal": (FIRST, "rules, note, say, more", THIRD, [(2, "goal", "GOAL_GONE")]),
    "no goal from the start": ("rules, note", SECOND, THIRD, [(1, "goal", "GOAL_GONE")]),
    "no permanent item": (FIRST, SECOND, "goal, note", [(3, "rules", "KEPT_GONE")]),
    "no pinned item": (FIRST, SECOND, "rules, goal", [(3, "note", "KEPT_GONE")]),
    "an item twice": (
        FIRST,
        "rules, goal, note, say, more, say",
        THIRD,
        [(2, "say", "TWICE")],
    ),
    "a note twice": (FIRST, SECOND, "rules, goal, note, ~s, ~s, ~s", [(3, "~s", "TWICE")] * 2),
    "all at once": (
        "note, t result",
        "goal, goal",
        "rules, goal, note",
        [
            (1, "rules", "KEPT_GONE"),
            (1, "goal", "GOAL_GONE"),
            (1, "t call", "PARTED"),
            (2, "goal", "TWICE"),
            (2, "rules", "KEPT_GONE"),
            (2, "note", "KEPT_GONE"),
        ],
    ),
}
"""The three prompts that were sent, and what is wrong with them."""


@pytest.mark.parametrize(("first", "second", "third", "found"), CASES.values(), ids=CASES)
def test_what_is_wrong_with_prompts(first: str, second: str, third: str, found: Found) -> None:
    sent = Sent(three_calls()).show(first).show(second).show(third)
    assert sent.found == found
    assert sent.validity.prompts == 3


def test_a_problem_says_where_it_is() -> None:
    sent = Sent(three_calls()).show("rules, goal")
    assert sent.validity.problems == [
        Problem(call=1, thread="main", item="note", what=Fault.KEPT_GONE)
    ]


@pytest.mark.parametrize("off", [-1, 1])
def test_a_prompt_has_the_tokens_of_its_items(off: int) -> None:
    sent = Sent(three_calls()).show(FIRST, more_tokens=off).show(SECOND)
    assert sent.found == [(1, None, "SUM")]


@pytest.mark.parametrize(
    ("limit", "found"),
    [(263, []), (262, [(2, None, "LIMIT")]), (184, [(1, None, "LIMIT"), (2, None, "LIMIT")])],
)
def test_a_prompt_may_be_as_large_as_the_limit(limit: int, found: Found) -> None:
    assert Sent(three_calls(), limit).show(FIRST).show(SECOND).found == found  # 185 | 263 tokens


@pytest.mark.parametrize("name", ["rules", "goal", "note"])
def test_what_must_stay_stays_as_it_is(name: str) -> None:
    def shortened(item: Item) -> Item:
        return replace(item, version=1) if item.id == name else item

    assert Sent(three_calls()).show(FIRST, change=shortened).found == [(1, name, "KEPT_CHANGED")]


def test_what_has_become_permanent_has_to_stay() -> None:
    def permanent(item: Item) -> Item:
        return replace(item, layer=Layer.PERMANENT, version=1) if item.id == "say" else item

    sent = Sent(three_calls()).show(FIRST).show(SECOND, change=permanent)
    assert sent.show(FIRST).found == [(3, "say", "KEPT_GONE")]


# ---- what is no policy's fault


def test_what_the_host_took_back_need_not_be_there() -> None:
    world = World("none").add("rules", 1, "system", layer=Layer.PERMANENT).add("goal", 1, "user")
    world.add("note", 1, "note", pinned=True).turn("t").call()
    world.withdraw("goal", "note", "t result").add("again", 1, "user").call()
    world.add("note", 1, "note", pinned=True).call()
    sent = Sent(world).show(FIRST).show("rules, again, t call").show("rules, t result, note")
    assert sent.found == [(3, "again", "GOAL_GONE")]


def test_a_compaction_by_the_host_counts_unless_it_is_left_out() -> None:
    def compacting() -> World:
        world = World("none").add("goal", 1, "user").turn("t").call()
        gone = ("goal", "t call", "t result")
        world.feed(Withdrawn(at=9, items=gone, is_compaction=True, into=("sum",)))
        return world.add("sum", 1, "user", pinned=True).call()

    whole, short = "goal, t call, t result", "sum"
    assert Sent(compacting()).show(whole).show(short).found == []
    assert Sent(compacting()).show(whole).show("goal").found == [(2, "sum", "GOAL_GONE")]
    sent = Sent(compacting(), ignores_compactions=True).show(whole).show(short)
    assert sent.found == [(2, "goal", "GOAL_GONE")]
    assert Sent(compacting(), ignores_compactions=True).show(whole).show(whole).found == []


def test_what_never_had_a_partner_is_alone() -> None:
    world = World("none").add("c", 1, "tool_call", group="c").add("r", 1, group="r")
    world.add("x", 1, "thinking", group="c").add("y", 1, "assistant").call().call()
    assert Sent(world).show("c, r, x, y").show("r, c").found == []


def test_a_call_that_is_made_again_under_the_same_id_is_another_pair() -> None:
    world = World("none").turn("t").call()
    for name, kind in (("again", "tool_call"), ("result again", "tool_result")):
        world.add(name, 1, kind, group="t")
    world.call().call()
    sent = Sent(world).show("t call, t result").show("again, result again").show("again, t call")
    assert sent.found == [(3, "result again", "PARTED"), (3, "t result", "PARTED")]


def test_calls_that_were_made_together_belong_together() -> None:
    world = World("none")
    for name in ("call 1", "call 2", "result 1", "result 2"):
        world.add(name, 1, f"tool_{name[:-2]}", group="g")
    sent = Sent(world.call().call().call()).show("call 1, call 2, result 1, result 2")
    sent.show("call 1, result 1").show("result 2, call 1, call 2, result 1")
    assert sent.found == [
        (2, "call 2", "PARTED"),
        (2, "result 2", "PARTED"),
        (3, "result 2", "RESULT_FIRST"),
    ]


def test_what_was_registered_may_leave_with_its_phase() -> None:
    world = World("none").start("a").register("skill", 9, layer=Layer.PERMANENT).activate("skill")
    world.call().end("a").call()
    assert Sent(world).show("skill").show("~none").found == []


# ---- threads


def finished(thread: str) -> AgentFinished:
    return AgentFinished(at=1, phase="a", wave=1, agent=thread, thread=thread)


def with_agents() -> World:
    """Return a run in which an agent with a window of its own calls twice, between calls of main."""
    world = World("none").add("goal", 10, "user").start("a").call()
    small = Scale(window_tokens=50, reserve_tokens=10, budget_tokens=40)
    world.feed(AgentStarted(at=9, phase="a", wave=1, agent="x", thread="x", scale=small))
    world.add("task", 30, "user", thread="x").call(thread="x").call(thread="x")
    return world.call()


def test_each_thread_has_its_own_goal_and_limit() -> None:
    sent = Sent(with_agents(), 100).show("goal").show("task", thread="x").show("~s", thread="x")
    assert sent.show("~s").found == [(2, "task", "GOAL_GONE"), (2, "goal", "GOAL_GONE")]
    assert [one.thread for one in sent.validity.problems] == ["x", "main"]
    sent = Sent(with_agents(), 100).show("goal").show("task, ~a, ~b", thread="x")
    assert sent.found == []  # 40 of 40
    sent.show("task, ~a, ~b, ~c", thread="x")
    assert sent.found == [(2, None, "LIMIT")]


def test_no_limit_is_no_limit_for_agents_either() -> None:
    sent = Sent(with_agents()).show("goal").show("task, ~a, ~b, ~c", thread="x")
    assert sent.found == []


def test_a_thread_that_is_opened_again_begins_anew() -> None:
    world = World("none").start("a")
    for task in ("one", "two"):
        world.agent("a", "x").add(task, 1, "user", thread="x").call(thread="x")
        world.feed(finished("x"))
    sent = Sent(world).show("one", thread="x").show("two", thread="x")
    assert sent.found == []


def test_prompts_of_another_run_are_refused() -> None:
    sent = Sent(with_agents()).show("goal")
    with pytest.raises(SourceError, match="call 2 of thread 'main' is not the run's next"):
        sent.show("goal")
    sent = Sent(three_calls()).show(FIRST).show(SECOND).show(THIRD)
    with pytest.raises(SourceError, match=r"call 4 .* a Validity of its own"):
        sent.show(THIRD)


# ---- what policies send

SHIPPED = sorted(path.stem for path in (ROOT / "policies").glob("*.yaml"))
EAGER = (
    "masking:keep=1",
    "masking:keep=0",
    "clear-tool-uses:above=1000,keep=1",
    "compact-at-threshold:above=9000,keep_turns=1,min_turns=1,summary_tokens=300",
)
LOG = "\n".join(f"src/cart_{n}.py: test_cart_{n} PASSED in 0.{n} s" for n in range(150))
TURNS = 8


def in_claude_code() -> list[Any]:
    lines = [said("mend the cart", 0)]
    for n in range(TURNS):
        if n == 5:
            lines += [compacted(10 * n), summary("The cart holds.", 10 * n), said("go on", 10 * n)]
        if n == 3:
            lines.append(micro_compacted("t0", second=10 * n))
        usage = claude_usage(0, w5m=9_000 + 3_000 * (n % 5), output=30)
        blocks = (text_block(f"I look at cart_{n}."), called(f"t{n}", command=f"pytest {n}"))
        lines += [
            wrote(f"m{n}", *blocks, usage=usage, stop="tool_use", second=10 * n + 1),
            result(f"t{n}", f"{n}\n{LOG}", 10 * n + 2),
        ]
    return [one for _, one in linked(lines)]


def in_codex() -> list[Any]:
    def item(**payload: Any) -> Any:
        at = "2026-03-02T10:00:05.000Z"
        return {"timestamp": at, "type": "response_item", "payload": payload}

    lines = [
        codex_meta(base_instructions={"text": "You mend code."}),
        codex_turn("gpt-5.5"),
        item(type="message", role="user", content=[{"type": "input_text", "text": "mend it"}]),
    ]
    total = 0
    for n in range(TURNS):
        size = 5_000 + 3_000 * n
        total += size
        given = json.dumps({"cmd": f"pytest {n}"})
        lines += [
            item(type="function_call", name="exec_command", arguments=given, call_id=f"c{n}"),
            codex_count(codex_usage(total, 0, 10 * n), codex_usage(size, 0, 10)),
            item(type="function_call_output", call_id=f"c{n}", output=f"{n}\n{LOG}"),
        ]
    return lines


def in_mini_swe() -> list[Any]:
    answers = [mini_swe_answer(f"g-{n}", 3_000 + 3_000 * n, 0, 60, 0.1) for n in range(TURNS)]
    document = mini_swe(*answers)
    document["messages"].insert(1, {"role": "user", "content": "The cart is broken."})
    for n, message in enumerate(document["messages"][3::2]):
        document["messages"][2 + 2 * n]["content"] = f"```bash\npytest {n}\n```"
        message["content"] = f"{n}\n{LOG}"
    return [document]


def in_pi() -> list[Any]:
    lines = [PI_SESSION, pi_said("u", None, "mend the cart")]
    last = "u"
    for n in range(TURNS):
        usage = {"input": 5_000 + 3_000 * n, "output": 10, "cacheRead": 0, "cacheWrite": 0}
        lines.append(pi_answered(f"a{n}", last, pi_call(f"c{n}"), usage=usage))
        content = [{"type": "text", "text": f"{n}\n{LOG}"}]
        line = pi_result(f"r{n}", f"a{n}", f"c{n}")
        line["message"]["content"] = content
        lines.append(line)
        last = f"r{n}"
    return lines


def in_messages() -> list[Any]:
    messages: list[Any] = [
        {"role": "system", "content": "You mend code."},
        {"role": "user", "content": "mend the cart"},
    ]
    for n in range(TURNS):
        function = {"name": "bash", "arguments": json.dumps({"command": f"pytest {n}"})}
        asked = {"type": "function", "id": f"c{n}", "function": function}
        usage = {"prompt_tokens": 2_000 + 3_000 * n, "completion_tokens": 10}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [asked], "usage": usage},
            {"role": "tool", "tool_call_id": f"c{n}", "content": f"{n}\n{LOG}"},
        ]
    return [messages]


KINDS: dict[str, tuple[str, Callable[[], list[Any]]]] = {
    "claude code": ("s-1.jsonl", in_claude_code),
    "codex": ("t-1.jsonl", in_codex),
    "mini-swe": ("one.traj.json", in_mini_swe),
    "pi": ("pi.jsonl", in_pi),
    "a list of messages": ("list.json", in_messages),
}


def read(path: Path) -> RecordedRun:
    return read_session(RecordedFile(file=str(path)), PriceBook(price_of)).run


def tried(run: RecordedRun, policy: LoadedPolicy, window: int | None = None) -> list[Problem]:
    """Return what is wrong with a policy's prompts, having looked at all of them."""
    limit = Settings(window_tokens=window).scale(run.start.scale).hard_limit_tokens
    never = policy.bound is Bound.NEVER_PRUNES
    validity = Validity(run, None if policy.bound else limit, ignores_compactions=never)
    found: WhatIf = what_if(run, policy, Settings(window_tokens=window), validity)
    assert validity.prompts == found.metrics.run.calls > 0
    return validity.problems


def policies() -> Iterator[LoadedPolicy]:
    return map(load_policy, (*SHIPPED, *EAGER))


@pytest.mark.parametrize(("name", "lines"), KINDS.values(), ids=KINDS)
def test_nothing_is_wrong_with_what_is_sent(
    tmp_path: Path, name: str, lines: Callable[[], list[Any]]
) -> None:
    path = tmp_path / name
    path.write_bytes(as_bytes(lines()))
    run = read(path)
    whole = what_if(run, load_policy("none"))
    assert whole.metrics.run.calls == TURNS
    for window in (None, int(0.8 * whole.peak_tokens)):
        for policy in policies():
            if policy.bound is not Bound.KNOWS_THE_FUTURE:
                assert tried(run, policy, window) == [], (policy.label, window)
    tight = what_if(run, load_policy("none"), Settings(window_tokens=int(0.8 * whole.peak_tokens)))
    assert tight.fitted_calls > 0
    for spec in EAGER:
        pruned = what_if(run, load_policy(spec))
        assert pruned.metrics.run.sent_tokens < whole.metrics.run.sent_tokens, spec


def test_nothing_is_wrong_with_the_example() -> None:
    run = read(ROOT / "docs" / "examples" / "session.jsonl.gz")
    for policy in policies():
        if policy.bound is not Bound.KNOWS_THE_FUTURE:
            assert tried(run, policy) == [], policy.label
    problems = tried(run, load_policy("clairvoyant"))
    assert {one.what for one in problems} == {Fault.PARTED}  # no policy that could run


def test_nothing_is_wrong_with_agents_and_phases() -> None:
    world = World("none", phases={"a": (), "b": ("a",)}, window=90_000)
    world.add("rules", 100, "system", layer=Layer.PERMANENT).add("goal", 100, "user").start("a")
    world.register("skill", 300, "bash").agent("a", "x").add("task", 50, "user", thread="x")
    for n in range(4):
        world.turn(f"x{n}", thread="x", phase="a", tool="bash").call(thread="x")
    world.output("out", 4_000, phase="a").feed(finished("x")).finish("a", "out").call().end("a")
    world.start("b")
    for n in range(6):
        world.turn(f"b{n}", result=3_000, phase="b").add(f"say {n}", 50, "assistant").call()
    run = run_of(world.end("b").end_run())
    for window in (None, 9_000):
        for policy in policies():
            if policy.bound is not Bound.KNOWS_THE_FUTURE:
                assert tried(run, policy, window) == [], (policy.label, window)


ACTIONS = st.sampled_from(["turn", "turn", "call", "user", "say", "waiting", "take", "big"])


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTIONS, min_size=3, max_size=25), st.sampled_from([*EAGER, "ladder", "tidy"]))
def test_nothing_is_wrong_with_any_run(actions: list[str], spec: str) -> None:
    world = World("none", window=9_000).add("goal", 100, "user")
    added: list[tuple[str, ...]] = []
    for number, action in enumerate(actions):
        name = f"{number}"
        if action in ("turn", "big"):
            world.turn(name, result=6_000 if action == "big" else 840)
            added.append((f"{name} call", f"{name} result"))
        elif action == "waiting":
            world.add(name, 160, "tool_call", group=name)
        elif action == "take" and added:
            world.withdraw(*added.pop(number % len(added)))
        elif action == "call":
            world.call()
        else:
            world.add(name, 100, "user" if action == "user" else "assistant")
    run = run_of(world.call())
    assert tried(run, load_policy(spec)) == []
