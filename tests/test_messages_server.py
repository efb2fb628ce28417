"""The fake provider is held to what the real one documents, through the real client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from messages_server import (
    OVERLOADED,
    RATE_LIMITED,
    Block,
    Failure,
    MessagesServer,
    Reply,
    compact,
)

MODEL = "claude-opus-5-5"
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
HELLO = {"role": "user", "content": "Hello"}


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer(cache_min_tokens=10) as running:
        yield running


def text(value: str, **more: Any) -> Block:
    return {"type": "text", "text": value, **more}


def call(name: str) -> Block:
    return {"type": "tool_use", "id": name, "name": "read", "input": {}}


def result(name: str, content: Any = "found") -> Block:
    return {"type": "tool_result", "tool_use_id": name, "content": content}


def said(*turns: Any) -> list[Block]:
    """Return messages of turns that alternate, the user's first."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]


def create(server: MessagesServer, messages: list[Any], **more: Any) -> anthropic.types.Message:
    request = {"model": MODEL, "max_tokens": 100, "messages": messages, **more}
    answer = server.client().messages.create(**request)
    assert isinstance(answer, anthropic.types.Message)
    return answer


def told(error: anthropic.APIStatusError) -> Any:
    """Return the type and the message of an error answer."""
    assert isinstance(error.body, dict)
    return error.body["error"]


