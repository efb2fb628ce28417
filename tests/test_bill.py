"""Tests of adding calls up: sums, prices by date, copies, parents, and who holds half of the cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.types import Price
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.bill import (
    UNKNOWN,
    Bill,
    By,
    Family,
    Sums,
    Thread,
    cost_of,
    families,
    holding_half,
)
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile, Split, UsageRow
from ctxbudget.report.bill_json import bill_as_data, usd_text

DAY_S = 86_400.0
NOON_S = 20_000 * DAY_S + DAY_S / 2
"""Noon (UTC) of 2024-10-04."""


def price(dollars: str, larger: tuple[tuple[int, Price], ...] = ()) -> Price:
    """Return a price of so many dollars a token; of the other kinds 0.1, 1.25, 2 and 5 times."""
    usd = Decimal(dollars)
    return Price(
        input_usd=usd,
        cache_read_usd=usd / 10,
        cache_write_5m_usd=usd * Decimal("1.25"),
        cache_write_1h_usd=usd * 2,
        output_usd=usd * 5,
        larger=larger,
    )


def known(model: str, at_s: float | None) -> Price | None:
    """Return the made-up prices of these tests: `dear` got cheaper on the day after NOON_S."""
    if model == "tiered":
        return price("1", ((1000, price("3")),))
    if model == "dear":
        return price("2" if at_s is not None and at_s < NOON_S + DAY_S / 2 else "1")
    return price("1") if model == "plain" else None


def book() -> PriceBook:
    return PriceBook(known)


def call(
    *split: int,
    model: str = "plain",
    at_s: float | None = NOON_S,
    agent: str | None = None,
    **more: object,
) -> UsageRow:
    """Return a call; kinds of tokens that are not given are 0."""
    tokens = Split(*(*split, 0, 0, 0, 0, 0)[:5])
    return UsageRow(model=model, tokens=tokens, at_s=at_s, agent=agent, **more)  # type: ignore[arg-type]


def file(name: str, **fields: object) -> RecordedFile:
    return RecordedFile(file=name, source="claude_code", **fields)  # type: ignore[arg-type]


def bill_of(*files: tuple[RecordedFile, list[UsageRow]], by: By = "session") -> Bill:
    bill = Bill(book(), by=by)
    for one, rows in files:
        bill.add(one, rows)
    bill.finish()
    return bill


@pytest.mark.parametrize(
    ("row", "usd"),
    [
        (call(100), "100"),
        (call(0, 100), "10"),
        (call(0, 0, 100), "125"),
        (call(0, 0, 0, 100), "200"),
        (call(0, 0, 0, 0, 100), "500"),
        (call(1, 10, 4, 2, 3), "26"),
        (call(1000, model="tiered"), "1000"),
        (call(1001, model="tiered"), "3003"),
        (call(900, 50, 51, model="tiered"), "2906.25"),
        (call(900, 0, 0, 0, 500, model="tiered"), "3400"),  # the answer is no part of the prompt
        (call(7, model="dear"), "14"),
        (call(7, model="dear", at_s=NOON_S + DAY_S), "7"),
        (call(7, model="dear", at_s=None), "7"),
    ],
)
def test_a_call_costs_what_its_kinds_cost_at_its_date(row: UsageRow, usd: str) -> None:
    cost = cost_of(row, book())
    assert cost is not None
    assert cost.usd == Decimal(usd)


def test_two_small_calls_are_not_one_large_one() -> None:
    bill = bill_of((file("a"), [call(600, model="tiered"), call(700, model="tiered")]))
    assert bill.total.cost_usd == 1300
    assert bill.total.peak_prompt_tokens == 700


def test_an_unknown_model_is_unknown_and_never_free() -> None:
    bill = bill_of((file("a"), [call(60, model="odd"), call(30, model="odd")]))
    assert bill.total.known_cost_usd is None
    assert bill.total.cost_known_frac == 0
    assert list(bill.prices.unknown) == ["odd"]
    mixed = bill_of((file("a"), [call(60, model="odd"), call(20), call(0, 20, model="")]))
    assert mixed.total.known_cost_usd == 20
    assert mixed.total.cost_known_frac == 0.2
    assert mixed.total.usd_per_million_sent == 1_000_000
    assert list(mixed.total.models) == ["odd", "plain", UNKNOWN]


def test_no_calls_cost_nothing() -> None:
    bill = bill_of((file("a"), []))
    (thread,) = bill.threads
    assert (thread.sums.known_cost_usd, thread.sums.cost_known_frac) == (Decimal(0), 1)
    assert thread.sums.cache_read_frac is None
    assert thread.sums.usd_per_million_sent is None


def test_a_placeholder_tells_what_is_missing_beside_the_bill() -> None:
    bill = bill_of((file("a"), [call(10, 0, 0, 0, 2, estimated_output_tokens=12)]))
    assert bill.total.cost_usd == 20
    assert (bill.total.output_tokens, bill.total.placeholder_calls) == (2, 1)
    assert bill.total.placeholder_missing_tokens == 10
    assert bill.total.placeholder_missing_usd == 50


CALLS = st.builds(
    call,
    *[st.integers(0, 2000)] * 5,
    model=st.sampled_from(["plain", "tiered", "dear", "odd"]),
    at_s=st.one_of(st.none(), st.floats(NOON_S, NOON_S + 3 * DAY_S)),
    agent=st.sampled_from([None, "a", "b"]),
)


@given(
    rows=st.lists(CALLS, max_size=12), cut=st.integers(0, 12), by=st.sampled_from(["day", "model"])
)
def test_however_it_is_cut_the_parts_add_up(rows: list[UsageRow], cut: int, by: By) -> None:
    bill = bill_of((file("one"), rows[:cut]), (file("two"), rows[cut:]), by=by)
    whole = Sums()
    for row in rows:
        whole.add(row, cost_of(row, book()))
    for parts in ([thread.sums for thread in bill.threads], bill.groups.values()):
        merged = Sums()
        for one in parts:
            merged.merge(one)
        merged.models = whole.models  # their order is that of the parts
        assert merged == whole
    assert set(bill.total.models) == set(whole.models)
    assert sum(len(one.threads) for one in families(bill.threads)) == len(bill.threads)


def test_sums_by_day_project_and_model() -> None:
    rows = [call(10), call(20, at_s=NOON_S + DAY_S / 2), call(40, model="dear", at_s=None)]
    files = [(file("a", project="/shop"), rows), (file("b"), [call(80)])]
    found = {
        by: {name: one.sent_tokens for name, one in bill_of(*files, by=by).groups.items()}
        for by in ("day", "project", "model")
    }
    assert found == {
        "day": {"2024-10-04": 90, "2024-10-05": 20, UNKNOWN: 40},
        "project": {"/shop": 70, UNKNOWN: 80},
        "model": {"plain": 110, "dear": 40},
    }


def test_only_calls_of_the_range_are_added() -> None:
    bill = Bill(book(), in_range=lambda at_s: at_s < NOON_S)
    bill.add(file("a"), [call(1, at_s=NOON_S - 1), call(2), call(4, at_s=None)])
    bill.add(file("b"), [call(8)])
    bill.finish()
    assert bill.total.sent_tokens == 1
    assert [thread.file.file for thread in bill.threads] == ["a"]
    assert bill.undated_calls == 1


def test_copies_are_counted_and_told() -> None:
    first = [call(10, id="m1"), call(20, id="m2"), call(5)]
    bill = bill_of(
        (file("a"), first),
        (file("b"), [*first, call(40, id="m3"), call(40, id="m3")]),
        (RecordedFile(file="c", source="codex"), [call(80, id="m1")]),
    )
    assert bill.total.sent_tokens == 35 + 35 + 80 + 80
    told = [(one.file, one.also_in, one.sums.calls, one.sums.cost_usd) for one in bill.duplicates]
    assert told == [("b", "a", 2, Decimal(30)), ("b", "b", 1, Decimal(40))]


def test_sub_agents_find_their_parents() -> None:
    main = file("home/one/s.jsonl", session="s")
    copy = file("backup/s.jsonl", session="s")
    own = file("home/one/s/agent-x.jsonl", session="s", has_main=False, parent_session="s")
    lost = file("home/agent-y.jsonl", session="t", has_main=False, parent_session="t")
    bill = bill_of(
        (copy, [call(1)]),
        (own, [call(300, agent="x")]),
        (main, [call(2), call(50, agent="inner")]),
        (lost, [call(100, agent="y")]),
    )
    parents = {thread.agent or thread.file.file: thread.parent for thread in bill.threads}
    assert parents == {
        "backup/s.jsonl": None,
        "home/one/s.jsonl": None,
        "inner": "home/one/s.jsonl",
        "x": "home/one/s.jsonl",
        "y": "t",
    }
    names = [
        [one.agent or one.file.file for one in family.threads] for family in families(bill.threads)
    ]
    assert names == [["home/one/s.jsonl", "x", "inner"], ["y"], ["backup/s.jsonl"]]


@pytest.mark.parametrize(
    ("costs", "held"),
    [
        ([], 0),
        ([0, 0], 0),
        ([5], 1),
        ([5, 5], 1),
        ([6, 4, 3], 2),
        ([4, 1, 1, 1, 1], 1),
        ([1] * 9, 5),
    ],
)
def test_the_fewest_sessions_that_hold_half(costs: list[int], held: int) -> None:
    groups = [
        Family(threads=(Thread(file=file("a"), agent=None, sums=Sums(cost_usd=Decimal(one))),))
        for one in costs
    ]
    assert holding_half(groups) == groups[:held]


# ---- the price book


def test_a_price_is_asked_for_once_a_day() -> None:
    asked: list[float | None] = []

    def counted(model: str, at_s: float | None) -> Price | None:
        asked.append(at_s)
        return known(model, at_s)

    prices = PriceBook(counted)
    for second in range(0, 40_000, 100):
        assert prices("plain", NOON_S + second) == price("1")
    assert len(asked) <= 10
    assert prices("odd", NOON_S) is None
    assert prices("", NOON_S) is None
    assert list(prices.unknown) == ["odd", ""]


@pytest.mark.parametrize(
    "model", ["claude-opus-4-6", "deepseek-chat", "deepseek-v4-pro", "gpt-5.5"]
)
def test_the_book_says_what_its_source_says_at_any_hour(model: str) -> None:
    prices, day_s = PriceBook(price_of), 20_500 * DAY_S
    for half_hour in range(0, 96, 3):
        at_s = day_s + half_hour * 1800 + 7
        assert prices(model, at_s) == price_of(model, at_s)


def test_a_price_by_the_hour_is_followed() -> None:
    def by_hour(model: str, at_s: float | None) -> Price | None:
        return price("1" if at_s is not None and at_s % DAY_S < DAY_S / 2 else "2")

    prices = PriceBook(by_hour)
    for hour in range(24):
        wanted = price("1" if hour < 12 else "2")
        assert prices("any", 20_000 * DAY_S + hour * 3600) == wanted


# ---- as JSON


def test_amounts_are_plain_decimals() -> None:
    amounts = ["0", "1E+3", "0.10", "1E-7", "12.50000", "100"]
    assert [usd_text(Decimal(one)) for one in amounts] == [
        "0",
        "1000",
        "0.1",
        "0.0000001",
        "12.5",
        "100",
    ]
    assert usd_text(None) is None


def test_only_a_files_first_row_has_its_lines() -> None:
    one = file("a", session="s", damaged_lines=2)
    one.skip("moon")
    found = bill_as_data(bill_of((one, [call(1, agent="x"), call(2)])), "today")
    assert [
        (row["agent"], row["skipped_lines"], row["damaged_lines"]) for row in found["sessions"]
    ] == [
        (None, 1, 2),
        ("x", 0, 0),
    ]
    assert (found["totals"]["files"], found["totals"]["damaged_lines"]) == (1, 2)
    assert found["price_date"] == "today"
