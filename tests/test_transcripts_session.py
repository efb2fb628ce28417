"""Tests of recorded files as runs: their window, their prices, what they cost."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from claude_lines import (
    Json,
    at_s,
    called,
    compacted,
    linked,
    progress,
    result,
    said,
    summary,
    text,
    turns,
    wrote,
)
from recorded_lines import OPUS, as_bytes, claude_usage, codex_count, codex_meta, codex_usage

from ctxbudget.config.policy_file import load_policy
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import CallStarted, ItemAdded, RunStarted, Withdrawn
from ctxbudget.core.types import Price
from ctxbudget.providers.prices import cache_of, price_of
from ctxbudget.recorded.bill import cost_of
from ctxbudget.recorded.formats import usage_rows
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import Settings, what_if
from ctxbudget.transcripts.session import RecordedSession, read_session

HAIKU, UNKNOWN = "claude-haiku-4-5", "our-own-model"


def kept(folder: Path, lines: Iterable[Json], *, packed: bool = False) -> Path:
    """Return the path of a file with these lines."""
    raw = as_bytes(one for _, one in linked(lines))
    path = folder / "one.jsonl"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return path


def opened(
    path: Path, agent: str | None = None, prices: PriceBook | None = None
) -> RecordedSession:
    return read_session(RecordedFile(file=str(path)), prices or PriceBook(price_of), agent)


def audited(path: Path) -> tuple[Decimal, Decimal]:
    """Return what the bill says of a file, input and output, each call at its date."""
    prices, input_usd, output_usd = PriceBook(price_of), Decimal(0), Decimal(0)
    with path.open("rb") as stream:
        rows = list(usage_rows(stream, RecordedFile(file=str(path))))
    for row in rows:
        whole = cost_of(row, prices)
        silent = cost_of(replace(row, tokens=row.tokens._replace(output_tokens=0)), prices)
        assert whole is not None
        assert silent is not None
        input_usd += silent.usd
        output_usd += whole.usd - silent.usd
    return input_usd, output_usd


SIX_CALLS = [
    claude_usage(0, w5m=20_000, output=100),
    claude_usage(0, read=20_000, w5m=500, output=100),
    claude_usage(0, read=20_500, w5m=4_000, output=50),
    claude_usage(0, w5m=9_000, output=50) | {"model": HAIKU},
    claude_usage(0, read=24_500, w5m=700, output=10),
    claude_usage(0, w5m=26_000, output=10),
]
"""Each reads what the one before left; the fourth is another model's, the last comes too late."""
SECONDS = (0, 100, 250, 260, 300, 900)


# ---- what it costs


def test_what_was_recorded_costs_what_the_bill_says(tmp_path: Path) -> None:
    path = kept(tmp_path, turns(*SIX_CALLS, seconds=SECONDS))
    run = opened(path).run
    assert (run.cost_usd, run.output_usd) == audited(path)
    # Opus: 0.50 a million read, 6.25 written; Haiku: 1.25 written.
    by_hand = Decimal("0.5") * 65_000 + Decimal("6.25") * 51_200 + Decimal("1.25") * 9_000
    assert run.cost_usd == by_hand / 1_000_000
    assert (run.calls, run.reported_calls) == (6, 6)


def test_none_costs_what_was_recorded(tmp_path: Path) -> None:
    """On a session in which the cache did what caches do."""
    longer = [claude_usage(0, read=26_000, w5m=1, output=9)]
    usages = [one for one in SIX_CALLS if "model" not in one] + longer
    seconds = [one for one in SECONDS if one != 260] + [1_000]
    run = opened(kept(tmp_path, turns(*usages, seconds=seconds))).run
    found = what_if(run, load_policy("none"))
    assert found.cost_usd == run.cost_usd
    assert found.metrics.run.sent_tokens == 20_000 + 20_500 + 24_500 + 25_200 + 26_000 + 26_001
    assert (found.skipped_facts, found.rewrites, found.compactions) == (0, 0, 0)
    assert found.recall is not None
    assert found.recall.misses == []


