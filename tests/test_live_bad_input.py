"""What a live run makes of odd input: a clear error or a right answer, and nothing is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_server import MessagesServer, validate

from ctxbudget import (
    AdapterError,
    BudgetExceededError,
    ConfigError,
    CtxBudgetError,
    Event,
    JournalError,
    PolicyError,
    Prompt,
    Run,
    SourceError,
    ThrashError,
    Told,
    Usage,
)
from ctxbudget.core.events import ItemAdded
from ctxbudget.core.types import Form, Kind, Layer, Level
from ctxbudget.journal import JournalWriter, TextLine, read_journal, read_records
from ctxbudget.sources.journal import replay

OPUS = "claude-opus-5-5"


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


def open_run(**options: Any) -> Run:
    plan = {"window_tokens": 1000, "counter": Words(), "clock": lambda: 0.0, "policy": "none"}
    return Run.open(**{**plan, **options})


def goes_on(run: Run) -> Prompt:
    """Check that a run can go on and return a prompt that a provider takes."""
    run.user("go on please")
    prompt = run.prompt()
    assert prompt.problems() == []
    assert prompt.tokens <= prompt.limit_tokens
    assert "go on please" in prompt.text()
    validate({"model": OPUS, **prompt.anthropic()})
    json.dumps(prompt.anthropic(), allow_nan=False)
    return prompt


# ---- texts


@pytest.mark.parametrize(
    "text",
    [
        "a lone \ud800 surrogate",
        "\udfff\ud800",
        "<|endoftext|> and <|endofprompt|>",
        "nul \x00 and \x85 and \u2028",
        "a" * 100_000,
        " " * 1_000_000 + "x",
        "\n" * 10_000 + "x",
        "🙂" * 1000,
    ],
)
def test_any_text_is_counted_and_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(counter=None, window_tokens=2_000_000, journal=path)
    run.user("goal")
    run.user(text)
    run.tool_call("read", {"text": text}, call_id="c")
    run.tool_result("c", text)
    prompt = goes_on(run)
    assert prompt.messages[0]["content"][1]["text"] == text
    run.close()
    again = Run.resume(path, clock=lambda: 0.0)
    assert again.prompt().messages == prompt.messages
    again.close()


@pytest.mark.parametrize("nothing", ["", " ", " " * 1_000_000, "\n\t", None, [], [" ", ""]])
def test_an_empty_message_adds_nothing(nothing: Any) -> None:
    run = open_run(counter=None)
    assert run.user(nothing) == ()
    assert run.assistant(nothing) == ()
    assert run.items() == []
    goes_on(run)


@pytest.mark.parametrize(
    "content",
    ["", " ", [], [{"type": "text", "text": ""}], [{"type": "text", "text": " \n"}], None],
)
def test_an_empty_result_still_answers_its_call(content: Any) -> None:
    run = open_run()
    run.user("goal")
    run.tool_call("touch", {}, call_id="c")
    run.tool_result("c", content)
    assert run.items()[-1].kind is Kind.TOOL_RESULT
    goes_on(run)


def test_empty_instructions_artifacts_and_registered_texts_break_no_prompt() -> None:
    run = open_run()
    assert run.system(" ") == ()
    assert run.keep("") == ()
    with suppress(CtxBudgetError):
        run.register("nothing", "")
        run.activate("nothing")
    with run.phase("work") as phase:
        for text in ("", "  "):
            with suppress(CtxBudgetError):
                phase.deliver(text)
            with suppress(CtxBudgetError), phase.agent("x") as agent:
                agent.deliver(text)
    goes_on(run)


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.user(7),
        lambda run: run.user([7]),
        lambda run: run.system(None),
        lambda run: run.messages([{"content": "no role"}]),
        lambda run: run.messages([{"role": "robot", "content": "x"}]),
        lambda run: run.messages(["text"]),
        lambda run: run.tool_call("read", "no mapping", call_id="c"),
        lambda run: run.tool_call("read", {"x": object()}, call_id="c"),
        lambda run: run.tool_call("read", {"x": float("nan")}, call_id="c"),
        lambda run: run.tool_call("read", {"x": {1, 2}}, call_id="c"),
        lambda run: run.tool_call("read", {}, call_id=""),
        lambda run: run.tool_call("read", {}, call_id=None),
        lambda run: run.tool_result("", "text"),
        lambda run: run.tools(["read"]),
        lambda run: run.keep("x", layer="forever"),
        lambda run: run.answered(5),
        lambda run: run.answered({"content": 5}),
        lambda run: run.used(Usage(uncached_tokens=-5)),
        lambda run: run.activate("nothing"),
        lambda run: run.restore("nothing"),
        lambda run: run.undo(),
        lambda run: run.phase("wrok"),
        lambda run: run.rejected(ValueError("something else")),
    ],
)
@pytest.mark.parametrize("has_journal", [False, True])
def test_what_makes_no_sense_is_told_and_changes_nothing(
    call: Any, has_journal: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(**({"journal": path} if has_journal else {}))
    run.user("goal")
    run.prompt()
    before, size = run.items(), run.occupancy_tokens
    try:
        with pytest.raises(CtxBudgetError):
            call(run)
        assert (run.items(), run.occupancy_tokens) == (before, size)
        goes_on(run)
    finally:
        run.close()


def test_a_date_in_arguments_is_written_as_text_or_refused(tmp_path: Path) -> None:
    run = open_run(journal=tmp_path / "run.jsonl")
    run.user("goal")
    try:
        with suppress(CtxBudgetError):
            run.tool_call("read", {"day": date(2026, 1, 2)}, call_id="c")
            run.tool_result("c", "fine")
        goes_on(run)
    finally:
        run.close()


# ---- tool calls


def test_a_result_without_its_call_is_told() -> None:
    run = open_run()
    run.user("goal")
    with pytest.raises(SourceError, match="'c' has no tool call in thread 'main'; add the call"):
        run.tool_result("c", "text")
    with run.phase("work") as phase, phase.agent("x") as agent:
        run.tool_call("read", {}, call_id="c")
        with pytest.raises(SourceError, match="in thread 'work/x'"):
            agent.tool_result("c", "of another thread")
    run.tool_result("c", "of its own")
    goes_on(run)


def test_a_result_may_come_thirty_messages_late() -> None:
    run = open_run()
    run.user("goal")
    run.tool_call("slow", {}, call_id="late")
    for number in range(30):
        run.tool_call("read", {"n": number}, call_id=f"c{number}")
        run.tool_result(f"c{number}", f"result {number}")
        run.assistant(f"step {number}")
        prompt = run.prompt()
        assert prompt.problems() == []
    run.tool_result("late", "here at last")
    prompt = goes_on(run)
    assert prompt.text().count("here at last") == 1
    (call, result) = [item for item in run.items() if item.group == "late"]
    assert (call.kind, result.kind, result.tool) == (Kind.TOOL_CALL, Kind.TOOL_RESULT, "slow")


def test_a_late_result_survives_pruning_with_its_call() -> None:
    run = open_run(policy="masking", window_tokens=400)
    run.user("goal")
    run.tool_call("slow", {}, call_id="late")
    for number in range(30):
        run.tool_call("read", {"n": number}, call_id=f"c{number}")
        run.tool_result(f"c{number}", words(30))
        run.assistant(f"step {number}")
        prompt = run.prompt()
        assert prompt.problems() == []
        assert prompt.tokens <= 400
    run.tool_result("late", "here at last")
    assert "here at last" in goes_on(run).text()


def test_the_same_tool_id_may_be_used_again() -> None:
    run = open_run()
    run.user("goal")
    for number in range(3):
        run.tool_call("read", {"n": number}, call_id="same")
        run.tool_result("same", f"result {number}")
    prompt = goes_on(run)
    assert all(f"result {number}" in prompt.text() for number in range(3))
    ids = [b["id"] for m in prompt.messages for b in m["content"] if b["type"] == "tool_use"]
    assert len(set(ids)) == 3
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in ids)


@pytest.mark.parametrize("name", ["a#b", "a#2", "#", "call:1|x", "\u00e4", "a b"])
def test_any_tool_id_finds_its_result(name: str) -> None:
    run = open_run()
    run.user("goal")
    for number in range(2):
        run.tool_call("read", {}, call_id=name)
        run.tool_result(name, f"result {number}")
    assert len({item.group for item in run.items() if item.group}) == 2
    assert "result 1" in goes_on(run).text()


def test_a_call_has_one_result() -> None:
    run = open_run()
    run.user("goal")
    run.tool_call("read", {}, call_id="c")
    run.tool_result("c", "first")
    with pytest.raises(SourceError, match="'c' has its result already"):
        run.tool_result("c", "second")
    text = goes_on(run).text()
    assert "first" in text
    assert "second" not in text


def test_a_call_that_waits_is_not_made_again() -> None:
    """As a retry after a crash would: the result would belong to the wrong one."""
    run = open_run()
    run.user("goal")
    run.tool_call("read", {}, call_id="c")
    with pytest.raises(SourceError, match="'c' waits for its result already"):
        run.tool_call("read", {}, call_id="c")
    run.tool_result("c", "first")
    assert len([item for item in run.items() if item.group]) == 2


def test_a_phase_that_is_over_is_not_begun_again_by_mistake() -> None:
    run = open_run(phases=["a", "b"])
    run.phase("a").finish()
    with pytest.raises(SourceError, match="phase 'a' is over"):
        run.phase("a")
    assert (run.finished_phases, run.open_phase) == (["a"], None)
    run.phase("a", again=True).finish()
    run.phase("b")
    assert (run.finished_phases, run.open_phase) == (["a"], "b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jurnal": "x"}, "jurnal: there is no such argument; did you mean 'journal'"),
        ({"keeps_texts": "no"}, "keeps_texts: expected True or False, found 'no'"),
        ({"review": 3}, "review: expected a function, found 3"),
        ({"summarize": "x"}, "summarize: expected a function, found 'x'"),
        ({"listeners": print}, "listeners: expected a list of functions"),
        ({"listeners": [1]}, "listeners: expected a list of functions"),
        ({"marks": 3}, "marks: expected CacheMarks or None, found 3"),
        ({"clock": 5}, "clock: expected a function, found 5"),
    ],
)
def test_an_option_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Run.open(window_tokens=5_000, **options)
    assert message in str(caught.value)


def test_calls_side_by_side_are_answered_in_any_order() -> None:
    run = open_run()
    run.user("goal")
    run.assistant([{"type": "tool_use", "id": f"c{n}", "name": "t", "input": {}} for n in range(3)])
    for number in (2, 0):
        run.tool_result(f"c{number}", f"result {number}")
    assert run.prompt().problems() == []
    run.user("an aside")
    run.tool_result("c1", "result 1")
    text = goes_on(run).text()
    assert all(f"result {number}" in text for number in range(3))


# ---- images and documents

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "!!"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "source": None},
        {"type": "image"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": None},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
        {"type": "document", "source": {"type": "base64", "data": "\ud800"}},
        {"type": "document", "source": "broken"},
        {"type": "something new", "value": [1, {"deep": "text"}]},
        {"no": "type"},
    ],
)
def test_images_and_documents_are_counted_whatever_they_hold(block: Any) -> None:
    run = open_run(window_tokens=2_000_000)
    run.user("goal")
    run.user([block, "what is this?"])
    run.tool_call("shot", {}, call_id="c")
    run.tool_result("c", [block, {"type": "text", "text": "a picture"}])
    assert all(item.tokens > 0 for item in run.items())
    prompt = goes_on(run)
    assert dict(block) in prompt.messages[0]["content"]
    assert len(prompt.openai()) > 2


# ---- counters


class Odd(Words):
    """Returns, or raises, what it is told to."""

    answer: Any = None

    def __call__(self, text: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return super().__call__(text) if self.answer is None else self.answer


@pytest.mark.parametrize("answer", [OSError("down"), -1, 2.5, "7", float("nan")])
def test_a_counter_that_fails_is_told_and_nothing_is_added(answer: Any) -> None:
    count = Odd()
    run = open_run(counter=count)
    run.user("goal")
    count.answer = answer
    with pytest.raises(AdapterError, match="counter 'words'"):
        run.user("something new")
    with pytest.raises(AdapterError, match="counter 'words'"):
        run.phase("work").deliver("something else")
    assert [item.id for item in run.items()] == ["main/1"]
    count.answer = None
    assert run.user("something newer") == ("main/2",)
    assert run.phase("work").deliver("something else again") == "work/output"
    goes_on(run)


def test_a_failing_counter_loses_no_part_of_a_message() -> None:
    """Either all blocks of a message are added or none, so that it can be said again."""

    class Picky(Words):
        def __call__(self, text: str) -> int:
            if "two" in text:
                raise OSError("down")
            return super().__call__(text)

    run = open_run(counter=Picky())
    run.user("goal")
    with pytest.raises(AdapterError):
        run.user(["one", "two", "three"])
    assert [item.id for item in run.items()] == ["main/1"]
    goes_on(run)


@pytest.mark.parametrize("answer", [-1, 2.5, None, "9", OSError("no network")])
def test_a_prompt_that_is_counted_wrongly_keeps_our_estimate(answer: Any) -> None:
    def count(prompt: Prompt) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    run = open_run(count_prompt=count)
    run.user("one two three")
    prompt = run.prompt()
    assert prompt.tokens == 7
    assert "could not be counted, so its size is estimated" in run.notes[0]
    goes_on(run)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_counter_that_is_off_by_two_still_tells_levels_safely(factor: float) -> None:
    """After the first report, each level is told at the latest by the report that is beyond it."""
    told: dict[Level, int] = {}

    def listener(event: Event) -> None:
        if isinstance(event, Told):
            told.setdefault(event.level, event.tokens)

    with MessagesServer(window_tokens=4000, factor=factor) as server:
        run = Run.open(
            model=OPUS,
            window_tokens=4000,
            policy="none",
            counter=Quarters(),
            clock=lambda: 0.0,
            listeners=[listener],
        )
        run.user("Find it." * 10)
        reported: list[int] = []
        for number in range(12):
            prompt = run.prompt()
            assert prompt.tokens <= 4000
            answer = server.client().messages.create(
                model=OPUS,
                max_tokens=10,
                tools=[],
                **{key: one for key, one in prompt.anthropic().items() if key != "tools"},
            )
            run.answered(answer)
            usage = answer.usage
            whole = usage.input_tokens + (usage.cache_read_input_tokens or 0)
            whole += usage.cache_creation_input_tokens or 0
            reported.append(whole)
            assert run.occupancy_tokens >= whole
            assert (Level.WARN in told) or whole <= 3000
            assert (Level.CRITICAL in told) or whole <= 3800
            run.user(f"Part {number}: " + "more of the same text, " * 25)
        assert max(reported) > (3000 if factor > 1 else 800)


class Quarters(Words):
    """Counts a token for four characters, and is sure of it."""

    name = "quarters"

    def __call__(self, text: str) -> int:
        return -(-len(text) // 4)


# ---- listeners and policies


def test_a_listener_that_raises_harms_nobody_else() -> None:
    heard: list[Event] = []
    is_broken = True

    def broken(event: Event) -> None:
        if is_broken and isinstance(event, ItemAdded):
            raise ZeroDivisionError("of my own")

    run = open_run(listeners=[broken, heard.append])
    with pytest.raises(ZeroDivisionError):
        run.user("goal")
    assert [item.id for item in run.items()] == ["main/1"]
    assert isinstance(heard[-1], ItemAdded)
    # all of a message is taken in, although each of its blocks is heard with an error
    with pytest.raises(ZeroDivisionError):
        run.assistant(["text", {"type": "tool_use", "id": "c", "name": "t", "input": {}}])
    assert [item.kind for item in run.items()] == [Kind.USER, Kind.ASSISTANT, Kind.TOOL_CALL]
    with run.phase("work") as phase:
        agent = phase.agent("x")
        with pytest.raises(ZeroDivisionError):
            agent.deliver("an output")
        agent.finish()
    assert run.items()[-1].ready
    is_broken = False
    run.tool_result("c", "answer")
    assert run.why("main/2")[0].what == "added"
    goes_on(run)


@pytest.mark.parametrize("name", ["broken", "broken_later", "nothing", "no_plans"])
def test_a_policy_that_breaks_its_contract_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(policy=f"own_strategies:{name}", journal=path)
    with pytest.raises(PolicyError, match=name):
        run.user("goal")
    assert [item.id for item in run.items()] == ["main/1"]
    with pytest.raises(PolicyError, match=name):
        run.prompt()
    run.close()
    again = Run.resume(path, counter=Words(), clock=lambda: 0.0)
    assert [item.id for item in again.items()] == ["main/1"]
    again.close()


def test_prompting_before_anything_was_said() -> None:
    run = open_run()
    prompt: Prompt | None = None
    with suppress(CtxBudgetError):
        prompt = run.prompt()
    if prompt is not None:
        assert prompt.problems() == ["there is no message; add one of the user's"]
    run.system("be brief")
    goes_on(run)


def test_what_does_not_fit_is_told_and_can_be_mended() -> None:
    run = open_run(window_tokens=100)
    run.user("goal")
    (big,) = run.keep(words(200))
    with pytest.raises(BudgetExceededError, match=f"largest are {big}") as caught:
        run.prompt()
    assert caught.value.items[0] == (big, 204)
    assert caught.value.limit_tokens == 100
    assert {item.id for item in run.items()} == {"main/1", big}


def test_names_of_phases_and_agents_are_told() -> None:
    run = open_run(phases=["plan"])
    with pytest.raises(SourceError, match="phase 'paln' is not in the workflow"):
        run.phase("paln")
    phase = run.phase("plan")
    with pytest.raises(ConfigError, match="permanent, phase, metadata, transient"):
        phase.keep("x", layer="forever")
    phase.finish()
    with pytest.raises(SourceError, match="phase 'plan' is not running"):
        phase.agent("x")


# ---- the journal


def test_a_full_disk_is_told_and_the_journal_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    code = f"""
import resource, signal
from ctxbudget import JournalError, Run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
run = Run.open(journal={str(path)!r}, counter="chars", clock=lambda: 0.0)
said = 0
try:
    for number in range(100):
        run.user(f"message {{number}} " + "x" * 200)
        said += 1
