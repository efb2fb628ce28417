"""A host that sends its whole list of messages at each call gets back what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_server import MessagesServer

from ctxbudget import Run
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Do, Kind, Operation, Plan, Trigger
from ctxbudget.live.checking import problems
from ctxbudget.live.pieces import Block, Piece, as_sent, pieces_of

MODEL = "claude-opus-5-5"
MARK = {"type": "ephemeral"}
WISHES = {"stub": Do.STUB, "drop": Do.DROP, "clear": Do.CLEAR}

Host = list[dict[str, Any]]
Fit = Callable[..., Host]


def by_the_tools_name(moment: Moment) -> Iterator[Plan]:
    """Do before a call what a tool's name says: `stub` or `drop` its turn, `clear` its result."""
    if moment.trigger is not Trigger.BEFORE_CALL:
        return
    store, done = moment.store, set[str]()
    for entry in list(store.entries()):
        item, do = entry.item, WISHES.get(entry.item.tool or "")
        if do is None or entry.is_fresh(store.calls) or item.id in done or item.version:
            continue
        names = tuple(one.item.id for one in store.leaving_with(item.id))
        if do is Do.CLEAR:
            names = (item.id,) if item.kind is Kind.TOOL_RESULT else ()
        if names:
            done.update(names)
            operation = Operation(do=do, items=names)
            yield Plan(rule=do, reason="a test", operations=(operation,), min_gain_tokens=0)


class Plain:
    """Messages as mappings, as Anthropic has them."""

    def pieces(self, message: dict[str, Any]) -> list[Piece]:
        return pieces_of(message)

    def rebuilt(self, message: dict[str, Any], blocks: dict[int, Block]) -> dict[str, Any]:
        content = [as_sent(block) for _, block in sorted(blocks.items())]
        return {**message, "content": content}

    def note(self, block: Block) -> dict[str, Any]:
        return {"role": "user", "content": [block]}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def call(name: str, tool: str = "read") -> dict[str, Any]:
    given = {"path": "a rather long path that is worth to be taken out of the prompt"}
    return {"type": "tool_use", "id": name, "name": tool, "input": given}


def result(name: str, content: Any = "found " * 40) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": content}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [text(b) if isinstance(b, str) else b for b in blocks]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {**user(*blocks), "role": "assistant"}


def system(what: str) -> Piece:
    return pieces_of({"role": "system", "content": what})[0]


@pytest.fixture
def run() -> Iterator[Run]:
    with Run.open(
        model=MODEL,
        counter="chars",
        clock=lambda: 0.0,
        policy=by_the_tools_name,
        phases=["p"],
        window_tokens=200_000,
    ) as one:
        yield one


@pytest.fixture
def fit(run: Run) -> Fit:
    return run.mirror(Plain())


def same(left: Host, right: Host) -> bool:
    """Return True if these are the very same messages."""
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def kinds(run: Run) -> list[Kind]:
    return [item.kind for item in run.items()]


# ---- what the host does


def test_what_is_new_is_added_and_the_host_gets_its_own_messages_back(run: Run, fit: Fit) -> None:
    host = [user("go")]
    assert same(fit(host), host)
    host += [assistant("I read.", call("c")), user(result("c"), "on")]
    assert same(fit(host), host)
    assert [item.id for item in run.items()] == [f"main/{number}" for number in range(1, 6)]
    assert kinds(run) == [
        Kind.USER,
        Kind.ASSISTANT,
        Kind.TOOL_CALL,
        Kind.TOOL_RESULT,
        Kind.USER,
    ]
    before = run.items()
    assert same(fit(host), host)
    assert run.items() == before


def test_the_same_list_in_new_objects_is_the_same_list(run: Run, fit: Fit) -> None:
    """Also if marks for the cache have moved; the host gets them where they are by now."""
    fit([user(text("go", cache_control=MARK)), assistant("ok"), user("on")])
    before = run.items()
    again = [user("go"), assistant("ok"), user(text("on", cache_control=MARK))]
    assert same(fit(again), again)
    assert run.items() == before


