"""Facts from a journal: what happened, fed through the engine again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from ctxbudget.config.policy_file import policy_from_data
from ctxbudget.config.run_setup import find_allocator
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import BudgetExceededError, JournalError, PolicyError, SourceError
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

    def facts(self) -> Iterator[Fact]:
        """Yield the facts that came from the world, in order."""
        for event in self._events:
            if isinstance(event, Fact) and not isinstance(event, Answered):
                yield event

    def answer(self, effect: Effect) -> Answered:
        """Return the recorded answer to an effect, which comes next in the journal.

        Raises:
            JournalError: this effect was not asked then.
        """
        for event in self._events:
            if isinstance(event, Answered):
                if _answers(event, effect):
                    return event
                break
            if isinstance(event, Fact):
                break
        else:
            if self._beyond is not None:
                return self._beyond(effect)
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
        except (BudgetExceededError, PolicyError, SourceError):
            continue
