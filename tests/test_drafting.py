"""Tests of drafts: what work a call did, where phases begin, which sizes they get, what is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_lines import OPUS, claude_message, claude_usage

from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import validated
from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.config.workflow_format import Workflow
from ctxbudget.core.errors import SourceError
from ctxbudget.drafting import Cut, Draft, Recorded, Step, as_data, as_yaml, drafted, steps_of
from ctxbudget.drafting.fitting import OFF_FRAC, fitted, followed
from ctxbudget.drafting.spans import MOST_PHASES, Span, breaks_of, spans_of
from ctxbudget.drafting.steps import Result, SubAgent
from ctxbudget.drafting.work import Work, work_of
from ctxbudget.recorded.lines import Line
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.simulate import measure_for, simulate
from ctxbudget.transcripts import claude_code
from ctxbudget.transcripts.session import recorded_session

Json = dict[str, Any]

FILE = Recorded(name="one.jsonl", format="claude_code", window_tokens=200_000)


class Talk:
    """Lines of a Claude Code session, each hanging on the one before it."""

    def __init__(self) -> None:
        self.lines: list[Json] = []
        self._calls = 0
        self._second = 0

    def user(self, content: object, minutes: int = 0, **fields: Any) -> None:
        """Add what the user said after so many minutes, or what else stands under that role."""
        self._second += 60 * minutes
        self.add("user", {"message": {"role": "user", "content": content}, **fields})

    def call(self, prompt: int, *blocks: Json, output: int = 50) -> None:
        """Add an answer to a prompt of so many tokens."""
        self._calls += 1
        usage = claude_usage(3, w5m=prompt - 3, output=output)
        message = claude_message(f"m{self._calls}", usage, stop="end_turn", model=OPUS)
        message["content"] = list(blocks) or [{"type": "text", "text": "It is mended now."}]
        self.add("assistant", {"message": message})

    def result(self, id_: str, text: str) -> None:
        """Add what a tool answered."""
        self.user([{"type": "tool_result", "tool_use_id": id_, "content": text}])

    def add(self, kind: str, fields: Json) -> None:
        """Add a line; the clock moves on by ten seconds."""
        number, at = len(self.lines), datetime(2026, 3, 2, 10, tzinfo=UTC)
        self._second += 10
        self.lines.append(
            {
                "type": kind,
                "uuid": f"u{number}",
                "parentUuid": f"u{number - 1}" if number else None,
                "sessionId": "s-1",
                "timestamp": (at + timedelta(seconds=self._second)).isoformat(),
                "isSidechain": False,
                **fields,
            }
        )


def use(id_: str, tool: str, **given_: object) -> Json:
    return {"type": "tool_use", "id": id_, "name": tool, "input": given_}


def steps_from(lines: Sequence[Json]) -> list[Step]:
    """Return the steps of a session's lines."""
    numbered: list[Line] = list(enumerate(lines, 1))
    exchanges = list(claude_code.exchanges(numbered, RecordedFile(file="one.jsonl")))
    prices = PriceBook(lambda model, at_s: None)
    return steps_of(
        exchanges, recorded_session(exchanges, RecordedFile(file="one.jsonl"), prices).run
    )


def step(prompt: int, **fields: Any) -> Step:
    return Step(**{"at_s": 0.0, "model": OPUS, "prompt_tokens": prompt, **fields})


def course(*prompts: int, **last: Any) -> list[Step]:
    """Return steps whose prompts grow by a tool's result each, of all but 100 tokens."""
    steps = [step(prompts[0], prefix_tokens=prompts[0], wrote_tokens=100)]
    for before, prompt in pairwise(prompts):
        result = Result(tokens=max(0, prompt - before - 100), is_file=True)
        steps.append(step(prompt, wrote_tokens=100, results=(result,)))
    if last:
        steps[-1] = step(prompts[-1], results=steps[-1].results, **last)
    return steps


