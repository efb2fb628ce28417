"""Tests of Pi's sessions as exchanges."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import DAY

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import text_of
from ctxbudget.recorded import pi as bill
from ctxbudget.recorded.usage import RecordedFile, Split, seconds
from ctxbudget.transcripts import pi
from ctxbudget.transcripts.exchange import Exchange, Part

Json = dict[str, Any]


def at(second: int) -> str:
    return f"{DAY}T10:00:{second:02}.000Z"


def entry(id_: str, parent: str | None, *, second: int = 1, type_: str, **fields: Any) -> Json:
    return {"type": type_, "id": id_, "parentId": parent, "timestamp": at(second), **fields}


def said(id_: str, parent: str | None, text: Any, *, second: int = 1) -> Json:
    content = [{"type": "text", "text": text}]
    message = {"role": "user", "content": content}
    return entry(id_, parent, second=second, type_="message", message=message)


def usage(tokens: int = 100) -> Json:
    cost = {"total": 0.01}
    return {"input": tokens, "output": 10, "cacheRead": 20, "cacheWrite": 5, "cost": cost}


def answered(id_: str, parent: str | None, *blocks: Any, second: int = 2, **message: Any) -> Json:
    told = {
        "role": "assistant",
        "content": list(blocks),
        "model": "gpt-5.3-codex",
        "usage": usage(),
        "stopReason": "stop",
        **message,
    }
    return entry(id_, parent, second=second, type_="message", message=told)


def text(of: str) -> Json:
    return {"type": "text", "text": of, "textSignature": "s" * 99}


def call(call_id: str, path: str = "cart.py") -> Json:
    return {"type": "toolCall", "id": call_id, "name": "read", "arguments": {"path": path}}


def result(id_: str, parent: str, call_id: str, *, second: int = 3, **fields: Any) -> Json:
    content = [{"type": "text", "text": "def cart(): ..."}]
    message = {"role": "toolResult", "toolCallId": call_id, "toolName": "read", "content": content}
    return entry(id_, parent, second=second, type_="message", message={**message, **fields})


def compaction(id_: str, parent: str, kept: str | None, summary: str = "Half mended.") -> Json:
    fields = {"summary": summary, "firstKeptEntryId": kept, "tokensBefore": 900}
    return entry(id_, parent, type_="compaction", second=20, **fields)


SESSION = {"type": "session", "version": 3, "id": "s-1", "cwd": "/home/ann/shop"}
DIALOGUE = [
    SESSION,
    said("u1", None, "one"),
    answered("a1", "u1", text("first")),
    said("u2", "a1", "two"),
    answered("a2", "u2", text("second")),
]
"""Lines 2 to 5 are two turns."""


def read(lines: Iterable[Json]) -> tuple[list[Exchange], RecordedFile]:
    """Return the exchanges of lines, once they are known to be those that the bill counts."""
    numbered = list(enumerate(lines, 1))
    file = RecordedFile(file="one.jsonl")
    found = list(pi.exchanges(iter(numbered), file))
    rows = list(bill.rows(iter(numbered), RecordedFile(file="one.jsonl")))
    assert [(one.model, one.tokens) for one in found] == [(row.model, row.tokens) for row in rows]
    return found, file


def ids(parts: Iterable[Part]) -> list[str]:
    return [part.id for part in parts]


def test_a_turn_with_a_tool() -> None:
    thinking = {"type": "thinking", "thinking": "look", "thinkingSignature": "x" * 999}
    (first, second), file = read(
        [
            SESSION,
            entry("m1", None, type_="model_change", provider="openai", modelId="gpt-5.3-codex"),
            said("u1", "m1", "mend the cart", second=4),
            answered("a1", "u1", thinking, text("I look."), call("c1"), second=9),
            result("r1", "a1", "c1", second=12, isError=True),
            answered("a2", "r1", text("Done."), second=20),
        ]
    )
    assert [(part.id, part.kind, text_of(part.block)) for part in first.wrote] == [
        ("L4.1", Kind.THINKING, "look"),
        ("L4.2", Kind.ASSISTANT, "I look."),
        ("L4.3", Kind.TOOL_CALL, 'read {"path":"cart.py"}'),
    ]
    assert "thinkingSignature" not in first.wrote[0].block
    assert [(part.id, part.kind, part.is_injected) for part in first.came] == [
        ("L3", Kind.USER, False)
    ]
    (came,) = second.came
    assert (came.group, came.tool, came.source) == ("c1", "read", "cart.py")
    assert (first.wrote[2].group, first.wrote[2].tool) == ("c1", "read")
    assert came.block["is_error"] is True
    assert (first.model, first.tokens) == ("gpt-5.3-codex", Split(100, 20, 5, 0, 10))
    assert [first.at_s, second.at_s] == [seconds(at(4)), seconds(at(12))]
    assert (file.session, file.damaged_lines) == ("s-1", 0)


def test_going_back_takes_out_what_stands_behind() -> None:
    found, _ = read(
        [*DIALOGUE, said("u3", "a1", "other"), answered("a3", "u3", text("third"))],
    )
    assert [one.left for one in found] == [(), (), ("L4", "L5")]
    assert ids(found[2].came) == ["L6"]


def test_going_back_before_the_first_message() -> None:
    found, _ = read([*DIALOGUE, said("u3", None, "other"), answered("a3", "u3", text("third"))])
    assert found[2].left == ("L2", "L3", "L4", "L5")


def test_what_comes_again_has_new_ids() -> None:
    found, _ = read(
        [
            *DIALOGUE,
            said("u3", "a1", "other"),
            answered("a3", "u3", text("third")),
            said("u4", "a2", "back"),
            answered("a4", "u4", text("fourth")),
        ]
    )
    assert found[3].left == ("L6", "L7")
    assert ids(found[3].came) == ["L4.again2", "L5.again2", "L8"]
    assert [text_of(part.block) for part in found[3].came] == ["two", "second", "back"]


def test_a_compaction_keeps_what_it_says() -> None:
    end = [said("u3", "k1", "go on", second=25), answered("a3", "u3", text("third"), second=30)]
    expected = {
        "u2": ("L2", "L3"),
        "u1": (),
        "a2": ("L2", "L3", "L4"),
        None: ("L2", "L3", "L4", "L5"),
    }
    for kept, gone in expected.items():
        found, file = read([*DIALOGUE, compaction("k1", "a2", kept), *end])
        last = found[2]
        assert (last.compacted, last.left) == (gone, ())
        assert [(part.id, part.kind) for part in last.came] == [
            ("L6", Kind.SUMMARY),
            ("L7", Kind.USER),
        ]
        assert last.stand_ins == ("L6",)
        assert file.summaries == 1


def test_a_second_compaction_takes_the_first_ones_summary() -> None:
    found, _ = read(
        [
            *DIALOGUE,
            compaction("k1", "a2", "u2"),
            said("u3", "k1", "three"),
            answered("a3", "u3", text("third")),
            compaction("k2", "a3", "u2", "Nearly mended."),
            said("u4", "k2", "four"),
            answered("a4", "u4", text("fourth")),
        ]
    )
    assert found[2].compacted == ("L2", "L3")
    assert found[3].compacted == ("L6",)
    assert found[3].stand_ins == ("L9",)
    assert ids(found[3].came) == ["L9", "L10"]


def test_going_back_before_a_compaction_brings_all_back() -> None:
    found, _ = read(
        [
            *DIALOGUE,
            compaction("k1", "a2", "a2"),
            said("u3", "k1", "three"),
            answered("a3", "u3", text("third")),
            said("u4", "a1", "other"),
            answered("a4", "u4", text("fourth")),
        ]
    )
    assert set(found[3].left) == {"L5", "L6", "L7", "L8"}
    assert ids(found[3].came) == ["L2.again2", "L3.again2", "L9"]
    assert found[3].compacted == found[3].stand_ins == ()


def test_what_was_broken_off_is_not_sent_again() -> None:
    uncounted = dict.fromkeys(("input", "output", "cacheRead", "cacheWrite"), 0)
    found, _ = read(
        [
            SESSION,
            said("u1", None, "one"),
            answered("a1", "u1", text("fir"), stopReason="aborted", usage=uncounted),
            said("u2", "a1", "again"),
            answered("a2", "u2", text("sec"), stopReason="error"),
            said("u3", "a2", "and again"),
            answered("a3", "u3", text("third")),
        ]
    )
    assert [ids(one.came) for one in found] == [["L2", "L4"], ["L6"]]
    assert ids(found[0].wrote) == ["L5"]
    assert found[1].left == ("L5",)
    assert found[1].compacted == ()


def test_an_answer_without_usage_is_part_of_the_next_prompt() -> None:
    damaged = answered("a1", "u1", text("first"), usage={"input": -1})
    found, file = read(
        [SESSION, said("u1", None, "one"), damaged, answered("a2", "a1", text("more"))]
    )
    assert [(part.id, part.kind) for part in found[0].came] == [
        ("L2", Kind.USER),
        ("L3", Kind.ASSISTANT),
    ]
    assert file.damaged == [3]


def test_what_pi_puts_in_itself() -> None:
    ran = {"role": "bashExecution", "command": "ls", "output": "cart.py", "exitCode": 0}
    hidden = {**ran, "excludeFromContext": True}
    image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
    found, _ = read(
        [
            SESSION,
            entry("b1", None, type_="message", message=ran),
            entry("b2", "b1", type_="message", message=hidden),
            entry("c1", "b2", type_="custom_message", customType="note", content="use tabs"),
            entry("c2", "c1", type_="custom", customType="state", data={"n": 1}),
            entry("s1", "c2", type_="branch_summary", summary="Tried before.", fromId="x"),
            entry("u1", "s1", type_="message", message={"role": "user", "content": [image]}),
            answered("a1", "u1", text("first")),
        ]
    )
    assert [(part.id, part.kind, part.is_injected) for part in found[0].came] == [
        ("L2", Kind.USER, True),
        ("L4", Kind.USER, True),
        ("L6", Kind.SUMMARY, False),
        ("L7", Kind.USER, False),
    ]
    assert text_of(found[0].came[0].block) == "ls\ncart.py"
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert found[0].came[3].block == {"type": "image", "source": source}
    assert found[0].stand_ins == ()


def test_the_first_version_is_a_row() -> None:
    rows = [
        {key: one for key, one in line.items() if key not in ("id", "parentId")}
        for line in DIALOGUE
    ]
    found, _ = read(rows)
    assert [ids(one.came) for one in found] == [["L2"], ["L4"]]
    assert [one.left for one in found] == [(), ()]


def test_a_lost_line_does_not_lose_the_path() -> None:
    found, _ = read([*DIALOGUE[:3], *DIALOGUE[4:]])
    assert (found[1].left, ids(found[1].wrote)) == ((), ["L4"])


ALL = [
    *DIALOGUE,
    answered("a3", "a2", call("c1"), {"type": "thinking", "thinking": "so"}),
    result("r1", "a3", "c1"),
    compaction("k1", "r1", "u2"),
    said("u3", "a1", "other"),
    answered("a4", "u3", text("fourth")),
    said("u4", "k1", "back"),
    answered("a5", "u4", text("fifth")),
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.just(float("nan")),
    st.sampled_from(["", "a1", "k1", "a5", "assistant", "toolResult", "compaction", "\ud800"]),
    st.sampled_from([[], {}, [7], {"type": 7}, [{"type": "toolCall"}], [{"type": "image"}]]),
)


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, len(ALL) - 1), odd=ODD, choice=st.integers(0, 99))
def test_whatever_is_damaged_nothing_is_raised(number: int, odd: Any, choice: int) -> None:
    lines: list[Any] = copy.deepcopy(ALL)
    places = [(lines[number], key) for key in lines[number]]
    for holder, key in places:
        inner = holder[key]
        for one in inner if isinstance(inner, list) else [inner]:
            places += [(one, name) for name in one] if isinstance(one, dict) else []
    holder, key = places[choice % len(places)]
    holder[key] = odd
    found, _ = read(lines)
    present: set[str] = set()
    came_before: set[str] = set()
    for one in found:
        gone = [*one.left, *one.compacted]
        assert len(set(gone)) == len(gone)
        assert present.issuperset(gone)
        new = ids((*one.came, *one.wrote))
        assert len(set(new)) == len(new)
        assert came_before.isdisjoint(new)
        assert set(one.stand_ins) <= set(ids(one.came))
        came_before.update(new)
        present = (present - set(gone)).union(new)
        for part in (*one.came, *one.wrote):
            text_of(part.block)
