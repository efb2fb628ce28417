"""Tests of replays at the edges: calls that were refused, images, summaries without a call."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from test_replay import (
    CACHE,
    PRICE,
    SONNET,
    SUMMARIZING,
    Clock,
    events_of,
    journaled,
    of_world,
    policy,
    reads,
    run_of,
    world,
)
from worlds import World, rules

from ctxbudget import BudgetExceededError, Run, Usage
from ctxbudget.core.events import CallSent
from ctxbudget.core.types import Cache, Price
from ctxbudget.replay import Settings, recorded_run, what_if
from ctxbudget.replay.what_if import OtherModel


def test_a_report_without_a_model_is_of_the_calls_model() -> None:
    made = world(prices={"m": PRICE}).call(model="m").answered(1_000)
    assert recorded_run(made.events).cost_usd == Decimal("0.1")


def test_a_call_that_was_refused_was_not_made() -> None:
    spec = rules({"on": "before_call", "select": {"kind": "tool_result"}, "do": "clear"})
    made = World(spec, window=1_000).add("goal", 100, "user")
    made.turn("one", call=10, result=300).add("big", 950, "user", pinned=True)
    with pytest.raises(BudgetExceededError):
        made.call()
    made.withdraw("big").call()
    found = of_world(made, "none")
    assert (found.metrics.run.calls, found.metrics.run.sent_tokens) == (1, 410)
    assert of_world(made, "none", window_tokens=9_000).metrics.run.calls == 1


def test_a_call_that_the_provider_refused_costs_nothing() -> None:
    made = World("none", window=10_000).add("goal", 100, "user").turn("one").call()
    made.reject().call()
    run = recorded_run(made.events)
    assert run.calls == 1
    assert what_if(run, policy("none")).metrics.run.sent_tokens == 1_100


def test_a_summary_before_the_first_call_is_charged() -> None:
    made = World("none", prices={"m": PRICE}, model="m").add("goal", 100, "user")
    made.start("a").output("out", 840).finish("a", "out").end("a")
    spec = rules(
        {
            "on": "phase_finished",
            "select": {"kind": "artifact"},
            "do": "summarize",
            "by": "all",
            "to": 40,
        }
    )
    # 840 read at 0.0001 and 40 written at 0.0005
    found = of_world(made, spec)
    assert (found.compactions, found.cost_usd) == (1, Decimal("0.104"))


def test_images_do_not_distort_the_scale_of_texts(tmp_path: Path) -> None:
    def script(run: Run, clock: Clock) -> None:
        run.user("goal")
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        }
        run.tool_call("shot", {}, call_id="c")
        run.tool_result("c", [image])
        for number in range(3):
            reads(run, number)
            run.prompt()

    path = journaled(tmp_path / "run.jsonl", script, policy="masking:keep=1")
    sent = [event.tokens for event in events_of(path) if isinstance(event, CallSent)]
    assert what_if(run_of(path), policy("masking:keep=1")).metrics.run.sent_tokens == sum(sent)


def test_an_injected_text_without_text_has_a_size() -> None:
    made = World("none").register("style", 800, "edit").add("goal", 100, "user")
    made.add("e", 10, "tool_call", tool="edit", group="e").add("r", 10, group="e").call().call()
    spec = rules(
        {"on": "before_call", "select": {"kind": "note", "age_calls": 1}, "do": "snip", "to": 60}
    )
    assert of_world(made, spec).metrics.run.sent_tokens == 920 + 180


# ---- other settings, worked by hand on a goal of 100 tokens and three turns of 1,000

DEAR = Price(
    input_usd=Decimal(1),
    cache_read_usd=Decimal("0.5"),
    cache_write_5m_usd=Decimal(2),
    cache_write_1h_usd=Decimal(3),
    output_usd=Decimal(7),
)


def test_a_longer_life_is_paid_for_at_each_write_and_saves_what_comes_late() -> None:
    made = world().wait(290).call().wait(290).call()  # two prompts of 3,100; one at 300 s, one late
    reads_usd, short_usd, long_usd = Decimal("0.00001"), Decimal("0.00012"), Decimal("0.00020")
    # 300 s after the call before are not too late, 301 s are
    assert of_world(made, "none").cost_usd == 3_100 * short_usd + (3_200 + 6_200) * reads_usd
    late = world().wait(291).call().wait(3_590).call()
    assert of_world(late, "none").cost_usd == 9_300 * short_usd + 3_200 * reads_usd
    hour = of_world(late, "none", ttl_s=3_600.0)
    assert hour.cost_usd == 3_100 * long_usd + 9_400 * reads_usd
    assert hour.metrics.run.cache.cache_write_tokens == 3_100
    assert of_world(late.wait(3_591).call(), "none", ttl_s=3_600.0).cost_usd == (
        6_200 * long_usd + 9_400 * reads_usd
    )


def test_another_model_brings_its_prices_and_its_cache() -> None:
    made = world(prices={"": PRICE, "b": PRICE}).call(model="b").call()
    own = of_world(made, "none")
    # the switch writes the prompt again, for `b` has a cache of its own, and 1,024 are the least
    assert own.metrics.run.cache.cache_write_tokens == 3_100 + 3_100
    other = OtherModel(name="dear", price=DEAR, cache=Cache(min_tokens=2_000, block_tokens=500))
    found = of_world(made, "none", model=other)
    # all calls are of one model now: 1,100 uncached | 2,100 written | 2,000 read, 1,100 written |
    # twice 3,000 read and 100 written
    cache = found.metrics.run.cache
    assert (cache.uncached_tokens, cache.cache_write_tokens, cache.cache_read_tokens) == (
        1_100,
        2_100 + 1_100 + 200,
        8_000,
    )
    assert found.cost_usd == 1_100 + 3_400 * 2 + Decimal(4_000)
    unpriced = OtherModel(name="own", price=None, cache=CACHE)
    assert of_world(made, "none", model=unpriced).cost_usd is None
    both = of_world(made, "none", model=unpriced, price=DEAR)
    assert both.cost_usd == 3_100 * 2 + Decimal("0.5") * (3_200 + 6_200)


def test_another_price_is_that_of_every_model() -> None:
    made = world(prices={"": PRICE}).call(model="unknown")
    assert of_world(made, "none").cost_usd is None
    # what is not known of the other model's cache is as usual: 1,024 tokens are the least
    assert of_world(made, "none", price=DEAR).cost_usd == 6_200 * 2 + Decimal("0.5") * 3_200


def test_whether_a_prune_pays_off_follows_the_price() -> None:
    rule = {
        "on": "before_call",
        "select": {"kind": "tool_result", "age_calls": 2},
        "do": "clear",
        "when": {"pays_off": True},
    }
    made = World("none", cache=CACHE, prices={"": PRICE}, calls=100).add("goal", 100, "user")
    for name in ("one", "two", "three", "four"):
        made.turn(name).call()
    made.call(2)
    # a rewrite of the turn behind it costs 1.5 of 1,000 tokens, and 0.5 of 830 are saved by each
    # of almost a hundred calls; where a read costs next to nothing, nothing is saved
    assert of_world(made, rules(rule), price=DEAR).metrics.run.pruned_tokens == 4 * 830
    free = replace(DEAR, cache_read_usd=Decimal("0.000001"))
    assert of_world(made, rules(rule), price=free).metrics.run.pruned_tokens == 0


def test_summaries_are_charged_at_the_settings_prices() -> None:
    found = of_world(world(), SUMMARIZING, price=DEAR)
    # two summaries each read 1,000 tokens, uncached, and write 200
    assert found.summaries_usd == 2 * (1_000 + 200 * 7)
    assert found.cost_usd == 3_500 * 2 + Decimal("0.5") * 400 + found.summaries_usd
    assert found.compactions == 2


def used_again(run: Run, clock: Clock) -> None:
    """Read two files, and use a name of the first after the second was read."""
    run.user("mend the login")
    for number in range(2):
        reads(run, number)
        run.prompt()
        usage = Usage(uncached_tokens=1_000, output_tokens=50 + number, model=SONNET)
        run.used(usage)
    run.assistant("by value_0_7 and value_0_9")


@pytest.mark.parametrize(("ttl_s", "write"), [(None, 2), (300.0, 2), (3_600.0, 3)])
def test_a_miss_is_written_at_the_price_of_the_calls_writes(
    tmp_path: Path, ttl_s: float | None, write: int
) -> None:
    run = run_of(journaled(tmp_path / "run.jsonl", used_again))
    settings = Settings(ttl_s=ttl_s, price=DEAR)
    found = what_if(run, policy("masking:keep=1"), settings)
    assert found.recall is not None
    first, second = found.recall.misses
    assert (first.is_charged, second.is_charged, first.call) == (True, False, 2)
    # one more call reads all that the second one carried, and the item is written again
    carried = found.peak_tokens
    assert found.refetch_usd == first.tokens * write + Decimal("0.5") * carried
    assert found.cost_usd is not None
    assert found.total_cost_usd == found.cost_usd + found.refetch_usd
    # what it cost, and what it wrote, is at the recorded prices: 2 and 10 USD a million
    assert run.cost_usd == 2_000 * Decimal("0.000002")
    assert run.output_usd == 101 * Decimal("0.000010")
