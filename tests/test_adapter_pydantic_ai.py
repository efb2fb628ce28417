"""Tests of the capability for Pydantic AI, in a real agent with a model that is a function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from ctxbudget import AsyncRun, BudgetExceededError, Run
from ctxbudget.adapters.pydantic_ai import ContextBudget, MessageCodec

GOAL = "GOAL: find the bug"
RULES = "You look for bugs."
LIMIT_CHARS = 6_000
HEAD_CHARS = 200
"""What the pretended provider bills for instructions and tools."""

TestModel.__test__ = False  # pytest takes the name for a test


class Chars:
    """Counts characters, exactly."""

    name = "characters"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text)


class Model:
    """Calls `look` some times, then answers; keeps what it was sent."""

    def __init__(
        self,
        rounds: int,
        *,
        limit_chars: int = 1_000_000,
        failures: int = 0,
        usage: RequestUsage | None = None,
    ) -> None:
        self.rounds, self.limit_chars, self.failures = rounds, limit_chars, failures
        self.usage = usage
        self.sent: list[list[ModelMessage]] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.sent.append(messages)
        if chars(messages) > self.limit_chars or len(self.sent) <= self.failures:
            message = f"prompt is too long: {chars(messages)} tokens > {self.limit_chars} maximum"
            raise ModelHTTPError(400, "pretender", {"error": {"message": message}})
        number = sum(isinstance(one, ModelResponse) for one in messages) + len(self.sent)
        billed = RequestUsage(input_tokens=chars(messages) + HEAD_CHARS, output_tokens=1)
        if len(self.sent) > self.rounds:
            return ModelResponse(parts=[TextPart("done")], usage=billed)
        call = ToolCallPart("look", {"number": number}, tool_call_id=f"c{len(self.sent)}")
        return ModelResponse(parts=[TextPart(f"step {number}"), call], usage=self.usage or billed)


def look(number: int) -> str:
    """Look at a place."""
    return f"result {number} " + "word " * 40


def parts(messages: Sequence[ModelMessage]) -> list[Any]:
    return [part for message in messages for part in message.parts]


def chars(messages: Sequence[ModelMessage]) -> int:
    return sum(
        len(json.dumps(part.args)) - 1 if isinstance(part, ToolCallPart) else len(str(part.content))
        for part in parts(messages)
    )


def pairs_are_whole(messages: Sequence[ModelMessage]) -> bool:
    called = [one.tool_call_id for one in parts(messages) if isinstance(one, ToolCallPart)]
    answered = [one.tool_call_id for one in parts(messages) if isinstance(one, ToolReturnPart)]
    return called == answered


def run_agent(model: Model | TestModel, budget: ContextBudget, **more: Any) -> list[ModelMessage]:
    chosen = FunctionModel(model) if isinstance(model, Model) else model
    agent = Agent(chosen, tools=[look], instructions=RULES, capabilities=[budget])
    history: list[ModelMessage] = asyncio.run(agent.run(GOAL, **more)).all_messages()
    return history


def test_one_goal_and_many_tool_rounds() -> None:
    run = Run.open(window_tokens=LIMIT_CHARS, counter=Chars())
    model = Model(40)
    history = run_agent(model, ContextBudget(run))
    assert len(history) == 1 + 2 * 40 + 1, "the run's own history is whole"
    results = [one for one in parts(history) if isinstance(one, ToolReturnPart)]
    assert all("word word" in str(one.content) for one in results)
    assert len(model.sent) == 41
    for sent in model.sent:
        assert chars(sent) + HEAD_CHARS <= LIMIT_CHARS
        assert pairs_are_whole(sent)
        assert parts(sent)[0].content == GOAL
    assert chars(model.sent[-1]) > LIMIT_CHARS / 2, "what fits stays"


def test_instructions_and_tools_take_room() -> None:
    run = Run.open(window_tokens=100_000, counter=Chars())
    model = TestModel()
    assert "result" in str(parts(run_agent(model, ContextBudget(run)))[-1].content)
    split = dict(run.breakdown())
    assert split["system"] == len(RULES) + 4
    assert split["tools"] > len("look") + len("Look at a place.")


def test_usage_is_taken_in() -> None:
    heard: list[Any] = []
    run = Run.open(window_tokens=100_000, listeners=[heard.append])
    usage = RequestUsage(input_tokens=1_000, cache_read_tokens=600, output_tokens=50)
    run_agent(Model(1, usage=usage), ContextBudget(run))
    found = next(one for one in heard if type(one).__name__ == "CallAnswered")
    assert (found.uncached_tokens, found.cache_read_tokens, found.output_tokens) == (400, 600, 50)


@pytest.mark.parametrize("is_async_run", [True, False])
def test_a_refused_prompt_is_pruned_and_sent_once_more(is_async_run: bool) -> None:
    async def ask() -> Model:
        options: Any = {"window_tokens": 100_000, "counter": Chars()}
        scope = await AsyncRun.open(**options) if is_async_run else Run.open(**options)
        model = Model(20, limit_chars=3_000)
        agent = Agent(FunctionModel(model), tools=[look], capabilities=[ContextBudget(scope)])
        await agent.run(GOAL)
        return model

    model = asyncio.run(ask())
    refused = [one for one in model.sent if chars(one) > 3_000]
    assert 0 < len(refused) < 4, "the limit was learned"


@pytest.mark.parametrize(("failures", "calls"), [(1, 2), (5, 2)])
def test_it_is_sent_only_once_more(failures: int, calls: int) -> None:
    model = Model(0, failures=failures, limit_chars=1_000)
    history = [ModelResponse(parts=[TextPart("a word " * 20)]) for _ in range(20)]
    budget = ContextBudget(Run.open(window_tokens=100_000))
    start = ModelRequest(parts=[UserPromptPart(GOAL)])
    if failures < calls:
        model.limit_chars = 5_000
        run_agent(model, budget, message_history=[start, *history])
    else:
        with pytest.raises(ModelHTTPError):
            run_agent(model, budget, message_history=[start, *history])
    assert len(model.sent) == calls


def test_other_errors_are_the_hosts() -> None:
    def broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(400, "pretender", {"error": {"message": "bad request"}})

    agent = Agent(
        FunctionModel(broken), capabilities=[ContextBudget(Run.open(window_tokens=1_000))]
    )
    with pytest.raises(ModelHTTPError, match="bad request"):
        asyncio.run(agent.run(GOAL))


def test_what_can_not_be_pruned_is_an_error() -> None:
    with pytest.raises(BudgetExceededError):
        run_agent(Model(0), ContextBudget(Run.open(window_tokens=50, counter=Chars())))


IMAGE = BinaryContent(b"\x89PNG", media_type="image/png")
MESSAGES: dict[str, tuple[ModelMessage, list[str]]] = {
    # a message, and the kinds of its pieces
    "what the user says": (ModelRequest(parts=[SystemPromptPart("be short"), UserPromptPart("hi")]), ["system", "user"]),
    "texts and an image": (ModelRequest(parts=[UserPromptPart(["look", IMAGE])]), ["user"]),
    "a result": (ModelRequest(parts=[ToolReturnPart("look", {"a": 1}, tool_call_id="c")]), ["tool_result"]),
    "nothing": (ModelResponse(parts=[TextPart(" ")]), []),
    "an answer": (
        ModelResponse(parts=[ThinkingPart("Hm", signature="s"), TextPart("So."), ToolCallPart("look", '{"a":1}', tool_call_id="c")]),
        ["thinking", "assistant", "tool_call"],
    ),
    "the provider's own tools": (
        ModelResponse(parts=[NativeToolCallPart("web_search", {"q": 1}, tool_call_id="w"), NativeToolReturnPart("web_search", "found", tool_call_id="w")]),
        ["tool_call", "tool_result"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("message", "kinds"), MESSAGES.values(), ids=MESSAGES)
def test_the_codec_reads_every_part_and_writes_it_back(
    message: ModelMessage, kinds: list[str]
) -> None:
    codec = MessageCodec()
    pieces = codec.pieces(message)
    assert [one.kind for one in pieces] == kinds
    if pieces:
        back = codec.rebuilt(message, {n: one.block for n, one in enumerate(pieces)})
        assert back == message
        assert all(one is two for one, two in zip(back.parts, message.parts, strict=True))


def test_parts_that_changed_are_copies() -> None:
    codec = MessageCodec()
    request, answer = MESSAGES["a result"][0], MESSAGES["an answer"][0]
    block = {"type": "tool_result", "tool_use_id": "c", "content": "[cleared]"}
    [changed] = codec.rebuilt(request, {0: block}).parts
    assert isinstance(changed, ToolReturnPart)
    assert (changed.content, changed.tool_call_id, changed.tool_name) == ("[cleared]", "c", "look")
    call = {**codec.pieces(answer)[2].block, "input": {"shortened": "x"}}
    left = codec.rebuilt(answer, {1: {"type": "text", "text": "S"}, 2: call}).parts
    assert isinstance(left[0], TextPart)
    assert isinstance(left[1], ToolCallPart)
    assert (left[0].content, left[1].args) == ("S", {"shortened": "x"})
    assert answer.parts[1] == TextPart("So.")
    picture = MESSAGES["texts and an image"][0]
    [text] = codec.rebuilt(picture, {0: {"type": "text", "text": "[image]"}}).parts
    assert isinstance(text, UserPromptPart)
    assert text.content == "[image]"
    native = MESSAGES["the provider's own tools"][0]
    shorter = {0: codec.pieces(native)[0].block, 1: block}
    assert codec.rebuilt(native, shorter) == native
