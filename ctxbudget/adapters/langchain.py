"""LangChain agents within a budget.

    from ctxbudget import Run
    from ctxbudget.adapters.langchain import ContextBudget

    run = Run.open(model="claude-sonnet-5-5", reserve_tokens=8_000, policy="moderate")
    agent = create_agent(model, tools=[...], middleware=[ContextBudget(run)])

The agent's state keeps every message; only what is sent is shorter. A scope is one conversation:
give each thread of a checkpointer an `Agent` or a `Run` of its own. With `ainvoke` the scope may be
of an `AsyncRun`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from ctxbudget.adapters._fitting import AnyScope, Fitting, settled, synchronous
from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, Piece, text_of, text_piece
from ctxbudget.providers.overflow import overflow_of
from ctxbudget.sources.live import Usage

Request: TypeAlias = ModelRequest[Any]
Answer: TypeAlias = ModelResponse[Any]

THINKING_TYPES = frozenset({"thinking", "redacted_thinking", "reasoning"})
CALL_TYPES = frozenset({"tool_use", "tool_call", "function_call", "input_json_delta"})
"""Blocks that say again what `AIMessage.tool_calls` says."""


class ContextBudget(AgentMiddleware[Any, Any, Any]):
    """Sends what the policy left of the agent's messages, and learns from the usage.

    A prompt that the provider refuses as too large is pruned and sent once more.
    """

    def __init__(self, scope: AnyScope) -> None:
        super().__init__()
        self._scope = scope
        self._fitting = Fitting(scope, MessageCodec())

    def wrap_model_call(self, request: Request, handler: Callable[[Request], Answer]) -> Answer:
        """Call the model with a shorter list."""
        scope = synchronous(self._scope)
        head = list(_head(request))

        def call() -> Answer:
            fitted = self._fitting.now(request.messages, head)
            return handler(request.override(messages=fitted))

        try:
            answer = call()
        except Exception as error:
            if overflow_of(error) is None:
                raise
            scope.rejected(error)
            answer = call()
        if (usage := _usage(answer)) is not None:
            scope.used(usage)
        return answer

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Answer]]
    ) -> Answer:
        """Do the same where the agent is awaited."""
        head = list(_head(request))

        async def call() -> Answer:
            fitted = await self._fitting.later(request.messages, head)
            return await handler(request.override(messages=fitted))

        try:
            answer = await call()
        except Exception as error:
            if overflow_of(error) is None:
                raise
            await settled(self._scope.rejected(error))
            answer = await call()
        if (usage := _usage(answer)) is not None:
            await settled(self._scope.used(usage))
        return answer


def _head(request: Request) -> Iterator[Piece]:
    for tool in request.tools:
        yield Piece(kind=Kind.TOOLS, block=convert_to_openai_tool(tool)["function"])
    if request.system_message is not None:
        yield text_piece(Kind.SYSTEM, request.system_message.text)


def _usage(answer: Answer) -> Usage | None:
    """Return what the provider reported; LangChain counts cached tokens among the input's."""
    for message in answer.result:
        if isinstance(message, AIMessage) and message.usage_metadata is not None:
            found = message.usage_metadata
            details: Mapping[str, Any] = found.get("input_token_details") or {}
            read = details.get("cache_read") or 0
            hour = details.get("ephemeral_1h_input_tokens") or 0
            by_lifetime = hour + (details.get("ephemeral_5m_input_tokens") or 0)
            written = max(details.get("cache_creation") or 0, by_lifetime)
            return Usage(
                uncached_tokens=max(0, found["input_tokens"] - read - written),
                cache_read_tokens=read,
                cache_write_tokens=written,
                cache_write_1h_tokens=hour,
                output_tokens=found["output_tokens"],
                model=str(message.response_metadata.get("model_name") or ""),
            )
    return None


