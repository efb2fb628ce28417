"""Clients of Anthropic's SDK within a budget, by one line.

    from anthropic import Anthropic
    from ctxbudget.adapters.anthropic import BudgetMiddleware

    client = Anthropic(middleware=[BudgetMiddleware(policy="moderate", reserve_tokens=8_000)])

Each request to `/v1/messages` is sent with what the policy left of its messages; the caller's own
list stays as it is. A prompt that is refused as too large is pruned and sent once more. Given the
scope of a run instead of options, all requests are one conversation in that run: use
`client.with_options(middleware=[BudgetMiddleware(agent)])` for each.

A middleware without a scope opens a run for each model and a thread for each conversation, which
it knows by the messages that it begins with. Cache marks stay on the blocks that stay.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, Unpack, cast

import anthropic
from anthropic import APIResponse, AsyncAPIResponse

from ctxbudget.adapters._fitting import AnyScope, Fitting, settled, synchronous
from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.journal import content_hash
from ctxbudget.live.answers import usage_of
from ctxbudget.live.opening import OpenOptions
from ctxbudget.live.pieces import THINKING, Block, Piece, pieces_of, text_of
from ctxbudget.live.run import Agent, Run
from ctxbudget.live.setup import DEFAULT_PHASE
from ctxbudget.providers.overflow import Overflow, overflow_in

Message: TypeAlias = Mapping[str, Any]
Body: TypeAlias = dict[str, Any]

MOST_CONVERSATIONS: Final = 64
"""Open at a time for each model; the one that was silent longest is closed for a new one."""

_REFUSED_STATUS: Final = frozenset({400, 413})


class RefusedError(AdapterError):
    """The provider refused a prompt as too large, also after it was pruned.

    Attributes:
        tokens: what the provider counted, or None if it did not say.
        limit_tokens: what it accepts, or None.
        our_tokens: the prompt by our count, an upper bound.
    """

    def __init__(self, found: Overflow, our_tokens: int) -> None:
        self.tokens, self.limit_tokens, self.our_tokens = (
            found.tokens,
            found.limit_tokens,
            our_tokens,
        )
        said = "the request's bytes are too many" if found.is_body_size else "no numbers"
        if found.tokens is not None:
            limit = "a limit" if found.limit_tokens is None else f"{found.limit_tokens:,}"
            said = f"{found.tokens:,} tokens of {limit}"
        super().__init__(
            f"the provider refused the prompt twice, the second time after pruning: {said}; it is "
            f"{our_tokens:,} tokens by our count. Choose a smaller window_tokens or budget, or "
            "shorten what may not be pruned: system, tools, the goal."
        )


class BudgetMiddleware(anthropic.Middleware):
    """Fits the messages of each request, for synchronous and asynchronous clients.

    Args:
        scope: the thread that all requests belong to; without, conversations are told apart.
        options: for the runs that are opened without a scope, as for `Run.open`. Streams are
            fitted and sent again like other requests, but their usage is not learned from.
    """

    def __init__(self, scope: AnyScope | None = None, **options: Unpack[OpenOptions]) -> None:
        if scope is not None and options:
            names = ", ".join(sorted(options))
            raise AdapterError(f"a scope has its options already, found {names}; give one of both")
        self._only = None if scope is None else Conversation(scope)
        self._options = options
        self._runs: dict[str, Conversations] = {}
        self._lock = threading.Lock()

    def handle(
        self, request: anthropic.APIRequest, call_next: anthropic.CallNext
    ) -> APIResponse[Any]:
        """Send a request's messages as far as they fit.

        Raises:
            RefusedError: the provider refused also the pruned prompt.
            CtxBudgetError: as `Scope.prompt`.
        """
        body = _body_of(request)
        if body is None:
            return call_next(request)
        found = self._conversation(body)
        scope = synchronous(found.scope)
        response = call_next(request.copy(body=found.fitted(body)))
        refusal = _refusal(response.status_code, _text(response))
        if refusal is not None:
            scope.rejected(refusal)
            response = call_next(request.copy(body=found.fitted(body)))
            _check(response.status_code, _text(response), scope)
        if _is_whole(response):
            usage = usage_of(response.parse(), body["model"])
            if usage is not None:
                scope.used(usage)
        return response

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> AsyncAPIResponse[Any]:
        """Do the same where the client is awaited."""
        body = _body_of(request)
        if body is None:
            return await call_next(request)
        found = self._conversation(body)
        response = await call_next(request.copy(body=await found.fitted_later(body)))
        refusal = _refusal(response.status_code, await _text_later(response))
        if refusal is not None:
            await settled(found.scope.rejected(refusal))
            response = await call_next(request.copy(body=await found.fitted_later(body)))
            _check(response.status_code, await _text_later(response), found.scope)
        if _is_whole(response):
            usage = usage_of(await response.parse(), body["model"])
            if usage is not None:
                await settled(found.scope.used(usage))
        return response

    def _conversation(self, body: Body) -> Conversation:
        if self._only is not None:
            return self._only
        with self._lock:
            model = str(body["model"])
            if model not in self._runs:
                options: OpenOptions = {**self._options, "model": model}
                self._runs[model] = Conversations(Run.open(**options))
            return self._runs[model].of(body["messages"])


# ---- conversations


@dataclass(slots=True, eq=False)
class Conversation:
    """One conversation, and the thread that it is.

    Attributes:
        scope: the thread.
        messages: those of its latest request.
    """

    scope: AnyScope
    messages: Sequence[Message] = ()
    fitting: Fitting[Message] = field(init=False)

    def __post_init__(self) -> None:
        self.fitting = Fitting(self.scope, MessageCodec())

    def fitted(self, body: Body) -> Body:
        """Return a request's body with what is left of its messages."""
        messages = self.fitting.now(body["messages"], _head(body), body["model"])
        self.messages = body["messages"]
        return {**body, "messages": list(_well_placed(messages))}

    async def fitted_later(self, body: Body) -> Body:
        """Return the same, whichever kind of scope it is."""
        messages = await self.fitting.later(body["messages"], _head(body), body["model"])
        self.messages = body["messages"]
        return {**body, "messages": list(_well_placed(messages))}

    def common(self, messages: Sequence[Message]) -> int:
        """Return how many messages at the front are those of the latest request."""
        count = 0
        for ours, theirs in zip(self.messages, messages, strict=False):
            if ours != theirs and _key(ours) != _key(theirs):
                break
            count += 1
        return count


