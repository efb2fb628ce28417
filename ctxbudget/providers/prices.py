"""What tokens cost at a date, by model; and what a model's prompt cache costs and needs.

Prices are the list prices of a model's maker, from `genai-prices` (which works offline), with a
small dated table for what it lacks. Batch and fast-mode rates, and what a cloud adds for a region,
are not modelled.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ctxbudget.core.types import Cache, Price
from ctxbudget.providers.models import ModelFamily, bare_name, claude_name, family_of

if TYPE_CHECKING:
    from genai_prices import types as genai

_OVERRIDES_DATE: Final = date(2026, 11, 20)
_FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)
_ClaudeKey = tuple[str, int | None, int | None]
_DATED: Final = re.compile(r"-(?:\d{8}|latest|default)$")


def _per_million(
    *, input_usd: str, read_usd: str, write_5m_usd: str, write_1h_usd: str, output_usd: str
) -> Price:
    return Price(
        input_usd=_per_token(Decimal(input_usd)),
        cache_read_usd=_per_token(Decimal(read_usd)),
        cache_write_5m_usd=_per_token(Decimal(write_5m_usd)),
        cache_write_1h_usd=_per_token(Decimal(write_1h_usd)),
        output_usd=_per_token(Decimal(output_usd)),
    )


def _per_token(per_million: Decimal) -> Decimal:
    return per_million.scaleb(-6)


_MISSING: Final[dict[_ClaudeKey | None, Price]] = {
    ("mythos", 5, 0): _per_million(
        input_usd="10", read_usd="1", write_5m_usd="12.5", write_1h_usd="20", output_usd="50"
    ),
    ("mythos", 5, 1): _per_million(
        input_usd="10", read_usd="0.25", write_5m_usd="12.5", write_1h_usd="20", output_usd="50"
    ),
}
"""Models that genai-prices 0.2.3 lacks, asked only where it knows none.

Source: Anthropic's pricing page, read in October 2026.
"""

_BEFORE: Final[dict[_ClaudeKey | None, tuple[date, Price]]] = {
    ("sonnet", 5, 5): (
        date(2026, 10, 7),
        _per_million(
            input_usd="2", read_usd="0.2", write_5m_usd="2.5", write_1h_usd="4", output_usd="10"
        ),
    ),
}
"""Earlier prices that genai-prices 0.2.3 does not date: the price until a day (UTC).

Source: Anthropic's pricing page; the day on which Sonnet 5.5's cache reads became cheaper, from
the release notes of tools that follow that page.
"""


def price_of(model: str, at_s: float | None) -> Price | None:
    """Return a model's price at a time, or None if the model or its price is not known.

    `at_s` is in seconds since 1970 (UTC); None asks for the newest price in the data. The name
    is read by `bare_name`, so a model costs the same whoever hosts it.
    """
    at = _FAR if at_s is None else datetime.fromtimestamp(at_s, UTC)
    claude = _claude_key(model)
    if claude in _BEFORE:
        until, earlier = _BEFORE[claude]
        if at.date() < until:
            return earlier
    name = bare_name(model)
    found = _look_up(name, at) or _look_up(_DATED.sub("", name), at)
    return found or _MISSING.get(claude)


def price_date() -> str:
    """Return how new the prices are: the version of the data, or the time of its last update."""
    from importlib.metadata import version

    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    updated = f" updated {snapshot.timestamp:%Y-%m-%d}" if snapshot.from_auto_update else ""
    return f"genai-prices {version('genai-prices')}{updated}, overrides {_OVERRIDES_DATE}"


def _claude_key(model: str) -> _ClaudeKey | None:
    """Return a Claude model's line and version, however the name spells them."""
    claude = claude_name(model)
    if claude is None or claude.line is None:
        return None
    return (claude.line, *(claude.version or (None, None)))


def _look_up(name: str, at: datetime) -> Price | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(name, None, None, None)
    except LookupError:
        return None
    return _converted(found.get_prices(at))


