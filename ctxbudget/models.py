"""What is known of models: their windows."""

from __future__ import annotations


def window_tokens(model: str) -> int | None:
    """Return a model's context window in tokens, or None if it is not known.

    Source: the price and model data of `genai-prices`. A `[1m]` suffix and a `provider/` prefix
    are understood.
    """
    from genai_prices.data_snapshot import get_snapshot

    if model.endswith("[1m]"):
        return 1_000_000
    _, _, name = model.rpartition("/")
    try:
        _, found = get_snapshot().find_provider_model(name, None, None, None)
    except LookupError:
        return None
    return found.context_window
