"""Tests of sizes of shorter forms in a replay without texts: what the run's own journal tells."""

from __future__ import annotations

from typing import Any

import pytest

from ctxbudget.core.events import ItemAdded, Shorten, Shortened
from ctxbudget.core.types import Do, Item, Kind
from ctxbudget.replay.shorter_forms import RecordedSizes, SizesWithoutTexts


def asked(do: Do, limit_tokens: int | None = None, thread: str = "t") -> Shorten:
    return Shorten(at=0, do=do, items=("x",), limit_tokens=limit_tokens, thread=thread)


def shortened(shorten: Shorten, tokens: int, **rest: Any) -> Shortened:
    return Shortened(
        at=shorten.at,
        do=shorten.do,
        items=shorten.items,
        tokens=tokens,
        thread=shorten.thread,
        **rest,
    )


def recorded(*answers: tuple[Shorten, int]) -> SizesWithoutTexts:
    """Return the sizes of a replay whose run got these answers, of an item of 900 tokens."""
    told = RecordedSizes()
    for shorten, tokens in answers:
        told(shorten)
        told(shortened(shorten, tokens, error_tokens=7, text="hash"))
    sizes = SizesWithoutTexts(told)
    sizes(ItemAdded(at=0, item=Item(id="x", tokens=900, kind=Kind.ARTIFACT)))
    return sizes


@pytest.mark.parametrize(
    ("asks", "tokens", "assumed"),
    [
        (asked(Do.DIGEST), 512, 0),
        (asked(Do.DIGEST, thread="other"), 512, 0),  # metadata is the same everywhere
        (asked(Do.DIGEST, 700), 512, 0),
        (asked(Do.DIGEST, 300), 300, 0),
        (asked(Do.SNIP, 400), 390, 0),
        (asked(Do.SNIP, 500), 500, 1),
        (asked(Do.SNIP, 400, thread="other"), 400, 1),
        (asked(Do.SNIP), 900, 1),
        (asked(Do.CLEAR), 10, 1),
    ],
)
def test_a_replay_without_texts_knows_what_was_recorded(
    asks: Shorten, tokens: int, assumed: int
) -> None:
    sizes = recorded((asked(Do.DIGEST), 512), (asked(Do.SNIP, 400), 390))
    assert sizes.answer(asks) == shortened(asks, tokens)
    assert sizes.assumed == assumed


def test_a_digest_of_a_small_size_says_nothing_of_the_metadata() -> None:
    sizes = recorded((asked(Do.DIGEST, 100), 100))
    assert sizes.answer(asked(Do.DIGEST)) == shortened(asked(Do.DIGEST), 250)


def test_a_form_that_is_asked_for_again_has_the_size_of_that_time() -> None:
    dedupe = asked(Do.DEDUPE)  # depends on what stands behind the item by then
    told = recorded((dedupe, 800), (dedupe, 300))
    answers = [told.answer(dedupe) for _ in range(3)]
    assert answers == [shortened(dedupe, tokens) for tokens in (800, 300, 300)]
    # Each replay begins anew.
    assert SizesWithoutTexts(told.recorded).answer(dedupe) == shortened(dedupe, 800)
