"""Tests of the prefix sums."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.fenwick import Fenwick


def row_of(values: Iterable[int]) -> Fenwick:
    row = Fenwick()
    for value in values:
        row.append(value)
    return row


@pytest.mark.parametrize(
    ("index", "expected"), [(0, 0), (1, 3), (2, 3), (3, 8), (4, 6), (5, 13)], ids=str
)
def test_before_sums_what_stands_ahead_of_an_index(index: int, expected: int) -> None:
    assert row_of([3, 0, 5, -2, 7]).before(index) == expected


def test_append_returns_the_index_of_the_new_number() -> None:
    row = Fenwick()
    assert [row.append(value) for value in (4, 0, 9)] == [0, 1, 2]


def test_set_changes_the_sums_behind_it_and_no_other() -> None:
    row = row_of([3, 0, 5])
    row.set(1, 4)
    assert [row.before(index) for index in range(4)] == [0, 3, 7, 12]


changes = st.lists(st.tuples(st.integers(-1, 40), st.integers(-1000, 1000)), max_size=60)


@given(changes)
def test_appends_and_sets_in_any_order_agree_with_a_plain_list(
    steps: list[tuple[int, int]],
) -> None:
    row, plain = Fenwick(), list[int]()
    for index, value in steps:
        if 0 <= index < len(plain):
            row.set(index, value)
            plain[index] = value
        else:
            row.append(value)
            plain.append(value)
        assert [row.before(i) for i in range(len(plain) + 1)] == [
            sum(plain[:i]) for i in range(len(plain) + 1)
        ]
        assert (len(row), row.total) == (len(plain), sum(plain))