def whole(steps: Sequence[Step]) -> list[Span]:
    return [Span(name="work", start=0, end=len(steps))]


def workflow_of(draft: Draft) -> Workflow:
    """Return a draft's text as the package reads it."""
    return validated(Workflow, parse_document(as_yaml(draft), "draft.yaml"))


# ---- what work a call did


@pytest.mark.parametrize(
    ("tool", "given_", "work"),
    [
        ("Read", {"file_path": "a.py"}, Work.RESEARCH),
        ("WebFetch", {"url": "x"}, Work.RESEARCH),
        ("MultiEdit", {"file_path": "a.py"}, Work.IMPLEMENT),
        ("ExitPlanMode", {"plan": "p"}, Work.PLAN),
        ("update_plan", {"plan": []}, Work.PLAN),
        ("Task", {"prompt": "pytest"}, None),
        (None, {}, None),
        ("Bash", {"command": "git log --oneline | head"}, Work.RESEARCH),
        ("Bash", {"command": "grep -rn pytest ."}, Work.RESEARCH),
        ("Bash", {"command": "cd shop && rg -n tax"}, Work.RESEARCH),
        ("Bash", {"command": "sed -n 1,40p a.py"}, Work.RESEARCH),
        ("Bash", {"command": "sed -i s/a/b/ a.py"}, Work.IMPLEMENT),
        ("Bash", {"command": "echo hi | tee a.txt"}, Work.IMPLEMENT),
        ("Bash", {"command": "cat > a.py <<'EOF'\nx = 1\nEOF"}, Work.IMPLEMENT),
        ("Bash", {"command": "echo done > /dev/null"}, None),
        ("Bash", {"command": "python -m pytest -q tests"}, Work.TEST),
        ("Bash", {"command": "CI=1 timeout 60 npm run test:unit"}, Work.TEST),
        ("Bash", {"command": "go test ./... 2>&1 | tail -5"}, Work.TEST),
        ("Bash", {"command": "git commit -m 'make test faster'"}, None),
        ("shell", {"command": ["bash", "-lc", "cargo test"]}, Work.TEST),
        ("exec_command", {"cmd": "ls -la"}, Work.RESEARCH),
        ("shell", {"command": ["apply_patch", "*** Begin Patch"]}, Work.IMPLEMENT),
        (
            "bash",
            {"text": "I look.\n\n```bash\nsed -i s/a/b/ x\n```\nThen pytest."},
            Work.IMPLEMENT,
        ),
    ],
)
def test_the_work_of_a_tool(tool: str | None, given_: Json, work: Work | None) -> None:
    assert work_of([(tool, {"input": given_})]) is work


def test_of_several_tools_the_weightiest_counts() -> None:
    tools = ["TodoWrite", "Read", "Edit"]
    found = [work_of([(tool, {}) for tool in tools[:number]]) for number in (1, 2, 3)]
    assert found == [Work.PLAN, Work.RESEARCH, Work.IMPLEMENT]


# ---- where phases begin

LETTERS = {"r": Work.RESEARCH, "i": Work.IMPLEMENT, "t": Work.TEST, "p": Work.PLAN, ".": None}


def worked(calls: str) -> list[Step]:
    """Return steps by letters of their work; `|` ahead of one is a prompt, `_` a break of an hour."""
    steps: list[Step] = []
    at_s, has_prompt = 1_000.0, False
    for letter in calls:
        if letter == "|":
            has_prompt = True
        elif letter == "_":
            at_s += 3_600
        else:
            at_s += 10
            steps.append(step(1, at_s=at_s, has_prompt=has_prompt, work=LETTERS[letter]))
            has_prompt = False
    return steps


def cut(calls: str, by: Cut = Cut.AUTO) -> str:
    return " ".join(f"{one.name}:{one.end - one.start}" for one in spans_of(worked(calls), by))


