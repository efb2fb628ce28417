"""Tests of the two bounds of a what-if: what knows the future, and what never prunes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay import CACHE, PRICE, policy
from worlds import rules

from ctxbudget.core.events import (
    CallSent,
    CallStarted,
    Event,
    ItemAdded,
    Phase,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.types import Cache, Item, Kind, Layer, Scale
from ctxbudget.journal import TextLine
from ctxbudget.replay import RecordedRun, Settings, WhatIf, recorded_run, what_if

READ, WRITE = Decimal("0.00001"), Decimal("0.00012")
KEEPS_ONE = rules(
    {"on": "before_call", "select": {"kind": "tool_result", "keep_last": 1}, "do": "drop"}
)


class Tape:
    """A recorded run of one thread, item by item: sizes and texts are what a test says.

    It begins with a goal of 100 tokens; a call takes 10 seconds.
    """

    def __init__(self, *, window: int = 100_000, cache: Cache = CACHE) -> None:
        self.at = 0.0
        self.calls = 0
        self.records: list[Event | TextLine] = [
            RunStarted(
                at=0.0,
                workflow="test",
                scale=Scale(window_tokens=window, reserve_tokens=0, budget_tokens=window),
                phases=(Phase(id="a"),),
                prices={"": PRICE},
                caches={"": cache},
            )
        ]
        self.add("goal", 100, kind=Kind.USER)

    def add(
        self, name: str, tokens: int, text: str = "", kind: Kind = Kind.TOOL_RESULT, **fields: Any
    ) -> Tape:
        """Let an item arrive."""
        content: dict[str, Any] = {"type": "text", "text": text}
        if kind is Kind.TOOL_CALL:
            content = {"type": "tool_use", "name": "read", "input": {"path": text}}
        item = Item(id=name, tokens=tokens, kind=kind, **fields)
        self.records += [
            TextLine(hash=f"of {name}", content=content),
            ItemAdded(at=self.at, item=item, text=f"of {name}"),
        ]
        return self

    def call(self, name: str = "", text: str = "", tokens: int = 10) -> Tape:
        """Let the model be called, and write something."""
        self.calls += 1
        self.records += [
            CallStarted(at=self.at),
            CallSent(
                at=self.at,
                call=self.calls,
                tokens=0,
                cache_read_tokens=0,
                cache_write_tokens=0,
                uncached_tokens=0,
            ),
        ]
        self.at += 10
        return self.add(name, tokens, text, Kind.ASSISTANT) if name else self

    def gone(self, *names: str, is_compaction: bool = False, into: tuple[str, ...] = ()) -> Tape:
        """Let the host take items back."""
        fact = Withdrawn(at=self.at, items=names, is_compaction=is_compaction, into=into)
        self.records.append(fact)
        return self

    @property
    def run(self) -> RecordedRun:
        return recorded_run(self.records)


class Prompts:
    """Keeps the prompts that a what-if sends."""

    def __init__(self) -> None:
        self.sizes: list[dict[str, int]] = []

    def sent(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
    ) -> None:
        """Take note of a call."""
        self.sizes.append({item.id: item.tokens for item in items})

    @property
    def names(self) -> list[str]:
        """The items of each prompt."""
        return [" ".join(one) for one in self.sizes]


def tried(
    tape: Tape, spec: str | Mapping[str, Any] = "clairvoyant", **changed: Any
) -> tuple[WhatIf, Prompts]:
    prompts = Prompts()
    return what_if(tape.run, policy(spec), Settings(**changed), prompts), prompts


def clairvoyant(tape: Tape, **changed: Any) -> list[str]:
    """Return the items of its prompts, once it is known to have lost nothing."""
    found, prompts = tried(tape, **changed)
    assert found.recall is not None
    assert found.recall.misses == []
    assert found.recall.recall in (None, 1.0)
    assert found.recall.quote_recall in (None, 1.0)
    return prompts.names


# ---- what stays, and how long


def test_an_item_stays_exactly_until_its_last_use() -> None:
    tape = Tape().add("one", 1_000, "value_1").call("w1").add("two", 1_000, "value_2")
    tape.call("w2").call("w3", "so value_1 it is").call("w4").call()
    # `one` is not used by the second call and yet stays, whole, for the third; `two` never is
    assert clairvoyant(tape) == [
        "goal one",
        "goal one w1 two",
        "goal one w2",
        "goal w3",
        "goal w4",
    ]
    _, prompts = tried(tape)
    assert prompts.sizes[2] == {"goal": 100, "one": 1_000, "w2": 10}


def test_a_use_by_the_first_call_keeps_nothing_longer() -> None:
    tape = Tape().add("one", 1_000, "value_1").call("w1", "value_1").call()
    assert clairvoyant(tape) == ["goal one", "goal w1"]


def test_the_latest_copy_serves_and_the_older_ones_go() -> None:
    tape = Tape().add("old", 1_000, "value_1").call("w1").add("new", 1_000, "value_1").call("w2")
    tape.call("w3", "value_1").call("w4", "value_1").call()
    # what `w3` says itself is the latest copy for the fourth call
    assert clairvoyant(tape) == [
        "goal old",
        "goal w1 new",
        "goal new w2",
        "goal w3",
        "goal w4",
    ]


def test_two_uses_of_two_items_keep_both_as_long_as_each_is_needed() -> None:
    tape = Tape().add("one", 1_000, "value_1").add("two", 1_000, "value_2").call()
    tape.call("w", "value_2").call("v", "value_1").call()
    assert clairvoyant(tape) == ["goal one two", "goal one two", "goal one w", "goal v"]


def test_an_item_of_two_names_stays_for_the_later_use() -> None:
    tape = Tape().add("one", 1_000, "value_1 value_2").call("w1", "value_2").call("w2").call("w3")
    tape.call("w4", "value_1").call()
    first, *others, last = clairvoyant(tape)
    assert [one.split()[:2] for one in (first, *others)] == [["goal", "one"]] * 4
    assert last == "goal w4"


def test_a_quote_keeps_its_item_though_its_names_stand_elsewhere() -> None:
    line = "  12\treturn the_total(of_cart) and go"
    tape = Tape().add("file", 1_000, line).call().add("names", 10, "the_total of_cart").call()
    tape.call("edit", "return the_total(of_cart) and go").call()
    assert clairvoyant(tape) == ["goal file", "goal file names", "goal file names", "goal edit"]


def test_what_may_not_be_touched_stays() -> None:
    tape = Tape().add("rules", 50, kind=Kind.SYSTEM, layer=Layer.PERMANENT)
    tape.add("pin", 5, pinned=True).add("more", 7, kind=Kind.USER).call().call()
    # permanent items stand first; a later word of the user is no goal
    assert clairvoyant(tape) == ["rules goal pin more", "rules goal pin"]


@pytest.mark.parametrize(("used", "left"), [("src/value_1", "call"), ("value_2", "result")])
def test_a_call_and_its_result_may_part(used: str, left: str) -> None:
    tape = Tape().add("call", 30, "src/value_1", Kind.TOOL_CALL, group="c", tool="read")
    tape.add("result", 900, "value_2", group="c").call().call("w", used).call()
    assert clairvoyant(tape) == ["goal call result", f"goal {left}", "goal w"]
    # a policy that could run drops both or none
    by_size = {"on": "before_call", "select": {"age_calls": 1, "min_tokens": 500}, "do": "drop"}
    assert tried(tape, rules(by_size))[1].names[1] in ("goal", "goal call result")


def test_what_the_host_takes_back_leaves_earlier() -> None:
    tape = Tape().add("one", 1_000, "value_1").add("two", 1_000, "value_2").call()
    tape.gone("one").call("w", "value_1 value_2").call()
    # `value_1` stood in no prompt then, so that nothing was missed
    assert clairvoyant(tape) == ["goal one two", "goal two", "goal w"]


def test_compactions_of_the_host_hold_for_it() -> None:
    tape = Tape().add("one", 1_000, "value_1").call()
    tape.gone("one", is_compaction=True, into=("short",)).add("short", 90, "value_1")
    tape.call().call("w", "value_1").call()
    assert clairvoyant(tape) == ["goal one", "goal short", "goal short", "goal w"]


# ---- what it costs


def costs(found: WhatIf) -> tuple[int, int, int]:
    cache = found.metrics.run.cache
    return (cache.cache_read_tokens, cache.cache_write_tokens, cache.uncached_tokens)


def four_calls() -> Tape:
    """Return a run of prompts `goal one` | `goal one w1 two` | `goal two w2` | `goal w3`."""
    tape = Tape().add("one", 1_000, "value_1").call("w1").add("two", 2_000, "value_2")
    tape.call("w2", "value_1").call("w3", "value_2").call()
    assert clairvoyant(tape) == ["goal one", "goal one w1 two", "goal two w2", "goal w3"]
    return tape


def test_no_change_is_charged_as_a_rewrite() -> None:
    found, _ = tried(four_calls())
    # 1,100 written | 1,100 read, 2,010 written | goal and two read, w2 written | goal read, w3
    assert found.metrics.run.sent_tokens == 1_100 + 3_110 + 2_110 + 110
    assert costs(found) == (1_100 + 2_100 + 100, 1_100 + 2_010 + 10 + 10, 0)
    assert found.cost_usd == 3_300 * READ + 3_130 * WRITE
    assert (found.rewrites, found.compactions) == (0, 0)
    assert found.refetch_usd == 0
    assert found.total_cost_usd == found.cost_usd


def test_the_same_prompts_of_a_policy_that_could_run_are_rewritten() -> None:
    tape = Tape().add("one", 1_000).call().add("two", 2_000).call().add("three", 500).call()
    found, prompts = tried(tape, KEEPS_ONE)
    assert prompts.names == ["goal one", "goal two", "goal three"]
    assert costs(found) == (200, 1_100 + 2_000 + 500, 0)
    # 2,000 of `two` stand behind what left, and are read by the bound alone where they stay
    tape = Tape().add("one", 1_000).call().add("two", 2_000, "value_2").call()
    tape.call("w", "value_2").call()
    bound, prompts = tried(tape)
    assert prompts.names == ["goal one", "goal two", "goal two", "goal w"]
    assert costs(bound) == (100 + 2_100 + 100, 1_100 + 2_000 + 10, 0)


def test_a_cold_cache_is_written_whole() -> None:
    tape = Tape().add("first", 500).add("one", 1_000, "value_1").call("w1")
    tape.at += 291  # with the 10 seconds of the call, one more than the cache lives
    tape.call("w2", "value_1").call()
    found, prompts = tried(tape)
    assert prompts.names == ["goal first one", "goal one w1", "goal w2"]
    assert costs(found) == (100, 1_600 + 1_110 + 10, 0)
    longer, _ = tried(tape, ttl_s=3600.0)
    assert costs(longer) == (1_100 + 100, 1_600 + 10 + 10, 0)


def test_a_prompt_too_short_for_the_cache_is_neither_read_nor_written() -> None:
    tape = Tape(cache=Cache(min_tokens=1_050)).add("one", 1_000, "value_1").call("w1")
    tape.call("w2").call()
    found, _ = tried(tape)
    # 1,100 written | goal and w1, 110 | goal and w2, 110
    assert costs(found) == (0, 1_100, 220)
    assert found.cost_usd == 1_100 * WRITE + 220 * PRICE.input_usd


# ---- the window


def test_bounds_ignore_the_window_and_none_keeps_to_it() -> None:
    tape = Tape()
    for name in ("one", "two", "three"):
        tape.add(name, 1_000, f"value_{name}").call()
    tape.call("w", "value_one value_two value_three").call()
    for spec, peak in (("clairvoyant", 3_100), ("unbounded", 3_110)):  # that with `w`
        found, _ = tried(tape, spec, window_tokens=1_500)
        assert found.peak_tokens == peak
        assert found.recall is not None
        assert found.recall.misses == []
    none, _ = tried(tape, "none", window_tokens=1_500)
    assert 1_100 <= none.peak_tokens <= 1_500
    assert none.recall is not None
    assert none.recall.misses
    whole, _ = tried(tape, "none")
    assert whole.peak_tokens == 3_110


# ---- what never prunes


def compacted() -> Tape:
    """Return three calls, the host's compaction of their results, and two calls more."""
    tape = Tape()
    for name in ("one", "two", "three"):
        tape.add(name, 1_000, f"value_{name}").call()
    tape.gone("one", "two", "three", is_compaction=True, into=("short", "shorter"))
    return tape.add("short", 90, "value_one").add("shorter", 5).add("four", 1_000).call().call()


