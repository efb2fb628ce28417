"""Tests of `ctxbudget replay`: the real command on journals of live runs and simulations."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import Command, in_subprocess, on_terminal, written

from ctxbudget import Run, Usage
from ctxbudget.core.events import CallSent
from ctxbudget.journal import read_journal
from ctxbudget.report.what_if_json import ratio, share

SONNET = "claude-sonnet-5-5"
START_S = 1_790_000_000.0
ESCAPE = "\x1b"


def result_text(number: int) -> str:
    body = "\n".join(f"    value_{number}_{line} = compute_thing({line})" for line in range(60))
    return f"def part_{number}():\n{body}\n"


def work(path: Path, **options: Any) -> Path:
    """Return the journal of a run that reads three files and then uses a name of the first."""
    usual = {
        "name": "login",
        "model": SONNET,
        "counter": "o200k_base",
        "window_tokens": 20_000,
        "policy": "none",
        "clock": lambda: START_S,
        "journal": path,
    }
    with Run.open(**{**usual, **options}) as run:
        run.user("mend the login")
        for number in range(3):
            name = f"src/file_{number}.py"
            run.tool_call("read", {"path": name}, call_id=f"c{number}", source=name)
            run.tool_result(f"c{number}", result_text(number), source=name)
            run.prompt()
        usage = Usage(
            uncached_tokens=100_000, output_tokens=7, model=str({**usual, **options}["model"])
        )
        run.used(usage)
        run.assistant("value_0_7 = compute_thing(7) and value_2_1")
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the journal of a finished live run, with texts, under `none`."""
    return work(tmp_path / "run.jsonl")


ROW = {
    "policy": str,
    "bound": type(None),
    "calls": int,
    "sent_tokens": int,
    "peak_tokens": int,
    "cost_usd": str,
    "cost_ratio": float,
    "cache_read_frac": float,
    "rewrites": int,
    "compactions": int,
    "compactions_usd": str,
    "recall": float,
    "quote_recall": type(None),
    "misses": int,
    "refetch_usd": str,
    "total_cost_usd": str,
    "fitted_calls": int,
    "skipped_facts": int,
}
USD = re.compile(r"[0-9]+\.[0-9]{6}")
BOUNDS = ["unbounded", "clairvoyant"]
"""What is tried beside `none`, whatever is asked for."""


# ---- JSON


def test_json_has_its_shape_and_hand_worked_numbers(ctxbudget: Command, journal: Path) -> None:
    found = ctxbudget("replay", journal, "--policy", "masking:keep=1", "--json").json
    assert list(found) == [
        "file",
        "calls",
        "window_tokens",
        "reserve_tokens",
        "budget_tokens",
        "ttl_s",
        "model",
        "price",
        "ignores_compactions",
        "recorded_cost_usd",
        "recorded_cost_calls",
        "output_cost_usd",
        "price_date",
        "policies",
    ]
    assert found["window_tokens"] == 20_000
    assert (found["file"], found["calls"]) == (str(journal), 3)
    # 100,000 uncached tokens at 2 USD a million
    assert (found["recorded_cost_usd"], found["recorded_cost_calls"]) == ("0.200000", 1)
    assert found["output_cost_usd"] == "0.000070"  # 7 tokens at 10 USD a million
    assert found["price_date"].startswith("genai-prices ")
    masked, none, *bounds = found["policies"]
    assert [(row["policy"], row["bound"]) for row in bounds] == [
        ("unbounded", "never_prunes"),
        ("clairvoyant", "knows_the_future"),
    ]
    for row in (masked, none, *bounds):
        shape = ROW if row["bound"] is None else {**ROW, "bound": str}
        assert {key: type(one) for key, one in row.items()} == shape
        assert all(USD.fullmatch(row[key]) for key in row if key.endswith("_usd"))
    assert (masked["policy"], none["policy"]) == ("masking:keep=1", "none")
    sent = [event for event in read_journal(journal) if isinstance(event, CallSent)]
    assert none["sent_tokens"] == sum(event.tokens for event in sent)
    assert none["peak_tokens"] == sent[-1].tokens
    read = sum(event.cache_read_tokens for event in sent)
    wrote = sum(event.cache_write_tokens for event in sent)
    assert none["cache_read_frac"] == round(read / none["sent_tokens"], 4)
    assert float(none["cost_usd"]) == pytest.approx((read * 0.2 + wrote * 2.5) / 1e6, abs=5e-7)
    assert none["cost_ratio"] == 1.0
    ratio = float(masked["cost_usd"]) / float(none["cost_usd"])
    assert masked["cost_ratio"] == pytest.approx(ratio, abs=1e-3)
    assert (none["recall"], none["misses"], none["refetch_usd"]) == (1.0, 0, "0.000000")
    assert none["total_cost_usd"] == none["cost_usd"]
    assert (none["compactions"], none["compactions_usd"]) == (0, "0.000000")
    # nothing left the prompt, so that a limit more or less makes no difference
    same = dict(bounds[0], policy="none", bound=None)
    assert same == none
    # of value_0_7, compute_thing and value_2_1 the first went with its result
    assert (masked["recall"], masked["misses"]) == (pytest.approx(2 / 3), 1)
    total = float(masked["cost_usd"]) + float(masked["refetch_usd"])
    assert float(masked["total_cost_usd"]) == pytest.approx(total, abs=2e-6)
    assert masked["total_cost_usd"] != masked["cost_usd"]


