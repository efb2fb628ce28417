"""Several threads on one run: nothing is lost, ids differ, each thread's order is kept."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from ctxbudget import Event, Phase, Run, SourceError, Usage
from ctxbudget.core.events import AgentStarted, CallSent, ItemAdded, ThreadClosed, WaveClosed
from ctxbudget.journal import JournalWriter, TextLine, read_journal, read_records
from ctxbudget.sources.journal import replay

AGENTS, TURNS = 6, 15


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


def open_run(**options: Any) -> Run:
    plan = {
        "window_tokens": 600,
        "counter": Words(),
        "clock": lambda: 0.0,
        "policy": "masking",
        "phases": ["a", "b"],
    }
    return Run.open(**{**plan, **options})


def work(phase: Phase, name: str, start: Barrier) -> list[str]:
    """Work as an agent would; return the ids that it was given."""
    start.wait(10)
    ids: list[str] = []
    with phase.agent(name) as agent:
        ids += agent.user(f"look for {name}")
        for number in range(TURNS):
            ids += agent.tool_call("read", {"n": number}, call_id=f"c{number}")
            ids += agent.tool_result(f"c{number}", words(30, f"{name}_{number}_"))
            prompt = agent.prompt()
            assert prompt.problems() == []
            assert prompt.tokens <= 600
            assert f"look for {name}" in prompt.text()
            assert all(
                other not in prompt.text() for other in ("n0_", "n1_", "n2_") if other[:-1] != name
            )
            agent.used(Usage(uncached_tokens=prompt.tokens))
            agent.forecast()
            agent.breakdown()
        agent.deliver(f"found by {name}", title=name)
    return ids


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the journal of a wave whose agents ran in threads of their own."""
    path = tmp_path_factory.mktemp("parallel") / "run.jsonl"
    names = [f"n{number}" for number in range(AGENTS)]
    start = Barrier(AGENTS)
    with open_run(journal=path) as run:
        run.user("the goal")
        with run.phase("a") as phase:
            phase.wave(*names)
            with ThreadPoolExecutor(AGENTS) as pool:
                found = list(pool.map(lambda name: work(phase, name, start), names))
        for name, ids in zip(names, found, strict=True):
            assert ids == [f"a/{name}/{count}" for count in range(1, 2 * TURNS + 2)]
        assert {item.id for item in run.items()} == {
            "main/1",
            *(f"a/{name}/output" for name in names),
        }
    return path


def events(path: Path) -> list[Event]:
    return list(read_journal(path))


def test_nothing_is_lost_and_ids_differ(journal: Path) -> None:
    added = [event for event in events(journal) if isinstance(event, ItemAdded)]
    ids = [event.item.id for event in added]
    assert len(ids) == len(set(ids)) == 1 + AGENTS * (2 * TURNS + 2)
    sent = [event for event in events(journal) if isinstance(event, CallSent)]
    assert len(sent) == AGENTS * TURNS


def test_each_threads_order_is_kept(journal: Path) -> None:
    for number in range(AGENTS):
        thread = f"a/n{number}"
        own = [e for e in events(journal) if isinstance(e, ItemAdded) and e.thread == thread]
        assert [e.item.id for e in own] == [f"{thread}/{n}" for n in range(1, 2 * TURNS + 2)]
        calls = [e.call for e in events(journal) if isinstance(e, CallSent) and e.thread == thread]
        assert calls == list(range(1, TURNS + 1))


def test_one_wave_closes_once_after_its_last_agent(journal: Path) -> None:
    names = [type(event).__name__ for event in events(journal)]
    assert names.count("WaveClosed") == 1
    assert names.index("WaveClosed") > max(
        number
        for number, event in enumerate(events(journal))
        if isinstance(event, AgentStarted | ThreadClosed)
    )
    (wave,) = [event for event in events(journal) if isinstance(event, WaveClosed)]
    assert wave.wave == 1


def test_it_replays_to_the_same_bytes(journal: Path) -> None:
    texts = {one.hash: one.content for one in read_records(journal) if isinstance(one, TextLine)}
    file = io.StringIO()
    replay(read_journal(journal), [JournalWriter(file, texts.__getitem__)])
    assert file.getvalue() == journal.read_text(encoding="utf-8")


def test_it_is_taken_up_while_threads_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(journal=path)
    agents = [run.phase("a").agent(name) for name in ("n0", "n1", "n2")]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda agent: agent.user("first"), agents))
    run.close()
    again = Run.resume(path, counter=Words(), clock=lambda: 0.0)
    start = Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda n: work(again.phase("a"), n, start), ("n0", "n1", "n2")))
    assert [ids[0] for ids in found] == ["a/n0/2", "a/n1/2", "a/n2/2"]
    again.phase("a").finish()
    again.close()


def test_many_threads_in_one_prompt() -> None:
    run = open_run(window_tokens=100_000, policy="none")
    run.user("the goal")

    def say(number: int) -> None:
        for step in range(20):
            call = f"{number}-{step}"
            run.tool_call("read", {"n": step}, call_id=call)
            run.tool_result(call, f"result of {call}")
            assert run.prompt().problems() == []

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(say, range(5)))
    items = run.items()
    assert [item.id for item in items] == [f"main/{number}" for number in range(1, 202)]
    prompt = run.prompt()
    assert prompt.problems() == []
    for number in range(5):
        own = [item.group for item in items if str(item.group).startswith(f"{number}-")]
        assert own == [f"{number}-{step}" for step in range(20) for _ in range(2)]
        assert all(f"result of {number}-{step}" in prompt.text() for step in range(20))


def test_one_phase_wins() -> None:
    run = open_run()
    start = Barrier(2)

    def begin(name: str) -> bool:
        start.wait(10)
        try:
            run.phase(name)
        except SourceError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, ("a", "b"))) == [False, True]
