"""What became of one item: what was decided on it, where it is now, how its text begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.core.types import Form, Item
from ctxbudget.history import Happening
from ctxbudget.report.journal_json import happenings, item_as_data
from ctxbudget.report.plain import one_line, visible
from ctxbudget.report.prompts import Prompts

AS_FORM = {
    Form.WHOLE: "whole",
    Form.DEDUPED: "without what a later item holds",
    Form.SNIP: "as head and tail",
    Form.DIGEST: "as its digest",
    Form.NAMES: "as its names",
    Form.CLEAR: "as a placeholder",
    Form.SUMMARY: "as a summary",
    Form.STUB: "as a note",
}

START_CHARS = 400
"""Of its text that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that a journal knows of an item.

    `item` is as it came; `present` and `evicted` are (thread, whether it is open, the item as it
    stands or stood there).
    """

    journal: str
    start_at: float
    item: Item
    happenings: Sequence[Happening]
    present: Sequence[tuple[str, bool, Item]]
    evicted: Sequence[tuple[str, bool, Item]]
    stands_for: tuple[str, ...]
    text: str | None


def places(
    prompts: Prompts, item: str
) -> tuple[list[tuple[str, bool, Item]], list[tuple[str, bool, Item]]]:
    """Return where an item stands, open threads only, and where it was evicted."""
    present, evicted = [], []
    for prompt in prompts.threads.values():
        if item in prompt.items:
            if prompt.is_open:
                present.append((prompt.thread, True, prompt.items[item]))
        elif item in prompt.left:
            evicted.append((prompt.thread, prompt.is_open, prompt.left[item]))
    return present, evicted


def as_data(why: Why) -> dict[str, Any]:
    """Return it as JSON."""
    return {
        "ctxbudget": __version__,
        "journal": why.journal,
        "item": item_as_data(why.item),
        "stands_for": list(why.stands_for),
        "happenings": happenings(why.happenings, why.start_at),
        "present": [
            {"thread": thread, "form": item.form, "version": item.version, "tokens": item.tokens}
            for thread, _, item in why.present
        ],
        "evicted": [
            {"thread": thread, "is_open": is_open, "tokens": item.tokens}
            for thread, is_open, item in why.evicted
        ],
        "text_chars": None if why.text is None else len(why.text),
        "text_start": None if why.text is None else why.text[:START_CHARS],
    }


def lines(why: Why) -> Iterator[str]:
    """Yield it as lines for people."""
    yield one_line(_head(why.item))
    if why.stands_for:
        yield one_line(f"stands for: {', '.join(why.stands_for)}")
    for one in why.happenings:
        yield one_line_of(one, why.start_at)
    yield from _where(why)
    if why.text is None:
        yield "text: the journal holds none"
        return
    size = len(why.text)
    cut = f" (the first {START_CHARS:,} of {size:,} characters)" if size > START_CHARS else ""
    yield f"text{cut}:"
    for line in visible(why.text[:START_CHARS]).split("\n"):
        yield f"  {line}"


def one_line_of(one: Happening, start_at: float) -> str:
    """Return a happening on one line."""
    rule = f" by {one.rule}" if one.rule else ""
    plan = f" (plan {one.plan})" if one.plan is not None else ""
    stand_in = f", {one.by} stands for it" if one.by else ""
    reason = f": {one.reason}" if one.reason else ""
    text = f"{one.thread} {one.what}{rule}{plan}{stand_in}, {one.tokens:,} tokens{reason}"
    return f"{one.at - start_at:9.1f} s  {one_line(text)}"


def _head(item: Item) -> str:
    of_tool = f" of {item.tool}" if item.tool else ""
    source = f", a copy of {item.source}" if item.source else ""
    phase = f", phase {item.phase}" if item.phase is not None else ""
    return (
        f"{item.id}: {item.kind}{of_tool}{source}, {item.layer} layer{phase}, "
        f"{item.tokens:,} tokens as it came"
    )


def _where(why: Why) -> Iterator[str]:
    for thread, _, item in why.present:
        form = AS_FORM[item.form]
        yield one_line(f"now: in the prompt of {thread}, {form}, {item.tokens:,} tokens")
    for thread, is_open, item in why.evicted:
        ended = "" if is_open else ", which has ended"
        yield one_line(f"now: evicted from the prompt of {thread}{ended}, {item.tokens:,} tokens")
    is_shortened = any(item.version != why.item.version for _, _, item in why.present)
    if why.text is not None and (why.evicted or is_shortened):
        yield one_line(f"whole text: ctxbudget restore {why.journal} {why.item.id}")
    if not why.present and not why.evicted:
        yield "now: in no prompt; its thread has ended"
