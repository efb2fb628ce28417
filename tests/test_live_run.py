"""The front door as an orchestrator uses it: phases, agents, prompts, reports, what comes back."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from messages_server import MessagesServer, Reply

from ctxbudget import (
    BudgetExceededError,
    ConfigError,
    Event,
    Level,
    Prompt,
    Review,
    Run,
    SourceError,
    SpendingLimitError,
    Told,
    Usage,
)
from ctxbudget.core.events import SpendingTold, Vetoed
from ctxbudget.core.types import Do, Form, Item, Kind, Layer

OPUS = "claude-opus-5-5"


class Words:
    """Counts words, so that sizes can be worked out by hand; a block takes four tokens more."""

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


def open_run(**options: Any) -> Run:
    given = {"window_tokens": 1000, "counter": Words(), "clock": Clock(), "policy": "none"}
    return Run.open(**{**given, **options})


def step(run: Any, number: int, size: int = 40) -> Prompt:
    """Let a run call a tool, take its result of `size` words, and ask for the next prompt."""
    run.tool_call("read", {"n": number}, call_id=f"c{number}")
    run.tool_result(f"c{number}", words(size, f"r{number}_"))
    prompt: Prompt = run.prompt()
    return prompt


# ---- what a prompt holds


def test_a_prompt_holds_what_was_said_worked_by_hand() -> None:
    run = open_run()
    run.tools([{"name": "read", "description": "reads a file", "input_schema": {}}])
    run.system("be brief now")
    run.user("add a login page")
    run.assistant("let me look")
    run.tool_call("read", {"path": "a.py"}, call_id="t1")
    run.tool_result("t1", "one two three")
    prompt = run.prompt()
    assert prompt.problems() == []
    assert prompt.anthropic() == {
        "tools": [{"name": "read", "description": "reads a file", "input_schema": {}}],
        "system": [{"type": "text", "text": "be brief now"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "add a login page"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "let me look"},
                    {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a.py"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "one two three"}
                ],
            },
        ],
    }
    tools_tokens = run.items()[0].tokens
    # words and four: 3 + 4, 4 + 4, 3 + 4, 2 + 4, 3 + 4
    assert prompt.tokens == tools_tokens + 7 + 8 + 7 + 6 + 7 == run.occupancy_tokens
    assert (prompt.limit_tokens, prompt.call, prompt.thread) == (1000, 1, "main")


def test_layers_kinds_and_ids_are_as_said() -> None:
    run = open_run(phases=["plan"])
    assert run.system("rules of the house") == ("main/1",)
    assert run.user("the goal") == ("main/2",)
    with run.phase("plan") as phase:
        phase.system("plan only")
        phase.keep("a memory", layer="metadata", source="MEMORY.md")
        phase.user("and now")
    found = [(item.id, item.layer, item.kind, item.phase, item.source) for item in run.items()]
    assert found == [
        ("main/1", Layer.PERMANENT, Kind.SYSTEM, None, None),
        ("main/2", Layer.TRANSIENT, Kind.USER, None, None),
        ("main/3", Layer.PHASE, Kind.SYSTEM, "plan", None),
        ("main/4", Layer.METADATA, Kind.SYSTEM, "plan", "MEMORY.md"),
        ("main/5", Layer.TRANSIENT, Kind.USER, "plan", None),
    ]
    assert [item.pinned for item in run.items()] == [False, True, False, False, False]


def test_an_sdks_messages_are_taken_in_either_shape() -> None:
    run = open_run()
    run.messages(
        [
            {"role": "user", "content": "the goal"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "t1", "function": {"name": "read", "arguments": '{"path": "a"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "text of a"},
        ]
    )
    prompt = run.prompt()
    assert prompt.problems() == []
    assert prompt.openai() == [
        {"role": "user", "content": "the goal"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "read", "arguments": '{"path":"a"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "text of a"},
    ]


# ---- workflows, phases, agents

WORKFLOW = """\
name: two steps
window: 2000
budget: 1000
policy: aggressive
phases:
  - id: research
    agents:
      - {id: reader, output: 200, metadata: 20, calls: 4}
  - id: write
    after: [research]
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(WORKFLOW, encoding="utf-8")
    return path


