"""Tests of Codex rollouts as exchanges."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import DAY, codex_count, codex_meta, codex_turn, codex_usage

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import text_of
from ctxbudget.recorded import codex as bill
from ctxbudget.recorded.usage import RecordedFile, Split, seconds
from ctxbudget.transcripts import codex
from ctxbudget.transcripts.exchange import Exchange, Part

Json = dict[str, Any]


def at(second: int) -> str:
    return f"{DAY}T10:00:{second:02}.000Z"


def at_s(second: int) -> float:
    found = seconds(at(second))
    assert found is not None
    return found


def line(kind: str, payload: Json, second: int = 1) -> Json:
    return {"timestamp": at(second), "type": kind, "payload": payload}


def item(kind: str, second: int = 1, **payload: Any) -> Json:
    return line("response_item", {"type": kind, **payload}, second)


def message(role: str, *texts: str) -> Json:
    type_ = "output_text" if role == "assistant" else "input_text"
    content = [{"type": type_, "text": one} for one in texts]
    return {"type": "message", "role": role, "content": content}


def said(role: str, *texts: str, second: int = 1) -> Json:
    return line("response_item", message(role, *texts), second)


def asked(call_id: str, command: str = "ls", second: int = 1) -> Json:
    given = f'{{"cmd": "{command}"}}'
    return item("function_call", second, name="exec_command", arguments=given, call_id=call_id)


def output(call_id: str, text: Any = "cart.py", second: int = 1) -> Json:
    return item("function_call_output", second, call_id=call_id, output=text)


def counted(calls: int, second: int = 9) -> Json:
    """Return the count of a session's n-th call, each of 100 tokens in and 10 out."""
    total, last = codex_usage(100 * calls, 0, 10 * calls), codex_usage(100, 0, 10)
    return {**codex_count(total, last), "timestamp": at(second)}


def read(lines: Iterable[Json]) -> tuple[list[Exchange], RecordedFile]:
    """Return the exchanges of lines, once they are known to be those that the bill counts."""
    numbered = list(enumerate(lines, 1))
    file = RecordedFile(file="one.jsonl")
    found = list(codex.exchanges(iter(numbered), file))
    rows = list(bill.rows(iter(numbered), RecordedFile(file="one.jsonl")))
    assert [(one.model, one.tokens) for one in found] == [(row.model, row.tokens) for row in rows]
    return found, file


def ids(parts: Iterable[Part]) -> list[str]:
    return [part.id for part in parts]


def shown(parts: Iterable[Part]) -> list[tuple[str, Kind, str]]:
    return [(part.id, part.kind, text_of(part.block)) for part in parts]


def test_a_session_of_two_calls() -> None:
    (first, second), file = read(
        [
            codex_meta(base_instructions={"text": "You mend code."}),
            codex_turn("gpt-5.5"),
            said("user", "# AGENTS.md instructions for /home/ann/shop", "<environment_context>x"),
            said("user", "mend the cart", second=3),
            line("event_msg", {"type": "user_message", "message": "mend the cart"}, 3),
            item("reasoning", summary=[{"type": "summary_text", "text": "look"}], content=None),
            said("assistant", "I look around."),
            asked("c1"),
            counted(1),
            output("c1", second=11),
            said("assistant", "It is cart.py."),
            counted(2, second=13),
        ]
    )
    assert shown(first.came) == [
        ("L1", Kind.SYSTEM, "You mend code."),
        ("L3.1", Kind.USER, "# AGENTS.md instructions for /home/ann/shop"),
        ("L3.2", Kind.USER, "<environment_context>x"),
        ("L4", Kind.USER, "mend the cart"),
    ]
    assert [part.is_injected for part in first.came] == [False, True, True, False]
    assert shown(first.wrote) == [
        ("L6", Kind.THINKING, "look"),
        ("L7", Kind.ASSISTANT, "I look around."),
        ("L8", Kind.TOOL_CALL, 'exec_command {"cmd":"ls"}'),
    ]
    assert shown(second.came) == [("L10", Kind.TOOL_RESULT, "cart.py")]
    assert shown(second.wrote) == [("L11", Kind.ASSISTANT, "It is cart.py.")]
    call, result = first.wrote[2], second.came[0]
    assert (call.group, call.tool) == (result.group, result.tool) == ("c1", "exec_command")
    assert (first.model, first.tokens) == ("gpt-5.5", Split(100, 0, 0, 0, 10))
    assert (first.at_s, second.at_s) == (at_s(3), at_s(11))
    assert (file.session, file.damaged_lines) == ("t-1", 0)


