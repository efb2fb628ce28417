"""A run as it was recorded: its facts, its texts, what each call used, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import (
    Answered,
    CallAnswered,
    CallSent,
    CallStarted,
    Event,
    Fact,
    Injected,
    ItemAdded,
    ItemTouched,
    PromptCounted,
    Pruned,
    Registered,
    Rejected,
    RestoreAsked,
    Restored,
    RunStarted,
    Seeded,
    Shorten,
    Shortened,
    ThreadClosed,
    UndoAsked,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Form, Item, Kind, Price
from ctxbudget.journal import TextLine
from ctxbudget.live.pieces import text_to_shorten
from ctxbudget.live.uses import WRITTEN, words_of
from ctxbudget.recall import Library, Use
from ctxbudget.recorded.price_book import PriceOf
from ctxbudget.replay.shorter_forms import RecordedSizes

OURS = Answered | CallAnswered | PromptCounted | Rejected | RestoreAsked | UndoAsked
"""Facts that came about under the recorded policy: another one would not have brought them."""

CallName: TypeAlias = tuple[str, int]
"""A thread and the number of its call."""


@dataclass(slots=True, kw_only=True)
class RecordedRun:
    """All that a what-if needs of a run.

    Attributes:
        start: its first fact.
        facts: those that hold under any policy, the first one included.
        contents: texts by hash; empty if the journal holds none.
        uses: what each call went on to use, where texts are known.
        wrote: the items that each call wrote.
        answers: what the provider said of each call, where it did.
        sizes: of the shorter forms that the recorded policy asked for.
        library: the texts' identifiers and lines, shared by all policies.
        cost_usd: input cost of the `reported_calls`, whose usage is known; None if a price is not.
        output_usd: their output's.
    """

    start: RunStarted
    facts: list[Fact] = field(default_factory=list)
    contents: Mapping[str, Any] = field(default_factory=dict)
    uses: dict[CallName, Use] = field(default_factory=dict)
    wrote: dict[CallName, tuple[str, ...]] = field(default_factory=dict)
    answers: dict[CallName, CallAnswered] = field(default_factory=dict)
    sizes: RecordedSizes = field(default_factory=RecordedSizes)
    library: Library = field(default_factory=Library)
    cost_usd: Decimal | None = Decimal(0)
    output_usd: Decimal | None = Decimal(0)
    calls: int = 0
    reported_calls: int = 0

    @property
    def has_texts(self) -> bool:
        """Whether shorter forms can be made from the real texts, and recall be measured."""
        return bool(self.contents)

    def words_of(self, kind: Kind, content: str | None) -> tuple[str, ...] | None:
        """Return a content's texts as recall reads them; None if the content is not known."""
        block = self.contents.get(content or "")
        return None if block is None else words_of(kind, block)

    def text_of(self, content: str | None) -> str | None:
        """Return a content's text as it is read and shortened; None if it is not known."""
        block = self.contents.get(content or "")
        return None if block is None else text_to_shorten(block)


def recorded_run(
    records: Iterable[Event | TextLine],
    path: str = "journal",
    price_of: PriceOf | None = None,
) -> RecordedRun:
    """Return a run from the records of its journal.

    What was recorded is priced by `price_of`, at the date of each call, or else by the prices of
    the run's first fact.

    Raises:
        JournalError: the journal does not begin with a run.
    """
    reader: _Reader | None = None
    contents: dict[str, Any] = {}
    for record in records:
        if isinstance(record, TextLine):
            contents[record.hash] = record.content
            continue
        if reader is None:
            if not isinstance(record, RunStarted):
                raise JournalError("the first event is not run_started", path=path)
            run = RecordedRun(start=record, contents=contents)
            reader = _Reader(run, price_of or _prices_of(record))
        reader.take(record)
    if reader is None:
        raise JournalError("holds no run; name a journal that does", path=path)
    return reader.finished()


def _prices_of(start: RunStarted) -> PriceOf:
    def price(model: str, at_s: float | None) -> Price | None:
        return start.prices.get(model)

    return price


