"""A prompt as messages: hand-worked ones first, then whatever may happen to a store."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import anthropic
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from messages_server import MessagesServer

from ctxbudget import Run
from ctxbudget.core.events import ItemAdded, Pruned, Shorten, Shortened
from ctxbudget.core.store import Store
from ctxbudget.core.types import MAIN, Do, Form, Item, Kind, Layer
from ctxbudget.live.checking import problems
from ctxbudget.live.pieces import Block, artifact_piece, with_text
from ctxbudget.live.rendering import ASSISTANT_KINDS, BEHIND_HEAD, CONTINUED, PENDING, Rendering
from ctxbudget.live.texts import Texts

IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
THINKING = {"type": "thinking", "thinking": "Hmm.", "signature": "s"}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def call(name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": "read", "input": {}}


def result(name: str, content: Any = "found") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": name, "content": content}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [text(b) if isinstance(b, str) else b for b in blocks]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {**user(*blocks), "role": "assistant"}


class Bench:
    """A thread's store and texts, filled by hand, with a rendering that is kept up to date."""

    def __init__(self) -> None:
        self.store, self.texts = Store(), Texts()
        self.rendering = Rendering(MAIN, self.texts)
        self._numbers = count(1)

    def add(self, kind: Kind, block: Block, **more: Any) -> str:
        item = Item(id=f"i{next(self._numbers)}", tokens=1, kind=kind, **more)
        self.store.add(item)
        self.texts(ItemAdded(at=0, item=item, text=self.texts.take_in(block)))
        return item.id

    def says(self, what: str) -> str:
        return self.add(Kind.USER, text(what))

    def answers(self, what: str) -> str:
        return self.add(Kind.ASSISTANT, text(what))

    def calls(self, name: str) -> str:
        return self.add(Kind.TOOL_CALL, call(name), group=name, tool="read")

    def returns(self, name: str, content: Any = "found") -> str:
        return self.add(Kind.TOOL_RESULT, result(name, content), group=name, tool="read")

    def drop(self, *items: str) -> None:
        self.store.replace(items, None)

    def shorten(self, name: str, to: str) -> None:
        """Put a shorter version in an item's place."""
        old = self.store[name]
        block = self.texts.block(MAIN, name, old.version)
        version = self.store.next_version(name)
        new = replace(old, version=version, form=Form.CLEAR)
        self._swap((name,), Do.CLEAR, new, with_text(block, to))

    def stub(self, *items: str, do: Do = Do.STUB) -> str:
        """Put a note in the place of items."""
        kind = Kind.NOTE if do is Do.STUB else Kind.SUMMARY
        new = Item(id=f"~{next(self._numbers)}", tokens=1, kind=kind, layer=Layer.METADATA)
        self._swap(items, do, new, text(f"[{do} {' '.join(items)}]"))
        return new.id

    def restore(self, name: str) -> None:
        """Bring an item's first form back, with what left of its group."""
        if name in self.store:
            self.store.replace((name,), None)
        group = self.store.shelf[name][0].item.group
        entries = [
            left[0]
            for key, left in self.store.shelf.items()
            if key == name or (group and left[0].item.group == group and key not in self.store)
        ]
        for entry in sorted(entries, key=lambda one: one.slot):
            self.store.put_back(entry)

    def _swap(self, items: tuple[str, ...], do: Do, stand_in: Item, block: Block) -> None:
        self.texts(Shorten(at=0, do=do, items=items))
        self.texts(Shortened(at=0, do=do, items=items, tokens=1, text=self.texts.take_in(block)))
        self.store.replace(items, stand_in)
        self.texts(
            Pruned(at=0, rule="r", reason="", do=do, items=items, removed_tokens=1,
                   occupancy_tokens=1, plan=1, stand_in=stand_in)
        )  # fmt: skip

    def messages(self) -> list[dict[str, Any]]:
        self.rendering.update(self.store)
        assert list(problems(self.rendering.messages, system=self.rendering.system)) == []
        return self.rendering.messages

    def sent(self) -> list[dict[str, Any]]:
        """Return a copy of what a call carries."""
        sent = copy.deepcopy(self.messages())
        self.store.sent()
        return sent


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- hand-worked


