"""Sizes of a phase's parts under which its calls together send what they sent.

The prompts of a recorded phase grow unevenly; in a workflow, every call of a phase adds the same.
So what came in at the phase's start is taken as it was, the rest is spread over the calls, and
where that grows too slowly at first, the phase's first tool results are read at its start. Where it
grows too fast, what came last is left to the start of the phase behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ctxbudget.drafting.spans import Span
from ctxbudget.drafting.steps import Result, Step, SubAgent

OFF_FRAC: Final = 0.02
"""By so much of what a phase sent it may send more or less: setting that right is not worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a phase of a workflow adds to the prompt, in tokens.

    Attributes:
        said_tokens: at its start, other than below.
        late_tokens: at its start, of what came at the end of the phase before.
        reads: tools' answers that count as read at its start, the first of the phase.
        part_tokens: of those behind them, what counts as read at its start too.
        agents: sub-agents whose answers come in at its start.
        call_tokens, result_tokens: added by each call, but for a last one that writes the output.
        output_tokens: of the answer at its end; 0 if there is none.
    """

    said_tokens: int
    late_tokens: int
    reads: tuple[Result, ...]
    part_tokens: int
    agents: tuple[SubAgent, ...]
    call_tokens: int
    result_tokens: int
    output_tokens: int
    turns: int

    @property
    def start_tokens(self) -> int:
        """All that it adds before its first call."""
        return (
            self.said_tokens
            + self.late_tokens
            + sum(one.tokens for one in self.reads)
            + self.part_tokens
            + sum(one.output_tokens for one in self.agents)
        )

    @property
    def tokens(self) -> int:
        """All that it adds."""
        each_tokens = self.call_tokens + self.result_tokens
        return self.start_tokens + self.turns * each_tokens + self.output_tokens


def permanent_tokens(first: Step) -> int:
    """Return what of the first prompt lives for the whole run."""
    return first.prefix_tokens + first.system_tokens + first.said_tokens


def fitted(steps: Sequence[Step], spans: Sequence[Span]) -> list[Fitted]:
    """Return the sizes of each phase; together they follow the recorded prompts."""
    base_tokens = permanent_tokens(steps[0])
    found: list[Fitted] = []
    late_tokens = 0
    for span in spans:
        one, late_tokens = _phase(steps, span, base_tokens, late_tokens)
        base_tokens += one.tokens
        found.append(one)
    return found


def followed(
    steps: Sequence[Step], spans: Sequence[Span], sizes: Sequence[Fitted]
) -> tuple[int, int]:
    """Return what the main thread sends with these sizes if nothing is taken out: all, and at most."""
    held, sent, largest = permanent_tokens(steps[0]), 0, 0
    for span, one in zip(spans, sizes, strict=True):
        calls, each_tokens = span.end - span.start, one.call_tokens + one.result_tokens
        first = held + one.start_tokens
        sent += calls * first + each_tokens * calls * (calls - 1) // 2
        largest = max(largest, first + each_tokens * (calls - 1))
        held += one.tokens
    return sent, largest


def _phase(
    steps: Sequence[Step], span: Span, base_tokens: int, late_tokens: int
) -> tuple[Fitted, int]:
    """Return a phase that begins with `base_tokens` in the prompt, and what it leaves to the next.

    What the simulated prompt holds too much, since it never shrinks, is not added again.
    """
    own = steps[span.start : span.end]
    agents = tuple(one for step in own for one in step.agents)
    output = 0 if agents else own[-1].answer_tokens
    turns = len(own) - 1 if output else len(own)
    said = own[0].said_tokens if span.start else 0
    history = own[0].results if span.start == 0 else ()
    given = [late_tokens, said, *(one.output_tokens for one in agents)]
    course = _Course(
        calls=len(own),
        turns=turns,
        start_tokens=base_tokens + sum(given) + sum(one.tokens for one in history),
        end_tokens=_end_tokens(steps, span) - output,
        sent_tokens=sum(step.prompt_tokens for step in own),
    )
    results = [one for step in own[1:] for one in step.results]
    early, part = _first_of(results, course.early_tokens)
    left = course.late_tokens if span.end < len(steps) else 0
    spread = max(0, course.growth_tokens - course.early_tokens - left)
    each_tokens = round(spread / turns) if turns else 0
    wrote_tokens = sum(step.wrote_tokens for step in own[:turns])
    call_tokens = min(each_tokens, round(wrote_tokens / turns)) if turns else 0
    found = Fitted(
        said_tokens=said,
        late_tokens=late_tokens,
        reads=(*history, *early),
        part_tokens=part,
        agents=agents,
        call_tokens=call_tokens,
        result_tokens=each_tokens - call_tokens,
        output_tokens=output,
        turns=turns,
    )
    return found, left


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """How the prompt grew in a phase: from its first call, without its output, to its end.

    With E of the growth G at the start, call i of n (from 0) sends S + E + i (G - E) / turns.
    """

    calls: int
    turns: int
    start_tokens: int
    end_tokens: int
    sent_tokens: int
    """By all its calls."""

    @property
    def growth_tokens(self) -> int:
        return max(0, self.end_tokens - self.start_tokens)

    @property
    def early_tokens(self) -> int:
        """How much must come at the start for the calls to send what they sent."""
        if not self.turns:
            return 0
        missing = self._sent_above_start - self.growth_tokens * self._spread
        if missing <= OFF_FRAC * self.sent_tokens:
            return 0
        return min(round(missing / (self.calls - self._spread)), self.growth_tokens)

    @property
    def late_tokens(self) -> int:
        """How much must not come before the end, for the calls not to send much more."""
        if not self.turns:
            return self.growth_tokens
        missing = self.growth_tokens * self._spread - self._sent_above_start
        if self.calls == 1 or missing <= OFF_FRAC * self.sent_tokens:
            return 0
        return min(self.growth_tokens, round(missing / self._spread))

    @property
    def _sent_above_start(self) -> int:
        return self.sent_tokens - self.calls * self.start_tokens

    @property
    def _spread(self) -> float:
        """How many calls carry a token of the turns, on average."""
        return self.calls * (self.calls - 1) / 2 / self.turns


def _end_tokens(steps: Sequence[Step], span: Span) -> int:
    """Return how large the recorded prompt was at a phase's end; of the last call, as if one came."""
    if span.end < len(steps):
        after = steps[span.end]
        came = after.said_tokens + sum(one.output_tokens for one in after.agents)
        return after.prompt_tokens - came
    first, last = steps[span.start], steps[-1]
    calls = span.end - span.start
    if last.answer_tokens or calls == 1:
        return last.prompt_tokens + last.wrote_tokens
    return last.prompt_tokens + (last.prompt_tokens - first.prompt_tokens) // (calls - 1)


def _first_of(results: Sequence[Result], wanted_tokens: int) -> tuple[Sequence[Result], int]:
    """Return the first results that together hold no more than so many tokens, and what is left."""
    rest = wanted_tokens
    for number, one in enumerate(results):
        if rest <= 0 or one.tokens > rest:
            return results[:number], rest
        rest -= one.tokens
    return results, rest
