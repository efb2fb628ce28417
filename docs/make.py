"""Writes what the pages take from the program: the format reference, and shown output.

`make docs` runs it; a test holds that every page is as this would write it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ctxbudget.config.schema import MODELS

ROOT = Path(__file__).parent.parent
COLUMNS = "100"
"""The width at which the pages show tables."""

EXAMPLES = ROOT / "docs" / "examples"
SESSION = EXAMPLES / "session.jsonl.gz"
"""Made up by `made_session.py`."""
ONLINE = frozenset({"with_anthropic"})
"""Examples that need a provider; a test runs them against a local server."""

SHOWN = re.compile(
    r"^```console\n(?P<console>\$ ctxbudget .*?)^```$"
    r"|^```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (ctxbudget [^\n]*)\n(?:(?!\$ )[^\n]*\n)*", re.MULTILINE)
"""A command, and the lines that it printed."""

LOOP = """
import contextlib, io, json, sys
for _block in sys.stdin:
    _heard = io.StringIO()
    with contextlib.redirect_stdout(_heard):
        exec(compile(json.loads(_block), "block", "exec"), globals())
    print(json.dumps(_heard.getvalue()), flush=True)
"""
"""Runs blocks that come as JSON, a line each, and answers with what they print."""

HEADS = {
    "workflow": "# The workflow format, field by field\n\n"
    "A workflow file is YAML (or JSON). Only `phases` is required, and of a phase only its `id`:\n"
    "`window`, `budget`, sizes of metadata and all else have defaults, and a report says which of\n"
    "its numbers rest on one. [How to write one](workflows.md) has examples.\n",
    "policy": "# The policy format, field by field\n\n"
    "A policy file is YAML (or JSON): a name, an ordered list of rules, and perhaps what items may stay for (`rent`).\n"
    "[How policies work](policies.md) explains the rule language. In `rules`, `$key` stands for\n"
    "the param of that name.\n",
}

KINDS = (
    "| kind | how it is written |\n|---|---|\n"
    "| size | `5000` (tokens), `{text: …}`, `{file: …}`, `{glob: …}` to count, or uncertain: "
    "`{median: 5000, p95: 9000}`, `{min: 1000, max: 4000}` |\n"
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


def environment() -> dict[str, str]:
    """Return the variables under which what the pages show is run."""
    return {**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str) -> str:
    """Return what python prints, both streams, in a folder, at the width of the pages."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return stripped(done.stdout + done.stderr)


def stripped(printed: str) -> str:
    """Return what was printed without white space at the ends of lines.

    The version of the prices is left out: pages hold for all that the project accepts.
    """
    printed = re.sub(r"genai-prices [0-9.]*[0-9]", "genai-prices", printed)
    return "\n".join(line.rstrip() for line in printed.splitlines()) + "\n"


class Program:
    """A page's python blocks, in order, as one program that runs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def run(self, block: str) -> str:
        """Return what the next block prints.

        Raises:
            RuntimeError: it fails; what python says of it is on stderr.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LOOP],
                cwd=self._folder,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        into, out = self._process.stdin, self._process.stdout
        if into is None or out is None:
            raise RuntimeError("python was started without pipes")
        into.write(json.dumps(block) + "\n")
        into.flush()
        answer = out.readline()
        if not answer:
            raise RuntimeError(f"this block of a page fails:\n{block}")
        return stripped(json.loads(answer))

    def close(self) -> None:
        """End the program."""
        if self._process is not None:
            self._process.communicate()


def with_output(text: str) -> str:
    """Return a page's text with what its `$ ctxbudget` commands and python blocks print now.

    They run one after the other in a folder of their own. The made-up session and YAML blocks whose
    first line names a file are there from the start; a command that ends with `> FILE` prints into that file. All python
    blocks of a page are one program; what a block prints is shown in the `text` block behind it.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        if SESSION.name in text:
            shutil.copy(SESSION, folder)
        for block in blocks(text, "yaml"):
            if match := re.match(r"# (\S+\.yaml)\n", block):
                (folder / match[1]).write_text(block, encoding="utf-8")
        with closing(Program(folder)) as program:

            def shown(match: re.Match[str]) -> str:
                if match["code"] is None:
                    return f"```console\n{_with_answers(folder, match['console'])}```"
                printed = program.run(match["code"])
                code = f"```python\n{match['code']}```"
                return code if match["output"] is None else f"{code}\n\n```text\n{printed}```"

            return SHOWN.sub(shown, text)


def _with_answers(folder: Path, console: str) -> str:
    """Return commands, each with what it prints now."""

    def answered(match: re.Match[str]) -> str:
        command, _, target = match[1].partition(" > ")
        output = run(folder, "-m", *shlex.split(command))
        if target:
            (folder / target).write_text(output, encoding="utf-8")
            output = ""
        return f"$ {match[1]}\n{output}"

    return COMMAND.sub(answered, console)


def paths() -> list[Path]:
    """Return the pages."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(path: Path) -> str:
    """Return the text that a page should have."""
    kind = path.name.removesuffix("-format.md")
    return page(kind) if kind in MODELS else with_output(path.read_text(encoding="utf-8"))


def examples() -> Iterator[tuple[Path, str]]:
    """Yield the output files of the examples that need no provider, with what they should hold."""
    for path in sorted(EXAMPLES.glob("*.py")):
        if path.stem not in ONLINE:
            yield path.with_suffix(".txt"), run(EXAMPLES, path.name)


def main() -> None:
    """Write the pages and the examples' outputs."""
    for path, text in (*((path, text_of(path)) for path in paths()), *examples()):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
