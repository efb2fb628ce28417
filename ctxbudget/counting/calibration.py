"""How o200k counts become a model's tokens: a ratio for each kind of text, learned from reports.

No tokenizer is published for Claude 3 and later. So text is counted with o200k_base and scaled,
and whenever the provider reports what a prompt really held, the ratios and their error are learnt
again. Live runs and offline replay feed the same reports and so get the same estimates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ctxbudget.core.errors import ConfigError
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.providers.models import ModelFamily, family_of

FAMILY_FACTOR: Final = {
    ModelFamily.CLAUDE_TO_4_6: 1.2,
    ModelFamily.CLAUDE_FROM_4_7: 1.5,
    ModelFamily.O200K: 1.0,
    ModelFamily.OTHER: 1.0,
}
"""A model's tokens for one o200k token of Latin prose, code or data, before any report.

Source: Anthropic's token counting guide (tiktoken counts 15 to 20 % too few for Claude) and
migration guide (from Opus 4.7 on about 30 % more again); third-party measurements with the
count_tokens endpoint scatter by 10 % around these two on English and code.
"""

_CLAUDE_FACTOR: Final = {ContentClass.OTHER_SCRIPT: 2.0, ContentClass.OPAQUE: 1.2}
"""The same on any Claude for kinds of text that the family's factor does not fit.