@dataclass(slots=True)
class _Call:
    """A call that was sent, while what the model wrote is still coming in."""

    number: int
    held: frozenset[str]
    said: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """Follows a run's events: whose prompt held what when each call was made."""

    run: RecordedRun
    _price: PriceOf
    _present: dict[str, dict[str, None]] = field(default_factory=dict)
    """The items that stand in each thread's prompt as a whole."""
    _open: dict[str, _Call] = field(default_factory=dict)
    _begun: dict[str, int] = field(default_factory=dict)
    """Where each thread's latest call stands in the facts, until it is answered."""
    _unsent: set[str] = field(default_factory=set)
    """Threads whose latest call was begun and not sent."""
    _dropped: set[int] = field(default_factory=set)
    """Places of calls that the engine or the provider refused: nothing was paid for them."""
    _calls: Counter[str] = field(default_factory=Counter)
    _model: dict[str, str] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Fact) and not isinstance(event, OURS):
            if isinstance(event, CallStarted):
                self._begin(event)
            self.run.facts.append(_as_counted(event))
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    def finished(self) -> RecordedRun:
        for thread in list(self._open):
            self._close(thread)
        self._dropped.update(self._begun[thread] for thread in self._unsent)
        self.run.facts = [
            fact for place, fact in enumerate(self.run.facts) if place not in self._dropped
        ]
        if not self.run.reported_calls:
            self.run.cost_usd = self.run.output_usd = None
        return self.run

    def _begin(self, event: CallStarted) -> None:
        """Note that a call is begun; one before it that was not sent was refused by the engine."""
        thread = event.thread
        touched = self._use(thread)
        if touched and not self.run.start.tells_uses:
            self.run.facts.append(ItemTouched(at=event.at, items=touched, thread=thread))
        if thread in self._unsent:
            self._dropped.add(self._begun[thread])
        self._begun[thread] = len(self.run.facts)
        self._unsent.add(thread)

    def _rejected(self, event: Rejected) -> None:
        """Forget a call that the provider refused."""
        if self._open.pop(event.thread, None) is not None:
            self._dropped.add(self._begun[event.thread])
            self._calls[event.thread] -= 1
            self.run.calls -= 1

    def _here(self, thread: str) -> dict[str, None]:
        return self._present.setdefault(thread, {})

    def _added(self, event: ItemAdded) -> None:
        self._here(event.thread)[event.item.id] = None
        said = self._keep_words(event.item, event.text)
        call = self._open.get(event.thread)
        if call is not None and event.item.kind in WRITTEN:
            call.wrote.append(event.item.id)
            call.said += said  # thinking has no words

    def _registered(self, event: Registered) -> None:
        self._keep_words(event.item, event.text)

    def _injected(self, event: Injected) -> None:
        self._here(event.thread)[event.item.id] = None

    def _seeded(self, event: Seeded) -> None:
        main = self._here(MAIN)
        names = (name for name, _ in event.items if name in main)
        self._here(event.thread).update(dict.fromkeys(names))

    def _went(self, event: Pruned | Withdrawn) -> None:
        for name in event.items:
            self._here(event.thread).pop(name, None)

    def _restored(self, event: Restored) -> None:
        whole = (item.id for item in event.items if item.form is Form.WHOLE)
        self._here(event.thread).update(dict.fromkeys(whole))

    def _sized(self, event: Shorten | Shortened) -> None:
        self.run.sizes(event)

    def _closed(self, event: ThreadClosed) -> None:
        self._close(event.thread)

    def _keep_words(self, item: Item, text: str | None) -> tuple[str, ...]:
        """Index an item's text; return its words as recall reads them."""
        said = self.run.words_of(item.kind, text)
        if said is None:
            return ()
        self.run.library.add(item.id, said)
        return said

    def _sent(self, event: CallSent) -> None:
        self.run.calls += 1
        self._calls[event.thread] += 1
        self._unsent.discard(event.thread)
        self._model[event.thread] = event.model
        number = self._calls[event.thread]
        self._open[event.thread] = _Call(number, frozenset(self._here(event.thread)))

    def _answered(self, event: CallAnswered) -> None:
        run = self.run
        run.reported_calls += 1
        run.answers[event.thread, self._calls[event.thread]] = event
        price = self._price(event.model or self._model.get(event.thread, ""), event.at)
        if price is None or run.cost_usd is None or run.output_usd is None:
            run.cost_usd = run.output_usd = None
            return
        prompt = {
            "uncached_tokens": event.uncached_tokens,
            "cache_read_tokens": event.cache_read_tokens,
            "cache_write_5m_tokens": event.cache_write_tokens - event.cache_write_1h_tokens,
            "cache_write_1h_tokens": event.cache_write_1h_tokens,
        }
        input_usd = price.cost_usd(**prompt)
        run.cost_usd += input_usd
        run.output_usd += price.cost_usd(**prompt, output_tokens=event.output_tokens) - input_usd

    def _use(self, thread: str) -> tuple[str, ...]:
        """Note what the last call of a thread used, now that all it wrote is known.

        Return the items that served it, the latest holder of each thing used.
        """
        call = self._open.pop(thread, None)
        if call is None:
            return ()
        if call.wrote:
            self.run.wrote[thread, call.number] = tuple(call.wrote)
        if not call.said:
            return ()
        use = self.run.uses[thread, call.number] = self.run.library.output(
            call.number, call.said, call.held.__contains__, thread
        )
        used = (one.holders[0] for one in (*use.references, *use.quotes))
        return tuple(dict.fromkeys(used))

    def _close(self, thread: str) -> None:
        self._use(thread)
        self._present.pop(thread, None)


def _as_counted(fact: Fact) -> Fact:
    """Return a fact whose item has no error bound: without reports, bounds would only add up."""
    if isinstance(fact, ItemAdded | Registered):
        return replace(fact, item=replace(fact.item, error_tokens=0))
    return fact


_NOTES: dict[type, Callable[[_Reader, Any], None]] = {
    ItemAdded: _Reader._added,
    Registered: _Reader._registered,
    Injected: _Reader._injected,
    Seeded: _Reader._seeded,
    Pruned: _Reader._went,
    Withdrawn: _Reader._went,
    Rejected: _Reader._rejected,
    Restored: _Reader._restored,
    CallSent: _Reader._sent,
    CallAnswered: _Reader._answered,
    Shorten: _Reader._sized,
    Shortened: _Reader._sized,
    ThreadClosed: _Reader._closed,
}
"""What each event says of the recorded prompts."""