def test_outputs_belong_to_the_next_call_wherever_they_stand() -> None:
    start = [codex_meta(), said("user", "go"), asked("c1"), asked("c2")]
    end = [said("assistant", "done"), counted(2)]
    before, _ = read([*start, output("c1"), output("c2"), counted(1), *end])
    after, _ = read([*start, counted(1), output("c1"), output("c2"), *end])
    taking_turns, _ = read(
        [*start[:3], output("c1"), start[3], output("c2"), counted(1), *end],
    )
    for found in (before, after, taking_turns):
        assert [part.group for part in found[0].wrote] == ["c1", "c2"]
        assert [part.group for part in found[1].came] == ["c1", "c2"]
        assert [part.kind for part in found[1].wrote] == [Kind.ASSISTANT]


def test_what_is_said_while_a_call_runs_reaches_the_next_one() -> None:
    found, _ = read(
        [
            codex_meta(),
            said("user", "go"),
            asked("c1"),
            said("user", "and hurry"),
            output("c1"),
            counted(1),
            said("assistant", "done"),
            counted(2),
        ]
    )
    assert [ids(one.came) for one in found] == [["L2"], ["L4", "L5"]]
    assert [ids(one.wrote) for one in found] == [["L3"], ["L7"]]


def test_what_a_call_without_usage_wrote_comes_before_the_next_one() -> None:
    found, _ = read(
        [
            codex_meta(),
            said("user", "go"),
            counted(1),
            asked("c1", second=12),
            output("c1", "aborted", second=13),
            said("user", "<turn_aborted>\nby the user", second=14),
            said("user", "go on", second=15),
            asked("c2", second=16),
            counted(2, second=17),
            counted(2, second=18),
        ]
    )
    assert ids(found[1].came) == ["L4", "L5", "L6", "L7"]
    assert [part.kind for part in found[1].came][:2] == [Kind.TOOL_CALL, Kind.TOOL_RESULT]
    assert [part.is_injected for part in found[1].came] == [False, False, True, False]
    assert ids(found[1].wrote) == ["L8"]
    assert found[1].at_s == at_s(15)
    assert len(found) == 2


def test_a_call_is_asked_between_the_one_before_and_its_own_count() -> None:
    found, _ = read(
        [
            said("user", "go", second=20),
            counted(1, second=10),
            counted(2, second=30),
            said("user", "late", second=5),
            counted(3, second=40),
        ]
    )
    assert [one.at_s for one in found] == [at_s(10), at_s(30), at_s(30)]


def test_the_new_history_takes_the_place_of_all_but_the_base_prompt() -> None:
    found, _ = read(
        [
            codex_meta(base_instructions={"text": "You mend code."}),
            said("developer", "<permissions instructions>all"),
            said("user", "mend the cart"),
            asked("c1"),
            counted(1),
            output("c1"),
            line(
                "compacted",
                {
                    "message": "",
                    "replacement_history": [
                        message("developer", "<permissions instructions>all", "more"),
                        message("user", "mend the cart"),
                        {"type": "compaction", "encrypted_content": "x" * 900},
                    ],
                },
                20,
            ),
            said("user", "go on", second=25),
            said("assistant", "done"),
            counted(2, second=30),
        ]
    )
    second = found[1]
    assert second.compacted == ("L2", "L3", "L4")
    assert shown(second.came) == [
        ("L7.1.1", Kind.SYSTEM, "<permissions instructions>all"),
        ("L7.1.2", Kind.SYSTEM, "more"),
        ("L7.2", Kind.USER, "mend the cart"),
        ("L7.3", Kind.SUMMARY, ""),
        ("L8", Kind.USER, "go on"),
    ]
    assert [part.is_injected for part in second.came] == [True, True, False, False, False]
    assert second.stand_ins == ("L7.1.1", "L7.1.2", "L7.2", "L7.3")
    assert (second.left, found[0].compacted, found[0].stand_ins) == ((), (), ())


