"""Tests of every shipped policy: hand-worked cases from files, published curves and limits.

A case file in `cases/policies` holds a list of cases; `cases/policies/README.md` says how to write
one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import Command
from worlds import World, rules

from ctxbudget import Run
from ctxbudget.config import lookup
from ctxbudget.config.policy_file import load_policy, refuse_impossible
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.config.workflow_format import Deliver
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import Event, PhaseClosed, Pruned, RunClosed, Told
from ctxbudget.core.policy import RulePolicy
from ctxbudget.core.types import Layer, Scale
from ctxbudget.simulate import measure_for, simulate

CASES = Path(__file__).parent / "cases" / "policies"
SHIPPED = lookup.names("policies")


# ---- cases from files


@dataclass
class Story:
    """A world and where its run stands."""

    world: World
    phase: str | None = None
    wave: int | None = None

    def start(self, phase: str) -> None:
        self.phase, self.wave = phase, None
        self.world.start(phase)

    def begin_wave(self, wave: int) -> None:
        self.wave = wave
        self.world.wave(self.phase or "", wave)

    def permanent(self, items: dict[str, int]) -> None:
        for name, tokens in items.items():
            self.world.add(name, tokens, "system", layer=Layer.PERMANENT)

    def items(self, items: dict[str, int]) -> None:
        place: dict[str, Any] = {"phase": self.phase, "wave": self.wave}
        for name, tokens in items.items():
            self.world.add(name, tokens, "system", layer=Layer.PHASE, **place)

    def output(self, outputs: dict[str, list[Any]], ready: bool = False) -> None:
        place: dict[str, Any] = {"phase": self.phase, "wave": self.wave, "ready": ready}
        for name, (tokens, metadata, *layer) in outputs.items():
            stand_in = Layer(layer[0]) if layer else Layer.METADATA
            self.world.output(name, tokens, metadata, stand_in_layer=stand_in, **place)

    def turn(self, turns: dict[str, list[int]]) -> None:
        for name, (call, result, *more) in turns.items():
            self.world.turn(name, call, result, phase=self.phase)
            for number, tokens in enumerate(more, 2):
                self.world.add(f"{name} result {number}", tokens, group=name, phase=self.phase)

    def add(self, items: dict[str, list[Any]]) -> None:
        for name, (tokens, kind, *source) in items.items():
            copied = source[0] if source else None
            self.world.add(name, tokens, kind, phase=self.phase, source=copied)

    def finish(self, outputs: list[str]) -> None:
        for name in outputs:
            self.world.finish(self.phase or "", name, wave=self.wave or 1)


FACTS: dict[str, Callable[[Story, Any], object]] = {
    "start": Story.start,
    "wave": Story.begin_wave,
    "permanent": Story.permanent,
    "items": Story.items,
    "output": Story.output,
    "ready_output": lambda story, said: story.output(said, ready=True),
    "turn": Story.turn,
    "add": Story.add,
    "call": lambda story, times: story.world.call(times),
    "wait": lambda story, seconds: story.world.wait(seconds),
    "finish": Story.finish,
    "end_wave": lambda story, wave: story.world.end_wave(story.phase or "", wave),
    "end": lambda story, phase: story.world.end(phase),
    "reject": lambda story, _: story.world.reject(),
    "end_run": lambda story, _: story.world.end_run(),
}

Closed = PhaseClosed | RunClosed

FINDINGS: dict[str, Callable[[World, list[Event]], Any]] = {
    "tokens": lambda world, _: world.tokens,
    "prompt": lambda world, _: list(world.prompt().items()),
    "net": lambda _, new: sum(one.net_tokens for one in new if isinstance(one, Pruned)),
    "rules": lambda _, new: [one.rule for one in new if isinstance(one, Pruned)],
    "told": lambda _, new: [one.level.value for one in new if isinstance(one, Told)],
    "peak": lambda _, new: [one.peak_tokens for one in new if isinstance(one, Closed)][-1],
    "kept": lambda _, new: [one.kept_tokens for one in new if isinstance(one, PhaseClosed)][-1],
    "over": lambda _, new: [one.over_tokens for one in new if isinstance(one, Closed)][-1],
}


def play(case: dict[str, Any]) -> None:
    """Run a case and compare what each step says with what was found."""
    story = Story(
        World(
            case["policy"],
            phases=case.get("phases"),
            window=case.get("window", 1_000_000),
            reserve=case.get("reserve", 0),
            budget=case.get("budget"),
            calls=case.get("calls", 1),
            grants=case.get("grants"),
        )
    )
    for number, step in enumerate(case["steps"], 1):
        unknown = set(step) - FACTS.keys() - FINDINGS.keys()
        assert not unknown, f"step {number} has unknown keys: {unknown}"
        seen = len(story.world.events)
        for verb, said in step.items():
            if verb in FACTS:
                FACTS[verb](story, said)
        new = story.world.events[seen:]
        found = {key: FINDINGS[key](story.world, new) for key in step if key in FINDINGS}
        wanted = {key: step[key] for key in found}
        if "prompt" in wanted:
            wanted["prompt"] = list(wanted["prompt"].items())
        assert found == wanted, f"step {number}: {step}"


def cases() -> list[Any]:
    """Return the cases of all files, those of known bugs marked as such."""
    return [
        pytest.param(
            {"policy": path.stem, **case},
            id=f"{path.stem}: {case['about']}",
            marks=[pytest.mark.xfail(strict=True, reason=case["bug"])] if "bug" in case else [],
        )
        for path in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text("utf-8"))
    ]


@pytest.mark.parametrize("case", cases())
def test_case(case: dict[str, Any]) -> None:
    play(case)


@pytest.mark.parametrize("policy", SHIPPED)
def test_every_shipped_policy_has_cases(policy: str) -> None:
    assert (CASES / f"{policy}.yaml").exists(), f"add tests/cases/policies/{policy}.yaml"


def test_a_case_can_fail() -> None:
    wrong = {"policy": "none", "steps": [{"permanent": {"x": 5}, "tokens": 6}]}
    with pytest.raises(AssertionError, match="step 1"):
        play(wrong)
    with pytest.raises(AssertionError, match="unknown keys"):
        play({"policy": "none", "steps": [{"tokns": 0}]})


# ---- what all have in common


ROOMY: dict[str, Any] = {"window": 200_000, "phases": {"a": (), "b": ("a",), "c": ("b",)}}
"""A window in which every policy's limits make sense."""


