"""Reads unified diffs: which files changed, by how much, and inside which definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line, plural

_FILE: Final = re.compile(r"diff --git (?:a/)?(\S++) (?:b/)?(\S++)|\+\+\+ (?:b/)?(\S++)")
_OLD_FILE: Final = re.compile(r"--- (?:a/)?(\S++)")
_HUNK: Final = re.compile(r"@@ -\d++(?:,\d++)? \+\d++(?:,\d++)? @@ ?(.*+)")
_STATE: Final = re.compile(r"(new file|deleted file|rename from|rename to|Binary files)\b")
_COMMIT: Final = re.compile(r"commit ([0-9a-f]{7,40}+)\b")
_DEFINED: Final = re.compile(
    r"[-+]\s*+(?:export |default |pub |async |public |private |static )*+"
    r"(?:def|class|function|func|fn|struct|interface|type|enum) (?:\([^)]{0,60}+\) )?(\w++)"
)


@dataclass(slots=True)
class _File:
    added: int = 0
    removed: int = 0
    places: list[str] = field(default_factory=list)


def read_diff(lines: Sequence[str]) -> Found:
    """Return the files with their added and removed lines, most changed first."""
    files: dict[str, _File] = {}
    defined: list[str] = []
    current, old_name = _File(), ""
    for line in lines:
        if found := _FILE.match(line):
            name = found[3] or found[2]
            name = old_name if name == "/dev/null" else name
            current = files.setdefault(name, _File())
        elif old := _OLD_FILE.match(line):
            old_name = old[1]
        else:
            _note(line, current, defined)
    ordered = sorted(files, key=lambda name: -(files[name].added + files[name].removed))
    return Found(
        title=_commit_title(lines),
        shape=(
            f"diff of {plural(len(files), 'file')} "
            f"+{sum(one.added for one in files.values())} "
            f"-{sum(one.removed for one in files.values())}"
        ),
        findings=tuple(_file_line(name, files[name]) for name in ordered),
        names=once([*ordered, *defined]),
        skipped=frozenset(f"{side}/{name}" for name in files for side in "ab"),
    )


def _note(line: str, current: _File, defined: list[str]) -> None:
    if hunk := _HUNK.match(line):
        current.places.append(one_line(hunk[1], 70))
    elif state := _STATE.match(line):
        current.places.append(state[1])
    elif line.startswith(("+", "-")):
        current.added += line[0] == "+"
        current.removed += line[0] == "-"
        if definition := _DEFINED.match(line):
            defined.append(definition[1])


def _file_line(name: str, file: _File) -> str:
    places = "; ".join(once(file.places)[:4])
    return f"{name} +{file.added} -{file.removed}{places and f' in {places}'}"


def _commit_title(lines: Sequence[str]) -> str:
    """Return hash and subject of `git show`, or nothing."""
    if not lines or not (commit := _COMMIT.match(lines[0])):
        return ""
    subject = next((line for line in lines[1:20] if line.startswith("    ")), "")
    return one_line(f"{commit[1]} {subject}")
