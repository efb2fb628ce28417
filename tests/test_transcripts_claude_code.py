"""Tests of Claude Code's session files as exchanges."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from typing import Any

import pytest
from claude_lines import (
    NO_PARENT,
    Json,
    at_s,
    attached,
    called,
    compacted,
    ids,
    linked,
    micro_compacted,
    progress,
    read,
    read_with_file,
    result,
    said,
    summary,
    system,
    text,
    thinking,
    wrote,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import claude_usage

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import text_of
from ctxbudget.recorded import claude_code as bill
from ctxbudget.recorded.usage import RecordedFile, Split
from ctxbudget.transcripts import claude_code
from ctxbudget.transcripts.exchange import Exchange
from ctxbudget.transcripts.files_read import file_read
from ctxbudget.transcripts.line_order import WAIT_LINES, parents_first

Moves = tuple[list[str], list[str], list[str]]


def moves(found: Iterable[Exchange]) -> list[Moves]:
    """Return of each call what left, what came and what it wrote."""
    return [([*one.left, *one.compacted], ids(one.came), ids(one.wrote)) for one in found]


def answered(id_: str = "m2", **fields: Any) -> Json:
    return wrote(id_, text("Done."), **fields)


# ---- calls


def test_a_call_is_all_lines_of_one_message() -> None:
    def small(output: int) -> Json:
        return claude_usage(3, read=900, w5m=97, output=output)

    first, second = read(
        [
            said(second=0),
            wrote("m1", thinking("look around"), usage=small(2)),
            wrote("m1", text("I look."), usage=small(2), second=3),
            wrote("m1", called("t1"), usage=small(60), stop="tool_use", second=4),
            result("t1", second=5),
            answered(usage=claude_usage(0, read=997, w1h=70, output=30), second=9),
        ]
    )
    assert [(one.kind, text_of(one.block)) for one in (*first.came, *first.wrote)] == [
        (Kind.USER, "mend the cart"),
        (Kind.THINKING, "look around"),
        (Kind.ASSISTANT, "I look."),
        (Kind.TOOL_CALL, 'Bash {"command":"ls"}'),
    ]
    assert moves([first, second]) == [
        ([], ["L1"], ["L2", "L3", "L4"]),
        ([], ["L5"], ["L6"]),
    ]
    asked, brought = first.wrote[2], second.came[0]
    assert (asked.group, asked.tool) == (brought.group, brought.tool) == ("t1", "Bash")
    assert brought.kind is Kind.TOOL_RESULT
    assert first.tokens == Split(3, 900, 97, 0, 60)
    assert second.tokens == Split(0, 997, 0, 70, 30)
    assert (first.ttl_s, second.ttl_s) == (300.0, 3600.0)
    # Asked when the last of what it carries had come, not when the answer began.
    assert (first.at_s, second.at_s) == (at_s(0), at_s(5))
    assert first.output_is_known


def test_the_largest_output_counts_wherever_it_stands() -> None:
    outputs = (5, 80, 40)
    lines = [wrote("m1", text(), usage=claude_usage(output=one)) for one in outputs]
    (found,) = read([said(), *lines])
    assert (found.tokens.output_tokens, found.output_is_known) == (80, True)


@pytest.mark.parametrize(
    ("output", "stop", "is_known"),
    [(10, None, False), (11, None, True), (1, "end_turn", True)],
)
def test_a_placeholder_is_no_output(output: int, stop: str | None, is_known: bool) -> None:
    (found,) = read([said(), wrote("m1", text(), usage=claude_usage(output=output), stop=stop)])
    assert found.output_is_known is is_known


@pytest.mark.parametrize(
    ("split", "ttl_s"),
    [({}, None), ({"w5m": 1}, 300.0), ({"w1h": 1}, 3600.0), ({"w5m": 9, "w1h": 1}, 3600.0)],
)
def test_the_lifetime_is_that_of_what_was_written(split: dict[str, int], ttl_s: float) -> None:
    (found,) = read([said(), wrote("m1", text(), usage=claude_usage(5, **split))])
    assert found.ttl_s == ttl_s


def test_a_rate_and_a_switch_of_model_are_kept() -> None:
    usages = [claude_usage(5), {**claude_usage(5), "speed": "fast"}]
    models = ("claude-opus-4-6", "claude-haiku-4-5")
    answers = [
        wrote(f"m{place}", text(), usage=usage, model=model)
        for place, (usage, model) in enumerate(zip(usages, models, strict=True))
    ]
    found = read([said(), answers[0], said("go on"), answers[1]])
    assert [(one.model, one.rate) for one in found] == [(models[0], ""), (models[1], "fast")]


def test_lines_without_a_call_make_none() -> None:
    error = wrote("0b1c", text("API Error: 529"), model="<synthetic>", isApiErrorMessage=True)
    found = read(
        [
            {"type": "permission-mode", "permissionMode": "default", "sessionId": "s-1"},
            {"type": "file-history-snapshot", "messageId": "x", "snapshot": {}},
            said(),
            error,
            {"type": "ai-title", "aiTitle": "Cart", "sessionId": "s-1"},
            system("api_error", error={"status": 529}),
            system("turn_duration", durationMs=5),
            answered("m1"),
            {"type": "what-comes-next", "uuid": "x"},
        ]
    )
    assert moves(found) == [([], ["L3"], ["L8"])]


@pytest.mark.parametrize("value", [-1, 1.5, "12", True, [3]])
def test_damaged_usage_is_told_with_its_line(value: object) -> None:
    broken = wrote("m1", text(), usage={**claude_usage(5), "input_tokens": value})
    found, file = read_with_file([said(), broken, said("again"), answered()])
    assert moves(found) == [([], ["L1", "L3"], ["L4"])]
    assert file.damaged == [2]


def test_a_file_without_a_call_has_no_exchange() -> None:
    assert read([]) == read([said()]) == []


# ---- what a line holds


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ("", []),
        (" \n", []),
        (None, []),
        ([], []),
        ([text(""), text(" ")], []),
        ([text("a"), text(""), text("b")], [("L1.1", Kind.USER), ("L1.2", Kind.USER)]),
        ([{"type": "image", "source": {"type": "base64", "data": ""}}], [("L1", Kind.USER)]),
        (["a", 5, None, text("b")], [("L1", Kind.USER)]),
    ],
)
def test_blocks_that_hold_nothing_are_left_out(content: object, kinds: list[Any]) -> None:
    (found,) = read([said(content), answered()])
    assert [(part.id, part.kind) for part in found.came] == kinds


def test_thinking_without_its_text_is_a_part() -> None:
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    (found,) = read([said(), wrote("m1", thinking(""), hidden, text())])
    assert [part.kind for part in found.wrote] == [Kind.THINKING, Kind.THINKING, Kind.ASSISTANT]


def test_what_the_user_did_not_say_is_injected() -> None:
    (found,) = read([said("Caveat: made by commands", isMeta=True), said("/init"), answered()])
    assert [(part.id, part.is_injected) for part in found.came] == [("L1", True), ("L2", False)]


def test_what_only_the_transcript_shows_is_not_in_the_prompt() -> None:
    (found,) = read([said("old", isVisibleInTranscriptOnly=True), said(), answered()])
    assert ids(found.came) == ["L2"]


def test_attachments_that_may_reach_the_prompt() -> None:
    (found,) = read(
        [
            said(),
            attached("skill_listing", content="- fix: mends", skillCount=1),
            attached("hook_success", content="", hookName="Start"),
            attached("edited_text_file", filename="/shop/cart.py", snippet="1\tx = 1"),
            attached("queued_command", prompt="and the tests"),
            attached("queued_command", prompt=[text("and the docs")]),
            attached("date_change", newDate=""),
            attached("never_seen", content="x"),
            answered(),
        ]
    )
    assert [(part.id, text_of(part.block), part.is_injected) for part in found.came] == [
        ("L1", "mend the cart", False),
        ("L2", "- fix: mends", True),
        ("L4", "/shop/cart.py\n1\tx = 1", True),
        ("L5", "and the tests", False),
        ("L6", "text\nand the docs", False),
    ]


@pytest.mark.parametrize(
    ("tool", "given", "path"),
    [
        ("Read", {"file_path": "/a.py", "limit": 5}, "/a.py"),
        ("NotebookRead", {"notebook_path": "/a.ipynb"}, "/a.ipynb"),
        ("mcp__fs__read_file", {"path": "/a.py"}, "/a.py"),
        ("view", {"path": "/a.py"}, "/a.py"),
        ("Read", {"file_path": 5}, None),
        ("Read", {}, None),
        ("Edit", {"file_path": "/a.py"}, None),
        ("TaskCreate", {"path": "/a.py"}, None),
        ("Thread", {"path": "/a.py"}, None),
        (None, {"path": "/a.py"}, None),
    ],
)
def test_which_file_a_tool_reads(tool: str | None, given: Json, path: str | None) -> None:
    assert file_read(tool, given) == path


def test_a_result_is_a_copy_of_the_file_that_was_read() -> None:
    reads = called("t1", "Read", file_path="/shop/cart.py")
    found = read([said(), wrote("m1", reads), result("t1"), answered()])
    assert found[0].wrote[0].source is None
    assert found[1].came[0].source == "/shop/cart.py"


def test_a_result_without_its_call_stands_alone() -> None:
    (found,) = read([result("t9"), answered()])
    assert [(part.kind, part.group, part.tool) for part in found.came] == [
        (Kind.TOOL_RESULT, None, None)
    ]


# ---- the order of lines


def test_results_between_the_lines_of_a_message_belong_to_the_next_call() -> None:
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            result("t1"),
            wrote("m1", called("t2"), parent="u2"),
            result("t2"),
            answered(),
        ]
    )
    assert moves(found) == [([], ["L1"], ["L2", "L4"]), ([], ["L3", "L5"], ["L6"])]
    assert [part.group for part in found[1].came] == ["t1", "t2"]


def test_a_result_that_was_written_before_its_call() -> None:
    first, second = read(
        [
            said(),
            wrote("m1", text("I look."), uuid="said"),
            result("t1", uuid="result", parent="call"),
            wrote("m1", called("t1"), uuid="call", parent="said"),
            answered(parent="result"),
        ]
    )
    assert moves([first, second]) == [([], ["L1"], ["L2", "L4"]), ([], ["L3"], ["L5"])]
    assert second.came[0].group == "t1"


@pytest.mark.parametrize("gap", [0, WAIT_LINES - 1])
def test_an_attachment_waits_for_its_parent(gap: int) -> None:
    titles = [{"type": "ai-title", "aiTitle": "x", "sessionId": "s-1"}] * gap
    lines = [
        said(uuid="u1"),
        attached("skill_listing", content="- fix", parent="prompt"),
        *titles,
        said("go on", uuid="prompt", parent="u1"),
        answered(parent="prompt"),
    ]
    (found,) = read(lines)
    assert ids(found.came) == ["L1", f"L{gap + 3}", "L2"]


def numbers(*lines: tuple[int, str, str | None]) -> list[int]:
    numbered = [(number, {"uuid": uuid, "parentUuid": up}) for number, uuid, up in lines]
    return [number for number, _ in parents_first(iter(numbered))]


@pytest.mark.parametrize(
    ("lines", "order"),
    [
        ([(1, "a", None), (2, "b", "a")], [1, 2]),
        ([(1, "a", None), (2, "c", "b"), (3, "b", "a")], [1, 3, 2]),
        ([(1, "a", None), (2, "d", "c"), (3, "c", "b"), (4, "b", "a")], [1, 4, 3, 2]),
        # Two that wait for one parent come in their own order.
        ([(1, "a", None), (2, "c", "b"), (3, "d", "b"), (4, "b", "a")], [1, 4, 2, 3]),
        # A slice: the first line's parent is missing, and nobody waits for it.
        ([(1, "b", "a"), (2, "c", "b")], [1, 2]),
        # An orphan in the middle comes last, or once it has waited long enough.
        ([(1, "a", None), (2, "c", "x"), (3, "b", "a")], [1, 3, 2]),
        ([(1, "a", None), (2, "c", "x"), (102, "b", "a"), (103, "d", "b")], [1, 102, 103, 2]),
        ([(1, "a", None), (2, "c", "x"), (103, "b", "a"), (104, "d", "b")], [1, 103, 2, 104]),
        # Two that name each other as parents.
        ([(1, "a", None), (2, "b", "c"), (3, "c", "b")], [1, 2, 3]),
        ([(1, "a", None), (2, "b", "b")], [1, 2]),
    ],
)
def test_parents_come_first(lines: list[tuple[int, str, str | None]], order: list[int]) -> None:
    assert numbers(*lines) == order


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), max_size=30))
def test_no_line_is_lost_or_said_twice(named: list[tuple[int, int]]) -> None:
    found = numbers(*((place, f"{a}", f"{b}") for place, (a, b) in enumerate(named)))
    assert sorted(found) == list(range(len(named)))


def test_a_slice_begins_where_it_begins() -> None:
    first, second = read(
        [
            result("t0", parent="gone"),
            wrote("m1", called("t1")),
            result("t1"),
            answered(),
        ]
    )
    assert moves([first, second]) == [([], ["L1"], ["L2"]), ([], ["L3"], ["L4"])]


def test_an_orphan_takes_nothing_back() -> None:
    found = read([said(), answered("m1"), said("go on", parent="gone"), answered("m2")])
    assert moves(found)[1] == ([], ["L3"], ["L4"])


# ---- rewinds


def test_a_rewind_takes_back_what_stands_behind_the_prompts_parent() -> None:
    found = read(
        [
            said("one"),
            wrote("m1", called("t1")),
            result("t1"),
            wrote("m2", text("first end")),
            said("two"),
            wrote("m3", called("t2")),
            result("t2"),
            wrote("m4", text("second end")),
            said("two, but better", parent="u4"),
            answered("m5"),
        ]
    )
    assert [sorted(one.left) for one in found] == [[], [], [], [], ["L5", "L6", "L7", "L8"]]
    assert ids(found[4].came) == ["L9"]
    assert all(one.compacted == () for one in found)


def test_a_rewind_to_the_beginning_takes_back_everything() -> None:
    listing = attached("hook_success", content="", parent=NO_PARENT)
    found = read([listing, said("one"), answered("m1"), said("better", parent="u1"), answered()])
    assert moves(found)[1] == (["L3", "L2"], ["L4"], ["L5"])


def test_what_no_call_carried_does_not_even_come() -> None:
    found = read(
        [said("one"), answered("m1"), said("tow"), said("two", parent="u2"), answered("m2")]
    )
    assert moves(found)[1] == ([], ["L4"], ["L5"])


def test_a_second_rewind_takes_back_only_what_is_still_there() -> None:
    found = read(
        [
            said("one"),
            answered("m1"),
            said("two"),
            answered("m2"),
            said("2", parent="u2"),
            answered("m3"),
            said("II", parent="u2"),
            answered("m4"),
        ]
    )
    assert [sorted(one.left) for one in found] == [[], [], ["L3", "L4"], ["L5", "L6"]]


@pytest.mark.parametrize("parent", ["u2", "u3", "u4", "u5", "u6", "u7"])
@pytest.mark.parametrize("is_prompt", [False, True])
def test_parallel_calls_are_no_rewind(parent: str, is_prompt: bool) -> None:
    """The next line names any of the calls or results as its parent; all stay."""
    calls = [wrote("m1", called(f"t{one}")) for one in (1, 2, 3)]
    results = [result(f"t{one}", parent=f"u{one + 1}") for one in (1, 2, 3)]
    end = [said("stop", parent=parent)] if is_prompt else []
    last = answered() if is_prompt else answered(parent=parent)
    found = read([said(), *calls, *results, *end, last])
    came = ["L5", "L6", "L7", *(["L8"] if is_prompt else [])]
    assert moves(found)[1] == ([], came, ["L9" if is_prompt else "L8"])


def test_what_hangs_on_a_parallel_result_stays_too() -> None:
    """A program's attachment belongs to what it hangs on."""
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            wrote("m1", called("t2")),
            result("t1", parent="u2"),
            attached("task_reminder", content="three tasks left"),
            result("t2", parent="u3"),
            answered(parent="u6"),
        ]
    )
    assert moves(found)[1] == ([], ["L4", "L5", "L6"], ["L7"])


