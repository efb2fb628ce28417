"""A run that is taken up from its journal goes on as if nothing had happened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctxbudget import (
    AdapterError,
    Event,
    JournalError,
    Prompt,
    Run,
    SourceError,
    SummaryRequest,
    Usage,
)
from ctxbudget.core.events import Answered, Effect, Fact
from ctxbudget.core.types import Form
from ctxbudget.journal import JournalWriter, TextLine, read_journal, read_records
from ctxbudget.sources.journal import replay

SECRET = "sk-ant-api03-" + "a1B2c3D4" * 5


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


COMPACT = {
    "name": "compact early",
    "rules": [
        {
            "name": "output",
            "on": "agent_finished",
            "select": {"kind": "artifact", "ready": True},
            "do": "digest",
            "why": "a test",
        },
        {
            "name": "compact",
            "on": "before_call",
            "select": {"kind": ["assistant", "tool_call", "tool_result"]},
            "do": "summarize",
            "by": "all",
            "to": 40,
            "when": {"above": "50% of window", "min_turns": 2},
            "why": "a test",
        },
    ],
}
"""Digests outputs and summarizes a prompt that is half full."""


def summarize(request: SummaryRequest) -> str:
    return f"they read {len(request.parts)} parts"


def options(clock: Clock, **more: Any) -> dict[str, Any]:
    return {"counter": Words(), "clock": clock, "summarize": summarize, **more}


def open_run(journal: Path, clock: Clock, **more: Any) -> Run:
    plan = {"window_tokens": 400, "policy": COMPACT, "phases": ["a", "b"]}
    return Run.open(journal=journal, **{**plan, **options(clock), **more})


def events_of(path: Path) -> list[Event]:
    return list(read_journal(path))


def replayed(path: Path) -> str:
    """Return the journal that a journal's facts and texts give when they are fed again."""
    texts = {one.hash: one.content for one in read_records(path) if isinstance(one, TextLine)}
    file = io.StringIO()
    replay(read_journal(path), [JournalWriter(file, texts.__getitem__)], path=str(path))
    return file.getvalue()


# ---- a script whose every step is one fact

Step = Callable[[Run], object]


def turn(of: Callable[[Run], Any], number: int, size: int) -> list[Step]:
    return [
        lambda run: of(run).tool_call("read", {"n": number}, call_id=f"c{number}"),
        lambda run: of(run).tool_result(f"c{number}", words(size, f"r{number}_")),
        lambda run: of(run).prompt(),
        lambda run: of(run).used(Usage(uncached_tokens=of(run).occupancy_tokens + 3)),
    ]


def agent(run: Run, name: str) -> Any:
    return run.phase("a").agent(name)


def script() -> list[Step]:
    """Return the steps of a run that summarizes, digests, restores, undoes and injects."""
    steps: list[Step] = [
        lambda run: run.system("be brief"),
        lambda run: run.user(f"the goal, with {SECRET}"),
        lambda run: run.register("sql", "use the replica", activated_by="db"),
        lambda run: run.phase("a"),
        lambda run: run.phase("a").wave("x", "y", "z"),
    ]
    for name in ("x", "y"):
        steps += [
            lambda run, name=name: agent(run, name),  # type: ignore[misc]
            lambda run, name=name: agent(run, name).user("look at it"),  # type: ignore[misc]
        ]
        for number in range(3):
            steps += turn(lambda run, name=name: agent(run, name), number, 60)  # type: ignore[misc]
        steps += [
            lambda run, name=name: agent(run, name).deliver(words(80, name)),  # type: ignore[misc]
            lambda run, name=name: agent(run, name).finish(),  # type: ignore[misc]
        ]
    steps += [lambda run: run.phase("a").finish(), lambda run: run.phase("b")]
    for number in range(6):
        steps += turn(lambda run: run, number, 50)
    steps += [
        lambda run: run.tool_call("db", {}, call_id="d"),
        lambda run: run.tool_result("d", "rows"),
        lambda run: run.restore("a/x/output"),
        lambda run: run.undo(),
        lambda run: run.prompt(),
        lambda run: run.phase("b").finish(),
        lambda run: run.finish(),
    ]
    return steps


