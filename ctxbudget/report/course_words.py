"""What to say of numbers that rest on chance: of the expected course, and of what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ctxbudget.gate.outcome import Outcome

EXPECTED_COURSE: Final = (
    "expected course: each uncertain size at its median, or the middle of its range; "
    "nothing fails, is skipped or is done again"
)
EXPECTED_UNLESS_DRAWN: Final = f"{EXPECTED_COURSE}; --runs 1000 draws them"
"""Where that option is at hand."""


def course_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what a check has to say of numbers that rest on chance; nothing of others."""
    if outcome.is_expected:
        yield EXPECTED_UNLESS_DRAWN
    draws = outcome.draws
    if draws is None:
        return
    if not draws.is_uncertain:
        yield "nothing in this workflow is uncertain, so all runs are alike; one was played for them"
        return
    runs = "1 run" if draws.runs == 1 else f"{draws.runs:,} runs"
    yield (
        f"estimate from {runs}, seed {draws.seed}; a probability may be off by "
        f"±{draws.error_frac:.1%} of runs, at most (95% interval)"
    )
