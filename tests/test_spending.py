"""Tests of budgets in money: levels told once each, and calls that are refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, rules

from ctxbudget.core.errors import SpendingLimitError
from ctxbudget.core.events import CallSent, CallStarted, Charge, MoneyBudget, SpendingTold
from ctxbudget.core.spending import Spending
from ctxbudget.core.types import Do, Level, Price

CENT = Price(  # a token of input costs a cent, one of output a dollar
    input_usd=Decimal("0.01"),
    cache_read_usd=Decimal("0.001"),
    cache_write_5m_usd=Decimal("0.0125"),
    cache_write_1h_usd=Decimal("0.02"),
    output_usd=Decimal(1),
)


def budget(limit: int, scope: str = "run", **more: Any) -> MoneyBudget:
    return MoneyBudget(scope=scope, limit_usd=Decimal(limit), **more)


def told(events: Any) -> list[tuple[str, str, Decimal]]:
    return [(one.scope, one.level.value, one.spent_usd) for one in events]


def world_of(*budgets: MoneyBudget) -> World:
    """Return a world with two phases and a priced model, `m`."""
    return World(rules(), phases={"a": (), "b": ()}, money=budgets, prices={"m": CENT})


def spend(world: World, cents: int) -> World:
    return world.call(model="m").answered(cents, model="m")


# ---- the account by itself


def test_levels_are_told_strictly_above_and_once() -> None:
    account = Spending(budgets=(budget(100),))
    steps = ("75", "0.01", "19.99", "0.01", "4.99", "0.01", "50")
    found = [told(account.spend(Decimal(step), None, 0.0)) for step in steps]
    assert found == [
        [],
        [("run", "warn", Decimal("75.01"))],
        [],
        [("run", "critical", Decimal("95.01"))],
        [],
        [("run", "overrun", Decimal("100.01"))],
        [],
    ]


def test_levels_that_are_crossed_at_once_are_told_mildest_first_with_their_numbers() -> None:
    (warn, critical, overrun) = Spending(budgets=(budget(2),)).spend(Decimal(3), None, 7.0)
    assert [one.level for one in (warn, critical, overrun)] == [
        Level.WARN,
        Level.CRITICAL,
        Level.OVERRUN,
    ]
    assert overrun == SpendingTold(
        at=7.0, level=Level.OVERRUN, scope="run", spent_usd=Decimal(3), limit_usd=Decimal(2)
    )


def test_levels_may_be_set_as_decimal_shares() -> None:
    account = Spending(budgets=(budget(100, warn_frac=0.29, critical_frac=0.57),))
    assert told(account.spend(Decimal(29), None, 0.0)) == []
    assert told(account.spend(Decimal(28), None, 0.0)) == [("run", "warn", Decimal(57))]
    assert told(account.spend(Decimal("0.01"), None, 0.0)) == [
        ("run", "critical", Decimal("57.01"))
    ]


def test_what_a_phase_spends_is_part_of_what_the_run_spends() -> None:
    account = Spending(budgets=(budget(10), budget(4, "phase:a"), budget(9, "phase:b")))
    assert told(account.spend(Decimal(5), "a", 0.0)) == [
        ("phase:a", "warn", Decimal(5)),
        ("phase:a", "critical", Decimal(5)),
        ("phase:a", "overrun", Decimal(5)),
    ]
    assert told(account.spend(Decimal(3), "b", 0.0)) == [("run", "warn", Decimal(8))]
    assert account.spent_usd == {"run": 8, "phase:a": 5, "phase:b": 3}


@pytest.mark.parametrize(
    ("one", "spent", "phase", "refused"),
    [
        (budget(5), 4, "a", False),
        (budget(5), 5, "a", True),
        (budget(5), 6, None, True),
        (budget(5, stop=False), 6, "a", False),
        (budget(5, "phase:a"), 6, "a", True),
        (budget(5, "phase:b"), 6, "a", False),
        (budget(0), 0, "a", True),
    ],
)
def test_a_call_is_refused_once_a_budget_that_stops_is_used_up(
    one: MoneyBudget, spent: int, phase: str | None, refused: bool
) -> None:
    account = Spending(budgets=(one,))
    list(account.spend(Decimal(spent), "a", 0.0))
    if not refused:
        account.check(phase)
        return
    with pytest.raises(SpendingLimitError) as caught:
        account.check(phase)
    assert (caught.value.scope, caught.value.spent_usd) == (one.scope, Decimal(spent))
    assert caught.value.limit_usd == one.limit_usd


def test_a_budget_of_another_phase_does_not_stop_this_one() -> None:
    account = Spending(budgets=(budget(5, "phase:a"),))
    list(account.spend(Decimal(6), "a", 0.0))
    account.check("b")
    account.check(None)


@given(st.lists(st.integers(0, 400), max_size=20), st.integers(1, 1_000))
def test_each_level_is_told_once_whatever_is_spent(cents: list[int], limit: int) -> None:
    account = Spending(budgets=(budget(limit),))
    found = [one.level for step in cents for one in account.spend(Decimal(step), "a", 0.0)]
    shares = {
        Level.WARN: Decimal("0.75"),
        Level.CRITICAL: Decimal("0.95"),
        Level.OVERRUN: Decimal(1),
    }
    assert found == [level for level, share in shares.items() if sum(cents) > limit * share]


# ---- a run


def test_answers_are_priced_by_their_kinds_of_tokens() -> None:
    world = world_of(budget(1_000)).call(model="m")
    world.answered(
        100,
        cache_read_tokens=1_000,
        cache_write_tokens=180,
        cache_write_1h_tokens=100,
        output_tokens=3,
        model="m",
    )
    assert world.engine.state.spending.spent_usd["run"] == Decimal(1) + 1 + 1 + 2 + 3


def test_what_has_no_price_is_not_counted() -> None:
    world = world_of(budget(1)).call(model="free").answered(10_000, model="free").call(model="free")
    assert world.of(SpendingTold) == []


def test_levels_are_told_when_the_answer_comes_and_the_next_call_is_refused() -> None:
    world = world_of(budget(1)).start("a")
    spend(spend(world, 76), 23)
    assert told(world.of(SpendingTold)) == [
        ("run", "warn", Decimal("0.76")),
        ("run", "critical", Decimal("0.99")),
    ]
    spend(world, 1)  # exactly used up is not above
    assert len(world.of(SpendingTold)) == 2
    seen = list(world.events)
    with pytest.raises(SpendingLimitError, match=r"run: 1\.0000 USD are spent of 1\.0000; raise"):
        world.call(model="m")
    assert world.events == seen
    with pytest.raises(SpendingLimitError):
        world.call(model="free")  # whatever it would cost


def test_a_budget_that_does_not_stop_only_tells() -> None:
    world = world_of(budget(1, stop=False))
    spend(spend(world, 500), 500)
    assert [one.level.value for one in world.of(SpendingTold)] == ["warn", "critical", "overrun"]
    assert len(world.of(CallSent)) == len(world.of(CallStarted)) == 2


def test_a_phase_that_used_its_budget_up_ends_and_the_next_one_calls() -> None:
    world = world_of(budget(1, "phase:a"), budget(9)).start("a")
    spend(world, 150)
    with pytest.raises(SpendingLimitError, match="phase:a"):
        world.call(model="m")
    spend(world.end("a").start("b"), 100)
    assert world.engine.state.spending.spent_usd == {
        "run": Decimal("2.5"),
        "phase:a": Decimal("1.5"),
        "phase:b": 1,
    }


def test_what_agents_spend_counts_for_the_phase_that_runs() -> None:
    world = world_of(budget(1, "phase:a")).start("a").agent("a", "x")
    world.call(thread="x", model="m").answered(101, thread="x", model="m")
    with pytest.raises(SpendingLimitError):
        world.call(model="m")


def test_an_answer_without_a_model_has_the_price_of_the_threads() -> None:
    world = world_of(budget(1, stop=False)).start("a").agent("a", "x")
    world.call(model="free", thread="x").call(model="m").answered(80)
    assert told(world.of(SpendingTold)) == [("run", "warn", Decimal("0.8"))]
    world.answered(80, thread="x").call(model="free").answered(80)  # neither has a price
    assert world.engine.state.spending.spent_usd == {
        "run": Decimal("0.8"),
        "phase:a": Decimal("0.8"),
    }


SUMMARY = {"on": "rejected", "do": "summarize", "by": "all", "to": 50}


def summarized(charge: Charge | None, *budgets: MoneyBudget, **rule: Any) -> World:
    """Return a world in phase `a` that was summarized by a model, with more to summarize."""
    world = World(
        rules({**SUMMARY, "select": {"kind": "artifact"}, **rule}),
        phases={"a": (), "b": ()},
        money=budgets,
        prices={"m": CENT},
    )
    world.charge = charge
    return world.start("a").add("x", 400, "artifact").add("y", 500, "artifact").call().reject()


def test_what_a_summary_used_is_spent_by_its_kinds_of_tokens() -> None:
    charge = Charge(
        model="m",
        uncached_tokens=100,
        cache_read_tokens=1_000,
        cache_write_tokens=180,
        cache_write_1h_tokens=100,
        output_tokens=3,
    )
    world = summarized(charge, budget(1_000))
    spent = Decimal(1) + 1 + 1 + 2 + 3
    assert world.engine.state.spending.spent_usd == {"run": spent, "phase:a": spent}


def test_levels_that_a_summary_crosses_are_told_after_its_plan() -> None:
    world = summarized(Charge(model="m", uncached_tokens=96), budget(1))
    assert [type(event).__name__ for event in world.events[-4:]] == [
        "Shortened",
        "Pruned",
        "SpendingTold",
        "SpendingTold",
    ]
    assert told(world.of(SpendingTold)) == [
        ("run", "warn", Decimal("0.96")),
        ("run", "critical", Decimal("0.96")),
    ]


def test_a_summary_may_use_a_budget_up_and_the_next_call_is_refused() -> None:
    world = summarized(Charge(model="m", uncached_tokens=100), budget(1, "phase:a"))
    with pytest.raises(SpendingLimitError, match="phase:a"):
        world.call()
    world.end("a").start("b").call()


def test_a_summary_is_paid_once_and_also_where_it_is_of_no_use() -> None:
    world = summarized(Charge(model="m", uncached_tokens=10), budget(1))
    world.reject().call()
    assert world.engine.state.spending.spent_usd["run"] == Decimal("0.1")
    world = World(rules({**SUMMARY, "select": {"kind": "artifact"}}), prices={"m": CENT})
    world.charge = Charge(model="m", uncached_tokens=10)
    world.sizes[Do.SUMMARIZE, "x"] = 900  # no shorter than what it would replace
    world.add("x", 400, "artifact").add("y", 500, "artifact").call().reject()
    assert (world.pruned, world.tokens) == ([], 900)
    assert world.engine.state.spending.spent_usd["run"] == Decimal("0.1")


@pytest.mark.parametrize("charge", [None, Charge(model="free", uncached_tokens=10_000)])
def test_a_summary_without_a_price_costs_nothing(charge: Charge | None) -> None:
    world = summarized(charge, budget(1))
    assert (len(world.pruned), world.engine.state.spending.spent_usd) == (1, {})
