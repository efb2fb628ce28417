"""What the provider's cache did that the cache model cannot know from the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ctxbudget.core.cache import is_loss
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Answered,
    CacheFound,
    CacheLost,
    CallAnswered,
    CallSent,
    CallStarted,
    Effect,
    Event,
    Fact,
    RunStarted,
)
from ctxbudget.core.policy import RulePolicy
from ctxbudget.replay.recorded_run import CallName, RecordedRun
from ctxbudget.session import Session


def add_cache_facts(run: RecordedRun) -> None:
    """Put into a run's facts where the provider's cache was not as the model says.

    Where a warm cache was read below half, it is lost; where a cold one was read, others had kept
    it. Both come from the world, so they are the same for every policy. The run must be one whose
    recorded prompts were not made by us: its facts alone must give them.
    """
    expected = modelled_calls(run)
    run.facts = list(_with_facts(run, expected))


def _with_facts(run: RecordedRun, expected: dict[CallName, CallSent]) -> Iterator[Fact]:
    calls: Counter[str] = Counter()
    for fact in run.facts:
        if isinstance(fact, CallStarted):
            calls[fact.thread] += 1
            name = (fact.thread, calls[fact.thread])
            answer, sent = run.answers.get(name), expected.get(name)
            if answer is not None and sent is not None:
                yield from _difference(answer, sent, fact)
        yield fact


def _difference(answer: CallAnswered, sent: CallSent, call: CallStarted) -> Iterator[Fact]:
    should, did = sent.cache_read_tokens, answer.cache_read_tokens
    if is_loss(should, did):
        yield CacheLost(at=call.at, kept_tokens=did, thread=call.thread)
    elif did and not should:
        yield CacheFound(at=call.at, tokens=did, thread=call.thread)


def modelled_calls(run: RecordedRun) -> dict[CallName, CallSent]:
    """Return the calls as the cache model has them, if nothing is pruned and no limit holds."""
    found: dict[CallName, CallSent] = {}

    def note(event: Event) -> None:
        if isinstance(event, CallSent):
            found[event.thread, event.call] = event

    engine = Engine(RulePolicy(name="none", rules=()))
    session = Session(engine, _nobody_answers, [note])
    for fact in run.facts:
        session.feed(replace(fact, holds_limit=False) if isinstance(fact, RunStarted) else fact)
    return found


def _nobody_answers(effect: Effect) -> Answered:
    raise SourceError(f"nothing is pruned here, so nobody asks for {effect}")
