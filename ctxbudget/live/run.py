"""The library's front door: a run, its phases, their agents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ctxbudget.core.types import MAIN, Layer
from ctxbudget.live.mirror import Codec, Mirror
from ctxbudget.live.opening import OpenOptions, ResumeOptions, begin, resume
from ctxbudget.live.parts import Parts
from ctxbudget.live.pieces import Piece
from ctxbudget.live.prompt import Prompt
from ctxbudget.live.reading import PhaseReading, Readable, RunReading
from ctxbudget.live.said import (
    Content,
    Ids,
    Said,
    agent_facts,
    artifact_of,
    counted,
    layer_of,
    registered,
)
from ctxbudget.live.views import ReturnCost
from ctxbudget.providers.overflow import Overflow
from ctxbudget.report.brief import PhaseReport, RunReport
from ctxbudget.session import Session
from ctxbudget.sources.live import Facts, Usage

T = TypeVar("T")
M = TypeVar("M")

PromptCounter = Callable[[Prompt], int]
"""Counts a whole prompt exactly, for example by the provider's counting endpoint."""


class Desk:
    """Where threads queue: one fact at a time goes to the engine."""

    def __init__(self, parts: Parts, count_prompt: PromptCounter | None) -> None:
        self.parts = parts
        self.count_prompt = count_prompt
        self._session = Session(parts.engine, parts.shortener.answer, parts.listeners())
        self._lock = threading.RLock()

    def do(self, facts: Facts[T]) -> T:
        """Feed facts one by one; return what comes of them."""
        with self._lock:
            found = self._session.drive(facts)
            self.parts.watchman.alarm(self.parts.engine)
            return found

    def prompt(self, thread: str, model: str) -> Prompt:
        """Return the prompt of a thread's next call."""
        with self._lock:
            if self.count_prompt is not None:
                self._anchor(thread, self.count_prompt)
            self.do(self.parts.source.call(thread, model))
            return self.parts.prompt(thread)

    def fit(
        self, mirror: Mirror[M], messages: Sequence[M], head: Iterable[Piece], model: str
    ) -> list[M]:
        """Take in a host's messages and return what is left of them for its next call."""
        with self._lock:
            self.do(mirror.sync(messages, head))
            self.do(self.parts.source.call(mirror.thread, model))
            return mirror.view()

    def _anchor(self, thread: str, count: PromptCounter) -> None:
        """Let the provider count the prompt; one that it will not count keeps our estimate."""
        try:
            tokens = counted(count(self.parts.peek(thread)))
        except Exception as error:
            self.parts.watchman.not_counted(error)
            return
        self.do(self.parts.source.counted(tokens, thread))

    def read(self, look: Callable[[Parts], T]) -> T:
        """Return what a look at the run finds while nothing changes."""
        with self._lock:
            return look(self.parts)


