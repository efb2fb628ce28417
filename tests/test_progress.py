"""Bars for long work, as a terminal shows them and as they leave it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import ROOT, Command, on_terminal

from ctxbudget.cli.journal_view import LARGE_BYTES
from ctxbudget.journal import content_hash

SESSION = ROOT / "docs" / "examples" / "session.jsonl.gz"
COLUMNS = 60

_CODE = re.compile(r"\x1b\[\??([0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def left_on_screen(shown: str) -> list[str]:
    """Return the lines that a terminal of 60 columns holds in the end, without empty ones.

    It knows what bars use: lines that are too long go on below, the cursor goes up, a line is erased.
    """
    lines: dict[int, str] = {}
    row = column = 0
    for number, code, move, text in _CODE.findall(shown):
        if move:
            row, column = (row, 0) if move == "\r" else (row + 1, column)
        elif code == "A":
            row -= int(number or 1)
        elif code == "K":
            lines[row] = ""
        for letter in text:
            if column == COLUMNS:
                row, column = row + 1, 0
            line = lines.get(row, "").ljust(column)
            lines[row] = line[:column] + letter + line[column + 1 :]
            column += 1
    return [lines[row].rstrip() for row in sorted(lines) if lines[row].strip()]


@pytest.fixture(autouse=True)
def narrow(ctxbudget: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make terminals narrow; the command's own fixture is asked for since it unsets their width."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


@pytest.fixture
def journal(tmp_path: Path, ctxbudget: Command) -> Path:
    """Return a journal that is large enough for a bar."""
    path = tmp_path / "run.jsonl"
    assert ctxbudget("simulate", "jwt_auth", "--journal", path, "--json").code == 0
    content = "x" * 100_000
    line = f'{{"text":"{content_hash(content)}","content":"{content}"}}\n'
    with path.open("a", encoding="utf-8") as file:
        file.write(line * (LARGE_BYTES // len(line) + 1))
    return path


def test_the_screen_holds_what_was_written_last() -> None:
    assert left_on_screen("one\r\ntwo\r\x1b[2Kthree\r\n") == ["one", "three"]
    assert left_on_screen("one\r\ntwo\x1b[1A\r\x1b[2K") == ["two"]
    assert left_on_screen("x" * 61 + "\r" + "y" * 61) == ["x" * 60, "y" * 60, "y"]


def test_a_bar_of_a_large_journal_is_gone_when_it_is_read(journal: Path) -> None:
    shown, _ = on_terminal("show", journal, "--json")
    assert "reading" in shown
    assert left_on_screen(shown) == []


def test_a_bar_of_a_replay_is_gone_when_it_is_done(journal: Path) -> None:
    shown, _ = on_terminal("replay", journal, "--policy", "moderate", "--json")
    assert "replaying" in shown
    assert left_on_screen(shown) == []


def test_a_bar_of_debts_is_gone_when_they_are_known() -> None:
    shown, _ = on_terminal("audit", SESSION, "--debt", "--json")
    assert "replaying" in shown
    assert left_on_screen(shown) == []
