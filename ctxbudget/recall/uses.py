"""What each call of a recorded session used again of the items that stood in its prompt."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal, TypeAlias

from ctxbudget.core.errors import SourceError
from ctxbudget.core.types import MAIN, Kind
from ctxbudget.references import identifiers, quotes, string_values

What: TypeAlias = Literal["reference", "quote"]

HOLDERS: Final = 8
"""The most holders that a use lists."""

LOOKED_AT: Final = 64
"""How far back holders are looked for once one is found: a name may stand in thousands of items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """An identifier or a whole line that a call wrote and that its prompt held."""

    what: What
    text: str
    name: int
    """Its number in the library."""
    holders: tuple[str, ...]
    """Items of the recorded prompt that held it, latest first: the latest one always, of those
    before it some of the nearest."""
    tokens: int = 0
    """Of the text; 0 where the library was given no count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one call used, in the order in which it was written, each thing once."""

    call: int
    """1-based within the thread."""
    thread: str = MAIN
    references: tuple[Used, ...] = ()
    quotes: tuple[Used, ...] = ()


def words(kind: Kind, content: object) -> tuple[str, ...]:
    """Return the texts of what an assistant or anybody else wrote, as recall reads them.

    `content` is a text, or the JSON value that a tool was called with: escaped JSON would hide
    its lines, so its string values are taken one by one. Thinking has none: what a model only
    thought it did not use.
    """
    return () if kind is Kind.THINKING else tuple(string_values(content))


class Library:
    """The identifiers and lines of a session's items, made once and shared by all policies.

    Each text is looked at once. A name (an identifier or a line) is a number from then on.
    """

    def __init__(self, count: Callable[[str], int] | None = None) -> None:
        """Make an empty library; `count` returns a text's tokens, and weighs what is used."""
        self._count = count
        self._references: dict[str, int] = {}
        self._quotes: dict[str, int] = {}
        self._items: list[str] = []
        self._names: dict[str, array[int]] = {}
        # By name. Items are numbers, too; most names stand in one or two of them.
        self._holders: list[array[int]] = []
        self._tokens: dict[int, int] = {}

    def add(self, item: str, texts: str | Iterable[str]) -> None:
        """Take in an item's texts, as `words` returns them; items come in the session's order.

        An item whose text is hidden (a system prompt that was not recorded) is not added, or
        without texts.

        Raises:
            SourceError: the item is already here.
        """
        if item in self._names:
            raise SourceError(f"the texts of item {item!r} are already here; ids must differ")
        number = len(self._items)
        self._items.append(item)
        names = self._names[item] = self.read(texts)
        for name in names:
            self._holders[name].append(number)

    def names(self, item: str) -> Sequence[int]:
        """Return the names in an item's texts, each once; none if the item was never added."""
        return self._names.get(item, ())

    def read(self, texts: str | Iterable[str]) -> array[int]:
        """Return the names in texts that are no item's own: a shorter form, a summary."""
        listed = _listed(texts)
        found = array("L")
        found.extend(self._numbers(self._references, _each(identifiers, listed)))
        found.extend(self._numbers(self._quotes, _each(quotes, listed)))
        return found

    def number_of(self, what: What, text: str) -> int | None:
        """Return the name that an identifier or a line has here; None if no text had it so far."""
        known = self._references if what == "reference" else self._quotes
        return known.get(text)

    def output(
        self,
        call: int,
        texts: str | Iterable[str],
        held: Callable[[str], bool],
        thread: str = MAIN,
    ) -> Use:
        """Return what a call used, given what it wrote, as `words` returns it.

        `held` says of an item whether the recorded prompt of this call held it. Only such items
        count, so it does not matter whether items that came later were added already.
        """
        listed = _listed(texts)
        return Use(
            call=call,
            thread=thread,
            references=self._used("reference", self._references, _each(identifiers, listed), held),
            quotes=self._used("quote", self._quotes, _each(quotes, listed), held),
        )

    def _numbers(self, known: dict[str, int], found: Iterable[str]) -> Iterable[int]:
        for text in found:
            name = known.get(text)
            if name is None:
                name = known[text] = len(self._holders)
                self._holders.append(array("L"))
            yield name

    def _used(
        self,
        what: What,
        known: dict[str, int],
        written: Iterable[str],
        held: Callable[[str], bool],
    ) -> tuple[Used, ...]:
        names = ((text, known[text]) for text in written if text in known)
        return tuple(
            Used(
                what=what,
                text=text,
                name=name,
                holders=holders,
                tokens=self._counted(name, text),
            )
            for text, name in names
            if (holders := self._latest(name, held))
        )

    def _latest(self, name: int, held: Callable[[str], bool]) -> tuple[str, ...]:
        """Return holders of a name that the prompt held, latest first.

        What a call wrote holds the name from then on and stands in the prompts after it, so the
        next search seldom goes far.
        """
        found: list[str] = []
        for looked_at, number in enumerate(reversed(self._holders[name])):
            if len(found) == HOLDERS or (found and looked_at >= LOOKED_AT):
                break
            if held(self._items[number]):
                found.append(self._items[number])
        return tuple(found)

    def _counted(self, name: int, text: str) -> int:
        if self._count is None:
            return 0
        if name not in self._tokens:
            self._tokens[name] = self._count(text)
        return self._tokens[name]


def _listed(texts: str | Iterable[str]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _each(found_in: Callable[[str], Iterable[str]], texts: Iterable[str]) -> Iterable[str]:
    """Return what is found in any of the texts, each once, in order."""
    return dict.fromkeys(chain.from_iterable(map(found_in, texts)))
