"""A local server that speaks the Messages API well enough for the real `anthropic` client.

It validates a request as the real one does, counts it, keeps a prefix cache and bills by it. What
it answers is up to the test: `script` gets each request and returns a reply or a failure.

Source: the API's public documentation (validation, caching, error shapes) and what the client of
anthropic 2.11 sends and reads.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import socket
    from types import TracebackType

    from anthropic import Anthropic, AsyncAnthropic

Body = dict[str, Any]
Block = dict[str, Any]

LOOKBACK_POSITIONS: Final = 20
"""How far before a breakpoint an earlier entry is found; a run of calls or results is one."""

MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer. A thinking block without a signature is signed; calls without an id get one."""

    content: Sequence[Block] = ({"type": "text", "text": "Done."},)
    stop_reason: str | None = None
    """Unless given: `tool_use` if a tool is called, else `end_turn`."""
    output_tokens: int | None = None
    """Unless given: the size of the content."""


@dataclass(frozen=True, kw_only=True)
class Failure(Exception):  # noqa: N818 - it is an answer too
    """An error answer in the API's shape."""

    status: int = 400
    type: str = "invalid_request_error"
    message: str = "The request is invalid."
    headers: Mapping[str, str] = field(default_factory=dict)


RATE_LIMITED: Final = Failure(
    status=429,
    type="rate_limit_error",
    message="This request would exceed the rate limit of 400,000 input tokens per minute.",
    headers={"retry-after": "0"},
)
OVERLOADED: Final = Failure(status=529, type="overloaded_error", message="Overloaded")