def test_misses_are_listed_when_asked_for(ctxbudget: Command, journal: Path) -> None:
    arguments = ("replay", journal, "--policy", "masking:keep=1", "--json", "--misses")
    masked, none, *_ = ctxbudget(*arguments).json["policies"]
    (miss,) = masked["missed"]
    tokens = miss.pop("tokens")
    assert miss == {
        "what": "reference",
        "text": "value_0_7",
        "item": "main/3",
        "thread": "main",
        "call": 3,
        "since_call": 2,
        "rule": "mask old results",
    }
    assert 500 < tokens < 1_000
    assert none["missed"] == []


@pytest.mark.parametrize(
    ("policies", "labels"),
    [
        ((), ["masking:keep=1", "none", *BOUNDS]),  # its own, as the journal holds it
        (("none",), ["none", *BOUNDS]),
        (("tidy", "none", "masking:keep=2"), ["tidy", "none", "masking:keep=2", *BOUNDS]),
        (("clairvoyant", "tidy"), ["clairvoyant", "tidy", "none", "unbounded"]),
        (
            ("masking:keep=1", "masking:keep=2"),
            ["masking:keep=1", "masking:keep=2", "none", *BOUNDS],
        ),
    ],
)
def test_none_and_the_bounds_are_always_tried_and_once(
    ctxbudget: Command, tmp_path: Path, policies: tuple[str, ...], labels: list[str]
) -> None:
    path = work(tmp_path / "run.jsonl", policy="masking:keep=1")
    named = [part for one in policies for part in ("--policy", one)]
    rows = ctxbudget("replay", path, *named, "--json").json["policies"]
    assert [row["policy"] for row in rows] == labels


def test_its_own_policy_gives_what_was_recorded(ctxbudget: Command, tmp_path: Path) -> None:
    path = work(tmp_path / "run.jsonl", policy="masking:keep=1")
    own = ctxbudget("replay", path, "--json").json["policies"][0]
    sent = [event for event in read_journal(path) if isinstance(event, CallSent)]
    assert own["sent_tokens"] == sum(event.tokens for event in sent)
    assert own["peak_tokens"] == max(event.tokens for event in sent)
    # what the recorded prompt had lost by then could not be used
    assert (own["recall"], own["misses"]) == (1.0, 0)


def test_a_policy_of_a_file_is_tried(ctxbudget: Command, journal: Path, tmp_path: Path) -> None:
    text = (
        "name: mine\nrules:\n  - {name: out, on: before_call, select: {kind: tool_result, "
        "age_calls: 1}, do: drop, why: old}\n"
    )
    path = written(tmp_path, text, "mine.yaml")
    row = ctxbudget("replay", journal, "--policy", path, "--json").json["policies"][0]
    assert (row["policy"], row["misses"], row["compactions"]) == ("mine", 1, 0)


