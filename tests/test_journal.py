"""Tests of the journal on disk: what a crash, a full disk or a second writer may do to it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import ROOT, Command, written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import (
    Decision,
    Effect,
    Event,
    Fact,
    ItemAdded,
    PhaseClosed,
    PhaseFinished,
    PhaseStarted,
    Pruned,
    RunClosed,
    RunFinished,
    Shorten,
    Shortened,
)
from ctxbudget.core.types import Do, Item
from ctxbudget.journal import (
    Fsync,
    JournalWriter,
    TextLine,
    content_hash,
    from_line,
    open_journal,
    read_events,
    read_journal,
    read_records,
    resume_journal,
    to_line,
)

HEADER = b'{"journal":"ctxbudget","version":1}\n'

CONTENTS: tuple[Any, ...] = (
    "Привет, мир",
    [{"type": "text", "text": "b\na", "cached": None}, 1.5],
    "half of a pair \ud83d, the other \udc00, \\ud800 spelt out, both apart \ud83d\ude00",
)
HASHES = tuple(content_hash(content) for content in CONTENTS)
TEXTS = dict(zip(HASHES, CONTENTS, strict=True))


def added(name: str, text: str | None = None, at: float = 0.0) -> ItemAdded:
    return ItemAdded(at=at, item=Item(id=name, tokens=10), text=text)


def pruned() -> Pruned:
    return Pruned(
        at=3.0,
        rule="r",
        reason="why",
        do=Do.DROP,
        items=("a",),
        removed_tokens=10,
        occupancy_tokens=20,
        plan=1,
    )


RUN: tuple[Event, ...] = (
    PhaseStarted(at=0.0, phase="a"),
    added("a", HASHES[0]),
    added("файл \udcff", HASHES[1], at=1.25),
    added("a again", HASHES[0], at=2.0),
    Shorten(at=3.0, do=Do.SNIP, items=("a",)),
    Shortened(at=3.0, do=Do.SNIP, items=("a",), tokens=4, text=HASHES[2]),
    pruned(),
    RunFinished(at=4.0),
)


def written_out(events: Sequence[Event], texts: dict[str, Any] | None = None) -> bytes:
    """Return the bytes of a journal."""
    file = io.StringIO()
    writer = JournalWriter(file, None if texts is None else texts.__getitem__)
    for event in events:
        writer(event)
    return file.getvalue().encode("utf-8", "surrogatepass")


def resumed_bytes(path: Path, events: Sequence[Event]) -> bytes:
    """Return the file's bytes once the rest of these events was written behind what it held."""
    resumed = resume_journal(path, fsync=Fsync.NEVER, content_of=TEXTS.__getitem__)
    with resumed.writer as writer:
        for event in events[len(resumed.events) :]:
            writer(event)
    return path.read_bytes()


# ---- lines


def test_a_journal_by_hand(tmp_path: Path) -> None:
    content = {"b": [1, None], "a": "é"}
    text = hashlib.blake2b('{"a":"é","b":[1,null]}'.encode(), digest_size=16).hexdigest()
    assert content_hash(content) == content_hash({"a": "é", "b": [1, None]}) == text
    item = '{"fact":"item_added","at":0.0,"item":{"id":"%s","tokens":10},"text":"%s"}\n'
    events: list[Event] = [PhaseStarted(at=0, phase="p"), added("x", text), added("y", text)]
    path = tmp_path / "run.jsonl"
    with open_journal(path, content_of={text: content}.__getitem__) as writer:
        for event in events:
            writer(event)
    assert path.read_text(encoding="utf-8") == (
        HEADER.decode() + '{"fact":"phase_started","at":0.0,"phase":"p"}\n'
        f'{{"text":"{text}","content":{{"b":[1,null],"a":"é"}}}}\n' + item % ("x", text)
        + item % ("y", text)
    )  # fmt: skip
    assert list(read_journal(path)) == events
    (found,) = [record for record in read_records(path) if isinstance(record, TextLine)]
    assert (found.hash, list(found.content.items())) == (text, list(content.items()))


def test_texts_are_left_out_unless_asked_for() -> None:
    lines = written_out(RUN).splitlines()
    assert len(lines) == 1 + len(RUN)
    assert json.loads(lines[2])["text"] == HASHES[0]


def test_a_journal_with_its_texts_written_again_gives_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(written_out(RUN, TEXTS))
    records = list(read_records(path))
    texts = {one.hash: one.content for one in records if isinstance(one, TextLine)}
    events = [one for one in records if not isinstance(one, TextLine)]
    assert (events, texts) == (list(RUN), TEXTS)
    assert [type(one).__name__ for one in records[:4]] == [
        "PhaseStarted",
        "TextLine",
        "ItemAdded",
        "TextLine",
    ]
    assert written_out(events, texts) == path.read_bytes()
    assert list(read_events(io.StringIO(written_out(RUN[:2], TEXTS).decode()))) == list(RUN[:2])