class Scope(Readable):
    """A thread of a run, and what may be said to it. Made by `Run`, `Phase` and `Agent`."""

    def __init__(self, desk: Desk, thread: str, layer: Layer, model: str) -> None:
        super().__init__(desk, thread, model)
        self._desk = desk
        self._said = Said(desk.parts, thread, layer)

    # ---- what goes in

    def system(self, text: str) -> Ids:
        """Add instructions that live as long as this scope; return their ids."""
        return self._desk.do(self._said.system(text))

    def tools(self, definitions: Iterable[Mapping[str, Any]]) -> Ids:
        """Add definitions of tools, Anthropic-style or OpenAI-style; return their ids."""
        return self._desk.do(self._said.tools(definitions))

    def user(self, content: Content, *, pinned: bool = False, source: str | None = None) -> Ids:
        """Add what the user says; the first such message is the goal, which always stays.

        `source` says what it is a copy of, so that a later copy supersedes it.
        """
        return self._desk.do(self._said.user(content, pinned=pinned, source=source))

    def assistant(self, content: Content, *, pinned: bool = False) -> Ids:
        """Add what the model wrote."""
        return self._desk.do(self._said.assistant(content, pinned=pinned))

    def messages(self, messages: Iterable[Any]) -> Ids:
        """Add messages as providers have them: mappings or their SDKs' objects."""
        return self._desk.do(self._said.messages(messages))

    def tool_call(
        self, name: str, arguments: Mapping[str, Any], *, call_id: str, source: str | None = None
    ) -> Ids:
        """Add a tool call that the model wrote.

        An edit that names the `source` it changes supersedes earlier reads of it.
        """
        return self._desk.do(self._said.tool_call(name, arguments, call_id, source))

    def tool_result(
        self,
        call_id: str,
        content: Content,
        *,
        is_error: bool = False,
        source: str | None = None,
        pinned: bool = False,
    ) -> Ids:
        """Add what a tool answered, however late.

        Raises:
            SourceError: there is no such call in this thread.
        """
        said = self._said.tool_result(
            call_id, content, is_error=is_error, source=source, pinned=pinned
        )
        return self._desk.do(said)

    def keep(
        self,
        text: str,
        *,
        layer: Layer | str = Layer.PERMANENT,
        pinned: bool = False,
        source: str | None = None,
    ) -> Ids:
        """Add a text of your own to a layer, such as a file of memories."""
        said = self._said.keep(text, layer=layer_of(layer), pinned=pinned, source=source)
        return self._desk.do(said)

    def activate(self, name: str) -> None:
        """Put a registered text into this prompt now, if it is not there yet."""
        self._desk.do(self._desk.parts.source.activate(name, self.thread))

    def touch(self, *items: str) -> None:
        """Say that items were used again, for rules that look at idleness."""
        self._desk.do(self._desk.parts.source.touch(items, self.thread))

    def mirror(self, codec: Codec[M]) -> Callable[..., list[M]]:
        """Return a function that fits a host's own list of messages, for adapters.

        It takes the host's whole list before each call (and, as `head`, the pieces that the host
        sends ahead of it), and returns the list to send. What is new is added to this thread,
        what the host took back is withdrawn.
        """
        mirror = Mirror(self._desk.parts, self.thread, codec)

        def fit(messages: Sequence[M], head: Iterable[Piece] = (), model: str = "") -> list[M]:
            return self._desk.fit(mirror, messages, head, model or self.model)

        return fit

    # ---- calls

    def prompt(self, model: str | None = None) -> Prompt:
        """Return the prompt of the next call: pruned by the policy, within the hard limit.

        Raises:
            BudgetExceededError: what may not be pruned does not fit.
            ThrashError: the prompt is compacted again and again.
            SpendingLimitError: a budget in money is used up.
        """
        return self._desk.prompt(self.thread, self.model if model is None else model)

    def answered(self, answer: Any) -> Ids:
        """Add what the model wrote, and learn from the usage that the provider reported.

        `answer` is the response of Anthropic's or OpenAI's SDK, or its mapping.
        """
        return self._desk.do(self._said.answered(answer))

    def used(self, usage: Usage) -> None:
        """Take in what the provider reported, where the answer was added otherwise."""
        self._desk.do(self._said.used(usage))

    def rejected(self, refusal: BaseException | Overflow | None = None) -> None:
        """Prune because the provider refused the prompt as too large; then ask for a `prompt`.

        Raises:
            AdapterError: the error says something else.
            BudgetExceededError: what may not be pruned does not fit.
        """
        self._desk.do(self._said.rejected(refusal))

    # ---- what comes back

    def restore(self, item: str, *, pin: bool = False) -> ReturnCost:
        """Bring an item back as it was, making room for it first; return what it cost.

        Raises:
            SourceError: it is there, or never left.
            BudgetExceededError: it cannot fit; nothing was changed.
        """
        cost = self.restore_cost(item)
        self._desk.do(self._desk.parts.source.restore(item, self.thread, pin=pin))
        return cost

    def undo(self, plan: int | None = None) -> ReturnCost:
        """Reverse a plan, by default the latest of this thread; return what it cost.

        Raises:
            SourceError: there is no such plan, or later ones took what it left.
        """
        cost = self.undo_cost(plan)
        self._desk.do(self._desk.parts.source.undo(plan, self.thread))
        return cost


class Agent(Scope):
    """A worker with a prompt of its own, which hands an artifact back. A `with` closes it."""

    def deliver(
        self,
        text: str,
        *,
        title: str = "",
        path: str = "",
        metadata: str = "",
        keep_metadata: bool = False,
    ) -> str:
        """Hand an artifact to the orchestrator's prompt; return its id.

        `metadata` is the short form that may replace it; without, one is extracted from the text.
        With `keep_metadata` that lives for the whole run.
        """
        piece = artifact_of(text, title, path, metadata)
        source = self._desk.parts.source
        return self._desk.do(source.deliver(self.thread, piece, keep_metadata=keep_metadata))

    def finish(self) -> None:
        """Close the agent's thread; what it delivered may be replaced by metadata from now on."""
        self._desk.do(self._desk.parts.source.finish_agent(self.thread))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.finish()