def test_prices_that_are_not_known_are_null(ctxbudget: Command, tmp_path: Path) -> None:
    path = work(tmp_path / "run.jsonl", model="house-model-1")
    found = ctxbudget("replay", path, "--policy", "masking:keep=1", "--json").json
    assert found["recorded_cost_usd"] is None
    for row in found["policies"]:
        for key in ("cost_usd", "cost_ratio", "refetch_usd", "total_cost_usd"):
            assert row[key] is None
        assert row["recall"] is not None
    text = ctxbudget("replay", path).out
    assert "recorded input cost not known" in text
    assert cells_of(text, "none")[2:4] == ["-", "100.0%"]  # of the tokens sent


def test_a_journal_without_texts_says_what_is_assumed(ctxbudget: Command, tmp_path: Path) -> None:
    path = work(tmp_path / "run.jsonl", keeps_texts=False)
    rows = ctxbudget("replay", path, "--policy", "masking:keep=1", "--json").json["policies"]
    # what is used again is not known, so nobody knows the future
    assert [row["policy"] for row in rows] == ["masking:keep=1", "none", "unbounded"]
    masked = rows[0]
    for key in ("recall", "quote_recall", "misses", "refetch_usd"):
        assert masked[key] is None
    assert masked["total_cost_usd"] == masked["cost_usd"] is not None
    text = ctxbudget("replay", path, "--policy", "masking:keep=1", "--misses").out
    assert "assumed: sizes of shorter forms" in text
    assert "recall needs them" in " ".join(text.split())
    assert "missed" not in text
    assert "quotes" not in text


@pytest.mark.parametrize("policy", ["none", "moderate"])
def test_a_simulations_journal_is_replayed(ctxbudget: Command, tmp_path: Path, policy: str) -> None:
    path = tmp_path / "sim.jsonl"
    made = ("simulate", "jwt_auth", "--policy", "none", "--window", "1M")  # nothing has to go
    was = ctxbudget(*made, "--journal", path, "--json").json
    found = ctxbudget("replay", path, "--policy", policy, "--json").json
    rows = {row["policy"]: row for row in found["policies"]}
    assert rows["none"]["sent_tokens"] == was["run"]["sent_tokens"]
    assert found["calls"] == was["run"]["calls"] == rows[policy]["calls"]
    assert (found["recorded_cost_usd"], found["recorded_cost_calls"]) == (None, 0)
    assert rows[policy]["recall"] is None


