"""Tests of the prompts that `ctxbudget replay --prompts` writes.

`Written` reads a folder as an outsider would: from the files alone it works out, by the definitions
in the documentation and without the project's code, what the command says of each policy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from commands import Command, written
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clairvoyant import KEEPS_ONE, STEPS, Tape, taped
from test_cli_replay import work
from test_replay import PHASES, policy, result_text
from test_replay_transcripts import COMPACTED, SESSION, kept, rows_of
from worlds import PolicySpec, rules

from ctxbudget import Run
from ctxbudget.replay import RecordedRun, WhatIf, what_if
from ctxbudget.replay.prompt_files import prompt_files

Json = dict[str, Any]

TRIED = (
    "masking:keep=1",
    "masking:keep=0",
    "ladder",
    "compact-at-threshold:above=22500,keep_turns=1,min_turns=1,summary_tokens=300",
    "clear-tool-uses:above=1000,keep=1",
)
ALWAYS = ("none", "unbounded", "clairvoyant")

# ---- an outsider's view


def names_in(text: str) -> set[str]:
    """Return the identifiers of a text."""
    runs = (run.strip("./:-") for run in re.findall(r"[A-Za-z0-9_./:-]{6,}", text))
    return {run for run in runs if re.search(r"[0-9_./:-]|[a-z][A-Z]", run)}


def lines_in(text: str) -> set[str]:
    """Return the lines that are long enough to be quoted."""
    bare = (re.sub(r"^\d+[→\t:|]\s*", "", line.strip()) for line in text.split("\n"))
    return {line for line in bare if len(line) >= 24}


class Written:
    """A folder of prompts.

    Recall is that of runs that were recorded without pruning, so that `none` has their prompts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts: dict[tuple[str, int], str | None] = {}
        self.kinds: dict[str, str] = {}
        for line in self._read("items.jsonl"):
            assert set(line) == {"id", "version", "kind", "text"}
            version = (line["id"], line["version"])
            assert version not in self.texts, "an item's version is written once"
            self.texts[version] = line["text"]
            self.kinds.setdefault(line["id"], line["kind"])

    def _read(self, name: str) -> list[Json]:
        return [json.loads(one) for one in (self.folder / name).read_text("utf-8").splitlines()]

    def calls(self, label: str) -> list[Json]:
        return self._read(f"{label}.jsonl")

    def sent_tokens(self, label: str) -> list[int]:
        return [sum(one["tokens"] for one in call["items"]) for call in self.calls(label)]

    @cached_property
    def recorded(self) -> list[Json]:
        return self.calls("none")

    def words(self, version: tuple[str, int], *, lines: bool) -> set[str]:
        found_in = lines_in if lines else names_in
        is_thought = self.kinds[version[0]] == "thinking" and version[1] == 0
        return set() if is_thought else found_in(self.texts[version] or "")

    def losses(self, label: str) -> tuple[list[int], list[int], list[tuple[int, str, str]]]:
        """Return [served, all] of references and of quotes, and what was missed of which item."""
        tallies: tuple[list[int], list[int]] = ([0, 0], [0, 0])
        missed: list[tuple[int, str, str]] = []
        arrived = list(dict.fromkeys(one["id"] for call in self.recorded for one in call["items"]))
        fetched: dict[str, set[str]] = {}
        for there, call in zip(self.recorded, self.calls(label), strict=True):
            thread = there.get("thread", "main")
            held = [(one["id"], one["version"]) for one in there["items"]]
            known = {one for one, _ in held}
            fetched[thread] = fetched.get(thread, set()) & known  # taken back by the host as well
            prompt = [(one["id"], one["version"]) for one in call["items"]]
            prompt += [(one, 0) for one in fetched[thread]]
            before = len(missed)
            for tally, lines in zip(tallies, (False, True), strict=True):
                wrote = self._all([(one, 0) for one in there["output"]], lines=lines)
                used = wrote & self._all(held, lines=lines)
                gone = used - self._all(prompt, lines=lines)
                tally[0] += len(used) - len(gone)
                tally[1] += len(used)
                for text in gone:
                    holders = [one for one in held if text in self.words(one, lines=lines)]
                    last = max((one for one, _ in holders), key=arrived.index)
                    missed.append((there["call"], text, last))
            fetched[thread] |= {one for _, _, one in missed[before:]}
        return (*tallies, missed)

    def _all(self, versions: Iterable[tuple[str, int]], *, lines: bool) -> set[str]:
        return set[str]().union(*(self.words(one, lines=lines) for one in versions))

    def cost_usd(self, label: str, *, ttl_s: float, usd: Sequence[float], least: int) -> float:
        """Return what the calls cost at (uncached, read, written) dollars a million.

        Each reads the longest beginning that it has in common with the call before it.
        """
        before: list[tuple[str, int]] = []
        before_at = -1e9
        total = 0.0
        for call in self.calls(label):
            items = [(one["id"], one["version"]) for one in call["items"]]
            sizes = [one["tokens"] for one in call["items"]]
            same = next(
                (n for n, (a, b) in enumerate(zip(items, before, strict=False)) if a != b),
                min(len(items), len(before)),
            )
            read = sum(sizes[:same]) if call["at"] - before_at <= ttl_s else 0
            read = read if read >= least else 0
            new = sum(sizes) - read
            total += read * usd[1] + new * (usd[2] if sum(sizes) >= least else usd[0])
            before, before_at = items, call["at"]
        return total / 1e6


