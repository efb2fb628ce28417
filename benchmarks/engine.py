"""Measures the engine: cost per item as a run grows, and large workflows.

Ratios are taken within one run of this script, so that they mean the same on any machine;
absolute times are printed for orientation. Run it with `make bench`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from ctxbudget.config.policy_file import load_policy
from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.engine import Engine
from ctxbudget.core.events import (
    Answered,
    CallStarted,
    Effect,
    ItemAdded,
    Phase,
    PhaseStarted,
    Review,
    Reviewed,
    RunStarted,
    Shortened,
)
from ctxbudget.core.types import Do, Item, Kind, Scale
from ctxbudget.session import Session
from ctxbudget.simulate import measure_for, simulate

SMALL_ITEMS, LARGE_ITEMS = 1_000, 100_000
WANTED_RATIO = 1.5
STAND_IN_TOKENS = {Do.CLEAR: 10, Do.STUB: 5}

CASES = {
    "no policy, everything stays": ("none", 10**9),
    "masking each call, everything stays in some form": ("masking", 10**9),
    "masking in steps of 20": ("masking:keep=20,step=20", 10**9),
    "compaction at 60 % of 200,000 tokens": ("compact-at-threshold", 200_000),
    "ladder in 200,000 tokens": ("ladder", 200_000),
    "no policy, the engine holds 20,000 tokens": ("none", 20_000),
}
"""What is measured: a policy and a window in tokens."""


def items_per_second(policy: str, window_tokens: int, items: int) -> float:
    """Return how many items a second are added, judged, pruned and sent.

    A turn is a tool call of 160 tokens, its result of 840, and a model call.
    """
    scale = Scale(window_tokens=window_tokens, reserve_tokens=0, budget_tokens=window_tokens)
    session = Session(Engine(load_policy(policy).policy), _answer)
    phases = (Phase(id="work", calls=items // 2),)
    session.feed(RunStarted(at=0.0, workflow="bench", scale=scale, phases=phases))
    session.feed(PhaseStarted(at=0.0, phase="work"))
    gc.collect()
    begin = time.perf_counter()
    for turn in range(items // 2):
        at, group = float(turn), f"turn {turn}"
        for kind, tokens in ((Kind.TOOL_CALL, 160), (Kind.TOOL_RESULT, 840)):
            item = Item(id=f"{group} {kind}", tokens=tokens, kind=kind, group=group, phase="work")
            session.feed(ItemAdded(at=at, item=item))
        session.feed(CallStarted(at=at))
    return items / (time.perf_counter() - begin)


def _answer(effect: Effect) -> Answered:
    if isinstance(effect, Review):
        return Reviewed(at=effect.at, rule=effect.rule, allowed=True)
    tokens = STAND_IN_TOKENS.get(effect.do, effect.limit_tokens or 100)
    return Shortened(at=effect.at, do=effect.do, items=effect.items, tokens=tokens)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def simulate_phases(folder: Path, phases: int) -> float:
    """Return the seconds of reading and simulating a workflow in which each phase needs two."""
    path = folder / f"{phases}.yaml"
    lines = ["window: 1000000", "phases:"]
    for number in range(phases):
        after = [f"p{need}" for need in (number - 1, number - 7) if need >= 0]
        lines.append(f"- {{id: p{number}, after: [{', '.join(after)}], ")
        lines[-1] += "agents: [{id: a, output: 3000, metadata: 200}, {id: b, output: 2000}]}"
    path.write_text("\n".join(lines))

    def work() -> None:
        loaded = read_workflow(path)
        simulate(set_up_run(loaded), measure_for(loaded))

    return seconds(work)


def main() -> None:
    """Print both tables."""
    console = Console(highlight=False)
    table = Table(title=f"µs per item at {SMALL_ITEMS:,} and at {LARGE_ITEMS:,} items")
    for title in (
        "case",
        f"{SMALL_ITEMS:,}",
        f"{LARGE_ITEMS:,}",
        f"ratio (wanted ≤ {WANTED_RATIO})",
    ):
        table.add_column(title, justify="left" if title == "case" else "right")
    for case, (policy, window_tokens) in CASES.items():
        rates = [items_per_second(policy, window_tokens, SMALL_ITEMS) for _ in range(15)]
        small = 1e6 / statistics.median(rates)
        large = 1e6 / items_per_second(policy, window_tokens, LARGE_ITEMS)
        mark = "" if large / small <= WANTED_RATIO else "  over"
        table.add_row(case, f"{small:.1f}", f"{large:.1f}", f"{large / small:.2f}{mark}")
    console.print(table)

    table = Table(title="reading and simulating a workflow, two agents a phase")
    for title in ("phases", "seconds", "ms per phase"):
        table.add_column(title, justify="right")
    with TemporaryDirectory() as folder:
        simulate_phases(Path(folder), 10)  # warms the imports
        for phases in (100, 1_000, 10_000):
            took = simulate_phases(Path(folder), phases)
            table.add_row(f"{phases:,}", f"{took:.2f}", f"{took / phases * 1e3:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
