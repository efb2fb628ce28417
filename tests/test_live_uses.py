"""What the model used again is told as facts while a run goes on, as a replay would find it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget import AsyncRun, BudgetExceededError, Event, Run, SourceError, Usage
from ctxbudget.adapters.anthropic import MessageCodec
from ctxbudget.core.events import (
    Answered,
    CallSent,
    CallStarted,
    Fact,
    ItemAdded,
    ItemTouched,
    RunStarted,
)
from ctxbudget.core.types import Form, Item, Kind
from ctxbudget.journal import JournalWriter, from_line, read_journal, read_records
from ctxbudget.live.uses import words_of
from ctxbudget.providers.overflow import Overflow
from ctxbudget.references import identifiers, quotes
from ctxbudget.replay import recorded_run

SECRET = "sk-ant-api03-" + "a1B2c3D4" * 5


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def rule(do: str, idle_calls: int, **select: Any) -> dict[str, Any]:
    return {
        "name": f"{do} what is idle",
        "on": "before_call",
        "select": {"kind": "tool_result", "idle_calls": idle_calls, **select},
        "do": do,
        "why": "a test",
    }


IDLE = {"name": "idle", "rules": [rule("clear", 3)]}
"""Clears results that were not used for three calls."""

PATIENT = {"name": "patient", "rules": [rule("clear", 1000)]}
"""Reads uses, and never does a thing."""


def open_run(heard: list[Event] | None = None, **options: Any) -> Run:
    given: dict[str, Any] = {"window_tokens": 10_000, "counter": Words(), "clock": Clock()}
    listeners = [] if heard is None else [heard.append]
    return Run.open(**{"policy": IDLE, "listeners": listeners, **given, **options})


def read(run: Any, number: int, text: str = "", path: str = "") -> tuple[str, str]:
    """Let the model read a file, and return the ids of its call and of the result."""
    said = {"path": path or f"src/part_{number}.py"}
    (call,) = run.tool_call("read", said, call_id=f"c{number}")
    more = "\n" + "more " * 20  # so that a placeholder is shorter
    text = text or f"   1\tvalue_{number} = compute()"
    (result,) = run.tool_result(f"c{number}", text + more)
    return call, result


def told(heard: list[Event]) -> list[tuple[str, tuple[str, ...]]]:
    return [(e.thread, e.items) for e in heard if isinstance(e, ItemTouched)]


def forms(run: Any) -> dict[str, Form]:
    return {item.id: item.form for item in run.items()}


# ---- worked by hand


def test_a_read_that_an_edit_uses_three_calls_later_is_touched_and_stays() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("make it faster")
    run.prompt()  # call 1
    call, used = read(run, 1, "12\tdef slow_path(order): return total(order)")
    run.prompt()  # 2
    _, unused = read(run, 2)
    run.prompt()  # 3
    read(run, 3)
    run.prompt()  # 4
    assert told(heard) == []
    old = "def slow_path(order): return total(order)"
    run.tool_call("edit", {"path": "src/part_1.py", "old": old, "new": "pass"}, call_id="e")
    run.tool_result("e", "done")
    assert told(heard) == []  # it is told with the next call, when all that was written is known
    run.prompt()  # 5
    # the path was last held by the call that read the file, the name and the line by the result
    assert told(heard) == [("main", (call, used))]
    kinds = [type(e) for e in heard if isinstance(e, ItemTouched | CallStarted)]
    assert kinds[-2:] == [ItemTouched, CallStarted]
    # it came with call 1, so it would have gone with call 5; as it is, three calls later
    after = {5: forms(run)}
    for number in (6, 7, 8):
        run.user("go on")
        run.prompt()
        after[number] = forms(run)
    assert [after[n][used] for n in after] == [Form.WHOLE, Form.WHOLE, Form.WHOLE, Form.CLEAR]
    assert [after[n][unused] for n in after] == [Form.WHOLE, Form.CLEAR, Form.CLEAR, Form.CLEAR]
    assert told(heard) == [("main", (call, used))]


def test_what_the_model_just_wrote_does_not_hold_what_it_used() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("goal of main_goal")
    run.prompt()
    run.assistant("I look at part_one.py")
    run.assistant("and at part_one.py again, for main_goal")
    run.prompt()
    assert told(heard) == [("main", ("main/1",))]
    run.assistant("so part_one.py it is")
    run.prompt()  # by now both stood in a prompt: the latest counts
    assert told(heard)[1:] == [("main", ("main/3",))]


def test_what_came_after_the_prompt_was_sent_was_not_used() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("goal")
    run.prompt()
    run.user("by the way: main_goal")
    run.assistant("as for main_goal")
    run.prompt()
    assert told(heard) == []


def test_thinking_uses_nothing() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("goal of main_goal")
    run.prompt()
    run.assistant([{"type": "thinking", "thinking": "main_goal, hm", "signature": "s"}])
    run.prompt()
    assert told(heard) == []
    run.assistant([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "main_goal"}])
    run.prompt()
    assert told(heard) == [("main", ("main/1",))]


def test_before_the_first_call_and_for_a_refused_one_nothing_was_used() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("goal of main_goal")
    run.assistant("main_goal, said in an earlier life")
    run.prompt()
    run.rejected(Overflow(tokens=None, limit_tokens=9_000, is_body_size=False))
    run.assistant("main_goal, said by somebody")
    run.prompt()
    assert told(heard) == []
    run.assistant("main_goal")
    run.prompt()
    assert told(heard) == [("main", ("main/3",))]


def test_a_call_that_does_not_fit_is_not_told_twice() -> None:
    heard: list[Event] = []
    run = open_run(heard, window_tokens=60)
    run.user("goal of main_goal")
    run.prompt()
    run.assistant("main_goal")
    run.user("word " * 50, pinned=True)
    for _ in range(2):
        with pytest.raises(BudgetExceededError):
            run.prompt()
    assert told(heard) == [("main", ("main/1",))]


def test_what_somebody_touched_is_not_told_once_more_for_the_same_call() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.system("rules_of_house apply")
    run.user("goal of main_goal, then of next_goal")
    run.prompt()
    run.touch("main/2")
    run.assistant("main_goal by rules_of_house")
    run.prompt()
    assert told(heard) == [("main", ("main/2",)), ("main", ("main/1",))]
    run.assistant("next_goal")
    run.prompt()
    assert told(heard)[2:] == [("main", ("main/2",))]


def test_made_whole_again_before_the_answer_it_was_there_all_along() -> None:
    heard: list[Event] = []
    run = open_run(heard, policy={"name": "snips", "rules": [{**rule("snip", 1), "to": 12}]})
    run.user("goal")
    run.prompt()
    _, result = read(run, 1, "value_one\n" + "more\n" * 40, path="x")
    run.prompt()
    run.user("go on")
    run.prompt()
    assert forms(run)[result] is Form.SNIP
    run.restore(result, pin=True)
    run.assistant("value_one")
    run.prompt()
    assert told(heard) == [("main", (result,))]


def test_only_forms_that_still_hold_a_text_are_used() -> None:
    snips = {"name": "snips", "rules": [{**rule("snip", 1), "to": 12}]}
    clears = {"name": "clears", "rules": [rule("clear", 1)]}
    found = {}
    for policy in (snips, clears):
        heard: list[Event] = []
        run = open_run(heard, policy=policy)
        run.user("goal")
        run.prompt()
        _, result = read(run, 1, "value_one\n" + "more\n" * 40, path="x")
        run.prompt()
        run.user("go on")
        run.prompt()
        run.assistant("value_one")
        run.prompt()
        found[forms(run)[result]] = told(heard)
    assert found == {Form.SNIP: [("main", ("main/3",))], Form.CLEAR: []}


def test_restored_from_its_next_call_on() -> None:
    heard: list[Event] = []
    run = open_run(heard, policy={"name": "clears", "rules": [rule("clear", 1)]})
    run.user("goal")
    run.prompt()
    _, result = read(run, 1, "value_one", path="x")
    run.prompt()
    run.user("go on")
    run.prompt()
    assert forms(run)[result] is Form.CLEAR
    run.restore(result, pin=True)
    run.assistant("value_one")  # written to a prompt that did not hold it
    run.prompt()
    assert told(heard) == []
    run.tool_call("look", {"at": "value_one"}, call_id="l")
    run.prompt()  # the last to hold it is what was said meanwhile
    assert told(heard) == [("main", ("main/5",))]


def test_undone_it_can_be_used_again() -> None:
    heard: list[Event] = []
    run = open_run(heard, policy={"name": "clears", "rules": [rule("clear", 2)]})
    run.user("goal")
    run.prompt()
    _, result = read(run, 1, "value_one", path="x")
    for _ in range(3):
        run.user("go on")
        run.prompt()
    assert forms(run)[result] is Form.CLEAR
    run.undo()
    run.prompt()
    run.assistant("value_one")
    run.prompt()
    assert told(heard) == [("main", (result,))]


def test_what_the_host_took_back_is_not_used() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    run.user("goal of main_goal")
    run.user("again: main_goal")
    run.prompt()
    run._desk.do(run._desk.parts.source.withdraw(("main/2",), "main"))
    run.assistant("main_goal")
    run.prompt()
    assert told(heard) == [("main", ("main/1",))]


def test_an_agent_uses_what_it_was_handed() -> None:
    heard: list[Event] = []
    run = open_run(heard, phases=["a", "b"])
    run.system("rules_of_house apply")
    run.user("goal of main_goal")
    with run.phase("a") as a:
        output = a.deliver("the plan: change tax_rates.py")
        a.user("not handed on: private_note")
    with run.phase("b") as b:
        with b.agent("x") as agent:
            agent.prompt()
            agent.assistant("tax_rates.py, by rules_of_house, with private_note and main_goal")
            agent.prompt()
            agent.assistant("main_goal")  # its thread ends without another call
        run.prompt()
        run.assistant("tax_rates.py")
        run.prompt()
    items = {name for thread, names in told(heard) for name in names if thread == "b/x"}
    assert output in items
    assert "main/1" in items
    assert "main/3" not in items
    assert [thread for thread, _ in told(heard)] == ["b/x", "main"]
    assert told(heard)[1] == ("main", (output,))


def test_threads_do_not_mix() -> None:
    heard: list[Event] = []
    run = open_run(heard, phases=["a"])
    run.user("goal")
    with run.phase("a") as phase, phase.agent("x") as x, phase.agent("y") as y:
        x.user("look at only_x.py")
        y.user("look at only_y.py")
        x.prompt()
        y.prompt()
        x.assistant("only_x.py and only_y.py")
        y.assistant("only_y.py")
        y.prompt()
        x.prompt()
    assert told(heard) == [("a/y", ("a/y/1",)), ("a/x", ("a/x/1",))]


def test_a_registered_text_is_used_while_it_is_in_the_prompt() -> None:
    heard: list[Event] = []
    run = open_run(heard, phases=["a", "b"])
    run.user("goal")
    run.register("sql", "use replica_db for it")
    for name in ("a", "b"):
        with run.phase(name) as phase:
            phase.prompt()
            phase.assistant("I would ask replica_db")
            phase.activate("sql")
            phase.prompt()
            phase.assistant("I ask replica_db")
            phase.prompt()
    assert ("main", ("sql",)) in told(heard)[:1]


def test_a_run_whose_policy_reads_no_uses_tells_none() -> None:
    for policy in ("none", {"name": "t", "rules": [rule("clear", 0)]}):
        heard: list[Event] = []
        run = open_run(heard, policy=policy)
        run.user("goal of main_goal")
        run.prompt()
        run.assistant("main_goal")
        run.prompt()
        start = heard[0]
        assert isinstance(start, RunStarted)
        assert not start.tells_uses
        assert told(heard) == []


def test_an_asynchronous_run_tells_the_same() -> None:
    heard: list[Event] = []

    async def go() -> None:
        given: dict[str, Any] = {"window_tokens": 10_000, "counter": Words(), "clock": Clock()}
        run = await AsyncRun.open(policy=IDLE, listeners=[heard.append], **given)
        await run.user("goal of main_goal")
        await run.prompt()
        await run.assistant("main_goal")
        await run.prompt()

    asyncio.run(go())
    assert told(heard) == [("main", ("main/1",))]


def test_a_mirrored_host_tells_the_same() -> None:
    heard: list[Event] = []
    run = open_run(heard)
    fit = run.mirror(MessageCodec())
    messages = [{"role": "user", "content": "goal of main_goal"}]
    fit(messages)
    fit([*messages, {"role": "assistant", "content": "main_goal"}])
    assert told(heard) == [("main", ("main/1",))]


# ---- the journal


def test_a_journal_of_old_has_no_such_field() -> None:
    heard: list[Event] = []
    open_run(heard, policy="none")
    start = heard[0]
    file = io.StringIO()
    writer = JournalWriter(file)
    writer(start)
    assert "tells_uses" not in file.getvalue()

    line = json.loads(file.getvalue().splitlines()[-1])
    assert from_line(line) == start
    assert from_line({**line, "tells_uses": True}).tells_uses  # type: ignore[union-attr]


def touches_of(path: Path) -> list[Event]:
    run = recorded_run(read_records(path))
    return [fact for fact in run.facts if isinstance(fact, ItemTouched)]


def test_what_is_told_is_what_a_replay_finds_in_a_run_that_does_not_tell(tmp_path: Path) -> None:
    paths = {}
    for name, policy in (("tells", PATIENT), ("silent", "none")):
        clock = Clock()
        paths[name] = tmp_path / f"{name}.jsonl"
        with open_run(policy=policy, journal=paths[name], clock=clock, phases=["a", "b"]) as run:
            for number, step in enumerate(script()):
                clock.now_s = float(number)
                step(run)
    in_journal = [e for e in read_journal(paths["tells"]) if isinstance(e, ItemTouched)]
    assert len(in_journal) > 6
    assert in_journal == touches_of(paths["tells"]) == touches_of(paths["silent"])
    uses = [recorded_run(read_records(path)).uses for path in paths.values()]
    assert uses[0] == uses[1]


# ---- taken up again

Step = Callable[[Run], object]


def agent(run: Run) -> Any:
    return run.phase("a").agent("x")


def turns(of: Callable[[Run], Any], count: int) -> Iterator[Step]:
    """Yield turns of a model that uses now what it read last, now what it read at first."""
    for number in range(count):
        used = f"value_{number - 1 if number % 2 else 0}"
        yield lambda run: of(run).prompt()
        yield lambda run: of(run).used(Usage(uncached_tokens=of(run).occupancy_tokens + 3))
        yield lambda run, used=used: of(run).assistant(f"{used} it is")  # type: ignore[misc]
        yield lambda run, number=number: of(run).tool_call(  # type: ignore[misc]
            "read", {"path": f"src/part_{number}.py", "for": SECRET}, call_id=f"c{number}"
        )
        yield lambda run, number=number: of(run).tool_result(  # type: ignore[misc]
            f"c{number}", f"7\tvalue_{number} = compute()\nvalue_{number - 1}\nkey {SECRET}"
        )


def script() -> list[Step]:
    """Return the steps of a run, each of which is one fact beside what it tells of uses."""
    return [
        lambda run: run.system("be brief"),
        lambda run: run.user(f"the goal: value_0, with {SECRET}"),
        lambda run: run.phase("a"),
        lambda run: run.phase("a").wave("x", "y"),
        lambda run: agent(run),
        *turns(agent, 4),
        lambda run: agent(run).deliver("value_0 and value_3 matter"),
        lambda run: agent(run).finish(),
        lambda run: run.phase("a").finish(),
        lambda run: run.phase("b"),
        *turns(lambda run: run, 6),
        lambda run: run.prompt(),
        lambda run: run.phase("b").finish(),
        lambda run: run.finish(),
    ]


def carry_on(run: Run, clock: Clock, start: int) -> None:
    for number, step in enumerate(script()[start:], start):
        clock.now_s = float(number)
        step(run)


def done_in(path: Path) -> int:
    """Return how many steps a journal holds; the first fact begins the run."""
    facts = [e for e in read_journal(path) if isinstance(e, Fact) and not isinstance(e, Answered)]
    return sum(not isinstance(one, ItemTouched) for one in facts) - 1


def test_cut_anywhere_and_taken_up_it_tells_the_same(tmp_path: Path) -> None:
    path, clock = tmp_path / "whole.jsonl", Clock()
    carry_on(open_run(journal=path, clock=clock, phases=["a", "b"]), clock, 0)
    whole = path.read_text(encoding="utf-8")
    assert done_in(path) == len(script())
    lines = whole.splitlines(keepends=True)
    behind_a_touch = [n for n, line in enumerate(lines, 1) if '"fact":"item_touched"' in line]
    assert len(behind_a_touch) > 6
    wrong = {}
    for cut in sorted({*range(3, len(lines), 2), *behind_a_touch}):
        path.write_text("".join(lines[:cut]), encoding="utf-8")
        done = done_in(path)
        clock.now_s = float(max(0, done - 1))
        run = Run.resume(path, counter=Words(), clock=clock)
        carry_on(run, clock, done)
        run.close()
        if path.read_text(encoding="utf-8") != whole:
            wrong[cut] = lines[cut - 1][:60]
    assert wrong == {}


def test_a_secret_is_not_what_tells_a_use(tmp_path: Path) -> None:
    """It is not in the journal, so a run that was taken up could not see it used."""
    path, heard = tmp_path / "run.jsonl", list[Event]()
    run = open_run(heard, journal=path)
    run.user(f"the key is {SECRET}")
    run.prompt()
    run.tool_call("login", {"with": SECRET}, call_id="c")
    run.prompt()
    run.close()
    assert told(heard) == []


HALF_A_PLAN = {
    "name": "half a plan",
    "rules": [
        {**rule("names", 0, tool="b"), "to": 60, "when": {"min_gain_tokens": 100_000}},
        rule("dedupe", 0, tool="a"),
    ],
}
"""Asks for the names of `b`, does not carry that out, then asks what `a` need not say as well."""


def test_cut_between_two_shorter_forms_the_second_still_knows_of_the_first(tmp_path: Path) -> None:
    line = "a line that both of them hold, and long enough to be a quote"
    text = "\n".join(f"{line} {number}" for number in range(9))
    path, clock = tmp_path / "whole.jsonl", Clock()
    run = open_run(journal=path, clock=clock, policy=HALF_A_PLAN)
    run.user("goal")
    for tool in ("a", "b"):
        run.tool_call(tool, {}, call_id=tool)
        run.tool_result(tool, text)
    run.prompt()
    run.user("go on")
    run.prompt()
    run.close()
    whole = path.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    shortened = [n for n, one in enumerate(lines, 1) if '"fact":"shortened"' in one]
    cuts = [n for n in shortened if '"do":"names"' in lines[n - 1]]
    assert cuts
    for cut in cuts:
        path.write_text("".join(lines[:cut]), encoding="utf-8")
        Run.resume(path, counter=Words(), clock=clock).close()
        assert len(path.read_text(encoding="utf-8").splitlines()) > cut + 2
        assert whole.startswith(path.read_text(encoding="utf-8"))


# ---- any run


def latest_holder(held: list[tuple[str, set[str]]], name: str) -> str | None:
    return next((item for item, names in reversed(held) if name in names), None)


class Oracle:
    """Finds uses the slow way: it looks at whole prompts, and at texts, again and again."""

    run: Run

    def __init__(self) -> None:
        self.texts: list[tuple[str, set[str]]] = []
        self.said: dict[str, list[str]] = {}
        self.carried: dict[str, set[str]] = {}
        self.touched: dict[str, set[str]] = {}
        self.expected: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, ItemAdded):
            self.added(event.item, event.thread)
        elif isinstance(event, ItemTouched):
            self.touched.setdefault(event.thread, set()).update(event.items)
        elif isinstance(event, CallSent):
            self.carried[event.thread] = self.standing(event.thread)
            self.said[event.thread], self.touched[event.thread] = [], set()

    def added(self, item: Item, thread: str) -> None:
        block = self.run._desk.parts.texts.block(thread, item.id, 0)
        words = words_of(item.kind, block)
        names = [name for of in (identifiers, quotes) for text in words for name in of(text)]
        self.texts.append((item.id, set(names)))
        if item.kind in (Kind.ASSISTANT, Kind.TOOL_CALL) and thread in self.said:
            self.said[thread] += words

    def standing(self, thread: str) -> set[str]:
        store = self.run._desk.parts.thread(thread).store
        return {one.id for one in store if one.form in (Form.WHOLE, Form.DEDUPED, Form.SNIP)}

    def expect(self, thread: str) -> None:
        """Note what the next call of a thread should tell."""
        in_it = self.carried.get(thread, set()) & self.standing(thread)
        held = [(item, names) for item, names in self.texts if item in in_it]
        said = self.said.get(thread, [])
        names = [name for of in (identifiers, quotes) for text in said for name in of(text)]
        used = dict.fromkeys(latest_holder(held, name) for name in names)
        left = [one for one in used if one and one not in self.touched.get(thread, ())]
        if left:
            self.expected.append((thread, tuple(left)))


NAMES = st.lists(
    st.sampled_from(["name_a", "name_b", "name_c", "name_d"]), min_size=1, max_size=3
).map(lambda names: " and ".join(["it", *names]))
LINES = st.sampled_from(["", "\n  3\ta line that is long enough to quote", "\nshort line"])
TEXTS = st.builds(lambda names, line: names + " word" * 30 + line, NAMES, LINES)
SAYS = ("user", "assistant", "thinking", "call", "result", "deliver")
DOES = ("touch", "withdraw", "undo", "restore", "agent", "leave")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(SAYS) | st.sampled_from(DOES) | st.just("prompt"),
        TEXTS,
        st.integers(0, 50),
    ),
    min_size=25,
    max_size=60,
)
BUSY = {
    "name": "busy",
    "rules": [{**rule("snip", 1), "to": 14}, rule("clear", 3), rule("drop", 5)],
}


class World:
    """Says anything to a run, in its main thread or in an agent's."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.oracle = Oracle()
        self.run = open_run(policy=BUSY, phases=["a"], listeners=[self.heard.append, self.oracle])
        self.oracle.run = self.run
        self.run.user("goal of name_a")
        self.phase = self.run.phase("a")
        self.scope: Any = self.run
        self.open_calls: list[tuple[str, str]] = []
        self.count = 0

    def step(self, what: str, text: str, number: int) -> None:
        try:
            getattr(self, what)(text, number)
        except SourceError:
            return

    def user(self, text: str, number: int) -> None:
        self.scope.user(text)

    def assistant(self, text: str, number: int) -> None:
        self.scope.assistant(text)

    def thinking(self, text: str, number: int) -> None:
        self.scope.assistant([{"type": "thinking", "thinking": text}])

    def call(self, text: str, number: int) -> None:
        self.count += 1
        self.scope.tool_call("t", {"x": text}, call_id=f"c{self.count}")
        self.open_calls.append((self.scope.thread, f"c{self.count}"))

    def result(self, text: str, number: int) -> None:
        for thread, call in self.open_calls:
            if thread == self.scope.thread:
                self.open_calls.remove((thread, call))
                self.scope.tool_result(call, text)
                return

    def prompt(self, text: str, number: int) -> None:
        self.oracle.expect(self.scope.thread)
        self.scope.prompt()

    def some_item(self, number: int) -> str:
        names: list[str] = [item.id for item in self.scope.items()]
        if not names:
            raise SourceError("nothing is there")
        return names[number % len(names)]

    def touch(self, text: str, number: int) -> None:
        self.oracle.expected.append((self.scope.thread, (self.some_item(number),)))
        self.scope.touch(self.some_item(number))

    def withdraw(self, text: str, number: int) -> None:
        name, source = self.some_item(number), self.run._desk.parts.source
        self.run._desk.do(source.withdraw((name,), self.scope.thread))

    def undo(self, text: str, number: int) -> None:
        self.scope.undo()

    def restore(self, text: str, number: int) -> None:
        self.scope.restore(self.some_item(number))

    def agent(self, text: str, number: int) -> None:
        self.scope = self.phase.agent("xy"[number % 2])

    def leave(self, text: str, number: int) -> None:
        if self.scope is not self.run:
            self.scope.finish()
        self.scope = self.run

    def deliver(self, text: str, number: int) -> None:
        if self.scope is not self.run:
            self.scope.deliver(text)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_it_finds_what_a_look_at_the_whole_prompts_finds(
    steps: list[tuple[str, str, int]],
) -> None:
    world = World()
    for what, text, number in steps:
        world.step(what, text, number)
    assert told(world.heard) == world.oracle.expected
