"""Tests of recognising files by what they hold, of reading them, and of the smaller formats."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from io import BufferedReader, BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_lines import (
    as_bytes,
    claude,
    claude_progress,
    claude_usage,
    claude_user,
    codex_count,
    codex_meta,
    codex_turn,
    codex_usage,
    mini_swe,
    mini_swe_answer,
    read,
    read_bytes,
)

from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    Charge,
    RunStarted,
    Shortened,
)
from ctxbudget.core.types import Do, Scale
from ctxbudget.journal import JournalWriter
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.bill import Bill
from ctxbudget.recorded.files import found_files
from ctxbudget.recorded.formats import HEAD_LINES, RefusedError, usage_rows
from ctxbudget.recorded.lines import unpacked
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import DAMAGED_KEPT, RecordedFile, Split
from ctxbudget.report.bill_json import bill_as_data
from ctxbudget.report.bill_notes import bill_notes, file_notes

PI_LINES: list[dict[str, Any]] = [
    {"type": "session", "version": 3, "id": "p-1", "timestamp": "…", "cwd": "/home/ann/shop"},
    {"type": "model_change", "id": "1", "provider": "openai", "modelId": "gpt-5.3-codex"},
    {
        "type": "message",
        "id": "2",
        "timestamp": "2026-03-02T10:00:00Z",
        "message": {
            "role": "assistant",
            "content": [],
            "model": "gpt-5.3-codex",
            "responseId": "resp_1",
            "usage": {
                "input": 30,
                "output": 4,
                "cacheRead": 100,
                "cacheWrite": 5,
                "cost": {"total": 0.0125},
            },
        },
    },
    {
        "type": "message",
        "id": "3",
        "message": {"role": "assistant", "usage": {"input": 0, "output": 0}, "content": []},
    },
    {"type": "compaction", "id": "4", "summary": "…", "tokensBefore": 900},
    {"type": "hologram", "id": "5"},
]


def test_pi_sessions_tell_their_cost() -> None:
    (row,), file = read(PI_LINES)
    assert row.tokens == Split(30, 100, 5, 0, 4)
    assert (row.model, row.id, row.recorded_usd) == ("gpt-5.3-codex", "resp_1", Decimal("0.0125"))
    assert (file.source, file.session, file.summaries) == ("pi", "p-1", 1)
    assert dict(file.skipped) == {"hologram": 1}


def test_mini_swe_agents_answers_are_calls() -> None:
    document = mini_swe(
        mini_swe_answer("g-1", 1820, 0, 565, 0.01042),
        {
            "response": {"id": "g-2", "usage": {"prompt_tokens": 50, "completion_tokens": 2}},
            "cost": 1,
        },
        {"response": {}},
        mini_swe_answer("g-3", 10, 20, 1, 0.5),
    )
    for indent in (None, 2):
        rows, file = read_bytes(json.dumps(document, indent=indent).encode())
        assert [(row.id, row.tokens) for row in rows] == [
            ("g-1", Split(1820, 0, 0, 0, 565)),
            ("g-2", Split(50, 0, 0, 0, 2)),
        ]
        assert [row.recorded_usd for row in rows] == [Decimal("0.01042"), Decimal(1)]
        assert [row.model for row in rows] == ["google/gemini-3-pro-preview"] * 2
        assert rows[0].at_s == 1_763_509_354
        assert (file.source, file.session, file.damaged) == ("mini_swe", "shop-7", [8])


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (claude_usage(5, read=100, w5m=20, w1h=7, output=9), Split(5, 100, 20, 7, 9)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_creation_tokens": 10},
            },
            Split(30, 60, 10, 0, 9),
        ),
        (
            {
                "input_tokens": 100,
                "output_tokens": 9,
                "input_tokens_details": {"cached_tokens": 60},
            },
            Split(40, 60, 0, 0, 9),
        ),
    ],
)
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_list_of_messages_may_have_usage_of_each_usual_shape(
    usage: dict[str, Any], tokens: Split, is_wrapped: bool
) -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes", "model": "gpt-5.5", "usage": usage},
    ]
    document = {"model": "other", "messages": messages} if is_wrapped else messages
    (row,), file = read_bytes(json.dumps(document).encode())
    assert (row.tokens, row.model, file.source) == (tokens, "gpt-5.5", "messages")


def test_our_own_journals_have_the_answered_calls_and_the_summaries() -> None:
    text, at = StringIO(), 1_772_445_900.0
    write = JournalWriter(text)
    scale = Scale(window_tokens=9, reserve_tokens=0, budget_tokens=9)
    write(RunStarted(at=at, workflow="login", scale=scale, phases=(), model="claude-opus-4-6"))
    sent: dict[str, Any] = {
        "tokens": 100,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "uncached_tokens": 100,
    }
    write(CallSent(at=at, call=1, **sent))
    write(
        CallAnswered(
            at=at,
            uncached_tokens=5,
            cache_read_tokens=90,
            cache_write_tokens=30,
            cache_write_1h_tokens=10,
            output_tokens=7,
        )
    )
    write(CallAnswered(at=at, uncached_tokens=6, thread="scout", model="gpt-5.5"))
    write(
        Shortened(
            at=at,
            do=Do.SUMMARIZE,
            items=("a",),
            tokens=3,
            charge=Charge(model="claude-haiku-4-5", uncached_tokens=8, output_tokens=2),
        )
    )
    write(Shortened(at=at, do=Do.SNIP, items=("a",), tokens=3))
    write(CallSent(at=at, call=2, **sent))
    rows, file = read_bytes(text.getvalue().encode())
    assert [(row.agent, row.model, row.tokens) for row in rows] == [
        (None, "claude-opus-4-6", Split(5, 90, 20, 10, 7)),
        ("scout", "gpt-5.5", Split(6, 0, 0, 0, 0)),
        (None, "claude-haiku-4-5", Split(8, 0, 0, 0, 2)),
    ]
    assert rows[0].at_s == at
    assert (file.source, file.project, file.silent_calls) == ("journal", "login", 1)
    assert file.skipped.total() == file.damaged_lines == 0


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"hello there", "of no format"),
        (b"\x00\x01\x02", "of no format"),
        (b"[", "of no format"),
        (b'{"x": 1}\n{"x": 2}\n', "of no format"),
        (b'[{"role": "user", "content": "hi"}]', "messages without usage"),
        (b'{"name": "flow", "phases": [{"id": 1}]}', "is a workflow"),
        (b'{"trajectory": [], "history": [], "info": {}}', "SWE-agent"),
        (b'{"type": "session.start", "data": {}, "id": "1"}\n{"a": 1}\n', "Copilot"),
        (b'{"trajectory_format": "mini-swe-agent-1"}', "of no format"),
    ],
)
def test_what_is_no_session_is_refused_by_name(raw: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        read_bytes(raw)


@pytest.mark.parametrize("ahead", [1, HEAD_LINES - 1])
def test_damaged_lines_at_the_beginning_do_not_hide_the_format(ahead: int) -> None:
    rows, file = read([*[b'{"cut off'] * ahead, claude("m1", claude_usage(1))])
    assert len(rows) == 1
    assert file.damaged_lines == ahead
    assert file.damaged == list(range(1, min(ahead, DAMAGED_KEPT) + 1))


@pytest.mark.parametrize(
    "line",
    [
        b'\xef\xbb\xbf{"type":"summary","leafUuid":"x","summary":"s"}',
        b'{"type":"summary","leafUuid":"x","summary":"\\ud83d"}',
    ],
)
def test_a_mark_or_half_a_character_does_not_damage_a_line(line: bytes) -> None:
    rows, file = read([line, claude("m1", claude_usage(1))])
    assert (len(rows), file.damaged_lines) == (1, 0)


def test_a_clock_that_does_not_count_from_1970_gives_no_dates() -> None:
    head = b'{"journal":"ctxbudget","version":1}'
    rows, _ = read([head, {"fact": "call_answered", "at": 12.5, "uncached_tokens": 3}])
    assert [(row.at_s, row.tokens.uncached_tokens) for row in rows] == [(None, 3)]


SEEDS: list[list[dict[str, Any]]] = [
    [claude("m1", claude_usage(1)), claude_progress("a1", claude_usage(2), "ab12"), claude_user()],
    [
        codex_meta(source={"subagent": {"thread_spawn": {"parent_thread_id": "t"}}}),
        codex_turn("gpt-5.5"),
        codex_count(codex_usage(9, 2, 1), codex_usage(9, 2, 1)),
        codex_count(codex_usage(20, 4, 2), None),
    ],
    PI_LINES,
    [
        {"journal": "ctxbudget", "version": 1},
        {"fact": "call_answered", "at": 1.8e9, "uncached_tokens": 3, "model": "gpt-5.5"},
        {"fact": "shortened", "at": 1.8e9, "charge": {"model": "gpt-5.5", "uncached_tokens": 3}},
    ],
    [mini_swe(mini_swe_answer("g-1", 20, 10, 5, 0.01))],
    [{"messages": [{"role": "assistant", "usage": {"prompt_tokens": 3}, "model": "x"}]}],
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", [], {}, [[1]], [{}]]
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside a JSON value."""
    if path:
        yield path
    for key in (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    ):
        yield from places(value[key], (*path, key))