def test_a_workflow_file_from_begin_to_report(workflow: Path) -> None:
    run = Run.open(workflow, counter=Words(), clock=Clock())
    with run:
        run.system("be brief now")  # 3 + 4
        run.user("find it out")  # 3 + 4
        with run.phase("research") as phase:
            with phase.agent("reader") as reader:
                assert [item.id for item in reader.items()] == ["main/1"]
                reader.user("read it all")  # 3 + 4
                assert reader.prompt().tokens == 14
                name = reader.deliver(words(200), title="Notes", metadata="short form")
                assert name == "research/reader/output"
                # the title is a word too: 1 + 200 + 4
                assert run.occupancy_tokens == 14 + 205
            # whose metadata took its place: 2 + 4
            assert run.occupancy_tokens == 14 + 6
        report = phase.report()
        assert (report.row.peak_tokens, report.row.residual_tokens) == (219, 20)
        assert (report.row.pruned_tokens, report.row.kept_tokens) == (199, 6)
        assert report.row.pruned_by_rule == {"output to metadata": 199}
        assert "phase research: peak 219 tokens (21.9% of budget)" in str(report)
        with run.phase("write") as phase:
            assert phase.prompt().messages[0]["content"][-1] == {
                "type": "text",
                "text": "short form",
            }
            phase.deliver(words(10))
    total = run.report()
    assert [one.row.id for one in total.phases] == ["research", "write"]
    assert total.run.sent_tokens == 14 + 20
    assert "two steps: peak 219 of a budget of 1,000 tokens" in str(total)


def test_metadata_is_extracted_where_none_is_given() -> None:
    run = open_run(policy="aggressive", phases=["a"], window_tokens=4000)
    run.user("goal")
    text = "# Findings\n\n" + words(300) + "\n\nThe entry point is `src/auth/login.py:42`.\n"
    with run.phase("a") as phase, phase.agent("x") as agent:
        agent.deliver(text, title="Report", path="report.md")
    item = run.items()[-1]
    assert (item.form, item.layer) == (Form.DIGEST, Layer.METADATA)
    assert item.tokens < 100
    shown = str(run.prompt().messages[-1]["content"][-1]["text"])
    assert "report.md" in shown
    assert "src/auth/login.py:42" in shown


def test_kept_metadata_lives_as_long_as_the_run() -> None:
    run = open_run(policy="aggressive", phases=["a", "b"])
    run.user("goal")
    with run.phase("a") as phase, phase.agent("x") as agent:
        agent.deliver(words(50), metadata="kept form", keep_metadata=True)
    with run.phase("b"):
        first = run.items()[0]
        assert (first.id, first.layer) == ("a/x/output", Layer.PERMANENT)


def test_an_agent_starts_with_what_its_phase_depends_on() -> None:
    run = open_run(phases=[{"id": "a"}, {"id": "b"}, {"id": "c", "after": ["b"]}])
    run.system("all share this")
    run.user("goal")
    for name in ("a", "b"):
        with run.phase(name) as phase, phase.agent("x") as agent:
            agent.deliver(f"output of {name}")
    with run.phase("c") as phase:
        phase.keep("for phase c", layer=Layer.PHASE)
        assert [item.id for item in phase.agent("y").items()] == [
            "main/1",
            "main/5",
            "b/x/output",
        ]
        phase.agent("y").finish()


def test_a_shipped_workflow_by_name_walks_through_its_phases() -> None:
    run = Run.open("jwt_auth", counter=Words(), clock=Clock())
    run.user("add jwt auth")
    with run.phase("0") as phase:
        phase.deliver(words(30), metadata="scope", keep_metadata=True)
    with run.phase("1") as phase:
        names = ("oauth_patterns", "session_storage", "threat_model")
        phase.wave(*names)
        for name in names:
            with phase.agent(name) as agent:
                agent.user("look")
                agent.prompt()
                agent.deliver(words(100), metadata=f"found by {name}")
    assert [one.row.id for one in run.report().phases] == ["0", "1"]
    # 3 + 4, 1 + 4, and three times 3 + 4
    assert run.occupancy_tokens == 7 + 5 + 3 * 7


