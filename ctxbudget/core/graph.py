"""The phase graph: order, waves, and which finished phases something still depends on."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx

from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.events import Phase


class PhaseGraph:
    """Phases and their dependencies, checked once, never changed.

    Raises:
        ConfigError: a duplicate id, an unknown dependency, a self-loop or a cycle.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        self._phases = {phase.id: phase for phase in phases}
        _refuse_duplicates(phases)
        _refuse_bad_edges(phases, self._phases)
        self._graph: nx.DiGraph[str] = nx.DiGraph()
        self._graph.add_nodes_from(self._phases)
        self._graph.add_edges_from((need, phase.id) for phase in phases for need in phase.after)
        self._refuse_cycle()
        position = {phase.id: index for index, phase in enumerate(phases)}
        self.order: tuple[str, ...] = tuple(
            nx.lexicographical_topological_sort(self._graph, key=position.__getitem__)
        )
        """The order to run in: dependencies first, ties as they stand in the file."""

    def __len__(self) -> int:
        return len(self._phases)

    def __contains__(self, phase: object) -> bool:
        return phase in self._phases

    def __getitem__(self, phase: str) -> Phase:
        return self._phases[phase]

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases in the order to run in."""
        return tuple(self._phases[phase] for phase in self.order)

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """Return the phases that could run together, wave by wave (topological generations)."""
        rank = {phase: index for index, phase in enumerate(self.order)}
        return tuple(
            tuple(sorted(wave, key=rank.__getitem__))
            for wave in nx.topological_generations(self._graph)
        )

    def dependents(self, phase: str) -> tuple[str, ...]:
        """Return the phases that depend directly on this one."""
        return tuple(self._graph.successors(phase))

    def _refuse_cycle(self) -> None:
        try:
            edges = nx.find_cycle(self._graph)
        except nx.NetworkXNoCycle:
            return
        path = [edge[0] for edge in edges] + [edges[0][0]]
        raise ConfigError(
            f"the phases depend on each other in a circle: {' → '.join(path)}; "
            "remove one of these dependencies",
            location=("phases",),
        )


class Liveness:
    """Which finished phases nothing still to run depends on, kept up as phases finish.

    A phase that is running counts as still to run.
    """

    def __init__(self, graph: PhaseGraph) -> None:
        self._graph = graph
        self._waiting = {phase: len(graph.dependents(phase)) for phase in graph.order}
        self._finished: set[str] = set()
        self.dead: dict[str, None] = {}
        """Finished phases that no unfinished phase depends on directly, in order of death."""

    def finish(self, phase: str) -> None:
        """Record that a phase is over; its dependencies lose a dependent."""
        if phase in self._finished:
            return
        self._finished.add(phase)
        for need in dict.fromkeys(self._graph[phase].after):
            self._waiting[need] -= 1
            self._bury_if_done(need)
        self._bury_if_done(phase)

    def _bury_if_done(self, phase: str) -> None:
        if phase in self._finished and self._waiting[phase] == 0:
            self.dead[phase] = None


def _refuse_duplicates(phases: Sequence[Phase]) -> None:
    seen: set[str] = set()
    for index, phase in enumerate(phases):
        if phase.id in seen:
            raise ConfigError(
                f"the phase id {phase.id!r} is there twice; ids must differ",
                location=("phases", index, "id"),
            )
        seen.add(phase.id)


def _refuse_bad_edges(phases: Sequence[Phase], known: dict[str, Phase]) -> None:
    for index, phase in enumerate(phases):
        for need in phase.after:
            if need == phase.id:
                problem = f"phase {phase.id!r} depends on itself; remove it from its `after`"
            elif need not in known:
                problem = (
                    f"phase {phase.id!r} comes after {need!r}, which is not a phase; "
                    f"{near_misses(need, known)}"
                )
            else:
                continue
            raise ConfigError(problem, location=("phases", index, "after"))