class Conversations:
    """The conversations of one model, each an agent of one run; the latest used is the last."""

    def __init__(self, run: Run) -> None:
        self._phase = run.phase(DEFAULT_PHASE)
        self._open: list[Conversation] = []
        self._count = 0

    def of(self, messages: Sequence[Message]) -> Conversation:
        """Return the conversation that these messages go on with, or a new one.

        It is the one with the longest common prefix. More than half of what it held must be in
        it: conversations that only begin alike stay apart, and one that takes back its last
        messages is still itself.
        """
        found = max(self._open, key=lambda one: one.common(messages), default=None)
        if found is None or 2 * found.common(messages) <= len(found.messages):
            found = self._new()
        else:
            self._open.remove(found)
        found.messages = ()  # until they are fitted: one that failed half-way is not gone on with
        self._open.append(found)
        return found

    def _new(self) -> Conversation:
        if len(self._open) >= MOST_CONVERSATIONS:
            cast("Agent", self._open.pop(0).scope).finish()
        self._count += 1
        return Conversation(self._phase.agent(f"conversation {self._count}"))


def _key(message: Message) -> str:
    blocks = [dict(piece.block) for piece in pieces_of(message)]
    return content_hash([message["role"], *blocks])


# ---- requests and answers


def _body_of(request: anthropic.APIRequest) -> Body | None:
    """Return the body of a request for a message, or None if it asks for another thing."""
    is_message = (
        request.method.lower() == "post" and request.url.partition("?")[0] == "/v1/messages"
    )
    body = request.json
    if not is_message or not isinstance(body, dict):
        return None
    return body if body.get("messages") and body.get("model") else None


