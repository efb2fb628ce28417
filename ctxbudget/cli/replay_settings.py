"""Reads what the command line changes of a run that was recorded, beside its policy."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from ctxbudget.cli.any_run_options import check_model
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Price
from ctxbudget.providers.prices import cache_of, price_of
from ctxbudget.replay.what_if import OtherModel

_TTLS_S: Final = {"5m": 300.0, "1h": 3600.0}


def ttl_s_of(given: str | None) -> float | None:
    """Return the lifetime of the cache that --ttl says, in seconds; None if it was not given.

    Raises:
        ConfigError: it is neither of the two that providers have.
    """
    if given is None:
        return None
    if given not in _TTLS_S:
        raise ConfigError(f"expected 5m or 1h, found {given!r}", location=("--ttl",))
    return _TTLS_S[given]


def other_model(name: str | None) -> OtherModel | None:
    """Return the model that --model names, its price None where that is not known.

    Raises:
        ConfigError: the name is empty.
    """
    check_model(name)
    if name is None:
        return None
    return OtherModel(name=name, price=price_of(name, None), cache=cache_of(name))


def refuse_agent_of_journal(agent: str | None) -> None:
    """Check that no sub-agent is asked for of a journal of ours.

    Raises:
        ConfigError: one is.
    """
    if agent is not None:
        raise ConfigError(
            "a journal is replayed with all its agents; leave --agent out", location=("--agent",)
        )


# ---- prices

MOST_USD: Final = 1_000_000
"""For a million tokens: a dollar for each."""

_PRICE_KEYS: Final = ("input", "read", "write", "write_1h", "output")


def price_said(given: str | None) -> Price | None:
    """Return the price that --price says, None if it was not given.

    What it leaves out costs what input does.

    Raises:
        ConfigError: it names what has no price, an amount that is none, or none of input.
    """
    if given is None:
        return None
    amounts: dict[str, Decimal] = {}
    for pair in given.split(","):
        key, _, amount = (part.strip() for part in pair.partition("="))
        if key not in _PRICE_KEYS:
            raise _price_error(f"found {pair.strip()!r}")
        if key in amounts:
            raise _price_error(f"found {key} twice")
        amounts[key] = _per_token(amount)
    if "input" not in amounts:
        raise _price_error("found no price for input")
    whole = amounts["input"]
    write = amounts.get("write", whole)
    return Price(
        input_usd=whole,
        cache_read_usd=amounts.get("read", whole),
        cache_write_5m_usd=write,
        cache_write_1h_usd=amounts.get("write_1h", write),
        output_usd=amounts.get("output", whole),
    )


def _per_token(amount: str) -> Decimal:
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise _price_error(f"found {amount!r}") from None
    if not value.is_finite() or not 0 <= value <= MOST_USD:
        raise _price_error(f"found {amount!r}")
    return value.scaleb(-6)


def _price_error(found: str) -> ConfigError:
    return ConfigError(
        "expected USD for a million tokens, as in "
        f"input=3,read=0.3,write=3.75,write_1h=6,output=15; {found}",
        location=("--price",),
    )
