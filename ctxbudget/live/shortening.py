"""Answers the engine's effects from real text: placeholders, snips, digests, notes, summaries."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.events import (
    Answered,
    Charge,
    Effect,
    Review,
    Reviewed,
    Shorten,
    Shortened,
)
from ctxbudget.core.store import Store
from ctxbudget.core.types import Do, Item, Kind
from ctxbudget.live.held import Held
from ctxbudget.live.pieces import Block, media_of, text_of, text_to_shorten, with_text
from ctxbudget.live.sizing import Sizer
from ctxbudget.live.texts import Texts
from ctxbudget.shortening.dedupe import deduped, names_left
from ctxbudget.shortening.digest import DIGEST_TOKENS, digest
from ctxbudget.shortening.snip import snip
from ctxbudget.shortening.summarize import Summary, SummaryPart, SummaryRequest

SNIP_TOKENS = 2_000
"""What a snip leaves where the rule does not say; as much as a simulation assumes."""

FAILURES_IN_A_ROW = 3
"""After so many a summarizer is not asked again. Source: the same guard in other agent frameworks
(three in a row)."""

STUB_NAMES = 3

Summarize: TypeAlias = Callable[[SummaryRequest], "Summary | str | Awaitable[Summary | str]"]
"""Writes a summary; may be a coroutine function in an asynchronous run."""

ReviewHook: TypeAlias = Callable[[Review], "bool | str | Awaitable[bool | str]"]
"""Says whether a plan may be carried out: True, False, or the reason why not; may be a coroutine
function in an asynchronous run."""


@dataclass(slots=True)
class Shortener:
    """The world of a live run: performs effects on real texts.

    It never fails because of a summarizer: a digest takes the summary's place then, and the
    answer's `note` says why.

    Args:
        store_of: gives the store of a thread.
    """

    texts: Texts
    size: Sizer
    store_of: Callable[[str], Store]
    summarize: Summarize | None = None
    review: ReviewHook | None = None
    redact: Callable[[str], str] = str
    """Applied to whatever a summarizer reads."""
    held: Held | None = None
    """Knows what later items of the prompt hold; without it, nothing counts as held elsewhere."""
    failures: int = 0
    """Of the summarizer, in a row."""
    _goals: dict[str, str] = field(default_factory=dict)

    def answer(self, effect: Effect) -> Answered:
        """Perform an effect."""
        if isinstance(effect, Review):
            return self._reviewed(effect, self._verdict(effect))
        if not self._wants_summary(effect):
            return self._short(effect)
        request = self._request(effect)
        try:
            summary = self._ask(request)
            if inspect.isawaitable(summary):
                if inspect.iscoroutine(summary):
                    summary.close()
                raise AdapterError("the summarizer is asynchronous; use AsyncRun with it")
        except Exception as error:
            return self._instead_of_summary(effect, error)
        return self._summarized(effect, request, summary)

    async def answer_async(self, effect: Effect) -> Answered:
        """Perform an effect, awaiting a summarizer that is asynchronous."""
        if isinstance(effect, Review):
            return self._reviewed(effect, await self._verdict_async(effect))
        if not self._wants_summary(effect):
            return self._short(effect)
        request = self._request(effect)
        try:
            summary = self._ask(request)
            if inspect.isawaitable(summary):
                summary = await summary
        except Exception as error:
            return self._instead_of_summary(effect, error)
        return self._summarized(effect, request, summary)

    # ---- reviews

    def _verdict(self, effect: Review) -> object:
        """Ask the hook; one that raises refuses, since nobody has allowed the plan."""
        try:
            verdict = True if self.review is None else self.review(effect)
        except Exception as error:
            return _failed(error)
        if not inspect.isawaitable(verdict):
            return verdict
        if inspect.iscoroutine(verdict):
            verdict.close()
        return "the review is asynchronous; use AsyncRun with it"

    async def _verdict_async(self, effect: Review) -> object:
        """Ask the hook, awaiting one that is asynchronous."""
        try:
            verdict = True if self.review is None else self.review(effect)
            return await verdict if inspect.isawaitable(verdict) else verdict
        except Exception as error:
            return _failed(error)

    def _reviewed(self, effect: Review, verdict: object) -> Reviewed:
        """Return what a verdict means: True, False, or the reason why not."""
        reason = verdict if isinstance(verdict, str) else "" if verdict else "refused"
        return Reviewed(
            at=effect.at,
            rule=effect.rule,
            allowed=not reason,
            reason=reason,
            thread=effect.thread,
        )

    # ---- one item at a time

    def _short(self, effect: Shorten) -> Shortened:
        store = self.store_of(effect.thread)
        items = [store[name] for name in effect.items]
        if effect.do is Do.SUMMARIZE:
            return self._answered(effect, self._digest_of_all(effect, items))
        first = items[0]
        block = self._block(effect.thread, first)
        if effect.do is Do.DEDUPE:
            left = self._deduped(effect.thread, first, block)
            return self._answered(effect, left, is_as_it_was=left is block)
        text = self._form(effect, items, block)
        if len(items) > 1 or effect.do is Do.STUB:
            return self._answered(effect, {"type": "text", "text": text})
        return self._answered(effect, with_text(block, text))

    def _form(self, effect: Shorten, items: list[Item], block: Block) -> str:
        first, limit = items[0], effect.limit_tokens
        if effect.do is Do.CLEAR:
            return _placeholder(first)
        if effect.do is Do.STUB:
            return _stub(items)
        if effect.do is Do.SNIP:
            return self._within(block, limit or SNIP_TOKENS, first.id)
        if effect.do is Do.NAMES:
            return self._names(effect.thread, first, block, limit or DIGEST_TOKENS)
        return self._digest(block, first, limit or DIGEST_TOKENS)

    def _within(self, block: Block, limit_tokens: int, name: str) -> str:
        """Return head and tail of a block's text, so that the block keeps to the limit."""
        frame = self.size(with_text(block, "")).tokens
        return snip(text_to_shorten(block), max(0, limit_tokens - frame), self._count(), name=name)

    def _digest(self, block: Block, item: Item, limit_tokens: int) -> str:
        given = block.get("metadata")
        frame = self.size(with_text(block, "")).tokens
        room = max(0, limit_tokens - frame)
        if given:
            return snip(str(given), room, self._count(), name=item.id)
        title = str(block.get("title") or item.tool or "")
        path = str(block.get("path") or item.source or "")
        text = str(block["text"]) if block.get("type") == "artifact" else text_to_shorten(block)
        return digest(text, room, self._count(), title=title, path=path)

    def _deduped(self, thread: str, item: Item, block: Block) -> Block:
        """Return a block without what later items hold; the block itself if nothing changes.

        An image would be lost with the text around it, so such a block stays as it is.
        """
        if self.held is None or any(media_of(block)):
            return block
        text = text_to_shorten(block)
        behind = self.held.behind(thread, item.id)
        left = deduped(text, behind.has_line, behind.has_name)
        return block if left == text else with_text(block, left)

    def _names(self, thread: str, item: Item, block: Block, limit_tokens: int) -> str:
        frame = self.size(with_text(block, "")).tokens
        is_held = _never if self.held is None else self.held.behind(thread, item.id).has_name
        return names_left(
            text_to_shorten(block),
            max(0, limit_tokens - frame),
            self._count(),
            is_held,
            head=f"[was {item.tokens:,} tokens; id {item.id}]",
        )

    # ---- summaries

    def _wants_summary(self, effect: Shorten) -> bool:
        is_on = self.summarize is not None and self.failures < FAILURES_IN_A_ROW
        return effect.do is Do.SUMMARIZE and is_on

    def _ask(self, request: SummaryRequest) -> Summary | str | Awaitable[Summary | str]:
        if self.summarize is None:
            raise AdapterError("there is no summarizer")
        return self.summarize(request)

    def _request(self, effect: Shorten) -> SummaryRequest:
        store = self.store_of(effect.thread)
        parts = []
        for name in effect.items:
            item = store[name]
            text = text_of(self._readable(effect.thread, item))
            parts.append(
                SummaryPart(
                    id=name,
                    kind=item.kind,
                    text=self.redact(text),
                    tool=item.tool,
                    source=item.source,
                )
            )
        return SummaryRequest(
            parts=tuple(parts),
            limit_tokens=effect.limit_tokens or DIGEST_TOKENS,
            goal=self.redact(self._goal(effect.thread, store)),
        )

    def _goal(self, thread: str, store: Store) -> str:
        if thread not in self._goals:
            goal = next((one for one in store.untouchable() if one.kind is Kind.USER), None)
            if goal is None:
                return ""
            self._goals[thread] = text_of(self._block(thread, goal))
        return self._goals[thread]

    def _readable(self, thread: str, item: Item) -> Block:
        """Return what a summary reads: an output as a whole, all else as it stands."""
        if item.kind is Kind.ARTIFACT:
            whole = self.texts.find(thread, item.id, 0)
            if whole is not None:
                return whole
        return self._block(thread, item)

    def _summarized(self, effect: Shorten, request: SummaryRequest, summary: object) -> Shortened:
        """Put a summary within its limit; what was written is charged even if it is too long."""
        found = Summary(text=summary) if isinstance(summary, str) else summary
        if not isinstance(found, Summary) or not _is_text(found.text):
            error = AdapterError(f"the summarizer returned {str(summary)[:60]!r}, not a text")
            return self._instead_of_summary(effect, error)
        self.failures = 0
        block: Block = {"type": "text", "text": found.text.strip()}
        note = ""
        if self.size(block).tokens > request.limit_tokens:
            block = with_text(block, self._within(block, request.limit_tokens, ""))
            note = "the summary was longer than its limit and was cut"
        return self._answered(effect, block, note=note, charge=_charge(found))

    def _instead_of_summary(self, effect: Shorten, error: Exception) -> Shortened:
        self.failures += 1
        ends = ", and is not asked again" if self.failures >= FAILURES_IN_A_ROW else ""
        note = f"the summarizer failed ({type(error).__name__}: {error}){ends}; this is a digest"
        store = self.store_of(effect.thread)
        block = self._digest_of_all(effect, [store[name] for name in effect.items])
        return self._answered(effect, block, note=note)

    def _digest_of_all(self, effect: Shorten, items: list[Item]) -> Block:
        """Return a summary's place-holder without a model: what each item can be known by."""
        texts = [
            f"[{item.kind}{f' {item.tool}' if item.tool else ''}] "
            f"{text_of(self._readable(effect.thread, item))}"
            for item in items
        ]
        limit = effect.limit_tokens or DIGEST_TOKENS
        title = f"Summary of {len(items)} earlier items"
        block: Block = {"type": "text", "text": ""}
        room = max(0, limit - self.size(block).tokens)
        text = digest("\n\n".join(texts), room, self._count(), title=title)
        return {"type": "text", "text": text}

    # ---- all

    def _block(self, thread: str, item: Item) -> Block:
        return self.texts.block(thread, item.id, item.version)

    def _count(self) -> _TextCounter:
        return _TextCounter(self.size)

    def _answered(
        self,
        effect: Shorten,
        block: Block,
        *,
        note: str = "",
        charge: Charge | None = None,
        is_as_it_was: bool = False,
    ) -> Shortened:
        size = self.size(block)
        if self.held is not None and not is_as_it_was:
            self.held.answered(effect.thread, effect.items, text_to_shorten(block))
        return Shortened(
            at=effect.at,
            do=effect.do,
            items=effect.items,
            tokens=size.tokens,
            error_tokens=size.error_tokens,
            thread=effect.thread,
            text=self.texts.take_in(block),
            charge=charge,
            note=note,
        )


