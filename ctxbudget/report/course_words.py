"""What to say of what numbers rest on: half a run, assumed sizes, the expected course, or draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ctxbudget.gate.outcome import Outcome
from ctxbudget.report.plain import how_many

EXPECTED_COURSE: Final = (
    "expected course: each uncertain size at its median, or the middle of its range; "
    "nothing fails, is skipped or is done again"
)
EXPECTED_UNLESS_DRAWN: Final = f"{EXPECTED_COURSE}; --runs 1000 draws them"
"""Where that option is at hand."""


def basis_notes(outcome: Outcome, expected: str = EXPECTED_COURSE) -> Iterator[str]:
    """Yield what a single run's numbers rest on, beside the run itself."""
    if outcome.breaks_off is not None:
        yield f"the journal ends {outcome.breaks_off}; its numbers are those so far"
    if outcome.assumed_forms:
        count = how_many(outcome.assumed_forms, "shorter form")
        yield f"assumed: sizes of {count}, which the journal does not tell"
    if outcome.is_expected:
        yield expected


def course_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what a check has to say of what numbers rest on; nothing of a single whole run's."""
    yield from basis_notes(outcome, EXPECTED_UNLESS_DRAWN)
    draws = outcome.draws
    if draws is None:
        return
    if not draws.is_uncertain:
        yield "nothing in this workflow is uncertain, so all runs are alike; one was played for them"
        return
    yield (
        f"estimate from {how_many(draws.runs, 'run')}, seed {draws.seed}; a probability may be off by "
        f"±{draws.error_frac:.1%} of runs, at most (95% interval)"
    )
