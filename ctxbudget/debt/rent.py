"""Who paid most for being carried from call to call."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.core.types import Item
from ctxbudget.debt.as_recorded import AsRecorded
from ctxbudget.history import By, Rent


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRent:
    """An item, and what it took to carry it."""

    item: Item
    rent: Rent


@dataclass(frozen=True, slots=True, kw_only=True)
class Rents:
    """Rent by item and by what items have in common, dearest first.

    What the log does not show, such as the system prompt, is an item like any other. The costs of
    the items add up to the session's input cost, and so do those of each grouping.
    """

    items: tuple[ItemRent, ...]
    by_tool: tuple[Rent, ...]
    by_source: tuple[Rent, ...]
    by_kind: tuple[Rent, ...]


def rents_of(recorded: AsRecorded) -> Rents:
    """Return who paid most in a session."""
    items = {stay.item.id: stay.item for stay in reversed(recorded.stays)}
    return Rents(
        items=tuple(ItemRent(item=items[one.name], rent=one) for one in _dearest(recorded, "item")),
        by_tool=_dearest(recorded, "tool"),
        by_source=_dearest(recorded, "source"),
        by_kind=_dearest(recorded, "kind"),
    )


def _dearest(recorded: AsRecorded, by: By) -> tuple[Rent, ...]:
    found = recorded.history.rent(by)
    return tuple(sorted(found, key=lambda one: (-(one.cost_usd or Decimal(0)), -one.rent_tokens)))