@dataclass(frozen=True, slots=True)
class _TextCounter:
    """A sizer as a counter of texts, which is what cuts texts to a limit."""

    size: Sizer
    name: str = "sizer"
    is_estimate: bool = True

    def __call__(self, text: str) -> int:
        return self.size.count_text(text)


def _never(_: str) -> bool:
    return False


def _is_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _failed(error: Exception) -> str:
    return f"the review failed: {type(error).__name__}: {error}"


def _placeholder(item: Item) -> str:
    what = " ".join(part for part in (item.tool, item.source) if part) or str(item.kind)
    return f"[cleared: {what}, {item.tokens} tokens; id {item.id}]"


def _stub(items: list[Item]) -> str:
    """Return one line that says what was done."""
    names = dict.fromkeys(
        " ".join(part for part in (item.tool or str(item.kind), item.source) if part)
        for item in items
        if item.kind is not Kind.TOOL_RESULT or item.tool
    )
    said = ", ".join(list(names)[:STUB_NAMES]) or "a step"
    more = f" and {len(names) - STUB_NAMES} more" if len(names) > STUB_NAMES else ""
    return f"[done: {said}{more}]"


def _charge(summary: Summary) -> Charge | None:
    if not summary.model:
        return None
    return Charge(
        model=summary.model,
        uncached_tokens=summary.uncached_tokens,
        cache_read_tokens=summary.cache_read_tokens,
        cache_write_tokens=summary.cache_write_tokens,
        output_tokens=summary.output_tokens,
    )
