"""mini-swe-agent's trajectories: one JSON document, with each provider's answer as it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ctxbudget.recorded.answers import split_of
from ctxbudget.recorded.usage import (
    DamagedUsageError,
    RecordedFile,
    UsageRow,
    mapping,
    seconds,
    text_of,
    usd,
)

SOURCE: Final = "mini_swe"


def is_document(value: object) -> bool:
    """Return whether a JSON document is of this format."""
    document = mapping(value)
    named = text_of(document.get("trajectory_format")) or ""
    is_named = named.startswith("mini-swe-agent") or "mini_version" in mapping(document.get("info"))
    return is_named and isinstance(document.get("messages"), list)


def rows(document: Mapping[str, Any], file: RecordedFile) -> Iterator[UsageRow]:
    """Yield a trajectory's calls; "lines" are messages here."""
    file.session = text_of(document.get("instance_id"))
    settings = mapping(mapping(mapping(document.get("info")).get("config")).get("model"))
    for number, message in enumerate(document["messages"], 1):
        extra = mapping(mapping(message).get("extra"))
        response = mapping(extra.get("response"))
        if not response:
            continue
        usage = mapping(response.get("usage"))
        try:
            tokens = split_of(usage)
        except DamagedUsageError:
            file.damage(number)
            continue
        if tokens is None:
            continue
        cost = usage.get("cost")
        yield UsageRow(
            id=text_of(response.get("id")),
            model=text_of(response.get("model")) or text_of(settings.get("model_name")) or "",
            at_s=seconds(response.get("created")) or seconds(extra.get("timestamp")),
            tokens=tokens,
            recorded_usd=usd(extra.get("cost") if cost is None else cost),
        )
