"""Which text each version of an item holds, event by event."""

from __future__ import annotations

from typing import Any

import pytest
from builders import item

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Registered,
    Restored,
    Seeded,
    Shorten,
    Shortened,
)
from ctxbudget.core.types import Do, Form, Item, Kind
from ctxbudget.journal import content_hash
from ctxbudget.live.pieces import Block
from ctxbudget.live.texts import Texts
from ctxbudget.redact import redact_value

SECRET = "AKIAIOSFODNN7EXAMPLE"  # noqa: S105 - a documented example


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def added(texts: Texts, name: str, block: Block, thread: str = "main") -> None:
    texts(ItemAdded(at=0, item=item(name), thread=thread, text=texts.take_in(block)))


def asked(limit_tokens: int | None, *items: str, do: Do = Do.SNIP, thread: str = "main") -> Shorten:
    return Shorten(at=0, do=do, items=items, limit_tokens=limit_tokens, thread=thread)


def answered(texts: Texts, effect: Shorten, block: Block, tokens: int = 1) -> None:
    """Tell an effect and its answer, as a session does."""
    name = texts.take_in(block)
    texts(effect)
    texts(
        Shortened(
            at=0,
            do=effect.do,
            items=effect.items,
            tokens=tokens,
            thread=effect.thread,
            text=name,
        )
    )


def pruned(effect: Shorten, stand_in: Item | None, *, reads: int = 0) -> Pruned:
    """Return the end of an effect; the last `reads` of its items stay."""
    cut = len(effect.items) - reads
    return Pruned(
        at=0,
        rule="r",
        reason="",
        do=effect.do,
        items=effect.items[:cut],
        reads=effect.items[cut:],
        removed_tokens=0,
        occupancy_tokens=0,
        plan=1,
        stand_in=stand_in,
        thread=effect.thread,
        limit_tokens=effect.limit_tokens,
    )


def test_an_item_holds_the_block_it_came_with() -> None:
    texts, block = Texts(), text("a")
    added(texts, "x", block)
    assert texts.block("main", "x", 0) is block
    assert texts.find("main", "x", 1) is None
    assert texts.find("other", "x", 0) is None


def test_a_text_that_is_not_known() -> None:
    texts = Texts()
    texts(ItemAdded(at=0, item=item("x"), text=None))
    texts(ItemAdded(at=0, item=item("y"), text="0" * 32))
    for name in "xy":
        with pytest.raises(SourceError, match=f"text of item '{name}' .version 0. is not known"):
            texts.block("main", name, 0)


def test_the_same_text_of_two_items() -> None:
    texts = Texts()
    added(texts, "x", text("a"))
    added(texts, "y", text("a"))
    assert texts.block("main", "x", 0) == texts.block("main", "y", 0) == text("a")


def test_a_shorter_form_is_a_version_beside_the_first() -> None:
    texts, effect = Texts(), asked(5, "x")
    added(texts, "x", text("long"))
    answered(texts, effect, text("short"))
    assert texts.find("main", "x", 1) is None  # only asked for
    texts(pruned(effect, item("x", version=1, form=Form.SNIP)))
    assert texts.block("main", "x", 1) == text("short")
    assert texts.block("main", "x", 0) == text("long")


def test_a_summary_is_an_item_of_its_own_also_if_it_leaves_some_that_it_read() -> None:
    texts, effect = Texts(), asked(9, "x", "y", "z", do=Do.SUMMARIZE)
    for name in "xyz":
        added(texts, name, text(name))
    answered(texts, effect, text("in short"))
    texts(pruned(effect, item("~summary1", kind=Kind.SUMMARY), reads=1))
    assert texts.block("main", "~summary1", 0) == text("in short")


def test_what_is_dropped_leaves_nothing_and_is_still_known() -> None:
    texts = Texts()
    added(texts, "x", text("a"))
    texts(pruned(asked(None, "x", do=Do.DROP), None))
    assert texts.block("main", "x", 0) == text("a")


