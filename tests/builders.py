"""Short ways to say the values that several test files need."""

from __future__ import annotations

from typing import Any

from ctxbudget.core.events import Phase
from ctxbudget.core.types import Item, Kind


def item(name: str, tokens: int = 10, **more: Any) -> Item:
    """Return an item; unless said otherwise, something that the assistant wrote."""
    fields: dict[str, Any] = {"kind": Kind.ASSISTANT} | more
    return Item(id=name, tokens=tokens, **fields)


def phases(**after: str) -> tuple[Phase, ...]:
    """Return phases in the order given, each after those named, separated by spaces."""
    return tuple(Phase(id=name, after=tuple(needs.split())) for name, needs in after.items())
