"""How a workflow says how large something is: in tokens, by naming the text to count, or uncertain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ctxbudget.chance import LogNormal, Spread, Uniform
from ctxbudget.config.document import Document, Location
from ctxbudget.config.fields import SPREADS, SomeTokens, Strict, Text, Tokens
from ctxbudget.core.errors import ConfigError

SKIPPED_FOLDERS = frozenset({".git", ".venv", "node_modules", "__pycache__"})
"""Folders that a glob does not enter: nobody means to feed these to a model."""


class Source(Strict):
    """One way to say a size; one key is to be given, or both of an uncertain size."""

    tokens: Tokens | None = Field(None, description="The size itself, taken as given.")
    text: Text | None = Field(None, description="A text to count.")
    file: Text | None = Field(None, description="A text file to count, relative to `root`.")
    glob: Text | None = Field(None, description="Text files to count, such as `src/**/*.py`.")
    median: SomeTokens | None = Field(
        None, description="Half of the cases stay below; with `p95`, for a log-normal size."
    )
    p95: SomeTokens | None = Field(None, description="95 of 100 cases stay below.")
    min: Tokens | None = Field(
        None, description="The least; with `max`, for a size that may be anything in between."
    )
    max: Tokens | None = Field(None, description="The most.")

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        for pair in SPREADS:
            self._check_pair(*pair)
        ways = [(way,) for way in WAYS] + list(SPREADS)
        given = [" with ".join(way) for way in ways if getattr(self, way[0]) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "size",
                "expected exactly one of tokens, text, file, glob, median with p95, min with max, "
                "found {found}",
                {"found": " and ".join(given) or "none"},
            )
        return self

    def _check_pair(self, low: str, high: str) -> None:
        """Check that both ends of an uncertain size are there, and rise."""
        least, most = getattr(self, low), getattr(self, high)
        if (least is None) is not (most is None):
            there, missing = (low, high) if most is None else (high, low)
            raise PydanticCustomError(
                "size",
                f"`{there}` needs `{missing}`; add it, or give one number of tokens",
                {"below": (there,)},
            )
        if least is not None and most is not None and most < least:
            raise PydanticCustomError(
                "size",
                f"expected {{least}} or more, not under `{low}`, found {{most}}; raise it, or lower "
                f"`{low}`",
                {"least": f"{least:,}", "most": f"{most:,}", "below": (high,)},
            )

    @property
    def spread(self) -> Spread | None:
        """What an uncertain size may be; None of one that is certain."""
        if self.median is not None and self.p95 is not None:
            return LogNormal(median_tokens=self.median, p95_tokens=self.p95)
        if self.min is not None and self.max is not None:
            return Uniform(min_tokens=self.min, max_tokens=self.max)
        return None


WAYS = {"tokens": "integer", "text": "string", "file": "string", "glob": "string"}
"""The ways to say a certain size, with their types in JSON."""


def _as_source(value: Any) -> Any:
    if isinstance(value, Mapping | Source):
        return value
    return {"tokens": value}


Size = Annotated[
    Source,
    BeforeValidator(_as_source),
    WithJsonSchema(
        {
            "description": "Tokens, a text, a file or a glob to count, or an uncertain size.",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {
                    "type": "object",
                    "properties": {
                        way: {"type": kind, "description": Source.model_fields[way].description}
                        for way, kind in WAYS.items()
                    },
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
                *(
                    {
                        "type": "object",
                        "properties": {
                            key: {
                                "type": "integer",
                                "minimum": 1 if key in ("median", "p95") else 0,
                                "description": Source.model_fields[key].description,
                            }
                            for key in pair
                        },
                        "additionalProperties": False,
                        "required": list(pair),
                    }
                    for pair in SPREADS
                ),
            ],
        }
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One counted piece of a size."""

    name: str
    """A file's path below the root, or empty."""
    tokens: int


