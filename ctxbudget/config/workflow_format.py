"""The workflow format, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from ctxbudget.config.fields import (
    Count,
    Flag,
    Frac,
    Name,
    Probability,
    Seconds,
    ShareOfBudget,
    ShareOfWindow,
    SomeCount,
    SomeTokens,
    Strict,
    Text,
    Times,
    Tokens,
    Weight,
)
from ctxbudget.config.policy_format import PolicyFile
from ctxbudget.config.sizes import Size, Source, sources
from ctxbudget.core.errors import near_misses


class Deliver(StrEnum):
    """How the outputs of one wave reach the orchestrator."""

    TOGETHER = "together"
    """Every output arrives before the first is replaced."""
    IN_TURN = "in_turn"
    """Each output is replaced before the next arrives."""


class Mode(StrEnum):
    """How the agents that a phase lists run."""

    PARALLEL = "parallel"
    """All in one wave."""
    SEQUENTIAL = "sequential"
    """One wave each."""


class MetadataLayer(StrEnum):
    """Where the metadata of an output goes."""

    METADATA = "metadata"
    PERMANENT = "permanent"


def _refuse_twice(names: list[str], below: tuple[str | int, ...]) -> None:
    """Check that names differ; `below` is where they stand, from the mapping that is checked."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise PydanticCustomError(
            "twice",
            "the name {name} is there twice; rename or remove one of them",
            {"name": repr(twice[0]), "below": below},
        )


class ItemPart(Source):
    """An item that is in the prompt from the start, with its size."""

    id: Name = Field(description="What reports call it.")
    pinned: Flag = Field(False, description="No rule may touch it.")


class ToolsPart(Source):
    """The definitions of tools that are offered together, such as those of one server."""

    id: Name = Field(description="What phases and agents call it.")


class Turn(Strict):
    """What one call adds to its thread: the tool call it wrote and the result it got."""

    call: Size = Field(description="What the model writes: text, thinking, the tool's input.")
    result: Size = Field(description="What the tool answers.")
    tool: Text | None = Field(None, description="The tool's name, for rules that select by it.")


class AgentPart(Strict):
    """A worker with a context of its own that hands one output back."""

    id: Name = Field(description="What reports call it; unique within its phase.")
    output: Size = Field(description="What it hands back.")
    metadata: Size | None = Field(None, description="The short stand-in for its output.")
    metadata_to: MetadataLayer = Field(
        MetadataLayer.METADATA, description="The layer that the metadata goes to."
    )
    calls: SomeCount = Field(1, description="Model calls in its own thread.")
    prompt: Size | None = Field(None, description="Its instructions, in its own thread.")
    reads: tuple[Size, ...] = Field(
        (), description="What it reads before its first call, in its own thread."
    )
    turn: Turn | None = Field(None, description="What each of its calls but the last adds.")
    model: Text | None = Field(None, description="Its model, if not the phase's.")
    tools: tuple[Name, ...] | None = Field(
        None, description="The workflow's tools that it is offered, if not the phase's."
    )
    fails: Probability = Field(0.0, description="How likely a try leaves nothing but its cost.")
    tries: Times = Field(1, description="How often it is tried until one try does not fail.")

    @model_validator(mode="after")
    def _check_tries(self) -> AgentPart:
        if self.tries > 1 and not self.fails:
            raise PydanticCustomError(
                "agent",
                "`tries` needs `fails`, the probability that a try fails; add it, or leave `tries` out",
                {"below": ("tries",)},
            )
        return self


class WavePart(Strict):
    """Agents that run together; the next wave starts when all are done."""

    agents: tuple[AgentPart, ...] = Field(min_length=1, description="The agents of this wave.")
    items: tuple[ItemPart, ...] = Field((), description="Items that die with this wave.")

    @model_validator(mode="after")
    def _check_ids(self) -> WavePart:
        _refuse_twice([item.id for item in self.items], ("items",))
        return self


class RepeatPart(Strict):
    """A loop: after each time, the phase may be run again."""

    at_most: Times = Field(description="How often it runs at most, the first time included.")
    again: Probability = Field(description="How likely it is run again after each time.")


