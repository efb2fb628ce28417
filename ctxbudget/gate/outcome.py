"""What became of a run, whatever told of it: the numbers that gates and comparisons look at.

Nothing is worked out here that metrics, recall or a replay have: this only says where in the run a
number came about, and puts the numbers of workflows, journals and sessions side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ctxbudget.core.types import MAIN, Scale
from ctxbudget.gate.places import Places
from ctxbudget.metrics import Metrics, PhaseRow
from ctxbudget.recall.losses import Miss
from ctxbudget.replay import WhatIf

Number: TypeAlias = int | float | Decimal


class Source(StrEnum):
    """What told of a run."""

    WORKFLOW = "workflow"
    """A workflow file, simulated."""
    JOURNAL = "journal"
    """A journal of ours, as it ran."""
    REPLAY = "replay"
    """A recorded session, or a journal, under a policy that need not be its own."""


class Unit(StrEnum):
    """What a number counts."""

    TOKENS = "tokens"
    USD = "USD"
    TIMES = "times"
    SHARE = "share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Of a run or of one of its phases; None where it is not known, or not kept by phase.

    Of many runs these are the least that 95 of 100 do not exceed, and the shares of all runs in
    which a level was reached.
    """

    peak_tokens: int | None
    sent_tokens: int | None
    calls: int | None = None
    pruned_tokens: int | None = None
    rewrites: int | None = None
    """Calls at which a warm cache had to be written again behind a change."""
    cost_usd: Decimal | None
    """Of input and summaries."""
    total_cost_usd: Decimal | None = None
    """With the misses charged."""
    recall: float | None = None
    quote_recall: float | None = None
    misses: int | None = None
    warn_frac: float | None = None
    critical_frac: float | None = None
    overflow_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One of the numbers, with the names that people and options use."""

    key: str
    title: str
    unit: Unit
    of: Callable[[Numbers], Number | None]


MEASURES: Final = (
    Measure(key="peak", title="peak", unit=Unit.TOKENS, of=lambda one: one.peak_tokens),
    Measure(key="sent", title="sent", unit=Unit.TOKENS, of=lambda one: one.sent_tokens),
    Measure(key="cost", title="cost", unit=Unit.USD, of=lambda one: one.cost_usd),
    Measure(
        key="total", title="cost with misses", unit=Unit.USD, of=lambda one: one.total_cost_usd
    ),
    Measure(key="pruned", title="pruned", unit=Unit.TOKENS, of=lambda one: one.pruned_tokens),
    Measure(key="rewrites", title="rewrites", unit=Unit.TIMES, of=lambda one: one.rewrites),
    Measure(key="calls", title="calls", unit=Unit.TIMES, of=lambda one: one.calls),
    Measure(key="recall", title="recall", unit=Unit.SHARE, of=lambda one: one.recall),
    Measure(
        key="quote_recall", title="quote recall", unit=Unit.SHARE, of=lambda one: one.quote_recall
    ),
    Measure(key="misses", title="misses", unit=Unit.TIMES, of=lambda one: one.misses),
)
"""In the order of reports."""

PROBABILITIES: Final = (
    Measure(
        key="warn_probability",
        title="probability of warn",
        unit=Unit.SHARE,
        of=lambda one: one.warn_frac,
    ),
    Measure(
        key="critical_probability",
        title="probability of critical",
        unit=Unit.SHARE,
        of=lambda one: one.critical_frac,
    ),
    Measure(
        key="overflow_probability",
        title="probability of overflow",
        unit=Unit.SHARE,
        of=lambda one: one.overflow_frac,
    ),
)
"""That only many runs can tell."""

BY_KEY: Final[Mapping[str, Measure]] = {one.key: one for one in (*MEASURES, *PROBABILITIES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The runs that an outcome is estimated from."""

    runs: int
    seed: int
    is_uncertain: bool
    """Whether chance had a say; else all runs are alike."""
    error_frac: float
    """By how much a probability may be off, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run's numbers, where they came about, and which of them its source cannot tell.

    Attributes:
        file: as the user named it.
        run, phases: the numbers; a run of a single phase has no others.
        where: for a measure's key, where in the run its number came about, in words.
        not_told: for a measure's key, why there is no number, and what to do.
        held_tokens: the most that the main thread held; of a replay, `run` has the largest prompt.
        is_expected: it is the expected course of a workflow that leaves something to chance.
        assumed_forms: shorter forms of a replay whose size is assumed.
        breaks_off: where a journal stands that ends before its run does, in words; None if it
            does not.
        draws: the runs that it is estimated from; None of a single one.
    """

    file: str
    source: Source
    policy: str
    scale: Scale
    run: Numbers
    phases: Mapping[str, Numbers]
    where: Mapping[str, str]
    not_told: Mapping[str, str]
    held_tokens: int | None = None
    is_expected: bool = False
    assumed_forms: int = 0
    breaks_off: str | None = None
    draws: Draws | None = None

    @property
    def with_held_peak(self) -> Outcome:
        """The same with the peak that a run on paper, or as it ran, has."""
        return replace(self, run=replace(self.run, peak_tokens=self.held_tokens))


