"""What a caller says to a thread, as facts; shared by synchronous and asynchronous runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ctxbudget.core.errors import AdapterError, ConfigError
from ctxbudget.core.types import Kind, Layer
from ctxbudget.live.answers import pieces_of_answer, usage_of
from ctxbudget.live.parts import Parts
from ctxbudget.live.pieces import Piece, artifact_piece, pieces_of, text_piece
from ctxbudget.providers.overflow import Overflow, overflow_of
from ctxbudget.sources.live import Facts, Usage

Content: TypeAlias = str | Sequence[Mapping[str, Any] | str]
"""A text, or a list of content blocks."""

Ids: TypeAlias = tuple[str, ...]


class Said:
    """Facts about one thread. `scope_layer` is where its instructions go."""

    def __init__(self, parts: Parts, thread: str, scope_layer: Layer) -> None:
        self.parts, self.thread, self.scope_layer = parts, thread, scope_layer

    def system(self, text: str) -> Facts[Ids]:
        """Say instructions, which live as long as their scope."""
        return self._all(_instructions(text), pinned=False, source=None, layer=self.scope_layer)

    def tools(self, definitions: Iterable[Mapping[str, Any]]) -> Facts[Ids]:
        """Say definitions of tools, Anthropic-style or OpenAI-style."""
        pieces = [Piece(kind=Kind.TOOLS, block=_tool(one)) for one in definitions]
        return self._all(pieces, pinned=False, source=None, layer=self.scope_layer)

    def user(self, content: Content, *, pinned: bool, source: str | None) -> Facts[Ids]:
        """Say what the user says; the first such message is the goal and stays."""
        return self._all(pieces_of({"role": "user", "content": content}), pinned, source)

    def assistant(self, content: Content, *, pinned: bool) -> Facts[Ids]:
        """Say what the model wrote."""
        return self._all(pieces_of({"role": "assistant", "content": content}), pinned, None)

    def messages(self, messages: Iterable[Any]) -> Facts[Ids]:
        """Say messages of a provider's shape."""
        ids: list[str] = []
        for message in messages:
            ids += yield from self._all(pieces_of(message), pinned=False, source=None)
        return tuple(ids)

    def tool_call(
        self, name: str, arguments: Mapping[str, Any], call_id: str, source: str | None
    ) -> Facts[Ids]:
        """Say that the model wrote a call of a tool."""
        if not isinstance(arguments, Mapping):
            raise AdapterError(f"expected a mapping of arguments, found {str(arguments)[:80]!r}")
        block = {"type": "tool_use", "id": call_id, "name": name, "input": dict(arguments)}
        return self._all(pieces_of({"role": "assistant", "content": [block]}), False, source)

    def tool_result(
        self, call_id: str, content: Content, *, is_error: bool, source: str | None, pinned: bool
    ) -> Facts[Ids]:
        """Say what a tool answered."""
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id, "content": content}
        if is_error:
            block["is_error"] = True
        return self._all(pieces_of({"role": "user", "content": [block]}), pinned, source)

    def keep(self, text: str, *, layer: Layer, pinned: bool, source: str | None) -> Facts[Ids]:
        """Say a text of the caller's own, such as a file of memories."""
        return self._all(_instructions(text), pinned, source, layer)

    def answered(self, answer: Any) -> Facts[Ids]:
        """Say what the model wrote, and what the provider reported."""
        model = self.parts.thread(self.thread).model
        usage = usage_of(answer, model)
        if usage is not None:
            yield from self.parts.source.answered(usage, self.thread)
        return (yield from self._all(pieces_of_answer(answer), pinned=False, source=None))

    def used(self, usage: Usage) -> Facts[None]:
        """Say what the provider reported, without an answer.

        Raises:
            AdapterError: it is no Usage, or an amount is below 0.
        """
        if not isinstance(usage, Usage):
            raise AdapterError(f"expected a Usage, found {str(usage)[:60]!r}; or use `answered`")
        amounts = (usage.uncached_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        if min(*amounts, usage.cache_write_1h_tokens, usage.output_tokens) < 0:
            raise AdapterError(f"amounts of tokens are 0 or more, found {usage}")
        return self.parts.source.answered(usage, self.thread)

    def rejected(self, refusal: BaseException | Overflow | None) -> Facts[None]:
        """Say that the provider refused the prompt as too large.

        Raises:
            AdapterError: the error says something else.
        """
        found = overflow_of(refusal) if isinstance(refusal, BaseException) else refusal
        if isinstance(refusal, BaseException) and found is None:
            raise AdapterError(
                f"the error is not a refusal of a too large prompt: {refusal}; handle it otherwise"
            ) from refusal
        if found is None:
            return self.parts.source.rejected(self.thread, None, None)
        if found.is_body_size:  # bytes, not tokens: all that is known is that it is far too much
            half = self.parts.thread(self.thread).occupancy_tokens // 2
            return self.parts.source.rejected(self.thread, None, half)
        return self.parts.source.rejected(self.thread, found.tokens, found.limit_tokens)

    def _all(
        self,
        pieces: Iterable[Piece],
        pinned: bool,
        source: str | None,
        layer: Layer = Layer.TRANSIENT,
    ) -> Facts[Ids]:
        return self.parts.source.add_all(
            pieces, thread=self.thread, layer=layer, pinned=pinned, source=source
        )


def artifact_of(text: str, title: str, path: str, metadata: str) -> Piece:
    """Return an artifact; `metadata` is the short form that may replace it."""
    if not isinstance(text, str) or not text.strip():
        raise AdapterError(f"an artifact needs a text, found {str(text)[:80]!r}; give one")
    return artifact_piece(text, title=title, path=path, metadata=metadata)


def agent_facts(
    parts: Parts, phase: str, name: str, *, model: str | None, calls: int | None, usual: str
) -> tuple[str, Facts[str]]:
    """Return an agent's model and the facts that open its thread, by what the workflow says."""
    known = next((a for a in parts.start.agents if (a.phase, a.agent) == (phase, name)), None)
    chosen = model or (known.model if known else "") or usual
    setup = parts.setup
    scale = known.scale if known is not None and chosen == known.model else None
    if scale is None and setup is not None and chosen:
        scale = setup.scale_of(chosen)
    expected = calls or (known.calls if known else 1)
    return chosen, parts.source.start_agent(phase, name, calls=expected, scale=scale)


def registered(parts: Parts, name: str, text: str, activated_by: str | Sequence[str]) -> Facts[str]:
    """Return the facts that keep a text until a tool needs it."""
    if not isinstance(text, str) or not text.strip():
        raise AdapterError(f"registered item {name!r} needs a text; give one")
    names = (activated_by,) if isinstance(activated_by, str) else tuple(activated_by)
    return parts.source.register(name, text_piece(Kind.SYSTEM, text).block, names)


def layer_of(name: Layer | str) -> Layer:
    """Return a layer by its name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Layer(name)
    except ValueError:
        known = ", ".join(Layer)
        raise ConfigError(
            f"there is no layer {name!r}; choose one of: {known}", location=("layer",)
        ) from None


def counted(tokens: object) -> int:
    """Return what a prompt was counted to hold.

    Raises:
        AdapterError: it is no number of tokens.
    """
    if not isinstance(tokens, int) or tokens < 0:
        raise AdapterError(f"the count of a prompt is a number, 0 or more, found {tokens!r}")
    return tokens


def _instructions(text: str) -> list[Piece]:
    if not isinstance(text, str):
        raise AdapterError(f"expected a text, found {str(text)[:80]!r}")
    return [text_piece(Kind.SYSTEM, text)] if text.strip() else []


def _tool(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's definition in Anthropic's shape."""
    if not isinstance(definition, Mapping):
        raise AdapterError(f"expected a tool's definition, found {str(definition)[:80]!r}")
    function = definition.get("function")
    if not isinstance(function, Mapping):
        return {key: one for key, one in definition.items() if key != "cache_control"}
    return {
        "name": function.get("name"),
        "description": function.get("description", ""),
        "input_schema": function.get("parameters", {}),
    }