@pytest.mark.parametrize(
    ("calls", "phases"),
    [
        ("rrrrriiiii", "research:5 implement:5"),
        ("r", "research:1"),
        ("....", "work:4"),
        ("rrrr....iiii", "research:8 implement:4"),
        ("pppprrrriiiitttt", "plan:4 research:4 implement:4 test:4"),
        ("rrrrriiiirrrriiii", "research:5 implement:4 research_2:4 implement_2:4"),
        # Test runs between edits are part of writing, a short look at a file too.
        ("rrrriitiitiitrii", "research:4 implement:12"),
        # A short run joins its neighbour on its own side of a prompt.
        ("rrrrrr|iirrrrrrr", "research:15"),
        ("rrrrr|p|iiiiii", "research:5 implement:7"),
        ("rrrrrp|iiiiii", "research:6 implement:6"),
        ("rrrrr|piiiiii", "research:5 implement:7"),
        # An answer without tools after a prompt begins what follows it.
        ("rrrrr|.iiiii", "research:5 implement:6"),
        ("rrrrr.iiiii", "research:6 implement:5"),
        # A break divides work of one kind.
        ("rrrrr_rrr", "research:5 research_2:3"),
    ],
)
def test_phases_by_kinds_of_work(calls: str, phases: str) -> None:
    assert cut(calls) == phases


def test_many_changes_of_work_give_an_overview() -> None:
    spans = spans_of(worked(("r" * 40 + "i" * 20) * 10), Cut.AUTO)
    assert 4 <= len(spans) <= MOST_PHASES
    assert {one.name.partition("_")[0] for one in spans} == {"research", "implement"}


def test_only_the_longest_breaks_divide_when_there_are_many() -> None:
    steps = worked("_".join("r" * 20) + "__r")
    spans = spans_of(steps, Cut.AUTO)
    assert len(spans) == MOST_PHASES
    assert spans[-1].start == 20


def test_other_cuts() -> None:
    assert cut("|rri|ii|.", Cut.PROMPTS) == "prompt:3 prompt_2:2 prompt_3:1"
    assert cut("rri|ii", Cut.ONE) == "implement:5"
    steps = worked("rrrrrr")
    agent = SubAgent(prompt_tokens=5, output_tokens=50)
    steps[2] = step(1, agents=(agent,), work=Work.RESEARCH)
    assert [one.start for one in spans_of(steps, Cut.SUBAGENTS)] == [0, 2]


def test_a_break_is_longer_than_the_cache_lives() -> None:
    steps = [
        step(1, at_s=1_000.0, ttl_s=3_600.0),
        step(1, at_s=4_600.0),
        step(1, at_s=4_900.0),
        step(1, at_s=5_201.0),
    ]
    assert breaks_of(steps) == {3: 301.0}
    assert breaks_of([step(1, at_s=0.0), step(1, at_s=9_000.0)]) == {}


@settings(max_examples=60)
@given(st.text("rrriiitp.|_", max_size=120), st.sampled_from(Cut))
def test_every_call_is_in_one_phase(calls: str, by: Cut) -> None:
    steps = worked(calls) or worked("r")
    spans = spans_of(steps, by)
    assert [at for one in spans for at in range(one.start, one.end)] == list(range(len(steps)))
    assert all(one.end > one.start for one in spans)
    assert len({one.name for one in spans}) == len(spans)
    assert by is not Cut.AUTO or len(spans) <= MOST_PHASES


# ---- sizes


def test_a_phase_that_grows_evenly() -> None:
    """400 tokens each, 100 of them written; what would follow the last call is taken to be alike."""
    steps = course(1_000, 1_400, 1_800, 2_200)
    (one,) = fitted(steps, whole(steps))
    assert (one.call_tokens, one.result_tokens, one.turns) == (100, 300, 4)
    assert (one.reads, one.said_tokens, one.output_tokens) == ((), 0, 0)
    assert followed(steps, whole(steps), [one]) == (6_400, 2_200)