def _head(body: Body) -> Iterator[Piece]:
    for tool in body.get("tools") or ():
        block = {key: one for key, one in tool.items() if key != "cache_control"}
        yield Piece(kind=Kind.TOOLS, block=block)
    if body.get("system"):
        yield from pieces_of({"role": "system", "content": body["system"]})


def _text(response: APIResponse[Any]) -> str:
    return response.text() if response.status_code in _REFUSED_STATUS else ""


async def _text_later(response: AsyncAPIResponse[Any]) -> str:
    return await response.text() if response.status_code in _REFUSED_STATUS else ""


def _refusal(status: int, text: str) -> Overflow | None:
    """Return what a response says of a too large prompt, or None if it says another thing."""
    if status == 413:
        return Overflow(None, None, is_body_size=True)
    return overflow_in(text.replace(r"\u003e", ">")) if status == 400 else None


def _check(status: int, text: str, scope: AnyScope) -> None:
    refusal = _refusal(status, text)
    if refusal is not None:
        raise RefusedError(refusal, scope.occupancy_tokens)


def _is_whole(response: APIResponse[Any] | AsyncAPIResponse[Any]) -> bool:
    """Return whether the response is a message that was read already, not a stream."""
    return response.status_code == 200 and response.is_closed


def _well_placed(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield messages; a system text that no longer follows the user is said by the user.

    Source: the Messages API takes a message of the system's only behind one of the user's.
    """
    before = ""
    for message in messages:
        role = message["role"]
        if role == "system" and before not in ("user", "system"):
            message, role = {**message, "role": "user"}, "user"
        before = role
        yield message


# ---- messages


class MessageCodec:
    """Reads and writes messages of the Messages API."""

    def pieces(self, message: Message) -> list[Piece]:
        """Return a message block by block, without empty texts and cache marks."""
        return [piece for _, piece in _blocks(message)]

    def rebuilt(self, message: Message, blocks: dict[int, Block]) -> Message:
        """Return a copy with only these of its blocks; cache marks stay on them."""
        known = _blocks(message)
        kept = [_as_left(*known[number], block) for number, block in sorted(blocks.items())]
        return {**message, "content": kept}

    def note(self, block: Block) -> Message:
        """Return a message of the user's side."""
        return {"role": "user", "content": [{"type": "text", "text": text_of(block)}]}


def _blocks(message: Message) -> list[tuple[Any, Piece]]:
    """Return each block of a message as it was given, and as a piece."""
    content = message.get("content")
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    found = []
    for block in given:
        pieces = pieces_of({"role": message.get("role"), "content": [block]})
        found += [(block, _of_server(piece)) for piece in pieces]
    return found


def _of_server(piece: Piece) -> Piece:
    """Return a call of a provider's own tool, or its result, as such, so that they stay together."""
    kind = str(piece.block.get("type"))
    if kind in ("server_tool_use", "mcp_tool_use"):
        call, tool = piece.block.get("id"), piece.block.get("name")
        return Piece(kind=Kind.TOOL_CALL, block=piece.block, call_id=call, tool=tool)
    if kind != "tool_result" and kind.endswith("_tool_result"):
        call = piece.block.get("tool_use_id")
        return Piece(kind=Kind.TOOL_RESULT, block=piece.block, call_id=call)
    return piece


def _as_left(given: Any, piece: Piece, block: Block) -> Any:
    """Return a block as it is now. What a provider's own tool said cannot be written by us."""
    is_servers = piece.kind in (Kind.TOOL_CALL, Kind.TOOL_RESULT) and piece.block.get(
        "type"
    ) not in ("tool_use", "tool_result")
    if block == piece.block or is_servers:
        return given
    mark = given.get("cache_control") if isinstance(given, Mapping) else None
    if mark is None or block.get("type") in THINKING:
        return dict(block)
    return {**block, "cache_control": mark}
