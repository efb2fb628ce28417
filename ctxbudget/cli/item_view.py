"""One item of a journal: what happened to it, where it is, what its text was."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ctxbudget.cli.journal_view import read_into
from ctxbudget.core.events import Event, Injected, ItemAdded, Pruned, RunStarted
from ctxbudget.core.types import MAIN, Item
from ctxbudget.history import Happening, History
from ctxbudget.journal import TextLine
from ctxbudget.live.pieces import Block, compact_json, text_of
from ctxbudget.live.texts import Texts
from ctxbudget.report.item_why import Why, places
from ctxbudget.report.prompts import Prompts


@dataclass(slots=True)
class ItemView:
    """What a journal tells of one item.

    Attributes:
        first: the item as it came.
        thread: into whose prompt it came.
        names_texts, holds_texts: whether the journal names any text by its hash, and holds any.
        events: all of them, for rebuilding the engine.
    """

    path: Path
    item: str
    start: RunStarted = field(init=False)
    first: Item = field(init=False)
    thread: str = MAIN
    names_texts: bool = False
    holds_texts: bool = False
    events: list[Event] = field(default_factory=list)
    prompts: Prompts = field(default_factory=Prompts)
    happenings: list[Happening] = field(default_factory=list)
    _texts: Texts = field(default_factory=lambda: Texts(keeps_closed=True))
    _is_found: bool = False

    @classmethod
    def read(cls, path: Path, item: str) -> ItemView:
        """Return what a journal tells of an item.

        Raises:
            JournalError: it cannot be read.
            SourceError: there is no such item.
        """
        view, history = cls(path, item), History()
        heard = (view.events.append, history, view.prompts, view._texts, view._look)
        view.start = read_into(path, heard, on_text=view._know)
        view.happenings = history.why(item)
        return view

    def _know(self, text: TextLine) -> None:
        self.holds_texts = True
        self._texts.know({text.hash: text.content})

    def _look(self, event: Event) -> None:
        """Note where the item came from."""
        self.names_texts = self.names_texts or getattr(event, "text", None) is not None
        if self._is_found:
            return
        match event:
            case ItemAdded() | Injected() if event.item.id == self.item:
                self.first, self.thread, self._is_found = event.item, event.thread, True
            case Pruned(stand_in=Item() as stand_in) if stand_in.id == self.item:
                self.first, self.thread, self._is_found = stand_in, event.thread, True
            case _:
                pass

    def block(self) -> Block | None:
        """Return the item's first block, whole; None if the journal does not hold it."""
        return self._texts.find(self.thread, self.item, self.first.version)

    def why(self) -> Why:
        """Return all that is to be said of the item."""
        block = self.block()
        present, evicted = places(self.prompts, self.item)
        return Why(
            journal=str(self.path),
            start_at=self.start.at,
            item=self.first,
            happenings=self.happenings,
            present=present,
            evicted=evicted,
            stands_for=self.prompts.stands_for.get(self.item, ()),
            text=None if block is None else written_text(block),
        )


def written_text(block: Block) -> str:
    """Return the text of a block, or its JSON where it has none, such as an image."""
    return text_of(block) or compact_json(block)
