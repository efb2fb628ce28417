"""A recorded session as steps: one for each call, with what came in before it and what it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import CallStarted, ItemAdded, Withdrawn
from ctxbudget.core.types import MAIN, Item, Kind, Layer
from ctxbudget.drafting.work import AGENT_TOOLS, Work, work_of
from ctxbudget.replay.recorded_run import RecordedRun
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.facts import PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a tool answered."""

    tokens: int
    is_file: bool
    """Whether it is the reading of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAgent:
    """A sub-agent that has handed something back."""

    prompt_tokens: int
    """Of the tool call that started it."""
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a recorded thread. All sizes are in the provider's tokens.

    Attributes:
        at_s: when it was asked, in seconds since 1970; 0 where that is not recorded.
        ttl_s: the lifetime of the cache that it wrote to; None if it does not show.
        prompt_tokens: of the prompt, as the provider counted it, and of all that the host has
            compacted before, less what stands in for it.
        is_compacted: whether the host compacted the prompt right before.
        compacted_tokens: of `prompt_tokens`, what the host's compactions had taken out.
        prefix_tokens, system_tokens: of the first call alone: what stands ahead of all else.
        said_tokens: came in before it otherwise, and is no tool's answer.
        has_prompt: whether a user's word is among that.
        results: the tools' answers that came in before it, but for the agents'.
        agents: sub-agents that handed something back before it.
        wrote_tokens: of what it wrote, what stays in the prompt.
        answer_tokens: of its text, if it called no tool; else 0.
        tools: the tools that it called.
        work: what kind of work that was; None if they do not tell.
    """

    at_s: float
    model: str
    prompt_tokens: int
    ttl_s: float | None = None
    is_compacted: bool = False
    compacted_tokens: int = 0
    prefix_tokens: int = 0
    system_tokens: int = 0
    said_tokens: int = 0
    has_prompt: bool = False
    results: tuple[Result, ...] = ()
    agents: tuple[SubAgent, ...] = ()
    wrote_tokens: int = 0
    answer_tokens: int = 0
    tools: tuple[str, ...] = ()
    work: Work | None = None

    @property
    def sent_tokens(self) -> int:
        """Of the prompt as it was sent."""
        return self.prompt_tokens - self.compacted_tokens


@dataclass(slots=True)
class _Between:
    """What the facts say of what changed between two calls."""

    added: list[Item] = field(default_factory=list)
    withdrawn: list[Withdrawn] = field(default_factory=list)
    call: CallStarted | None = None


def steps_of(exchanges: Sequence[Exchange], run: RecordedRun) -> list[Step]:
    """Return the steps of a session, from its calls and the run that was made of them.

    Raises:
        SourceError: the run is not of these calls.
    """
    betweens = list(_betweens(run))
    calls = [one for one in betweens if one.call is not None]
    if len(calls) != len(exchanges):
        raise SourceError(
            f"{len(exchanges):,} calls are recorded and {len(calls):,} are in the run; "
            "name one session"
        )
    items = {item.id: item for one in betweens for item in one.added}
    reader = _Reader(items)
    return [
        reader.step(exchange, between) for exchange, between in zip(exchanges, calls, strict=True)
    ]


def _betweens(run: RecordedRun) -> Iterator[_Between]:
    """Yield what stands between a main thread's calls, and what follows the last one."""
    found = _Between()
    for fact in run.facts:
        if isinstance(fact, ItemAdded) and fact.thread == MAIN:
            found.added.append(fact.item)
        elif isinstance(fact, Withdrawn) and fact.thread == MAIN:
            found.withdrawn.append(fact)
        elif isinstance(fact, CallStarted) and fact.thread == MAIN:
            found.call = fact
            yield found
            found = _Between()
    yield found


