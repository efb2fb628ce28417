"""One item of a journal: what happened to it, where it is, what its text was."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ctxbudget.cli.journal_view import read_into
from ctxbudget.core.events import Event, Injected, ItemAdded, Pruned, RunStarted
from ctxbudget.core.types import MAIN, Item
from ctxbudget.history import Happening, History
from ctxbudget.journal import TextLine
from ctxbudget.live.pieces import Block
from ctxbudget.live.texts import Texts
from ctxbudget.report.journal_asides import Asides
from ctxbudget.report.prompts import Prompts


@dataclass(slots=True)
class ItemView:
    """What a journal tells of one item.

    Attributes:
        first: the item as it came.
        thread: into whose prompt it came.
        names_text: whether the journal names its text, be it there or not.
        events: all of them, for rebuilding the engine.
    """

    path: Path
    item: str
    start: RunStarted = field(init=False)
    first: Item = field(init=False)
    thread: str = MAIN
    names_text: bool = False
    events: list[Event] = field(default_factory=list)
    prompts: Prompts = field(default_factory=Prompts)
    happenings: list[Happening] = field(default_factory=list)
    _texts: Texts = field(default_factory=Texts)
    _is_found: bool = False

    @classmethod
    def read(cls, path: Path, item: str) -> ItemView:
        """Return what a journal tells of an item.

        Raises:
            JournalError: it cannot be read.
            SourceError: there is no such item.
        """
        view, history = cls(path, item), History()
        asides = Asides(history, view.prompts)
        heard = (view.events.append, history, view.prompts, asides, view._texts, view._look)
        view.start = read_into(path, heard, on_text=view._know)
        view.happenings = asides.why(item)
        return view

    def _know(self, text: TextLine) -> None:
        self._texts.know({text.hash: text.content})

    def _look(self, event: Event) -> None:
        """Note where the item came from."""
        if self._is_found:
            return
        match event:
            case ItemAdded() | Injected() if event.item.id == self.item:
                self.first, self.thread, self._is_found = event.item, event.thread, True
                self.names_text = isinstance(event, Injected) or event.text is not None
            case Pruned(stand_in=Item() as stand_in) if stand_in.id == self.item:
                self.first, self.thread, self._is_found = stand_in, event.thread, True
            case _:
                pass

    def block(self) -> Block | None:
        """Return the item's first block, whole; None if the journal does not hold it."""
        return self._texts.find(self.thread, self.item, self.first.version)