class MessageCodec:
    """Reads and writes LangChain's messages; changed ones are copies with the same id."""

    def pieces(self, message: AnyMessage) -> list[Piece]:
        """Return a message block by block; a call of a tool comes behind what was said."""
        if isinstance(message, ToolMessage):
            call = message.tool_call_id
            block = {"type": "tool_result", "tool_use_id": call, "content": message.content}
            return [Piece(kind=Kind.TOOL_RESULT, block=block, call_id=call)]
        found = [_piece(block, message) for block in _content(message)]
        if isinstance(message, AIMessage):
            found += [_call_piece(call) for call in _calls(message)]
        return found

    def rebuilt(self, message: AnyMessage, blocks: dict[int, Block]) -> AnyMessage:
        """Return a copy that holds only these of its pieces."""
        if isinstance(message, ToolMessage):
            return message.model_copy(update={"content": blocks[0].get("content")})
        content = _content(message)
        kept: list[Any] = [
            _as_it_was(content[number], block)
            for number, block in sorted(blocks.items())
            if number < len(content)
        ]
        is_text = isinstance(message.content, str)
        update: dict[str, Any] = {
            "content": "\n\n".join(text_of(one) for one in kept) if is_text else kept
        }
        if isinstance(message, AIMessage):
            update |= _kept_calls(message, blocks, len(content), update["content"])
        return message.model_copy(update=update)

    def note(self, block: Block) -> AnyMessage:
        """Return a message of the user's side."""
        return HumanMessage(content=text_of(block))


def _content(message: AnyMessage) -> list[dict[str, Any]]:
    """Return the blocks that are no calls, without empty texts."""
    content = [message.content] if isinstance(message.content, str) else message.content
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": one} if isinstance(one, str) else one for one in content
    ]
    return [
        one
        for one in blocks
        if one.get("type") not in CALL_TYPES
        and not (one.get("type") == "text" and not str(one.get("text") or "").strip())
    ]


def _piece(block: dict[str, Any], message: AnyMessage) -> Piece:
    if block.get("type") in THINKING_TYPES:
        return Piece(kind=Kind.THINKING, block=block)
    kind = Kind.USER
    if isinstance(message, AIMessage):
        kind = Kind.ASSISTANT
    elif isinstance(message, SystemMessage):
        kind = Kind.SYSTEM
    return Piece(kind=kind, block=block)


def _calls(message: AIMessage) -> list[Mapping[str, Any]]:
    return [*message.tool_calls, *message.invalid_tool_calls]


def _call_piece(call: Mapping[str, Any]) -> Piece:
    name, given = str(call["name"]), call["args"]
    block = {"type": "tool_use", "id": call["id"], "name": name, "input": given}
    return Piece(kind=Kind.TOOL_CALL, block=block, call_id=call["id"], tool=name)


def _as_it_was(original: dict[str, Any], block: Block) -> dict[str, Any]:
    return original if block == original else dict(block)


def _kept_calls(
    message: AIMessage, blocks: dict[int, Block], first: int, content: str | list[Any]
) -> dict[str, Any]:
    """Return the fields that hold calls, wherever providers' classes keep them."""
    left = {
        call["id"]: blocks[number]["input"]
        for number, call in enumerate(_calls(message), first)
        if number in blocks
    }
    found: dict[str, Any] = {
        "tool_calls": [
            {**one, "args": left[one["id"]]} for one in message.tool_calls if one["id"] in left
        ],
        "invalid_tool_calls": [one for one in message.invalid_tool_calls if one["id"] in left],
    }
    if not isinstance(content, str):
        own = [one for one in message.content if isinstance(one, dict)]
        said = [one for one in own if one.get("type") in CALL_TYPES and one.get("id") in left]
        found["content"] = [*content, *(_call_block(one, left[one["id"]]) for one in said)]
    if "tool_calls" in message.additional_kwargs:
        raw = [one for one in message.additional_kwargs["tool_calls"] if one.get("id") in left]
        found["additional_kwargs"] = {**message.additional_kwargs, "tool_calls": raw}
    return found


def _call_block(block: dict[str, Any], given: Any) -> dict[str, Any]:
    return {key: given if key in ("input", "args") else one for key, one in block.items()}
