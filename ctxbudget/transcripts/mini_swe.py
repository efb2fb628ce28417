"""mini-swe-agent's trajectories as exchanges: every prompt is all that stands before its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ctxbudget.core.types import Kind
from ctxbudget.live.pieces import text_of as text_of_block
from ctxbudget.recorded.mini_swe import rows
from ctxbudget.recorded.usage import RecordedFile, mapping
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.message_list import PartReader, exchange, told_row

TOOL: Final = "bash"
"""The one tool there is; the agent calls it by a block of code in its text."""

_NEVER_SENT: Final = "exit"
"""The role of the message in which newer versions say how the run ended."""


def exchanges(document: Mapping[str, Any], file: RecordedFile) -> Iterator[Exchange]:
    """Yield the calls of a trajectory, as the bill counts them; what is damaged is skipped.

    An answer that asks for a command counts as a tool call, and the user's message behind it as
    its result, so that both can be shortened as such. Reasoning is not sent again, and is no part.
    """
    reader = PartReader(file=file, mark="M")
    messages = document["messages"]
    came: list[Part] = []
    group: str | None = None
    """Of the command that waits for its output."""
    has_task = False
    for number, message in enumerate(map(mapping, messages), 1):
        role = message.get("role")
        parts = [] if role == _NEVER_SENT else reader.parts(message, number)
        if role == "assistant":
            is_command = _role_at(messages, number) == "user" and _is_text(parts)
            group = f"M{number}" if is_command else None
            parts = [_command(parts, group)] if group else parts
        elif role == "user":
            parts = [_said(part, group, has_task=has_task) for part in parts]
            has_task, group = True, None
        row = told_row(rows, document, message, number, file)
        if row is None:
            came += parts
        else:
            yield exchange(row, came=came, wrote=parts)
            came = []


def _role_at(messages: list[Any], index: int) -> object:
    return mapping(messages[index]).get("role") if index < len(messages) else None


def _is_text(parts: list[Part]) -> bool:
    return bool(parts) and all(part.kind is Kind.ASSISTANT for part in parts)


def _command(parts: list[Part], group: str) -> Part:
    """Return an answer as the call that its text is."""
    text = "\n".join(text_of_block(part.block) for part in parts)
    block = {"type": "tool_use", "id": group, "name": TOOL, "input": {"text": text}}
    return Part(id=group, kind=Kind.TOOL_CALL, block=block, group=group, tool=TOOL)


def _said(part: Part, group: str | None, *, has_task: bool) -> Part:
    """Return a user's message as what it is: the task, a command's output, or the host's word."""
    if part.kind is not Kind.USER:
        return part
    if group is None:
        return dataclasses.replace(part, is_injected=has_task)
    text = text_of_block(part.block)
    block = {"type": "tool_result", "tool_use_id": group, "content": text}
    return dataclasses.replace(
        part, kind=Kind.TOOL_RESULT, block=block, group=group, tool=TOOL, is_injected=False
    )
