"""A plain list of messages, in which answers keep the usage that their provider told."""

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
)

SOURCE: Final = "messages"


def messages_of(value: object) -> list[Any] | None:
    """Return a document's messages, if it is a list of such or holds one under `messages`."""
    found = mapping(value).get("messages", value)
    if isinstance(found, list) and found and all("role" in mapping(one) for one in found):
        return found
    return None


def is_document(value: object) -> bool:
    """Return whether a JSON document is a list of messages of which one has usage."""
    return any("usage" in message for message in messages_of(value) or ())


def rows(document: Any, file: RecordedFile) -> Iterator[UsageRow]:
    """Yield the calls of a list of messages; "lines" are messages here."""
    model = text_of(mapping(document).get("model")) or ""
    for number, message in enumerate(messages_of(document) or (), 1):
        usage: Mapping[str, Any] = mapping(message.get("usage"))
        try:
            tokens = split_of(usage)
        except DamagedUsageError:
            file.damage(number)
            continue
        if tokens is not None:
            yield UsageRow(
                id=text_of(message.get("id")),
                model=text_of(message.get("model")) or model,
                at_s=seconds(message.get("created")) or seconds(message.get("timestamp")),
                tokens=tokens,
            )
