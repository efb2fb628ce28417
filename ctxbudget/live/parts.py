"""What a live run is made of, synchronous or not: engine, source, texts, listeners, renderings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

from ctxbudget.config.policy_file import policy_from_data
from ctxbudget.config.run_setup import RunSetup, find_allocator
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import JournalError, ThrashError
from ctxbudget.core.events import Event, RunClosed, RunStarted, Shortened, Thrashing, ThreadClosed
from ctxbudget.core.store import Store
from ctxbudget.core.thread import Thread
from ctxbudget.core.types import Item
from ctxbudget.counting.counters import Counter
from ctxbudget.history import History
from ctxbudget.journal import Fsync, JournalWriter, open_journal, resume_journal
from ctxbudget.live.held import Held
from ctxbudget.live.pieces import text_to_shorten
from ctxbudget.live.prompt import CacheMarks, Prompt
from ctxbudget.live.rendering import BEHIND_HEAD, Rendering
from ctxbudget.live.setup import Clock
from ctxbudget.live.shortening import ReviewHook, Shortener, Summarize
from ctxbudget.live.sizing import Sizer, sizer_for
from ctxbudget.live.texts import Redact, Texts
from ctxbudget.live.uses import Uses, words_of
from ctxbudget.metrics import Metrics
from ctxbudget.providers.models import claude_name
from ctxbudget.recall import Library
from ctxbudget.redact import redact, redact_value
from ctxbudget.session import Listener
from ctxbudget.sources.journal import replay_into
from ctxbudget.sources.live import Facts, LiveSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is given beside its plan."""

    model: str = ""
    counter: str | Counter | None = None
    journal: str | PathLike[str] | None = None
    fsync: Fsync = Fsync.PHASE
    keeps_texts: bool = True
    """Whether the journal holds texts; without, a run cannot be taken up again."""
    listeners: Sequence[Listener] = ()
    summarize: Summarize | None = None
    review: ReviewHook | None = None
    redact: Callable[[str], str] | None = redact
    """Takes out what must not be written down or summarized."""
    marks: CacheMarks | None = None
    clock: Clock


@dataclass(slots=True)
class Watchman:
    """A listener that keeps what the caller should be told at once."""

    thrashing: Thrashing | None = None
    notes: list[str] = field(default_factory=list)
    is_finished: bool = False

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, Thrashing):
            self.thrashing = event
        elif isinstance(event, RunClosed):
            self.is_finished = True
        elif isinstance(event, Shortened) and event.note:
            self.notes.append(event.note)

    def not_counted(self, error: Exception) -> None:
        """Note that the provider would not count a prompt."""
        self.notes.append(f"the prompt could not be counted, so its size is estimated: {error}")

    def alarm(self, engine: Engine) -> None:
        """Raise what was found.

        Raises:
            ThrashError: the prompt is compacted again and again.
        """
        found, self.thrashing = self.thrashing, None
        if found is not None:
            thread = engine.state.known_thread(found.thread, found.at)
            raise ThrashError(
                thread=found.thread,
                item=found.item,
                tokens=found.tokens,
                limit_tokens=thread.scale.hard_limit_tokens,
            )


@dataclass(slots=True)
class Again:
    """A listener that hears a journal's events again, and writes only what comes behind them.

    What the engine decided when a crash came between a fact and its consequences is written now.

    Raises:
        JournalError: the engine decides otherwise than it did.
    """

    events: Sequence[Event]
    writer: JournalWriter
    path: str
    _heard: int = 0

    def __call__(self, event: Event) -> None:
        """Compare an event with the journal's, or write it."""
        number = self._heard
        self._heard += 1
        if number >= len(self.events):
            self.writer(event)
        elif event != self.events[number]:
            raise JournalError(
                f"the run cannot be taken up: event {number + 1} was "
                f"{str(self.events[number])[:80]}, and is now {str(event)[:80]}; it was written by "
                "another version of the program or of the policy",
                path=self.path,
            )


