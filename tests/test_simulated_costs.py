"""What a simulation costs: worked by hand from list prices, through the engine and the command."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import Command, in_subprocess, written
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import (
    CallSent,
    CallStarted,
    Charge,
    Event,
    ItemAdded,
    PhaseClosed,
    PhaseStarted,
    Pruned,
    RunStarted,
    Shortened,
)
from ctxbudget.core.pricing import InputCosts
from ctxbudget.core.types import Do, Item, Kind, Price, Scale
from ctxbudget.history import History
from ctxbudget.metrics import Metrics
from ctxbudget.providers.prices import cache_of, price_date, price_of
from ctxbudget.simulate import measure_for, simulate

SONNET, HAIKU = "claude-sonnet-4-5", "claude-haiku-4-5"
MILLION = Decimal(1_000_000)


def usd(model: str, *, read: int = 0, wrote: int = 0, plain: int = 0, out: int = 0) -> Decimal:
    """Return what tokens cost by hand: Sonnet 4.5 at 3 / 0.30 / 3.75 / 15, Haiku 4.5 at a third."""
    third = {SONNET: Decimal(1), HAIKU: Decimal(1) / 3}[model]
    per_million = plain * 3 + read * Decimal("0.30") + wrote * Decimal("3.75") + out * 15
    return round(third * per_million / MILLION, 12)


def test_the_list_prices_are_those_worked_with() -> None:
    for model in (SONNET, HAIKU):
        price = price_of(model, None)
        assert price is not None
        assert price.cost_usd(uncached_tokens=7, output_tokens=3) == usd(model, plain=7, out=3)
        assert price.cost_usd(cache_read_tokens=7) == usd(model, read=7)
        assert price.cost_usd(cache_write_5m_tokens=7) == usd(model, wrote=7)


def simulated(folder: Path, text: str, policy: str | None = None, **overrides: Any) -> Metrics:
    loaded = read_workflow(written(folder, text))
    setup = set_up_run(loaded, Overrides(policy=policy, **overrides))
    return simulate(setup, measure_for(loaded))


def phase_costs(metrics: Metrics) -> list[Decimal | None]:
    return [row.cost_usd for row in metrics.phases]


FLOW = f"""\
model: {SONNET}
window: 100000
permanent: [{{id: rules, tokens: 2000}}]
phases:
- {{id: look, output: 4000, metadata: 200}}
- {{id: build, after: [look], calls: 2, turn: {{call: 100, result: 900}}}}
"""

NONE = [
    usd(SONNET, wrote=2_000),
    # 6,000 with the output, then 7,000 with a turn
    usd(SONNET, read=2_000, wrote=4_000) + usd(SONNET, read=6_000, wrote=1_000),
]
AGGRESSIVE = [
    usd(SONNET, wrote=2_000),
    # 2,200 with the metadata, then 3,200 with a turn
    usd(SONNET, read=2_000, wrote=200) + usd(SONNET, read=2_200, wrote=1_000),
]


@pytest.mark.parametrize(("policy", "by_hand"), [("none", NONE), ("aggressive", AGGRESSIVE)])
def test_a_run_of_two_phases(tmp_path: Path, policy: str, by_hand: list[Decimal]) -> None:
    found = simulated(tmp_path, FLOW, policy)
    assert phase_costs(found) == by_hand
    assert found.run.cost_usd == sum(by_hand)
    (model,) = found.models
    assert (model.model, model.calls, model.cost_usd) == (SONNET, 3, sum(by_hand))
    assert model.sent_tokens == found.run.sent_tokens


SUMMARIES = """\
policy:
  name: test
  rules:
  - on: phase_finished
    select: {kind: artifact}
    do: summarize
    by: all
    to: 40
    why: a test
