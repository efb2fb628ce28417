"""What a journal holds as JSON: the shapes that machines read. Times are seconds since the start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ctxbudget._version import __version__
from ctxbudget.config.policy_file import LABEL
from ctxbudget.core.events import RunStarted
from ctxbudget.core.types import Item
from ctxbudget.history import By, Happening, breakdown
from ctxbudget.report.journal_rows import JournalRows, PlanRow
from ctxbudget.report.money import as_data, usd_text
from ctxbudget.report.prompts import PromptNow


def policy_name(start: RunStarted) -> str:
    """Return what a run's policy is called, with the params that were set, without loading it."""
    policy = start.policy
    found = policy.get(LABEL) or policy.get("name") or policy.get("function") or "unnamed"
    return str(found)


def prompts_now(rows: JournalRows) -> list[PromptNow]:
    """Return the prompts that are asked for: the open ones, or the one of the named thread."""
    if rows.scope.thread is not None:
        return [rows.prompts.threads[rows.scope.thread]]
    return rows.prompts.open


def asked_items(prompt: PromptNow, phase: str | None) -> list[Item]:
    """Return a prompt's items, or only those of a phase."""
    return [item for item in prompt.items.values() if phase in (None, item.phase)]


def shown(journal: str, rows: JournalRows, start: RunStarted, by: By) -> dict[str, Any]:
    """Return what `show` found."""
    metrics = rows.asked()
    return {
        "ctxbudget": __version__,
        "journal": journal,
        "workflow": metrics.workflow,
        "policy": policy_name(start),
        "allocator": metrics.allocator,
        "models": [as_data(row) for row in metrics.models],
        "is_finished": rows.is_finished,
        "phase": rows.phase,
        "phases": [_since(as_data(row), start.at) for row in metrics.phases],
        "run": _since(as_data(metrics.run), start.at),
        "told": [_shifted(asdict(row), start.at) for row in rows.told],
        "prompts": [_prompt(one, rows.scope.phase) for one in prompts_now(rows)],
        "rent": [
            {
                "name": rent.name,
                "rent_tokens": rent.rent_tokens,
                "calls": rent.calls,
                "cost_usd": usd_text(rent.cost_usd),
            }
            for rent in rows.history.rent(by)
            if rent.rent_tokens
        ],
        "plans": [_plan(row, start.at) for row in rows.plans.values()],
    }


def _prompt(prompt: PromptNow, phase: str | None) -> dict[str, Any]:
    items = asked_items(prompt, phase)
    return {
        "thread": prompt.thread,
        "is_open": prompt.is_open,
        "tokens": prompt.tokens,
        "budget_tokens": prompt.scale.budget_tokens,
        "window_tokens": prompt.scale.window_tokens,
        "items": len(items),
        "evicted": len(prompt.evicted),
        "by_kind": dict(breakdown(items, prompt.thread, "kind")),
        "by_layer": dict(breakdown(items, prompt.thread, "layer")),
    }


def _plan(row: PlanRow, start_at: float) -> dict[str, Any]:
    found = _shifted(asdict(row), start_at)
    if row.undone_at is not None:
        found["undone_at"] = row.undone_at - start_at
    return found


def _since(row: dict[str, Any], start_at: float) -> dict[str, Any]:
    row["events"] = [_shifted(event, start_at) for event in row["events"]]
    return row


def _shifted(row: dict[str, Any], start_at: float) -> dict[str, Any]:
    return {**row, "at": row["at"] - start_at}


def happenings(found: Iterable[Happening], start_at: float) -> list[dict[str, Any]]:
    """Return what happened to an item."""
    return [_shifted(asdict(one), start_at) for one in found]


def item_as_data(item: Item) -> dict[str, Any]:
    """Return what is known of an item."""
    return {key: value for key, value in asdict(item).items() if key not in _OF_NO_USE}


_OF_NO_USE = frozenset({"stand_in_layer", "ready", "superseded"})
"""Fields that a journal's items have as they were when they came."""