Script = Callable[[Body, int], "Reply | Failure | Sequence[Block] | str | None"]
"""(request, 1-based number of the valid request) to an answer; None is the default reply."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent; header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: Body


def compact(value: object) -> str:
    """Return `value` as JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def quarter(text: str) -> int:
    """Return a size in tokens: a token for every four characters, rounded up."""
    return -(-len(text) // 4)


# --- what is said ------------------------------------------------------------------------------


def blocks_of(content: object) -> list[Block]:
    """Return a message's or a result's content as blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content) if isinstance(content, list) else []


@dataclass(frozen=True, slots=True)
class Unit:
    """A block in the order in which a prompt is rendered: tools, system, messages."""

    text: str
    """Its JSON with its role, without cache markers."""
    type: str
    ttls: tuple[str, ...]
    """Of the cache markers on it or inside it."""
    block: Block


def _unit(role: str, block: Block) -> Unit:
    kind, plain = str(block.get("type")), block
    ttls: tuple[str, ...] = ()
    if (marker := block.get("cache_control")) is not None:
        ttls = (marker.get("ttl", "5m"),)
        plain = {key: value for key, value in block.items() if key != "cache_control"}
    if kind == "tool_result" and isinstance(block.get("content"), list):
        inner = [_unit("", part) for part in block["content"]]
        ttls += tuple(ttl for unit in inner for ttl in unit.ttls)
        plain = {**plain, "content": [unit.text for unit in inner]}
    return Unit(role + compact(plain), kind, ttls, block)


def units_of(body: Body) -> list[Unit]:
    """Return the blocks of a request in the order in which they are rendered."""
    units = [_unit("tool", tool) for tool in body.get("tools") or ()]
    units += [_unit("system", block) for block in blocks_of(body.get("system"))]
    for message in body["messages"]:
        units += [_unit(message["role"], block) for block in blocks_of(message["content"])]
    if (marker := body.get("cache_control")) is not None and units:
        last = units[-1]
        ttls = (*last.ttls, marker.get("ttl", "5m"))
        units[-1] = Unit(last.text, last.type, ttls, last.block)
    return units


# --- what is refused ---------------------------------------------------------------------------


def validate(body: Body, *, betas: str = "") -> None:
    """Raise `Failure` for a request that the API refuses, whatever its size."""
    for name in ("temperature", "top_p", "top_k"):
        if name in body:
            raise Failure(message=f"{name}: this parameter is not supported on this API version.")
    if "context_management" in body and "context-management-2025-06-27" not in betas:
        raise Failure(message="context_management: Extra inputs are not permitted")
    if not body.get("model"):
        raise Failure(message="model: Field required")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Failure(message="messages: at least one message is required")
    _validate_text("system", blocks_of(body.get("system")))
    for number, message in enumerate(messages):
        _validate_message(messages, number, message)
    _validate_tools(messages)


def _validate_message(messages: list[Body], number: int, message: Body) -> None:
    place, role = f"messages.{number}", message.get("role")
    if extra := sorted(set(message) - {"role", "content"}):
        raise Failure(message=f"{place}.{extra[0]}: Extra inputs are not permitted")
    if role not in ("user", "assistant", "system"):
        raise Failure(message=f"{place}.role: Input should be 'user', 'assistant' or 'system'")
    if number == 0 and role == "system":
        raise Failure(message="messages.0: use the top-level `system` parameter for a system text")
    if number == 0 and role != "user":
        raise Failure(message="messages: first message must use the user role")
    if role == "system" and messages[number - 1].get("role") != "user":
        raise Failure(message=f"{place}: a system message must follow a user message")
    blocks = blocks_of(message.get("content"))
    if not blocks and not (role == "assistant" and number == len(messages) - 1):
        raise Failure(message=f"{place}: all messages must have non-empty content")
    _validate_text(place, blocks)
    allowed_from = {"tool_use": "assistant", "thinking": "assistant", "tool_result": "user"}
    for index, block in enumerate(blocks):
        kind = str(block.get("type"))
        if allowed_from.get(kind, role) != role:
            raise Failure(message=f"{place}.content.{index}: `{kind}` is not for the {role} role")
        if kind == "thinking" and "cache_control" in block:
            raise Failure(message=f"{place}.content.{index}: thinking takes no cache_control")


def _validate_text(place: str, blocks: list[Block]) -> None:
    for block in blocks:
        if block.get("type") == "text" and not block.get("text"):
            raise Failure(message=f"{place}: text content blocks must be non-empty")
        if block.get("type") == "text" and not block["text"].strip():
            raise Failure(message=f"{place}: text content blocks must contain non-whitespace text")
        if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
            _validate_text(place, block["content"])


def _validate_tools(messages: list[Body]) -> None:
    """Every call is answered in the next message, before anything else, and nothing else is."""
    seen: set[str] = set()
    for number, (before, message) in enumerate(pairwise([{"content": ""}, *messages, {}])):
        called = _ids(before, "tool_use", "id")
        content = blocks_of(message.get("content"))
        answered = _ids(message, "tool_result", "tool_use_id")
        place = f"messages.{number}"
        if strays := [name for name in answered if name not in called]:
            raise Failure(
                message=f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{', '.join(strays)}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message."
            )
        leads = all(block.get("type") == "tool_result" for block in content[: len(answered)])
        orphans = [name for name in called if name not in answered] if leads else called
        if orphans:
            raise Failure(
                message=f"messages.{number - 1}: `tool_use` ids were found without `tool_result` "
                f"blocks immediately after: {', '.join(orphans)}. Each `tool_use` block must have "
                "a corresponding `tool_result` block in the next message."
            )
        if len(set(answered)) < len(answered):
            raise Failure(message=f"{place}: each tool_use must have a single result")
        for name in _ids(message, "tool_use", "id"):
            if name in seen:
                raise Failure(message=f"{place}: `tool_use` ids must be unique: {name}")
            seen.add(name)


def _ids(message: Body, kind: str, key: str) -> list[str]:
    found = blocks_of(message.get("content"))
    return [str(block.get(key)) for block in found if block.get("type") == kind]


def _validate_markers(units: list[Unit]) -> None:
    ttls = [ttl for unit in units for ttl in unit.ttls]
    if len(ttls) > 4:
        raise Failure(
            message=f"A maximum of 4 blocks with cache_control may be provided. Found {len(ttls)}."
        )
    if ("5m", "1h") in pairwise(ttls):
        raise Failure(
            message="cache_control: a ttl='1h' block must not come after a ttl='5m' block. Blocks "
            "are processed in the order `tools`, `system`, `messages`."
        )


# --- the server --------------------------------------------------------------------------------


class MessagesServer:
    """Serves the Messages API on a free local port for as long as the `with` block runs.

    All settings are attributes that a test may change between requests.

    Attributes:
        window_tokens: a larger prompt is refused.
        factor: what all counts are multiplied by, to be a provider that counts differently.
        cache_min_tokens: a shorter prefix is not cached.
        max_body_bytes: a larger request is refused with 413.
        bind_thinking: refuse a thinking block that is replayed behind another prefix.
        script: what to answer.
        counting_failure: what `count_tokens` answers, if it is to fail.
        requests: what was asked, the newest last; `keep_requests` of them at most (None: all).
    """

    def __init__(
        self,
        *,
        window_tokens: int = 200_000,
        count: Callable[[str], int] = quarter,
        factor: float = 1.0,
        cache_min_tokens: int = 1024,
        max_body_bytes: int = 32 * 1024 * 1024,
        bind_thinking: bool = False,
        script: Script | None = None,
        keep_requests: int | None = None,
    ) -> None:
        self.window_tokens, self.factor = window_tokens, factor
        self.cache_min_tokens, self.max_body_bytes = cache_min_tokens, max_body_bytes
        self.bind_thinking, self.script = bind_thinking, script
        self.counting_failure: Failure | None = None
        self.requests: deque[Request] = deque(maxlen=keep_requests)
        self._count = count
        self._sizes: dict[bytes, int] = {}
        self._cached: set[bytes] = set()
        self._number = 0
        self._lock = threading.Lock()
        self._http = _Listener(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._clients: list[Anthropic] = []
        self._plain_client: Anthropic | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def url(self) -> str:
        """What a client takes as `base_url`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def client(self, **options: Any) -> Anthropic:
        """Return a client of this server, closed with it; without retries unless told.

        Without options it is the same each time: to make one takes longer than many calls.
        """
        from anthropic import Anthropic

        if not options and self._plain_client is not None:
            return self._plain_client
        client = Anthropic(**{"api_key": "test", "base_url": self.url, "max_retries": 0, **options})
        self._clients.append(client)
        if not options:
            self._plain_client = client
        return client

    def async_client(self, **options: Any) -> AsyncAnthropic:
        """Return an asynchronous client of this server; use it in an `async with`."""
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(
            **{"api_key": "test", "base_url": self.url, "max_retries": 0, **options}
        )

    def clear_cache(self) -> None:
        """Forget all prefixes, as if their time to live were over."""
        with self._lock:
            self._cached.clear()

    def prompt_tokens(self, body: Body) -> int:
        """Return the size of a request as the server bills it."""
        return self._sizes_up_to(units_of(body))[-1]

    def answer(self, request: Request, body_bytes: int, betas: str) -> Body:
        """Return the JSON answer to a POST, or raise `Failure`."""
        with self._lock:
            self.requests.append(request)
            if body_bytes > self.max_body_bytes:
                raise Failure(
                    status=413,
                    type="request_too_large",
                    message="Request exceeds the maximum size",
                )
            validate(request.body, betas=betas)
            units = units_of(request.body)
            _validate_markers(units)
            _check_signatures(units, is_bound=self.bind_thinking)
            if request.path == "/v1/messages/count_tokens":
                return self._counted(request.body)
            if request.path == "/v1/messages":
                return self._message(request.body, units)
        raise Failure(status=404, type="not_found_error", message=f"no route {request.path}")

    def _size(self, unit: Unit) -> int:
        key = blake2b(unit.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._sizes:
            self._sizes[key] = self._count(unit.text)
        return self._sizes[key]

    def _sizes_up_to(self, units: list[Unit]) -> list[int]:
        """Return the billed size of each prefix; the first is of none at all."""
        sums = accumulate((self._size(unit) for unit in units), initial=0)
        return [round(self.factor * tokens) for tokens in sums]

    def _counted(self, body: Body) -> Body:
        if self.counting_failure is not None:
            raise self.counting_failure
        original_tokens = self.prompt_tokens(body)
        if body.get("context_management") is None:
            return {"input_tokens": original_tokens}
        edited = cleared(body, original_tokens)
        return {
            "input_tokens": self.prompt_tokens(edited),
            "context_management": {"original_input_tokens": original_tokens},
        }

    def _message(self, body: Body, units: list[Unit]) -> Body:
        if not isinstance(body.get("max_tokens"), int):
            raise Failure(message="max_tokens: Field required")
        prefix_tokens = self._sizes_up_to(units)
        if prefix_tokens[-1] > self.window_tokens:
            raise Failure(
                message=f"prompt is too long: {prefix_tokens[-1]} tokens > "
                f"{self.window_tokens} maximum"
            )
        self._number += 1
        reply = self.script(body, self._number) if self.script else None
        if isinstance(reply, Failure):
            raise reply
        if isinstance(reply, str):
            reply = Reply(content=[{"type": "text", "text": reply}])
        elif reply is None:
            reply = Reply()
        elif not isinstance(reply, Reply):
            reply = Reply(content=reply)
        return self._rendered(body, units, prefix_tokens, reply)

    def _rendered(
        self, body: Body, units: list[Unit], prefix_tokens: list[int], reply: Reply
    ) -> Body:
        content, added, signer = [], [], Signer(units)
        for index, block in enumerate(reply.content):
            block = dict(block)
            if block["type"] == "thinking":
                block.setdefault("signature", signer.signature(block["thinking"]))
            if block["type"] == "tool_use":
                block.setdefault("id", f"toolu_{self._number}_{index}")
            added.append(_unit("assistant", block))
            signer.read(added[-1])
            content.append(block)
        calls = any(block["type"] == "tool_use" for block in content)
        output_tokens = reply.output_tokens
        if output_tokens is None:
            output_tokens = round(self.factor * sum(map(self._size, added)))
        return {
            "id": f"msg_{self._number}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": reply.stop_reason or ("tool_use" if calls else "end_turn"),
            "stop_sequence": None,
            "usage": {
                **self._billed(body["model"], units, prefix_tokens),
                "output_tokens": output_tokens,
            },
        }

    def _billed(self, model: str, units: list[Unit], prefix_tokens: list[int]) -> Body:
        """Return the input part of the usage, and keep the marked prefixes."""
        keys, positions = _prefix_keys(model, units), _positions(units)
        marked = [
            end
            for end, unit in enumerate(units, start=1)
            if unit.ttls and prefix_tokens[end] >= self.cache_min_tokens
        ]
        read_end = max(
            (
                end
                for mark in marked
                for end in range(1, mark + 1)
                if positions[mark - 1] - positions[end - 1] < LOOKBACK_POSITIONS
                and keys[end - 1] in self._cached
            ),
            default=0,
        )
        self._cached.update(keys[end - 1] for end in marked)
        write_end = max([read_end, *marked])
        hour_end = max([read_end, *(end for end in marked if "1h" in units[end - 1].ttls)])
        read, hour, written = (prefix_tokens[end] for end in (read_end, hour_end, write_end))
        return {
            "input_tokens": prefix_tokens[-1] - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written - read,
            "cache_creation": {
                "ephemeral_1h_input_tokens": hour - read,
                "ephemeral_5m_input_tokens": written - hour,
            },
        }


def _prefix_keys(model: str, units: list[Unit]) -> list[bytes]:
    """Return a key for each prefix of a model's prompt."""
    key, keys = model.encode(), []
    for unit in units:
        text = unit.text.encode("utf-8", "surrogatepass")
        key = blake2b(text, key=key[:32], digest_size=16).digest()
        keys.append(key)
    return keys


def _positions(units: list[Unit]) -> list[int]:
    """Return each block's place for the lookback; a run of calls or of results is one place."""
    place, places = 0, [0] if units else []
    for before, unit in pairwise(units):
        place += not (before.type == unit.type and unit.type in ("tool_use", "tool_result"))
        places.append(place)
    return places


def cleared(body: Body, tokens: int) -> Body:
    """Return the request after `clear_tool_uses_20250919`, if it is asked for and triggered."""
    for edit in body["context_management"].get("edits", ()):
        trigger = edit.get("trigger", {"value": 100_000})
        if edit["type"] != "clear_tool_uses_20250919" or tokens <= trigger["value"]:
            continue
        keep = edit.get("keep", {"value": 3})["value"]
        left = sum(len(_ids(message, "tool_result", "tool_use_id")) for message in body["messages"])
        messages = []
        for message in body["messages"]:
            blocks = blocks_of(message["content"])
            for index, block in enumerate(blocks):
                if block["type"] == "tool_result":
                    if left > keep:
                        blocks[index] = {**block, "content": "[cleared]"}
                    left -= 1
            messages.append({**message, "content": blocks})
        body = {**body, "messages": messages}
    return body


class Signer:
    """Signs thinking: its text, what is said before it, and the thinking before it."""

    def __init__(self, units: Sequence[Unit] = ()) -> None:
        self._said, self._last = blake2b(digest_size=12), "none"
        for unit in units:
            self.read(unit)

    def read(self, unit: Unit) -> None:
        """Take in a block that stands before what is signed next."""
        if unit.type == "thinking":
            self._last = _short_hash(str(unit.block.get("signature")))
        else:
            self._said.update(unit.text.encode("utf-8", "surrogatepass") + b"\x1e")

    def signature(self, thinking: str) -> str:
        """Return the signature of thinking that stands here."""
        return f"{_short_hash(thinking)}.{self._said.copy().hexdigest()}.{self._last}"


def _short_hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _check_signatures(units: list[Unit], *, is_bound: bool) -> None:
    """Refuse thinking that was changed or, if bound, stands behind another prefix.

    The first thinking of a prompt may have lost the thinking before it, later thinking may not.
    """
    signer, is_first = Signer(), True
    for unit in units:
        if unit.type == "thinking":
            expected = signer.signature(unit.block["thinking"]).split(".")
            found = str(unit.block.get("signature")).split(".")
            if found[0] != expected[0]:
                raise Failure(message="Invalid `signature` in `thinking` block.")
            if is_bound and (found[:2] != expected[:2] or not (is_first or found == expected)):
                raise Failure(
                    message="Invalid signature in thinking block. The block is bound to a "
                    "different conversation: send it behind the prefix that it was made for, or "
                    "leave it out."
                )
            is_first = False
        signer.read(unit)


# --- the wire ----------------------------------------------------------------------------------


class _Listener(ThreadingHTTPServer):
    """Ends its open connections when it is closed, then waits for their threads."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, api: MessagesServer) -> None:
        self.api = api
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone, such as one that was killed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        import socket

        for connection in list(self.open):
            connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Connection(BaseHTTPRequestHandler):
    """Reads requests of one connection and writes each answer at once."""

    server: _Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Print nothing."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/v1/models":
            self._fail(Failure(status=404, type="not_found_error", message=f"no {self.path}"))
            return
        models = [
            {
                "type": "model",
                "id": model,
                "display_name": model,
                "created_at": "2026-01-01T00:00:00Z",
                "lifecycle": "active",
                "max_input_tokens": self.server.api.window_tokens,
            }
            for model in MODELS
        ]
        self._send(200, {"data": models, "has_more": False})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {key.lower(): value for key, value in self.headers.items()}
        try:
            request = Request(
                path=self.path.partition("?")[0], headers=headers, body=json.loads(raw)
            )
            betas = headers.get("anthropic-beta", "")
            message = self.server.api.answer(request, len(raw), betas)
        except Failure as failure:
            self._fail(failure)
        except Exception as error:  # a bug in a script or here must not hang the client
            self._fail(Failure(status=500, type="api_error", message=repr(error)))
        else:
            if request.body.get("stream"):
                self._write(200, "text/event-stream", events_of(message).encode())
            else:
                self._send(200, message)

    def _fail(self, failure: Failure) -> None:
        error = {"type": failure.type, "message": failure.message}
        self._send(failure.status, {"type": "error", "error": error}, failure.headers)

    def _send(self, status: int, body: Body, headers: Mapping[str, str] | None = None) -> None:
        self._write(status, "application/json", compact(body).encode(), headers)

    def _write(
        self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("request-id", "req_test")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def events_of(message: Body) -> str:
    """Return a message as server-sent events, each block in one piece."""
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Body] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [
            {"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": usage})
    events.append({"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {compact(event)}\n\n" for event in events)


def _deltas(block: Block) -> tuple[Block, list[Block]]:
    """Return a block as it starts, and what is then added to it."""
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
    if block["type"] == "tool_use":
        whole = compact(block.get("input", {}))
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": whole}]
    if block["type"] == "thinking":
        return {**block, "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    return block, []
