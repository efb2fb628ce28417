"""Tests of mini-swe-agent's trajectories and of lists of messages as exchanges."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import claude_usage
from recorded_lines import mini_swe as trajectory
from recorded_lines import mini_swe_answer as answered

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import text_of
from ctxbudget.recorded import message_list as list_bill
from ctxbudget.recorded import mini_swe as mini_swe_bill
from ctxbudget.recorded.usage import RecordedFile, Split
from ctxbudget.transcripts import message_list, mini_swe
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.message_list import Pairs

Json = dict[str, Any]
CALL = {"type": "function", "id": "c1", "function": {"name": "ls", "arguments": '{"path": "."}'}}


def checked(reader: Any, bill: Any, document: Any) -> tuple[list[Exchange], RecordedFile]:
    """Return a document's exchanges, once they are known to be those that the bill counts."""
    file = RecordedFile(file="one.json")
    found = list(reader.exchanges(document, file))
    billed = RecordedFile(file="one.json")
    rows = list(bill.rows(document, billed))
    assert [(one.at_s, one.model, one.tokens) for one in found] == [
        (row.at_s or 0.0, row.model, row.tokens) for row in rows
    ]
    assert file.session == billed.session
    return found, file


def read_run(messages: list[Any]) -> tuple[list[Exchange], RecordedFile]:
    return checked(mini_swe, mini_swe_bill, {**trajectory(), "messages": messages})


def read_list(document: Any) -> tuple[list[Exchange], RecordedFile]:
    return checked(message_list, list_bill, document)


def shown(parts: Iterable[Part]) -> list[tuple[str, Kind, str]]:
    return [(part.id, part.kind, text_of(part.block)) for part in parts]


def usage(prompt: int = 100, output: int = 10) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": output}


def answer(text: str, id_: str = "gen-1") -> Json:
    return {"role": "assistant", "content": text, "extra": answered(id_, 100, 40, 10, 0.01)}


# ---- mini-swe-agent


def test_commands_are_calls_and_observations_their_results() -> None:
    (first, second, third), file = read_run(
        [
            {"role": "system", "content": "You mend code."},
            {"role": "user", "content": "The cart is broken."},
            answer("```bash\nls\n```"),
            {"role": "user", "content": "cart.py"},
            answer("```bash\ncat cart.py\n```", "gen-2"),
            {"role": "user", "content": "def cart(): ..."},
            answer("I am done.", "gen-3"),
        ]
    )
    assert shown(first.came) == [
        ("M1", Kind.SYSTEM, "You mend code."),
        ("M2", Kind.USER, "The cart is broken."),
    ]
    assert not first.came[1].is_injected
    (call,) = first.wrote
    assert call.block == {
        "type": "tool_use",
        "id": "M3",
        "name": "bash",
        "input": {"text": "```bash\nls\n```"},
    }
    (result,) = second.came
    assert shown([result]) == [("M4", Kind.TOOL_RESULT, "cart.py")]
    assert [(one.group, one.tool) for one in (call, result)] == [("M3", "bash")] * 2
    assert second.wrote[0].group == third.came[0].group == "M5"
    assert shown(third.wrote) == [("M7", Kind.ASSISTANT, "I am done.")]
    assert first.tokens == Split(60, 40, 0, 0, 10)
    assert first.at_s == 1_763_509_354
    assert (file.session, file.damaged_lines) == ("shop-7", 0)


def test_a_second_word_of_the_user_is_nobodys_goal() -> None:
    found, _ = read_run(
        [
            {"role": "user", "content": "The cart is broken."},
            {"role": "user", "content": "You have 100 steps."},
            answer("```bash\nls\n```"),
            {"role": "user", "content": "cart.py"},
            {"role": "user", "content": "You have 99 steps."},
            answer("I am done.", "gen-2"),
        ]
    )
    assert [part.is_injected for part in found[0].came] == [False, True]
    assert [(part.kind, part.is_injected) for part in found[1].came] == [
        (Kind.TOOL_RESULT, False),
        (Kind.USER, True),
    ]


