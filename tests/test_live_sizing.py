"""What a block takes, by hand-worked sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from ctxbudget.core.errors import AdapterError, ConfigError, SourceError
from ctxbudget.counting.calibration import Calibration
from ctxbudget.counting.content_class import ContentClass
from ctxbudget.counting.counters import CharsCounter
from ctxbudget.counting.media import image_cap_tokens
from ctxbudget.live.sizing import FRAME_TOKENS, CountedSizer, Size, sizer_for

CALL = {"type": "tool_use", "id": "c", "name": "read", "input": {"a": 1}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def result(content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "c", "content": content}


@dataclass
class Letters:
    """Counts each character as a token, and remembers what it was asked."""

    answer: Any = None
    name: ClassVar[str] = "letters"
    is_estimate: ClassVar[bool] = False
    asked: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> int:
        self.asked.append(text)
        if isinstance(self.answer, Exception):
            raise self.answer
        found: int = len(text) if self.answer is None else self.answer
        return found


EXACT: list[tuple[str, dict[str, Any], int]] = [
    ("a text", text("abcde"), 5),
    ("no text", text(""), 0),
    ("a call: its name, a blank and its JSON", CALL, len('read {"a":1}')),
    ("a result", result("abc"), 3),
    ("a result in blocks: with line ends", result([text("abc"), text("d")]), 5),
    ("a tool: its JSON", {"name": "f"}, len('{"name":"f"}')),
]


@pytest.mark.parametrize(
    ("block", "tokens"), [row[1:] for row in EXACT], ids=[row[0] for row in EXACT]
)
def test_an_exact_counter_is_taken_at_its_word(block: dict[str, Any], tokens: int) -> None:
    size = sizer_for("claude-opus-5-5", Letters())(block)
    assert FRAME_TOKENS == 4
    assert (size.tokens, size.error_tokens, size.counted_tokens) == (tokens + 4, 0, tokens + 4)


def test_an_estimate_is_scaled_and_its_error_rounded_up() -> None:
    """40 characters are 10 tokens, with the frame 14; Claude takes half as many again."""
    size = sizer_for("claude-opus-5-5", "chars")(text("lorem ipsum dolor sit amet, consectetur "))
    assert size == Size(
        tokens=21,
        error_tokens=4,  # 15 % of 21 is 3.15
        counted_tokens=14,
        content=ContentClass.PROSE,
    )


def test_the_default_counts_with_o200k() -> None:
    """Three words and the frame: 7; for Claude from 4.7 on 10.5, before 8.4, for GPT 7."""
    block = text("one two three")
    sizes = [sizer_for(model, None)(block) for model in ("claude-opus-5-5", "claude-opus-4-6", "gpt-4o")]  # fmt: skip
    assert [size.tokens for size in sizes] == [11, 9, 7]
    assert [size.counted_tokens for size in sizes] == [7, 7, 7]
    assert [size.error_tokens for size in sizes] == [2, 2, 1]
    assert sizer_for("gpt-4o", "calibrated")(block) == sizes[2]


def test_an_image_is_added_to_what_is_counted() -> None:
    """One that cannot be looked at is given the most it can be."""
    cap = image_cap_tokens("claude-opus-5-5")
    size = sizer_for("claude-opus-5-5", Letters())(IMAGE)
    assert (size.tokens, size.counted_tokens) == (cap + 4, 4)
    assert size.error_tokens == int(cap * 0.2)
    inside = sizer_for("claude-opus-5-5", Letters())(result([text("abc"), IMAGE, IMAGE]))
    assert inside.tokens - inside.counted_tokens == 2 * cap


def test_a_text_alone_has_no_frame() -> None:
    sizer = sizer_for("claude-opus-5-5", "chars")
    assert sizer.count_text("") == 0
    assert sizer.count_text("x" * 20) == 8  # 5 × 1.5, rounded up


def test_no_text_is_counted_twice() -> None:
    count = Letters()
    sizer = sizer_for("m", count)
    for _ in range(3):
        sizer(text("abc"))
        sizer.count_text("abc")
        sizer(result("abc"))
    assert count.asked == ["abc"]


def test_what_is_reported_is_learnt() -> None:
    """The provider counts twice what was said: after some reports so does the sizer."""
    sizer = sizer_for("claude-opus-5-5", "chars")
    block = text("the quick brown fox jumps over the lazy dog " * 100)
    first = sizer(block)
    for _ in range(20):
        sizer.learn({first.content: first.counted_tokens}, 2 * first.tokens)
    assert sizer(block).tokens == pytest.approx(2 * first.tokens, rel=0.05)


def test_an_exact_counter_does_not_learn() -> None:
    sizer = sizer_for("claude-opus-5-5", Letters())
    sizer.learn({ContentClass.PROSE: 100}, 101)
    assert sizer(text("abc")).tokens == 7


def test_a_lone_surrogate_is_counted() -> None:
    assert sizer_for("claude-opus-5-5", None)(text("a\ud800b")).counted_tokens >= FRAME_TOKENS + 2


@pytest.mark.parametrize("answer", [-1, "7", None.__class__, 2.5])
def test_a_counter_that_returns_no_number(answer: Any) -> None:
    sizer = sizer_for("m", Letters(answer))
    with pytest.raises(AdapterError, match="0 or more"):
        sizer(text("abc"))


def test_a_counter_that_fails_is_named_and_its_error_kept() -> None:
    failure = ValueError("no network")
    sizer = sizer_for("m", Letters(failure))
    with pytest.raises(AdapterError, match=r"'letters' failed on a text of 3 .*no network") as caught:  # fmt: skip
        sizer(text("abc"))
    assert caught.value.__cause__ is failure
    own = SourceError("ours")
    with pytest.raises(SourceError, match="ours"):
        sizer_for("m", Letters(own))(text("abc"))


def test_there_is_no_such_counter() -> None:
    with pytest.raises(ConfigError, match="unknown counter 'words'"):
        sizer_for("m", "words")


def test_a_calibration_of_ones_own() -> None:
    sizer = CountedSizer(CharsCounter(), Calibration.for_model("gpt-4o", exact=True), "gpt-4o")
    assert sizer(text("x" * 8)).tokens == 6
