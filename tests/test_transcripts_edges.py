"""Tests of the odd corners of recorded sessions: repeated lines, odd values, what goes unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from claude_lines import (
    NO_PARENT,
    attached,
    called,
    compacted,
    ids,
    linked,
    micro_compacted,
    read,
    result,
    said,
    summary,
    text,
    wrote,
)
from recorded_lines import as_bytes
from test_transcripts_facts import FIRST, Made, asked, brought, call, part
from test_transcripts_facts import attached as note

from ctxbudget.core.errors import SourceError
from ctxbudget.core.types import Kind
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.transcripts.facts import PREFIX
from ctxbudget.transcripts.session import RecordedSession, read_session


def session_of(path: Path, content: bytes) -> tuple[RecordedSession, RecordedFile]:
    path.write_bytes(content)
    file = RecordedFile(file=str(path))
    return read_session(file, PriceBook(price_of)), file


def test_a_resumed_session_writes_its_lines_again() -> None:
    asked_, answer = (
        said("one", uuid="a", parent=NO_PARENT),
        wrote("m1", text("first"), uuid="b", parent="a"),
    )
    first, second = read(
        [asked_, answer, asked_, answer, said("two", parent="b"), wrote("m2", text())]
    )
    assert (ids(first.wrote), ids(second.came)) == (["L2"], ["L5"])


@pytest.mark.parametrize(
    "block", [{"type": ["text"]}, {"type": {}}, {"type": "tool_result", "content": [{"type": {}}]}]
)
def test_a_block_whose_type_is_no_text_is_read(tmp_path: Path, block: dict[str, Any]) -> None:
    lines = linked([said([block]), wrote("m", text())])
    found, _ = session_of(tmp_path / "a.jsonl", as_bytes(one for _, one in lines))
    assert found.run.calls == 1


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity"])
def test_a_number_that_is_none_damages_its_line(tmp_path: Path, number: bytes) -> None:
    lines = linked([said(), wrote("m1", called("t1", a="QQ")), result("t1"), wrote("m2", text())])
    content = as_bytes(one for _, one in lines).replace(b'"QQ"', number)
    _, file = session_of(tmp_path / "a.jsonl", content)
    assert file.damaged == [2]


def test_a_number_beyond_all_numbers_is_told(tmp_path: Path) -> None:
    lines = linked([said(), wrote("m1", called("t1", a="QQ")), result("t1"), wrote("m2", text())])
    content = as_bytes(one for _, one in lines).replace(b'"QQ"', b"1e999")
    with pytest.raises(SourceError, match=r"found .{'a': inf}"):
        session_of(tmp_path / "a.jsonl", content)


def test_what_came_unseen_goes_with_a_compaction() -> None:
    made = Made(
        FIRST,
        call(3_050, brought("r", "t", 100), read=1_000),
        call(
            1_000,
            part("sum", 100, Kind.SUMMARY),
            compacted=("goal", "said", "r"),
            stand_ins=("sum",),
        ),
    )
    assert made.prompts[2] == {PREFIX: 900, "sum": 100}
    assert len(made.withdrawn) == 1


def test_what_came_unseen_goes_with_a_rewind() -> None:
    made = Made(
        FIRST,
        call(3_050, part("two", 100), read=1_000),
        call(1_150, part("2", 100), read=1_050, left=("two",)),
    )
    assert made.prompts[2] == {PREFIX: 900, "goal": 100, "said": 50, "2": 100}


def test_another_model_has_another_prefix() -> None:
    made = Made(FIRST, call(9_050, part("two", 100), model="gpt-5-mini"))
    assert (made.prompts[1][PREFIX], made.facts.unseen_tokens) == (8_800, 0)


def test_a_call_does_not_part_from_its_result() -> None:
    made = Made(
        call(1_000, part("goal", 100), wrote=[asked("c", "t1")]),
        call(1_420, brought("r", "t1", 400), read=1_000),
        call(1_030, read=1_020),
    )
    assert ("c" in made.prompts[2]) is ("r" in made.prompts[2])


def test_what_did_not_arrive_stands_in_for_nothing() -> None:
    made = Made(
        FIRST,
        call(
            1_000,
            part("sum", 100, Kind.SUMMARY),
            note("n", 500),
            compacted=("goal", "said"),
            stand_ins=("sum", "n"),
        ),
    )
    assert set(made.withdrawn[0].into) <= set(made.items)


def test_what_comes_with_a_microcompaction_does_not_stand_in() -> None:
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            result("t1"),
            micro_compacted("t1"),
            attached("task_reminder", content="x"),
            wrote("m2", text()),
        ]
    )
    assert found[1].stand_ins == ()


def test_what_a_microcompaction_took_is_not_taken_again() -> None:
    found = read(
        [
            said(),
            wrote("m1", called("t1")),
            result("t1"),
            wrote("m2", text()),
            micro_compacted("t1"),
            said("b"),
            wrote("m3", text()),
            compacted(),
            summary(),
            wrote("m4", text()),
        ]
    )
    gone = [name for one in found for name in one.compacted]
    assert sorted(gone) == ["L1", "L2", "L3", "L4", "L6", "L7"]