def test_a_program_that_hangs_a_line_elsewhere_takes_nothing_back() -> None:
    found = read(
        [
            said(),
            answered("m1"),
            said("two"),
            said("Caveat", isMeta=True, parent="u1"),
            attached("task_reminder", content="x", parent="u2"),
            system("local_command", parent="u1"),
            answered("m2"),
        ]
    )
    assert moves(found)[1] == ([], ["L3", "L4", "L5"], ["L7"])


# ---- compactions


def test_a_compaction_takes_everything_and_a_summary_stands_in() -> None:
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            result("t1"),
            answered("m2"),
            compacted(),
            summary("The cart was mended."),
            attached("file", filename="/shop/cart.py", content="x = 1"),
            said("go on"),
            answered("m3"),
        ]
    )
    last = found[2]
    assert last.compacted == ("L1", "L2", "L3", "L4")
    assert last.left == ()
    assert [(part.id, part.kind) for part in last.came] == [
        ("L6", Kind.SUMMARY),
        ("L7", Kind.USER),
        ("L8", Kind.USER),
    ]
    assert last.stand_ins == ("L6", "L7")


def test_what_came_just_before_a_compaction_is_only_in_the_summary() -> None:
    found = read([said(), answered("m1"), said("two"), compacted(), summary(), answered("m2")])
    assert found[1].compacted == ("L1", "L2")
    assert ids(found[1].came) == ["L5"]


