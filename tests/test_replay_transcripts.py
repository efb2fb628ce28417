"""Tests of `ctxbudget replay` on sessions of other programs, written here in their schemas."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from claude_lines import (
    Json,
    called,
    compacted,
    linked,
    progress,
    result,
    said,
    summary,
    text,
    thinking,
    wrote,
)
from commands import ROOT, Command
from recorded_lines import (
    as_bytes,
    claude_usage,
    codex_count,
    codex_meta,
    codex_turn,
    codex_usage,
    mini_swe,
    mini_swe_answer,
)

HAIKU = "claude-haiku-4-5"

CART = "\n".join(f"{n:>6}\tprice_{n} = price_of(item_{n}, in_shop)" for n in range(1, 101))
LOG = "\n".join(f"test_cart_{n} PASSED in 0.{n} s" for n in range(1, 151))
OLD = "price_7 = price_of(item_7, in_shop)"

SESSION: list[Json] = [
    said("mend the cart of src/shop.py", 0),
    wrote(
        "m1",
        thinking(),
        text("I read src/cart.py first."),
        called("t1", "Read", file_path="src/cart.py"),
        usage=claude_usage(0, w1h=20_000, output=200),
        stop="tool_use",
        second=1,
    ),
    result("t1", CART, 4),
    wrote(
        "m2",
        called("t2", command="pytest tests/test_cart.py"),
        usage=claude_usage(0, read=20_000, w1h=2_000, output=100),
        stop="tool_use",
        second=10,
    ),
    result("t2", LOG, 20),
    wrote(
        "m3",
        called("t3", "Edit", file_path="src/cart.py", old_string=f"    {OLD}", new_string="gone"),
        usage=claude_usage(0, read=22_000, w1h=3_000, output=300),
        stop="tool_use",
        second=30,
    ),
    result("t3", "src/cart.py was changed", 430),
    wrote(
        "m4",
        text("price_7 is gone, price_12 is not, and test_cart_9 holds."),
        usage=claude_usage(0, read=25_000, w1h=400, output=50),
        stop="end_turn",
        second=440,
    ),
]
"""Prompts of 20,000, 22,000, 25,000 and 25,400 tokens, as the cache model has them, too.

