"""Tests of chance: sizes that are spread, phases that are skipped or done again, tries that fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pytest
from commands import written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.chance import (
    EXPECTED,
    Chance,
    Course,
    Drawn,
    LogNormal,
    Spread,
    Uniform,
    times_of,
)
from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import validated
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.sizes import Counted, counted, sources
from ctxbudget.config.workflow_file import LoadedWorkflow, read_workflow
from ctxbudget.config.workflow_format import Workflow
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    CallStarted,
    Event,
    Fact,
    ItemAdded,
    PhaseFinished,
    PhaseStarted,
    RunFinished,
    Shortened,
    WaveStarted,
)
from ctxbudget.metrics import Metrics
from ctxbudget.simulate import measure_for, session_of, simulate
from ctxbudget.sources.workflow import WorkflowSource

LOG_NORMAL = LogNormal(median_tokens=5000, p95_tokens=9000)
UNIFORM = Uniform(min_tokens=1000, max_tokens=4000)


@dataclass
class Scripted:
    """Chance that does as it is told, and remembers what it was asked."""

    yes: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def tokens(self, spread: Spread, place: str, /) -> int:
        self.asked.append(place)
        return self.sizes.get(place, spread.expected_tokens)

    def happens(self, probability_frac: float, place: str, /) -> bool:
        self.asked.append(place)
        return place in self.yes


@pytest.mark.parametrize(
    ("spread", "share", "tokens"),
    [
        (LOG_NORMAL, 0.5, 5000),
        (LOG_NORMAL, 0.95, 9000),
        (LOG_NORMAL, 0.05, 2778),  # 5000² / 9000: as far below as above, as a ratio
        (LOG_NORMAL, 0.8413447460685429, 7148),  # z = 1: 5000 · e^(ln 1.8 / 1.644854)
        (LogNormal(median_tokens=7, p95_tokens=7), 0.999, 7),
        (LogNormal(median_tokens=1, p95_tokens=10**12), 1 - 2**-53, 10**12),
        (UNIFORM, 1e-9, 1000),
        (UNIFORM, 0.5, 2500),
        (UNIFORM, 1 - 1e-9, 4000),
        (Uniform(min_tokens=1, max_tokens=3), 0.33, 1),
        (Uniform(min_tokens=1, max_tokens=3), 0.34, 2),
        (Uniform(min_tokens=1, max_tokens=3), 0.67, 3),
        (Uniform(min_tokens=0, max_tokens=0), 0.9, 0),
    ],
)
def test_the_size_that_a_share_of_the_cases_stays_below(
    spread: Spread, share: float, tokens: int
) -> None:
    assert spread.tokens_at(share) == tokens


def test_what_is_expected_is_the_median_or_the_middle() -> None:
    assert LOG_NORMAL.expected_tokens == 5000
    assert UNIFORM.expected_tokens == 2500
    assert Uniform(min_tokens=1, max_tokens=4).expected_tokens == 2
    assert EXPECTED.tokens(LOG_NORMAL, "here") == 5000
    assert not EXPECTED.happens(1.0, "here")


def test_a_share_is_the_head_of_a_digest() -> None:
    # printf 7:1:a | sha256sum begins with c39566879cf23c1a
    head = 0xC39566879CF23C1A >> 12
    assert Drawn(seed=7, run=1).share("a") == (head + 0.5) / 2**52


def test_draws_follow_the_formulas() -> None:
    drawn = [Drawn(seed=7, run=run) for run in range(1, 2001)]
    sizes = sorted(one.tokens(LOG_NORMAL, "here") for one in drawn)
    # Three standard errors of a share at 2,000 draws: 3.4 points at a half, 1.5 at 95%.
    assert LOG_NORMAL.tokens_at(0.466) < sizes[1000] < LOG_NORMAL.tokens_at(0.534)
    assert LOG_NORMAL.tokens_at(0.935) < sizes[1900] < LOG_NORMAL.tokens_at(0.965)
    evenly = [one.tokens(UNIFORM, "there") for one in drawn]
    assert abs(sum(evenly) / 2000 - 2500) < 3 * 3001 / 12**0.5 / 2000**0.5
    assert abs(sum(one.happens(0.4, "again") for one in drawn) - 800) < 3 * (2000 * 0.24) ** 0.5


def test_seeds_runs_and_places_have_draws_of_their_own() -> None:
    drawn = {
        Drawn(seed=seed, run=run).share(place)
        for seed in (0, 1, 11)
        for run in (1, 11, 2)
        for place in ("a", "b", "1:a")
    }
    assert len(drawn) == 27


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.text(max_size=8), st.integers())
def test_a_draw_stays_within_its_range(low: int, more: int, place: str, seed: int) -> None:
    chance = Drawn(seed=seed, run=1)
    spread = Uniform(min_tokens=low, max_tokens=low + more)
    assert low <= chance.tokens(spread, place) <= low + more
    assert chance.tokens(spread, place) == Drawn(seed=seed, run=1).tokens(spread, place)
    tailed = LogNormal(median_tokens=low + 1, p95_tokens=low + 1 + more)
    assert 0 <= chance.tokens(tailed, place) <= 10**12
    # Rounding may bring a draw to the median from either side.
    if chance.share(place) >= 0.5:
        assert chance.tokens(tailed, place) >= low + 1
    else:
        assert chance.tokens(tailed, place) <= low + 1
    assert chance.happens(1.0, place)
    assert not chance.happens(0.0, place)


@given(st.floats(1e-9, 1 - 1e-9), st.floats(1e-9, 1 - 1e-9))
def test_a_larger_share_is_no_smaller_size(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for spread in (LOG_NORMAL, UNIFORM):
        assert spread.tokens_at(low) <= spread.tokens_at(high)


@pytest.mark.parametrize(
    ("yes", "times"),
    [(set(), 1), ({"p 1"}, 2), ({"p 2"}, 1), ({"p 1", "p 2"}, 3), ({"p 1", "p 2", "p 3"}, 3)],
)
def test_something_is_done_again_until_it_is_not(yes: set[str], times: int) -> None:
    assert times_of(Scripted(yes=yes), 0.5, 3, "p") == times


# ---- the file

SPREAD_EVERYWHERE = """
window: 100000
permanent:
  - {id: rules, median: 300, p95: 900}