def busy_phase(world: World, phase: str) -> None:
    """Fill 90,000 tokens in a phase with items of every kind, over 30 calls."""
    world.start(phase).add(f"{phase} rules", 1_000, "system", layer=Layer.PHASE, phase=phase)
    for number in range(30):
        name = f"{phase}{number}"
        world.add(f"{name} asks", 500, "user", phase=phase)
        world.add(f"{name} thinks", 300, "thinking", phase=phase)
        world.turn(name, 200, 1_500, phase=phase).add(f"{name} says", 100, "assistant", phase=phase)
        world.call()
    world.output(f"{phase} out", 11_000, 400, phase=phase).finish(phase, f"{phase} out")
    world.end_wave(phase, 1).reject().wait(1_000).end(phase)


@pytest.mark.parametrize("policy", SHIPPED)
def test_the_goal_survives_a_long_run(policy: str) -> None:
    world = World(policy, **ROOMY).add("goal", 3_000, "user")
    for phase in "abc":
        busy_phase(world, phase)
    world.call().end_run()
    assert world.prompt()["goal"] == 3_000
    assert world.pruned
    assert max(world.sent) <= 200_000


@pytest.mark.parametrize("policy", SHIPPED)
def test_the_goal_survives_in_an_agents_thread(policy: str) -> None:
    world = World(policy, **ROOMY).start("a").agent("a", "helper")
    world.add("goal", 3_000, "user", thread="helper")
    for number in range(30):
        world.turn(f"t{number}", 500, 8_000, thread="helper").call(thread="helper").reject("helper")
    assert world.prompt("helper")["goal"] == 3_000
    assert max(world.sent) <= 200_000