def test_a_host_that_goes_back(run: Run, fit: Fit) -> None:
    host = [user("go"), assistant("one"), user("two"), assistant("three"), user("four")]
    fit(host)
    other = [*host[:2], user("other")]
    assert same(fit(other), other)
    assert [item.id for item in run.items()] == ["main/1", "main/2", "main/6"]
    shorter = host[:1]
    assert same(fit(shorter), shorter)
    assert [item.id for item in run.items()] == ["main/1"]


def test_a_host_that_edits_an_early_message(run: Run, fit: Fit) -> None:
    host = [user("go"), assistant(call("c")), user(result("c")), assistant("three"), user("four")]
    fit(host)
    host = [host[0], assistant("I read.", call("c")), *host[2:]]
    assert same(fit(host), host)
    assert [item.id for item in run.items()] == ["main/1", *(f"main/{n}" for n in range(6, 11))]
    groups = {item.group for item in run.items() if item.group}
    assert len(groups) == 1


def test_a_host_that_edits_in_place(run: Run, fit: Fit) -> None:
    """The same object may say something else by now."""
    host = [user("go"), assistant("one"), user("two")]
    fit(host)
    host[2]["content"].append(text("and three"))
    left = fit(host)
    assert left == host
    assert len(run.items()) == 4


def test_a_host_that_compacts_by_itself(run: Run, fit: Fit) -> None:
    host = [user("go")]
    for number in range(4):
        host += [assistant(call(f"c{number}")), user(result(f"c{number}"))]
    fit(host)
    before_tokens = run.occupancy_tokens
    compacted = [user("go"), user("in short"), *host[-2:], assistant("next"), user("on")]
    assert same(fit(compacted), compacted)
    assert run.occupancy_tokens < before_tokens
    assert len(run.items()) == 6


def test_a_host_that_begins_anew(run: Run, fit: Fit) -> None:
    fit([user("go"), assistant("one"), user("two")])
    host = [user("in short"), assistant("three"), user("four")]
    assert same(fit(host), host)
    assert len(run.items()) == 3
    assert fit([]) == []


def test_what_stands_ahead_of_the_messages(run: Run, fit: Fit) -> None:
    host, tool = [user("go")], Piece(kind=Kind.TOOLS, block={"name": "read"})
    assert same(fit(host, [tool, system("Be short.")]), host)
    before = run.items()
    assert [item.kind for item in before] == [Kind.TOOLS, Kind.SYSTEM, Kind.USER]
    fit(host, [tool, system("Be short.")])
    assert run.items() == before
    fit(host, [tool, system("Be kind.")])
    after = run.items()
    assert after[0] == before[0]
    assert after[1].id != before[1].id
    assert len(after) == 3
    fit(host)
    assert kinds(run) == [Kind.USER]


# ---- what is left of it


def test_a_shorter_result_stands_in_its_message(fit: Fit) -> None:
    host = [user("go"), assistant("I read.", call("a", "clear"), call("b")), user(result("a"), result("b")), assistant("ok")]  # fmt: skip
    assert same(fit(host), host)
    host = [*host, user("on")]
    left = fit(host)
    assert len(left) == 5
    assert all(left[number] is host[number] for number in (0, 1, 3, 4))
    first, second = left[2]["content"]
    assert first["tool_use_id"] == "a"
    assert first["content"].startswith("[cleared")
    assert second == result("b")
    assert host[2]["content"][0] == result("a")


def test_a_note_takes_the_place_of_a_turn(fit: Fit) -> None:
    host = [user("go"), assistant(call("a", "stub")), user(result("a")), assistant("ok"), user("on")]  # fmt: skip
    fit(host)
    left = fit(host)
    assert left == [host[0], user("[done: stub]"), host[3], host[4]]
    assert left[0] is host[0]


def test_a_turn_that_is_dropped_leaves_nothing(fit: Fit) -> None:
    host = [user("go"), assistant(call("a", "drop")), user(result("a")), assistant("ok"), user("on")]  # fmt: skip
    fit(host)
    assert same(fit(host), [host[0], *host[3:]])


