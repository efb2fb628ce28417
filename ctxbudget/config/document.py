"""Reads a YAML (or JSON) file safely and remembers on which line everything stands.

Limits against hostile or mistaken files: size, nesting depth, and the number of nodes after
aliases are expanded (a "YAML bomb" is small until then).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ctxbudget.core.errors import ConfigError

MAX_BYTES = 16_000_000
"""A workflow of 10,000 phases with agents is about 2 MB."""
MAX_DEPTH = 40
MAX_NODES = 2_000_000

Location: TypeAlias = tuple[str | int, ...]

_BaseLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BaseLoader):  # type: ignore[misc, valid-type]  # chosen at run time: C if there is one
    """YAML 1.2's plain scalars: `on` and `yes` are text, and so is `1:30`."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.I), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$", re.I), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"
    ),
    list("-+0123456789."),
)


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    """Return a decimal integer: `010` is ten, not eight."""
    return int(str(node.value).replace("_", ""))


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    return float(str(node.value).replace("_", ""))


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as plain values, and the lines they stand on."""

    path: str
    content: dict[str, Any]
    root: yaml.Node

    def line_of(self, location: Location) -> int | None:
        """Return the 1-based line of a key or element, or of the nearest thing around it."""
        node, line = self.root, self.root.start_mark.line + 1
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line + 1
        return line


def read_document(path: Path) -> Document:
    """Return a file's content.

    Raises:
        ConfigError: the file is missing, not a file, too large, not UTF-8, not YAML, expands
            without end, has a key twice, or does not hold a mapping.
    """
    return parse_document(_read_text(path), str(path))


def parse_document(text: str, path: str) -> Document:
    """Return a text's content; `path` is what errors call it. Errors as in `read_document`."""
    try:
        _refuse_deep(text, path)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                raise ConfigError(
                    "the file is empty; see `ctxbudget schema` for what it takes", path=path
                )
            _refuse_bomb(root, path)
            _refuse_duplicate_keys(root, path)
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not YAML that can be read: {error}", path=path) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"expected a mapping of keys to values, found {_kind(content)}; "
            "see `ctxbudget schema` for the keys",
            path=path,
            line=1,
        )
    return Document(path, content, root)


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ConfigError("is a directory; name a file", path=str(path))
        if size > MAX_BYTES:
            raise ConfigError(
                f"is {size / 1e6:,.0f} MB; a file of this kind has at most {MAX_BYTES / 1e6:.0f} MB",
                path=str(path),
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"is not UTF-8 text (byte {error.start:,}); save it as UTF-8", path=str(path)
        ) from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"{reason}; check the path", path=str(path)) from None
    except ValueError:
        raise ConfigError("is not a path; check it", path=repr(str(path))) from None


def _refuse_deep(text: str, path: str) -> None:
    """Check the nesting without recursion, before anything recursive sees the text."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                raise ConfigError(
                    f"is nested more than {MAX_DEPTH} levels deep; flatten it",
                    path=path,
                    line=mark.line + 1 if mark else None,
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_bomb(root: yaml.Node, path: str) -> None:
    """Count nodes as if every alias were written out."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = MAX_NODES + 1  # seen again below itself: it contains itself
        sizes[id(node)] = min(1 + sum(map(size, _children(node))), MAX_NODES + 1)
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise ConfigError(
            f"has more than {MAX_NODES:,} values once its aliases are expanded; "
            "write it without nested aliases",
            path=path,
        )


def _refuse_duplicate_keys(root: yaml.Node, path: str) -> None:
    seen_nodes: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        waiting += _children(node)
        if not isinstance(node, yaml.MappingNode):
            continue
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(
                    "a key must be plain text", path=path, line=key.start_mark.line + 1
                )
            if key.value in keys:
                raise ConfigError(
                    "the key is there twice; keep one of them",
                    path=path,
                    line=key.start_mark.line + 1,
                    location=(key.value,),
                )
            keys.add(key.value)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node to point at and the node to go on from, for one step of a location."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    return None


def _not_yaml(error: yaml.YAMLError, path: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return ConfigError(
        f"not YAML: {problem}; mend the line", path=path, line=mark.line + 1 if mark else None
    )


def _kind(value: object) -> str:
    return {list: "a list", str: "plain text", type(None): "nothing"}.get(type(value), "a number")
