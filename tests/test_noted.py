"""Tests of how values with comments are written down: what is read again is what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.config.document import parse_document
from ctxbudget.writing.noted import WIDTH, Noted, as_text, bare, scalar


def read(text: str) -> Any:
    return parse_document(text, "flow.yaml").content


def test_each_way_of_writing() -> None:
    content = {
        "name": Noted("flow", "what it is called"),
        "#model": "model: none yet",
        "budget": "100%",
        "sizes": {"clear": 10, "snip": 20},
        "permanent": [Noted({"id": "tools", "tokens": 5}, "all of them"), {"id": "0", "tokens": 1}],
        "phases": Noted(
            [
                {"id": "plan", "turn": Noted({"call": 1, "result": 2}, "means")},
                Noted({"id": "no", "after": ["plan"], "reads": [Noted(7, "a file")]}, "the last"),
            ],
            "the steps",
            is_spaced=True,
        ),
    }
    assert as_text(["About it."], content) == (
        "# About it.\n"
        "name: flow # what it is called\n"
        "# model: none yet\n"
        "budget: 100%\n"
        "sizes: {clear: 10, snip: 20}\n"
        "permanent:\n"
        "  - {id: tools, tokens: 5} # all of them\n"
        '  - {id: "0", tokens: 1}\n'
        "phases: # the steps\n"
        "  - id: plan\n"
        "    turn: {call: 1, result: 2} # means\n"
        "\n"
        "  # the last\n"
        '  - id: "no"\n'
        "    after: [plan]\n"
        "    reads:\n"
        "      - 7 # a file\n"
    )


def test_a_comment_that_makes_a_line_too_long_goes_above_it() -> None:
    note = "word " * 16 + "end"
    (above, line) = as_text([], {"name": Noted("a" * 20, note)}).splitlines()
    assert above == f"# {note}"
    assert line == "name: " + "a" * 20


def test_a_long_text_is_folded_and_long_mappings_are_written_key_by_key() -> None:
    about = "word " * 40 + "end"
    agent = {"id": "a" * 50, "prompt": 1, "output": 2, "reads": [1, 2], "tool": "b" * 50}
    text = as_text([], {"about": about, "agents": [agent]})
    assert "about: >-\n  word word" in text
    assert f"  - id: {'a' * 50}\n    prompt: 1\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert read(text) == {"about": about, "agents": [agent]}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plan-2.b", "plan-2.b"),
        ("50%", "50%"),
        ("yes", '"yes"'),
        ("Null", '"Null"'),
        ("7", '"7"'),
        ("a: b", '"a: b"'),
        ("#1", '"#1"'),
        ("", '""'),
        ("a\u2028b", '"a\\U00002028b"'),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
    ],
)
def test_scalars(value: Any, written: str) -> None:
    assert scalar(value) == written
    assert read(f"key: {written}\n") == {"key": value}


def test_nothing_in_a_comment_ends_it() -> None:
    text = as_text(["one\u2028two: 2\x85three: 3\nfour: 4"], {"a": Noted(1, "x\u2029b: 2\r\nc: 3")})
    assert read(text) == {"a": 1}


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.text("ab :#-'\"\n%")
SCALARS = st.none() | st.booleans() | st.integers(-9, 10**9) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
        st.builds(Noted, st.integers(0, 9) | TEXTS, TEXTS),
        st.builds(
            Noted, st.lists(st.dictionaries(st.text("xy", min_size=1), inner), max_size=3), TEXTS,
            is_spaced=st.booleans(),
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.dictionaries(st.text("abc#", min_size=1, max_size=4), VALUES, min_size=1, max_size=4),
    st.lists(TEXTS, max_size=2),
)
def test_what_is_written_reads_as_it_was_meant(content: dict[str, Any], head: list[str]) -> None:
    meant = bare(content)
    if meant:
        assert read(as_text(head, content)) == meant
