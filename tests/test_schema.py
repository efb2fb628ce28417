"""Tests of the JSON Schemas: they are the format, they describe it, and shipped files hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, written
from jsonschema import Draft202012Validator

from ctxbudget.config.document import parse_document
from ctxbudget.config.schema import MODELS, schema_text

FOLDERS = {"workflow": ROOT / "workflows", "policy": ROOT / "policies"}
SHIPPED = [
    (kind, path) for kind, folder in FOLDERS.items() for path in sorted(folder.glob("*.yaml"))
]
SCHEMAS: dict[str, dict[str, Any]] = {kind: json.loads(schema_text(kind)) for kind in MODELS}


@pytest.mark.parametrize("kind", MODELS)
def test_the_file_is_what_the_command_prints(ctxbudget: Command, kind: str) -> None:
    printed = json.loads(ctxbudget("schema", kind).out)  # the order of keys is pydantic's own
    file = json.loads((FOLDERS[kind] / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert printed == file, "run `make schema`"
    Draft202012Validator.check_schema(printed)


def test_the_workflow_is_the_default(ctxbudget: Command) -> None:
    assert ctxbudget("schema").out == ctxbudget("schema", "workflow").out


def properties(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of a schema with where it stands."""
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            yield from properties(one, f"{place}/{number}")
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties":
                yield from ((f"{place}/{name}", one) for name, one in value.items())
            yield from properties(value, f"{place}/{key}")


@pytest.mark.parametrize("kind", MODELS)
def test_every_property_is_described(kind: str) -> None:
    found = dict(properties(SCHEMAS[kind]))
    assert len(found) > 30
    assert [place for place, one in found.items() if not one.get("description")] == []


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[path.stem for _, path in SHIPPED])
def test_a_shipped_file_holds_to_its_schema(kind: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={kind}.schema.json"
    Draft202012Validator(SCHEMAS[kind]).validate(parse_document(text, str(path)).content)


FLOWS = [
    ("phases: [{id: a}]", True),
    ("phases: [{id: 0, output: {text: x}, metadata: {file: y}}]", True),
    ("budget: 75%\nphases: [{id: a}]", True),
    ("budget: 0.75\nphases: [{id: a}]", True),
    ("budget: 13000 below hard_limit\nphases: [{id: a}]", True),
    ("budget: {smaller_of: [75%, 150000]}\nphases: [{id: a}]", True),
    ("policy: none\nphases: [{id: a}]", True),
    ("policy: {name: p, params: {k: 2}, rules: [{on: [warn], do: drop, why: x, when: {min_items: $k}}]}"
     "\nphases: [{id: a}]", True),
    ("thresholds: {layers: {phase: {limit: 5%}}, phases: {warn: 0.5}}\nphases: [{id: a}]", True),
    ("{}", False),
    ("phases: []", False),
    ("phases: [{}]", False),
    ("phases: [{id: a, outptu: 5}]", False),
    ("phases: [{id: a, output: -5}]", False),
    ("phases: [{id: a, output: 2.5}]", False),
    ("phases: [{id: a, output: true}]", False),
    ("phases: [{id: a, output: {}}]", False),
    ("phases: [{id: a, output: {tokens: 1, text: x}}]", False),
    ("phases: [{id: a, calls: -1}]", False),
    ("phases: [{id: a, complexity: 0}]", False),
    ("phases: [{id: a, pause_s: -1}]", False),
    ("phases: [{id: a, agents: [{id: x, output: 1, calls: 0}]}]", False),
    ("reserve: -1\nphases: [{id: a}]", False),
    ("phases: [{id: a, mode: both}]", False),
    ("phases: [{id: [a]}]", False),
    ("budget: x%\nphases: [{id: a}]", False),
    ("budget: '75'\nphases: [{id: a}]", False),
    ("budget: true\nphases: [{id: a}]", False),
    ("budget: 30% of wndow\nphases: [{id: a}]", False),
    ("budget: {smaller_of: []}\nphases: [{id: a}]", False),
    ("window: 0\nphases: [{id: a}]", False),
    ("permanent: [{id: x, tokens: 1, pinned: yes}]\nphases: [{id: a}]", False),
    ("policy: {name: p, rules: [{on: idle, do: drop, why: x}]}\nphases: [{id: a}]", False),
    ("policy: {name: p, rules: [{on: [], do: drop, why: x}]}\nphases: [{id: a}]", False),
    ("policy: {name: p, rules: [{on: warn, do: drop}]}\nphases: [{id: a}]", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "is_fine"), FLOWS, ids=[text[:50] for text, _ in FLOWS])
def test_an_editor_and_the_command_agree(
    ctxbudget: Command, tmp_path: Path, text: str, is_fine: bool
) -> None:
    content = parse_document(text, "f.yaml").content
    assert Draft202012Validator(SCHEMAS["workflow"]).is_valid(content) is is_fine
    (tmp_path / "y").touch()
    assert ctxbudget("validate", written(tmp_path, text)).code == (0 if is_fine else 2)
