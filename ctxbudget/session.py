"""The loop that drives the engine: a fact goes in, its effects are answered, all is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from ctxbudget.core.engine import Engine
from ctxbudget.core.events import Effect, Event, Fact, Shorten, Shortened

Answer: TypeAlias = Callable[[Effect], Shortened]
"""The world: performs an effect and says what came of it."""

Listener: TypeAlias = Callable[[Event], None]
"""Hears every fact, decision and effect, in the order in which they came about."""


class Session:
    """Feeds facts to an engine. Live, simulate and replay differ only in where facts come from."""

    def __init__(self, engine: Engine, answer: Answer, listeners: Sequence[Listener] = ()) -> None:
        self._engine = engine
        self._answer = answer
        self._listeners = tuple(listeners)

    def feed(self, fact: Fact) -> None:
        """Handle a fact and all that follows from it.

        Listeners hear the fact first, then what follows. Errors are those of `Engine.handle`.
        """
        self._tell(fact)
        steps = self._engine.handle(fact)
        reply: Shortened | None = None
        while True:
            try:
                event = steps.send(reply)
            except StopIteration:
                return
            self._tell(event)
            reply = None
            if isinstance(event, Shorten):
                reply = self._answer(event)
                self._tell(reply)

    def run(self, facts: Iterable[Fact]) -> None:
        """Feed all facts in order."""
        for fact in facts:
            self.feed(fact)

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
