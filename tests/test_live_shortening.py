"""What takes an item's place in a live run: summaries, digests, snips, placeholders, notes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ctxbudget import AsyncRun, Event, Prompt, Pruned, Review, Run, Summary, SummaryRequest
from ctxbudget.core.engine import Engine
from ctxbudget.core.events import (
    ItemAdded,
    Phase,
    RunStarted,
    Shorten,
    Shortened,
    SpendingTold,
    Vetoed,
)
from ctxbudget.core.store import Store
from ctxbudget.core.types import Do, Form, Item, Kind, Scale
from ctxbudget.journal import read_journal
from ctxbudget.live.held import Held
from ctxbudget.live.pieces import text_to_shorten
from ctxbudget.live.shortening import Shortener
from ctxbudget.live.sizing import sizer_for
from ctxbudget.live.texts import Texts
from ctxbudget.recall import Library
from ctxbudget.session import Session
from ctxbudget.shortening.digest import DIGEST_TOKENS

OPUS = "claude-opus-5-5"
SECRET = "sk-ant-api03-" + "a1B2c3D4" * 5


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


def words(count: int, stem: str = "w") -> str:
    return " ".join(f"{stem}{number}" for number in range(count))


def rule(do: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "the rule",
        "on": "before_call",
        "select": {"kind": ["assistant", "tool_call", "tool_result"]},
        "do": do,
        "why": "a test",
        **more,
    }


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mine", "rules": list(rules)}


COMPACT = policy(rule("summarize", by="all", to=40, when={"above": "50% of window"}))


def open_run(**options: Any) -> Run:
    plan = {"window_tokens": 400, "counter": Words(), "clock": lambda: 0.0, "policy": COMPACT}
    return Run.open(**{**plan, **options})


def turns(run: Run, count: int, size: int = 50, start: int = 0) -> Prompt:
    for number in range(start, start + count):
        run.tool_call("read", {"n": number}, call_id=f"c{number}", source=f"f{number}.py")
        run.tool_result(f"c{number}", words(size, f"r{number}_"))
        prompt = run.prompt()
    return prompt


def compacted(summarize: Any, **options: Any) -> tuple[Run, Prompt, list[Item]]:
    """Return a run of which three turns were summarized, its prompt and the summary."""
    run = open_run(summarize=summarize, **options)
    run.user("the goal")  # 6
    prompt = turns(run, 4)  # 60 each: 246 before the fourth call, of which three turns may go
    return run, prompt, [item for item in run.items() if item.form is Form.SUMMARY]


# ---- summaries


def test_a_summary_takes_the_place_of_what_it_read() -> None:
    asked: list[SummaryRequest] = []

    def summarize(request: SummaryRequest) -> str:
        asked.append(request)
        return "  three files were read  "

    run, prompt, (summary,) = compacted(summarize)
    (request,) = asked
    assert (request.goal, request.limit_tokens) == ("the goal", 40)
    assert [part.id for part in request.parts] == [f"main/{n}" for n in range(2, 8)]
    assert request.parts[0].text == 'read {"n":0}'
    assert (request.parts[0].tool, request.parts[0].source) == ("read", "f0.py")
    assert (request.parts[1].kind, request.parts[1].text) == ("tool_result", words(50, "r0_"))
    assert (summary.tokens, summary.kind) == (8, Kind.SUMMARY)  # four words and four
    assert "three files were read" in prompt.text()
    assert prompt.tokens == 6 + 8 + 60
    assert run.notes == []


def test_what_is_too_long_is_cut_to_its_limit_and_noted() -> None:
    run, prompt, (summary,) = compacted(lambda request: words(5000, "s"))
    assert summary.tokens <= 40
    assert "s0 s1" in prompt.text()
    assert run.notes == ["the summary was longer than its limit and was cut"]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("", "returned '', not a text"),
        ("  \n ", "not a text"),
        (None, "None"),
        (7, "7"),
        (Summary(text=""), "not a text"),
        (Summary(text=None), "not a text"),  # type: ignore[arg-type]
        (ValueError("the model is down"), "failed (ValueError: the model is down)"),
    ],
)
def test_a_failed_summary_becomes_a_digest_with_a_note(answer: object, note: str) -> None:
    def summarize(request: SummaryRequest) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    run, prompt, (summary,) = compacted(summarize)
    assert note in run.notes[0]
    assert run.notes[0].endswith("; this is a digest")
    assert summary.tokens <= 40
    assert "Summary of 6 earlier items" in prompt.text()
    assert prompt.problems() == []


def test_without_a_summarizer_it_is_a_digest_without_a_note() -> None:
    run, prompt, (summary,) = compacted(None)
    assert summary.tokens <= 40
    assert run.notes == []
    assert "Summary of 6 earlier items" in prompt.text()


def test_after_three_failures_in_a_row_nobody_is_asked_again() -> None:
    asked: list[int] = []

    def summarize(request: SummaryRequest) -> str:
        asked.append(len(asked))
        if len(asked) == 2:
            return "fine"
        raise ValueError("down")

    kinds = ["assistant", "tool_call", "tool_result", "summary"]
    again = rule(
        "summarize", select={"kind": kinds}, by="all", to=40, when={"above": "50% of window"}
    )
    run = open_run(summarize=summarize, window_tokens=600, policy=policy(again))
    run.user("goal")
    turns(run, 60, 30)
    assert asked == [0, 1, 2, 3, 4]
    assert len(run.notes) == 4
    assert [("is not asked again" in note) for note in run.notes] == [False, False, False, True]


def test_no_summary_is_put_in_that_is_no_shorter() -> None:
    run = open_run(
        policy=policy(rule("summarize", by="all", to=300, when={"min_turns": 2})),
        summarize=lambda request: words(30),
    )
    run.user("goal")
    prompt = turns(run, 3, 1)
    assert all(item.form is Form.WHOLE for item in run.items())
    assert prompt.problems() == []


def test_a_summary_is_charged() -> None:
    told: list[SpendingTold] = []

    def listener(event: Event) -> None:
        if isinstance(event, SpendingTold):
            told.append(event)

    def summarize(request: SummaryRequest) -> Summary:
        return Summary(text="short", model=OPUS, uncached_tokens=1000, output_tokens=100)

    run, _, _ = compacted(
        summarize,
        model=OPUS,
        clock=lambda: 1_780_000_000.0,
        budget_usd="0.001",
        listeners=[listener],
    )
    assert told
    assert told[-1].spent_usd > Decimal("0.001")
    assert run.report().run is not None


def test_secrets_do_not_reach_the_summarizer_or_the_journal(tmp_path: Path) -> None:
    asked: list[SummaryRequest] = []

    def summarize(request: SummaryRequest) -> str:
        asked.append(request)
        return f"they used {SECRET}"

    path = tmp_path / "run.jsonl"
    run = open_run(summarize=summarize, journal=path)
    run.user(f"the goal with {SECRET}")
    run.tool_call("login", {"api_key": SECRET}, call_id="k")
    run.tool_result("k", f"logged in as {SECRET}")
    assert run.prompt().text().count(SECRET) == 3
    prompt = turns(run, 4)
    run.close()
    assert asked
    assert all(SECRET not in part.text for request in asked for part in request.parts)
    assert all(SECRET not in request.goal for request in asked)
    assert f"they used {SECRET}" in prompt.text()
    assert SECRET not in path.read_text(encoding="utf-8")


def test_redaction_can_be_ones_own_or_off(tmp_path: Path) -> None:
    asked: list[SummaryRequest] = []

    def summarize(request: SummaryRequest) -> str:
        asked.append(request)
        return "short"

    for number, redact in enumerate((None, lambda text: text.replace("r0_", "X"))):
        path = tmp_path / f"{number}.jsonl"
        run, _, _ = compacted(summarize, redact=redact, journal=path)
        run.close()
        assert ("r0_1" in asked[-1].parts[1].text) is (redact is None)
        assert ("r0_1" in path.read_text(encoding="utf-8")) is (redact is None)


# ---- shorter forms of one item


def test_a_placeholder_says_what_it_was() -> None:
    run = open_run(policy=policy(rule("clear", select={"kind": "tool_result"})))
    run.user("goal")
    prompt = turns(run, 2)
    cleared = prompt.messages[2]["content"][0]
    assert cleared == {
        "type": "tool_result",
        "tool_use_id": "c0",
        "content": "[cleared: read, 54 tokens; id main/3]",
    }


def test_a_snip_keeps_head_and_tail_within_its_limit() -> None:
    run = open_run(
        policy=policy(
            rule("snip", on="item_added", select={"kind": "tool_result", "min_tokens": 60}, to=50)
        ),
        window_tokens=2000,
    )
    run.user("goal")
    run.tool_call("read", {}, call_id="c")
    text = "\n".join(words(5, f"line{number}_") for number in range(40))
    run.tool_result("c", text)
    item = run.items()[-1]
    assert (item.form, item.tokens <= 50) == (Form.SNIP, True)
    content = run.prompt().messages[-1]["content"][0]["content"]
    assert content.startswith("line0_0")
    assert content.endswith("line39_4")


def test_a_stub_says_what_was_done() -> None:
    run = open_run(
        policy=policy(rule("stub", select={"kind": ["tool_call", "tool_result"]}, by="turn"))
    )
    run.user("goal")
    prompt = turns(run, 2)
    assert "[done: read f0.py, read]" in prompt.text()
    assert prompt.problems() == []


def test_given_metadata_is_used_as_it_is_and_cut_if_it_is_too_long() -> None:
    run = open_run(
        policy=policy(rule("digest", on="agent_finished", select={"kind": "artifact"}, to=30)),
        window_tokens=4000,
    )
    run.user("goal")
    with run.phase("work") as phase:
        phase.deliver(words(200), metadata="short form")
        phase.deliver(words(200), metadata=words(100, "m"), title="Long")
        phase.deliver(words(200), title="Notes", path="notes.md")
    texts = [block["text"] for block in run.prompt().messages[0]["content"]]
    assert texts[1] == "short form"
    assert texts[2].startswith("m0 m1")
    assert "notes.md" in texts[3]
    assert all(item.tokens <= 30 for item in run.items())
    assert [item.form for item in run.items()[1:]] == [Form.DIGEST] * 3


def test_a_tool_calls_shorter_form_stays_a_call() -> None:
    run = open_run(policy=policy(rule("clear", select={"kind": "tool_call"})))
    run.user("goal")
    run.tool_call("write", {"text": words(80)}, call_id="c")
    run.tool_result("c", "written")
    run.prompt()
    prompt = run.prompt()
    (call,) = prompt.messages[1]["content"]
    assert (call["type"], call["id"], call["name"]) == ("tool_use", "c", "write")
    assert prompt.problems() == []


def test_two_limits_for_one_item_do_not_mix() -> None:
    """A size that a plan asked for in vain is not taken for that of another plan."""
    snips = {"select": {"kind": "tool_result"}, "when": {"min_gain_tokens": 400}}
    first = rule("snip", **{**snips, "to": 20, "name": "more"})
    second = rule("snip", **{**snips, "to": 100, "name": "less"})
    run = open_run(policy=policy(first, second), window_tokens=4000)
    run.user("goal")
    for number in range(4):
        run.tool_call("read", {"n": number}, call_id=f"c{number}")
        run.tool_result(f"c{number}", "\n".join(words(5, f"r{number}_{n}_") for n in range(45)))
        prompt = run.prompt()
    for item in run.items():
        if item.form is Form.SNIP:
            (block,) = [
                block
                for message in prompt.messages
                for block in message["content"]
                if block["type"] == "tool_result" and block["tool_use_id"] == item.group
            ]
            assert len(block["content"].split()) + 4 == item.tokens
    assert any(item.form is Form.SNIP for item in run.items())


def test_what_was_written_is_in_the_journal_under_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run, _, _ = compacted(lambda request: "three files were read", journal=path)
    run.close()
    answers = [event for event in read_journal(path) if isinstance(event, Shortened)]
    assert [(one.tokens, one.note) for one in answers] == [(8, "")]
    assert f'{{"text":"{answers[0].text}","content"' in path.read_text(encoding="utf-8")


def test_what_was_summarized_can_be_restored_and_summarized_again() -> None:
    run, _, (summary,) = compacted(lambda request: f"{len(request.parts)} parts")
    cost = run.restore("main/3")
    assert set(cost.items) == {"main/2", "main/3"}
    prompt = run.prompt()
    assert words(50, "r0_") in prompt.text()
    assert prompt.problems() == []
    prompt = turns(run, 3, start=4)
    assert prompt.problems() == []
    assert summary.id == "~summary1"


# ---- without what later items hold


LINE = "a line that is long enough to be a quote of file{}.py"


def shortener(held: bool = True) -> tuple[Shortener, Session, Store]:
    """Return what shortens, the run that it belongs to, and its main thread's store."""
    engine = Engine(lambda moment: ())
    texts = Texts(is_written=False)

    def store_of(thread: str) -> Store:
        return engine.state.threads[thread].store

    def words_of(thread: str, item: Item) -> str:
        return text_to_shorten(texts.block(thread, item.id, item.version))

    holds = Held(Library(), words_of, store_of) if held else None
    shortener = Shortener(texts, sizer_for("", Words()), store_of, held=holds)
    session = Session(engine, shortener.answer, [texts, *([holds] if holds else [])])
    scale = Scale(window_tokens=10_000, reserve_tokens=0, budget_tokens=10_000)
    session.feed(RunStarted(at=0.0, workflow="test", scale=scale, phases=(Phase(id="a"),)))
    return shortener, session, store_of("main")