class Sizes(Protocol):
    """Says how large a size is; an uncertain one is as expected."""

    def parts(self, source: Source, /) -> tuple[Part, ...]:
        """Return the pieces of a size: one, or one per file of a glob, sorted by path."""
        ...

    def tokens(self, source: Source, /) -> int:
        """Return the whole size."""
        ...


@dataclass(frozen=True, slots=True)
class Measure:
    """Counts what sizes name.

    Args:
        root: the folder that files and globs are relative to.
        count_text: tokens of a text.
        count_file: tokens of a file.
        document: where sizes are written, so that errors can name the line.
    """

    root: Path
    count_text: Callable[[str], int]
    count_file: Callable[[Path], int]
    document: Document | None = None

    def parts(self, source: Source) -> tuple[Part, ...]:
        """Return the pieces of a size: one, or one per file of a glob, sorted by path.

        Raises:
            ConfigError: a file cannot be read, or a glob finds none.
        """
        known = _known_tokens(source)
        if known is not None:
            return (Part(name="", tokens=known),)
        if source.text is not None:
            return (Part(name="", tokens=self.count_text(source.text)),)
        if source.file is not None:
            return (self._part(self.root / source.file, source.file, ("file", source.file)),)
        return tuple(self._glob(source.glob or ""))

    def tokens(self, source: Source) -> int:
        """Return the whole size; errors as in `parts`."""
        return sum(part.tokens for part in self.parts(source))

    def _glob(self, pattern: str) -> Iterator[Part]:
        try:
            found = sorted(path for path in self.root.glob(pattern) if self._is_wanted(path))
        except (ValueError, NotImplementedError, OSError) as error:
            raise ConfigError(
                f"{pattern!r} is not a glob relative to {self.root}: {error}; "
                "write one such as 'src/**/*.py'",
                location=self._place("glob", pattern),
            ) from None
        if not found:
            raise ConfigError(
                f"no file matches {pattern!r} in {self.root}; check the pattern and `root`",
                location=self._place("glob", pattern),
            )
        for path in found:
            name = path.relative_to(self.root).as_posix()
            yield self._part(path, name, ("glob", pattern))

    def _is_wanted(self, path: Path) -> bool:
        return path.is_file() and SKIPPED_FOLDERS.isdisjoint(path.relative_to(self.root).parts)

    def _part(self, path: Path, name: str, said: tuple[str, str]) -> Part:
        try:
            if path.exists() and not path.is_file():  # a folder, or a device without an end
                raise ValueError("is not a file")
            return Part(name=name, tokens=self.count_file(path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "cannot be read"
            raise ConfigError(
                f"{name!r} in {self.root}: {reason.lower()}; check the path and `root`",
                location=self._place(*said),
            ) from None

    def _place(self, key: str, value: str) -> Location:
        """Return where the file says this size."""
        found = self.document.find(key, value) if self.document is not None else None
        return found or (key,)


@dataclass(frozen=True, slots=True)
class Counted:
    """Knows what was counted before, and reads no file; it can go to another process."""

    known: Mapping[Source, tuple[Part, ...]]

    def parts(self, source: Source) -> tuple[Part, ...]:
        """Return the pieces of a size."""
        tokens = _known_tokens(source)
        return self.known[source] if tokens is None else (Part(name="", tokens=tokens),)

    def tokens(self, source: Source) -> int:
        """Return the whole size."""
        return sum(part.tokens for part in self.parts(source))


def counted(part: BaseModel, sizes: Sizes) -> Counted:
    """Return the sizes that a part of a file names, all counted; errors as of what counts them."""
    named = (source for source in sources(part) if _known_tokens(source) is None)
    return Counted({source: sizes.parts(source) for source in dict.fromkeys(named)})


def sources(part: BaseModel) -> Iterator[Source]:
    """Yield the sizes that a part of a file names, in the order of its keys."""
    if isinstance(part, Source):
        yield part
    for _, value in part:
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from sources(one)


def _known_tokens(source: Source) -> int | None:
    """Return a size that needs no counting."""
    spread = source.spread if source.tokens is None else None
    return source.tokens if spread is None else spread.expected_tokens
