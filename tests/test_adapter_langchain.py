"""Tests of the middleware for LangChain, in a real agent with a model that only pretends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from ctxbudget import AdapterError, AsyncRun, BudgetExceededError, Run
from ctxbudget.adapters.langchain import ContextBudget, MessageCodec

GOAL = "GOAL: find the bug"
SYSTEM = "You look for bugs."
LIMIT_CHARS = 6_000


class Chars:
    """Counts characters, exactly."""

    name = "characters"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text)


@tool
def look(number: int) -> str:
    """Look at a place."""
    return f"result {number} " + "word " * 40


class Model(BaseChatModel):
    """Calls `look` some times, then answers; keeps what it was sent."""

    rounds: int = 0
    limit_chars: int = 1_000_000
    """A larger prompt is refused, as OpenAI does it."""
    usage: dict[str, Any] | None = None
    sent: list[list[BaseMessage]] = []  # noqa: RUF012 - a field of pydantic's

    @property
    def _llm_type(self) -> str:
        return "pretender"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Model:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.sent.append(messages)
        if chars(messages) > self.limit_chars:
            raise ValueError(
                f"This model's maximum context length is {self.limit_chars} tokens. However, your "
                f"messages resulted in {chars(messages)} tokens."
            )
        number = len(self.sent)
        call = {"name": "look", "args": {"number": number}, "id": f"c{number}"}
        message = AIMessage(
            f"step {number}", tool_calls=[call] if number <= self.rounds else [], usage_metadata=self.usage
        )  # fmt: skip
        return ChatResult(generations=[ChatGeneration(message=message)])


def chars(messages: Sequence[BaseMessage]) -> int:
    """Return what the provider would read: texts, and the names and arguments of calls."""
    called = [call for one in messages if isinstance(one, AIMessage) for call in one.tool_calls]
    return sum(len(one.text) for one in messages) + sum(
        len(call["name"]) + len(json.dumps(call["args"])) - 1 for call in called
    )


def run_agent(
    model: Model, budget: ContextBudget, messages: Sequence[Any] = ()
) -> list[AnyMessage]:
    agent = create_agent(model, tools=[look], middleware=[budget], system_prompt=SYSTEM)
    given = list(messages) or [HumanMessage(GOAL)]
    found = agent.invoke({"messages": given}, {"recursion_limit": 2_000})
    state: list[AnyMessage] = found["messages"]
    return state


def pairs_are_whole(messages: Sequence[BaseMessage]) -> bool:
    called = [one["id"] for m in messages if isinstance(m, AIMessage) for one in m.tool_calls]
    answered = [m.tool_call_id for m in messages if isinstance(m, ToolMessage)]
    return sorted(map(str, called)) == sorted(answered)


def test_one_goal_and_many_tool_rounds() -> None:
    run = Run.open(window_tokens=LIMIT_CHARS, counter=Chars())
    model = Model(rounds=200)
    state = run_agent(model, ContextBudget(run))
    assert len(state) == 1 + 2 * 200 + 1, "the state keeps every message"
    assert all("result" in one.text for one in state if isinstance(one, ToolMessage))
    assert len(model.sent) == 201
    for sent in model.sent:
        assert chars(sent) <= LIMIT_CHARS
        assert pairs_are_whole(sent)
        assert [one.text for one in sent[:2]] == [SYSTEM, GOAL]
    assert chars(model.sent[-1]) > LIMIT_CHARS / 2, "what fits stays"


def test_unchanged_messages_are_the_same_objects_and_changed_ones_keep_their_ids() -> None:
    run = Run.open(window_tokens=LIMIT_CHARS, counter=Chars())
    model = Model(rounds=60)
    state = {one.id: one for one in run_agent(model, ContextBudget(run))}
    sent = model.sent[-1][1:]
    same = [one for one in sent if state[one.id] is one]
    changed = [one for one in sent if state[one.id] is not one]
    assert same
    assert changed
    assert all(type(one) is type(state[one.id]) for one in changed)
    assert sent[-1] is state[sent[-1].id]


def test_system_and_tools_take_room() -> None:
    run = Run.open(window_tokens=LIMIT_CHARS, counter=Chars())
    run_agent(Model(), ContextBudget(run))
    split = dict(run.breakdown())
    assert split["system"] == len(SYSTEM) + 4
    assert split["tools"] > len("look") + len("Look at a place.")


def test_a_refused_prompt_is_pruned_and_sent_once_more() -> None:
    run = Run.open(window_tokens=100_000, counter=Chars())
    model = Model(rounds=20, limit_chars=3_000)
    state = run_agent(model, ContextBudget(run))
    refused = [one for one in model.sent if chars(one) > 3_000]
    assert refused
    assert len(refused) < 4, "the limit was learned"
    assert state[-1].text.startswith("step")


def test_other_errors_and_a_second_refusal_are_the_hosts() -> None:
    class Broken(Model):
        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            self.sent.append(messages)
            raise ValueError("maximum context length" if self.rounds else "no network")

    history = [HumanMessage(GOAL), *[AIMessage("a word " * 50), HumanMessage("more")] * 20]
    for rounds, calls in ((0, 1), (1, 2)):
        model = Broken(rounds=rounds)
        with pytest.raises(ValueError, match=r"network|length"):
            run_agent(model, ContextBudget(Run.open(window_tokens=100_000)), history)
        assert len(model.sent) == calls


def test_usage_is_taken_in() -> None:
    usage = {
        "input_tokens": 1_000,
        "output_tokens": 50,
        "total_tokens": 1_050,
        "input_token_details": {"cache_read": 600, "ephemeral_1h_input_tokens": 100},
    }
    heard: list[Any] = []
    run = Run.open(window_tokens=100_000, listeners=[heard.append])
    run_agent(Model(usage=usage), ContextBudget(run))
    [found] = [one for one in heard if type(one).__name__ == "CallAnswered"]
    assert (found.uncached_tokens, found.cache_read_tokens) == (300, 600)
    assert (found.cache_write_tokens, found.cache_write_1h_tokens) == (100, 100)
    assert (found.output_tokens, found.prompt_tokens) == (50, 1_000)


@pytest.mark.parametrize("is_async_run", [True, False])
def test_an_awaited_agent(is_async_run: bool) -> None:
    async def ask() -> Model:
        options: Any = {"window_tokens": 100_000, "counter": Chars()}
        scope = await AsyncRun.open(**options) if is_async_run else Run.open(**options)
        model = Model(rounds=20, limit_chars=3_000, usage={"input_tokens": 9, "output_tokens": 1, "total_tokens": 10})  # fmt: skip
        agent = create_agent(model, tools=[look], middleware=[ContextBudget(scope)])
        await agent.ainvoke({"messages": [HumanMessage(GOAL)]}, {"recursion_limit": 200})
        return model

    model = asyncio.run(ask())
    refused = [one for one in model.sent if chars(one) > 3_000]
    assert len(model.sent) == 21
    assert 0 < len(refused) < 21
    assert all(pairs_are_whole(one) and one[0].text == GOAL for one in model.sent)


def test_an_agent_that_is_not_awaited_needs_a_synchronous_run() -> None:
    run = asyncio.run(AsyncRun.open(window_tokens=1_000))
    with pytest.raises(AdapterError, match="open a Run"):
        run_agent(Model(), ContextBudget(run))


def test_what_can_not_be_pruned_is_an_error() -> None:
    with pytest.raises(BudgetExceededError):
        run_agent(Model(), ContextBudget(Run.open(window_tokens=100, counter=Chars())))


def answer(number: int, words: int = 40) -> ToolMessage:
    return ToolMessage(f"result {number} " + "word " * words, tool_call_id=f"c{number}")


def call(*numbers: int, text: str = "") -> AIMessage:
    calls = [{"name": "look", "args": {"number": n}, "id": f"c{n}"} for n in numbers]
    return AIMessage(text, tool_calls=calls)


def test_a_result_that_comes_late_stays_with_its_call() -> None:
    budget = ContextBudget(Run.open(window_tokens=2_000, counter=Chars()))
    history: list[AnyMessage] = [HumanMessage(GOAL), call(0)]
    for number in range(1, 26):
        history += [call(number), answer(number)]
    history.append(answer(0))
    model = Model()
    run_agent(model, budget, history)
    assert chars(model.sent[0]) <= 2_000
    assert pairs_are_whole(model.sent[0])
    for number in range(26, 50):
        history += [call(number), answer(number)]
        run_agent(model, budget, history)
        assert chars(model.sent[-1]) <= 2_000
        assert pairs_are_whole(model.sent[-1])


def test_a_note_does_not_part_a_call_from_its_result() -> None:
    rule = {"on": "before_call", "do": "stub", "select": {"kind": "tool_result", "min_tokens": 900}}
    policy = {"name": "fold", "rules": [{**rule, "why": "large"}]}
    budget = ContextBudget(Run.open(window_tokens=9_000, counter=Chars(), policy=policy))
    history: list[AnyMessage] = [
        HumanMessage(GOAL),
        call(1, 2, text="So."),
        answer(1, 200),
        answer(2),
    ]
    model = Model()
    run_agent(model, budget, history)
    run_agent(model, budget, [*history, call(3), answer(3)])
    sent = model.sent[-1][1:]
    assert [type(one) for one in sent] == [
        *(HumanMessage, AIMessage, ToolMessage, HumanMessage, AIMessage, ToolMessage)
    ]
    assert [one["id"] for one in sent[1].tool_calls] == ["c2"]  # type: ignore[attr-defined]
    assert sent[2].tool_call_id == "c2"  # type: ignore[attr-defined]


THINKING = {"type": "thinking", "thinking": "Hm", "signature": "s"}
BLOCKS = AIMessage(
    [
        THINKING,
        {"type": "text", "text": "So."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"number": 1}},
        {"type": "tool_use", "id": "c2", "name": "look", "input": {"number": 2}},
    ],
    tool_calls=[
        {"name": "look", "args": {"number": 1}, "id": "c1"},
        {"name": "look", "args": {"number": 2}, "id": "c2"},
    ],
    additional_kwargs={"tool_calls": [{"id": "c1"}, {"id": "c2"}]},
    id="m",
)
MESSAGES: dict[str, tuple[AnyMessage, list[str]]] = {
    # a message, and the kinds of its pieces
    "a text": (HumanMessage("hi"), ["user"]),
    "nothing": (AIMessage(""), []),
    "texts and an image": (HumanMessage(["a", {"type": "text", "text": "b"}, {"type": "image", "url": "u"}]), ["user"] * 3),
    "a system text": (SystemMessage("be short"), ["system"]),
    "a result": (answer(1), ["tool_result"]),
    "a result of blocks": (ToolMessage([{"type": "text", "text": "a"}], tool_call_id="c1"), ["tool_result"]),
    "calls alone": (call(1, 2), ["tool_call", "tool_call"]),
    "all kinds of blocks": (BLOCKS, ["thinking", "assistant", "tool_call", "tool_call"]),
    "a call that cannot be read": (
        AIMessage("x", invalid_tool_calls=[{"name": "look", "args": "{", "id": "c1", "error": "e"}]),
        ["assistant", "tool_call"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("message", "kinds"), MESSAGES.values(), ids=MESSAGES)
def test_the_codec_reads_every_block_and_writes_it_back(
    message: AnyMessage, kinds: list[str]
) -> None:
    codec = MessageCodec()
    pieces = codec.pieces(message)
    assert [one.kind for one in pieces] == kinds
    if pieces:
        back = codec.rebuilt(message, {n: one.block for n, one in enumerate(pieces)})
        assert codec.pieces(back) == pieces
        assert back.id == message.id


LEFT: list[tuple[Callable[[dict[str, Any]], Any], Any]] = [
    (lambda m: [one["type"] for one in m["content"]], ["text", "tool_use"]),
    (lambda m: [one["id"] for one in m["tool_calls"]], ["c2"]),
    (lambda m: m["additional_kwargs"]["tool_calls"], [{"id": "c2"}]),
    (lambda m: m["content"][1]["input"], {"shortened": "x"}),
    (lambda m: m["tool_calls"][0]["args"], {"shortened": "x"}),
    (lambda m: m["id"], "m"),
]


@pytest.mark.parametrize(("read", "expected"), LEFT)
def test_what_leaves_a_message_leaves_it_everywhere(
    read: Callable[[dict[str, Any]], Any], expected: Any
) -> None:
    codec = MessageCodec()
    pieces = codec.pieces(BLOCKS)
    shorter = {**pieces[3].block, "input": {"shortened": "x"}}
    back = codec.rebuilt(BLOCKS, {1: pieces[1].block, 3: shorter})
    assert read(back.model_dump()) == expected
    assert BLOCKS.content[0] == THINKING
