"""Chance in a workflow: how large, whether and how often; drawn from a seed, or as expected.

A draw depends on the seed, the run's number and the place it is for, and on nothing else. So the
same place has the same draw under every policy, in every process, and whatever else is in the
workflow: two simulations with the same seed differ by what was changed, not by luck.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from math import exp, log
from statistics import NormalDist
from typing import Final, Protocol, TypeAlias

MOST_TOKENS: Final = 10**12
"""As of any size in a file: a tail reaches no further."""

_NORMAL: Final = NormalDist()
_Z_AT_95: Final = _NORMAL.inv_cdf(0.95)
_BITS: Final = 52
"""Of a share that is drawn: with a half added it is still exact, so it is never 0 or 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNormal:
    """A size whose logarithm is normal: most are near the median, a few are much larger."""

    median_tokens: int
    """Half of the cases stay below; 1 or more."""
    p95_tokens: int
    """95 of 100 cases stay below; not under the median."""

    @property
    def expected_tokens(self) -> int:
        """The median."""
        return self.median_tokens

    def tokens_at(self, share_frac: float) -> int:
        """Return the size that this share of the cases stays below, rounded to a token.

        Source: the quantile function of the log-normal distribution, median · exp(σ·z), with σ
        such that the 95th percentile is as given.
        """
        sigma = log(self.p95_tokens / self.median_tokens) / _Z_AT_95
        return min(
            MOST_TOKENS, round(self.median_tokens * exp(sigma * _NORMAL.inv_cdf(share_frac)))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """A size that may be anything from `min_tokens` to `max_tokens`, each as likely."""

    min_tokens: int
    max_tokens: int

    @property
    def expected_tokens(self) -> int:
        """The middle, rounded down."""
        return (self.min_tokens + self.max_tokens) // 2

    def tokens_at(self, share_frac: float) -> int:
        """Return the size that this share of the cases stays below."""
        return self.min_tokens + int(share_frac * (self.max_tokens - self.min_tokens + 1))


Spread: TypeAlias = LogNormal | Uniform
"""The sizes that an uncertain size may have."""


class Chance(Protocol):
    """Decides what a workflow leaves open; `place` names what is decided."""

    def tokens(self, spread: Spread, place: str, /) -> int:
        """Return the size."""
        ...

    def happens(self, probability_frac: float, place: str, /) -> bool:
        """Return whether it comes about."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected course: sizes are medians or middles, and nothing out of the ordinary happens."""

    def tokens(self, spread: Spread, place: str, /) -> int:
        """Return the median, or the middle of a range."""
        return spread.expected_tokens

    def happens(self, probability_frac: float, place: str, /) -> bool:
        """Return False."""
        return False


EXPECTED: Final = Expected()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What one of many runs draws."""

    seed: int
    run: int
    """Counts from 1."""

    def tokens(self, spread: Spread, place: str, /) -> int:
        """Return the size that is drawn for a place."""
        return spread.tokens_at(self.share(place))

    def happens(self, probability_frac: float, place: str, /) -> bool:
        """Return whether it comes about at a place: never at 0, always at 1."""
        return self.share(place) < probability_frac

    def share(self, place: str) -> float:
        """Return a number above 0 and below 1, each as likely.

        It is the head of a SHA-256 digest. A generator with a state would draw other numbers for
        all that stands behind a change of the workflow, and Python promises the same ones in every
        version only for some of its methods.
        """
        text = f"{self.seed}:{self.run}:{place}"
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        return ((int.from_bytes(digest[:8], "big") >> (64 - _BITS)) + 0.5) / (1 << _BITS)


@dataclass(slots=True)
class Course:
    """What chance decided in one run, beside sizes; holds only what the workflow leaves open."""

    times: dict[str, int] = field(default_factory=dict)
    """How often a phase ran; 0 if it was skipped."""
    failed_tries: dict[str, int] = field(default_factory=dict)
    """Of an agent (`phase/agent`), over all times that its phase ran."""
    lost_outputs: dict[str, int] = field(default_factory=dict)
    """Of an agent: how often all its tries failed."""

    def note_agent(self, agent: str, failed_tries: int, *, is_lost: bool) -> None:
        """Count what became of an agent that may fail."""
        self.failed_tries[agent] = self.failed_tries.get(agent, 0) + failed_tries
        self.lost_outputs[agent] = self.lost_outputs.get(agent, 0) + is_lost


def times_of(chance: Chance, again_frac: float, at_most: int, place: str) -> int:
    """Return how often something runs that is run again with a probability after each time."""
    done = 1
    while done < at_most and chance.happens(again_frac, f"{place} {done}"):
        done += 1
    return done
