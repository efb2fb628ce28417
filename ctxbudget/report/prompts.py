"""What stands in each prompt, and what left it, told by a journal's own events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ctxbudget.core.events import (
    AgentStarted,
    Event,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    RunStarted,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Item, Scale


@dataclass(slots=True)
class PromptNow:
    """One thread's prompt.

    Attributes:
        items: what stands in it, by id.
        left: what left it, by id, in the form in which it first stood there.
        tokens: the sum of its items.
        peak_tokens: the most it held since the last `note_peak`.
        is_open: whether its thread still goes on.
    """

    thread: str
    scale: Scale
    items: dict[str, Item] = field(default_factory=dict)
    left: dict[str, Item] = field(default_factory=dict)
    tokens: int = 0
    peak_tokens: int = 0
    is_open: bool = True

    @property
    def evicted(self) -> dict[str, Item]:
        """What left and is not there in any form, by id, in order of leaving."""
        return {name: item for name, item in self.left.items() if name not in self.items}

    def note_peak(self) -> int:
        """Return the peak since the last note, and begin a new one at the present occupancy."""
        peak, self.peak_tokens = self.peak_tokens, self.tokens
        return peak

    def came(self, item: Item) -> None:
        """Put an item in."""
        self.items[item.id] = item
        self.tokens += item.tokens
        self.peak_tokens = max(self.peak_tokens, self.tokens)

    def went(self, names: Iterable[str]) -> None:
        """Take items out, those that are there."""
        for name in names:
            item = self.items.pop(name, None)
            if item is not None:
                self.left.setdefault(name, item)
                self.tokens -= item.tokens


class Prompts:
    """A listener that keeps each thread's prompt up, without an engine: nothing is decided again.

    Attributes:
        threads: every prompt that ever was, by thread, in order of opening.
        stands_for: what each summary, note or other stand-in of several items took the place of.
    """

    def __init__(self) -> None:
        self.threads: dict[str, PromptNow] = {}
        self.stands_for: dict[str, tuple[str, ...]] = {}

    @property
    def open(self) -> list[PromptNow]:
        """The prompts of the threads that go on, in order of opening."""
        return [prompt for prompt in self.threads.values() if prompt.is_open]

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted():
                self.threads[MAIN] = PromptNow(MAIN, event.scale)
            case AgentStarted():
                scale = event.scale or self.threads[MAIN].scale
                self.threads[event.thread] = PromptNow(event.thread, scale)
            case ThreadClosed():
                self.threads[event.thread].is_open = False
            case Seeded() | ItemAdded() | Injected() | Withdrawn() | Pruned() | Restored():
                self._changed(event)
            case _:
                pass

    def _changed(
        self, event: Seeded | ItemAdded | Injected | Withdrawn | Pruned | Restored
    ) -> None:
        prompt = self.threads[event.thread]
        match event:
            case Seeded():
                main = self.threads[MAIN].items
                for name, _ in event.items:
                    prompt.came(main[name])
            case ItemAdded() | Injected():
                prompt.came(event.item)
            case Withdrawn():
                prompt.went(event.items)
            case Pruned():
                self._pruned(event, prompt)
            case Restored():
                prompt.went(event.removed)
                for item in event.items:
                    prompt.came(item)

    def _pruned(self, event: Pruned, prompt: PromptNow) -> None:
        stand_in = event.stand_in
        prompt.went(event.items)
        if stand_in is None:
            return
        prompt.came(stand_in)
        if stand_in.id not in event.items:
            self.stands_for[stand_in.id] = event.items
