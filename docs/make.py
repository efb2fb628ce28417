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
    "[How policies work](policies.md) explains the rule language. In `rules`, `$key` stands for\n"
    "the param of that name.\n",
}

KINDS = (
    "| kind | how it is written |\n|---|---|\n"
    "| size | `5000` (tokens), or `{text: …}`, `{file: …}`, `{glob: …}` to count |\n"
    "| limit | `7500` (tokens), `75%`, `0.75`, `30% of window`, `13000 below hard_limit`, "
    "`{smaller_of: [75%, 150000]}` |\n"
    "| share | `75%` or `0.75` |\n"
    "| text | text or a number |\n"
)


def page(kind: str) -> str:
    """Return the reference page of one kind of file as Markdown."""
    schema = MODELS[kind].model_json_schema()
    parts = schema.get("$defs", {})
    sections = [HEADS[kind], KINDS, _section("The file", schema)]
    for name in _by_first_use(schema, parts):
        part = parts[name]
        if part.get("properties"):
            sections.append(_section(name, part))
        else:
            values = ", ".join(f"`{value}`" for value in part.get("enum", ()))
            sections.append(f"## {name}\n\n{part.get('description', '')} One of {values}.\n")
    return "\n".join(sections)


def _by_first_use(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Return the names of the parts in the order in which a reader meets them."""
    names: list[str] = []
    waiting = [schema["properties"]]
    while waiting:
        for name in re.findall(r"#/\$defs/(\w+)", str(waiting.pop(0))):
            if name not in names:
                names.append(name)
                waiting.append(parts[name])
    return names


def _section(title: str, part: dict[str, Any]) -> str:
    required = set(part.get("required", ()))
    lines = [f"## {title}", "", part.get("description", ""), ""]
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
    if field.get("pattern") == r"^\$.":
        return ""  # a param may stand anywhere in a rule; the page says so once
    known = _known_kind(field)
    if known:
        return known
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        kinds = (_kind(one) for one in choices if one.get("type") != "null")
        found = list(dict.fromkeys(kind for kind in kinds if kind))
        if len(found) == 2 and found[1] == f"list of {found[0]}":
            return f"one or a list of {found[0]}"
        return " or ".join(found)
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {})) or 'values'}"
    name = str(field.get("type", ""))
    return {"integer": "whole number", "string": "text", "object": "keys and values"}.get(
        name, name
    )


def _known_kind(field: dict[str, Any]) -> str:
    """Return the name of a kind that has many spellings, or nothing."""
    if field.get("type") == ["string", "integer", "number"]:
        return "text"
    text = str(field.get("anyOf", ""))
    for mark, kind in (("smaller_of", "limit"), ("'glob'", "size"), ("%", "share")):
        if mark in text and not field.get("items"):
            return kind
    return ""


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
