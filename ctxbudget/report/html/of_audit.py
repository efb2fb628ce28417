"""The page of `ctxbudget audit`."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ctxbudget.recorded.bill import Bill, Sums, Thread, families, holding_half
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import UsageRow
from ctxbudget.report.bill_json import iso_time, ordered_groups
from ctxbudget.report.cost_split import CostSplit
from ctxbudget.report.debt_rows import DebtRow, all_findings
from ctxbudget.report.html import words
from ctxbudget.report.html.calls import Calls, calls_chart
from ctxbudget.report.html.common import present
from ctxbudget.report.html.costs import Spent, cost_chart
from ctxbudget.report.html.findings import findings_chart
from ctxbudget.report.html.page import Page, Section, Table
from ctxbudget.report.html.rents import rent_chart
from ctxbudget.report.narrow import in_middle

TOP: Final = 15
"""So many of the dearest sessions or groups have a bar; the table has more."""

ROWS: Final = 500
"""Of a table of sessions."""

NAME_CHARS: Final = 60


@dataclass(slots=True, kw_only=True)
class ThreadDrawn:
    """One row of the bill: the parts of its cost, and the tokens of each of its calls."""

    split: CostSplit = field(default_factory=CostSplit)
    read: array[int] = field(default_factory=lambda: array("q"))
    written: array[int] = field(default_factory=lambda: array("q"))
    uncached: array[int] = field(default_factory=lambda: array("q"))


class BillDrawn:
    """Is told of each call that a bill counts, and keeps what its picture needs."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._threads: dict[int, ThreadDrawn] = {}

    def __call__(self, thread: Thread, row: UsageRow) -> None:
        """Take a call in."""
        one, tokens = self.of(thread), row.tokens
        price = self._prices(row.model, row.at_s)
        one.split.add_prompt(
            price,
            uncached_tokens=tokens.uncached_tokens,
            cache_read_tokens=tokens.cache_read_tokens,
            cache_write_5m_tokens=tokens.cache_write_5m_tokens,
            cache_write_1h_tokens=tokens.cache_write_1h_tokens,
        )
        one.split.add_output(price, tokens.prompt_tokens, tokens.output_tokens)
        one.read.append(tokens.cache_read_tokens)
        one.written.append(tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens)
        one.uncached.append(tokens.uncached_tokens)

    def of(self, thread: Thread) -> ThreadDrawn:
        """Return what is kept of a row of the bill, which must live as long as this."""
        return self._threads.setdefault(id(thread), ThreadDrawn())


def audit_page(
    bill: Bill, drawn: BillDrawn, rows: Sequence[DebtRow] | None, price_date: str
) -> Page:
    """Return the page of a finished bill; `rows` are its debt, if that was asked for."""
    total = bill.total
    by_cost = families(bill.threads)
    threads = sorted(bill.threads, key=lambda one: (-one.sums.cost_usd, one.name))
    root = _shared_folder(bill)
    half = holding_half(by_cost)
    notes = []
    if half and len(by_cost) > 1:
        notes.append(
            f"{len(half):,} of {words.times(len(by_cost), 'session')} "
            f"{'holds' if len(half) == 1 else 'hold'} half of the cost."
        )
    if bill.prices.unknown:
        names = ", ".join(model or "(not recorded)" for model in bill.prices.unknown)
        notes.append(f"The price of {names} is not known; what it was used for has no cost here.")
    if not total.calls:
        notes.append("No call was found, so there is nothing to draw.")
    return Page(
        kind="ctxbudget audit: what recorded agent sessions cost",
        title=_title(bill, root),
        about=(
            f"{words.times(len(bill.threads), 'thread')} of {words.times(len(by_cost), 'session')}"
            f"{_span(total)}; models: {', '.join(total.models) or 'none'}."
        ),
        cards=_cards(total),
        notes=notes,
        sections=present(
            (
                _split_section(threads, drawn, root),
                _sessions_section(threads, root),
                _groups_section(bill),
                _calls_section(threads, drawn, root),
                *(_debt_sections(rows, root) if rows is not None else ()),
            )
        ),
        foot=[f"Prices: {price_date}. Days and ranges are in UTC."],
    )


def _title(bill: Bill, root: str) -> str:
    cost = bill.total.known_cost_usd
    names = {thread.file.file for thread in bill.threads}
    what = root.rstrip(os.sep) or next(iter(names), "nothing")
    return f"{words.short_usd(cost)} for {in_middle(what, NAME_CHARS)}"


def _span(total: Sums) -> str:
    start, end = iso_time(total.started_at_s), iso_time(total.ended_at_s)
    return "" if start is None or end is None else f", from {start[:16]} to {end[:16]} UTC"


def _cards(total: Sums) -> list[tuple[str, str]]:
    known = "" if total.cost_known_frac == 1 else ", as far as prices are known"
    return [
        (words.short_usd(total.known_cost_usd), f"input and output{known}"),
        (f"{total.calls:,}", "calls"),
        (words.short_tokens(total.sent_tokens), "tokens sent"),
        (words.frac(total.cache_read_frac), "of sent was read from the cache"),
        (words.short_tokens(total.output_tokens), "tokens of output"),
        (words.short_tokens(total.peak_prompt_tokens), "tokens in the largest prompt"),
    ]


def _name(thread: Thread, root: str) -> str:
    name = thread.name.removeprefix(root)
    return f"{name} ({thread.agent})" if thread.agent and not thread.file.has_main else name