def test_a_file_is_utf8_although_a_text_is_not() -> None:
    lone = "\udcff and \ud83d"
    text = content_hash(lone)
    lines = written_out([added(lone, text)], {text: lone}).decode("utf-8")
    assert lines.count(r"\udcff and \ud83d") == 2


@pytest.mark.parametrize("union", [Fact, Decision, Effect], ids=["fact", "decision", "effect"])
def test_every_event_has_a_line(union: Any, request: pytest.FixtureRequest) -> None:
    category = request.node.callspec.id
    for kind in get_args(union) or (union,):
        name = "".join(f"_{one.lower()}" if one.isupper() else one for one in kind.__name__)[1:]
        with pytest.raises(JournalError, match=f"^journal: {name}: at: Field required"):
            from_line({category: name})
    assert to_line(RUN[4]) == {"effect": "shorten", "at": 3.0, "do": "snip", "items": ["a"]}


any_text = st.text(st.characters(exclude_categories=[]), max_size=8)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), any_text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(json_values, any_text)
def test_any_content_comes_back_as_it_was(content: Any, name: str) -> None:
    text = content_hash(content)
    event = added(name, text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        with open_journal(path, fsync=Fsync.NEVER, content_of=lambda _: content) as writer:
            writer(event)
        line, again = read_records(path)
    assert (line, again) == (TextLine(hash=text, content=content), event)
    assert isinstance(line, TextLine)
    assert json.dumps(line.content) == json.dumps(
        content
    )  # 1 is not 1.0, and keys keep their order


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("another", "cannot be written: its hash is [0-9a-f]{32}; give a JSON value and its"),
        ({1, 2}, "cannot be written: Object of type set is not JSON serializable; give"),
        ({2: "a", 10: "b"}, "cannot be written: its hash is"),  # keys sort otherwise as strings
    ],
    ids=["another", "no JSON", "keys that are numbers"],
)
def test_what_could_not_be_read_again_is_not_written(content: Any, found: str) -> None:
    file = io.StringIO()
    text = content_hash({2: "a", 10: "b"})
    writer = JournalWriter(file, lambda _: content)
    with pytest.raises(JournalError, match=f"^journal: the content of text '{text}' {found}"):
        writer(added("x", text))
    with pytest.raises(JournalError, match="takes no more events since one could not be written"):
        writer(RUN[0])
    assert file.getvalue() == HEADER.decode()


def test_a_content_that_nobody_knows() -> None:
    with pytest.raises(JournalError, match="the content of text 'beef' is not known; keep it unt"):
        JournalWriter(io.StringIO(), TEXTS.__getitem__)(added("x", "beef"))


# ---- begin


@pytest.mark.parametrize("content", [b"", None], ids=["empty", "new"])
def test_a_journal_is_on_disk_from_the_first_event(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_bytes(content)
    with open_journal(path, fsync=Fsync.ALWAYS) as writer:
        assert path.read_bytes() == HEADER
        writer(RUN[0])
        assert list(read_journal(path)) == [RUN[0]]
    with pytest.raises(JournalError, match=r"run\.jsonl: is closed; resume it to write on"):
        writer(RUN[1])
    writer.close()
    assert list(read_journal(path)) == [RUN[0]]


def test_a_new_journal_is_its_owners_only(ctxbudget: Command, tmp_path: Path) -> None:
    live, simulated, loosened = (tmp_path / name for name in ("live", "simulated", "loosened"))
    open_journal(live).close()
    assert ctxbudget("simulate", "jwt_auth", "--journal", simulated).code == 0
    loosened.write_bytes(HEADER)
    loosened.chmod(0o640)
    assert ctxbudget("simulate", "jwt_auth", "--journal", loosened).code == 0
    assert loosened.read_bytes() == simulated.read_bytes()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (live, simulated, loosened)]
    assert modes == [0o600, 0o600, 0o640]


