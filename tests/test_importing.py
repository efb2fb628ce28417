"""Tests of `ctxbudget import`: files of other tools, written here in their schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from commands import Command, Ran, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxbudget.cli.import_ import command
from ctxbudget.cli.new_workflow import checked
from ctxbudget.config.document import parse_document
from ctxbudget.core.errors import ConfigError
from ctxbudget.importing import FORMATS, Part, Sizes, as_data, as_yaml, recognized
from ctxbudget.importing.parts import in_short, plain
from ctxbudget.importing.plan import Notes, bridged
from ctxbudget.writing.assumed import Assumed

ARCHON = """
name: shop-fix
description: Fix what a ticket says.
provider: claude
model: sonnet
nodes:
  - id: fetch
    bash: cat ticket.txt
    timeout: 5000
  - id: triage
    prompt: Sort this ticket.\\n\\n$fetch.output
    depends_on: [fetch]
    model: small
    allowed_tools: []
    output_format: {type: object}
  - id: repair
    command: repair-it
    depends_on: [triage]
  - id: look-left
    prompt: Look left, with $repair.output and $triage.output.kind
    depends_on: [repair]
    when: "$triage.output.kind == 'left'"
    retry: {max_attempts: 2}
    mcp: left.json
  - id: look-right
    prompt: Look right.
    depends_on: [repair]
    context: fresh
  - id: sign-off
    approval: {message: Fine?}
    depends_on: [look-left, look-right]
    trigger_rule: one_success
  - id: polish
    depends_on: [sign-off]
    loop:
      prompt: Polish it.
      until: DONE
      max_iterations: 4
      fresh_context: true
  - id: chat
    depends_on: [polish]
    loop: {prompt: Talk about it., max_iterations: 3, interactive: true}
"""

SPEC_KIT = """
schema_version: "1.0"
workflow: {id: garden, name: Plan a garden, description: Beds and paths.}
inputs:
  plot: {type: string}
steps:
  - id: survey
    command: garden.survey
    input: {args: "{{ inputs.plot }}"}
  - id: agree
    type: gate
    message: Shall we?
    on_reject: abort
  - id: design
    prompt: Draw the beds.
    model: opus
  - id: branch
    type: if
    condition: "{{ inputs.plot == 'large' }}"
    then:
      - {id: wide-paths, command: garden.paths}
    else:
      - {id: narrow-paths, command: garden.paths}
  - id: check
    type: shell
    run: make check
  - id: again
    type: do-while
    condition: "{{ steps.check.output.exit_code != 0 }}"
    max_iterations: 6
    steps:
      - {id: mend, command: garden.mend}
  - id: plant
    type: fan-out
    max_concurrency: 2
    step: {id: bed, prompt: "Plant it, as {{ steps.survey.output.file }} says."}
  - id: gather
    type: fan-in
    wait_for: [plant]
"""

BEARING: dict[str, Any] = {
    "project": "pond",
    "description": "Dig a pond.",
    "context_format": "structured",
    "tasks": [
        {
            "id": "t1",
            "name": "Dig",
            "prompt": "Dig a hole.",
            "config": {"cli": "claude", "model": "sonnet", "max_turns": 12, "budget_usd": 2.0},
            "depends_on": [],
            "checkpoint": "pause",
            "on_failure": "retry_once",
            "relevant_files": ["src/pond.js", "README.md"],
            "result": {"status": "queued", "turns_used": 0},
        },
        {
            "id": "t2",
            "name": "Fill",
            "prompt": "Fill it.",
            "config": {"cli": "codex", "model": "gpt-5", "max_turns": 30},
            "depends_on": ["t1"],
            "checkpoint": "auto",
            "result": {"status": "completed", "turns_used": 7, "summary": "It is full now."},
        },
    ],
}

BMAD = """
workflow:
  id: bakery
  name: A bakery's site
  description: From the idea to the shop.
  type: greenfield
  sequence:
    - agent: analyst
      creates: brief.md
      optional_steps: [brainstorming]
      notes: Ask about bread.
    - agent: pm
      creates: plan.md
      requires: brief.md
    - agent: pm
      updates: plan.md (if needed)
      condition: baker_disagrees
      requires: recipes.md
    - agent: analyst/pm
      validates: all_artifacts
      optional: true
    - step: tell_the_baker
      notes: Walk over.
    - agent: dev
      action: build
      creates: site
      requires: plan.md
      repeats: for_each_page
  flow_diagram: A to B
