"""Measures how long `adaptive` takes to decide, beside tokenizing the new text of each call.

    python benchmarks/deciding.py [DIR]

First a made-up run of 3,100 calls in a 150,000-token window: deciding around call 300 and call
3,000. With DIR, also the recorded sessions in it: the mean over all their calls. Deciding is the
time inside the policy; making shorter forms and carrying plans out are not part of it. All times
are of one thread's processor time, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from live import tool_result
from replay import sessions
from rich.console import Console
from rich.table import Table

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.engine import Engine
from ctxbudget.core.events import (
    Answered,
    CallStarted,
    Effect,
    ItemAdded,
    ItemTouched,
    Phase,
    RunStarted,
    Shorten,
    Shortened,
)
from ctxbudget.core.policy import Moment, Policy
from ctxbudget.core.types import Do, Item, Kind, Plan, Scale
from ctxbudget.counting.counters import TiktokenCounter
from ctxbudget.live.pieces import text_of
from ctxbudget.replay import what_if
from ctxbudget.session import Session

POLICY = "adaptive"
WINDOW_TOKENS = 150_000
CALLS = 3_100
EARLY, LATE = slice(250, 350), slice(2_950, 3_050)
WANTED_SHARE, WANTED_RATIO = 0.5, 1.5
LEAST_CALLS = 40
TOOLS = ("Read", "Bash", "Edit", "Grep", "bash", "search_docs")


@dataclass(slots=True)
class Timed:
    """A policy that adds up the seconds it takes."""

    policy: Policy
    seconds: float = 0.0

    def __call__(self, moment: Moment) -> Iterator[Plan]:
        """Yield the policy's plans."""
        begin = time.thread_time()
        for plan in self.policy(moment):
            self.seconds += time.thread_time() - begin
            yield plan
            begin = time.thread_time()
        self.seconds += time.thread_time() - begin


def made_up() -> tuple[list[float], list[float]]:
    """Return the seconds of deciding at each call, and of tokenizing its text."""
    chance, count = random.Random(0), TiktokenCounter()  # noqa: S311 - texts, not secrets
    timed = Timed(load_policy(POLICY).policy)
    engine = Engine(timed)
    tokens: dict[str, int] = {}

    def answer(effect: Effect) -> Answered:
        assert isinstance(effect, Shorten)
        size = tokens[effect.items[0]] if effect.do is Do.DEDUPE else effect.limit_tokens or 0
        return Shortened(at=effect.at, do=effect.do, items=effect.items, tokens=size)

    session = Session(engine, answer, [])
    scale = Scale(window_tokens=WINDOW_TOKENS, reserve_tokens=0, budget_tokens=WINDOW_TOKENS)
    session.feed(
        RunStarted(at=0.0, workflow="made up", scale=scale, phases=(Phase(id="work", calls=CALLS),))
    )
    session.feed(ItemAdded(at=0.0, item=Item(id="goal", tokens=50, kind=Kind.USER)))
    deciding, tokenizing = [], []
    gc.collect()
    for number in range(CALLS):
        at, tool, text = 10.0 * number, chance.choice(TOOLS), tool_result(number, chance)
        begin = time.thread_time()
        size = count(text)
        tokenizing.append(time.thread_time() - begin)
        timed.seconds = 0.0
        call = Item(id=f"c{number}", tokens=120, kind=Kind.TOOL_CALL, group=f"g{number}", tool=tool)
        result = replace(call, id=f"r{number}", tokens=size, kind=Kind.TOOL_RESULT)
        for item in (call, result):
            tokens[item.id] = item.tokens
            session.feed(ItemAdded(at=at, item=item))
        used = f"r{max(0, number - chance.randrange(1, 30))}"
        session.feed(ItemTouched(at=at, items=(used,)))
        session.feed(CallStarted(at=at))
        deciding.append(timed.seconds)
    return deciding, tokenizing


def recorded(folder: str) -> tuple[float, float, int]:
    """Return the seconds of deciding and of tokenizing over all calls, and their number."""
    count = TiktokenCounter()
    deciding = tokenizing = 0.0
    calls = 0
    for _, session in sessions(folder):
        run = session.run
        if run.calls < LEAST_CALLS or not run.has_texts:
            continue
        texts = [
            text_of(run.contents[fact.text])
            for fact in run.facts
            if isinstance(fact, ItemAdded) and fact.text is not None and fact.text in run.contents
        ]
        begin = time.thread_time()
        for text in texts:
            count(text)
        tokenizing += time.thread_time() - begin
        loaded = load_policy(POLICY)
        timed = Timed(loaded.policy)
        what_if(run, replace(loaded, policy=timed))
        deciding += timed.seconds
        calls += run.calls
    return deciding, tokenizing, calls


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR", nargs="?")
    options = parser.parse_args()
    console = Console(width=100)
    table = Table(title=f"µs per call, means: what `{POLICY}` takes to decide")
    for column in ("calls", "deciding", "tokenizing", f"share (≤ {WANTED_SHARE})"):
        table.add_column(column, justify="right")
    deciding, tokenizing = made_up()
    means = {}
    for name, part in (("250 to 349", EARLY), ("2,950 to 3,049", LATE)):
        own, text = statistics.fmean(deciding[part]), statistics.fmean(tokenizing[part])
        means[name] = own
        table.add_row(name, f"{own * 1e6:.0f}", f"{text * 1e6:.0f}", f"{own / text:.2f}")
    if options.folder is not None:
        own, text, calls = recorded(options.folder)
        if calls:
            each = (f"{own / calls * 1e6:.0f}", f"{text / calls * 1e6:.0f}", f"{own / text:.2f}")
            table.add_row(f"{calls:,} recorded", *each)
    console.print(table)
    early, late = means.values()
    console.print(f"late against early: {late / early:.2f} (≤ {WANTED_RATIO})")


if __name__ == "__main__":
    main()