class PhasePart(Strict):
    """A step of the workflow. It works in the orchestrator's thread, through agents, or both."""

    id: Name = Field(description="What reports call it; unique in the workflow.")
    about: Text = Field("", description="What it is for.")
    after: tuple[Name, ...] = Field((), description="Phases whose outputs it needs.")
    allocate: ShareOfBudget | None = Field(None, description="Its grant, for the fixed allocator.")
    complexity: Weight = Field(1.0, description="Its weight, for the dynamic allocator.")
    mode: Mode = Field(Mode.PARALLEL, description="Whether its agents run together or in turn.")
    calls: Count | None = Field(
        None,
        description="Calls in the orchestrator's thread: after each wave, or in all if there are "
        "no agents. Default 1.",
    )
    output: Size | None = Field(None, description="What the orchestrator itself produces here.")
    metadata: Size | None = Field(None, description="The short stand-in for `output`.")
    metadata_to: MetadataLayer = Field(
        MetadataLayer.METADATA, description="The layer that the metadata of `output` goes to."
    )
    items: tuple[ItemPart, ...] = Field((), description="Items that die with the phase.")
    reads: tuple[Size, ...] = Field((), description="What the orchestrator reads at its start.")
    turn: Turn | None = Field(None, description="What each of the orchestrator's calls adds.")
    agents: tuple[AgentPart, ...] = Field((), description="Its agents, in one wave unless `mode`.")
    waves: tuple[WavePart, ...] = Field((), description="Its agents, in waves.")
    model: Text | None = Field(None, description="Its model, if not the workflow's.")
    tools: tuple[Name, ...] | None = Field(
        None, description="The workflow's tools that it is offered; default all, `[]` is none."
    )
    pause_s: Seconds = Field(0.0, description="A break before it; a long one lets the cache cool.")
    repeat: RepeatPart | None = Field(None, description="Whether its work is done again.")
    skip: Probability = Field(0.0, description="How likely it is left out.")

    @model_validator(mode="after")
    def _check_sense(self) -> PhasePart:
        if self.agents and self.waves:
            raise PydanticCustomError("phase", "expected `agents` or `waves`, found both")
        if self.output is not None and self.all_waves():
            raise PydanticCustomError(
                "phase", "expected `output` or agents, found both; give the output to an agent"
            )
        if self.metadata is not None and self.output is None:
            raise PydanticCustomError("phase", "`metadata` needs an `output` that it stands for")
        for key, names in self._ids().items():
            _refuse_twice(names, (key,))
        return self

    def offered(self) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
        """Yield the tools that it and its agents name, each with where they stand in it."""
        yield ("tools",), self.tools or ()
        for at, agent in enumerate(self.agents):
            yield ("agents", at, "tools"), agent.tools or ()
        for number, wave in enumerate(self.waves):
            for at, agent in enumerate(wave.agents):
                yield ("waves", number, "agents", at, "tools"), agent.tools or ()

    def _ids(self) -> dict[str, list[str]]:
        """Return the names that must differ, by the key under which they stand."""
        agents = [agent.id for wave in self.all_waves() for agent in wave.agents]
        return {
            "waves" if self.waves else "agents": agents,
            "items": [item.id for item in self.items],
            "after": list(self.after),
        }

    @property
    def may_repeat(self) -> bool:
        """Whether it may run more than once."""
        return self.repeat is not None and self.repeat.at_most > 1 and self.repeat.again > 0

    def all_waves(self) -> tuple[WavePart, ...]:
        """Return the waves, whichever way they were written."""
        if self.waves or not self.agents:
            return self.waves
        if self.mode is Mode.SEQUENTIAL:
            return tuple(WavePart(agents=(agent,)) for agent in self.agents)
        return (WavePart(agents=self.agents),)

    def main_calls(self) -> int:
        """Return how many calls it makes in the orchestrator's thread if it runs once."""
        each = 1 if self.calls is None else self.calls
        return each * max(1, len(self.all_waves()))


class QuotaPart(Strict):
    """A layer's share of the budget."""

    limit: ShareOfBudget = Field(description="Tokens, or a share of the budget.")
    warn: Frac = Field(0.75, description="Of the limit.")
    critical: Frac = Field(0.95, description="Of the limit.")


class PhaseLevels(Strict):
    """Levels within each phase's allocation; off unless set."""

    warn: Frac | None = Field(None, description="Of the allocation.")
    critical: Frac | None = Field(None, description="Of the allocation.")


class LayerQuotas(Strict):
    """Quotas by layer; a layer that is left out has none."""

    permanent: QuotaPart | None = Field(None, description="Of what lives for the whole run.")
    phase: QuotaPart | None = Field(None, description="Of what dies with its phase.")
    metadata: QuotaPart | None = Field(None, description="Of the stand-ins for outputs.")
    transient: QuotaPart | None = Field(None, description="Of full outputs and turns.")


class ThresholdsPart(Strict):
    """When a listener is told; strictly above counts."""

    warn: ShareOfBudget | None = Field(None, description="Default 75% of the budget.")
    critical: ShareOfBudget | None = Field(None, description="Default 95% of the budget.")
    phases: PhaseLevels = Field(default_factory=PhaseLevels, description="Within each phase.")
    layers: LayerQuotas = Field(default_factory=LayerQuotas, description="Within each layer.")


class BufferEvent(StrEnum):
    """Events upon which the overflow buffer may be drawn."""

    OVERRUN = "overrun"
    CRITICAL = "critical"