"""

FILES = {
    "archon.yaml": ARCHON,
    "spec_kit.yml": SPEC_KIT,
    "bearing.json": json.dumps(BEARING, indent=1),
    "bmad.yaml": BMAD,
}


@pytest.fixture
def imported(ctxbudget: Command, tmp_path: Path) -> Callable[..., Ran]:
    """Return what imports one of the files above, or a text."""

    def run(name: str, *options: object, text: str | None = None) -> Ran:
        path = written(tmp_path, FILES[name] if text is None else text, name)
        return ctxbudget("import", path, *options)

    return run


def phases_of(ran: Ran) -> dict[str, dict[str, Any]]:
    assert ran.code == 0, ran.err
    return {phase["id"]: phase for phase in yaml.safe_load(ran.out)["phases"]}


@pytest.mark.parametrize("name", FILES)
def test_what_is_imported_is_valid_and_simulates(
    ctxbudget: Command, imported: Callable[..., Ran], tmp_path: Path, name: str
) -> None:
    flow = tmp_path / "flow.yaml"
    ran = imported(name, "-o", flow)
    assert (ran.code, ran.out) == (0, "")
    assert ctxbudget("validate", flow).code == 0
    found = ctxbudget("simulate", flow, "--json").json
    assert found["run"]["sent_tokens"] > 0
    assert f"peaks at {found['run']['peak_tokens']:,} tokens" in ran.err
    assert max(map(len, flow.read_text(encoding="utf-8").splitlines())) <= 100


@pytest.mark.parametrize("name", FILES)
def test_json_and_yaml_say_the_same(imported: Callable[..., Ran], name: str) -> None:
    assert imported(name, "--json").json == yaml.safe_load(imported(name).out)


@pytest.mark.parametrize("name", FILES)
def test_what_is_left_out_is_told_and_stands_in_the_file(
    imported: Callable[..., Ran], name: str
) -> None:
    ran = imported(name)
    told = [line.partition("left out: ")[2] for line in ran.err.splitlines() if "left out" in line]
    comments = " ".join(line[2:] for line in ran.out.splitlines() if line.startswith("# "))
    assert len(told) >= 2
    for one in told:
        assert f"Left out: {one}" in comments


# ---- each format


def test_archon(imported: Callable[..., Ran]) -> None:
    ran = imported("archon.yaml")
    found = phases_of(ran)
    assert list(found) == [
        "fetch", "triage", "repair", "look-left", "look-right", "polish", "chat",
    ]  # fmt: skip
    assert (found["fetch"]["calls"], found["fetch"]["output"]) == (0, 300)
    # One after the other without `context: fresh`: one session, which is the main thread.
    assert (found["triage"]["calls"], found["repair"]["calls"]) == (1, 9)
    assert found["triage"]["model"] == "claude-haiku-4-5"
    assert found["triage"]["reads"] == [300]
    assert "agents" not in found["repair"]
    # Side by side: a thread each. Only a whole output is taken in whole.
    (left,) = found["look-left"]["agents"]
    assert (found["look-left"]["calls"], left["calls"], left["reads"]) == (0, 9, [3000])
    assert (left["tries"], left["fails"], found["look-left"]["skip"]) == (3, "10%", "50%")
    assert "reads" not in found["look-right"]["agents"][0]
    # The approval is gone, what it needed is not.
    assert found["polish"]["after"] == ["look-left", "look-right"]
    assert found["polish"]["repeat"] == {"at_most": 4, "again": "50%"}
    assert found["polish"]["agents"][0]["calls"] == 9
    # A loop within one session: three times nine calls.
    assert found["chat"]["agents"][0]["calls"] == 27
    assert yaml.safe_load(ran.out)["model"] == "claude-sonnet-4-6"
    assert "people's decisions and waiting; what comes after goes on: sign-off" in ran.err
    assert "(`mcp`): look-left" in ran.err
    assert "between the iterations of a loop: chat" in ran.err


def test_archon_counts_prompts_and_assumes_commands(imported: Callable[..., Ran]) -> None:
    out = imported("archon.yaml").out
    assert "tokens: 1500} # assumed: it stands in another file" in out
    assert "prompt: 3 # counted" in out  # Look right.


def test_archon_sub_agents_loops_over_nodes_and_what_is_not_known(
    imported: Callable[..., Ran],
) -> None:
    text = """
