"""What the importers have in common: steps with their sizes, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ctxbudget.importing.parts import Part, plain
from ctxbudget.writing.assumed import Assumed

CountText: TypeAlias = Callable[[str], int]

CALLED_BY_LINE: Final = {
    "haiku": "claude-haiku-4-5",
    "sonnet": "claude-sonnet-4-6",
    "opus": "claude-opus-4-8",
}
"""What coding agents' short names of models are taken for: an assumption, of November 2026."""


SKIP: Final = "50%"
"""How likely a step that depends on a condition is left out: an assumption."""

AGAIN: Final = "50%"
"""How likely a loop goes on after each iteration: an assumption."""

FAILS: Final = "10%"
"""How likely a try fails of what is tried again: an assumption."""

MOST_TIMES: Final = 50
"""Iterations of a loop that are carried over."""

MOST_ROUNDS: Final = 10_000
"""Rounds of one conversation that are carried over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large things are that the files of other tools say nothing of.

    Attributes:
        command_tokens: of a command's or persona's prompt, which stands in a file elsewhere.
        script_tokens: of what a script prints, and of what a step of a loop hands on.
        file_tokens: of a file that is named for reading.
        count: counts texts that the file holds.
    """

    assumed: Assumed
    count: CountText
    command_tokens: int = 1_500
    script_tokens: int = 300
    file_tokens: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A number, and where it comes from."""

    tokens: int
    why: str = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one conversation with a model does: an agent's, or a phase's in the main thread.

    Attributes:
        rounds: rounds of tools; one more call writes the output.
        model: as a price list names it; empty is the workflow's.
        model_said: as the file names it, where that differs.
        tries: how often it is tried in all.
    """

    id: str
    output: Sized
    prompt: Sized | None = None
    reads: Sequence[Sized] = ()
    rounds: int = 0
    calls_why: str = ""
    model: str = ""
    model_said: str = ""
    tries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that becomes a phase.

    Attributes:
        waves: agents with threads of their own, together within a wave.
        own: what is done in the main thread; after the agents, if there are some, it hands on
            nothing.
        printed: what comes of it without a model, in place of both.
        condition: on what it depends whether it runs at all; empty if on nothing.
        at_most: how often it runs at most.
    """

    id: str
    about: str = ""
    after: Sequence[str] = ()
    waves: Sequence[Sequence[Work]] = ()
    own: Work | None = None
    printed: Sized | None = None
    condition: str = ""
    at_most: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A workflow of another tool, as far as ours can say it.

    Attributes:
        format: the tool's name.
        assumptions: what had to be made up to fill the gaps, a sentence each.
        left_out: what could not be carried over, a sentence each.
    """

    name: str
    format: str
    steps: Sequence[Step]
    about: str = ""
    model: str = ""
    model_said: str = ""
    assumptions: Sequence[str] = ()
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of another tool.

    Attributes:
        name: as a user names it.
        title: what a file of it is called.
        looked_for: by what it is recognized.
    """

    name: str
    title: str
    looked_for: str
    recognizes: Callable[[Part], bool]
    read: Callable[[Part, Sizes], Plan]


@dataclass(slots=True)
class Notes:
    """Collects sentences, each with the steps that it is true of, in the order of first use."""

    _said: dict[str, list[str]] = field(default_factory=dict)

    def add(self, sentence: str, step: str = "") -> None:
        """Note a sentence, of one more step."""
        steps = self._said.setdefault(sentence, [])
        if step and step not in steps:
            steps.append(step)

    def sentences(self) -> tuple[str, ...]:
        """Return the sentences, each with its steps behind it."""
        return tuple(
            f"{sentence}: {_listed(steps)}" if steps else sentence
            for sentence, steps in self._said.items()
        )


MOST_LISTED: Final = 8


def _listed(steps: Sequence[str]) -> str:
    more = len(steps) - MOST_LISTED
    shown = ", ".join(steps[:MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def called(said: str, line: str = "") -> tuple[str, str]:
    """Return a model as prices know it, and what the file says of it if that is something else.

    `line` is the short name that is meant by what the file says; empty if that is one itself.
    """
    plainly = said.strip()
    name = line or plainly
    model = CALLED_BY_LINE.get(name.lower(), name)
    return model, f"`{plain(plainly)}`" if model != plainly else ""


def bridged(needs: Mapping[str, Iterable[str]], gone: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return what each step needs once some are gone: what these needed takes their place."""
    missing = set(gone)

    def through(name: str) -> list[str]:
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = list(needs[name])[::-1]
        while waiting:
            need = waiting.pop()
            if need not in missing:
                found[need] = None
            elif need not in seen:
                seen.add(need)
                waiting += list(needs[need])[::-1]
        return list(found)

    return {name: tuple(through(name)) for name in needs if name not in missing}