def test_the_answer_at_the_end_is_the_output() -> None:
    steps = course(1_000, 1_400, 1_800, wrote_tokens=70, answer_tokens=70)
    (one,) = fitted(steps, whole(steps))
    assert (one.output_tokens, one.turns, one.call_tokens + one.result_tokens) == (70, 2, 400)


def test_what_came_early_is_read_at_the_start() -> None:
    """16,600 tokens are sent. Growing evenly from 1,000 to 6,866 the calls would send 12,800.

    The missing 3,800 come from 1,520 tokens at the start: each is carried by four calls instead of
    1.5. The rest, 4,346, is added by the calls: 2,520 + 3,606 + 4,692 + 5,778 = 16,596.
    """
    steps = course(1_000, 5_000, 5_200, 5_400)
    (one,) = fitted(steps, whole(steps))
    assert (one.reads, one.part_tokens) == ((), 1_520)
    assert one.call_tokens + one.result_tokens == 1_086
    assert followed(steps, whole(steps), [one]) == (16_596, 5_778)


def test_whole_results_are_read_first() -> None:
    """Two of 900 and one of 300 came first; the 1,500 that are to come early are one and a part."""
    steps = course(1_000, 2_000, 3_000, 3_400, *range(3_500, 4_100, 100))
    (one,) = fitted(steps, whole(steps))
    assert [read.tokens for read in one.reads] == [900]
    assert 0 < one.part_tokens < 900
    sent = sum(one.prompt_tokens for one in steps)
    assert abs(followed(steps, whole(steps), [one])[0] - sent) <= 50


def test_what_came_late_is_left_to_the_next_phase() -> None:
    """Growing evenly from 1,000 to 9,000, three calls would send 11,000; they sent 3,300."""
    steps = course(1_000, 1_100, 1_200, 9_000, 9_100)
    spans = [Span(name="a", start=0, end=3), Span(name="b", start=3, end=5)]
    first, second = fitted(steps, spans)
    assert (first.call_tokens + first.result_tokens, first.reads) == (100, ())
    assert second.late_tokens == 9_000 - 1_000 - 3 * 100
    assert followed(steps, spans, [first, second]) == (3_300 + 18_100, 9_100)


def test_prompts_and_agents_come_in_at_the_start() -> None:
    agent = SubAgent(prompt_tokens=80, output_tokens=500)
    steps = [
        step(1_000, prefix_tokens=700, system_tokens=200, said_tokens=100, wrote_tokens=50),
        step(1_750, said_tokens=200, agents=(agent,), wrote_tokens=40, has_prompt=True),
        step(1_850, wrote_tokens=60, results=(Result(tokens=60, is_file=False),)),
    ]
    spans = [Span(name="a", start=0, end=1), Span(name="b", start=1, end=3)]
    first, second = fitted(steps, spans)
    assert (first.call_tokens, first.result_tokens, first.tokens) == (50, 0, 50)
    assert (second.said_tokens, second.agents, second.start_tokens) == (200, (agent,), 700)
    assert followed(steps, spans, [first, second]) == (1_000 + 1_750 + 1_850, 1_850)


def test_a_prompt_that_shrank_is_not_made_up_for() -> None:
    """5,000 tokens went back to 2,000; the next phase adds nothing until it has caught up."""
    steps = course(1_000, 3_000, 5_000, 2_000, 2_100)
    spans = [Span(name="a", start=0, end=2), Span(name="b", start=2, end=5)]
    sizes = fitted(steps, spans)
    assert sizes[1].tokens == 0
    assert followed(steps, spans, sizes)[1] == 5_000


