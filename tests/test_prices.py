"""What tokens cost at a date, and what a model's cache costs."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.types import Cache, Price
from ctxbudget.providers.models import bare_name
from ctxbudget.providers.prices import cache_of, price_date, price_of

NOVEMBER = datetime(2026, 11, 15, 12, tzinfo=UTC)


def at_s(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def known(model: str, when_s: float | None = None) -> Price:
    found = price_of(model, when_s)
    assert found is not None
    return found


def per_million(price: Price) -> tuple[Decimal, ...]:
    return tuple(
        each * 1_000_000
        for each in (
            price.input_usd,
            price.output_usd,
            price.cache_write_5m_usd,
            price.cache_write_1h_usd,
            price.cache_read_usd,
        )
    )


# Source: Anthropic's and OpenAI's pricing pages. Input, output, written for 5 minutes, written
# for an hour, read; US dollars per million tokens.
LISTED = [
    ("claude-opus-5-5", "4 20 5 8 0.20"),
    ("claude-opus-4-7", "5 25 6.25 10 0.50"),
    ("claude-sonnet-5-5", "2 10 2.5 4 0.10"),
    ("claude-sonnet-5", "2 10 2.5 4 0.20"),
    ("claude-sonnet-4-6", "3 15 3.75 6 0.30"),
    ("claude-haiku-5-5", "0.10 0.50 0.125 0.20 0.01"),
    ("claude-haiku-4-5", "1 5 1.25 2 0.10"),
    ("claude-fable-5-1", "10 50 12.5 20 0.25"),
    ("claude-mythos-5", "10 50 12.5 20 1"),
    ("claude-mythos-5-1", "10 50 12.5 20 0.25"),
    ("gpt-5", "1.25 10 1.25 1.25 0.125"),  # writing costs no more than input
]


@pytest.mark.parametrize(("model", "listed"), LISTED)
def test_list_prices(model: str, listed: str) -> None:
    expected = tuple(map(Decimal, listed.split()))
    assert per_million(known(model, NOVEMBER.timestamp())) == expected
    assert per_million(known(model)) == expected


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("claude-opus-5-5[1m]", "claude-opus-5-5"),
        ("anthropic/claude-opus-5-5", "claude-opus-5-5"),
        ("claude-opus-5-5-20260915", "claude-opus-5-5"),
        ("us.anthropic.claude-sonnet-5-5-20260901-v1:0", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5@20260901", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5@default", "claude-sonnet-5-5"),
        ("claude-mythos-5-1-20260901", "claude-mythos-5-1"),
        ("openrouter/anthropic/claude-sonnet-5.5", "claude-sonnet-5-5"),
        ("openai/gpt-5", "gpt-5"),
    ],
)
def test_names_of_one_model(alias: str, model: str) -> None:
    assert known(alias) == known(model)
    assert cache_of(alias) == cache_of(model)


@pytest.mark.parametrize(
    "model", ["", "<synthetic>", "nobody-knows", "claude-opus-99", "claude-mythos-preview"]
)
def test_no_price(model: str) -> None:
    assert price_of(model, None) is None
    assert price_of(model, 0.0) is None


@pytest.mark.parametrize(
    ("day", "read"),
    [((2026, 9, 1), "0.20"), ((2026, 10, 6), "0.20"), ((2026, 10, 7), "0.10")],
)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "anthropic/claude-sonnet-5.5"])
def test_sonnet_reads_became_cheaper(model: str, day: tuple[int, int, int], read: str) -> None:
    found = known(model, at_s(*day))
    assert found.cache_read_usd * 1_000_000 == Decimal(read)
    assert found.input_usd * 1_000_000 == 2


def test_long_prompts_cost_more_until_a_date() -> None:
    before, after = (known("claude-opus-4-6", at_s(2026, 3, day)) for day in (12, 13))
    assert before.cost_usd(uncached_tokens=300_000) == Decimal("3.0")
    assert after.cost_usd(uncached_tokens=300_000) == Decimal("1.5")
    assert known("claude-opus-4-6") == after


# A request


def test_cost_worked_by_hand() -> None:
    cost = known("claude-opus-5-5").cost_usd(
        uncached_tokens=1_000,  # 0.004
        cache_read_tokens=100_000,  # 0.020
        cache_write_5m_tokens=2_000,  # 0.010
        cache_write_1h_tokens=3_000,  # 0.024
        output_tokens=500,  # 0.010
    )
    assert cost == Decimal("0.068")


@pytest.mark.parametrize(
    ("kind", "tokens", "usd"),
    [
        ("uncached_tokens", 100_000, "0.0105"),  # 0.01 and 1,000 × 0.5
        ("uncached_tokens", 100_001, "0.0525005"),  # five times, output too
        ("cache_read_tokens", 100_001, "0.00750005"),
        ("cache_write_5m_tokens", 100_001, "0.065000625"),
        ("cache_write_1h_tokens", 100_001, "0.102501"),
    ],
)
def test_a_larger_prompt_costs_more_as_a_whole(kind: str, tokens: int, usd: str) -> None:
    price = known("claude-haiku-5-5")
    assert price.cost_usd(**{kind: tokens}, output_tokens=1_000) == Decimal(usd)


def test_the_parts_of_a_prompt_reach_the_threshold_together() -> None:
    price = known("claude-haiku-5-5")
    parts = {"uncached_tokens": 30_000, "cache_read_tokens": 40_000}
    small = price.cost_usd(**parts, cache_write_5m_tokens=20_000, cache_write_1h_tokens=10_000)
    large = price.cost_usd(**parts, cache_write_5m_tokens=20_000, cache_write_1h_tokens=10_001)
    assert large == 5 * (small + price.cache_write_1h_usd)


def test_output_is_no_part_of_the_prompt() -> None:
    assert known("claude-haiku-5-5").cost_usd(output_tokens=200_000) == Decimal("0.1")


def test_nothing_costs_nothing() -> None:
    assert known("claude-opus-5-5").cost_usd() == 0


MODELS = [
    "claude-opus-5-5",
    "claude-opus-4-6",
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-sonnet-4-5-20250929",
    "claude-haiku-5-5",
    "claude-3-5-haiku-20241022",
    "claude-2.1",
    "gpt-5",
    "gpt-6-sol",
    "o3",
    "gemini-2.5-pro",
    "deepseek-chat",
    "openai/gpt-4o",
]
COUNTS = st.integers(0, 400_000)


@given(
    st.sampled_from(MODELS),
    st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.sampled_from([at_s(2025, 5, 1), at_s(2026, 3, 1), NOVEMBER.timestamp()]),
)
def test_agrees_with_genai_prices(
    model: str, tokens: tuple[int, int, int, int, int], when_s: float
) -> None:
    uncached, read, written_5m, written_1h, output = tokens
    theirs = calc_price(
        Usage(
            input_tokens=uncached + read + written_5m + written_1h,
            cache_read_tokens=read,
            cache_write_tokens=written_5m + written_1h,
            cache_write_5m_tokens=written_5m,
            cache_write_1h_tokens=written_1h,
            output_tokens=output,
        ),
        bare_name(model),
        genai_request_timestamp=datetime.fromtimestamp(when_s, UTC),
    )
    ours = known(model, when_s).cost_usd(
        uncached_tokens=uncached,
        cache_read_tokens=read,
        cache_write_5m_tokens=written_5m,
        cache_write_1h_tokens=written_1h,
        output_tokens=output,
    )
    assert ours == theirs.total_price


def test_price_date_names_the_data() -> None:
    name, version, *_ = price_date().split()
    assert (name, version[0].isdigit()) == ("genai-prices", True)
    assert price_date().endswith("overrides 2026-11-20")


# The cache


@pytest.mark.parametrize(
    ("model", "write", "read", "min_tokens"),
    [
        ("claude-opus-5-5", 1.25, 0.05, 512),
        ("claude-sonnet-5-5", 1.25, 0.05, 512),
        ("claude-fable-5-2", 1.25, 0.025, 512),
        ("claude-mythos-5", 1.25, 0.1, 512),
        ("claude-haiku-5-5", 1.25, 0.1, 512),
        ("claude-opus-4-8", 1.25, 0.1, 1024),
        ("claude-sonnet-4-6", 1.25, 0.1, 1024),
        ("claude-sonnet-4-5-20250929", 1.25, 0.1, 1024),
        ("claude-opus-4-7", 1.25, 0.1, 2048),
        ("claude-3-5-haiku-20241022", 1.25, 0.1, 2048),
        ("claude-mythos-preview", 1.25, 0.1, 2048),  # no price, so the usual multipliers
        ("claude-opus-4-6", 1.25, 0.1, 4096),
        ("claude-opus-4-5", 1.25, 0.1, 4096),
        ("claude-haiku-4-5", 1.25, 0.1, 4096),
    ],
)
def test_cache_of_a_model(model: str, write: float, read: float, min_tokens: int) -> None:
    assert cache_of(model) == Cache(
        write_multiplier=write,
        write_1h_multiplier=2.0,
        read_multiplier=read,
        ttl_s=300.0,
        min_tokens=min_tokens,
    )


@pytest.mark.parametrize(
    ("model", "read", "block_tokens"),
    [
        ("gpt-5", 0.1, 128),
        ("google/gemini-3-pro-preview", 0.1, 2016),
        ("claude-2.1", 1.0, 1),  # had no cache
    ],
)
def test_a_cache_whose_writes_cost_nothing_extra(
    model: str, read: float, block_tokens: int
) -> None:
    found = cache_of(model)
    assert (found.write_multiplier, found.write_1h_multiplier) == (1.0, 1.0)
    assert (round(found.read_multiplier, 6), found.block_tokens) == (read, block_tokens)


@pytest.mark.parametrize("model", ["", "<synthetic>", "nobody-knows", "claude-opus-99"])
def test_cache_of_an_unknown_model(model: str) -> None:
    assert cache_of(model) == Cache()


def test_import_loads_no_price_data() -> None:
    code = "import sys, ctxbudget.providers.prices; print('genai_prices' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