@dataclass(slots=True)
class Parts:
    """A live run, put together."""

    start: RunStarted
    options: Options
    setup: RunSetup | None = None
    """Of a run that was begun here, not taken up from a journal."""
    engine: Engine = field(init=False)
    sizer: Sizer = field(init=False)
    texts: Texts = field(init=False)
    library: Library = field(init=False, default_factory=Library)
    """Identifiers and lines of the items; empty unless the policy asks for uses."""
    uses: Uses | None = field(init=False)
    held: Held = field(init=False)
    source: LiveSource = field(init=False)
    shortener: Shortener = field(init=False)
    watchman: Watchman = field(default_factory=Watchman)
    metrics: Metrics = field(default_factory=Metrics)
    history: History = field(default_factory=History)
    writer: JournalWriter | None = None
    again: Again | None = None
    """Of a run that was taken up: the journal's events, which are not written again."""
    _renderings: dict[str, Rendering] = field(default_factory=dict)
    _tails: dict[str, int] = field(default_factory=dict)
    _fresh: dict[str, int] = field(default_factory=dict)
    """The first message that changed since the last prompt that was sent, if it was looked at."""

    def __post_init__(self) -> None:
        options = self.options
        self.engine = Engine(policy_from_data(self.start.policy).policy, find_allocator)
        self.sizer = sizer_for(options.model, options.counter)
        self.texts = Texts(
            _on_values(options.redact),
            is_written=options.journal is not None and options.keeps_texts,
        )
        self.uses = Uses(self.texts, self.library) if self.start.tells_uses else None
        self.source = LiveSource(options.clock, self.sizer, self.texts, self.uses)
        self.held = Held(self.library, self._words_of, self._store_of)
        self.shortener = Shortener(
            self.texts,
            self.sizer,
            self._store_of,
            held=self.held,
            summarize=options.summarize,
            review=options.review,
            redact=options.redact or str,
        )

    def listeners(self) -> tuple[Listener, ...]:
        """Return who hears the run: first what must not miss anything, last the caller's own."""
        own: tuple[Listener, ...] = (
            self.texts,
            *((self.uses,) if self.uses else ()),
            self.held,
            self.source,
            self.metrics,
            self.history,
            self.watchman,
            self._forget,
        )
        journal = self.again or self.writer
        return (*((journal,) if journal else ()), *own, *self.options.listeners)

    def open_journal(self) -> None:
        """Begin the journal, if there is to be one.

        Raises:
            JournalError: it cannot be written, or is there already.
        """
        if self.options.journal is not None:
            self.writer = open_journal(
                self.options.journal,
                fsync=self.options.fsync,
                content_of=self.texts.content_of if self.options.keeps_texts else None,
            )

    def close(self) -> None:
        """Close the journal, if there is one."""
        if self.writer is not None:
            self.writer.close()

    def first_fact(self) -> Facts[None]:
        """Yield the fact that begins the run."""
        yield self.start

    # ---- reading

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended."""
        return self.watchman.is_finished

    def thread(self, name: str) -> Thread:
        """Return an open thread.

        Raises:
            SourceError: it is not open.
        """
        return self.engine.state.known_thread(name, self.source.now())

    def _store_of(self, thread: str) -> Store:
        return self.thread(thread).store

    def _words_of(self, thread: str, item: Item) -> tuple[str, ...] | None:
        block = self.texts.find(thread, item.id, item.version)
        return None if block is None else words_of(item.kind, block)

    def _forget(self, event: Event) -> None:
        """Let go of what belongs to a thread that has ended."""
        if isinstance(event, ThreadClosed):
            self._renderings.pop(event.thread, None)
            self._tails.pop(event.thread, None)

    def peek(self, name: str) -> Prompt:
        """Return a thread's prompt as it stands, to be counted, not to be sent."""
        return self._prompt(name, is_sent=False)

    def prompt(self, name: str) -> Prompt:
        """Return a thread's prompt as it stands."""
        return self._prompt(name, is_sent=True)

    def _prompt(self, name: str, *, is_sent: bool) -> Prompt:
        thread = self.thread(name)
        rendering = self._renderings.setdefault(name, Rendering(name, self.texts))
        rendering.update(thread.store)
        last = len(rendering.messages) - 1
        fresh = min(rendering.fresh_from, self._fresh.pop(name, last + 1))
        marked = {self._tails.get(name, last), last, fresh - 1}
        if is_sent:
            self._tails[name] = last
        else:
            self._fresh[name] = fresh
        return Prompt(
            thread=name,
            call=thread.store.calls,
            model=thread.model,
            tokens=thread.occupancy_tokens,
            limit_tokens=thread.scale.hard_limit_tokens,
            tools=rendering.tools,
            system=rendering.system,
            messages=tuple(rendering.messages),
            marked_messages=tuple(sorted(one for one in marked if 0 <= one <= last)),
            marks_head=thread.store.tokens_before(BEHIND_HEAD) >= self._least_cached(thread),
            marks=self._marks(thread),
        )

    def _marks(self, thread: Thread) -> CacheMarks | None:
        """Return the cache marks to set: none where the model has none, or would ignore them."""
        if self.options.marks is None or claude_name(thread.model or self.options.model) is None:
            return None
        is_long = thread.store.tokens >= self._least_cached(thread)
        return self.options.marks if is_long else None

    def _least_cached(self, thread: Thread) -> int:
        return self.engine.state.cache(thread).min_tokens


