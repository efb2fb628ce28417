"""Which tool calls only look: they read, list or search, and change nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

_LOOKING_WORDS: Final = frozenset(
    {"cat", "fetch", "find", "glob", "grep", "list", "ls", "open", "read", "search", "view"}
)
"""One of these is a word in the name of a tool that looks: `Read`, `WebFetch`, `list_dir`."""

_CHANGING_WORDS: Final = frozenset({"create", "delete", "edit", "replace", "update", "write"})

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_COMMAND_KEYS: Final = ("command", "cmd", "script", "text")
"""Where the tools of recorded programs keep a shell's command."""

_FENCED: Final = re.compile(r"```(?:bash|sh)?\n(.*?)```", re.S)

_LOOKING: Final = frozenset(
    {
        *("ag", "awk", "cat", "cut", "egrep", "fd", "fgrep", "file", "find", "grep", "head", "jq"),
        *("less", "ls", "more", "nl", "rg", "sed", "sort", "stat", "tail", "tr", "tree", "uniq"),
        "wc",
    }
)
_LOOKING_GIT: Final = frozenset({"blame", "diff", "grep", "log", "ls-files", "show", "status"})
_BESIDE: Final = frozenset({"cd", "echo", "printf", "pwd", "true"})
"""Say nothing about whether a command looks."""

_CHANGING_OPTIONS: Final = {
    "sed": ("-i", "--in-place"),
    "find": ("-delete", "-exec", "-execdir", "-ok"),
}

_PUNCTUATION: Final = "();<>|&\n"


def only_looks(tool: str | None, given: object) -> bool:
    """Return True if a tool that is given this input only looks, as far as its name or command says.

    Of a shell's command, each part has to.
    """
    words = {word.lower() for word in _WORD.findall(tool or "")}
    if words & _LOOKING_WORDS:
        return not words & _CHANGING_WORDS
    command = _command(given)
    return command is not None and _is_looking_command(command)


def _command(given: object) -> str | None:
    if not isinstance(given, Mapping):
        return None
    found: Any = next((given[key] for key in _COMMAND_KEYS if key in given), None)
    if isinstance(found, list):
        found = found[-1] if found else None  # as in bash -lc COMMAND
    if not isinstance(found, str):
        return None
    fenced = _FENCED.search(found)
    return fenced[1] if fenced else found


def _is_looking_command(command: str) -> bool:
    try:
        parts = list(_parts(command))
    except ValueError:  # a quote that does not end, or more than is understood here
        return False
    programs = [part for part in parts if part[0] not in _BESIDE]
    return bool(programs) and all(_looks(part) for part in programs)


def _parts(command: str) -> Iterator[list[str]]:
    """Yield the simple commands of a command line.

    Raises:
        ValueError: it writes to a file, or is no command line.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    words: list[str] = []
    for part in lexer:
        if not part or not all(char in _PUNCTUATION for char in part):
            words.append(part)
        elif "<<" in part:
            raise ValueError("a text in the command line")
        elif ">" in part:
            to = lexer.get_token() or ""
            if to != "/dev/null" and not (part.endswith("&") and to.isdigit()):
                raise ValueError("writes to a file")
        elif part != "<" and words:
            yield words
            words = []
    if words:
        yield words


def _looks(part: list[str]) -> bool:
    program, *given = part
    name = program.rpartition("/")[2]
    if name == "git":
        asked = next((one for one in given if not one.startswith("-")), "")
        return asked in _LOOKING_GIT
    changing = _CHANGING_OPTIONS.get(name, ())
    return name in _LOOKING and not any(one.startswith(changing) for one in given if changing)