def test_a_summary_that_is_in_the_new_history_is_one() -> None:
    history = [message("user", "mend the cart"), message("user", "The cart is half mended.")]
    told = {"message": "The cart is half mended.", "replacement_history": history}
    found, _ = read([said("user", "mend the cart"), line("compacted", told), counted(1)])
    assert [(part.id, part.kind) for part in found[0].came] == [
        ("L2.1", Kind.USER),
        ("L2.2", Kind.SUMMARY),
    ]
    assert found[0].compacted == ()  # the message came to no call before


def test_without_a_new_history_the_summary_joins_what_the_user_said() -> None:
    found, _ = read(
        [
            codex_meta(base_instructions={"text": "You mend code."}),
            said("user", "<environment_context>x"),
            said("user", "mend the cart"),
            said("assistant", "I begin."),
            counted(1),
            line("compacted", {"message": "The cart is half mended."}),
            counted(2),
        ]
    )
    assert found[1].compacted == ("L2", "L4")
    assert shown(found[1].came) == [("L6", Kind.SUMMARY, "The cart is half mended.")]
    assert found[1].stand_ins == ("L6",)


def test_a_rollback_takes_back_whole_turns() -> None:
    turns = [
        codex_meta(base_instructions={"text": "You mend code."}),
        said("user", "one", "and a half"),
        said("assistant", "first"),
        counted(1),
        said("user", "two"),
        asked("c1"),
        counted(2),
        output("c1"),
    ]
    rest = [said("user", "three"), said("assistant", "third"), counted(3)]
    for number, expected in ((1, ("L5", "L6")), (2, ("L2.1", "L2.2", "L3", "L5", "L6"))):
        undone = line("event_msg", {"type": "thread_rolled_back", "num_turns": number})
        found, _ = read([*turns, undone, *rest])
        assert found[2].left == expected
        assert ids(found[2].came) == ["L10"]
    beyond = line("event_msg", {"type": "thread_rolled_back", "num_turns": 9})
    assert read([*turns, beyond, *rest])[0][2].left == ("L2.1", "L2.2", "L3", "L5", "L6")
    for damaged in (0, None, "2", -1):
        undone = line("event_msg", {"type": "thread_rolled_back", "num_turns": damaged})
        assert read([*turns, undone, *rest])[0][2].left == ()


def test_a_fork_begins_anew_with_a_copy_of_its_parents_history() -> None:
    base = {"text": "You mend code."}
    history = [said("user", "one"), asked("c1"), output("c1"), counted(1)]
    found, _ = read(
        [
            codex_meta("t-1", base_instructions=base),
            *history,
            said("user", "two"),
            counted(2),
            codex_meta("t-2", base_instructions=base, forked_from_id="t-1"),
            codex_meta("t-1", base_instructions=base),
            *history,
            codex_meta("t-2", base_instructions=base),
            said("user", "other"),
            counted(2),
        ]
    )
    assert len(found) == 4
    assert found[2].left == ("L1", "L2", "L3", "L4", "L6")
    assert ids(found[2].came) == ["L8", "L10"]
    assert found[2].wrote[0].group == found[3].came[0].group == "c1#2"
    assert (found[3].left, ids(found[3].came)) == ((), ["L12", "L15"])


def test_other_kinds_of_calls_and_outputs() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    found, file = read(
        [
            said("user", "go"),
            item("custom_tool_call", call_id="c1", name="apply_patch", input="*** Begin"),
            item("web_search_call", status="completed", action={"type": "search", "query": "q"}),
            item("tool_search_call", call_id="c2", arguments={"query": "mail"}),
            item("local_shell_call", call_id="c3", action={"command": ["ls"]}),
            item("function_call", call_id="c4", name="view_image", arguments='{"path": "a.png"}'),
            counted(1),
            item(
                "custom_tool_call_output",
                call_id="c1",
                output=[{"type": "input_text", "text": "ok"}],
            ),
            item("tool_search_output", call_id="c2", tools=[{"name": "send"}]),
            output("c3", {"content": "cart.py", "success": True}),
            output("c4", [image, {"type": "encrypted_content", "encrypted_content": "zzz"}]),
            item("ghost_snapshot", ghost_commit={}),
            item("horoscope", text="?"),
            said("assistant", "done"),
            counted(2),
        ]
    )
    assert [(part.tool, part.group, text_of(part.block)) for part in found[0].wrote] == [
        ("apply_patch", "c1", 'apply_patch {"input":"*** Begin"}'),
        ("web_search", None, 'web_search {"type":"search","query":"q"}'),
        ("tool_search", "c2", 'tool_search {"query":"mail"}'),
        ("local_shell", "c3", 'local_shell {"command":["ls"]}'),
        ("view_image", "c4", 'view_image {"path":"a.png"}'),
    ]
    assert [(part.tool, part.group, text_of(part.block)) for part in found[1].came] == [
        ("apply_patch", "c1", "ok"),
        ("tool_search", "c2", '[{"name":"send"}]'),
        ("local_shell", "c3", "cart.py"),
        ("view_image", "c4", ""),
    ]
    assert found[1].came[3].block["content"] == [image]
    assert [part.source for part in found[1].came] == [None, None, None, "a.png"]
    assert dict(file.skipped) == {"horoscope": 1}


