"""Texts without what is held elsewhere: cases worked by hand, then what holds for any text."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.references import identifiers, quotes
from ctxbudget.shortening.dedupe import deduped, names_left

ONE = "first_value = read_input(path)"
TWO = "second_value = first_value * 2"
THREE = "return first_value, second_value"
PLAIN = "a line of words and nothing else"
HELD_LINES = {ONE, TWO, THREE, PLAIN}
HELD_NAMES = {"first_value", "second_value", "read_input"}


class Words:
    """Counts words."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def short(text: str, lines: Collection[str], names: Collection[str]) -> str:
    return deduped(text, lines.__contains__, names.__contains__)


def text_of(*lines: str) -> str:
    return "\n".join(lines)


CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "three in a row go for one mark": (("top", ONE, TWO, THREE), ("…",)),
    "one that is new stays": (
        ("something_new = 1", ONE, TWO, THREE, "something_else = 2"),
        ("something_new = 1", "…", "something_else = 2"),
    ),
    "two in a row stay": (
        ("something_new = 1", ONE, TWO, "something_else = 2"),
        ("something_new = 1", ONE, TWO, "something_else = 2"),
    ),
    "short lines go with a long one": (
        ("something_new = 1", "", "    " + PLAIN, "}", "something_else = 2"),
        ("something_new = 1", "…", "something_else = 2"),
    ),
    "short lines alone stay": (("{", "}", "", "x = 1", "pass"), ("{", "}", "", "x = 1", "pass")),
    "a long line that is not held stays": (
        (ONE, TWO, "a long line that nobody else has", THREE, PLAIN),
        (ONE, TWO, "a long line that nobody else has", THREE, PLAIN),
    ),
    "a held line with a name that is not stays": (
        (ONE, TWO, "unheld.name in a line that is held", THREE, PLAIN, "}"),
        (ONE, TWO, "unheld.name in a line that is held", "…"),
    ),
    "a held line stays whose number its first name takes in": (
        (PLAIN, PLAIN, "12:" + ONE, "13: " + TWO, PLAIN, PLAIN),
        (PLAIN, PLAIN, "12:" + ONE, "…"),
    ),
    "a short line with a name that is held goes": ((ONE, "first_value", THREE), ("…",)),
    "a short line with a name that is not stays": (
        (ONE, PLAIN, "third_value", TWO, THREE),
        (ONE, PLAIN, "third_value", TWO, THREE),
    ),
    "each run has its mark": (
        (ONE, TWO, THREE, "something_new = 1", PLAIN, TWO, ONE),
        ("…", "something_new = 1", "…"),
    ),
    "what stays is as it was": (
        ("  something_new = 1  ", "\tlast_line = 2\r", ONE),
        ("  something_new = 1  ", "\tlast_line = 2\r", ONE),
    ),
    "numbers go, indentation stays": (
        ("  8→def something_new():", "  9→    " + ONE, " 10→    " + TWO, " 11→", " 12→    x = 1"),
        ("def something_new():", "…"),
    ),
    "numbers go where nothing else does": (
        ("1\tsomething_new", "2\t  x = 1", "10\tlast_line"),
        ("something_new", "  x = 1", "last_line"),
    ),
    "a number that a name takes in stays": (
        ("7:new_name = 1", "8:  x = 1", "9: y = 2", "123456→z = 3"),
        ("7:new_name = 1", "  x = 1", " y = 2", "123456→z = 3"),
    ),
    "a number stays before what looks like one": (
        ("1→10:30:45 the job was started", "2→11|the job has ended by now", "3→x"),
        ("1→10:30:45 the job was started", "2→11|the job has ended by now", "x"),
    ),
    "hours are no line numbers": (
        ("10: nothing happened", "10: nothing again", "11: something"),
        ("10: nothing happened", "10: nothing again", "11: something"),
    ),
    "a few numbers are no line numbers": (
        ("1: the first", "and so on", "and on", "2: the second"),
        ("1: the first", "and so on", "and on", "2: the second"),
    ),
    "nothing": (("",), ("",)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_text_leaves(case: str) -> None:
    given_lines, left = CASES[case]
    held = {*HELD_LINES, "unheld.name in a line that is held"}
    assert short(text_of(*given_lines), held, HELD_NAMES) == text_of(*left)


def test_a_line_of_23_characters_goes_by_its_names_one_of_24_as_a_whole() -> None:
    lines = ("x" * 23, ONE, TWO)
    assert short(text_of(*lines), HELD_LINES, HELD_NAMES) == "…"
    lines = ("x" * 24, ONE, TWO)
    assert short(text_of(*lines), HELD_LINES, HELD_NAMES) == text_of(*lines)


def test_nothing_held_leaves_all() -> None:
    text = text_of(ONE, TWO, "", THREE)
    assert short(text, (), ()) == text


names = st.sampled_from(["alpha_1", "beta.two", "gamma/3", "deltaFour", "12:epsilon", "654321"])
parts = st.lists(names | st.sampled_from(["(", "some", "words", " ", "==", "}"]), max_size=7)
numbers = st.sampled_from(["", "", "", "7→", "8: ", " 9|", "10\t", "11:", "123456→", "12→10:"])
lines = st.builds(lambda number, some: number + " ".join(some), numbers, parts)
numbered = st.lists(lines, max_size=12).map(
    lambda many: [f"{number}→{line}" for number, line in enumerate(many, 1)]
)
texts = (st.lists(lines, max_size=12) | numbered).map("\n".join)


@given(texts, st.data())
def test_what_nobody_else_holds_is_never_lost(text: str, data: st.DataObject) -> None:
    def some(of: Callable[[str], object]) -> set[str]:
        there = sorted(set(of(text)))  # type: ignore[call-overload]
        return set(data.draw(st.lists(st.sampled_from(there)))) if there else set()

    held_lines, held_names = some(quotes), some(identifiers)
    left = short(text, held_lines, held_names)
    assert set(quotes(text)) - held_lines <= set(quotes(left))
    assert set(identifiers(text)) - held_names <= set(identifiers(left))
    assert len(left) <= max(len(text), 1)


# ---- names


TEXT = "src/app.py: read_input failed with E104207 in src/app.py, then first_value was None"
HEAD = "[was 1,234 tokens; id main/12]"


@pytest.mark.parametrize(
    ("limit_tokens", "held", "left"),
    [
        (50, (), f"{HEAD}\nnames: src/app.py E104207 read_input first_value"),
        (50, ("src/app.py", "first_value"), f"{HEAD}\nnames: E104207 read_input"),
        (50, ("src/app.py", "first_value", "E104207", "read_input"), HEAD),
        (8, (), f"{HEAD}\nnames: src/app.py E104207"),
        (7, (), f"{HEAD}\nnames: src/app.py"),
        (6, (), HEAD),
        (5, (), HEAD),
        (0, (), ""),
    ],
)
def test_names_that_are_left(limit_tokens: int, held: tuple[str, ...], left: str) -> None:
    assert names_left(TEXT, limit_tokens, Words(), held.__contains__, head=HEAD) == left


def test_a_limit_too_small_for_the_head_is_kept() -> None:
    left = names_left(TEXT, 3, Words(), lambda _: False, head=HEAD)
    assert HEAD.startswith(left)
    assert Words()(left) <= 3


def test_times_and_ruled_lines_are_no_names_to_keep() -> None:
    text = f"2026-01-01T10:00:00 {'-' * 30} {'long_' * 30} one_name"
    assert names_left(text, 50, Words(), lambda _: False, head="[x]") == "[x]\nnames: one_name"


@given(texts, st.integers(0, 12), st.sets(names))
def test_names_keep_to_their_limit_and_to_the_text(text: str, limit: int, held: set[str]) -> None:
    left = names_left(text, limit, Words(), held.__contains__, head=HEAD)
    assert Words()(left) <= limit
    listed = left.removeprefix(HEAD).removeprefix("\nnames: ").split()
    if left.startswith(HEAD):
        assert set(listed) <= set(identifiers(text)) - held