def test_waves_share_the_headroom_and_end_with_their_last_agent() -> None:
    heard: list[Event] = []
    run = open_run(phases=["a"], listeners=[heard.append])
    with run.phase("a") as phase:
        phase.wave("x", "y")
        one = phase.agent("x")
        with pytest.raises(SourceError, match="a wave is still open"):
            phase.wave("z")
        one.finish()
        assert "WaveFinished" not in [type(event).__name__ for event in heard]
        with phase.agent("y"):
            pass
        with phase.agent("z"):
            pass
    names = [type(event).__name__ for event in heard if "Wave" in type(event).__name__]
    assert names == ["WaveStarted", "WaveFinished", "WaveClosed"] * 2
    shared = [event for event in heard if type(event).__name__ == "HeadroomShared"]
    assert [(event.agents, event.each_tokens) for event in shared] == [(2, 500)]  # type: ignore[union-attr]


def test_an_agent_at_work_is_found_again_also_the_second_of_its_name() -> None:
    run = open_run()
    phase = run.phase("work")
    first = phase.agent("x")
    assert phase.agent("x").thread == first.thread == "work/x"
    first.finish()
    second = phase.agent("x")
    assert second.thread == "work/x#2"
    assert phase.agent("x").thread == "work/x#2"
    second.deliver("an output")
    second.finish()
    assert [item.id for item in run.items()] == ["work/x#2/output"]


def test_a_phase_that_is_over_takes_no_artifact_for_the_next() -> None:
    run = open_run(phases=["a", "b"])
    over = run.phase("a")
    over.finish()
    run.phase("b")
    with pytest.raises(SourceError, match="'a'"):
        over.deliver("too late")
    assert run.items() == []


def test_delivering_after_the_end_is_told() -> None:
    run = open_run()
    run.user("goal")
    phase = run.phase("work")
    agent = phase.agent("x")
    agent.finish()
    with pytest.raises(SourceError, match="work/x"):
        agent.deliver("too late")
    phase.finish()
    with pytest.raises(SourceError, match="phase"):
        phase.deliver("too late")
    assert run.prompt().problems() == []


def test_phases_end_by_with_unless_something_went_wrong() -> None:
    run = open_run(phases=["a", "b"])
    with pytest.raises(ZeroDivisionError), run.phase("a"):
        raise ZeroDivisionError
    with pytest.raises(SourceError, match="phase 'a' is still open"):
        run.phase("b")
    with run.phase("a"):
        pass
    with run.phase("b"):
        pass
    assert [one.row.id for one in run.report().phases] == ["a", "b"]


def test_the_run_ends_only_when_its_phases_have() -> None:
    run = open_run()
    phase = run.phase("work")
    with pytest.raises(SourceError, match="phase 'work' is still open"):
        run.finish()
    phase.agent("x")
    with pytest.raises(SourceError, match="agents at work: work/x; finish them first"):
        phase.finish()
    phase.agent("x").finish()
    phase.finish()
    assert run.finish().run.calls == 0


# ---- reading


def test_forecast_says_when_each_level_is_reached() -> None:
    run = open_run()
    run.user("goal")  # 5
    assert run.forecast().calls_to_critical is None
    assert str(run.forecast()) == "5 tokens, 0.5% of budget; it does not grow"
    for number in range(4):  # 6 for the call, 44 for the result
        step(run, number)
    found = run.forecast()
    assert (found.occupancy_tokens, found.per_call_tokens) == (205, 50.0)
    assert (found.budget_tokens, found.limit_tokens, found.next_result_tokens) == (1000, 1000, 44)
    # strictly above 750, 950 and 1000: 545, 745 and 795 tokens away
    assert (found.calls_to_warn, found.calls_to_critical, found.calls_to_limit) == (11, 15, 16)
    assert str(found) == "205 tokens, 20.5% of budget; critical in about 15 calls"


def test_breakdown_splits_the_prompt() -> None:
    run = open_run()
    run.user("goal")
    step(run, 1)
    step(run, 2, 10)
    assert run.breakdown() == [("tool_result", 44 + 14), ("tool_call", 12), ("user", 5)]
    assert run.breakdown("tool") == [("read", 70), ("-", 5)]
    assert run.breakdown("item")[0] == ("main/3", 44)
    assert run.breakdown("thread") == [("main", 75)]
    with pytest.raises(ConfigError, match="kind"):
        run.breakdown("nonsense")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="kind"):
        run.rent("nonsense")  # type: ignore[arg-type]