def test_newer_versions_call_tools_by_name() -> None:
    found, file = read_run(
        [
            {"role": "user", "content": "The cart is broken."},
            {**answer("I look."), "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "cart.py"},
            {**answer("I am done.", "gen-2"), "tool_calls": []},
            {"role": "exit", "content": "Submitted"},
        ]
    )
    assert [(part.kind, part.group) for part in found[0].wrote] == [
        (Kind.ASSISTANT, None),
        (Kind.TOOL_CALL, "c1"),
    ]
    assert [(part.kind, part.group) for part in found[1].came] == [(Kind.TOOL_RESULT, "c1")]
    assert file.damaged_lines == 0


def test_an_answer_without_usage_is_part_of_the_next_prompt() -> None:
    silent = {"role": "assistant", "content": "```bash\nls\n```"}
    damaged = copy.deepcopy(answer("```bash\nls -l\n```"))
    damaged["extra"]["response"]["usage"]["prompt_tokens"] = -1
    output = {"role": "user", "content": "cart.py"}
    found, file = read_run([output, silent, output, damaged, output, answer("Done.")])
    assert [(part.id, part.kind) for part in found[0].came] == [
        ("M1", Kind.USER),
        ("M2", Kind.TOOL_CALL),
        ("M3", Kind.TOOL_RESULT),
        ("M4", Kind.TOOL_CALL),
        ("M5", Kind.TOOL_RESULT),
    ]
    assert file.damaged == [4]


# ---- lists of messages


def test_an_openai_style_list() -> None:
    (first, second), _ = read_list(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "mend"}, "the cart"]},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "usage": usage()},
            {"role": "tool", "tool_call_id": "c1", "content": "cart.py"},
            {"role": "assistant", "content": "Not yet."},
            {"role": "user", "content": "<system-reminder>be brief</system-reminder>"},
            {"role": "assistant", "content": "Done.", "usage": usage(150), "model": "m-2"},
            {"role": "user", "content": "thanks"},
        ]
    )
    assert shown(first.came) == [
        ("M1", Kind.SYSTEM, "Be brief."),
        ("M2.1", Kind.USER, "mend"),
        ("M2.2", Kind.USER, "the cart"),
    ]
    assert shown(first.wrote) == [("M3", Kind.TOOL_CALL, 'ls {"path":"."}')]
    assert shown(second.came) == [
        ("M4", Kind.TOOL_RESULT, "cart.py"),
        ("M5", Kind.ASSISTANT, "Not yet."),
        ("M6", Kind.USER, "<system-reminder>be brief</system-reminder>"),
    ]
    assert [part.tool for part in second.came] == ["ls", None, None]
    assert [part.is_injected for part in (*first.came, *second.came)] == [
        *(True, False, False),
        *(False, False, True),
    ]
    assert (second.model, second.tokens) == ("m-2", Split(150, 0, 0, 0, 10))


def test_an_anthropic_style_document() -> None:
    reading = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "cart.py"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "def cart(): ..."}
    (first, second), file = read_list(
        {
            "model": "claude-opus-4-6",
            "system": [{"type": "text", "text": "You mend code."}],
            "messages": [
                {"role": "user", "content": "mend the cart"},
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "so"}, reading],
                    "usage": claude_usage(3, w5m=100),
                    "timestamp": "2026-03-02T10:00:00Z",
                },
                {"role": "user", "content": [result, {"type": "text", "text": "go on"}]},
                {"role": "assistant", "content": "Done.", "usage": claude_usage(4, read=103)},
            ],
        }
    )
    assert [(part.id, part.kind) for part in (*first.came, *first.wrote)] == [
        ("M0", Kind.SYSTEM),
        ("M1", Kind.USER),
        ("M2.1", Kind.THINKING),
        ("M2.2", Kind.TOOL_CALL),
    ]
    assert [(part.id, part.kind, part.group, part.tool, part.source) for part in second.came] == [
        ("M3.1", Kind.TOOL_RESULT, "t1", "Read", "cart.py"),
        ("M3.2", Kind.USER, None, None, None),
    ]
    assert first.wrote[1].source is None
    assert (first.model, first.ttl_s, second.ttl_s) == ("claude-opus-4-6", 300.0, None)
    assert file.damaged_lines == 0