def test_nothing_goes_back_beyond_a_compaction() -> None:
    found = read(
        [
            said(),
            answered("m1"),
            compacted(),
            summary(),
            answered("m2"),
            said("on", parent="u1"),
            answered("m3"),
        ]
    )
    assert found[2].left == ()


def test_a_second_compaction_takes_the_first_ones_summary() -> None:
    round_ = [compacted(), summary()]
    found = read([said(), answered("m1"), *round_, answered("m2"), *round_, answered("m3")])
    assert [one.compacted for one in found] == [(), ("L1", "L2"), ("L4", "L5")]
    assert [one.stand_ins for one in found] == [(), ("L4",), ("L7",)]


def test_a_rewound_part_is_not_compacted() -> None:
    lines = [said(), answered("m1"), said("two"), answered("m2"), said("2", parent="u2")]
    found = read([*lines, answered("m3"), compacted(), summary(), answered("m4")])
    assert found[3].compacted == ("L1", "L2", "L5", "L6")


def test_a_microcompaction_takes_the_calls_and_results_that_it_names() -> None:
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            wrote("m1", called("t2")),
            result("t1", parent="u2"),
            result("t2", parent="u3"),
            answered("m2"),
            micro_compacted("t1", "t9"),
            said("go on"),
            answered("m3"),
        ]
    )
    assert found[2].compacted == ("L2", "L4")
    assert found[2].stand_ins == ()
    assert ids(found[2].came) == ["L8"]


