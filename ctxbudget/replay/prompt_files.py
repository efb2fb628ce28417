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

BEGINS: Final = b'{"call":'
"""How a file of prompts begins."""

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
        self._versions: defaultdict[str, dict[str | int, int]] = defaultdict(dict)
        self._recorded = _recorded_items(run)
        self._names = {Path(TEXTS).stem}
        for item, text in self._recorded.values():
            self._version(item, text)

    @contextmanager
    def policy(self, label: str) -> Iterator[Prompts]:
        """Yield what writes one policy's prompts; of a policy that fails nothing is left."""
        path = self._folder / f"{self._free_name(label)}.jsonl"
        with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
            try:
                yield _PolicyFile(self, file)
            except Exception:
                path.unlink()
                raise

    def _free_name(self, label: str) -> str:
        plain = name = re.sub(r"[^A-Za-z0-9._=,:+-]|^[.]+", "_", label)
        number = 1
        while name in self._names:  # another policy's, or that of all texts
            number += 1
            name = f"{plain}-{number}"
        self._names.add(name)
        return name

    def line(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
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

    def _version_of(self, item: Item, text: Callable[[Item], str | None]) -> int:
        known = self._recorded.get((item.id, item.version))
        return self._version(item, known[1] if known is not None else text(item))

    def _version(self, item: Item, text: str | None) -> int:
        """Return the version of a text; what is hidden counts its own."""
        versions = self._versions[item.id]
        key = item.version if text is None else text
        if key not in versions:
            is_own = text is None or (item.id, item.version) in self._recorded
            number = (
                item.version if is_own else len(versions) + ((item.id, 0) not in self._recorded)
            )
            versions[key] = number
            line = {"id": item.id, "version": number, "kind": item.kind, "text": text}
            self._texts.write(json.dumps(line, ensure_ascii=False) + "\n")
        return versions[key]


class _PolicyFile:
    def __init__(self, files: PromptFiles, file: IO[str]) -> None:
        self._files, self._file = files, file

    def sent(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
    ) -> None:
        """Write a call."""
        line = self._files.line(call, items, text)
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


@contextmanager
def prompt_files(folder: Path, run: RecordedRun) -> Iterator[PromptFiles]:
    """Yield what writes into a folder, which is made if it is not there.

    Prompts that an earlier replay wrote there are taken away: their texts would be another's.

    Raises:
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jsonl"):
        with old.open("rb") as file:
            is_ours = file.read(len(BEGINS)) == BEGINS
        if is_ours:
            old.unlink()
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
            found.setdefault((item.id, item.version), (item, run.text_of(fact.text)))
    return found
