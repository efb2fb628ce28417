"""How large a block is, in the model's tokens, and by how much that may be too low."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ctxbudget.core.errors import AdapterError, ConfigError, CtxBudgetError
from ctxbudget.counting.calibration import Calibration
from ctxbudget.counting.content_class import ContentClass, classify
from ctxbudget.counting.counters import Counter, MemoCounter, counter
from ctxbudget.counting.media import block_tokens
from ctxbudget.live.pieces import Block, media_of, text_of

FRAME_TOKENS = 4
"""Around each block: role, type, ids. Source: three to seven for a message, by measurements of
Anthropic's counting endpoint."""

MEDIA_ERROR_FRAC = 0.2
"""Of an estimate for an image or a document: an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a block takes.

    `counted_tokens` is the encoding's own count of its text, which a calibration learns from.
    """

    tokens: int
    error_tokens: int = 0
    counted_tokens: int = 0
    content: ContentClass = ContentClass.PROSE


class Sizer(Protocol):
    """Measures blocks in a model's tokens, and learns from what the provider reports."""

    def __call__(self, block: Block) -> Size:
        """Return the size of a block."""
        ...

    def count_text(self, text: str) -> int:
        """Return the tokens of a text, without a frame."""
        ...

    def learn(self, predicted: dict[ContentClass, int], reported_gain_tokens: int) -> None:
        """Take in what a prompt really gained, against what was counted."""
        ...


@dataclass(slots=True)
class CountedSizer:
    """Measures with a counter, corrected by a calibration.

    Args:
        count: counts texts; no text is counted twice.
        calibration: turns counts into the model's tokens; one that is `exact` leaves them.
        model: for images and documents.
    """

    count: Counter
    calibration: Calibration
    model: str = ""
    _memo: MemoCounter = field(init=False)

    def __post_init__(self) -> None:
        self._memo = MemoCounter(self.count)

    def __call__(self, block: Block) -> Size:
        """Return the size of a block.

        Raises:
            AdapterError: the counter raised, or returned what is no size.
        """
        text = text_of(block)
        counted = self._counted(text)
        content = classify(text) if counted else ContentClass.PROSE
        tokens = self.calibration.tokens(counted + FRAME_TOKENS, content)
        error = -int(-(tokens * self.calibration.error_frac) // 1)
        for part in media_of(block):
            estimate = block_tokens(part, self.model)
            tokens += estimate.tokens
            error += int(estimate.tokens * MEDIA_ERROR_FRAC) if estimate.is_estimate else 0
        return Size(
            tokens=tokens,
            error_tokens=error,
            counted_tokens=counted + FRAME_TOKENS,
            content=content,
        )

    def count_text(self, text: str) -> int:
        """Return the tokens of a text, without a frame."""
        return self.calibration.tokens(self._counted(text), classify(text)) if text else 0

    def learn(self, predicted: dict[ContentClass, int], reported_gain_tokens: int) -> None:
        """Take in what a prompt really gained, against what was counted."""
        self.calibration.learn(predicted, reported_gain_tokens)

    def _counted(self, text: str) -> int:
        try:
            counted = self._memo(text)
        except CtxBudgetError:
            raise
        except Exception as error:
            raise AdapterError(
                f"counter {self.count.name!r} failed on a text of {len(text):,} characters: "
                f"{type(error).__name__}: {error}; nothing was added"
            ) from error
        if not isinstance(counted, int) or counted < 0:
            raise AdapterError(
                f"counter {self.count.name!r} returned {counted!r}; it must return a number of "
                "tokens, 0 or more"
            )
        return counted


CALIBRATED = "calibrated"


def sizer_for(model: str, given: str | Counter | None) -> CountedSizer:
    """Return what measures blocks for a model.

    `calibrated` (the default) counts with o200k_base and corrects by the model's family and by
    what the provider reports. Any other counter is taken at its word, within the error that
    reports show.

    Raises:
        ConfigError: there is no counter of that name.
    """
    if given is None or given == CALIBRATED:
        return CountedSizer(counter("o200k_base"), Calibration.for_model(model), model)
    count = counter(given) if isinstance(given, str) else given
    if not isinstance(getattr(count, "name", None), str) or not hasattr(count, "is_estimate"):
        raise ConfigError(
            f"counter {count!r} needs a `name` and `is_estimate`; see Counter",
            location=("counter",),
        )
    if count.is_estimate:
        return CountedSizer(count, Calibration.for_model(model), model)
    return CountedSizer(count, Calibration.for_model(model, exact=True), model)
