"""Agents of one wave as tasks: one run, shared."""

import asyncio
from itertools import count

from ctxbudget import AsyncPhase, AsyncRun

TEAMS = ("frontend", "backend", "database")


async def review(phase: AsyncPhase, name: str) -> None:
    """Let one agent work and hand its report over."""
    async with await phase.agent(name) as agent:
        await agent.user(f"Look into {name}.")
        for number in range(3):
            await agent.prompt()
            await asyncio.sleep(0)  # here the provider would be awaited
            await agent.assistant(f"Step {number} of {name}.")
        report = "".join(f"{name}/part_{n}.py: reviewed, nothing to change\n" for n in range(60))
        # `metadata` is what may replace the report; without, it is extracted from the text.
        await agent.deliver(report, title=f"Review of {name}", metadata=f"{name}: 60 files, fine")


async def main() -> None:
    """Let three agents look at once, then write with what is left of their reports."""
    run = await AsyncRun.open(
        window_tokens=10_000,
        phases=["look", "write"],
        policy="aggressive",
        counter="o200k_base",
        clock=count().__next__,
    )
    async with run:
        async with await run.phase("look") as look:
            await look.wave(*TEAMS)
            await asyncio.gather(*(review(look, name) for name in TEAMS))
        async with await run.phase("write") as write:
            await write.user("Write it up.")
            prompt = await write.prompt()
            print(prompt.text())
    print(run.report())


asyncio.run(main())