def test_turns_alternate(bench: Bench) -> None:
    bench.says("go")
    bench.says("now")
    bench.add(Kind.THINKING, THINKING)
    bench.answers("I read.")
    bench.calls("a")
    bench.returns("a")
    bench.says("well")
    bench.answers("Done.")
    bench.says("thanks")
    assert bench.messages() == [
        user("go", "now"),
        assistant(THINKING, "I read.", call("a")),
        user(result("a"), "well"),
        assistant("Done."),
        user("thanks"),
    ]


def test_results_stand_in_the_order_of_their_calls_and_ahead_of_all_else(bench: Bench) -> None:
    bench.says("go")
    for name in "abc":
        bench.calls(name)
    bench.says("hurry")
    for name in "cab":
        bench.returns(name, name.upper())
    assert bench.messages() == [
        user("go"),
        assistant(call("a"), call("b"), call("c")),
        user(result("a", "A"), result("b", "B"), result("c", "C"), "hurry"),
    ]


def test_a_call_without_a_result_has_a_placeholder(bench: Bench) -> None:
    bench.says("go")
    bench.calls("a")
    bench.calls("b")
    bench.returns("b")
    assert bench.messages()[-1] == user(result("a", PENDING), result("b"))
    bench.returns("a")
    assert bench.messages()[-1] == user(result("a"), result("b"))


def test_a_result_that_comes_thirty_messages_late(bench: Bench) -> None:
    bench.says("go")
    bench.calls("late")
    for number in range(15):
        bench.says(f"question {number}")
        bench.answers(f"answer {number}")
    before = bench.sent()
    assert len(before) == 32
    assert before[2] == user(result("late", PENDING), "question 0")
    bench.returns("late", [text("at last"), IMAGE])
    after = bench.messages()
    assert after[:32] == before
    assert after[32:] == [user("[result of read, call late]\nat last\n", IMAGE)] or after[32:] == [
        user("[result of read, call late]\nat last", IMAGE)
    ]


def test_a_late_result_with_results_in_time(bench: Bench) -> None:
    bench.says("go")
    bench.calls("late")
    bench.says("go on")
    bench.calls("b")
    bench.returns("late", "old")
    bench.returns("b")
    assert bench.messages() == [
        user("go"),
        assistant(call("late")),
        user(result("late", PENDING), "go on"),
        assistant(call("b")),
        user(result("b"), "[result of read, call late]\nold"),
    ]


def test_a_late_result_has_its_place_again_once_nothing_stands_between(bench: Bench) -> None:
    bench.says("go")
    bench.calls("late")
    bench.says("wait")
    between = bench.answers("I wait.")
    bench.returns("late")
    bench.messages()
    bench.drop(between)
    assert bench.messages() == [user("go"), assistant(call("late")), user(result("late"), "wait")]


def test_what_the_model_says_after_a_placeholder_stays_behind_it(bench: Bench) -> None:
    """The call was sent with its placeholder, so the answer was made behind that."""
    bench.says("go")
    bench.calls("late")
    before = bench.sent()
    assert before[1:] == [assistant(call("late")), user(result("late", PENDING))]
    bench.answers("I wait.")
    assert bench.messages() == [*before, assistant("I wait.")]
    bench.returns("late")
    assert bench.messages() == [
        *before,
        assistant("I wait."),
        user("[result of read, call late]\nfound"),
    ]


@pytest.mark.parametrize("rules", [[], ["Mind the gap."]])
def test_what_is_restored_to_the_end_stays_behind_what_was_sent_without_it(
    bench: Bench, rules: list[str]
) -> None:
    """It does not become part of the answer it once belonged to: the prompt is only appended to."""
    bench.says("go")
    bench.calls("late")
    for rule_text in rules:
        bench.add(Kind.SYSTEM, text(rule_text), layer=Layer.PHASE)
    again = bench.answers("I read.")
    bench.drop(again)
    before = bench.sent()
    assert before[1:] == [assistant(call("late")), user(result("late", PENDING), *rules)]
    bench.restore(again)
    assert bench.store.edited is None
    assert bench.messages() == [*before, assistant("I read.")]
    bench.shorten(again, "I")
    assert bench.messages() == [*before, assistant("I")]
    bench.returns("late")
    assert bench.messages()[:-1] == [*before, assistant("I")]


def test_what_is_restored_to_where_it_was_sent_is_part_of_its_answer(bench: Bench) -> None:
    bench.says("go")
    bench.calls("late")
    again = bench.answers("I read.")
    before = bench.sent()
    assert before[1] == assistant(call("late"), "I read.")
    bench.drop(again)
    bench.restore(again)
    assert bench.messages() == before


