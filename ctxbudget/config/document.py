"""Reads a YAML (or JSON) file safely and remembers on which line everything stands.

Limits against hostile or mistaken files: size, nesting depth, and the number of nodes after
aliases are expanded (a "YAML bomb" is small until then).
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from yaml.constructor import ConstructorError

from ctxbudget.core.errors import ConfigError

MAX_BYTES = 16_000_000
"""A workflow of 10,000 phases with two agents each, as in the benchmark, is about 1 MB."""
MAX_DEPTH = 40
MAX_NODES = 2_000_000
MAX_DIGITS = 30
"""Longer than any sensible number, shorter than what Python refuses to print."""

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_HEAD_BYTES = 1_000
_JSON_LINES = re.compile(rb"\s*\{[^\n]*\}[ \r]*\n\s*\{")

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


def _read_int(text: str) -> int:
    """Return a decimal integer: `010` is ten, not eight."""
    if len(text) > MAX_DIGITS:
        raise ValueError(text)
    return int(text.replace("_", ""))


def _read_float(text: str) -> float:
    """Return a finite number: `1e999` would become infinite, which no journal could hold."""
    number = float(text.replace("_", ""))
    if not isfinite(number):
        raise ValueError(text)
    return number


def _read_bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _constructor(read: Callable[[str], Any], what: str) -> Callable[[Any, yaml.ScalarNode], Any]:
    """Return a constructor of scalars that says where it failed: a tag can force any text on it."""

    def construct(loader: Any, node: yaml.ScalarNode) -> Any:
        try:
            return read(str(node.value))
        except (ValueError, KeyError):
            problem = f"{str(node.value)[:40]!r} is not {what}"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    return construct


_SCALARS: dict[str, tuple[Callable[[str], Any], str]] = {
    "tag:yaml.org,2002:int": (_read_int, f"a whole number of up to {MAX_DIGITS} digits"),
    "tag:yaml.org,2002:float": (_read_float, "a finite number"),
    "tag:yaml.org,2002:bool": (_read_bool, "true or false"),
}
for _tag, (_read, _what) in _SCALARS.items():
    _Loader.add_constructor(_tag, _constructor(_read, _what))

_TEXT_TAG = "tag:yaml.org,2002:str"
_TAGS = {
    *_SCALARS,
    _TEXT_TAG,
    "tag:yaml.org,2002:null",
    "tag:yaml.org,2002:map",
    "tag:yaml.org,2002:seq",
}
"""What JSON has too; every other tag (dates, sets, code) is refused."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as plain values, and the lines they stand on."""

    path: str
    content: dict[str, Any]
    root: yaml.Node

    def line_of(self, location: Location) -> int:
        """Return the 1-based line of a key or element, or of the nearest thing around it."""
        nodes = [self.root, *self._walk(location)]
        return int(nodes[-1].start_mark.line) + 1

    def within(self, location: Location) -> Location:
        """Return as much of a location as the file holds: a shorthand has no keys of its own."""
        return location[: len(list(self._walk(location)))]

    def find(self, key: str, value: str) -> Location | None:
        """Return the first place, from the top, where a key holds a text."""
        waiting: list[tuple[Location, yaml.Node]] = [((), self.root)]
        seen: set[int] = set()
        while waiting:
            location, node = waiting.pop()
            if location[-1:] == (key,) and isinstance(node, yaml.ScalarNode):
                if node.value == value:
                    return location
            elif id(node) not in seen:
                seen.add(id(node))
                waiting += [((*location, step), one) for step, one in reversed(_steps(node))]
        return None

    def _walk(self, location: Location) -> Iterator[yaml.Node]:
        """Yield, for each step of a location that the file holds, the node to point at."""
        node = self.root
        for step in location:
            found = _child(node, step)
            if found is None:
                return
            key, node = found
            yield key


def read_document(path: Path) -> Document:
    """Return a file's content.

    Raises:
        ConfigError: the file is missing, not a file, too large, not UTF-8, not YAML, expands
            without end, has a key twice, or does not hold a mapping.
    """
    text = _read_text(path)
    return parse_document(_join_surrogates(text) if path.suffix == ".json" else text, str(path))


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
            _check_nodes(root, path)
            content = loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _not_yaml(error, text, path) from None
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
        with path.open("rb") as file:
            # Not by the size that the system tells: that of a pipe or a device is 0.
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        step = "name a file" if os.path.isdir(path) else "check the path"
        raise ConfigError(f"{reason}; {step}", path=str(path)) from None
    except ValueError:
        raise ConfigError("is not a path; check it", path=repr(str(path))) from None
    if content.startswith(_GZIP):
        raise _recorded("is a gzip file", path)
    if _JSON_LINES.match(content):
        raise _recorded("is a file of JSON lines", path)
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"is larger than {MAX_BYTES / 1e6:.0f} MB, the most for a file of this kind; "
            "check the path",
            path=str(path),
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content[:_HEAD_BYTES] and not content.startswith(_UTF_16):
            raise _recorded("is a binary file", path) from None
        raise ConfigError(
            f"is not UTF-8 text (byte {error.start:,}); save it as UTF-8",
            path=str(path),
            line=content.count(b"\n", 0, error.start) + 1,
        ) from None