Source: Claude 2's published vocabulary, scaled as Claude 4 was found to need, takes 1.65 (Chinese)
to 2.5 (Russian) times o200k's tokens and 1.13 times for hex and base64; third-party measurements
found that Opus 4.7 changed nothing for other scripts and 6 % for digests. Rough.
"""

_CLAUDE: Final = frozenset({ModelFamily.CLAUDE_TO_4_6, ModelFamily.CLAUDE_FROM_4_7})

_PRIOR_ERROR_FRAC: Final = {
    ModelFamily.CLAUDE_TO_4_6: 0.15,
    ModelFamily.CLAUDE_FROM_4_7: 0.15,
    ModelFamily.O200K: 0.03,
    ModelFamily.OTHER: 0.25,
}
"""The bound on the relative error before any report; for unknown models, a guess."""

_CLASSES: Final = tuple(ContentClass)
_LEAST_MULTIPLIER, _MOST_MULTIPLIER = 0.5, 2.0  # a ratio stays within a factor 2 of its prior
_LEAST_LEARNT_TOKENS: Final = 32  # a smaller gain is mostly rounding and message frames
_FRAME_TOKENS: Final = 100  # a gain of this size is half as telling as a very large one
_FORGET_FRAC: Final = 0.02  # of the certainty, at each report
_KEEP_FRAC: Final = 0.9  # of the weight of older errors, at each report: about 10 reports count
_PRIOR_WEIGHT: Final = 4.0  # of the prior error, in reports; it fades as older errors do
_BOUND_DEVIATIONS: Final = 2.0  # about 95 % of a normal distribution
_LEAST_ERROR_FRAC: Final = 0.005
_EXACT_DRIFT_FRAC: Final = 0.02  # an exact count that is further off than this is not exact
_DRIFT_MISSES: Final = 3


@dataclass(slots=True, kw_only=True)
class Calibration:
    """Turns o200k counts into the tokens of one model, and learns from what was reported.

    For each kind of text it keeps a multiplier of the prior ratio. One report says how many
    tokens a mixture of kinds became, which is one linear equation in the multipliers: they are
    updated by recursive least squares (a Kalman filter for constants). The prior counts as much as
    one large report. Certainty is mixed with a little of the prior's at each report, so that old
    reports fade without the estimate ever becoming more uncertain than the prior. A report that
    is far off moves nothing by more than twice the error bound, and no ratio leaves half to
    double its prior. An update takes time quadratic in the number of kinds.

    Source: the standard recursive least squares update; forgetting towards a prior is the
    stabilised forgetting of Kulhavý and Zarrop; clipping the innovation is Huber's.

    Attributes:
        model: the model's name.
        exact: counts are the provider's own, so that they pass unchanged; reports only watch.
        drift: estimate and report disagreed beyond the error bound three times in a row. The
            ratios were then opened to learn afresh; false again after a report within the bound.
        reports: how many reports it has learnt from.
    """

    model: str
    exact: bool = False
    drift: bool = False
    reports: int = 0
    _multipliers: list[float] = field(default_factory=lambda: [1.0 for _ in _CLASSES])
    _covariance: list[list[float]] = field(default_factory=lambda: _identity())
    """Of the multipliers, in units of the spread of a large report."""
    _squared_error_sum: float = 0.0
    _weight: float = 0.0
    _misses: int = 0

    @classmethod
    def for_model(cls, model: str, *, exact: bool = False) -> Self:
        """Return the calibration of a model before any report.

        `exact` says that the counts given to it are the model's own, not o200k's.
        """
        found = cls(model=model, exact=exact)
        found._forget_errors()
        return found

    def tokens(self, o200k_tokens: int, content: ContentClass) -> int:
        """Return the model's tokens for a count of one kind of text, rounded up."""
        if self.exact:
            return o200k_tokens
        ratio = self.ratio(content)
        return math.ceil(round(o200k_tokens * ratio, 6))  # 15 × 1.2 is 18, though not in floats

    def ratio(self, content: ContentClass) -> float:
        """Return the model's tokens for one o200k token of a kind of text."""
        return self._prior(content) * self._multipliers[_CLASSES.index(content)]

    @property
    def error_frac(self) -> float:
        """A bound on the relative error of the next estimate, which about 95 in 100 stay below.

        Source: twice the root mean square of the past errors of prediction, recent ones counting
        more, with the family's prior in place of the errors not yet seen.
        """
        if self.exact:
            return 0.0
        return max(_LEAST_ERROR_FRAC, self._bound_frac())

    def learn(self, predicted: Mapping[ContentClass, int], reported_gain_tokens: int) -> None:
        """Learn from what a prompt gained between two reports of its size.

        `predicted` holds the o200k tokens that were added, by kind; `reported_gain_tokens` the
        growth of the prompt as the provider reported it (uncached, read and written together).
        A gain of fewer than 32 tokens, or none, teaches nothing and is passed over.
        """
        expected = [self._prior(kind) * max(0, predicted.get(kind, 0)) for kind in _CLASSES]
        prior_tokens = sum(expected)
        if prior_tokens < _LEAST_LEARNT_TOKENS or reported_gain_tokens <= 0:
            return
        shares = [part / prior_tokens for part in expected]
        estimate = sum(map(_product, shares, self._multipliers))
        innovation = reported_gain_tokens / prior_tokens - estimate
        self.reports += 1
        if self.exact:
            self._judge(abs(innovation), _EXACT_DRIFT_FRAC)
            return
        limit = 2 * self.error_frac
        self._judge(abs(innovation) / estimate, self.error_frac)
        clipped = max(-limit, min(limit, innovation / estimate)) * estimate
        self._update(shares, clipped, variance=1 + _FRAME_TOKENS / prior_tokens)
        self._remember_error(min(limit, abs(innovation) / estimate))
        if self.drift:
            self._open()

    def as_data(self) -> dict[str, Any]:
        """Return the state as plain JSON values, from which `from_data` goes on exactly."""
        rows = [dict(zip(_CLASSES, row, strict=True)) for row in self._covariance]
        return {
            "model": self.model,
            "exact": self.exact,
            "drift": self.drift,
            "reports": self.reports,
            "multipliers": {str(k): v for k, v in zip(_CLASSES, self._multipliers, strict=True)},
            "covariance": {
                str(kind): {str(other): value for other, value in row.items()}
                for kind, row in zip(_CLASSES, rows, strict=True)
            },
            "squared_error_sum": self._squared_error_sum,
            "weight": self._weight,
            "misses": self._misses,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the calibration that `as_data` described, or raise `ConfigError`.

        A kind of text that the data does not know starts from its prior.
        """
        try:
            if not (data["weight"] > 0 and data["squared_error_sum"] >= 0):
                raise ValueError("the weight must be above 0 and the squared error not below")
            multipliers, covariance = data["multipliers"], data["covariance"]
            return cls(
                model=str(data["model"]),
                exact=bool(data["exact"]),
                drift=bool(data["drift"]),
                reports=int(data["reports"]),
                _multipliers=[_finite(multipliers.get(kind, 1.0)) for kind in _CLASSES],
                _covariance=[
                    [
                        _finite(covariance.get(row, {}).get(column, float(row is column)))
                        for column in _CLASSES
                    ]
                    for row in _CLASSES
                ],
                _squared_error_sum=_finite(data["squared_error_sum"]),
                _weight=_finite(data["weight"]),
                _misses=int(data["misses"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"this is no saved calibration ({type(error).__name__}: {error}); start again "
                "with Calibration.for_model"
            ) from error

    def _prior(self, content: ContentClass) -> float:
        if self.exact:
            return 1.0
        family = family_of(self.model)
        factor = FAMILY_FACTOR[family]
        return _CLAUDE_FACTOR.get(content, factor) if family in _CLAUDE else factor

    def _update(self, shares: list[float], innovation: float, *, variance: float) -> None:
        """Move the multipliers by least squares towards what was reported."""
        leverage = [sum(map(_product, row, shares)) for row in self._covariance]
        spread = sum(map(_product, leverage, shares)) + variance
        gains = [each / spread for each in leverage]
        for i, gain in enumerate(gains):
            moved = self._multipliers[i] + gain * innovation
            self._multipliers[i] = max(_LEAST_MULTIPLIER, min(_MOST_MULTIPLIER, moved))
            row = self._covariance[i]
            for j, other in enumerate(leverage):
                known = row[j] - gain * other
                row[j] = (1 - _FORGET_FRAC) * known + _FORGET_FRAC * (i == j)

    def _bound_frac(self) -> float:
        return _BOUND_DEVIATIONS * math.sqrt(self._squared_error_sum / self._weight)

    def _judge(self, error_frac: float, bound_frac: float) -> None:
        self._misses = self._misses + 1 if error_frac > bound_frac else 0
        self.drift = self._misses >= _DRIFT_MISSES

    def _remember_error(self, error_frac: float) -> None:
        self._squared_error_sum = self._squared_error_sum * _KEEP_FRAC + error_frac**2
        self._weight = self._weight * _KEEP_FRAC + 1

    def _forget_errors(self) -> None:
        prior = _PRIOR_ERROR_FRAC[family_of(self.model)] / _BOUND_DEVIATIONS
        self._weight, self._squared_error_sum = _PRIOR_WEIGHT, _PRIOR_WEIGHT * prior**2

    def _open(self) -> None:
        """Make ratios and bound as uncertain as at the start, if they are not more so."""
        self._covariance = _identity()
        if self._bound_frac() < _PRIOR_ERROR_FRAC[family_of(self.model)]:
            self._forget_errors()


def _identity() -> list[list[float]]:
    return [[float(row is column) for column in _CLASSES] for row in _CLASSES]


def _product(left: float, right: float) -> float:
    return left * right


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number
