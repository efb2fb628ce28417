"""The front door for asynchronous orchestrators: the same run, awaited.

Only what goes in or asks for a prompt is awaited; reading is not. A summarizer may be a coroutine
function here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
from ctxbudget.session import AsyncSession
from ctxbudget.sources.live import Facts, Usage

T = TypeVar("T")
M = TypeVar("M")

AsyncPromptCounter = Callable[[Prompt], Awaitable[int]]
"""Counts a whole prompt exactly, for example by the provider's counting endpoint."""


class AsyncDesk:
    """Where tasks queue: one fact at a time goes to the engine."""

    def __init__(self, parts: Parts, count_prompt: AsyncPromptCounter | None) -> None:
        self.parts = parts
        self._count_prompt = count_prompt
        self._session = AsyncSession(parts.engine, parts.shortener.answer_async, parts.listeners())
        self._lock = asyncio.Lock()

    async def do(self, facts: Facts[T]) -> T:
        """Feed facts one by one; return what comes of them."""
        async with self._lock:
            return await self._feed(facts)

    async def prompt(self, thread: str, model: str) -> Prompt:
        """Return the prompt of a thread's next call."""
        async with self._lock:
            if self._count_prompt is not None:
                await self._anchor(thread, self._count_prompt)
            await self._feed(self.parts.source.call(thread, model))
            return self.parts.prompt(thread)

    async def fit(
        self, mirror: Mirror[M], messages: Sequence[M], head: Iterable[Piece], model: str
    ) -> list[M]:
        """Take in a host's messages and return what is left of them for its next call."""
        async with self._lock:
            await self._feed(mirror.sync(messages, head))
            await self._feed(self.parts.source.call(mirror.thread, model))
            return mirror.view()

    def read(self, look: Callable[[Parts], T]) -> T:
        """Return what a look at the run finds; nothing else runs meanwhile."""
        return look(self.parts)

    async def _feed(self, facts: Facts[T]) -> T:
        found = await self._session.drive(facts)
        self.parts.watchman.alarm(self.parts.engine)
        return found

    async def _anchor(self, thread: str, count: AsyncPromptCounter) -> None:
        """Let the provider count the prompt; one that it will not count keeps our estimate."""
        try:
            tokens = counted(await count(self.parts.peek(thread)))
        except Exception as error:
            self.parts.watchman.not_counted(error)
            return
        await self._feed(self.parts.source.counted(tokens, thread))


class AsyncScope(Readable):
    """A thread of a run; each method does what `Scope`'s of the same name does, awaited."""

    def __init__(self, desk: AsyncDesk, thread: str, layer: Layer, model: str) -> None:
        super().__init__(desk, thread, model)
        self._desk = desk
        self._said = Said(desk.parts, thread, layer)

    async def system(self, text: str) -> Ids:
        """Add instructions that live as long as this scope; return their ids."""
        return await self._desk.do(self._said.system(text))

    async def tools(self, definitions: Iterable[Mapping[str, Any]]) -> Ids:
        """Add definitions of tools; return their ids."""
        return await self._desk.do(self._said.tools(definitions))

    async def user(
        self, content: Content, *, pinned: bool = False, source: str | None = None
    ) -> Ids:
        """Add what the user says; the first such message is the goal, which always stays."""
        return await self._desk.do(self._said.user(content, pinned=pinned, source=source))

    async def assistant(self, content: Content, *, pinned: bool = False) -> Ids:
        """Add what the model wrote."""
        return await self._desk.do(self._said.assistant(content, pinned=pinned))

    async def messages(self, messages: Iterable[Any]) -> Ids:
        """Add messages as providers have them: mappings or their SDKs' objects."""
        return await self._desk.do(self._said.messages(messages))

    async def tool_call(
        self, name: str, arguments: Mapping[str, Any], *, call_id: str, source: str | None = None
    ) -> Ids:
        """Add a tool call that the model wrote."""
        return await self._desk.do(self._said.tool_call(name, arguments, call_id, source))

    async def tool_result(
        self,
        call_id: str,
        content: Content,
        *,
        is_error: bool = False,
        source: str | None = None,
        pinned: bool = False,
    ) -> Ids:
        """Add what a tool answered, however late."""
        said = self._said.tool_result(
            call_id, content, is_error=is_error, source=source, pinned=pinned
        )
        return await self._desk.do(said)

    async def keep(
        self,
        text: str,
        *,
        layer: Layer | str = Layer.PERMANENT,
        pinned: bool = False,
        source: str | None = None,
    ) -> Ids:
        """Add a text of your own to a layer."""
        said = self._said.keep(text, layer=layer_of(layer), pinned=pinned, source=source)
        return await self._desk.do(said)

    async def activate(self, name: str) -> None:
        """Put a registered text into this prompt now, if it is not there yet."""
        await self._desk.do(self._desk.parts.source.activate(name, self.thread))

    async def touch(self, *items: str) -> None:
        """Say that items were used again."""
        await self._desk.do(self._desk.parts.source.touch(items, self.thread))

    def mirror(self, codec: Codec[M]) -> Callable[..., Awaitable[list[M]]]:
        """Return a coroutine function that fits a host's own list of messages, for adapters."""
        mirror = Mirror(self._desk.parts, self.thread, codec)

        async def fit(
            messages: Sequence[M], head: Iterable[Piece] = (), model: str = ""
        ) -> list[M]:
            return await self._desk.fit(mirror, messages, head, model or self.model)

        return fit

    async def prompt(self, model: str | None = None) -> Prompt:
        """Return the prompt of the next call: pruned by the policy, within the hard limit."""
        return await self._desk.prompt(self.thread, self.model if model is None else model)

    async def answered(self, answer: Any) -> Ids:
        """Add what the model wrote, and learn from the usage that the provider reported."""
        return await self._desk.do(self._said.answered(answer))

    async def used(self, usage: Usage) -> None:
        """Take in what the provider reported, where the answer was added otherwise."""
        await self._desk.do(self._said.used(usage))

    async def rejected(self, refusal: BaseException | Overflow | None = None) -> None:
        """Prune because the provider refused the prompt as too large; then ask for a `prompt`."""
        await self._desk.do(self._said.rejected(refusal))

    async def restore(self, item: str, *, pin: bool = False) -> ReturnCost:
        """Bring an item back as it was, making room for it first; return what it cost."""
        cost = self.restore_cost(item)
        await self._desk.do(self._desk.parts.source.restore(item, self.thread, pin=pin))
        return cost

    async def undo(self, plan: int | None = None) -> ReturnCost:
        """Reverse a plan, by default the latest of this thread; return what it cost."""
        cost = self.undo_cost(plan)
        await self._desk.do(self._desk.parts.source.undo(plan, self.thread))
        return cost