prompts = st.lists(st.integers(1, 300_000), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(prompts, st.lists(st.integers(0, 39), max_size=6), st.booleans())
def test_sizes_are_those_of_a_workflow(sizes: list[int], cuts: list[int], answers: bool) -> None:
    last = {"wrote_tokens": 30, "answer_tokens": 30} if answers else {"wrote_tokens": 30}
    steps = [
        step(one.prompt_tokens, **({} if number else {"prefix_tokens": one.prompt_tokens}), **last)
        if number in cuts
        else one
        for number, one in enumerate(course(*sizes))
    ]
    starts = sorted({0, *(at for at in cuts if at < len(steps))})
    ends = [*starts[1:], len(steps)]
    spans = [
        Span(name=f"p{start}", start=start, end=end)
        for start, end in zip(starts, ends, strict=True)
    ]
    for one in fitted(steps, spans):
        assert min(one.call_tokens, one.result_tokens, one.late_tokens, one.said_tokens) >= 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4_000), min_size=2, max_size=40), st.integers(2_000, 40_000))
def test_a_prompt_that_only_grows_is_followed(growth: list[int], base: int) -> None:
    """At a phase's end the simulated prompt is the recorded one, and its calls send as much."""
    sizes = [base]
    for tokens in growth:
        sizes.append(sizes[-1] + 100 + tokens)
    steps = course(*sizes)
    middle = len(steps) // 2
    spans = [Span(name="a", start=0, end=middle), Span(name="b", start=middle, end=len(steps))]
    first, second = fitted(steps, spans)
    assert abs(base + first.tokens + second.late_tokens - sizes[middle]) <= len(steps)
    sent, own = followed(steps, spans[:1], [first])[0], sum(sizes[:middle])
    assert abs(sent - own) <= OFF_FRAC * own + len(steps) ** 2


# ---- a session's steps


def session() -> Talk:
    """Return a session that looks, lets an agent look, edits, tests, and answers a second prompt."""
    talk = Talk()
    talk.user("SECRET-GOAL: mend the cart")
    talk.call(10_000, use("t1", "Read", file_path="/home/ann/SECRET-PATH/cart.py"))
    talk.result("t1", "SECRET-RESULT " * 300)
    talk.call(11_000, use("t2", "Task", prompt="SECRET-TASK look around", subagent_type="x"))
    talk.result("t2", "SECRET-FOUND " * 200)
    edit = use("t3", "Edit", file_path="cart.py", old_string="a", new_string="b")
    talk.call(11_800, {"type": "text", "text": "I mend it."}, edit)
    talk.result("t3", "ok")
    talk.call(11_900, use("t4", "Bash", command="pytest -q"))
    talk.result("t4", "1 passed")
    talk.call(12_000)
    talk.user("SECRET-NEXT: now the invoices", minutes=30)
    talk.call(12_100, use("t5", "Grep", pattern="SECRET"))
    talk.result("t5", "SECRET-LINE")
    talk.call(12_200)
    return talk


def test_steps_of_a_session() -> None:
    steps = steps_from(session().lines)
    assert [one.prompt_tokens for one in steps] == [
        *(10_000, 11_000, 11_800, 11_900, 12_000, 12_100, 12_200)
    ]
    research, test = Work.RESEARCH, Work.TEST
    assert [one.work for one in steps] == [
        *(research, None, Work.IMPLEMENT, test, None, research, None)
    ]
    assert [one.has_prompt for one in steps] == [True, *[False] * 4, True, False]
    first = steps[0]
    assert first.prefix_tokens + first.said_tokens == 10_000
    assert 0 < first.said_tokens < 50
    assert [one.is_file for one in steps[1].results] == [True]
    assert steps[1].results[0].tokens + first.wrote_tokens == 1_000
    (agent,) = steps[2].agents
    assert steps[2].results == ()
    assert agent.prompt_tokens == steps[1].wrote_tokens
    assert agent.output_tokens + agent.prompt_tokens == 800
    assert [bool(one.answer_tokens) for one in steps] == [*[False] * 4, True, False, True]
    assert steps[1].tools == ("Task",)