def _split_section(threads: Sequence[Thread], drawn: BillDrawn, root: str) -> Section | None:
    spent = [
        Spent(
            name=_name(one, root),
            split=drawn.of(one).split,
            output_usd=drawn.of(one).split.output_usd,
        )
        for one in threads
        if one.sums.priced_calls
    ]
    if not spent:
        return None
    parts = ("cache reads", "cache writes", "uncached input", "summaries", "output")
    sums = [
        sum((one.amounts[place] or Decimal(0) for one in spent), Decimal(0))
        for place in range(len(parts))
    ]
    whole = sum(sums, Decimal(0))
    largest = max(range(len(parts)), key=sums.__getitem__)
    shown = spent[:TOP]
    note = ""
    if len(spent) > len(shown):
        left_usd = sum((one.whole_usd for one in spent[TOP:]), Decimal(0))
        note = (
            f"The {len(shown):,} dearest of {len(spent):,} threads have a bar; the others cost "
            f"{words.usd(left_usd)} together."
        )
    return Section(
        title=f"{words.capital(parts[largest])} take {words.share(sums[largest], whole)} of the cost",
        charts=[cost_chart(shown, "session", note)],
    )


def _sessions_section(threads: Sequence[Thread], root: str) -> Section | None:
    shown = threads[:ROWS]
    if not shown:
        return None
    note = "Tokens. An agent of a session has a row of its own."
    if len(threads) > len(shown):
        note += f" The {len(shown):,} dearest of {len(threads):,} are listed; --json has all."
    return Section(
        title=f"{len(threads):,} threads, the dearest first"
        if len(threads) > 1
        else "Tokens by kind",
        tables=[_sums_table("session", [(_name(one, root), one.sums) for one in shown], note)],
    )


def _groups_section(bill: Bill) -> Section | None:
    if bill.by == "session":
        return None
    groups = ordered_groups(bill)
    top = max(groups, key=lambda one: one[1].cost_usd, default=None)
    if top is None:
        return None
    return Section(
        title=f"By {bill.by}: {top[0]} costs most, {words.short_usd(top[1].known_cost_usd)}",
        tables=[_sums_table(bill.by, groups[:ROWS], "Tokens.")],
    )


def _sums_table(what: str, rows: Sequence[tuple[str, Sums]], note: str) -> Table:
    return Table(
        head=(
            what,
            "calls",
            "uncached",
            "cache read",
            "written 5m",
            "written 1h",
            "output",
            "USD",
            "read of sent",
            "largest prompt",
        ),
        rows=[
            (
                name,
                f"{sums.calls:,}",
                words.tokens(sums.uncached_input_tokens),
                words.tokens(sums.cache_read_tokens),
                words.tokens(sums.cache_write_5m_tokens),
                words.tokens(sums.cache_write_1h_tokens),
                words.tokens(sums.output_tokens),
                words.usd_cell(sums.known_cost_usd) + ("+" if sums.cost_known_frac < 1 else ""),
                words.frac(sums.cache_read_frac),
                words.tokens(sums.peak_prompt_tokens),
            )
            for name, sums in rows
        ],
        note=note,
    )


def _calls_section(threads: Sequence[Thread], drawn: BillDrawn, root: str) -> Section | None:
    """Return the calls of the dearest thread."""
    one = next((thread for thread in threads if thread.sums.calls), None)
    if one is None:
        return None
    kept = drawn.of(one)
    calls = Calls(read=kept.read, written=kept.written, uncached=kept.uncached)
    peak = words.tokens(one.sums.peak_prompt_tokens)
    which = "The" if len(threads) == 1 else "The dearest thread's"
    return Section(
        title=f"{which} largest prompt holds {peak} tokens",
        intro=f"{_name(one, root)}, call by call, by the provider's counts.",
        charts=[calls_chart(calls)],
    )


def _debt_sections(rows: Sequence[DebtRow], root: str) -> list[Section]:
    findings = all_findings(rows)
    sections = []
    if findings:
        best = max(
            findings,
            key=lambda one: (one.saving.with_misses_usd or 0) if one.saving is not None else 0,
        )
        kept = best.saving.with_misses_usd if best.saving is not None else None
        title = "What was found would not have saved anything, misses paid for"
        if kept is not None and kept > 0:
            title = (
                f"To {best.step.split(':')[0]} would have saved {words.usd(kept)}, misses paid for"
            )
        sections.append(Section(title=title, charts=[findings_chart(findings)]))
    dearest = next((row for row in rows if row.debt is not None), None)
    if dearest is not None and dearest.debt is not None:
        rents = dearest.debt.rents
        top = rents.items[0]
        sections.append(
            Section(
                title=(
                    f"Who pays the rent: {in_middle(top.item.id, 30)} takes "
                    f"{words.share(top.rent.cost_usd, dearest.debt.input_usd)} of the input cost"
                ),
                intro=f"Of {_name(dearest.thread, root)}.",
                charts=[
                    rent_chart(
                        [one.rent for one in rents.items],
                        "item",
                        {one.item.id: one.item for one in rents.items},
                    ),
                    rent_chart(rents.by_tool, "tool"),
                ],
            )
        )
    if not sections:
        sections.append(
            Section(title="There is no debt to show", intro="No session could be replayed.")
        )
    return sections


def _shared_folder(bill: Bill) -> str:
    """Return the folder that all names begin with, to be left out of them; empty for one file."""
    folders = {os.path.dirname(thread.file.file) for thread in bill.threads}
    if len({thread.file.file for thread in bill.threads}) < 2 or "" in folders:
        return ""
    try:
        return os.path.join(os.path.commonpath(folders), "")
    except ValueError:  # some are absolute
        return ""
