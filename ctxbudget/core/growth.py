"""How fast a prompt grows, for forecasts and for the room that is kept free."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from math import ceil
from statistics import median

from ctxbudget.core.types import Item, Kind

RECENT_RESULTS = 64
"""Tool results that the percentile is taken over; old ones say little of the next."""
RESULT_FRAC = 0.95
RECENT_STEPS = 9
"""Calls that a forecast is made from."""
CALL_WEIGHT = 0.3
"""Of the newest call in the running mean: about the last six calls count."""


@dataclass(slots=True)
class Growth:
    """What each call brought, and how large tool results were.

    Attributes:
        per_call_tokens: running mean of what came between two calls; 0.0 before the second.
        net_per_call_tokens: median of how the last prompts grew, what was pruned taken off.
        largest: the largest item since the last compaction.
    """

    per_call_tokens: float = 0.0
    largest: Item | None = None
    net_per_call_tokens: float = 0.0
    _since_call_tokens: int = 0
    _calls: int = 0
    _occupancy_tokens: int = 0
    _steps: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    _recent: deque[int] = field(default_factory=deque)
    _sorted: list[int] = field(default_factory=list)

    def came(self, item: Item) -> None:
        """Take in an item that the world added."""
        self._since_call_tokens += item.tokens
        if self.largest is None or item.tokens > self.largest.tokens:
            self.largest = item
        if item.kind is Kind.TOOL_RESULT:
            self._recent.append(item.tokens)
            insort(self._sorted, item.tokens)
            if len(self._recent) > RECENT_RESULTS:
                del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    def called(self, occupancy_tokens: int) -> None:
        """Close the account of what came since the last call; the first prompt is no growth."""
        if self._calls:
            self._steps.append(occupancy_tokens - self._occupancy_tokens)
            self.net_per_call_tokens = float(median(self._steps))
        self._occupancy_tokens = occupancy_tokens
        if self._calls == 1:
            self.per_call_tokens = float(self._since_call_tokens)
        elif self._calls > 1:
            self.per_call_tokens += CALL_WEIGHT * (self._since_call_tokens - self.per_call_tokens)
        self._calls += 1
        self._since_call_tokens = 0

    @property
    def next_result_tokens(self) -> int:
        """The size that 95 % of the recent tool results did not exceed; 0 without any."""
        if not self._sorted:
            return 0
        return self._sorted[ceil(RESULT_FRAC * len(self._sorted)) - 1]

    def calls_until(self, room_tokens: int) -> int | None:
        """Return in how many calls this much room is used up; None while the prompt does not grow.

        By the median, so that a compaction among the last calls does not hide the growth.
        """
        if room_tokens < 0:
            return 0
        if self.net_per_call_tokens <= 0:
            return None
        return int(room_tokens / self.net_per_call_tokens) + 1
