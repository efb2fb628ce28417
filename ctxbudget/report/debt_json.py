"""The debt of recorded sessions as JSON, beside the bill's keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from ctxbudget.debt import Debt, Finding
from ctxbudget.debt.reads import Read
from ctxbudget.debt.reentries import Reentry
from ctxbudget.debt.rent import ItemRent
from ctxbudget.debt.summaries import Compaction
from ctxbudget.history import Rent
from ctxbudget.report.debt_rows import DebtRow, all_findings, all_input_usd
from ctxbudget.report.money import usd_text

LISTED: Final = 20
"""So many items, and so many files, are listed by what they cost."""


def with_debt(bill: dict[str, Any], rows: Sequence[DebtRow]) -> dict[str, Any]:
    """Return a bill's data with the debt of each session, and of all of them.

    `rows` stand in the order of the bill's sessions. Amounts are text, to a millionth of a dollar.
    """
    sessions = [
        {**session, **_debt_of(row)} for session, row in zip(bill["sessions"], rows, strict=True)
    ]
    found = [row for row in rows if row.debt is not None]
    return {
        **bill,
        "sessions": sessions,
        "debt": {
            "sessions": len(found),
            "left_out": len(rows) - len(found),
            "input_cost_usd": usd_text(all_input_usd(rows)),
            "findings": [{**_finding(one), "sessions": one.sessions} for one in all_findings(rows)],
        },
    }


def _debt_of(row: DebtRow) -> dict[str, Any]:
    if row.debt is None:
        return {"debt": None, "debt_left_out": row.left_out}
    debt, whole_usd = row.debt, row.debt.input_usd
    return {
        "debt": {
            "calls": debt.calls,
            "input_cost_usd": usd_text(whole_usd),
            "rent": _rents(debt),
            "speculative_reads": _reads(debt.speculative),
            "superseded_reads": _reads(debt.superseded),
            "redundant_rereads": _reads(debt.rereads.redundant),
            "rereads_after_loss": _reads(debt.rereads.lost),
            "cache_reentries": [_reentry(one) for one in debt.reentries],
            "host_compactions": [_compaction(one) for one in debt.compactions],
            "findings": [_finding(one) for one in debt.findings],
        }
    }


def _rents(debt: Debt) -> dict[str, Any]:
    rents, whole_usd = debt.rents, debt.input_usd
    return {
        "items": [_item(one, whole_usd) for one in rents.items[:LISTED]],
        "by_tool": [_rent(one, whole_usd) for one in rents.by_tool],
        "by_source": [_rent(one, whole_usd) for one in rents.by_source[:LISTED]],
        "by_kind": [_rent(one, whole_usd) for one in rents.by_kind],
    }


def _item(one: ItemRent, whole_usd: Decimal | None) -> dict[str, Any]:
    item, rent = one.item, one.rent
    return {
        "id": item.id,
        "kind": item.kind,
        "tool": item.tool,
        "source": item.source,
        "tokens": item.tokens,
        **_amounts(rent, whole_usd),
    }


def _rent(rent: Rent, whole_usd: Decimal | None) -> dict[str, Any]:
    return {"name": rent.name, **_amounts(rent, whole_usd)}


def _amounts(rent: Rent, whole_usd: Decimal | None) -> dict[str, Any]:
    return {
        "calls": rent.calls,
        "rent_tokens": rent.rent_tokens,
        "cost_usd": usd_text(rent.cost_usd),
        "cost_frac": _frac(rent.cost_usd, whole_usd),
    }


def _reads(reads: Iterable[Read]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.stay.item.id,
            "tool": one.stay.item.tool,
            "source": one.stay.item.source,
            "tokens": one.stay.item.tokens,
            "arrived_before_call": one.stay.first_call,
            "from_call": one.from_call,
            "calls": one.calls,
            "cost_usd": usd_text(one.cost_usd),
        }
        for one in reads
    ]


def _reentry(one: Reentry) -> dict[str, Any]:
    return {
        "call": one.call,
        "gap_s": one.gap_s,
        "tokens": one.tokens,
        "cost_usd": usd_text(one.cost_usd),
    }


def _compaction(one: Compaction) -> dict[str, Any]:
    return {
        "before_call": one.next_call,
        "depth": one.depth,
        "taken_tokens": one.taken_tokens,
        "summary_tokens": one.summary_tokens,
        "lost_tokens": one.lost_tokens,
        "tool_result_tokens": one.tool_result_tokens,
        "written_tokens": one.written_tokens,
        "cost_usd": usd_text(one.cost_usd),
    }


def _finding(one: Finding) -> dict[str, Any]:
    saving = one.saving
    recall_frac = None if saving is None else saving.recall_frac
    return {
        "what": one.what,
        "count": one.count,
        "tokens": one.tokens,
        "cost_usd": usd_text(one.cost_usd),
        "step": one.step,
        "policy": None if saving is None else saving.policy,
        "options": None if saving is None else saving.options,
        "saves_usd": usd_text(one.saves_usd),
        "saves_frac": None if one.saves_frac is None else round(one.saves_frac, 6),
        "recall_frac": None if recall_frac is None else round(recall_frac, 6),
        "misses": None if saving is None else saving.misses,
        "saves_with_misses_usd": None if saving is None else usd_text(saving.with_misses_usd),
        "why_no_saving": one.unsaved or None,
    }


def _frac(part_usd: Decimal | None, whole_usd: Decimal | None) -> float | None:
    return round(float(part_usd / whole_usd), 6) if part_usd is not None and whole_usd else None