def test_why_and_rent_tell_what_happened_and_what_it_took() -> None:
    run = open_run(policy="masking")
    run.user("goal")
    for number in range(12):
        step(run, number)
    happened = run.why("main/3")
    assert [one.what for one in happened] == ["added", "clear"]
    assert happened[1].rule == "mask old results"
    assert "a result older than the newest few" in str(happened[1])
    cleared = next(item for item in run.items() if item.id == "main/3")
    # as a whole in ten calls, then in two as a placeholder
    rent = {one.name: one for one in run.rent()}
    assert rent["main/3"].rent_tokens == 10 * 44 + 2 * cleared.tokens
    assert rent["main/3"].calls == 12
    assert rent["main/1"].rent_tokens == 12 * 5
    with pytest.raises(SourceError, match="there is no item 'main/99'"):
        run.why("main/99")


def test_rent_has_a_price_where_the_model_has_one() -> None:
    run = open_run(model=OPUS, clock=lambda: 1_780_000_000.0)
    run.user("goal")
    run.prompt()
    run.prompt()
    (rent,) = run.rent()
    assert (rent.rent_tokens, rent.calls) == (10, 2)
    assert rent.cost_usd is not None
    assert rent.cost_usd > 0


# ---- restore and undo


@pytest.fixture
def masked() -> Run:
    """Return a run of which one result was masked."""
    run = open_run(policy="masking")
    run.user("goal")
    for number in range(11):
        step(run, number)
    assert [item.id for item in run.evicted()] == []
    return run


def test_restore_says_its_cost_first_and_then_does_it(masked: Run) -> None:
    before = masked.occupancy_tokens
    placeholder = next(item for item in masked.items() if item.id == "main/3")
    assert placeholder.form is Form.CLEAR
    cost = masked.restore_cost("main/3")
    assert masked.occupancy_tokens == before
    assert cost.gained_tokens == 44 - placeholder.tokens
    assert cost.fits
    assert cost.occupancy_tokens == before + cost.gained_tokens
    # all behind the goal and the call (5 + 6) that stays is written again
    assert cost.rewritten_tokens == before - 11
    assert masked.restore("main/3") == cost
    assert masked.occupancy_tokens == cost.occupancy_tokens
    result = masked.prompt().messages[2]["content"][0]
    assert result["content"] == words(40, "r0_")
    with pytest.raises(SourceError, match="is in the prompt as a whole"):
        masked.restore("main/3")


def test_undo_reverses_the_latest_plan(masked: Run) -> None:
    before = masked.occupancy_tokens
    cost = masked.undo_cost()
    assert masked.undo() == cost
    assert masked.occupancy_tokens == before + cost.gained_tokens
    assert all(item.form is Form.WHOLE for item in masked.items())
    with pytest.raises(SourceError, match="no plan"):
        masked.undo()


def test_what_cannot_come_back_changes_nothing() -> None:
    run = open_run(window_tokens=200, policy="own_strategies:drop_outputs", phases=["a", "b"])
    with run.phase("a") as phase:
        big = phase.deliver(words(120))
    assert [item.id for item in run.evicted()] == [big]
    run.user(words(100))  # the goal, which stays
    cost = run.restore_cost(big)
    assert (cost.gained_tokens, cost.occupancy_tokens) == (124, 228)
    assert (cost.to_prune_tokens, cost.fits) == (28, False)
    before = run.items()
    with pytest.raises(BudgetExceededError, match="124 tokens are to come back"):
        run.restore(big)
    assert run.items() == before
    assert run.prompt().problems() == []


def test_an_agent_can_restore_what_left_the_main_prompt() -> None:
    run = open_run(policy="own_strategies:drop_outputs", phases=["a", "b"])
    run.user("goal")
    with run.phase("a") as phase:
        big = phase.deliver("the whole output")
    with run.phase("b") as phase, phase.agent("x") as agent:
        agent.user("go")
        cost = agent.restore(big, pin=True)
        assert (cost.gained_tokens, cost.rewritten_tokens) == (7, 0)
        assert agent.prompt().messages[-1]["content"][-1]["text"] == "the whole output"
        assert [item.pinned for item in agent.items()] == [True, True]
    assert [item.id for item in run.items()] == ["main/1"]


# ---- registered texts