def carry_on(run: Run, clock: Clock, steps: list[Step], start: int) -> None:
    for number, step in enumerate(steps[start:], start):
        clock.now_s = float(number)
        step(run)


def facts_in(path: Path) -> int:
    """Return how many steps of the script a journal holds; the first fact begins the run."""
    return sum(isinstance(e, Fact) and not isinstance(e, Answered) for e in events_of(path)) - 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the journal of the script, never interrupted."""
    path, clock = tmp_path_factory.mktemp("whole") / "whole.jsonl", Clock()
    carry_on(open_run(path, clock), clock, script(), 0)
    return path.read_text(encoding="utf-8")


def test_the_script_does_what_it_is_for(whole: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    path.write_text(whole, encoding="utf-8")
    events = events_of(path)
    assert facts_in(path) == len(script())
    did = {f"{one.do}" for one in events if type(one).__name__ == "Pruned"}  # type: ignore[union-attr]
    assert {"digest", "summarize", "drop"} <= did
    assert sum(isinstance(one, Effect) for one in events) >= 6
    assert {"Restored", "Injected", "Seeded"} <= {type(one).__name__ for one in events}


def test_replay_gives_the_same_bytes(whole: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    path.write_text(whole, encoding="utf-8")
    assert replayed(path) == whole


def cut_ends(whole: str) -> tuple[list[int], list[int]]:
    """Return after how many lines a fact is finished with, and where a crash would be inside."""
    lines = [json.loads(line) for line in whole.splitlines()]

    def begins_a_fact(line: dict[str, Any]) -> bool:
        is_answer = line.get("fact") in ("shortened", "reviewed")
        return ("text" in line and "content" in line) or ("fact" in line and not is_answer)

    between: list[int] = []
    inside: list[int] = []
    for count in range(2, len(lines)):
        is_text = lines[count - 1].keys() == {"text", "content"}
        starts = begins_a_fact(lines[count])
        follows = next(
            (one for one in lines[count:] if one.keys() != {"text", "content"}), lines[count]
        )
        if follows.get("fact") in ("shortened", "reviewed"):
            starts = False
        (between if starts and not is_text else inside).append(count)
    return between, inside


def resumed_from(lines: list[str], tmp_path: Path) -> str:
    """Return the finished journal of a run that ended after these lines and was taken up."""
    path, clock = tmp_path / "cut.jsonl", Clock()
    path.write_text("".join(lines), encoding="utf-8")
    done = facts_in(path)
    clock.now_s = float(max(0, done - 1))
    run = Run.resume(path, **options(clock))
    carry_on(run, clock, script(), done)
    run.close()
    return path.read_text(encoding="utf-8")


def test_taken_up_between_any_two_facts_it_ends_as_if_never_interrupted(
    whole: str, tmp_path: Path
) -> None:
    lines = whole.splitlines(keepends=True)
    between, _ = cut_ends(whole)
    assert len(between) > 60
    wrong = [cut for cut in between[::3] if resumed_from(lines[:cut], tmp_path) != whole]
    assert wrong == []


def test_taken_up_where_a_crash_cut_a_facts_decisions_off_it_ends_the_same(
    whole: str, tmp_path: Path
) -> None:
    """Such as a process that is killed while it waits for a summary."""
    lines = whole.splitlines(keepends=True)
    _, inside = cut_ends(whole)
    assert len(inside) > 20
    wrong = {}
    for cut in inside[::3]:
        try:
            if resumed_from(lines[:cut], tmp_path) != whole:
                wrong[cut] = "other journal"
        except Exception as error:
            wrong[cut] = f"{type(error).__name__} behind {lines[cut - 1][:60]}"
    assert wrong == {}


def test_a_last_line_that_was_cut_off_is_dropped_and_told(whole: str, tmp_path: Path) -> None:
    path, clock = tmp_path / "cut.jsonl", Clock()
    between, _ = cut_ends(whole)
    lines = whole.splitlines(keepends=True)
    cut = between[40]
    path.write_text("".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2], encoding="utf-8")
    run = Run.resume(path, **options(clock))
    assert run.dropped is not None
    assert f"line {cut + 1} was cut off by a crash" in run.dropped
    carry_on(run, clock, script(), facts_in(path))
    assert path.read_text(encoding="utf-8") == whole


def test_twice_in_a_row(whole: str, tmp_path: Path) -> None:
    path, clock = tmp_path / "twice.jsonl", Clock()
    steps = script()
    run = open_run(path, clock)
    for start, stop in ((0, 21), (21, 22), (22, 22), (22, 60)):
        for number, step in enumerate(steps[start:stop], start):
            clock.now_s = float(number)
            step(run)
        run.close()
        run = Run.resume(path, **options(clock))
        assert run.dropped is None
    carry_on(run, clock, steps, 60)
    assert path.read_text(encoding="utf-8") == whole


def test_listeners_hear_the_past_again_then_the_new(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.user("goal")
    run.close()
    heard: list[Event] = []
    run = Run.resume(path, **options(clock, listeners=[heard.append]))
    assert heard == events_of(path)
    run.user("more")
    run.close()
    assert heard == events_of(path)


def test_reports_history_and_money_go_on(tmp_path: Path) -> None:
    model = "claude-opus-5-5"
    reports = []
    for is_resumed in (False, True):
        path, clock = tmp_path / f"{is_resumed}.jsonl", Clock()
        clock.now_s = 1_780_000_000.0
        run = open_run(path, clock, model=model, budget_usd=1)
        run.user("goal")
        run.phase("a").prompt()
        run.used(Usage(uncached_tokens=20, model=model))
        if is_resumed:
            run.close()
            run = Run.resume(path, **options(clock, model=model))
        run.prompt()
        run.used(Usage(uncached_tokens=30, model=model))
        run.phase("a").finish()
        reports.append((str(run.report()), run.report().run, run.rent(), run.why("main/1")))
        run.close()
    assert reports[0] == reports[1]


# ---- what is easily forgotten


def test_an_output_delivered_before_is_replaced_by_metadata_after(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.phase("a").agent("x").deliver(words(100), metadata="short form")
    run.close()
    run = Run.resume(path, **options(clock))
    run.phase("a").agent("x").finish()
    assert [(item.id, item.form) for item in run.items()] == [("a/x/output", Form.DIGEST)]
    assert run.phase("a").agent("x").deliver(words(9)) == "a/x#2/output"
    run.close()


def test_a_second_agent_of_a_name_is_found_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.phase("a").agent("x").finish()
    second = run.phase("a").agent("x")
    second.user("hello")
    run.close()
    run = Run.resume(path, **options(clock))
    again = run.phase("a").agent("x")
    assert again.thread == second.thread
    assert [item.id for item in again.items()] == ["a/x#2/1"]
    run.close()


def test_a_wave_whose_end_was_not_written_does_not_stay_open(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.phase("a").agent("x").finish()
    run.close()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines) if '"fact":"wave_finished"' in line)
    path.write_text("".join(lines[:cut]), encoding="utf-8")
    run = Run.resume(path, **options(clock))
    run.phase("a").wave("y", "z")
    run.close()
    waves = [(e.wave, type(e).__name__) for e in events_of(path) if hasattr(e, "wave")]
    assert (1, "WaveClosed") in waves
    assert (2, "WaveStarted") in waves


def test_agents_of_a_workflow_keep_their_models_and_windows(tmp_path: Path) -> None:
    workflow = tmp_path / "w.yaml"
    workflow.write_text(
        "name: w\nmodel: claude-opus-5-5\npolicy: none\nphases:\n  - id: a\n    agents:\n"
        "      - {id: x, output: 10, metadata: 5, model: claude-haiku-4-5, calls: 7}\n",
        encoding="utf-8",
    )
    found = []
    for is_resumed in (False, True):
        path, clock = tmp_path / f"{is_resumed}.jsonl", Clock()
        run = Run.open(workflow, journal=path, counter=Words(), clock=clock)
        run.phase("a")
        if is_resumed:
            run.close()
            run = Run.resume(path, counter=Words(), clock=clock, model="claude-opus-5-5")
        agent = run.phase("a").agent("x")
        agent.user("go")
        prompt = agent.prompt()
        found.append((prompt.model, prompt.limit_tokens))
        run.close()
    assert found[0] == ("claude-haiku-4-5", 200_000)
    assert found[1] == found[0]


def test_the_model_is_remembered(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = Run.open(model="claude-opus-5-5", journal=path, clock=clock, policy="none")
    run.user("the goal of it all")
    first = run.prompt()
    run.close()
    run = Run.resume(path, clock=clock)
    again = run.prompt()
    assert (again.model, again.tokens) == (first.model, first.tokens)
    text = "another sentence that is counted for the same model"
    run.user(text)
    run.close()
    other = Run.open(model="claude-opus-5-5", clock=clock, policy="none")
    other.user(text)
    assert run.items()[-1].tokens == other.items()[-1].tokens


def test_time_never_goes_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    clock.now_s = 5.0
    run = open_run(path, clock)
    run.user("goal")
    clock.now_s = 100.0
    run.user("later")
    run.close()
    clock.now_s = 10.0  # a clock that began anew
    run = Run.resume(path, **options(clock))
    run.user("and now")
    run.close()
    times = [event.at for event in events_of(path)]
    assert times == sorted(times)
    assert times[-1] == 100.0


def test_what_came_before_is_not_learnt_from_as_if_it_had_come_after(tmp_path: Path) -> None:
    """A report covers items that were measured before the run was taken up."""
    model, text = "claude-opus-5-5", "the same sentence again and again " * 40
    sizes = []
    for is_resumed in (False, True):
        path, clock = tmp_path / f"{is_resumed}.jsonl", Clock()
        given: dict[str, Any] = {"model": model, "clock": clock}
        run = Run.open(journal=path, window_tokens=100_000, policy="none", **given)
        run.user("goal")
        for number in range(8):
            run.assistant(f"part {number} " + text)
            run.user("go on")
        if is_resumed:
            run.close()
            run = Run.resume(path, **given)
        run.assistant("one more " + text)
        run.user("and?")
        before = run.items()[-2].tokens
        run.prompt()
        run.used(Usage(uncached_tokens=run.occupancy_tokens, model=model))
        run.assistant("one more " + text)
        sizes.append((before, run.items()[-1].tokens))
        run.close()
    # without a resume the report confirms what was counted, within its error bound
    assert abs(sizes[0][1] / sizes[0][0] - 1) < 0.16
    assert sizes[1][1] <= sizes[1][0] * 1.01


def test_a_prompt_is_rendered_afresh_as_it_was(tmp_path: Path) -> None:
    """Piece by piece, as the run went on, or all at once: the messages are the same."""
    path, clock, seen = tmp_path / "run.jsonl", Clock(), list[Prompt]()

    def count(prompt: Prompt) -> int:
        seen.append(prompt)
        return prompt.tokens

    run = open_run(path, clock, redact=None)
    prompt: Prompt | None = None
    for number, step in enumerate(script()[:-2]):
        clock.now_s = float(number)
        found = step(run)
        prompt = found if isinstance(found, Prompt) else prompt
    run.close()
    again = Run.resume(path, count_prompt=count, **options(clock))
    again.prompt()
    again.close()
    assert prompt is not None
    assert seen[0].messages == prompt.messages
    assert len(prompt.messages) > 2


def test_a_secret_is_in_the_prompt_but_not_in_the_journal(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.user(f"the goal, with {SECRET}")
    assert SECRET in run.prompt().text()
    run.close()
    assert SECRET not in path.read_text(encoding="utf-8")
    again = Run.resume(path, **options(clock))
    assert "the goal, with [redacted: anthropic key]" in again.prompt().text()
    again.close()


def test_signed_thinking_and_ids_come_back_unchanged(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock, strips_thinking=False)
    run.user("goal")
    run.assistant(
        [
            {
                "type": "thinking",
                "thinking": "hm",
                "signature": "EqQBCkYIBxgCKkBh7dQ9" + "aZ3xK8pQ2mN5vR7t" * 6 + "==",
            },
            {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "t", "input": {}},
        ]
    )
    run.tool_result(
        "toolu_01A09q90qw90lq917835lq9", [{"type": "text", "text": "fine"}], is_error=True
    )
    prompt = run.prompt()
    run.close()
    again = Run.resume(path, **options(clock))
    assert again.prompt().messages == prompt.messages
    again.close()


# ---- what refuses to be resumed


def test_a_journal_without_texts_is_refused_and_left_alone(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock, keeps_texts=False)
    run.user("goal")
    run.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="text"):
        Run.resume(path, **options(clock))
    assert path.read_bytes() == before
    with pytest.raises(JournalError, match="text"):  # it was given up, so it is not locked
        Run.resume(path, **options(clock))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "holds no run to resume; begin a new one"),
        ('{"journal":"ctxbudget","version":1}\n', "holds no run to resume; begin a new one"),
        ('{"journal":"ctxbudget","version":2}\n', "is of version 2, this program reads 1; update"),
        ("something else\n", "damaged"),
    ],
)
def test_what_is_no_journal_of_a_run(content: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(content, encoding="utf-8")
    for _ in range(2):
        with pytest.raises(JournalError, match=found):
            Run.resume(path, **options(Clock()))


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no such file"):
        Run.resume(tmp_path / "none.jsonl", **options(Clock()))
    assert list(tmp_path.iterdir()) == []


def test_a_journal_is_not_begun_twice(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    with pytest.raises(JournalError, match="is being written by somebody else"):
        open_run(path, clock)
    with pytest.raises(JournalError, match="is being written by somebody else"):
        Run.resume(path, **options(clock))
    run.close()
    with pytest.raises(JournalError, match="holds a journal already; resume it"):
        open_run(path, clock)
    again = Run.resume(path, **options(clock))
    again.user("goal")
    again.close()


def test_what_failed_while_it_was_shortened_does_not_spoil_the_journal(tmp_path: Path) -> None:
    class Flaky(Words):
        is_down = False

        def __call__(self, text: str) -> int:
            if self.is_down:
                raise OSError("the counter is down")
            return super().__call__(text)

    path, clock, count = tmp_path / "run.jsonl", Clock(), Flaky()
    run = open_run(path, clock, policy="masking", counter=count, window_tokens=2000)
    run.user("goal")
    for number in range(11):
        run.tool_call("read", {"n": number}, call_id=f"c{number}")
        run.tool_result(f"c{number}", words(40))
        if number == 10:
            count.is_down = True  # the placeholder has still to be counted
            with pytest.raises(AdapterError, match="the counter is down"):
                run.prompt()
            count.is_down = False
        else:
            run.prompt()
    prompt = run.prompt()
    assert prompt.problems() == []
    run.close()
    again = Run.resume(path, **options(clock, counter=count))
    assert again.prompt().messages == prompt.messages
    again.close()


def test_interrupted_while_a_summary_is_written_it_can_be_taken_up(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()

    def interrupted(request: SummaryRequest) -> str:
        raise KeyboardInterrupt

    run = open_run(path, clock, summarize=interrupted)
    run.user("goal")

    def go_on() -> None:
        for number in range(9):
            run.tool_call("read", {"n": number}, call_id=f"c{number}")
            run.tool_result(f"c{number}", words(50, f"r{number}_"))
            run.prompt()

    with pytest.raises(KeyboardInterrupt):
        go_on()
    run.close()
    again = Run.resume(path, **options(clock))
    prompt = again.prompt()
    assert prompt.problems() == []
    assert "they read" in prompt.text()
    again.close()
    assert replayed(path) == path.read_text(encoding="utf-8")


def test_a_finished_run_is_over(tmp_path: Path) -> None:
    path, clock = tmp_path / "run.jsonl", Clock()
    run = open_run(path, clock)
    run.user("goal")
    run.finish()
    with pytest.raises(SourceError, match="finish"):
        run.user("too late")
    again = Run.resume(path, **options(clock))
    assert again.report().run == run.report().run
    with pytest.raises(SourceError, match="finish"):
        again.user("too late")
    again.close()
