"""The library's front door: a run, its phases, their agents."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Self, TypeVar

from ctxbudget.core.errors import AdapterError
from ctxbudget.core.types import MAIN, Item, Kind, Layer
from ctxbudget.counting import Counter
from ctxbudget.history import By, Happening, Rent
from ctxbudget.journal import Fsync
from ctxbudget.live import views
from ctxbudget.live.parts import Options, Parts, take_up
from ctxbudget.live.pieces import artifact_piece, text_piece
from ctxbudget.live.prompt import DEFAULT_MARKS, CacheMarks, Prompt
from ctxbudget.live.said import Content, Ids, Said
from ctxbudget.live.setup import Clock, MoneyLike, PolicyLike, agent_part, live_setup
from ctxbudget.live.shortening import ReviewHook, Summarize
from ctxbudget.live.views import Forecast, ReturnCost
from ctxbudget.metrics import PhaseRow
from ctxbudget.overflow import Overflow
from ctxbudget.redact import redact as redact_secrets
from ctxbudget.report.brief import PhaseReport, RunReport
from ctxbudget.session import Listener, Session
from ctxbudget.sources.live import Facts, Usage

T = TypeVar("T")

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
            while True:
                try:
                    fact = next(facts)
                except StopIteration as end:
                    found: T = end.value
                    self.parts.watchman.alarm(self.parts.engine)
                    return found
                self._session.feed(fact)

    def prompt(self, thread: str, model: str) -> Prompt:
        """Return the prompt of a thread's next call."""
        with self._lock:
            if self.count_prompt is not None:
                self._anchor(thread, self.count_prompt)
            self.do(self.parts.source.call(thread, model))
            return self.parts.prompt(thread)

    def _anchor(self, thread: str, count: PromptCounter) -> None:
        """Let the provider count the prompt; one that it will not count keeps our estimate."""
        try:
            tokens = count(self.parts.prompt(thread))
        except AdapterError as error:
            self.parts.watchman.notes.append(f"the prompt could not be counted: {error}")
            return
        self.do(self.parts.source.counted(tokens, thread))

    def read(self, look: Callable[[], T]) -> T:
        """Return what a look at the run finds while nothing changes."""
        with self._lock:
            return look()


class Scope:
    """A thread of a run, and what may be said to it. Made by `Run`, `Phase` and `Agent`."""

    def __init__(self, desk: Desk, thread: str, layer: Layer, model: str) -> None:
        self._desk = desk
        self._said = Said(desk.parts, thread, layer)
        self.thread = thread
        self.model = model

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
        said = self._said.keep(text, layer=Layer(layer), pinned=pinned, source=source)
        return self._desk.do(said)

    def activate(self, name: str) -> None:
        """Put a registered text into this prompt now, if it is not there yet."""
        self._desk.do(self._said.parts.source.activate(name, self.thread))

    def touch(self, *items: str) -> None:
        """Say that items were used again, for rules that look at idleness."""
        self._desk.do(self._said.parts.source.touch(items, self.thread))

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

    def rejected(self, refusal: BaseException | Overflow | None = None) -> Prompt:
        """Prune because the provider refused the prompt as too large; return the shorter one.

        Raises:
            AdapterError: the error says something else.
            BudgetExceededError: what may not be pruned does not fit.
        """
        self._desk.do(self._said.rejected(refusal))
        return self.prompt()

    # ---- what comes back

    def restore(self, item: str, *, pin: bool = False) -> ReturnCost:
        """Bring an item back as it was, making room for it first; return what it cost.

        Raises:
            SourceError: it is there, or never left.
            BudgetExceededError: it cannot fit; nothing was changed.
        """
        cost = self.restore_cost(item)
        self._desk.do(self._said.parts.source.restore(item, self.thread, pin=pin))
        return cost

    def restore_cost(self, item: str) -> ReturnCost:
        """Return what bringing an item back would cost."""
        return self._read(lambda parts: views.restore_cost(parts, self.thread, item))

    def undo(self, plan: int | None = None) -> ReturnCost:
        """Reverse a plan, by default the latest of this thread; return what it cost.

        Raises:
            SourceError: there is no such plan, or later ones took what it left.
        """
        cost = self.undo_cost(plan)
        self._desk.do(self._said.parts.source.undo(plan, self.thread))
        return cost

    def undo_cost(self, plan: int | None = None) -> ReturnCost:
        """Return what reversing a plan would cost."""
        return self._read(lambda parts: views.undo_cost(parts, self.thread, plan))

    # ---- reading

    @property
    def occupancy_tokens(self) -> int:
        """Tokens in the prompt, as an upper bound of what the provider counts."""
        return self._read(lambda parts: parts.thread(self.thread).occupancy_tokens)

    def forecast(self) -> Forecast:
        """Return how full the prompt is and how soon it will cross its levels, an estimate."""
        return self._read(lambda parts: views.forecast(parts, self.thread))

    def items(self) -> list[Item]:
        """Return the items of the prompt, in order."""
        return self._read(lambda parts: views.items(parts, self.thread))

    def evicted(self) -> list[Item]:
        """Return what left the prompt and can be restored."""
        return self._read(lambda parts: views.evicted(parts, self.thread))

    def breakdown(self, by: By = "kind") -> list[tuple[str, int]]:
        """Return how many tokens of the prompt each group holds, largest first."""
        return self._read(lambda parts: views.split(parts, self.thread, by))

    def _read(self, look: Callable[[Parts], T]) -> T:
        return self._desk.read(lambda: look(self._desk.parts))


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
        piece = artifact_piece(text, title=title, path=path, metadata=metadata)
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