@pytest.mark.parametrize("about", [None, "t1", {"compactedToolIds": "t1"}, {"compactedToolIds": 5}])
def test_a_microcompaction_that_names_nothing_takes_nothing(about: object) -> None:
    boundary = system("microcompact_boundary", microcompactMetadata=about)
    found = read([said(), wrote("m1", called("t1")), result("t1"), boundary, answered("m2")])
    assert found[1].compacted == ()


# ---- sub-agents


def test_a_sub_agents_own_file_is_its_thread() -> None:
    def own(one: Json) -> Json:
        return {**one, "isSidechain": True, "agentId": "a7"}

    lines = [own(said("look for it")), own(wrote("m1", called("t1"))), own(result("t1"))]
    found = read([*lines, own(answered())])
    assert moves(found) == [([], ["L1"], ["L2"]), ([], ["L3"], ["L4"])]
    assert found == read([*lines, own(answered())], agent="a7")


def test_a_sub_agents_lines_are_not_the_main_threads() -> None:
    side = [said("look", agent="a7", parent=NO_PARENT), answered("s1", agent="a7")]
    lines = [said(uuid="u1"), *side, wrote("m1", text(), parent="u1")]
    assert moves(read(lines)) == [([], ["L1"], ["L4"])]
    assert moves(read(lines, agent="a7")) == [([], ["L2"], ["L3"])]


