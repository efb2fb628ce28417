"""How new the prices of a run are."""

from __future__ import annotations


def price_date_if(is_priced: bool) -> str | None:
    """Return how new the prices are; None where there are none, and then no price list is read."""
    if not is_priced:
        return None
    from ctxbudget.providers.prices import price_date

    return price_date()
