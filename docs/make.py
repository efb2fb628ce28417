"""Writes what the pages take from the program: the format reference, and shown output.

`make docs` runs it; a test holds that every page is as this would write it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ctxbudget.config.schema import MODELS

ROOT = Path(__file__).parent.parent
COLUMNS = "100"
"""The width at which the pages show tables."""

SHOWN = re.compile(r"^```console\n(\$ (ctxbudget [^\n]*)\n)(.*?)^```$", re.MULTILINE | re.DOTALL)

HEADS = {
    "workflow": "# The workflow format, field by field\n\n"
    "A workflow file is YAML (or JSON). Only `phases` is required, and of a phase only its `id`:\n"
    "`window`, `budget`, sizes of metadata and all else have defaults, and a report says which of\n"
    "its numbers rest on one. [How to write one](workflows.md) has examples.\n",
    "policy": "# The policy format, field by field\n\n"
    "A policy file is YAML (or JSON): a name and an ordered list of rules.\n"
    "[How policies work](policies.md) explains the rule language.\n",
}


def page(kind: str) -> str:
    """Return the reference page of one kind of file as Markdown."""
    schema = MODELS[kind].model_json_schema()
    sections = [HEADS[kind], _section("The file", schema, level=2)]
    for name, part in schema.get("$defs", {}).items():
        if part.get("properties"):
            sections.append(_section(f"`{name}`", part, level=2))
    return "\n".join(sections)


def _section(title: str, part: dict[str, Any], *, level: int) -> str:
    required = set(part.get("required", ()))
    lines = [f"{'#' * level} {title}", "", part.get("description", ""), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, field in part["properties"].items():
        default = "**required**" if key in required else _default(field)
        about = field.get("description", "").replace("|", "\\|")
        lines.append(f"| `{key}` | {_kind(field)} | {default} | {about} |")
    return "\n".join([*lines, ""])


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "" if value in (None, [], {}, "") else f"`{value}`".lower()


def _kind(field: dict[str, Any]) -> str:
    """Return the kinds of value that a field takes, in words."""
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        kinds = [_kind(part) for part in field["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {})) or 'values'}"
    if "pattern" in field:
        return "`75%`" if "below" not in field["pattern"] else "`13000 below window`"
    kind = field.get("type", "")
    names = [kind] if isinstance(kind, str) else [one for one in kind if one != "null"]
    words = {"string": "text", "integer": "whole number", "object": "keys and values"}
    return " or ".join(words.get(name, name) for name in names)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a page's text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(folder: Path, *arguments: str) -> str:
    """Return what python prints, both streams, in a folder, at the width of the pages."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines()) + "\n"


def with_output(text: str) -> str:
    """Return a page's text with what its `$ ctxbudget` commands print now.

    YAML blocks whose first line names a file are there for the commands to read.
    """
    with TemporaryDirectory() as folder:
        for block in blocks(text, "yaml"):
            if match := re.match(r"# (\S+\.yaml)\n", block):
                (Path(folder) / match[1]).write_text(block, encoding="utf-8")

        def shown(match: re.Match[str]) -> str:
            output = run(Path(folder), "-m", *shlex.split(match[2]))
            return f"```console\n{match[1]}{output}```"

        return SHOWN.sub(shown, text)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every page with the text it should have."""
    for kind in MODELS:
        yield ROOT / "docs" / f"{kind}-format.md", page(kind)
    made = {f"{kind}-format.md" for kind in MODELS}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.name not in made:
            yield path, with_output(path.read_text(encoding="utf-8"))


def main() -> None:
    """Write the pages."""
    for path, text in pages():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
