"""Tests of `show`, `why` and `restore`: the real command on journals of simulations and live runs."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import ROOT, Command, Ran, all_shown, in_subprocess, written

from ctxbudget import Run
from ctxbudget.config import lookup
from ctxbudget.core.events import Allocated, PhaseClosed
from ctxbudget.history import By
from ctxbudget.journal import content_hash, read_journal, to_line

ESCAPE = "\x1b"
START_S = 1_000_000.0


def clock() -> Callable[[], float]:
    """Return a clock that goes on by a second each time it is read."""
    ticks = itertools.count()
    return lambda: START_S + next(ticks)


class Words:
    """Counts words, so that sizes can be worked by hand; a block's frame takes 4 more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def source_text(number: int) -> str:
    return f"def part_{number}():\n" + "    return 1\n" * 40


def open_run(path: Path, **options: Any) -> Run:
    return Run.open(
        **{
            "name": "login",
            "window_tokens": 2000,
            "budget": 1000,
            "phases": ["look", "build"],
            "policy": "masking:keep=1",
            "counter": Words(),
            "clock": clock(),
            "journal": path,
            **options,
        }
    )


def work(run: Run) -> Run:
    """Let a run read three files, of which two are masked, and leave its second phase open."""
    run.user("mend the login")
    with run.phase("look") as look:
        for number in range(3):
            name = f"src/{number}.py"
            look.tool_call("read", {"path": name}, call_id=f"c{number}", source=name)
            look.tool_result(f"c{number}", source_text(number), source=name)
            look.prompt()
        with look.agent("scout") as scout:
            scout.user("look around")
            scout.prompt()
            scout.deliver("the map of it", metadata="map")
    run.phase("build").user("now build")
    return run


