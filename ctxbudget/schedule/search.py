"""Finds the order with the lowest peak, and of those the one with the fewest switches.

What an order can still come to depends on which phases are finished (and, of the last ones, what
of them is fresh, and which tools still stand), not on how they got there. So orders that come to
the same state are one, and what is left to weigh are the sets of phases that hold all that they
depend on, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ctxbudget.schedule.board import Board, Place, State, Step
from ctxbudget.schedule.bound import lowest_possible_tokens
from ctxbudget.schedule.polish import highest_peaks, polished, switches_within

MOST_STEPS = 60_000
"""So many steps from one state to the next are weighed in an exact search; beyond, a beam decides."""

BEAM_STATES, LEAST_BEAM_STATES = 40, 8
"""States kept of each layer where not all are; of more than `MANY_PHASES`, as many fewer."""

MANY_PHASES = 60

Order: TypeAlias = tuple[int, ...]


class TooManyStepsError(Exception):
    """An exact search is not affordable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An order, and what is known of it. Numbers are those of the loads."""

    order: Order
    peak_tokens: int
    """Of this order."""
    lowest_tokens: int
    """Of the order with the lowest peak that was found; less than the peak only with slack."""
    bound_tokens: int
    """No order has a lower peak."""
    is_exact: bool
    """Whether the lowest peak that was found is the lowest there is."""
    has_fewest_switches: bool
    """No order within the same peak has fewer switches."""


def find(board: Board, slack_frac: float = 0.0, most_steps: int = MOST_STEPS) -> Found:
    """Return the order with the lowest peak, ties broken by switches, then by the file's order.

    Args:
        board: the phases.
        slack_frac: by how much of the lowest peak an order may exceed it for fewer switches.
        most_steps: how many steps an exact search may weigh.
    """
    order, bound, is_exact = _lowest(board, most_steps)
    lowest = board.peak_tokens(order)
    cap = lowest + int(lowest * slack_frac)
    has_fewest = True
    try:
        search = _calmest if _fewest_possible(board) else _first
        order = search(board, cap, most_steps)
    except TooManyStepsError:
        order = _calm(board, cap, order)
        has_fewest = board.switches(order) == _fewest_possible(board)
    return Found(
        order=order,
        peak_tokens=board.peak_tokens(order),
        lowest_tokens=lowest,
        bound_tokens=lowest if is_exact else bound,
        is_exact=is_exact,
        has_fewest_switches=has_fewest,
    )


def _lowest(board: Board, most_steps: int) -> tuple[Order, int, bool]:
    """Return an order with a low peak, a bound, and whether no order has a lower one."""
    bound = lowest_possible_tokens(board)
    drafts = [_as_filed(board), *(_beam(board, None, rank, bound) for rank in (_by_peak, _by_held))]
    order = min((one for one in drafts if one is not None), key=board.peak_tokens)
    peak = board.peak_tokens(order)
    if bound >= peak:
        return order, peak, True
    try:
        order = lowest_of_all(board, peak, bound, most_steps) or order
    except TooManyStepsError:
        order = polished(board, order, highest_peaks)
        return order, bound, board.peak_tokens(order) <= bound
    return order, board.peak_tokens(order), True


def _as_filed(board: Board) -> Order:
    return tuple(range(len(board.loads)))


# ---- every state


class _Reached(NamedTuple):
    peak_tokens: int
    place: Place
    before: State
    phase: int


def lowest_of_all(
    board: Board, below_tokens: int, bound_tokens: int, most_steps: int
) -> Order | None:
    """Return the order with the lowest peak below a limit, None if there is none.

    Raises:
        TooManyStepsError: there are more steps than are to be weighed.
    """
    layers = [{State(): _Reached(0, board.start, State(), -1)}]
    weighed = 0
    for _ in board.loads:
        following: dict[State, _Reached] = {}
        for state, reached in layers[-1].items():
            harmless = max(reached.peak_tokens, bound_tokens)
            for step in _worth_trying(board, state, reached.place, harmless):
                weighed += 1
                peak = max(reached.peak_tokens, step.peak_tokens)
                if peak >= below_tokens:
                    continue
                after = step.state._replace(lane=None)
                known = following.get(after)
                if known is None or peak < known.peak_tokens:
                    following[after] = _Reached(peak, step.place, state, step.phase)
            if weighed > most_steps:
                raise TooManyStepsError
        layers.append(following)
    return _walked_back(layers) if layers[-1] else None


def _worth_trying(board: Board, state: State, place: Place, harmless_tokens: int) -> Iterable[Step]:
    """Return the steps to take from a state if only the peak counts.

    A phase that leaves no more than it frees may as well run at once if its peak does no harm:
    whatever runs later finds no more for it. Not so if something fresh is at stake, which is more
    or less in the way of the next phase, or the tools that it leaves standing.
    """
    steps = list(board.steps_from(state, place))
    if board.has_fresh or board.leaves_tools or not board.never_grows_dead:
        return steps
    for step in steps:
        is_free = step.place.settled_tokens <= place.settled_tokens
        if is_free and step.peak_tokens <= harmless_tokens:
            return (step,)
    return steps


def _walked_back(layers: list[dict[State, _Reached]]) -> Order:
    state = min(layers[-1], key=lambda one: layers[-1][one].peak_tokens)
    order = []
    for layer in reversed(layers[1:]):
        reached = layer[state]
        order.append(reached.phase)
        state = reached.before
    return tuple(reversed(order))


def _calmest(board: Board, cap_tokens: int, most_steps: int) -> Order:
    """Return, of the orders up to a peak, the first in the file's order with the fewest switches.

    Raises:
        TooManyStepsError: there are more steps than are to be weighed.
    """
    layers = [{State(): board.start}]
    taken: list[list[tuple[State, Step]]] = []
    weighed = 0
    for _ in board.loads:
        steps: list[tuple[State, Step]] = []
        for state, place in layers[-1].items():
            tried = list(board.steps_from(state, place))
            steps += [(state, step) for step in tried if step.peak_tokens <= cap_tokens]
            weighed += len(tried)
            if weighed > most_steps:
                raise TooManyStepsError
        taken.append(steps)
        layers.append({step.state: step.place for _, step in steps})
    return _walked_along(board, _switches_to_go(layers[-1], taken), cap_tokens)


def _switches_to_go(
    ends: Iterable[State], taken: list[list[tuple[State, Step]]]
) -> dict[State, int]:
    """Return the fewest switches from each state to the end; what cannot get there is left out."""
    to_go = dict.fromkeys(ends, 0)
    for steps in reversed(taken):
        for state, step in steps:
            rest = to_go.get(step.state)
            if rest is not None:
                known = to_go.get(state)
                total = rest + step.switches
                to_go[state] = total if known is None else min(known, total)
    return to_go


def _walked_along(board: Board, to_go: dict[State, int], cap_tokens: int) -> Order:
    """Return the first order in the file's order that needs no more switches than it must."""
    order: list[int] = []
    state, place = State(), board.start
    for _ in board.loads:
        step = next(
            step
            for step in board.steps_from(state, place)
            if step.peak_tokens <= cap_tokens
            and step.state in to_go
            and step.switches + to_go[step.state] == to_go[state]
        )
        order.append(step.phase)
        state, place = step.state, step.place
    return tuple(order)