def take_up(options: Options) -> tuple[Parts, str | None]:
    """Return a run as its journal left it, and what a crash had cut off.

    Raises:
        JournalError: the journal cannot be read, or holds no texts.
    """
    path = options.journal
    if path is None:
        raise JournalError("no journal was named; say which to resume", path="journal")
    texts = _Later()
    resumed = resume_journal(
        path, fsync=options.fsync, content_of=texts if options.keeps_texts else None
    )
    try:
        events = resumed.events
        if not events or not isinstance(events[0], RunStarted):
            raise JournalError("holds no run to resume; begin a new one", path=str(path))
        _check_texts(events, resumed.texts, str(path))
        parts = Parts(events[0], replace(options, model=options.model or events[0].model))
        parts.texts.know(resumed.texts)
        texts.texts = parts.texts
        parts.writer = resumed.writer
        parts.again = Again(events, resumed.writer, str(path))
        replay_into(
            parts.engine,
            events,
            (*parts.listeners(), _Answers(parts.held, resumed.texts)),
            path=str(path),
            beyond=parts.shortener.answer,
        )
        parts.watchman.thrashing = None
    except BaseException:
        resumed.writer.close()
        raise
    return parts, resumed.dropped


def _check_texts(events: Sequence[Event], texts: Mapping[str, Any], path: str) -> None:
    named = (getattr(event, "text", None) for event in events)
    if any(text is not None and text not in texts for text in named):
        raise JournalError(
            "holds no texts, so the run cannot go on; begin a new one, with `keeps_texts`",
            path=path,
        )


@dataclass(frozen=True, slots=True)
class _Answers:
    """A listener that tells of the shorter forms that a journal holds: they are not made again.

    It matters where a crash came before a plan was settled: the rest of its forms are made now.
    """

    held: Held
    texts: Mapping[str, Any]

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if not isinstance(event, Shortened) or event.text not in self.texts:
            return
        block = self.texts[event.text or ""]
        self.held.answered(event.thread, event.items, text_to_shorten(block))


@dataclass(slots=True)
class _Later:
    """The contents of texts, once the texts are there."""

    texts: Texts | None = None

    def __call__(self, text: str) -> Any:
        if self.texts is None:
            raise LookupError(text)
        return self.texts.content_of(text)


def _on_values(given: Callable[[str], str] | None) -> Redact | None:
    """Return what redacts JSON values with a function for texts."""
    if given is None or given is redact:
        return None if given is None else redact_value

    def redacted(value: Any) -> Any:
        if isinstance(value, str):
            return given(value)
        if isinstance(value, dict):
            return {key: redacted(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [redacted(one) for one in value]
        return value

    return redacted