@pytest.mark.parametrize("policy", SHIPPED)
def test_what_no_call_has_carried_stays(policy: str) -> None:
    """At 180,000 of 200,000 tokens every level of every policy is crossed."""
    world = World(policy, **ROOMY)
    world.add("base", 120_000, "system", layer=Layer.PERMANENT).start("a")
    kinds = ("user", "assistant", "thinking", "tool_call", "tool_result")
    for kind in kinds:
        world.add(f"old {kind}", 1_000, kind, phase="a")
    world.call()
    for kind in kinds:
        world.add(kind, 11_000, kind, phase="a")
    world.reject().end_wave("a", 1).end("a").start("b").end("b").start("c").wait(1_000).call()
    assert world.prompt().items() >= dict.fromkeys(kinds, 11_000).items()
    assert {"warn", "critical"} & set(world.told)


# ---- aggressive: the golden run through the simulator


@pytest.mark.parametrize(
    ("deliver", "peaks"),
    [
        (Deliver.TOGETHER, [2_000, 15_500, 4_300, 7_900, 3_450, 3_650]),
        (Deliver.IN_TURN, [2_000, 6_200, 4_300, 5_400, 3_450, 3_650]),
    ],
)
def test_the_shipped_workflow_is_the_golden_run(deliver: Deliver, peaks: list[int]) -> None:
    loaded = read_workflow(lookup.find("workflows", "jwt_auth"))
    metrics = simulate(set_up_run(loaded, Overrides(deliver=deliver)), measure_for(loaded))
    assert [row.residual_tokens for row in metrics.phases] == [
        *(500, 1_300, 2_100, 2_450, 2_850, 3_150)
    ]
    assert [wave.residual_tokens for wave in metrics.phases[3].waves] == [2_900, 2_450]
    assert [row.pruned_tokens for row in metrics.phases] == [1_500, 14_200, 2_200, 7_950, 600, 500]
    assert [row.peak_tokens for row in metrics.phases] == peaks


# ---- masking and compaction: the published curves

SUMMARIZING = "compact-at-threshold:above=1,keep_turns=10,min_turns=21,summary_tokens=1500"

SUMMARIZING_BY_ITEMS = rules(
    {
        "on": "before_call",
        "select": {
            "layer": ["transient", "metadata"],
            "kind": ["tool_call", "tool_result", "summary"],
            "keep_last_turns": 10,
        },
        "do": "summarize",
        "by": "all",
        "to": 1_500,
        "when": {"min_items": 42},
    }
)
"""The published rule: 42 items are 21 turns; the summary before is one item more."""


def cumulative(policy: Any, calls: int = 250) -> list[int]:
    """Return the tokens sent after each call, with 3,000 at the start and 1,000 more per call."""
    world = World(policy, window=1_000_000, calls=calls)
    world.add("prompt", 3_000, "system", layer=Layer.PERMANENT).start("a")
    for number in range(calls):
        world.call().turn(f"t{number}", phase="a")
    sent = world.sent
    return [sum(sent[: number + 1]) for number in range(calls)]


def shares(policy: Any) -> list[float]:
    """Return what is sent against `none` after 50, 100 and 250 calls."""
    raw, ours = cumulative("none"), cumulative(policy)
    return [round(ours[calls - 1] / raw[calls - 1], 3) for calls in (50, 100, 250)]


def test_none_sends_the_sum_of_all_turns() -> None:
    """Call t carries 3 + (t - 1) thousand tokens."""
    assert cumulative("none", 50)[-1] == 1_000 * sum(3 + t - 1 for t in range(1, 51))


def test_masking_follows_the_published_curve() -> None:
    """Source: the published study of observation masking, M = 10, results 84 % of a turn."""
    assert shares("masking") == [0.529, 0.367, 0.253]


def test_masking_in_steps_sends_more_and_breaks_the_cache_less() -> None:
    """With a step of 5 between 10 and 14 results stand at a call, so 5 calls share a rewrite."""
    each, stepped = cumulative("masking", 50), cumulative("masking:step=5", 50)
    extra = sum(830 * ((t - 11) % 5) for t in range(12, 51))
    assert stepped[-1] - each[-1] == extra