def test_calls_are_priced_at_their_dates(tmp_path: Path) -> None:
    """The price of reading fell by half the day after."""
    days = [datetime(2026, 10, day, 12, tzinfo=UTC).isoformat() for day in (6, 7)]
    lines = turns(*[claude_usage(0, read=1_000_000)] * 2, model="claude-sonnet-5-5")
    dated = [{**one, "timestamp": days[place // 2]} for place, one in enumerate(lines)]
    path = kept(tmp_path, dated)
    run = opened(path).run
    assert run.cost_usd == audited(path)[0] == Decimal("0.2") + Decimal("0.1")
    # A what-if has one price for a model: that of its first call.
    assert run.start.prices["claude-sonnet-5-5"].cache_read_usd.scaleb(6) == Decimal("0.2")


def test_a_model_without_a_price_has_no_cost(tmp_path: Path) -> None:
    prices = PriceBook(price_of)
    found = opened(kept(tmp_path, turns(claude_usage(100), model=UNKNOWN)), prices=prices)
    assert (found.run.cost_usd, found.run.output_usd) == (None, None)
    assert found.run.start.prices == {}
    assert list(prices.unknown) == [UNKNOWN]
    assert what_if(found.run, load_policy("none")).cost_usd is None


def test_prices_may_be_others(tmp_path: Path) -> None:
    def one_cent(model: str, at_s: float | None) -> Price:
        asked.append((model, at_s))
        cent = Decimal("0.01")
        return Price(
            input_usd=cent,
            cache_read_usd=cent,
            cache_write_5m_usd=cent,
            cache_write_1h_usd=cent,
            output_usd=Decimal(1),
        )

    asked: list[tuple[str, float | None]] = []
    path = kept(tmp_path, turns(claude_usage(100, output=7), seconds=[5]))
    run = opened(path, prices=PriceBook(one_cent)).run
    assert (run.cost_usd, run.output_usd) == (Decimal(1), Decimal(7))
    assert {model for model, _ in asked} == {OPUS}


# ---- the first fact


@pytest.mark.parametrize(
    ("models", "prompt", "window"),
    [
        ([HAIKU], 5_000, 200_000),
        ([HAIKU], 230_000, 230_000),  # the model's window is not all that can be had
        ([HAIKU, OPUS], 5_000, 1_000_000),
        ([UNKNOWN], 5_000, 5_000),
        ([UNKNOWN, HAIKU], 5_000, 200_000),
    ],
)
def test_the_window_is_the_largest_there_was(
    tmp_path: Path, models: list[str], prompt: int, window: int
) -> None:
    usages = [claude_usage(prompt) | {"model": one} for one in models]
    start = opened(kept(tmp_path, turns(*usages))).run.start
    scale = start.scale
    assert (scale.window_tokens, scale.budget_tokens, scale.reserve_tokens) == (window, window, 0)
    assert start.model == models[0]
    assert start.caches == {one: cache_of(one) for one in models}
    assert set(start.prices) == set(models) - {UNKNOWN}


def test_the_first_fact_is_the_runs(tmp_path: Path) -> None:
    path = kept(tmp_path, turns(*SIX_CALLS, seconds=SECONDS))
    run = opened(path).run
    assert run.facts[0] is run.start
    assert isinstance(run.start, RunStarted)
    assert (run.start.workflow, run.start.at) == (str(path), at_s(0))
    begun = [fact for fact in run.facts if isinstance(fact, CallStarted)]
    assert [(fact.at, fact.model) for fact in begun] == [
        (at_s(second), usage.get("model", OPUS))
        for second, usage in zip(SECONDS, SIX_CALLS, strict=True)
    ]


# ---- what it holds


READING = [
    said("where is the total of cart.py made?"),
    wrote("m1", called("t1", "Read", file_path="/shop/cart.py"), usage=claude_usage(0, w5m=9_000)),
    result("t1", "def whole_price(cart):\n    return sum(one.price for one in cart)"),
    wrote("m2", text("whole_price makes it."), usage=claude_usage(0, read=9_000, w5m=60)),
    compacted(),
    summary("The total is made by whole_price."),
    said("mend whole_price"),
    wrote("m3", text("return sum(one.price for one in cart)"), usage=claude_usage(9_010)),
]


def test_what_each_call_used(tmp_path: Path) -> None:
    run = opened(kept(tmp_path, READING)).run
    used = {
        call: [(one.text, one.holders) for one in (*use.references, *use.quotes)]
        for (_, call), use in run.uses.items()
    }
    assert used[1] == []  # the goal does not name the path as the model wrote it
    assert used[2] == [("whole_price", ("L3",))]
    assert used[3] == []  # what the line was quoted from is no longer in the prompt
    assert run.wrote == {("main", 1): ("L2",), ("main", 2): ("L4",), ("main", 3): ("L8",)}
    items = {fact.item.id: fact.item for fact in run.facts if isinstance(fact, ItemAdded)}
    assert (items["L3"].source, items["L3"].group) == ("/shop/cart.py", "t1")


def test_the_hosts_own_compaction_may_be_ignored(tmp_path: Path) -> None:
    run = opened(kept(tmp_path, READING)).run
    (gone,) = [one for one in run.facts if isinstance(one, Withdrawn) and one.is_compaction]
    assert (gone.items, gone.into[0]) == (("L1", "L2", "L3", "L4"), "L6")
    none, ignoring = (
        what_if(run, load_policy("none"), Settings(ignores_compactions=one))
        for one in (False, True)
    )
    assert none.metrics.run.sent_tokens == 9_000 + 9_060 + 9_010
    assert ignoring.metrics.run.sent_tokens > 9_000 + 9_060 + 9_060
    assert (none.skipped_facts, ignoring.skipped_facts) == (0, 0)


def test_how_far_prompts_could_be_rebuilt(tmp_path: Path) -> None:
    usages = [claude_usage(20_000, output=9), claude_usage(21_000, output=9)]
    found = opened(kept(tmp_path, turns(*usages)))
    assert [one.tokens for one in found.predictions] == [21_000]
    assert 20_000 < found.predictions[0].expected_tokens < 20_100
    assert 900 < found.unseen_tokens < 1_000


# ---- files


def test_a_packed_file_and_one_with_damaged_lines(tmp_path: Path) -> None:
    lines = turns(*SIX_CALLS, seconds=SECONDS)
    plain = opened(kept(tmp_path, lines)).run
    packed = opened(kept(tmp_path, lines, packed=True)).run
    assert packed.facts == plain.facts
    path = kept(tmp_path, lines)
    path.write_bytes(path.read_bytes() + b'{"type": "assistant", "uuid": "u')
    file = RecordedFile(file=str(path))
    assert read_session(file, PriceBook(price_of)).run.facts == plain.facts
    assert file.damaged == [len(lines) + 1]


def test_a_file_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    path = kept(tmp_path, turns(*SIX_CALLS * 300, seconds=range(1_800)), packed=True)
    path.write_bytes(path.read_bytes()[:-200])
    file = RecordedFile(file=str(path))
    assert 0 < read_session(file, PriceBook(price_of)).run.calls < 1_800
    assert file.broken_off is not None


def test_a_sub_agent_of_a_file(tmp_path: Path) -> None:
    side = [progress("a7", said("look")), progress("a7", wrote("s1", text(), model=HAIKU))]
    path = kept(tmp_path, [*turns(*SIX_CALLS[:2]), *side])
    assert opened(path).run.calls == 2
    run = opened(path, "a7").run
    assert (run.calls, run.start.model) == (1, HAIKU)


@pytest.mark.parametrize(
    ("lines", "agent", "says"),
    [
        ([said()], None, "holds no call to a model; name a session that does"),
        (turns(claude_usage(5)), "a7", "holds no call of a sub-agent 'a7'; `ctxbudget audit "),
        ([], None, "is empty; name a file that holds Claude Code sessions, Codex rollouts"),
        ([{"x": 1}], None, "is of no format that is known; name a file that holds Claude Code"),
        (
            [codex_meta(), codex_count(codex_usage(9, 0, 1), codex_usage(9, 0, 1))],
            "a7",
            "sub-agents of codex sessions have files of their own; name that file instead",
        ),
    ],
)
def test_files_without_a_session(
    tmp_path: Path, lines: list[Json], agent: str | None, says: str
) -> None:
    path = kept(tmp_path, lines)
    with pytest.raises(SourceError) as raised:
        opened(path, agent)
    assert str(raised.value).startswith(f"{path}: ")
    assert says in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(SourceError, match="check the path"):
        opened(path)
