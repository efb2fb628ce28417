"""Tests of putting a workflow, a policy and the command line's overrides together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import written

from ctxbudget.config.run_setup import (
    DEFAULT_WINDOW_TOKENS,
    Overrides,
    RunSetup,
    find_allocator,
    placed,
    set_up_run,
)
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.config.workflow_format import Deliver
from ctxbudget.core.allocation import fixed
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import AllocatorSpec, Phase
from ctxbudget.core.types import Layer, Level, Limit, Scale

WINDOWS = {"small": 32_000, "large": 1_000_000}
PHASES = "phases:\n- {id: a, output: 10}\n"


def set_up(folder: Path, text: str, **overrides: Any) -> RunSetup:
    """Return the plan of a run in a world that knows two models."""
    loaded = read_workflow(written(folder, text))
    return set_up_run(loaded, Overrides(**overrides), WINDOWS.get)


def scale(window: int, reserve: int, budget: int) -> Scale:
    return Scale(window_tokens=window, reserve_tokens=reserve, budget_tokens=budget)


@pytest.mark.parametrize(
    ("text", "overrides", "expected", "is_assumed"),
    [
        ("", {}, scale(DEFAULT_WINDOW_TOKENS, 0, 200_000), True),
        ("model: unheard-of", {}, scale(200_000, 0, 200_000), True),
        ("model: small", {}, scale(32_000, 0, 32_000), False),
        ("model: small; window: 50000", {}, scale(50_000, 0, 50_000), False),
        ("window: 25000", {}, scale(25_000, 0, 25_000), False),
        ("window: 25000; reserve: 5000", {}, scale(25_000, 5_000, 20_000), False),
        ("window: 25000; budget: 30%", {}, scale(25_000, 0, 7_500), False),
        ("window: 25000; budget: 0.3", {}, scale(25_000, 0, 7_500), False),
        ("window: 25000; budget: 7500", {}, scale(25_000, 0, 7_500), False),
        ("window: 25000; reserve: 5000; budget: 50% of hard_limit", {}, scale(25_000, 5_000, 10_000), False),
        ("window: 25000; reserve: 5000; budget: 50%", {}, scale(25_000, 5_000, 12_500), False),
        ("window: 25000; reserve: 5000; budget: 1000 below hard_limit", {}, scale(25_000, 5_000, 19_000), False),
        ("window: 200000; budget: {smaller_of: [75%, 100000]}", {}, scale(200_000, 0, 100_000), False),
        ("window: 100000; budget: {smaller_of: [75%, 100000]}", {}, scale(100_000, 0, 75_000), False),
        ("window: 25000; budget: 30%", {"window_tokens": 10_000}, scale(10_000, 0, 3_000), False),
        ("window: 25000; budget: 30%", {"budget": Limit(tokens=400)}, scale(25_000, 0, 400), False),
        ("model: small", {"window_tokens": 64_000}, scale(64_000, 0, 64_000), False),
    ],
)  # fmt: skip
def test_window_and_budget(
    tmp_path: Path, text: str, overrides: dict[str, Any], expected: Scale, is_assumed: bool
) -> None:
    setup = set_up(tmp_path, text.replace("; ", "\n") + "\n" + PHASES, **overrides)
    assert (setup.start.scale, setup.window_is_assumed) == (expected, is_assumed)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("reserve: 200000\n", ":1: reserve: the reserve of 200,000 leaves nothing of the window of 20"
         "0,000 tokens; lower it"),
        ("window: 100\nreserve: 300\n", ":2: reserve: the reserve of 300 leaves nothing of the window"),
        ("window: 100\nbudget: 101\n", ":2: budget: a budget of 101 tokens does not fit a window of "
         "100 with a reserve of 0; choose 1 to 100"),
        ("window: 100\nreserve: 30\nbudget: 71\n", ":3: budget: a budget of 71 tokens does not fit a "
         "window of 100 with a reserve of 30; choose 1 to 70"),
        ("budget: 0\n", ":1: budget: a budget of 0 tokens does not fit"),
        ("budget: 300000 below window\n", ":1: budget: a budget of -100,000 tokens does not fit"),
        ("policy: agressive\n", ":1: policy: there is no policy 'agressive' and no file of this name; "
         "did you mean 'aggressive'?"),
        ("name: x\npolicy: ''\n", ":2: policy: there is no policy ''"),
        ("name: x\npolicy: 5\n", ":2: policy: there is no policy '5'"),
        ("policy: nope.yaml\n", ":1: policy: there is no file 'nope.yaml' in "),
        ("policy: no_such_module:x\n", ":1: policy: 'no_such_module:x' cannot be loaded: "),
        ("allocator: dynamc\n", ":1: allocator: there is no allocator 'dynamc'; did you mean 'dynamic"),
        ("allocator: ''\n", ":1: allocator: there is no allocator ''; known are: dynamic, fixed, res"),
        ("allocator: {use: greedy}\n", ":1: allocator: there is no allocator 'greedy'"),
        ("allocator: no_such_module:x\n", ":1: allocator: 'no_such_module:x' cannot be loaded: "),
        ("allocator: own_strategies:not_callable\n", ":1: allocator: 'own_strategies:not_callable' is"),
        ("allocator: own_strategies:no_grants\n", ":1: allocator: allocator 'own_strategies:no_grants'"
         " failed: TypeError: expected Grants, found {'a': 1}"),
        ("allocator: own_strategies:broken_allocator\n", ":1: allocator: allocator 'own_strategies:bro"
         "ken_allocator' failed: ZeroDivisionError at "),
        ("allocator: own_strategies:too_much\nphases: [{id: a}, {id: b}]\nname: x", ":1: allocator: al"
         "locator 'own_strategies:too_much' handed out 400,000 tokens over 2 phases"),
        ("allocator: fixed\n", ":2: phases: the fixed allocator needs `allocate` for every phase; mis"
         "sing for 'a'; add it, or use the dynamic allocator"),
        ("allocator:\n  use: reserve\n  reserve_for: [b]\n", ":3: allocator.reserve_for: 'b' is not a "
         "phase; known are: a"),
        ("budget: 99\nallocator: {use: dynamic, fan_in_headroom: 100}\n", ":2: allocator.fan_in_headr"
         "oom: fan_in_headroom is 100 tokens of a budget of 99"),
        ("thresholds: {warn: 95%, critical: 75%}\n", ":1: thresholds: warn comes to 190,000 tokens and"
         " critical to 150,000; they must rise, above 0 and up to the window of 200,000"),
        ("thresholds: {warn: 95%}\n", ":1: thresholds: warn comes to 190,000 tokens and critical to 1"),
        ("thresholds: {warn: 0}\n", ":1: thresholds: warn comes to 0 tokens"),
        ("thresholds: {critical: 200001}\n", ":1: thresholds: warn comes to 150,000 tokens and critica"),
        ("thresholds:\n  phases: {warn: 90%, critical: 80%}\n", ":2: thresholds.phases: warn is 90% an"
         "d critical 80%; they must rise, above 0 and up to 100%"),
        ("thresholds:\n  layers:\n    transient: {limit: 100, warn: 90%, critical: 80%}\n", ":3: thresh"
         "olds.layers.transient: warn is 90% and critical 80%"),
        ("budget: 100\nthresholds:\n  layers:\n    phase: {limit: 500 below budget}\n", ":4: threshold"
         "s.layers.phase.limit: comes to -400 tokens of a budget of 100; raise it"),
        ("phases:\n- {id: a}\n- {id: b, allocate: 300000 below budget}\nname: x", ":3: phases[1].alloca"
         "te: comes to -100,000 tokens of a budget of 200,000; raise it"),
        ("phases:\n- {id: a, allocate: 90%}\n- {id: b, allocate: 20%}\nname: x", ":1: phases: the phase"
         "s' `allocate` add up to 220,000 tokens, 20,000 over the budget of 200,000; lower them or"),
        ("phases: [{id: a, after: [b]}, {id: b, after: [a]}]\nname: x", ":1: phases: the phases depend"
         " on each other in a circle: "),
        ("phases:\n- {id: a}\n- {id: b, after: [a, c]}\nname: x", ":3: phases[1].after: phase 'b' comes"
         " after 'c', which is not a phase; known are: a, b"),
        ("phases:\n- {id: build}\n- {id: b, after: [biuld]}\nname: x", ":3: phases[1].after: phase 'b' c"
         "omes after 'biuld', which is not a phase; did you mean 'build'?"),
        ("phases:\n- {id: a, after: [a]}\nname: x", ":2: phases[0].after: phase 'a' depends on itself"),
        ("phases:\n- {id: 1}\n- {id: '1'}\nname: x", ":3: phases[1].id: the phase id '1' is there twice"),
        ("policy: {name: mine, rules: [{on: warn, do: drop, why: x, when: {until: 200000 below window"
         "}}]}\n", ":1: policy.rules[0].when.until: rule 'mine 1': `when.until` comes to 0 tokens"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        set_up(tmp_path, text if "phases:\n-" in text or "phases: [" in text else text + PHASES)
    assert str(raised.value).startswith(f"{tmp_path / 'flow.yaml'}{error}")


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (
            {"budget": Limit(tokens=10**9)},
            "--budget: a budget of 1,000,000,000 tokens does not fit",
        ),
        ({"policy": "agressive"}, "--policy: there is no policy 'agressive'"),
        ({"policy": ""}, "--policy: there is no policy ''"),
        ({"policy": "nope.yaml"}, "nope.yaml: no such file or directory"),
        ({"policy": "masking:keep"}, "--policy: 'masking:keep': a param takes a value"),
        ({"allocator": "fixd"}, "--allocator: there is no allocator 'fixd'; did you mean 'fixed'?"),
        (
            {"allocator": "own_strategies:no_grants"},
            "--allocator: allocator 'own_strategies:no_gran",
        ),
    ],
)
def test_an_option_is_blamed_for_what_it_said(
    tmp_path: Path, overrides: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(error)):
        set_up(tmp_path, "allocator: dynamic\npolicy: none\nbudget: 50%\n" + PHASES, **overrides)


def test_a_file_is_blamed_for_what_an_option_only_brought_up(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        set_up(tmp_path, "name: x\n" + PHASES, allocator="fixed")
    assert str(raised.value).startswith(f"{tmp_path / 'flow.yaml'}:2: phases: the fixed allocator")


@pytest.mark.parametrize(
    ("text", "overrides", "label"),
    [
        ("phases: [{id: a}, {id: b}, {id: c}]", {}, "moderate"),
        ("phases: [{id: a}, {id: b}, {id: c}, {id: d}]", {}, "aggressive"),
        ("phases: [{id: a}]\npolicy: none", {}, "none"),
        ("phases: [{id: a}]\npolicy: masking:keep=3", {}, "masking:keep=3"),
        ("phases: [{id: a}]\npolicy: none", {"policy": "minimal"}, "minimal"),
        ("phases: [{id: a}]\npolicy: {name: mine, params: {k: 2}, rules: [{on: warn, do: drop, why: x, "
         "select: {keep_last: $k}}]}", {}, "mine"),
        ("phases: [{id: a}]\npolicy: own_strategies:drop", {}, "own_strategies:drop"),
    ],
)  # fmt: skip
def test_the_policy_that_is_used(
    tmp_path: Path, text: str, overrides: dict[str, Any], label: str
) -> None:
    setup = set_up(tmp_path, text, **overrides)
    assert setup.policy.label == label
    assert setup.start.policy == setup.policy.as_recorded


@pytest.mark.parametrize(
    ("text", "overrides", "spec"),
    [
        ("phases: [{id: a}]", {}, AllocatorSpec(use="dynamic")),
        ("phases: [{id: a, allocate: 5}]", {}, AllocatorSpec(use="fixed")),
        ("phases: [{id: a, allocate: 5}]\nallocator: dynamic", {}, AllocatorSpec(use="dynamic")),
        ("phases: [{id: a, allocate: 5}]", {"allocator": "reserve"}, AllocatorSpec(use="reserve")),
        ("phases: [{id: a}]", {"allocator": "own_strategies:equal"},
         AllocatorSpec(use="own_strategies:equal")),
        (
            "phases: [{id: a}, {id: b}]\nallocator: {use: reserve, rollover: true, borrow: true, core: "
            "50%, debug_reserve: 0.3, overflow_buffer: 20%, reserve_for: [b], buffer_for: [overrun],"
            " fan_in_headroom: 10%}",
            {},
            AllocatorSpec(
                use="reserve",
                rollover=True,
                borrow=True,
                fan_in_headroom=Limit(share_frac=0.1),
                core_frac=0.5,
                reserve_frac=0.3,
                buffer_frac=0.2,
                reserve_for=("b",),
                buffer_for=(Level.OVERRUN,),
            ),
        ),
    ],
)  # fmt: skip
def test_the_allocator_that_is_used(
    tmp_path: Path, text: str, overrides: dict[str, Any], spec: AllocatorSpec
) -> None:
    assert set_up(tmp_path, text, **overrides).start.allocator == spec


def test_an_allocator_is_found_by_name_or_attribute() -> None:
    phases: Sequence[Phase] = [Phase(id="a"), Phase(id="b")]
    spec = AllocatorSpec(use="own_strategies:equal")
    grants = find_allocator(spec.use)(11, phases, spec)
    assert (grants.phases, grants.buffer_tokens) == ({"a": 5, "b": 5}, 1)
    assert find_allocator("fixed") is fixed


def test_phases_become_facts(tmp_path: Path) -> None:
    setup = set_up(
        tmp_path,
        "window: 1000\nphases:\n- {id: b, after: [a], complexity: 2.5, allocate: 10%, calls: 3}\n"
        "- {id: a, allocate: 7}\n",
    )
    assert setup.start.phases == (
        Phase(id="b", after=("a",), complexity=2.5, allocate_tokens=100, calls=3),
        Phase(id="a", allocate_tokens=7),
    )
    assert setup.graph.order == ("a", "b")


def test_thresholds_become_facts(tmp_path: Path) -> None:
    text = """\
