"""What each setting comes to over all sessions or workflows, and which one to take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import Final

from ctxbudget.config.policy_file import NONE
from ctxbudget.sweep.front import Places, beaters
from ctxbudget.sweep.grid import Setting
from ctxbudget.sweep.outcome import Outcome

Budgets = tuple[str, ...]

_NUMBER: Final = re.compile(r"[0-9](?:[0-9.,]*[0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting over all subjects. Shares are of `none` on the same subjects.

    Attributes:
        setting: the first of those that come to the same on every subject.
        budgets: theirs, as they are shown, in the order of the sweep; empty texts if none is set.
        cost_frac: of money where any is known, else of tokens sent.
        total_frac: with the misses charged.
        peak_tokens: the largest of any subject.
        over: subjects whose peak is above the budget.
        failed: subjects on which it could not run; only who ran on all can be on the front.
    """

    setting: Setting
    budgets: Budgets
    ran: int
    failed: int
    cost_usd: Decimal | None
    cost_frac: float | None
    total_frac: float | None
    peak_tokens: int
    recall: float | None
    quote_recall: float | None
    misses: int
    over: int
    is_on_front: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Why a policy could not run, and how many times: settings times subjects."""

    label: str
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class _Cell:
    """A row with the outcomes that it sums up."""

    row: Row
    outcomes: tuple[Outcome, ...]


def rows_of(
    settings: Sequence[Setting], found: Mapping[str, Sequence[Outcome]]
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows in the order of the settings, and why subjects without a `none` are left out.

    Settings that differ only in a budget, and come to the same, share a row.
    """
    place = next(at for at, one in enumerate(settings) if one.policy.name == NONE)
    apart = {path: str(all_[place].failure) for path, all_ in found.items() if all_[place].failure}
    kept = [outcomes for path, outcomes in found.items() if path not in apart]
    if not kept:
        return [], apart
    groups: dict[object, list[int]] = {}
    for at, setting in enumerate(settings):
        groups.setdefault((setting.spec, *(_bare(all_[at]) for all_ in kept)), []).append(at)
    cells = [
        _Cell(
            _row(
                [settings[at] for at in places], [(all_[places[0]], all_[place]) for all_ in kept]
            ),
            tuple(all_[places[0]] for all_ in kept),
        )
        for places in groups.values()
    ]
    able = [
        at for at, one in enumerate(cells) if not one.row.failed and not one.row.setting.is_bound
    ]
    front = {able[at] for at in _front([cells[at] for at in able])}
    return [replace(one.row, is_on_front=at in front) for at, one in enumerate(cells)], apart


def _bare(one: Outcome) -> tuple[Outcome, bool]:
    """Return what two outcomes have in common that differ only in a budget that changes nothing."""
    failure = "" if one.failure else None
    return replace(one, budget_tokens=0, failure=failure), one.peak_tokens > one.budget_tokens


def _front(cells: Sequence[_Cell]) -> set[int]:
    """Return the places of the cells that no other beats.

    One beats another if it is no worse and somewhere better, and has no higher peak. It may have a
    higher one where the other's lower one buys nothing: because that one is over its own budget all
    the same, or because this one keeps that budget too.
    """
    points = [_point(one.row) for one in cells]
    peaks = [one.row.peak_tokens for one in cells]
    by_all = beaters([(*point, peak) for point, peak in zip(points, peaks, strict=True)])
    but_for_peak = beaters(points)
    keeping: dict[tuple[int, ...], Places] = {}
    front: set[int] = set()
    for place, one in enumerate(cells):
        if by_all[place] or (one.row.over and but_for_peak[place]):
            continue
        budgets = tuple(own.budget_tokens for own in one.outcomes)
        if but_for_peak[place] and budgets not in keeping:
            keeping[budgets] = _keeping(cells, budgets)
        if not but_for_peak[place] & keeping.get(budgets, 0):
            front.add(place)
    return front


def _keeping(cells: Sequence[_Cell], budgets: tuple[int, ...]) -> Places:
    """Return the cells that keep a budget of each subject, whatever their own are."""
    return sum(
        1 << place
        for place, cell in enumerate(cells)
        if all(one.peak_tokens <= most for one, most in zip(cell.outcomes, budgets, strict=True))
    )


