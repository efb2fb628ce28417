"""Measures the shipped policies on recorded sessions, the fitted one on sessions it never saw.

    python benchmarks/policies.py DIR [--picture FILE] [--json FILE]
    python benchmarks/policies.py DIR --fit-on A      print only the table fitted on one half

DIR holds recorded sessions; those of at least 40 calls whose price and texts are known are taken.
They are split by repository into two halves. The limits in the `rent` of `adaptive` are fitted on
each half and measured on the other, so that no session is measured with limits that its repository
was part of. The limits that are shipped were fitted on half A of a collection of ours; they are
measured on sessions of other repositories only. What else its file says (the rows, the patience)
was chosen with sessions of both halves in view, and is no part of the fit.

Costs are of input, in shares of `none` on the same session; a session weighs as much as any other.
A policy whose limits make no sense in a session's window is reported on the sessions that are left.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final, get_args

from policy_picture import draw
from policy_report import ADAPTIVE, Summary, failures, summaries, table
from policy_runs import Asked, Described, Outcome, Workers, described, replayed, used
from policy_split import OTHER, Half, halves, kind_of, repository_of
from rent_fit import as_yaml, fitted_limits, least_price, with_limits
from rich.console import Console

from ctxbudget.config.document import read_document
from ctxbudget.config.lookup import find, names
from ctxbudget.config.policy_file import load_policy
from ctxbudget.recorded.files import found_files

LEAST_CALLS: Final = 40

LEFT_OUT: Final = {
    "adaptive": "measured as it is shipped and as it is fitted here",
    "aggressive": "acts when agents, waves and phases end; recordings have none",
    "minimal": "acts when the run ends",
    "moderate": "acts when a phase starts; recordings have one",
    "unbounded": "as none, where the window is as large as the recorded prompts",
}
"""Shipped policies that are not measured as they are, and why."""

VARIANTS: Final = ("masking:keep=20,step=20",)
"""Measured beside the shipped ones: masking in steps leaves the cache alone in between."""

FITTED, SHIPPED = f"{ADAPTIVE}, cross-fitted", f"{ADAPTIVE}, shipped"

ALL: Final = "all sessions"

SHIPPED_FITTED_ON: Final = (
    *("astropy", "django", "entireio-cli", "entireio-entire-graph", "entireio-skills"),
    *("irrlicht", "pi", "pytest"),
)
"""The repositories whose sessions the limits in `policies/adaptive.yaml` were fitted on."""

LOW_PRICE, HIGH_PRICE = 0.25, 16.0
"""The price of a share of the quotes is looked for between these, in shares of the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """The sessions that are measured, and the half of each repository."""

    all: Sequence[Described]
    half_of: Mapping[str, Half]

    def half(self, one: Described) -> Half:
        """Return the half of a session."""
        return self.half_of[repository_of(one.path)]

    def of(self, half: Half) -> list[Described]:
        """Return the sessions of a half whose beginning is recorded."""
        return [one for one in self.all if one.has_root and self.half(one) == half]