nodes:
  - id: sort
    prompt: Sort them.
    agents:
      brief: {description: One, prompt: Read one., model: haiku, maxTurns: 2}
  - id: round
    depends_on: [sort]
    loop_group:
      max_iterations: 900
      nodes:
        - {id: say, prompt: Say it., depends_on: [hear]}
        - {id: hear, bash: cat}
  - {id: other, depends_on: [round], include: block}
  - {id: odd, teleport: home, depends_on: [other]}
"""
    ran = imported("archon.yaml", text=text)
    found = phases_of(ran)
    assert [agent["id"] for agent in found["sort"]["agents"]] == ["brief", "agent"]
    assert found["sort"]["mode"] == "sequential"
    assert [agent["calls"] for agent in found["sort"]["agents"]] == [3, 9]
    assert found["sort"]["agents"][1]["reads"] == [300]
    assert [agent["id"] for agent in found["round"]["agents"]] == ["say"]
    assert found["round"]["repeat"]["at_most"] == 50
    for note in (
        "iterations of a loop beyond 50: round",
        "steps without a model inside of loops: hear",
        "(`include`): other",
        "the key `teleport`: odd",
        "whose kind is not known; it stands as a prompt: odd",
    ):
        assert note in ran.err
    # Most steps name no model, so the workflow has none of its own.
    assert "model" not in yaml.safe_load(ran.out)
    assert yaml.safe_load(ran.out)["window"] == 200_000


@pytest.mark.parametrize(("third", "model"), [(", model: haiku", "claude-opus-4-8"), ("", None)])
def test_the_commonest_model_is_the_workflows_if_each_step_names_one(
    imported: Callable[..., Ran], third: str, model: str | None
) -> None:
    text = (
        "nodes:\n  - {id: a, prompt: x, model: opus}\n  - {id: b, prompt: x, model: opus}\n"
        f"  - {{id: c, prompt: x{third}}}\n"
    )
    ran = imported("archon.yaml", text=text)
    assert yaml.safe_load(ran.out).get("model") == model
    agents = [phase["agents"][0].get("model") for phase in phases_of(ran).values()]
    named = "claude-opus-4-8"
    assert agents == ([None, None, "claude-haiku-4-5"] if model else [named, named, None])


def test_models_of_other_providers_are_not_guessed(imported: Callable[..., Ran]) -> None:
    text = "provider: codex\nnodes: [{id: a, prompt: Go., model: large}]"
    ran = imported("archon.yaml", text=text)
    assert "model" not in phases_of(ran)["a"]["agents"][0]
    assert "the model large of codex, which its configuration names: a" in ran.err


def test_spec_kit(imported: Callable[..., Ran]) -> None:
    ran = imported("spec_kit.yml")
    found = phases_of(ran)
    assert list(found) == [
        "survey", "design", "wide-paths", "narrow-paths", "check", "again", "plant",
    ]  # fmt: skip
    assert found["survey"]["agents"][0]["id"] == "garden.survey"
    assert found["survey"]["agents"][0]["prompt"] > 1500
    assert found["design"]["after"] == ["survey"]
    assert found["design"]["agents"][0]["model"] == "claude-opus-4-8"
    assert found["wide-paths"]["skip"] == found["narrow-paths"]["skip"] == "50%"
    assert "skip" not in found["check"]
    assert found["check"]["calls"] == 0
    assert found["again"]["repeat"] == {"at_most": 6, "again": "50%"}
    assert [agent["id"] for agent in found["plant"]["agents"]] == ["agent_1", "agent_2"]
    # What it names, it needs, beside what comes before it.
    assert found["plant"]["after"] == ["again", "survey"]
    assert "(`gate`): agree" in ran.err
    assert "it runs if {{ inputs.plot == 'large' }}" in ran.out


def test_bearing(imported: Callable[..., Ran]) -> None:
    ran = imported("bearing.json")
    found = phases_of(ran)
    (dig,), (fill,) = found["t1"]["agents"], found["t2"]["agents"]
    assert (dig["id"], dig["calls"], dig["reads"]) == ("claude", 12, [2000, 2000])
    assert (dig["tries"], "tries" in fill) == (2, False)
    # What has run says how often it asked, and what it handed on.
    assert (fill["id"], fill["calls"], fill["output"]) == ("codex", 7, 5)
    assert fill["model"] == "gpt-5"
    assert found["t2"]["after"] == ["t1"]
    assert "2000 # src/pond.js" in ran.out
    assert "(`budget_usd`): t1" in ran.err
    assert "(`checkpoint`): t1" in ran.err


def test_bmad(imported: Callable[..., Ran]) -> None:
    ran = imported("bmad.yaml")
    found = phases_of(ran)
    assert list(found) == [
        "analyst_brief", "pm_plan", "pm_update_plan", "analyst-pm_validate_all_artifacts",
        "dev_build",
    ]  # fmt: skip
    assert found["pm_plan"]["after"] == ["analyst_brief"]
    # Nobody creates recipes.md; the plan that it updates was the pm's.
    assert found["pm_update_plan"]["after"] == ["pm_plan"]
    assert found["pm_update_plan"]["skip"] == "50%"
    assert found["analyst-pm_validate_all_artifacts"]["after"] == [
        "analyst_brief",
        "pm_update_plan",
    ]
    assert found["dev_build"]["after"] == ["pm_update_plan"]
    assert len(found["analyst-pm_validate_all_artifacts"]["agents"][0]["reads"]) == 2
    assert "`recipes.md`, which no step before creates: pm_update_plan" in ran.err
    assert "for people: tell_the_baker" in ran.err
    assert "(`repeats`): dev_build" in ran.err


def test_sizes_that_are_assumed_can_be_said(imported: Callable[..., Ran]) -> None:
    ran = imported("bmad.yaml", "--rounds", "0", "--outputs", "small")
    (agent,) = phases_of(ran)["pm_plan"]["agents"]
    assert (agent["calls"], agent["output"], agent["metadata"]) == (1, 1000, 100)
    assert "turn" not in agent
    assert imported("bmad.yaml", "--rounds", "few").error == (
        "--rounds: expected a whole number up to 10,000, found 'few'"
    )


# ---- what cannot be imported


def test_other_files_are_refused_with_what_was_looked_for(imported: Callable[..., Ran]) -> None:
    error = imported("x.yaml", text="hello: 1\nworld: 2").error
    for known in ("Archon", "`depends_on`", "Spec Kit", "bearing", "BMAD", "`sequence`"):
        assert known in error
    assert "found `hello`, `world`." in error
    error = imported("x.yaml", text="phases: [{id: a}]").error
    assert "is a workflow of ctxbudget already" in error


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "nodes:\n  - id: a\n    prompt: x\n  - id: a\n    prompt: y",
         ":4: nodes[1].id: 'a' is there twice, first on line 2"),
        ("a.yaml", "nodes:\n  - id: alpha\n    prompt: x\n    depends_on: [alfa]",
         ":4: nodes[0].depends_on[0]: there is no 'alfa'; did you mean 'alpha'?"),
        ("a.yaml", "nodes:\n  - {id: a, prompt: x, depends_on: [c]}\n"
                   "  - {id: b, prompt: x, depends_on: [a]}\n  - {id: c, prompt: x, depends_on: b}",
         "a → c → b → a; remove one"),
        ("a.yaml", "nodes:\n  - id: a\n   prompt: [", ":3: not YAML: "),
        ("a.yaml", "nodes:\n  - id: a/b\n    prompt: x", ":2: nodes[0].id: expected a name without"),
        ("a.yaml", "nodes:\n  - prompt: x", "nodes[0].id: is required and missing; add it"),
        ("a.yaml", "nodes:\n  - id: a\n    loop: {max_iterations: many}",
         ":3: nodes[0].loop.max_iterations: expected a whole number from 1 up, found 'many'"),
        ("a.yaml", "nodes:\n  - id: a\n    prompt: [x]", "nodes[0].prompt: expected text, found"),
        ("a.yml", "workflow: {}\nsteps:\n  - {id: a, type: gate}", ":2: steps: no step calls a model"),
        ("a.yml", "workflow: {}\nsteps:\n  - {id: a, command: x}\n  - {id: a, command: y}",
         ":4: steps[1].id: 'a' is there twice, first on line 3"),
        ("a.json", '{"tasks": [{"id": "a", "prompt": "x", "depends_on": ["b"]}]}',
         "tasks[0].depends_on[0]: there is no 'b'"),
        ("a.json", '{"tasks": [{"id": "a", "prompt": "x"},]', "not YAML"),
        ("a.yaml", "workflow: {sequence: [{step: walk}]}", "no step has an `agent`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    imported: Callable[..., Ran], name: str, text: str, said: str
) -> None:
    error = imported(name, text=text).error
    assert f"{name}:" in error
    assert said in error


def test_files_are_not_replaced(
    ctxbudget: Command, imported: Callable[..., Ran], tmp_path: Path
) -> None:
    flow = tmp_path / "flow.yaml"
    assert imported("bmad.yaml", "--out", flow).code == 0
    assert "is there already" in imported("bmad.yaml", "-o", flow).error
    assert imported("bmad.yaml", "-o", flow, "--force").code == 0
    own = tmp_path / "bmad.yaml"
    assert "is the file to read itself" in ctxbudget("import", own, "-o", own, "--force").error
    assert own.read_text(encoding="utf-8") == BMAD
    assert "no such file" in ctxbudget("import", tmp_path / "nothing.yaml").error
    assert "needs a file to replace" in imported("bmad.yaml", "--force").error


def test_the_formats_that_can_be_named() -> None:
    (option,) = [one for one in command.params if one.name == "format_name"]
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(FORMATS)


def test_a_format_can_be_named(imported: Callable[..., Ran]) -> None:
    assert (
        "nodes: expected a list of one or more"
        in imported("a.yaml", "--from", "archon", text="a: 1").error
    )
    text = "nodes: [{prompt: hi, id: a}]\nsteps: [{id: b, command: c}]"
    assert list(phases_of(imported("a.yaml", text=text))) == ["a"]
    assert list(phases_of(imported("a.yaml", "--from", "spec-kit", text=text))) == ["b"]


# ---- the parts


def test_gone_steps_are_bridged() -> None:
    needs = {"a": [], "gate": ["a"], "gate2": ["gate", "a"], "b": ["gate2"], "c": ["b", "gate"]}
    assert bridged(needs, ["gate", "gate2"]) == {"a": (), "b": ("a",), "c": ("b", "a")}


def test_names_and_texts_from_elsewhere() -> None:
    assert plain(" a/b\n c\x1b[2J ") == "a-b c[2J"
    assert in_short("word " * 100).endswith(" word …")
    assert len(in_short("word " * 100)) <= 302


def test_notes_name_each_step_once_and_cut_long_lists() -> None:
    notes = Notes()
    for number in [*range(10), 3]:
        notes.add("gone", f"s{number}")
    notes.add("alone")
    assert notes.sentences() == ("gone: s0, s1, s2, s3, s4, s5, s6, s7 and 2 more", "alone")


def sizes() -> Sizes:
    return Sizes(assumed=Assumed(), count=lambda text: len(text.split()))


KINDS = st.sampled_from(
    [
        {"prompt": "Do it with $n0.output"},
        {"command": "do-it"},
        {"bash": "ls"},
        {"approval": {"message": "?"}},
        {"loop": {"prompt": "x", "max_iterations": 3}},
        {"loop": {"prompt": "x", "max_iterations": 3, "fresh_context": True}},
        {"loop_group": {"max_iterations": 2, "nodes": [{"id": "in", "prompt": "x"}]}},
        {"prompt": "x", "agents": {"help": {"description": "d", "prompt": "p"}}},
        {"prompt": "x", "context": "fresh", "when": "a: b # c", "model": "large"},
        {"unknown": "\u2028: x"},
    ]
)


@given(st.lists(KINDS, min_size=1, max_size=8), st.integers(0, 2**64))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_graph_of_nodes_becomes_a_workflow(kinds: list[dict[str, Any]], edges: int) -> None:
    """Each step but the people's is there, and what is needed comes first."""
    nodes = [
        {
            "id": f"n{number}",
            "depends_on": [f"n{i}" for i in range(number) if edges >> (8 * number + i) & 1],
        }
        | kind
        for number, kind in enumerate(kinds)
    ]
    whole = Part.whole(parse_document(json.dumps({"name": "x", "nodes": nodes}), "x.json"))
    kept = [node["id"] for node in nodes if "approval" not in node]
    if not kept:
        return
    plan = recognized(whole).read(whole, sizes())
    text = as_yaml(plan, sizes(), "x.json", lambda model: None)
    found = checked(text, "x.yaml")
    assert [phase.id for phase in found.setup.loaded.workflow.phases] == kept
    assert parse_document(text, "x.yaml").content == as_data(plan, sizes(), lambda model: None)


@pytest.mark.parametrize("count", [1, 3])
def test_only_people_make_no_workflow(count: int) -> None:
    nodes = [{"id": f"n{number}", "approval": {}} for number in range(count)]
    whole = Part.whole(parse_document(json.dumps({"nodes": nodes}), "x.json"))
    with pytest.raises(ConfigError, match="there is nothing to budget"):
        recognized(whole).read(whole, sizes())