class AllocatorPart(Strict):
    """Which allocator shares the budget out, and how."""

    use: Text = Field(description="fixed, dynamic, reserve, or package.module:attribute.")
    rollover: Flag = Field(False, description="Unused tokens go to the phases that remain.")
    borrow: Flag = Field(False, description="Overruns are taken from the phases that remain.")
    fan_in_headroom: ShareOfBudget | None = Field(
        None, description="Held back from all grants, for outputs that arrive together."
    )
    core: Frac = Field(0.6, description="reserve: the share of the phases not named below.")
    debug_reserve: Frac = Field(0.2, description="reserve: the share of the phases named below.")
    overflow_buffer: Frac = Field(0.2, description="reserve: the share granted to nobody.")
    reserve_for: tuple[Name, ...] = Field((), description="reserve: phases that draw on it.")
    buffer_for: tuple[BufferEvent, ...] = Field(
        (), description="Events upon which a phase may draw on the buffer: overrun, critical."
    )

    @model_validator(mode="after")
    def _check_sum(self) -> AllocatorPart:
        if abs(self.core + self.debug_reserve + self.overflow_buffer - 1) > 1e-9:
            raise PydanticCustomError(
                "allocator", "core, debug_reserve and overflow_buffer must add up to 100%"
            )
        return self


class SizesPart(Strict):
    """Sizes of shorter forms that the workflow does not declare one by one (assumptions)."""

    metadata: Tokens = Field(250, description="Of an output without `metadata`.")
    clear: Tokens = Field(10, description="Of a placeholder.")
    snip: Tokens = Field(2000, description="Of head and tail, unless the rule says `to`.")
    digest: Frac = Field(0.1, description="Of a text that is not an output, as a share of it.")
    stub: Tokens = Field(5, description='Of a "done" note.')


def _name_or_inline(value: Any) -> str:
    return "<inline>" if isinstance(value, Mapping | Strict) else "<name>"


NameOrPolicy = Annotated[
    Annotated[Text, Tag("<name>")] | Annotated[PolicyFile, Tag("<inline>")],
    Discriminator(_name_or_inline),
]
NameOrAllocator = Annotated[
    Annotated[Text, Tag("<name>")] | Annotated[AllocatorPart, Tag("<inline>")],
    Discriminator(_name_or_inline),
]


class Workflow(Strict):
    """A workflow: phases that share one context budget."""

    name: Name | None = Field(None, description="What reports call it; default the file's name.")
    about: Text = Field("", description="What it is for.")
    model: Text | None = Field(
        None, description="The model; sets prices, cache and, unless given, the window."
    )
    window: SomeTokens | None = Field(None, description="The most tokens the model accepts.")
    reserve: Tokens = Field(0, description="Tokens kept free for the answer.")
    budget: ShareOfWindow | None = Field(
        None, description="Input tokens allowed; default window minus reserve."
    )
    thresholds: ThresholdsPart = Field(default_factory=ThresholdsPart, description="When to warn.")
    allocator: NameOrAllocator | None = Field(
        None, description="Default fixed if a phase has `allocate`, else dynamic."
    )
    policy: NameOrPolicy | None = Field(
        None,
        description=(
            "Default adaptive for one phase or 20 calls in a thread; else aggressive with more "
            "than 3 phases, else moderate."
        ),
    )
    deliver: Deliver = Field(Deliver.TOGETHER, description="How a wave's outputs arrive.")
    sizes: SizesPart = Field(default_factory=SizesPart, description="Assumed sizes.")
    counter: Text = Field("o200k_base", description="Counts text, files and globs; or `chars`.")
    root: Text | None = Field(
        None, description="Folder of `file` and `glob`: default the workflow's; or `package:NAME`."
    )
    call_s: Seconds = Field(10.0, description="Seconds that one call takes.")
    permanent: tuple[ItemPart, ...] = Field((), description="Items that live for the whole run.")
    tools: tuple[ToolsPart, ...] = Field(
        (), description="Definitions of tools, in the order in which they head the prompt."
    )
    phases: tuple[PhasePart, ...] = Field(min_length=1, description="The steps.")

    @model_validator(mode="after")
    def _check_ids(self) -> Workflow:
        _refuse_twice([item.id for item in self.permanent], ("permanent",))
        _refuse_twice([one.id for one in self.tools], ("tools",))
        for index, phase in enumerate(self.phases):
            for below, names in phase.offered():
                self._check_tools(names, ("phases", index, *below))
        return self

    def _check_tools(self, names: tuple[str, ...], below: tuple[str | int, ...]) -> None:
        known = [one.id for one in self.tools]
        _refuse_twice(list(names), below)
        for name in names:
            if name not in known:
                raise PydanticCustomError(
                    "tools",
                    "the workflow's `tools` have no {name}; {hint}",
                    {"name": repr(name), "hint": near_misses(name, known), "below": below},
                )

    def tools_of(self, phase: PhasePart, agent: AgentPart | None = None) -> tuple[ToolsPart, ...]:
        """Return the tools that a phase offers in the orchestrator's thread, or to an agent."""
        named = phase.tools if agent is None or agent.tools is None else agent.tools
        return tuple(one for one in self.tools if named is None or one.id in named)

    @property
    def is_uncertain(self) -> bool:
        """Whether chance has a say in it: two of its runs may differ."""
        agents = (agent for one in self.phases for wave in one.all_waves() for agent in wave.agents)
        return (
            any(size.spread is not None for size in sources(self))
            or any(one.skip > 0 or one.may_repeat for one in self.phases)
            or any(agent.fails > 0 for agent in agents)
        )