def test_usage_beside_a_prompt_is_a_call_whose_answer_is_not_there() -> None:
    found, _ = read_list(
        [
            {"role": "user", "content": "one", "usage": usage()},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "Done.", "usage": usage()},
        ]
    )
    assert [([part.id for part in one.came], len(one.wrote)) for one in found] == [
        ([], 0),
        (["M1", "M2"], 1),
    ]


def test_calls_without_an_id_or_with_the_same_one() -> None:
    unnamed = {"type": "function", "function": {"name": "ls", "arguments": "{}"}}

    def result(call_id: str | None) -> Json:
        return {"role": "tool", "tool_call_id": call_id, "content": "x"}

    calls = {"role": "assistant", "tool_calls": [unnamed, CALL, CALL], "usage": usage()}
    found, file = read_list(
        [
            calls,
            *(result("c1"), result("c1"), result(None), result("unknown")),
            calls,
            result("c1"),
            {"role": "assistant", "content": "Done.", "usage": usage()},
        ]
    )
    groups = [[part.group for part in (*one.came, *one.wrote)] for one in found]
    assert groups == [
        [None, "c1", "c1#2"],
        ["c1", "c1#2", None, None, None, "c1#3", "c1#4"],
        ["c1#3", None],
    ]
    assert file.damaged_lines == 0
    assert found[1].came[0].block["tool_use_id"] == "c1"
    assert found[0].wrote[0].block["id"] == "M1.1"


def test_a_result_that_comes_in_several_parts_has_one_call() -> None:
    pairs = Pairs()
    assert pairs.call("c1", "ls", {}).group == "c1"
    assert [pairs.result("c1").group for _ in range(3)] == ["c1"] * 3
    assert pairs.call("c1", "ls", {}).group == "c1#2"
    assert pairs.result("c1").group == "c1#2"


def test_what_is_no_block_is_skipped_and_told_once() -> None:
    blocks = [7, {"type": "text", "text": "mend"}, {"type": ["x"]}, {"text": "no type"}]
    calls = [7, {"function": "ls"}, CALL, {**CALL, "function": {"name": "x", "arguments": "["}}]
    found, file = read_list(
        [
            {"role": "user", "content": blocks},
            {"role": "judge", "content": "guilty"},
            {"role": "user", "content": {"a": 1}},
            {"role": "user", "content": " "},
            {"role": "assistant", "tool_calls": calls, "usage": usage()},
        ]
    )
    assert shown(found[0].came) == [("M1.2", Kind.USER, "mend")]
    assert [part.id for part in found[0].wrote] == ["M5.3", "M5.4"]
    assert file.damaged == [1, 2, 3, 5]
    assert file.damaged_lines == 4


# ---- damage

RUN = [
    {"role": "system", "content": "You mend code."},
    {"role": "user", "content": "The cart is broken."},
    {**answer("I look."), "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "cart.py"}]},
    answer("```bash\nls\n```"),
    {"role": "user", "content": [{"type": "text", "text": "cart.py"}]},
    answer("Done."),
]
LIST = [{**one, "usage": usage()} if "extra" in one else one for one in RUN]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.just(float("nan")),
    st.sampled_from(["", "x", "user", "assistant", "tool", "\ud800"]),
    st.sampled_from([[], {}, [7], {"type": 7}, [{"type": "tool_use"}], [{"type": "tool_result"}]]),
)


@pytest.mark.parametrize("of_run", [True, False])
@settings(max_examples=200, deadline=None)
@given(number=st.integers(0, len(RUN) - 1), odd=ODD, choice=st.integers(0, 99))
def test_whatever_is_damaged_nothing_is_raised(
    of_run: bool, number: int, odd: Any, choice: int
) -> None:
    messages: list[Any] = copy.deepcopy(RUN if of_run else LIST)
    places = [(messages[number], key) for key in messages[number] if of_run or key != "role"]
    for holder, key in places:
        inner = holder[key]
        for one in [inner, *inner] if isinstance(inner, list) else [inner]:
            places += [(one, name) for name in one] if isinstance(one, dict) else []
    holder, key = places[choice % len(places)]
    holder[key] = odd
    found, _ = read_run(messages) if of_run else read_list(messages)
    parts = [part for one in found for part in (*one.came, *one.wrote)]
    assert len({part.id for part in parts}) == len(parts)
    for part in parts:
        text_of(part.block)