Opus costs 5 (uncached), 0.5 (read), 6.25 and 10 (written for 5 minutes and 1 hour) and 25 (output)
dollars a million: 67,000 read and 25,400 written for an hour are 0.2875 dollars, 650 tokens of
output 0.01625. The result of the third call's tool came 400 seconds after the call.
"""

COMPACTED: list[Json] = [
    *SESSION,
    compacted(450),
    summary("The cart of src/shop.py is mended; price_9 stays as it is.", 451),
    wrote(
        "m5",
        text("So price_9 and price_of stay."),
        usage=claude_usage(0, read=18_000, w1h=2_200, output=40),
        stop="end_turn",
        second=460,
    ),
    said("and test_cart_11?", 470),
    wrote(
        "m6",
        text("test_cart_11 and price_9 hold."),
        usage=claude_usage(0, read=20_200, w1h=100, output=40),
        stop="end_turn",
        second=480,
    ),
]
"""The same, and after a compaction by the host two calls of 20,200 and 20,300 tokens."""


def kept(folder: Path, lines: Iterable[Json] = SESSION, name: str = "s-1.jsonl") -> Path:
    """Return the path of a file with these lines."""
    path = folder / name
    raw = as_bytes(one for _, one in linked(lines))
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def rows_of(found: Any) -> dict[str, dict[str, Any]]:
    return {row["policy"]: row for row in found["policies"]}


def none_of(found: Any) -> dict[str, Any]:
    return rows_of(found)["none"]


# ---- one session, worked by hand


def test_a_claude_code_session_as_json(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path)
    found = ctxbudget("replay", path, "--policy", "masking:keep=1", "--json").json
    rows, policies = rows_of(found), found.pop("policies")
    assert [row["policy"] for row in policies] == [
        "masking:keep=1",
        "none",
        "unbounded",
        "clairvoyant",
    ]
    assert found.pop("price_date").startswith("genai-prices ")
    predicted = [found.pop("prompt_error"), found.pop("prompt_error_uncalibrated")]
    assert [set(one) for one in predicted] == [{"count", "median_frac", "p95_frac"}] * 2
    assert [one["count"] for one in predicted] == [3, 3]
    assert all(0 <= one["median_frac"] <= one["p95_frac"] < 0.2 for one in predicted)
    assert found == {
        "file": str(path),
        "calls": 4,
        "window_tokens": 1_000_000,
        "reserve_tokens": 0,
        "budget_tokens": 1_000_000,
        "ttl_s": None,
        "model": None,
        "price": None,
        "window_from": "the model's; the session may have run in a smaller one",
        "ignores_compactions": False,
        "recorded_cost_usd": "0.287500",
        "recorded_cost_calls": 4,
        "output_cost_usd": "0.016250",
        "bill_error_frac": 0.0,
        "bill_error_without_cache_lost_frac": 0.0,
        "cache_lost": 0,
        "cache_found": 0,
        "unseen_tokens": 0,
    }
    none, masked = rows["none"], rows["masking:keep=1"]
    assert none == {
        "policy": "none",
        "bound": None,
        "calls": 4,
        "sent_tokens": 92_400,
        "peak_tokens": 25_400,
        "cost_usd": "0.287500",
        "cost_ratio": 1.0,
        "cache_read_frac": round(67_000 / 92_400, 4),
        "rewrites": 0,
        "compactions": 0,
        "compactions_usd": "0.000000",
        "recall": 1.0,
        "quote_recall": 1.0,
        "misses": 0,
        "refetch_usd": "0.000000",
        "total_cost_usd": "0.287500",
        "fitted_calls": 0,
        "skipped_facts": 0,
    }
    assert rows["unbounded"] == {**none, "policy": "unbounded", "bound": "never_prunes"}
    # The edit quotes a line of the first result, masked by then, with its four names; of its path
    # the first call's text tells. Of the last answer, price_7 is there again, in the edit, and so
    # is price_12, since the first result was fetched for what the edit missed.
    assert masked["calls"] == 4
    assert (masked["misses"], masked["quote_recall"]) == (6, 0.0)
    assert masked["recall"] == pytest.approx(3 / 8)
    assert masked["sent_tokens"] < none["sent_tokens"]
    assert masked["cost_ratio"] == pytest.approx(float(masked["cost_usd"]) / 0.2875, abs=1e-4)
    total = float(masked["cost_usd"]) + float(masked["refetch_usd"])
    assert float(masked["total_cost_usd"]) == pytest.approx(total, abs=2e-6)


def test_misses_of_a_session_are_listed(ctxbudget: Command, tmp_path: Path) -> None:
    arguments = ("replay", kept(tmp_path), "--policy", "masking:keep=1", "--misses", "--json")
    missed = rows_of(ctxbudget(*arguments).json)["masking:keep=1"]["missed"]
    assert [(one["what"], one["text"], one["item"], one["call"]) for one in missed] == [
        ("reference", "price_7", "L3", 3),
        ("reference", "price_of", "L3", 3),
        ("reference", "item_7", "L3", 3),
        ("reference", "in_shop", "L3", 3),
        ("quote", OLD, "L3", 3),
        ("reference", "test_cart_9", "L5", 4),
    ]


def audited(ctxbudget: Command, path: Path) -> tuple[Decimal, Decimal]:
    """Return what the bill says of a file's main thread, with and without output."""
    (row,) = [
        one for one in ctxbudget("audit", path, "--json").json["sessions"] if not one["agent"]
    ]
    whole = Decimal(row["cost_usd"])
    return whole, row["output_tokens"]