def test_sizes_that_the_journal_tells_are_not_assumed(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "sim.jsonl"
    assert ctxbudget("simulate", "jwt_auth", "--journal", path).code == 0
    found = ctxbudget("replay", path)
    assert "the journal holds no texts, so recall is not known" in found.out
    assert "assumed" not in found.out
    assert "make prompts fit: none 1 time." in " ".join(found.out.split())
    other = ctxbudget("replay", path, "--policy", "masking:keep=0", "--policy", "minimal").out
    rows = {row["policy"]: row for row in ctxbudget("replay", path, "--json").json["policies"]}
    own = ctxbudget("simulate", "jwt_auth", "--json").json["run"]
    assert rows["aggressive"]["sent_tokens"] == own["sent_tokens"]
    none = ctxbudget("simulate", "jwt_auth", "--policy", "none", "--json").json["run"]
    assert rows["none"]["sent_tokens"] == none["sent_tokens"]
    assert "is not known" in other


def test_shares_are_rounded_once(ctxbudget: Command, tmp_path: Path) -> None:
    text = (
        "window: 200000\npolicy: aggressive\npermanent: [{id: rules, tokens: 30000}]\n"
        "phases: [{id: a, output: 40000, metadata: 19052}, {id: b, after: [a]}]\n"
    )
    path = tmp_path / "sim.jsonl"
    assert ctxbudget("simulate", written(tmp_path, text), "--journal", path).code == 0
    found = ctxbudget("replay", path)
    # 30,000 and 30,000 + 19,052 of 30,000 and 70,000: 79.052 %, not 79.05 % rounded again
    assert cells_of(found.out, "aggressive")[:4] == ["79,052", "49,052", "-", "79.1%"]
    assert ratio(Decimal(79052), Decimal(100_000)) == 0.79052
    assert share(79052, 100_000) == 0.79052
    assert "Of none: against the same run under none (tokens sent where no price is known)." in (
        " ".join(found.out.split())
    )


# ---- windows, budgets, damage


def test_another_window_is_kept_to(ctxbudget: Command, journal: Path) -> None:
    whole = ctxbudget("replay", journal, "--json").json["policies"][0]
    small = ctxbudget("replay", journal, "--window", "1.5k", "--json").json["policies"][0]
    assert whole["peak_tokens"] > 1_500 >= small["peak_tokens"]
    assert (small["misses"], whole["misses"]) == (1, 0)


def test_another_budget_moves_what_is_a_share_of_it(ctxbudget: Command, journal: Path) -> None:
    def sent(*options: str) -> int:
        arguments = ("replay", journal, "--policy", "compact-at-threshold:keep_turns=1,min_turns=1")
        found = ctxbudget(*arguments[:3], f"{arguments[3]},above=50% of budget", *options, "--json")
        tokens: int = found.json["policies"][0]["sent_tokens"]
        return tokens

    assert sent("--budget", "2k") < sent() == sent("--budget", "20k")


@pytest.mark.parametrize("option", ["--window", "--budget"])
@pytest.mark.parametrize("value", ["many", "0", "-5", "10%", ""])
def test_a_window_or_budget_is_a_number_of_tokens(
    ctxbudget: Command, journal: Path, option: str, value: str
) -> None:
    error = ctxbudget("replay", journal, f"{option}={value}").error
    assert option in error
    assert "200k" in error


def test_a_torn_journal_is_replayed_and_said_to_be(ctxbudget: Command, journal: Path) -> None:
    whole = ctxbudget("replay", journal, "--json").json["policies"][0]
    journal.write_bytes(journal.read_bytes()[:-20])
    ran = ctxbudget("replay", journal, "--json")
    assert ran.json["policies"][0] == whole  # only the run's end is missing
    assert ran.err.startswith("ctxbudget: note: ")
    assert str(journal) in ran.err


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("maskin", "masking"),
        ("masking:kep=1", "keep"),
        ("masking:keep=x", "keep"),
        ("nowhere.yaml", "nowhere.yaml"),
        ("ctxbudget.nowhere:policy", "nowhere"),
    ],
)
def test_a_policy_that_cannot_be_tried_is_one_line(
    ctxbudget: Command, journal: Path, policy: str, said: str
) -> None:
    assert said in ctxbudget("replay", journal, "--policy", policy).error


def test_a_policy_that_does_not_fit_is_left_out_of_the_comparison_and_told(
    ctxbudget: Command, journal: Path
) -> None:
    policy = "compact-at-threshold:above=50000 below window"
    ran = ctxbudget("replay", journal, "--policy", policy, "--policy", "tidy", "--json")
    assert [row["policy"] for row in ran.json["policies"]] == ["tidy", "none", *BOUNDS]
    assert f"policy {policy} is left out" in ran.err
    assert "window" in ran.err
    alone = ctxbudget("replay", journal, "--policy", policy)
    assert (alone.code, alone.out) == (2, "")


def test_two_policies_of_one_name_are_told_apart(
    ctxbudget: Command, journal: Path, tmp_path: Path
) -> None:
    paths = [written(tmp_path, "name: mine\nrules: []\n", f"{name}.yaml") for name in "ab"]
    named = [part for path in paths for part in ("--policy", path)]
    rows = ctxbudget("replay", journal, *named, "--json").json["policies"]
    assert [row["policy"] for row in rows[:2]] == [f"mine ({path})" for path in paths]


@pytest.mark.parametrize("name", ["none", "unbounded", "clairvoyant"])
def test_what_policies_are_compared_with_is_ours(
    ctxbudget: Command, journal: Path, tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, f"name: {name}\nrules: []\n", "mine.yaml")
    error = ctxbudget("replay", journal, "--policy", path).error
    assert error.startswith(f"{path}:1: name: '{name}' is the name of what policies are compared")


