"""Tests of the workflow format: what a phase means, and what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ROOT, written

from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow
from ctxbudget.config.workflow_format import PhasePart
from ctxbudget.core.errors import ConfigError

SHIPPED = sorted((ROOT / "workflows").glob("*.yaml"))


def read(folder: Path, text: str, name: str = "flow.yaml") -> LoadedWorkflow:
    return read_workflow(written(folder, text, name))


def phase(folder: Path, text: str) -> PhasePart:
    return read(folder, f"phases:\n  - {{id: a, {text}}}").workflow.phases[0]


A, B = "{id: x, output: 1}", "{id: y, output: 2}"


@pytest.mark.parametrize(
    ("text", "waves", "calls"),
    [
        ("output: 5", [], 1),
        ("output: 5, calls: 3", [], 3),
        ("calls: 0", [], 0),
        (f"agents: [{A}, {B}]", [["x", "y"]], 1),
        (f"agents: [{A}, {B}], mode: parallel", [["x", "y"]], 1),
        (f"agents: [{A}, {B}], mode: sequential", [["x"], ["y"]], 2),
        (f"agents: [{A}, {B}], mode: sequential, calls: 3", [["x"], ["y"]], 6),
        (f"agents: [{A}], calls: 0", [["x"]], 0),
        (f"waves: [{{agents: [{A}]}}, {{agents: [{B}]}}], calls: 2", [["x"], ["y"]], 4),
    ],
)
def test_what_a_phase_runs(tmp_path: Path, text: str, waves: list[list[str]], calls: int) -> None:
    found = phase(tmp_path, text)
    assert [[agent.id for agent in wave.agents] for wave in found.all_waves()] == waves
    assert found.main_calls() == calls


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"agents: [{A}], waves: [{{agents: [{B}]}}]", "expected `agents` or `waves`, found both"),
        (f"agents: [{A}], output: 5", "expected `output` or agents, found both; give the output"),
        (f"waves: [{{agents: [{A}]}}], output: 5", "expected `output` or agents, found both"),
        ("metadata: 5", "`metadata` needs an `output` that it stands for"),
        ("about: [a]", "about: expected text, found ['a']"),
        (f"agents: [{A}, {A}]", "agents: the name 'x' is there twice; rename or remove one"),
        (f"waves: [{{agents: [{A}]}}, {{agents: [{A}]}}]", "waves: the name 'x' is there twice"),
        ("waves: [{agents: []}]", "waves[0].agents: expected a list of 1 or more, found []"),
        ("items: [{id: i, tokens: 1}, {id: i, text: x}]", "items: the name 'i' is there twice"),
        (f"waves: [{{agents: [{A}], items: [{{id: i, tokens: 1}}, {{id: i, tokens: 1}}]}}]",
         "waves[0].items: the name 'i' is there twice"),
        ("after: [b, c, b]", "after: the name 'b' is there twice"),
        ("after: b", "after: expected a list, found 'b'"),
        ("mode: both", "mode: expected 'parallel' or 'sequential', found 'both'"),
        ("metadata_to: phase, output: 1", "metadata_to: expected 'metadata' or 'permanent', found"),
        ("agents: [{id: x}]", "agents[0].output: is required and missing; add it"),
        ("agents: [{id: x, output: 1, calls: 0}]", "agents[0].calls: expected 1 or more, found 0"),
        ("agents: [x]", "agents[0]: expected keys and values (id, output, metadata"),
        ("turn: {call: 5}", "turn.result: is required and missing; add it"),
        ("complexity: 0", "complexity: expected a number above 0, found 0"),
        ("pause_s: -1", "pause_s: expected a number of seconds, 0 or more, found -1"),
    ],
)  # fmt: skip
def test_a_phase_that_makes_no_sense(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        phase(tmp_path, text)
    separator = ": " if error[0] == "`" or error.startswith("expected") else "."
    expected = f"{tmp_path / 'flow.yaml'}:2: phases[0]{separator}{error}"
    assert str(raised.value).startswith(expected)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "1: phases: is required and missing; add it"),
        ("phases: []", "1: phases: expected a list of 1 or more, found []"),
        ("phases:", "1: phases: expected a list, found nothing"),
        ("phases: {a: 1}", "1: phases: expected a list, found {'a': 1}"),
        ("name: x\nphases: [a]", "2: phases[0]: expected keys and values (id, about, after"),
        ("name: x\nphases:\n- output: 5", "3: phases[0].id: is required and missing; add it"),
        ("phase: []", "1: phase: unknown key; did you mean 'phases'?"),
        ("thresholds: 5\nphases: [{id: a}]", "1: thresholds: expected keys and values (warn, crit"),
        ("deliver: x\nphases: [{id: a}]", "1: deliver: expected 'together' or 'in_turn', found 'x'"),
        ("window: 0\nphases: [{id: a}]", "1: window: expected 1 or more, found 0"),
        ("policy: [x]\nphases: [{id: a}]", "1: policy: expected text, found ['x']"),
        ("policy: {}\nphases: [{id: a}]", "1: policy.name: is required and missing; add it"),
        ("allocator: {}\nphases: [{id: a}]", "1: allocator.use: is required and missing; add it"),
        ("allocator: {use: dynamic, core: 50%}\nphases: [{id: a}]",
         "1: allocator: core, debug_reserve and overflow_buffer must add up to 100%"),
        ("allocator: {use: dynamic, buffer_for: [warn]}\nphases: [{id: a}]",
         "1: allocator.buffer_for[0]: expected 'overrun' or 'critical', found 'warn'"),
        ("permanent: [{id: a, tokens: 1}, {id: a, tokens: 2}]\nphases: [{id: a}]",
         "1: permanent: the name 'a' is there twice"),
        ("thresholds: {layers: {transint: {limit: 5}}}\nphases: [{id: a}]",
         "1: thresholds.layers.transint: unknown key; did you mean 'transient'?"),
    ],
)  # fmt: skip
def test_a_workflow_that_makes_no_sense(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'flow.yaml'}:{error}")


@pytest.mark.parametrize(
    ("text", "file", "name"),
    [
        ("name: mine\n", "f.yaml", "mine"),
        ("name: 7\n", "f.yaml", "7"),
        ("", "flöw 漢.v2.yaml", "flöw 漢.v2"),
    ],
)
def test_a_workflow_is_called_by_its_name_or_file(
    tmp_path: Path, text: str, file: str, name: str
) -> None:
    loaded = read(tmp_path, f"{text}phases: [{{id: a}}]", file)
    assert (loaded.name, loaded.folder) == (name, tmp_path)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("", None),
        ("policy:", None),
        ("policy: none", "none"),
        ("policy: masking:keep=3", "masking:keep=3"),
        ("policy: 5", "5"),
        ("policy: ''", ""),
        ("policy: {name: mine, params: {k: 1}}", {"name": "mine", "params": {"k": 1}}),
    ],
)
def test_the_policy_is_kept_as_written(tmp_path: Path, text: str, spec: object) -> None:
    assert read(tmp_path, f"{text}\nphases: [{{id: a}}]").policy_spec == spec


def test_unicode_everywhere(tmp_path: Path) -> None:
    loaded = read(
        tmp_path,
        "name: 計画\npermanent: [{id: Ziel ✓, tokens: 1}]\n"
        "phases:\n- {id: запуск}\n- {id: 👩‍💻, after: [запуск], agents: [{id: é, output: 1}]}\n",
        "поток.yaml",
    )
    ids = [part.id for part in loaded.workflow.phases]
    assert (loaded.name, ids) == ("計画", ["запуск", "👩‍💻"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_workflow_is_read(path: Path) -> None:
    loaded = read_workflow(path)
    assert loaded.name == path.stem
    assert loaded.workflow.about
