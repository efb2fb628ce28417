"""Workflows of GitHub's Spec Kit: a sequence of steps, each run by a coding agent's command line.

Source: the step reference of Spec Kit (workflows/README.md of github/spec-kit), as of 2026: a step
without `type` is a command, each starts the agent anew, and steps run in the order of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ctxbudget.importing.parts import Part, in_short, new_id, plain
from ctxbudget.importing.plan import (
    MOST_TIMES,
    Format,
    Notes,
    Plan,
    Sized,
    Sizes,
    Step,
    Work,
    called,
)

NAME: Final = "a Spec Kit workflow"

ASKING: Final = ("command", "prompt")
"""Types of steps that call a model."""

PRINTING: Final = ("shell", "github", "init")
"""Types that run without one."""

NOTHING: Final = ("slot", "fan-in")
"""Types that only join, or stand for what may come."""

LOOPS: Final = ("while", "do-while")
MOST_STEPS: Final = 10_000

KNOWN: Final = frozenset(
    {"id", "type", "name", "description", "command", "prompt", "input", "model", "run", "message"}
    | {"options", "on_reject", "condition", "expression", "then", "else", "cases", "default"}
    | {"steps", "step", "items", "max_iterations", "max_concurrency", "wait_for", "output"}
    | {"integration", "workflow"}
)
LOST: Final = {"continue_on_error": "going on after a failure (`continue_on_error`)"}
TOP: Final = frozenset({"schema_version", "workflow", "steps"})
TOP_LOST: Final = {
    "requires": "what has to be installed (`requires`)",
    "inputs": "what is asked for when it runs (`inputs`); in prompts it counts as its name",
}
USED: Final = re.compile(r"\bsteps\.([\w-]+)\.output\b")


def is_spec_kit(whole: Part) -> bool:
    """Return whether a file looks like a workflow of Spec Kit."""
    content = whole.content
    return isinstance(content.get("steps"), list) and bool(
        {"workflow", "schema_version"} & set(content)
    )


def read(whole: Part, sizes: Sizes) -> Plan:
    """Return a workflow of Spec Kit as a plan.

    Raises:
        ConfigError: a step has no id, or one that is there twice.
    """
    reader = _Reader(sizes)
    reader.sequence(whole.some_parts("steps"))
    if not reader.steps:
        raise whole.error(
            "no step calls a model or runs anything; there is nothing to budget", "steps"
        )
    for key in whole.content:
        if key not in TOP:
            reader.lost.add(TOP_LOST.get(key, f"the key `{key}`"))
    reader.assumed.add("each step starts a coding agent anew, which reads what was written before")
    about = whole.part("workflow") or Part(whole.document, (), {})
    return Plan(
        name=plain(about.text("id") or about.text("name")) or "workflow",
        format=NAME,
        about=in_short(about.text("description") or about.text("name")),
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
    lines: dict[str, int] = field(default_factory=dict)
    condition: str = ""
    """Under which the steps run that are read now."""

    def sequence(self, parts: Sequence[Part]) -> None:
        """Take steps in that run one after the other."""
        for part in parts:
            name = self._name(part)
            kind = part.text("type") or ("prompt" if "prompt" in part.content else "command")
            self._note_keys(name, part, kind)
            if kind in LOOPS:
                self._loop(name, part)
            elif kind == "fan-out":
                self._fan_out(name, part)
            elif kind in ("if", "switch"):
                self._branch(name, part, kind)
            elif kind == "gate":
                self.lost.add("reviews by people; what comes after goes on (`gate`)", name)
            elif kind in PRINTING:
                printed = Sized(tokens=self.sizes.script_tokens, why="assumed: what it prints")
                self._add(Step(id=name, about=_about(part), printed=printed), part)
            elif kind not in NOTHING:
                self._add(Step(id=name, about=_about(part), waves=[[self._work(part)]]), part)

    def _name(self, part: Part) -> str:
        if len(self.lines) >= MOST_STEPS:
            raise part.error(f"expected at most {MOST_STEPS:,} steps; take some out")
        return new_id(part, self.lines)

    def _note_keys(self, name: str, part: Part, kind: str) -> None:
        for key in part.content:
            if key in LOST:
                self.lost.add(LOST[key], name)
            elif key not in KNOWN:
                self.lost.add(f"the key `{key}`", name)
        if kind == "workflow":
            self.lost.add("what other workflows hold; each stands as one step", name)
        elif kind not in (*ASKING, *PRINTING, *NOTHING, *LOOPS, "gate", "fan-out", "if", "switch"):
            self.lost.add(f"what a step of type `{plain(kind)}` does; it stands as a command", name)

    def _add(self, step: Step, part: Part) -> None:
        """Put a step behind the one before it; what it names besides, it needs too."""
        known = [one.id for one in self.steps]
        named = [name for name in USED.findall(str(part.content)) if name in known]
        after = dict.fromkeys([*known[-1:], *named])
        self.steps.append(replace(step, after=tuple(after), condition=self.condition))

    def _work(self, part: Part, suffix: str = "") -> Work:
        given = part.part("input")
        text = part.text("prompt")
        arguments = " ".join(str(one) for one in given.content.values()) if given else ""
        if text:
            prompt = Sized(tokens=self.sizes.count(text), why="counted")
        else:
            tokens = self.sizes.command_tokens + self.sizes.count(arguments)
            prompt = Sized(tokens=tokens, why="assumed: the command's text stands in another file")
        model, said = called(part.text("model"))
        return Work(
            id=(plain(part.text("command")) or "agent") + suffix,
            prompt=prompt,
            rounds=self.sizes.assumed.rounds,
            model=model,
            model_said=said,
            output=Sized(tokens=self.sizes.assumed.output_tokens),
        )

    # ---- control flow

    def _branch(self, name: str, part: Part, kind: str) -> None:
        """Take all branches in, each with its condition."""
        branches: list[tuple[str, Sequence[Part]]] = []
        if kind == "if":
            condition = in_short(part.text("condition"))
            branches = [(f"if {condition}", part.parts("then")), ("or else", part.parts("else"))]
        else:
            cases = part.part("cases")
            expression = in_short(part.text("expression"))
            for case in cases.content if cases is not None else ():
                if cases is not None:
                    branches.append((f"if {expression} is {plain(case)}", cases.parts(case)))
            branches.append(("or else", part.parts("default")))
        self.assumed.add(
            "each branch is taken in half of the runs, whatever the others are, and in the expected "
            "course",
            name,
        )
        outer = self.condition
        for condition, parts in branches:
            self.condition = f"it runs {condition}"
            self.sequence(parts)
        self.condition = outer

    def _loop(self, name: str, part: Part) -> None:
        iterations = part.count("max_iterations") or 1
        self.assumed.add(
            "each loop goes on in half of the cases, and in the expected course it runs once", name
        )
        if iterations > MOST_TIMES:
            self.lost.add(f"iterations of a loop beyond {MOST_TIMES}", name)
        asking = [one for one in part.parts("steps") if self._asks(one)]
        waves = [[self._work(one, f"_{self._inner(one)}")] for one in asking]
        step = Step(id=name, about=_about(part), waves=waves, at_most=min(iterations, MOST_TIMES))
        if waves:
            self._add(step, part)

    def _fan_out(self, name: str, part: Part) -> None:
        one = part.part("step")
        if one is None or not self._asks(one):
            return
        many = min(part.count("max_concurrency") or 3, MOST_TIMES)
        self.assumed.add(f"{many} agents side by side", name)
        wave = [self._work(one, f"_{number}") for number in range(1, many + 1)]
        self._add(Step(id=name, about=_about(part), waves=[wave]), part)

    def _asks(self, part: Part) -> bool:
        """Return whether a step within another one calls a model; note it if it does not."""
        kind = part.text("type") or ("prompt" if "prompt" in part.content else "command")
        if kind not in ASKING:
            self.lost.add(
                "steps inside of loops that are no commands or prompts", self._inner(part)
            )
        return kind in ASKING

    def _inner(self, part: Part) -> str:
        return plain(part.text("id")) or "step"


def _about(part: Part) -> str:
    return in_short(part.text("description") or part.text("name"))


FORMAT: Final = Format(
    name="spec-kit",
    title=NAME,
    looked_for="a list `steps` beside `workflow` or `schema_version`",
    recognizes=is_spec_kit,
    read=read,
)