def wrote_prompts(
    ctxbudget: Command, path: Path, folder: Path, *options: str, tried: Sequence[str] = TRIED
) -> tuple[Written, dict[str, Json]]:
    """Return what the command wrote, and what it says of each policy."""
    named = [part for one in tried for part in ("--policy", one)]
    arguments = ("replay", path, *named, *options, "--prompts", folder, "--misses", "--json")
    rows = rows_of(ctxbudget(*arguments).json)
    assert {one.name for one in folder.iterdir()} == {
        "items.jsonl",
        *(f"{one}.jsonl" for one in rows),
    }
    return Written(folder), rows


def check(files: Written, label: str, row: Json) -> None:
    """Check what the command says of a policy against its prompts."""
    sent = files.sent_tokens(label)
    assert (len(sent), sum(sent), max(sent)) == (
        row["calls"],
        row["sent_tokens"],
        row["peak_tokens"],
    )
    references, quotes, missed = files.losses(label)
    for (served, total), said in ((references, row["recall"]), (quotes, row["quote_recall"])):
        assert said == (served / total if total else None)
    assert row["misses"] == len(missed)
    told = {(one["call"], one["text"], one["item"]) for one in row["missed"]}
    assert told == set(missed)


# ---- the numbers can be checked from the files


@pytest.mark.parametrize("lines", [SESSION, COMPACTED], ids=["plain", "compacted"])
def test_what_the_command_says_follows_from_the_files(
    ctxbudget: Command, tmp_path: Path, lines: list[Json]
) -> None:
    files, rows = wrote_prompts(ctxbudget, kept(tmp_path, lines), tmp_path / "prompts")
    assert list(rows) == [*TRIED, *ALWAYS]
    for label, row in rows.items():
        check(files, label, row)
    assert rows["masking:keep=1"]["misses"] == 6  # so that there is something to check


@pytest.mark.parametrize(
    ("ttl", "ttl_s", "usd"), [("1h", 3_600, (5, 0.5, 10)), ("5m", 300, (5, 0.5, 6.25))]
)
def test_costs_follow_from_the_files(
    ctxbudget: Command, tmp_path: Path, ttl: str, ttl_s: float, usd: Sequence[float]
) -> None:
    files, rows = wrote_prompts(ctxbudget, kept(tmp_path), tmp_path / "prompts", "--ttl", ttl)
    for label, row in rows.items():
        if label == "clairvoyant":
            continue  # no change costs it a rewrite
        by_hand = files.cost_usd(label, ttl_s=ttl_s, usd=usd, least=4_096)
        said = float(row["cost_usd"]) - float(row["compactions_usd"])
        assert said == pytest.approx(by_hand, abs=2e-6), label
    assert len({row["cost_usd"] for row in rows.values()}) > 3


