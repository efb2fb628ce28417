"""A proposed order of phases as a table for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ctxbudget.metrics import PhaseRow
from ctxbudget.report.money import usd_cell
from ctxbudget.report.narrow import in_middle
from ctxbudget.report.plain import one_line
from ctxbudget.report.schedule_json import groups, models_of
from ctxbudget.schedule.board import Lane
from ctxbudget.schedule.proposal import Known, Played, Proposal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BAR_CELLS = 10
WITH_BARS, WITH_MODELS = 84, 110
"""From these widths on, bars and models are shown; JSON has all."""

LEAST_NAME, MOST_NAME, MODEL_CELLS = 8, 30, 17

MOST_GROUPS = 12
"""More groups of phases on one model are not listed; JSON has all."""

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
    console.print(_table(proposal, console.width))
    console.print(CAPTION + (ABOUT_BARS if console.width >= WITH_BARS else ""))
    for line in _lines(proposal, price_date):
        console.print(escape(line))


# ---- the table


def _table(proposal: Proposal, width: int) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    sides = [("file's order", proposal.as_filed)]
    if proposal.is_new:
        sides.append(("proposed order", proposal.proposed))
    models = models_of(proposal) if width >= WITH_MODELS else {}
    models = models if len(set(models.values())) > 1 else {}
    name_width = _name_width(proposal, width, len(sides), has_models=bool(models))
    table.add_column("", justify="right")
    for title, _ in sides:
        table.add_column(title, min_width=LEAST_NAME)
        if models:
            table.add_column("model", no_wrap=True)
        table.add_column("peak", justify="right", no_wrap=True)
        if width >= WITH_BARS:
            table.add_column("", no_wrap=True)
    full = max(played.peak_tokens for _, played in sides)
    rows = zip(*(played.metrics.phases for _, played in sides), strict=True)
    for number, phases in enumerate(rows, 1):
        cells = [
            cell
            for row, (_, played) in zip(phases, sides, strict=True)
            for cell in _cells(row, played, full, width, name_width, models)
        ]
        table.add_row(str(number), *cells)
    return table


def _name_width(proposal: Proposal, width: int, sides: int, *, has_models: bool) -> int:
    """Return what is left for the name of a phase."""
    peak = len(f"{proposal.as_filed.peak_tokens:,}") + 2
    taken = peak + (BAR_CELLS + 2) * (width >= WITH_BARS) + (MODEL_CELLS + 2) * has_models
    return max(LEAST_NAME, min(MOST_NAME, (width - 6) // sides - taken - 2))


def _cells(
    row: PhaseRow,
    played: Played,
    full_tokens: int,
    width: int,
    name_width: int,
    models: dict[str, str],
) -> Iterator[str]:
    from rich.markup import escape

    is_highest = row.peak_tokens == played.peak_tokens
    peak = f"{row.peak_tokens:,}"
    yield escape(in_middle(one_line(row.id), name_width))
    if models:
        yield escape(in_middle(one_line(models[row.id]), MODEL_CELLS))
    yield f"[bold]{peak}[/]" if is_highest else peak
    if width >= WITH_BARS:
        yield _bar(row, full_tokens)


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