def test_unbounded_leaves_compactions_out_with_what_they_left() -> None:
    tape = compacted()
    found, prompts = tried(tape, "unbounded")
    assert prompts.names[2:] == ["goal one two three", *["goal one two three four"] * 2]
    assert found.metrics.run.sent_tokens == 1_100 + 2_100 + 3_100 + 2 * 4_100
    assert found.skipped_facts == 0
    none, prompts = tried(tape, "none")
    assert prompts.names[3:] == ["goal short shorter four"] * 2
    assert none.metrics.run.sent_tokens == 1_100 + 2_100 + 3_100 + 2 * 1_195


def test_unbounded_follows_a_rewind() -> None:
    tape = Tape().add("one", 1_000).call().add("two", 1_000).call().gone("two").call()
    _, prompts = tried(tape, "unbounded")
    assert prompts.names == ["goal one", "goal one two", "goal one"]


def test_a_rewind_over_what_was_left_out_takes_the_rest() -> None:
    tape = compacted().gone("short", "four").call()
    found, prompts = tried(tape, "unbounded")
    assert prompts.names[-1] == "goal one two three"
    assert found.skipped_facts == 0


def test_compactions_can_be_ignored_for_every_policy() -> None:
    tape = compacted()
    for spec in ("none", KEEPS_ONE, "clairvoyant"):
        found, prompts = tried(tape, spec, ignores_compactions=True)
        assert not any("short" in one for one in prompts.names)
        assert found.skipped_facts == 0
    none, prompts = tried(tape, "none", ignores_compactions=True)
    assert prompts.names == tried(tape, "unbounded")[1].names
    dropped = tried(tape, KEEPS_ONE, ignores_compactions=True)[1].names
    assert dropped == ["goal one", "goal two", "goal three", "goal four", "goal four"]
    # with the compactions it keeps its last result over the host's summary
    assert tried(tape, KEEPS_ONE)[1].names[3:] == ["goal short shorter four", "goal four"]
    assert tried(tape, "unbounded", ignores_compactions=True)[0].cost_usd == none.cost_usd


