"""What a run's calls and summaries cost, by the prices that it started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    Charge,
    Event,
    ItemAdded,
    Pruned,
    RunStarted,
    Shortened,
)
from ctxbudget.core.types import Do, Kind, Price


def input_usd(call: CallSent, price: Price) -> Decimal:
    """Return what a call's prompt costs, split as the cache model says; output is not part of it."""
    return price.cost_usd(
        uncached_tokens=call.uncached_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_5m_tokens=call.cache_write_tokens - call.cache_write_1h_tokens,
        cache_write_1h_tokens=call.cache_write_1h_tokens,
    )


def used_usd(used: CallAnswered | Charge, price: Price) -> Decimal:
    """Return what a call cost by the provider's report, output included."""
    return price.cost_usd(
        uncached_tokens=used.uncached_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_5m_tokens=used.cache_write_tokens - used.cache_write_1h_tokens,
        cache_write_1h_tokens=used.cache_write_1h_tokens,
        output_tokens=used.output_tokens,
    )


def plus_usd(one_usd: Decimal | None, other_usd: Decimal | None) -> Decimal | None:
    """Return a sum of amounts; one that is not known makes it unknown."""
    return None if one_usd is None or other_usd is None else one_usd + other_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one call or summary cost."""

    thread: str
    model: str
    usd: Decimal | None
    """None where the model's price is not known."""
    is_summary: bool = False


class InputCosts:
    """A listener that prices the prompts of a run's calls, and the summaries that were written.

    A summary costs what its writer reports. Where there was no text to write one from, as in a
    simulation, it is charged as if the thread's model had read what it stands for, uncached, and
    written it; a text without a report is a digest, which costs nothing.

    Args:
        assumes_summaries: charge digests that take a summary's place as if a model had written
            them, for runs that ask what a summary would have cost.

    Attributes:
        prices: by model, from the run's first fact.
    """

    def __init__(self, *, assumes_summaries: bool = False) -> None:
        self.prices: Mapping[str, Price] = {}
        self._assumes_summaries = assumes_summaries
        self._model = ""
        self._models: dict[str, str] = {}
        self._output_tokens: dict[str, int] = {}
        self._settled: set[tuple[str, tuple[str, ...]]] = set()

    def __call__(self, event: Event) -> Cost | None:
        """Take an event in; return what it cost, if it is one that costs."""
        match event:
            case RunStarted():
                self.prices, self._model = event.prices, event.model
            case ItemAdded() if event.item.kind is Kind.ARTIFACT:
                self._output_tokens[event.item.id] = event.item.tokens
            case CallSent():
                self._models[event.thread] = event.model
                price = self.prices.get(event.model)
                usd = None if price is None else input_usd(event, price)
                return Cost(thread=event.thread, model=event.model, usd=usd)
            case Shortened(do=Do.SUMMARIZE):
                return self._written(event)
            case Pruned(do=Do.SUMMARIZE):
                return self._summarized(event)
            case _:
                pass
        return None

    def _written(self, event: Shortened) -> Cost | None:
        """Return what a summary's writer reports."""
        charge = event.charge
        if charge is not None or (event.text is not None and not self._assumes_summaries):
            self._settled.add((event.thread, event.items))
        if charge is None:
            return None
        price = self.prices.get(charge.model)
        usd = None if price is None else used_usd(charge, price)
        return Cost(thread=event.thread, model=charge.model, usd=usd, is_summary=True)

    def _summarized(self, event: Pruned) -> Cost | None:
        """Return what a summary that nobody reported on would have cost."""
        if event.stand_in is None or (event.thread, event.items + event.reads) in self._settled:
            return None
        model = self._models.get(event.thread, self._model)
        price, usd = self.prices.get(model), None
        if price is not None:
            outputs_tokens = sum(self._output_tokens.get(name, 0) for name in event.reads)
            usd = price.cost_usd(
                uncached_tokens=event.removed_tokens + outputs_tokens,
                output_tokens=event.stand_in.tokens,
            )
        return Cost(thread=event.thread, model=model, usd=usd, is_summary=True)
