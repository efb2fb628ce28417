"""How far our count of a prompt is from the provider's, and by how much it may still be too low."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctxbudget.core.types import Item


@dataclass(slots=True)
class Gauge:
    """Anchors a thread's counted tokens on what the provider last reported.

    What stood in the prompt then is known exactly as a whole, so only what came or went since is
    uncertain. Both amounts follow from sums over what is there and what left, so the order in
    which items come and go does not matter; each step is O(1), but for a report, which costs what
    came since the last one.
    """

    _error_tokens: int = 0
    """Error bounds of all that is there."""
    _reported_drift: int = 0
    _reported_tokens: int = 0
    """What we had counted of the prompt that the report is about."""
    _covered_tokens: int = 0
    """Of that, what is still there; with its error bounds, and those of what is not."""
    _covered_error: int = 0
    _gone_error: int = 0
    _since_report: set[tuple[str, int]] = field(default_factory=set)
    _since_sent: set[tuple[str, int]] = field(default_factory=set)
    _since_sent_error: int = 0
    _sent_tokens: int = 0
    _left_since_sent: int = 0
    _left_since_sent_error: int = 0

    @property
    def drift_tokens(self) -> int:
        """What the provider counts beyond our count; negative if we count too much.

        It is spread evenly over what the report covered, rounded up to a token.
        """
        if not self._reported_tokens:
            return self._reported_drift
        return -(-self._reported_drift * self._covered_tokens // self._reported_tokens)

    @property
    def margin_tokens(self) -> int:
        """Error bounds of what came since the report, and of what went although it was part of it.

        Of those only the sum was certain; but what is left of them errs by its own bounds at most.
        """
        since = self._error_tokens - self._covered_error
        return since + min(self._gone_error, self._covered_error)

    @property
    def extra_tokens(self) -> int:
        """What to add to the counted tokens for an upper bound of what the provider counts."""
        return self.drift_tokens + self.margin_tokens

    def came(self, item: Item) -> None:
        """Take in an item that entered the prompt."""
        name = (item.id, item.version)
        self._since_report.add(name)
        self._since_sent.add(name)
        self._since_sent_error += item.error_tokens
        self._error_tokens += item.error_tokens

    def went(self, item: Item) -> None:
        """Take in that an item left."""
        name = (item.id, item.version)
        self._error_tokens -= item.error_tokens
        if name in self._since_sent:
            self._since_sent.discard(name)
            self._since_sent_error -= item.error_tokens
        else:
            self._left_since_sent += item.tokens
            self._left_since_sent_error += item.error_tokens
        if name in self._since_report:
            self._since_report.discard(name)
        else:
            self._covered_tokens -= item.tokens
            self._covered_error -= item.error_tokens
            self._gone_error += item.error_tokens

    def sent(self, counted_tokens: int) -> None:
        """Remember a prompt as it was sent: the report to come is about it."""
        self._sent_tokens = counted_tokens
        self._left_since_sent = self._left_since_sent_error = self._since_sent_error = 0
        self._since_sent.clear()

    def answered(self, reported_tokens: int) -> None:
        """Anchor on the provider's count of the prompt that was sent last."""
        self._reported_drift = reported_tokens - self._sent_tokens
        self._reported_tokens = self._sent_tokens
        self._covered_tokens = self._sent_tokens - self._left_since_sent
        self._covered_error = self._error_tokens - self._since_sent_error
        self._gone_error = self._left_since_sent_error
        self._since_report = set(self._since_sent)

    def counted(self, reported_tokens: int, counted_tokens: int) -> None:
        """Anchor on the provider's count of the prompt as it stands."""
        self._reported_drift = reported_tokens - counted_tokens
        self._reported_tokens = self._covered_tokens = counted_tokens
        self._covered_error, self._gone_error = self._error_tokens, 0
        self._since_report.clear()
