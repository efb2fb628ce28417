"""Which recorded sessions belong together, and which half of them is fitted on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, TypeAlias

Half: TypeAlias = Literal["A", "B"]

KINDS: Final = {"claude_code": "Claude Code", "codex": "Codex", "mini_swe": "mini-swe-agent"}
"""Formats with a name of their own in reports."""

OTHER: Final = "other"

_INSTANCE: Final = re.compile(r".+?__(?P<repository>.+)-\d+\.traj\b")
"""The name of a benchmark's instance, as `owner__repository-number`."""


def kind_of(source: str) -> str:
    """Return what reports call the sessions of a format."""
    return KINDS.get(source, OTHER)


def repository_of(path: str) -> str:
    """Return the repository that a session worked on, by the name of its file.

    That is the name up to `__`; of a benchmark's trajectory, the instance's repository. A session
    whose name has neither is a repository of its own.
    """
    name = Path(path).name
    instance = _INSTANCE.match(name)
    if instance is not None:
        return instance["repository"]
    before, mark, _ = name.partition("__")
    return before if mark and before else name.partition(".")[0] or name


def halves(sessions: Iterable[tuple[str, str]]) -> dict[str, Half]:
    """Return the half of each repository, given the kind and the repository of each session.

    Kinds go one after the other, those with the fewest sessions first, since the others can make up
    for them. Of a kind, repositories go by falling number of sessions, each to the half that has
    fewer of that kind; A if none has. Ties go by name. A repository is never in both halves.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind, repository in sessions:
        counts[kind][repository] += 1
    found: dict[str, Half] = {}
    for _, of_kind in sorted(counts.items(), key=lambda one: (one[1].total(), one[0])):
        sizes: dict[Half, int] = {"A": 0, "B": 0}
        for repository, number in of_kind.items():
            if repository in found:
                sizes[found[repository]] += number
        for repository, number in sorted(of_kind.items(), key=lambda one: (-one[1], one[0])):
            if repository not in found:
                half: Half = "A" if sizes["A"] <= sizes["B"] else "B"
                found[repository] = half
                sizes[half] += number
    return found