def added(world: tuple[Shortener, Session, Store], name: str, block: dict[str, Any]) -> None:
    shortener, session, _ = world
    kind = {"tool_use": Kind.TOOL_CALL, "tool_result": Kind.TOOL_RESULT}[block["type"]]
    item = Item(id=name, tokens=shortener.size(block).tokens, kind=kind, group="g")
    session.feed(ItemAdded(at=0.0, item=item, text=shortener.texts.take_in(block)))


def result(content: object) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "g", "content": content}


def answer(
    world: tuple[Shortener, Session, Store], do: Do, name: str, limit_tokens: int | None = None
) -> tuple[int, Any]:
    """Return the tokens and the block of a shorter form."""
    shortener, _, _ = world
    asked = Shorten(at=0.0, do=do, items=(name,), limit_tokens=limit_tokens)
    found = shortener.answer(asked)
    assert isinstance(found, Shortened)
    assert found.text is not None
    (block,) = (one for key, one in shortener.texts._by_hash.items() if key == found.text)
    return found.tokens, block


def numbered(*lines: str) -> str:
    return "\n".join(f"{number:>3}→{line}" for number, line in enumerate(lines, 1))


FILE = numbered("import one.two", *(f"    {LINE.format(n)}" for n in range(3)), "last.line")


def test_what_a_later_item_holds_is_left_out() -> None:
    world = shortener()
    added(world, "first", result(FILE))
    added(world, "call", {"type": "tool_use", "id": "g", "name": "edit", "input": {"old": FILE}})
    left = "import one.two\n…\nlast.line"
    again = "\n".join(LINE.format(n) for n in range(3))
    added(world, "last", result(again))
    assert answer(world, Do.DEDUPE, "first") == (4 + 1, result("…"))
    tokens, call = answer(world, Do.DEDUPE, "call")
    assert call["input"] == {"shortened": left}
    assert (call["type"], call["id"], call["name"], tokens) == ("tool_use", "g", "edit", 4 + 3)
    assert answer(world, Do.DEDUPE, "last") == (4 + 36, result(again))