class Phase(PhaseReading, Scope):
    """A step of the workflow; what is said to it goes into the orchestrator's prompt."""

    def __init__(self, desk: Desk, name: str, model: str) -> None:
        super().__init__(desk, MAIN, Layer.PHASE, model)
        self.name = name

    def agent(self, name: str, *, model: str | None = None, calls: int | None = None) -> Agent:
        """Return an agent of this phase with a prompt of its own, or the one that is at work.

        It starts with the permanent items, the phase's items, and the artifacts of the phases it
        depends on. Agents that are at work at the same time are one wave.
        """
        chosen, facts = agent_facts(
            self._desk.parts, self.name, name, model=model, calls=calls, usual=self.model
        )
        return Agent(self._desk, self._desk.do(facts), Layer.PHASE, chosen)

    def wave(self, *agents: str) -> None:
        """Announce agents that will run together, so that they can share what room is left."""
        self._desk.do(self._desk.parts.source.start_wave(self.name, agents))

    def deliver(
        self,
        text: str,
        *,
        title: str = "",
        path: str = "",
        metadata: str = "",
        keep_metadata: bool = False,
    ) -> str:
        """Add an artifact that the orchestrator itself made; return its id."""
        piece = artifact_of(text, title, path, metadata)
        source = self._desk.parts.source
        return self._desk.do(source.deliver_own(self.name, piece, keep_metadata=keep_metadata))

    def finish(self) -> PhaseReport:
        """End the phase and return its report."""
        self._desk.do(self._desk.parts.source.finish_phase(self.name))
        return self.report()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()


class Run(RunReading, Scope):
    """A run of a workflow inside an orchestrator; what is said to it lives for the whole run.

    It may be used from several threads: each call waits for the one before.
    """

    def __init__(self, desk: Desk, model: str) -> None:
        super().__init__(desk, MAIN, Layer.PERMANENT, model)
        self.dropped: str | None = None
        """What a crash had left at the end of the journal that the run was taken up from."""

    @classmethod
    def open(
        cls,
        workflow: str | PathLike[str] | None = None,
        *,
        count_prompt: PromptCounter | None = None,
        **options: Unpack[OpenOptions],
    ) -> Self:
        """Begin a run, from a workflow file (or a shipped one's name) or from arguments alone.

        Args:
            workflow: the file.
            count_prompt: counts whole prompts exactly before each call.
            options: as `OpenOptions` says.

        Raises:
            ConfigError: a file or an argument is wrong.
            JournalError: the journal cannot be written, or is there already.
        """
        parts = begin(workflow, options)
        run = cls(Desk(parts, count_prompt), parts.options.model)
        run._desk.do(parts.first_fact())
        return run

    @classmethod
    def resume(
        cls,
        journal: str | PathLike[str],
        *,
        count_prompt: PromptCounter | None = None,
        **options: Unpack[ResumeOptions],
    ) -> Self:
        """Go on with a run where its journal ends; a line that a crash cut off is in `dropped`.

        Phases and agents that were open still are: `run.phase(...)` and `phase.agent(...)` return
        them. Listeners hear the journal's events again, then the new ones.

        Raises:
            JournalError: the journal cannot be read or written, or holds no texts.
        """
        parts, dropped = resume(journal, options)
        run = cls(Desk(parts, count_prompt), parts.options.model)
        run.dropped = dropped
        return run

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended."""
        return self._desk.parts.is_finished

    def phase(self, name: str, *, model: str | None = None, again: bool = False) -> Phase:
        """Begin a phase, or go on with it if it is the one that runs. A `with` ends it.

        Raises:
            SourceError: there is no such phase, another one is open, or this one is over already
                and is not meant `again`.
        """
        self._desk.do(self._desk.parts.source.start_phase(name, again=again))
        return Phase(self._desk, name, self.model if model is None else model)

    def register(self, name: str, text: str, *, activated_by: str | Sequence[str] = ()) -> str:
        """Keep a text that costs nothing until a tool of these names is called; return its id.

        `*` and `?` are wildcards. It is put in once, and leaves when its phase ends; `activate`
        does the same by hand.
        """
        return self._desk.do(registered(self._desk.parts, name, text, activated_by))

    def finish(self) -> RunReport:
        """End the run, close its journal, and return its report."""
        self._desk.do(self._desk.parts.source.finish_run())
        self.close()
        return self.report()

    def close(self) -> None:
        """Close the journal; the run can be resumed from it."""
        self._desk.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self._desk.parts.is_finished:
            self.finish()
        self.close()
