"""Workflows of the BMAD method: a sequence of personas that create, update and check documents.

Source: the workflows of bmad-code-org/BMAD-METHOD (version 4), as of 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from ctxbudget.importing.parts import Part, in_short, plain
from ctxbudget.importing.plan import Format, Notes, Plan, Sized, Sizes, Step, Work

NAME: Final = "a workflow of the BMAD method"

DOES: Final = {"creates": "", "updates": "update_", "validates": "validate_"}
"""Keys that name a document, with what a step's name says of it."""

KNOWN: Final = frozenset(
    {*DOES, "agent", "action", "requires", "notes", "uses", "condition", "optional", "repeats"}
    | {"optional_steps", "step", "description"}
)
FOR_PEOPLE: Final = ("flow_diagram", "decision_guidance", "handoff_prompts")
TOP: Final = frozenset({"id", "name", "description", "type", "project_types", "sequence"})
EVERYTHING: Final = "all_"
"""How the name of what stands for all documents begins."""

_ASIDE: Final = re.compile(r"\s*\([^)]*\)\s*$")


def is_bmad(whole: Part) -> bool:
    """Return whether a file looks like a workflow of BMAD."""
    workflow = whole.content.get("workflow")
    return isinstance(workflow, dict) and isinstance(workflow.get("sequence"), list)


def read(whole: Part, sizes: Sizes) -> Plan:
    """Return a workflow of BMAD as a plan.

    Raises:
        ConfigError: the sequence is empty, or a part of it is of the wrong kind.
    """
    workflow = whole.part("workflow")
    if workflow is None:
        raise whole.error("is required and missing; add it", "workflow")
    reader = _Reader(sizes)
    for part in workflow.some_parts("sequence"):
        reader.take(part)
    if not reader.steps:
        raise workflow.error("no step has an `agent`; there is nothing to budget", "sequence")
    texts = [key for key in FOR_PEOPLE if key in workflow.content]
    if texts:
        reader.lost.add(f"texts for people: {', '.join(texts)}")
    for key in workflow.content:
        if key not in TOP and key not in FOR_PEOPLE:
            reader.lost.add(f"the key `{key}`")
    reader.assumed.add("each step is a new chat, which reads the documents that it requires")
    return Plan(
        name=plain(workflow.text("id") or workflow.text("name")) or "workflow",
        format=NAME,
        about=in_short(workflow.text("description")),
        steps=reader.steps,
        assumptions=reader.assumed.sentences(),
        left_out=reader.lost.sentences(),
    )


@dataclass(slots=True)
class _Reader:
    sizes: Sizes
    steps: list[Step] = field(default_factory=list)
    lost: Notes = field(default_factory=Notes)
    assumed: Notes = field(default_factory=Notes)
    makers: dict[str, str] = field(default_factory=dict)
    """The step that wrote each document last."""

    def take(self, part: Part) -> None:
        """Take a step in."""
        agent = plain(part.text("agent"))
        if not agent:
            what = plain(part.text("step") or part.text("action")) or "a step"
            self.lost.add("steps without an agent, which are for people", what)
            return
        name = self._name(part, agent)
        self._note_keys(name, part)
        needs = self._needs(name, part)
        work = Work(
            id=agent,
            prompt=Sized(
                tokens=self.sizes.command_tokens + self.sizes.count(part.text("notes")),
                why="assumed: the persona stands in another file; its notes are counted",
            ),
            reads=[
                Sized(tokens=self.sizes.assumed.output_tokens, why=f"{one}, assumed")
                for one in needs
            ],
            rounds=self.sizes.assumed.rounds,
            output=Sized(tokens=self.sizes.assumed.output_tokens),
        )
        before = [self.steps[-1].id] if self.steps else []
        after = dict.fromkeys(self.makers[one] for one in needs) or before
        self.steps.append(
            Step(
                id=name,
                about=in_short(part.text("description")),
                after=tuple(after),
                waves=[[work]],
                condition=self._condition(name, part),
            )
        )
        for key in ("creates", "updates"):
            for one in part.names(key):
                self.makers[_document(one)] = name

    def _name(self, part: Part, agent: str) -> str:
        """Return a name for a step, which has none of its own: who does what."""
        done = part.text("action")
        for key, prefix in DOES.items():
            if not done and part.names(key):
                done = prefix + PurePosixPath(_document(part.names(key)[0])).stem
        name = first = plain(f"{agent}_{done}" if done else agent)
        taken = {step.id for step in self.steps}
        number = 1
        while name in taken:
            number += 1
            name = f"{first}_{number}"
        return name

    def _needs(self, name: str, part: Part) -> list[str]:
        """Return the documents that a step reads, of those that a step before it has written."""
        found: list[str] = []
        for one in [*part.names("requires"), *part.names("validates"), *part.names("updates")]:
            document = _document(one)
            if document in self.makers:
                found.append(document)
            elif document.startswith(EVERYTHING):
                found += self.makers
            elif one in part.names("requires"):
                self.lost.add(f"`{plain(document)}`, which no step before creates", name)
        return list(dict.fromkeys(found))

    def _condition(self, name: str, part: Part) -> str:
        condition = in_short(part.text("condition"))
        if not condition and part.content.get("optional") is not True:
            return ""
        self.assumed.add(
            "a step with a condition, or an optional one, is done in half of the runs, and in the "
            "expected course",
            name,
        )
        return f"it is done if {condition}" if condition else "it is optional"

    def _note_keys(self, name: str, part: Part) -> None:
        if "repeats" in part.content:
            self.lost.add("repetitions; each step runs once (`repeats`)", name)
        if "optional_steps" in part.content:
            self.lost.add("steps within a step that may be done (`optional_steps`)", name)
        for key in part.content:
            if key not in KNOWN:
                self.lost.add(f"the key `{key}`", name)


def _document(text: str) -> str:
    """Return a document's name without what is said of it: `prd.md (if needed)`."""
    return _ASIDE.sub("", text).strip() or text


FORMAT: Final = Format(
    name="bmad",
    title=NAME,
    looked_for="`workflow` with a list `sequence` of `agent` and `creates`",
    recognizes=is_bmad,
    read=read,
)