# ---- from a simulation or a journal


def outcome_of_run(
    file: str,
    source: Source,
    policy: str,
    metrics: Metrics,
    places: Places,
    *,
    is_expected: bool = False,
) -> Outcome:
    """Return what became of a workflow on paper, or of a run as its journal tells it.

    `is_expected` says of a workflow that something in it is left to chance.
    """
    run = metrics.run
    return Outcome(
        file=file,
        source=source,
        policy=policy,
        scale=_scale(metrics),
        run=Numbers(
            peak_tokens=run.peak_tokens,
            sent_tokens=run.sent_tokens,
            calls=run.calls,
            pruned_tokens=run.pruned_tokens,
            rewrites=len(places.rewrites),
            cost_usd=run.cost_usd,
        ),
        phases=_phases(metrics, places),
        where=_where(metrics, places, _peak_place(metrics, places)),
        not_told={**NO_TEXTS[source], **_not_priced(metrics, NAME_A_MODEL)},
        held_tokens=run.peak_tokens,
        is_expected=is_expected,
        breaks_off=places.breaks_off,
    )


_NO_MISSES: Final = ("recall", "quote_recall", "total", "misses")

NO_TEXTS: Final[Mapping[Source, Mapping[str, str]]] = {
    Source.WORKFLOW: dict.fromkeys(
        _NO_MISSES,
        "a workflow has no texts, so what a policy loses of them cannot be told; check a recorded "
        "session",
    ),
    Source.JOURNAL: dict.fromkeys(
        _NO_MISSES,
        "a journal as it ran tells only what its model still had; replay it with --policy",
    ),
    Source.REPLAY: {},
}
"""For a measure's key, why there is no number of what a policy loses."""


def _scale(metrics: Metrics) -> Scale:
    run = metrics.run
    return Scale(
        window_tokens=run.window_tokens,
        reserve_tokens=run.reserve_tokens,
        budget_tokens=run.budget_tokens,
    )


def _phases(metrics: Metrics, places: Places) -> dict[str, Numbers]:
    """Return the numbers of each phase; none where the run is a single one."""
    if not places.is_phased:
        return {}
    rewrites = Counter(one.phase for one in places.rewrites)
    return {row.id: _of_phase(row, rewrites[row.id]) for row in metrics.phases}


def _of_phase(row: PhaseRow, rewrites: int) -> Numbers:
    return Numbers(
        peak_tokens=row.peak_tokens,
        sent_tokens=row.sent_tokens,
        calls=row.calls,
        pruned_tokens=row.pruned_tokens,
        rewrites=rewrites,
        cost_usd=row.cost_usd,
    )


NAME_A_MODEL: Final = "use --model to name one that is"
NAME_A_PRICE: Final = "use --price, or --model to name one that is"


def _not_priced(metrics: Metrics, step: str) -> dict[str, str]:
    if metrics.run.cost_usd is not None:
        return {}
    names = [row.model for row in metrics.models if row.cost_usd is None and row.model]
    why = why_not_priced(names, step)
    return {"cost": why, "total": why}


def why_not_priced(models: Sequence[str], step: str = NAME_A_MODEL) -> str:
    """Return why there is no cost, given the models without a price, and what to do."""
    if models:
        return f"the price of {', '.join(models)} is not known; {step}"
    return "no model is named, so nothing has a price; name one with --model"


