"""Tests of what the provider's cache did that no model of it can know."""

from __future__ import annotations

from decimal import Decimal

import pytest
from claude_lines import Json, at_s, compacted, linked, said, summary, text, turns, wrote
from recorded_lines import claude_usage

from ctxbudget.config.policy_file import LoadedPolicy, load_policy
from ctxbudget.core.events import CacheFound, CacheLost, CallStarted, Fact
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Plan, Trigger
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, Settings, what_if
from ctxbudget.transcripts.claude_code import exchanges
from ctxbudget.transcripts.session import recorded_session

HAIKU = "claude-haiku-4-5"


def run_of(lines: list[Json]) -> RecordedRun:
    found = exchanges(iter(linked(lines)), RecordedFile(file="one.jsonl"))
    return recorded_session(found, RecordedFile(file="one.jsonl"), PriceBook(price_of)).run


def surprises(run: RecordedRun) -> list[Fact]:
    return [one for one in run.facts if isinstance(one, CacheLost | CacheFound)]


FIRST = claude_usage(0, w5m=20_000, output=100)


def after(gap_s: float, second: Json, first: Json = FIRST) -> list[Fact]:
    """Return what surprises in a second call that comes so late."""
    return surprises(run_of(turns(first, second, seconds=[0, gap_s])))


def lost(tokens: int, second: float) -> list[Fact]:
    return [CacheLost(at=at_s(second), kept_tokens=tokens)]


def found(tokens: int, second: float) -> list[Fact]:
    return [CacheFound(at=at_s(second), tokens=tokens)]


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (0, lost(0, 60)),
        (1, lost(1, 60)),
        (9_999, lost(9_999, 60)),
        (10_000, []),  # half of it is enough
        (20_000, []),
        (20_150, []),  # more than was left: of the call's own new part
    ],
)
def test_a_warm_cache_that_was_read_below_half_is_lost(read: int, expected: list[Fact]) -> None:
    assert after(60, claude_usage(0, read=read, w5m=20_150 - read)) == expected


@pytest.mark.parametrize(("read", "expected"), [(0, []), (1, found(1, 600)), (9, found(9, 600))])
def test_a_cold_cache_that_was_read_was_kept_by_others(read: int, expected: list[Fact]) -> None:
    assert after(600, claude_usage(0, read=read, w5m=20_150 - read)) == expected


def test_what_the_first_call_reads_others_left() -> None:
    first = claude_usage(0, read=14_000, w5m=6_000, output=100)
    assert surprises(run_of(turns(first))) == found(14_000, 0)
    assert after(60, claude_usage(0, read=20_000, w5m=150), first) == found(14_000, 0)


@pytest.mark.parametrize(
    ("gap_s", "is_long", "is_warm"),
    [
        (300, False, True),
        (301, False, False),
        (400, False, False),
        (400, True, True),
        (3_600, True, True),
        (3_601, True, False),
    ],
)
def test_how_long_it_lives_is_taken_from_each_call(
    gap_s: int, is_long: bool, is_warm: bool
) -> None:
    long_ttl = claude_usage(0, w1h=20_000, output=100)
    first = long_ttl if is_long else FIRST
    written = {"w1h" if is_long else "w5m": 150}
    as_kept = after(gap_s, claude_usage(0, read=20_000, **written), first)
    assert as_kept == ([] if is_warm else found(20_000, gap_s))
    written = {"w1h" if is_long else "w5m": 20_150}
    as_gone = after(gap_s, claude_usage(0, **written), first)
    assert as_gone == (lost(0, gap_s) if is_warm else [])


def test_a_call_that_writes_nothing_keeps_the_lifetime_before_it() -> None:
    usages = [
        claude_usage(0, w1h=20_000, output=10),
        claude_usage(30, read=20_000, output=10),
        claude_usage(0, read=20_030, w1h=40),
    ]
    run = run_of(turns(*usages, seconds=[0, 10, 1_010]))
    assert surprises(run) == []
    assert [one.ttl_s for one in run.facts if isinstance(one, CallStarted)] == [3_600.0] * 3