def test_without_knowing_what_is_held_nothing_is_left_out() -> None:
    world = shortener(held=False)
    added(world, "first", result(FILE))
    added(world, "last", result(FILE))
    assert answer(world, Do.DEDUPE, "first")[1] == result(FILE)
    _, names = answer(world, Do.NAMES, "first")
    listed = "file0.py file1.py file2.py one.two last.line"
    assert sorted(names["content"].split()[-5:]) == sorted(listed.split())


def test_what_holds_an_image_is_not_deduped() -> None:
    world = shortener()
    image = {"type": "image", "source": {"type": "url", "url": "x"}}
    block = result([{"type": "text", "text": FILE}, image])
    added(world, "first", block)
    added(world, "last", result(FILE))
    assert answer(world, Do.DEDUPE, "first")[1] == block


def test_the_names_that_no_later_item_holds_are_left() -> None:
    world = shortener()
    added(world, "first", result(f"{FILE}\n{words(300)}"))
    added(world, "last", result("import one.two and file1.py"))
    tokens, block = answer(world, Do.NAMES, "first")
    head = "[was 346 tokens; id first]"
    assert block == result(f"{head}\nnames: file0.py file2.py last.line")
    assert tokens == 4 + 5 + 4
    assert answer(world, Do.NAMES, "first", 11) == (
        11,
        result(f"{head}\nnames: file0.py"),
    )
    assert answer(world, Do.NAMES, "first", 9) == (9, result(head))


