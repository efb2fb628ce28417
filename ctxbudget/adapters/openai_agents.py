"""OpenAI Agents SDK runs within a budget.

    from ctxbudget import AsyncRun
    from ctxbudget.adapters.openai_agents import ContextBudget

    budget = ContextBudget(await AsyncRun.open(model="gpt-5.5", reserve_tokens=8_000))
    config = RunConfig(call_model_input_filter=budget)
    result = await Runner.run(agent, "...", run_config=config, hooks=budget)

As a filter it sends what the policy left of the input; the run's items and its session keep
everything. As hooks it learns from the usage. A scope is one conversation; a `Run` does as well as
an `AsyncRun`. The SDK has no place to send a refused prompt again: `scope.rejected(error)` prunes,
and `Runner.run` goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, cast

from agents import (
    Agent,
    FunctionTool,
    ModelResponse,
    RunContextWrapper,
    RunHooks,
    TResponseInputItem,
)
from agents.run import CallModelData, ModelInputData

from ctxbudget.adapters._fitting import AnyScope, Fitting, settled
from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import Block, Piece, text_of, text_piece
from ctxbudget.sources.live import Usage

Item: TypeAlias = TResponseInputItem

_TEXTS = frozenset({"input_text", "output_text", "text"})
_ARGUMENTS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


class ContextBudget(RunHooks[Any]):
    """A `call_model_input_filter` that fits the input, and hooks that take in the usage."""

    def __init__(self, scope: AnyScope) -> None:
        self._scope = scope
        self._fitting = Fitting(scope, ItemCodec())

    async def __call__(self, data: CallModelData[Any]) -> ModelInputData:
        """Return the input to send."""
        given = data.model_data
        head = list(_head(data.agent, given.instructions))
        fitted = await self._fitting.later(given.input, head)
        return ModelInputData(
            input=_with_their_reasoning(given.input, fitted), instructions=given.instructions
        )

    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse
    ) -> None:
        """Take in what the provider reported; cached tokens are counted among the input's."""
        usage = response.usage
        if not usage.input_tokens:
            return
        details = usage.input_tokens_details
        read = details.cached_tokens or 0
        written = getattr(details, "cache_write_tokens", 0) or 0
        found = Usage(
            uncached_tokens=max(0, usage.input_tokens - read - written),
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=usage.output_tokens,
            model=agent.model if isinstance(agent.model, str) else "",
        )
        await settled(self._scope.used(found))


def _head(agent: Agent[Any], instructions: str | None) -> Iterator[Piece]:
    for tool in agent.tools:
        if isinstance(tool, FunctionTool):
            block = {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.params_json_schema,
            }
            yield Piece(kind=Kind.TOOLS, block=block)
    if instructions and instructions.strip():
        yield text_piece(Kind.SYSTEM, instructions)


class ItemCodec:
    """Reads and writes the items of the Responses API; changed ones are copies."""

    def pieces(self, message: Item) -> list[Piece]:
        """Return an item's pieces: a message's parts, or the item as a whole."""
        item = cast("Mapping[str, Any]", message)
        kind, call = str(item.get("type") or "message"), item.get("call_id")
        if kind == "message" or "role" in item:
            return [_said(item, block) for block in _content(item)]
        if kind == "reasoning":
            return [Piece(kind=Kind.THINKING, block=item)]
        if call and kind.endswith("_call"):
            name = str(item.get("name") or kind)
            block = {"type": "tool_use", "id": call, "name": name, "input": _arguments(item)}
            return [Piece(kind=Kind.TOOL_CALL, block=block, call_id=call, tool=name)]
        if call and kind.endswith("_call_output"):
            content = _blocks(item.get("output"))
            block = {"type": "tool_result", "tool_use_id": call, "content": content}
            return [Piece(kind=Kind.TOOL_RESULT, block=block, call_id=call)]
        return [Piece(kind=Kind.ASSISTANT, block=item)]

    def rebuilt(self, message: Item, blocks: dict[int, Block]) -> Item:
        """Return a copy with only these of its pieces; what only the provider reads stays."""
        item = cast("dict[str, Any]", message)
        kind = str(item.get("type") or "message")
        found = item
        if kind == "message" or "role" in item:
            found = {**item, "content": _kept_content(item, blocks)}
        elif kind in _OUTPUTS:
            found = {**item, "output": text_of(blocks[0])}
        elif kind in _ARGUMENTS:
            given = blocks[0]["input"]
            text = json.dumps(given, ensure_ascii=False)
            found = {**item, _ARGUMENTS[kind]: text}
        return cast("Item", found)

    def note(self, block: Block) -> Item:
        """Return a message of the user's side."""
        return {"role": "user", "content": text_of(block)}


def _said(item: Mapping[str, Any], block: Block) -> Piece:
    role = item.get("role")
    kind = {"assistant": Kind.ASSISTANT, "system": Kind.SYSTEM, "developer": Kind.SYSTEM}
    return Piece(kind=kind.get(str(role), Kind.USER), block=_plain(block))


def _plain(block: Block) -> Block:
    return {"type": "text", "text": block["text"]} if block.get("type") in _TEXTS else block


def _blocks(content: Any) -> Any:
    return [_plain(one) for one in content] if isinstance(content, list) else content


def _content(item: Mapping[str, Any]) -> list[Block]:
    """Return a message's parts, without empty texts."""
    content = item.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [
        one for one in parts if one.get("type") not in _TEXTS or str(one.get("text") or "").strip()
    ]


def _kept_content(item: Mapping[str, Any], blocks: dict[int, Block]) -> str | list[Any]:
    parts = _content(item)
    if isinstance(item.get("content"), str):
        return text_of(blocks[0])
    kept: list[Any] = []
    for number, block in sorted(blocks.items()):
        part = parts[number]
        is_text = part.get("type") in _TEXTS
        as_text = {**part, "text": text_of(block)} if is_text else _input_text(block)
        kept.append(part if _plain(part) == block else as_text)
    return kept


def _input_text(block: Block) -> Block:
    return {"type": "input_text", "text": text_of(block)}


def _arguments(item: Mapping[str, Any]) -> Any:
    given = item.get("arguments", item.get("input"))
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _with_their_reasoning(given: Sequence[Item], fitted: Sequence[Item]) -> list[Item]:
    """Return a list in which reasoning and the item that it led to are both there, or neither.

    The id of an item whose reasoning is gone is left out, since the API looks for what belongs to
    it. Source: the Responses API refuses a `reasoning` item "without its required following item",
    and an item with an id "without its required 'reasoning' item".
    """
    led_to = {
        id(before): after for before, after in pairwise(given) if before.get("type") == "reasoning"
    }
    follows = {_name(after) for after in led_to.values()}
    found: list[Item] = []
    for number, item in enumerate(fitted):
        if item.get("type") == "reasoning":
            after = fitted[number + 1] if number + 1 < len(fitted) else None
            expected = led_to.get(id(item))
            if expected is None or after is None or _name(after) != _name(expected):
                continue
        elif _name(item) in follows and not (found and found[-1].get("type") == "reasoning"):
            item = cast("Item", {key: one for key, one in item.items() if key != "id"})
        found.append(item)
    return found


def _name(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells an item from others, also when it was shortened."""
    return (item.get("type"), item.get("id"), item.get("call_id"))
