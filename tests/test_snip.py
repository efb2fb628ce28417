"""Tests of exact token cuts and of snips."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.counting.counters import CharsCounter, Counter, TiktokenCounter, o200k_encoding
from ctxbudget.shortening.snip import clipped, first_tokens, fits, last_tokens, snip

TIKTOKEN = TiktokenCounter()
MARKER = re.compile(r"^\[… ([\d,]+) characters left out(?:; restore (.*))?\]$", re.MULTILINE)


class ScaledCounter:
    """Counts `factor` times what o200k_base gives, rounded up; keeps the longest text it saw."""

    name = "scaled"
    is_estimate = True

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.longest_chars = 0

    def __call__(self, text: str) -> int:
        self.longest_chars = max(self.longest_chars, len(text))
        return -int(-TIKTOKEN(text) * self.factor // 1)


COUNTERS: list[Counter] = [TIKTOKEN, ScaledCounter(1.5), ScaledCounter(0.4), CharsCounter()]
PIECES = [
    "word ",
    "two words\n",
    "\n\n",
    "    ",
    "😀",
    "上海",
    "é\u0301",
    "\ud83d",
    "\udcff",
    "12345",
]
PIECES += ["<|endoftext|>", "a" * 40, "=" * 70, "\r\n", "\x1c ", "snake_case_name", "\ud83d\ude00"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=120).map("".join)


# Exact cuts


def test_cuts_are_at_token_ends() -> None:
    text = "The harbour opens at seven. Ships wait outside."
    tokens = o200k_encoding().encode_ordinary(text)
    for kept in range(1, len(tokens)):
        assert first_tokens(text, kept) == o200k_encoding().decode(tokens[:kept])
        assert last_tokens(text, kept) == o200k_encoding().decode(tokens[-kept:])
    assert first_tokens(text, len(tokens)) == last_tokens(text, len(tokens)) == text
    assert first_tokens(text, 10_000) == last_tokens(text, 10_000) == text


@pytest.mark.parametrize("cut", [first_tokens, last_tokens])
@pytest.mark.parametrize("tokens", [0, -1])
def test_no_tokens_are_no_text(cut: Callable[[str, int], str], tokens: int) -> None:
    assert cut("text", tokens) == ""


def test_a_character_is_never_split() -> None:
    text = "🜁" * 30  # several tokens for each character
    per_character = TIKTOKEN("🜁")
    assert per_character > 1
    assert first_tokens(text, per_character + 1) == "🜁"
    assert last_tokens(text, per_character + 1) == "🜁"
    assert first_tokens(text, 1) == last_tokens(text, 1) == ""


def test_a_pair_of_surrogates_is_one_character() -> None:
    text = "\ud83d\ude00" * 20
    for tokens in range(1, 20):
        assert len(first_tokens(text, tokens)) % 2 == 0
        assert len(last_tokens(text, tokens)) % 2 == 0


LOG = "".join(
    f"2026-03-02 08:{at // 60 % 60:02}:{at % 60:02} job {at} done\n" for at in range(40_000)
)


@pytest.mark.parametrize("tokens", [1, 10, 256, 1000])
def test_the_ends_of_a_long_text_are_those_of_its_whole_encoding(tokens: int) -> None:
    encoded = o200k_encoding().encode_ordinary(LOG)
    assert first_tokens(LOG, tokens) == o200k_encoding().decode(encoded[:tokens])
    assert last_tokens(LOG, tokens) == o200k_encoding().decode(encoded[-tokens:])


MEGABYTES = {
    "spaces": " " * 2_000_000,
    "letters": "a" * 1_000_000,
    "tabs and a letter": "\t" * 1_200_000 + "x",
    "special tokens": "<|endoftext|>" * 80_000,
    "lone surrogates": "\ud83d " * 500_000,
}


@pytest.mark.parametrize("name", MEGABYTES)
@pytest.mark.parametrize("tokens", [3, 3_000])
def test_a_hostile_megabyte_is_cut(name: str, tokens: int) -> None:
    text = MEGABYTES[name]
    head, tail = first_tokens(text, tokens), last_tokens(text, tokens)
    assert head
    assert tail
    assert text.startswith(head)
    assert text.endswith(tail)
    assert tokens - 2 <= TIKTOKEN(head) <= tokens
    assert TIKTOKEN(tail) <= tokens


def test_a_window_of_more_than_a_million_spaces_is_cut() -> None:
    # 9,000 tokens of 128 spaces each: encoded at once, tiktoken would panic.
    assert first_tokens(" " * 2_000_000, 9_000) == " " * 128 * 9_000


@settings(deadline=None)
@given(TEXTS, st.integers(0, 200))
def test_cuts_are_true_ends_within_the_limit(text: str, tokens: int) -> None:
    head, tail = first_tokens(text, tokens), last_tokens(text, tokens)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert TIKTOKEN(head) <= tokens
    assert TIKTOKEN(tail) <= tokens
    if TIKTOKEN(text) <= tokens:
        assert head == tail == text


# Snips


def test_a_text_that_fits_is_left_alone() -> None:
    text = "one two three four"
    assert snip(text, TIKTOKEN(text), TIKTOKEN) == text
    assert snip(text, TIKTOKEN(text) - 1, TIKTOKEN) != text
    assert snip("", 0, TIKTOKEN) == ""


def test_a_long_text_that_fits_is_left_alone() -> None:
    text = " " * 1_000_000
    assert snip(text, TIKTOKEN(text), TIKTOKEN) == text


def test_head_marker_and_tail() -> None:
    lines = [f"line number {number} of the text\n" for number in range(400)]
    text = "".join(lines)
    short = snip(text, 120, TIKTOKEN, name="result 7")
    marker = MARKER.search(short)
    assert marker is not None
    head, tail = short[: marker.start()], short[marker.end() + 1 :]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert head.endswith("\n")
    assert tail.startswith("line number")
    assert int(marker[1].replace(",", "")) == len(text) - len(head) - len(tail)
    assert marker[2] == "result 7"
    # Two to one, give or take the line that the cut is moved by.
    assert 1.4 < len(head) / len(tail) < 2.8
    assert 100 <= TIKTOKEN(short) <= 120


def test_a_marker_stays_one_line() -> None:
    text = "word " * 500
    assert "restore a b]" in snip(text, 60, TIKTOKEN, name="a\n  b")
    assert "restore" not in snip(text, 60, TIKTOKEN)


def test_the_marker_stands_on_its_own_line_in_a_text_without_lines() -> None:
    short = snip("x1y2" * 3_000, 100, TIKTOKEN)
    assert MARKER.search(short)
    assert len(short.split("\n")) == 3


def test_a_small_limit_leaves_the_marker_or_a_part_of_it() -> None:
    text = "word " * 500
    marker = "[… 2,500 characters left out]"
    whole = TIKTOKEN(marker)
    assert snip(text, whole, TIKTOKEN) == marker
    part = snip(text, whole - 3, TIKTOKEN)
    assert part
    assert marker.startswith(part)
    assert part != marker
    assert snip(text, 0, TIKTOKEN) == ""
    assert snip(text, -1, TIKTOKEN) == ""


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("limit_tokens", [100, 1_000])
def test_most_of_the_limit_is_used_with_any_counter(counter: Counter, limit_tokens: int) -> None:
    short = snip(LOG, limit_tokens, counter)
    assert 0.7 * limit_tokens <= counter(short) <= limit_tokens


def test_a_long_text_is_never_counted_as_a_whole() -> None:
    spy = ScaledCounter(1.5)
    snip(LOG, 300, spy, name="log")
    assert spy.longest_chars < 10_000 < len(LOG) // 100


def test_whether_a_text_fits() -> None:
    assert fits("abc", 1, TIKTOKEN)
    assert not fits("abc abc", 1, TIKTOKEN)
    assert not fits("abc", 0, TIKTOKEN)
    # A beginning of 16,384 "=" that ends inside a token must not decide.
    text = "=" * 64 * 1_000
    assert fits(text, TIKTOKEN(text), TIKTOKEN)
    assert not fits(text, TIKTOKEN(text) - 1, TIKTOKEN)


def test_clipped_is_the_longest_beginning() -> None:
    text = "one two three four five"
    assert clipped(text, 2, TIKTOKEN) == "one two"
    assert clipped(text, 99, TIKTOKEN) == text
    assert clipped(text, 3, ScaledCounter(1.5)) == "one two"
    assert clipped(text, 0, TIKTOKEN) == ""


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(0, 150), st.sampled_from(COUNTERS), st.sampled_from(["", "item 3"]))
def test_a_snip_holds_its_limit(text: str, limit_tokens: int, counter: Counter, name: str) -> None:
    short = snip(text, limit_tokens, counter, name=name)
    assert counter(short) <= limit_tokens
    if limit_tokens and counter(text) <= limit_tokens:
        assert short == text
    if limit_tokens >= 4 and text:
        assert short
    if short != text and (marker := MARKER.search(short)) and short != marker[0]:
        before, after = short[: marker.start()], short[marker.end() :].removeprefix("\n")
        assert text.startswith(before.removesuffix("\n"))
        assert text.endswith(after)
