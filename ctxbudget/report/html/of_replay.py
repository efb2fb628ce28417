"""The page of `ctxbudget replay`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal

from ctxbudget.config.policy_file import NONE
from ctxbudget.replay import WhatIf
from ctxbudget.report.drawn import Drawing, DrawnRun
from ctxbudget.report.html import words
from ctxbudget.report.html.common import (
    calls_of,
    calls_section,
    occupancy_section,
    peak_words,
    present,
    rent_section,
)
from ctxbudget.report.html.costs import Spent, cost_chart
from ctxbudget.report.html.lines import PolicyLine, lines_chart
from ctxbudget.report.html.misses import miss_chart
from ctxbudget.report.html.page import Page, Section, Table
from ctxbudget.report.html.tradeoff import Choice, tradeoff_chart
from ctxbudget.report.replayed import Replayed, missing_texts
from ctxbudget.report.what_if_json import ratio, share


def replayed_page(replayed: Replayed, drawing: Drawing) -> Page:
    """Return the page of a recorded session under each policy."""
    found = replayed.found
    drawn = [drawing.of(one.policy) for one in found]
    for run in drawn:
        run.timeline.settle()
    tried = [one for one in found if one.bound is None and one.policy != NONE]
    shown = tried[0] if tried else replayed.none or found[0]
    own = drawing.of(shown.policy)
    return Page(
        kind="ctxbudget replay: a recorded session under other policies, no model was called",
        title=os.path.basename(replayed.run.start.workflow) or replayed.run.start.workflow,
        about=_about(replayed),
        cards=_cards(replayed, shown),
        notes=_notes(replayed, tried),
        sections=present(
            (
                _lines_section(replayed, drawn),
                _tradeoff_section(replayed),
                _cost_section(replayed, drawn),
                occupancy_section(
                    own.timeline,
                    shown.metrics.run,
                    f"Under {shown.policy} the prompt peaks at {peak_words(shown.metrics)}",
                    f"The main thread's prompt under {shown.policy}, layer by layer.",
                ),
                calls_section(
                    calls_of(own.timeline), f"The main thread's calls under {shown.policy}."
                )
                if len(own.timeline.sent)
                else None,
                _miss_section(found),
                rent_section(own, f"Under {shown.policy}."),
                _validity_section(replayed),
            )
        ),
        foot=[
            "USD: input and summaries, by the cache model; the recorded model is taken as it was: "
            "what it would have done with another prompt is not known.",
            f"Prices: {replayed.price_date}",
        ],
    )


def _about(replayed: Replayed) -> str:
    run, scale = replayed.run, replayed.scale
    name = "" if os.path.basename(replayed.file) == replayed.file else f"{replayed.file}: "
    cost = ""
    if run.cost_usd is not None:
        output = "" if run.output_usd is None else f", output {words.usd(run.output_usd)}"
        cost = f" Recorded input cost {words.usd(run.cost_usd)}{output}."
    return (
        f"{name}{words.times(run.calls, 'call')}, window {scale.window_tokens:,} tokens, reserve "
        f"{scale.reserve_tokens:,}, budget {scale.budget_tokens:,}.{cost}"
    )


def _notes(replayed: Replayed, tried: Sequence[WhatIf]) -> list[str]:
    notes = []
    none = replayed.none
    priced = [one for one in tried if one.total_cost_usd is not None]
    if none is not None and none.total_cost_usd and priced:
        best = min(priced, key=lambda one: one.total_cost_usd or 0)
        of_none = words.frac(ratio(best.total_cost_usd, none.total_cost_usd))
        if best.total_cost_usd is not None and best.total_cost_usd < none.total_cost_usd:
            notes.append(f"Least with misses charged: {best.policy}, {of_none} of none.")
        else:
            notes.append("None of these policies costs less than none, misses charged.")
    fitted = [one for one in replayed.found if one.fitted_calls]
    notes += [
        f"The window was too small under {one.policy}: the engine had to make "
        f"{words.times(one.fitted_calls, 'prompt')} fit."
        for one in fitted
    ]
    notes += [f"{said[:1].upper()}{said[1:]}." for said in missing_texts(replayed)]
    if any(one.cost_usd is None for one in replayed.found):
        notes.append("The price of a model is not known, so costs are not; --price sets one.")
    return notes


def _cards(replayed: Replayed, shown: WhatIf) -> list[tuple[str, str]]:
    none, run = replayed.none, shown.metrics.run
    sent_of_none = words.share(run.sent_tokens, none.metrics.run.sent_tokens if none else None)
    first = (
        words.short_tokens(run.sent_tokens),
        f"sent under {shown.policy}, {sent_of_none} of none",
    )
    if shown.cost_usd is not None:
        of_none = words.frac(ratio(shown.cost_usd, none.cost_usd if none else None))
        first = (words.short_usd(shown.cost_usd), f"input under {shown.policy}, {of_none} of none")
    recall = shown.recall
    cards = [
        first,
        (words.tokens(shown.peak_tokens), "tokens in the largest prompt sent"),
        (
            words.frac(share(run.cache.cache_read_tokens, run.sent_tokens)),
            f"of {words.short_tokens(run.sent_tokens)} sent was read from the cache",
        ),
        (f"{shown.rewrites:,}", "calls that had to write the cache again"),
    ]
    if recall is not None:
        known = shown.refetch_usd is not None
        refetch = f"; fetching them: {words.usd(shown.refetch_usd)}" if known else ""
        cards += [
            (
                words.frac(recall.recall),
                f"of identifiers recalled, {words.frac(recall.quote_recall)} of quoted lines",
            ),
            (f"{len(recall.misses):,}", f"misses{refetch}"),
        ]
    return cards


def _policy_table(replayed: Replayed) -> Table:
    none = replayed.none
    rows = []
    for one in replayed.found:
        sent, recall = one.metrics.run, one.recall
        rows.append(
            (
                one.policy if one.bound is None else f"{one.policy} (bound)",
                words.tokens(sent.sent_tokens),
                words.tokens(one.peak_tokens),
                words.usd_cell(one.cost_usd),
                words.frac(ratio(one.cost_usd, none.cost_usd if none else None)),
                words.frac(share(sent.cache.cache_read_tokens, sent.sent_tokens)),
                f"{one.rewrites:,}",
                f"{one.compactions:,}",
                words.frac(recall.recall if recall is not None else None),
                words.frac(recall.quote_recall if recall is not None else None),
                f"{len(recall.misses):,}" if recall is not None else "–",
                words.usd_cell(one.total_cost_usd),
            )
        )
    return Table(
        head=(
            "policy",
            "sent",
            "largest sent",
            "USD",
            "of none",
            "cached",
            "rewrites",
            "summaries",
            "recall",
            "quotes",
            "misses",
            "USD with misses",
        ),
        rows=rows,
        note=(
            "Sent and largest sent are tokens. With misses: each missed item written again, and one "
            "more call for it. A bound could not run; it is there to compare with."
        ),
    )


def _lines_section(replayed: Replayed, drawn: Sequence[DrawnRun]) -> Section:
    lines = [
        PolicyLine(name=one.policy, timeline=run.timeline)
        for one, run in zip(replayed.found, drawn, strict=True)
    ]
    real = [one for one in replayed.found if one.bound is None]
    lowest = min(real or list(replayed.found), key=lambda one: one.peak_tokens)
    title = (
        f"Side by side: {lowest.policy} peaks lowest, its largest prompt holds "
        f"{words.tokens(lowest.peak_tokens)} tokens"
    )
    if len(real) < 2:
        title = f"The largest prompt sent holds {words.tokens(lowest.peak_tokens)} tokens"
    table = _policy_table(replayed)
    return Section(
        title=title,
        intro="The main thread's prompt under each policy, with the bounds.",
        charts=[lines_chart(lines, lowest.metrics.run, table)],
    )


def _tradeoff_section(replayed: Replayed) -> Section | None:
    choices = [
        Choice(
            name=one.policy,
            cost_usd=one.cost_usd,
            sent_tokens=one.metrics.run.sent_tokens,
            recall=one.recall.recall if one.recall is not None else None,
            quote_recall=one.recall.quote_recall if one.recall is not None else None,
            is_bound=one.bound is not None,
        )
        for one in replayed.found
    ]
    if all(one.recall is None and one.quote_recall is None for one in choices):
        return None
    title = _cheapest(choices)
    return Section(title=title, charts=[tradeoff_chart(choices, _recall_table(choices))])


def _cheapest(choices: Sequence[Choice]) -> str:
    """Return which policy costs least, or sends least where prices are not known."""
    is_priced = all(one.cost_usd is not None for one in choices)
    none = next((one for one in choices if one.name == NONE), None)
    tried = [one for one in choices if not one.is_bound and one.name != NONE]
    if none is None or not tried:
        return "What the bounds cost, and what they recall"

    def cost(one: Choice) -> Decimal:
        return one.cost_usd or Decimal(0) if is_priced else Decimal(one.sent_tokens)

    best = min(tried, key=cost)
    is_what = "is cheapest" if is_priced else "sends least"
    if cost(best) >= cost(none):
        return f"No policy that was tried {'costs' if is_priced else 'sends'} less than none"
    return (
        f"{best.name} {is_what}, {words.frac(ratio(cost(best), cost(none)))} of none, and recalls "
        f"{words.frac(best.recall)} of identifiers, {words.frac(best.quote_recall)} of quotes"
    )


def _recall_table(choices: Sequence[Choice]) -> Table:
    return Table(
        head=("policy", "USD", "sent", "recall of identifiers", "recall of quoted lines"),
        rows=[
            (
                f"{one.name} (bound)" if one.is_bound else one.name,
                words.usd_cell(one.cost_usd),
                words.tokens(one.sent_tokens),
                words.frac(one.recall),
                words.frac(one.quote_recall),
            )
            for one in choices
        ],
    )


def _cost_section(replayed: Replayed, drawn: Sequence[DrawnRun]) -> Section | None:
    output_usd = replayed.run.output_usd
    spent = [
        Spent(name=one.policy, split=run.costs, output_usd=output_usd)
        for one, run in zip(replayed.found, drawn, strict=True)
        if one.cost_usd is not None
    ]
    if not spent:
        return None
    first = spent[0]
    read = first.split.cache_read_usd
    return Section(
        title=(
            f"Under {first.name} cache reads take {words.share(read, first.whole_usd)} of the cost, "
            f"writes {words.share(first.split.cache_write_usd, first.whole_usd)}"
        ),
        charts=[cost_chart(spent, note="Output is as recorded, the same under every policy.")],
    )


def _miss_section(found: Sequence[WhatIf]) -> Section | None:
    known = [one for one in found if one.recall is not None]
    if not known:
        return None
    missed = [one for one in known if one.recall is not None and one.recall.misses]
    if not missed:
        return Section(
            title="Nothing was missed: every prompt still held what its call used",
            intro=f"Under {words.in_words(one.policy for one in known)}.",
        )
    worst = max(missed, key=lambda one: len(one.recall.misses) if one.recall else 0)
    count = len(worst.recall.misses) if worst.recall else 0
    return Section(
        title=f"{worst.policy} misses most: {words.times(count, 'thing')} that calls used",
        charts=[miss_chart(known)],
    )


def _validity_section(replayed: Replayed) -> Section | None:
    """Return how far the numbers can be trusted, for sessions of other programs."""
    if replayed.session is None:
        return None
    rows = []
    error = replayed.bill_error_frac(replayed.none)
    if error is not None:
        rows.append(("our bill of none against the recorded one", f"{error:+.1%}"))
    rows += [
        ("calls that found a warm cache lost", f"{replayed.cache_losses:,}"),
        ("calls that found what other runs had cached", f"{replayed.cache_finds:,}"),
        ("tokens that came in without being shown", f"{replayed.session.unseen_tokens:,}"),
    ]
    errors = replayed.prompt_errors
    if errors is not None:
        rows += [
            ("prompts whose size was expected one call ahead", f"{errors.count:,}"),
            ("median error of these sizes", f"{errors.median_frac:.2%}"),
            ("95th percentile of these errors", f"{errors.p95_frac:.2%}"),
        ]
    title = "How far the session could be rebuilt"
    if error is not None:
        title = f"The rebuilt bill of none is {error:+.1%} against the recorded one"
    return Section(title=title, tables=[Table(head=("what", "found"), rows=rows)])