class AsyncAgent(AsyncScope):
    """A worker with a prompt of its own, which hands an artifact back."""

    async def deliver(
        self,
        text: str,
        *,
        title: str = "",
        path: str = "",
        metadata: str = "",
        keep_metadata: bool = False,
    ) -> str:
        """Hand an artifact to the orchestrator's prompt; return its id."""
        piece = artifact_of(text, title, path, metadata)
        source = self._desk.parts.source
        return await self._desk.do(source.deliver(self.thread, piece, keep_metadata=keep_metadata))

    async def finish(self) -> None:
        """Close the agent's thread."""
        await self._desk.do(self._desk.parts.source.finish_agent(self.thread))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, Exception):
            await self.finish()


class AsyncPhase(PhaseReading, AsyncScope):
    """A step of the workflow; what is said to it goes into the orchestrator's prompt."""

    def __init__(self, desk: AsyncDesk, name: str, model: str) -> None:
        super().__init__(desk, MAIN, Layer.PHASE, model)
        self.name = name

    async def agent(
        self, name: str, *, model: str | None = None, calls: int | None = None
    ) -> AsyncAgent:
        """Return an agent of this phase with a prompt of its own, or the one that is at work."""
        chosen, facts = agent_facts(
            self._desk.parts, self.name, name, model=model, calls=calls, usual=self.model
        )
        return AsyncAgent(self._desk, await self._desk.do(facts), Layer.PHASE, chosen)

    async def wave(self, *agents: str) -> None:
        """Announce agents that will run together, so that they can share what room is left."""
        await self._desk.do(self._desk.parts.source.start_wave(self.name, agents))

    async def deliver(
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
        return await self._desk.do(
            source.deliver_own(self.name, piece, keep_metadata=keep_metadata)
        )

    async def finish(self) -> PhaseReport:
        """End the phase and return its report."""
        await self._desk.do(self._desk.parts.source.finish_phase(self.name))
        return self.report()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.finish()


class AsyncRun(RunReading, AsyncScope):
    """A run of a workflow inside an asynchronous orchestrator; safe to share between tasks."""

    def __init__(self, desk: AsyncDesk, model: str) -> None:
        super().__init__(desk, MAIN, Layer.PERMANENT, model)
        self.dropped: str | None = None
        """What a crash had left at the end of the journal that the run was taken up from."""

    @classmethod
    async def open(
        cls,
        workflow: str | PathLike[str] | None = None,
        *,
        count_prompt: AsyncPromptCounter | None = None,
        **options: Unpack[OpenOptions],
    ) -> Self:
        """Begin a run; arguments and errors are those of `Run.open`."""
        parts = begin(workflow, options)
        run = cls(AsyncDesk(parts, count_prompt), parts.options.model)
        await run._desk.do(parts.first_fact())
        return run

    @classmethod
    async def resume(
        cls,
        journal: str | PathLike[str],
        *,
        count_prompt: AsyncPromptCounter | None = None,
        **options: Unpack[ResumeOptions],
    ) -> Self:
        """Go on with a run where its journal ends; as `Run.resume`."""
        parts, dropped = resume(journal, options)
        run = cls(AsyncDesk(parts, count_prompt), parts.options.model)
        run.dropped = dropped
        return run

    async def phase(
        self, name: str, *, model: str | None = None, again: bool = False
    ) -> AsyncPhase:
        """Begin a phase, or go on with it if it is the one that runs; as `Run.phase`."""
        await self._desk.do(self._desk.parts.source.start_phase(name, again=again))
        return AsyncPhase(self._desk, name, self.model if model is None else model)

    async def register(
        self, name: str, text: str, *, activated_by: str | Sequence[str] = ()
    ) -> str:
        """Keep a text that costs nothing until a tool of these names is called; return its id."""
        return await self._desk.do(registered(self._desk.parts, name, text, activated_by))

    async def finish(self) -> RunReport:
        """End the run, close its journal, and return its report."""
        await self._desk.do(self._desk.parts.source.finish_run())
        self.close()
        return self.report()

    def close(self) -> None:
        """Close the journal; the run can be resumed from it."""
        self._desk.parts.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self._desk.parts.is_finished:
            await self.finish()
        self.close()
