"""The shipped studies print what others published, and what docs/studies.md says of them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ROOT, Command, written

SUMMARIZING = "compact-at-threshold:above=1,keep_turns=10,min_turns=21,summary_tokens=1500"
IN_STEPS = "masking:step=10"
LENGTHS = {50: "masking_study_50", 100: "masking_study", 250: "masking_study_250"}


def compared(ctxbudget: Command, workflow: object, *arguments: object) -> list[dict[str, Any]]:
    """Return the totals of a run under each policy asked for, then those under `none`."""
    found = ctxbudget("simulate", workflow, *arguments, "--json").json
    runs = found.get("compare") or [found]
    return [run["run"] for run in [*runs, found["none"]]]


def under(*policies: str) -> list[str]:
    return [word for policy in policies for word in ("--policy", policy)]


def copied(folder: Path, workflow: str, *changes: tuple[str, str], times: int = 1) -> Path:
    """Return the path of a copy of a shipped workflow in which some texts are others."""
    text = (ROOT / "workflows" / f"{workflow}.yaml").read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == times, (old, text.count(old))
        text = text.replace(old, new)
    return written(folder, text)


def usd(run: dict[str, Any]) -> Decimal:
    return Decimal(run["cost_usd"])


# ---- observation masking


@pytest.mark.parametrize(
    ("turns", "masking", "summarizing"),
    [(50, 0.529, 0.731), (100, 0.367, 0.420), (250, 0.253, 0.184)],
)
def test_the_published_shares(
    ctxbudget: Command, turns: int, masking: float, summarizing: float
) -> None:
    """Source: the published study of observation masking, M = 10, results 84 % of a turn."""
    policies = under("masking", SUMMARIZING)
    masked, summarized, none = compared(ctxbudget, LENGTHS[turns], *policies)
    assert none["sent_tokens"] == 1_000 * sum(3 + t - 1 for t in range(1, turns + 1))
    assert none["calls"] == turns
    for run, published in ((masked, masking), (summarized, summarizing)):
        assert run["sent_tokens"] / none["sent_tokens"] == pytest.approx(published, abs=0.001)


@pytest.mark.parametrize(("turns", "share"), [(50, r"52\.9%"), (100, r"36\.7%"), (250, r"25\.3%")])
def test_the_table_shows_the_share(ctxbudget: Command, turns: int, share: str) -> None:
    ran = ctxbudget("simulate", LENGTHS[turns], "--policy", "masking", "--policy", "none")
    assert ran.code == 0
    assert re.search(rf"^ masking .* {share} ", ran.out, re.MULTILINE)


@pytest.mark.parametrize(("turns", "sends_less"), [(140, False), (141, True)])
def test_summarizing_overtakes_at_turn_141(
    ctxbudget: Command, tmp_path: Path, turns: int, sends_less: bool
) -> None:
    path = copied(tmp_path, "masking_study", ("calls: 100", f"calls: {turns}"))
    masked, summarized, _ = compared(ctxbudget, path, *under("masking", SUMMARIZING))
    assert (summarized["sent_tokens"] < masked["sent_tokens"]) is sends_less


def test_the_three_lengths_are_one_loop() -> None:
    """Only the number of calls differs."""
    loops = []
    for turns, name in LENGTHS.items():
        loop = yaml.safe_load((ROOT / "workflows" / f"{name}.yaml").read_text("utf-8"))
        assert loop["phases"][0].pop("calls") == turns
        del loop["name"], loop["about"]
        loops.append(loop)
    assert loops[0] == loops[1] == loops[2]


# ---- fewer tokens can cost more


def test_masking_one_at_a_time_saves_tokens_and_costs_more(ctxbudget: Command) -> None:
    """From call 12 on, each writes the placeholder, the 9 turns behind it and the new turn."""
    masked, stepped, none = compared(ctxbudget, "masking_study", *under("masking", IN_STEPS))
    assert masked["peak_tokens"] < stepped["peak_tokens"] < none["peak_tokens"]
    assert masked["sent_tokens"] < stepped["sent_tokens"] < none["sent_tokens"]
    assert usd(stepped) < usd(none) < usd(masked)
    assert none["cache"]["cache_write_tokens"] == 3_000 + 99 * 1_000
    assert masked["cache"]["cache_write_tokens"] == 3_000 + 10 * 1_000 + 89 * (10 + 10_000)
    assert stepped["cache"]["cache_write_tokens"] < 2 * none["cache"]["cache_write_tokens"]


@pytest.mark.parametrize("turns", LENGTHS)
def test_masking_costs_more_than_none_at_each_length(ctxbudget: Command, turns: int) -> None:
    masked, stepped, none = compared(ctxbudget, LENGTHS[turns], *under("masking", IN_STEPS))
    assert usd(stepped) < usd(none) < usd(masked)


def test_the_bill_of_the_loop_is_its_split_times_the_list_price(ctxbudget: Command) -> None:
    """0.30 USD for a million tokens read, 3.75 for a million written; none is left uncached."""
    for run in compared(ctxbudget, "masking_study", *under("masking", IN_STEPS)):
        read, write = run["cache"]["cache_read_tokens"], run["cache"]["cache_write_tokens"]
        assert read + write == run["sent_tokens"]
        exact = (read * Decimal("0.3") + write * Decimal("3.75")) / 1_000_000
        assert usd(run) == round(exact, 6)  # as JSON shows it


# ---- context debt

BREAK = "pause_s: 3600, "
PROMPTS = [30_000 + 5_100 * call for call in range(30)]
PROMPTS += [183_000 + 600 * call for call in range(1_100)]
"""What each call of the session carries as it was."""
AFTER_BREAKS = [30 + 110 * sitting for sitting in range(1, 10)]


def reentries(price_usd: Decimal) -> Decimal:
    """Return what the prompts after the breaks cost, without what was new in each."""
    return sum(PROMPTS[call - 1] for call in AFTER_BREAKS) * price_usd / 1_000_000


def test_as_it_was_two_sessions_cost_what_was_published(ctxbudget: Command) -> None:
    """Per million tokens 0.50 USD are paid for a read and 6.25 for a write."""
    (run, none) = compared(ctxbudget, "context_debt_before")
    assert run == none
    assert run["sent_tokens"] == sum(PROMPTS)
    written_tokens = PROMPTS[-1]
    read_tokens = sum(before for before, _ in pairwise(PROMPTS))
    warm = (read_tokens * Decimal("0.5") + written_tokens * Decimal("6.25")) / 1_000_000
    assert usd(run) == warm + reentries(Decimal("5.75"))
    assert float(2 * usd(run)) == pytest.approx(625.72, rel=0.01)


def test_breaks_cost_a_reentry_each(ctxbudget: Command, tmp_path: Path) -> None:
    path = copied(tmp_path, "context_debt_before", (BREAK, ""), times=9)
    with_breaks, _ = compared(ctxbudget, "context_debt_before")
    without, _ = compared(ctxbudget, path)
    assert usd(with_breaks) - usd(without) == reentries(Decimal("5.75"))


def test_afterwards_it_costs_less_by_more_than_the_claim(ctxbudget: Command) -> None:
    """The claim is 77 %; the simulation, which knows of no work done twice, says 86.6 %."""
    was, _ = compared(ctxbudget, "context_debt_before")
    found = ctxbudget("simulate", "context_debt_after", "--json").json
    assert float(1 - usd(found["run"]) / usd(was)) == pytest.approx(0.866, abs=0.001)
    assert found["run"]["peak_tokens"] <= 0.6 * 200_000 + 600
    assert not found["run"]["events"]
    assert [(one["model"], one["calls"]) for one in found["models"]] == [
        ("claude-haiku-4-5", 31),
        ("claude-opus-4-8", 220),
        ("claude-sonnet-4-6", 880),
    ]
    small, large, middle = (Decimal(one["cost_usd"]) for one in found["models"])
    assert small + large + middle == usd(found["run"])


def test_both_do_the_same_work() -> None:
    """The same files are read, in as many calls, and as many turns of the same size follow."""
    before, after = (
        yaml.safe_load((ROOT / "workflows" / f"context_debt_{name}.yaml").read_text("utf-8"))
        for name in ("before", "after")
    )
    assert before["permanent"] == after["permanent"]
    reading, *sittings = before["phases"]
    mapping, *phases = after["phases"]
    (scout,) = mapping["agents"]
    assert scout["turn"] == reading["turn"]
    assert scout["calls"] - 1 == reading["calls"]  # its last call writes the map
    assert reading["calls"] * reading["turn"]["result"] == 150_000
    assert scout["output"] == scout["metadata"] == 12_000
    assert {str(phase["turn"]) for phase in [*sittings, *phases]} == {str(phases[0]["turn"])}
    assert [sitting["calls"] for sitting in sittings] == [
        decide["calls"] + write["calls"]
        for decide, write in zip(phases[::2], phases[1::2], strict=True)
    ]
    assert sum("pause_s" in phase for phase in sittings) == len(sittings) - 1
    assert [phase.get("pause_s") for phase in phases[::2]] == [
        sitting.get("pause_s") for sitting in sittings
    ]
    assert all("pause_s" not in phase for phase in phases[1::2])


BEFORE_BREAK = """\
name: before_break
rules:
  - on: phase_finished
    select: {layer: [transient, metadata], kind: [tool_call, tool_result, summary]}
    do: summarize
    by: all
    to: 1500
    why: after a break, all that is kept is written again
