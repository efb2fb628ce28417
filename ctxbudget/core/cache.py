"""The prompt-cache model: what a call reads from the cache, what it writes, when a rewrite pays."""

from __future__ import annotations

from dataclasses import dataclass

from ctxbudget.core.store import Sent
from ctxbudget.core.types import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A prompt's tokens by what the cache does with them; they add up to the prompt."""

    cache_read_tokens: int
    cache_write_tokens: int
    uncached_tokens: int
    rewritten_tokens: int


@dataclass(slots=True)
class CacheState:
    """What one thread's cache holds.

    A call reads the longest prefix that equals the previous call's on the same model, if the
    cache is alive and the prefix long enough to have been cached; it writes the rest.
    """

    model: str | None = None
    last_call_at: float = 0.0
    cached_tokens: int = 0
    """Length of the last prompt, if it was long enough to be cached; else 0."""

    def is_warm(self, at: float, model: str, cache: Cache) -> bool:
        """Return True if a call now could read what the last call left.

        A read keeps the cache alive, so its life counts from the last call.
        """
        return (
            self.cached_tokens > 0 and self.model == model and at - self.last_call_at <= cache.ttl_s
        )

    def call(self, at: float, *, model: str, cache: Cache, tokens: int, sent: Sent) -> Split:
        """Return how the cache splits a prompt, and remember the call."""
        warm = self.is_warm(at, model, cache)
        held = self.cached_tokens if warm else 0
        same = min(sent.same_prefix_tokens, held)
        read = same if same >= cache.min_tokens else 0
        cacheable = tokens >= cache.min_tokens
        self.model, self.last_call_at = model, at
        self.cached_tokens = tokens if cacheable else 0
        return Split(
            cache_read_tokens=read,
            cache_write_tokens=tokens - read if cacheable else 0,
            uncached_tokens=0 if cacheable else tokens - read,
            rewritten_tokens=same - read + sent.carried_after_tokens if warm else 0,
        )


def pays_off(
    cache: Cache, *, gain_tokens: int, rewritten_tokens: int, calls_left: int, warm: bool
) -> bool:
    """Return True if removing tokens now saves more reads than it costs in rewritten cache.

    Source: break-even of one edit point, r·ΔT·R > (w−r)·S, with S the cached tokens behind it,
    ΔT those removed and R the calls still to come; a cold cache has nothing to rewrite.
    """
    if not warm:
        return gain_tokens > 0
    saved = cache.read_multiplier * gain_tokens * calls_left
    cost = (cache.write_multiplier - cache.read_multiplier) * rewritten_tokens
    return round(saved - cost, 6) > 0  # exact at the break-even, where floats are not
