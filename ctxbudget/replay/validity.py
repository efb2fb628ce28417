"""Whether the prompts of a what-if are valid: pairs are whole, nothing pinned is gone, sums hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    AgentStarted,
    CallSent,
    CallStarted,
    Fact,
    ItemAdded,
    Registered,
    Withdrawn,
)
from ctxbudget.core.types import Item, Kind
from ctxbudget.replay.recorded_run import RecordedRun

PAIRED = frozenset({Kind.TOOL_CALL, Kind.TOOL_RESULT})


class Fault(StrEnum):
    """What can be wrong with a prompt."""

    PARTED = "missing, though another member of its group is there"
    RESULT_FIRST = "a result ahead of its call"
    GOAL_GONE = "the user's goal is missing"
    KEPT_GONE = "pinned or permanent, and missing"
    KEPT_CHANGED = "pinned or permanent, and in another version"
    TWICE = "in the prompt twice"
    SUM = "the prompt's tokens are not the sum of its items'"
    LIMIT = "the prompt is over the hard limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with one prompt."""

    call: int
    """As in `CallSent`: 1-based within the thread."""
    thread: str
    item: str | None
    """None for what concerns the prompt as a whole."""
    what: Fault


@dataclass(slots=True, eq=False)
class _Pair:
    """Tool calls of one group and their results; a call after a result begins another pair."""

    calls: dict[str, None] = field(default_factory=dict)
    results: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Thread:
    """What the world has put into a thread's prompt and not taken back."""

    limit_tokens: int | None = None
    goal: str | None = None
    kept: dict[str, int] = field(default_factory=dict)
    """The version of each item that no policy may touch."""
    pair_of: dict[str, _Pair] = field(default_factory=dict)
    """Of each tool call and result."""
    _latest: dict[str, _Pair] = field(default_factory=dict)
    """Of each group."""

    def came(self, item: Item) -> None:
        if self.goal is None and item.kind is Kind.USER:
            self.goal = item.id
        if item.untouchable or item.id == self.goal:
            self.kept[item.id] = item.version
        if item.group is not None and item.kind in PAIRED:
            pair = self._latest.get(item.group)
            if pair is None or (item.kind is Kind.TOOL_CALL and pair.results):
                pair = self._latest[item.group] = _Pair()
            members = pair.calls if item.kind is Kind.TOOL_CALL else pair.results
            members[item.id] = None
            self.pair_of[item.id] = pair

    def went(self, item: str) -> None:
        self.kept.pop(item, None)
        pair = self.pair_of.pop(item, None)
        if pair is not None:
            pair.calls.pop(item, None)
            pair.results.pop(item, None)
        if item == self.goal:
            self.goal = None


class Validity:
    """Takes note of each prompt of one what-if that is not as every provider and user expects.

    What the host itself took back, or never brought, is no policy's fault. Each call costs time in
    proportion to its prompt.

    Args:
        run: the run that is replayed.
        limit_tokens: the hard limit; None does not check it. An agent's own one goes first.
        ignores_compactions: whether the what-if leaves out the host's own; it always does for a
            bound that never prunes.

    Attributes:
        problems: what was wrong, in order; what stays wrong is noted at each call.
        prompts: how many were looked at.
    """

    def __init__(
        self,
        run: RecordedRun,
        limit_tokens: int | None = None,
        *,
        ignores_compactions: bool = False,
    ) -> None:
        self.problems: list[Problem] = []
        self.prompts = 0
        self._facts = _facts(run, ignores_compactions=ignores_compactions)
        self._limit_tokens = limit_tokens
        self._threads: defaultdict[str, _Thread] = defaultdict(lambda: _Thread(limit_tokens))
        self._registered = set[str]()
        """What the engine takes out itself when the phase that needed it ends."""

    def sent(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
    ) -> None:
        """Look at the prompt of the run's next call.

        Raises:
            SourceError: the run's next call is of another thread, or there is none.
        """
        self._catch_up(call)
        self.prompts += 1
        prompt, thread = tuple(items), self._threads[call.thread]
        places = {item.id: place for place, item in enumerate(prompt)}
        faults = (
            *_sums(call, prompt, places, thread),
            *_lacking(prompt, places, thread),
            *_pairs(prompt, places, thread),
        )
        self.problems += (
            Problem(call=call.call, thread=call.thread, item=item, what=what)
            for item, what in faults
        )
        thread.kept |= {
            item.id: item.version
            for item in prompt
            if item.untouchable and item.id not in self._registered and item.id not in thread.kept
        }

    def _catch_up(self, call: CallSent) -> None:
        """Take in the facts up to a call."""
        for fact in self._facts:
            if not isinstance(fact, CallStarted):
                self._take(fact)
            elif fact.thread == call.thread:
                return
            else:
                break
        raise SourceError(
            f"call {call.call} of thread {call.thread!r} is not the run's next; give each what-if "
            "a Validity of its own, with the run that it replays",
            at=call.at,
        )

    def _take(self, fact: Fact) -> None:
        if isinstance(fact, ItemAdded):
            self._threads[fact.thread].came(fact.item)
        elif isinstance(fact, Withdrawn):
            for name in fact.items:
                self._threads[fact.thread].went(name)
        elif isinstance(fact, Registered):
            self._registered.add(fact.item.id)
        elif isinstance(fact, AgentStarted):
            limit_tokens = self._limit_tokens
            if limit_tokens is not None and fact.scale is not None:
                limit_tokens = fact.scale.hard_limit_tokens
            self._threads[fact.thread] = _Thread(limit_tokens)


def _facts(run: RecordedRun, *, ignores_compactions: bool) -> Iterator[Fact]:
    left_out = set[str]()
    for fact in run.facts:
        if ignores_compactions and isinstance(fact, Withdrawn) and fact.is_compaction:
            left_out.update(fact.into)
        elif not (isinstance(fact, ItemAdded) and fact.item.id in left_out):
            yield fact


def _sums(
    call: CallSent, prompt: tuple[Item, ...], places: dict[str, int], thread: _Thread
) -> Iterator[tuple[str | None, Fault]]:
    for place, item in enumerate(prompt):
        if places[item.id] != place:
            yield item.id, Fault.TWICE
    if call.tokens != sum(item.tokens for item in prompt):
        yield None, Fault.SUM
    if thread.limit_tokens is not None and call.tokens > thread.limit_tokens:
        yield None, Fault.LIMIT


def _lacking(
    prompt: tuple[Item, ...], places: dict[str, int], thread: _Thread
) -> Iterator[tuple[str, Fault]]:
    for name, version in thread.kept.items():
        if name not in places:
            yield name, Fault.GOAL_GONE if name == thread.goal else Fault.KEPT_GONE
        elif prompt[places[name]].version != version:
            yield name, Fault.KEPT_CHANGED


def _pairs(
    prompt: tuple[Item, ...], places: dict[str, int], thread: _Thread
) -> Iterator[tuple[str, Fault]]:
    pairs = (thread.pair_of[item.id] for item in prompt if item.id in thread.pair_of)
    for pair in dict.fromkeys(pairs):
        for name in (*pair.calls, *pair.results):
            if name not in places:
                yield name, Fault.PARTED
        first = min((places[name] for name in pair.calls if name in places), default=0)
        for name in pair.results:
            if places.get(name, first) < first:
                yield name, Fault.RESULT_FIRST
