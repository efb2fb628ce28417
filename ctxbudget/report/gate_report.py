"""What a check found: as lines, as Markdown, and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.core.types import Limit
from ctxbudget.gate.limits import Verdict
from ctxbudget.gate.outcome import Draws, Outcome, Unit
from ctxbudget.report.course_words import course_notes
from ctxbudget.report.markdown import escaped, table
from ctxbudget.report.numbers import as_data, said
from ctxbudget.report.plain import how_many, one_line


@dataclass(frozen=True, slots=True)
class Checked:
    """A run, and what was found of each limit."""

    outcome: Outcome
    verdicts: tuple[Verdict, ...]

    @property
    def is_kept(self) -> bool:
        """Whether all limits were kept."""
        return all(one.is_kept for one in self.verdicts)

    @property
    def name(self) -> str:
        """The file, and the policy under which it was played."""
        return f"{self.outcome.file} under policy {self.outcome.policy}"


def checked_lines(checked: Sequence[Checked]) -> Iterator[tuple[str, bool]]:
    """Yield the lines to print, each with whether it tells of something that went well."""
    for one in checked:
        failed = [verdict for verdict in one.verdicts if not verdict.is_kept]
        name, count = one_line(one.name), len(one.verdicts)
        if not failed:
            kept = ", ".join(_kept(verdict) for verdict in one.verdicts)
            yield f"{name}: ok; {kept}", True
        else:
            yield f"{name}: {len(failed)} of {how_many(count, 'limit')} failed", False
        for verdict in failed:
            where = f"; {one_line(verdict.where)}" if verdict.where else ""
            at = f"p{verdict.percentile} " if verdict.percentile else ""
            yield (
                f"  {verdict.asked.option}: {at}{_found(verdict)}, {_allowed(verdict)}{where}",
                False,
            )
        for note in course_notes(one.outcome):
            yield f"  {note}", True


def _kept(verdict: Verdict) -> str:
    unit = verdict.asked.measure.unit
    found, limit = said(verdict.found, unit), said(verdict.limit, unit)
    bound = "at least" if verdict.asked.is_least else "of at most"
    return f"{_title(verdict)} {_exact(found, verdict)} {bound} {limit}"


def _title(verdict: Verdict) -> str:
    title = verdict.asked.measure.title
    return f"{title} p{verdict.percentile}" if verdict.percentile else title


def _exact(found: str, verdict: Verdict) -> str:
    """Return a number as it is said, in full where rounding would hide what was judged."""
    unit = verdict.asked.measure.unit
    hides = found == said(verdict.limit, unit) and verdict.found != verdict.limit
    if not hides:
        return found
    if unit is Unit.USD:
        return f"{verdict.found} USD"
    return f"{float(verdict.found):.6%}" if unit is Unit.SHARE else found


def _found(verdict: Verdict) -> str:
    return _exact(said(verdict.found, verdict.asked.measure.unit), verdict)


def _allowed(verdict: Verdict) -> str:
    limit, unit = said(verdict.limit, verdict.asked.measure.unit), verdict.asked.measure.unit
    if isinstance(verdict.limit, Decimal) and unit is Unit.USD:
        limit = f"{verdict.limit.normalize():f} USD"
    word = "asked for at least" if verdict.asked.is_least else "allowed"
    return f"{word} {limit}{_share_of(verdict)}"


def _share_of(verdict: Verdict) -> str:
    """Return what a limit in tokens is a share of, where it was given as one."""
    limit = verdict.asked.limit
    if not isinstance(limit, Limit) or limit.share_frac is None:
        return ""
    plain = verdict.asked.said.split(" of ")[0].strip()
    return f" ({plain} of {limit.of.value.replace('_', ' ')})"


def checked_markdown(checked: Sequence[Checked]) -> str:
    """Return a table with a row for each limit of each file."""
    failed = sum(not verdict.is_kept for one in checked for verdict in one.verdicts)
    rows = [
        (
            escaped(one.outcome.file),
            escaped(one.outcome.policy),
            _title(verdict),
            _found(verdict),
            _allowed(verdict),
            "kept" if verdict.is_kept else "**failed**",
            "" if verdict.is_kept else escaped(verdict.where),
        )
        for one in checked
        for verdict in one.verdicts
    ]
    heads = ("file", "policy", "measure", "found", "limit", "", "where")
    head = f"**Context budget: {how_many(failed, 'limit')} failed**"
    if not failed:
        head = "**Context budget: ok**"
    notes = [
        f"{escaped(one.outcome.file)}: {escaped(note)}"
        for one in checked
        for note in course_notes(one.outcome)
    ]
    return "\n\n".join([head, table(heads, rows, texts=7), *notes])


def checked_as_data(checked: Sequence[Checked], errors: Sequence[str] = ()) -> dict[str, Any]:
    """Return what was found of each limit of each file; money is text, shares are 0 to 1.

    `errors` are of files that could not be checked.
    """
    return {
        "ctxbudget": __version__,
        "passed": not errors and all(one.is_kept for one in checked),
        "errors": list(errors),
        "files": [
            {
                "file": one.outcome.file,
                "source": one.outcome.source.value,
                "policy": one.outcome.policy,
                "passed": one.is_kept,
                "drawn": None if one.outcome.draws is None else _drawn(one.outcome.draws),
                "notes": list(course_notes(one.outcome)),
                "limits": [_as_data(verdict) for verdict in one.verdicts],
            }
            for one in checked
        ],
    }


def _drawn(draws: Draws) -> dict[str, Any]:
    return {
        "runs": draws.runs,
        "seed": draws.seed,
        "is_uncertain": draws.is_uncertain,
        "probability_error_frac": round(draws.error_frac, 6),
    }


def _as_data(verdict: Verdict) -> dict[str, Any]:
    measure = verdict.asked.measure
    return {
        "limit": verdict.asked.option,
        "measure": measure.key,
        "percentile": verdict.percentile,
        "unit": measure.unit.value,
        "asked": verdict.asked.said,
        "allowed": as_data(verdict.limit),
        "found": as_data(verdict.found),
        "passed": verdict.is_kept,
        "where": verdict.where or None,
    }