def test_a_sub_agent_that_its_parents_file_copies() -> None:
    task = wrote("m1", called("t1", "Task", prompt="look"))
    lines = [
        said(),
        task,
        progress("a7", said("look")),
        progress("a7", wrote("s1", called("t2", "Read", file_path="/a.py"))),
        progress("b8", wrote("x1", text("another one's"))),
        line_of_noise(),
        progress("a7", result("t2")),
        progress("a7", wrote("s2", text("found"))),
        progress("a7", wrote("s2", text("found"), usage=claude_usage(9, output=77))),
        result("t1"),
        answered(),
    ]
    first, second = read(lines, agent="a7")
    assert moves([first, second]) == [([], ["L3"], ["L4"]), ([], ["L7"], ["L8", "L9"])]
    assert (second.came[0].group, second.came[0].source) == ("t2", "/a.py")
    assert second.tokens.output_tokens == 77
    assert moves(read(lines)) == [([], ["L1"], ["L2"]), ([], ["L10"], ["L11"])]
    assert moves(read(lines, agent="b8")) == [([], [], ["L5"])]
    assert read(lines, agent="nobody") == []


def line_of_noise() -> Json:
    return {**progress("a7", said()), "data": {"type": "bash_progress", "output": "..."}}


# ---- whatever a file holds

