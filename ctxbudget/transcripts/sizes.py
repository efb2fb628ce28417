"""How large the parts of a recorded prompt were, in the provider's own tokens.

The provider tells a whole prompt and a whole answer; the text tells how they share. What a prompt
gained between two calls is shared among the parts that came, in proportion to what a calibrated
counter expects of each; the calibration learns from each gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ctxbudget.core.allocation import share_out
from ctxbudget.core.types import Kind
from ctxbudget.counting.calibration import Calibration
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.counting.counters import MemoCounter, TiktokenCounter
from ctxbudget.live.sizing import CountedSizer, Size
from ctxbudget.transcripts.exchange import Part

LEAST_SHARE, MOST_SHARE = 0.5, 2.0
"""A part is taken to be at least and at most so many times what was expected of it."""

SLACK_TOKENS: Final = 200
"""A gain that is so much off is no sign that something else came or went.

Source: of the calls of recorded sessions at which nothing else happened, the frames, ids and
reminders around tool results made up to about as much.
"""


@dataclass(slots=True)
class Expected:
    """What a counter expects of some parts."""

    sizes: dict[str, Size]

    @property
    def tokens(self) -> int:
        """Of all of them together."""
        return sum(size.tokens for size in self.sizes.values())

    @property
    def counted_tokens(self) -> int:
        """By o200k as it is."""
        return sum(size.counted_tokens for size in self.sizes.values())

    def beside(self, other: Expected) -> Expected:
        """Return what is expected of these and of other parts."""
        return Expected({**other.sizes, **self.sizes})

    def share(self, tokens: int) -> dict[str, int]:
        """Return so many tokens shared out in proportion to what is expected of each part."""
        if not self.sizes:
            return {}
        weights = {name: size.tokens + 1.0 for name, size in self.sizes.items()}
        return share_out(max(0, tokens), weights)


@dataclass(slots=True)
class Estimator:
    """Expects sizes of parts, model by model, and learns from what was reported."""

    _count: MemoCounter = field(default_factory=lambda: MemoCounter(TiktokenCounter()))
    _sizers: dict[str, CountedSizer] = field(default_factory=dict)

    def expect(self, parts: Sequence[Part], model: str) -> Expected:
        """Return what a counter expects of parts that a model reads."""
        sizer = self._sizer(model)
        return Expected({part.id: sizer(part.block) for part in parts})

    def expect_answer(
        self, parts: Sequence[Part], model: str, output_tokens: int | None
    ) -> Expected:
        """Return what is expected of an answer whose size is known, if it is.

        What its visible parts do not explain is its thinking, whose text is often not recorded.
        """
        found = self.expect(parts, model)
        if output_tokens is None or not parts:
            return found
        hidden = {part.id: found.sizes[part.id].tokens + 1.0 for part in parts if _is_hidden(part)}
        visible = sum(size.tokens for name, size in found.sizes.items() if name not in hidden)
        thought = share_out(max(0, output_tokens - visible), hidden)
        weights = {name: thought.get(name, size.tokens) for name, size in found.sizes.items()}
        exact = share_out(output_tokens, weights)
        return Expected({name: Size(tokens=tokens) for name, tokens in exact.items()})

    def learn(self, expected: Expected, gained_tokens: int, model: str) -> None:
        """Learn from what parts really took, together."""
        counted: dict[ContentClass, int] = {}
        for size in expected.sizes.values():
            counted[size.content] = counted.get(size.content, 0) + size.counted_tokens
        self._sizer(model).learn(counted, gained_tokens)

    def _sizer(self, model: str) -> CountedSizer:
        if model not in self._sizers:
            self._sizers[model] = CountedSizer(self._count, Calibration.for_model(model), model)
        return self._sizers[model]


def is_plausible(gained_tokens: int, expected_tokens: int) -> bool:
    """Return whether parts of which so much is expected may have brought so much."""
    least = LEAST_SHARE * expected_tokens - SLACK_TOKENS
    return least <= gained_tokens <= MOST_SHARE * expected_tokens + SLACK_TOKENS


def _is_hidden(part: Part) -> bool:
    return part.kind is Kind.THINKING
