"""What phases put into the main thread, and what an order of them comes to: numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Lane: TypeAlias = tuple[str, tuple[str, ...]]
"""A model and the tools that it is offered: another of either has the prompt written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one phase puts into the main thread, whatever stands there already."""

    phase: str
    after: tuple[str, ...] = ()
    rise_tokens: int
    """Its peak above what stood there when it began, without tools."""
    live_tokens: int
    """What it leaves there as long as something still to run depends on it."""
    dead_tokens: int
    """What is left of it then."""
    fresh_tokens: int = 0
    """What it leaves beyond that until a later phase that calls has finished."""
    is_calling: bool = True
    """Whether it makes a call in the main thread."""
    model: str = ""
    """Of its calls in the main thread."""
    tools: tuple[str, ...] = ()
    """Offered to them."""
    tools_tokens: int = 0
    """Of their definitions, which stand there until a phase that calls offers others."""

    @property
    def lane(self) -> Lane:
        """What the cache of its calls is kept by."""
        return self.model, self.tools

    @property
    def own_tokens(self) -> int:
        """What it comes to at least: its rise, and its tools if it calls."""
        return self.rise_tokens + (self.tools_tokens if self.is_calling else 0)


class State(NamedTuple):
    """Where an order stands; all that its rest depends on. Sets of phases are bits of a number."""

    finished: int = 0
    fresh: int = 0
    """Finished phases that left something fresh, and after which no phase that calls has finished."""
    tools_tokens: int = 0
    """Of the last phase that called, where another may find them."""
    lane: Lane | None = None
    """Of the last phase that called."""


class Place(NamedTuple):
    """What follows from a state alone."""

    ready: int
    """Phases that may run next, as bits."""
    settled_tokens: int
    """What the finished phases hold, without what is fresh."""


class Step(NamedTuple):
    """One phase run after others."""

    phase: int
    peak_tokens: int
    switches: int
    """1 if its calls go to another model than those before it, or are offered other tools."""
    state: State
    place: Place


class Board:
    """The phases of a workflow by number, in the order in which the file has them played.

    Args:
        loads: in that order, dependencies first.
        start_tokens: what stands in the main thread for the whole run.

    Attributes:
        needs, dependents: by number, the phases it directly depends on and those that depend on
            it, as bits.
        everything: all phases as bits.
        never_grows_dead: whether no phase holds more once nothing depends on it.
        has_fresh: whether any phase leaves something fresh.
        leaves_tools: whether there are tools, and phases without a call, which leave them standing.
    """

    def __init__(self, loads: Sequence[Load], start_tokens: int = 0) -> None:
        self.loads = tuple(loads)
        self.start_tokens = start_tokens
        number = {load.phase: index for index, load in enumerate(self.loads)}
        self.needs = [sum(1 << number[name] for name in load.after) for load in self.loads]
        self.dependents = [0] * len(self.loads)
        for index, needs in enumerate(self.needs):
            for one in bits(needs):
                self.dependents[one] |= 1 << index
        self.everything = (1 << len(self.loads)) - 1
        self.never_grows_dead = all(one.dead_tokens <= one.live_tokens for one in self.loads)
        self.has_fresh = any(one.fresh_tokens for one in self.loads)
        has_idle = not all(one.is_calling for one in self.loads)
        self.leaves_tools = has_idle and any(one.tools_tokens for one in self.loads)
        self._fresh = [bool(one.fresh_tokens) << index for index, one in enumerate(self.loads)]
        self._left_tokens = [
            one.live_tokens if self.dependents[index] else one.dead_tokens
            for index, one in enumerate(self.loads)
        ]
        self._enables = [
            tuple((one, self.needs[one]) for one in bits(dependents))
            for dependents in self.dependents
        ]
        self._frees = [
            tuple((self.dependents[one], self._shrinks_by(one)) for one in bits(needs))
            for needs in self.needs
        ]

    def _shrinks_by(self, phase: int) -> int:
        """Return by how much a phase holds less once nothing depends on it."""
        return self.loads[phase].live_tokens - self.loads[phase].dead_tokens

    @property
    def start(self) -> Place:
        """Where every order begins."""
        return Place(sum(1 << one for one, needs in enumerate(self.needs) if not needs), 0)

    def steps_from(self, state: State, place: Place) -> Iterator[Step]:
        """Yield what running each phase next comes to, in the file's order."""
        for phase in bits(place.ready):
            yield self.step(state, place, phase)

    def step(self, state: State, place: Place, phase: int) -> Step:
        """Return what running a phase next comes to."""
        load = self.loads[phase]
        finished = state.finished | 1 << phase
        peak = self.start_tokens + place.settled_tokens + load.own_tokens
        if state.fresh:
            peak += sum(self.loads[one].fresh_tokens for one in bits(state.fresh))
        if load.is_calling:
            tools = load.tools_tokens if self.leaves_tools else 0
            after = State(finished, self._fresh[phase], tools, load.lane)
        else:
            fresh = self._fresh[phase] | state.fresh
            after = State(finished, fresh, state.tools_tokens, state.lane)
            peak += state.tools_tokens
        is_switch = after.lane != state.lane and state.lane is not None
        return Step(
            phase,
            peak,
            int(is_switch),
            after,
            self._place_after(place, phase, ~finished),
        )

    def _place_after(self, place: Place, phase: int, unfinished: int) -> Place:
        ready, settled = place
        ready ^= 1 << phase
        for one, needs in self._enables[phase]:
            if not needs & unfinished:
                ready |= 1 << one
        settled += self._left_tokens[phase]
        for dependents, less_tokens in self._frees[phase]:
            if not dependents & unfinished:
                settled -= less_tokens
        return Place(ready, settled)

    def settled_tokens(self, finished: int) -> int:
        """Return what a set of finished phases holds once nothing of it is fresh."""
        return sum(
            load.live_tokens if self.dependents[one] & ~finished else load.dead_tokens
            for one, load in enumerate(self.loads)
            if finished >> one & 1
        )

    def steps(self, order: Iterable[int]) -> Iterator[Step]:
        """Yield the steps of an order."""
        state, place = State(), self.start
        for phase in order:
            step = self.step(state, place, phase)
            yield step
            state, place = step.state, step.place

    def peak_tokens(self, order: Iterable[int]) -> int:
        """Return the highest peak of an order."""
        return max((step.peak_tokens for step in self.steps(order)), default=self.start_tokens)

    def switches(self, order: Iterable[int]) -> int:
        """Return how often an order changes the model or the tools of the main thread's calls."""
        return sum(step.switches for step in self.steps(order))


def bits(number: int) -> Iterator[int]:
    """Yield the places of the bits that are set, lowest first."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
