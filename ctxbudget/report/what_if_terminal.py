"""What-ifs as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctxbudget.config.policy_file import NONE
from ctxbudget.replay import WhatIf
from ctxbudget.report.plain import how_many, visible
from ctxbudget.report.replayed import Replayed, missing_texts
from ctxbudget.report.tables import plain_table
from ctxbudget.report.what_if_json import of_none, ratio, share

COSTS = ("sent", "peak", "USD", "of none", "cached", "rewrites", "summaries")
LOSSES = ("recall", "quotes", "misses", "with misses", "of none")
WIDE, NARROW = 100, 72
"""Columns of the terminal: below the first the counts of `WIDE_ONLY` are left out, below the second
also those of `NOT_NARROW`, so that no number is ever cut."""
WIDE_ONLY, NOT_NARROW = {"rewrites", "summaries"}, {"peak", "cached"}
MISSES_SHOWN = 20


def print_replayed(console: Console, replayed: Replayed, *, misses: bool) -> None:
    """Print a run under each policy side by side, and what the policies would have lost."""
    found, none = replayed.found, replayed.none
    _print_head(console, replayed)
    console.print(_table(console, COSTS, {_name(one): _costs(one, none) for one in found}))
    is_priced = all(one.cost_usd is not None for one in found)
    of_none = "" if is_priced else " (tokens sent where no price is known)"
    console.print(
        "Sent: tokens over all calls; cached: read from the cache, of sent. USD: input and summaries, "
        f"without output, by the cache model. Of none: against the same run under none{of_none}. "
        "The recorded model is taken as it was: what it would have done with another prompt is not "
        "known."
    )
    if replayed.run.has_texts:
        console.print(_table(console, LOSSES, {_name(one): _losses(one, none) for one in found}))
        console.print(
            "Recall: the share of identifiers (quotes: of whole lines) that a call used and that "
            "its prompt still held. With misses: each missed item written again, and one more call "
            "for it."
        )
    if any(one.bound is not None for one in found):
        console.print("*: a bound to compare with; it could not run.")
    for line in (*_answer(replayed), *_validity(replayed)):
        console.print(escape(visible(line)), highlight=False)
    if misses:
        for one in found:
            _print_misses(console, one)


def _name(one: WhatIf) -> str:
    return one.policy if one.bound is None else f"{one.policy} *"


def _print_head(console: Console, replayed: Replayed) -> None:
    run = replayed.run
    recorded = "not known"
    if run.cost_usd is not None:
        recorded = f"{run.cost_usd:.4f} USD in {run.reported_calls:,} of {run.calls:,} calls"
        if run.output_usd is not None:
            recorded += f", output {run.output_usd:.4f}"
    name = escape(visible(run.start.workflow))
    if run.start.workflow != replayed.file:
        name = f"{name}[/], {escape(visible(replayed.file))}[bold]"
    console.print(f"[bold]{name}[/]")
    console.print(
        f"{how_many(run.calls, 'call')}, window {replayed.scale.window_tokens:,}, recorded input cost "
        f"{recorded}",
        highlight=False,
    )
    for line in _asked(replayed):
        console.print(escape(visible(line)), highlight=False)
    for line in missing_texts(replayed):
        console.print(line)


def _asked(replayed: Replayed) -> list[str]:
    """Return under which settings the policies were tried, and what is assumed of the window."""
    asked, lines = replayed.settings, []
    if asked.window_tokens is None and replayed.session is not None:
        lines.append(f"window: {replayed.session.window_from} (--window names another)")
    said = [
        f"{what} {value:,}"
        for what, value in (
            ("window", asked.window_tokens),
            ("reserve", asked.reserve_tokens),
            ("budget", asked.budget_tokens),
        )
        if value is not None
    ]
    if asked.ttl_s is not None:
        said.append(f"a cache that lives {asked.ttl_s / 60:,.0f} minutes")
    if asked.model is not None:
        said.append(f"model {asked.model.name}")
    if asked.price is not None:
        price = asked.price
        said.append(
            f"prices of {price.input_usd * 10**6:f} (input), {price.cache_read_usd * 10**6:f} (read), "
            f"{price.cache_write_5m_usd * 10**6:f} (write) USD a million"
        )
    if asked.ignores_compactions:
        said.append("the host's compactions left out")
    if said:
        lines.append(f"asked for: {', '.join(said)}")
    return lines


def _answer(replayed: Replayed) -> list[str]:
    """Return what somebody who has to choose wants to know first."""
    none, lines = replayed.none, []
    tried = [one for one in replayed.found if one.bound is None and one.policy != NONE]
    priced = [one for one in tried if one.total_cost_usd is not None]
    if none is not None and none.total_cost_usd and priced:
        best = min(priced, key=lambda one: one.total_cost_usd or 0)
        total = best.total_cost_usd or none.total_cost_usd
        if total < none.total_cost_usd:
            missed = ""
            if best.recall is not None:
                missed = f", {how_many(len(best.recall.misses), 'miss', 'misses')}"
            lines.append(
                f"Least with misses: {best.policy}, {_share(ratio(total, none.total_cost_usd))} of "
                f"none ({total - none.total_cost_usd:+.4f} USD of {none.total_cost_usd:.4f}{missed})."
            )
        else:
            lines.append("None of these policies costs less than none, misses charged.")
    idle = [
        one.policy for one in tried if not one.metrics.run.pruned_tokens and not one.compactions
    ]
    if idle:
        lines.append(f"Did nothing here: {', '.join(idle)}.")
    fitted = [
        f"{one.policy} {how_many(one.fitted_calls, 'time')}"
        for one in replayed.found
        if one.fitted_calls
    ]
    if fitted:
        lines.append(
            f"The window was too small, and the engine had to make prompts fit: {', '.join(fitted)}."
        )
    return lines


def _validity(replayed: Replayed) -> list[str]:
    """Return how far the numbers can be trusted, for sessions of other programs."""
    if replayed.session is None:
        return []
    lines = []
    error = replayed.bill_error_frac(replayed.none)
    if error is not None:
        without = replayed.bill_error_frac(replayed.none_without_losses)
        beside = "" if without is None else f" ({without:+.1%} if the cache had not been lost)"
        lines.append(
            f"Bill: none costs {error:+.1%} against the recorded input cost{beside}; calls that found "
            f"the provider's cache lost: {replayed.cache_losses:,}, that found what others wrote: "
            f"{replayed.cache_finds:,}."
        )
    errors, plain = replayed.prompt_errors, replayed.plain_errors
    if errors is not None and plain is not None:
        lines.append(
            f"Prompts: sizes expected one call ahead are off by {errors.median_frac:.2%} (median), "
            f"{errors.p95_frac:.2%} (95th percentile) of {errors.count:,} prompts; uncalibrated "
            f"o200k by {plain.median_frac:.2%} and {plain.p95_frac:.2%}."
        )
    lines.append(f"Prices: {replayed.price_date}")
    return lines


def _table(console: Console, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Table:
    left_out = WIDE_ONLY if console.width < WIDE else set()
    left_out = left_out | (NOT_NARROW if console.width < NARROW else set())
    shown = [place for place, name in enumerate(columns) if name not in left_out]
    table = plain_table()
    table.add_column("policy", overflow="fold")
    for place in shown:
        table.add_column(columns[place], justify="right", no_wrap=True)
    for policy, cells in rows.items():
        found = [cells[place] for place in shown] if cells else []
        table.add_row(escape(visible(policy)), *found)
    return table


def _costs(one: WhatIf, none: WhatIf | None) -> list[str]:
    sent = one.metrics.run
    return [
        f"{sent.sent_tokens:,}",
        f"{one.peak_tokens:,}",
        _usd(one.cost_usd),
        _share(of_none(one, none)),
        _share(share(sent.cache.cache_read_tokens, sent.sent_tokens)),
        f"{one.rewrites:,}",
        f"{one.compactions:,}",
    ]


def _losses(one: WhatIf, none: WhatIf | None) -> list[str]:
    if one.recall is None:
        return []
    return [
        _share(one.recall.recall),
        _share(one.recall.quote_recall),
        f"{len(one.recall.misses):,}",
        _usd(one.total_cost_usd),
        _share(ratio(one.total_cost_usd, none.total_cost_usd if none else None)),
    ]


def _print_misses(console: Console, one: WhatIf) -> None:
    found = one.recall.misses if one.recall is not None else []
    if not found:
        return
    console.print(f"\n[bold]{escape(visible(one.policy))}[/] missed")
    for miss in found[:MISSES_SHOWN]:
        gone = f"gone since call {miss.since_call} by {miss.rule}" if miss.rule else "never there"
        console.print(
            f"  call {miss.call} of {escape(visible(miss.thread))}: {miss.what} "
            f"{escape(visible(miss.text[:60]))} of {escape(visible(miss.item))}, {escape(gone)}"
        )
    if len(found) > MISSES_SHOWN:
        console.print(f"  and {len(found) - MISSES_SHOWN:,} more; --json lists all")


def _usd(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount:.4f}"


def _share(frac: float | None) -> str:
    return "-" if frac is None else f"{frac:.1%}"
