"""How far our count of a prompt is from the provider's, and by how much it may still be too low."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctxbudget.core.types import Item


@dataclass(slots=True)
class Gauge:
    """Anchors a thread's counted tokens on what the provider last reported.

    What stood in the prompt then is known exactly as a whole, so only what came or went since is
    uncertain. All amounts are kept up as items come and go; each step is O(1), but for a report, which
    costs what came since the last one.
    """

    drift_tokens: int = 0
    """What the provider reported beyond what we had counted; negative if we count too much."""
    margin_tokens: int = 0
    """Sum of the error bounds of what came or went since; no more than those of what is there."""
    _error_tokens: int = 0
    _covered_tokens: int = 0
    _since_report: set[tuple[str, int]] = field(default_factory=set)
    _since_sent: set[tuple[str, int]] = field(default_factory=set)
    _sent_tokens: int = 0
    _sent_margin: int = 0
    _left_since_sent: int = 0

    @property
    def extra_tokens(self) -> int:
        """What to add to the counted tokens for an upper bound of what the provider counts."""
        return self.drift_tokens + self.margin_tokens

    def came(self, item: Item) -> None:
        """Take in an item that entered the prompt."""
        name = (item.id, item.version)
        self._since_report.add(name)
        self._since_sent.add(name)
        self._error_tokens += item.error_tokens
        self.margin_tokens += item.error_tokens

    def went(self, item: Item) -> None:
        """Take in that an item left.

        The drift is spread evenly over what the report covered. Of an item that was part of it
        only the sum was certain, so its own error comes back; of another one it goes.
        """
        name = (item.id, item.version)
        self._error_tokens -= item.error_tokens
        if name in self._since_sent:
            self._since_sent.discard(name)
        else:
            self._left_since_sent += item.tokens
        if name in self._since_report:
            self._since_report.discard(name)
            self.margin_tokens -= item.error_tokens
        elif self._covered_tokens:
            self.drift_tokens -= self.drift_tokens * item.tokens // self._covered_tokens
            self._covered_tokens = max(0, self._covered_tokens - item.tokens)
            self.margin_tokens += item.error_tokens
        self.margin_tokens = min(max(0, self.margin_tokens), self._error_tokens)

    def sent(self, counted_tokens: int) -> None:
        """Remember a prompt as it was sent: the report to come is about it."""
        self._sent_tokens, self._sent_margin = counted_tokens, self.margin_tokens
        self._left_since_sent = 0
        self._since_sent.clear()

    def answered(self, reported_tokens: int) -> None:
        """Anchor on the provider's count of the prompt that was sent last."""
        drift = reported_tokens - self._sent_tokens
        staying = max(0, self._sent_tokens - self._left_since_sent)
        self.drift_tokens = drift * staying // self._sent_tokens if self._sent_tokens else drift
        self.margin_tokens = max(0, self.margin_tokens - self._sent_margin)
        self._covered_tokens, self._sent_margin = staying, 0
        self._since_report = set(self._since_sent)

    def counted(self, reported_tokens: int, counted_tokens: int) -> None:
        """Anchor on the provider's count of the prompt as it stands."""
        self.drift_tokens = reported_tokens - counted_tokens
        self.margin_tokens = self._sent_margin = 0
        self._covered_tokens = counted_tokens
        self._since_report.clear()