def test_a_link_goes_on_pointing_where_it_does(tmp_path: Path) -> None:
    link, path = tmp_path / "link", tmp_path / "run.jsonl"
    link.symlink_to(path)  # to nothing, as yet
    with open_journal(link) as writer:
        writer(RUN[0])
    with resume_journal(link).writer as writer:
        writer(RUN[1])
    assert link.is_symlink()
    assert list(read_journal(path)) == list(RUN[:2])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("journal", "holds a journal already; resume it, or choose another name"),
        ("notes", "exists and is not a journal; choose another name"),
        ("folder", "is a directory; choose another place"),
        ("no/run.jsonl", "no such file or directory; choose another place"),
        ("notes/run.jsonl", "not a directory; choose another place"),
        ("pipe", "is not a regular file; choose another place"),
        ("n" * 300, "file name too long; choose another place"),
        ("nul\0", "embedded null byte; choose another place"),
    ],
    ids=lambda value: value[:8],
)
def test_a_journal_that_cannot_begin(tmp_path: Path, name: str, found: str) -> None:
    (tmp_path / "journal").write_bytes(HEADER)
    (tmp_path / "notes").write_bytes(b"my notes\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(JournalError) as raised:
        open_journal(tmp_path / name)
    assert str(raised.value) == f"{tmp_path / name}: {found}"
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "journal").read_bytes() == HEADER
    assert (tmp_path / "notes").read_bytes() == b"my notes\n"


@pytest.mark.parametrize(
    ("fsync", "waits"),
    [
        (Fsync.NEVER, [0, 0, 0, 0, 0, 0, 0]),
        (Fsync.PHASE, [0, 0, 1, 1, 1, 1, 1]),
        (Fsync.ALWAYS, [1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_when_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: Fsync, waits: list[int]
) -> None:
    synced: list[bytes] = []
    path, sync = tmp_path / "run.jsonl", os.fsync

    def counted(file: int) -> None:
        sync(file)
        synced.append(path.read_bytes())

    monkeypatch.setattr(os, "fsync", counted)  # the system's call: nothing else tells of it
    phase = dict.fromkeys(
        ("allocated_tokens", "start_tokens", "peak_tokens", "residual_tokens", "kept_tokens"), 1
    )
    run = dict.fromkeys(("planned_tokens", "peak_tokens", "residual_tokens"), 1)
    events: list[Event] = [
        PhaseStarted(at=0, phase="a"),
        added("a"),
        pruned(),
        PhaseFinished(at=0, phase="a"),
        PhaseClosed(at=0, phase="a", over_tokens=0, **phase),
        RunFinished(at=0),
        RunClosed(at=0, over_tokens=0, **run),
    ]
    found = []
    with open_journal(path, fsync=fsync) as writer:
        assert bool(synced) == (fsync is not Fsync.NEVER)
        for event in events:
            synced.clear()
            writer(event)
            found.append(len(synced))
            assert synced == [path.read_bytes()] * len(synced)  # after the write, not before
        synced.clear()
    assert found == waits
    assert len(synced) == (fsync is not Fsync.NEVER)


# ---- resume


def test_a_journal_resumed_at_every_cut_goes_on_as_if_nothing_was(tmp_path: Path) -> None:
    whole, path = written_out(RUN, TEXTS), tmp_path / "run.jsonl"
    ends = [0]
    for line in whole.splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    texts = [number for number, line in enumerate(whole.splitlines()) if b'"content"' in line]
    assert texts == [2, 4, 8]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        lines = max(number for number, end in enumerate(ends) if end <= cut)
        events = max(0, lines - 1 - sum(number < lines for number in texts))
        resumed = resume_journal(path, fsync=Fsync.NEVER, content_of=TEXTS.__getitem__)
        resumed.writer.close()
        assert resumed.events == RUN[:events]
        named = {getattr(event, "text", None) for event in resumed.events}
        assert resumed.texts == {text: TEXTS[text] for text in TEXTS if text in named}
        if lines - 1 in texts:
            assert resumed.dropped == (
                f"what stood behind line {lines - 1} ({cut - ends[lines - 1]:,} bytes) was a text "
                "whose event was cut off by a crash, and was dropped"
            )
        elif cut == ends[lines]:
            assert resumed.dropped is None
        else:
            size = "1 byte" if cut == ends[lines] + 1 else f"{cut - ends[lines]} bytes"
            told = f"line {lines + 1} was cut off by a crash ({size}) and was dropped"
            assert resumed.dropped == told
        assert resumed_bytes(path, RUN) == whole


def test_reading_at_every_cut_tells_of_a_torn_line(tmp_path: Path) -> None:
    whole, path = written_out(RUN, TEXTS), tmp_path / "run.jsonl"
    path.write_bytes(whole)
    records = list(read_records(path))
    for cut in range(1, len(whole) + 1):
        path.write_bytes(whole[:cut])
        torn: list[str] = []
        lines = whole[:cut].count(b"\n")
        assert list(read_records(path, on_torn=torn.append)) == records[: max(0, lines - 1)]
        assert len(torn) == (whole[cut - 1 : cut] != b"\n")
        if torn and whole[cut : cut + 1] != b"\n":  # JSON that is whole can be read
            with pytest.raises(JournalError, match="the line is damaged; restore it or cut the"):
                list(read_records(path))


def test_a_last_line_may_be_cut_off_and_yet_have_its_newline(tmp_path: Path) -> None:
    path, torn = tmp_path / "run.jsonl", list[str]()
    path.write_bytes(written_out(RUN[:1]) + b'{"fact":"phase_st\n')
    with pytest.raises(JournalError, match=":3: the line is damaged"):
        list(read_journal(path))
    assert list(read_journal(path, on_torn=torn.append)) == [RUN[0]]
    assert torn == ["line 3 was cut off by a crash (18 bytes) and was dropped"]
    resumed = resume_journal(path)
    resumed.writer.close()
    assert resumed.dropped == torn[0]
    assert path.read_bytes() == written_out(RUN[:1])


FIRST = written_out(RUN[:1])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"my notes", "1: the line is damaged"),
        (b'{"other":1}', "1: does not begin as a ctxbudget journal"),
        (b'{"other":1}\n', "1: does not begin as a ctxbudget journal"),
        (b'{"journal":"ctxbudget","version":12}', "1: is of version 12, this program reads 1; upda"),
        (b"\xff\xfe\n" + FIRST, " is not UTF-8 text, so not a journal"),
        (HEADER[:20] + b"\n", "1: the line is damaged"),
        (HEADER[:20] + FIRST, "1: the line is damaged"),
        (FIRST[:-20] + FIRST[len(HEADER) :], "2: the line is damaged; restore it or cut the jour"),
        (FIRST[:-20] + b"\n" + FIRST[len(HEADER) :], "2: the line is damaged"),
        (FIRST + b'{"fact":,}\n', "3: the line is damaged"),
        (FIRST + b"[]\n", "3: the line is damaged"),
        (FIRST + b"\n", "3: the line is damaged"),
        (FIRST + b'"\xff"\n', "3: the line is damaged"),
        (FIRST + b"[" * 100_000 + b"]" * 100_000 + b"\n", "3: the line is damaged"),
        (FIRST + b'{"fact":"unheard_of","at":0}\n', "3: no event of journal version 1"),
        (FIRST + b'{"fact":"phase_started","at":0}\n', "3: phase_started: phase: Field required"),
        (FIRST + b'{"text":"%s"}\n' % HASHES[0].encode(), "3: no event of journal version 1"),
        (FIRST + b'{"text":"%s","content":"x"}\n' % HASHES[0].encode(), "3: the content is not the"),
        (FIRST + b'{"text":7,"content":"x"}\n', "3: the content is not the one whose hash is 7, so"),
    ],
    ids=lambda value: repr(value[-24:]),
)  # fmt: skip
def test_a_damaged_journal_stays_as_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    for _ in range(2):  # the lock is free again
        with pytest.raises(JournalError) as raised:
            resume_journal(path)
        assert str(raised.value).startswith(f"{path}:{found}")
    with pytest.raises(JournalError) as raised:
        list(read_journal(path, on_torn=print))
    assert str(raised.value).startswith(f"{path}:{found}")
    assert path.read_bytes() == content