class Phase(Scope):
    """A step of the workflow; what is said to it goes into the orchestrator's prompt."""

    def __init__(self, desk: Desk, name: str, model: str) -> None:
        super().__init__(desk, MAIN, Layer.PHASE, model)
        self.name = name

    def agent(self, name: str, *, model: str | None = None, calls: int | None = None) -> Agent:
        """Return an agent of this phase with a prompt of its own, or the one that is at work.

        It starts with the permanent items, the phase's items, and the artifacts of the phases it
        depends on. Agents that are at work at the same time are one wave.
        """
        parts = self._desk.parts
        known = agent_part(parts.setup, self.name, name) if parts.setup is not None else None
        chosen = model or (known.model if known else None) or self.model
        scale = parts.setup.scale_of(chosen) if parts.setup is not None and chosen else None
        expected = calls or (known.calls if known else 1)
        thread = self._desk.do(
            parts.source.start_agent(self.name, name, calls=expected, scale=scale)
        )
        return Agent(self._desk, thread, Layer.PHASE, chosen)

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
        piece = artifact_piece(text, title=title, path=path, metadata=metadata)
        source = self._desk.parts.source
        return self._desk.do(source.deliver_own(piece, keep_metadata=keep_metadata))

    def finish(self) -> PhaseReport:
        """End the phase and return its report."""
        self._desk.do(self._desk.parts.source.finish_phase(self.name))
        return self.report()

    def report(self) -> PhaseReport:
        """Return what the phase was granted, held, sent and lost; as far as it has come."""
        return self._read(lambda parts: PhaseReport(_row(parts, self.name), parts.metrics.run))

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


def _row(parts: Parts, phase: str) -> PhaseRow:
    return next(row for row in reversed(parts.metrics.phases) if row.id == phase)


