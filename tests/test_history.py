"""What happened to each item and what it cost to carry, worked by hand from events."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    CallSent,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    RunStarted,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.types import Do, Item, Kind, Layer, Price, Scale
from ctxbudget.history import Happening, History, Rent, breakdown

USD = Decimal("0.000001")
PRICE = Price(
    input_usd=10 * USD,
    cache_read_usd=USD,
    cache_write_5m_usd=12 * USD,
    cache_write_1h_usd=20 * USD,
    output_usd=50 * USD,
)


def item(name: str, tokens: int, **more: object) -> Item:
    return Item(id=name, tokens=tokens, **more)  # type: ignore[arg-type]


def start(**prices: Price) -> RunStarted:
    scale = Scale(window_tokens=100, reserve_tokens=0, budget_tokens=100)
    return RunStarted(at=0.0, workflow="w", scale=scale, phases=(), prices=prices)


def added(one: Item, at: float = 0.0, thread: str = "main") -> ItemAdded:
    return ItemAdded(at=at, item=one, thread=thread)


def sent(tokens: int, at: float = 0.0, thread: str = "main", **split: int) -> CallSent:
    given = split or {"uncached_tokens": tokens}
    full = {"cache_read_tokens": 0, "cache_write_tokens": 0, "uncached_tokens": 0, **given}
    return CallSent(
        at=at, call=1, tokens=tokens, rewritten_tokens=0, model="m", thread=thread, **full
    )


def pruned(
    items: tuple[str, ...], do: Do, stand_in: Item | None, at: float = 0.0, **more: object
) -> Pruned:
    fields: dict[str, object] = {
        "rule": "r",
        "reason": "because",
        "removed_tokens": 0,
        "occupancy_tokens": 0,
        "plan": 1,
        **more,
    }
    return Pruned(at=at, do=do, items=items, stand_in=stand_in, **fields)  # type: ignore[arg-type]


def history(*events: Event) -> History:
    found = History()
    for event in events:
        found(event)
    return found


def rents(found: History, by: str = "item") -> dict[str, tuple[int, int]]:
    return {one.name: (one.rent_tokens, one.calls) for one in found.rent(by)}  # type: ignore[arg-type]


def test_rent_is_tokens_times_the_calls_that_carried_them() -> None:
    found = history(
        start(),
        added(item("a", 10)),
        sent(10),
        added(item("b", 5)),
        sent(15),
        sent(15),
        pruned(("a",), Do.CLEAR, item("a", 2, version=1)),
        sent(7),
        pruned(("a",), Do.DROP, None),
        sent(5),
    )
    assert rents(found) == {"a": (3 * 10 + 2, 4), "b": (4 * 5, 4)}
    assert [one.name for one in found.rent()] == ["a", "b"]
    # what stands there still is counted each time it is asked for
    found(sent(5))
    assert rents(found) == {"a": (32, 4), "b": (25, 5)}
    assert rents(found) == {"a": (32, 4), "b": (25, 5)}


def test_its_cost_is_a_share_of_each_calls_input() -> None:
    found = history(
        start(m=PRICE),
        added(item("a", 30)),
        sent(30, uncached_tokens=30),
        added(item("b", 10)),
        sent(40, cache_read_tokens=30, cache_write_tokens=10),
    )
    # 300 USD millionths, then 30 + 120 = 150 for 40 tokens: 3.75 each
    assert found.rent() == [
        Rent(name="a", rent_tokens=60, calls=2, cost_usd=(300 + Decimal("112.5")) * USD),
        Rent(name="b", rent_tokens=10, calls=1, cost_usd=Decimal("37.5") * USD),
    ]


def test_without_a_price_there_is_no_cost() -> None:
    found = history(start(other=PRICE), added(item("a", 30)), sent(30))
    assert found.rent() == [Rent(name="a", rent_tokens=30, calls=1, cost_usd=None)]


def test_an_empty_prompt_costs_nobody() -> None:
    assert history(start(m=PRICE), sent(0), sent(0)).rent() == []


def test_rent_by_what_items_are() -> None:
    found = history(
        start(),
        added(item("a", 10, kind=Kind.TOOL_RESULT, tool="read", phase="p", source="x.py")),
        added(item("b", 5, kind=Kind.TOOL_RESULT, tool="grep", phase="p")),
        sent(15),
        added(item("c", 1, layer=Layer.PERMANENT, kind=Kind.SYSTEM)),
        sent(16),
    )
    assert rents(found, "kind") == {"tool_result": (30, 2), "system": (1, 1)}
    assert rents(found, "tool") == {"read": (20, 2), "grep": (10, 2), "-": (1, 1)}
    assert rents(found, "phase") == {"p": (30, 2), "-": (1, 1)}
    assert rents(found, "layer") == {"transient": (30, 2), "permanent": (1, 1)}
    assert rents(found, "source") == {"x.py": (20, 2), "-": (11, 2)}
    assert rents(found, "thread") == {"main": (31, 2)}


def test_each_thread_pays_for_its_own_copy() -> None:
    found = history(
        start(),
        added(item("a", 10)),
        sent(10),
        Seeded(at=1.0, thread="p/x", items=(("a", 0),), tokens=10),
        added(item("p/x/1", 3), thread="p/x"),
        sent(13, thread="p/x"),
        sent(13, thread="p/x"),
        ThreadClosed(at=2.0, thread="p/x", peak_tokens=13, calls=2),
        sent(10),
    )
    # two calls of each thread sent item a
    assert rents(found) == {"a": (20 + 20, 4), "p/x/1": (6, 2)}
    assert rents(found, "kind") == {"user": (46, 4)}
    assert rents(found, "thread") == {"main": (20, 2), "p/x": (26, 2)}
    found(sent(10))
    assert rents(found, "thread") == {"main": (30, 3), "p/x": (26, 2)}


def test_why_tells_all_of_it_in_order() -> None:
    found = history(
        start(),
        added(item("a", 10), at=1.0),
        added(item("b", 20), at=2.0),
        pruned(("a",), Do.CLEAR, item("a", 2, version=1), at=3.0, rule="mask"),
        pruned(("a", "b"), Do.SUMMARIZE, item("~s", 4), at=4.0, plan=2),
        Restored(
            at=5.0,
            items=(item("a", 10),),
            removed=(),
            gained_tokens=10,
            rewritten_tokens=0,
            occupancy_tokens=14,
        ),
        Withdrawn(at=6.0, items=("a", "never there")),
    )
    assert found.why("a") == [
        Happening(at=1.0, thread="main", what="added", tokens=10),
        Happening(
            at=3.0, thread="main", what="clear", tokens=2, rule="mask", reason="because", plan=1
        ),
        Happening(
            at=4.0,
            thread="main",
            what="summarize",
            tokens=4,
            rule="r",
            reason="because",
            plan=2,
            by="~s",
        ),
        Happening(at=5.0, thread="main", what="restored", tokens=10, reason="asked for"),
        Happening(at=6.0, thread="main", what="withdrawn", tokens=0),
    ]
    assert [one.what for one in found.why("~s")] == ["written"]
    assert [one.what for one in found.why("b")] == ["added", "summarize"]
    assert [str(one) for one in found.why("a")[:3]] == [
        "1.0 s  main  added, 10 tokens",
        "3.0 s  main  clear by mask (plan 1), 2 tokens: because",
        "4.0 s  main  summarize by r (plan 2), ~s stands for it, 4 tokens: because",
    ]


def test_what_was_injected_or_undone_says_so() -> None:
    found = history(
        start(),
        Injected(at=1.0, item=item("sql", 5), by="db"),
        pruned(("sql",), Do.DROP, None, at=2.0),
        Restored(
            at=3.0,
            items=(item("sql", 5),),
            removed=(),
            gained_tokens=5,
            rewritten_tokens=0,
            occupancy_tokens=5,
            plan=1,
        ),
    )
    assert [(one.what, one.tokens, one.reason) for one in found.why("sql")] == [
        ("injected", 5, "db"),
        ("drop", 0, "because"),
        ("restored", 5, "plan 1 was undone"),
    ]


def test_an_unknown_item_is_told_with_near_misses() -> None:
    found = history(start(), added(item("main/12", 3)))
    with pytest.raises(SourceError, match="there is no item 'main/21'; did you mean 'main/12'"):
        found.why("main/21")
    found.why("main/12").clear()
    assert len(found.why("main/12")) == 1


def test_a_breakdown_is_sorted_by_size_then_name() -> None:
    items = [item("b", 2), item("a", 2), item("c", 3, kind=Kind.TOOL_CALL)]
    assert breakdown(items, "main", "item") == [("c", 3), ("a", 2), ("b", 2)]
    assert breakdown(items, "main", "kind") == [("user", 4), ("tool_call", 3)]
    assert breakdown([], "main", "kind") == []
