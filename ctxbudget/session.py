"""The loop that drives the engine: a fact goes in, its effects are answered, all is told.

`Session` asks the world by calling it, `AsyncSession` by awaiting it; both run the same loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import TypeAlias, TypeVar

from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import PolicyError
from ctxbudget.core.events import Answered, Effect, Event, Fact

T = TypeVar("T")

Answer: TypeAlias = Callable[[Effect], Answered]
"""The world: performs an effect and says what came of it."""

AsyncAnswer: TypeAlias = Callable[[Effect], Awaitable[Answered]]

Listener: TypeAlias = Callable[[Event], None]
"""Hears every fact, decision and effect, in the order in which they came about."""


class Loop:
    """Feeds facts to an engine and tells listeners what follows. Effects are left to the caller.

    A fact that the engine refuses outright is not told. A listener that raises stops neither the
    engine nor the other listeners: its error is raised when the fact has been handled.
    """

    def __init__(self, engine: Engine, listeners: Sequence[Listener] = ()) -> None:
        self.engine = engine
        self._listeners = tuple(listeners)

    def feed(self, fact: Fact) -> Generator[Effect, Answered, list[Exception]]:
        """Yield the effects of a fact, each of which wants its answer; return listeners' errors."""
        steps = self.engine.handle(fact)
        try:
            event = next(steps, None)
        except PolicyError:  # what happened is taken in all the same, so it must be told
            self._tell(fact)
            raise
        errors = self._tell(fact)
        while event is not None:
            errors += self._tell(event)
            reply: Answered | None = None
            if isinstance(event, Effect):
                reply = yield event
                errors += self._tell(reply)
            try:
                event = steps.send(reply)
            except StopIteration:
                break
        return errors

    def _tell(self, event: Event) -> list[Exception]:
        errors = []
        for listener in self._listeners:
            try:
                listener(event)
            except Exception as error:
                errors.append(error)
        return errors


class Session:
    """Feeds facts to an engine. Live, simulate and replay differ only in where facts come from."""

    def __init__(self, engine: Engine, answer: Answer, listeners: Sequence[Listener] = ()) -> None:
        self._loop = Loop(engine, listeners)
        self._answer = answer

    def feed(self, fact: Fact) -> None:
        """Handle a fact and all that follows from it.

        Listeners hear the fact first, then what follows. Errors are those of `Engine.handle`, of
        the world, and of listeners.
        """
        raise_first(self._feed(fact))

    def drive(self, facts: Generator[Fact, None, T]) -> T:
        """Feed facts that belong together and return what they return.

        Neither a listener that raises nor a policy that breaks its contract keeps the rest from
        being handled; the first of their errors is raised in the end.
        """
        errors: list[Exception] = []
        while True:
            try:
                fact = next(facts)
            except StopIteration as end:
                found: T = end.value
                break
            try:
                errors += self._feed(fact)
            except PolicyError as error:
                errors.append(error)
        raise_first(errors)
        return found

    def _feed(self, fact: Fact) -> list[Exception]:
        effects = self._loop.feed(fact)
        try:
            effect = next(effects)
            while True:
                effect = effects.send(self._answer(effect))
        except StopIteration as end:
            errors: list[Exception] = end.value
            return errors

    def run(self, facts: Iterable[Fact]) -> None:
        """Feed all facts in order."""
        for fact in facts:
            self.feed(fact)


class AsyncSession:
    """The same for a world that has to be awaited. One fact at a time: the caller sees to it."""

    def __init__(
        self, engine: Engine, answer: AsyncAnswer, listeners: Sequence[Listener] = ()
    ) -> None:
        self._loop = Loop(engine, listeners)
        self._answer = answer

    async def feed(self, fact: Fact) -> None:
        """Handle a fact and all that follows from it, as `Session.feed` does."""
        raise_first(await self._feed(fact))

    async def drive(self, facts: Generator[Fact, None, T]) -> T:
        """Feed facts that belong together, as `Session.drive` does."""
        errors: list[Exception] = []
        while True:
            try:
                fact = next(facts)
            except StopIteration as end:
                found: T = end.value
                break
            try:
                errors += await self._feed(fact)
            except PolicyError as error:
                errors.append(error)
        raise_first(errors)
        return found

    async def _feed(self, fact: Fact) -> list[Exception]:
        effects = self._loop.feed(fact)
        try:
            effect = next(effects)
            while True:
                effect = effects.send(await self._answer(effect))
        except StopIteration as end:
            errors: list[Exception] = end.value
            return errors


def raise_first(errors: Sequence[Exception]) -> None:
    """Raise the first of some errors, if there is one."""
    if errors:
        raise errors[0]
