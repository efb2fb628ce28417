"""Measures a live run: what one call costs early and late, beside tokenizing the new text itself.

A call here is: a tool call and its result of about 1,200 tokens are added, levels are judged, the
policy is asked, the prompt of a 150,000-token window is rendered. Journal writes and the provider's
client are not part of it. Ratios are taken within one run of this script; `make bench` runs it.
"""

from __future__ import annotations

import gc
import random
import statistics
import time

from rich.console import Console
from rich.table import Table

from ctxbudget import Run
from ctxbudget.counting.counters import TiktokenCounter

WINDOW_TOKENS = 150_000
CALLS = 5_000
EARLY, LATE = slice(100, 200), slice(CALLS - 100, CALLS)
"""From call 100 on, where the prompt is nearly full, and the last ones."""
WANTED_RATIO, WANTED_SHARE = 1.5, 1.0
POLICIES = ("none", "masking", "masking:keep=60,step=10", "compact-at-threshold")
WORDS = ("invoice", "def", "total", "src/billing/part.py", "return", "state", "open", "42")


def tool_result(number: int, chance: random.Random) -> str:
    """Return a text of about 1,200 tokens that was not seen before."""
    return "\n".join(
        f"{line:>4}: {' '.join(chance.choices(WORDS, k=9))} {number}_{chance.random():.6f}"
        for line in range(48)
    )


def measure(policy: str) -> tuple[list[float], list[float]]:
    """Return the seconds of each call, and of tokenizing its text alone."""
    chance, count = random.Random(0), TiktokenCounter()  # noqa: S311 - texts, not secrets
    run = Run.open(window_tokens=WINDOW_TOKENS, policy=policy, counter="o200k_base")
    calls, alone = [], []
    phase = run.phase("work")
    phase.user("Make every test pass.")
    gc.collect()
    for number in range(CALLS):
        text, name = tool_result(number, chance), f"call {number}"
        begin = time.perf_counter()
        count(text)
        middle = time.perf_counter()
        phase.tool_call("read_file", {"path": f"part_{number}.py"}, call_id=name)
        phase.tool_result(name, text)
        phase.prompt()
        end = time.perf_counter()
        alone.append(middle - begin)
        calls.append(end - middle)
    return calls, alone


def main() -> None:
    """Print the table."""
    console = Console(width=110)
    measured = {policy: measure(policy) for policy in POLICIES}
    for name, typical in (("median", statistics.median), ("mean", statistics.fmean)):
        table = Table(
            title=f"µs per call, {name} of 100 from call 100 on and of the last 100 of {CALLS:,}"
        )
        table.add_column("policy", no_wrap=True)
        for column in (
            "call 100",
            f"call {CALLS:,}",
            f"ratio (≤ {WANTED_RATIO})",
            "tokenizing alone",
            f"the rest, of it (≤ {WANTED_SHARE})",
        ):
            table.add_column(column, justify="right")
        for policy, (calls, alone) in measured.items():
            early, late, own = typical(calls[EARLY]), typical(calls[LATE]), typical(alone[LATE])
            table.add_row(
                policy,
                f"{early * 1e6:.0f}",
                f"{late * 1e6:.0f}",
                f"{late / early:.2f}",
                f"{own * 1e6:.0f}",
                f"{(late - own) / own:.2f}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