def test_a_compaction_of_the_program_is_taken_out() -> None:
    """20,000 tokens become 6,000 of which 4,000 were there before; the course goes on as if not."""
    talk = Talk()
    talk.user("mend it")
    talk.call(10_000, use("t1", "Read", file_path="a.py"))
    talk.result("t1", "word " * 9_900)
    talk.call(20_000, use("t2", "Read", file_path="b.py"))
    talk.result("t2", "word " * 10)
    talk.add("system", {"subtype": "compact_boundary", "content": "Conversation compacted"})
    talk.user("This session goes on: " + "word " * 900, isCompactSummary=True)
    talk.user("and now?")
    talk.call(11_000)
    talk.user("and then?")
    talk.call(11_200)
    steps = steps_from(talk.lines)
    assert [one.is_compacted for one in steps] == [False, False, True, False]
    assert [one.sent_tokens for one in steps] == [10_000, 20_000, 11_000, 11_200]
    assert steps[2].compacted_tokens == steps[3].compacted_tokens > 8_000
    grown = steps[2].prompt_tokens - 20_000 - steps[1].wrote_tokens
    assert 0 <= grown < 300
    note = " ".join(drafted(steps, FILE).notes)
    assert f"compacted the prompt once, which took {steps[3].compacted_tokens:,} tokens" in note


def test_steps_need_the_run_of_their_calls() -> None:
    found = list(claude_code.exchanges(enumerate(session().lines, 1), RecordedFile(file="x")))
    run = recorded_session(found, RecordedFile(file="x"), PriceBook(lambda model, at_s: None)).run
    with pytest.raises(SourceError, match="6 calls are recorded and 7 are in the run; name one"):
        steps_of(found[1:], run)


# ---- drafts


def test_a_draft_by_prompts() -> None:
    data = as_data(drafted(steps_from(session().lines), FILE, Cut.PROMPTS))
    assert data["name"] == "one"
    assert data["model"] == OPUS
    assert (data["window"], data["budget"], data["policy"]) == (200_000, "100%", "none")
    assert data["call_s"] == 20
    assert [one["id"] for one in data["permanent"]] == ["prefix", "first_prompt"]
    assert sum(one["tokens"] for one in data["permanent"]) == 10_000
    first, second = data["phases"]
    assert (first["id"], first["calls"], first["turn"]["tool"]) == ("prompt", 5, "Read")
    assert [one["id"] for one in first["agents"]] == ["agent_1"]
    assert (second["id"], second["after"], second["calls"]) == ("prompt_2", ["prompt"], 2)
    assert second["pause_s"] == 30 * 60 + 20 - 20
    assert second["turn"]["tool"] == "Grep"
    assert 0 < second["output"] < 60


def test_a_draft_says_what_it_rests_on() -> None:
    text = as_yaml(drafted(steps_from(session().lines), FILE, Cut.ONE))
    head = text.partition("\nname:")[0].replace("\n# ", " ")
    assert "from a Claude Code session, one.jsonl, of 2026-03-02: 7 calls of its main" in head
    assert "81,000 tokens sent, the largest prompt 12,200." in head
    assert "Sub-agents start with their phase here, and one call each is assumed" in head
    assert "Left out: 1 break within phases, longer than the cache's lifetime." in head
    assert "means; the most frequent tool, in 1 of 7 calls" in text
    assert all(len(line) <= 110 for line in text.splitlines())


@pytest.mark.parametrize("by", Cut)
def test_no_text_of_the_session_gets_into_a_draft(by: Cut) -> None:
    text = as_yaml(drafted(steps_from(session().lines), FILE, by))
    assert "SECRET" not in text
    assert "cart" not in text
    assert "ann" not in text.replace("/", " ").split()


@pytest.mark.parametrize("by", Cut)
def test_a_simulation_of_a_draft_does_what_was_recorded(by: Cut, tmp_path: Path) -> None:
    steps = steps_from(session().lines)
    draft = drafted(steps, FILE, by)
    path = tmp_path / "draft.yaml"
    path.write_text(as_yaml(draft), encoding="utf-8")
    loaded = read_workflow(path)
    metrics = simulate(set_up_run(loaded), measure_for(loaded))
    agents = [thread for phase in metrics.phases for thread in phase.threads]
    assert (metrics.run.calls, len(agents)) == (8, 1)
    sent = metrics.run.sent_tokens - sum(one.sent_tokens for one in agents)
    spans = spans_of(steps, by)
    assert sent == followed(steps, spans, [phase.sizes for phase in draft.phases])[0]
    assert abs(sent / 81_000 - 1) < 0.02
    assert abs(metrics.run.peak_tokens / 12_200 - 1) < 0.02