def test_a_live_run_with_agents_can_be_checked_as_well(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with Run.open(
        name="login",
        model="claude-sonnet-5-5",
        counter="o200k_base",
        window_tokens=100_000,
        policy="none",
        clock=lambda: 1_790_000_000.0,
        journal=path,
        phases=PHASES,
    ) as run:
        run.user("mend the login")
        with run.phase("look") as look:
            for number in range(3):
                look.tool_call("read", {"path": f"src/f_{number}.py"}, call_id=f"c{number}")
                look.tool_result(f"c{number}", result_text(number))
                look.prompt()
                look.assistant(f"saw value_{number}_3 of value_0_9")
            with look.agent("scout") as scout:
                for number in range(10, 13):
                    scout.tool_call("read", {"path": f"src/f_{number}.py"}, call_id=f"c{number}")
                    scout.tool_result(f"c{number}", result_text(number))
                    scout.prompt()
                scout.assistant("value_10_4 tells it")
                scout.deliver("a map of value_10_4", metadata="a map")
    tried = ("masking:keep=1", "masking:keep=0")
    files, rows = wrote_prompts(ctxbudget, path, tmp_path / "prompts", tried=tried)
    assert {call.get("thread") for call in files.recorded} == {None, "look/scout"}
    for label in (*tried, "none", "unbounded"):
        check(files, label, rows[label])
    assert rows["masking:keep=1"]["missed"][0]["thread"] == "look/scout"


# ---- what the files hold


def test_a_call_as_it_is_written(ctxbudget: Command, tmp_path: Path) -> None:
    files, _ = wrote_prompts(ctxbudget, kept(tmp_path), tmp_path / "prompts")
    first, second, *_ = files.recorded
    assert list(first) == ["call", "at", "model", "items", "output"]
    assert (first["call"], first["at"], first["model"]) == (1, 1_772_445_600.0, "claude-opus-4-6")
    assert [one["id"] for one in first["items"]] == ["prefix", "L1"]
    assert sum(one["tokens"] for one in first["items"]) == 20_000
    assert first["output"] == ["L2.1", "L2.2", "L2.3"]
    assert second["at"] == first["at"] + 4
    assert [one["id"] for one in second["items"]] == ["prefix", "L1", *first["output"], "L3"]
    assert all(list(one) == ["id", "version", "tokens"] for one in second["items"])
    assert [call["output"] for call in files.recorded[1:]] == [["L4"], ["L6"], ["L8"]]


def test_texts_are_those_of_the_session(ctxbudget: Command, tmp_path: Path) -> None:
    files, _ = wrote_prompts(ctxbudget, kept(tmp_path), tmp_path / "prompts")
    texts, kinds = files.texts, files.kinds
    assert texts["prefix", 0] is None
    assert [one for one, text in texts.items() if text is None] == [("prefix", 0)]
    assert (texts["L1", 0], kinds["L1"]) == ("mend the cart of src/shop.py", "user")
    assert (texts["L2.1", 0], kinds["L2.1"]) == ("", "thinking")
    assert (texts["L2.3", 0], kinds["L2.3"]) == ("src/cart.py", "tool_call")
    # of a tool call the strings that it was given, in order, for escaped JSON has no lines
    assert texts["L6", 0] == "src/cart.py\n    price_7 = price_of(item_7, in_shop)\ngone"
    assert (texts["L3", 0] or "").startswith("     1\tprice_1 = price_of(")
    # what came after the last call stands in no prompt and can still be looked up
    assert texts["L8", 0] == "price_7 is gone, price_12 is not, and test_cart_9 holds."


def test_a_version_is_a_text_under_every_policy(ctxbudget: Command, tmp_path: Path) -> None:
    snips = [
        written(
            tmp_path,
            f"name: snips to {size}\nrules:\n  - {{name: snip, on: before_call, select: "
            f"{{kind: tool_result, age_calls: 1}}, do: snip, to: {size}, why: long}}\n",
            f"{size}.yaml",
        )
        for size in (200, 400)
    ]
    named = [part for one in snips for part in ("--policy", str(one))]
    folder = tmp_path / "prompts"
    masked = ("--policy", "masking:keep=0", "--policy", "clear-tool-uses:above=1,keep=0")
    path = kept(tmp_path)
    assert ctxbudget("replay", path, *named, *masked, "--prompts", folder).code == 0
    files = Written(folder)
    labels = ("snips_to_200", "snips_to_400", "masking:keep=0", "clear-tool-uses:above=1,keep=0")
    seen = {
        label: {one["id"]: one for one in files.calls(label)[-1]["items"]}["L3"] for label in labels
    }
    short, long, mask, clear = seen.values()
    assert len({short["version"], long["version"], mask["version"], 0}) == 4
    assert mask == clear
    shorter, longer = (files.texts["L3", one["version"]] or "" for one in (short, long))
    assert 0 < len(shorter) < len(longer) < len(files.texts["L3", 0] or "")
    assert shorter.lstrip().startswith("1\tprice_1 = ")
    # numbers of an item's versions have no gaps, and each text is there once
    by_item: dict[str, list[tuple[int, str | None]]] = {}
    for (name, version), text in files.texts.items():
        by_item.setdefault(name, []).append((version, text))
    for versions in by_item.values():
        assert [version for version, _ in versions] == list(range(len(versions)))
        assert len({text for _, text in versions}) == len(versions)


def test_a_summary_has_no_recorded_version(ctxbudget: Command, tmp_path: Path) -> None:
    files, rows = wrote_prompts(ctxbudget, kept(tmp_path), tmp_path / "prompts")
    label = TRIED[3]
    assert rows[label]["compactions"] > 0
    made = {one for one in files.texts if one[0].startswith("~")}
    assert made
    assert all(version >= 1 and files.texts[name, version] for name, version in made)
    used = {(one["id"], one["version"]) for call in files.calls(label) for one in call["items"]}
    assert used & made


def test_all_that_prompts_name_is_there(ctxbudget: Command, tmp_path: Path) -> None:
    files, rows = wrote_prompts(ctxbudget, kept(tmp_path, COMPACTED), tmp_path / "prompts")
    named = set()
    for label in rows:
        for call in files.calls(label):
            named |= {(one["id"], one["version"]) for one in call["items"]}
            assert len({one["id"] for one in call["items"]}) == len(call["items"])
            named |= {(one, 0) for one in call["output"]}
    assert named <= set(files.texts)
    # what no prompt holds is not written, but for what the model said at the very end
    assert {one for one, _ in files.texts} == {one for one, _ in named}


def test_texts_of_any_alphabet_and_lone_halves_of_pairs(ctxbudget: Command, tmp_path: Path) -> None:
    odd = "naïve 数 \u2028 \x85 line\nand \ud83d a lone half"
    first = json.loads(json.dumps(SESSION[0]))
    first["message"]["content"] = odd
    folder = tmp_path / "prompts"
    ctxbudget("replay", kept(tmp_path, [first, *SESSION[1:]]), "--prompts", folder)
    raw = (folder / "items.jsonl").read_bytes().decode("utf-8", errors="surrogatepass")
    texts = {one["id"]: one["text"] for one in map(json.loads, raw.strip("\n").split("\n"))}
    assert texts["L1"] == odd


# ---- the folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("my own", "my_own.jsonl"),
        ("größer", "gr__er.jsonl"),
        ("..", "_.jsonl"),
        ("C:\\temp", "C:_temp.jsonl"),
        ("a=1,b:c+d-e", "a=1,b:c+d-e.jsonl"),
    ],
)
def test_a_policys_name_is_a_file_inside_the_folder(
    ctxbudget: Command, tmp_path: Path, name: str, file: str
) -> None:
    rule = "{name: out, on: before_call, select: {kind: tool_result}, do: clear, why: old}"
    path = written(tmp_path, f"name: '{name}'\nrules:\n  - {rule}\n", "mine.yaml")
    folder = tmp_path / "in" / "it"
    ran = ctxbudget("replay", kept(tmp_path), "--policy", path, "--prompts", folder, "--json")
    assert next(iter(rows_of(ran.json))) == name
    assert {one.name for one in folder.iterdir()} == {
        "items.jsonl",
        file,
        *(f"{one}.jsonl" for one in ALWAYS),
    }
    assert {one.name for one in folder.parent.iterdir()} == {"it"}
    assert len(Written(folder).calls(file.removesuffix(".jsonl"))) == 4