@pytest.mark.parametrize("lines", [SESSION, COMPACTED], ids=["plain", "compacted"])
def test_the_recorded_cost_is_the_bills_without_output(
    ctxbudget: Command, tmp_path: Path, lines: list[Json]
) -> None:
    path = kept(tmp_path, lines)
    whole, output_tokens = audited(ctxbudget, path)
    found = ctxbudget("replay", path, "--json").json
    output_usd = Decimal(output_tokens) * 25 / 1_000_000
    assert Decimal(found["output_cost_usd"]) == output_usd
    assert Decimal(found["recorded_cost_usd"]) == whole - output_usd


def test_a_cache_that_was_lost_shows_in_the_bill(ctxbudget: Command, tmp_path: Path) -> None:
    lines = [*SESSION]
    usage = claude_usage(0, read=5_000, w1h=20_400, output=50)
    lines[-1] = wrote("m4", text("price_7 is gone"), usage=usage, stop="end_turn", second=440)
    found = ctxbudget("replay", kept(tmp_path, lines), "--json").json
    # 47,000 read and 45,400 written
    assert found["recorded_cost_usd"] == none_of(found)["cost_usd"] == "0.477500"
    assert (found["cache_lost"], found["cache_found"]) == (1, 0)
    assert found["bill_error_frac"] == 0.0
    assert found["bill_error_without_cache_lost_frac"] == round(0.2875 / 0.4775 - 1, 4)


def test_compactions_of_the_host(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path, COMPACTED)
    found = ctxbudget("replay", path, "--json").json
    rows = rows_of(found)
    assert rows["none"]["sent_tokens"] == 92_400 + 20_200 + 20_300
    assert (rows["none"]["recall"], rows["clairvoyant"]["recall"]) == (1.0, 1.0)
    # none of it left: 50 tokens of the last answer before, no summary, then 40 and what was said
    assert rows["unbounded"]["peak_tokens"] == 25_450 + 20_300 - 20_200
    assert rows["unbounded"]["sent_tokens"] == 92_400 + 25_450 + 25_550
    ignored = rows_of(ctxbudget("replay", path, "--ignore-compactions", "--json").json)
    assert ignored["unbounded"] == {**rows["unbounded"], "cost_ratio": 1.0}
    assert ignored["none"] == {**ignored["unbounded"], "policy": "none", "bound": None}
    assert ignored["clairvoyant"]["sent_tokens"] < rows["unbounded"]["sent_tokens"]


def test_the_terminal_says_how_far_to_trust_it(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path)
    shown = " ".join(
        ctxbudget("replay", path, "--policy", "masking:keep=1", "--misses").out.split()
    )
    assert "4 calls, window 1,000,000, recorded input cost 0.2875 USD in 4 of 4 calls" in shown
    assert "Bill: none costs +0.0% against the recorded input cost" in shown
    assert "calls that found the provider's cache lost: 0" in shown
    assert "of 3 prompts" in shown
    assert "Prices: genai-prices" in shown
    assert "unbounded * 92,400 25,400 0.2875 100.0%" in shown
    assert "*: a bound to compare with; it could not run." in shown
    assert "masking:keep=1 missed" in shown


# ---- settings


def cost_of(ctxbudget: Command, path: Path, *options: str, policy: str = "none") -> str:
    cost: str = rows_of(ctxbudget("replay", path, *options, "--json").json)[policy]["cost_usd"]
    return cost