"""


def test_a_summary_reads_what_it_replaces_and_is_written(tmp_path: Path) -> None:
    found = simulated(tmp_path, FLOW + SUMMARIES)
    assert phase_costs(found) == [
        usd(SONNET, wrote=2_000) + usd(SONNET, plain=4_000, out=40),
        usd(SONNET, read=2_000, wrote=40) + usd(SONNET, read=2_040, wrote=1_000),
    ]


def test_a_summary_pays_for_an_output_that_it_only_reads(tmp_path: Path) -> None:
    leaving = SUMMARIES.replace("to: 40", "to: 40\n    leave_metadata: true")
    found = simulated(tmp_path, FLOW + leaving)
    # the output goes on as it is, the summary stands before or behind it
    (look, _) = phase_costs(found)
    assert look == usd(SONNET, wrote=2_000) + usd(SONNET, plain=4_000, out=40)


def three_phases(second: str) -> str:
    return f"""\
model: {SONNET}
window: 100000
policy: none
permanent: [{{id: rules, tokens: 6000}}]
phases: [{{id: a}}, {{id: b, after: [a]{second}}}, {{id: c, after: [b]}}]
"""


def test_a_switch_of_model_starts_cold(tmp_path: Path) -> None:
    stays = simulated(tmp_path, three_phases(""))
    read = usd(SONNET, read=6_000)
    assert phase_costs(stays) == [usd(SONNET, wrote=6_000), read, read]
    switches = simulated(tmp_path, three_phases(f", model: {HAIKU}"))
    # the cheaper model writes all again; what the first one wrote is still there
    assert phase_costs(switches) == [usd(SONNET, wrote=6_000), usd(HAIKU, wrote=6_000), read]
    assert usd(HAIKU, wrote=6_000) > 4 * read  # so the switch did not pay
    assert [(row.model, row.calls, row.cost_usd) for row in switches.models] == [
        (SONNET, 2, usd(SONNET, wrote=6_000) + read),
        (HAIKU, 1, usd(HAIKU, wrote=6_000)),
    ]


def test_a_prompt_too_short_for_a_models_cache_is_not_cached(tmp_path: Path) -> None:
    text = three_phases("").replace("6000", "4000")
    dear, cheap = simulated(tmp_path, text), simulated(tmp_path, text, model=HAIKU)
    assert dear.run.cost_usd == usd(SONNET, wrote=4_000, read=8_000)
    assert cheap.run.cost_usd == usd(HAIKU, plain=12_000)  # from 4,096 tokens on


AGENTS = f"""\
model: {SONNET}
window: 100000
policy: none
permanent: [{{id: rules, tokens: 6000}}]
phases:
- id: a
  agents:
  - {{id: x, output: 500, calls: 2, model: {HAIKU}, turn: {{call: 100, result: 900}}}}
  - {{id: y, output: 500}}
"""


def test_an_agent_on_a_cheaper_model(tmp_path: Path) -> None:
    found = simulated(tmp_path, AGENTS)
    cheap = usd(HAIKU, wrote=6_000) + usd(HAIKU, read=6_000, wrote=1_000)
    own, main = usd(SONNET, wrote=6_000), usd(SONNET, wrote=7_000)
    (phase,) = found.phases
    assert {row.id: row.cost_usd for row in phase.threads} == {"a/x": cheap, "a/y": own}
    assert phase.cost_usd == found.run.cost_usd == cheap + own + main
    assert {row.model: row.cost_usd for row in found.models} == {HAIKU: cheap, SONNET: own + main}


def test_calls_go_to_the_model_of_the_agent_the_phase_or_the_run(tmp_path: Path) -> None:
    text = """\