def test_what_is_restored_between_a_call_and_its_result_leaves_them_together(bench: Bench) -> None:
    bench.says("go")
    bench.calls("a")
    again = bench.answers("I read.")
    bench.returns("a")
    bench.drop(again)
    bench.sent()
    bench.restore(again)
    assert bench.store.edited == bench.store.entry(again).slot
    assert bench.messages()[1:] == [assistant(call("a"), "I read."), user(result("a"))]


def test_a_note_in_the_middle_of_a_turn(bench: Bench) -> None:
    bench.says("go")
    bench.answers("I read.")
    first = bench.calls("a")
    bench.calls("b")
    second = bench.returns("a")
    bench.returns("b")
    bench.messages()
    bench.stub(first, second)
    assert bench.messages() == [
        user("go"),
        assistant("I read."),
        user(f"[stub {first} {second}]"),
        assistant(call("b")),
        user(result("b")),
    ]


def test_a_summary_of_several_turns(bench: Bench) -> None:
    bench.says("go")
    old = [bench.answers("one"), bench.says("two"), bench.calls("a"), bench.returns("a")]
    bench.answers("three")
    bench.says("four")
    bench.messages()
    bench.stub(*old, do=Do.SUMMARIZE)
    assert bench.messages() == [
        user("go", f"[summarize {' '.join(old)}]"),
        assistant("three"),
        user("four"),
    ]


def test_a_shorter_form_keeps_its_pair(bench: Bench) -> None:
    bench.says("go")
    name, found = bench.calls("a"), bench.returns("a", [text("long"), IMAGE])
    bench.messages()
    bench.shorten(found, "[cleared]")
    bench.shorten(name, "short")
    shorter = {**call("a"), "input": {"shortened": "short"}}
    assert bench.messages() == [user("go"), assistant(shorter), user(result("a", "[cleared]"))]
    bench.restore(found)
    assert bench.messages()[-1] == user(result("a", [text("long"), IMAGE]))


def test_what_is_permanent_comes_first_and_tools_and_system_are_apart(bench: Bench) -> None:
    tool = {"name": "read", "input_schema": {"type": "object"}}
    bench.says("go")
    bench.answers("ok")
    bench.add(Kind.SYSTEM, text("phase rules"), layer=Layer.PHASE)
    bench.add(Kind.SYSTEM, text("Be short."), layer=Layer.PERMANENT)
    bench.add(Kind.USER, text("memories"), layer=Layer.PERMANENT)
    assert bench.messages() == [user("memories", "go"), assistant("ok"), user("phase rules")]
    bench.add(Kind.TOOLS, tool, layer=Layer.PERMANENT)
    bench.add(Kind.SYSTEM, text("Be kind."), layer=Layer.PERMANENT)
    assert bench.messages() == [user("memories", "go"), assistant("ok"), user("phase rules")]
    assert bench.rendering.tools == [tool]
    assert bench.rendering.system == [text("Be short."), text("Be kind.")]


def test_a_head_that_was_handed_out_does_not_change(bench: Bench) -> None:
    first = bench.add(Kind.SYSTEM, text("Be short."), layer=Layer.PERMANENT)
    bench.says("go")
    bench.messages()
    system = bench.rendering.system
    bench.add(Kind.SYSTEM, text("Be kind."), layer=Layer.PERMANENT)
    bench.drop(first)
    bench.messages()
    assert system == [text("Be short.")]
    assert bench.rendering.system == [text("Be kind.")]


def test_an_artifact_is_a_text(bench: Bench) -> None:
    bench.says("go")
    piece = artifact_piece("the report", title="Findings", path="", metadata="m")
    bench.add(piece.kind, piece.block)
    assert bench.messages() == [user("go", "Findings\nthe report")]


@pytest.mark.parametrize("kind", [Kind.ARTIFACT, Kind.USER, Kind.ASSISTANT])
def test_what_holds_nothing_is_not_sent_as_an_empty_text(bench: Bench, kind: Kind) -> None:
    """An output may be empty, and so may a shorter form with hardly any room."""
    bench.says("go")
    if kind is Kind.ARTIFACT:
        bench.add(kind, artifact_piece("", title="", path="", metadata="").block)
    else:
        bench.shorten(bench.add(kind, text("long")), "")
    bench.says("on")
    bench.messages()  # holds no empty text


