"""Tests of replays at the edges: who goes with whom, which price holds, which file is whose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from claude_lines import result, wrote
from commands import Command, written
from recorded_lines import claude_usage
from test_clairvoyant import Tape, tried
from test_prompt_files import Written
from test_replay import CACHE, PHASES, PRICE, journaled, policy, reads, result_text, run_of
from test_replay_edges import DEAR
from test_replay_transcripts import COMPACTED, SESSION, kept, none_of
from test_transcripts_facts import call, part
from worlds import World, rules

from ctxbudget import Run
from ctxbudget.core.events import CallSent, RunStarted
from ctxbudget.core.types import Item, Kind
from ctxbudget.providers.prices import price_of
from ctxbudget.recall import Recall
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import Settings, WhatIf, recorded_run, what_if
from ctxbudget.transcripts.session import recorded_session

SUMMARY = rules(
    {
        "on": "before_call",
        "select": {"kind": ["tool_call", "tool_result"], "keep_last_turns": 1},
        "do": "summarize",
        "by": "all",
        "to": 200,
    }
)
STUBS = rules(
    {
        "on": "before_call",
        "select": {"kind": ["tool_call", "tool_result"], "keep_last_turns": 1},
        "do": "stub",
        "by": "turn",
    }
)


def recall_of(found: WhatIf) -> Recall:
    assert found.recall is not None
    return found.recall


@pytest.mark.parametrize("spec", [SUMMARY, STUBS], ids=["summary", "stubs"])
def test_what_stands_for_what_the_host_took_back_goes_as_well(spec: Any) -> None:
    made = World("none").add("goal", 100, "user")
    for name in ("one", "two", "three"):
        made.turn(name).call()
    # rewind over the first two turns: the recorded prompt is goal and `three`, 1,100 tokens
    made.withdraw("one call", "one result", "two call", "two result").call()
    sent: list[list[str]] = []

    class Seen:
        def sent(
            self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
        ) -> None:
            sent.append([item.id for item in items])

    what_if(recorded_run(made.events), policy(spec), prompts=Seen())
    assert sent[-1] == ["goal", "three call", "three result"]


def test_clairvoyant_keeps_what_an_agent_will_be_handed(tmp_path: Path) -> None:
    def script(run: Run, clock: Any) -> None:
        run.user("mend the login")
        with run.phase("look") as look, look.agent("scout") as scout:
            scout.prompt()
            scout.deliver(result_text(7), metadata="a map")
        with run.phase("plan") as plan:
            plan.prompt()
            plan.prompt()
            with plan.agent("planner") as planner:
                planner.user("plan")
                planner.prompt()
                planner.assistant("by value_7_3 and value_7_4")

    run = run_of(journaled(tmp_path / "r.jsonl", script, phases=PHASES))
    assert recall_of(what_if(run, policy("clairvoyant"))).recall == 1.0


def test_clairvoyant_reads_on_a_model_only_what_that_model_was_sent() -> None:
    def call(tape: Tape, model: str) -> Tape:
        place = len(tape.records)
        tape.call()
        for one in (place, place + 1):
            record: Any = tape.records[one]
            tape.records[one] = replace(record, model=model)
        return tape

    tape = call(Tape().add("one", 1_000, "value_1"), "A")
    call(tape.add("X", 2_000, "value_2"), "B").add("v", 0, "value_1", Kind.ASSISTANT)
    call(tape, "A").add("w", 10, "value_2", Kind.ASSISTANT)
    start = tape.records[0]
    assert isinstance(start, RunStarted)
    tape.records[0] = replace(
        start, prices={"A": PRICE, "B": PRICE}, caches={"A": CACHE, "B": CACHE}
    )
    found, prompts = tried(tape)
    assert prompts.names == ["goal one", "goal one X", "goal X v"]
    # A wrote goal and one, B all; A reads the goal and writes X, which it never saw
    assert found.metrics.run.cache.cache_write_tokens == 1_100 + 3_100 + 2_000


@pytest.mark.parametrize("names", [("items",), ("mine", "mine"), ("a b", "a_b"), ("ö", "ü")])
def test_each_policy_has_a_file_of_its_own(
    ctxbudget: Command, tmp_path: Path, names: tuple[str, ...]
) -> None:
    rule = "{name: out, on: before_call, select: {kind: tool_result}, do: clear, why: old}"
    named: list[object] = []
    for number, name in enumerate(names):
        path = written(tmp_path, f"name: {name}\nrules:\n  - {rule}\n", f"{number}.yaml")
        named += ["--policy", path]
    folder = tmp_path / "prompts"
    ctxbudget("replay", kept(tmp_path), *named, "--prompts", folder, "--json")
    assert len(list(folder.iterdir())) == 1 + 3 + len(names)
    Written(folder)


def test_a_miss_at_a_call_that_writes_nothing_costs_the_write_that_is_asked_for(
    tmp_path: Path,
) -> None:
    def script(run: Run, clock: Any) -> None:
        run.user("mend the login")
        for number in range(2):
            reads(run, number)
            run.prompt()
        run.prompt()  # the same prompt again, all of it read
        run.assistant("by value_0_7")

    run = run_of(journaled(tmp_path / "r.jsonl", script))
    found = what_if(run, policy("masking:keep=1"), Settings(ttl_s=3_600.0, price=DEAR))
    (miss,) = recall_of(found).misses
    assert found.refetch_usd == miss.tokens * 3 + Decimal("0.5") * found.peak_tokens


def test_the_window_that_is_told_is_the_one_that_held(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path)
    assert ctxbudget("replay", path, "--window", "100k", "--json").json["window_tokens"] == 100_000
    assert "window 100,000" in ctxbudget("replay", path, "--window", "100k").out


@pytest.mark.parametrize(
    "options",
    [
        ("--model", "claude-haiku-4-5"),
        ("--price", "input=1"),
        ("--window", "24k"),
        ("--ttl", "5m"),
        ("--ignore-compactions",),
    ],
)
def test_the_bill_error_is_that_of_the_recorded_settings(
    ctxbudget: Command, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = kept(tmp_path, COMPACTED)
    assert ctxbudget("replay", path, "--json").json["bill_error_frac"] is not None
    assert ctxbudget("replay", path, *options, "--json").json["bill_error_frac"] is None


def test_a_price_that_is_given_is_known(ctxbudget: Command, tmp_path: Path) -> None:
    ran = ctxbudget("replay", kept(tmp_path), "--model", "our-own", "--price", "input=3", "--json")
    assert none_of(ran.json)["cost_usd"] == "0.277200"
    assert "not known" not in ran.err


def test_a_shorter_prefix_is_another_version(ctxbudget: Command, tmp_path: Path) -> None:
    lines = [
        *SESSION[:2],
        result("t1", "no such file", 4),
        wrote(
            "m2",
            {"type": "text", "text": "ok"},
            usage=claude_usage(0, w1h=15_000, output=9),
            stop="x",
            second=5,
        ),
    ]
    folder = tmp_path / "prompts"
    ctxbudget("replay", kept(tmp_path, lines), "--prompts", folder)
    calls = Written(folder).calls("none")
    prefix = {
        (one["id"], one["version"], one["tokens"])
        for call in calls
        for one in call["items"]
        if one["id"] == "prefix"
    }
    assert len(prefix) == len({one[:2] for one in prefix})


@pytest.mark.parametrize("do", ["clear", "snip", "digest", "stub", "drop"])
def test_what_the_log_does_not_show_can_be_pruned_by_assumption(do: str) -> None:
    """A call of which a shorter form cannot be made must not be left out: it would cost nothing."""
    calls = [
        call(1_000, part("goal", 100), output=20),
        call(9_020, part("two", 100), read=1_000, output=20, at=10.0),
        call(9_140, part("three", 100), read=9_020, output=20, at=20.0),
        call(9_260, part("four", 100), read=9_140, output=20, at=30.0),
    ]
    run = recorded_session(calls, RecordedFile(file="s"), PriceBook(price_of)).run
    rule = rules({"on": "before_call", "select": {"kind": "system"}, "do": do, "to": 50})
    found = what_if(run, policy(rule))
    assert (found.metrics.run.calls, found.skipped_facts) == (4, 0)
    assert found.metrics.run.pruned_tokens > 7_000


def test_a_shorter_tool_call_still_serves_the_lines_that_it_holds(tmp_path: Path) -> None:
    kept_line = "total = price * amount  # as the invoice says"

    def script(run: Run, clock: Any) -> None:
        run.user("mend the cart")
        body = "\n".join([kept_line, *(f"line number {n} of the file" for n in range(200))])
        run.tool_call("write", {"path": "cart.py", "content": body}, call_id="c")
        run.tool_result("c", "written")
        run.prompt()
        run.assistant("done")
        run.prompt()
        run.assistant(kept_line)

    rule = {"on": "before_call", "select": {"kind": "tool_call"}, "do": "snip", "to": 400}
    run = run_of(journaled(tmp_path / "r.jsonl", script))
    found = what_if(run, policy(rules(rule)))
    assert found.metrics.run.pruned_tokens > 1_000
    assert recall_of(found).quote_recall == 1.0