@pytest.mark.parametrize(
    ("options", "usd"),
    [
        ((), "0.287500"),
        (("--ttl", "1h"), "0.287500"),
        # the last call comes too late: 50,400 written at 6.25, 42,000 read
        (("--ttl", "5m"), "0.336000"),
        # at 1, 0.1, 1.25 and 2
        (("--model", HAIKU), "0.057500"),
        (("--model", HAIKU, "--ttl", "5m"), "0.067200"),
        (("--price", "input=3,read=1,write=4,write_1h=7,output=9"), "0.244800"),
        (("--price", "input=3,read=1,write=4,output=9"), "0.168600"),  # an hour costs as much
        (("--price", "input=3"), "0.277200"),  # so does all
        (("--price", "input=3,read=1,write=4,write_1h=7", "--ttl", "5m"), "0.243600"),
        (("--model", HAIKU, "--price", "input=3"), "0.277200"),
        (("--model", "our-own-model", "--price", "input=3"), "0.277200"),
        (("--price", "input=0"), "0.000000"),
    ],
)
def test_costs_of_other_settings_are_worked_by_hand(
    ctxbudget: Command, tmp_path: Path, options: tuple[str, ...], usd: str
) -> None:
    path = kept(tmp_path)
    found = ctxbudget("replay", path, *options, "--json").json
    assert none_of(found)["cost_usd"] == usd
    assert none_of(found)["sent_tokens"] == 92_400
    # what it really cost stays what it was
    assert found["recorded_cost_usd"] == "0.287500"
    assert found["output_cost_usd"] == "0.016250"


def test_a_model_without_a_price_has_no_cost_and_is_told(
    ctxbudget: Command, tmp_path: Path
) -> None:
    ran = ctxbudget("replay", kept(tmp_path), "--model", "our-own-model", "--json")
    none = none_of(ran.json)
    assert [none[key] for key in ("cost_usd", "cost_ratio", "refetch_usd", "total_cost_usd")] == [
        None
    ] * 4
    assert "our-own-model: its price is not known" in ran.err
    assert none["recall"] == 1.0


@pytest.mark.parametrize(
    ("options", "write_usd"), [((), 10.0), (("--ttl", "5m"), 6.25)], ids=["1h", "5m"]
)
def test_misses_are_fetched_at_the_price_of_a_write(
    ctxbudget: Command, tmp_path: Path, options: tuple[str, ...], write_usd: float
) -> None:
    folder = tmp_path / "prompts"
    arguments = ("--policy", "masking:keep=1", "--misses", "--prompts", folder, "--json")
    found = ctxbudget("replay", kept(tmp_path), *arguments, *options).json
    row = rows_of(found)["masking:keep=1"]
    sizes = {(one["item"], one["call"]): one["tokens"] for one in row["missed"]}
    lines = (folder / "masking:keep=1.jsonl").read_text("utf-8").splitlines()
    sent = {
        call["call"]: sum(one["tokens"] for one in call["items"]) for call in map(json.loads, lines)
    }
    by_hand = sum(
        tokens * write_usd / 1e6 + sent[call] * 0.5 / 1e6 for (_, call), tokens in sizes.items()
    )
    assert set(sizes) == {("L3", 3), ("L5", 4)}
    assert float(row["refetch_usd"]) == pytest.approx(by_hand, abs=1e-6)


def test_summaries_are_charged(ctxbudget: Command, tmp_path: Path) -> None:
    policy = "compact-at-threshold:above=22500,keep_turns=1,min_turns=1,summary_tokens=300"
    found = ctxbudget("replay", kept(tmp_path), "--policy", policy, "--json").json
    row = rows_of(found)[policy]
    assert row["compactions"] >= 1
    assert float(row["compactions_usd"]) > 0
    # dearer than the same prompts without: the summaries are part of the cost
    free = "input=0,read=0.5,write=6.25,write_1h=10,output=0"
    without = rows_of(
        ctxbudget("replay", kept(tmp_path), "--policy", policy, "--price", free, "--json").json
    )[policy]
    assert without["compactions_usd"] == "0.000000"
    difference = float(row["cost_usd"]) - float(without["cost_usd"])
    assert difference == pytest.approx(float(row["compactions_usd"]), abs=2e-6)


def test_another_window_is_kept_to_but_by_bounds(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path)
    rows = rows_of(ctxbudget("replay", path, "--window", "24k", "--json").json)
    assert rows["none"]["peak_tokens"] <= 24_000
    assert rows["unbounded"]["peak_tokens"] == 25_400
    assert rows["unbounded"]["recall"] == rows["clairvoyant"]["recall"] == 1.0
    reserved = rows_of(
        ctxbudget("replay", path, "--window", "30k", "--reserve", "6k", "--json").json
    )
    assert reserved["none"]["sent_tokens"] == rows["none"]["sent_tokens"]


