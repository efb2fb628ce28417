"""Measures how well recorded sessions are rebuilt, and how long a replay takes.

    python benchmarks/replay.py DIR [--policy NAME ...]

DIR holds recorded sessions. Printed are: by how much the bill of `none` is off the recorded one, as
is and without cache losses, over the sessions of at least 40 calls, and which are outside and why;
how well prompt sizes are expected one call ahead; what the policies come to; and the time of a
replay for each 100 calls.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.errors import CtxBudgetError, SourceError
from ctxbudget.providers.prices import price_date, price_of
from ctxbudget.recorded.files import found_files
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import Settings, WhatIf, what_if
from ctxbudget.replay.cache_facts import modelled_calls
from ctxbudget.report.replayed import Replayed
from ctxbudget.transcripts.facts import Prediction
from ctxbudget.transcripts.session import RecordedSession, read_session

LEAST_CALLS = 40
CLOSE_FRAC, NEAR_FRAC = 0.03, 0.10
NO_LOSSES = Settings(ignores_cache_losses=True)
POLICIES = ("masking", "ladder", "compact-at-threshold", "clear-tool-uses")
BOUNDS = ("unbounded", "clairvoyant")


@dataclass(slots=True)
class Measured:
    """One session."""

    name: str
    session: RecordedSession
    error_frac: float
    error_without_frac: float | None
    found: list[WhatIf] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """Of the session."""
        return self.session.run.calls


def sessions(folder: str) -> Iterator[tuple[str, RecordedSession]]:
    """Yield what can be replayed in a folder."""
    prices = PriceBook(price_of)
    for name in track(list(found_files([folder])), "replaying", console=Console(stderr=True)):
        try:
            yield name, read_session(RecordedFile(file=name), prices)
        except SourceError:
            continue


def measured(name: str, session: RecordedSession, policies: Sequence[str]) -> Measured | None:
    """Return a session's numbers, or None if its cost is not known."""
    run = session.run
    none = what_if(run, load_policy("none"))
    replayed = Replayed(
        file=name,
        run=run,
        session=session,
        found=[none],
        none_without_losses=what_if(run, load_policy("none"), NO_LOSSES),
        price_date=price_date(),
    )
    error = replayed.bill_error_frac(none)
    if error is None:
        return None
    without = replayed.bill_error_frac(replayed.none_without_losses)
    one = Measured(name.rpartition("/")[2], session, error, without, [none])
    for policy in (*policies, *BOUNDS):
        started = time.perf_counter()
        try:
            one.found.append(what_if(run, load_policy(policy)))
        except CtxBudgetError:
            continue
        one.seconds.append(time.perf_counter() - started)
    return one


def why(session: RecordedSession) -> str:
    """Return how the cache really was otherwise than in the model."""
    modelled = modelled_calls(session.run)
    less: list[int] = []
    more: list[int] = []
    for name, answer in session.run.answers.items():
        gap = answer.cache_read_tokens - modelled[name].cache_read_tokens
        if abs(gap) > 0.01 * answer.prompt_tokens:
            (less if gap < 0 else more).append(abs(gap))
    return (
        f"{len(less)} calls read {sum(less):,} tokens less than the model, {len(more)} read "
        f"{sum(more):,} more"
    )


def print_bill(console: Console, found: Sequence[Measured]) -> None:
    """Print how far the bill of `none` is from the recorded one."""
    long = [one for one in found if one.calls >= LEAST_CALLS]
    if not long:
        console.print(f"no session of {LEAST_CALLS} calls")
        return
    for label, errors in (
        ("with cache facts", [abs(one.error_frac) for one in long]),
        ("without cache_lost", [abs(one.error_without_frac or 0.0) for one in long]),
    ):
        near = sum(error <= NEAR_FRAC for error in errors) / len(errors)
        console.print(
            f"bill under none, {label}: off by {median(errors):.2%} at the median of {len(long)} "
            f"sessions of {LEAST_CALLS} calls or more, within {NEAR_FRAC:.0%} for {near:.0%}"
        )
    for one in sorted(long, key=lambda one: -abs(one.error_frac)):
        if abs(one.error_frac) > CLOSE_FRAC:
            console.print(f"  {one.error_frac:+.1%}  {one.name}: {why(one.session)}")


def print_prompts(console: Console, found: Sequence[Measured]) -> None:
    """Print how well sizes of prompts are expected."""
    pooled: list[Prediction] = [one for row in found for one in row.session.predictions]
    for label, pairs in (
        ("calibrated", [(one.expected_tokens, one.tokens) for one in pooled]),
        ("uncalibrated o200k", [(one.uncalibrated_tokens, one.tokens) for one in pooled]),
    ):
        errors = sorted(abs(expected - tokens) / tokens for expected, tokens in pairs if tokens)
        if errors:
            console.print(
                f"prompt sizes one call ahead, {label}: off by {median(errors):.2%} (median), "
                f"{errors[int(0.95 * len(errors))]:.2%} (95th percentile) of {len(errors):,} prompts"
            )


def print_policies(console: Console, found: Sequence[Measured]) -> None:
    """Print what the policies come to over all sessions, each weighing what it cost."""
    table = Table("policy", "USD of none", "with misses", "recall", "quote recall", "misses")
    for label in [one.policy for one in max(found, key=lambda one: len(one.found)).found]:
        rows = [(row.found[0], one) for row in found for one in row.found if one.policy == label]
        none = sum((first.cost_usd or Decimal(0) for first, _ in rows), Decimal(0))
        cost = sum((one.cost_usd or Decimal(0) for _, one in rows), Decimal(0))
        total = sum((one.total_cost_usd or Decimal(0) for _, one in rows), Decimal(0))
        recalls = [one.recall for _, one in rows if one.recall is not None]
        tallies = [
            (sum(t.served for t in kind), sum(t.all for t in kind))
            for kind in ([r.references for r in recalls], [r.quotes for r in recalls])
        ]
        table.add_row(
            label,
            f"{cost / none:.3f}" if none else "-",
            f"{total / none:.3f}" if none else "-",
            *(f"{served / whole:.4f}" if whole else "-" for served, whole in tallies),
            f"{sum(len(one.misses) for one in recalls):,}",
        )
    console.print(table)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--policy", action="append", default=[])
    options = parser.parse_args()
    console = Console()
    policies = options.policy or POLICIES
    found = [
        one
        for name, session in sessions(options.folder)
        if (one := measured(name, session, policies)) is not None
    ]
    if not found:
        print("nothing to replay", file=sys.stderr)
        return 2
    calls = sum(one.calls for one in found)
    console.print(f"{len(found)} sessions, {calls:,} calls")
    print_bill(console, found)
    print_prompts(console, found)
    print_policies(console, found)
    timed = [(second, one.calls) for one in found for second in one.seconds]
    slowest = max(timed)
    each_ms = 1000 * sum(second for second, _ in timed) / sum(calls for _, calls in timed)
    console.print(
        f"a replay under one policy takes {each_ms:.1f} ms for each call; the slowest took "
        f"{slowest[0]:.1f} s for {slowest[1]} calls"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
