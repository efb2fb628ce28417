"""Tests of the allocators and of the ledger that moves tokens between phases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.allocation import (
    ALLOCATORS,
    Grants,
    Ledger,
    dynamic,
    fixed,
    open_ledger,
    reserve,
    share_out,
)
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import AllocatorSpec, Phase
from ctxbudget.core.types import Level, Limit, Scale

BUDGET = 7_500


def scale(budget_tokens: int = BUDGET) -> Scale:
    return Scale(window_tokens=25_000, reserve_tokens=0, budget_tokens=budget_tokens)


def granting(*tokens: int | None) -> tuple[Phase, ...]:
    return tuple(Phase(id=f"p{n}", allocate_tokens=one) for n, one in enumerate(tokens))


def weighing(*complexity: float) -> tuple[Phase, ...]:
    return tuple(Phase(id=f"p{n}", complexity=one) for n, one in enumerate(complexity))


# ---- allocators


@pytest.mark.parametrize(
    ("total_tokens", "weights", "expected"),
    [
        (7_500, [5, 8, 12], [1_500, 2_400, 3_600]),
        (7_500, [1, 2, 4], [1_071, 2_143, 4_286]),
        (184_000, [0.08, 0.22, 0.3, 0.4], [14_720, 40_480, 55_200, 73_600]),
        (10, [1, 1, 1], [4, 3, 3]),
        (11, [1, 1, 1], [4, 4, 3]),
        (1, [1, 1, 2], [0, 0, 1]),
        (9, [0, 2, 1], [0, 6, 3]),
        (5, [0, 0], [3, 2]),
        (0, [1, 2], [0, 0]),
        (10, [62, 19, 19], [6, 2, 2]),
        (5, [0.7, 0.3], [4, 1]),
        (5, [], []),
    ],
)
def test_a_total_is_shared_by_weight_with_the_largest_remainders_rounded_up(
    total_tokens: int, weights: list[float], expected: list[int]
) -> None:
    shares = share_out(total_tokens, {f"n{i}": weight for i, weight in enumerate(weights)})
    assert list(shares.values()) == expected


@given(
    st.integers(0, 10**7),
    st.lists(st.integers(1, 999) | st.decimals(1, 999, places=2).map(float), min_size=1),
)
def test_shares_add_up_and_are_within_one_token_of_exact(total: int, weights: list[float]) -> None:
    shares = share_out(total, {str(i): weight for i, weight in enumerate(weights)})
    assert sum(shares.values()) == total
    for share, weight in zip(shares.values(), weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1.000001


@pytest.mark.parametrize(
    ("tokens", "buffer_tokens"),
    [
        ((500, 900, 800, 2_000, 400, 300), 2_600),
        ((500, 1_200, 1_000), 4_800),
        ((7_000, 0, 500), 0),
    ],
)
def test_fixed_grants_what_is_declared_and_the_rest_is_buffer(
    tokens: tuple[int, ...], buffer_tokens: int
) -> None:
    grants = fixed(BUDGET, granting(*tokens), AllocatorSpec())
    assert (tuple(grants.phases.values()), grants.buffer_tokens) == (tokens, buffer_tokens)
    assert grants.reserve_tokens == 0


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ((500, None, 0, None), r"`allocate` for every phase; missing for 'p1', 'p3'; add it"),
        ((500, 5_000, 2_100), r"add up to 7,600 tokens, 100 over the budget of 7,500; lower"),
    ],
    ids=["missing", "over_budget"],
)
def test_fixed_refuses_a_missing_grant_and_a_sum_over_the_budget(
    declared: tuple[int | None, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fixed(BUDGET, granting(*declared), AllocatorSpec())


def test_dynamic_grants_the_whole_budget_by_complexity() -> None:
    grants = dynamic(BUDGET, weighing(5, 8, 12), AllocatorSpec())
    assert grants == Grants(phases={"p0": 1_500, "p1": 2_400, "p2": 3_600})


@pytest.mark.parametrize(
    ("reserve_for", "granted", "reserve_tokens", "buffer_tokens"),
    [
        ((), [900, 3_600], 1_500, 1_500),
        (("p1",), [4_500, 1_500], 0, 1_500),
        (("p0",), [1_500, 4_500], 0, 1_500),
        (("p0", "p1"), [300, 1_200], 0, 6_000),
    ],
)
def test_reserve_splits_60_20_20_and_only_named_phases_draw_on_the_reserve(
    reserve_for: tuple[str, ...], granted: list[int], reserve_tokens: int, buffer_tokens: int
) -> None:
    grants = reserve(BUDGET, weighing(1, 4), AllocatorSpec(reserve_for=reserve_for))
    assert list(grants.phases.items()) == list(zip(("p0", "p1"), granted, strict=True))
    assert (grants.reserve_tokens, grants.buffer_tokens) == (reserve_tokens, buffer_tokens)


# ---- opening the ledger


@pytest.mark.parametrize(
    ("handed_out", "total"),
    [
        (Grants(phases={"p0": 0, "p1": 0}, buffer_tokens=7_501), "7,501"),
        (Grants(phases={"p0": 3_000, "p1": 3_000}, reserve_tokens=1_499), "7,499"),
        (Grants(phases={"p0": 7_500, "x": 0}), "7,500"),
    ],
    ids=["too_many", "too_few", "another_phase"],
)
def test_an_allocator_that_does_not_hand_out_the_budget_is_refused(
    handed_out: Grants, total: str
) -> None:
    def mine(budget_tokens: int, phases: Sequence[Phase], spec: AllocatorSpec) -> Grants:
        return handed_out

    message = rf"'mine' handed out {total} tokens over 2 .* exactly 7,500 over the 2 of"
    with pytest.raises(ConfigError, match=message):
        open_ledger(scale(), weighing(1, 1), AllocatorSpec(use="mine"), {"mine": mine}.__getitem__)


def test_fan_in_headroom_is_held_back_before_the_rest_is_shared() -> None:
    spec = AllocatorSpec(fan_in_headroom=Limit(share_frac=0.2))
    ledger = open_ledger(scale(), weighing(1, 2), spec)
    assert (ledger.granted, ledger.headroom_tokens) == ({"p0": 2_000, "p1": 4_000}, 1_500)


@pytest.mark.parametrize("headroom_tokens", [7_501, -1])
def test_headroom_outside_the_budget_is_refused(headroom_tokens: int) -> None:
    spec = AllocatorSpec(fan_in_headroom=Limit(tokens=headroom_tokens))
    message = rf"fan_in_headroom is {headroom_tokens:,} tokens of a budget of 7,500"
    with pytest.raises(ConfigError, match=message):
        open_ledger(scale(), weighing(1), spec)


# ---- moving tokens as phases finish


Run: TypeAlias = tuple[tuple[Phase, ...], AllocatorSpec, tuple[int, ...], tuple[int, ...], int]
"""Phases, spec, what each phase kept; what they were granted in the end, the buffer then."""

OVERRUN, CRITICAL = (Level.OVERRUN,), (Level.CRITICAL,)
FIXED, ROLL = AllocatorSpec(use="fixed"), AllocatorSpec(use="fixed", rollover=True)
LEND = AllocatorSpec(use="fixed", borrow=True)
DRAW = AllocatorSpec(use="fixed", buffer_for=OVERRUN)
BOTH = AllocatorSpec(use="fixed", borrow=True, buffer_for=OVERRUN)
LATE = AllocatorSpec(use="fixed", buffer_for=CRITICAL)
WEIGHED = AllocatorSpec(rollover=True)
SPARE = AllocatorSpec(use="reserve", rollover=True, reserve_for=("p2",))
MIXED = AllocatorSpec(use="reserve", borrow=True, reserve_for=("p2",))
THREE, TWO = granting(500, 1_200, 1_000), granting(500, 6_970)
DOUBLING, EVEN = weighing(1, 2, 4), weighing(1, 1, 1)

RUNS: dict[str, Run] = {
    "nothing_moves_unasked": (THREE, FIXED, (300, 1_250, 0), (500, 1_200, 1_000), 4_800),
    "unused_goes_on_by_grant": (THREE, ROLL, (280, 1_320, 0), (280, 1_320, 1_100), 4_800),
    "unused_goes_on_by_weight": (DOUBLING, WEIGHED, (971, 2_000, 0), (971, 2_000, 4_529), 0),
    "unused_goes_on_to_the_reserve": (EVEN, SPARE, (250, 9_999, 0), (250, 3_250, 2_500), 1_500),
    "unused_reaches_a_last_of_no_weight": (weighing(1, 0), WEIGHED, (7_000, 0), (7_000, 500), 0),
    "overrun_is_borrowed": (THREE, LEND, (500, 1_250, 0), (500, 1_250, 950), 4_800),
    "lenders_lend_all_at_most": (THREE, LEND, (9_000, 0, 10), (2_700, 0, 0), 4_800),
    "unequal_lenders_pay_in_full": (EVEN, MIXED, (6_000, 0, 0), (6_000, 0, 0), 1_500),
    "overrun_is_drawn": (THREE, DRAW, (500, 1_250, 0), (500, 1_250, 1_000), 4_750),
    "overrun_is_not_named": (THREE, LATE, (500, 1_250, 0), (500, 1_200, 1_000), 4_800),
    "drawn_before_borrowed": (TWO, BOTH, (550, 0), (550, 6_950), 0),
}


@pytest.mark.parametrize(
    ("phases", "spec", "kept", "granted", "buffer_tokens"), RUNS.values(), ids=RUNS
)
def test_tokens_move_as_the_spec_says(
    phases: tuple[Phase, ...],
    spec: AllocatorSpec,
    kept: tuple[int, ...],
    granted: tuple[int, ...],
    buffer_tokens: int,
) -> None:
    ledger = open_ledger(scale(), phases, spec)
    for phase, tokens in zip(phases, kept, strict=True):
        ledger.start(phase.id)
        ledger.finish(phase.id, tokens)
    assert tuple(ledger.granted.values()) == granted
    assert (ledger.buffer_tokens, ledger.pool_tokens) == (buffer_tokens, 0)


def test_each_change_of_a_grant_has_a_reason() -> None:
    ledger = open_ledger(scale(), THREE, ROLL)
    reasons = [ledger.start("p0"), ledger.finish("p0", 100), ledger.start("p1")]
    assert reasons == [None, "unused tokens rolled over", "rolled over from earlier phases"]
    assert ledger.start("p1") is None  # started again
    ledger = open_ledger(scale(), TWO, BOTH)
    reasons = [ledger.start("p0"), ledger.finish("p0", 550), ledger.start("p1")]
    both = "drawn from the overflow buffer upon overrun, borrowed from later phases"
    assert reasons == [None, both, "lent to earlier phases"]


def test_a_draw_is_at_most_what_the_buffer_holds() -> None:
    ledger = open_ledger(scale(), granting(7_400), LATE)
    assert ledger.draw("p0", -9, Level.CRITICAL) is None
    assert ledger.draw("p0", 30, Level.CRITICAL) == "drawn from the overflow buffer upon critical"
    assert ledger.draw("p0", 90, Level.CRITICAL) is not None
    assert ledger.draw("p0", 1, Level.CRITICAL) is None
    assert (ledger.granted["p0"], ledger.buffer_tokens) == (7_500, 0)


Play: TypeAlias = Callable[[], Iterator[Ledger]]


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """Return a run that yields its ledger after every start, finish and draw."""
    allocators = ALLOCATORS | {"grants_unlike_weights": fixed}
    small = st.integers(0, 400)
    phases = [
        Phase(id=f"p{n}", complexity=draw(st.integers(0, 9)), allocate_tokens=draw(small))
        for n in range(draw(st.integers(1, 6)))
    ]
    spec = AllocatorSpec(
        use=draw(st.sampled_from(sorted(allocators))),
        rollover=draw(st.booleans()),
        borrow=draw(st.sampled_from((True, True, False))),
        fan_in_headroom=draw(st.none() | st.builds(Limit, tokens=small)),
        reserve_for=tuple(draw(st.sets(st.sampled_from([phase.id for phase in phases])))),
        buffer_for=tuple(draw(st.sets(st.sampled_from((Level.OVERRUN, Level.CRITICAL))))),
    )
    budget = sum(phase.allocate_tokens or 0 for phase in phases) + draw(st.integers(400, 900))
    kept = draw(
        st.lists(st.sampled_from((0, 50, 300, 9_999)), min_size=len(phases), max_size=len(phases))
    )

    def play() -> Iterator[Ledger]:
        ledger = open_ledger(scale(budget), phases, spec, allocators.__getitem__)
        yield ledger
        for phase, tokens in zip(phases, kept, strict=True):
            ledger.start(phase.id)
            yield ledger
            ledger.draw(phase.id, tokens - ledger.granted[phase.id], Level.CRITICAL)
            yield ledger
            ledger.finish(phase.id, tokens)
            yield ledger

    return play


@given(plays())
def test_grants_pool_reserve_buffer_and_headroom_are_the_budget_at_all_times(play: Play) -> None:
    for ledger in play():
        planned = sum(ledger.granted.values())
        held = ledger.reserve_tokens + ledger.buffer_tokens + ledger.headroom_tokens
        assert planned + ledger.pool_tokens + held == ledger.budget_tokens
        assert planned == ledger.planned_tokens
        assert min(*ledger.granted.values(), ledger.buffer_tokens, ledger.reserve_tokens) >= 0


@given(plays())
def test_what_was_borrowed_is_covered_by_the_phases_that_have_not_started(play: Play) -> None:
    for ledger in play():
        assert ledger.pool_tokens + sum(ledger.granted[phase] for phase in ledger.weights) >= 0
