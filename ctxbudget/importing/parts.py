"""Somebody else's file, read with care: every value with the line that it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ctxbudget.config.document import Document, Location
from ctxbudget.config.fields import shown
from ctxbudget.core.errors import ConfigError, near_misses

MOST_ABOUT_CHARS = 300
MOST_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A mapping in a file, and where it stands."""

    document: Document
    at: Location
    content: Mapping[str, Any]

    @classmethod
    def whole(cls, document: Document) -> Part:
        """Return the whole file."""
        return cls(document, (), document.content)

    def error(self, message: str, *steps: str | int) -> ConfigError:
        """Return an error that names the file, the line and the key."""
        location = (*self.at, *steps)
        return ConfigError(
            message,
            path=self.document.path,
            line=self.document.line_of(location),
            location=location,
        )

    def text(self, key: str) -> str:
        """Return a text; empty if there is none.

        Raises:
            ConfigError: it is a list or a mapping.
        """
        value = self.content.get(key)
        if value is None:
            return ""
        if isinstance(value, list | dict):
            raise self.error(f"expected text, found {shown(value)}", key)
        return str(value)

    def required(self, key: str) -> str:
        """Return a text that must be there.

        Raises:
            ConfigError: it is not.
        """
        found = self.text(key).strip()
        if not found:
            raise self.error("is required and missing; add it", key)
        return found

    def count(self, key: str) -> int | None:
        """Return a whole number from 1 up; None if there is none.

        Raises:
            ConfigError: it is something else.
        """
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(f"expected a whole number from 1 up, found {shown(value)}", key)
        return value

    def names(self, key: str) -> list[str]:
        """Return a list of texts, or the one text that is given in place of a list.

        Raises:
            ConfigError: it is something else.
        """
        value = self.content.get(key)
        if value is None:
            return []
        listed = value if isinstance(value, list) else [value]
        for number, one in enumerate(listed):
            if isinstance(one, list | dict) or one is None:
                steps = (key, number) if isinstance(value, list) else (key,)
                raise self.error(f"expected a name, found {shown(one)}", *steps)
        return list(dict.fromkeys(str(one) for one in listed))

    def part(self, key: str) -> Part | None:
        """Return a mapping below; None if there is none.

        Raises:
            ConfigError: it is something else.
        """
        value = self.content.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(f"expected keys and values, found {shown(value)}", key)
        return Part(self.document, (*self.at, key), value)

    def parts(self, key: str) -> list[Part]:
        """Return the mappings of a list.

        Raises:
            ConfigError: it is something else.
        """
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(f"expected a list, found {shown(value)}", key)
        for number, one in enumerate(value):
            if not isinstance(one, dict):
                raise self.error(f"expected keys and values, found {shown(one)}", key, number)
        return [
            Part(self.document, (*self.at, key, number), one) for number, one in enumerate(value)
        ]

    def some_parts(self, key: str) -> list[Part]:
        """Return the mappings of a list of one or more. Errors as in `parts`, or it is empty."""
        found = self.parts(key)
        if not found:
            raise self.error("expected a list of one or more; add one", key)
        return found


def ids_of(parts: Iterable[Part]) -> list[str]:
    """Return the ids of parts.

    Raises:
        ConfigError: one is missing, there twice, or nothing that a phase can be called.
    """
    lines: dict[str, int] = {}
    return [new_id(part, lines) for part in parts]


def new_id(part: Part, lines: dict[str, int]) -> str:
    """Return the id of a part, and note its line beside those of the ids before.

    Raises:
        ConfigError: it is missing, there twice, or nothing that a phase can be called.
    """
    name = part.required("id")
    if name in lines:
        raise part.error(
            f"{name!r} is there twice, first on line {lines[name]}; rename one of them", "id"
        )
    if plain(name) != name:
        raise part.error(f"expected a name without '/' or control characters, found {name!r}", "id")
    lines[name] = part.document.line_of((*part.at, "id"))
    return name


def known_names(part: Part, key: str, known: Iterable[str]) -> list[str]:
    """Return the names under a key, which must all be known.

    Raises:
        ConfigError: one is not.
    """
    found, all_known = part.names(key), list(known)
    for name in found:
        if name not in all_known:
            steps = (key, found.index(name)) if isinstance(part.content[key], list) else (key,)
            raise part.error(f"there is no {name!r}; {near_misses(name, all_known)}", *steps)
    return found


def refuse_circles(parts: Mapping[str, Part], needs: Mapping[str, Iterable[str]], key: str) -> None:
    """Check that nothing needs itself, directly or through others; `key` says what it needs.

    Raises:
        ConfigError: something does; the message shows the circle.
    """
    done: set[str] = set()
    for first in parts:
        path: list[str] = []
        waiting = [(first, iter(needs[first]))] if first not in done else []
        path += [name for name, _ in waiting]
        while waiting:
            name, rest = waiting[-1]
            following = next((one for one in rest if one not in done), None)
            if following is None:
                done.add(name)
                waiting.pop()
                path.pop()
            elif following in path:
                circle = " → ".join([*path[path.index(following) :], following])
                raise parts[name].error(
                    f"these need each other in a circle: {circle}; remove one of these "
                    "dependencies",
                    key,
                )
            else:
                waiting.append((following, iter(needs[following])))
                path.append(following)


def plain(text: str) -> str:
    """Return a text as a name that a workflow file takes: one short line without slashes."""
    shown_text = " ".join(text.replace("/", "-").split())
    return "".join(char for char in shown_text if char.isprintable())[:MOST_NAME_CHARS].strip()


def in_short(text: str) -> str:
    """Return the beginning of a text as one line, cut at a word."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    if len(line) <= MOST_ABOUT_CHARS:
        return line
    return line[:MOST_ABOUT_CHARS].rpartition(" ")[0].rstrip(",;:") + " …"
