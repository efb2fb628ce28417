"""The bound that knows the future: each whole item stays exactly as long as it will be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from ctxbudget.core.events import AgentStarted, CallStarted, ItemAdded
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import MAIN, Do, Operation, Plan, Trigger
from ctxbudget.replay.recorded_run import CallName, RecordedRun

RULE = "clairvoyant"


class Clairvoyant:
    """A policy that takes each item out right after the last call that uses it.

    Every item is sent at least once. A reference or a quote is served by the latest item that
    held it in the recorded prompt, so that one of several copies stays. Pairs of call and result
    do not matter to it: it is no policy that could run.
    """

    def __init__(self, run: RecordedRun) -> None:
        self._due: dict[CallName, list[str]] = _due(run)

    def __call__(self, moment: Moment) -> Iterator[Plan]:
        """Yield what to drop before a call."""
        if moment.trigger is not Trigger.BEFORE_CALL:
            return
        store = moment.store
        names = self._due.pop((moment.thread, store.calls + 1), ())
        there = [name for name in names if name in store and not store[name].untouchable]
        if there:
            operations = tuple(Operation(do=Do.DROP, items=(name,)) for name in there)
            yield Plan(rule=RULE, reason="it is not used again", operations=operations)


def without_group(fact: ItemAdded) -> ItemAdded:
    """Return a fact whose item stands alone, so that a call can stay without its result."""
    return replace(fact, item=replace(fact.item, group=None))


def _due(run: RecordedRun) -> dict[CallName, list[str]]:
    """Return what leaves before each call."""
    needed = _needed(run)
    calls: defaultdict[str, int] = defaultdict(int)
    due: defaultdict[CallName, list[str]] = defaultdict(list)
    in_main: dict[str, None] = {}
    for fact in run.facts:
        if isinstance(fact, CallStarted):
            calls[fact.thread] += 1
        elif isinstance(fact, AgentStarted):
            for name in in_main:
                due[fact.thread, max(1, needed.get((fact.thread, name), 0)) + 1].append(name)
        elif isinstance(fact, ItemAdded):
            first = calls[fact.thread] + 1
            last = max(first, needed.get((fact.thread, fact.item.id), 0))
            due[fact.thread, last + 1].append(fact.item.id)
            if fact.thread == MAIN:
                in_main[fact.item.id] = None
    return dict(due)


def _needed(run: RecordedRun) -> dict[tuple[str, str], int]:
    """Return the last call of each thread that uses an item.

    What an agent uses of what it was handed has to stand in the main thread when it starts.
    """
    needed: defaultdict[tuple[str, str], int] = defaultdict(int)
    handed: defaultdict[str, set[str]] = defaultdict(set)
    for (thread, call), use in run.uses.items():
        for used in (*use.references, *use.quotes):
            name = used.holders[0]
            needed[thread, name] = max(needed[thread, name], call)
            handed[thread].add(name)
    main_calls = 0
    for fact in run.facts:
        if isinstance(fact, CallStarted) and fact.thread == MAIN:
            main_calls += 1
        elif isinstance(fact, AgentStarted):
            for name in handed[fact.thread]:
                needed[MAIN, name] = max(needed[MAIN, name], main_calls)
    return dict(needed)