@dataclass(frozen=True, slots=True)
class Target:
    """What a fitted policy is to reach in the mean of the sessions it is fitted on."""

    recall: float
    quote_recall: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A policy fitted on a half, and what it reached there; the price is None if none was enough."""

    half: Half
    price: float | None
    policy: Mapping[str, Any]
    cost_frac: float
    recall: float
    quote_recall: float


# ---- the sessions


def found_sessions(workers: Workers, paths: Sequence[str]) -> Sessions:
    """Return the sessions that can be measured, split by repository."""
    jobs: dict[str, dict[str, Any]] = {path: {} for path in paths}
    found = [one for _, one in workers.each(described, jobs, "reading") if one is not None]
    kept = [one for one in found if one.calls >= LEAST_CALLS and one.has_all]
    split = halves((kind_of(one.source), repository_of(one.path)) for one in kept)
    return Sessions(all=kept, half_of=split)


def print_split(console: Console, sessions: Sessions) -> None:
    """Print which repository is in which half."""
    calls = sum(one.calls for one in sessions.all)
    rootless = sum(not one.has_root for one in sessions.all)
    console.print(
        f"{len(sessions.all)} sessions of at least {LEAST_CALLS} calls, {calls:,} calls; "
        f"{rootless} of them begin in the middle: reported apart, and not fitted on"
    )
    numbers = Counter(repository_of(one.path) for one in sessions.all)
    for half in get_args(Half):
        listed = sorted(name for name, of in sessions.half_of.items() if of == half)
        shown = ", ".join(f"{name} ({numbers[name]})" for name in listed)
        console.print(f"half {half}, {sum(numbers[name] for name in listed)} sessions: {shown}")


# ---- the fit


def fitted(workers: Workers, sessions: Sessions, half: Half, target: Target) -> Fit:
    """Return the shipped policy with the limits that the sessions of a half ask for.

    Of the prices of a lost quote the lowest is taken whose limits, replayed, reach the target.
    """
    paths = [one.path for one in sessions.of(half)]
    shipped = read_document(find("policies", ADAPTIVE)).content
    jobs = {path: {"policy": shipped} for path in paths}
    curves = [rows for _, rows in workers.each(used, jobs, f"half {half}: uses")]
    tried: dict[tuple[int, ...], Fit] = {}
    chosen: dict[float, Fit] = {}

    def is_good(price: float) -> bool:
        limits = tuple(fitted_limits(curves, price))
        if limits not in tried:
            policy = with_limits(shipped, limits, "fitted")
            tried[limits] = _trial(workers, paths, half, policy, price)
        chosen[price] = fit = replace(tried[limits], price=price)
        return fit.recall >= target.recall and fit.quote_recall >= target.quote_recall

    price = least_price(is_good, low=LOW_PRICE, high=HIGH_PRICE, rounds=target.rounds)
    return replace(chosen[HIGH_PRICE], price=None) if price is None else chosen[price]


def _trial(
    workers: Workers, paths: Sequence[str], half: Half, policy: Mapping[str, Any], price: float
) -> Fit:
    asked = {path: {"asked": [Asked(label=FITTED, policy=policy)]} for path in paths}
    what = f"half {half}: price {price:.2f}"
    found = [one for _, outcomes in workers.each(replayed, asked, what) for one in outcomes]
    assert not any(one.failure for one in found)
    return Fit(
        half=half,
        price=price,
        policy=policy,
        cost_frac=fmean(one.cost_frac for one in found),
        recall=fmean(one.recall for one in found if one.recall is not None),
        quote_recall=fmean(one.quote_recall for one in found if one.quote_recall is not None),
    )


def print_fit(console: Console, fit: Fit, sessions: Sessions) -> None:
    """Print a fitted table as lines of a policy file."""
    reached = f"cost {fit.cost_frac:.3f}, recall {fit.recall:.4f}, quotes {fit.quote_recall:.4f}"
    how = "no price was enough" if fit.price is None else f"price {fit.price:.2f}"
    number = len(sessions.of(fit.half))
    console.print(f"fitted on the {number} sessions of half {fit.half} ({how}), there {reached}:")
    console.print(as_yaml(fit.policy), highlight=False, markup=False, soft_wrap=True)


# ---- the replays


def measured_names() -> list[str]:
    """Return the policies to measure beside `adaptive`."""
    return [*(name for name in names("policies") if name not in LEFT_OUT), *VARIANTS]


def asked_of(
    one: Described, fits: Mapping[Half, Fit], sessions: Sessions, fitted_on: Iterable[str]
) -> Iterator[Asked]:
    """Yield the policies that a session is measured under."""
    other: Half = "B" if sessions.half(one) == "A" else "A"
    yield Asked(label=FITTED, policy=fits[other].policy, is_checked=True)
    if repository_of(one.path) not in fitted_on:
        yield Asked(label=SHIPPED, policy=ADAPTIVE, is_checked=True)
    for name in measured_names():
        yield Asked(label=name, policy=name)


def measured(
    workers: Workers, asked: Mapping[str, Sequence[Asked]], room_tokens: int | None = None
) -> list[Outcome]:
    """Return what becomes of sessions under the policies; for bounds, only without a limit."""
    jobs = {
        path: {
            "asked": [
                replace(one, room_tokens=room_tokens)
                for one in policies
                if room_tokens is None or load_policy(one.policy).bound is None
            ]
        }
        for path, policies in asked.items()
    }
    what = "replaying" if room_tokens is None else f"replaying, {room_tokens:,} tokens of room"
    return [one for _, found in workers.each(replayed, jobs, what) for one in found]


def groups(
    sessions: Sessions, fitted_on: Iterable[str]
) -> Iterator[tuple[str, Sequence[Described]]]:
    """Yield the groups of sessions that are reported, each with its title."""
    rooted = [one for one in sessions.all if one.has_root]
    yield ALL, rooted
    yield "half A, fitted on half B", sessions.of("A")
    yield "half B, fitted on half A", sessions.of("B")
    unseen = [one for one in rooted if repository_of(one.path) not in fitted_on]
    yield "sessions of repositories that the shipped limits were not fitted on", unseen
    for kind in sorted(
        {kind_of(one.source) for one in rooted}, key=lambda kind: (kind == OTHER, kind)
    ):
        yield kind, [one for one in rooted if kind_of(one.source) == kind]
    yield "sessions that begin in the middle", [one for one in sessions.all if not one.has_root]


def print_groups(
    console: Console, outcomes: Sequence[Outcome], found: Iterable[tuple[str, Sequence[Described]]]
) -> dict[str, list[Summary]]:
    """Print a table for each group; return its rows."""
    shown: dict[str, list[Summary]] = {}
    seen: dict[frozenset[str], str] = {}
    for title, sessions in found:
        calls = {one.path: one.calls for one in sessions}
        paths = frozenset(calls)
        if not paths:
            continue
        if paths in seen:
            console.print(f"\n{title}: the same as {seen[paths]}")
            continue
        seen[paths] = title
        rows = shown[title] = summaries(outcomes, calls)
        console.print(table(f"{title}: {len(paths)}, {sum(calls.values()):,} calls", rows))
    return shown


def print_tight(
    console: Console, outcomes: Sequence[Outcome], sessions: Sessions, room_tokens: int
) -> list[Summary]:
    """Print how the policies do in a small window; return the rows of the table."""
    calls = {one.path: one.calls for one in sessions.all if one.has_root}
    rows = summaries(outcomes, calls)
    title = f"window: what is fixed in the first prompt, and {room_tokens:,} tokens"
    console.print(table(title, rows, is_tight=True))
    for line in failures(one for one in outcomes if one.path in calls):
        console.print(f"could not run: {line}")
    return rows


def print_validity(console: Console, outcomes: Iterable[Outcome]) -> None:
    """Print how many prompts were checked, and what was wrong with them."""
    listed = list(outcomes)
    problems = Counter(problem for one in listed for problem in one.problems)
    console.print(
        f"\n{sum(one.checked_prompts for one in listed):,} prompts of {ADAPTIVE} checked, "
        f"{problems.total():,} problems"
    )
    for problem, number in sorted(problems.items()):
        console.print(f"  {number:,}: {problem}")


# ---- the command


def as_json(
    sessions: Sessions,
    fits: Mapping[Half, Fit],
    outcomes: Iterable[Outcome],
    shown: Mapping[str, Sequence[Summary]],
) -> dict[str, Any]:
    """Return all numbers as JSON values; sessions are named by file."""
    return {
        "sessions": [
            {**asdict(one), "path": Path(one.path).name, "half": sessions.half(one)}
            for one in sessions.all
        ],
        "halves": dict(sessions.half_of),
        "fits": {half: asdict(fit) for half, fit in fits.items()},
        "outcomes": [{**asdict(one), "path": Path(one.path).name} for one in outcomes],
        "summaries": {title: [asdict(row) for row in rows] for title, rows in shown.items()},
        "left_out": LEFT_OUT,
    }


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--fit-on", choices=get_args(Half), help="print only this half's table")
    parser.add_argument("--limits", default="40000,100000", help="room in small windows, in tokens")
    parser.add_argument("--recall", type=float, default=0.992, help="to be reached by a fit")
    parser.add_argument("--quote-recall", type=float, default=0.977, help="likewise")
    parser.add_argument("--rounds", type=int, default=6, help="replays to find a price")
    parser.add_argument("--shipped-fitted-on", default=",".join(SHIPPED_FITTED_ON))
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--picture", metavar="FILE", type=Path)
    return parser.parse_args(arguments)


def report(
    console: Console,
    workers: Workers,
    sessions: Sessions,
    fits: Mapping[Half, Fit],
    options: argparse.Namespace,
) -> None:
    """Replay, print and write all that was asked for."""
    fitted_on = options.shipped_fitted_on.split(",")
    asked = {one.path: list(asked_of(one, fits, sessions, fitted_on)) for one in sessions.all}
    outcomes = measured(workers, asked)
    shown = print_groups(console, outcomes, groups(sessions, fitted_on))
    for line in failures(outcomes):
        console.print(f"could not run: {line}")
    for name, why in LEFT_OUT.items():
        console.print(f"left out: {name}: {why}")
    for room_tokens in map(int, filter(None, options.limits.split(","))):
        tight = measured(workers, asked, room_tokens)
        shown[f"{room_tokens} tokens"] = print_tight(console, tight, sessions, room_tokens)
        outcomes += tight
    print_validity(console, outcomes)
    for path in filter(None, (options.json, options.picture)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if options.json is not None:
        content = as_json(sessions, fits, outcomes, shown)
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if options.picture is not None:
        draw(shown[ALL], options.picture)


def main() -> int:
    """Measure and print; return the exit code."""
    options = options_of()
    console = Console(width=110)
    if not Path(options.folder).is_dir():
        print(f"{options.folder}: there is no such folder; name one of sessions", file=sys.stderr)
        return 2
    paths = list(found_files([options.folder]))
    with Workers(paths) as workers:
        sessions = found_sessions(workers, paths)
        wanted = (options.fit_on,) if options.fit_on else get_args(Half)
        if not all(sessions.of(half) for half in wanted):
            print("too few sessions: each half needs one to be fitted on", file=sys.stderr)
            return 2
        print_split(console, sessions)
        target = Target(options.recall, options.quote_recall, options.rounds)
        fits = {half: fitted(workers, sessions, half, target) for half in wanted}
        for fit in fits.values():
            print_fit(console, fit, sessions)
        if not options.fit_on:
            report(console, workers, sessions, fits, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