def test_a_prompt_that_would_begin_with_the_model(bench: Bench) -> None:
    goal = bench.says("go")
    bench.answers("one")
    bench.says("two")
    bench.answers("three")
    bench.messages()
    bench.drop(goal)
    assert bench.messages() == [user(CONTINUED), assistant("one"), user("two"), assistant("three")]
    bench.answers("four")
    assert bench.messages()[-1] == assistant("three", "four")
    bench.restore(goal)
    assert bench.messages()[:2] == [user("go"), assistant("one")]


def test_an_append_renders_only_the_end_again(bench: Bench) -> None:
    """What the user's side says last may answer the calls ahead of it, so these are read again."""
    for number in range(5):
        bench.says(f"question {number}")
        bench.answers(f"answer {number}")
    bench.says("last")
    before = list(bench.messages())
    assert bench.rendering.fresh_from == 0
    bench.says("and then")
    after = list(bench.messages())
    assert len(before) == len(after) == 11
    assert bench.rendering.fresh_from == 9
    assert all(old is new for old, new in zip(before[:9], after[:9], strict=True))
    assert before[10] == user("last")
    assert after[10] == user("last", "and then")
    assert after[9] is not before[9]
    bench.messages()
    assert bench.rendering.fresh_from == 11  # nothing was
    assert all(old is new for old, new in zip(after, bench.messages(), strict=True))


def test_an_edit_renders_again_only_what_it_must(bench: Bench) -> None:
    names = [bench.says("q0")]
    for number in range(1, 6):
        names += [bench.answers(f"a{number}"), bench.says(f"q{number}")]
    before = list(bench.messages())
    bench.shorten(names[6], "short")
    after = bench.messages()
    assert after[6] == user("short")
    assert bench.rendering.fresh_from == 6
    assert all(old is new for old, new in zip(before[:6], after[:6], strict=True))
    assert all(old is new for old, new in zip(before[7:], after[7:], strict=True))
    assert before[6] == user("q3")
    bench.drop(names[6])
    bench.messages()
    assert bench.rendering.fresh_from == 5


def test_what_came_back_elsewhere_and_was_shortened_at_once_stands_there_alone(
    bench: Bench,
) -> None:
    bench.says("go")
    bench.answers("one")
    moved = bench.says("two")
    bench.answers("three")
    bench.messages()
    note = bench.stub(moved)
    bench.messages()
    bench.restore(moved)
    bench.shorten(moved, "short")
    assert bench.messages() == [
        user("go"),
        assistant("one"),
        user(f"[stub {moved}]"),
        assistant("three"),
        user("short"),
    ]
    bench.shorten(note, "noted")
    bench.shorten(moved, "shorter")
    assert bench.messages()[2:] == [user("noted"), assistant("three"), user("shorter")]


def test_a_shorter_form_and_an_append_are_taken_in_together(bench: Bench) -> None:
    long = bench.says("go on and on")
    bench.answers("one")
    bench.says("two")
    before = list(bench.messages())
    bench.shorten(long, "go")
    bench.answers("three")
    assert bench.messages() == [user("go"), assistant("one"), user("two"), assistant("three")]
    assert bench.rendering.fresh_from == 0
    assert before[0] == user("go on and on")


def test_a_text_that_a_call_brings_in_does_not_part_parallel_calls() -> None:
    """Rules registered for a tool are put in at once, between it and the next call."""
    with Run.open(model="claude-opus-5-5", counter="chars", clock=lambda: 0.0) as run:
        run.user("go")
        run.register("rules", "Mind the gap.", activated_by="read")
        run.prompt()
        run.answered({"content": [call("a"), call("b"), call("c")]})
        run.messages([user(result("a"), result("b"), result("c"))])
        prompt = run.prompt()
        assert prompt.problems() == []
        assert list(prompt.messages) == [
            user("go"),
            assistant(call("a"), call("b"), call("c")),
            user(result("a"), result("b"), result("c"), "Mind the gap."),
        ]


# ---- whatever may happen

picks = st.integers(0, 10_000)


