"""The public API as a user's type checker sees it, and what importing it costs.

The functions below are type-checked (by mypy with the rest, and by pyright in a test), not run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

import pytest

import ctxbudget
from ctxbudget import (
    Agent,
    ApiCounter,
    AsyncRun,
    BudgetExceededError,
    Event,
    Forecast,
    Happening,
    Item,
    Phase,
    PhaseReport,
    Prompt,
    Pruned,
    Rent,
    ReturnCost,
    Review,
    Run,
    RunReport,
    Summary,
    SummaryRequest,
    Told,
    Usage,
)


def summarize(request: SummaryRequest) -> Summary | str:
    return Summary(text=f"{len(request.parts)} parts", model="m", output_tokens=3)


async def summarize_async(request: SummaryRequest) -> str:
    return request.goal


def review(plan: Review) -> bool | str:
    return "not now" if plan.gain_tokens < 100 else True


def hear(event: Event) -> None:
    if isinstance(event, Told):
        assert_type(event.tokens, int)
    elif isinstance(event, Pruned):
        assert_type(event.items, tuple[str, ...])


def a_run(counter: ApiCounter) -> None:
    run = Run.open(
        "flow.yaml",
        model="claude-opus-5-5",
        policy="masking:keep=5",
        budget="30%",
        journal=Path("run.jsonl"),
        fsync="always",
        listeners=[hear],
        summarize=summarize,
        review=review,
        budget_usd={"run": 5, "research": "1.50"},
        count_prompt=counter,
    )
    assert_type(run, Run)
    assert_type(run.system("rules"), tuple[str, ...])
    with run.phase("research") as phase:
        assert_type(phase, Phase)
        with phase.agent("oauth") as agent:
            assert_type(agent, Agent)
            agent.user("find out", source="issue.md")
            prompt = agent.prompt()
            assert_type(prompt, Prompt)
            assert_type(prompt.problems(), list[str])
            agent.used(Usage(uncached_tokens=5))
            assert_type(agent.deliver("text", title="t"), str)
        assert_type(phase.forecast(), Forecast)
        assert_type(phase.restore("main/3", pin=True), ReturnCost)
        assert_type(phase.undo(), ReturnCost)
        assert_type(phase.items(), list[Item])
        assert_type(phase.report(), PhaseReport)
    assert_type(run.why("main/3"), list[Happening])
    assert_type(run.rent("tool"), list[Rent])
    assert_type(run.breakdown(by="layer"), list[tuple[str, int]])
    try:
        run.prompt()
    except BudgetExceededError as error:
        assert_type(error.items, tuple[tuple[str, int], ...])
    assert_type(run.finish(), RunReport)


async def an_async_run() -> None:
    run = await AsyncRun.open(phases=["a", {"id": "b", "after": ["a"]}], summarize=summarize_async)
    assert_type(run, AsyncRun)
    async with run, await run.phase("a") as phase, await phase.agent("x") as agent:
        assert_type(await agent.user("find out"), tuple[str, ...])
        assert_type(await agent.prompt(), Prompt)
        assert_type(agent.occupancy_tokens, int)


def wrong() -> None:
    Run.open(polcy="none")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Run.open(window_tokens="much")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Run.open().rent("colour")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_pyright_agrees() -> None:
    argv = [sys.executable, "-m", "pyright", "--project", str(STRICT), __file__]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


STRICT = Path(__file__).parent / "pyrightconfig.json"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ctxbudget", ["anthropic", "tiktoken", "rich", "networkx", "pydantic", "yaml"]),
        ("from ctxbudget import Run", ["anthropic", "tiktoken", "rich", "genai_prices"]),
        ("from ctxbudget import AsyncRun, ApiCounter", ["anthropic", "tiktoken", "rich"]),
        ("from ctxbudget import AnthropicSummarizer", ["anthropic", "tiktoken", "rich"]),
    ],
)
def test_importing_brings_in_no_more_than_it_must(statement: str, absent: Sequence[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(ran.stdout.split())
    assert "ctxbudget" in found
    assert not found & set(absent)


def test_every_public_name_is_there_and_documented() -> None:
    for name in ctxbudget.__all__:
        thing = getattr(ctxbudget, name)
        assert name in dir(ctxbudget)
        if isinstance(thing, type):
            assert thing.__doc__, name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ctxbudget.nothing