def test_a_note_does_not_part_a_call_from_its_result(fit: Fit) -> None:
    """One of two parallel calls is done with; its note stood between the other and its result."""
    host = [user("go"), assistant("I read.", call("a", "stub"), call("b")), user(result("a"), result("b")), assistant("ok"), user("on")]  # fmt: skip
    fit(host)
    left = fit(host)
    assert list(problems(left)) == []
    assert user("[done: stub]") in left
    assert assistant("I read.", call("b")) in left
    assert same(left[-2:], host[-2:])


def test_what_arrives_while_a_call_is_open_does_not_part_it_from_its_result(run: Run) -> None:
    """Such as what an agent delivers that was called as a tool, or rules for a tool."""
    run.register("rules", "Mind the gap.", activated_by="task")
    fit = run.mirror(Plain())
    host = [user("go"), assistant(call("a", "task"), call("b", "task"))]
    with run.phase("p") as phase:
        fit(host)
        with phase.agent("a") as agent:
            agent.deliver("the report")
        host = [*host, user(result("a"), result("b")), assistant("ok"), user("on")]
        left = fit(host)
    assert list(problems(left)) == []
    own = [message for message in left if any(message is one for one in host)]
    assert same(own, host)
    notes = [message for message in left if message not in host]
    assert notes == [user("Mind the gap."), user("the report")]


def test_what_was_put_back_is_the_hosts_own_again(run: Run, fit: Fit) -> None:
    host = [user("go"), assistant(call("a", "clear")), user(result("a")), assistant("ok"), user("on")]  # fmt: skip
    fit(host)
    assert not same(fit(host), host)
    cleared = next(item for item in run.items() if item.version)
    run.restore(cleared.id, pin=True)
    assert same(fit(host), host)


def test_a_host_that_goes_back_behind_a_note(run: Run, fit: Fit) -> None:
    """What the note stood for never happened, so neither does the note."""
    host = [user("go"), assistant(call("a", "stub")), user(result("a")), assistant("ok"), user("on")]  # fmt: skip
    fit(host)
    assert user("[done: stub]") in fit(host)
    back = [host[0], assistant("other"), user("then")]
    assert same(fit(back), back)


# ---- held against the server

tools = st.sampled_from(["stub", "drop", "clear", "read"])
turns = st.lists(tools, max_size=3)
steps = st.lists(
    st.tuples(turns, st.sampled_from(["on", "on", "on", "back", "edit", "compact"])),
    min_size=2,
    max_size=6,
)


@pytest.fixture(scope="module")
def server() -> Iterator[MessagesServer]:
    with MessagesServer(keep_requests=1) as running:
        yield running


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_what_is_left_is_taken(server: MessagesServer, steps: list[tuple[list[str], str]]) -> None:
    with Run.open(
        model=MODEL,
        counter="chars",
        clock=lambda: 0.0,
        policy=by_the_tools_name,
        window_tokens=200_000,
    ) as run:
        fit, host, number = run.mirror(Plain()), [user("go")], 0
        for tools_used, then in steps:
            names = [f"c{(number := number + 1)}" for _ in tools_used]
            calls = [call(name, tool) for name, tool in zip(names, tools_used, strict=True)]
            host.append(assistant(f"step {number}", *calls))
            host.append(user(*(result(name) for name in reversed(names)), "on"))
            if then == "back" and len(host) > 4:
                del host[-4:]
            elif then == "edit":
                host[0] = user(f"go {number}")
            elif then == "compact":
                host = [user("go"), user("in short"), *host[-2:]]
            left = fit(host)
            assert list(problems(left)) == []
            take(server, left)
            assert fit(host) == fit(host)


def take(server: MessagesServer, messages: Any) -> None:
    try:
        server.client().messages.create(model=MODEL, max_tokens=9, messages=messages)
    except anthropic.BadRequestError as error:
        pytest.fail(str(error))
