"""Writes `examples/session.jsonl.gz`: a made-up session of a coding agent, in the format of Claude Code.

Nobody's work is in it. An agent mends the tax of a shop's invoices: it searches, reads, runs tests,
edits, takes a break, and writes it up. Sizes are counted as characters / 3.4.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SESSION = Path(__file__).parent / "examples" / "session.jsonl.gz"
MODEL = "claude-sonnet-4-6"
START_S = 1_790_000_000
CHARS_PER_TOKEN = 3.4
HIDDEN_TOKENS = 18_000
"""System prompt and tools, which such a file does not show."""
SHARED_TOKENS = 14_000
"""Of these, what other sessions keep in the cache."""
TTL_S = 300
BREAK_S = 2_400

MODULES = ("tax", "invoice", "customer", "country", "rounding", "ledger", "export", "report")
VERBS = ("resolve", "compute", "collect", "validate", "apply", "format", "split", "merge")
NOUNS = ("rate", "total", "line", "address", "currency", "discount", "deadline", "receipt")


class Session:
    """Lines of a session, and a cache that behaves as the provider's does."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.at_s = float(START_S)
        self.tokens = float(HIDDEN_TOKENS)
        self.calls = 0
        self._cached = float(SHARED_TOKENS)
        self._last_call_s = self.at_s
        self._parent: str | None = None

    def user(self, content: Any, **more: Any) -> None:
        """Add what the user or a tool said."""
        self._add({"type": "user", "message": {"role": "user", "content": content}, **more})
        self.tokens += len(json.dumps(content)) / CHARS_PER_TOKEN

    def result(self, tool: str, text: str) -> None:
        """Add what a tool returned."""
        self.user([{"type": "tool_result", "tool_use_id": tool, "content": text}])

    def call(self, *blocks: dict[str, Any]) -> list[str]:
        """Add an answer; return the ids of its tool calls."""
        self.calls += 1
        is_warm = self.at_s - self._last_call_s <= TTL_S
        read = int(self._cached if is_warm else SHARED_TOKENS)
        prompt = int(self.tokens)
        self._last_call_s, self._cached = self.at_s, prompt
        output = int(sum(len(json.dumps(block)) for block in blocks) / CHARS_PER_TOKEN) + 20
        self.at_s += 4 + output / 60
        tools = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            self._add(self._answer(block, prompt - read - 3, read, output, bool(tools)))
        self.tokens += output
        return tools

    def _answer(
        self, block: dict[str, Any], written: int, read: int, output: int, is_going_on: bool
    ) -> dict[str, Any]:
        usage = {
            "input_tokens": 3,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": output,
        }
        message = {
            "id": f"msg_{self.calls:04}",
            "role": "assistant",
            "model": MODEL,
            "content": [block],
            "stop_reason": "tool_use" if is_going_on else "end_turn",
            "usage": usage,
        }
        return {"type": "assistant", "requestId": f"req_{self.calls:04}", "message": message}

    def _add(self, line: dict[str, Any]) -> None:
        uuid = f"{len(self.lines):08}-made-up"
        seconds = int(self.at_s) - START_S
        time = (
            f"2026-09-21T{12 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z"
        )
        head = {"parentUuid": self._parent, "isSidechain": False, "sessionId": "made-up"}
        self.lines.append(
            {**head, "cwd": "/shop", "version": "2.1.100", "uuid": uuid, "timestamp": time, **line}
        )
        self._parent = uuid


def text(words: str) -> dict[str, Any]:
    """Return a block of text."""
    return {"type": "text", "text": words}


