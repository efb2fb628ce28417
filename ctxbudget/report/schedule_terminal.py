"""A proposed order of phases as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ctxbudget.metrics import PhaseRow
from ctxbudget.report.money import usd_cell
from ctxbudget.report.narrow import (
    BETWEEN,
    LEAST_NAME,
    Column,
    fitting,
    in_middle,
    told_apart,
    width_of,
)
from ctxbudget.report.plain import one_line
from ctxbudget.report.schedule_json import groups, models_of
from ctxbudget.report.tables import plain_table
from ctxbudget.schedule.board import Lane
from ctxbudget.schedule.proposal import Known, Played, Proposal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR_CELLS = 10
HEAD_CELLS, MOST_NAME, MODEL_CELLS = 8, 30, 17
"""Columns of the terminal for the longest word above names, for names, and for models."""

NUMBER, MODEL, PEAK, BAR = "number", "model", "peak", "bar"

MOST_GROUPS = 12
"""More groups of phases on one model are not listed; JSON has all."""

TITLES = ("file's order", "proposed order")

CAPTION = "Tokens of the main thread, as `simulate` plays each order."
ABOUT_BARS = " █ left ░ peak; a full bar is the highest peak."


def print_proposal(console: Console, proposal: Proposal, price_date: str | None) -> None:
    """Print both orders side by side, what is saved, how sure that is, and what switches cost."""
    from rich.markup import escape

    setup = proposal.setup
    name, policy = one_line(setup.loaded.name), one_line(setup.policy.label)
    console.print(f"[bold]{escape(name)}[/] under policy [bold]{escape(policy)}[/]")
    if setup.loaded.workflow.is_uncertain:
        console.print("[dim]uncertain sizes, loops and skips are taken as expected[/]")
    table, has_bars = _table(proposal, console.width)
    console.print(table)
    console.print(CAPTION + (ABOUT_BARS if has_bars else ""))
    for line in _lines(proposal, price_date):
        console.print(escape(line))


# ---- the table


def _table(proposal: Proposal, width: int) -> tuple[Table, bool]:
    """Return the orders side by side, and whether there was room for bars."""
    sides = _sides(proposal)
    names = {row.id: one_line(row.id) for row in proposal.as_filed.metrics.phases}
    numbers = Column(
        name="", cells=tuple(str(number) for number in range(1, len(names) + 1)), group=NUMBER
    )
    beside = [_columns(proposal, played) for played in sides]
    columns = [numbers, *(column for side in beside for column in side)]
    shown = _fitting(columns, max(map(len, names.values())), width, len(sides))
    keys = {column.key for column in shown}
    room = min(MOST_NAME, (width - width_of(shown)) // len(sides) - BETWEEN)
    named = dict(zip(names, told_apart(list(names.values()), max(1, room)), strict=True))
    table = plain_table()
    if NUMBER in keys:
        table.add_column(numbers.name, justify="right", no_wrap=True)
    cells = [numbers.cells] if NUMBER in keys else []
    for title, played, side in zip(TITLES, sides, beside, strict=False):
        kept = [column for column in side if column.key in keys]
        _add_heads(table, title, kept)
        cells += _cells(played, named, kept)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table, BAR in keys


def _columns(proposal: Proposal, played: Played) -> list[Column]:
    """Return what stands beside the names of an order."""
    rows, models = played.metrics.phases, models_of(proposal)
    full_tokens = max(one.peak_tokens for one in _sides(proposal))
    shown = [in_middle(one_line(models[row.id]), MODEL_CELLS) for row in rows]
    return [
        *([Column(name=MODEL, cells=tuple(shown))] if len(set(models.values())) > 1 else []),
        Column(name=PEAK, cells=tuple(f"{row.peak_tokens:,}" for row in rows)),
        Column(name="", cells=tuple(_bar(row, full_tokens) for row in rows), group=BAR),
    ]


def _fitting(columns: Sequence[Column], longest: int, width: int, sides: int) -> list[Column]:
    """Return the columns that fit: models, then bars give way to names, numbers to their heads."""
    name = max(HEAD_CELLS, min(LEAST_NAME, longest))
    shown = fitting(columns, width - sides * (BETWEEN + name), drop=(MODEL, BAR))
    return fitting(shown, width - sides * (BETWEEN + HEAD_CELLS), drop=(NUMBER,))


def _add_heads(table: Table, title: str, columns: Sequence[Column]) -> None:
    table.add_column(title, overflow="fold")
    for column in columns:
        table.add_column(
            column.name, justify="right" if column.key == PEAK else "left", no_wrap=True
        )


def _cells(
    played: Played, named: Mapping[str, str], columns: Sequence[Column]
) -> Iterator[tuple[str, ...]]:
    """Yield the columns of an order as markup, the highest peak in bold."""
    from rich.markup import escape

    highest = f"{played.peak_tokens:,}"
    yield tuple(escape(named[row.id]) for row in played.metrics.phases)
    for column in columns:
        is_peak = column.key == PEAK
        yield tuple(
            f"[bold]{cell}[/]" if is_peak and cell == highest else escape(cell)
            for cell in column.cells
        )


def _bar(row: PhaseRow, full_tokens: int) -> str:
    solid = round(BAR_CELLS * row.residual_tokens / max(1, full_tokens))
    shade = round(BAR_CELLS * row.peak_tokens / max(1, full_tokens)) - solid
    return "█" * solid + "░" * max(0, shade)


# ---- the words


def _lines(proposal: Proposal, price_date: str | None) -> Iterator[str]:
    yield _peak_line(proposal)
    yield _known_line(proposal)
    yield _where_line(proposal.proposed)
    if proposal.refused is not None:
        order = ", ".join(map(one_line, proposal.refused.order))
        yield (
            f"refused: {order}; by what phases hold alone it is no worse, but played it peaks at "
            f"{proposal.refused.peak_tokens:,} tokens"
        )
    in_turn = proposal.in_turn_tokens
    if in_turn is not None and in_turn < proposal.proposed.peak_tokens:
        yield f"with `deliver: in_turn` this order would peak at {in_turn:,} tokens"
    yield from _switch_lines(proposal)
    if proposal.as_filed.metrics.run.cost_usd is not None:
        costs = [usd_cell(one.metrics.run.cost_usd) for one in _sides(proposal)]
        date = f"; prices: {price_date}" if price_date else ""
        yield f"input cost of the run: {' → '.join(costs)} USD{date}"


def _sides(proposal: Proposal) -> list[Played]:
    return [proposal.as_filed, proposal.proposed] if proposal.is_new else [proposal.as_filed]


def _peak_line(proposal: Proposal) -> str:
    before, after = proposal.as_filed.peak_tokens, proposal.proposed.peak_tokens
    if not proposal.is_new:
        return f"peak: {before:,} tokens"
    saved = proposal.saved_tokens
    if not saved:
        return f"peak: {before:,} tokens in both orders"
    word = "less" if saved > 0 else "more"
    share = abs(saved) / before if before else 0.0
    return f"peak: {before:,} → {after:,} tokens, {abs(saved):,} {word} ({share:.1%})"


def _known_line(proposal: Proposal) -> str:
    allowed = ""
    if proposal.lowest_tokens < proposal.proposed.expected_tokens:
        allowed = f"; the lowest peak is {proposal.lowest_tokens:,}, the rest is slack"
    match proposal.known:
        case Known.ONLY if len(proposal.as_filed.order) == 1:
            return "there is one phase, so there is nothing to put in another order"
        case Known.ONLY:
            return "each phase builds on the one before it, so this order is the only one"
        case Known.LOWEST:
            said = "no order of these phases has a lower peak" + allowed
        case Known.LOWEST_OF_LOADS:
            said = "the lowest peak by what each phase holds alone; not proved" + allowed
        case Known.GOOD:
            said = "a good order, not proved to be the best" + allowed
    if proposal.known is Known.GOOD and proposal.bound_tokens is not None:
        said += f"; no order stays below {proposal.bound_tokens:,} tokens"
    return said if proposal.doubt is None else f"{said}: {proposal.doubt}"


def _where_line(played: Played) -> str:
    """Return which phase decides the peak, and how much of it was there before."""
    rows = played.metrics.phases
    phase = next(row.id for row in rows if row.peak_tokens == played.peak_tokens)
    stood = played.began_tokens[phase]
    came = played.peak_tokens - stood
    return (
        f"the peak is in {one_line(phase)}: {stood:,} tokens stood there before it, {came:,} came"
    )


def _switch_lines(proposal: Proposal) -> Iterator[str]:
    sides = _sides(proposal)
    if not any(one.switches.found for one in sides):
        return
    counts = " → ".join(f"{len(one.switches.found)}" for one in sides)
    tokens = " → ".join(f"{one.switches.rewritten_tokens:,}" for one in sides)
    costs = " → ".join(usd_cell(one.switches.cost_usd) for one in sides)
    fewer = "" if proposal.has_fewest_switches else " (fewer may be possible)"
    all_switches = [switch for one in sides for switch in one.switches.found]
    kinds = ["model"] if any(one.from_model != one.to_model for one in all_switches) else []
    kinds += ["tools"] if any(one.from_tools != one.to_tools for one in all_switches) else []
    yield (
        f"switches of {' or '.join(kinds)}: {counts}{fewer}; written again for them: {tokens} tokens, "
        f"{costs} USD"
    )
    found = groups(proposal, proposal.proposed)
    if proposal.is_new and len(found) <= MOST_GROUPS:
        said = "; ".join(f"{_lane(lane, kinds)}: {', '.join(phases)}" for lane, phases in found)
        yield f"proposed groups: {one_line(said)}"


def _lane(lane: Lane, kinds: list[str]) -> str:
    """Return what a group of phases shares, of what switches."""
    model, tools = lane
    said = [model or "no model"] if "model" in kinds else []
    said += [" + ".join(tools) or "no tools"] if "tools" in kinds else []
    return ", ".join(said)
