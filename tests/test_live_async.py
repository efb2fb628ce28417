"""The asynchronous run: the same journal as the synchronous one, and what is awaited."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from ctxbudget import (
    AsyncAgent,
    AsyncPhase,
    AsyncRun,
    Event,
    Prompt,
    Run,
    SourceError,
    Summary,
    SummaryRequest,
    Usage,
)
from ctxbudget.core.errors import AdapterError
from ctxbudget.core.events import ItemAdded
from ctxbudget.journal import read_journal
from ctxbudget.live.aio import AsyncScope
from ctxbudget.live.run import Agent, Phase, Scope


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


COMPACT = {
    "name": "compact early",
    "rules": [
        {
            "name": "compact",
            "on": "before_call",
            "select": {"kind": ["assistant", "tool_call", "tool_result"]},
            "do": "summarize",
            "by": "all",
            "to": 40,
            "when": {"above": "50% of window", "min_turns": 2},
            "why": "a test",
        }
    ],
}


def given(journal: Path | None = None, **more: Any) -> dict[str, Any]:
    plan = {
        "counter": Words(),
        "clock": lambda: 7.0,
        "window_tokens": 400,
        "policy": COMPACT,
        "phases": ["a", "b"],
    }
    return {**plan, **({} if journal is None else {"journal": journal}), **more}


def summary_of(request: SummaryRequest) -> Summary:
    return Summary(text=f"{len(request.parts)} parts", model="m", output_tokens=3)


async def summary_later(request: SummaryRequest) -> Summary:
    await asyncio.sleep(0)
    return summary_of(request)


async def settled(value: Any) -> Any:
    """Return a value that may have to be awaited first."""
    return await value if inspect.isawaitable(value) else value


async def play(run: Any) -> list[Any]:
    """Do the same with a run of either kind; return all that it answers."""
    said: list[Any] = []

    async def note(value: Any) -> Any:
        found = await settled(value)
        if not isinstance(found, Run | AsyncRun | Scope | AsyncScope):
            said.append(found.messages if isinstance(found, Prompt) else found)
        return found

    await note(run.system("be brief"))
    await note(run.tools([{"name": "read"}]))
    await note(run.user("the goal", source="task"))
    await note(run.register("sql", "use the replica", activated_by="db"))
    phase = await note(run.phase("a"))
    await note(phase.wave("x", "y"))
    for name in ("x", "y"):
        agent = await note(phase.agent(name))
        await note(agent.user("look"))
        for number in range(4):
            await note(agent.tool_call("read", {"n": number}, call_id=f"c{number}"))
            await note(agent.tool_result(f"c{number}", words(60)))
            await note(agent.prompt())
            await note(agent.used(Usage(uncached_tokens=50)))
        await note(agent.activate("sql"))
        await note(agent.keep("a memory", layer="phase"))
        await note(agent.deliver(words(20), title=name))
        await note(agent.finish())
    await note(phase.finish())
    phase = await note(run.phase("b"))
    await note(phase.messages([{"role": "assistant", "content": "hm"}]))
    await note(phase.assistant("so"))
    await note(phase.deliver(words(300)))
    await note(phase.prompt())
    await note(phase.answered({"content": "fine", "usage": {"input_tokens": 90}}))
    await note(phase.touch("main/1"))
    await note(phase.rejected(None))
    await note(phase.undo())
    await note(phase.finish())
    await note(run.finish())
    said += [run.items(), run.evicted(), run.rent(), run.notes, str(run.report())]
    return [str(one) if type(one).__name__.endswith("Report") else one for one in said]


@pytest.mark.parametrize("asynchronous", [summary_of, summary_later])
def test_both_kinds_of_run_give_the_same_journal_and_answers(
    asynchronous: Any, tmp_path: Path
) -> None:
    one, other = tmp_path / "sync.jsonl", tmp_path / "async.jsonl"

    async def both() -> tuple[list[Any], list[Any]]:
        run = Run.open(**given(one, summarize=summary_of))
        awaited = await AsyncRun.open(**given(other, summarize=asynchronous))
        return await play(run), await play(awaited)

    found, awaited = asyncio.run(both())
    assert found == awaited
    assert one.read_bytes() == other.read_bytes()
    events = [type(event).__name__ for event in read_journal(one)]
    assert {"Pruned", "Shortened", "Restored", "Rejected", "Injected"} <= set(events)


@pytest.mark.parametrize(
    ("kind", "awaited"),
    [(Scope, AsyncScope), (Agent, AsyncAgent), (Phase, AsyncPhase), (Run, AsyncRun)],
)
def test_both_kinds_can_do_the_same(kind: type, awaited: type) -> None:
    def signatures(one: type) -> dict[str, list[str]]:
        return {
            name: [f"{part.kind}{part}" for part in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(one, callable)
            if not name.startswith("_")
        }

    def names(one: type) -> dict[str, list[str]]:
        return {
            name: [part.partition(":")[0] for part in parts]
            for name, parts in signatures(one).items()
        }

    assert names(kind) == names(awaited)


def test_async_withs_end_what_they_began() -> None:
    heard: list[str] = []

    async def main() -> None:
        run = await AsyncRun.open(**given(listeners=[lambda e: heard.append(type(e).__name__)]))
        async with run:
            async with await run.phase("a") as phase, await phase.agent("x") as agent:
                await agent.deliver("done")
            with pytest.raises(ZeroDivisionError):
                async with await run.phase("b"):
                    raise ZeroDivisionError
            async with await run.phase("b"):
                pass

    asyncio.run(main())
    assert [name for name in heard if name.endswith("Finished")] == [
        "AgentFinished",
        "WaveFinished",
        "PhaseFinished",
        "PhaseFinished",
        "RunFinished",
    ]


def test_many_tasks_lose_nothing_and_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    async def work(phase: AsyncPhase, name: str) -> None:
        async with await phase.agent(name) as agent:
            await agent.user(f"look for {name}")
            for number in range(12):
                await agent.tool_call("read", {"n": number}, call_id=f"c{number}")
                await asyncio.sleep(0)
                await agent.tool_result(f"c{number}", words(20, f"{name}{number}_"))
                prompt = await agent.prompt()
                assert prompt.problems() == []
                assert prompt.tokens <= 400
            await agent.deliver(f"found by {name}")

    async def main() -> None:
        names = [f"n{number}" for number in range(8)]
        async with await AsyncRun.open(**given(path, summarize=summary_later)) as run:
            async with await run.phase("a") as phase:
                await phase.wave(*names)
                await asyncio.gather(*(work(phase, name) for name in names))
                assert {item.id for item in run.items()} == {f"a/{name}/output" for name in names}
            await (await run.phase("b")).finish()

    asyncio.run(main())
    added = [event.item for event in read_journal(path) if isinstance(event, ItemAdded)]
    ids = [item.id for item in added]
    assert len(ids) == len(set(ids)) == 8 * (1 + 2 * 12 + 1)
    for number in range(8):
        own = [one for one in ids if one.startswith(f"a/n{number}/") and "output" not in one]
        assert own == [f"a/n{number}/{count}" for count in range(1, 26)]


def test_reading_goes_on_while_a_summary_is_written() -> None:
    async def main() -> None:
        writing, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: SummaryRequest) -> str:
            writing.set()
            await go_on.wait()
            return "short"

        run = await AsyncRun.open(**given(summarize=slow))
        await run.user("goal")
        for number in range(4):
            await run.tool_call("read", {}, call_id=f"c{number}")
            await run.tool_result(f"c{number}", words(50))
            if number < 3:
                await run.prompt()
        prompting = asyncio.create_task(run.prompt())
        await asyncio.wait_for(writing.wait(), 5)
        assert len(run.items()) == 9
        waiting = asyncio.create_task(run.user("and then?"))
        await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        assert "short" in (await prompting).text()
        assert await waiting == ("main/10",)

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_a_summary_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    async def main() -> Prompt:
        writing = asyncio.Event()

        async def forever(request: SummaryRequest) -> str:
            if not writing.is_set():
                writing.set()
                await asyncio.sleep(3600)
            return "short"

        run = await AsyncRun.open(**given(path, summarize=forever))
        await run.user("goal")
        for number in range(4):
            await run.tool_call("read", {}, call_id=f"c{number}")
            await run.tool_result(f"c{number}", words(50))
            if number < 3:
                await run.prompt()
        prompting = asyncio.create_task(run.prompt())
        await asyncio.wait_for(writing.wait(), 5)
        prompting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await prompting
        prompt = await run.prompt()
        run.close()
        return prompt

    prompt = asyncio.run(main())
    assert prompt.problems() == []
    assert "short" in prompt.text()
    again = Run.resume(path, counter=Words(), clock=lambda: 7.0)
    assert again.items()[0].id == "main/1"
    assert again.prompt().messages == prompt.messages
    again.close()


def test_counting_a_prompt_is_awaited_and_may_fail() -> None:
    async def main() -> None:
        async def count(prompt: Prompt) -> int:
            await asyncio.sleep(0)
            if prompt.call:
                raise AdapterError("no network")
            return 99

        run = await AsyncRun.open(**given(count_prompt=count))
        await run.user("goal")
        assert (await run.prompt()).tokens == 99
        assert (await run.prompt()).tokens == 99
        assert run.notes == [
            "the prompt could not be counted, so its size is estimated: no network"
        ]

    asyncio.run(main())


def test_resumed_with_tasks(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    async def main() -> None:
        run = await AsyncRun.open(**given(path))
        await run.user("goal")
        phase = await run.phase("a")
        await (await phase.agent("x")).user("look")
        run.close()
        again = await AsyncRun.resume(path, counter=Words(), clock=lambda: 7.0)
        phase = await again.phase("a")
        agent = await phase.agent("x")
        assert [item.id for item in agent.items()] == ["a/x/1"]
        assert await agent.assistant("here") == ("a/x/2",)
        with pytest.raises(SourceError, match="agents at work: a/x"):
            await phase.finish()
        again.close()

    asyncio.run(main())


def test_a_synchronous_run_says_what_to_do_with_a_coroutine() -> None:
    heard: list[Event] = []
    run = Run.open(**given(summarize=summary_later, listeners=[heard.append]))
    run.user("goal")
    for number in range(5):
        run.tool_call("read", {}, call_id=f"c{number}")
        run.tool_result(f"c{number}", words(50))
        run.prompt()
    assert "the summarizer is asynchronous; use AsyncRun with it" in run.notes[0]
    assert run.prompt().problems() == []
