"""What it costs that calls of the main thread go to another model, or are offered other tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.core.events import (
    CallSent,
    Event,
    ItemAdded,
    PhaseStarted,
    Pruned,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.pricing import plus_usd
from ctxbudget.core.store import Store
from ctxbudget.core.types import MAIN, Cache, Kind, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A call of the main thread on another model, or with other tools, than the one before it."""

    phase: str
    from_model: str
    to_model: str
    from_tools: tuple[str, ...]
    to_tools: tuple[str, ...]
    rewritten_tokens: int
    """Written for it: the tools that are new, and what is as it was in the prompt before, which the
    cache still held for the other model or behind the other tools."""
    cost_usd: Decimal | None
    """What writing them costs beyond reading them; None if the price is not known."""


class Switches:
    """A listener that finds a simulated run's switches of model and of tools.

    Attributes:
        found: in the order in which they came.
    """

    def __init__(self) -> None:
        self.found: list[Switch] = []
        self._store = Store()
        self._tools: dict[str, int] = {}
        self._last_tools: tuple[str, ...] = ()
        self._prices: Mapping[str, Price] = {}
        self._caches: Mapping[str, Cache] = {}
        self._phase = ""
        self._last: CallSent | None = None

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted():
                self._prices, self._caches = event.prices, event.caches
            case PhaseStarted():
                self._phase = event.phase
            case ItemAdded() if event.thread == MAIN and event.item.kind is Kind.TOOLS:
                self._tools[event.item.id] = event.item.tokens
            case ItemAdded() if event.thread == MAIN:
                self._store.add(event.item)
            case Withdrawn() if event.thread == MAIN:  # of a workflow only tools are taken back
                for item in event.items:
                    del self._tools[item]
            case Pruned() if event.thread == MAIN:
                self._store.replace(event.items, event.stand_in)
            case CallSent() if event.thread == MAIN:
                self._called(event)
            case _:
                pass

    @property
    def rewritten_tokens(self) -> int:
        """What all switches had written again."""
        return sum(one.rewritten_tokens for one in self.found)

    @property
    def cost_usd(self) -> Decimal | None:
        """What all of them cost; None if a price is not known, or no model is named."""
        if not self._prices:
            return None
        total: Decimal | None = Decimal(0)
        for one in self.found:
            total = plus_usd(total, one.cost_usd)
        return total

    def _called(self, call: CallSent) -> None:
        behind_tokens = self._store.sent().same_prefix_tokens
        same_tokens = sum(self._tools.values()) + behind_tokens
        last, self._last = self._last, call
        last_tools, self._last_tools = self._last_tools, tuple(self._tools)
        if last is None or (last.model, last_tools) == (call.model, self._last_tools):
            return
        rewritten = self._rewritten_tokens(last, call, same_tokens)
        price, cost = self._prices.get(call.model), None
        if price is not None:
            price = price.for_prompt(call.tokens)
            cost = rewritten * (price.cache_write_5m_usd - price.cache_read_usd)
        self.found.append(
            Switch(
                phase=self._phase,
                from_model=last.model,
                to_model=call.model,
                from_tools=_names(last_tools),
                to_tools=_names(self._last_tools),
                rewritten_tokens=rewritten,
                cost_usd=cost,
            )
        )

    def _rewritten_tokens(self, last: CallSent, call: CallSent, same_tokens: int) -> int:
        """Return what the call would have read, had the one before it had its model and its tools."""
        cache = self._caches.get(call.model, Cache())
        is_warm = call.at - last.at <= cache.ttl_s
        if not is_warm or min(same_tokens, last.tokens) < cache.min_tokens:
            return 0
        readable = same_tokens - same_tokens % cache.block_tokens
        return max(0, readable - call.cache_read_tokens)


def _names(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return tools as the workflow calls them."""
    return tuple(item.rpartition("/")[2] for item in items)
