"""Messages of each provider, block by block, in and out."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic.types import (
    Message,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Usage,
)

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import Kind
from ctxbudget.journal import content_hash
from ctxbudget.live.answers import pieces_of_answer, usage_of
from ctxbudget.live.pieces import (
    Piece,
    artifact_piece,
    as_sent,
    compact_json,
    media_of,
    pieces_of,
    text_of,
    text_piece,
    with_text,
)

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
IMAGE = {"type": "image", "source": PNG}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
THINKING = {"type": "thinking", "thinking": "Hmm.", "signature": "s1"}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}
CALL = {"type": "tool_use", "id": "c1", "name": "read", "input": {"path": "a.py"}}
MARK = {"type": "ephemeral"}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **more}


def result(content: Any = "found", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "c1", "content": content, **more}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def openai_call(arguments: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": arguments}}
    return assistant(None, tool_calls=[call])


def called(given: Any) -> list[Piece]:
    return [Piece(kind=Kind.TOOL_CALL, block={**CALL, "input": given}, call_id="c1", tool="read")]


def one(kind: Kind, block: Any, call_id: str | None = None) -> list[Piece]:
    return [Piece(kind=kind, block=block, call_id=call_id)]


READ: list[tuple[str, Any, list[Piece]]] = [
    ("a text", user("Hi"), one(Kind.USER, text("Hi"))),
    ("texts in a list", user(["a", text("b")]), [*one(Kind.USER, text("a")), *one(Kind.USER, text("b"))]),
    ("a text of the model", assistant("Hi"), one(Kind.ASSISTANT, text("Hi"))),
    ("instructions", {"role": "system", "content": "Be short."}, one(Kind.SYSTEM, text("Be short."))),
    ("a developer's", {"role": "developer", "content": "Be short."}, one(Kind.SYSTEM, text("Be short."))),
    ("thinking", assistant([THINKING]), one(Kind.THINKING, THINKING)),
    ("hidden thinking", assistant([REDACTED]), one(Kind.THINKING, REDACTED)),
    ("no thinking but its signature", assistant([{**THINKING, "thinking": ""}]), one(Kind.THINKING, {**THINKING, "thinking": ""})),
    ("a call", assistant([CALL]), called({"path": "a.py"})),
    ("a call that says who made it", assistant([{**CALL, "caller": {"type": "direct"}}]),
     [Piece(kind=Kind.TOOL_CALL, block={**CALL, "caller": {"type": "direct"}}, call_id="c1", tool="read")]),
    ("a result", user([result()]), one(Kind.TOOL_RESULT, result(), "c1")),
    ("a result in blocks", user([result([text("a"), IMAGE])]), one(Kind.TOOL_RESULT, result([text("a"), IMAGE]), "c1")),
    ("a failure", user([result("no", is_error=True)]), one(Kind.TOOL_RESULT, result("no", is_error=True), "c1")),
    ("a result that says nothing", user([result("")]), one(Kind.TOOL_RESULT, result(""), "c1")),
    ("an image", user([IMAGE]), one(Kind.USER, IMAGE)),
    ("a document", user([DOCUMENT]), one(Kind.USER, DOCUMENT)),
    ("what nobody knows", user([{"type": "novel", "x": 1}]), one(Kind.USER, {"type": "novel", "x": 1})),
    ("what the provider's side called", assistant([{"type": "server_tool_use", "id": "s", "name": "w", "input": {}}]),
     one(Kind.ASSISTANT, {"type": "server_tool_use", "id": "s", "name": "w", "input": {}})),
    ("a mark for the cache", user([text("a", cache_control=MARK)]), one(Kind.USER, text("a"))),
    ("a mark on a result", user([result("x", cache_control=MARK)]), one(Kind.TOOL_RESULT, result("x"), "c1")),
    ("a mark inside a result", user([result([text("a", cache_control=MARK)])]), one(Kind.TOOL_RESULT, result([text("a")]), "c1")),
    ("all at once", assistant([THINKING, text("I read."), CALL]),
     [*one(Kind.THINKING, THINKING), *one(Kind.ASSISTANT, text("I read.")), *called({"path": "a.py"})]),
    ("other names for a text", user([{"type": "input_text", "text": "a"}]), one(Kind.USER, text("a"))),
    ("other names for a text said", assistant([{"type": "output_text", "text": "a"}]), one(Kind.ASSISTANT, text("a"))),
    ("an OpenAI call", openai_call('{"path": "a.py"}'), called({"path": "a.py"})),
    ("an OpenAI call with a text", {**openai_call("{}"), "content": "I read."}, [*one(Kind.ASSISTANT, text("I read.")), *called({})]),
    ("an OpenAI call without arguments", openai_call(""), called({})),
    ("arguments that are no object", openai_call("[1]"), called({"arguments": "[1]"})),
    ("arguments that are cut off", openai_call('{"path'), called({"arguments": '{"path'})),
    ("arguments already read", openai_call({"path": "a.py"}), called({"path": "a.py"})),
    ("an OpenAI result", {"role": "tool", "tool_call_id": "c1", "content": "found"}, one(Kind.TOOL_RESULT, result(), "c1")),
    ("an OpenAI result in parts", {"role": "tool", "tool_call_id": "c1", "content": [text("a")]}, one(Kind.TOOL_RESULT, result([text("a")]), "c1")),
    ("an OpenAI image", user([{"type": "image_url", "image_url": {"url": "u"}}]), one(Kind.USER, {"type": "image_url", "image_url": {"url": "u"}})),
    ("a text that says nothing", user(""), []),
    ("a blank text", user(" \n\t"), []),
    ("a blank text among others", user([text(""), text("a"), text(" ")]), one(Kind.USER, text("a"))),
    ("a blank text inside a result", user([result([text(""), text("a")])]), one(Kind.TOOL_RESULT, result([text("a")]), "c1")),
    ("no content", assistant(None), []),
    ("no content at all", {"role": "assistant"}, []),
    ("an empty list", user([]), []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ]
)
def test_a_message_is_read_block_by_block(message: Any, expected: list[Piece]) -> None:
    assert pieces_of(message) == expected


def test_objects_of_the_sdk_are_what_they_stand_for() -> None:
    answer = Message(
        id="msg_1",
        type="message",
        role="assistant",
        model="claude-opus-5-5",
        content=[
            ThinkingBlock(type="thinking", thinking="Hmm.", signature="s1"),
            RedactedThinkingBlock(type="redacted_thinking", data="xyz"),
            TextBlock(type="text", text="I read."),
            ToolUseBlock(type="tool_use", id="c1", name="read", input={"path": "a.py"}),
        ],
        stop_reason="tool_use",
        stop_sequence=None,
        usage=Usage(input_tokens=1, output_tokens=2),
    )
    expected = pieces_of(assistant([THINKING, REDACTED, text("I read."), CALL]))
    assert pieces_of(answer) == expected
    assert pieces_of(assistant(answer.content)) == expected
    assert pieces_of(assistant(tuple(answer.content))) == expected
    assert pieces_of_answer(answer) == expected


def test_what_the_host_changes_afterwards_is_not_changed_in_the_piece() -> None:
    message = assistant([copy.deepcopy(CALL)])
    (piece,) = pieces_of(message)
    message["content"][0]["input"]["path"] = "other.py"
    assert piece.block == CALL


NO_MESSAGES: list[tuple[str, Any, str]] = [
    ("a text", "Hi", "a message with a role"),
    ("nothing", None, "a message with a role"),
    ("no role", {"content": "Hi"}, "a message with a role"),
    ("a role that is no text", {"role": 1, "content": "Hi"}, "a message with a role"),
    ("an unknown role", {"role": "critic", "content": "Hi"}, "found 'critic'"),
    ("a number", user(5), "found '5'"),
    ("a number among blocks", user([5]), "found '5'"),
    ("bytes", user(b"Hi"), "found"),
    ("a block that is not in a list", user(text("Hi")), "a list of blocks"),
    ("a call without an id", assistant([{"type": "tool_use", "name": "read"}]), "`id`"),
    ("a result without an id", user([{"type": "tool_result"}]), "`tool_use_id`"),
    ("a tool's message without an id", {"role": "tool", "content": "x"}, "tool_call_id|tool_use_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "problem"), [row[1:] for row in NO_MESSAGES], ids=[row[0] for row in NO_MESSAGES]
)
def test_what_is_no_message(message: Any, problem: str) -> None:
    with pytest.raises(AdapterError, match=problem):
        pieces_of(message)


# ---- the text of a block

SAYS: list[tuple[str, dict[str, Any], str]] = [
    ("a text", text("a b"), "a b"),
    ("no text", {"type": "text", "text": None}, ""),
    ("a call", CALL, 'read {"path":"a.py"}'),
    ("a call in another script", {**CALL, "input": {"q": "ä→"}}, 'read {"q":"ä→"}'),
    ("a result", result("a\nb"), "a\nb"),
    ("a result in blocks", result([text("a"), text("b")]), "a\nb"),
    ("a result of plain texts", result(["a", "b"]), "a\nb"),
    ("a result without content", result(None), ""),
    ("a result that is an object", result({"a": 1}), '{"a":1}'),
    ("an image", IMAGE, ""),
    ("a document", DOCUMENT, ""),
    ("thinking", THINKING, "Hmm."),
    ("hidden thinking", REDACTED, '{"type":"redacted_thinking","data":"xyz"}'),
    ("what nobody knows", {"type": "novel", "x": 1}, '{"type":"novel","x":1}'),
    ("a tool", {"name": "read", "input_schema": {}}, '{"name":"read","input_schema":{}}'),
    ("a surrogate", text("a\ud800"), "a\ud800"),
]


@pytest.mark.parametrize(
    ("block", "expected"), [row[1:] for row in SAYS], ids=[row[0] for row in SAYS]
)
def test_the_text_of_a_block(block: dict[str, Any], expected: str) -> None:
    assert text_of(block) == expected


def test_an_artifact_is_sent_as_a_text_under_its_title() -> None:
    piece = artifact_piece("the report", title="Findings", path="out.md", metadata="short")
    assert piece.kind is Kind.ARTIFACT
    assert piece.block["metadata"] == "short"
    assert as_sent(piece.block) == text("Findings out.md\nthe report")
    bare = artifact_piece("the report", title="", path="", metadata="")
    assert bare.block == {"type": "artifact", "text": "the report"}
    assert as_sent(bare.block) == text("the report")
    assert as_sent(CALL) is CALL


SHORTER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a text", text("long"), text("short")),
    ("a result", result([text("long"), IMAGE], is_error=True), result("short", is_error=True)),
    ("a call", CALL, {**CALL, "input": {"shortened": "short"}}),
    ("an image", IMAGE, text("short")),
    ("an artifact", {"type": "artifact", "text": "long", "title": "T"}, text("short")),
    ("thinking", THINKING, text("short")),
]


@pytest.mark.parametrize(
    ("block", "expected"), [row[1:] for row in SHORTER], ids=[row[0] for row in SHORTER]
)
def test_a_block_that_says_less(block: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(block)
    assert with_text(block, "short") == expected
    assert block == before


def test_media_are_found_inside_a_result_too() -> None:
    assert list(media_of(IMAGE)) == [IMAGE]
    assert list(media_of(result([text("a"), IMAGE, DOCUMENT]))) == [IMAGE, DOCUMENT]
    assert list(media_of(result("a"))) == []
    assert list(media_of(text("a"))) == []


def test_json_is_compact_and_nothing_else_is_taken() -> None:
    assert compact_json({"b": [1, "ü"], "a": None}) == '{"b":[1,"ü"],"a":null}'
    with pytest.raises(AdapterError, match="JSON"):
        compact_json({"a": {1}})


def test_a_lone_surrogate_can_be_named_and_counted() -> None:
    """Whatever stands in its place, the block has a hash."""
    (piece,) = pieces_of(user("a\ud800b"))
    assert len(content_hash(piece.block)) == 32
    assert text_of(piece.block)[0] + text_of(piece.block)[-1] == "ab"
    assert text_piece(Kind.USER, "a").block == text("a")


# ---- answers


def test_an_openai_answer_is_read_from_its_first_choice() -> None:
    answer = {
        "model": "gpt-x",
        "choices": [{"message": openai_call('{"path": "a.py"}')}],
        "usage": {
            "prompt_tokens": 50,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 30},
        },
    }
    assert pieces_of_answer(answer) == called({"path": "a.py"})
    used = usage_of(answer, "")
    assert used is not None
    assert (used.uncached_tokens, used.cache_read_tokens, used.output_tokens) == (20, 30, 7)
    assert (used.prompt_tokens, used.model) == (50, "gpt-x")


def test_anthropic_reports_cached_input_beside_the_rest() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 40,
        "cache_creation": {"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 10},
        "output_tokens": 9,
    }
    used = usage_of({"usage": usage, "model": "b"}, "a")
    assert used is not None
    assert used.prompt_tokens == 145
    assert (used.cache_write_tokens, used.cache_write_1h_tokens) == (40, 30)
    assert (used.output_tokens, used.model) == (9, "a")


def test_of_several_iterations_the_last_message_has_the_prompt() -> None:
    usage = SimpleNamespace(
        input_tokens=900,
        output_tokens=30,
        iterations=[
            {"type": "message", "input_tokens": 500},
            {"type": "message", "input_tokens": 70, "cache_read_input_tokens": 8},
            {"type": "compaction", "input_tokens": 1000},
        ],
    )
    used = usage_of(SimpleNamespace(usage=usage, model="m"), "")
    assert used is not None
    assert (used.uncached_tokens, used.cache_read_tokens, used.output_tokens) == (70, 8, 30)


@pytest.mark.parametrize("answer", [{}, {"usage": None}, {"usage": {}}, SimpleNamespace()])
def test_an_answer_that_reports_nothing(answer: Any) -> None:
    assert usage_of(answer, "m") is None


@pytest.mark.parametrize("answer", ["Hi", None, {"choices": []}, {"text": "Hi"}])
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(AdapterError, match="`content` or `choices`"):
        pieces_of_answer(answer)
