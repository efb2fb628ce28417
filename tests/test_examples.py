"""The examples of the docs are run, and print what the docs say they print."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from messages_server import MessagesServer

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
OFFLINE = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "with_anthropic")


def output_of(name: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", OFFLINE)
def test_an_example_prints_what_the_docs_say(name: str) -> None:
    assert output_of(name) == (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")


def test_the_example_with_a_provider_runs_against_a_real_server() -> None:
    """The model reads one file after the other; a summary is what is asked for without tools."""

    def script(body: dict[str, Any], number: int) -> list[dict[str, Any]] | str:
        if "tools" not in body:
            return "Files 0 to 9 were read; rounding happens in src/billing/part_3.py."
        call = {
            "type": "tool_use",
            "id": f"call-{number}",
            "name": "read_file",
            "input": {"path": f"src/billing/part_{number}.py"},
        }
        return [{"type": "text", "text": "Next."}, call]

    with MessagesServer(window_tokens=20_000, script=script) as server:
        printed = output_of(
            "with_anthropic", ANTHROPIC_API_KEY="test", ANTHROPIC_BASE_URL=server.url
        )
    assert printed == (EXAMPLES / "with_anthropic.txt").read_text(encoding="utf-8")


def test_the_made_up_session_is_as_its_program_writes_it(tmp_path: Path) -> None:
    made = tmp_path / "session.jsonl.gz"
    program = f"import sys; sys.path.insert(0, {str(EXAMPLES.parent)!r}); import made_session as m"
    code = f"{program}; from pathlib import Path; m.write(Path({str(made)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert gzip.decompress(made.read_bytes()) == gzip.decompress(
        (EXAMPLES / "session.jsonl.gz").read_bytes()
    )