def _first(board: Board, cap_tokens: int, most_steps: int) -> Order:
    """Return, of the orders up to a peak, the first in the file's order.

    There has to be one.

    Raises:
        TooManyStepsError: it is not found within so many steps.
    """
    order: list[int] = []
    open_steps = [board.steps_from(State(), board.start)]
    no_way_on: set[State] = set()
    states = [State()]
    weighed = 0
    while len(order) < len(board.loads):
        step = next(open_steps[-1], None)
        if step is None:
            no_way_on.add(states.pop())
            open_steps.pop()
            order.pop()
            continue
        weighed += 1
        if weighed > most_steps:
            raise TooManyStepsError
        if step.peak_tokens <= cap_tokens and step.state not in no_way_on:
            order.append(step.phase)
            states.append(step.state)
            open_steps.append(board.steps_from(step.state, step.place))
    return tuple(order)


# ---- some states


class _Draft(NamedTuple):
    """The beginning of an order."""

    peak_tokens: int
    switches: int
    place: Place
    state: State
    order: Order


_Rank: TypeAlias = Callable[[_Draft], tuple[int, int]]


def _by_peak(draft: _Draft) -> tuple[int, int]:
    return draft.peak_tokens, draft.place.settled_tokens


def _by_held(draft: _Draft) -> tuple[int, int]:
    return draft.place.settled_tokens, draft.peak_tokens


def _by_switches(draft: _Draft) -> tuple[int, int]:
    return draft.switches, draft.place.settled_tokens


def _calm(board: Board, cap_tokens: int, order: Order) -> Order:
    """Return the order with the fewest switches among some that stay below a peak."""
    drafts = (_as_filed(board), order, _beam(board, cap_tokens, _by_switches, None))
    fitting = [one for one in drafts if one is not None and board.peak_tokens(one) <= cap_tokens]
    calmest = min(fitting, key=board.switches)
    return polished(board, calmest, switches_within(cap_tokens))


def _fewest_possible(board: Board) -> int:
    """Return how many switches any order has at least: each lane has to be reached once."""
    return max(0, len({load.lane for load in board.loads if load.is_calling}) - 1)


def _beam(
    board: Board, cap_tokens: int | None, rank: _Rank, harmless_tokens: int | None
) -> Order | None:
    """Return the best order found by going on only from the best beginnings of each length.

    None if all of these end where no phase stays below the cap. If only the peak counts,
    `harmless_tokens` is one that any order has.
    """
    drafts = [_Draft(0, 0, board.start, State(), ())]
    share = BEAM_STATES * MANY_PHASES // max(MANY_PHASES, len(board.loads))
    width = max(LEAST_BEAM_STATES, share)
    for _ in board.loads:
        best: dict[State, _Draft] = {}
        for draft in drafts:
            for step in _steps_of(board, draft, harmless_tokens):
                if cap_tokens is not None and step.peak_tokens > cap_tokens:
                    continue
                longer = _Draft(
                    max(draft.peak_tokens, step.peak_tokens),
                    draft.switches + step.switches,
                    step.place,
                    step.state,
                    (*draft.order, step.phase),
                )
                known = best.get(step.state)
                if known is None or rank(longer) < rank(known):
                    best[step.state] = longer
        drafts = sorted(best.values(), key=rank)[:width]
    return drafts[0].order if drafts else None


def _steps_of(board: Board, draft: _Draft, harmless_tokens: int | None) -> Iterable[Step]:
    if harmless_tokens is None:
        return board.steps_from(draft.state, draft.place)
    harmless = max(draft.peak_tokens, harmless_tokens)
    return _worth_trying(board, draft.state, draft.place, harmless)
