"""Tests of Claude Code's session files: which lines are calls, and what each used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_lines import claude, claude_progress, claude_usage, claude_user, read

from ctxbudget.recorded.usage import Split


def test_a_call_of_many_lines_counts_once_with_its_largest_output() -> None:
    usage: dict[str, Any] = {"read": 100, "w5m": 20, "w1h": 7}
    rows, _ = read(
        [
            claude_user(),
            claude("m1", claude_usage(5, output=3, **usage)),
            claude("m1", claude_usage(5, output=240, **usage), stop="tool_use"),
            claude_user(),
            claude("m1", claude_usage(5, output=9, **usage)),
            claude("m2", claude_usage(1, output=4), stop="end_turn"),
        ]
    )
    assert [row.tokens for row in rows] == [Split(5, 100, 20, 7, 240), Split(1, 0, 0, 0, 4)]
    assert rows[0].tokens.prompt_tokens == 132
    assert [row.id for row in rows] == ["m1", "m2"]


@given(outputs=st.lists(st.integers(0, 5000), min_size=1, max_size=8), cut=st.integers(0, 8))
def test_the_order_and_the_repetition_of_lines_do_not_count(outputs: list[int], cut: int) -> None:
    lines = [claude("m1", claude_usage(7, read=9, output=output)) for output in outputs]
    other = claude("m2", claude_usage(1, output=1))
    rows, _ = read([*lines[:cut], other, *lines[cut:], *lines])
    found = {row.id: row.tokens for row in rows}
    assert found == {"m1": Split(7, 9, 0, 0, max(outputs)), "m2": Split(1, 0, 0, 0, 1)}


def test_what_the_program_wrote_itself_is_no_call() -> None:
    rows, file = read(
        [claude("u-0", claude_usage(0, output=0), model="<synthetic>"), claude_user()]
    )
    assert rows == []
    assert file.skipped.total() == file.damaged_lines == 0


def test_writes_without_a_lifetime_are_five_minute_ones() -> None:
    usage = claude_usage(1, w5m=30)
    del usage["cache_creation"]
    partly = claude_usage(1, w5m=10, w1h=5)
    partly["cache_creation_input_tokens"] = 40
    rows, _ = read([claude("m1", usage), claude("m2", partly)])
    assert [row.tokens[2:4] for row in rows] == [(30, 0), (35, 5)]


def test_sub_agents_in_progress_lines_have_calls_of_their_own() -> None:
    rows, file = read(
        [
            claude("m1", claude_usage(1)),
            claude_progress("a1", claude_usage(2, read=8, output=1), "ab12"),
            claude_progress("a1", claude_usage(2, read=8, output=6), "ab12"),
            claude_progress("a2", claude_usage(3), "cd34"),
            {"type": "progress", "uuid": "x", "data": {"type": "bash_progress", "output": "…"}},
        ]
    )
    assert [(row.agent, row.tokens.output_tokens) for row in rows] == [
        (None, 1),
        ("ab12", 6),
        ("cd34", 1),
    ]
    assert rows[1].at_s == 1_772_445_900
    assert (file.has_main, file.session, file.project) == (True, "s-1", "/home/ann/shop")


def test_a_sub_agents_own_file_names_its_session_as_parent() -> None:
    rows, file = read([claude("m1", claude_usage(1), agent="ab12")])
    assert [row.agent for row in rows] == ["ab12"]
    assert (file.has_main, file.parent_session) == (False, "s-1")


def test_sidechain_lines_inside_a_main_file_are_kept_apart() -> None:
    line = claude("m2", claude_usage(9))
    line["isSidechain"] = True
    rows, file = read([claude("m1", claude_usage(1)), line])
    assert [row.agent for row in rows] == [None, "sidechain"]
    assert file.has_main


@pytest.mark.parametrize(
    ("output", "stop", "text", "estimate"),
    [
        (3, None, "x" * 300, 100),
        (10, None, "", 10),
        (11, None, "x" * 300, None),
        (3, "end_turn", "x" * 300, None),
    ],
)
def test_a_placeholder_of_an_output_is_estimated_from_the_text(
    output: int, stop: str | None, text: str, estimate: int | None
) -> None:
    rows, _ = read([claude("m1", claude_usage(1, output=output), stop=stop, text=text)])
    assert rows[0].tokens.output_tokens == output
    assert rows[0].estimated_output_tokens == estimate


def test_unknown_types_are_counted_and_damaged_lines_told() -> None:
    bad = claude("m2", {**claude_usage(1), "input_tokens": "many"})
    rows, file = read(
        [
            claude_user(),
            {"type": "moon-phase", "sessionId": "s-1"},
            b'{"type":"assistant","uuid":"u',
            b"\x00\x00\x00",
            b"",
            b"[1]",
            bad,
            {"uuid": "no type"},
            claude("m1", claude_usage(1)),
        ]
    )
    assert [row.id for row in rows] == ["m1"]
    assert dict(file.skipped) == {"moon-phase": 1, "(no type)": 1}
    assert (file.damaged_lines, file.damaged) == (4, [3, 4, 6, 7])


@pytest.mark.parametrize("value", [-1, True, 1.5, "12", [1]])
def test_a_number_that_is_none_damages_its_line(value: object) -> None:
    lines = [
        claude("m0", claude_usage(1)),
        claude("m1", {**claude_usage(1), "output_tokens": value}),
    ]
    rows, file = read(lines)
    assert file.damaged == [2]
    assert rows[0].id == "m0"
    assert len(rows) == 1


def test_compactions_and_silent_sub_agents_are_noted() -> None:
    _, file = read(
        [
            {"type": "system", "uuid": "x", "subtype": "compact_boundary"},
            {"type": "system", "uuid": "y", "subtype": "turn_duration"},
            claude_user(toolUseResult={"agentId": "ef56", "totalTokens": 900, "usage": {}}),
            claude_user(toolUseResult="Error: no"),
        ]
    )
    assert (file.summaries, file.named_agents) == (1, {"ef56"})


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({}, ""),
        ({"speed": "fast"}, "fast"),
        ({"speed": "standard", "inference_geo": "not_available"}, ""),
        ({"service_tier": "batch"}, "batch"),
        ({"inference_geo": "us"}, "region us"),
    ],
)
def test_other_rates_are_named(fields: dict[str, Any], rate: str) -> None:
    rows, _ = read([claude("m1", {**claude_usage(1), **fields})])
    assert rows[0].rate == rate


def test_a_call_without_an_id_is_known_by_its_request_or_its_line() -> None:
    lines = [claude("", claude_usage(1)) for _ in range(4)]
    lines[0]["requestId"] = lines[1]["requestId"] = "req_1"
    rows, _ = read(lines)
    assert [row.id for row in rows] == ["req_1", None, None]