FIRST_RESULT = "main/3"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the journal of an unfinished live run, with texts."""
    path = tmp_path / "run.jsonl"
    work(open_run(path)).close()
    return path


@pytest.fixture
def simulated(ctxbudget: Command, tmp_path: Path) -> Path:
    """Return the journal of a finished simulation, with summaries."""
    path = tmp_path / "sim.jsonl"
    made = ctxbudget("simulate", "jwt_auth", "--policy", "moderate", "--journal", path)
    assert made.code == 0
    return path


# ---- show


@pytest.mark.parametrize("name", lookup.names("workflows"))
def test_a_simulation_is_shown_as_it_was(ctxbudget: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.jsonl"
    was = ctxbudget("simulate", name, "--journal", path, "--json").json
    found = ctxbudget("show", path, "--json").json
    for key in ("workflow", "policy", "allocator", "phases", "run"):
        assert found[key] == was[key]
    assert (found["is_finished"], found["phase"]) == (True, None)
    told = [(row["what"], row["at"]) for row in found["told"]]
    assert told == [(row["level"], row["at"]) for row in was["run"]["events"]]
    assert sum(plan["gained_tokens"] for plan in found["plans"]) >= was["run"]["pruned_tokens"]
    (prompt,) = found["prompts"]
    assert prompt["tokens"] == was["run"]["residual_tokens"]


def test_costs_are_shown_as_they_were(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    options = ["--policy", "moderate", "--model", "claude-sonnet-4-5", "--journal", path]
    was = ctxbudget("simulate", "jwt_auth", *options, "--json").json
    found = ctxbudget("show", path, "--json").json
    assert float(was["run"]["cost_usd"]) > 0
    for key in ("phases", "run", "models"):
        assert found[key] == was[key]
    shown = ctxbudget("show", path).out
    assert f"{float(was['run']['cost_usd']):.4f}" in shown
    assert "prices:" not in shown  # they are the journal's; today's may be others


def test_the_phase_table_is_that_of_simulate(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    was = ctxbudget("simulate", "jwt_auth", "--policy", "none", "--journal", path).out.splitlines()
    shown = ctxbudget("show", path).out.splitlines()
    table = [line for line in was if line.startswith((" phase ", " 0 ", " 3 wave 2", " run "))]
    assert len(table) == 4
    assert set(table) < set(shown)
    assert shown[:1] == was[:1]


def test_a_live_run_is_shown_as_it_says_itself(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path))
    found = ctxbudget("show", path, "--json").json
    (prompt,) = found["prompts"]
    items = run.items()
    assert prompt["tokens"] == sum(item.tokens for item in items)
    assert (prompt["items"], prompt["evicted"]) == (len(items), len(run.evicted()))
    assert prompt["by_kind"] == dict(run.breakdown("kind"))
    assert prompt["by_layer"] == dict(run.breakdown("layer"))
    for by in get_args(By):
        rent = ctxbudget("show", path, "--json", "--rent", by).json["rent"]
        paid = [one for one in run.rent(by) if one.rent_tokens]
        assert [(one["name"], one["rent_tokens"], one["calls"]) for one in rent] == [
            (one.name, one.rent_tokens, one.calls) for one in paid
        ]
    run.close()


def test_plans_and_rent_worked_by_hand(ctxbudget: Command, journal: Path) -> None:
    found = ctxbudget("show", journal, "--json").json
    # a result holds 2 words and 40 times 2, and a frame of 4; its placeholder is asked of the run
    masked = [to_line(event) for event in read_journal(journal) if to_line(event).get("plan")]
    left = [one["stand_in"]["tokens"] for one in masked]
    assert [plan["gained_tokens"] for plan in found["plans"]] == [86 - one for one in left]
    assert [plan["operations"] for plan in found["plans"]] == [{"clear": 1}, {"clear": 1}]
    assert {(plan["thread"], plan["phase"], plan["rule"]) for plan in found["plans"]} == {
        ("main", "look", "mask old results")
    }
    rents = {one["name"]: one for one in found["rent"]}
    assert rents[FIRST_RESULT]["rent_tokens"] == 86 + left[0] + left[0]  # whole once, then masked
    assert rents["main/1"]["rent_tokens"] == (3 + 4) * 3
    assert rents["look/scout/1"]["rent_tokens"] == (2 + 4) * 1
    assert (found["workflow"], found["policy"], found["phase"]) == (
        "login",
        "masking:keep=1",
        "build",
    )
    assert found["plans"][0]["at"] < 60  # since the start


def test_money_is_shown_where_the_model_is_priced(ctxbudget: Command, tmp_path: Path) -> None:
    priced, unknown = tmp_path / "priced.jsonl", tmp_path / "unknown.jsonl"
    for path, model in ((priced, "claude-sonnet-4-5"), (unknown, "")):
        run = work(open_run(path, model=model))
        rents = run.rent("kind")
        run.close()
        found = ctxbudget("show", path, "--json", "--rent", "kind").json["rent"]
        for one, rent in zip(found, rents, strict=False):
            assert one["cost_usd"] == (None if rent.cost_usd is None else f"{rent.cost_usd:.6f}")
    (model,) = ctxbudget("show", priced, "--json").json["models"]
    assert (model["model"], model["calls"]) == ("claude-sonnet-4-5", 4)
    assert float(model["cost_usd"]) > 0
    assert " USD" in ctxbudget("show", priced).out
    assert " USD" not in ctxbudget("show", unknown).out


def lines_until(path: Path, start: str, to: Path) -> Path:
    """Return a copy of a journal that ends before the first line that begins with `start`."""
    kept = itertools.takewhile(
        lambda line: not line.startswith(start),
        path.read_text(encoding="utf-8").splitlines(keepends=True),
    )
    to.write_text("".join(kept), encoding="utf-8")
    return to


@pytest.mark.parametrize("phase", ["0", "1", "3", "6"])
def test_numbers_so_far_are_those_at_the_end(
    ctxbudget: Command, simulated: Path, tmp_path: Path, phase: str
) -> None:
    whole = ctxbudget("show", simulated, "--json").json
    # the last phases' rules at the end of the run leave this one out
    start = f'{{"decision":"phase_closed","at":{_closed_at(simulated, phase)},"phase":"{phase}"'
    cut = lines_until(simulated, start, tmp_path / "cut.jsonl")
    found = ctxbudget("show", cut, "--json").json
    assert (found["phase"], found["is_finished"]) == (phase, False)
    row, was = found["phases"][-1], whole["phases"][len(found["phases"]) - 1]
    for key in ("id", "allocated_tokens", "peak_tokens", "residual_tokens", "kept_tokens"):
        assert row[key] == was[key], key
    peaks = [one["peak_tokens"] for one in whole["phases"][: len(found["phases"])]]
    assert found["run"]["peak_tokens"] == max(peaks)
    assert found["run"]["residual_tokens"] == was["residual_tokens"]
    assert found["run"]["planned_tokens"] == whole["run"]["planned_tokens"]
    assert "so its numbers are those so far" in " ".join(ctxbudget("show", cut).out.split())


def test_the_plan_is_that_of_the_start(ctxbudget: Command, tmp_path: Path) -> None:
    phases = "phases: [{id: a, output: 400, metadata: 350}, {id: b, after: [a], output: 100}]"
    flow = written(
        tmp_path, f"window: 1000\nallocator: {{use: reserve, buffer_for: [overrun]}}\n{phases}\n"
    )
    path = tmp_path / "run.jsonl"
    was = ctxbudget("simulate", flow, "--journal", path, "--json").json
    cut = lines_until(path, '{"decision":"run_closed"', tmp_path / "cut.jsonl")
    found = ctxbudget("show", cut, "--json").json
    assert len([one for one in read_journal(cut) if isinstance(one, Allocated)]) > 2
    assert found["run"]["planned_tokens"] == was["run"]["planned_tokens"] == 600
    assert (found["is_finished"], found["phase"]) == (False, None)
    assert "; between phases" in " ".join(ctxbudget("show", cut).out.split())


def _closed_at(path: Path, phase: str) -> float:
    events = read_journal(path)
    return next(one.at for one in events if isinstance(one, PhaseClosed) and one.phase == phase)


def test_phases_and_threads_share_the_whole(ctxbudget: Command, simulated: Path) -> None:
    def rent(*options: str) -> int:
        found = ctxbudget("show", simulated, "--json", *options).json
        return sum(one["rent_tokens"] for one in found["rent"])

    whole = ctxbudget("show", simulated, "--json").json
    phases = [row["id"] for row in whole["phases"]]
    assert rent() == whole["run"]["sent_tokens"]
    for row in whole["phases"]:
        assert rent("--phase", row["id"]) == row["sent_tokens"]
    one = ctxbudget("show", simulated, "--json", "--phase", phases[1]).json
    assert [row["id"] for row in one["phases"]] == [phases[1]]
    assert 0 < len(one["plans"]) < len(whole["plans"])
    assert {plan["phase"] for plan in one["plans"]} == {phases[1]}
    assert {row["phase"] for row in one["told"]} == {phases[1]}


def test_one_thread(ctxbudget: Command, journal: Path) -> None:
    found = ctxbudget("show", journal, "--json", "--thread", "look/scout").json
    (prompt,) = found["prompts"]
    assert (prompt["thread"], prompt["is_open"]) == ("look/scout", False)
    assert found["plans"] == []
    assert {one["name"]: one["rent_tokens"] for one in found["rent"]} == {"look/scout/1": 6}
    main = ctxbudget("show", journal, "--json", "--thread", "main").json
    assert "look/scout/1" not in {one["name"] for one in main["rent"]}
    assert len(main["plans"]) == 2


def test_an_open_agent_has_its_prompt_shown(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(path)
    run.keep("the house rules")
    agent = run.phase("look").agent("scout")
    agent.user("one two")
    prompts = ctxbudget("show", path, "--json").json["prompts"]
    assert [(one["thread"], one["tokens"]) for one in prompts] == [
        ("main", 3 + 4),
        ("look/scout", 3 + 4 + 2 + 4),
    ]
    shown = ctxbudget("show", path).out
    assert "Prompt of look/scout\n13 tokens, 1.3% of budget, 0.7% of window; 2 items" in shown
    run.close()


def test_an_undone_plan_says_so(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path))
    run.undo(2)
    first, second = ctxbudget("show", path, "--json").json["plans"]
    assert first["undone_at"] is None
    assert second["undone_at"] > second["at"]
    assert " undone " in " ".join(ctxbudget("show", path).out.split())
    run.close()


def test_what_was_told_beside_levels(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path, review=lambda review: "not\nnow"))
    told = ctxbudget("show", path, "--json").json["told"]
    assert {row["what"] for row in told} >= {"vetoed"}
    assert ctxbudget("show", path, "--json").json["plans"] == []
    assert "vetoed rule mask old results: not now" in ctxbudget("show", path).out
    run.close()


def test_events_one_line_each(ctxbudget: Command, journal: Path) -> None:
    events = list(read_journal(journal))
    lines = ctxbudget("show", journal, "--events").out.splitlines()
    assert len(lines) == len(events)
    assert lines[0].startswith("      0.0 s  main run_started workflow=login ")
    found = ctxbudget("show", journal, "--events", "--json").json["events"]
    assert found == [to_line(event) for event in events]
    for line, event in zip(lines, found, strict=True):
        name = event.get("fact") or event.get("decision") or event.get("effect")
        assert f" {event.get('thread', 'main')} {name}" in line
    scout = ctxbudget("show", journal, "--events", "--thread", "look/scout").out.splitlines()
    assert [line.split()[3] for line in scout] == [
        "agent_started",
        "seeded",
        "item_added",
        "call_started",
        "call_sent",
        "agent_finished",
        "thread_closed",
    ]
    build = ctxbudget("show", journal, "--events", "--phase", "build").out.splitlines()
    assert [line.split()[3] for line in build] == ["allocated", "phase_started", "item_added"]


def test_names_from_elsewhere_command_no_terminal(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(path)
    run.user("goal")
    run.tool_call("ev\x1b[31mil\n[bold]", {}, call_id="c")
    run.tool_result("c", "red \x1b[31m text\nnext", source="a\nb")
    run.prompt()
    shown = [
        ctxbudget("show", path, "--rent", "tool").out,
        ctxbudget("show", path, "--rent", "source").out,
        ctxbudget("show", path, "--events").out,
        ctxbudget("why", path, "main/3").out,
    ]
    assert not any(ESCAPE in one for one in shown)
    assert "ev\\x1b[31mil [bold]" in shown[0]
    assert len(shown[2].splitlines()) == len(list(read_journal(path)))
    assert "  red \\x1b[31m text\n  next\n" in shown[3]
    assert ctxbudget("restore", path, "main/3").out == "red \x1b[31m text\nnext\n"  # a pipe
    run.close()


# ---- why


def test_why_says_what_the_run_says(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path))
    for item in run.items():
        found = ctxbudget("why", path, item.id, "--json").json
        said = run.why(item.id)
        assert [(one["what"], one["reason"], one["plan"]) for one in found["happenings"]] == [
            (one.what, one.reason, one.plan) for one in said
        ]
        assert found["happenings"][0]["at"] == said[0].at - START_S
        assert found["present"] == [
            {
                "thread": "main",
                "form": item.form,
                "version": item.version,
                "tokens": item.tokens,
            }
        ]
        assert found["evicted"] == []
    run.close()


def test_why_for_people(ctxbudget: Command, journal: Path) -> None:
    lines = ctxbudget("why", journal, FIRST_RESULT).out.splitlines()
    assert lines[0] == (
        "main/3: tool_result of read, a copy of src/0.py, transient layer, phase look, "
        "86 tokens as it came"
    )
    assert lines[1].endswith(" s  main added, 86 tokens")
    assert " main clear by mask old results (plan 1), " in lines[2]
    assert lines[2].endswith("rarely read again and can be fetched again")
    assert lines[3].startswith("now: in the prompt of main, as a placeholder, ")
    assert lines[4] == f"whole text: ctxbudget restore {journal} main/3"
    text = source_text(0)
    assert lines[5] == f"text (the first 400 of {len(text):,} characters):"
    assert lines[6:8] == ["  def part_0():", "      return 1"]
    short = ctxbudget("why", journal, "main/1").out.splitlines()
    assert short[2:] == ["now: in the prompt of main, whole, 7 tokens", "text:", "  mend the login"]


def test_where_an_item_lies(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    rules = [{"on": "before_call", "do": "drop", "why": "old", "select": {"kind": "assistant"}}]
    run = open_run(path, policy={"name": "forget", "rules": rules})
    run.user("goal")
    (item,) = run.assistant("three little words")
    run.prompt()
    agent = run.phase("look").agent("scout")
    (own,) = agent.user("own goal")
    run.prompt()
    agent.finish()
    found = ctxbudget("why", path, item, "--json").json
    assert (found["present"], found["evicted"]) == (
        [],
        [{"thread": "main", "is_open": True, "tokens": 7}],
    )
    assert found["happenings"][-1]["reason"] == "old"
    out = ctxbudget("why", path, item).out
    assert "now: evicted from the prompt of main, 7 tokens\nwhole text: ctxbudget restore" in out
    assert "now: in no prompt; its thread has ended" in ctxbudget("why", path, own).out
    assert ctxbudget("restore", path, item, "--json").json["cost"]["gained_tokens"] == 7
    assert ctxbudget("restore", path, item).out == "three little words\n"
    assert ctxbudget("restore", path, own).out == "own goal\n"
    assert "'look/scout' has ended" in ctxbudget("restore", path, own).err
    run.close()


def test_what_left_twice_lies_there_as_it_first_was(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    rules = [
        {"on": "before_call", "do": "clear", "why": "x", "select": {"kind": "tool_result"}},
        {"on": "phase_finished", "do": "drop", "why": "y", "select": {"kind": "tool_result"}},
    ]
    run = open_run(path, policy={"name": "twice", "rules": rules})
    with run.phase("look") as look:
        look.tool_call("read", {}, call_id="c")
        (item,) = look.tool_result("c", "word " * 50)
        look.prompt()
        look.prompt()
    found = ctxbudget("why", path, item, "--json").json
    assert [one["what"] for one in found["happenings"]] == ["added", "clear", "drop"]
    assert found["evicted"] == [{"thread": "main", "is_open": True, "tokens": 54}]
    assert ctxbudget("restore", path, item).out == "word " * 50 + "\n"
    cost = ctxbudget("restore", path, item, "--json").json["cost"]
    assert cost["items"] == ["main/1", "main/2"]  # with its call
    run.close()


def test_a_summary_says_what_it_stands_for_and_what_it_read(
    ctxbudget: Command, simulated: Path
) -> None:
    pruned = [
        line
        for line in map(to_line, read_journal(simulated))
        if line.get("decision") == "pruned" and line.get("reads")
    ]
    summary, read = pruned[0]["stand_in"]["id"], pruned[0]["reads"][0]
    found = ctxbudget("why", simulated, summary, "--json").json
    assert found["stands_for"] == pruned[0]["items"]
    assert (found["text_chars"], found["text_start"]) == (None, None)
    assert "text: the journal holds none" in ctxbudget("why", simulated, summary).out
    of_read = ctxbudget("why", simulated, read, "--json").json["happenings"]
    (aside,) = [one for one in of_read if one["by"] == summary and one["what"] == "read"]
    assert (aside["plan"], aside["reason"]) == (pruned[0]["plan"], pruned[0]["reason"])
    assert [one["at"] for one in of_read] == sorted(one["at"] for one in of_read)


def test_a_refused_plan_is_told_of_its_items(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    work(open_run(path, review=lambda review: "hands off")).close()
    happened = ctxbudget("why", path, FIRST_RESULT, "--json").json["happenings"]
    assert [one["what"] for one in happened][:2] == ["added", "clear refused"]
    assert (happened[1]["reason"], happened[1]["tokens"]) == ("hands off", 86)


# ---- restore


def test_restore_gives_the_whole_text_and_the_runs_own_cost(
    ctxbudget: Command, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path))
    before = path.read_bytes()
    ran = ctxbudget("restore", path, FIRST_RESULT)
    assert (ran.code, ran.out) == (0, source_text(0))
    cost = run.restore_cost(FIRST_RESULT)
    assert (
        f"would add {cost.gained_tokens:,} tokens (to at most {cost.occupancy_tokens:,})" in ran.err
    )
    assert ran.err.endswith("cached tokens again; it fits\n")
    found = ctxbudget("restore", path, FIRST_RESULT, "--json").json
    assert found["cost"] == {
        "items": [FIRST_RESULT],
        "gained_tokens": cost.gained_tokens,
        "rewritten_tokens": cost.rewritten_tokens,
        "occupancy_tokens": cost.occupancy_tokens,
        "to_prune_tokens": 0,
        "fits": True,
    }
    assert cost.rewritten_tokens > 0
    assert (found["text"], found["thread"], found["no_cost"]) == (source_text(0), "main", None)
    assert found["block"]["type"] == "tool_result"
    assert path.read_bytes() == before
    run.close()


def test_restore_says_what_would_have_to_go(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path, window_tokens=260, budget=260))
    run.assistant("word " * 50)
    cost = run.restore_cost(FIRST_RESULT)
    assert cost.to_prune_tokens > 0
    assert f"{cost.to_prune_tokens:,} tokens would have to go" in (
        ctxbudget("restore", path, FIRST_RESULT).err
    )
    run.close()


def test_restore_of_what_is_there_still_gives_the_text(ctxbudget: Command, journal: Path) -> None:
    ran = ctxbudget("restore", journal, "main/1")
    assert (ran.code, ran.out) == (0, "mend the login\n")
    assert "is in the prompt as a whole; there is nothing to restore" in ran.err


def test_restore_into_a_file(ctxbudget: Command, journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "найдено.txt"
    ran = ctxbudget("restore", journal, FIRST_RESULT, "--out", out)
    assert (ran.code, ran.out) == (0, "")
    assert out.read_bytes() == source_text(0).encode()
    assert f"{len(source_text(0))} characters are in " in ran.err
    assert "exists; choose another name for --out" in (
        ctxbudget("restore", journal, "main/1", "--out", out).error
    )
    assert "exists" in ctxbudget("restore", journal, "main/1", "--out", journal).error
    found = ctxbudget("restore", journal, "main/1", "--out", tmp_path / "b", "--json").json
    assert (found["text"], found["block"], found["out"]) == (None, None, str(tmp_path / "b"))


def test_restore_needs_texts(ctxbudget: Command, simulated: Path, tmp_path: Path) -> None:
    assert "has sizes but no texts; take the journal of a live run" in (
        ctxbudget("restore", simulated, "0/output").error
    )
    path = tmp_path / "bare.jsonl"
    work(open_run(path, keeps_texts=False)).close()
    assert "without texts (`keeps_texts=False`)" in ctxbudget("restore", path, FIRST_RESULT).error
    assert ctxbudget("show", path).code == ctxbudget("why", path, FIRST_RESULT).code == 0


def test_an_image_is_given_as_json(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(path)
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    }
    (item,) = run.user([image])
    run.close()
    ran = ctxbudget("restore", path, item)
    assert json.loads(ran.out) == image
    assert "images or documents" in ran.err


@pytest.mark.parametrize("behind", ['{"effect":"shorten"', '{"text"', '{"decision":"pruned"'])
def test_a_journal_that_ends_while_a_plan_is_carried_out(
    ctxbudget: Command, journal: Path, tmp_path: Path, behind: str
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    asked = [n for n, line in enumerate(lines) if line.startswith(b'{"effect":"shorten"')]
    # the first result is masked by then, the second one is being masked
    end = next(n for n in range(asked[1], len(lines)) if lines[n].startswith(behind.encode()))
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(lines[: end + 1]))
    for arguments in (["show", cut], ["why", cut, FIRST_RESULT]):
        assert ctxbudget(*arguments).code == 0
    ran = ctxbudget("restore", cut, FIRST_RESULT)
    assert (ran.code, ran.out) == (0, source_text(0))
    assert "would add" in ran.err


# ---- journals as they are found


EACH = (["show"], ["why", FIRST_RESULT], ["restore", FIRST_RESULT])


def on(command: list[str], path: Path, *options: str) -> list[str]:
    return [command[0], str(path), *command[1:], *options]


@pytest.mark.parametrize("command", EACH, ids=lambda words: words[0])
def test_a_torn_last_line_is_told(
    ctxbudget: Command, journal: Path, tmp_path: Path, command: list[str]
) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(journal.read_bytes()[:-9])
    ran = ctxbudget(*on(command, torn))
    assert ran.code == 0
    first = ran.err.splitlines()[0]
    assert first.startswith(f"ctxbudget: note: {torn}: line ")
    assert "was cut off by a crash" in first
    assert ctxbudget(*on(command, torn, "--json")).json


@pytest.mark.parametrize("command", EACH, ids=lambda words: words[0])
def test_a_journal_that_somebody_writes_is_read(
    ctxbudget: Command, tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "run.jsonl"
    run = work(open_run(path))
    assert "note" not in ctxbudget(*on(["show"], path)).err
    with path.open("ab") as file:
        file.write(b'{"fact":"item_ad')
    ran = ctxbudget(*on(command, path))
    assert ran.code == 0
    assert "is still being written; the last line was not whole yet" in ran.err
    run.close()


BAD: dict[str, tuple[list[str], str]] = {
    "no file": (["show", "nope.jsonl"], "nope.jsonl: no such file or directory; check the path"),
    "a folder": (["show", "."], ": is a directory; check the path"),
    "no journal": (["show", "flow.yaml"], "flow.yaml: is not a journal of ctxbudget; use "),
    "a packed file": (["show", "packed.jsonl.gz"], "`ctxbudget replay` or `ctxbudget audit` for a"),
    "a session": (["why", "session.jsonl", "main/1"], "session.jsonl: is not a journal of ctxbudget"),
    "a session's item": (["restore", "session.jsonl", "L1"], "use `ctxbudget replay` or"),
    "a later version": (["show", "later.jsonl"], "is of version 99, this program reads 1; update it"),
    "empty": (["show", "empty.jsonl"], "is empty, so not a journal"),
    "only a head": (["show", "head.jsonl"], "holds no run yet; wait for its first event"),
    "a torn head": (["show", "tornhead.jsonl"], "holds no run yet; wait for its first event"),
    "no beginning": (["show", "tail.jsonl"], "the first event is not run_started"),
    "a hole": (["show", "hole.jsonl"], "hole.jsonl:"),
    "a phase": (["show", "run.jsonl", "--phase", "lok"], "there is no phase 'lok' in the journal; "
                "did you mean 'look'?"),
    "a thread": (["show", "run.jsonl", "--thread", "scout"], "did you mean 'look/scout'?"),
    "another thread": (["restore", "run.jsonl", "main/1", "--thread", "x"], "known are: look/scout"),
    "an item": (["why", "run.jsonl", "main/33"], "there is no item 'main/33'; did you mean 'main/3'"),
    "an item to restore": (["restore", "run.jsonl", "mian/3"], "did you mean 'main/3'"),
    "rent": (["show", "run.jsonl", "--rent", "cat"], "see `ctxbudget show --help`"),
    "no item": (["why", "run.jsonl"], "Missing argument 'ITEM'"),
    "no folder": (["restore", "run.jsonl", "main/1", "--out", "no/where"], "choose another place"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(
    ctxbudget: Command,
    journal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    written(tmp_path, "phases: [{id: a}]\n")
    written(tmp_path, "", "empty.jsonl")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    written(tmp_path, '{"type": "user"}\n{"type": "assistant"}\n', "session.jsonl")
    written(tmp_path, '{"journal": "ctxbudget", "version": 99}\n', "later.jsonl")
    written(tmp_path, lines[0], "head.jsonl")
    written(tmp_path, lines[0][:12], "tornhead.jsonl")
    written(tmp_path, lines[0] + "".join(lines[2:]), "tail.jsonl")
    hole = [line for line in lines if not line.startswith('{"fact":"agent_started"')]
    written(tmp_path, "".join(hole), "hole.jsonl")
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    before = journal.read_bytes()
    assert message in _last_line(ctxbudget(*arguments))
    assert journal.read_bytes() == before


def _last_line(ran: Ran) -> str:
    """Return the error, behind what may have been noted before."""
    *notes, line = ran.err.splitlines()
    assert all(one.startswith("ctxbudget: note: ") for one in notes)
    return Ran(ran.code, ran.out, f"{line}\n").error


# ---- the command line around them


@pytest.mark.parametrize("command", EACH, ids=lambda words: words[0])
def test_the_help_names_each_key_of_the_json(
    ctxbudget: Command, journal: Path, command: list[str]
) -> None:
    told = ctxbudget(command[0], "--help").out
    assert "Examples:" in told
    options = ["--json", "--events"] if command[0] == "show" else ["--json"]
    found = ctxbudget(*on(command, journal, *options)).json
    keys = set(_keys(found)) - {"ctxbudget", "journal"}
    assert {key for key in keys if key not in told} == set()


def _keys(found: dict[str, Any]) -> Iterator[str]:
    yield from found
    for part in ("prompts", "rent", "told", "happenings", "present", "evicted"):
        for row in found.get(part, ())[:1]:
            yield from row
    yield from found.get("cost") or ()


@pytest.mark.parametrize("columns", [60, 200])
def test_a_pipe_gets_plain_text_of_its_width(journal: Path, columns: int) -> None:
    env = {"COLUMNS": str(columns)}
    ran = in_subprocess("show", journal, cwd=journal.parent, env=env)
    assert (ran.code, ran.err) == (0, "")
    assert ESCAPE not in ran.out
    assert max(map(len, ran.out.splitlines())) <= columns


def on_terminal(*arguments: object, **variables: str) -> bytes:
    """Return what the command writes on a terminal, stdout and stderr alike."""
    pty = pytest.importorskip("pty", reason="no terminals here")
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    env = {**env, "TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "ctxbudget", *map(str, arguments)]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT, env=env):
        os.close(theirs)
        return all_shown(ours)


def test_colours_on_a_terminal_unless_told_otherwise(journal: Path) -> None:
    assert ESCAPE.encode() in on_terminal("show", journal)
    assert ESCAPE.encode() not in on_terminal("show", journal, NO_COLOR="1")


def test_a_restored_text_commands_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(path)
    (item,) = run.user("red \x1b[31m text")
    run.close()
    assert b"red \\x1b[31m text" in on_terminal("restore", path, item)


def test_a_large_journal_shows_how_far_it_is_read_on_a_terminal_only(journal: Path) -> None:
    content = "x" * 10_000
    line = f'{{"text":"{content_hash(content)}","content":"{content}"}}\n'
    assert b"reading" not in on_terminal("show", journal)
    with journal.open("a", encoding="utf-8") as file:
        file.write(line * 1000)
    shown = on_terminal("show", journal)
    assert b"reading" in shown
    assert b"100%" in shown
    assert in_subprocess("show", journal, cwd=journal.parent).err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_leaves_early_hears_no_complaint(journal: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "ctxbudget", "restore", str(journal), FIRST_RESULT]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert b"Error" not in done.stderr


SEEN = """\
import sys
from ctxbudget.cli.main import main
try:
    main()