class Run(Scope):
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
        name: str = "run",
        model: str = "",
        window_tokens: int | None = None,
        reserve_tokens: int = 0,
        budget: int | str | None = None,
        phases: Sequence[str | Mapping[str, Any]] | None = None,
        policy: PolicyLike | None = None,
        allocator: str | None = None,
        counter: str | Counter | None = None,
        count_prompt: PromptCounter | None = None,
        journal: str | PathLike[str] | None = None,
        fsync: Fsync | str = Fsync.PHASE,
        keeps_texts: bool = True,
        listeners: Sequence[Listener] = (),
        summarize: Summarize | None = None,
        review: ReviewHook | None = None,
        redact: Callable[[str], str] | None = redact_secrets,
        budget_usd: MoneyLike | None = None,
        strips_thinking: bool | None = None,
        marks: CacheMarks | None = DEFAULT_MARKS,
        clock: Clock = time.time,
    ) -> Self:
        """Begin a run, from a workflow file or from these arguments.

        Args:
            workflow: a file, or the name of a shipped workflow.
            name: what reports call the run.
            model: sets the window, the counter's factor, prices and cache.
            window_tokens: the most the model accepts; by the model unless given.
            reserve_tokens: kept free for the answer.
            budget: input tokens allowed: a number, `"30%"` of the window; the hard limit unless
                given.
            phases: names of phases, each after the one before, or mappings as in a workflow file.
            policy: name, file, content, or function of a policy.
            allocator: fixed, dynamic, reserve, or `package.module:attribute`.
            counter: `calibrated`, `o200k_base`, `heuristic`, `chars`, or a counter of your own.
            count_prompt: counts whole prompts exactly before each call.
            journal: file to which each event is written at once.
            fsync: when to wait for the disk: `never`, `phase`, `always`.
            keeps_texts: whether the journal holds texts; without, the run cannot be resumed.
            listeners: hear every event.
            summarize: writes summaries; without, digests take their place.
            review: says whether a plan may be carried out: True, False, or the reason why not.
            redact: takes secrets out of what is journaled and summarized; None leaves them.
            budget_usd: US dollars for the run, or for each phase; no call is made beyond.
            strips_thinking: whether thinking behind an edit leaves; by default for Claude.
            marks: lifetimes of cache marks for Anthropic; None sets none.
            clock: seconds.

        Raises:
            ConfigError: a file or an argument is wrong.
            JournalError: the journal cannot be written, or is there already.
        """
        setup = live_setup(
            workflow,
            name=name,
            model=model,
            window_tokens=window_tokens,
            reserve_tokens=reserve_tokens,
            budget=budget,
            phases=phases,
            policy=policy,
            allocator=allocator,
            budget_usd=budget_usd,
            strips_thinking=strips_thinking,
            reviews=review is not None,
            at=clock(),
        )
        options = Options(
            model=model or setup.loaded.workflow.model or "",
            counter=counter,
            journal=journal,
            fsync=Fsync(fsync),
            keeps_texts=keeps_texts,
            listeners=listeners,
            summarize=summarize,
            review=review,
            redact=redact,
            marks=marks,
            clock=clock,
        )
        parts = Parts(setup.start, options, setup)
        parts.open_journal()
        run = cls(Desk(parts, count_prompt), options.model)
        run._desk.do(_begin(parts))
        return run

    @classmethod
    def resume(
        cls,
        journal: str | PathLike[str],
        *,
        model: str = "",
        counter: str | Counter | None = None,
        count_prompt: PromptCounter | None = None,
        fsync: Fsync | str = Fsync.PHASE,
        listeners: Sequence[Listener] = (),
        summarize: Summarize | None = None,
        review: ReviewHook | None = None,
        redact: Callable[[str], str] | None = redact_secrets,
        marks: CacheMarks | None = DEFAULT_MARKS,
        clock: Clock = time.time,
    ) -> Self:
        """Go on with a run where its journal ends; a line that a crash cut off is in `dropped`.

        Phases and agents that were open still are: `run.phase(...)` and `phase.agent(...)` return
        them. Listeners hear the journal's events again, then the new ones.

        Raises:
            JournalError: the journal cannot be read or written, or holds no texts.
        """
        options = Options(
            model=model,
            counter=counter,
            journal=journal,
            fsync=Fsync(fsync),
            listeners=listeners,
            summarize=summarize,
            review=review,
            redact=redact,
            marks=marks,
            clock=clock,
        )
        parts, dropped = take_up(options)
        run = cls(Desk(parts, count_prompt), parts.options.model)
        run.dropped = dropped
        return run

    def phase(self, name: str, *, model: str | None = None) -> Phase:
        """Begin a phase, or go on with it if it is the one that runs. A `with` ends it.

        Raises:
            SourceError: there is no such phase, or another one is open.
        """
        self._desk.do(self._desk.parts.source.start_phase(name))
        return Phase(self._desk, name, self.model if model is None else model)

    def register(self, name: str, text: str, *, activated_by: str | Sequence[str] = ()) -> str:
        """Keep a text that costs nothing until a tool of these names is called; return its id.

        `*` and `?` are wildcards. It is put in once, and leaves when its phase ends; `activate`
        does the same by hand.
        """
        names = (activated_by,) if isinstance(activated_by, str) else tuple(activated_by)
        block = text_piece(Kind.SYSTEM, text).block
        return self._desk.do(self._desk.parts.source.register(name, block, names))

    def report(self) -> RunReport:
        """Return what the run was granted, held, sent and lost, phase by phase."""
        return self._read(lambda parts: RunReport(parts.metrics))

    def why(self, item: str) -> list[Happening]:
        """Return all that was decided on an item, with reasons, oldest first."""
        return self._read(lambda parts: parts.history.why(item))

    def rent(self, by: By = "item") -> list[Rent]:
        """Return what it took to carry each item (or group), dearest first."""
        return self._read(lambda parts: parts.history.rent(by))

    @property
    def notes(self) -> list[str]:
        """What went wrong on the way without stopping the run, such as a failed summarizer."""
        return list(self._desk.parts.watchman.notes)

    def finish(self) -> RunReport:
        """End the run, close its journal, and return its report."""
        self._desk.do(self._desk.parts.source.finish_run())
        self.close()
        return self.report()

    def close(self) -> None:
        """Close the journal; the run can be resumed from it."""
        if self._desk.parts.writer is not None:
            self._desk.parts.writer.close()

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


def _begin(parts: Parts) -> Facts[None]:
    yield parts.start
