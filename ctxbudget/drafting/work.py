"""What kind of work a call did, told by the tools that it used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from ctxbudget.references import string_values


class Work(StrEnum):
    """A kind of work; what a phase of it is called."""

    RESEARCH = "research"
    PLAN = "plan"
    IMPLEMENT = "implement"
    TEST = "test"


_BY_WEIGHT: Final = (Work.IMPLEMENT, Work.TEST, Work.RESEARCH, Work.PLAN)
"""What a call counts as that did several at once: the first of these."""

_RESEARCH_TOOLS: Final = """
    read grep glob ls lsp find notebookread read_file view_file view_image list_dir search_files
    grep_files webfetch websearch web_search toolsearch
"""
_EDIT_TOOLS: Final = """
    edit write multiedit notebookedit apply_patch edit_file write_file create_file str_replace
    str_replace_editor str_replace_based_edit_tool
"""
_PLAN_TOOLS: Final = """
    enterplanmode exitplanmode exit_plan_mode todowrite update_plan taskcreate taskupdate tasklist
"""

_TOOLS: Final[Mapping[str, Work]] = {
    **dict.fromkeys(_RESEARCH_TOOLS.split(), Work.RESEARCH),
    **dict.fromkeys(_EDIT_TOOLS.split(), Work.IMPLEMENT),
    **dict.fromkeys(_PLAN_TOOLS.split(), Work.PLAN),
}
"""By their names in lower case, of the programs whose sessions are read."""

AGENT_TOOLS: Final = frozenset({"task", "agent"})
"""Tools that start a sub-agent and answer with what it hands back, in lower case."""

_SHELL: Final = re.compile(r"(?i)(?:^|[_.])(?:bash|shell|exec|terminal|run_command)(?:$|[_.])")

_SEPARATORS: Final = re.compile(r"&&|\|\|?|;|\n")
_FENCED: Final = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_WRAPPERS: Final = re.compile(
    r"^(?:(?:\w+=\S*|bash|sh|zsh|-l?c|sudo|time|env|timeout\s+\S+|\(|'|\")\s*)+(?=[\w./])"
)
_READS: Final = re.compile(
    r"^(?:cat|sed\s+-n|rg|grep|egrep|ls|find|fd|head|tail|nl|wc|tree|less|jq|awk|curl|file|stat|"
    r"git\s+(?:-C\s+\S+\s+)?(?:log|show|diff|status|grep|blame|ls-files|branch)|"
    r"gh\s+\w+\s+(?:view|list|diff)|go\s+doc)(?=\s|$)"
)
_EDITS: Final = re.compile(
    r"^(?:sed\s+(?:-\w+\s+)*-i|perl\s+-\w*i|tee|apply_patch|patch|git\s+apply|mv|rm|cp|mkdir|touch)"
    r"(?=\W|$)|^(?:cat|echo|printf)\b[^<>]*>>?\s*(?!/dev/null|&)\S|^cat\s*<<"
)
_TESTS: Final = re.compile(
    r"(?:^|[\s/])(?:pytest|py\.test|tox|nox|jest|vitest|mocha|rspec|phpunit|ctest|unittest|"
    r"(?:go|cargo|npm|pnpm|yarn|bun|mix|dotnet|swift|deno|make|just|gradlew?|mvn|bazel|rake|mise|"
    r"playwright|ng)(?:\s+run)?(?:\s+-\S+)*\s+(?:test|nextest|check)[\w:.-]*|npm\s+t)(?=\s|$)"
)


def work_of(calls: Iterable[tuple[str | None, Mapping[str, Any]]]) -> Work | None:
    """Return the kind of work of a call that used these tools (name, input); None if none tells."""
    found = {work for tool, block in calls for work in _of_tool(tool, block)}
    return next((work for work in _BY_WEIGHT if work in found), None)


def _of_tool(tool: str | None, block: Mapping[str, Any]) -> Iterator[Work]:
    name = (tool or "").lower()
    if name in _TOOLS:
        yield _TOOLS[name]
    elif _SHELL.search(name):
        said = " ".join(string_values(block.get("input")))
        yield from _of_command("\n".join(_FENCED.findall(said)) or said)


def _of_command(command: str) -> Iterator[Work]:
    """Yield what the parts of a shell command do, as far as their first words tell."""
    if "apply_patch" in command:
        yield Work.IMPLEMENT
    for part in _SEPARATORS.split(command):
        words = _WRAPPERS.sub("", part.strip())
        if _EDITS.search(words):
            yield Work.IMPLEMENT
        elif _READS.search(words):
            yield Work.RESEARCH
        elif _TESTS.search(words):
            yield Work.TEST
