"""Calls that came after the cache had expired, so that what it held was paid as new."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from ctxbudget.core.events import CallSent, CallStarted
from ctxbudget.core.pricing import input_usd
from ctxbudget.core.types import LONG_TTL_S
from ctxbudget.debt.as_recorded import AsRecorded, reads_of_a_lasting_cache
from ctxbudget.replay.recorded_run import RecordedRun

SHORT_TTL_S: Final = 300.0
"""The default lifetime. Source: Anthropic's prompt caching page."""

LEAST_TOKENS: Final = 1_024
"""Written again: a shorter prefix would not have been cached at all by most models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reentry:
    """A call that found the cache expired.

    Attributes:
        call: its number.
        gap_s: since the call before it on the same model.
        tokens: written again (or sent uncached), which a lasting cache would have held.
        cost_usd: what that cost above reading them; None if the price is not known.
    """

    call: int
    gap_s: float
    tokens: int
    cost_usd: Decimal | None

    @property
    def is_within_the_long_ttl(self) -> bool:
        """Whether the hourly cache would still have held them."""
        return self.gap_s <= LONG_TTL_S


def reentries(run: RecordedRun, recorded: AsRecorded) -> list[Reentry]:
    """Return the calls that found the cache expired, in order.

    A cache that the provider lost, or a prompt that was changed, is none: there, a lasting cache
    would not have been read, either.
    """
    found = []
    for call, lasting_tokens in zip(recorded.calls, reads_of_a_lasting_cache(run), strict=True):
        again_tokens = lasting_tokens - call.sent.cache_read_tokens
        if again_tokens >= LEAST_TOKENS and call.gap_s is not None:
            usd, read = call.usd, _with_read(call.sent, again_tokens)
            if usd is not None and call.price is not None:
                usd -= input_usd(read, call.price)
            found.append(
                Reentry(call=call.sent.call, gap_s=call.gap_s, tokens=again_tokens, cost_usd=usd)
            )
    return found


def asks_for_the_short_ttl(run: RecordedRun) -> bool:
    """Return whether any call asked for what it writes to live five minutes."""
    return any(isinstance(fact, CallStarted) and fact.ttl_s == SHORT_TTL_S for fact in run.facts)


def _with_read(call: CallSent, tokens: int) -> CallSent:
    """Return a call as if so many more of its tokens had been read."""
    long_tokens = call.cache_write_1h_tokens
    written = min(tokens, call.cache_write_tokens)
    return replace(
        call,
        cache_read_tokens=call.cache_read_tokens + tokens,
        cache_write_tokens=call.cache_write_tokens - written,
        cache_write_1h_tokens=long_tokens - min(written, long_tokens),
        uncached_tokens=call.uncached_tokens - (tokens - written),
    )
