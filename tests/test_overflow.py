"""Refusals of a too large prompt, as providers word them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages_server import OVERLOADED, RATE_LIMITED, Failure, MessagesServer

from ctxbudget.core.errors import AdapterError
from ctxbudget.providers.overflow import Overflow, overflow_in, overflow_of

TOO_LONG = "prompt is too long: 233153 tokens > 200000 maximum"

TABLE: list[tuple[str, int | None, int | None]] = [
    (TOO_LONG, 233153, 200000),
    ("Error code: 400 - {'error': {'message': 'prompt is too long: 1,233,153 tokens > 1,000,000 maximum'}}", 1233153, 1000000),
    ("Prompt is too long", None, None),
    ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease one of them", 190000, 180000),
    ("This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens. Please reduce the length.", 130000, 128000),
    ("This model's maximum context length is 8192 tokens. However, you requested 10000 tokens (6000 in the messages, 4000 in the completion).", 10000, 8192),
    ("This endpoint's maximum context length is 200000 tokens. However, you requested about 210000 tokens (200000 of text input)", 210000, 200000),
    ("This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.", 5000, 4096),
    ("This model's maximum context length is 8192 tokens.", None, 8192),
    ("Error code: 400 - {'code': 'context_length_exceeded'}", None, None),
    ("Your input exceeds the context window of this model. Please adjust your input and try again.", None, None),
    ("litellm.ContextWindowExceededError: it is too much", None, None),
    ("The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).", 1050000, 1048576),
    ("The input token count exceeds the maximum number of tokens allowed", None, None),
    ("This model's maximum prompt length is 131072 but the request contains 140000 tokens.", 140000, 131072),
    ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", 40000, 32768),
    ("ValidationException: Input is too long for requested model.", None, None),
    ("ValidationException: too many input tokens. Max input tokens: 131072, request input token count: 140000", 140000, 131072),
    ("the request exceeds the available context size, try increasing it", None, None),
    ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 5000, 4096),
    ("too many tokens: total number of tokens in the prompt cannot exceed 4081", None, 4081),
]  # fmt: skip


@pytest.mark.parametrize(("message", "tokens", "limit_tokens"), TABLE)
def test_a_refusal_of_a_too_large_prompt(
    message: str, tokens: int | None, limit_tokens: int | None
) -> None:
    assert overflow_in(message) == Overflow(tokens, limit_tokens, is_body_size=False)


@pytest.mark.parametrize(
    "message",
    [
        "{'type': 'error', 'error': {'type': 'request_too_large', 'message': 'x'}}",
        "Request exceeds the maximum allowed number of bytes.",
        "413 Payload Too Large",
    ],
)
def test_too_many_bytes(message: str) -> None:
    assert overflow_in(message) == Overflow(None, None, is_body_size=True)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "This request would exceed the rate limit of 400,000 input tokens per minute.",
        "Request too large for gpt-x on tokens per min (TPM): Limit 30000, Requested 50000.",
        "ThrottlingException: Too many tokens, please wait before trying again.",
        "Too many tokens per day",
        "{'type': 'overloaded_error', 'message': 'prompt is too long for now'}",
        "max_tokens: 300000 > 128000, which is the maximum allowed number of output tokens",
        "temperature: this parameter is not supported",
        "invalid x-api-key",
        "messages.0: text content blocks must be non-empty",
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        "image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
        "the file context.py is too long",
    ],
)
def test_what_a_smaller_prompt_does_not_help(message: str) -> None:
    assert overflow_in(message) is None


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.text(max_size=30), st.text(max_size=30))
def test_numbers_are_read_whatever_stands_around(
    tokens: int, limit_tokens: int, before: str, after: str
) -> None:
    message = f"{before} prompt is too long: {tokens} tokens > {limit_tokens:,} maximum {after}"
    assert overflow_in(message) == Overflow(tokens, limit_tokens, is_body_size=False)


@pytest.fixture(scope="module")
def server() -> Iterator[MessagesServer]:
    with MessagesServer(window_tokens=1000) as running:
        yield running


def raised(server: MessagesServer, content: str = "Hello") -> anthropic.APIStatusError:
    with pytest.raises(anthropic.APIStatusError) as caught:
        server.client().messages.create(
            model="claude-opus-5-5",
            max_tokens=10,
            messages=[{"role": "user", "content": content}],
        )
    return caught.value


def test_the_errors_of_the_real_client(server: MessagesServer) -> None:
    tokens = server.prompt_tokens({"messages": [{"role": "user", "content": "x" * 5000}]})
    assert overflow_of(raised(server, "x" * 5000)) == Overflow(tokens, 1000, is_body_size=False)
    assert overflow_of(raised(server, "")) is None
    server.max_body_bytes = 4000
    assert overflow_of(raised(server, "x" * 5000)) == Overflow(None, None, is_body_size=True)


@pytest.mark.parametrize(
    "failure",
    [
        RATE_LIMITED,
        OVERLOADED,
        Failure(status=429, message=TOO_LONG),
        Failure(status=401, type="authentication_error", message=TOO_LONG),
        Failure(status=403, type="permission_error", message="no"),
        Failure(status=413, type="rate_limit_error", message="tokens per minute (TPM): Limit 6000"),
    ],
    ids=lambda failure: f"{failure.status}",
)
def test_a_status_that_means_another_thing(server: MessagesServer, failure: Failure) -> None:
    server.script = lambda request, number: failure
    assert overflow_of(raised(server)) is None


def test_a_bare_413_is_a_too_large_body(server: MessagesServer) -> None:
    server.script = lambda request, number: Failure(status=413, type="x", message="no")
    assert overflow_of(raised(server)) == Overflow(None, None, is_body_size=True)


def test_an_error_raised_from_a_refusal() -> None:
    inner = ValueError(TOO_LONG)
    outer = AdapterError("the model gave no answer")
    assert overflow_of(outer) is None
    outer.__cause__ = inner
    assert overflow_of(outer) == Overflow(233153, 200000, is_body_size=False)
    inner.__cause__ = outer  # a circle ends
    assert overflow_of(outer) is not None
    assert overflow_of(inner) is not None


def test_a_rate_limit_hides_what_it_was_raised_from() -> None:
    class TooMany(Exception):  # noqa: N818
        status_code = 429

    error = TooMany("wait")
    error.__cause__ = ValueError(TOO_LONG)
    assert overflow_of(error) is None


def test_the_error_of_an_http_client() -> None:
    request = httpx2.Request("POST", "http://localhost/v1")
    response = httpx2.Response(400, text=TOO_LONG, request=request)
    error = httpx2.HTTPStatusError("Bad Request", request=request, response=response)
    assert overflow_of(error) == Overflow(233153, 200000, is_body_size=False)
    unread = httpx2.Response(400, stream=httpx2.ByteStream(b"x"), request=request)
    assert overflow_of(httpx2.HTTPStatusError("Bad", request=request, response=unread)) is None
    unread.close()


class ProviderError(Exception):
    """Has the attributes of the OpenAI client's, or of botocore's, exceptions."""

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.__dict__.update(attributes)


def test_the_errors_of_other_clients() -> None:
    refused = {"code": "context_length_exceeded", "message": "Too long.", "param": "input"}
    error = ProviderError("Error code: 400", status_code=400, body=refused)
    assert overflow_of(error) == Overflow(None, None, is_body_size=False)
    botocore = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": 429}}
    assert overflow_of(ProviderError("Input is too long for requested model.")) is not None
    throttled = ProviderError("Input is too long for requested model.", response=botocore)
    assert overflow_of(throttled) is None
    assert overflow_of(ProviderError("x", body={"error": {"message": TOO_LONG}})) is not None