def test_phases_with_a_model_of_their_own() -> None:
    steps = [step(1_000 + 10 * number, prefix_tokens=0 if number else 1_000) for number in range(6)]
    haiku = [step(one.prompt_tokens, model="claude-haiku-4-5", has_prompt=True) for one in steps]
    draft = drafted([*steps, haiku[0], *haiku[-2:]], FILE, Cut.PROMPTS)
    data = as_data(draft)
    assert data["model"] == OPUS
    assert [one.get("model") for one in data["phases"]] == [None, *["claude-haiku-4-5"] * 3]
    assert yaml.safe_load(as_yaml(draft)) == data


def test_few_reads_are_listed_and_many_added_up() -> None:
    results = tuple(Result(tokens=100 + number, is_file=number < 5) for number in range(7))
    few = step(1_000, prefix_tokens=494, results=results[:4])
    text = as_yaml(drafted([few], FILE))
    assert "      - 100 # a file, read early\n      - 101 # a file, read early\n" in text
    many = drafted([step(1_221, prefix_tokens=500, results=results)], FILE)
    assert as_data(many)["phases"][0]["reads"] == [721]
    assert "- 721 # its first 7 tool results, 5 of them files" in as_yaml(many)


def test_a_draft_needs_a_call() -> None:
    with pytest.raises(SourceError, match="holds no call to a model; name"):
        drafted([], FILE)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a-b.jsonl.gz", "a-b"),
        ("run.json", "run"),
        ("yes.jsonl", "yes"),
        ("12.jsonl", "12"),
        ("a: {b}.jsonl", "a: {b}"),
        ("a\nphases: x\udc80\x1b[0m.jsonl", "aphases: x[0m"),
        ("-", "session"),
        (".jsonl", "session"),
        ("x" * 300, "x" * 150),
    ],
)
def test_any_name_of_a_file_gives_a_name(file: str, name: str) -> None:
    recorded = Recorded(name=file, format="other", window_tokens=10_000, agent="a\nb: c")
    draft = drafted([step(10, prefix_tokens=10)], recorded)
    assert draft.name == name
    text = as_yaml(draft)
    assert yaml.safe_load(text)["name"] == name
    assert workflow_of(draft).name == name
    assert text.isprintable() or set(text) - {"\n"} <= {char for char in text if char.isprintable()}


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9_000), names, names, st.booleans(), st.integers(0, 300)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(Cut),
)
def test_any_draft_is_a_valid_workflow(
    rows: list[tuple[int, str, str, bool, int]], by: Cut
) -> None:
    """Whatever tools and models are called; and the text says what the data says."""
    held, at_s, steps = 500, 1_000.0, []
    for number, (tokens, tool, model, has_prompt, said) in enumerate(rows):
        held, at_s = held + tokens + said, at_s + tokens
        steps.append(
            step(
                held,
                at_s=at_s,
                model=model,
                tools=(tool,),
                has_prompt=has_prompt,
                said_tokens=said if number else 0,
                prefix_tokens=0 if number else held,
                results=(Result(tokens=tokens, is_file=False),) if number else (),
                agents=(SubAgent(prompt_tokens=1, output_tokens=2),) if has_prompt else (),
            )
        )
    draft = drafted(steps, FILE, by)
    workflow = workflow_of(draft)
    assert sum(phase.main_calls() for phase in workflow.phases) == len(rows)
    data = yaml.safe_load(as_yaml(draft))
    assert data == as_data(draft)