def test_summarizing_follows_the_published_curve() -> None:
    assert shares(SUMMARIZING_BY_ITEMS) == [0.731, 0.42, 0.184]


def test_summarizing_overtakes_masking_at_turn_141() -> None:
    pairs = list(zip(cumulative(SUMMARIZING_BY_ITEMS), cumulative("masking"), strict=True))
    assert [turn for turn, (ours, masking) in enumerate(pairs, 1) if ours >= masking][-1] == 140


def test_compact_at_threshold_reaches_the_published_curve_by_params() -> None:
    assert shares(SUMMARIZING) == [0.731, 0.42, 0.184]
    assert cumulative(SUMMARIZING) == cumulative(SUMMARIZING_BY_ITEMS)


# ---- the ladder: published limits


def limits(policy: str, window: int) -> dict[str, int]:
    """Return where each rung begins, in tokens."""
    scale = Scale(window_tokens=window, reserve_tokens=0, budget_tokens=window)
    loaded = load_policy(policy)
    refuse_impossible(loaded, scale)
    assert isinstance(loaded.policy, RulePolicy)
    return {
        rule.name: rule.when.above.resolve_tokens(scale)
        for rule in loaded.policy.rules
        if rule.when.above is not None
    }


@pytest.mark.parametrize(
    ("window", "warn", "compact", "block"),
    [(200_000, 147_000, 167_000, 177_000), (1_000_000, 947_000, 967_000, 977_000)],
)
def test_the_ladders_levels(window: int, warn: int, compact: int, block: int) -> None:
    assert limits("ladder", window) == {
        "micro": warn,
        "collapse": warn,
        "auto-compact": compact,
        "block": block,
    }


@pytest.mark.parametrize("window", [32_000, 53_000, 73_000])
def test_the_ladder_is_refused_where_a_level_is_not_above_zero(window: int) -> None:
    """Micro's target lies 73,000 below the window, warn 53,000."""
    with pytest.raises(ConfigError, match=r"'micro': .* comes to (0|-[0-9,]+) tokens"):
        limits("ladder", window)
    assert limits("ladder", 73_001)["micro"] == 20_001


def test_the_ladder_takes_shares_instead_on_a_small_window() -> None:
    shares = {"warn": 70, "relief": 60, "compact": 80, "block": 90}
    spec = ",".join(f"{key}={share}% of window" for key, share in shares.items())
    assert list(limits(f"ladder:{spec}", 32_000).values()) == [22_400, 22_400, 25_600, 28_800]


def test_the_ladder_rewrites_the_cache_once_in_eight_turns_of_3000_tokens() -> None:
    """From 149,000 eight turns of 2,995 lead below 127,000; eight new ones lead above 147,000."""
    world = World("ladder", window=200_000, calls=100)
    world.add("prompt", 20_000, "system", layer=Layer.PERMANENT).start("a")
    acted = []
    for number in range(1, 101):
        before = len(world.pruned)
        world.call().turn(f"t{number}", 480, 2_520, phase="a")
        if len(world.pruned) > before:
            acted.append((number, len(world.pruned) - before))
    assert acted == [(number, 8) for number in range(44, 101, 8)]


def test_bounds_are_for_paper(ctxbudget: Command, tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text("window: 1000\nphases: [{id: a, output: 600}, {id: b, output: 600}, {id: c}]\n")
    rows = {}
    for policy in ("unbounded", "none"):
        rows[policy] = ctxbudget("simulate", flow, "--policy", policy, "--json").json["run"]
    assert (rows["unbounded"]["residual_tokens"], rows["unbounded"]["pruned_tokens"]) == (1_200, 0)
    assert rows["none"]["pruned_tokens"] > 0
    refused = ctxbudget("simulate", flow, "--policy", "clairvoyant")
    assert refused.code == 2
    assert "it goes with `ctxbudget replay` only" in refused.error
    for policy in ("unbounded", "clairvoyant"):
        with pytest.raises(ConfigError, match=r"cannot run live|replay"):
            Run.open(policy=policy, window_tokens=1_000)
