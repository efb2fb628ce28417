"""The engine's own last resort: make a prompt fit the hard limit, cheapest loss first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ctxbudget.core.store import Filter, Store
from ctxbudget.core.types import Do, Form, Kind, Layer, Operation, Plan

RULE = "fit"
"""The name under which these prunes are told."""

SLACK_FRAC = 0.05
"""A step aims this share of the hard limit below it, so that the next tool result does not call
for another one at once: each is a rewrite of the cache. A dearer step is not taken for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One kind of loss."""

    do: Do
    what: Filter
    reason: str


STEPS = (
    _Step(
        do=Do.DIGEST,
        what=Filter(kinds=(Kind.ARTIFACT,), forms=(Form.WHOLE,), ready=True),
        reason="outputs whose metadata can be had lose least",
    ),
    _Step(
        do=Do.CLEAR,
        what=Filter(kinds=(Kind.TOOL_RESULT,), forms=(Form.WHOLE, Form.SNIP, Form.DIGEST)),
        reason="tool results can be fetched again",
    ),
    _Step(
        do=Do.DROP,
        what=Filter(layers=(Layer.TRANSIENT,)),
        reason="full outputs and old turns die first",
    ),
    _Step(do=Do.DROP, what=Filter(layers=(Layer.PHASE,)), reason="phase-scoped items die next"),
    _Step(do=Do.DROP, what=Filter(), reason="nothing else is left to take"),
)
"""In order; within a step the oldest go first, whole groups at a time."""


def plans(store: Store, hard_limit_tokens: int) -> Iterator[Plan]:
    """Yield plans until the prompt fits; the caller carries out each before asking for the next.

    If they run out before it fits, what is left is untouchable.
    """
    target = hard_limit_tokens - int(hard_limit_tokens * SLACK_FRAC)
    for step in STEPS:
        if store.tokens <= hard_limit_tokens:
            return
        operations = tuple(_operations(store, step, store.tokens - target))
        if operations:
            yield Plan(rule=RULE, reason=step.reason, operations=operations, until_tokens=target)


def _operations(store: Store, step: _Step, need_tokens: int) -> Iterator[Operation]:
    """Yield the oldest first, until what they hold covers the need.

    What stand-ins hold is not known here, so clearing takes all candidates and relies on the
    plan's target to stop; dropping leaves nothing and can stop by itself.
    """
    taken_tokens, seen = 0, set[str]()
    for entry in store.matching(step.what):
        if step.do is not Do.DROP:
            yield Operation(do=step.do, items=(entry.item.id,))
            continue
        group = tuple(one.item for one in store.leaving_with(entry.item.id))
        if not group or entry.item.id in seen:
            continue
        seen.update(item.id for item in group)
        yield Operation(do=step.do, items=tuple(item.id for item in group))
        taken_tokens += sum(item.tokens for item in group)
        if taken_tokens >= need_tokens:
            return
