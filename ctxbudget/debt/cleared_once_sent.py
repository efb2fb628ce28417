"""A policy that knows which results were not worth keeping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ctxbudget.config.policy_file import LoadedPolicy
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Do, Operation, Plan, Trigger
from ctxbudget.debt.as_recorded import Stay


class ClearedOnceSent:
    """Takes certain items out right after the first call that carried them.

    A tool's result cannot leave without its call, so a placeholder stays in its place; what stands
    alone is dropped. It could not run live: which items these are is known only in the end.
    """

    def __init__(self, stays: Iterable[Stay]) -> None:
        self._due: defaultdict[int, list[str]] = defaultdict(list)
        for stay in stays:
            self._due[stay.first_call + 1].append(stay.item.id)

    def __call__(self, moment: Moment) -> Iterator[Plan]:
        """Yield what to take out before a call."""
        if moment.trigger is not Trigger.BEFORE_CALL:
            return
        store = moment.store
        names = [name for name in self._due.get(store.calls + 1, ()) if name in store]
        operations = tuple(
            Operation(do=Do.DROP if len(store.group_of(name)) == 1 else Do.CLEAR, items=(name,))
            for name in names
            if not store[name].untouchable
        )
        if operations:
            yield Plan(rule=NAME, reason="it was not worth keeping", operations=operations)


NAME = "clear-once-sent"


def cleared_once_sent(stays: Iterable[Stay]) -> LoadedPolicy:
    """Return the policy for certain items, ready for a replay."""
    return LoadedPolicy(name=NAME, policy=ClearedOnceSent(stays), as_data={}, label=NAME)
