"""Workflows of Archon: a graph of nodes, each a prompt, a command, a script or a loop of these.

Source: the schema of its nodes (packages/workflows/src/schemas/dag-node.ts of coleam00/Archon), as
of 2026: a node has exactly one of the keys in `KINDS`, and `depends_on`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ctxbudget.core.events import Phase
from ctxbudget.core.graph import PhaseGraph
from ctxbudget.importing.parts import Part, ids_of, in_short, known_names, plain, refuse_circles
from ctxbudget.importing.plan import (
    MOST_ROUNDS,
    MOST_TIMES,
    Format,
    Notes,
    Plan,
    Sized,
    Sizes,
    Step,
    Work,
    bridged,
    called,
)

NAME: Final = "an Archon workflow"

AI: Final = ("prompt", "command", "loop", "loop_group", "include")
SCRIPTS: Final = ("bash", "script")
PEOPLE: Final = ("approval", "cancel", "wait")
KINDS: Final = (*AI, *SCRIPTS, *PEOPLE)

TIERS: Final = {"small": "haiku", "medium": "sonnet", "large": "opus"}
"""What Archon's sizes of models are taken for with Claude; its configuration may say other ones."""

WHOLE_OUTPUT: Final = re.compile(r"\$([A-Za-z0-9_-]+)\.output\b(?!\.\w)")
"""Where a prompt takes in the whole output of another node."""

CARRIED: Final = frozenset(
    {*KINDS, "id", "depends_on", "model", "context", "agents", "description", "output_format"}
    | {"allowed_tools", "provider", "systemPrompt", "when", "retry"}
)
NO_BEARING: Final = frozenset(
    {"timeout", "idle_timeout", "runtime", "deps", "denied_tools", "effort", "hooks", "always_run"}
    | {"output_type", "betas", "sandbox", "fallbackModel", "pi"}
)
"""Keys that change nothing about how many tokens stand in a prompt, or not by how much one knows."""

LOST: Final = {
    "trigger_rule": "rules for joining (`trigger_rule`); a phase waits for all that it needs",
    "mcp": "the definitions of tools from MCP servers (`mcp`)",
    "skills": "the texts of skills (`skills`)",
    "persist_session": "what a session of an earlier run still holds (`persist_session`)",
    "maxBudgetUsd": "limits in money (`maxBudgetUsd`)",
    "thinking": "tokens for thinking (`thinking`)",
}
TOP: Final = frozenset(
    {"name", "description", "provider", "model", "nodes", "interactive", "worktree", "tags"}
    | {"mutates_checkout", "effort", "betas", "sandbox", "fallbackModel"}
)
CLAUDE: Final = ("", "claude")


def is_archon(whole: Part) -> bool:
    """Return whether a file looks like a workflow of Archon."""
    nodes = whole.content.get("nodes")
    return isinstance(nodes, list) and any(
        isinstance(node, dict) and not {"id", *KINDS}.isdisjoint(node) for node in nodes
    )


def read(whole: Part, sizes: Sizes) -> Plan:
    """Return a workflow of Archon as a plan.

    Raises:
        ConfigError: an id is missing or there twice, a node needs one that is not there, or nodes
            need each other in a circle.
    """
    reader = _Reader(sizes, whole.text("provider").lower())
    steps = reader.steps(whole.some_parts("nodes"))
    if not steps:
        raise whole.error(
            "no step calls a model or runs anything; there is nothing to budget", "nodes"
        )
    for key in whole.content:
        if key not in TOP and key not in NO_BEARING:
            reader.lost.add(LOST.get(key, f"the key `{key}`"))
    model, said = reader.model_of(whole, "")
    return Plan(
        name=plain(whole.text("name")) or "workflow",
        format=NAME,
        about=in_short(whole.text("description")),
        model=model,
        model_said=said,
        steps=steps,
        assumptions=reader.assumed.sentences(),
        left_out=reader.lost.sentences(),
    )


