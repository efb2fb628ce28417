"""Where one phase of a recorded session ends and the next begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from ctxbudget.drafting.steps import Step
from ctxbudget.drafting.work import Work

MOST_PHASES: Final = 12
"""Of a session that is cut by kinds of work; more is no overview."""

FEWEST_CALLS: Final = 4
"""A run of calls of one kind that is shorter joins its neighbour."""

SHORTEST_FRAC: Final = 0.03
"""So does one that is shorter than this share of the session's calls."""

TTL_S: Final = 300.0
"""The lifetime of a prompt cache where the log does not tell it: the provider's default.

Source: Anthropic's documentation of prompt caching.
"""

WEIGHTS: Final = {Work.IMPLEMENT: 3, Work.TEST: 2}
"""What a call counts in naming a phase; others count 1. Who writes goes on reading: with one edit in
four calls, a phase is one of writing. Chosen by looking at recorded sessions."""

UNTOLD: Final = "work"
"""What a phase is called of which no tool tells the kind of work."""


class Cut(StrEnum):
    """By what a session is cut into phases."""

    AUTO = "auto"
    """By kinds of work, and at long breaks."""
    SUBAGENTS = "subagents"
    """Wherever sub-agents hand something back."""
    PROMPTS = "prompts"
    """At each prompt of the user's."""
    ONE = "one"
    """Not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The calls of one phase: those from `start` up to, but not including, `end`."""

    name: str
    start: int
    end: int


def spans_of(steps: Sequence[Step], cut: Cut) -> list[Span]:
    """Return the phases of a session, in order; together they hold every call once."""
    runs = _FINDERS[cut](steps)
    names = ["prompt" if cut is Cut.PROMPTS else run.name for run in runs]
    met: Counter[str] = Counter()
    found = []
    for name, run in zip(names, runs, strict=True):
        met[name] += 1
        own = name if met[name] == 1 else f"{name}_{met[name]}"
        found.append(Span(name=own, start=run.start, end=run.end))
    return found


def breaks_of(steps: Sequence[Step]) -> dict[int, float]:
    """Return the calls before which the cache went cold, with how long before them nothing was asked."""
    found: dict[int, float] = {}
    for number in range(1, len(steps)):
        before, step = steps[number - 1], steps[number]
        gap_s = step.at_s - before.at_s
        if before.at_s and gap_s > (before.ttl_s or TTL_S):
            found[number] = gap_s
    return found


@dataclass(slots=True)
class _Run:
    """Calls in a row; `works` counts the kinds of work that they did."""

    start: int
    end: int
    works: Counter[Work]
    is_cut: bool
    """Whether it begins at a natural boundary: a prompt, an agent's answer, a break."""

    @property
    def calls(self) -> int:
        return self.end - self.start

    @property
    def name(self) -> str:
        """The kind of work that weighs most; of several, the one that came first."""
        if not self.works:
            return UNTOLD
        return str(max(self.works, key=lambda work: self.works[work] * WEIGHTS.get(work, 1)))


def _whole(steps: Sequence[Step]) -> list[_Run]:
    return _runs_from(steps, {0})


def _at_prompts(steps: Sequence[Step]) -> list[_Run]:
    return _runs_from(steps, {0, *(at for at, step in enumerate(steps) if step.has_prompt)})


def _at_agents(steps: Sequence[Step]) -> list[_Run]:
    return _runs_from(steps, {0, *(at for at, step in enumerate(steps) if step.agents)})


def _runs_from(steps: Sequence[Step], starts: set[int]) -> list[_Run]:
    ordered = sorted(starts)
    ends = [*ordered[1:], len(steps)]
    return [
        _Run(start, end, Counter(step.work for step in steps[start:end] if step.work), True)
        for start, end in zip(ordered, ends, strict=True)
    ]


# ---- by kinds of work


def _by_work(steps: Sequence[Step]) -> list[_Run]:
    """Return runs of one kind of work each, short ones joined to their neighbours."""
    runs = list(_first_runs(steps))
    for at in reversed(range(len(runs))):
        _join_alike(runs, at)
    fewest = max(FEWEST_CALLS, round(SHORTEST_FRAC * len(steps)))
    while len(runs) > 1:
        shortest = min(range(len(runs)), key=lambda at: (runs[at].calls, at))
        if runs[shortest].calls >= fewest and len(runs) <= MOST_PHASES:
            break
        left = _left_to_join(runs, shortest)
        _join(runs, left)
        _join_alike(runs, left)
    return list(_cut_at_breaks(steps, runs))


def _cut_at_breaks(steps: Sequence[Step], runs: list[_Run]) -> Iterator[_Run]:
    """Yield the runs, cut at the longest breaks too, as far as there is room for more phases.

    Only between phases can a workflow have a break.
    """
    starts = {run.start for run in runs}
    inner = {at: gap_s for at, gap_s in breaks_of(steps).items() if at not in starts}
    longest = sorted(inner, key=lambda at: (-inner[at], at))[: max(0, MOST_PHASES - len(runs))]
    for run in runs:
        edges = [run.start, *sorted(at for at in longest if run.start < at < run.end), run.end]
        for start, end in pairwise(edges):
            own = Counter(step.work for step in steps[start:end] if step.work)
            yield _Run(start, end, own or run.works, True)


def _first_runs(steps: Sequence[Step]) -> Iterator[_Run]:
    """Yield the runs of calls of one kind; a call that does not tell its kind goes with others."""
    breaks = breaks_of(steps)
    run: _Run | None = None
    for at, step in enumerate(steps):
        is_cut = step.has_prompt or bool(step.agents) or at in breaks
        works = Counter([step.work] if step.work else [])
        is_other = bool(run and run.works and works and run.name != str(step.work))
        # After a prompt, an answer without tools begins what follows it.
        if run is None or is_other or (is_cut and not works):
            if run is not None:
                yield run
            run = _Run(at, at + 1, works, is_cut)
        else:
            run.end, run.works = at + 1, run.works + works
    if run is not None:
        yield run


def _left_to_join(runs: list[_Run], at: int) -> int:
    """Return the left one of the two runs to join: `at` and the neighbour that it fits best."""
    if at in (0, len(runs) - 1):
        return max(0, at - 1)
    before, run, after = runs[at - 1 : at + 2]
    to_before = (not run.is_cut, _fits(run, before), before.calls)
    to_after = (not after.is_cut, _fits(run, after), after.calls)
    return at - 1 if to_before >= to_after else at


def _fits(run: _Run, other: _Run) -> bool:
    """Return whether a short run belongs to another one by what is done: tests to what they test."""
    return not run.works or run.name == other.name or {run.name, other.name} == _TESTED


_TESTED: Final = {str(Work.IMPLEMENT), str(Work.TEST)}


def _join(runs: list[_Run], left: int) -> None:
    """Make one run of two that stand side by side."""
    right = runs.pop(left + 1)
    runs[left].end, runs[left].works = right.end, runs[left].works + right.works


def _join_alike(runs: list[_Run], at: int) -> None:
    """Join a run to its neighbours of the same kind, where it has any."""
    if at + 1 < len(runs) and runs[at].name == runs[at + 1].name:
        _join(runs, at)
    if at > 0 and runs[at - 1].name == runs[at].name:
        _join(runs, at - 1)


_FINDERS: Final[dict[Cut, Callable[[Sequence[Step]], list[_Run]]]] = {
    Cut.AUTO: _by_work,
    Cut.SUBAGENTS: _at_agents,
    Cut.PROMPTS: _at_prompts,
    Cut.ONE: _whole,
}
