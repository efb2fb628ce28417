"""The benchmark of policies: who is in which half, what is fitted, and what is made of replays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import item, phases
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.events import CallStarted, Fact, ItemAdded, ItemTouched, RunStarted, Withdrawn
from ctxbudget.core.types import Item, Kind, Price, Scale
from ctxbudget.recall import Use, Used
from ctxbudget.replay import RecordedRun

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from policy_report import decile, failures, summaries
from policy_runs import Outcome
from policy_split import Half, halves, kind_of, repository_of
from rent_fit import (
    MOST_IDLE_CALLS,
    RowUse,
    as_yaml,
    best_limit,
    fitted_limits,
    least_price,
    readable,
    row_reader,
    rows_of,
    uses_by_row,
    with_limits,
)

POLICY: dict[str, Any] = {
    "name": "small",
    "rent": {
        "patience": 2.0,
        "stays": [
            {"kind": "thinking", "min_tokens": 1, "idle_calls": 1, "do": "drop"},
            {"kind": "tool_result", "tool": "Read", "min_tokens": 60, "idle_calls": 14},
            {"kind": ["tool_call", "tool_result"], "min_tokens": 60, "idle_calls": 3},
        ],
    },
}


def result(name: str, tokens: int, tool: str) -> Item:
    return item(name, tokens, kind=Kind.TOOL_RESULT, tool=tool)


# ---- the halves


@pytest.mark.parametrize(
    ("path", "repository"),
    [
        ("sessions/claude_code/owner-name__5e-5207b424e2-0.jsonl.gz", "owner-name"),
        ("sessions/codex/owner-name__fork.jsonl", "owner-name"),
        ("tool__13-full-life__subagents__agent-a0.jsonl", "tool"),
        ("mini_swe/django__django-11138.traj.json.gz", "django"),
        ("mini_swe/psf__requests-2317.traj.json.gz", "requests"),
        ("mini_swe/scikit-learn__scikit-learn-12682.traj.json", "scikit-learn"),
        ("projects/0b5e1f9c.jsonl", "0b5e1f9c"),
        ("projects/__main.jsonl", "__main"),
    ],
)
def test_a_file_s_name_says_the_repository(path: str, repository: str) -> None:
    assert repository_of(path) == repository


def test_formats_without_a_name_of_their_own_are_one_kind() -> None:
    assert [kind_of(one) for one in ("claude_code", "codex", "mini_swe", "pi", "")] == [
        "Claude Code",
        "Codex",
        "mini-swe-agent",
        "other",
        "other",
    ]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        # The largest goes to A, then always to the smaller half; ties go to A.
        ({"k": {"a": 1, "b": 5, "c": 3, "d": 2, "e": 1}}, {"b": "A", "c": "B", "d": "B", "a": "A", "e": "B"}),
        ({"k": {"b": 1, "a": 1}}, {"a": "A", "b": "B"}),
        # The small kind goes first; the large one counts what is placed already.
        ({"big": {"x": 4, "y": 3, "z": 2}, "few": {"y": 1, "z": 1}}, {"y": "A", "z": "B", "x": "B"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_repositories_are_dealt_out_by_kind(
    numbers: Mapping[str, Mapping[str, int]], wanted: dict[str, Half]
) -> None:
    sessions = [
        (kind, name)
        for kind, of in numbers.items()
        for name, number in of.items()
        for _ in range(number)
    ]
    assert halves(sessions) == wanted
    assert halves(reversed(sessions)) == wanted


# ---- the rows


@pytest.mark.parametrize(
    ("one", "row"),
    [
        (item("t", 1, kind=Kind.THINKING), 0),
        (result("r", 60, "Read"), 1),
        (result("r", 59, "Read"), None),  # too small for its row, and of no other
        (result("b", 60, "Bash"), 2),
        (item("c", 60, kind=Kind.TOOL_CALL, tool="Read"), 2),
        (item("u", 900, kind=Kind.USER), None),
        (item("p", 900, kind=Kind.THINKING, pinned=True), None),
    ],
)
def test_an_item_belongs_to_one_row(one: Item, row: int | None) -> None:
    assert row_reader(POLICY)(one) == row


def test_a_policy_without_rent_has_no_rows() -> None:
    with pytest.raises(TypeError, match="'bare' has no `rent`"):
        row_reader({"name": "bare", "rules": []})


def test_only_limits_change_and_what_is_printed_can_be_pasted() -> None:
    found = with_limits(POLICY, [1, 36, 8], "fitted")
    assert found["name"] == "fitted"
    assert found["rent"]["patience"] == 2.0
    assert [row["idle_calls"] for row in rows_of(found)] == [1, 36, 8]
    assert [row["idle_calls"] for row in rows_of(POLICY)] == [1, 14, 3]
    printed = as_yaml(found)
    assert printed.count("\n") == 3
    assert yaml.safe_load(printed) == rows_of(found)
    assert load_policy(found).reads_uses


# ---- what a session shows


def used(text: str, *holders: str) -> Used:
    return Used(what="quote", text=text, name=0, holders=holders)


def session() -> RecordedRun:
    """Return four calls: `read` is used by the third one, `bash` is gone before that."""
    price = Price(
        input_usd=Decimal(1),
        cache_read_usd=Decimal("0.01"),
        cache_write_5m_usd=Decimal(1),
        cache_write_1h_usd=Decimal(2),
        output_usd=Decimal(5),
    )
    start = RunStarted(
        at=0,
        workflow="session",
        scale=Scale(window_tokens=1000, reserve_tokens=0, budget_tokens=1000),
        phases=phases(session=""),
        prices={"model": price},
        model="model",
    )
    call = CallStarted(at=0)
    facts: list[Fact] = [
        start,
        ItemAdded(at=0, item=item("goal", 50, kind=Kind.USER)),
        ItemAdded(at=0, item=result("read", 100, "Read")),
        call,
        ItemAdded(at=0, item=result("bash", 200, "Bash")),
        call,
        Withdrawn(at=0, items=("bash",)),
        call,
        ItemTouched(at=0, items=("read", "gone")),
        call,
    ]
    uses = {
        ("main", 3): Use(call=3, quotes=(used("a line", "read", "bash"), used("other", "goal"))),
        ("main", 4): Use(call=4, references=(used("name", "read"),)),
    }
    return RecordedRun(start=start, facts=facts, uses=uses, cost_usd=Decimal(10), calls=4)


def test_rent_and_uses_are_counted_by_idle_calls() -> None:
    thinking, read, other = uses_by_row(session(), row_reader(POLICY), 3)
    assert not any(thinking.rent)
    # Each call reads its 100 tokens for 1 USD of 10; it is fresh at calls 1 and 4.
    assert read.rent[:4] == pytest.approx((0.2, 0.1, 0.1, 0.0))
    assert read.quotes[:4] == (0.0, 0.0, 0.5, 0.0)  # the other one is of an item of no row
    assert read.references[:2] == (1.0, 0.0)
    assert other.rent[:2] == pytest.approx((0.2, 0.0))
    assert not any(other.quotes)
    assert len(read.rent) == MOST_IDLE_CALLS + 1


# ---- the fit


def row(rent: tuple[float, ...], quotes: tuple[float, ...] = (), refs: tuple[float, ...] = ()) -> RowUse:  # fmt: skip
    """Return curves that are zero behind what is given."""

    def whole(curve: tuple[float, ...]) -> tuple[float, ...]:
        return curve + (0.0,) * (MOST_IDLE_CALLS + 1 - len(curve))

    return RowUse(rent=whole(rent), quotes=whole(quotes), references=whole(refs))


HAND = row((9.0, 0.4, 0.1, 0.1), (9.0, 0.5, 0.1))


@pytest.mark.parametrize(
    ("one", "price", "limit"),
    [
        (HAND, 0.5, 1),  # from 1 on: 0.60 saved, 0.30 lost; from 2 on 0.15 is left, from 3 on 0.10
        (HAND, 0.9, 2),  # 0.06, 0.11, 0.10
        (HAND, 2.0, 3),  # -0.60, 0.00, 0.10
        (row((0.0, 0.1, 0.1), (), (0.0, 4.0)), 0.2, 1),  # references weigh a tenth
        (row((0.0, 0.1, 0.1), (), (0.0, 6.0)), 0.2, 2),
        (row((5.0,), (1.0,)), 1.0, MOST_IDLE_CALLS),  # nothing to be had
        (row((0.0, 1.0), (0.0,) * 60 + (2.0,)), 1.0, MOST_IDLE_CALLS),  # ties: the largest
        (row((0.0, 3.0), (0.0,) * 60 + (2.0,)), 1.0, 1),
    ],
)
def test_a_limit_is_where_saving_most_exceeds_the_loss(
    one: RowUse, price: float, limit: int
) -> None:
    assert best_limit(one, price) == limit


CURVES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=20).map(tuple)


@given(rent=CURVES, quotes=CURVES, prices=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_dearer_quotes_never_shorten_a_limit(
    rent: tuple[float, ...], quotes: tuple[float, ...], prices: tuple[int, int]
) -> None:
    one = row(rent, quotes)
    assert best_limit(one, min(prices)) <= best_limit(one, max(prices))


def test_sessions_weigh_the_same_and_an_unknown_row_takes_the_limit_of_all() -> None:
    late = (row((0.0, 0.1), (0.0,) * 11 + (1.0,)), row(()), row((0.0, 1.0)))
    early = (row((0.0,) * 12 + (0.2,)), row(()), row((0.0, 1.0)))
    assert fitted_limits([late, early], 1.0) == [12, 1, 1]
    assert fitted_limits([late, early], 9.0) == [12, 12, 1]
    assert fitted_limits([early], 9.0) == [12, 1, 1]


@pytest.mark.parametrize(
    ("calls", "rounded"),
    [(1, 1), (7, 7), (10, 10), (11, 12), (12, 12), (19, 20), (21, 20), (22, 24), (37, 36), (38, 40), (43, 40), (44, 48), (117, 120), (120, 120)],
)  # fmt: skip
def test_limits_are_readable(calls: int, rounded: int) -> None:
    assert readable(calls) == rounded


def test_the_least_price_is_found_between_what_is_too_low_and_what_is_enough() -> None:
    tried = []

    def is_good(price: float) -> bool:
        tried.append(price)
        return price >= 3

    found = least_price(is_good, low=1.0, high=16.0, rounds=5)
    assert tried == pytest.approx([16, 4, 2, 8**0.5, (4 * 8**0.5) ** 0.5])
    assert found == tried[-1]
    assert least_price(lambda _: False, low=1.0, high=16.0, rounds=5) is None
    assert least_price(lambda _: True, low=1.0, high=16.0, rounds=2) == 4


# ---- the report


def outcome(path: str, label: str, cost: float, quotes: float, **more: Any) -> Outcome:
    fields = {"total_frac": cost, "recall": 1.0, "peak_tokens": 5, "limit_tokens": 10} | more
    return Outcome(
        path=path, label=label, room_tokens=None, cost_frac=cost, quote_recall=quotes, **fields
    )


def test_a_policy_is_compared_on_all_sessions_or_not_at_all() -> None:
    outcomes = [
        outcome("a", "none", 1.0, 1.0, is_bound=True),
        outcome("b", "none", 1.0, 1.0, is_bound=True),
        outcome("a", "dear", 0.9, 0.9),
        outcome("b", "dear", 1.2, 0.9, total_frac=1.3),
        outcome("a", "cheap", 0.5, 0.9, misses=2),
        outcome("b", "cheap", 1.0, 0.7, recall=None),
        outcome("a", "adaptive, one", 0.5, 1.0),
        outcome("b", "adaptive, one", 1.1, 1.0),
        outcome("a", "adaptive, two", 0.4, 1.0),
        outcome("b", "adaptive, two", 0.9, 0.5),
        outcome("a", "elsewhere", 0.1, 1.0),
        outcome("c", "elsewhere", 0.1, 1.0),
    ]
    found = {one.label: one for one in summaries(outcomes, {"a": 100, "b": 59})}
    assert list(found) == ["adaptive, two", "cheap", "adaptive, one", "dear", "none"]
    cheap, dear = found["cheap"], found["dear"]
    assert (cheap.sessions, cheap.misses, cheap.recall) == (2, 2, 1.0)
    assert (cheap.cost_frac, cheap.quote_recall) == pytest.approx((0.75, 0.8))
    assert (dear.total_frac, dear.cost_p90_frac) == pytest.approx((1.1, 1.17))
    assert (dear.worst_total_frac, dear.below_none_frac) == (0.9, 1.0)  # the short one is left out
    assert dear.peak_frac == 0.5
    assert {name: one.lowest_sessions for name, one in found.items() if not one.is_bound} == {
        "adaptive, two": 2,
        "adaptive, one": 1,  # its own variant is no rival
        "cheap": 0,
        "dear": 0,
    }
    front = [name for name, one in found.items() if one.is_on_front]
    assert front == ["adaptive, two", "cheap", "adaptive, one"]


def test_what_could_not_run_counts_for_nothing_but_is_told() -> None:
    failed = Outcome(path="b", label="tight", room_tokens=9, failure="too small", limit_tokens=9)
    outcomes = [outcome("a", "tight", 0.5, 0.9), failed]
    (found,) = summaries(outcomes, {"a": 60, "b": 60})
    assert (found.sessions, found.cost_frac, found.lowest_sessions) == (1, 0.5, 1)
    assert (found.name, found.is_on_front) == ("tight (on 1 of 2)", False)
    assert failures(outcomes) == ["tight: 1 sessions, too small"]
    assert summaries([failed], {"b": 60}) == []


def test_deciles() -> None:
    assert decile([3.0], 1) == 3.0
    assert decile([float(one) for one in range(11)], 1) == pytest.approx(1.0)
    assert decile([float(one) for one in range(11)], 9) == pytest.approx(9.0)
