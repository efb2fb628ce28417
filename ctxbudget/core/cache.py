"""The prompt-cache model: what a call reads from the cache, what it writes, when a rewrite pays."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctxbudget.core.store import Sent
from ctxbudget.core.types import Cache

LOST_FRAC = 0.5
"""A call that reads less than this share of what the cache should hold has lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A prompt's tokens by what the cache does with them; they add up to the prompt."""

    cache_read_tokens: int
    cache_write_tokens: int
    uncached_tokens: int
    rewritten_tokens: int


@dataclass(slots=True)
class _Held:
    """What the last call on a model left in the cache."""

    at: float
    ttl_s: float
    tokens: int
    """Of the prompt's beginning that has not changed since."""


@dataclass(slots=True)
class CacheState:
    """What the cache holds of one thread, for each model.

    A call reads the longest prefix that equals the previous call's on the same model, if the
    cache is alive and the prefix long enough to have been cached; it writes the rest.
    """

    losses: int = 0
    """How often the cache did not hold what it should have held."""
    _held: dict[str, _Held] = field(default_factory=dict)
    _last_model: str | None = None
    _told_tokens: int | None = None
    """What the next call finds, where the world said so."""
    _may_be_unread: bool = False
    """Whether that is what others left, which was never sent from here."""
    _is_told: bool = False
    """Whether answers say what was read."""
    _read_tokens: int = 0
    """What the last call should have read."""

    @property
    def was_written(self) -> bool:
        """Whether any call was long enough to be cached."""
        return any(held.tokens for held in self._held.values())

    def is_warm(self, at: float, model: str) -> bool:
        """Return True if a call now could read what the last call on this model left.

        A read keeps the cache alive, so its life counts from the last call.
        """
        held = self._held.get(model)
        return held is not None and held.tokens > 0 and at - held.at <= held.ttl_s

    def lost(self, kept_tokens: int) -> None:
        """Take in that the cache holds no more than so many tokens of the prompt's beginning."""
        self._told_tokens, self._may_be_unread = kept_tokens, False
        self.losses += 1

    def answered(self, read_tokens: int) -> None:
        """Take in what the provider says the last call has read; some never say."""
        self._is_told = self._is_told or read_tokens > 0
        self.losses += self._is_told and is_loss(self._read_tokens, read_tokens)

    def found(self, tokens: int) -> None:
        """Take in that the cache holds so many tokens of the beginning, whoever put them there."""
        self._told_tokens, self._may_be_unread = tokens, True

    def call(
        self, at: float, *, model: str, cache: Cache, tokens: int, sent: Sent, fixed_tokens: int
    ) -> Split:
        """Return how the cache splits a prompt, and remember the call.

        `fixed_tokens` are those at the front which nothing changes: what others may share.
        """
        warm = self.is_warm(at, model)  # also where nothing of it is the same any more
        for one in self._held.values():
            one.tokens = min(one.tokens, sent.same_prefix_tokens)
        same = self._held[model].tokens if warm else 0
        is_as_thought = self._told_tokens is None
        found = self._found_tokens(model, same, fixed_tokens)
        is_next = self._last_model == model  # only then what was carried was sent to this model
        after = sent.carried_after_tokens if warm and is_as_thought and is_next else 0
        held = found + (after if cache.reads_anywhere else 0)
        held = held if held >= cache.min_tokens else 0
        read = held - held % cache.block_tokens if is_as_thought else held
        cacheable = tokens >= cache.min_tokens
        self._last_model, self._read_tokens = model, read
        self._held[model] = _Held(at, cache.ttl_s, tokens if cacheable else 0)
        return Split(
            cache_read_tokens=read,
            cache_write_tokens=tokens - read if cacheable else 0,
            uncached_tokens=0 if cacheable else tokens - read,
            rewritten_tokens=same + after - held if is_as_thought else 0,
        )

    def _found_tokens(self, model: str, same_tokens: int, fixed_tokens: int) -> int:
        """Return how much of the beginning a call finds, given what it should find."""
        told, self._told_tokens = self._told_tokens, None
        if told is None:
            return same_tokens
        if not self._may_be_unread:
            return min(told, same_tokens)
        held = self._held.get(model)
        known_tokens = max(held.tokens if held is not None else 0, fixed_tokens)
        return max(same_tokens, min(told, known_tokens))


def is_loss(should_tokens: int, did_tokens: int) -> bool:
    """Return True if a call read so much less than it should that the cache must have been lost."""
    return bool(should_tokens) and did_tokens < LOST_FRAC * should_tokens


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
