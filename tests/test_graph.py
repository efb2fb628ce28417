"""Tests of the phase graph."""

from __future__ import annotations

import pytest
from builders import phases
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import Phase
from ctxbudget.core.graph import Liveness, PhaseGraph

WAVES = {
    "linear": (phases(a="", b="a", c="b"), "a | b | c"),
    "fan_out": (phases(a="", b="a", c="a", d="a"), "a | b c d"),
    "diamond": (phases(a="", b="a", c="a", d="b c"), "a | b c | d"),
    "skipped_numbers": (phases(p0="", p1="p0", p4="p1", p6="p4"), "p0 | p1 | p4 | p6"),
    "phase_1_beside_phase_10": (
        phases(phase_10="phase_2", phase_1="", phase_2="phase_1"),
        "phase_1 | phase_2 | phase_10",
    ),
    "ties_as_in_the_file": (phases(z="", m="", a=""), "z m a"),
    "long_way_round": (phases(d="a c", a="", b="a", c="b"), "a | b | c | d"),
    "none": ((), ""),
}


@pytest.mark.parametrize(("given_phases", "expected"), WAVES.values(), ids=WAVES)
def test_waves_are_the_phases_that_could_run_together(
    given_phases: tuple[Phase, ...], expected: str
) -> None:
    assert " | ".join(map(" ".join, PhaseGraph(given_phases).waves())) == expected


ORDERS = {
    "linear_backwards": (phases(c="b", b="a", a=""), "a b c"),
    "ties_as_in_the_file": (phases(z="", m="", a="z"), "z m a"),
    "ready_earlier_in_the_file_goes_first": (phases(a="", b="c", c="", d=""), "a c b d"),
    "phase_1_beside_phase_10": (
        phases(phase_1="", phase_10="", phase_2=""),
        "phase_1 phase_10 phase_2",
    ),
}


@pytest.mark.parametrize(("given_phases", "expected"), ORDERS.values(), ids=ORDERS)
def test_the_order_has_dependencies_first_and_ties_as_in_the_file(
    given_phases: tuple[Phase, ...], expected: str
) -> None:
    graph = PhaseGraph(given_phases)
    assert " ".join(graph.order) == expected
    assert " ".join(phase.id for phase in graph.phases()) == expected


def test_dependents_are_direct_only() -> None:
    graph = PhaseGraph(phases(a="", b="a", c="a b", d="c"))
    assert [graph.dependents(name) for name in "abcd"] == [("b", "c"), ("c",), ("d",), ()]


def test_a_graph_knows_its_phases() -> None:
    graph = PhaseGraph(phases(phase_10="", phase_2="phase_10"))
    assert len(graph) == 2
    assert "phase_10" in graph
    assert "phase_1" not in graph
    assert graph["phase_2"].after == ("phase_10",)


REFUSED = {
    "cycle": (
        phases(start="", a="start c", b="a", c="b"),
        "phases: the phases depend on each other in a circle: a → b → c → a; "
        "remove one of these dependencies",
    ),
    "self_loop": (
        phases(a="", b="a b"),
        "phases[1].after: phase 'b' depends on itself; remove it from its `after`",
    ),
    "unknown_near_miss": (
        phases(plan="", code="plann"),
        "phases[1].after: phase 'code' comes after 'plann', which is not a phase; "
        "did you mean 'plan'?",
    ),
    "unknown_at_all": (
        phases(plan="", code="", x="unheard_of"),
        "phases[2].after: phase 'x' comes after 'unheard_of', which is not a phase; "
        "known are: code, plan, x",
    ),
    "phase_1_is_not_phase_10": (
        phases(phase_10="", work="phase_1"),
        "phases[1].after: phase 'work' comes after 'phase_1', which is not a phase; "
        "did you mean 'phase_10'?",
    ),
    "duplicate_id": (
        (*phases(a="", b=""), *phases(a="b")),
        "phases[2].id: the phase id 'a' is there twice; ids must differ",
    ),
}


@pytest.mark.parametrize(("given_phases", "message"), REFUSED.values(), ids=REFUSED)
def test_a_graph_that_makes_no_sense_is_refused_with_the_place(
    given_phases: tuple[Phase, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        PhaseGraph(given_phases)
    assert str(caught.value) == message


DEATHS = {
    "linear": (phases(a="", b="a", c="b"), ["", "a", "a b c"]),
    "fan_out": (phases(a="", b="a", c="a"), ["", "b", "b a c"]),
    "diamond": (phases(a="", b="a", c="a", d="b c"), ["", "", "a", "a b c d"]),
    "nobody_depends_on_it": (phases(a="", b="", c=""), ["a", "a b", "a b c"]),
    "direct_dependents_only": (phases(a="", b="a", c="b", d="c"), ["", "a", "a b", "a b c d"]),
    "dependent_first": (phases(b="a", a=""), ["b", "b a"]),
    "named_twice_counts_once": (phases(a="", b="a a", c="a"), ["", "b", "b a c"]),
}


@pytest.mark.parametrize(("given_phases", "dead"), DEATHS.values(), ids=DEATHS)
def test_a_phase_dies_when_it_and_all_direct_dependents_have_finished(
    given_phases: tuple[Phase, ...], dead: list[str]
) -> None:
    liveness = Liveness(PhaseGraph(given_phases))
    for phase, expected in zip(given_phases, dead, strict=True):
        liveness.finish(phase.id)
        liveness.finish(phase.id)  # told twice changes nothing
        assert " ".join(liveness.dead) == expected


def test_a_running_phase_its_needs_and_items_of_no_phase_are_live() -> None:
    liveness = Liveness(PhaseGraph(phases(a="", b="a")))
    liveness.finish("a")  # b runs now
    assert [phase not in liveness.dead for phase in ("a", "b", None)] == [True, True, True]
    liveness.finish("b")
    assert [phase not in liveness.dead for phase in ("a", "b", None)] == [False, False, True]


@given(st.data())
def test_any_acyclic_graph_runs_in_order_and_dies_as_its_definition_says(
    data: st.DataObject,
) -> None:
    names = data.draw(st.permutations([f"phase_{n}" for n in range(1, 11)]))
    needs = [
        data.draw(st.lists(st.sampled_from(names[:n]), unique=True)) if n else [] for n in range(10)
    ]
    graph_phases = [
        Phase(id=one, after=tuple(need)) for one, need in zip(names, needs, strict=True)
    ]
    graph = PhaseGraph(data.draw(st.permutations(graph_phases)))
    liveness = Liveness(graph)
    for index, phase in enumerate(graph.order):
        assert set(graph[phase].after) <= set(graph.order[:index])
        liveness.finish(phase)
        unfinished = graph.order[index + 1 :]
        live = {need for later in unfinished for need in graph[later].after} | set(unfinished)
        assert {one for one in graph.order if one not in liveness.dead} == live