def test_a_module_is_a_file_inside_the_folder(ctxbudget: Command, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    files, rows = wrote_prompts(ctxbudget, kept(tmp_path), folder, tried=("own_strategies:drop",))
    assert (folder / "own_strategies:drop.jsonl").is_file()
    check(files, "own_strategies:drop", rows["own_strategies:drop"])


def test_what_was_there_is_written_anew(ctxbudget: Command, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    first, _ = wrote_prompts(ctxbudget, kept(tmp_path), folder)
    texts = (folder / "items.jsonl").read_bytes()
    calls = first.recorded
    again, _ = wrote_prompts(ctxbudget, kept(tmp_path), folder)
    assert (folder / "items.jsonl").read_bytes() == texts
    assert again.recorded == calls


def test_a_folder_of_prompts_changes_no_number(ctxbudget: Command, tmp_path: Path) -> None:
    path = kept(tmp_path)
    arguments = ("replay", path, "--policy", "masking:keep=1", "--json")
    plain = ctxbudget(*arguments).json
    assert ctxbudget(*arguments, "--prompts", tmp_path / "prompts").json == plain


def test_a_journal_without_texts_has_prompts_without_them(
    ctxbudget: Command, tmp_path: Path
) -> None:
    path = work(tmp_path / "run.jsonl", keeps_texts=False)
    folder = tmp_path / "prompts"
    ran = ctxbudget("replay", path, "--policy", "masking:keep=1", "--prompts", folder, "--json")
    rows, files = rows_of(ran.json), Written(folder)
    assert {text for (_, version), text in files.texts.items() if version == 0} == {None}
    for label, row in rows.items():
        assert sum(files.sent_tokens(label)) == row["sent_tokens"]


# ---- any run


DROPS = rules(
    {"on": "before_call", "select": {"kind": "tool_result", "age_calls": 1}, "do": "drop"}
)


def replayed(run: RecordedRun, folder: Path, tried: Mapping[str, PolicySpec]) -> dict[str, WhatIf]:
    """Return what policies make of a run, once their prompts are written."""
    found = {}
    with prompt_files(folder, run) as files:
        for label, spec in tried.items():
            with files.policy(label) as prompts:
                found[label] = what_if(run, policy(spec), prompts=prompts)
    return found


def test_what_was_fetched_goes_when_the_host_takes_it_back(tmp_path: Path) -> None:
    tape = Tape().add("one", 1_000, "value_1 value_2 value_3").call()
    tape.add("two", 1_000, "value_2").call().call("w", "value_1").call("v", "value_3")
    tape.gone("one").call("u", "value_2").call()
    found = replayed(tape.run, tmp_path, {"test": DROPS, "none": "none"})
    recall = found["test"].recall
    assert recall is not None
    # `one` is fetched for value_1 and serves value_3; then it is gone for all
    told = [(miss.call, miss.text, miss.item) for miss in recall.misses]
    assert told == [(3, "value_1", "one"), (5, "value_2", "two")]
    assert Written(tmp_path).losses("test") == ([1, 3], [0, 0], told)


@given(
    steps=st.lists(STEPS, max_size=14),
    spec=st.sampled_from([DROPS, KEEPS_ONE, "masking:keep=0", "none"]),
)
@settings(max_examples=80, deadline=None)
def test_any_run_can_be_checked(
    tmp_path_factory: pytest.TempPathFactory, steps: Any, spec: PolicySpec
) -> None:
    folder = tmp_path_factory.mktemp("any")
    tried: dict[str, PolicySpec] = {"test": spec, **{one: one for one in ALWAYS}}
    found = replayed(taped(steps).run, folder, tried)
    read = Written(folder)
    for label, one in found.items():
        references, quotes, missed = read.losses(label)
        assert one.recall is not None
        assert references == [one.recall.references.served, one.recall.references.all]
        assert quotes == [one.recall.quotes.served, one.recall.quotes.all]
        assert {(miss.call, miss.text, miss.item) for miss in one.recall.misses} == set(missed)
        assert sum(read.sent_tokens(label)) == one.metrics.run.sent_tokens
        if label != "clairvoyant":
            # per thousand tokens: 0.1 uncached, 0.01 read and 0.12 written
            by_hand = read.cost_usd(label, ttl_s=300, usd=(100, 10, 120), least=1)
            assert float(one.cost_usd or 0) == pytest.approx(by_hand, abs=1e-6)


def test_prompts_of_an_earlier_replay_are_taken_away_and_nothing_else(
    ctxbudget: Command, tmp_path: Path
) -> None:
    session, folder = kept(tmp_path), tmp_path / "prompts"
    ctxbudget("replay", session, "--policy", "masking:keep=1", "--prompts", folder)
    (folder / "notes.jsonl").write_text('{"mine": 1}\n')
    ctxbudget("replay", session, "--prompts", folder)
    names = {path.name for path in folder.iterdir()}
    bounds = {"none.jsonl", "unbounded.jsonl", "clairvoyant.jsonl"}
    assert names == {"items.jsonl", "notes.jsonl", *bounds}
