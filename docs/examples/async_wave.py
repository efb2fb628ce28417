"""Agents of one wave as tasks: one run, shared."""

import asyncio
from itertools import count

from ctxbudget import AsyncRun


async def work(phase, name):
    async with await phase.agent(name) as agent:
        await agent.user(f"Look into {name}.")
        for number in range(3):
            await agent.prompt()
            await asyncio.sleep(0)  # here the provider would be awaited
            await agent.assistant(f"Step {number} of {name}.")
        report = "".join(f"{name}/part_{n}.py: reviewed, nothing to change\n" for n in range(60))
        await agent.deliver(report, title=f"Review of {name}", metadata=f"{name}: 60 files, all fine")


async def main():
    run = await AsyncRun.open(
        window_tokens=10_000,
        phases=["look", "write"],
        policy="aggressive",
        counter="o200k_base",
        clock=count().__next__,
    )
    async with run:
        async with await run.phase("look") as look:
            await look.wave("frontend", "backend", "database")
            await asyncio.gather(*(work(look, name) for name in ("frontend", "backend", "database")))
        async with await run.phase("write") as write:
            await write.user("Write it up.")
            prompt = await write.prompt()
            print(prompt.text())
    print(run.report())


asyncio.run(main())