@dataclass(slots=True)
class _Reader:
    sizes: Sizes
    provider: str
    lost: Notes = field(default_factory=Notes)
    assumed: Notes = field(default_factory=Notes)
    outputs: dict[str, int] = field(default_factory=dict)
    """Tokens that each node hands on, for prompts that take them in."""

    def steps(self, nodes: Sequence[Part]) -> list[Step]:
        """Return the nodes as steps, in the order of the file."""
        named = dict(zip(ids_of(nodes), nodes, strict=True))
        needs = {name: known_names(node, "depends_on", named) for name, node in named.items()}
        refuse_circles(named, needs, "depends_on")
        gone = [name for name, node in named.items() if _kind(node) in PEOPLE]
        for name in gone:
            self.lost.add("people's decisions and waiting; what comes after goes on", name)
        after = bridged(needs, gone)
        self.outputs = {name: self._output(node).tokens for name, node in named.items()}
        together = _sharing(named, needs)
        if together:
            said = "these work in one session, one after the other, which is the main thread here"
            self.assumed.add(said, "")
            for name in together:
                self.assumed.add(said, name)
        self.assumed.add(
            f"{self.sizes.assumed.rounds} rounds of tools for each prompt, unless its list of tools "
            "is empty"
        )
        return [
            self._step(name, node, after[name], shares=name in together)
            for name, node in named.items()
            if name in after
        ]

    def _step(self, name: str, node: Part, after: Sequence[str], *, shares: bool) -> Step:
        self._note_keys(name, node)
        step = Step(
            id=name,
            about=in_short(node.text("description")),
            after=after,
            condition=self._condition(name, node),
        )
        kind = _kind(node)
        if kind in SCRIPTS:
            return replace(step, printed=self._output(node))
        if kind == "loop_group":
            return self._group(step, node)
        if kind == "loop":
            return self._loop(step, node)
        sub_agents = self._sub_agents(name, node)
        if shares:
            if sub_agents:
                self.lost.add("the last answer of a step that has sub-agents in the session", name)
            own = self._work(name, node, "session")
            return replace(step, own=own, waves=[sub_agents] if sub_agents else [])
        reads = [Sized(tokens=one.output.tokens, why=f"from {one.id}") for one in sub_agents]
        agent = self._work(name, node, "agent", reads)
        return replace(step, waves=[sub_agents, [agent]] if sub_agents else [[agent]])

    def _condition(self, name: str, node: Part) -> str:
        condition = in_short(node.text("when"))
        if condition:
            self.assumed.add(
                "each condition is true in half of the runs, whatever the others are, and in the "
                "expected course all are true",
                name,
            )
        return f"it runs if {condition}" if condition else ""

    def _note_keys(self, name: str, node: Part) -> None:
        for key in node.content:
            if key in LOST:
                self.lost.add(LOST[key], name)
            elif key not in CARRIED and key not in NO_BEARING:
                self.lost.add(f"the key `{key}`", name)
        if _kind(node) == "include":
            self.lost.add("what other workflows hold; each stands as one step (`include`)", name)
        if not _kind(node):
            self.lost.add("what a step does whose kind is not known; it stands as a prompt", name)

    # ---- conversations

    def _work(self, name: str, node: Part, called_id: str, reads: Sequence[Sized] = ()) -> Work:
        """Return what a prompt or a command does."""
        model, said = self.model_of(node, name)
        rounds = 0 if node.content.get("allowed_tools") == [] else self.sizes.assumed.rounds
        return Work(
            id=plain(node.text("command")) or called_id,
            prompt=self._prompt(node),
            reads=[*reads, *self._taken_in(node)],
            rounds=rounds,
            calls_why="it has no tools" if not rounds else "",
            model=model,
            model_said=said,
            output=self._output(node),
            tries=self._tries(name, node),
        )

    def _tries(self, name: str, node: Part) -> int:
        retry = node.part("retry")
        if retry is None:
            return 1
        self.assumed.add("one try in ten fails, of what is tried again", name)
        return min((retry.count("max_attempts") or 2) + 1, MOST_TIMES)

    def _prompt(self, node: Part) -> Sized:
        text = node.text("prompt") + node.text("systemPrompt")
        if text:
            return Sized(tokens=self.sizes.count(text), why="counted")
        return Sized(tokens=self.sizes.command_tokens, why="assumed: it stands in another file")

    def _taken_in(self, node: Part) -> list[Sized]:
        """Return the outputs of other nodes that a prompt takes in whole."""
        names = dict.fromkeys(WHOLE_OUTPUT.findall(node.text("prompt")))
        return [
            Sized(tokens=self.outputs[name], why=f"the output of {name}")
            for name in names
            if name in self.outputs
        ]

    def _output(self, node: Part) -> Sized:
        if _kind(node) in SCRIPTS:
            return Sized(tokens=self.sizes.script_tokens, why="assumed: what it prints")
        if "output_format" in node.content:
            return Sized(tokens=self.sizes.script_tokens, why="assumed: an answer with a schema")
        return Sized(tokens=self.sizes.assumed.output_tokens)

    def _sub_agents(self, name: str, node: Part) -> list[Work]:
        """Return the sub-agents that a node's agent may start."""
        agents = node.part("agents")
        found = []
        for one in agents.content if agents is not None else ():
            part = agents.part(one) if agents is not None else None
            if part is None:
                continue
            model, said = self.model_of(part, name)
            rounds = min(part.count("maxTurns") or self.sizes.assumed.rounds, MOST_ROUNDS)
            found.append(
                Work(
                    id=plain(one) or "agent",
                    prompt=self._prompt(part),
                    rounds=rounds,
                    model=model,
                    model_said=said,
                    output=Sized(tokens=self.sizes.script_tokens, why="assumed"),
                )
            )
        if found:
            self.assumed.add("sub-agents run once each, before the one that starts them", name)
        return found

    # ---- loops

    def _iterations(self, name: str, control: Part) -> int:
        iterations = control.count("max_iterations") or 1
        if iterations > MOST_TIMES:
            self.lost.add(f"iterations of a loop beyond {MOST_TIMES}", name)
        if control.content.get("interactive") is True:
            self.lost.add("what people say between the iterations of a loop", name)
        return min(iterations, MOST_TIMES)

    def _loop(self, step: Step, node: Part) -> Step:
        """Return a loop over one prompt: with new threads, or one that goes on for all of it."""
        control = node.part("loop")
        if control is None:
            raise node.error("expected keys and values, found nothing", "loop")
        iterations = self._iterations(step.id, control)
        both = {**node.content, **control.content}
        once = self._work(step.id, Part(node.document, node.at, both), "agent")
        if control.content.get("fresh_context") is True:
            self._assume_chance(step.id)
            return replace(step, waves=[[once]], at_most=iterations)
        calls = once.rounds + 1
        self.assumed.add(
            "a loop within one session goes on for as long as it may (`max_iterations`)", step.id
        )
        whole = replace(
            once,
            rounds=iterations * calls - 1,
            calls_why=f"{iterations} iterations of {calls}, the most",
        )
        return replace(step, waves=[[whole]])

    def _group(self, step: Step, node: Part) -> Step:
        """Return a loop over several nodes: its prompts as agents, one after the other."""
        control = node.part("loop_group")
        if control is None:
            raise node.error("expected keys and values, found nothing", "loop_group")
        nodes = control.some_parts("nodes")
        named = dict(zip(ids_of(nodes), nodes, strict=True))
        needs = {one: known_names(part, "depends_on", named) for one, part in named.items()}
        refuse_circles(named, needs, "depends_on")
        self._assume_chance(step.id)
        step = replace(step, at_most=self._iterations(step.id, control))
        order = PhaseGraph([Phase(id=one, after=tuple(needs[one])) for one in named]).order
        asking = [one for one in order if _kind(named[one]) not in (*SCRIPTS, *PEOPLE)]
        for one in order:
            self._note_keys(one, named[one])
            if one not in asking:
                self.lost.add("steps without a model inside of loops", one)
            elif _kind(named[one]) in ("loop", "loop_group"):
                self.lost.add("loops inside of loops; each stands as one prompt", one)
        if not asking:
            return replace(step, printed=Sized(tokens=self.sizes.script_tokens))
        works = [replace(self._work(one, named[one], "agent"), id=plain(one)) for one in asking]
        return replace(step, waves=[[work] for work in works])

    def _assume_chance(self, name: str) -> None:
        self.assumed.add(
            "each loop goes on in half of the cases, and in the expected course it runs once", name
        )

    # ---- models

    def model_of(self, part: Part, name: str) -> tuple[str, str]:
        """Return a model as prices know it, and what the file calls it if that differs."""
        said = part.text("model").strip()
        if not said or said == "inherit":
            return "", ""
        provider = part.text("provider").lower() or self.provider
        if said in TIERS and provider not in CLAUDE:
            self.lost.add(f"the model {said} of {provider}, which its configuration names", name)
            return "", ""
        return called(said, TIERS.get(said, ""))


def _kind(node: Part) -> str:
    return next((kind for kind in KINDS if kind in node.content), "")


def _sharing(nodes: Mapping[str, Part], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the nodes that continue another one's session, or whose session is continued.

    Source: the executor of the nodes, as of 2026: nodes that may run together have sessions of
    their own, and so have those with `context: fresh`; any other continues the session of the
    prompt before it. A script leaves the session as it is, a loop has its own.
    """
    graph = PhaseGraph([Phase(id=name, after=tuple(needs[name])) for name in nodes])
    shared: dict[str, None] = {}
    before: str | None = None
    for wave in graph.waves():
        if len(wave) > 1:
            before = None
            continue
        (name,) = wave
        kind = _kind(nodes[name])
        if kind in (*SCRIPTS, *PEOPLE):
            continue
        if kind not in ("prompt", "command"):
            before = None
            continue
        if before is not None and nodes[name].text("context") != "fresh":
            shared |= {before: None, name: None}
        before = name
    return list(shared)


FORMAT: Final = Format(
    name="archon",
    title=NAME,
    looked_for="a list `nodes` with `id` and `depends_on`",
    recognizes=is_archon,
    read=read,
)
