"""What an operation may do: the contract that every policy is held to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from ctxbudget.core.store import Store
from ctxbudget.core.types import NEEDS_WHOLE_GROUPS, ONE_AT_A_TIME, Do, Operation


def problem(
    operation: Operation, store: Store, leaving: AbstractSet[str], *, is_fit: bool
) -> str | None:
    """Return what is wrong with an operation, or None.

    `leaving` is what earlier operations of the same plan take. The engine's own fit (`is_fit`)
    may take what no call has carried yet.
    """
    items = operation.items
    if not items and not operation.reads:
        return "an operation names no item; name at least one"
    if operation.do in ONE_AT_A_TIME and len(items) != 1:
        return f"{operation.do} takes one item at a time"
    for name in (*items, *operation.reads):
        if name not in store:
            return f"item {name!r} is not in the prompt"
    if len(set(items)) < len(items) or not leaving.isdisjoint(items):
        return "an item would leave twice; name each once"
    found = (_item_problem(operation, name, store, is_fit=is_fit) for name in items)
    return next((one for one in found if one is not None), None)


def _item_problem(operation: Operation, name: str, store: Store, *, is_fit: bool) -> str | None:
    entry = store.entry(name)
    if entry.item.untouchable:
        return f"item {name!r} is pinned or permanent and may not be touched"
    is_snip = operation.do is Do.SNIP and not entry.is_returned(store.calls)
    if entry.is_fresh(store.calls) and not is_snip and not is_fit:
        return f"item {name!r} may not go before one call has carried it"
    if operation.do in NEEDS_WHOLE_GROUPS:
        group = {member.item.id for member in store.leaving_with(name)}
        if not group or not group.issubset(operation.items):
            return (
                f"item {name!r} would leave without the rest of its group, or while its tool call "
                "waits for the result; take whole groups"
            )
    return None
