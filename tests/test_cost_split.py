"""Tests of the parts of a cost: by hand, and that they add up to what the reports say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from ctxbudget.config.lookup import find
from ctxbudget.config.policy_file import load_policy
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import CallAnswered, CallSent, Charge, RunStarted, Shortened
from ctxbudget.core.types import Do, Price, Scale
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.bill import Bill
from ctxbudget.recorded.files import opened
from ctxbudget.recorded.formats import usage_rows
from ctxbudget.recorded.lines import unpacked
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import Settings, what_if
from ctxbudget.report.cost_split import CostSplit, SplitCosts
from ctxbudget.report.html.of_audit import BillDrawn
from ctxbudget.simulate import measure_for, simulate
from ctxbudget.transcripts.session import read_session

ROOT = Path(__file__).parent.parent
SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"

CHEAP = Price(
    input_usd=Decimal(1),
    cache_read_usd=Decimal("0.1"),
    cache_write_5m_usd=Decimal("1.25"),
    cache_write_1h_usd=Decimal(2),
    output_usd=Decimal(5),
)


def test_each_kind_of_token_has_its_price() -> None:
    split = CostSplit()
    split.add_prompt(
        CHEAP,
        uncached_tokens=3,
        cache_read_tokens=10,
        cache_write_5m_tokens=4,
        cache_write_1h_tokens=5,
    )
    split.add_output(CHEAP, 22, 2)
    assert [split.uncached_usd, split.cache_read_usd, split.cache_write_usd] == [3, 1, 15]
    assert split.output_usd == 10
    assert split.input_usd == 19
    assert split.is_known


def test_a_prompt_beyond_a_threshold_has_the_larger_price_for_all_its_parts() -> None:
    dear = Price(
        input_usd=Decimal(2),
        cache_read_usd=Decimal(1),
        cache_write_5m_usd=Decimal(3),
        cache_write_1h_usd=Decimal(4),
        output_usd=Decimal(7),
    )
    price = Price(
        input_usd=Decimal(1),
        cache_read_usd=Decimal(0),
        cache_write_5m_usd=Decimal(1),
        cache_write_1h_usd=Decimal(1),
        output_usd=Decimal(1),
        larger=((100, dear),),
    )
    split = CostSplit()
    tokens = {
        "uncached_tokens": 50,
        "cache_read_tokens": 51,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
    }
    split.add_prompt(price, **tokens)
    split.add_output(price, 101, 1)
    assert split.input_usd == price.cost_usd(uncached_tokens=50, cache_read_tokens=51)
    assert split.output_usd == 7


def test_what_has_no_price_is_left_out_and_told() -> None:
    split = CostSplit()
    split.add_prompt(
        None,
        uncached_tokens=1,
        cache_read_tokens=0,
        cache_write_5m_tokens=0,
        cache_write_1h_tokens=0,
    )
    assert split.input_usd == 0
    assert not split.is_known


def test_a_listener_tells_calls_summaries_and_answers_apart() -> None:
    found = SplitCosts()
    found(
        RunStarted(
            at=0.0,
            workflow="w",
            scale=Scale(window_tokens=10, reserve_tokens=0, budget_tokens=10),
            phases=(),
            prices={"m": CHEAP},
        )
    )
    found(
        CallSent(
            at=1.0,
            call=1,
            tokens=30,
            cache_read_tokens=10,
            cache_write_tokens=15,
            cache_write_1h_tokens=5,
            uncached_tokens=5,
            model="m",
        )
    )
    found(
        Shortened(
            at=2.0,
            do=Do.SUMMARIZE,
            items=("x",),
            tokens=2,
            charge=Charge(model="m", uncached_tokens=7, output_tokens=2),
        )
    )
    found(CallAnswered(at=3.0, uncached_tokens=5, output_tokens=3, model="m"))
    split = found.split
    assert [split.uncached_usd, split.cache_read_usd] == [5, 1]
    assert split.cache_write_usd == Decimal("22.5")
    assert [split.summaries_usd, split.output_usd] == [17, 15]


@pytest.mark.parametrize("policy", ["none", "aggressive", "moderate"])
def test_the_parts_are_the_cost_of_a_simulation(policy: str) -> None:
    loaded = read_workflow(find("workflows", "masking_study"))
    setup = set_up_run(loaded, Overrides(model="claude-sonnet-4-5").with_policy(policy))
    found = SplitCosts()
    metrics = simulate(setup, measure_for(loaded), [found])
    assert metrics.run.cost_usd
    assert found.split.input_usd == metrics.run.cost_usd


@pytest.mark.parametrize("window_tokens", [None, 60_000])
@pytest.mark.parametrize("policy", ["none", "masking", "compact-at-threshold", "clairvoyant"])
def test_the_parts_are_the_cost_of_a_replay(policy: str, window_tokens: int | None) -> None:
    run = read_session(RecordedFile(file=str(SESSION)), PriceBook(price_of), None).run
    found = SplitCosts(assumes_summaries=True)
    settings = Settings(window_tokens=window_tokens)
    one = what_if(run, load_policy(policy), settings, listeners=[found])
    assert found.split.input_usd == one.cost_usd
    assert found.split.summaries_usd == one.summaries_usd
    if policy == "compact-at-threshold" and window_tokens is not None:
        assert found.split.summaries_usd > 0


def test_the_parts_are_the_cost_of_a_bill() -> None:
    bill = Bill(PriceBook(price_of))
    drawn = bill.heard = BillDrawn(bill.prices)
    file = RecordedFile(file=str(SESSION))
    with opened(file.file) as stream:
        bill.add(file, usage_rows(unpacked(stream), file))
    bill.finish()
    (thread,) = bill.threads
    one = drawn.of(thread)
    assert one.split.output_usd
    assert one.split.input_usd + one.split.output_usd == thread.sums.cost_usd
    assert sum(one.read) == thread.sums.cache_read_tokens
    assert len(one.uncached) == thread.sums.calls