# ---- any run

NAMES = ("value_1", "value_2", "src/cart.py", "    total = add_up(the_cart, of_them)")
TEXTS = st.sets(st.sampled_from(NAMES)).map(sorted).map("\n".join)
SIZES = st.integers(min_value=0, max_value=3_000)
STEPS = st.one_of(
    st.tuples(st.just("read"), SIZES, TEXTS),
    *[st.tuples(st.just("call"), SIZES, TEXTS)] * 3,
    st.tuples(st.just("wait"), st.just(400), st.just("")),
    st.tuples(st.just("gone"), st.integers(0, 9), st.just("")),
    st.tuples(st.just("compact"), st.integers(1, 9), TEXTS),
)


def taped(steps: Iterable[tuple[str, int, str]]) -> Tape:
    tape = Tape()
    here: list[str] = []
    for number, (what, size, text) in enumerate(steps):
        name = f"i{number}"
        if what == "wait":
            tape.at += size
            continue
        if what == "read":
            tape.add(name, size, text)
        elif what == "call":
            tape.call(name, text, size)
        else:
            taken, here = here[-size:] if what == "gone" else here[:size], []
            is_compaction = what == "compact"
            tape.gone(*taken, is_compaction=is_compaction, into=(name,) if is_compaction else ())
            if is_compaction:
                tape.add(name, 50, text, Kind.SUMMARY)
            here = [one for one in here if one not in taken]
        here.append(name)
    return tape.call()


