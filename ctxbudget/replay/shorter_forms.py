"""How large shorter forms are in a what-if: from the recorded texts, or by assumption."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from ctxbudget.config.workflow_file import SizesPart
from ctxbudget.core.events import (
    Answered,
    Effect,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Review,
    Reviewed,
    Shortened,
)
from ctxbudget.core.types import Do
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.counting.counters import MemoCounter, TiktokenCounter
from ctxbudget.live.pieces import Block, text_of
from ctxbudget.live.sizing import FRAME_TOKENS, Size

SAMPLE = 200
"""Items that the scale of a journal's tokens is taken from."""


@dataclass(slots=True)
class ScaledSizer:
    """Measures texts in the tokens of a journal: o200k times what its items show.

    A journal's items were counted by a counter that is not known; `tokens_per_counted` says how its
    tokens compare with o200k's.
    """

    tokens_per_counted: float
    _count: MemoCounter = field(default_factory=lambda: MemoCounter(TiktokenCounter()))

    def __call__(self, block: Block) -> Size:
        """Return the size of a block."""
        return Size(tokens=self.count_text(text_of(block)) + FRAME_TOKENS)

    def count_text(self, text: str) -> int:
        """Return the tokens of a text."""
        return ceil(self._count(text) * self.tokens_per_counted)

    def learn(self, predicted: dict[ContentClass, int], reported_gain_tokens: int) -> None:
        """Learn nothing: the scale is that of the journal."""


def scaled_sizer(samples: list[tuple[int, str]]) -> ScaledSizer:
    """Return what measures like the items of a journal, given as (tokens, text)."""
    count = MemoCounter(TiktokenCounter())
    taken = samples[:SAMPLE]
    counted = sum(count(text) for _, text in taken)
    tokens = sum(max(0, tokens - FRAME_TOKENS) for tokens, _ in taken)
    return ScaledSizer(tokens / counted if counted and tokens else 1.0)


@dataclass(slots=True)
class AssumedSizes:
    """Sizes of shorter forms for a journal without texts: those that workflows assume.

    Also a listener, to know how large items are.
    """

    sizes: SizesPart = field(default_factory=SizesPart)
    _tokens: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, ItemAdded | Injected):
            self._tokens[event.item.id] = event.item.tokens
        elif isinstance(event, Pruned) and event.stand_in is not None:
            self._tokens[event.stand_in.id] = event.stand_in.tokens

    def answer(self, effect: Effect) -> Answered:
        """Return the assumed size of a shorter form."""
        if isinstance(effect, Review):
            return Reviewed(at=effect.at, rule=effect.rule, allowed=True, thread=effect.thread)
        whole = sum(self._tokens.get(item, 0) for item in effect.items)
        tokens = {
            Do.CLEAR: self.sizes.clear,
            Do.STUB: self.sizes.stub,
            Do.SNIP: min(whole, effect.limit_tokens or self.sizes.snip),
            Do.DIGEST: min(whole, self.sizes.metadata),
            Do.NAMES: min(whole, self.sizes.metadata),
            Do.DEDUPE: whole,  # what else holds its lines is not known
        }.get(effect.do, effect.limit_tokens or 0)
        if effect.limit_tokens is not None:
            tokens = min(tokens, effect.limit_tokens)
        return Shortened(
            at=effect.at, do=effect.do, items=effect.items, tokens=tokens, thread=effect.thread
        )