"""


def test_each_mechanism_alone_saves_less_than_all(ctxbudget: Command, tmp_path: Path) -> None:
    policy = written(tmp_path, BEFORE_BREAK, "before_break.yaml")
    policies = under("compact-at-threshold", str(policy))
    late, at_breaks, was = compared(ctxbudget, "context_debt_before", *policies)
    small_window = ("--window", "200k", "--policy", "compact-at-threshold")
    early, _ = compared(ctxbudget, "context_debt_before", *small_window)
    large_window = ("--window", "1000k", "--policy", "none")
    kept, _ = compared(ctxbudget, "context_debt_after", *large_window)
    whole, _ = compared(ctxbudget, "context_debt_after")
    text = (ROOT / "workflows" / "context_debt_after.yaml").read_text("utf-8")
    one_model = re.sub(r"claude-(sonnet|haiku)-[\d-]+", "claude-opus-4-8", text)
    untiered, _ = compared(ctxbudget, written(tmp_path, one_model))
    found = [float(1 - usd(one) / usd(was)) for one in (late, early, at_breaks, kept, untiered)]
    assert found == pytest.approx([0.385, 0.815, 0.846, 0.262, 0.798], abs=0.001)
    assert usd(whole) < min(map(usd, (late, early, at_breaks, kept, untiered)))


def test_sixty_percent_of_a_large_window_comes_late(ctxbudget: Command) -> None:
    found = ctxbudget(
        "simulate", "context_debt_before", "--policy", "compact-at-threshold", "--json"
    ).json
    acted = [phase["id"] for phase in found["phases"] if phase["pruned_tokens"]]
    assert acted == ["sitting 7"]


def test_carrying_what_was_read_is_three_tenths_of_the_bill(
    ctxbudget: Command, tmp_path: Path
) -> None:
    """Carried by 1,129 calls; rent adds up to the bill."""
    journal = tmp_path / "run.jsonl"
    bill = ctxbudget("simulate", "context_debt_before", "--journal", journal, "--json").json
    shown = json.loads(ctxbudget("show", journal, "--rent", "phase", "--json").out)
    rent = {one["name"]: one for one in shown["rent"]}
    assert rent["read"]["calls"] == 1_129
    whole = sum(Decimal(one["cost_usd"]) for one in rent.values())
    assert float(whole) == pytest.approx(float(usd(bill["run"])), abs=0.01)
    assert float(Decimal(rent["read"]["cost_usd"]) / whole) == pytest.approx(0.302, abs=0.001)
