"""What replays under several policies come to, over groups of sessions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Final

from policy_runs import Outcome
from rich import box
from rich.table import Table

from ctxbudget.sweep.front import unbeaten

LONG_CALLS: Final = 60
"""Sessions of so many calls should never cost more than under `none`."""

ADAPTIVE: Final = "adaptive"
"""Begins the labels of variants of one policy, which do not compete with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A policy over a group of sessions, each session weighing the same.

    Costs are shares of `none` on the same session without a limit. `p90` and `p10` are the values
    that a tenth of the sessions is worse than.

    Attributes:
        lowest_sessions: on how many its total is the lowest of all policies that are no bounds,
            other variants of itself left out; ties count for each.
        below_none_frac: share of the long sessions whose total is below that of `none`.
        worst_total_frac: of the long sessions.
        peak_frac: the largest prompt of any session, as a share of what it was allowed to be.
        asked: sessions on which it was to run; only who ran on all can be on the front.
        is_on_front: whether no other is better in both mean cost and mean quote recall.
    """

    label: str
    is_bound: bool
    sessions: int
    asked: int
    cost_frac: float
    cost_p90_frac: float
    recall: float | None
    recall_p10: float | None
    quote_recall: float | None
    quote_recall_p10: float | None
    total_frac: float
    misses: int
    rewrites: int
    lowest_sessions: int
    below_none_frac: float | None
    worst_total_frac: float | None
    peak_frac: float
    is_on_front: bool

    @property
    def name(self) -> str:
        """The label, with what must be known to compare it."""
        if self.is_bound:
            return f"{self.label} (bound)"
        if self.sessions < self.asked:
            return f"{self.label} (on {self.sessions} of {self.asked})"
        return self.label


def summaries(outcomes: Iterable[Outcome], calls: Mapping[str, int]) -> list[Summary]:
    """Return a summary of each policy, the lowest total first, bounds last.

    `calls` holds the sessions of the group. A policy that was not asked about all of them is left
    out, since it would be compared on others.
    """
    by_label: defaultdict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if one.path in calls:
            by_label[one.label].append(one)
    whole = {label: found for label, found in by_label.items() if len(found) == len(calls)}
    ran = {label: [one for one in found if not one.failure] for label, found in whole.items()}
    front = _front({label: found for label, found in ran.items() if len(found) == len(calls)})
    rows = [
        _summary(found, whole, calls, is_on_front=label in front)
        for label, found in whole.items()
        if ran[label]
    ]
    return sorted(rows, key=lambda row: (row.is_bound, row.total_frac, row.label))


def _summary(
    found: Sequence[Outcome],
    rivals: Mapping[str, Sequence[Outcome]],
    calls: Mapping[str, int],
    *,
    is_on_front: bool,
) -> Summary:
    ran = [one for one in found if not one.failure]
    long = [one.total_frac for one in ran if calls[one.path] >= LONG_CALLS]
    recalls = [one.recall for one in ran if one.recall is not None]
    quoted = [one.quote_recall for one in ran if one.quote_recall is not None]
    return Summary(
        label=found[0].label,
        is_bound=found[0].is_bound,
        sessions=len(ran),
        asked=len(found),
        cost_frac=fmean(one.cost_frac for one in ran),
        cost_p90_frac=decile([one.cost_frac for one in ran], 9),
        recall=fmean(recalls) if recalls else None,
        recall_p10=decile(recalls, 1) if recalls else None,
        quote_recall=fmean(quoted) if quoted else None,
        quote_recall_p10=decile(quoted, 1) if quoted else None,
        total_frac=fmean(one.total_frac for one in ran),
        misses=sum(one.misses for one in ran),
        rewrites=sum(one.rewrites for one in ran),
        lowest_sessions=_lowest(found[0].label, ran, rivals),
        below_none_frac=fmean(one < 1 for one in long) if long else None,
        worst_total_frac=max(long) if long else None,
        peak_frac=max(one.peak_tokens / one.limit_tokens for one in ran),
        is_on_front=is_on_front,
    )


def _lowest(label: str, ran: Sequence[Outcome], rivals: Mapping[str, Sequence[Outcome]]) -> int:
    """Return on how many sessions no rival's total is lower."""
    is_variant = label.startswith(ADAPTIVE)
    totals: defaultdict[str, list[float]] = defaultdict(list)
    for name, found in rivals.items():
        if name == label or (is_variant and name.startswith(ADAPTIVE)):
            continue
        for one in found:
            if not one.is_bound and not one.failure:
                totals[one.path].append(one.total_frac)
    return sum(all(one.total_frac <= other for other in totals[one.path]) for one in ran)


def _front(ran: Mapping[str, Sequence[Outcome]]) -> set[str]:
    """Return the policies that no other, bounds left out, beats in mean cost or quote recall."""
    points = {
        label: (
            fmean(one.cost_frac for one in found),
            -fmean(one.quote_recall for one in found if one.quote_recall is not None),
        )
        for label, found in ran.items()
        if not found[0].is_bound and any(one.quote_recall is not None for one in found)
    }
    labels = list(points)
    return {labels[place] for place in unbeaten(list(points.values()))}


def decile(values: Sequence[float], number: int) -> float:
    """Return a decile, between values where it falls between them; of one value, that one."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=10, method="inclusive")[number - 1]


# ---- tables


def table(title: str, rows: Sequence[Summary], *, is_tight: bool = False) -> Table:
    """Return the summaries as a table of at most 110 columns, with the peaks if it is tight."""
    found = Table(box=box.SIMPLE_HEAD, padding=0, title=title, title_justify="left")
    found.add_column("policy (* front)", no_wrap=True)
    for name in (
        *("cost", "p90", "recall", "p10", "quotes", "p10", "total", "misses", "rewr.", "lowest"),
        *(("peak",) if is_tight else ("<none", "worst")),
    ):
        found.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        found.add_row(
            f"{row.name} *" if row.is_on_front else row.name,
            *(f"{one:.3f}" for one in (row.cost_frac, row.cost_p90_frac)),
            *_shares(row.recall, row.recall_p10),
            *_shares(row.quote_recall, row.quote_recall_p10),
            f"{row.total_frac:.3f}",
            str(row.misses),
            str(row.rewrites),
            "-" if row.is_bound else str(row.lowest_sessions),
            *([f"{row.peak_frac:.2f}"] if is_tight else _on_long(row)),
        )
    return found


def _shares(mean: float | None, worst: float | None) -> Iterator[str]:
    yield "-" if mean is None else f"{mean:.4f}"
    yield "-" if worst is None else f"{worst:.3f}"


def _on_long(row: Summary) -> Iterator[str]:
    yield "-" if row.below_none_frac is None else f"{row.below_none_frac:.0%}"
    yield "-" if row.worst_total_frac is None else f"{row.worst_total_frac:.2f}"


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Return which policies could not run on how many sessions, and why."""
    found = Counter((one.label, one.failure) for one in outcomes if one.failure)
    return [f"{label}: {number} sessions, {why}" for (label, why), number in sorted(found.items())]