def _recorded(what: str, path: Path) -> ConfigError:
    """Return the error for what nobody wrote by hand: most likely, an agent recorded it."""
    return ConfigError(
        f"{what}, not a workflow or policy; use `ctxbudget replay` for a recorded session, or "
        "`ctxbudget workflow-from` to draft a workflow of it",
        path=str(path),
    )


_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)


def _join_surrogates(text: str) -> str:
    """Return JSON with each escaped pair of surrogates as the character that it stands for.

    JSON writes characters beyond U+FFFF as such pairs, which YAML does not know.
    """

    def join(match: re.Match[str]) -> str:
        pair = bytes.fromhex(match[2] + match[3])
        return match[1] + pair.decode("utf-16-be")

    return _SURROGATES.sub(join, text)


def _refuse_deep(text: str, path: str) -> None:
    """Check the nesting without recursion, before anything recursive sees the text."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                raise _too_deep(path, mark.line + 1 if mark else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _too_deep(path: str, line: int | None) -> ConfigError:
    return ConfigError(
        f"is nested more than {MAX_DEPTH} levels deep; flatten it", path=path, line=line
    )


def _refuse_bomb(root: yaml.Node, path: str) -> None:
    """Measure the file as if every alias were written out, without writing anything out.

    A stack in place of recursion: aliases of aliases nest deeper than the text looks.
    """
    expanded: dict[int, tuple[int, int]] = {}  # values and levels below a node
    open_nodes: set[int] = set()
    stack = [root]
    while stack:
        node, line = stack[-1], stack[-1].start_mark.line + 1
        if id(node) in expanded:  # an alias of what was measured since it was put on the stack
            stack.pop()
            continue
        children = list(_children(node))
        waiting = [child for child in children if id(child) not in expanded]
        if not waiting:
            stack.pop()
            open_nodes.discard(id(node))
            below = [expanded[id(child)] for child in children]
            size = 1 + sum(values for values, _ in below)
            depth = max((levels for _, levels in below), default=-1) + 1
            _check_expanded(size, depth, path, line)
            expanded[id(node)] = size, depth
            continue
        open_nodes.add(id(node))
        for child in waiting:
            if id(child) in open_nodes:
                raise ConfigError(
                    "an alias (*) contains itself; write the value out", path=path, line=line
                )
        stack += waiting


def _check_expanded(size: int, depth: int, path: str, line: int) -> None:
    if size > MAX_NODES:
        raise ConfigError(
            f"has more than {MAX_NODES:,} values once its aliases are expanded; "
            "write it without nested aliases",
            path=path,
            line=line,
        )
    if depth > MAX_DEPTH:
        raise _too_deep(path, line)


def _check_nodes(root: yaml.Node, path: str) -> None:
    """Refuse foreign tags and bad keys; make every key text, as in JSON."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag not in _TAGS:
            raise ConfigError(
                f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r} is not read; "
                "write plain text, numbers, true or false",
                path=path,
                line=node.start_mark.line + 1,
            )
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, path)
        waiting += _children(node)


def _check_keys(node: yaml.MappingNode, path: str) -> None:
    lines: dict[str, int] = {}
    for index, (key, value) in enumerate(node.value):
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            what = "a list" if isinstance(key, yaml.SequenceNode) else "a mapping"
            raise ConfigError(
                f"a key must be plain text, found {what}; quote it", path=path, line=line
            )
        if key.value in lines:
            raise ConfigError(
                f"the key is there twice, first on line {lines[key.value]}; keep one of them",
                path=path,
                line=line,
                location=(key.value,),
            )
        lines[key.value] = line
        as_text = yaml.ScalarNode(_TEXT_TAG, key.value, key.start_mark, key.end_mark)
        node.value[index] = (as_text, value)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _steps(node: yaml.Node) -> list[tuple[str | int, yaml.Node]]:
    """Return what is directly below a node, each with the step of a location that leads to it."""
    if isinstance(node, yaml.MappingNode):
        return [(key.value, value) for key, value in node.value]
    return list(enumerate(node.value)) if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node to point at and the node to go on from, for one step of a location."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key, value
    return None


def _not_yaml(error: yaml.YAMLError, text: str, path: str) -> ConfigError:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    line = None
    if mark is not None:  # the end of the text lies on a line that is not there
        line = min(mark.line, max(0, len(text.splitlines()) - 1)) + 1
    elif isinstance(position, int):
        line = text.count("\n", 0, position) + 1
    problem = problem.removeprefix("but ")
    return ConfigError(f"not YAML: {problem}; mend the line", path=path, line=line)


def _kind(value: object) -> str:
    names = {list: "a list", str: "plain text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