def test_a_registered_text_costs_nothing_until_its_tool_is_called() -> None:
    run = open_run(phases=["a", "b"])
    run.user("goal")
    assert run.register("sql", "use the replica", activated_by="db_*") == "sql"
    with run.phase("a") as phase:
        assert run.occupancy_tokens == 5
        phase.tool_call("db_query", {}, call_id="t1")
        assert [item.id for item in run.items()] == ["main/1", "main/2", "sql"]
        phase.tool_result("t1", "rows")
        phase.tool_call("db_query", {}, call_id="t2")
        phase.tool_result("t2", "rows")
        assert [item.id for item in run.items()].count("sql") == 1
        assert phase.prompt().problems() == []
        assert "use the replica" in phase.prompt().text()
    assert "sql" not in [item.id for item in run.items()]
    with run.phase("b") as phase:
        phase.activate("sql")
        assert "use the replica" in phase.prompt().text()
        assert [one.what for one in run.why("sql")] == ["injected", "drop", "injected"]


def test_by_hand_it_goes_into_the_thread_that_asks() -> None:
    run = open_run()
    run.register("style", "write short lines")
    with run.phase("work") as phase, phase.agent("x") as agent:
        agent.user("go")
        agent.activate("style")
        agent.activate("style")
        assert [item.id for item in agent.items()] == ["work/x/1", "style"]
        assert "style" not in [item.id for item in run.items()]
        with pytest.raises(SourceError, match="'styl' is not registered; did you mean 'style'"):
            agent.activate("styl")


# ---- those who are asked, and those who are told


def test_a_review_hook_vetoes_with_its_reason() -> None:
    asked: list[Review] = []
    heard: list[Event] = []

    def hook(review: Review) -> str | bool:
        asked.append(review)
        return "not this one" if len(asked) == 1 else True

    run = open_run(policy="masking", review=hook, listeners=[heard.append])
    run.user("goal")
    for number in range(11):
        step(run, number)
    assert asked[0].rule == "mask old results"
    assert asked[0].operations == ((Do.CLEAR, ("main/3",)),)
    assert all(item.form is Form.WHOLE for item in run.items())
    vetoes = [event for event in heard if isinstance(event, Vetoed)]
    assert [(one.rule, one.reason) for one in vetoes] == [("mask old results", "not this one")]
    step(run, 11)
    assert [item.id for item in run.items() if item.form is Form.CLEAR] == ["main/3", "main/5"]


@pytest.mark.parametrize(
    ("verdict", "reason"), [(False, "refused"), (ZeroDivisionError("of my own"), "of my own")]
)
def test_a_hook_that_says_no_or_raises_refuses(verdict: object, reason: str) -> None:
    heard: list[Event] = []

    def hook(review: Review) -> bool:
        if isinstance(verdict, Exception):
            raise verdict
        return bool(verdict)

    run = open_run(policy="masking", review=hook, listeners=[heard.append])
    run.user("goal")
    for number in range(11):
        step(run, number)
    assert next(one.reason for one in heard if isinstance(one, Vetoed)).endswith(reason)
    assert all(item.form is Form.WHOLE for item in run.items())


def test_the_hard_limit_asks_nobody() -> None:
    run = open_run(window_tokens=150, review=lambda review: False)
    run.user("goal")
    for number in range(6):
        prompt = step(run, number)
        assert prompt.tokens <= 150
        assert prompt.problems() == []


def test_listeners_hear_levels_once_for_each_crossing() -> None:
    told: list[Told] = []

    def listener(event: Event) -> None:
        if isinstance(event, Told):
            told.append(event)

    run = open_run(window_tokens=400, listeners=[listener])
    run.user(words(296))  # 300: not strictly above 75 %
    assert told == []
    run.user(words(80))  # 384, above both
    assert [(one.level, one.tokens, one.limit_tokens) for one in told] == [
        (Level.WARN, 384, 300),
        (Level.CRITICAL, 384, 380),
    ]


def test_a_budget_in_money_stops_the_next_call() -> None:
    told: list[SpendingTold] = []

    def listener(event: Event) -> None:
        if isinstance(event, SpendingTold):
            told.append(event)

    run = open_run(
        model=OPUS, clock=lambda: 1_780_000_000.0, budget_usd="0.01", listeners=[listener]
    )
    run.user("goal")
    run.prompt()
    run.used(Usage(uncached_tokens=100_000, output_tokens=1, model=OPUS))
    assert [one.level for one in told] == [Level.WARN, Level.CRITICAL, Level.OVERRUN]
    items = run.items()
    with pytest.raises(SpendingLimitError, match=r"of 0\.0100; raise `budget_usd`") as caught:
        run.prompt()
    assert caught.value.limit_usd == Decimal("0.01")
    run.user("what was said since is not lost")
    assert len(run.items()) == len(items) + 1
    run.finish()