@given(steps=st.lists(STEPS, max_size=14), window=st.sampled_from([200, 5_000, 100_000]))
@settings(max_examples=120, deadline=None)
def test_it_is_a_lower_bound_of_any_run(steps: Any, window: int) -> None:
    tape = taped(steps)
    found, prompts = tried(tape, window_tokens=window)
    assert found.recall is not None
    assert found.recall.misses == []
    assert (found.skipped_facts, found.rewrites) == (0, 0)
    none, recorded = tried(tape, "none")
    assert found.metrics.run.sent_tokens <= none.metrics.run.sent_tokens
    assert found.peak_tokens <= none.peak_tokens
    assert found.cost_usd is not None
    assert none.cost_usd is not None
    assert found.cost_usd <= none.cost_usd
    assert found.metrics.run.calls == none.metrics.run.calls == len(prompts.names)
    unbounded, _ = tried(tape, "unbounded", window_tokens=window)
    if not any(what == "compact" for what, _, _ in steps):
        assert unbounded.metrics.run.sent_tokens == none.metrics.run.sent_tokens
        assert unbounded.cost_usd == none.cost_usd
    # every item of the recorded prompts is sent at least once, and nothing else is
    assert {name for one in recorded.sizes for name in one} == {
        name for one in prompts.sizes for name in one
    }
