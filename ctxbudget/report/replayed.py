"""A replay as it is reported: the run, what each policy made of it, and how far to trust it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from ctxbudget.config.policy_file import NONE
from ctxbudget.core.events import CacheFound, CacheLost
from ctxbudget.core.types import Scale
from ctxbudget.replay import RecordedRun, Settings, WhatIf
from ctxbudget.transcripts.facts import Prediction
from ctxbudget.transcripts.session import RecordedSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Relative errors of some estimates."""

    count: int
    median_frac: float
    p95_frac: float


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A session under each policy.

    Attributes:
        session: how far the prompts could be rebuilt; None for our own journals, which hold them.
        none_without_losses: `none` as if the provider's cache had never been lost.
        settings: what was asked for beside policies; otherwise than as recorded, the bill says
            nothing about how well the session was rebuilt.
    """

    file: str
    run: RecordedRun
    session: RecordedSession | None
    found: Sequence[WhatIf]
    none_without_losses: WhatIf | None
    price_date: str
    settings: Settings = field(default_factory=Settings)

    @cached_property
    def none(self) -> WhatIf | None:
        """The run under `none`."""
        return next((one for one in self.found if one.policy == NONE), None)

    @property
    def scale(self) -> Scale:
        """The window and the budget under which the policies were tried."""
        return self.settings.scale(self.run.start.scale)

    @property
    def cache_losses(self) -> int:
        """Calls that found a warm cache lost."""
        return sum(isinstance(fact, CacheLost) for fact in self.run.facts)

    @property
    def cache_finds(self) -> int:
        """Calls that read from a cold cache what other runs had kept there."""
        return sum(isinstance(fact, CacheFound) for fact in self.run.facts)

    def bill_error_frac(self, one: WhatIf | None) -> float | None:
        """Return by how much a bill of ours is above the recorded one; None if one is unknown."""
        recorded: Decimal | None = self.run.cost_usd
        is_comparable = self.session is not None and self.settings == Settings()
        if not is_comparable or one is None or one.cost_usd is None or not recorded:
            return None
        return float(one.cost_usd / recorded) - 1

    @property
    def prompt_errors(self) -> Errors | None:
        """Of the sizes of prompts, expected one call ahead."""
        return _errors([(one.expected_tokens, one.tokens) for one in self._predictions])

    @property
    def plain_errors(self) -> Errors | None:
        """The same by o200k as it is, uncalibrated."""
        return _errors([(one.uncalibrated_tokens, one.tokens) for one in self._predictions])

    @property
    def _predictions(self) -> Sequence[Prediction]:
        return () if self.session is None else self.session.predictions


def _errors(pairs: Sequence[tuple[int, int]]) -> Errors | None:
    found = sorted(abs(expected - tokens) / tokens for expected, tokens in pairs if tokens)
    if not found:
        return None
    return Errors(
        count=len(found),
        median_frac=found[len(found) // 2],
        p95_frac=found[min(len(found) - 1, int(0.95 * len(found)))],
    )


def missing_texts(one: Replayed) -> Iterator[str]:
    """Yield what cannot be told of a run whose texts are not there; nothing of others."""
    if one.run.has_texts:
        return
    if any(found.assumed_forms for found in one.found):
        yield "assumed: sizes of shorter forms, since the journal holds no texts; recall needs them"
    else:
        yield "the journal holds no texts, so recall is not known"
