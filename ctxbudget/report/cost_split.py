"""What a run's cost is made of: what was read from the cache, written to it, uncached, written by models."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.core.events import CallAnswered, CallSent, Event
from ctxbudget.core.pricing import InputCosts
from ctxbudget.core.types import Price


@dataclass(slots=True, kw_only=True)
class CostSplit:
    """Amounts of money by what they paid for; together they are the cost.

    Attributes:
        summaries_usd: reading what was to be summarized, and writing the summaries.
        output_usd: of the calls; None where the run does not tell it.
        is_known: whether the price of every call was known; the others are left out.
    """

    cache_read_usd: Decimal = Decimal(0)
    cache_write_usd: Decimal = Decimal(0)
    uncached_usd: Decimal = Decimal(0)
    summaries_usd: Decimal = Decimal(0)
    output_usd: Decimal | None = None
    is_known: bool = True

    @property
    def input_usd(self) -> Decimal:
        """All but the output."""
        return self.cache_read_usd + self.cache_write_usd + self.uncached_usd + self.summaries_usd

    def add_prompt(
        self,
        price: Price | None,
        *,
        uncached_tokens: int,
        cache_read_tokens: int,
        cache_write_5m_tokens: int,
        cache_write_1h_tokens: int,
    ) -> None:
        """Add what a prompt cost, by kind of token."""
        if price is None:
            self.is_known = False
            return
        written_tokens = cache_write_5m_tokens + cache_write_1h_tokens
        rate = price.for_prompt(uncached_tokens + cache_read_tokens + written_tokens)
        self.uncached_usd += uncached_tokens * rate.input_usd
        self.cache_read_usd += cache_read_tokens * rate.cache_read_usd
        self.cache_write_usd += cache_write_5m_tokens * rate.cache_write_5m_usd
        self.cache_write_usd += cache_write_1h_tokens * rate.cache_write_1h_usd

    def add_output(self, price: Price | None, prompt_tokens: int, output_tokens: int) -> None:
        """Add what an answer cost."""
        if price is None:
            self.is_known = False
            return
        rate = price.for_prompt(prompt_tokens)
        self.output_usd = (self.output_usd or Decimal(0)) + output_tokens * rate.output_usd


class SplitCosts:
    """A listener that splits what calls and summaries cost, as `Metrics` and what-ifs add it up.

    Args:
        assumes_summaries: as of `InputCosts`.
    """

    def __init__(self, *, assumes_summaries: bool = False) -> None:
        self.split = CostSplit()
        self._costs = InputCosts(assumes_summaries=assumes_summaries)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        cost = self._costs(event)
        if isinstance(event, CallSent):
            self.split.add_prompt(
                self._costs.prices.get(event.model),
                uncached_tokens=event.uncached_tokens,
                cache_read_tokens=event.cache_read_tokens,
                cache_write_5m_tokens=event.cache_write_tokens - event.cache_write_1h_tokens,
                cache_write_1h_tokens=event.cache_write_1h_tokens,
            )
        elif cost is not None and cost.is_summary:
            if cost.usd is None:
                self.split.is_known = False
            else:
                self.split.summaries_usd += cost.usd
        elif isinstance(event, CallAnswered):
            price = self._costs.prices.get(event.model)
            self.split.add_output(price, event.prompt_tokens, event.output_tokens)