def test_what_does_not_fit_is_one_line(ctxbudget: Command, journal: Path) -> None:
    error = ctxbudget("replay", journal, "--window", "5").error
    assert error == (
        "--window: 5 tokens do not hold what may not be pruned of the session, 8 tokens; name a "
        "larger window"
    )


@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"a": 1}\n', b"\x00\xff\n"])
def test_a_file_that_is_no_journal_is_one_line(
    ctxbudget: Command, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    assert str(path) in ctxbudget("replay", path).error


def test_a_file_that_is_not_there_is_one_line(ctxbudget: Command, tmp_path: Path) -> None:
    assert "nowhere.jsonl" in ctxbudget("replay", tmp_path / "nowhere.jsonl").error


# ---- tables


def cells_of(text: str, policy: str, table: int = 0) -> list[str]:
    """Return the cells after a policy's name in one of the tables."""
    rows = [line.split() for line in text.splitlines() if line.split()[:1] == [policy]]
    return rows[table][1:]  # the first is `*` for a bound


def percent(frac: float) -> str:
    return f"{frac:.1%}"


@pytest.mark.parametrize("columns", [120, 80])
def test_tables_hold_what_json_does(ctxbudget: Command, journal: Path, columns: int) -> None:
    arguments = (
        "replay",
        journal,
        "--policy",
        "compact-at-threshold",
        "--policy",
        "masking:keep=1",
    )
    env = {"NO_COLOR": "1", "COLUMNS": str(columns)}
    ran = in_subprocess(*arguments, cwd=journal.parent, env=env)
    assert ran.code == 0, ran.err
    assert "…" not in ran.out
    assert ESCAPE not in ran.out
    assert max(map(len, ran.out.splitlines())) <= columns
    assert "recorded input cost 0.2000 USD in 1 of 3 calls" in " ".join(ran.out.split())
    rows = ctxbudget(*arguments, "--json").json["policies"]
    assert len(rows) == 5
    none = rows[2]
    for row in rows:
        mark = () if row["bound"] is None else ("*",)
        assert cells_of(ran.out, row["policy"]) == [
            *mark,
            f"{row['sent_tokens']:,}",
            f"{row['peak_tokens']:,}",
            f"{float(row['cost_usd']):.4f}",
            percent(row["cost_ratio"]),
            percent(row["cache_read_frac"]),
            *((str(row["rewrites"]), str(row["compactions"])) if columns >= 100 else ()),
        ]
        total = float(row["total_cost_usd"])
        losses = cells_of(ran.out, row["policy"], 1)[len(mark) :]
        assert losses[:4] == [percent(row["recall"]), "-", str(row["misses"]), f"{total:.4f}"]
        ratio = float(losses[4].rstrip("%")) / 100
        assert ratio == pytest.approx(total / float(none["total_cost_usd"]), abs=2e-3)


def test_misses_are_shown_by_policy(ctxbudget: Command, journal: Path) -> None:
    text = ctxbudget("replay", journal, "--policy", "masking:keep=1", "--misses").out
    told = " ".join(text.split())
    said = "call 3 of main: reference value_0_7 of main/3, gone since call 2 by mask old results"
    assert f"masking:keep=1 missed {said}" in told
    assert "none missed" not in told
    assert "main/3" not in ctxbudget("replay", journal, "--policy", "masking:keep=1").out


def test_colours_are_for_terminals_only(ctxbudget: Command, journal: Path) -> None:
    assert ESCAPE not in ctxbudget("replay", journal).out


def test_a_terminal_shows_which_policy_is_in_hand(tmp_path: Path) -> None:
    path = work(tmp_path / "run.jsonl")
    own = "name: '[red]own'\nrules: [{on: warn, select: {}, do: clear, why: x}]\n"
    shown, _ = on_terminal("replay", path, "--policy", written(tmp_path, own, "own.yaml"))
    assert "replaying" in shown
    assert "clairvoyant" in shown  # the last one
    assert "100%" in shown


def test_a_name_is_printed_as_it_is(ctxbudget: Command, tmp_path: Path) -> None:
    path = work(tmp_path / "run.jsonl", name="login [red]")
    text = ctxbudget("replay", path).out
    assert ESCAPE not in text
    assert "[red]" in text