def test_names_have_a_limit_where_none_is_said() -> None:
    world = shortener()
    added(world, "first", result(words(400, "long_name_")))
    tokens, block = answer(world, Do.NAMES, "first")
    assert tokens == DIGEST_TOKENS
    assert len(block["content"].split()) == DIGEST_TOKENS - 4


# ---- a review that has to be awaited


async def refusing(review: Review) -> str:
    return f"not {review.rule}"


def pruned_rules(events: list[Event]) -> list[str]:
    return [event.rule for event in events if isinstance(event, Pruned)]


def test_a_review_that_has_to_be_awaited_lets_nothing_through_where_it_cannot_be() -> None:
    events: list[Event] = []
    run = Run.open(
        window_tokens=20_000,
        policy="masking:keep=1",
        counter="o200k_base",
        review=refusing,
        listeners=[events.append],
    )
    masked_twice(run)
    vetoes = [event.reason for event in events if isinstance(event, Vetoed)]
    assert vetoes
    assert set(vetoes) == {"the review is asynchronous; use AsyncRun with it"}
    assert pruned_rules(events) == []


def test_a_review_is_awaited_in_an_asynchronous_run() -> None:
    events: list[Event] = []

    async def script() -> None:
        run = await AsyncRun.open(
            window_tokens=20_000,
            policy="masking:keep=1",
            counter="o200k_base",
            review=refusing,
            listeners=[events.append],
        )
        for number in range(3):
            await run.tool_call("ls", {}, call_id=f"c{number}")
            await run.tool_result(f"c{number}", "a long result " * 50)
            await run.prompt()

    asyncio.run(script())
    vetoes = {event.reason for event in events if isinstance(event, Vetoed)}
    assert vetoes == {"not mask old results"}
    assert pruned_rules(events) == []


def masked_twice(run: Run) -> None:
    for number in range(3):
        run.tool_call("ls", {}, call_id=f"c{number}")
        run.tool_result(f"c{number}", "a long result " * 50)
        run.prompt()
