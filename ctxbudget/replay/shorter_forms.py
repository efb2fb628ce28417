"""How large shorter forms are in a what-if: by their texts, as recorded, or by assumption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TypeAlias

from ctxbudget.config.workflow_format import SizesPart
from ctxbudget.core.events import (
    Answered,
    Effect,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Review,
    Reviewed,
    Shorten,
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


_Form: TypeAlias = tuple[str, Do, tuple[str, ...], int | None]
"""A thread, what is done to which of its items, and the most tokens that may be left."""


def _form(effect: Shorten) -> _Form:
    return effect.thread, effect.do, effect.items, effect.limit_tokens


@dataclass(slots=True)
class RecordedSizes:
    """Listens to a recorded run: how large each shorter form was that its policy asked for."""

    _tokens: dict[_Form, list[int]] = field(default_factory=dict)
    _metadata_tokens: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Of outputs, which say the same in any thread and leave room for as much as they need."""
    _asked: Shorten | None = None

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Shorten):
            self._asked = event
        elif isinstance(event, Shortened) and self._asked is not None:
            self._tokens.setdefault(_form(self._asked), []).append(event.tokens)
            if event.do is Do.DIGEST and self._asked.limit_tokens is None:
                self._metadata_tokens[event.items] = event.tokens

    def of(self, effect: Shorten) -> Sequence[int]:
        """Return the tokens of a form each time that it was asked for; empty if it never was."""
        found = self._tokens.get(_form(effect))
        if found is None and effect.do is Do.DIGEST and effect.items in self._metadata_tokens:
            return (self._metadata_tokens[effect.items],)
        return found or ()


@dataclass(slots=True)
class SizesWithoutTexts:
    """Sizes of shorter forms without texts: as recorded, else those that workflows assume.

    Also a listener, to know how large items are.
    """

    recorded: RecordedSizes
    sizes: SizesPart = field(default_factory=SizesPart)
    assumed: int = 0
    """Answers that are no recorded size."""
    _times: Counter[_Form] = field(default_factory=Counter)
    """How often each form was asked for; what a prompt holds beside it may have changed."""
    _tokens: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, ItemAdded | Injected):
            self._tokens[event.item.id] = event.item.tokens
        elif isinstance(event, Pruned) and event.stand_in is not None:
            self._tokens[event.stand_in.id] = event.stand_in.tokens

    def answer(self, effect: Effect) -> Answered:
        """Return the size of a shorter form; a review allows all."""
        if isinstance(effect, Review):
            return Reviewed(at=effect.at, rule=effect.rule, allowed=True, thread=effect.thread)
        told, form = self.recorded.of(effect), _form(effect)
        if told:
            tokens = told[min(self._times[form], len(told) - 1)]
        else:
            tokens = self._assumed_tokens(effect)
            self.assumed += 1
        self._times[form] += 1
        if effect.limit_tokens is not None:
            tokens = min(tokens, effect.limit_tokens)
        return Shortened(
            at=effect.at, do=effect.do, items=effect.items, tokens=tokens, thread=effect.thread
        )

    def _assumed_tokens(self, effect: Shorten) -> int:
        whole = sum(self._tokens.get(item, 0) for item in effect.items)
        return {
            Do.CLEAR: self.sizes.clear,
            Do.STUB: self.sizes.stub,
            Do.SNIP: min(whole, effect.limit_tokens or self.sizes.snip),
            Do.DIGEST: min(whole, self.sizes.metadata),
            Do.NAMES: min(whole, self.sizes.metadata),
            Do.DEDUPE: whole,  # what else holds its lines is not known
        }.get(effect.do, effect.limit_tokens or 0)
