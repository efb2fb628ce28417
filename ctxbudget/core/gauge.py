"""How far our count of a prompt is from the provider's, and by how much it may still be too low."""

from __future__ import annotations

from dataclasses import dataclass

from ctxbudget.core.types import Item


@dataclass(slots=True)
class Gauge:
    """Anchors a thread's counted tokens on what the provider last reported.

    What stood in the prompt then is known exactly as a whole, so only what came or went since is
    uncertain. All amounts are kept up as items come and go; each step is O(1).
    """

    drift_tokens: int = 0
    """What the provider reported beyond what we had counted; negative if we count too much."""
    margin_tokens: int = 0
    """Sum of the error bounds of what came or went since."""
    _covered_tokens: int = 0
    _covered_calls: int = 0
    _sent_tokens: int = 0
    _sent_calls: int = 0
    _sent_margin: int = 0

    @property
    def extra_tokens(self) -> int:
        """What to add to the counted tokens for an upper bound of what the provider counts."""
        return self.drift_tokens + self.margin_tokens

    def came(self, item: Item) -> None:
        """Take in an item that entered the prompt."""
        self.margin_tokens += item.error_tokens

    def went(self, item: Item, arrived_call: int) -> None:
        """Take in that an item left.

        The drift is spread evenly over what the report covered. Of an item that was part of it
        only the sum was certain, so its own error comes back; of another one it goes.
        """
        if arrived_call >= self._covered_calls or not self._covered_tokens:
            self.margin_tokens = max(0, self.margin_tokens - item.error_tokens)
            return
        share = self.drift_tokens * item.tokens // self._covered_tokens
        self.drift_tokens -= share
        self._covered_tokens = max(0, self._covered_tokens - item.tokens)
        self.margin_tokens += item.error_tokens

    def sent(self, counted_tokens: int, calls: int) -> None:
        """Remember a prompt as it was sent: the report to come is about it."""
        self._sent_tokens, self._sent_calls = counted_tokens, calls
        self._sent_margin = self.margin_tokens

    def answered(self, reported_tokens: int) -> None:
        """Anchor on the provider's count of the prompt that was sent last."""
        self.margin_tokens = max(0, self.margin_tokens - self._sent_margin)
        self._anchor(reported_tokens, self._sent_tokens, self._sent_calls)

    def counted(self, reported_tokens: int, counted_tokens: int, calls: int) -> None:
        """Anchor on the provider's count of the prompt as it stands."""
        self.margin_tokens = 0
        self._anchor(reported_tokens, counted_tokens, calls + 1)

    def _anchor(self, reported_tokens: int, counted_tokens: int, calls: int) -> None:
        self.drift_tokens = reported_tokens - counted_tokens
        self._covered_tokens, self._covered_calls = counted_tokens, calls
        self._sent_margin = 0