def test_another_model_starts_cold_and_the_first_is_still_warm() -> None:
    """Both caches are kept side by side."""
    usages = [FIRST, claude_usage(0, w5m=20_150, output=50) | {"model": HAIKU}]
    back = claude_usage(0, read=20_000, w5m=250)
    assert surprises(run_of(turns(*usages, back, seconds=[0, 10, 20]))) == []
    nothing_kept = claude_usage(0, w5m=20_250)
    assert surprises(run_of(turns(*usages, nothing_kept, seconds=[0, 10, 20]))) == lost(0, 20)
    too_late = claude_usage(0, w5m=20_250)
    assert surprises(run_of(turns(*usages, too_late, seconds=[0, 10, 310]))) == []


def test_after_a_compaction_only_the_prefix_is_warm() -> None:
    def shorter(read: int) -> list[Fact]:
        last = wrote("m9", text(), usage=claude_usage(0, read=read, w5m=20_100 - read), second=31)
        return surprises(
            run_of(
                [*turns(FIRST), compacted(20), summary(second=20), said("go on", second=30), last]
            )
        )

    assert shorter(19_900) == []
    assert shorter(15_000) == []
    assert shorter(0) == lost(0, 30)


def test_the_fact_stands_right_before_its_call() -> None:
    run = run_of(turns(FIRST, claude_usage(0, w5m=20_150), seconds=[0, 60]))
    (place,) = (at for at, one in enumerate(run.facts) if isinstance(one, CacheLost))
    call = run.facts[place + 1]
    assert isinstance(call, CallStarted)
    assert call.at == run.facts[place].at == at_s(60)


# ---- what follows for a replay

LOSING = [
    claude_usage(0, w5m=20_000, output=100),
    claude_usage(0, read=4_500, w5m=15_650, output=100),
    claude_usage(0, read=20_150, w5m=150, output=100),
]


def test_a_replay_loses_what_was_lost_unless_told_not_to() -> None:
    run = run_of(turns(*LOSING, seconds=[0, 60, 120]))
    assert surprises(run) == lost(4_500, 60)
    none = what_if(run, load_policy("none"))
    assert none.cost_usd == run.cost_usd
    assert none.rewrites == 0  # no change of ours made it
    kept = what_if(run, load_policy("none"), Settings(ignores_cache_losses=True))
    # 15,500 tokens are read at 0.50 USD a million instead of written at 6.25.
    assert run.cost_usd is not None
    assert kept.cost_usd == run.cost_usd - 15_500 * Decimal("5.75") / 1_000_000
    cache = kept.metrics.run.cache
    assert (cache.cache_read_tokens, cache.cache_write_tokens) == (40_150, 20_300)


def test_a_policy_hears_how_often_the_cache_was_lost() -> None:
    heard: list[int] = []

    def policy(moment: Moment) -> list[Plan]:
        if moment.trigger is Trigger.BEFORE_CALL:
            heard.append(moment.cache_losses)
        return []

    loaded = LoadedPolicy(name="listens", policy=policy, as_data={}, label="listens")
    run = run_of(turns(*LOSING, claude_usage(0, w5m=20_450), seconds=[0, 60, 120, 180]))
    assert surprises(run) == [*lost(4_500, 60), *lost(0, 180)]
    what_if(run, loaded)
    what_if(run, loaded, Settings(ignores_cache_losses=True))
    assert heard == [0, 1, 1, 2] + [0] * 4


def test_a_replay_finds_what_others_left() -> None:
    usages = [
        claude_usage(0, read=14_000, w5m=6_000, output=100),
        claude_usage(0, read=20_000, w5m=150, output=100),
        claude_usage(0, read=20_150, w5m=150, output=100),
    ]
    run = run_of(turns(*usages, seconds=[0, 60, 900]))
    assert surprises(run) == [*found(14_000, 0), *found(20_150, 900)]
    for settings in (Settings(), Settings(ignores_cache_losses=True)):
        assert what_if(run, load_policy("none"), settings).cost_usd == run.cost_usd


def test_facts_are_put_in_once_for_each_call_that_surprises() -> None:
    usages = [FIRST, *(claude_usage(0, w5m=20_000 + 150 * one, output=100) for one in (1, 2, 3))]
    run = run_of(turns(*usages, seconds=[0, 10, 20, 30]))
    assert surprises(run) == [*lost(0, 10), *lost(0, 20), *lost(0, 30)]
    assert what_if(run, load_policy("none")).cost_usd == run.cost_usd
