"""A draft as a workflow file: YAML with a comment where it is not plain where a number comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ctxbudget.drafting.draft import Draft, DraftPhase
from ctxbudget.writing.noted import Noted, as_text, bare

NOT_THIS_RUN: Final = (
    "To choose a policy for this very session, use `ctxbudget replay`: it has each item as it came. "
    "Here, phases have mean sizes, and a policy that cuts deep can come out quite differently."
)
"""What a draft is not for."""

MOST_READS: Final = 6
"""So many reads are listed one by one; more are added up."""

WHOLE: Final = "100%"
"""The budget: a share, so that another window can be tried."""


def as_data(draft: Draft) -> dict[str, Any]:
    """Return a draft as the content of a workflow file."""
    content: dict[str, Any] = bare(_content(draft))
    return content


def as_yaml(draft: Draft) -> str:
    """Return a draft as the text of a workflow file, with comments."""
    return as_text((*draft.notes, NOT_THIS_RUN), _content(draft))


def about(draft: Draft) -> str:
    """Return what a drafted workflow is for, in one line."""
    calls = sum(phase.calls for phase in draft.phases)
    return f"A recorded session of {calls:,} call{'' if calls == 1 else 's'}, as a workflow."


def _content(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = {"name": draft.name, "about": about(draft)}
    if draft.model:
        found["model"] = draft.model
    window = "the model's, or the largest prompt if that is larger"
    found["window"] = Noted(draft.window_tokens, window)
    found["budget"] = Noted(WHOLE, "of the window; lower it to see what that would take")
    found["policy"] = Noted("none", "replaces nothing, as recorded; try others with --policy")
    if draft.call_s is not None:
        found["call_s"] = Noted(draft.call_s, "the median time from one call to the next")
    permanent = [
        Noted({"id": name, "tokens": tokens}, note) for name, tokens, note in _permanent(draft)
    ]
    if permanent:
        found["permanent"] = permanent
    phases = [
        _phase(phase, after)
        for phase, after in zip(draft.phases, (None, *draft.phases), strict=False)
    ]
    found["phases"] = Noted(phases, is_spaced=True)
    return found


def _permanent(draft: Draft) -> Iterator[tuple[str, int, str]]:
    """Yield the items that live for the whole run: id, tokens, and what they are."""
    hidden = "not in the file: the program's own prompt, and its tools"
    said = "the user's first prompt, and what the program put in beside it"
    for name, tokens, note in (
        ("prefix", draft.prefix_tokens, hidden),
        ("system", draft.system_tokens, "the system prompt, as far as the file shows it"),
        ("first_prompt", draft.prompt_tokens, said),
    ):
        if tokens:
            yield name, tokens, note


def _phase(phase: DraftPhase, before: DraftPhase | None) -> dict[str, Any]:
    sizes = phase.sizes
    found: dict[str, Any] = {"id": phase.id}
    if before is not None:
        found["after"] = [before.id]
    if phase.model is not None:
        found["model"] = phase.model
    if phase.pause_s:
        cold = "nothing was asked for so long: the cache went cold"
        found["pause_s"] = Noted(phase.pause_s, cold)
    reads = [Noted(tokens, note) for tokens, note in _reads(phase)]
    if reads:
        found["reads"] = reads
    if sizes.agents:
        agents = [
            {"id": f"agent_{number}", "prompt": one.prompt_tokens, "output": one.output_tokens}
            for number, one in enumerate(sizes.agents, 1)
        ]
        started = "an agent's prompt is the call that started it, its output the result"
        found["agents"] = Noted(agents, started)
    found["calls"] = phase.calls
    if _has_turn(phase):
        turn = {"call": sizes.call_tokens, "result": sizes.result_tokens}
        turn_with_tool = {**turn, "tool": phase.tool} if phase.tool else turn
        found["turn"] = Noted(turn_with_tool, _turn_note(phase))
    if sizes.output_tokens:
        found["output"] = Noted(sizes.output_tokens, "the answer with which it ended")
    return found


def _has_turn(phase: DraftPhase) -> bool:
    return bool(phase.sizes.turns and phase.sizes.call_tokens + phase.sizes.result_tokens)


def _turn_note(phase: DraftPhase) -> str:
    note = "means"
    if phase.tool:
        note += f"; the most frequent tool, in {phase.tool_calls} of {phase.calls} calls"
    return note


def _reads(phase: DraftPhase) -> Iterator[tuple[int, str]]:
    """Yield what comes in at a phase's start, with what it is."""
    sizes = phase.sizes
    if sizes.said_tokens:
        yield sizes.said_tokens, "what the user said before it, and what the program put in"
    if sizes.late_tokens:
        yield sizes.late_tokens, "what came at the end of the phase before"
    if len(sizes.reads) > MOST_READS:
        files = sum(one.is_file for one in sizes.reads)
        total = sum(one.tokens for one in sizes.reads)
        of_files = f", {files} of them files" if files else ""
        yield total, f"its first {len(sizes.reads)} tool results{of_files}"
    else:
        for one in sizes.reads:
            yield one.tokens, "a file, read early" if one.is_file else "a tool's result, early"
    if sizes.part_tokens:
        yield sizes.part_tokens, "of later tool results, so much that the calls send what they sent"