except JournalError as error:
    print(said, error)
try:
    run.user("one more")
except JournalError as error:
    print("again:", error)
run.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, again = done.stdout.splitlines()
    said = int(first.split()[0])
    assert said > 3
    assert "make room and resume it" in first
    assert "takes no more events" in again
    run = Run.resume(path, counter="chars", clock=lambda: 0.0)
    assert run.dropped is None
    assert len(run.items()) == said
    goes_on(run)
    run.close()


def test_two_processes_on_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run = open_run(journal=path)
    run.user("goal")
    code = f"""
from ctxbudget import JournalError, Run
for begin in (lambda: Run.open(journal={str(path)!r}), lambda: Run.resume({str(path)!r})):
    try:
        begin()
    except JournalError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("is being written by somebody else" in line for line in lines)
    goes_on(run)
    run.close()
    again = Run.resume(path, counter=Words(), clock=lambda: 0.0)
    assert len(again.items()) == 2
    again.close()


@pytest.mark.parametrize("place", ["", "/no/such/folder/run.jsonl"])
def test_a_journal_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="choose another place"):
        open_run(journal=place or tmp_path)


# ---- whatever happens

STEPS = st.one_of(
    st.tuples(st.just("user"), st.integers(1, 60)),
    st.tuples(st.just("assistant"), st.integers(1, 60)),
    st.tuples(st.just("call"), st.integers(1, 20)),
    st.tuples(st.just("result"), st.integers(0, 90)),
    st.tuples(st.just("late"), st.integers(1, 40)),
    st.tuples(st.just("prompt"), st.just(0)),
    st.tuples(st.just("restore"), st.integers(0, 10)),
    st.tuples(st.just("undo"), st.just(0)),
    st.tuples(st.just("keep"), st.integers(1, 10)),
    st.tuples(st.just("used"), st.integers(0, 40)),
)
POLICIES = [
    "none",
    "masking",
    "compact-at-threshold",
    "moderate",
    {
        "name": "busy",
        "rules": [
            {"name": "snip", "on": "item_added", "select": {"kind": "tool_result", "min_tokens": 40},
             "do": "snip", "to": 30, "why": "a test"},
            {"name": "stub", "on": "before_call", "select": {"kind": ["tool_call", "tool_result"]},
             "do": "stub", "by": "turn", "when": {"above": "40% of window"}, "why": "a test"},
            {"name": "fold", "on": "before_call",
             "select": {"kind": ["user", "assistant", "tool_call", "tool_result", "note", "summary"]},
             "do": "summarize", "by": "all", "to": 40,
             "when": {"above": "60% of window", "min_turns": 3}, "why": "a test"},
        ],
    },
]  # fmt: skip


class Script:
    """Plays random steps on a small run and checks each prompt."""

    def __init__(self, run: Run) -> None:
        self.run, self.calls, self.open = run, 0, list[str]()
        self.is_asked = False
        run.user("the goal")

    def play(self, what: str, size: int) -> None:
        text = words(size)
        if what == "user":
            self.run.user(text)
        elif what == "assistant":
            self.run.assistant(text)
        elif what == "call":
            self.calls += 1
            self.open.append(f"c{self.calls}")
            self.run.tool_call("read", {"text": text}, call_id=self.open[-1])
        elif what in ("result", "late") and self.open:
            self.run.tool_result(self.open.pop(-1 if what == "result" else 0), text)
        elif what == "prompt":
            self.check(self.run.prompt())
        elif what == "restore" and self.run.evicted():
            left = self.run.evicted()
            self.run.restore(left[size % len(left)].id)
        elif what == "undo":
            self.run.undo()
        elif what == "keep":
            self.run.keep(text, layer=Layer.PHASE)
        elif what == "used" and self.is_asked:
            self.run.used(Usage(uncached_tokens=max(1, self.run.occupancy_tokens + size - 20)))
        self.is_asked = what == "prompt"

    def check(self, prompt: Prompt) -> None:
        assert prompt.problems() == []
        assert prompt.tokens <= prompt.limit_tokens
        assert prompt.messages[0]["role"] == "user"
        assert "the goal" in prompt.text()
        validate({"model": OPUS, **prompt.anthropic()})
        for item in self.run.evicted():
            assert self.run.restore_cost(item.id).gained_tokens is not None


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(STEPS, min_size=5, max_size=50),
    policy=st.sampled_from(POLICIES),
    window=st.sampled_from([200, 300, 600]),
)
def test_whatever_happens_prompts_are_right_and_nothing_is_lost(
    steps: list[tuple[str, int]], policy: Any, window: int
) -> None:
    heard: list[Event] = []
    run = open_run(policy=policy, window_tokens=window, listeners=[heard.append])
    script = Script(run)
    for what, size in steps:
        with suppress(BudgetExceededError, ThrashError, SourceError):
            script.play(what, size)
    added = {event.item.id for event in heard if isinstance(event, ItemAdded)}
    there = {item.id for item in run.items()}
    left = {item.id for item in run.evicted()}
    assert added <= there | left
    for name in sorted(left):
        first = (
            next(e.item for e in heard if isinstance(e, ItemAdded) and e.item.id == name)
            if (name in added)
            else None
        )
        if first is None:
            continue
        try:
            run.restore(name)
        except (BudgetExceededError, SourceError):
            continue
        back = next(item for item in run.items() if item.id == name)
        assert (back.tokens, back.form) == (first.tokens, Form.WHOLE)


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40), policy=st.sampled_from(POLICIES))
def test_whatever_happens_it_can_be_replayed_and_resumed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], policy: Any
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.jsonl"
    run = open_run(policy=policy, window_tokens=300, journal=path, fsync="never")
    script = Script(run)
    for what, size in steps:
        with suppress(BudgetExceededError, ThrashError, SourceError):
            script.play(what, size)
    run.close()
    texts = dict(texts_of(path))
    file = io.StringIO()
    replay(read_journal(path), [JournalWriter(file, texts.__getitem__)])
    assert file.getvalue() == path.read_text(encoding="utf-8")
    again = Run.resume(path, counter=Words(), clock=lambda: 0.0, fsync="never")
    assert again.items() == run.items()
    assert again.evicted() == run.evicted()
    assert again.occupancy_tokens == run.occupancy_tokens
    assert again.rent() == run.rent()
    again.close()


def texts_of(path: Path) -> Iterator[tuple[str, Any]]:
    for one in read_records(path):
        if isinstance(one, TextLine):
            yield one.hash, one.content
