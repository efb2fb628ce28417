"""The debt of sessions: what each finding cost, and what avoiding it would have saved."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ctxbudget.debt import Finding
from ctxbudget.report.html import words
from ctxbudget.report.html.colors import BLUE, GREEN, ORANGE
from ctxbudget.report.html.figures import Trace, figure, lying_axis, patterned, rows_height_px
from ctxbudget.report.html.page import Chart, Table


def findings_chart(findings: Sequence[Finding]) -> Chart:
    """Return the chart of what was found, the largest saving first."""
    names = [words.name(_name(one)) for one in findings]
    rows = [
        ("cost", "it cost", ORANGE, "/", [one.cost_usd for one in findings]),
        ("saves", "avoiding it saves", BLUE, "", [one.saves_usd for one in findings]),
        ("kept", "saves, misses paid for", GREEN, ".", [_kept(one) for one in findings]),
    ]
    traces: list[Trace] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": [None if amount is None else float(round(amount, 6)) for amount in amounts],
            "y": list(range(len(findings))),
            "hoverinfo": "text",
            "hovertext": [
                words.wrapped(f"{_name(one)}: {name} {words.usd(amount)}\n{one.step}")
                for one, amount in zip(findings, amounts, strict=True)
            ],
            "marker": patterned(color, pattern),
        }
        for _, name, color, pattern, amounts in rows
    ]
    chart = figure(
        traces,
        rows_height_px(len(findings), per_row=58),
        barmode="group",
        bargap=0.25,
        xaxis={"title": {"text": "USD"}},
        yaxis=lying_axis(names),
    )
    caption = (
        "Saves: the input cost under none, minus that of a replay that takes the step; negative: it "
        "would have cost more. Each saving stands alone: they overlap and do not add up."
    )
    return Chart(
        figure=chart,
        says="What each finding cost, and what avoiding it would have saved",
        caption=caption,
        tables=[_table(findings)],
    )


def _name(one: Finding) -> str:
    return one.what.replace("_", " ")


def _kept(one: Finding) -> Decimal | None:
    return None if one.saving is None else one.saving.with_misses_usd


def _table(findings: Sequence[Finding]) -> Table:
    head = (
        "found",
        "sessions",
        "count",
        "tokens",
        "USD",
        "saves",
        "of input",
        "misses",
        "with misses",
        "what to do",
    )
    return Table(
        head=head,
        rows=[
            (
                _name(one),
                f"{one.sessions:,}",
                f"{one.count:,}",
                words.tokens(one.tokens),
                words.usd_cell(one.cost_usd),
                words.usd_cell(one.saves_usd),
                words.frac(one.saves_frac),
                "–" if one.saving is None else f"{one.saving.misses:,}",
                words.usd_cell(_kept(one)),
                one.step,
            )
            for one in findings
        ],
        texts=frozenset({0, len(head) - 1}),
    )
