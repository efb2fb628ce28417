"""Measures what each part of `adaptive` is worth: without it, or otherwise, on recorded sessions.

    python benchmarks/ablations.py DIR

DIR holds recorded sessions. Taken are those of the repositories that the shipped limits were fitted
on, since design was chosen there, too: the differences count, not the levels. Costs are of input, in
shares of `none` on the same session; a session weighs as much as any other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from policy_report import ADAPTIVE
from policy_runs import Asked, Outcome, Workers, replayed
from policy_split import repository_of
from rich.console import Console
from rich.table import Table

from ctxbudget.config.document import read_document
from ctxbudget.config.lookup import find
from ctxbudget.recorded.files import found_files
from policies import SHIPPED_FITTED_ON, found_sessions

AT_ONCE = {"patience": 0.01, "least_gain": 1}
"""Cuts as soon as anything may go."""


def variants() -> Iterator[Asked]:
    """Yield the shipped policy and what it might be instead."""
    yield Asked(label="as shipped", policy=ADAPTIVE)
    yield _asked("nothing is deduped", rent={"dedupe": False})
    yield _asked("a digest instead of names", every={"do": "digest"}, kinds=_NAMED)
    yield _asked("a placeholder instead of names", every={"do": "clear"}, kinds=_NAMED)
    yield _asked("thinking stays", leaves_out=("thinking",))
    yield _asked("long messages of users stay", leaves_out=("user",))
    yield _asked("what is said stays", leaves_out=("assistant",))
    yield _asked("tool calls stay", leaves_out=("tool_call",))
    for calls in (8, 14, 20):
        yield _asked(
            f"one limit for all: {calls} calls", every={"idle_calls": calls}, kinds=_LIMITED
        )
    for tokens in (60, 150, 300):
        yield _asked(f"items from {tokens} tokens on", every={"min_tokens": tokens}, kinds=_SIZED)
    yield _asked("cut at once, no patience", rent=AT_ONCE)
    for patience in (1.0, 1.5, 2.0, 3.0):
        yield _asked(f"patience {patience}", rent={"patience": patience})
    for times in (0.5, 0.7, 1.4, 2.0):
        yield _asked(f"limits times {times}", rent={"times": times})
    yield _asked("no rewrite costs anything (bound)", rent=AT_ONCE, rewrites_are_free=True)
    yield Asked(label="clairvoyant (bound)", policy="clairvoyant")


_NAMED = _SIZED = ("assistant", "tool_call", "tool_result")
_LIMITED = ("user", *_NAMED)


def _asked(
    label: str,
    *,
    rent: dict[str, Any] | None = None,
    every: dict[str, Any] | None = None,
    kinds: tuple[str, ...] = (),
    leaves_out: tuple[str, ...] = (),
    rewrites_are_free: bool = False,
) -> Asked:
    policy = json.loads(json.dumps(read_document(find("policies", ADAPTIVE)).content))
    policy["name"] = "variant"
    policy["rent"] = {**policy["rent"], **(rent or {})}
    policy["rent"]["stays"] = [
        {**row, **(every or {} if row["kind"] in kinds else {})}
        for row in policy["rent"]["stays"]
        if row["kind"] not in leaves_out
    ]
    return Asked(label=label, policy=policy, rewrites_are_free=rewrites_are_free)


def row(outcomes: list[Outcome]) -> tuple[str, ...]:
    """Return a variant's means as a table shows them."""
    recalls = [one.recall for one in outcomes if one.recall is not None]
    quotes = [one.quote_recall for one in outcomes if one.quote_recall is not None]
    return (
        f"{fmean(one.cost_frac for one in outcomes):.3f}",
        f"{fmean(recalls):.4f}",
        f"{fmean(quotes):.4f}",
        f"{fmean(one.total_frac for one in outcomes):.3f}",
        f"{sum(one.misses for one in outcomes):,}",
        f"{sum(one.rewrites for one in outcomes):,}",
    )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR")
    options = parser.parse_args()
    console = Console(width=100)
    paths = list(found_files([options.folder]))
    asked = list(variants())
    with Workers(paths) as workers:
        found = found_sessions(workers, paths)
        taken = [
            one.path
            for one in found.all
            if one.has_root and repository_of(one.path) in SHIPPED_FITTED_ON
        ]
        if not taken:
            print("no session of a repository that the limits were fitted on", file=sys.stderr)
            return 2
        jobs = {path: {"asked": asked} for path in taken}
        replays = [found for _, found in workers.each(replayed, jobs, "replaying")]
    table = Table(title=f"{ADAPTIVE} and variants on {len(taken)} sessions")
    for column in ("variant", "cost", "recall", "quotes", "total", "misses", "rewrites"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for number, one in enumerate(asked):
        table.add_row(one.label, *row([outcomes[number] for outcomes in replays]))
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
