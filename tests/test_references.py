"""Tests of identifiers, quotes and the texts of a tool's input."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.references import identifiers, occurrences, quotes, string_values, unnumbered

IDENTIFIERS = [
    # (text, its identifiers)
    ("plain words only, nothing else here", []),
    ("call fetchUser now", ["fetchUser"]),
    ("HTTPServer has no hump, httpServer has", ["httpServer"]),
    ("user_id is seven, id_a2 is five", ["user_id"]),
    ("src/app.py:12: error", ["src/app.py:12"]),
    ("see (docs/plan.md).", ["docs/plan.md"]),
    ("well-known", ["well-known"]),
    ("--flag is a word, --dry-run is not", ["dry-run"]),
    ("the end of it...", []),
    ("123456 and 12345", ["123456"]),
    ("'E-4012', \"E-4012\", E-4012!", ["E-4012"]),
    ("-----a1 is short once its ends are gone", ["a1"]),
    ("__init__ keeps its underscores", ["__init__"]),
    ("--------", []),
    ("größe_in_cm breaks at letters outside ASCII", ["e_in_cm"]),
    ("a_name b_name a_name", ["a_name", "b_name"]),
    ("pkg.Type.method()", ["pkg.Type.method"]),
]


@pytest.mark.parametrize(("text", "expected"), IDENTIFIERS)
def test_identifiers(text: str, expected: list[str]) -> None:
    assert list(identifiers(text)) == expected


def test_occurrences_tell_each_time() -> None:
    assert list(occurrences("a_name b_name a_name")) == ["a_name", "b_name", "a_name"]


LINES = [
    ("  value = 1 \r", "value = 1"),
    ("   12→    return total_tokens", "return total_tokens"),
    ("12\tindented", "indented"),
    ("7:  text", "text"),
    ("7|text", "text"),
    ("7 | text", "7 | text"),
    ("7.5: text", "7.5: text"),
    ("12:34: text", "34: text"),
    ("١٢: not ASCII digits", "١٢: not ASCII digits"),
    ("42\t", "42"),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_a_line_number_is_taken_off(line: str, expected: str) -> None:
    assert unnumbered(line) == expected


def test_quotes_are_long_lines_each_once() -> None:
    exactly_24, one_less = "x" * 24, "y" * 23
    text = f"  3→\t{exactly_24}  \n{one_less}\nshort\n12345:{one_less}\n{exactly_24}\n{'z' * 25}"
    assert list(quotes(text)) == [exactly_24, "z" * 25]


def test_a_line_number_does_not_make_a_line_long() -> None:
    assert list(quotes("1234567890:" + "x" * 20)) == []


def test_values_of_a_tool_input_in_order_without_keys() -> None:
    value = {
        "path": "a.py",
        "edits": [{"old": "x\ny", "new": ""}, {"old": "z"}],
        "n": 3,
        "all": True,
        "none": None,
        "raw": b"bytes",
    }
    assert list(string_values(value)) == ["a.py", "x\ny", "", "z"]
    assert list(string_values("alone")) == ["alone"]
    assert list(string_values(7)) == []


def test_values_at_any_depth() -> None:
    value: object = "deep"
    for _ in range(50_000):
        value = [value]
    assert list(string_values(value)) == ["deep"]


def test_lines_of_a_tool_input_are_whole_lines() -> None:
    value = {"old_text": "first line of twenty-eight ch\nsecond line of the old text"}
    lines = [line for text in string_values(value) for line in quotes(text)]
    assert lines == ["first line of twenty-eight ch", "second line of the old text"]
    assert list(quotes(json.dumps(value))) != lines


MEGABYTE = 1_000_000
HOSTILE = ["a", " ", ".", "\n", "1", "a ", "a.", "-a-b-", "12345 ", "7:", "aB", "_"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_megabyte_is_read(piece: str) -> None:
    text = piece * (MEGABYTE // len(piece))
    assert len(list(identifiers(text))) <= 1
    assert len(list(quotes(text))) <= 1


ALPHABET = "abzABZ019_./:- \n\t→|é"


@given(st.text(ALPHABET, max_size=80))
def test_identifiers_are_what_the_definition_says(text: str) -> None:
    expected: dict[str, None] = {}
    for run in re.findall(r"[A-Za-z0-9_./:-]{6,}", text):
        name = run.strip("./:-")
        hump = any(a.islower() and b.isupper() for a, b in pairwise(name))
        if hump or set(name) & set("0123456789_./:-"):
            expected[name] = None
    assert list(identifiers(text)) == list(expected)


@given(st.text(ALPHABET, max_size=200))
def test_every_quote_is_in_the_text_and_long_enough(text: str) -> None:
    for quote in quotes(text):
        assert quote in text
        assert len(quote) >= 24
        assert quote == quote.strip()
        assert "\n" not in quote
