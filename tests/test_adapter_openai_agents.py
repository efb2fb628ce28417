"""Tests of the filter for the OpenAI Agents SDK, through its runner with a model that pretends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    RunResult,
    SQLiteSession,
    Usage,
    function_tool,
)
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response_usage import InputTokensDetails

from ctxbudget import AsyncRun, BudgetExceededError, Run
from ctxbudget.adapters.openai_agents import ContextBudget, ItemCodec

GOAL = "GOAL: find the bug"
RULES = "You look for bugs."
LIMIT_CHARS = 6_000


class Chars:
    """Counts characters, exactly."""

    name = "characters"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text)


@function_tool
def look(number: int) -> str:
    """Look at a place."""
    return f"result {number} " + "word " * 40


class Pretender(Model):
    """Thinks and calls `look` some times, then answers; keeps what it was sent."""

    def __init__(self, rounds: int, usage: Usage | None = None) -> None:
        self.rounds, self.usage = rounds, usage or Usage(requests=1)
        self.sent: list[list[Any]] = []

    async def get_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - the name that the SDK passes
        *_: Any,
        **__: Any,
    ) -> ModelResponse:
        self.sent.append(list(input))
        number = len(self.sent)
        if number > self.rounds:
            text = ResponseOutputText(text="done", type="output_text", annotations=[])
            said = ResponseOutputMessage(
                id="m", content=[text], role="assistant", status="completed", type="message"
            )
            return ModelResponse(output=[said], usage=self.usage, response_id=None)
        thought = ResponseReasoningItem(
            id=f"rs{number}", summary=[], type="reasoning", encrypted_content="x" * 100
        )
        call = ResponseFunctionToolCall(
            id=f"fc{number}",
            call_id=f"c{number}",
            name="look",
            arguments=json.dumps({"number": number}),
            type="function_call",
        )
        return ModelResponse(output=[thought, call], usage=self.usage, response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def run_agent(
    model: Model, budget: ContextBudget, session: SQLiteSession | None = None
) -> RunResult:
    agent = Agent(name="finder", instructions=RULES, model=model, tools=[look])
    config = RunConfig(call_model_input_filter=budget, tracing_disabled=True)
    return asyncio.run(
        Runner.run(agent, GOAL, max_turns=500, run_config=config, hooks=budget, session=session)
    )


def chars(items: Sequence[Any]) -> int:
    keys = ("content", "arguments", "output", "encrypted_content")
    return sum(len(str(item.get(key) or "")) for item in items for key in keys)


def pairs_are_whole(items: Sequence[Any]) -> bool:
    called = [one["call_id"] for one in items if one.get("type") == "function_call"]
    answered = [one["call_id"] for one in items if one.get("type") == "function_call_output"]
    return called == answered


def reasoning_is_whole(items: Sequence[Any]) -> bool:
    """Each thought leads to its call; a call with an id has its thought."""
    ids = [str(one.get("id") or "") for one in items]
    for number, name in enumerate(ids):
        if name.startswith("rs") and ids[number + 1] != name.replace("rs", "fc"):
            return False
        if name.startswith("fc") and ids[number - 1] != name.replace("fc", "rs"):
            return False
    return True


def test_one_goal_and_many_tool_rounds() -> None:
    run = Run.open(window_tokens=LIMIT_CHARS, counter=Chars())
    model = Pretender(100)
    result = run_agent(model, ContextBudget(run))
    assert len(result.to_input_list()) == 1 + 3 * 100 + 1, "the run keeps every item"
    assert len(model.sent) == 101
    for sent in model.sent:
        assert chars(sent) + len(RULES) <= LIMIT_CHARS
        assert pairs_are_whole(sent)
        assert reasoning_is_whole(sent)
        assert sent[0]["content"] == GOAL
    assert chars(model.sent[-1]) > LIMIT_CHARS / 3, "what fits stays"


def test_thinking_that_a_policy_drops_goes_without_harm() -> None:
    rule = {"on": "before_call", "do": "drop", "select": {"kind": "thinking", "keep_last": 2}}
    policy = {"name": "forget", "rules": [{**rule, "why": "old"}]}
    model = Pretender(12)
    run_agent(model, ContextBudget(Run.open(window_tokens=100_000, policy=policy)))
    last = model.sent[-1]
    assert len([one for one in last if one.get("type") == "reasoning"]) == 2
    assert len([one for one in last if one.get("type") == "function_call"]) == 12
    assert all(reasoning_is_whole(sent) for sent in model.sent)


def test_the_session_keeps_everything() -> None:
    session = SQLiteSession("s")
    budget = ContextBudget(Run.open(window_tokens=3_000, counter=Chars()))
    model = Pretender(30)
    run_agent(model, budget, session)
    assert chars(model.sent[-1]) <= 3_000
    items = asyncio.run(session.get_items())
    assert len(items) == 1 + 3 * 30 + 1
    session.close()


def test_instructions_and_tools_take_room_and_usage_is_taken_in() -> None:
    heard: list[Any] = []
    run = Run.open(window_tokens=100_000, counter=Chars(), listeners=[heard.append])
    details = InputTokensDetails(cached_tokens=600, cache_write_tokens=0)
    usage = Usage(requests=1, input_tokens=1_000, input_tokens_details=details, output_tokens=50)
    run_agent(Pretender(0, usage), ContextBudget(run))
    split = dict(run.breakdown())
    assert split["system"] == len(RULES) + 4
    assert split["tools"] > len("look") + len("Look at a place.")
    [found] = [one for one in heard if type(one).__name__ == "CallAnswered"]
    assert (found.uncached_tokens, found.cache_read_tokens, found.output_tokens) == (400, 600, 50)


def test_an_awaited_run() -> None:
    async def ask() -> Pretender:
        budget = ContextBudget(await AsyncRun.open(window_tokens=3_000, counter=Chars()))
        model = Pretender(30)
        agent = Agent(name="finder", instructions=RULES, model=model, tools=[look])
        config = RunConfig(call_model_input_filter=budget, tracing_disabled=True)
        await Runner.run(agent, GOAL, max_turns=50, run_config=config, hooks=budget)
        return model

    model = asyncio.run(ask())
    assert all(chars(sent) <= 3_000 and pairs_are_whole(sent) for sent in model.sent)


def test_what_can_not_be_pruned_is_an_error() -> None:
    with pytest.raises(BudgetExceededError):
        run_agent(Pretender(0), ContextBudget(Run.open(window_tokens=50, counter=Chars())))


IMAGE = {"type": "input_image", "image_url": "https://example.org/a.png"}
ITEMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    # an item, and the kinds of its pieces
    "a text": ({"role": "user", "content": "hi"}, ["user"]),
    "a text and an image": ({"role": "user", "content": [{"type": "input_text", "text": "hi"}, IMAGE]}, ["user", "user"]),
    "an answer": (
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "So.", "annotations": []}]},
        ["assistant"],
    ),
    "nothing": ({"role": "assistant", "content": ""}, []),
    "a developer's text": ({"role": "developer", "content": "be short"}, ["system"]),
    "a thought": ({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}, ["thinking"]),
    "a call": ({"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}, ["tool_call"]),
    "a call that cannot be read": ({"type": "function_call", "call_id": "c", "name": "look", "arguments": "{"}, ["tool_call"]),
    "a result": ({"type": "function_call_output", "call_id": "c", "output": "found"}, ["tool_result"]),
    "a result of parts": ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "found"}]}, ["tool_result"]),
    "a call of another tool": ({"type": "computer_call", "id": "x", "call_id": "c", "action": {}}, ["tool_call"]),
    "a picture of the screen": ({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}, ["tool_result"]),
    "a search of the provider's": ({"type": "web_search_call", "id": "w", "status": "completed"}, ["assistant"]),
}  # fmt: skip


@pytest.mark.parametrize(("item", "kinds"), ITEMS.values(), ids=ITEMS)
def test_the_codec_reads_every_item(item: Any, kinds: list[str]) -> None:
    assert [one.kind for one in ItemCodec().pieces(item)] == kinds


CHANGED: dict[str, tuple[dict[int, Any], str, Any]] = {
    # an item's new blocks, and what is then found where
    "a text": ({0: {"type": "text", "text": "h"}}, "content", "h"),
    "a text and an image": ({1: IMAGE}, "content", [IMAGE]),
    "an answer": ({0: {"type": "text", "text": "S"}}, "content", [{"type": "output_text", "text": "S", "annotations": []}]),
    "a call": ({0: {"type": "tool_use", "input": {"shortened": "x"}}}, "arguments", '{"shortened": "x"}'),
    "a result": ({0: {"type": "tool_result", "content": "[cleared]"}}, "output", "[cleared]"),
    "a result of parts": ({0: {"type": "tool_result", "content": "[cleared]"}}, "output", "[cleared]"),
    "a picture of the screen": ({0: {"type": "tool_result", "content": "[cleared]"}}, "output", {"type": "computer_screenshot"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_items_that_changed_are_copies(name: str) -> None:
    blocks, key, expected = CHANGED[name]
    item: Any = ITEMS[name][0]
    before = json.dumps(item)
    changed: Any = ItemCodec().rebuilt(item, blocks)
    assert changed[key] == expected
    assert {**changed, key: None} == {**item, key: None}
    assert json.dumps(item) == before