model: of-run
phases:
- {id: a, agents: [{id: x, output: 1}]}
- {id: b, model: of-b, agents: [{id: y, output: 1}, {id: z, output: 1, model: of-z}]}
"""
    for model in (None, "given"):
        called: list[tuple[str, str]] = []
        loaded = read_workflow(written(tmp_path, text))

        def note(event: Event, into: list[tuple[str, str]] = called) -> None:
            if isinstance(event, CallStarted):
                into.append((event.thread, event.model))

        simulate(set_up_run(loaded, Overrides(model=model)), measure_for(loaded), [note])
        run = model or "of-run"
        assert called == [
            *[("a/x", run), ("main", run)],
            *[("b/y", "of-b"), ("b/z", "of-z"), ("main", "of-b")],
        ]


def test_a_run_starts_with_prices_and_caches_of_the_models_it_names(tmp_path: Path) -> None:
    start = set_up_run(read_workflow(written(tmp_path, three_phases(", model: odd")))).start
    assert start.prices == {SONNET: price_of(SONNET, None)}
    assert start.caches == {SONNET: cache_of(SONNET), "odd": cache_of("odd")}
    assert start.model == SONNET
    start = set_up_run(read_workflow(written(tmp_path, "phases: [{id: a}]"))).start
    assert (start.prices, start.caches, start.model) == ({}, {}, "")


def test_a_given_model_sets_the_window_unless_one_is_given(tmp_path: Path) -> None:
    loaded = read_workflow(written(tmp_path, "model: unheard-of\nphases: [{id: a}]"))
    setup = set_up_run(loaded, Overrides(model="gpt-5"))
    assert (setup.window_is_assumed, setup.start.scale.window_tokens) == (False, 400_000)
    setup = set_up_run(loaded, Overrides(model="gpt-5", window_tokens=5_000))
    assert setup.start.scale.window_tokens == 5_000


def test_a_model_without_a_price_is_unknown_and_never_free(tmp_path: Path) -> None:
    found = simulated(tmp_path, three_phases(", model: odd"))
    assert phase_costs(found) == [usd(SONNET, wrote=6_000), None, usd(SONNET, read=6_000)]
    assert found.run.cost_usd is None
    assert {row.model: row.cost_usd for row in found.models} == {
        SONNET: usd(SONNET, wrote=6_000, read=6_000),
        "odd": None,
    }
    unnamed = simulated(tmp_path, AGENTS.replace(f"model: {SONNET}\n", "", 1))
    assert unnamed.run.cost_usd is None
    assert [row.cost_usd is None for row in unnamed.phases[0].threads] == [False, True]


# ---- the command


def test_json_has_costs_as_text(ctxbudget: Command, tmp_path: Path) -> None:
    policies = ["--policy", "aggressive", "--policy", "none"]
    found = ctxbudget("simulate", written(tmp_path, FLOW), *policies, "--json").json
    assert found["price_date"] == price_date()
    assert [phase["cost_usd"] for phase in found["phases"]] == ["0.007500", "0.005760"]
    assert found["run"]["cost_usd"] == "0.013260"
    assert found["none"]["run"]["cost_usd"] == "0.028650"
    assert [one["run"]["cost_usd"] for one in found["compare"]] == ["0.013260", "0.028650"]
    assert found["models"] == found["compare"][0]["models"]
    assert found["models"] == [
        {"model": SONNET, "calls": 3, "sent_tokens": 7_400, "cost_usd": "0.013260"}
    ]
    (phase,) = ctxbudget("simulate", written(tmp_path, AGENTS), "--json").json["phases"]
    assert [row["cost_usd"] for row in phase["threads"]] == ["0.009350", "0.022500"]


@pytest.mark.parametrize("columns", ["60", "80", "100", "160"])
def test_tables_show_costs(tmp_path: Path, columns: str) -> None:
    flow = written(tmp_path, FLOW)
    ran = in_subprocess(
        "simulate", flow, "--policy", "aggressive", cwd=tmp_path, env={"COLUMNS": columns}
    )
    text = " ".join(ran.out.split())
    assert (
        f"USD: input cost of calls by the cache model, and summaries; other output is not part of it; prices: {price_date()}"
        in text
    )
    rows = {line.split()[0]: line.split() for line in ran.out.splitlines() if line.strip()}
    assert "0.0058" in rows["build"]
    assert "0.0133" in rows["run"]
    assert {"0.0133", "46.3%"} <= set(rows["aggressive"])
    assert {"0.0286", "100.0%"} <= set(rows["none"])  # 0.02865
    assert "by model" not in text


def test_tables_say_what_each_model_cost(ctxbudget: Command, tmp_path: Path) -> None:
    shown = " ".join(ctxbudget("simulate", written(tmp_path, AGENTS)).out.split())
    assert f"USD by model: {HAIKU} 0.0094 in 2 calls, {SONNET} 0.0488 in 2 calls" in shown


def test_without_a_model_nothing_is_said_about_money(ctxbudget: Command) -> None:
    shown = ctxbudget("simulate", "jwt_auth").out
    assert not re.search(r"USD|price|cost", shown)
    found = ctxbudget("simulate", "jwt_auth", "--json").json
    assert found["price_date"] is None
    assert {row["cost_usd"] for row in (found["run"], found["none"]["run"], *found["phases"])} == {
        None
    }
    assert [row["model"] for row in found["models"]] == [""]


def test_an_unknown_model_is_told_once(ctxbudget: Command, tmp_path: Path) -> None:
    note = "unknown: the price of odd[1]\\x1b; what it was used for has no cost"
    options = ["--model", "odd[1]\x1b", "--policy", "none", "--policy", "moderate"]
    ran = ctxbudget("simulate", "jwt_auth", *options)
    assert (ran.code, ran.out.count(note), "USD" in ran.out) == (0, 1, False)
    flow = written(tmp_path, three_phases(", model: odd"))
    ran = ctxbudget("simulate", flow)
    assert ran.out.count("the price of odd;") == 1
    rows = {line.split()[0]: line.split() for line in ran.out.splitlines() if line.strip()}
    assert ("0.0225" in rows["a"], "–" in rows["b"], "–" in rows["run"]) == (True, True, True)
    assert ctxbudget("simulate", flow, "--json").json["run"]["cost_usd"] is None


def test_calls_without_a_model_are_told(ctxbudget: Command, tmp_path: Path) -> None:
    flow = written(tmp_path, AGENTS.replace(f"model: {SONNET}\n", "", 1))
    assert "unknown: the cost of 2 calls that name no model" in ctxbudget("simulate", flow).out


def test_a_model_has_a_name(ctxbudget: Command) -> None:
    error = ctxbudget("simulate", "jwt_auth", "--model", " ").error
    assert error == "--model: expected a model's name, found nothing"


# ---- events

PRICE = Price(
    input_usd=Decimal(1),
    cache_read_usd=Decimal("0.1"),
    cache_write_5m_usd=Decimal("1.25"),
    cache_write_1h_usd=Decimal(2),
    output_usd=Decimal(5),
)
START = RunStarted(
    at=0.0,
    workflow="w",
    scale=Scale(window_tokens=9_000, reserve_tokens=0, budget_tokens=9_000),
    phases=(),
    prices={"m": PRICE, "n": PRICE},
    model="m",
)
PAIR = (
    Item(id="i", tokens=60, kind=Kind.TOOL_RESULT),
    Item(id="s", tokens=8, kind=Kind.SUMMARY),
)


def sent(tokens: int, model: str = "m", **split: int) -> CallSent:
    full: dict[str, Any] = {"cache_read_tokens": 0, "cache_write_tokens": 0, "uncached_tokens": 0}
    return CallSent(at=0.0, call=1, tokens=tokens, model=model, **{**full, **split})


def summary(**answer: Any) -> list[Event]:
    """Return a summary of one item, as the world answered and as it was put in."""
    item, stand_in = PAIR
    return [
        ItemAdded(at=0.0, item=item),
        Shortened(at=0.0, do=Do.SUMMARIZE, items=("i",), tokens=8, **answer),
        Pruned(
            at=0.0,
            rule="r",
            reason="because",
            do=Do.SUMMARIZE,
            items=("i",),
            removed_tokens=60,
            occupancy_tokens=8,
            plan=1,
            stand_in=stand_in,
        ),
    ]


def metrics(*events: Event) -> Metrics:
    found = Metrics()
    for event in events:
        found(event)
    return found


@pytest.mark.parametrize(
    ("answer", "assumes", "expected"),
    [
        ({}, False, 60 + 8 * 5),
        ({"text": "hash"}, False, 0),  # a digest: no model was asked
        ({"text": "hash"}, True, 60 + 8 * 5),
        ({"text": "hash", "charge": Charge(model="n", uncached_tokens=7, output_tokens=2)}, False, 17),
        ({"text": "hash", "charge": Charge(model="n", uncached_tokens=7, output_tokens=2)}, True, 17),
        ({"charge": Charge(model="odd")}, False, None),
    ],
)  # fmt: skip
def test_a_summary_costs_what_its_writer_reports(
    answer: dict[str, Any], assumes: bool, expected: int | None
) -> None:
    costs = InputCosts(assumes_summaries=assumes)
    made = [cost for event in (START, *summary(**answer)) if (cost := costs(event)) is not None]
    assert [cost.usd for cost in made] == ([] if expected == 0 else [expected])
    assert all(cost.is_summary for cost in made)
    if not assumes:
        assert metrics(START, *summary(**answer)).run.cost_usd == expected


def test_a_summary_is_of_the_model_that_its_thread_called_last() -> None:
    found = metrics(START, sent(9, "n", uncached_tokens=9), *summary())
    (row,) = found.models
    assert (row.model, row.calls, row.cost_usd) == ("n", 1, Decimal(109))
    assert metrics(START, *summary()).models[0].model == "m"


def test_writes_with_a_long_life_have_their_own_price() -> None:
    call = sent(10, cache_write_tokens=10, cache_write_1h_tokens=4)
    assert metrics(START, call).run.cost_usd == 6 * Decimal("1.25") + 4 * 2
    history = History()
    for event in (START, ItemAdded(at=0.0, item=Item(id="i", tokens=10)), call):
        history(event)
    assert history.rent()[0].cost_usd == 6 * Decimal("1.25") + 4 * 2


calls = st.lists(
    st.tuples(
        st.sampled_from(["p", "q", None]),
        st.sampled_from(["m", "n", "odd"]),
        *[st.integers(0, 5_000)] * 3,
    ),
    max_size=12,
)


@given(calls)
def test_phases_and_models_add_up_to_the_run(
    made: list[tuple[str | None, str, int, int, int]],
) -> None:
    found = Metrics()
    found(START)
    by_hand, outside = Decimal(0), Decimal(0)
    for phase, model, read, wrote, plain in made:
        if phase is not None:
            found(PhaseStarted(at=0.0, phase=phase))
        tokens = {
            "cache_read_tokens": read,
            "cache_write_tokens": wrote,
            "uncached_tokens": plain,
        }
        found(sent(read + wrote + plain, model, **tokens))
        cost = PRICE.cost_usd(
            cache_read_tokens=read, cache_write_5m_tokens=wrote, uncached_tokens=plain
        )
        by_hand += cost
        if phase is None:
            outside += cost
        else:
            zeros = dict.fromkeys(("start", "peak", "residual", "kept", "over", "allocated"), 0)
            sizes = {f"{name}_tokens": 0 for name in zeros}
            found(PhaseClosed(at=0.0, phase=phase, **sizes))
    if any(model == "odd" for _, model, *_ in made):
        assert found.run.cost_usd is None
    else:
        assert found.run.cost_usd == by_hand
        assert sum(row.cost_usd or 0 for row in found.models) == by_hand
        assert sum(row.cost_usd or 0 for row in found.phases) + outside == by_hand
    assert sum(row.calls for row in found.models) == found.run.calls
    assert sum(row.sent_tokens for row in found.models) == found.run.sent_tokens
