"""A drafted workflow as values: what a session's steps come to, and what that rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Final

from ctxbudget.core.errors import SourceError
from ctxbudget.drafting.fitting import Fitted, fitted, followed
from ctxbudget.drafting.spans import TTL_S, Cut, Span, breaks_of, spans_of
from ctxbudget.drafting.steps import Step

FORMATS: Final = {
    "claude_code": "a Claude Code session",
    "codex": "a Codex rollout",
    "mini_swe": "a trajectory of mini-swe-agent",
    "pi": "a Pi session",
    "messages": "a list of messages",
}
"""What a recorded file is, by the name of its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is known of the file that a session comes from.

    Attributes:
        name: the file's own name, without folders.
        format: the name of its format.
        agent: the sub-agent whose thread it is; None for the main thread.
        window_tokens: the model's, or the largest recorded prompt if that is larger.
    """

    name: str
    format: str
    window_tokens: int
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftPhase:
    """A phase: its sizes, and when and with what it was done.

    Attributes:
        model: its most frequent model, if not the workflow's.
        pause_s: the break before it, if the cache went cold in it; else 0.
        tool, tool_calls: its most frequent tool, and how many of its calls used that.
    """

    id: str
    calls: int
    sizes: Fitted
    model: str | None = None
    pause_s: int = 0
    tool: str | None = None
    tool_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A workflow that does on paper what a session did.

    Attributes:
        name: of the workflow.
        model: the most frequent one; empty where none is recorded.
        call_s: the median time from one call to the next; None where no times are recorded.
        prefix_tokens, system_tokens, prompt_tokens: of the first prompt, what was hidden, what
            the system said, and what came with the user's first prompt.
        notes: what it was made from and what was assumed, a paragraph each.
    """

    name: str
    model: str
    window_tokens: int
    call_s: int | None
    prefix_tokens: int
    system_tokens: int
    prompt_tokens: int
    phases: tuple[DraftPhase, ...]
    notes: tuple[str, ...]


def drafted(steps: Sequence[Step], recorded: Recorded, cut: Cut = Cut.AUTO) -> Draft:
    """Return the workflow that follows a session, cut into phases as told.

    Raises:
        SourceError: there is no step.
    """
    if not steps:
        raise SourceError("holds no call to a model; name a session that does")
    spans = spans_of(steps, cut)
    model = _most(step.model for step in steps) or ""
    call_s = _call_s(steps)
    breaks = breaks_of(steps)
    sizes = fitted(steps, spans)
    first = steps[0]
    return Draft(
        name=_name(recorded),
        model=model,
        window_tokens=max(1, recorded.window_tokens),
        call_s=call_s,
        prefix_tokens=first.prefix_tokens,
        system_tokens=first.system_tokens,
        prompt_tokens=first.said_tokens,
        phases=tuple(
            _phase(steps, span, one, model, max(0.0, breaks.get(span.start, 0.0) - (call_s or 0)))
            for span, one in zip(spans, sizes, strict=True)
        ),
        notes=tuple(_notes(steps, spans, sizes, recorded)),
    )


def _phase(
    steps: Sequence[Step], span: Span, sizes: Fitted, model: str, pause_s: float
) -> DraftPhase:
    own = steps[span.start : span.end]
    tools = Counter(plain(tool) for step in own for tool in sorted(set(step.tools)))
    tool, tool_calls = tools.most_common(1)[0] if tools else (None, 0)
    own_model = _most(step.model for step in own)
    return DraftPhase(
        id=span.name,
        calls=span.end - span.start,
        sizes=sizes,
        model=own_model if own_model != model else None,
        pause_s=round(pause_s),
        tool=tool or None,
        tool_calls=tool_calls,
    )


def _most(names: Iterator[str]) -> str | None:
    """Return the most frequent of the names that are not empty; of several, the first."""
    found = Counter(name for name in map(plain, names) if name).most_common(1)
    return found[0][0] if found else None


def _call_s(steps: Sequence[Step]) -> int | None:
    """Return the median time between two calls, breaks left out, in whole seconds from 1 up."""
    gaps_s = [
        after.at_s - before.at_s
        for before, after in pairwise(steps)
        if before.at_s and 0 < after.at_s - before.at_s <= (before.ttl_s or TTL_S)
    ]
    return max(1, round(median(gaps_s))) if gaps_s else None


def _name(recorded: Recorded) -> str:
    """Return a workflow's name: the file's, without what a name may not hold."""
    stem = recorded.name.removesuffix(".gz")
    for suffix in (".jsonl", ".json"):
        stem = stem.removesuffix(suffix)
    shown = plain(stem.replace("/", ""))
    return shown if shown and shown != "-" else "session"


def plain(text: str) -> str:
    """Return a text from a file as one short line that is printed as it is."""
    return "".join(char for char in text if char.isprintable()).strip()[:150].strip()


# ---- what it rests on


def _notes(
    steps: Sequence[Step], spans: Sequence[Span], sizes: Sequence[Fitted], recorded: Recorded
) -> Iterator[str]:
    whole = f"its sub-agent {plain(recorded.agent)}" if recorded.agent else "its main thread"
    sent = sum(step.sent_tokens for step in steps)
    largest = max(step.sent_tokens for step in steps)
    own_sent, own_largest = followed(steps, spans, sizes)
    source = FORMATS.get(recorded.format, "a recorded session")
    yield (
        f"Drafted by `ctxbudget workflow-from` from {source}, {plain(recorded.name)}, "
        f"{_date(steps[0].at_s)}: {_many(len(steps), 'call')} of {whole}, {sent:,} tokens sent, "
        f"the largest prompt {largest:,}."
    )
    yield (
        f"Simulated in a window that holds it all, the main thread sends {own_sent:,} "
        f"({_off(own_sent, sent)}), the largest prompt {own_largest:,} "
        f"({_off(own_largest, largest)})."
    )
    yield (
        "Sizes are tokens as the provider counted them. Every call of a phase adds the phase's "
        "mean, and `after` is the order in which the phases came: relax it where you know better."
    )
    if any(one.agents for one in sizes):
        yield (
            "Sub-agents start with their phase here, and one call each is assumed: what they did "
            "in threads of their own is not read."
        )
    yield from _losses(steps, spans)


def _losses(steps: Sequence[Step], spans: Sequence[Span]) -> Iterator[str]:
    """Yield what of the session the draft does not carry over, where there is some."""
    compactions = sum(step.is_compacted for step in steps)
    if compactions:
        gone = steps[-1].compacted_tokens
        yield (
            f"The program compacted the prompt {_times(compactions)}, which took {gone:,} tokens "
            "in all. That is left out: here the prompt goes on growing, so that policies can be "
            "tried in its place, and what exceeds the window is what it had to take out."
        )
    starts = {span.start for span in spans}
    inner = sum(at not in starts for at in breaks_of(steps))
    if inner:
        yield (
            f"Left out: {_many(inner, 'break')} within phases, longer than the cache's lifetime."
        )


def _off(tokens: int, recorded_tokens: int) -> str:
    """Return by how much a number differs from the recorded one."""
    return f"{tokens / recorded_tokens - 1:+.1%}" if recorded_tokens else "none recorded"


def _date(at_s: float) -> str:
    if not at_s:
        return "of an unknown day"
    return f"of {datetime.fromtimestamp(at_s, UTC):%Y-%m-%d}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
