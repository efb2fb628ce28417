"""Tests of the middleware for Anthropic's client, through the real client and a local server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import anthropic
import pytest
from messages_server import Failure, MessagesServer, Reply, Request

from ctxbudget import AdapterError, AsyncRun, BudgetExceededError, Run, SourceError
from ctxbudget.adapters.anthropic import MOST_CONVERSATIONS, BudgetMiddleware, RefusedError

MODEL = "claude-opus-5-5"
GOAL = "GOAL: find the bug"
TOOL = {"name": "look", "input_schema": {"type": "object"}}
MARK = {"type": "ephemeral"}

Message = dict[str, Any]


def send(
    client: anthropic.Anthropic, messages: Sequence[Any], **more: Any
) -> anthropic.types.Message:
    found = client.messages.create(
        **{"model": MODEL, "max_tokens": 50, "messages": messages, "tools": [TOOL], **more}
    )
    assert isinstance(found, anthropic.types.Message)
    return found


def call(number: int) -> Message:
    return {"type": "tool_use", "id": f"c{number}", "name": "look", "input": {"n": number}}


def result(number: int, words: int = 50) -> Message:
    text = f"result {number} " + "word " * words
    return {"type": "tool_result", "tool_use_id": f"c{number}", "content": text}


def turns(rounds: int, goal: str = GOAL, words: int = 50) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": goal}]
    for number in range(1, rounds + 1):
        messages.append({"role": "assistant", "content": [call(number)]})
        messages.append({"role": "user", "content": [result(number, words)]})
    return messages


def sent(request: Request) -> list[Message]:
    found: list[Message] = request.body["messages"]
    return found


def texts(request: Request) -> str:
    return str(sent(request))


def calling(request: Mapping[str, Any], number: int) -> list[Message]:
    return [
        {"type": "thinking", "thinking": f"Hm {number} " + "so " * 10},
        {"type": "tool_use", "name": "look", "input": {"n": number}},
    ]


def work(client: anthropic.Anthropic, rounds: int) -> list[Any]:
    """Let an agent with one goal work, its own list of messages whole."""
    messages: list[Any] = [{"role": "user", "content": GOAL}]
    for number in range(rounds):
        answer = send(client, messages, system="Be short.")
        messages.append({"role": "assistant", "content": answer.content})
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": f"r {number} " + "word " * 30}
            for one in answer.content
            if one.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
    return messages


def test_one_goal_and_many_tool_rounds_are_never_refused() -> None:
    with MessagesServer(window_tokens=3_000, script=calling, bind_thinking=True) as server:
        middleware = BudgetMiddleware(window_tokens=3_000)
        messages = work(server.client(middleware=[middleware]), 300)
        assert len(messages) == 601
        assert len(server.requests) == 300, "nothing was sent twice"
        assert all(sent(one)[0]["content"] == GOAL for one in server.requests)
        sizes = [server.prompt_tokens(one.body) for one in server.requests]
        assert max(sizes) <= 3_000
        assert min(sizes[100:]) > 1_000, "what fits stays"


def test_the_callers_messages_stay_as_they_are_and_small_ones_are_sent_as_they_are() -> None:
    with MessagesServer() as server:
        messages = turns(3)
        send(server.client(middleware=[BudgetMiddleware()]), messages, system="S")
        assert sent(server.requests[0]) == messages == turns(3)


def test_a_too_long_prompt_is_pruned_and_sent_once_more() -> None:
    with MessagesServer(window_tokens=1_500) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=100_000)])
        assert send(client, turns(40)).stop_reason == "end_turn"
        first, second = server.requests
        assert sent(first) == turns(40)
        assert server.prompt_tokens(second.body) <= 1_500
        assert sent(second)[0]["content"] == GOAL
        send(client, turns(41))
        assert len(server.requests) == 3, "the limit was learned"


def test_a_too_large_body_is_pruned_and_sent_once_more() -> None:
    with MessagesServer(max_body_bytes=16_500) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=100_000)])
        send(client, turns(40))
        assert len(server.requests) == 2


def test_a_second_refusal_tells_the_numbers() -> None:
    with MessagesServer(window_tokens=1_000) as server:
        server.script = lambda request, number: Failure(
            message="prompt is too long: 1234 tokens > 1000 maximum"
        )
        client = server.client(middleware=[BudgetMiddleware(window_tokens=900)])
        with pytest.raises(RefusedError, match="1,234 tokens of 1,000") as caught:
            send(client, turns(9))
        assert (caught.value.tokens, caught.value.limit_tokens) == (1_234, 1_000)
        assert 0 < caught.value.our_tokens <= 900
        assert len(server.requests) == 2


def test_what_can_not_be_pruned_is_an_error_with_numbers() -> None:
    with MessagesServer(window_tokens=500) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=100_000)])
        with pytest.raises(BudgetExceededError) as caught:
            send(client, [{"role": "user", "content": "word " * 1_000}])
        assert caught.value.limit_tokens == 500
        assert caught.value.tokens > 500


@pytest.mark.parametrize("status", [400, 429, 500])
def test_other_errors_are_the_clients(status: int) -> None:
    with MessagesServer() as server:
        server.script = lambda request, number: Failure(status=status, message="Not now.")
        with pytest.raises(anthropic.APIStatusError) as caught:
            send(server.client(middleware=[BudgetMiddleware()]), turns(1))
        assert caught.value.status_code == status
        assert len(server.requests) == 1


def test_conversations_do_not_mix() -> None:
    with MessagesServer(window_tokens=2_000) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=2_000)])
        for rounds in range(1, 40):
            for goal in ("GOAL: one", "GOAL: two"):
                send(client, turns(rounds, goal))
                assert sent(server.requests[-1])[0]["content"] == goal
        one, two = (texts(server.requests[number]) for number in (-2, -1))
        assert "tion 1/" in one
        assert "tion 2/" not in one
        assert "tion 1/" not in two


def test_conversations_that_begin_alike_become_two() -> None:
    with MessagesServer() as server:
        heard: list[Any] = []
        client = server.client(middleware=[BudgetMiddleware(listeners=[heard.append])])
        other = [*turns(1)[:1], {"role": "assistant", "content": "Hm."}, *turns(1, "Go on")[:1]]
        for rounds in range(1, 4):
            send(client, turns(rounds))
            send(client, other)
        opened = [one.agent for one in heard if type(one).__name__ == "AgentStarted"]
        assert opened == ["conversation 1", "conversation 2"]
        assert not [one for one in heard if type(one).__name__ == "Withdrawn"]


def test_a_conversation_that_takes_its_last_messages_back_goes_on() -> None:
    with MessagesServer() as server:
        heard: list[Any] = []
        client = server.client(middleware=[BudgetMiddleware(listeners=[heard.append])])
        again = [*turns(3)[:-1], {"role": "user", "content": [result(3, 5)]}]
        for messages in (turns(3), again):
            send(client, messages)
        assert sent(server.requests[-1]) == again
        assert len([one for one in heard if type(one).__name__ == "AgentStarted"]) == 1


def test_the_conversation_that_was_silent_longest_is_closed() -> None:
    with MessagesServer(keep_requests=1) as server:
        heard: list[Any] = []
        client = server.client(middleware=[BudgetMiddleware(listeners=[heard.append])])
        for number in range(MOST_CONVERSATIONS):
            send(client, turns(0, f"goal {number}"))
        send(client, turns(1, "goal 0"))
        send(client, turns(0, "one more"))
        closed = [one.thread for one in heard if type(one).__name__ == "ThreadClosed"]
        assert closed == ["work/conversation 2"]


def test_each_model_has_a_run_of_its_own() -> None:
    with MessagesServer() as server:
        heard: list[Any] = []
        client = server.client(middleware=[BudgetMiddleware(listeners=[heard.append])])
        for model in (MODEL, "claude-haiku-5-5", MODEL):
            send(client, turns(1), model=model)
        runs = [one for one in heard if type(one).__name__ == "RunStarted"]
        assert [list(one.prices) for one in runs] == [[MODEL], ["claude-haiku-5-5"]]


def test_usage_is_learned_from() -> None:
    with MessagesServer() as server:
        server.script = lambda request, number: Reply(output_tokens=77)
        heard: list[Any] = []
        run = Run.open(model=MODEL, listeners=[heard.append])
        send(server.client(middleware=[BudgetMiddleware(run)]), turns(5))
        billed = server.prompt_tokens(server.requests[-1].body)
        assert run.occupancy_tokens == billed
        [answered] = [one for one in heard if type(one).__name__ == "CallAnswered"]
        assert (answered.output_tokens, answered.model) == (77, MODEL)


def test_cache_marks_are_those_of_the_call() -> None:
    with MessagesServer(window_tokens=2_000) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=2_000)])
        for rounds in range(1, 30):
            messages = turns(rounds)
            messages[-1]["content"][-1]["cache_control"] = MARK
            messages[-3]["content"] = (
                [{"type": "text", "text": GOAL, "cache_control": MARK}]
                if rounds == 1
                else [{**messages[-3]["content"][0], "cache_control": MARK}]
            )
            send(client, messages)
            marked = [
                (number, block["cache_control"])
                for number, message in enumerate(sent(server.requests[-1]))
                for block in message["content"]
                if isinstance(block, dict) and "cache_control" in block
            ]
            last = len(sent(server.requests[-1])) - 1
            assert marked == [(last - 2, MARK), (last, MARK)]


def test_a_note_does_not_part_a_call_from_its_result() -> None:
    """Of two calls made at once only the first is folded, so its note takes its place."""
    both = [
        {"role": "user", "content": GOAL},
        {"role": "assistant", "content": [{"type": "text", "text": "So."}, call(1), call(2)]},
        {"role": "user", "content": [result(1, 400), result(2, 5)]},
    ]
    rule = {
        "on": "before_call",
        "do": "stub",
        "select": {"kind": "tool_result", "min_tokens": 300},
        "why": "large",
    }
    policy = {"name": "fold", "rules": [rule]}
    with MessagesServer() as server:
        client = server.client(middleware=[BudgetMiddleware(policy=policy)])
        send(client, both)
        later = [*both, {"role": "assistant", "content": [call(3)]}, {"role": "user", "content": [result(3)]}]  # fmt: skip
        send(client, later)
        found = sent(server.requests[-1])
        kinds = [[block["type"] for block in message["content"]] for message in found[1:]]
        assert kinds == [
            *(["text", "tool_use"], ["tool_result"], ["text"]),
            *(["tool_use"], ["tool_result"]),
        ]
        assert found[2]["content"][0]["tool_use_id"] == "c2"


def test_calls_of_the_providers_tools_stay_with_their_results() -> None:
    messages: list[Message] = [{"role": "user", "content": GOAL}]
    for number in range(20):
        found = {
            "type": "web_search_result",
            "title": "t",
            "url": "u",
            "encrypted_content": "x" * 900,
        }
        blocks = [
            {"type": "server_tool_use", "id": f"s{number}", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": f"s{number}", "content": [found]},
            {"type": "text", "text": f"step {number}"},
        ]
        messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": "next"}]
    with MessagesServer() as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=3_000)])
        for end in range(1, 42, 2):
            send(client, messages[:end])
            left = [block for one in sent(server.requests[-1]) for block in one["content"]]
            called = [one["id"] for one in left if isinstance(one, dict) and "id" in one]
            answered = [one["tool_use_id"] for one in left if isinstance(one, dict) and "tool_use_id" in one]  # fmt: skip
            assert called == answered
        assert len(called) < 20


def test_a_system_message_keeps_behind_the_user() -> None:
    messages = turns(20)
    messages.insert(3, {"role": "system", "content": "Now be polite."})
    messages[1]["content"].insert(0, {"type": "text", "text": "I look."})
    with MessagesServer(window_tokens=1_000) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=1_000)])
        send(client, messages)
        assert server.prompt_tokens(server.requests[-1].body) <= 1_000


def test_other_requests_pass() -> None:
    with MessagesServer() as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=500)])
        client.messages.count_tokens(model=MODEL, messages=turns(30))  # type: ignore[arg-type]
        assert sent(server.requests[-1]) == turns(30)
        assert client.models.list().data


def test_a_stream_is_fitted_and_sent_again_too() -> None:
    with MessagesServer(window_tokens=1_500) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=100_000)])
        request: Any = {"model": MODEL, "max_tokens": 50, "messages": turns(40)}
        with client.messages.stream(**request) as stream:
            assert stream.get_final_message().stop_reason == "end_turn"
        assert len(server.requests) == 2


def test_raw_responses_and_the_beta_endpoint_work() -> None:
    with MessagesServer(window_tokens=2_000) as server:
        client = server.client(middleware=[BudgetMiddleware(window_tokens=2_000)])
        request: Any = {"model": MODEL, "max_tokens": 50, "messages": turns(40)}
        assert client.messages.with_raw_response.create(**request).parse().usage.input_tokens
        with client.messages.with_streaming_response.create(**request) as streamed:
            assert b"usage" in streamed.read()
        assert client.beta.messages.create(**request).usage.input_tokens <= 2_000
        assert len(server.requests) == 3


@pytest.mark.parametrize("kind", ["own", "run", "async run"])
def test_the_asynchronous_client(kind: str) -> None:
    async def ask(server: MessagesServer) -> list[int]:
        if kind == "own":
            middleware = BudgetMiddleware(window_tokens=100_000)
        elif kind == "run":
            middleware = BudgetMiddleware(Run.open(model=MODEL, window_tokens=100_000))
        else:
            run = await AsyncRun.open(model=MODEL, window_tokens=100_000)
            middleware = BudgetMiddleware(run)
        async with server.async_client(middleware=[middleware]) as client:
            sizes = []
            for rounds in (40, 41):
                request: Any = {"model": MODEL, "max_tokens": 50, "messages": turns(rounds)}
                answer = await client.messages.create(**request)
                sizes.append(answer.usage.input_tokens)
            assert (await client.messages.count_tokens(model=MODEL, messages=turns(1))).input_tokens  # type: ignore[arg-type]
            return sizes

    with MessagesServer(window_tokens=1_500) as server:
        sizes = asyncio.run(ask(server))
        assert max(sizes) <= 1_500
        assert len(server.requests) == 4, "two, of which one again, and the counting"


def test_the_asynchronous_client_tells_a_second_refusal() -> None:
    async def ask(server: MessagesServer) -> None:
        async with server.async_client(middleware=[BudgetMiddleware()]) as client:
            request: Any = {"model": MODEL, "max_tokens": 50, "messages": turns(1)}
            await client.messages.create(**request)

    with MessagesServer() as server:
        server.script = lambda request, number: Failure(message="prompt is too long")
        with pytest.raises(RefusedError, match="no numbers"):
            asyncio.run(ask(server))


def test_conversations_of_one_client_at_the_same_time() -> None:
    async def ask(server: MessagesServer) -> None:
        middleware = BudgetMiddleware(window_tokens=2_000)

        async def one(client: anthropic.AsyncAnthropic, name: str) -> None:
            for rounds in range(1, 25):
                request: Any = {"model": MODEL, "max_tokens": 50, "messages": turns(rounds, name)}
                await client.messages.create(**request)

        async with server.async_client(middleware=[middleware]) as client:
            await asyncio.gather(*(one(client, f"goal {number}") for number in range(4)))

    with MessagesServer(window_tokens=2_000) as server:
        asyncio.run(ask(server))
        assert len(server.requests) == 96


def test_a_synchronous_client_needs_a_synchronous_run() -> None:
    with MessagesServer() as server:
        run = asyncio.run(AsyncRun.open(model=MODEL))
        with pytest.raises(AdapterError, match="open a Run"):
            send(server.client(middleware=[BudgetMiddleware(run)]), turns(1))


def test_a_scope_has_its_options_already() -> None:
    with pytest.raises(AdapterError, match="window_tokens"):
        BudgetMiddleware(Run.open(model=MODEL), window_tokens=5)


def test_a_request_that_cannot_be_read_does_no_harm_to_later_ones() -> None:
    with MessagesServer() as server:
        client = server.client(middleware=[BudgetMiddleware()])
        send(client, turns(3))
        orphan = [
            *turns(3),
            {"role": "user", "content": [{"type": "text", "text": "?"}, result(9)]},
        ]
        with pytest.raises(SourceError, match="c9"):
            send(client, orphan)
        send(client, turns(4))
        assert sent(server.requests[-1]) == turns(4)
