"""Which names later items hold: cases worked by hand, then any run against a search of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    AgentFinished,
    AgentStarted,
    CallStarted,
    Effect,
    ItemAdded,
    Phase,
    PhaseStarted,
    Pruned,
    RestoreAsked,
    Review,
    RunStarted,
    UndoAsked,
    Withdrawn,
)
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import MAIN, Do, Form, Item, Kind, Layer, Operation, Plan, Scale, Trigger
from ctxbudget.live.held import Held
from ctxbudget.live.pieces import text_to_shorten
from ctxbudget.live.shortening import Shortener
from ctxbudget.live.sizing import sizer_for
from ctxbudget.live.texts import Texts
from ctxbudget.recall import Library, words
from ctxbudget.references import identifiers, quotes
from ctxbudget.session import Session


class Words:
    """Counts words; a block takes four tokens more."""

    name = "words"
    is_estimate = False

    def __call__(self, text: str) -> int:
        return len(text.split())


@dataclass
class Asked:
    """A policy that does before a call what it was told to, and nothing else."""

    plans: list[Plan] = field(default_factory=list)

    def __call__(self, moment: Moment) -> Iterable[Plan]:
        if moment.trigger is Trigger.BEFORE_CALL:
            while self.plans:
                yield self.plans.pop(0)


class Script:
    """A run whose texts are shortened for real, told step by step.

    With `indexed`, the library has the texts of items before they come, as in a replay.
    """

    def __init__(self, *, indexed: bool = False) -> None:
        self.indexed = indexed
        self.policy = Asked()
        self.engine = Engine(self.policy)
        self.texts = Texts(is_written=False)
        self.library = Library()
        self.read: list[tuple[str, int]] = []
        self.held = Held(self.library, self.words_of, self.store)
        self.shortener = Shortener(
            self.texts, sizer_for("", Words()), self.store, review=self.review, held=self.held
        )
        self.verdict = True
        self.pruned: list[Pruned] = []
        self.session = Session(self.engine, self.answer, [self.texts, self.held, self.keep])
        self.feed(
            RunStarted(
                at=0.0,
                workflow="test",
                scale=Scale(window_tokens=10**6, reserve_tokens=0, budget_tokens=10**6),
                phases=(Phase(id="a"),),
                reviews=True,
            ),
            PhaseStarted(at=0.0, phase="a"),
        )

    # ---- the world

    def answer(self, effect: Effect) -> Any:
        return self.shortener.answer(effect)

    def review(self, review: Review) -> bool:
        return self.verdict

    def keep(self, event: object) -> None:
        if isinstance(event, Pruned):
            self.pruned.append(event)

    def store(self, thread: str = MAIN) -> Any:
        return self.engine.state.threads[thread].store

    def words_of(self, thread: str, item: Item) -> str | None:
        self.read.append((item.id, item.version))
        block = self.texts.find(thread, item.id, item.version)
        return None if block is None else text_to_shorten(block)

    # ---- facts

    def feed(self, *facts: Any) -> None:
        for fact in facts:
            self.session.feed(fact)

    def add(self, name: str, text: str, kind: Kind = Kind.ASSISTANT, **more: Any) -> None:
        thread = more.pop("thread", MAIN)
        block: dict[str, Any] = {"type": "text", "text": text}
        if kind is Kind.TOOL_CALL:
            more.setdefault("group", name)
            block = {"type": "tool_use", "id": name, "name": "edit", "input": {"a": text, "b": 1}}
        tokens = self.shortener.size(block).tokens
        item = Item(id=name, tokens=tokens, kind=kind, **more)
        if self.indexed:
            self.library.add(name, words(kind, text))
        hash_ = self.texts.take_in(block)
        self.feed(ItemAdded(at=0.0, item=item, thread=thread, text=hash_))

    def call(self, *plans: Plan, thread: str = MAIN) -> list[Pruned]:
        """Make a call, with plans carried out before it; return what was pruned."""
        self.policy.plans = list(plans)
        before = len(self.pruned)
        self.feed(CallStarted(at=0.0, thread=thread))
        return self.pruned[before:]

    # ---- what there is

    def text(self, name: str, thread: str = MAIN) -> str:
        block = self.texts.block(thread, name, self.store(thread)[name].version)
        return text_to_shorten(block)

    def found(self, of: Callable[[str], Iterable[str]], items: Iterable[Item]) -> set[str]:
        """Return what stands in items of the main thread, by searching them."""
        shown = (one for one in items if one.kind is not Kind.THINKING)
        return {name for one in shown for name in of(self.text(one.id))}

    def has(self, item: str, name: str, thread: str = MAIN) -> bool:
        return self.held.behind(thread, item).has_name(name)


def plan(*operations: tuple[Do, str], limit: int = 1000, **fields: Any) -> Plan:
    return Plan(
        rule="asked",
        reason="a test",
        operations=tuple(
            Operation(do=do, items=(name,), limit_tokens=limit) for do, name in operations
        ),
        **fields,
    )


FILLER = "some words that nobody needs at all " * 4


def two_holders() -> Script:
    """Return a run with a name in two items, the second of which is the last but one."""
    script = Script()
    script.add("goal", "the goal", Kind.USER)
    script.add("one", f"{FILLER} one_name two_names")
    script.add("two", f"{FILLER} one_name")
    script.add("last", "the end")
    script.call()
    return script


# ---- what later items hold


def test_a_name_is_held_by_what_comes_later_only() -> None:
    script = two_holders()
    assert script.has("one", "one_name")
    assert not script.has("two", "one_name")
    assert not script.has("one", "two_names")
    assert not script.has("one", "never_seen")


def test_a_line_is_held_as_it_is_read() -> None:
    script = Script()
    script.add("one", "x")
    script.add("two", "   12→  a line that is long enough \nand one that is much longer")
    behind = script.held.behind(MAIN, "one")
    assert behind.has_line("a line that is long enough")
    assert behind.has_line("and one that is much longer")
    assert not behind.has_line("a line that is long")
    assert not behind.has_name("a line that is long enough")


def test_a_call_holds_the_lines_of_its_strings_and_thinking_holds_nothing() -> None:
    script = Script()
    script.add("one", "x")
    script.add("call", "the old line was this one\nold_name", Kind.TOOL_CALL)
    script.add("thought", "a thought_name", Kind.THINKING)
    behind = script.held.behind(MAIN, "one")
    assert behind.has_line("the old line was this one")
    assert behind.has_name("old_name")
    assert not behind.has_name("thought_name")


def test_pinned_and_permanent_items_hold_what_they_say() -> None:
    script = Script()
    script.add("one", "x")
    script.add("goal", "first_name", Kind.USER)
    script.add("pinned", "second_name", Kind.USER, pinned=True)
    script.add("kept", "third_name", Kind.USER, layer=Layer.PERMANENT)
    assert script.has("one", "first_name")
    assert script.has("one", "second_name")
    assert not script.has("one", "third_name")  # stands ahead of all that is not permanent
    assert script.has("kept", "first_name")


def test_what_left_holds_nothing_and_holds_again_once_it_is_back() -> None:
    script = two_holders()
    script.call(plan((Do.DROP, "two")))
    assert not script.has("one", "one_name")
    script.feed(RestoreAsked(at=0.0, item="two"))
    assert script.has("one", "one_name")
    assert not script.has("last", "one_name")  # it is back at its old place
    script.feed(Withdrawn(at=0.0, items=("two",)))
    assert not script.has("one", "one_name")


def test_a_shorter_form_holds_what_it_says_until_it_is_undone() -> None:
    script = two_holders()
    script.call(plan((Do.CLEAR, "two")))
    assert not script.has("one", "one_name")
    script.feed(UndoAsked(at=0.0))
    assert script.has("one", "one_name")


def test_a_stand_in_for_several_holds_what_it_says_in_the_first_ones_place() -> None:
    script = two_holders()
    script.add("more", f"{FILLER} {FILLER} three_names")
    script.call()
    summary = Operation(do=Do.SUMMARIZE, items=("two", "last", "more"), limit_tokens=30)
    (done,) = script.call(Plan(rule="sum", reason="a test", operations=(summary,)))
    assert done.stand_in is not None
    stood_for = set(identifiers(script.text(done.stand_in.id)))
    assert "three_names" in stood_for
    assert script.has("one", "three_names")
    assert not script.has("one", "two_names")
    assert not script.has(done.stand_in.id, "three_names")
    script.feed(UndoAsked(at=0.0), Withdrawn(at=0.0, items=("more",)))
    assert not script.has("one", "three_names")


def test_an_agents_thread_starts_with_what_the_main_one_handed_down() -> None:
    script = Script()
    script.add("goal", "first_name", Kind.USER, layer=Layer.PERMANENT)
    script.add("rules", "second_name", Kind.USER, layer=Layer.PERMANENT)
    agent: dict[str, Any] = {"phase": "a", "wave": 1, "agent": "x", "thread": "t"}
    script.feed(AgentStarted(at=0.0, **agent))
    script.add("own", "third_name", thread="t")
    assert script.has("goal", "second_name", "t")
    assert script.has("goal", "third_name", "t")
    assert not script.has("goal", "third_name")
    script.feed(AgentFinished(at=0.0, **agent))
    script.feed(AgentStarted(at=0.0, **agent))
    assert script.has("goal", "second_name", "t")
    assert not script.has("goal", "third_name", "t")


# ---- answers


def test_no_item_relies_on_one_that_goes_with_it() -> None:
    script = two_holders()
    script.call(plan((Do.CLEAR, "two"), (Do.NAMES, "one")))
    assert script.text("two").startswith("[cleared")
    assert "one_name" in script.text("one")


def test_what_a_plan_leaves_of_an_item_is_enough_for_one_before_it() -> None:
    script = two_holders()
    script.call(plan((Do.NAMES, "two"), (Do.NAMES, "one")))
    assert script.text("two").endswith("\nnames: one_name")
    assert script.text("one").endswith("\nnames: two_names")


def test_an_answer_that_came_to_nothing_is_forgotten_at_the_next_call() -> None:
    for verdict, fields in ((False, {}), (True, {"min_gain_tokens": 10**6})):
        script = two_holders()
        script.verdict = verdict
        assert not script.call(plan((Do.CLEAR, "two"), (Do.NAMES, "one"), **fields))
        assert script.has("one", "one_name")
        script.verdict = True
        script.call(plan((Do.NAMES, "one"), limit=999))
        assert script.text("one").endswith("\nnames: two_names")


def test_until_then_nothing_relies_on_it_but_a_new_answer_counts() -> None:
    script = two_holders()
    vain = plan((Do.CLEAR, "two"), min_gain_tokens=10**6)
    script.call(vain, plan((Do.NAMES, "one")))
    assert "one_name" in script.text("one")
    script = two_holders()
    script.call(vain, plan((Do.NAMES, "two"), (Do.NAMES, "one")))
    assert script.text("two").endswith("\nnames: one_name")
    assert script.text("one").endswith("\nnames: two_names")


def test_no_text_is_read_before_a_shorter_form_asks_and_none_twice() -> None:
    script = two_holders()
    script.add("gone", "x_name")
    script.feed(Withdrawn(at=0.0, items=("gone",)))
    script.call(plan((Do.CLEAR, "last")))
    assert script.read == []
    script.call(plan((Do.NAMES, "one")))
    assert sorted(script.read) == [("goal", 0), ("last", 0), ("one", 0), ("two", 0)]
    script.read.clear()
    script.add("new", f"{FILLER} one_name")
    script.call()
    script.call(plan((Do.NAMES, "two")))
    assert sorted(script.read) == [("new", 0), ("one", 1)]


def test_whole_items_are_taken_from_the_library() -> None:
    script = Script(indexed=True)
    script.add("one", f"{FILLER} one_name two_names")
    script.add("two", f"{FILLER} one_name")
    script.call()
    assert script.has("one", "one_name")
    assert script.read == []
    script.call(plan((Do.CLEAR, "two")))
    assert not script.has("one", "one_name")
    assert script.read == [("two", 1)]


# ---- any run


vocabulary = [f"name_{number}" for number in range(6)]
short_names = st.sampled_from([*vocabulary, "item/1", "item/2"])
long_lines = st.builds("the value of {} is taken from {}".format, short_names, short_names)
lines = st.sampled_from(["", "}", "    x = 1"]) | short_names | long_lines
prefixed = st.builds("{}{}".format, st.sampled_from(["", "12→", "7:"]), lines)
blocks = st.sampled_from(
    [
        f"def name_{number}(item/1):\n    the value of name_{number} is long enough\n\n    return"
        for number in range(3)
    ]
)
bodies = st.lists(blocks | blocks | lines | prefixed, min_size=1, max_size=5)
KINDS = (Kind.ASSISTANT, Kind.ASSISTANT, Kind.USER, Kind.TOOL_CALL, Kind.THINKING)


FIRST_ITEMS = 4
PATTERNS: list[tuple[Do | None, ...]] = [
    (Do.DEDUPE,),
    (Do.NAMES,),
    (Do.CLEAR, Do.NAMES),
    (Do.CLEAR, Do.DEDUPE),
    (Do.DEDUPE, Do.NAMES, None),
    (None, Do.NAMES, Do.CLEAR),
]
"""Of plans: what is done to the last item, to the one before it, and so on, again and again."""


@dataclass(frozen=True)
class Step:
    """One thing that happens; `number` says to whom."""

    what: str
    number: int
    text: str
    dos: tuple[Do | None, ...]
    verdict: str
    checked: bool


steps = st.builds(
    Step,
    what=st.sampled_from(["plan", "plan", "add", "add", "restore", "undo", "withdraw"]),
    number=st.integers(0, 50),
    text=bodies.map("\n".join),
    dos=st.sampled_from(PATTERNS),
    verdict=st.sampled_from(["yes", "yes", "yes", "vetoed", "too little"]),
    checked=st.booleans(),
)


class AnyRun:
    """Carries steps out and says what must hold of each plan."""

    def __init__(self, *, indexed: bool) -> None:
        self.script = Script(indexed=indexed)
        self.count = 0

    def take(self, step: Step) -> None:
        self.count += 1
        script, store = self.script, self.script.store()
        there = [one.id for one in store if not one.untouchable]
        if step.what == "add" or self.count <= FIRST_ITEMS:
            kind = KINDS[step.number % len(KINDS)]
            text = f"{FILLER if step.number % 4 else ''}\n{step.text}"
            script.add(f"item/{self.count}", text, kind)
            if step.number % 2:
                script.call()
        elif step.what == "plan":
            self.carry_out(step)
        elif step.what == "withdraw" and there:
            script.feed(Withdrawn(at=0.0, items=(there[step.number % len(there)],)))
        elif step.what == "undo" and script.engine.state.main.plans:
            with suppress(SourceError):  # what the plan left has changed since
                script.feed(UndoAsked(at=0.0))
        elif step.what == "restore":
            shelf = [
                name
                for name, forms in store.shelf.items()
                if name not in store or store[name].version != forms[0].item.version
            ]
            if shelf:
                script.feed(RestoreAsked(at=0.0, item=shelf[step.number % len(shelf)]))

    def carry_out(self, step: Step) -> None:
        script, store = self.script, self.script.store()
        script.call()  # so that nothing is fresh
        chosen = [one for one in store if not one.untouchable and one.form is not Form.CLEAR]
        operations = [
            (do, one.id)
            for number, one in enumerate(reversed(chosen))
            if (do := step.dos[number % len(step.dos)]) is not None
            and one.kind is not Kind.THINKING
        ]
        script.verdict = step.verdict != "vetoed"
        gain = 10**6 if step.verdict == "too little" else 0
        names_before = script.found(identifiers, store)
        quotes_before = script.found(quotes, store)
        relying = [store[name] for do, name in operations if do is not Do.CLEAR]
        relied_on = script.found(identifiers, relying)
        asked = plan(*operations, min_gain_tokens=gain)
        done = script.call(asked)
        assert step.verdict == "yes" or not done
        names_after = script.found(identifiers, store)
        assert relied_on <= names_after
        if all(one.do is not Do.CLEAR for one in done):
            assert names_before <= names_after
        if all(one.do is Do.DEDUPE for one in done):
            assert quotes_before <= script.found(quotes, store)

    def check(self) -> None:
        """Compare what is held with a search of the prompt."""
        script = self.script
        there = list(script.store())
        all_lines = script.found(quotes, there)
        for number, one in enumerate(there):
            behind = script.held.behind(MAIN, one.id)
            names = script.found(identifiers, there[number + 1 :])
            held = {name for name in [*vocabulary, "item/1", "item/2"] if behind.has_name(name)}
            assert held == names & {*vocabulary, "item/1", "item/2"}
            held_lines = {line for line in all_lines if behind.has_line(line)}
            assert held_lines == script.found(quotes, there[number + 1 :])


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=FIRST_ITEMS + 2, max_size=20), st.booleans())
def test_any_run_is_known_as_a_search_would_find_it(many: list[Step], indexed: bool) -> None:
    run = AnyRun(indexed=indexed)
    for step in many:
        run.take(step)
        if step.checked:
            run.script.call()
            run.check()
    run.script.call()
    run.check()
