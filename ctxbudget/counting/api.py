"""Counts prompts by the provider's own counting endpoint: exact, but a call over the network each.

Use it at checkpoints or to calibrate a local counter, not in an inner loop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ctxbudget.core.errors import AdapterError
from ctxbudget.providers.overflow import overflow_of

_BETA_ONLY: Final = ("betas", "context_management", "mcp_servers")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCount:
    """The size of a prompt as the provider would bill it, in its tokens.

    `original_tokens` is the size before the provider's own context edits, or None if none were
    asked for.
    """

    tokens: int
    original_tokens: int | None = None


class _Messages(Protocol):
    @property
    def count_tokens(self) -> Callable[..., Any]:
        """Count the tokens of a request."""


class _Beta(Protocol):
    @property
    def messages(self) -> _Messages:
        """The same calls with beta features."""


class CountingClient(Protocol):
    """What is used of `anthropic.Anthropic`, or of its asynchronous twin."""

    @property
    def messages(self) -> _Messages:
        """The calls of the Messages API."""

    @property
    def beta(self) -> _Beta:
        """The calls with beta features."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One request to count, with the key that its answer is kept under."""

    key: bytes
    is_beta: bool
    request: dict[str, Any]

    def method(self, client: CountingClient) -> Callable[..., Any]:
        messages = client.beta.messages if self.is_beta else client.messages
        return messages.count_tokens


@dataclass(frozen=True, slots=True)
class _Memo:
    """Builds questions from what does not change between them, and keeps the answers."""

    fixed: dict[str, Any]
    answers: dict[bytes, PromptCount] = field(default_factory=dict)

    def question(self, prompt: Mapping[str, Any]) -> _Question:
        given = {name: value for name, value in prompt.items() if value is not None}
        request = self.fixed | given
        for name in ("messages", "tools"):  # an iterator can be read only once
            if name in request:
                request[name] = list(request[name])
        text = json.dumps(request, default=_plain)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return _Question(key, any(request.get(name) for name in _BETA_ONLY), request)

    def keep(self, question: _Question, answer: Any) -> PromptCount:
        edits = getattr(answer, "context_management", None)
        count = PromptCount(
            tokens=answer.input_tokens,
            original_tokens=None if edits is None else edits.original_input_tokens,
        )
        self.answers[question.key] = count
        return count


class AnthropicPrompt(Protocol):
    """A prompt that can be sent to Anthropic, such as `ctxbudget.Prompt`."""

    def anthropic(self) -> dict[str, Any]:
        """Return `messages`, and `system` and `tools` where there are any."""
        ...


class ApiCounter:
    """Counts whole prompts by `count_tokens` of a client; the same prompt is asked for once.

    The endpoint validates like a real call: a tool call without its result, or an empty text, is
    an error there too. It is free of charge, but has a rate limit. Retries are the client's own.

    Args:
        client: an `anthropic.Anthropic`, or what has its `messages.count_tokens`.
        model: the model whose tokens are counted.
        betas: beta features that every count is asked with.
        extra: more arguments for every count, for example `tool_choice` or `timeout`.
    """

    def __init__(
        self, client: CountingClient, model: str, betas: Iterable[str] = (), **extra: Any
    ) -> None:
        self._client, self._memo = client, _Memo(_fixed(model, betas, extra))

    def count_prompt(
        self,
        *,
        messages: Iterable[Any],
        system: Any = None,
        tools: Iterable[Any] | None = None,
        thinking: Any = None,
        **more: Any,
    ) -> int:
        """Return the size of a prompt in the provider's tokens, after its own edits if asked for.

        `more` are further arguments of `count_tokens`; one that is None is left out. Raises
        `AdapterError`.
        """
        prompt = {"messages": messages, "system": system, "tools": tools, "thinking": thinking}
        return self.measure_prompt(**prompt, **more).tokens

    def __call__(self, prompt: AnthropicPrompt) -> int:
        """Return the size of a run's prompt; what `count_prompt` of a run takes."""
        return self.count_prompt(**prompt.anthropic())

    def measure_prompt(self, **prompt: Any) -> PromptCount:
        """Return the size of a prompt before and after the provider's own edits.

        Takes what `count_prompt` takes. Raises `AdapterError`.
        """
        question = self._memo.question(prompt)
        if (known := self._memo.answers.get(question.key)) is not None:
            return known
        try:
            answer = question.method(self._client)(**question.request)
        except Exception as error:  # a client is somebody else's code
            raise provider_error("count the prompt", error) from error
        return self._memo.keep(question, answer)


class AsyncApiCounter:
    """The asynchronous twin of `ApiCounter`: takes an `anthropic.AsyncAnthropic`."""

    def __init__(
        self, client: CountingClient, model: str, betas: Iterable[str] = (), **extra: Any
    ) -> None:
        self._client, self._memo = client, _Memo(_fixed(model, betas, extra))

    async def count_prompt(
        self,
        *,
        messages: Iterable[Any],
        system: Any = None,
        tools: Iterable[Any] | None = None,
        thinking: Any = None,
        **more: Any,
    ) -> int:
        """Return what `ApiCounter.count_prompt` returns."""
        prompt = {"messages": messages, "system": system, "tools": tools, "thinking": thinking}
        return (await self.measure_prompt(**prompt, **more)).tokens

    async def __call__(self, prompt: AnthropicPrompt) -> int:
        """Return the size of a run's prompt; what `count_prompt` of a run takes."""
        return await self.count_prompt(**prompt.anthropic())

    async def measure_prompt(self, **prompt: Any) -> PromptCount:
        """Return what `ApiCounter.measure_prompt` returns."""
        question = self._memo.question(prompt)
        if (known := self._memo.answers.get(question.key)) is not None:
            return known
        try:
            coming: Awaitable[Any] = question.method(self._client)(**question.request)
            answer = await coming
        except Exception as error:  # a client is somebody else's code
            raise provider_error("count the prompt", error) from error
        return self._memo.keep(question, answer)


_NEXT_STEPS: Final = {
    400: "Mend the request: each tool call needs its result in the next message, no text is empty.",
    401: "Check the API key.",
    402: "Check the account's credit.",
    403: "Check what the API key may do.",
    404: "Check the model's name and the client's base URL.",
    429: "Wait and try again, or give the client more retries.",
    529: "Wait and try again, or give the client more retries.",
}


def provider_error(task: str, error: Exception) -> AdapterError:
    """Return our error for what a client raised while it was to do `task`; raise it from `error`.

    The message holds the provider's own words, at most 500 characters of them, and the next step.
    """
    status = getattr(error, "status_code", None)
    said = str(getattr(error, "api_message", None) or error) or type(error).__name__
    if overflow_of(error):
        step = "Shorten the prompt, or choose a model with a larger window."
    elif isinstance(status, int):
        server_step = "Try again later." if status >= 500 else "See the provider's message."
        step = _NEXT_STEPS.get(status, server_step)
    else:
        step = "Check the client that was given and the network."
    status_text = f"status {status}, " if isinstance(status, int) else ""
    return AdapterError(
        f"could not {task}: {status_text}{type(error).__name__}: {said[:500].rstrip('.')}. {step}"
    )


def _fixed(model: str, betas: Iterable[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    chosen = list(betas)
    return {"model": model, **({"betas": chosen} if chosen else {}), **extra}


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a block that a provider's answer brought, or of an iterable."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Iterable):
        return list(value)
    return repr(value)