REFUSED: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("a call without a result", said("go", [call("a")]), {}, "without `tool_result`"),
    ("a later result", said("go", [call("a")], "wait", "ok", [result("a")]), {}, "found without"),
    ("a result too late in its message", said("go", [call("a")], [text("x"), result("a")]), {}, "immediately after"),
    ("one of two results", said("go", [call("a"), call("b")], [result("a")]), {}, "after: b."),
    ("a result without a call", said([result("a")]), {}, "unexpected `tool_use_id`"),
    ("a result twice", said("go", [call("a")], [result("a"), result("a")]), {}, "single result"),
    ("an id twice", said("go", [call("a"), call("a")], [result("a")]), {}, "must be unique: a"),
    ("an id again", said("go", [call("a")], [result("a")], [call("a")], [result("a")]), {}, "unique: a"),
    ("an empty text", said([text("")]), {}, "must be non-empty"),
    ("a blank text", said(" \n"), {}, "non-whitespace"),
    ("an empty text in a result", said("go", [call("a")], [result("a", [text("")])]), {}, "non-empty"),
    ("an empty system text", said("go"), {"system": [text("")]}, "system: text"),
    ("an empty message", said([]), {}, "non-empty content"),
    ("no message", [], {}, "at least one message"),
    ("the assistant first", [{"role": "assistant", "content": "Hi"}], {}, "first message"),
    ("the system text first", [{"role": "system", "content": "Hi"}], {}, "top-level `system`"),
    ("a system text after the assistant", [*said("a", "b"), {"role": "system", "content": "c"}], {}, "follow a user"),
    ("a call by the user", said([call("a")]), {}, "not for the user role"),
    ("a field of ours", [{**HELLO, "id": "item-1"}], {}, "messages.0.id: Extra inputs"),
    ("five markers", said([text("x", cache_control=MARK)] * 5), {}, "Found 5"),
    ("four and the automatic one", said([text("x", cache_control=MARK)] * 4), {"cache_control": MARK}, "Found 5"),
    ("1h after 5m", said([text("x", cache_control=HOUR)]), {"system": [text("s", cache_control=MARK)]}, "must not come after"),
    ("marked thinking", said("go", [{"type": "thinking", "thinking": "", "signature": "", "cache_control": MARK}], "x"), {}, "no cache_control"),
    ("a temperature", said("go"), {"extra_body": {"temperature": 0.5}}, "temperature"),
    ("no beta header", said("go"), {"extra_body": {"context_management": {}}}, "context_management"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "more", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_request_that_the_api_refuses(
    server: MessagesServer, messages: list[Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(server, messages, **more)
    assert told(caught.value)["type"] == "invalid_request_error"
    assert message in told(caught.value)["message"]


def test_a_request_that_the_api_takes(server: MessagesServer) -> None:
    messages = [
        *said("go", [text("I read."), call("a"), call("b")], [result("b"), result("a", [text("x", cache_control=MARK)]), text("go on")]),
        {"role": "system", "content": "Be short."},
        *said("again")[:1],
    ]  # fmt: skip
    system = [text("You code.", cache_control=HOUR)]
    answer = create(server, messages, system=system, cache_control=MARK)
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].type == "text"


def test_a_prompt_over_the_window(server: MessagesServer) -> None:
    server.window_tokens = 100
    with pytest.raises(anthropic.BadRequestError, match=r"too long: \d{3} tokens > 100 maximum"):
        create(server, said("x" * 500))
    with pytest.raises(anthropic.BadRequestError, match=r"at least one message"):
        create(server, [])


def test_a_request_over_the_size_of_a_body(server: MessagesServer) -> None:
    server.max_body_bytes = 300
    with pytest.raises(anthropic.APIStatusError) as caught:
        create(server, said("x" * 300))
    assert caught.value.status_code == 413
    assert told(caught.value)["type"] == "request_too_large"


def test_counting_is_what_is_billed_and_follows_the_factor(server: MessagesServer) -> None:
    system, messages = "Be short.", said("Hello", "Hi", "More")
    # A block is its role and its JSON; 4 characters are a token.
    blocks = [("system", "Be short."), ("user", "Hello"), ("assistant", "Hi"), ("user", "More")]
    by_hand = sum(-(-len(role + compact(text(value))) // 4) for role, value in blocks)
    client = server.client()
    for factor, expected in ((1.0, by_hand), (1.5, round(1.5 * by_hand))):
        server.factor = factor
        counted = client.messages.count_tokens(model=MODEL, messages=messages, system=system)  # type: ignore[arg-type]
        billed = create(server, messages, system=system).usage
        assert counted.input_tokens == billed.input_tokens == expected
        assert billed.cache_read_input_tokens == billed.cache_creation_input_tokens == 0


def usage_of(server: MessagesServer, messages: list[Any], **more: Any) -> tuple[int, int, int]:
    usage = create(server, messages, **more).usage
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    assert read is not None
    assert written is not None
    return usage.input_tokens, written, read


def test_the_prefix_cache_by_hand() -> None:
    """Each block is one token, so that the numbers are positions."""
    with MessagesServer(count=lambda _: 1, cache_min_tokens=2) as server:
        start = [text("a"), text("b", cache_control=MARK), text("c")]
        assert usage_of(server, said(start)) == (1, 2, 0)
        assert usage_of(server, said(start)) == (1, 0, 2)
        # A marker further on finds the entry, whatever became of the marker that made it.
        longer = [text("a"), text("b"), text("c"), text("d", cache_control=MARK)]
        assert usage_of(server, said(longer)) == (0, 2, 2)
        assert usage_of(server, said(longer), model="claude-sonnet-5-5") == (0, 4, 0)
        edited = [text("A"), *longer[1:]]
        assert usage_of(server, said(edited)) == (0, 4, 0)
        assert usage_of(server, said([text("a", cache_control=MARK)])) == (1, 0, 0), "too short"
        server.clear_cache()
        assert usage_of(server, said(start)) == (1, 2, 0)


def test_the_cache_splits_what_it_writes_by_time_to_live() -> None:
    with MessagesServer(count=lambda _: 1, cache_min_tokens=1) as server:
        system = [text("s", cache_control=HOUR)]
        usage = create(server, said("a"), system=system, cache_control=MARK).usage
        assert usage.cache_creation is not None
        assert usage.cache_creation.ephemeral_1h_input_tokens == 1
        assert usage.cache_creation.ephemeral_5m_input_tokens == 1


@pytest.mark.parametrize(("added", "read"), [(19, 1), (20, 0)])
def test_an_entry_is_found_within_twenty_positions(added: int, read: int) -> None:
    with MessagesServer(count=lambda _: 1, cache_min_tokens=1) as server:
        first = text("a")
        create(server, said([{**first, "cache_control": MARK}]))
        more = [text(str(number)) for number in range(added)]
        assert usage_of(server, said([first, *more]), cache_control=MARK)[2] == read


def test_a_run_of_results_is_one_position() -> None:
    with MessagesServer(count=lambda _: 1, cache_min_tokens=1) as server:
        names = [f"t{number}" for number in range(30)]
        create(server, said([text("a", cache_control=MARK)]))
        turns = said([text("a")], [call(name) for name in names], [result(name) for name in names])
        assert usage_of(server, turns, cache_control=MARK) == (0, 60, 1)


def test_a_script_answers(server: MessagesServer) -> None:
    numbers = []

    def script(request: Block, number: int) -> Any:
        numbers.append(number)
        return {
            1: "Hello.",
            2: [call("a")],
            3: Reply(content=[text("x")], stop_reason="max_tokens", output_tokens=7),
            4: None,
        }[number]

    server.script = script
    first, second, third, fourth = [create(server, [HELLO]) for _ in range(4)]
    assert first.content[0].model_dump()["text"] == "Hello."
    assert (second.stop_reason, second.content[0].type) == ("tool_use", "tool_use")
    assert (third.stop_reason, third.usage.output_tokens) == ("max_tokens", 7)
    assert fourth.stop_reason == "end_turn"
    assert numbers == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (RATE_LIMITED, anthropic.RateLimitError),
        (OVERLOADED, anthropic.APIStatusError),
        (Failure(status=500, type="api_error", message="bad"), anthropic.InternalServerError),
        (Failure(), anthropic.BadRequestError),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_a_scripted_failure(
    server: MessagesServer, failure: Failure, kind: type[anthropic.APIStatusError]
) -> None:
    server.script = lambda request, number: failure
    with pytest.raises(kind) as caught:
        create(server, [HELLO])
    assert caught.value.status_code == failure.status
    assert told(caught.value) == {"type": failure.type, "message": failure.message}


def test_the_client_retries_what_may_pass(server: MessagesServer) -> None:
    server.script = lambda request, number: RATE_LIMITED if number == 1 else "Well."
    answer = server.client(max_retries=1).messages.create(
        model=MODEL,
        max_tokens=9,
        messages=[HELLO],  # type: ignore[list-item]
    )
    assert answer.content[0].model_dump()["text"] == "Well."
    assert len(server.requests) == 2


def thinking_turns(server: MessagesServer) -> list[Any]:
    """Return a conversation with three signed thinking blocks."""
    server.script = lambda request, number: [
        {"type": "thinking", "thinking": f"Hm {number}"},
        text("ok"),
    ]
    messages = said("one")
    for question in ("two", "three", "four"):
        answer = create(server, messages, system="S")
        content = [block.model_dump(exclude_none=True) for block in answer.content]
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": question}]  # fmt: skip
    return messages


def without_thinking(message: Block) -> Block:
    return {**message, "content": message["content"][1:]}


def test_thinking_is_bound_to_its_prefix() -> None:
    with MessagesServer(bind_thinking=True) as server:
        turns = thinking_turns(server)
        marked = [{**turns[0], "content": [text("one", cache_control=MARK)]}, *turns[1:]]
        no_first = [turns[0], without_thinking(turns[1]), *turns[2:]]
        no_second = [*turns[:3], without_thinking(turns[3]), *turns[4:]]
        no_third = [*turns[:5], without_thinking(turns[5]), turns[6]]
        none = [*no_first[:3], *no_second[3:5], *no_third[5:]]
        for fine in (turns, marked, no_first, no_third, none, turns[:3]):
            create(server, fine, system="S")
        edited = [{**turns[0], "content": "ONE"}, *turns[1:]]
        for bound, system in ((edited, "S"), (turns, "T"), (turns[2:], "S"), (no_second, "S")):
            with pytest.raises(anthropic.BadRequestError, match="bound to a different conv"):
                create(server, bound, system=system)
        create(server, [edited[0], without_thinking(turns[1]), turns[2]], system="S")
        server.bind_thinking = False
        create(server, edited, system="T")


def test_thinking_that_was_changed_is_refused(server: MessagesServer) -> None:
    turns = thinking_turns(server)
    turns[1]["content"][0]["thinking"] = "Other"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        create(server, turns, system="S")


def test_a_stream_ends_in_the_same_message(server: MessagesServer) -> None:
    content = [
        {"type": "thinking", "thinking": "Hm"},
        text("Hello."),
        {**call("a"), "input": {"path": "x"}},
    ]
    server.script = lambda request, number: content
    whole = create(server, [HELLO])
    request: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": [HELLO]}
    with server.client().messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    assert [block.to_dict() for block in streamed.content] == [
        block.to_dict() for block in whole.content
    ]
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert streamed.stop_reason == "tool_use"


def test_the_beta_count_clears_old_results(server: MessagesServer) -> None:
    messages: list[Any] = said("go", [call("a")], [result("a", "x" * 4000)], [call("b")], [result("b", "y" * 400)])  # fmt: skip
    edit: Any = {"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 100}, "keep": {"type": "tool_uses", "value": 1}}  # fmt: skip
    counted = server.client().beta.messages.count_tokens(
        model=MODEL,
        messages=messages,
        betas=["context-management-2025-06-27"],
        context_management={"edits": [edit]},
    )
    assert counted.context_management is not None
    original = counted.context_management.original_input_tokens
    assert original == server.prompt_tokens({"messages": messages})
    assert 950 < original - counted.input_tokens < 1000


def test_models_are_listed(server: MessagesServer) -> None:
    assert MODEL in [model.id for model in server.client().models.list()]


def test_many_asynchronous_calls(server: MessagesServer) -> None:
    async def ask() -> list[int]:
        async with server.async_client() as client:
            calls = [
                client.messages.create(
                    model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "x" * number}]
                )
                for number in range(1, 21)
            ]
            return [answer.usage.input_tokens for answer in await asyncio.gather(*calls)]

    by_hand = [server.prompt_tokens({"messages": said("x" * n)}) for n in range(1, 21)]
    assert asyncio.run(ask()) == by_hand


def test_what_was_asked_is_kept_as_far_as_wanted() -> None:
    with MessagesServer(keep_requests=2) as server:
        for number in range(3):
            create(server, said(f"Hello {number}"), extra_headers={"X-Number": str(number)})
        assert [request.headers["x-number"] for request in server.requests] == ["1", "2"]
        assert server.requests[-1].path == "/v1/messages"
        assert server.requests[-1].body["messages"] == said("Hello 2")