def test_what_is_not_there_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no such file or directory; choose another place"):
        resume_journal(tmp_path / "run.jsonl")
    assert list(tmp_path.iterdir()) == []


# ---- other processes


PREAMBLE = """
import os, sys
from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import ItemAdded
from ctxbudget.core.types import Item
from ctxbudget.journal import Fsync, content_hash, open_journal, resume_journal

def added(number, text=None):
    return ItemAdded(at=number, item=Item(id=f"item {number}", tokens=10), text=text)
"""


@contextmanager
def started(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a Python program and give it; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def printed(program: str, *arguments: object) -> list[str]:
    """Return the lines that a Python program prints."""
    with started(program, *arguments) as process:
        out, _ = process.communicate()
        assert process.returncode == 0
    return out.splitlines()


def test_nothing_but_a_torn_line_is_lost_to_a_kill(tmp_path: Path) -> None:
    program = """
content = lambda number: str(number) * 400_000
path = sys.argv[1]
texts = {}
resumed = resume_journal(path, content_of=texts.__getitem__)
number = len(resumed.events)
while True:
    text = content_hash(content(number % 10)) if number % 3 == 0 else None
    texts[text] = content(number % 10)
    resumed.writer(added(number, text))
    number += 1
    if number % 5 == 0:
        print(number, flush=True)
"""
    path = tmp_path / "run.jsonl"
    path.touch()
    for told in range(1, 11):
        with started(program, path) as process:
            assert process.stdout is not None
            for _ in range(told):
                written_events = int(process.stdout.readline())
            time.sleep(told / 1000)  # into whatever it is doing
        torn: list[str] = []
        records = list(read_records(path, on_torn=torn.append))
        events = [one for one in records if isinstance(one, ItemAdded)]
        assert len(events) >= written_events
        assert [one.item.id for one in events] == [f"item {n}" for n in range(len(events))]
        held = {one.hash for one in records if isinstance(one, TextLine)}
        assert held >= {one.text for one in events} - {None}


def test_a_journal_has_one_writer(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    program = """
with open_journal(sys.argv[1]) as writer:
    writer(added(0))
    print("ready", flush=True)
    sys.stdin.read()
"""
    refused = (
        f"{path}: is being written by somebody else; wait until that run has ended, or choose "
        "another name"
    )
    with started(program, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        held = path.read_bytes()
        for opened in (open_journal, resume_journal):
            with pytest.raises(JournalError) as raised:
                opened(path)
            assert str(raised.value) == refused
        flow = written(tmp_path, "phases: [{id: a, output: 100}]\n")
        assert ctxbudget("simulate", flow, "--journal", path).error == refused
        assert len(list(read_journal(path))) == 1
        assert path.read_bytes() == held
    with resume_journal(path).writer as writer:  # the death of the other one freed it
        with pytest.raises(JournalError, match="somebody else"):
            resume_journal(path)
        writer(RUN[0])
    resumed = resume_journal(path)
    resumed.writer.close()
    assert len(resumed.events) == 2


def test_a_fork_neither_writes_nor_gives_up_the_lock(tmp_path: Path) -> None:
    program = """
writer = open_journal(sys.argv[1])
child = os.fork()
if child == 0:
    try:
        writer(added(0))
    except JournalError as error:
        print(error, flush=True)
    writer.close()
    os._exit(0)
os.waitpid(child, 0)
try:
    resume_journal(sys.argv[1])
except JournalError as error:
    print(error)
writer(added(1))
"""
    path = tmp_path / "run.jsonl"
    of_child, of_parent = printed(program, path)
    assert "is written by the process that opened it; a fork needs a journal of its" in of_child
    assert "is being written by somebody else" in of_parent
    assert [event.at for event in read_journal(path)] == [1.0]


FULL = """
import resource
most = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
path, told = sys.argv[1], 0
try:
    writer = open_journal(path, content_of=lambda _: "long" * 100)
    for number in range(10_000):
        writer(added(number, content_hash("long" * 100) if number == 3 else None))
        told += 1
except JournalError as error:
    print(error)
    for number in range(2 * bool(told)):
        try:
            writer(added(7))
        except JournalError as error:
            print(error)
print(told)
"""


@pytest.mark.parametrize("most_bytes", [10, 500, 4000])
def test_a_full_disk_costs_no_more_than_the_event(tmp_path: Path, most_bytes: int) -> None:
    path = tmp_path / "run.jsonl"
    first, *later, told = printed(FULL, path, most_bytes)
    reason = "file too large; the event is not in the journal, nothing before it was lost; make r"
    assert first.startswith(f"{path}: {reason}")
    assert len(later) == 2 * bool(int(told))
    for error in later:
        assert error.startswith(
            f"{path}: takes no more events since one could not be written (file too large; the ev"
        )
    content = path.read_bytes()
    assert most_bytes - 600 < len(content) <= most_bytes
    assert content in (b"", HEADER) or content.endswith(b"}\n")
    resumed = resume_journal(path)
    resumed.writer.close()
    assert resumed.dropped is None
    assert len(resumed.events) == int(told)


def test_threads_share_a_writer(tmp_path: Path) -> None:
    path, texts = tmp_path / "run.jsonl", {content_hash(str(one)): str(one) for one in range(20)}

    def content_of(text: str) -> str:
        time.sleep(0.002)  # whoever is not kept out comes in meanwhile
        return texts[text]

    writer = open_journal(path, fsync=Fsync.NEVER, content_of=content_of)

    def work(name: str) -> None:
        for number in range(200):
            writer(added(name, content_hash(str(number // 10)), at=number))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    seen: list[str] = []
    told: dict[str, list[float]] = {name: [] for name in "abcd"}
    for record in read_records(path):
        if isinstance(record, TextLine):
            seen.append(record.hash)
        elif isinstance(record, ItemAdded):
            assert record.text in seen
            told[record.item.id].append(record.at)
    assert sorted(seen) == sorted(texts)
    assert told == {name: [float(number) for number in range(200)] for name in "abcd"}
