"""Facts from a journal: what happened, fed through the engine again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from ctxbudget.config.policy_file import policy_from_data
from ctxbudget.config.run_setup import find_allocator
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import (
    BudgetExceededError,
    CtxBudgetError,
    JournalError,
    PolicyError,
    SourceError,
)
from ctxbudget.core.events import (
    Answered,
    Effect,
    Event,
    Fact,
    Review,
    Reviewed,
    RunStarted,
    Shortened,
)
from ctxbudget.session import Answer, Listener, Session


class UnansweredError(CtxBudgetError):
    """An effect was never answered: its fact was given up half way, then as now."""


class JournalSource:
    """Yields a journal's facts, and answers effects with the answers recorded among them.

    Recorded decisions are passed over: the engine takes them again. An effect whose answer a crash
    kept out of the journal, at its very end, goes to `beyond`, if that is given.
    """

    def __init__(
        self, events: Iterable[Event], path: str = "journal", beyond: Answer | None = None
    ) -> None:
        self._events = iter(events)
        self._path = path
        self._beyond = beyond
        self._next: Fact | None = None

    def facts(self) -> Iterator[Fact]:
        """Yield the facts that came from the world, in order."""
        while True:
            event = self._next or next(self._events, None)
            self._next = None
            if event is None:
                return
            if isinstance(event, Fact) and not isinstance(event, Answered):
                yield event

    def answer(self, effect: Effect) -> Answered:
        """Return the recorded answer to an effect, which comes next in the journal.

        What a crash left unanswered at the end is answered by `beyond`, if there is such.

        Raises:
            UnansweredError: it was asked then, but whoever was to answer it failed.
            JournalError: this effect was not asked then.
        """
        is_asked, is_over = False, True
        for event in self._events:
            if isinstance(event, Answered) and _answers(event, effect):
                return event
            is_asked = is_asked or event == effect
            if isinstance(event, Fact):
                is_over = False
                if not isinstance(event, Answered):
                    self._next = event
                break
        if is_over and self._beyond is not None:
            return self._beyond(effect)
        if is_asked:
            raise UnansweredError(f"at {effect.at:g} s an effect was not answered")
        asks = (
            f"for a review of rule {effect.rule!r}"
            if isinstance(effect, Review)
            else f"for {effect.do} of {', '.join(effect.items)}"
        )
        raise JournalError(
            f"at {effect.at:g} s the engine asks {asks}, which the journal does not answer; it was "
            "written under another policy or version",
            path=self._path,
        )


def _answers(answer: Answered, effect: Effect) -> bool:
    if isinstance(effect, Review):
        return isinstance(answer, Reviewed) and answer.rule == effect.rule
    return isinstance(answer, Shortened) and (answer.do, answer.items) == (effect.do, effect.items)


def replay(
    events: Iterable[Event], listeners: Sequence[Listener] = (), *, path: str = "journal"
) -> None:
    """Feed a journal's facts through the engine again, under the journal's own policy.

    The listeners hear the same events that the journal holds.

    Raises:
        JournalError: the journal does not begin with a run, or the engine asks for what it does
            not answer.
    """
    events = iter(events)
    first = next((event for event in events if isinstance(event, Fact)), None)
    if not isinstance(first, RunStarted):
        raise JournalError("the first event is not run_started", path=path)
    policy = policy_from_data(first.policy)
    engine = Engine(policy.policy, find_allocator)
    replay_into(engine, chain([first], events), listeners, path=path)


def replay_into(
    engine: Engine,
    events: Iterable[Event],
    listeners: Sequence[Listener],
    *,
    path: str = "journal",
    beyond: Answer | None = None,
) -> None:
    """Feed a journal's facts through an engine that has not begun; errors as `replay`.

    What the engine refused while the run went on it refuses again, and the replay goes on.
    """
    source = JournalSource(events, path, beyond)
    session = Session(engine, source.answer, listeners)
    for fact in source.facts():
        try:
            session.feed(fact)
        except JournalError:
            raise
        except (BudgetExceededError, PolicyError, SourceError, UnansweredError):
            continue
