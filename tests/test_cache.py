"""Tests of the prompt-cache model: what a call reads and writes, and when a rewrite pays."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.cache import CacheState, is_loss, pays_off
from ctxbudget.core.store import Sent
from ctxbudget.core.types import Cache

FIVE_MINUTES = Cache()

Parts: TypeAlias = tuple[int, int, int, int]
"""Tokens read, written, uncached, rewritten."""


def call(
    state: CacheState,
    tokens: int,
    same: int = 0,
    after: int = 0,
    at: float = 0,
    model: str = "m",
    cache: Cache = FIVE_MINUTES,
) -> Parts:
    sent = Sent(same_prefix_tokens=same, carried_after_tokens=after)
    one = state.call(at, model=model, cache=cache, tokens=tokens, sent=sent, fixed_tokens=3_000)
    read, write = one.cache_read_tokens, one.cache_write_tokens
    return read, write, one.uncached_tokens, one.rewritten_tokens


SECOND_CALLS: dict[str, tuple[int, int, int, int, float, str, Parts]] = {
    # the first call's tokens; the second's, those the same at the front, those carried behind a
    # change; its time and model
    "appended": (5_000, 7_000, 5_000, 0, 10, "m", (5_000, 2_000, 0, 0)),
    "nothing_new": (5_000, 5_000, 5_000, 0, 10, "m", (5_000, 0, 0, 0)),
    "at_the_end_of_its_life": (5_000, 7_000, 5_000, 0, 300, "m", (5_000, 2_000, 0, 0)),
    "a_moment_too_late": (5_000, 7_000, 2_000, 3_000, 300.5, "m", (0, 7_000, 0, 0)),
    "another_model": (5_000, 7_000, 2_000, 3_000, 10, "n", (0, 7_000, 0, 0)),
    "removed_from_the_middle": (10_000, 6_000, 2_000, 4_000, 10, "m", (2_000, 4_000, 0, 4_000)),
    "removed_and_added": (10_000, 10_000, 2_000, 4_000, 10, "m", (2_000, 8_000, 0, 4_000)),
    "removed_from_the_end": (10_000, 6_000, 6_000, 0, 10, "m", (6_000, 0, 0, 0)),
    "changed_from_the_first_token_on": (9_000, 9_000, 0, 4_000, 10, "m", (0, 9_000, 0, 4_000)),
    "prefix_just_long_enough": (5_000, 5_000, 1_024, 3_000, 10, "m", (1_024, 3_976, 0, 3_000)),
    "prefix_just_too_short": (5_000, 5_000, 1_023, 3_000, 10, "m", (0, 5_000, 0, 4_023)),
    "nothing_was_cached": (1_023, 3_000, 1_023, 0, 10, "m", (0, 3_000, 0, 0)),
    "now_too_short_to_cache": (5_000, 900, 900, 0, 10, "m", (0, 0, 900, 900)),
}


@pytest.mark.parametrize(
    ("first", "tokens", "same", "after", "at", "model", "expected"),
    SECOND_CALLS.values(),
    ids=SECOND_CALLS,
)
def test_a_second_call_reads_the_common_prefix_while_the_cache_is_alive(
    first: int, tokens: int, same: int, after: int, at: float, model: str, expected: Parts
) -> None:
    state = CacheState()
    call(state, first)
    assert call(state, tokens, same, after, at, model) == expected


@pytest.mark.parametrize(
    ("tokens", "expected", "warm"),
    [(1_024, (0, 1_024, 0, 0), True), (1_023, (0, 0, 1_023, 0), False), (0, (0, 0, 0, 0), False)],
)
def test_a_first_call_writes_all_if_it_is_long_enough_to_be_cached(
    tokens: int, expected: Parts, warm: bool
) -> None:
    state = CacheState()
    assert not state.is_warm(0.0, "m")
    assert call(state, tokens) == expected
    assert (state.is_warm(1.0, "m"), state.was_written) == (warm, warm)


def test_each_call_keeps_the_cache_alive_and_a_switch_of_model_starts_cold() -> None:
    state, calls = CacheState(), [(0, "m"), (200, "m"), (400, "m"), (500, "n"), (750, "n")]
    read = [call(state, 2_000, same=2_000, at=at, model=model)[0] for at, model in calls]
    assert read == [0, 2_000, 2_000, 0, 2_000]
    assert not state.is_warm(750, "m")


def test_back_at_a_model_what_has_not_changed_since_its_own_last_call_is_read() -> None:
    state = CacheState()
    call(state, 9_000)
    call(state, 9_500, same=6_000, after=2_000, at=10, model="n")
    call(state, 9_900, same=9_500, at=20, model="n")
    assert call(state, 9_950, same=9_900, at=30) == (6_000, 3_950, 0, 0)


def test_a_lifetime_is_that_of_the_call_that_wrote() -> None:
    state, long = CacheState(), Cache().lasting(3_600)
    assert long.write_multiplier == 2.0
    call(state, 5_000, cache=long)
    assert call(state, 5_000, same=5_000, at=3_600)[0] == 5_000  # it asks for a short one itself
    assert call(state, 5_000, same=5_000, at=3_901)[0] == 0


def test_what_the_cache_lost_is_written_again_once_and_no_rewrite() -> None:
    state = CacheState()
    call(state, 9_000)
    state.lost(2_000)
    assert call(state, 9_000, same=8_000, after=500, at=10) == (2_000, 7_000, 0, 0)
    assert call(state, 9_000, same=9_000, at=20) == (9_000, 0, 0, 0)
    state.lost(9_500)
    assert call(state, 9_000, same=7_000, at=30) == (7_000, 2_000, 0, 0)


@pytest.mark.parametrize(
    ("found", "same", "at", "read"),
    [
        (2_500, 5_000, 400, 2_500),
        (9_000, 5_000, 400, 5_000),  # of one's own prompt, not more than is still the same
        (9_000, 1_500, 400, 3_000),  # but always what nothing changes
        (2_500, 5_000, 100, 5_000),
    ],
)
def test_what_others_keep_in_the_cache_is_read_when_our_own_is_cold(
    found: int, same: int, at: float, read: int
) -> None:
    state = CacheState()
    state.found(2_000)
    assert call(state, 6_000)[0] == 2_000
    state.found(found)
    assert call(state, 6_000, same=same, at=at)[0] == read


ANSWERS: dict[str, tuple[list[tuple[int, int, float, int | None]], int]] = {
    # calls as (tokens, those the same at the front, time, tokens the provider says it has read)
    "a first call": ([(5_000, 0, 0, 0)], 0),
    "all of it": ([(5_000, 0, 0, 0), (6_000, 5_000, 9, 5_000)], 0),
    "more than all": ([(5_000, 0, 0, 0), (6_000, 5_000, 9, 6_000)], 0),
    "half of it": ([(5_000, 0, 0, 0), (6_000, 5_000, 9, 2_500)], 0),
    "less than half": ([(5_000, 0, 0, 0), (6_000, 5_000, 9, 2_499)], 1),
    "half of the prefix that is left": ([(5_000, 0, 0, 0), (6_000, 2_000, 9, 1_000)], 0),
    "too late to expect anything": ([(5_000, 0, 0, 0), (6_000, 5_000, 301, 0)], 0),
    "too short to expect anything": ([(900, 0, 0, 0), (6_000, 900, 9, 0)], 0),
    "nobody said": ([(5_000, 0, 0, None), (6_000, 5_000, 9, None)], 0),
    "twice": ([(5_000, 0, 0, 1), (5_000, 5_000, 9, 0), (5_000, 5_000, 18, 0)], 2),
    "who never says a read has no losses": ([(5_000, 0, 0, 0), (5_000, 5_000, 9, 0)], 0),
    "once, then found again": ([(5_000, 0, 0, 1), (5_000, 5_000, 9, 0), (5_000, 5_000, 18, 5_000)], 1),
    "after a cold call": ([(5_000, 0, 0, 0), (5_000, 5_000, 400, 0), (5_000, 5_000, 409, 9)], 1),
}  # fmt: skip


@pytest.mark.parametrize(("calls", "losses"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_read_less_than_half_of_what_it_should_is_a_loss(
    calls: list[tuple[int, int, float, int | None]], losses: int
) -> None:
    state = CacheState()
    for tokens, same, at, read in calls:
        call(state, tokens, same, at=at)
        if read is not None:
            state.answered(read)
    assert state.losses == losses


def test_a_loss_that_was_told_is_not_counted_again_by_the_answer() -> None:
    state = CacheState()
    call(state, 9_000)
    state.answered(0)
    state.lost(2_000)
    assert state.losses == 1
    assert call(state, 9_000, same=9_000, at=10)[0] == 2_000
    state.answered(2_000)
    assert state.losses == 1
    state.found(9_000)
    assert state.losses == 1


@pytest.mark.parametrize(
    ("should", "did", "expected"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (10, 4, True), (10, 5, False), (9, 4, True)],
)
def test_a_loss_is_less_than_half_of_something(should: int, did: int, expected: bool) -> None:
    assert is_loss(should, did) is expected


def test_a_prefix_is_read_in_whole_blocks_which_is_no_rewrite() -> None:
    state, cache = CacheState(), Cache(block_tokens=128)
    call(state, 5_000, cache=cache)
    assert call(state, 6_000, same=5_000, at=10, cache=cache) == (4_992, 1_008, 0, 0)


def test_a_cache_that_reads_anywhere_is_not_broken_by_a_change() -> None:
    state, cache = CacheState(), Cache(reads_anywhere=True)
    call(state, 10_000, cache=cache)
    assert call(state, 7_000, 2_000, 4_000, 10, cache=cache) == (6_000, 1_000, 0, 0)
    assert call(state, 7_000, 2_000, 4_000, 400, cache=cache) == (0, 7_000, 0, 0)


prompts = st.tuples(
    st.sampled_from([1, 299, 300, 301]),
    st.sampled_from("mn"),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
)


@given(st.lists(prompts))
def test_a_split_adds_up_to_the_prompt_and_reads_no_more_than_is_the_same(
    calls: list[tuple[int, str, int, int, int]],
) -> None:
    state, at, before = CacheState(), 0, 0
    for wait, model, tokens, same, after in calls:
        at, same = at + wait, min(same, before, tokens)
        after = min(after, before - same, tokens - same)
        read, written, uncached, rewritten = call(state, tokens, same, after, at, model)
        assert read + written + uncached == tokens
        assert min(read, written, uncached, rewritten) >= 0
        assert read <= same
        assert read + rewritten <= before
        before = tokens


@pytest.mark.parametrize(
    ("write", "read", "rewritten_tokens", "gain_tokens", "break_even_calls"),
    [
        (1.25, 0.1, 2_000, 1_000, 23),
        (1.25, 0.1, 10_000, 5_000, 23),
        (1.25, 0.1, 4_000, 23_000, 2),
        (1.25, 0.1, 3_000, 100, 345),
        (1.25, 0.1, 14_000, 200, 805),
        (1.25, 0.1, 0, 500, 0),
        (2.0, 0.1, 1_000, 1_000, 19),
        (1.0, 0.5, 6_000, 1_000, 6),
        (1.25, 0.3, 6_000, 1_000, 19),
    ],
)
def test_a_rewrite_pays_off_after_more_calls_than_the_break_even(
    write: float, read: float, rewritten_tokens: int, gain_tokens: int, break_even_calls: int
) -> None:
    w, r = Fraction(str(write)), Fraction(str(read))
    assert (w - r) / r * rewritten_tokens / gain_tokens == break_even_calls
    cache = Cache(write_multiplier=write, read_multiplier=read)
    sizes = {"gain_tokens": gain_tokens, "rewritten_tokens": rewritten_tokens}
    pays = [pays_off(cache, calls_left=break_even_calls + n, warm=True, **sizes) for n in (0, 1)]
    assert pays == [False, True]


@pytest.mark.parametrize(("gain_tokens", "expected"), [(1, True), (0, False), (-5, False)])
def test_with_a_cold_cache_any_gain_pays_off(gain_tokens: int, expected: bool) -> None:
    found = pays_off(
        Cache(), gain_tokens=gain_tokens, rewritten_tokens=99_999, calls_left=0, warm=False
    )
    assert found is expected
