"""Warn and critical: told once per crossing, armed again below."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctxbudget.core.types import Level

REARM_FRAC = 0.05
"""A level is armed again once occupancy is this share of the scope below it, so that a value that
hovers around a level does not tell it again and again."""


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Watches one scope.

    A level that does not exist in the scope is left out of `limits_tokens`. `limits_tokens` must
    rise from warn to critical.
    """

    scope: str
    limits_tokens: dict[Level, int]
    rearm_tokens: int
    """How far below a level occupancy must fall to arm it again."""
    _told: set[Level] = field(default_factory=set)

    def judge(self, tokens: int) -> tuple[Level, ...]:
        """Return the levels crossed upwards just now (strictly above), mildest first."""
        crossed = []
        for level, limit_tokens in self.limits_tokens.items():
            if tokens > limit_tokens:
                if level not in self._told:
                    self._told.add(level)
                    crossed.append(level)
            elif level in self._told and tokens <= limit_tokens - self.rearm_tokens:
                self._told.discard(level)
        return tuple(crossed)


def monitor(
    scope: str, whole_tokens: int, *, warn_tokens: int | None, critical_tokens: int | None
) -> Monitor:
    """Return a monitor of a scope whose whole is `whole_tokens`; None switches a level off."""
    limits = {Level.WARN: warn_tokens, Level.CRITICAL: critical_tokens}
    return Monitor(
        scope=scope,
        limits_tokens={level: limit for level, limit in limits.items() if limit is not None},
        rearm_tokens=int(whole_tokens * REARM_FRAC),
    )
