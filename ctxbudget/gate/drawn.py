"""What many runs of a workflow come to, as the numbers that a gate looks at: an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from ctxbudget.config.model_prices import models_of
from ctxbudget.config.run_setup import RunSetup
from ctxbudget.core.types import Level
from ctxbudget.gate.outcome import (
    NO_TEXTS,
    Draws,
    Numbers,
    Outcome,
    Source,
    why_not_priced,
)
from ctxbudget.odds.runs import Outcome as OneRun
from ctxbudget.odds.runs import Played
from ctxbudget.odds.tally import Odds, PolicyOdds, odds

N = TypeVar("N", int, Decimal)

PERCENT: Final = 95
"""Of the runs do not exceed the number that is judged."""

_LEVELS: Final = (Level.WARN, Level.CRITICAL, Level.OVERFLOW)


def outcome_of_runs(file: str, setup: RunSetup, played: Sequence[Played], seed: int) -> Outcome:
    """Return what many runs under one policy came to.

    Peak, sent and cost are the least that 95 of 100 runs do not exceed. A run that cannot go on,
    since what may not be pruned does not fit, exceeds any number.

    Args:
        file: as the user named it.
        setup: of the runs.
        played: the runs, at least one, each under this one policy.
        seed: of their draws.
    """
    found = odds([setup.policy.label], setup.graph.order, played)
    is_uncertain = setup.loaded.workflow.is_uncertain
    ended = [one.outcomes[0] for one in played if one.outcomes[0].stopped is None]
    policy = found.policies[0]
    share = {level: policy.reached.runs_at(level) / found.runs for level in _LEVELS}
    run = Numbers(
        peak_tokens=_p95([one.peak_tokens for one in ended], found.runs),
        sent_tokens=_p95([one.sent_tokens for one in ended], found.runs),
        cost_usd=_p95_usd(ended, found.runs),
        warn_frac=share[Level.WARN],
        critical_frac=share[Level.CRITICAL],
        overflow_frac=share[Level.OVERFLOW],
    )
    return Outcome(
        file=file,
        source=Source.WORKFLOW,
        policy=setup.policy.label,
        scale=setup.start.scale,
        run=run,
        phases={},
        where=dict(_where(found, policy)),
        not_told={**NO_TEXTS[Source.WORKFLOW], **dict(_not_told(setup, run, policy, found.runs))},
        draws=Draws(
            runs=found.runs,
            seed=seed,
            is_uncertain=is_uncertain,
            error_frac=found.error_frac if is_uncertain else 0.0,
        ),
    )


def _p95(values: Sequence[N], runs: int) -> N | None:
    """Return the least number that 95% of the runs do not exceed; None if fewer have one.

    Source: the nearest-rank method, as in `percentiles`, whose number it is if all runs have one.
    """
    rank = -(-runs * PERCENT // 100)
    return sorted(values)[rank - 1] if rank <= len(values) else None


def _p95_usd(ended: Sequence[OneRun], runs: int) -> Decimal | None:
    costs = [one.cost_usd for one in ended if one.cost_usd is not None]
    return _p95(costs, runs) if len(costs) == len(ended) else None


def _not_told(
    setup: RunSetup, run: Numbers, policy: PolicyOdds, runs: int
) -> Iterator[tuple[str, str]]:
    """Yield, for a measure's key, why many runs have no such number."""
    yield "rewrites", "rewrites are not counted over many runs; leave --runs or this limit out"
    if run.peak_tokens is None:
        why = (
            f"{policy.stopped_runs:,} of {runs:,} runs cannot go on, so more than "
            f"{100 - PERCENT}% have no such number: {policy.why_stopped}"
        )
        yield from dict.fromkeys(("peak", "sent", "cost"), why).items()
    elif run.cost_usd is None:
        models = models_of(setup.loaded.workflow)
        yield "cost", why_not_priced([one for one in models if one not in setup.start.prices])


def _where(found: Odds, policy: PolicyOdds) -> Iterator[tuple[str, str]]:
    """Yield, for a measure's key, which phase its number is mostly about."""
    peaks = {row.phase: row.peak_tokens.p95 for row in policy.phases if row.peak_tokens}
    sent = {row.phase: row.sent_tokens.p95 for row in policy.phases if row.sent_tokens}
    for key, word, tokens in (("peak", "highest", peaks), ("sent", "most", sent)):
        if tokens:
            phase = max(tokens, key=tokens.__getitem__)
            yield key, f"{word} in phase {phase}: p95 {tokens[phase]:,} tokens"
    for level in _LEVELS:
        if count := policy.reached.runs_at(level):
            yield f"{level}_probability", f"{count:,} of {found.runs:,} runs{_blame(policy, level)}"


def _blame(policy: PolicyOdds, level: Level) -> str:
    """Return which phase a level is mostly reached in, or which is to blame for graver ones."""
    worst = policy.most_to_blame
    if level is Level.WARN:
        row = max(policy.phases, key=lambda one: one.reached.warn_runs)
        most = row.reached.warn_runs
        return f", most in phase {row.phase}: {most:,}" if most else ""
    stopped = policy.stopped_runs
    cannot = f", {stopped:,} of which cannot go on" if stopped else ""
    return cannot if worst is None else f"{cannot}; most to blame: phase {worst.phase}"
