"""Reads source code of the common languages: its definitions, constants and imports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line, plural

_BEFORE: Final = (
    r"(?:(?:export|default|declare|public|private|protected|internal|static|final|abstract|sealed|"
    r"async|unsafe|override|virtual|open|suspend|data|inline|const(?= fn)|pub(?:\([a-z]++\))?)\s++)*+"
)
_DEFINITION: Final = re.compile(
    r"(?P<indent>\s*+)" + _BEFORE + r"(?:"
    r"(?P<kind>def|class|function\*?|func|fn|fun|struct|enum|trait|impl|interface|type|module|namespace|record)"
    r"\s++(?:\([^)]{0,80}+\)\s*+)?(?P<name>[A-Za-z_$][\w$.]*+)"
    r"|(?:const|let|var)\s++(?P<arrow>[A-Za-z_$][\w$]*+)[^=]{0,80}+=\s*+(?:async\s*+)?(?:\(|function\b)"
    r"|CREATE\s++(?:OR REPLACE\s++)?(?:UNIQUE\s++)?(?:TABLE|VIEW|INDEX|FUNCTION)\s++(?:IF NOT EXISTS\s++)?(?P<table>[\w.\"]++)"
    r"|(?P<typed>(?:[\w<>\[\],.?*&]++\s++){1,4}(?P<method>\w++))\s*+\([^;]*+$"
    r")"
)
_CONSTANT: Final = re.compile(
    r"\s*+(?:#define\s++(?P<macro>[A-Z][A-Z0-9_]{2,}+)"
    r"|(?:[A-Z]?[a-z]\w*+ )*+(?P<name>[A-Z][A-Z0-9_]{2,}+)\b(?:: ?[^=]{1,60}+)? *+=)"
)
_IMPORT: Final = re.compile(
    r"\s*+(?:from (?P<python>[\w.]++) import|import (?P<plain>[\w.]++)|use (?P<rust>[\w:]++)|"
    r"#include [<\"](?P<c>[^>\"]++)|import .*?from ['\"](?P<js>[^'\"]++)|"
    r".*?\brequire\(['\"](?P<node>[^'\"]++)|package (?P<go>\w++))"
)
_COMMENT_OR_STEP: Final = re.compile(r"\s*+(?://|return\b|[\w.]++(?:, \w++)*+ :?= )")
_NOT_A_TYPE: Final = frozenset(
    [
        "and",
        "assert",
        "await",
        "case",
        "del",
        "elif",
        "else",
        "for",
        "from",
        "go",
        "if",
        "in",
        "not",
        "new",
        "or",
        "print",
        "raise",
        "return",
        "throw",
        "until",
        "while",
        "with",
        "yield",
        "defer",
        "select",
        "echo",
    ]
)
_DOC: Final = re.compile(r'\s*+(?:r?"""|\'\'\'|//[/!]?|/\*\*?|#(?!!|include|define))\s*+(.*+)')


@dataclass(slots=True)
class _Definition:
    depth: int
    name: str
    text: str
    members: list[str]


def is_code_line(line: str) -> bool:
    """Return whether `line` defines or imports something, or ends as only code does."""
    return bool(
        line.rstrip().endswith(("{", "}", ";", "):", "),"))
        or _COMMENT_OR_STEP.match(line)
        or _IMPORT.match(line)
        or _definition(line)
    )


def read_code(lines: Sequence[str]) -> Found:
    """Return the outline: definitions with their members, constants, imports."""
    tops = _outline(lines)
    constants = once(
        [found["macro"] or found["name"] for line in lines if (found := _CONSTANT.match(line))]
    )
    imports = once([_imported(line) for line in lines])
    findings = [_outline_line(top) for top in tops]
    if constants:
        findings.append(one_line(f"constants: {' '.join(constants)}"))
    if imports:
        findings.append(one_line(f"imports: {' '.join(imports)}"))
    return Found(
        title=_first_comment(lines),
        shape=f"code with {plural(len(tops), 'definition')}",
        findings=tuple(findings),
        names=once([*(top.name for top in tops), *(one for top in tops for one in top.members)]),
    )


def _definition(line: str) -> re.Match[str] | None:
    found = _DEFINITION.match(line)
    if found and found["typed"] and found["typed"].split()[0] in _NOT_A_TYPE:
        return None
    return found


def _outline(lines: Sequence[str]) -> list[_Definition]:
    """Return the outermost definitions; those inside a class or the like become its members."""
    tops: list[_Definition] = []
    for line in lines:
        found = _definition(line)
        if found is None:
            continue
        name: str = found["name"] or found["arrow"] or found["table"] or found["method"]
        depth = len(found["indent"].expandtabs(4))
        if tops and depth > tops[-1].depth:
            if not name.startswith("__"):
                tops[-1].members.append(name)
        else:
            text = one_line(line.strip().rstrip("{:( ").strip(), 110)
            tops.append(_Definition(depth, name, text, []))
    return tops


def _outline_line(top: _Definition) -> str:
    return one_line(f"{top.text}: {' '.join(once(top.members))}" if top.members else top.text)


def _imported(line: str) -> str:
    found = _IMPORT.match(line)
    return next((group for group in found.groups() if group), "") if found else ""


def _first_comment(lines: Sequence[str]) -> str:
    """Return the first line of the comment or docstring that a file begins with, or nothing."""
    for line in lines[:30]:
        if not line.strip() or line.startswith(("#!", "/*", "// SPDX", "# SPDX")):
            continue
        found = _DOC.match(line)
        return one_line(found[1].rstrip("\"'*/ ")) if found else ""
    return ""