def _converted(listed: genai.ModelPrice) -> Price | None:
    """Return a listed price as ours, or None if it lists no price for input tokens.

    As in genai-prices, a kind of input token without a price of its own costs what the more
    general kind costs.
    """
    if listed.input_mtok is None:
        return None
    starts = {tier.start for key in _KEYS for tier in getattr(getattr(listed, key), "tiers", ())}
    larger = tuple((start, _flat(listed, start)) for start in sorted(starts))
    return replace(_flat(listed, None), larger=larger)


_KEYS: Final = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_5m_mtok",
    "cache_write_1h_mtok",
    "output_mtok",
)


def _flat(listed: genai.ModelPrice, threshold_tokens: int | None) -> Price:
    """Return the prices of a prompt just above a threshold, or of the smallest prompts."""

    def usd(*keys: str) -> Decimal:
        for key in keys:
            price = getattr(listed, key)
            if price is not None:
                return _per_token(_at_tier(price, threshold_tokens))
        return Decimal(0)

    return Price(
        input_usd=usd("input_mtok"),
        cache_read_usd=usd("cache_read_mtok", "input_mtok"),
        cache_write_5m_usd=usd("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
        cache_write_1h_usd=usd("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
        output_usd=usd("output_mtok"),
    )


def _at_tier(price: Decimal | genai.TieredPrices, threshold_tokens: int | None) -> Decimal:
    if isinstance(price, Decimal):
        return price
    found = price.base
    for tier in price.tiers:
        if threshold_tokens is not None and tier.start <= threshold_tokens:
            found = tier.price
    return found


_CACHE_TTL_S: Final = 300.0
_MIN_CACHED_TOKENS: Final[dict[_ClaudeKey | None, int]] = {
    ("fable", 5, 0): 512,
    ("fable", 5, 1): 512,
    ("fable", 5, 2): 512,  # not found; taken from 5.1
    ("mythos", 5, 0): 512,
    ("mythos", 5, 1): 512,
    ("mythos", 5, 2): 512,  # not found; taken from 5.1
    ("mythos", None, None): 2048,  # the preview
    ("opus", 5, 5): 512,
    ("opus", 5, 0): 512,
    ("opus", 4, 8): 1024,
    ("opus", 4, 7): 2048,
    ("opus", 4, 6): 4096,
    ("opus", 4, 5): 4096,
    ("sonnet", 5, 5): 512,
    ("haiku", 5, 5): 512,
    ("haiku", 4, 5): 4096,
    ("haiku", 3, 5): 2048,
}
"""The shortest prefix that is cached, by line and version; any other model: 1,024 tokens.

Source: Anthropic's prompt caching page, autumn 2026; for Sonnet 5.5 and Haiku 5.5 litellm's
model table.
"""


def cache_of(model: str) -> Cache:
    """Return the five-minute prompt cache of a model, priced by its newest price.

    A model whose price is not known gets the multipliers of `Cache()`.
    """
    bare = Cache(
        min_tokens=_MIN_CACHED_TOKENS.get(_claude_key(model), Cache().min_tokens),
        block_tokens=_block_tokens(model),
        ttl_s=_CACHE_TTL_S,
    )
    price = price_of(model, None)
    return bare if price is None else priced(bare, price)


def priced(cache: Cache, price: Price) -> Cache:
    """Return a cache with the multipliers that a price has; without a price for input, as it is."""
    if not price.input_usd:
        return cache
    return replace(
        cache,
        write_multiplier=float(price.cache_write_5m_usd / price.input_usd),
        read_multiplier=float(price.cache_read_usd / price.input_usd),
        write_1h_multiplier=float(price.cache_write_1h_usd / price.input_usd),
    )


def _block_tokens(model: str) -> int:
    """Return the size of the blocks in which a model's cache is read.

    Source: OpenAI's page on prompt caching (increments of 128 tokens). Of Gemini's implicit cache
    nothing is published: in 1,200 recorded calls of Gemini 3 Pro what was read came in multiples
    of about 2,016 tokens.
    """
    if bare_name(model).startswith("gemini"):
        return 2016
    return 128 if family_of(model) is ModelFamily.O200K else 1