class _Reader:
    """Follows a session, call by call."""

    def __init__(self, items: dict[str, Item]) -> None:
        self._items = items
        self._compacted_tokens = 0
        self._calls: dict[str, Item] = {}
        """The calls of tools that start sub-agents, by group."""
        self._wrote: set[str] = set()
        self._is_first = True

    def step(self, exchange: Exchange, between: _Between) -> Step:
        """Return a call as a step."""
        stand_ins = self._compact(between)
        came = [
            item
            for item in between.added
            if item.id not in self._wrote and item.id not in stand_ins
        ]
        agents, results, others = self._sorted(came)
        prefix, base, rest = self._base(others)
        self._wrote.update(part.id for part in exchange.wrote)
        wrote = [self._items[part.id] for part in exchange.wrote if part.id in self._items]
        self._calls.update(
            (item.group, item) for item in wrote if item.group and _starts_agent(item)
        )
        called = [(part.tool, part.block) for part in exchange.wrote if part.kind is Kind.TOOL_CALL]
        texts = [item.tokens for item in wrote if item.kind is Kind.ASSISTANT]
        said = {part.id for part in exchange.came if _is_prompt(part)}
        return Step(
            at_s=exchange.at_s,
            model=exchange.model,
            prompt_tokens=exchange.tokens.prompt_tokens + self._compacted_tokens,
            ttl_s=exchange.ttl_s,
            compacted_tokens=self._compacted_tokens,
            is_compacted=bool(stand_ins) or any(one.is_compaction for one in between.withdrawn),
            prefix_tokens=prefix,
            system_tokens=base,
            said_tokens=rest,
            has_prompt=any(item.id in said for item in others),
            results=tuple(results),
            agents=tuple(agents),
            wrote_tokens=sum(item.tokens for item in wrote),
            answer_tokens=0 if called else sum(texts),
            tools=tuple(tool for tool, _ in called if tool),
            work=work_of(called),
        )

    def _base(self, others: list[Item]) -> tuple[int, int, int]:
        """Return the tokens of the hidden prefix, of the system's texts, and of all else."""
        is_first, self._is_first = self._is_first, False
        # A later version of the prefix is no news: it is the same text, shortened.
        news = [item for item in others if item.id != PREFIX]
        base = [item for item in news if is_first and item.layer is Layer.PERMANENT]
        base_tokens = sum(item.tokens for item in base)
        prefix = sum(item.tokens for item in others if item.id == PREFIX) if is_first else 0
        return prefix, base_tokens, sum(item.tokens for item in news) - base_tokens

    def _compact(self, between: _Between) -> set[str]:
        """Note what the host's compactions took; return what stands in for it."""
        stand_ins: set[str] = set()
        for one in between.withdrawn:
            if one.is_compaction:
                gone = sum(self._items[name].tokens for name in one.items if name in self._items)
                stand_ins.update(one.into)
                self._compacted_tokens += gone - self._tokens(one.into)
        return stand_ins

    def _tokens(self, names: Iterable[str]) -> int:
        return sum(self._items[name].tokens for name in names if name in self._items)

    def _sorted(self, came: list[Item]) -> tuple[list[SubAgent], list[Result], list[Item]]:
        """Return what came in: from sub-agents, from other tools, and otherwise."""
        outputs: dict[str, int] = {}
        results: list[Result] = []
        others: list[Item] = []
        for item in came:
            if item.kind is not Kind.TOOL_RESULT:
                others.append(item)
            elif item.group is not None and item.group in self._calls:
                outputs[item.group] = outputs.get(item.group, 0) + item.tokens
            else:
                results.append(Result(tokens=item.tokens, is_file=item.source is not None))
        agents = [
            SubAgent(prompt_tokens=self._calls[group].tokens, output_tokens=tokens)
            for group, tokens in outputs.items()
        ]
        return agents, results, others


def _starts_agent(item: Item) -> bool:
    return item.kind is Kind.TOOL_CALL and (item.tool or "").lower() in AGENT_TOOLS


def _is_prompt(part: Part) -> bool:
    return part.kind is Kind.USER and not part.is_injected
