"""Writes the prompts of what-ifs to files, so that anybody can check the numbers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from ctxbudget.core.events import CallSent, ItemAdded, Registered
from ctxbudget.core.types import MAIN, Item
from ctxbudget.replay.recorded_run import RecordedRun
from ctxbudget.replay.what_if import Prompts

TEXTS: Final = "items.jsonl"


class PromptFiles:
    """A folder with a file of prompts for each policy, and one of all texts.

    A version is a text here: the same id and version say the same under every policy, 0 being the
    item as it was recorded.
    """

    def __init__(self, folder: Path, run: RecordedRun, texts: IO[str]) -> None:
        self._folder = folder
        self._run = run
        self._texts = texts
        self._versions: defaultdict[str, dict[str | None, int]] = defaultdict(dict)
        self._recorded = _recorded_items(run)
        for item, text in self._recorded.values():
            self._version(item, text)

    @contextmanager
    def policy(self, label: str) -> Iterator[Prompts]:
        """Yield what writes one policy's prompts."""
        name = f"{re.sub(r'[^A-Za-z0-9._=,:+-]', '_', label)}.jsonl"
        with (self._folder / name).open("w", encoding="utf-8", errors="surrogatepass") as file:
            yield _PolicyFile(self, file)

    def line(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str]
    ) -> dict[str, Any]:
        """Return a call as it is written; texts that are new are written on the way."""
        thread = {} if call.thread == MAIN else {"thread": call.thread}
        return {
            "call": call.call,
            "at": call.at,
            "model": call.model,
            **thread,
            "items": [
                {"id": item.id, "version": self._version_of(item, text), "tokens": item.tokens}
                for item in items
            ],
            "output": list(self._run.wrote.get((call.thread, call.call), ())),
        }

    def _version_of(self, item: Item, text: Callable[[Item], str]) -> int:
        known = self._recorded.get((item.id, item.version))
        return self._version(item, known[1] if known is not None else text(item))

    def _version(self, item: Item, text: str | None) -> int:
        versions = self._versions[item.id]
        if text not in versions:
            versions[text] = len(versions) + (not versions and (item.id, 0) not in self._recorded)
            line = {"id": item.id, "version": versions[text], "kind": item.kind, "text": text}
            self._texts.write(json.dumps(line, ensure_ascii=False) + "\n")
        return versions[text]


class _PolicyFile:
    def __init__(self, files: PromptFiles, file: IO[str]) -> None:
        self._files, self._file = files, file

    def sent(self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str]) -> None:
        """Write a call."""
        line = self._files.line(call, items, text)
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


@contextmanager
def prompt_files(folder: Path, run: RecordedRun) -> Iterator[PromptFiles]:
    """Yield what writes into a folder, which is made if it is not there.

    Raises:
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        path = folder / TEXTS
        texts = stack.enter_context(path.open("w", encoding="utf-8", errors="surrogatepass"))
        yield PromptFiles(folder, run, texts)


def _recorded_items(run: RecordedRun) -> dict[tuple[str, int], tuple[Item, str | None]]:
    """Return each item as it was recorded, with the text that recall reads; None if hidden."""
    found: dict[tuple[str, int], tuple[Item, str | None]] = {}
    for fact in run.facts:
        if isinstance(fact, ItemAdded | Registered):
            item = fact.item
            found.setdefault((item.id, item.version), (item, run.text_of(item.kind, fact.text)))
    return found