phases:
  - id: a
    items: [{id: pin, min: 10, max: 20, pinned: true}]
    reads: [{min: 100, max: 300}, {median: 40, p95: 50}]
    turn: {call: {min: 0, max: 8}, result: {median: 700, p95: 2000}}
    calls: 3
    output: {median: 5000, p95: 9000}
    metadata: {min: 100, max: 201}
  - id: b
    after: [a]
    repeat: {at_most: 3, again: 40%}
    agents:
      - {id: x, output: {min: 1000, max: 4000}, prompt: {min: 2, max: 4}, fails: 10%, tries: 3, calls: 2}
      - {id: y, output: 500}
  - {id: c, after: [a, b], skip: 20%, output: 30}
"""

AS_EXPECTED = """
window: 100000
permanent:
  - {id: rules, tokens: 300}
phases:
  - id: a
    items: [{id: pin, tokens: 15, pinned: true}]
    reads: [200, 40]
    turn: {call: 4, result: 700}
    calls: 3
    output: 5000
    metadata: 150
  - id: b
    after: [a]
    agents:
      - {id: x, output: 2500, prompt: 3, calls: 2}
      - {id: y, output: 500}
  - {id: c, after: [a, b], output: 30}
"""


def source_of(path: Path, chance: Chance = EXPECTED) -> WorkflowSource:
    """Return the facts of a file under `none`."""
    loaded = read_workflow(path)
    sizes = counted(loaded.workflow, measure_for(loaded))
    return WorkflowSource(set_up_run(loaded, Overrides(policy="none")), sizes, chance)


def test_the_expected_course_is_that_of_the_plain_numbers(tmp_path: Path) -> None:
    spread = source_of(written(tmp_path, SPREAD_EVERYWHERE, "flow.yaml"))
    (tmp_path / "plain").mkdir()
    plain = source_of(written(tmp_path / "plain", AS_EXPECTED, "flow.yaml"))
    assert list(spread.facts()) == list(plain.facts())
    assert spread.course == Course(
        times={"b": 1, "c": 1}, failed_tries={"b/x": 0}, lost_outputs={"b/x": 0}
    )
    assert plain.course == Course()
    loaded = read_workflow(tmp_path / "flow.yaml")
    metrics = simulate(set_up_run(loaded), measure_for(loaded))
    assert metrics.run.peak_tokens > 0


@pytest.mark.parametrize(
    ("text", "is_uncertain"),
    [
        (SPREAD_EVERYWHERE, True),
        (AS_EXPECTED, False),
        ("phases: [{id: a, turn: {call: 1, result: {min: 1, max: 2}}}]", True),
        ("phases: [{id: a, skip: 1%}]", True),
        ("phases: [{id: a, skip: 0}]", False),
        ("phases: [{id: a, repeat: {at_most: 2, again: 1%}}]", True),
        ("phases: [{id: a, repeat: {at_most: 1, again: 99%}}]", False),
        ("phases: [{id: a, repeat: {at_most: 9, again: 0}}]", False),
        ("phases: [{id: a, agents: [{id: x, output: 1, fails: 1%}]}]", True),
        ("permanent: [{id: i, median: 1, p95: 2}]\nphases: [{id: a}]", True),
    ],
)
def test_a_workflow_knows_whether_chance_has_a_say(
    tmp_path: Path, text: str, is_uncertain: bool
) -> None:
    assert read_workflow(written(tmp_path, text)).workflow.is_uncertain is is_uncertain


def test_all_sizes_of_a_file_are_found(tmp_path: Path) -> None:
    workflow = read_workflow(written(tmp_path, SPREAD_EVERYWHERE)).workflow
    assert sum(source.spread is not None for source in sources(workflow)) == 10
    (tmp_path / "a.txt").write_text("some words")
    loaded = read_workflow(written(tmp_path, "phases: [{id: a, output: {file: a.txt}}]"))
    (size,) = sources(loaded.workflow)
    sizes = counted(loaded.workflow, measure_for(loaded))
    (tmp_path / "a.txt").unlink()
    assert sizes.tokens(size) == 2


@pytest.mark.parametrize(
    ("phase", "error"),
    [
        ("output: {median: 500, p95: 400}", "flow.yaml:3: phases[0].output.p95: expected 500 or more, "
         "not under `median`, found 400; raise it, or lower `median`"),
        ("output: {min: 2, max: 1}", "phases[0].output.max: expected 2 or more, not under `min`, found 1"),
        ("output: {median: 500}", "phases[0].output.median: `median` needs `p95`; add it, or give one"),
        ("output: {p95: 500}", "phases[0].output.p95: `p95` needs `median`"),
        ("output: {max: 500}", "phases[0].output.max: `max` needs `min`"),
        ("output: {median: 0, p95: 5}", "phases[0].output.median: expected 1 or more, found 0"),
        ("output: {min: -1, max: 5}", "phases[0].output.min: expected a whole number of tokens, 0 or more"),
        ("output: {median: 1, p95: 2, min: 1, max: 2}", "found median with p95 and min with max"),
        ("output: {tokens: 1, min: 1, max: 2}", "found tokens and min with max"),
        ("output: {median: 1, p95: 2, maximum: 5}", "output.maximum: unknown key; did you mean 'max'?"),
        ("skip: 120%", "flow.yaml:3: phases[0].skip: expected a probability from 0 to 100%, such as 40% or "
         "0.4, found '120%'"),
        ("skip: -0.1", "phases[0].skip: expected a probability from 0 to 100%"),
        ("repeat: {at_most: 0, again: 10%}", "phases[0].repeat.at_most: expected a whole number from 1 (only "
         "the first time) to 100, found 0"),
        ("repeat: {at_most: 101, again: 10%}", "to 100, found 101"),
        ("repeat: {at_most: 3}", "phases[0].repeat.again: is required and missing; add it"),
        ("repeat: {at_most: 3, again: 1.5}", "repeat.again: expected a probability from 0 to 100%"),
        ("repeat: 3", "phases[0].repeat: expected keys and values (at_most, again), found 3"),
        ("agents: [{id: x, output: 1, fails: 2}]", "agents[0].fails: expected a probability"),
        ("agents: [{id: x, output: 1, tries: 2}]", "agents[0].tries: `tries` needs `fails`"),
        ("agents: [{id: x, output: 1, fails: 1%, tries: 0}]", "agents[0].tries: expected a whole number from 1"),
        ("calls: {min: 1, max: 3}", "flow.yaml:3: phases[0].calls: expected a whole number from 0 to "
         "1,000,000, found {'min': 1, 'max': 3}; only sizes of items, outputs, prompts, reads and turns may "
         "be uncertain"),
        ("complexity: {median: 1, p95: 3}", "only sizes of items, outputs"),
        ("allocate: {min: 1, max: 3}", "only sizes of items, outputs"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(tmp_path: Path, phase: str, error: str) -> None:
    path = written(tmp_path, f"phases:\n  - id: a\n    {phase}\n")
    with pytest.raises(ConfigError) as raised:
        read_workflow(path)
    assert error in str(raised.value)
    assert "flow.yaml:3: " in str(raised.value)


# ---- facts

LOOPING = """
window: 100000
call_s: 10
phases:
  - {id: a, output: 1000, metadata: 100, pause_s: 100, items: [{id: i, tokens: 7}], skip: 50%}
  - id: b
    after: [a]
    repeat: {at_most: 3, again: 50%}
    reads: [{min: 10, max: 30}]
    agents:
      - {id: x, output: {min: 100, max: 300}, calls: 2, fails: 50%, tries: 2, prompt: 5}
      - {id: y, output: 500, calls: 3}
  - {id: c, after: [b], output: {min: 1, max: 3}, repeat: {at_most: 2, again: 50%}}