@given(data=st.data(), lines=st.sampled_from(SEEDS), junk=st.lists(JUNK, min_size=1, max_size=3))
def test_whatever_stands_in_a_line_is_read_or_refused(
    data: st.DataObject, lines: list[dict[str, Any]], junk: list[Any]
) -> None:
    spoilt: Any = copy.deepcopy(lines)
    for value in junk:
        path = data.draw(st.sampled_from(list(places(spoilt))))
        inner = spoilt
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = copy.deepcopy(value)
    file = RecordedFile(file="x")
    bill = Bill(PriceBook(price_of), by="day")
    try:
        bill.add(file, usage_rows(BytesIO(as_bytes(spoilt)), file))
    except RefusedError:
        return
    bill.finish()
    assert json.loads(json.dumps(bill_as_data(bill, "today")))["totals"]["files"] == 1
    assert all(isinstance(one, str) for one in (*file_notes(file), *bill_notes(bill, [file])))


def packed(raw: bytes) -> BufferedReader:
    return BufferedReader(BytesIO(raw))


def test_gzip_is_read_by_what_it_is_and_told_where_it_breaks_off() -> None:
    # Random-like ids keep it from being packed into a single block.
    lines = [claude(f"m{number * 7919}", claude_usage(number)) for number in range(3000)]
    raw = gzip.compress(as_bytes(lines), mtime=0)
    file = RecordedFile(file="x")
    assert len(list(usage_rows(unpacked(packed(raw)), file))) == 3000
    assert file.broken_off is None
    cut = RecordedFile(file="x")
    found = list(usage_rows(unpacked(packed(raw[: len(raw) // 2])), cut))
    assert 100 < len(found) < 3000
    assert cut.broken_off is not None
    assert "cannot be read beyond line" in cut.broken_off


def test_lines_are_read_only_as_calls_are_asked_for() -> None:
    stream = BytesIO(
        as_bytes(
            [
                codex_meta(),
                *(codex_count(codex_usage(n, 0, n), codex_usage(1, 0, 1)) for n in range(1, 5000)),
            ]
        )
    )
    rows = usage_rows(stream, RecordedFile(file="x"))
    next(rows)
    assert stream.tell() < 5_000


def test_a_folder_is_walked_in_order_and_each_file_read_once(tmp_path: Path) -> None:
    for name in ("b/two.jsonl", "a/one.json", "b/three.jsonl.gz", "a/notes.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_bytes([claude_user()]))
    found = list(found_files([str(tmp_path), str(tmp_path / "a" / "one.json"), "-"]))
    names = [name.removeprefix(f"{tmp_path}/") for name in found]
    assert names == ["a/one.json", "b/three.jsonl.gz", "b/two.jsonl", "-"]
    assert list(found_files([str(tmp_path / "a" / "notes.md")])) == [str(tmp_path / "a/notes.md")]
