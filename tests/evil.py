"""A journal whose every name tries to run a script."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from ctxbudget.core.events import (
    CallSent,
    Event,
    ItemAdded,
    Phase,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    RunClosed,
    RunStarted,
    Told,
    WaveStarted,
)
from ctxbudget.core.types import Do, Item, Kind, Level, Price, Scale
from ctxbudget.journal import JournalWriter

EVIL = (
    "</script><script>window.hacked=1</script>"
    "<img src=x onerror=window.hacked=1>"
    "\"'><svg onload=window.hacked=1>"
)
"""Ends a script, an attribute or a tag, and begins one of its own."""

LINK = '<a href="javascript:window.hacked=1">%{x} $y$</a>'
"""What a chart itself would make a link, a value and a formula of."""


def events() -> list[Event]:
    """Return a run's events; wherever a text from outside may stand, it is an evil one."""
    phase, item, rule = f"phase {EVIL}", f"item {EVIL} {LINK}", f"rule {EVIL} {LINK}"
    price = Price(
        input_usd=Decimal("0.001"),
        cache_read_usd=Decimal("0.0001"),
        cache_write_5m_usd=Decimal("0.00125"),
        cache_write_1h_usd=Decimal("0.002"),
        output_usd=Decimal("0.005"),
    )
    return [
        RunStarted(
            at=0.0,
            workflow=f"workflow {EVIL}",
            scale=Scale(window_tokens=1000, reserve_tokens=0, budget_tokens=500),
            phases=(Phase(id=phase), Phase(id=f"{phase} 2")),
            policy={"name": f"policy {EVIL} {LINK}"},
            prices={EVIL: price},
            model=EVIL,
        ),
        PhaseStarted(at=1.0, phase=phase),
        WaveStarted(at=1.0, phase=phase, wave=1, agents=(f"agent {EVIL}", LINK)),
        ItemAdded(
            at=2.0,
            item=Item(
                id=item,
                tokens=600,
                kind=Kind.TOOL_RESULT,
                tool=f"tool {EVIL}",
                source=f"source {EVIL}",
                phase=phase,
            ),
        ),
        Told(at=2.0, level=Level.WARN, scope=f"phase:{phase}", tokens=600, limit_tokens=375),
        CallSent(
            at=3.0,
            call=1,
            tokens=600,
            cache_read_tokens=0,
            cache_write_tokens=0,
            uncached_tokens=600,
            model=EVIL,
        ),
        Pruned(
            at=3.0,
            rule=rule,
            reason=f"reason {EVIL} {LINK}",
            do=Do.DROP,
            items=(item,),
            removed_tokens=600,
            occupancy_tokens=0,
            plan=1,
        ),
        PhaseClosed(
            at=4.0,
            phase=phase,
            allocated_tokens=400,
            start_tokens=0,
            peak_tokens=600,
            residual_tokens=0,
            kept_tokens=0,
            over_tokens=0,
        ),
        PhaseStarted(at=4.0, phase=f"{phase} 2"),
        ItemAdded(at=5.0, item=Item(id=LINK, tokens=40, kind=Kind.USER, tool=LINK)),
        CallSent(
            at=6.0,
            call=2,
            tokens=40,
            cache_read_tokens=0,
            cache_write_tokens=0,
            uncached_tokens=40,
            rewritten_tokens=10,
            model=EVIL,
        ),
        PhaseClosed(
            at=7.0,
            phase=f"{phase} 2",
            allocated_tokens=100,
            start_tokens=0,
            peak_tokens=40,
            residual_tokens=40,
            kept_tokens=40,
            over_tokens=0,
        ),
        RunClosed(at=7.0, planned_tokens=500, peak_tokens=600, residual_tokens=40, over_tokens=0),
    ]


def evil_journal(folder: Path) -> Path:
    """Write the journal into a folder; return its path."""
    path = folder / "evil.jsonl"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        writer = JournalWriter(file)
        for event in events():
            writer(event)
    return path