"""


@pytest.fixture
def looping(tmp_path: Path) -> Path:
    return written(tmp_path, LOOPING)


def within(facts: list[Fact], phase: str) -> list[Fact]:
    """Return what a phase tells between its start and its end."""
    kinds = [
        (number, type(fact))
        for number, fact in enumerate(facts)
        if isinstance(fact, PhaseStarted | PhaseFinished) and fact.phase == phase
    ]
    (start, first), (end, last) = kinds
    assert (first, last) == (PhaseStarted, PhaseFinished)
    return facts[start + 1 : end]


def items(facts: list[Fact], thread: str = "main") -> Iterator[tuple[str, int]]:
    for fact in facts:
        if isinstance(fact, ItemAdded) and fact.thread == thread:
            yield fact.item.id, fact.item.tokens


def test_a_phase_that_is_skipped_is_told_with_nothing_in_it(looping: Path) -> None:
    source = source_of(looping, Scripted(yes={"a/?skip"}))
    facts = list(source.facts())
    assert within(facts, "a") == []
    assert source.course.times == {"a": 0, "b": 1, "c": 1}
    assert facts[1].at == facts[2].at == 0.0  # not even its break
    assert isinstance(facts[-1], RunFinished)


def test_a_skipped_phase_is_over_for_all_that_follows(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "window: 9000\nallocator: {use: dynamic, rollover: true}\npolicy: aggressive\n"
        "phases:\n"
        "  - {id: a, output: 1000, metadata: 100}\n"
        "  - {id: b, after: [a], skip: 50%, output: 500}\n"
        "  - {id: c, after: [b], output: 10}\n",
    )
    loaded = read_workflow(path)
    source = WorkflowSource(set_up_run(loaded), measure_for(loaded), Scripted(yes={"b/?skip"}))
    metrics = Metrics()
    session_of(source, (metrics,)).run(source.facts())
    a, b, c = metrics.phases
    assert (b.sent_tokens, b.calls, b.kept_tokens, b.outputs) == (0, 0, 0, 0)
    assert (a.residual_tokens, b.residual_tokens) == (100, 100)
    assert c.residual_tokens == 5 + 10  # nothing depends on a any more: a note is left of it
    # 3,000 each. a keeps 100 and leaves 2,900, half of it to b; b leaves all that it has to c.
    assert c.allocated_tokens == 9000 - 100


def test_a_phase_is_done_again_with_draws_of_its_own(looping: Path) -> None:
    chance = Scripted(
        yes={"b/?again 1"}, sizes={"b/?reads 1": 11, "b/time 2/?reads 1": 29, "b/time 2/x": 111}
    )
    source = source_of(looping, chance)
    facts = within(list(source.facts()), "b")
    assert list(items(facts)) == [
        ("b/reads/1", 11),
        ("b/x", 200),
        ("b/y", 500),
        ("b/time 2/reads/1", 29),
        ("b/time 2/x", 111),
        ("b/time 2/y", 500),
    ]
    waves = [fact.wave for fact in facts if isinstance(fact, WaveStarted)]
    assert waves == [1, 2]
    calls = [fact for fact in facts if isinstance(fact, CallStarted)]
    assert len(calls) == 2 * (2 + 3 + 1)
    assert source.course.times == {"a": 1, "b": 2, "c": 1}
    assert source.course.failed_tries == {"b/x": 0}


def test_the_orchestrators_own_work_is_done_again(looping: Path) -> None:
    facts = within(list(source_of(looping, Scripted(yes={"c/?again 1"})).facts()), "c")
    assert list(items(facts)) == [("c/output", 2), ("c/time 2/output", 2)]
    assert [fact.wave for fact in facts if isinstance(fact, AgentFinished)] == [1, 2]


def test_a_failed_try_costs_its_calls_and_leaves_nothing(looping: Path) -> None:
    source = source_of(looping, Scripted(yes={"b/x/?fails 1"}))
    facts = within(list(source.facts()), "b")
    started = [fact.thread for fact in facts if isinstance(fact, AgentStarted)]
    assert started == ["b/x", "b/y", "b/x/try 2"]
    ended = [
        (fact.thread, fact.at, fact.delivered) for fact in facts if isinstance(fact, AgentFinished)
    ]
    begin = 110.0  # a's break and its call
    assert ended == [
        ("b/x", begin + 20, ()),
        ("b/x/try 2", begin + 40, ("b/x",)),  # two calls each, y has only three
        ("b/y", begin + 40, ("b/y",)),
    ]
    assert list(items(facts)) == [("b/reads/1", 20), ("b/x", 200), ("b/y", 500)]
    assert list(items(facts, "b/x/try 2")) == [("b/x/try 2/prompt", 5)]
    calls = [fact.thread for fact in facts if isinstance(fact, CallStarted)]
    assert [calls.count(name) for name in ("b/x", "b/x/try 2", "b/y", "main")] == [2, 2, 3, 1]
    assert (source.course.failed_tries, source.course.lost_outputs) == ({"b/x": 1}, {"b/x": 0})


def test_when_all_tries_fail_the_phase_goes_on_without_the_output(looping: Path) -> None:
    source = source_of(looping, Scripted(yes={"b/x/?fails 1", "b/x/?fails 2"}))
    facts = list(source.facts())
    inside = within(facts, "b")
    assert list(items(inside)) == [("b/reads/1", 20), ("b/y", 500)]
    ended = [(f.thread, f.delivered) for f in inside if isinstance(f, AgentFinished)]
    assert ended == [("b/x", ()), ("b/x/try 2", ()), ("b/y", ("b/y",))]
    assert (source.course.failed_tries, source.course.lost_outputs) == ({"b/x": 2}, {"b/x": 1})
    assert within(facts, "c")


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), policy=st.sampled_from(["aggressive", "none", "masking"]))
def test_the_same_facts_come_whatever_the_policy_does(seed: int, policy: str) -> None:
    document = parse_document(LOOPING, "flow.yaml")
    loaded = LoadedWorkflow(workflow=validated(Workflow, document), document=document)
    setup = set_up_run(loaded, Overrides(policy=policy))
    chance = Drawn(seed=seed, run=1)
    source = WorkflowSource(setup, Counted({}), chance)
    told: list[Event] = []
    session_of(source, (told.append,)).run(source.facts())
    facts = [fact for fact in told if isinstance(fact, get_args(Fact))]
    alone = list(WorkflowSource(setup, Counted({}), chance).facts())
    assert [fact for fact in facts if not isinstance(fact, Shortened)] == alone
    names = [fact.item.id for fact in facts if isinstance(fact, ItemAdded)]
    assert len(set(names)) == len(names)