SESSION = [
    said(),
    attached("skill_listing", content="- fix"),
    wrote("m1", thinking(), usage=claude_usage(3, w5m=900, output=2)),
    wrote("m1", called("t1"), usage=claude_usage(3, w5m=900, output=60), stop="tool_use"),
    wrote("m1", called("t2", "Read", file_path="/a.py"), usage=claude_usage(3, w5m=900, output=2)),
    result("t1", parent="u4"),
    result("t2", parent="u5"),
    answered("m2"),
    said("two"),
    wrote("m3", text(), model="<synthetic>"),
    progress("a7", wrote("s1", text())),
    said("2", parent="u8"),
    wrote("m4", called("t3")),
    result("t3", [text("x"), {"type": "image", "source": {"type": "base64", "data": ""}}]),
    micro_compacted("t1"),
    answered("m5"),
    compacted(),
    summary(),
    said("on"),
    answered("m6"),
]


def whole(lines: Iterable[tuple[int, Json]]) -> tuple[list[Exchange], list[Any]]:
    kept = list(lines)
    found = list(claude_code.exchanges(iter(kept), RecordedFile(file="one.jsonl")))
    first = next((bill.agent_of(one) for _, one in kept if one["type"] in ("assistant", "user")), 0)
    rows = bill.rows(iter(kept), RecordedFile(file="one.jsonl"))
    return found, [row for row in rows if row.agent == first]


def holds(found: list[Exchange]) -> None:
    """Check what holds of any file: parts have names of their own, and go back after they came."""
    known: set[str] = set()
    for one in found:
        assert known.issuperset(one.left)
        assert set(ids(one.came)).issuperset(one.stand_ins)
        for part in (*one.came, *one.wrote):
            assert part.id not in known
            known.add(part.id)


def test_the_whole_session() -> None:
    found, rows = whole(linked(SESSION))
    assert [one.tokens for one in found] == [row.tokens for row in rows]
    assert len(found) == 5
    holds(found)


@given(st.sets(st.integers(0, len(SESSION) - 1)), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_lines_that_are_missing_or_in_another_order(
    missing: set[int], chance: random.Random
) -> None:
    kept = [one for place, one in enumerate(linked(SESSION)) if place not in missing]
    kept.sort(key=lambda one: one[0] + chance.uniform(0, 5))
    found, rows = whole(kept)
    assert sorted(one.tokens[:4] for one in found) == sorted(row.tokens[:4] for row in rows)
    holds(found)


ODD: tuple[Any, ...] = (None, [], {}, 0, -1, 2.5, True, "", "x", [1, None], {"a": 1}, [text("a")])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """Return where the values of a line stand, but for the type of a block."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in pairs:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, (*path, key))


PLACES = [(number, path) for number, one in enumerate(linked(SESSION)) for path in places(one[1])]


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_values_that_make_no_sense(changes: list[tuple[tuple[int, Any], Any]]) -> None:
    lines = copy.deepcopy(linked(SESSION))
    for (number, path), value in changes:
        inside: Any = lines[number][1]
        for key in path[:-1]:
            inside = inside[key] if _has(inside, key) else None
        if _has(inside, path[-1]) and path != ("type",):
            inside[path[-1]] = copy.deepcopy(value)
    found, rows = whole(lines)
    assert len(found) == len(rows)
    holds(found)


def _has(inside: object, key: Any) -> bool:
    if isinstance(inside, dict):
        return key in inside
    return isinstance(inside, list) and isinstance(key, int) and key < len(inside)