def test_only_a_message_from_the_agent_above_is_a_goal() -> None:
    def mail(author: str, recipient: str) -> Json:
        content = [{"type": "input_text", "text": "found it"}]
        return item("agent_message", author=author, recipient=recipient, content=content)

    found, _ = read([mail("/root", "/root/ada"), mail("/root/ada", "/root"), counted(1)])
    assert [(part.kind, part.is_injected) for part in found[0].came] == [
        (Kind.USER, False),
        (Kind.USER, True),
    ]


def test_a_damaged_count_is_no_call_but_what_was_written_stays() -> None:
    too_many = codex_usage(100, 140, 10)
    found, file = read(
        [
            said("user", "go"),
            asked("c1"),
            codex_count(too_many, too_many),
            output("c1"),
            said("assistant", "done"),
            counted(1),
        ]
    )
    assert (ids(found[0].came), ids(found[0].wrote)) == (["L1"], ["L2", "L5"])
    assert file.damaged == [3]


def test_what_is_no_block_is_skipped() -> None:
    content = [{"type": "input_text", "text": "mend"}, 7, {"type": ["x"]}, {"text": "no type"}]
    found, file = read([item("message", role="user", content=content), counted(1)])
    assert shown(found[0].came) == [("L1.1", Kind.USER, "mend")]
    assert file.damaged == [1]


GOOD = [
    codex_meta(base_instructions={"text": "You mend code."}),
    codex_turn("gpt-5.5"),
    said("user", "mend the cart"),
    item("reasoning", summary=[{"type": "summary_text", "text": "look"}]),
    asked("c1"),
    item("custom_tool_call", call_id="c2", name="apply_patch", input="*** Begin"),
    counted(1),
    output("c1", [{"type": "input_text", "text": "ok"}]),
    line("compacted", {"message": "m", "replacement_history": [message("user", "a")]}),
    line("event_msg", {"type": "thread_rolled_back", "num_turns": 1}),
    said("assistant", "done"),
    counted(2),
]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.just(float("nan")),
    st.sampled_from(["", "x", "message", "assistant", "\ud800"]),
    st.sampled_from(
        [[], {}, [7], {"type": 7}, [{"type": "input_text"}], [[[]]], {"type": "message"}]
    ),
)


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, len(GOOD) - 1), odd=ODD, choice=st.integers(0, 99))
def test_whatever_is_damaged_nothing_is_raised(number: int, odd: Any, choice: int) -> None:
    lines = copy.deepcopy(GOOD)
    places = [(lines[number], key) for key in lines[number]]
    for holder, key in places:
        inner = holder[key]
        nested = inner if isinstance(inner, dict) else {}
        places += [(nested, one) for one in nested]
        for one in inner if isinstance(inner, list) else ():
            places += [(one, name) for name in one] if isinstance(one, dict) else []
    holder, key = places[choice % len(places)]
    holder[key] = odd
    found, _ = read(lines)
    present: set[str] = set()
    for one in found:
        gone = {*one.left, *one.compacted}
        assert gone <= present
        new = ids((*one.came, *one.wrote))
        assert len(set(new)) == len(new)
        assert present.isdisjoint(new)
        assert set(one.stand_ins) <= set(ids(one.came))
        present = (present - gone).union(new)
        for part in (*one.came, *one.wrote):
            text_of(part.block)


@pytest.mark.parametrize("total", [None, "x", 7])
def test_without_a_count_there_is_no_exchange(total: Any) -> None:
    info = {"total_token_usage": total, "last_token_usage": None}
    told = line("event_msg", {"type": "token_count", "info": info})
    assert read([said("user", "go"), said("assistant", "yes"), told])[0] == []