def test_a_phases_money_is_its_own() -> None:
    run = open_run(
        model=OPUS, clock=lambda: 1_780_000_000.0, budget_usd={"a": 0.00001}, phases=["a", "b"]
    )
    run.user("goal")
    with run.phase("a") as phase:
        phase.prompt()
        phase.used(Usage(uncached_tokens=10, model=OPUS))
        with pytest.raises(SpendingLimitError, match="phase:a"):
            phase.prompt()
    with run.phase("b") as phase:
        assert phase.prompt().problems() == []


# ---- with a provider


def test_a_whole_conversation_with_a_provider_stays_valid_and_within_the_window() -> None:
    def script(body: dict[str, Any], number: int) -> Reply | str:
        if number > 24:
            return "It is done."
        call = {"type": "tool_use", "name": "read", "input": {"n": number}}
        return Reply(content=[{"type": "text", "text": f"Step {number}."}, call])

    with MessagesServer(window_tokens=3000, script=script) as server:
        run = Run.open(
            model=OPUS, window_tokens=3000, reserve_tokens=200, policy="masking", clock=Clock()
        )
        run.system("You are a careful engineer. " * 5)
        run.tools([{"name": "read", "description": "reads", "input_schema": {"type": "object"}}])
        run.user("Find out what is wrong and mend it.")
        for _ in range(30):
            prompt = run.prompt()
            assert prompt.problems() == []
            answer = server.client().messages.create(
                model=OPUS, max_tokens=100, **prompt.anthropic()
            )
            before = run.occupancy_tokens
            run.answered(answer)
            usage = answer.usage
            sent = (
                usage.input_tokens
                + (usage.cache_read_input_tokens or 0)
                + (usage.cache_creation_input_tokens or 0)
            )
            assert run.occupancy_tokens >= sent
            assert sent <= prompt.limit_tokens
            assert before > 0
            calls = [block for block in answer.content if block.type == "tool_use"]
            for call in calls:
                run.tool_result(call.id, json.dumps({"line": [1, 2, 3]}) * 20)
            if not calls:
                break
        assert len(server.requests) == 25
        assert run.report().run.calls == 25


def test_a_refused_prompt_comes_back_shorter() -> None:
    with MessagesServer(window_tokens=2000) as server:
        run = Run.open(
            model=OPUS, window_tokens=50_000, policy="none", counter=Words(), clock=Clock()
        )
        run.user("goal")
        for number in range(10):
            run.tool_call("read", {"n": number}, call_id=f"c{number}")
            run.tool_result(f"c{number}", words(300))
        prompt = run.prompt()
        for _ in range(3):
            try:
                answer = server.client().messages.create(
                    model=OPUS, max_tokens=10, **prompt.anthropic()
                )
                break
            except Exception as refusal:
                run.rejected(refusal)
                shorter = run.prompt()
                assert shorter.problems() == []
                assert len(shorter.text()) < len(prompt.text())
                prompt = shorter
        run.answered(answer)
        assert run.items()[-1].kind is Kind.ASSISTANT


def test_counting_the_prompt_exactly_changes_nothing_else() -> None:
    def marks(count: Any) -> list[tuple[int, ...]]:
        run = open_run(model=OPUS, window_tokens=100_000, count_prompt=count)
        run.system(words(3000))
        run.user("goal")
        return [step(run, number).marked_messages for number in range(5)]

    assert marks(lambda prompt: prompt.tokens) == marks(None)


def test_an_exact_count_anchors_the_next_prompt() -> None:
    run = open_run(count_prompt=lambda prompt: 2 * len(prompt.text().split()))
    run.user("one two three")
    assert run.prompt().tokens == 8  # with its role, four words


def test_items_are_those_of_the_engine() -> None:
    run = open_run()
    run.user("goal")
    assert all(isinstance(item, Item) for item in run.items())
    step(run, 1)
    run.touch("main/2")
    assert run.notes == []
    assert [one.what for one in run.why("main/2")] == ["added"]
