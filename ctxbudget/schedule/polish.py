"""Makes a good order a little better: single phases are moved while that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ctxbudget.schedule.board import Board, bits

MOST_TRIES = 1_500
"""So many moves are tried."""

HIGHEST = 5
"""Peaks that are compared, highest first: where two phases peak alike, moving one for the other
takes two moves."""


def polished(
    board: Board,
    order: tuple[int, ...],
    rank: Callable[[Board, tuple[int, ...]], list[int]],
    most_tries: int = MOST_TRIES,
) -> tuple[int, ...]:
    """Return an order that ranks as low as the given one, or lower."""
    best, lowest = order, rank(board, order)
    tries = 0
    is_better = True
    while is_better:
        is_better = False
        for phase in range(len(order)):
            for other in _moves(board, best, phase):
                tries += 1
                found = rank(board, other)
                if found < lowest:
                    best, lowest, is_better = other, found, True
                if tries >= most_tries:
                    return best
    return best


def highest_peaks(board: Board, order: tuple[int, ...]) -> list[int]:
    """Return an order's highest peaks, highest first."""
    return sorted((step.peak_tokens for step in board.steps(order)), reverse=True)[:HIGHEST]


def switches_within(
    cap_tokens: int,
) -> Callable[[Board, tuple[int, ...]], list[int]]:
    """Return a rank of orders by their switches, those above a peak last."""

    def rank(board: Board, order: tuple[int, ...]) -> list[int]:
        return [max(cap_tokens, board.peak_tokens(order)), board.switches(order)]

    return rank


def _moves(board: Board, order: tuple[int, ...], phase: int) -> Iterator[tuple[int, ...]]:
    """Yield the order with a phase at each other place that its dependencies allow."""
    place = {one: index for index, one in enumerate(order)}
    here = place[phase]
    first = max((place[need] + 1 for need in bits(board.needs[phase])), default=0)
    end = min((place[one] for one in bits(board.dependents[phase])), default=len(order))
    rest = order[:here] + order[here + 1 :]
    for index in range(first, end):
        if index != here:
            yield (*rest[:index], phase, *rest[index:])
