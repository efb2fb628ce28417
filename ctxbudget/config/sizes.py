"""How a workflow says how large something is: in tokens, or by naming the text to count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ctxbudget.config.document import Document, Location
from ctxbudget.config.fields import Strict, Text, Tokens
from ctxbudget.core.errors import ConfigError

SKIPPED_FOLDERS = frozenset({".git", ".venv", "node_modules", "__pycache__"})
"""Folders that a glob does not enter: nobody means to feed these to a model."""


class Source(Strict):
    """One way to say a size; exactly one key is to be given."""

    tokens: Tokens | None = Field(None, description="The size itself, taken as given.")
    text: Text | None = Field(None, description="A text to count.")
    file: Text | None = Field(None, description="A text file to count, relative to `root`.")
    glob: Text | None = Field(None, description="Text files to count, such as `src/**/*.py`.")

    @model_validator(mode="after")
    def _one_way(self) -> Source:
        given = [way for way in WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "size",
                "expected exactly one of tokens, text, file, glob, found {found}",
                {"found": " and ".join(given) or "none"},
            )
        return self


WAYS = {"tokens": "integer", "text": "string", "file": "string", "glob": "string"}
"""The ways to say a size, with their types in JSON."""


def _as_source(value: Any) -> Any:
    if isinstance(value, Mapping | Source):
        return value
    return {"tokens": value}


Size = Annotated[
    Source,
    BeforeValidator(_as_source),
    WithJsonSchema(
        {
            "description": "Tokens, or a text, a file or a glob to count.",
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
        if source.tokens is not None:
            return (Part(name="", tokens=source.tokens),)
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