def test_two_limits_were_asked_for_and_the_first_is_taken() -> None:
    """A rule asked for 500 tokens, another one for 100; then the first acts on what it heard."""
    texts, long, short = Texts(), asked(500, "x"), asked(100, "x")
    added(texts, "x", text("whole"))
    answered(texts, long, text("five hundred"), 500)
    answered(texts, short, text("a hundred"), 100)
    texts(pruned(long, item("x", tokens=500, version=1, form=Form.SNIP)))
    assert texts.block("main", "x", 1) == text("five hundred")
    texts(pruned(short, item("x", tokens=100, version=2, form=Form.SNIP)))
    assert texts.block("main", "x", 2) == text("a hundred")


def test_threads_do_not_mix() -> None:
    texts = Texts()
    for thread in ("main", "p/a"):
        added(texts, "x", text(f"whole {thread}"), thread)
        answered(texts, asked(5, "x", thread=thread), text(thread))
    for thread in ("p/a", "main"):
        texts(pruned(asked(5, "x", thread=thread), item("x", version=1)))
        assert texts.block(thread, "x", 1) == text(thread)
        assert texts.block(thread, "x", 0) == text(f"whole {thread}")


def test_an_agent_knows_what_it_starts_with() -> None:
    texts, effect = Texts(), asked(5, "x", do=Do.DIGEST)
    added(texts, "x", text("whole"))
    answered(texts, effect, text("short"))
    texts(pruned(effect, item("x", version=1, form=Form.DIGEST)))
    texts(Seeded(at=0, thread="p/a", items=(("x", 1),), tokens=1))
    assert texts.block("p/a", "x", 1) == text("short")
    assert texts.find("p/a", "x", 0) is None


def test_what_comes_back_to_another_thread_is_known_there() -> None:
    texts = Texts()
    added(texts, "x", text("a"))
    back: dict[str, Any] = {"removed": (), "gained_tokens": 1, "rewritten_tokens": 0}
    texts(Restored(at=0, items=(item("x"),), occupancy_tokens=1, thread="p/a", **back))
    assert texts.block("p/a", "x", 0) == text("a")


def test_a_registered_text_is_known_where_it_is_put_in() -> None:
    texts = Texts()
    texts(Registered(at=0, item=item("rules"), text=texts.take_in(text("rules"))))
    assert texts.find("main", "rules", 0) is None
    texts(Injected(at=0, item=item("rules"), by="read", thread="p/a"))
    assert texts.block("p/a", "rules", 0) == text("rules")


def test_what_is_written_down_is_redacted_but_what_is_sent_is_not() -> None:
    texts = Texts(redact_value)
    name = texts.take_in(text(f"key {SECRET}"))
    written = texts.content_of(name)  # asked for by the journal, which hears the event first
    texts(ItemAdded(at=0, item=item("x"), text=name))
    assert SECRET not in str(written)
    assert name == content_hash(written)
    assert texts.block("main", "x", 0) == text(f"key {SECRET}")
    with pytest.raises(KeyError):
        texts.content_of(name)  # only the first event brings it


def test_two_secrets_that_look_the_same_once_redacted() -> None:
    texts = Texts(redact_value)
    other = SECRET.replace("F", "G")
    for name, secret in (("x", SECRET), ("y", other)):
        added(texts, name, text(secret))
    assert texts.block("main", "x", 0) == text(SECRET)
    assert texts.block("main", "y", 0) == text(other)


def test_a_run_that_is_taken_up_knows_its_journal() -> None:
    """The same events and contents, in another process."""
    events: list[Event] = []
    first = Texts()
    names = {first.take_in(block): block for block in (text("whole"), text("short"))}
    whole, short = names
    effect = asked(5, "x")
    events += [
        ItemAdded(at=0, item=item("x"), text=whole),
        effect,
        Shortened(at=0, do=Do.SNIP, items=("x",), tokens=1, text=short),
        pruned(effect, item("x", version=1)),
    ]
    second = Texts()
    second.know({name: first.content_of(name) for name in names})
    for event in events:
        first(event)
        second(event)
    for version, block in enumerate(names.values()):
        assert second.block("main", "x", version) == first.block("main", "x", version) == block
