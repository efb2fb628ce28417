"""Counting by the provider, through the real client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from messages_server import RATE_LIMITED, MessagesServer, Reply

from ctxbudget.core.errors import AdapterError
from ctxbudget.counting.api import ApiCounter, AsyncApiCounter, PromptCount
from ctxbudget.providers.overflow import overflow_of

MODEL = "claude-opus-5-5"
HELLO = [{"role": "user", "content": "Hello"}]
EDITING = "context-management-2025-06-27"
CLEAR = {
    "edits": [
        {
            "type": "clear_tool_uses_20250919",
            "trigger": {"type": "input_tokens", "value": 50},
            "keep": {"type": "tool_uses", "value": 0},
        }
    ]
}
READ = [
    {"role": "user", "content": "Read it."},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "r", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x" * 800}]},
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def count(server: MessagesServer, request: pytest.FixtureRequest) -> Any:
    """Return a function that measures one prompt after another with one counter."""

    def measured(*prompts: dict[str, Any], betas: tuple[str, ...] = (), **extra: Any) -> Any:
        if request.param == "sync":
            counter = ApiCounter(server.client(), MODEL, betas, **extra)
            return [counter.measure_prompt(**prompt) for prompt in prompts]

        async def ask() -> list[PromptCount]:
            async with server.async_client() as client:
                counter = AsyncApiCounter(client, MODEL, betas, **extra)
                return [await counter.measure_prompt(**prompt) for prompt in prompts]

        return asyncio.run(ask())

    return measured


def test_the_count_is_the_provider_s(server: MessagesServer, count: Any) -> None:
    server.factor = 1.37
    tool = {"name": "r", "input_schema": {"type": "object"}}
    prompt = {"messages": READ, "system": "Be short.", "tools": [tool]}
    assert count(prompt) == [PromptCount(tokens=server.prompt_tokens(prompt))]
    (asked,) = server.requests
    assert asked.path == "/v1/messages/count_tokens"
    assert asked.body == {"model": MODEL, **prompt}


def test_the_plain_number(server: MessagesServer) -> None:
    expected = server.prompt_tokens({"messages": HELLO, "system": "Be short."})
    counter = ApiCounter(server.client(), MODEL)
    assert counter.count_prompt(messages=HELLO, system="Be short.") == expected

    async def ask() -> int:
        async with server.async_client() as client:
            asynchronous = AsyncApiCounter(client, MODEL)
            return await asynchronous.count_prompt(messages=HELLO, system="Be short.")

    assert asyncio.run(ask()) == expected


def test_a_prompt_is_asked_for_once(server: MessagesServer, count: Any) -> None:
    other = {"messages": HELLO, "system": "Other."}
    counts = count({"messages": iter(HELLO)}, {"messages": HELLO}, other, {"messages": HELLO})
    assert [len(asked.body["messages"]) for asked in server.requests] == [1, 1]
    assert counts[0] == counts[1] == counts[3]
    assert counts[2].tokens > counts[0].tokens


def test_what_is_none_is_not_sent(server: MessagesServer, count: Any) -> None:
    count({"messages": HELLO, "system": None, "tools": None, "thinking": None})
    assert server.requests[0].body == {"model": MODEL, "messages": HELLO}


def test_extra_arguments_are_sent_with_every_count(server: MessagesServer, count: Any) -> None:
    count({"messages": HELLO}, {"messages": READ}, tool_choice={"type": "auto"})
    assert [asked.body["tool_choice"] for asked in server.requests] == [{"type": "auto"}] * 2


def test_the_provider_s_own_edits(server: MessagesServer, count: Any) -> None:
    prompt = {"messages": READ, "context_management": CLEAR}
    (counted,) = count(prompt, betas=(EDITING,))
    before = server.prompt_tokens({"messages": READ})
    assert counted.original_tokens == before
    assert 190 < before - counted.tokens < 200
    assert EDITING in server.requests[0].headers["anthropic-beta"]


def test_betas_alone_take_the_beta_endpoint(server: MessagesServer, count: Any) -> None:
    assert count({"messages": HELLO}, betas=(EDITING,))[0].original_tokens is None
    assert EDITING in server.requests[0].headers["anthropic-beta"]
    count({"messages": HELLO})
    assert "anthropic-beta" not in server.requests[1].headers


def test_blocks_of_an_answer_can_be_counted(server: MessagesServer, count: Any) -> None:
    server.script = lambda request, number: Reply(content=[{"type": "text", "text": "Hi."}])
    answer = server.client().messages.create(model=MODEL, max_tokens=9, messages=HELLO)  # type: ignore[arg-type]
    turns = [*HELLO, {"role": "assistant", "content": answer.content}, *HELLO]
    plain = [*HELLO, {"role": "assistant", "content": "Hi."}, *HELLO]
    counted, again = count({"messages": turns}, {"messages": turns})
    assert counted == again
    assert counted.tokens >= server.prompt_tokens({"messages": plain})
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"messages": READ[:2]}, "`tool_use` ids were found without .* needs its result in the"),
        ({"messages": [{"role": "user", "content": ""}]}, "status 400.*non-empty.* no text is"),
        ({"messages": HELLO, "nonsense": 1}, "TypeError: .*nonsense.* Check the client"),
    ],
)
def test_what_the_endpoint_refuses(count: Any, prompt: dict[str, Any], words: str) -> None:
    with pytest.raises(AdapterError, match=rf"could not count the prompt: .*{words}"):
        count(prompt)


def test_a_failed_count_is_asked_for_again(server: MessagesServer) -> None:
    counter = ApiCounter(server.client(), MODEL)
    server.counting_failure = RATE_LIMITED
    with pytest.raises(AdapterError, match=r"status 429.*Wait and try again") as caught:
        counter.count_prompt(messages=HELLO)
    assert overflow_of(caught.value) is None
    server.counting_failure = None
    assert counter.count_prompt(messages=HELLO) > 0


def test_no_network() -> None:
    with MessagesServer() as server:
        counter = ApiCounter(server.client(), MODEL)
    with pytest.raises(AdapterError, match="Check the client that was given and the network"):
        counter.count_prompt(messages=HELLO)