class Whatever(RuleBasedStateMachine):
    """Adds, clears, drops, stubs and restores; what is rendered step by step is what it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.open: list[str] = []
        self.handed_out: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.last: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.first_after_sent: Kind | None = None
        self.is_append = False
        self.is_one_change = True
        self.unlooked = 0
        self._ids = count(1)

    def added(self, name: str) -> None:
        if self.first_after_sent is None:
            self.first_after_sent = self.bench.store[name].kind
        self.is_append = True

    @rule(what=st.sampled_from([Kind.USER, Kind.ASSISTANT, Kind.ASSISTANT, Kind.SYSTEM]))
    def says(self, what: Kind) -> None:
        layer = Layer.PHASE if what is Kind.SYSTEM else Layer.TRANSIENT
        self.added(self.bench.add(what, text(f"{what} {next(self._ids)}"), layer=layer))

    @rule(what=st.sampled_from(["", "the report"]))
    def delivers(self, what: str) -> None:
        piece = artifact_piece(what, title="", path="", metadata="")
        self.added(self.bench.add(piece.kind, piece.block))

    @rule()
    def thinks(self) -> None:
        self.added(self.bench.add(Kind.THINKING, {**THINKING, "thinking": f"{next(self._ids)}"}))

    @rule()
    def calls(self) -> None:
        name = f"c{next(self._ids)}"
        self.added(self.bench.calls(name))
        self.open.append(name)

    @precondition(lambda self: self.open)
    @rule(pick=picks)
    def returns(self, pick: int) -> None:
        name = self.open.pop(pick % len(self.open))
        self.added(self.bench.returns(name, f"found {name}"))

    @rule(kind=st.sampled_from([Kind.TOOLS, Kind.SYSTEM, Kind.USER]))
    def keeps(self, kind: Kind) -> None:
        block = {"name": "f"} if kind is Kind.TOOLS else text(f"kept {next(self._ids)}")
        name = self.bench.add(kind, block, layer=Layer.PERMANENT)
        if self.first_after_sent is None:  # it is at the end where all is permanent
            self.first_after_sent = self.bench.store[name].kind

    @rule(changes=st.integers(2, 5))
    def looks_away(self, changes: int) -> None:
        """Let the rendering take in several changes at once."""
        self.unlooked = changes

    @precondition(lambda self: self.has_messages())
    @rule()
    def sends(self) -> None:
        self.sent, self.first_after_sent = self.bench.sent(), None
        self.last = list(self.bench.rendering.messages)

    def has_messages(self) -> bool:
        return any(True for _ in self.bench.store.entries(BEHIND_HEAD))

    def pick(self, number: int) -> str | None:
        """Return an item that may be touched."""
        free = [item.id for item in self.bench.store if not item.untouchable]
        return free[number % len(free)] if free else None

    @rule(pick=picks, to=st.sampled_from(["[cleared]", ""]))
    def clears(self, pick: int, to: str) -> None:
        name = self.pick(pick)
        if name is not None and self.bench.store[name].kind is not Kind.THINKING:
            self.bench.shorten(name, to)

    @rule(pick=picks)
    def drops(self, pick: int) -> None:
        name = self.pick(pick)
        if name is not None:
            leaving = self.bench.store.leaving_with(name)
            self.bench.drop(*(entry.item.id for entry in leaving))

    @rule(some=st.lists(picks, min_size=1, max_size=4), do=st.sampled_from([Do.STUB, Do.SUMMARIZE]))
    def stubs(self, some: list[int], do: Do) -> None:
        store = self.bench.store
        names = [name for pick in some if (name := self.pick(pick)) is not None]
        leaving = {
            entry.slot: entry.item.id for name in names for entry in store.leaving_with(name)
        }
        if leaving:
            self.bench.stub(*(name for _, name in sorted(leaving.items())), do=do)

    @rule(pick=picks)
    def restores(self, pick: int) -> None:
        store = self.bench.store
        left = [n for n in store.shelf if n not in store or store[n].form is not Form.WHOLE]
        if left:
            name = left[pick % len(left)]
            self.bench.restore(name)
            if self.first_after_sent is None:  # it comes to the end where its place is taken
                self.first_after_sent = store[name].kind

    @precondition(lambda self: self.has_messages())
    @rule()
    def misses_its_end_for_one_call(self) -> None:
        """Send a prompt without its last item, which then comes back to where it stood."""
        store = self.bench.store
        last = list(store)[-1]
        names = [entry.item.id for entry in store.leaving_with(last.id)]
        stay = [entry for entry in store.entries(BEHIND_HEAD) if entry.item.id not in names]
        if names and stay and last.form is Form.WHOLE:
            self.bench.drop(*names)
            self.sends()
            self.bench.restore(last.id)
            self.first_after_sent = store[names[0]].kind

    @invariant()
    def it_is_right(self) -> None:
        if self.unlooked:
            self.unlooked -= 1
            self.is_one_change = False
            return
        bench = self.bench
        bench.rendering.update(bench.store)
        messages, system = bench.rendering.messages, bench.rendering.system
        fresh = Rendering(MAIN, bench.texts)
        fresh.update(bench.store)
        assert messages == fresh.messages
        assert (system, bench.rendering.tools) == (fresh.system, fresh.tools)
        found = list(problems(messages, system=system, tools=bench.rendering.tools))
        assert found == [] or not messages, found
        self.nothing_handed_out_has_changed()
        self.the_prefix_is_the_same()
        self.what_was_sent_is_a_prefix()
        self.nothing_is_lost_or_told_twice()
        self.handed_out += [
            (message, copy.deepcopy(message))
            for message in messages
            if not any(message is known for known, _ in self.handed_out)
        ]
        self.last, self.is_append, self.is_one_change = list(messages), False, True

    def nothing_handed_out_has_changed(self) -> None:
        assert all(message == as_it_was for message, as_it_was in self.handed_out)

    def the_prefix_is_the_same(self) -> None:
        messages, last = self.bench.rendering.messages, self.last
        fresh_from = self.bench.rendering.fresh_from
        same = [old is new for old, new in zip(last, messages, strict=False)]
        assert all(same[:fresh_from])
        assert same[fresh_from : fresh_from + 1] != [True]
        if self.is_append and self.is_one_change:
            answers = [n for n, message in enumerate(last) if message["role"] == "assistant"]
            assert fresh_from >= max(answers, default=0)

    def what_was_sent_is_a_prefix(self) -> None:
        if self.bench.store.edited is not None or not self.sent:
            return
        messages, sent = self.bench.rendering.messages, self.sent
        assert messages[: len(sent) - 1] == sent[:-1]
        if self.first_after_sent in ASSISTANT_KINDS and sent[-1]["role"] == "user":
            assert messages[: len(sent)] == sent

    def nothing_is_lost_or_told_twice(self) -> None:
        bench = self.bench
        texts = [
            block.get("text") or block.get("thinking") or block.get("id")
            for message in bench.rendering.messages
            for block in message["content"]
        ]
        results = str(bench.rendering.messages)
        for item in bench.store:
            block = bench.texts.block(MAIN, item.id, item.version)
            if item.kind is Kind.TOOL_RESULT and item.form is Form.WHOLE:
                assert results.count(f"found {item.group}'") == 1
            elif item.kind in (Kind.USER, Kind.ASSISTANT) and item.form is Form.WHOLE:
                assert texts.count(block["text"]) == 1
            elif item.kind is Kind.TOOL_CALL:
                assert texts.count(item.group) == 1


TestWhatever = Whatever.TestCase
TestWhatever.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# ---- held against the server

MOVES = ("user", "assistant", "rules", "call", "call", "return", "return", "artifact", "stub",
         "drop", "clear", "keep")  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[MessagesServer]:
    with MessagesServer(keep_requests=1) as running:
        yield running


@pytest.mark.parametrize("seed", range(20))
def test_what_is_rendered_is_taken(server: MessagesServer, seed: int) -> None:
    """Twenty walks of ten requests each."""
    machine, state = Whatever(), seed + 1
    machine.says(Kind.USER)
    moves: dict[str, Callable[[int], object]] = {
        "user": lambda _: machine.says(Kind.USER),
        "assistant": lambda _: machine.says(Kind.ASSISTANT),
        "rules": lambda _: machine.says(Kind.SYSTEM),
        "call": lambda _: machine.calls(),
        "return": lambda pick: machine.returns(pick) if machine.open else None,
        "artifact": lambda _: machine.delivers(""),
        "stub": lambda pick: machine.stubs([pick, pick // 7], Do.STUB),
        "drop": machine.drops,
        "clear": lambda pick: machine.clears(pick, "" if pick % 2 else "[cleared]"),
        "keep": lambda _: machine.keeps(Kind.USER),
    }
    for step in range(1, 51):
        state = state * 48_271 % 2_147_483_647
        moves[MOVES[state % len(MOVES)]](state // 16)
        machine.it_is_right()
        if step % 5 == 0 and machine.bench.rendering.messages:
            take(server, machine.bench.rendering)


def take(server: MessagesServer, rendering: Rendering) -> None:
    request: dict[str, Any] = {"messages": rendering.messages, "system": rendering.system}
    try:
        server.client().messages.create(model="claude-opus-5-5", max_tokens=9, **request)
    except anthropic.BadRequestError as error:
        pytest.fail(str(error))