except SystemExit as exited:
    assert not exited.code, exited.code
wanted = ("networkx", "pydantic", "rich", "tiktoken", "anthropic", "genai_prices")
print([name for name in wanted if name in sys.modules], file=sys.stderr)
print([name for name in sys.modules if name.startswith(("ctxbudget.cli.", "ctxbudget.report"))],
      file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "imported"),
    [
        ("--help", set()),
        ("restore --help", set()),
        ("show JOURNAL --events", {"pydantic"}),
        ("show JOURNAL", {"pydantic", "rich"}),
        ("restore JOURNAL main/3", {"pydantic", "networkx"}),
    ],
)
def test_a_command_imports_no_more_than_it_needs(
    journal: Path, words: str, imported: set[str]
) -> None:
    arguments = [str(journal) if word == "JOURNAL" else word for word in words.split()]
    done = subprocess.run(
        [sys.executable, "-c", SEEN, *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    *_, heavy, ours = done.stderr.splitlines()
    assert set(json.loads(heavy.replace("'", '"'))) == imported
    if "--help" in words:
        own = {"ctxbudget.cli.main", "ctxbudget.cli.output", "ctxbudget.cli.exit_codes"}
        command = words.removesuffix("--help").strip()
        own |= {f"ctxbudget.cli.{command}"} if command else set()
        assert set(json.loads(ours.replace("'", '"'))) == own
