"""Our own check of a prompt, against what the server refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_server import MessagesServer

from ctxbudget.live.checking import problems

MODEL = "claude-opus-5-5"
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": "read", "input": {}, **more}


def result(name: str, content: Any = "found", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": content, **more}


def thinking(**more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "Hmm.", "signature": "s", **more}


def said(*turns: Any) -> list[dict[str, Any]]:
    """Return messages of turns that alternate, the user's first."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]


REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("a call without a result", said("go", [call("a")]), {}, "a at the end are not answered"),
    ("a later result", said("go", [call("a")], "wait", "ok", [result("a")]), {}, "'a' is not answered right after"),
    ("a result too late in its message", said("go", [call("a")], [text("x"), result("a")]), {}, "do not come first"),
    ("one of two results", said("go", [call("a"), call("b")], [result("a")]), {}, "'b' is not answered"),
    ("a result without a call", said([result("a")]), {}, "'a' has no call"),
    ("a result of an earlier call", said("go", [call("a")], [result("a")], "ok", [result("a")]), {}, "message 4: tool result 'a' has no call"),
    ("a result twice", said("go", [call("a")], [result("a"), result("a")]), {}, "answered twice"),
    ("an id twice", said("go", [call("a"), call("a")], [result("a")]), {}, "'a' is there twice"),
    ("an id again", said("go", [call("a")], [result("a")], [call("a")], [result("a")]), {}, "message 3: .*twice"),
    ("an empty text", said([text("")]), {}, "empty text"),
    ("a blank text", said(" \n"), {}, "empty text"),
    ("an empty text in a result", said("go", [call("a")], [result("a", [text("")])]), {}, "empty text"),
    ("an empty system text", said("go"), {"system": [text("")]}, "empty text"),
    ("a blank system text", said("go"), {"system": [text("a"), text(" ")]}, "empty text"),
    ("an empty message", said([]), {}, "message 0 is empty"),
    ("an empty message among others", said("go", "", "on"), {}, "message 1"),
    ("no message", [], {}, "no message"),
    ("the assistant first", [{"role": "assistant", "content": "Hi"}], {}, "not the user's"),
    ("the system text first", [{"role": "system", "content": "Hi"}], {}, "not the user's"),
    ("a system text after the assistant", [*said("a", "b"), {"role": "system", "content": "c"}], {}, "message 2"),
    ("an unknown role", [*said("a"), {"role": "tool", "content": "c"}], {}, "message 1.*'tool'"),
    ("a call by the user", said([call("a")], "ok", [result("a")]), {}, "message 0"),
    ("a result by the assistant", [*said("go", [call("a")]), {"role": "assistant", "content": [result("a")]}], {}, "message 2"),
    ("thinking by the user", said([thinking()]), {}, "message 0.*thinking"),
    ("a field of ours", [{"role": "user", "content": "Hi", "id": "item-1"}], {}, "message 0.*id"),
    ("five marks", said([text("x", cache_control=MARK)] * 5), {}, "5 cache marks"),
    ("five marks over all parts", said([text("x", cache_control=MARK)] * 3),
     {"system": [text("s", cache_control=MARK)], "tools": [{"name": "f", "input_schema": {}, "cache_control": MARK}]}, "5 cache marks"),
    ("a fifth mark inside a result", said([text("x", cache_control=MARK)] * 4, [call("a")], [result("a", [text("y", cache_control=MARK)])]), {}, "5 cache marks"),
    ("1h after 5m", said([text("x", cache_control=HOUR)]), {"system": [text("s", cache_control=MARK)]}, "long-lived"),
    ("1h inside a result after 5m", said([text("x", cache_control=MARK)], [call("a")], [result("a", [text("y", cache_control=HOUR)])]), {}, "long-lived"),
    ("marked thinking", said("go", [thinking(cache_control=MARK), text("a")], "x"), {}, "thinking"),
]  # fmt: skip

TAKEN: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("a text", said("go"), {}),
    ("turns", said("go", "ok", [text("on"), text("and on")]), {}),
    ("parallel calls, answered in another order", said("go", [text("x"), call("a"), call("b")], [result("b"), result("a"), text("y")]), {}),
    ("two messages of the user's", [*said("a"), *said("b")], {}),
    ("a result that says nothing", said("go", [call("a")], [result("a", "")]), {}),
    ("four marks, the long-lived first", said([text("x", cache_control=HOUR), text("x", cache_control=MARK)], "ok", [text("y", cache_control=MARK)]),
     {"system": [text("s", cache_control=HOUR)]}),
    ("a marked result", said("go", [call("a")], [result("a", cache_control=MARK)]), {}),
    ("instructions behind the user's message", [*said("a"), {"role": "system", "content": "c"}, *said("b")], {}),
    ("an image in a result", said("go", [call("a")], [result("a", [{"type": "image", "source": {"type": "url", "url": "u"}}])]), {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[MessagesServer]:
    with MessagesServer(keep_requests=1) as running:
        yield running


def refusal(server: MessagesServer, messages: Any, more: dict[str, Any]) -> str | None:
    """Return why the server refuses a prompt; None if it takes it."""
    try:
        server.client().messages.create(model=MODEL, max_tokens=9, messages=messages, **more)
    except anthropic.BadRequestError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("messages", "more", "problem"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_the_server_refuses_is_found(
    server: MessagesServer, messages: list[Any], more: dict[str, Any], problem: str
) -> None:
    assert refusal(server, messages, more) is not None
    found = list(problems(messages, **more))
    assert found
    assert any(re.search(problem, one) for one in found), found


@pytest.mark.parametrize(("messages", "more"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])  # fmt: skip
def test_what_the_server_takes_is_no_problem(
    server: MessagesServer, messages: list[Any], more: dict[str, Any]
) -> None:
    assert refusal(server, messages, more) is None
    assert list(problems(messages, **more)) == []


blocks = st.one_of(
    st.sampled_from(["a", "", " "]).map(text),
    st.sampled_from(["a", "b"]).map(call),
    st.sampled_from(["a", "b"]).map(result),
    st.sampled_from(["", "x"]).map(lambda inner: result("a", [text(inner)])),
)
turns = st.tuples(
    st.sampled_from(["user", "user", "assistant"]), st.lists(blocks, min_size=1, max_size=3)
).map(lambda turn: {"role": turn[0], "content": turn[1]})


@settings(max_examples=150, deadline=None)
@given(messages=st.lists(turns, max_size=5))
def test_a_random_prompt_without_problems_is_taken_and_any_other_refused(
    server: MessagesServer, messages: list[Any]
) -> None:
    found = list(problems(messages))
    assert (refusal(server, messages, {}) is None) == (found == []), found