class Agent:
    """Works through the session."""

    def __init__(self) -> None:
        self.session = Session()
        self._random = random.Random(7)  # noqa: S311 - made-up data, the same each time
        self._files = {f"shop/{name}.py": self._source(name) for name in MODULES}
        self._tools = 0

    def lines(self) -> list[dict[str, Any]]:
        """Return the session's lines."""
        session = self.session
        session.user("Invoices to customers abroad carry the wrong tax. Find out why and mend it.")
        self._search("resolve_rate")
        for path in list(self._files)[:6]:
            self._read(path)
        self._test(failing=("tax", "invoice", "rounding"))
        for name in ("tax", "invoice", "rounding"):
            self._mend(f"shop/{name}.py")
            self._test(failing=("invoice",) if name == "tax" else ())
        for path in list(self._files)[6:]:
            self._read(path)
        self._mend("shop/country.py")
        self._mend("shop/export.py")
        self._test(failing=())
        session.call(text("The tax of invoices abroad is mended: resolve_rate_tax asks country."))
        session.at_s += BREAK_S
        session.user("Good. Do the same for receipts, and write it up in docs/tax.md.")
        self._search("receipt")
        self._read("shop/ledger.py")
        for name in ("ledger", "report", "customer"):
            self._mend(f"shop/{name}.py")
            self._test(failing=())
        self._write_up()
        self._test(failing=())
        session.call(text("Receipts follow the same rate now; docs/tax.md says how."))
        return session.lines

    def _use(self, name: str, given: dict[str, Any], why: str = "") -> str:
        self._tools += 1
        block = {"type": "tool_use", "id": f"toolu_{self._tools:04}", "name": name, "input": given}
        said = [text(why)] if why else []
        return self.session.call(*said, block)[0]

    def _search(self, word: str) -> None:
        tool = self._use("Grep", {"pattern": word, "path": "shop"}, f"Where does {word} stand?")
        self.session.at_s += 1
        found = [
            f"{path}:{number}:{line.strip()}"
            for path, source in self._files.items()
            for number, line in enumerate(source, 1)
            if word in line
        ]
        self.session.result(tool, "\n".join(found))

    def _read(self, path: str) -> None:
        tool = self._use("Read", {"file_path": f"/shop/{path}"})
        self.session.at_s += 1
        numbered = (f"{number:6}→{line}" for number, line in enumerate(self._files[path], 1))
        self.session.result(tool, "\n".join(numbered))

    def _test(self, failing: tuple[str, ...]) -> None:
        tool = self._use("Bash", {"command": "python -m pytest -v shop"}, "Run the tests.")
        self.session.at_s += 25
        self.session.result(tool, "\n".join(self._test_lines(failing)))

    def _test_lines(self, failing: tuple[str, ...]) -> Iterator[str]:
        for name in MODULES:
            for verb in VERBS:
                for noun in NOUNS[:4]:
                    is_bad = name in failing and (verb, noun) == ("resolve", "rate")
                    verdict = "FAILED" if is_bad else "PASSED"
                    yield f"shop/tests/test_{name}.py::test_{verb}_{noun}_{name} {verdict}"
        for name in failing:
            yield f"E   AssertionError: resolve_rate_{name}('CH') returned 19, expected 0"
        yield f"{len(failing)} failed, {len(MODULES) * 32 - len(failing)} passed in 24.81s"

    def _mend(self, path: str) -> None:
        source = self._files[path]
        place = self._random.randrange(2, len(source) - 2)
        while not source[place].startswith("    value"):
            place += 1
        old = source[place]
        new = old.replace("value", "abroad_value")
        source[place] = new
        given = {"file_path": f"/shop/{path}", "old_string": old, "new_string": new}
        tool = self._use("Edit", given, "The rate has to follow the customer's country here.")
        self.session.at_s += 1
        self.session.result(tool, f"The file /shop/{path} has been updated.")

    def _write_up(self) -> None:
        words = "\n".join(
            f"- `resolve_rate_{name}` in shop/{name}.py asks the country." for name in MODULES
        )
        tool = self._use("Write", {"file_path": "/shop/docs/tax.md", "content": words})
        self.session.result(tool, "File created successfully at: /shop/docs/tax.md")

    def _source(self, name: str) -> list[str]:
        lines = [f'"""The {name} of an invoice."""', ""]
        for verb in VERBS:
            for noun in self._random.sample(NOUNS, 4) if verb != "resolve" else NOUNS[:4]:
                lines.append(f"def {verb}_{noun}_{name}(invoice, country):")
                for step in range(self._random.randrange(3, 9)):
                    factor = self._random.randrange(2, 99)
                    lines.append(
                        f"    value_{step} = invoice.{noun}_{name} * {factor} - country.{noun}"
                    )
                lines += [f"    return value_{step}", ""]
        return lines


def write(path: Path) -> None:
    """Write the session, the same bytes each time."""
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in Agent().lines())
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


if __name__ == "__main__":
    write(SESSION)
