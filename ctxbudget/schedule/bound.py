"""A peak below which no order can stay."""

from __future__ import annotations

import networkx as nx

from ctxbudget.schedule.board import Board, bits

MOST_WORK = 40 * 60
"""Phases that are looked at closely, times phases in all; those whose peak may be highest first."""


def lowest_possible_tokens(board: Board) -> int:
    """Return a peak that no order stays below.

    While a phase runs, what it builds on is finished, and what builds on it is not. Of the sets of
    finished phases that allow for that, the one that holds least is a minimum cut. Besides, some
    phase has to be the last one.
    """
    bound = max(board.start_tokens, _last_tokens(board))
    ancestors = _ancestors(board)
    at_most = {
        phase: board.settled_tokens(ancestors[phase]) + load.own_tokens
        for phase, load in enumerate(board.loads)
    }
    own = board.start_tokens - _fresh_at_most(board)
    closely = max(1, MOST_WORK // len(board.loads))
    for phase in sorted(at_most, key=lambda one: (-at_most[one], one))[:closely]:
        if own + at_most[phase] <= bound:
            break
        held = _least_held_tokens(board, phase, ancestors)
        bound = max(bound, own + held + board.loads[phase].own_tokens)
    return bound


def _last_tokens(board: Board) -> int:
    """Return the least that any last phase comes to."""
    last = [
        board.settled_tokens(board.everything & ~(1 << phase)) + board.loads[phase].own_tokens
        for phase, dependents in enumerate(board.dependents)
        if not dependents
    ]
    return board.start_tokens + min(last, default=0) - _fresh_at_most(board)


def _fresh_at_most(board: Board) -> int:
    """Return how much less than settled a prompt can be: what is fresh may hold less."""
    return -sum(min(0, load.fresh_tokens) for load in board.loads)


def _ancestors(board: Board) -> list[int]:
    found: list[int] = []
    for needs in board.needs:  # dependencies come first
        whole = needs
        for need in bits(needs):
            whole |= found[need]
        found.append(whole)
    return found


def _least_held_tokens(board: Board, phase: int, ancestors: list[int]) -> int:
    """Return the least that finished phases can hold while a phase runs.

    A phase on the source's side of the cut is finished. It pays what it holds when dead; and,
    unless all its dependents are on that side too, what it holds beyond that while alive.
    """
    graph: nx.DiGraph[str | int | tuple[int]] = nx.DiGraph()
    graph.add_nodes_from(("source", "sink"))
    for one, load in enumerate(board.loads):
        least = min(load.live_tokens, load.dead_tokens)
        if one == phase or ancestors[one] >> phase & 1:
            graph.add_edge(one, "sink")  # without a capacity: it cannot have finished
        else:
            graph.add_edge(one, "sink", capacity=least)
        for need in bits(board.needs[one]):
            graph.add_edge(one, need)
        if board.dependents[one]:
            graph.add_edge(one, (one,), capacity=load.live_tokens - least)
        for dependent in bits(board.dependents[one]):
            graph.add_edge((one,), dependent)
        if ancestors[phase] >> one & 1:
            graph.add_edge("source", one)
    if not graph.out_degree("source"):
        return 0
    return int(nx.minimum_cut_value(graph, "source", "sink"))
