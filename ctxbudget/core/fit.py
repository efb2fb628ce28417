"""The engine's own last resort: make a prompt fit the hard limit, cheapest loss first."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ctxbudget.core.thread import Thread
from ctxbudget.core.types import LONGER_FORMS, Do, Form, Kind, Layer, Operation, Plan
from ctxbudget.core.watch import Entry, Filter

RULE = "fit"
"""The name under which these prunes are told."""

LEAST_ROOM_FRAC, MOST_ROOM_FRAC = 0.05, 0.3
"""A step aims below the hard limit, so that the next calls do not ask for another one at once:
each is a rewrite of the cache. A dearer step is not taken for that."""

OVERSIZED_FRAC = 0.25
"""Of the hard limit: what stays of a result that alone is larger than it."""

LEAST_SNIP_TOKENS = 200
"""Below, head and tail say too little to be worth their place."""

CALLS_AHEAD = 10
"""The room is for so many calls of the present growth, and for one large tool result, within the
two shares of the hard limit above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One kind of loss."""

    do: Do
    what: Filter
    reason: str
    unseen: bool = False
    """Takes what the model has not seen yet, which all other steps leave."""
    oversized: bool = False
    """Takes only what alone is larger than the hard limit, seen or not."""


RESULTS = Filter(kinds=(Kind.TOOL_RESULT,), forms=LONGER_FORMS[Do.CLEAR])

STEPS = (
    _Step(
        do=Do.SNIP,
        what=Filter(kinds=(Kind.TOOL_RESULT,), forms=(Form.WHOLE,)),
        reason="one result alone is larger than the hard limit; head and tail stay",
        oversized=True,
    ),
    _Step(
        do=Do.DIGEST,
        what=Filter(kinds=(Kind.ARTIFACT,), forms=(Form.WHOLE,), ready=True),
        reason="outputs whose metadata can be had lose least",
    ),
    _Step(
        do=Do.CLEAR,
        what=RESULTS,
        reason="tool results can be fetched again",
    ),
    _Step(
        do=Do.DROP,
        what=Filter(layers=(Layer.TRANSIENT,)),
        reason="full outputs and old turns die first",
    ),
    _Step(do=Do.DROP, what=Filter(layers=(Layer.PHASE,)), reason="phase-scoped items die next"),
    _Step(do=Do.DROP, what=Filter(), reason="nothing older is left to take"),
    _Step(
        do=Do.SNIP,
        what=Filter(kinds=(Kind.TOOL_RESULT,), forms=(Form.WHOLE,)),
        reason="all else has gone; the newest results keep head and tail",
        unseen=True,
    ),
    _Step(do=Do.CLEAR, what=RESULTS, reason="not even their heads and tails fit", unseen=True),
    _Step(do=Do.DROP, what=Filter(), reason="nothing else is left to take", unseen=True),
)
"""In order; within a step the oldest go first, whole groups at a time."""


def room_tokens(thread: Thread, hard_limit_tokens: int) -> int:
    """Return the room that a step leaves below the hard limit, from the growth seen so far."""
    growth = thread.growth
    wanted = max(growth.next_result_tokens, int(CALLS_AHEAD * growth.per_call_tokens))
    least, most = (int(hard_limit_tokens * frac) for frac in (LEAST_ROOM_FRAC, MOST_ROOM_FRAC))
    return min(max(wanted, least), most)


def plans(
    thread: Thread, hard_limit_tokens: int, keep: AbstractSet[str] = frozenset()
) -> Iterator[Plan]:
    """Yield plans until the prompt fits; the caller carries out each before asking for the next.

    `keep` names items that are not taken. If the plans run out before the prompt fits, what is
    left may not be touched.
    """
    target = hard_limit_tokens - room_tokens(thread, hard_limit_tokens)
    for step in STEPS:
        while (occupancy := thread.occupancy_tokens) > hard_limit_tokens:
            there = len(thread.store)
            operations = tuple(_operations(thread, step, occupancy - target, keep))
            if operations:
                yield Plan(
                    rule=RULE, reason=step.reason, operations=operations, until_tokens=target
                )
            if step.do is not Do.DROP or len(thread.store) == there:
                break  # dropping may gain less than it takes out, where counts are uncertain


def _operations(
    thread: Thread, step: _Step, need_tokens: int, keep: AbstractSet[str]
) -> Iterator[Operation]:
    """Yield the oldest first, until what they hold covers the need.

    What stand-ins hold is not known here, so clearing takes all candidates and relies on the
    plan's target to stop; dropping leaves nothing and can stop by itself.
    """
    if step.do is Do.DROP:
        yield from _drops(thread, step, need_tokens, keep)
        return
    limit = thread.scale.hard_limit_tokens
    for entry in thread.store.matching(step.what):
        item = entry.item
        is_asked = item.tokens > limit if step.oversized else _may_take(entry, step, thread)
        if item.id in keep or not is_asked:
            continue
        left = None
        if step.do is Do.SNIP:
            room = int(limit * OVERSIZED_FRAC) if step.oversized else item.tokens - need_tokens
            left = max(LEAST_SNIP_TOKENS, room)
        yield Operation(do=step.do, items=(item.id,), limit_tokens=left)


def _drops(
    thread: Thread, step: _Step, need_tokens: int, keep: AbstractSet[str]
) -> Iterator[Operation]:
    """Yield whole groups, the oldest first, until what they hold covers the need."""
    taken_tokens, seen = 0, set[str](keep)
    for entry in thread.store.matching(step.what):
        if entry.item.id in seen:
            continue
        group = thread.store.leaving_with(entry.item.id)
        may_go = all(one.item.id not in keep and _may_take(one, step, thread) for one in group)
        if not group or not may_go:
            continue
        seen.update(one.item.id for one in group)
        yield Operation(do=step.do, items=tuple(one.item.id for one in group))
        taken_tokens += sum(one.item.tokens for one in group)
        if taken_tokens >= need_tokens:
            return


def _may_take(entry: Entry, step: _Step, thread: Thread) -> bool:
    return step.unseen or not _is_unseen(entry, thread)


def _is_unseen(entry: Entry, thread: Thread) -> bool:
    """Return True for what no call has carried to the model.

    Before the first call that was answered this says nothing: all would be unseen.
    """
    seen_calls = thread.store.calls - thread.is_refused
    if seen_calls <= 0:
        return False
    return any(entry.is_fresh(calls) for calls in range(seen_calls, thread.store.calls + 1))