def test_another_budget_moves_what_is_a_share_of_it(ctxbudget: Command, tmp_path: Path) -> None:
    path, policy = kept(tmp_path), "clear-tool-uses:keep=0,above=50% of budget"
    whole = rows_of(ctxbudget("replay", path, "--policy", policy, "--json").json)
    small = rows_of(ctxbudget("replay", path, "--policy", policy, "--budget", "40k", "--json").json)
    assert whole[policy]["sent_tokens"] == 92_400
    assert small[policy]["sent_tokens"] < 92_400
    assert small["none"]["sent_tokens"] == 92_400


# ---- where a session comes from


def test_a_packed_file_and_stdin_give_the_same(ctxbudget: Command, tmp_path: Path) -> None:
    plain = ctxbudget("replay", kept(tmp_path), "--json").json["policies"]
    packed = kept(tmp_path, name="s-1.jsonl.gz")
    assert ctxbudget("replay", packed, "--json").json["policies"] == plain
    ran = subprocess.run(
        [sys.executable, "-m", "ctxbudget", "replay", "-", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        input=packed.read_bytes(),
        capture_output=True,
        check=True,
    )
    found = json.loads(ran.stdout)
    assert (found["file"], found["policies"]) == ("-", plain)


def test_a_sub_agent_is_replayed_on_its_own(ctxbudget: Command, tmp_path: Path) -> None:
    answer = wrote("a1", text("all is well"), usage=claude_usage(0, w5m=6_000, output=9), stop="x")
    lines = [*SESSION[:2], progress("ab12", said("look around")), progress("ab12", answer)]
    path = kept(tmp_path, [*lines, *SESSION[2:]])
    main = ctxbudget("replay", path, "--json").json
    assert (main["calls"], none_of(main)["cost_usd"]) == (4, "0.287500")
    found = ctxbudget("replay", path, "--agent", "ab12", "--json").json
    assert found["calls"] == 1
    assert found["recorded_cost_usd"] == none_of(found)["cost_usd"] == "0.037500"
    assert "holds no call" in ctxbudget("replay", path, "--agent", "nobody").error


def codex_lines() -> list[Json]:
    """Return a rollout of two calls of 10,000 and 12,000 tokens, of which 9,984 were cached."""

    def item(**payload: Any) -> Json:
        moment = "2026-03-02T10:00:05.000Z"
        return {"timestamp": moment, "type": "response_item", "payload": payload}

    said_ = [{"type": "input_text", "text": "mend the cart"}]
    first, second = codex_usage(10_000, 0, 100), codex_usage(12_000, 9_984, 50)
    both = codex_usage(22_000, 9_984, 150)
    return [
        codex_meta(base_instructions={"text": "You mend code."}),
        codex_turn("gpt-5.5"),
        item(type="message", role="user", content=said_),
        item(
            type="function_call",
            name="exec_command",
            arguments=json.dumps({"cmd": "cat src/cart.py"}),
            call_id="c1",
        ),
        codex_count(first, first),
        item(type="function_call_output", call_id="c1", output=CART),
        item(
            type="message",
            role="assistant",
            content=[{"type": "output_text", "text": "price_7 it is, and item_9."}],
        ),
        codex_count(both, second),
    ]


def test_a_codex_rollout(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "t-1.jsonl"
    path.write_bytes(as_bytes(codex_lines()))
    found = ctxbudget("replay", path, "--policy", "masking:keep=0", "--json").json
    rows = rows_of(found)
    whole, _ = audited(ctxbudget, path)
    assert Decimal(found["recorded_cost_usd"]) + Decimal(found["output_cost_usd"]) == whole
    assert (found["calls"], found["recorded_cost_calls"]) == (2, 2)
    assert rows["none"]["sent_tokens"] == 22_000
    # the cache is read in blocks of 128 tokens, as it was; nothing is missed of a result just in
    assert rows["none"]["cost_usd"] == found["recorded_cost_usd"]
    assert rows["masking:keep=0"]["sent_tokens"] == 22_000
    assert rows["none"]["recall"] == rows["masking:keep=0"]["recall"] == 1.0
    error = ctxbudget("replay", path, "--agent", "x").error
    assert "--agent" in error


def test_a_trajectory_of_mini_swe(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "one.traj.json"
    answers = [
        mini_swe_answer("g-1", 3_000, 0, 60, 0.1),
        mini_swe_answer("g-2", 3_100, 2_016, 60, 0.1),
    ]
    path.write_text(json.dumps(mini_swe(*answers)), encoding="utf-8")
    found = ctxbudget("replay", path, "--json").json
    assert found["calls"] == 2
    assert none_of(found)["sent_tokens"] == 6_100
    whole, _ = audited(ctxbudget, path)
    parts = float(found["recorded_cost_usd"]) + float(found["output_cost_usd"])
    assert parts == pytest.approx(float(whole), abs=1e-6)
    assert none_of(found)["cost_usd"] == found["recorded_cost_usd"]


# ---- what cannot be replayed is one line


@pytest.mark.parametrize(
    ("options", "said_"),
    [
        (("--ttl", "6m"), ("--ttl", "5m or 1h", "6m")),
        (("--ttl", ""), ("--ttl",)),
        (("--price", "3"), ("--price", "input=3")),
        (("--price", ""), ("--price",)),
        (("--price", "input=x"), ("--price", "x")),
        (("--price", "input=-1"), ("--price", "-1")),
        (("--price", "input=nan"), ("--price", "nan")),
        (("--price", "input=inf"), ("--price", "inf")),
        (("--price", "read=1"), ("--price", "no price for input")),
        (("--price", "input=1,cached=2"), ("--price", "cached=2")),
        (("--window", "much"), ("--window", "200k")),
        (("--window", "0"), ("--window",)),
        (("--reserve", "2M"), ("reserve", "2,000,000")),
        (("--window", "24k", "--budget", "25k"), ("--budget", "25,000", "24,000")),
        (("--window", "900"), ("--window", "20,000 tokens")),
        (("--reserve", "9000k"), ("--reserve: ", "name a smaller reserve")),
        (("--prompts", ""), ("--prompts: expected a folder, found nothing",)),
        (("--policy", "maskin"), ("masking",)),
        (("--policy", "masking:keep=x"), ("keep",)),
        (("--agent", "x"), ("holds no call",)),
    ],
    ids=lambda one: " ".join(one) if one and one[0].startswith("--") else "",
)
def test_a_bad_option_is_one_line(
    ctxbudget: Command, tmp_path: Path, options: tuple[str, ...], said_: tuple[str, ...]
) -> None:
    error = ctxbudget("replay", kept(tmp_path), *options).error
    for part in said_:
        assert part in error


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", b""),
        ("text.jsonl", b"hello\n"),
        ("package.json", b'{"name": "shop"}'),
        ("binary.jsonl", b"\x00\xff\n"),
        ("torn.jsonl.gz", b"\x1f\x8b\x08torn"),
        ("no calls.jsonl", as_bytes(one for _, one in linked([said()]))),
    ],
)
def test_a_file_without_a_session_is_one_line(
    ctxbudget: Command, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert str(path) in ctxbudget("replay", path).error


def test_a_folder_and_nothing_are_one_line(ctxbudget: Command, tmp_path: Path) -> None:
    assert str(tmp_path) in ctxbudget("replay", tmp_path).error
    assert "nowhere.jsonl" in ctxbudget("replay", tmp_path / "nowhere.jsonl").error


@pytest.mark.parametrize("under", ["file", "file/below"])
def test_prompts_cannot_be_written_into_a_file(
    ctxbudget: Command, tmp_path: Path, under: str
) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    error = ctxbudget("replay", kept(tmp_path), "--prompts", tmp_path / under).error
    assert "--prompts" in error
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
