"""Prices by model and day, looked up once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ctxbudget.core.types import Price

PriceOf: TypeAlias = Callable[[str, "float | None"], "Price | None"]

_DAY_S: Final = 86_400
_HALF_HOUR_S: Final = 1_800
_PROBE_S: Final = 3 * 3_600
"""Prices that depend on the hour are told by asking for one day at this distance."""


class PriceBook:
    """Says what a model cost at a time, and keeps what it was told.

    A price holds for a day (UTC); of a model whose price depends on the hour, for half an hour.

    Attributes:
        unknown: models without a price, in the order in which they were met.
    """

    def __init__(self, price_of: PriceOf) -> None:
        self._price_of = price_of
        self._kept: dict[tuple[str, int | None], Price | None] = {}
        self._step_s: dict[str, int] = {}
        self.unknown: dict[str, None] = {}

    def __call__(self, model: str, at_s: float | None) -> Price | None:
        """Return the price, or None if it is not known."""
        if not model:
            self.unknown[model] = None
            return None
        step_s = self._step_s.get(model) or self._learn(model, at_s)
        key = (model, None if at_s is None else int(at_s // step_s))
        if key not in self._kept:
            self._kept[key] = self._price_of(model, at_s)
        price = self._kept[key]
        if price is None:
            self.unknown[model] = None
        return price

    def _learn(self, model: str, at_s: float | None) -> int:
        """Return for how long the prices of a model hold, from how they are over one day."""
        if at_s is None:
            return _DAY_S
        day_s = at_s // _DAY_S * _DAY_S
        first = self._price_of(model, day_s)
        is_same = first is None or all(
            self._price_of(model, day_s + past_s) == first
            for past_s in range(_PROBE_S, _DAY_S, _PROBE_S)
        )
        self._step_s[model] = _DAY_S if is_same else _HALF_HOUR_S
        return self._step_s[model]