# ---- from a replay


def outcome_of_replay(
    file: str, found: WhatIf, places: Places, *, is_journal: bool = False
) -> Outcome:
    """Return what a policy would have made of a recorded run; only a journal of ours has an end."""
    metrics, recall = found.metrics, found.recall
    misses: Sequence[Miss] = recall.misses if recall is not None else ()
    where = _where(metrics, places, _largest_place(places))
    for key, what in (("recall", "reference"), ("quote_recall", "quote"), ("total", None)):
        first = next((one for one in misses if what in (None, one.what)), None)
        if first is not None:
            where[key] = _miss_place(first)
    run = metrics.run
    return Outcome(
        file=file,
        source=Source.REPLAY,
        policy=found.policy,
        scale=_scale(metrics),
        run=Numbers(
            peak_tokens=found.peak_tokens,
            sent_tokens=run.sent_tokens,
            calls=run.calls,
            pruned_tokens=run.pruned_tokens,
            rewrites=found.rewrites,
            cost_usd=found.cost_usd,
            total_cost_usd=None if recall is None else found.total_cost_usd,
            recall=None if recall is None else recall.recall,
            quote_recall=None if recall is None else recall.quote_recall,
            misses=None if recall is None else len(recall.misses),
        ),
        phases=_phases(metrics, places),
        where=where,
        not_told={**_not_priced(metrics, NAME_A_PRICE), **_not_used(found)},
        held_tokens=run.peak_tokens,
        assumed_forms=found.assumed_forms,
        breaks_off=places.breaks_off if is_journal else None,
    )


def _not_used(found: WhatIf) -> dict[str, str]:
    if found.recall is None:
        return dict.fromkeys(
            _NO_MISSES, "the journal holds no texts, which recall needs; record it with texts"
        )
    nothing = "no call of the session used {} that stood before it; leave this limit out"
    told = {"recall": found.recall.recall, "quote_recall": found.recall.quote_recall}
    words = {"recall": "an identifier", "quote_recall": "a line"}
    return {key: nothing.format(words[key]) for key, value in told.items() if value is None}


# ---- where


MOST_PLACES: Final = 4
"""That are named one by one."""


def _peak_place(metrics: Metrics, places: Places) -> str | None:
    for row in metrics.phases if places.is_phased else ():
        if row.peak_tokens == metrics.run.peak_tokens:
            return f"in phase {row.id}"
    return _largest_place(places)


def _largest_place(places: Places) -> str | None:
    return None if places.largest is None else f"at {places.largest}"


def _where(metrics: Metrics, places: Places, peak: str | None) -> dict[str, str]:
    where: dict[str, str] = {} if peak is None else {"peak": peak}
    if len(metrics.phases) > 1:
        most = max(metrics.phases, key=lambda row: row.sent_tokens)
        where["sent"] = f"most in phase {most.id}: {most.sent_tokens:,} tokens"
        if priced := [row for row in metrics.phases if row.cost_usd is not None]:
            dear = max(priced, key=_cost_usd)
            where["cost"] = f"most in phase {dear.id}: {dear.cost_usd:.4f} USD"
    if places.dearest is not None and "cost" not in where:
        where["cost"] = f"dearest is {places.dearest}: {places.dearest_usd:.4f} USD"
    if places.largest is not None and "sent" not in where:
        where["sent"] = f"largest is {places.largest}: {places.largest.tokens:,} tokens"
    if places.rewrites:
        more = len(places.rewrites) - MOST_PLACES
        named = ", ".join(map(str, places.rewrites[:MOST_PLACES]))
        where["rewrites"] = f"at {named}" + (f" and {more:,} more" if more > 0 else "")
    return where


def _cost_usd(row: PhaseRow) -> Any:
    return row.cost_usd


def _miss_place(miss: Miss) -> str:
    thread = "" if miss.thread == MAIN else f" of {miss.thread}"
    rule = f", taken by rule {miss.rule!r}" if miss.rule else ""
    return f"first missed by call {miss.call:,}{thread}: {miss.text[:60]!r}{rule}"
