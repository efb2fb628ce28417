"""Pydantic AI agents within a budget.

    from ctxbudget import AsyncRun
    from ctxbudget.adapters.pydantic_ai import ContextBudget

    run = await AsyncRun.open(model="claude-sonnet-5-5", reserve_tokens=8_000, policy="moderate")
    agent = Agent("anthropic:claude-sonnet-5-5", capabilities=[ContextBudget(run)])

`result.all_messages()` keeps every message; only what is sent is shorter. A scope is one
conversation: give an agent that serves several a capability for each, by `agent.run(...,
capabilities=[...])`. A `Run` does as well as an `AsyncRun`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from pydantic_ai import RetryModelRequest, RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
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
from pydantic_ai.models import ModelRequestContext

from ctxbudget.adapters._fitting import AnyScope, Fitting, settled
from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, Piece, compact_json, text_of, text_piece
from ctxbudget.providers.overflow import overflow_of
from ctxbudget.sources.live import Usage

Request: TypeAlias = ModelRequestContext
Part: TypeAlias = Any
"""Of a request or of a response."""


class ContextBudget(AbstractCapability[Any]):
    """Sends what the policy left of the run's messages, and learns from the usage.

    A prompt that the provider refuses as too large is pruned and sent once more.
    """

    def __init__(self, scope: AnyScope) -> None:
        self._scope = scope
        self._fitting = Fitting(scope, MessageCodec())

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: Request
    ) -> Request:
        """Return the request with a shorter list; each attempt starts from the whole one."""
        messages = request_context.messages
        fitted = await self._fitting.later(messages, _head(request_context))
        return replace(request_context, messages=fitted)

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: Request, response: ModelResponse
    ) -> ModelResponse:
        """Take in what the provider reported."""
        if response.usage.has_values():
            await settled(self._scope.used(_usage(response)))
        return response

    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: Request, error: Exception
    ) -> ModelResponse:
        """Prune and ask for another attempt, once, if the prompt was too large."""
        if request_context.attempt > 1 or overflow_of(error) is None:
            raise error
        await settled(self._scope.rejected(error))
        raise RetryModelRequest


def _head(request: Request) -> Iterator[Piece]:
    parameters = request.model_request_parameters
    for tool in (*parameters.function_tools, *parameters.output_tools):
        block = {
            "name": tool.name,
            "description": tool.description or "",
            "input_schema": tool.parameters_json_schema,
        }
        yield Piece(kind=Kind.TOOLS, block=block)
    for part in parameters.instruction_parts or ():
        if part.content.strip():
            yield text_piece(Kind.SYSTEM, part.content)


def _usage(response: ModelResponse) -> Usage:
    """Return what the provider reported; cached tokens are counted among the input's."""
    usage = response.usage
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    return Usage(
        uncached_tokens=max(0, usage.input_tokens - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=usage.output_tokens,
        model=response.model_name or "",
    )


class MessageCodec:
    """Reads and writes Pydantic AI's messages, part by part; changed ones are copies."""

    def pieces(self, message: ModelMessage) -> list[Piece]:
        """Return a message part by part, without empty texts."""
        return [_piece(part) for part in _parts(message)]

    def rebuilt(self, message: ModelMessage, blocks: dict[int, Block]) -> ModelMessage:
        """Return a copy that holds only these of its parts."""
        parts = _parts(message)
        kept = [
            parts[number]
            if _piece(parts[number]).block == block
            else _changed(parts[number], block)
            for number, block in sorted(blocks.items())
        ]
        if isinstance(message, ModelRequest):
            return replace(message, parts=kept)
        return replace(message, parts=kept)

    def note(self, block: Block) -> ModelMessage:
        """Return a message of the user's side."""
        return ModelRequest(parts=[UserPromptPart(content=text_of(block))])


def _parts(message: ModelMessage) -> list[Part]:
    return [part for part in message.parts if not _is_empty(part)]


def _is_empty(part: Part) -> bool:
    is_text = isinstance(part, TextPart | SystemPromptPart | UserPromptPart)
    return is_text and isinstance(part.content, str) and not part.content.strip()


def _piece(part: Part) -> Piece:
    match part:
        case SystemPromptPart():
            return text_piece(Kind.SYSTEM, part.content)
        case UserPromptPart(content=str()):
            return text_piece(Kind.USER, str(part.content))
        case UserPromptPart():
            return Piece(kind=Kind.USER, block=_media_block(part.content))
        case TextPart():
            return text_piece(Kind.ASSISTANT, part.content)
        case ThinkingPart():
            said = {"thinking": part.content, "signature": part.signature}
            return Piece(kind=Kind.THINKING, block={"type": "thinking", **said})
        case ToolCallPart() | NativeToolCallPart():
            return _call(part)
        case ToolReturnPart() | NativeToolReturnPart():
            return _result(part)
        case _:
            kind = Kind.USER if hasattr(part, "part_kind") else Kind.ASSISTANT
            return Piece(kind=kind, block={"type": part.part_kind, "content": repr(part)})


def _call(part: ToolCallPart | NativeToolCallPart) -> Piece:
    call, name = part.tool_call_id, part.tool_name
    block = {"type": "tool_use", "id": call, "name": name, "input": part.args_as_dict()}
    return Piece(kind=Kind.TOOL_CALL, block=block, call_id=call, tool=name)


def _result(part: ToolReturnPart | NativeToolReturnPart) -> Piece:
    call = part.tool_call_id
    content = part.model_response_str()
    block = {"type": "tool_result", "tool_use_id": call, "content": content}
    return Piece(kind=Kind.TOOL_RESULT, block=block, call_id=call)


def _media_block(content: Sequence[Any]) -> Block:
    """Return texts and media as one block whose size is the sum of theirs."""
    blocks: list[dict[str, Any]] = []
    for one in content:
        match one:
            case str():
                blocks.append({"type": "text", "text": one})
            case BinaryContent():
                source = {"type": "base64", "media_type": one.media_type, "data": one.base64}
                kind = "image" if one.is_image else "document"
                blocks.append({"type": kind, "source": source})
            case ImageUrl():
                blocks.append({"type": "image", "source": {"type": "url", "url": one.url}})
            case _:
                blocks.append({"type": "text", "text": compact_json(repr(one))})
    return {"type": "tool_result", "content": blocks}


def _changed(part: Part, block: Block) -> Part:
    """Return a part that says what is left of it; the provider's own tools cannot be shortened."""
    match part:
        case NativeToolCallPart() | NativeToolReturnPart():
            return part
        case ToolCallPart():
            return replace(part, args=dict(block["input"]))
        case ToolReturnPart() | UserPromptPart() | SystemPromptPart() | TextPart():
            return replace(part, content=text_of(block))
        case _:
            return UserPromptPart(content=text_of(block))