def _point(row: Row) -> tuple[float, ...]:
    """Return what the front compares besides the peak; less is better."""
    lacks = (1 - (1.0 if one is None else one) for one in (row.recall, row.quote_recall))
    return (row.total_frac or 0.0, *lacks)


def _row(settings: Sequence[Setting], pairs: Sequence[tuple[Outcome, Outcome]]) -> Row:
    ran = [(one, none) for one, none in pairs if one.failure is None]
    priced = [(a, b) for a, b in ran if a.cost_usd is not None and b.cost_usd is not None]
    recalls = [one.recall for one, _ in ran if one.recall is not None]
    quotes = [one.quote_recall for one, _ in ran if one.quote_recall is not None]
    cost = sum((one.cost_usd or Decimal(0) for one, _ in priced), Decimal(0))
    total = sum((one.total_usd or Decimal(0) for one, _ in priced), Decimal(0))
    base = sum((none.cost_usd or Decimal(0) for _, none in priced), Decimal(0))
    if not base:
        cost = total = Decimal(sum(one.sent_tokens for one, _ in ran))
        base = Decimal(sum(none.sent_tokens for _, none in ran))
    return Row(
        setting=settings[0],
        budgets=tuple(one.budget_text for one in settings),
        ran=len(ran),
        failed=len(pairs) - len(ran),
        cost_usd=cost if priced else None,
        cost_frac=float(cost / base) if base else None,
        total_frac=float(total / base) if base else None,
        peak_tokens=max((one.peak_tokens for one, _ in ran), default=0),
        recall=fmean(recalls) if recalls else None,
        quote_recall=fmean(quotes) if quotes else None,
        misses=sum(one.misses for one, _ in ran),
        over=sum(one.peak_tokens > one.budget_tokens for one, _ in ran),
    )


def failures_of(
    settings: Sequence[Setting], found: Mapping[str, Sequence[Outcome]]
) -> list[Failures]:
    """Return why policies could not run, by policy, the most frequent reason first.

    Reasons that differ only in numbers are one; it is told in the words of the first.
    """
    groups: dict[tuple[str, str], Failures] = {}
    for outcomes in found.values():
        for setting, one in zip(settings, outcomes, strict=True):
            if one.failure is None:
                continue
            label = setting.policy.label
            key = (label, _NUMBER.sub("#", one.failure))
            known = groups.get(key) or Failures(label=label, reason=one.failure, times=0)
            groups[key] = replace(known, times=known.times + 1)
    return sorted(groups.values(), key=lambda one: (one.label, -one.times))


def recommended(rows: Sequence[Row], *, least_recall: float, least_quotes: float) -> Row | None:
    """Return the setting of the lowest total among those that keep budget and floors everywhere.

    Of equals the one with the smaller peak, then the first. Where all that keep the floors have
    peaks above their budgets, one with the fewest of them. None if nothing keeps the floors.
    """
    able = [row for row in _able(rows) if not _shortfall(row, least_recall, least_quotes)]
    return min(able, key=lambda row: (row.over, row.total_frac, row.peak_tokens), default=None)


def best_within_budget(
    rows: Sequence[Row], *, least_recall: float, least_quotes: float
) -> Row | None:
    """Return the setting that falls short of the floors by least, of those that keep their budget.

    What counts is the larger of what it lacks to the two floors; of equals the lowest total, then
    the smaller peak, then the first. It is what `recommended` returns with the floors lowered to
    its recalls. None if every setting has a peak above its budget.
    """
    return min(
        (row for row in _able(rows) if not row.over),
        key=lambda row: (
            _shortfall(row, least_recall, least_quotes),
            row.total_frac,
            row.peak_tokens,
        ),
        default=None,
    )


def _able(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that could be taken at all: no bounds, and they ran everywhere."""
    return [
        row
        for row in rows
        if not row.setting.is_bound and not row.failed and row.total_frac is not None
    ]


def _shortfall(row: Row, least_recall: float, least_quotes: float) -> float:
    """Return how much a row lacks to the floors; 0 if it keeps them, or recalls are not known."""
    pairs = ((row.recall, least_recall), (row.quote_recall, least_quotes))
    return max((0.0, *(least - found for found, least in pairs if found is not None)))