thresholds:
  warn: 50%
  critical: 100 below budget
  phases: {warn: 60%}
  layers:
    transient: {limit: 30%, critical: 90%}
    permanent: {limit: 500}
"""
    found = set_up(tmp_path, text + PHASES).start.thresholds
    assert (found.warn, found.critical) == (Limit(share_frac=0.5), Limit(below_tokens=100))
    assert (found.phase_warn_frac, found.phase_critical_frac) == (0.6, None)
    assert [(q.layer, q.limit, q.warn_frac, q.critical_frac) for q in found.quotas] == [
        (Layer.PERMANENT, Limit(tokens=500), 0.75, 0.95),
        (Layer.TRANSIENT, Limit(share_frac=0.3), 0.75, 0.9),
    ]


@pytest.mark.parametrize(
    ("text", "overrides", "model", "expected"),
    [
        ("model: large\nbudget: 50%\n", {}, "small", scale(32_000, 0, 16_000)),
        ("model: large\n", {}, None, None),
        ("model: large\n", {}, "unheard-of", None),
        ("window: 9000\n", {}, "small", None),
        ("model: large\n", {"window_tokens": 9000}, "small", None),
    ],
)
def test_an_agent_of_another_model_has_a_window_of_its_own(
    tmp_path: Path,
    text: str,
    overrides: dict[str, Any],
    model: str | None,
    expected: Scale | None,
) -> None:
    assert set_up(tmp_path, text + PHASES, **overrides).scale_of(model) == expected


@pytest.mark.parametrize(
    ("text", "overrides", "deliver"),
    [
        ("", {}, Deliver.TOGETHER),
        ("deliver: in_turn\n", {}, Deliver.IN_TURN),
        ("deliver: in_turn\n", {"deliver": Deliver.TOGETHER}, Deliver.TOGETHER),
    ],
)
def test_how_outputs_are_delivered(
    tmp_path: Path, text: str, overrides: dict[str, Any], deliver: Deliver
) -> None:
    assert set_up(tmp_path, text + PHASES, **overrides).deliver is deliver


def test_an_error_is_placed_once(tmp_path: Path) -> None:
    loaded = read_workflow(written(tmp_path, "name: x\n" + PHASES))
    for error, expected in [
        (ConfigError("m", location=("phases",)), f"{loaded.document.path}:2: phases: m"),
        (ConfigError("m"), f"{loaded.document.path}: m"),
        (ConfigError("m", path="other", line=9), "other:9: m"),
        (ConfigError("m", location=("--budget",)), "--budget: m"),
    ]:
        assert str(placed(error, loaded.document)) == expected
