"""What `ctxbudget simulate --runs` does once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ctxbudget.cli.draw_runs import Many, draw
from ctxbudget.cli.exit_codes import FINE, GATE_FAILED
from ctxbudget.cli.output import console, print_json
from ctxbudget.cli.priced import price_date_if
from ctxbudget.config.run_setup import RunSetup
from ctxbudget.core.types import Level
from ctxbudget.report import odds_json

if TYPE_CHECKING:
    from ctxbudget.odds.tally import Odds


def run_many(
    setups: Sequence[RunSetup],
    many: Many,
    notes: Sequence[str],
    *,
    as_machine: bool,
    fail_on: Sequence[Level],
) -> int:
    """Play the runs, print what they tell, and return the exit code.

    Args:
        setups: one per policy.
        many: how many, and who plays them.
        notes: what the numbers rest on.
        as_machine: print JSON.
        fail_on: levels at which the gate fails, mildest first; empty without a gate.
    """
    from ctxbudget.odds.tally import odds

    loaded, start = setups[0].loaded, setups[0].start
    played = draw(setups, many)
    found = odds([setup.policy.label for setup in setups], setups[0].graph.order, played)
    is_uncertain = loaded.workflow.is_uncertain
    date = price_date_if(any(setup.start.prices for setup in setups))
    if as_machine:
        print_json(
            odds_json.drawn_runs(
                found, start, seed=many.seed, is_uncertain=is_uncertain, price_date=date
            )
        )
    else:
        from ctxbudget.report.odds_terminal import print_odds

        if date is not None:
            notes = [
                *notes,
                f"USD: input of calls by the cache model, and summaries; prices: {date}",
            ]
        print_odds(console(), found, start, seed=many.seed, is_uncertain=is_uncertain, notes=notes)
    return _gate(found, fail_on)


def _gate(odds: Odds, fail_on: Sequence[Level]) -> int:
    """Return the exit code, after saying on stderr in how many runs the gate was crossed."""
    reached = odds.policies[0].reached
    crossed = [(level, runs) for level in fail_on if (runs := reached.runs_at(level))]
    if not crossed:
        return FINE
    level, runs = crossed[-1]
    click.echo(
        f"ctxbudget: gate failed: --fail-on {fail_on[0]}: {level} in {runs:,} of {odds.runs:,} runs",
        err=True,
    )
    return GATE_FAILED
