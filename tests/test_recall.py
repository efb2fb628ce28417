"""What a policy lost, measured by what was used again: traces worked by hand, then any traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from builders import item
from hypothesis import given
from hypothesis import strategies as st
from worlds import World, rules

from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    CallSent,
    Injected,
    ItemAdded,
    Pruned,
    Restored,
    Seeded,
    ThreadClosed,
    Withdrawn,
)
from ctxbudget.core.types import MAIN, Do, Item, Kind
from ctxbudget.recall import Library, Miss, Recall, Use, words
from ctxbudget.recall.uses import HOLDERS, LOOKED_AT
from ctxbudget.references import identifiers, quotes

LINE = "return the sum of all the parts"
OTHER = "raise an error that says so much"


class Trace:
    """A recorded session and one policy's run of it; every item has 10 tokens.

    Recorded are `add`, `take_back` and `say`; the policy's are `drop`, `shorten`, `sum_up` and
    `restore`. A shorter form without a text is one of which only the size is known.
    """

    def __init__(self, library: Library | None = None) -> None:
        self.library = library or Library()
        self.is_library_filled = library is not None
        self.recall = Recall(self.library, lambda thread, one: self.texts.get((thread, one)))
        self.texts: dict[tuple[str, Item], str] = {}
        self.held: defaultdict[str, set[str]] = defaultdict(set)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.versions: defaultdict[str, int] = defaultdict(int)
        self.uses: list[Use] = []

    def add(self, name: str, text: str, thread: str = MAIN) -> None:
        if not self.is_library_filled:
            self.library.add(name, text)
        self.held[thread].add(name)
        self.recall(ItemAdded(at=0.0, item=item(name), thread=thread))

    def take_back(self, name: str, thread: str = MAIN) -> None:
        self.held[thread].discard(name)
        self.recall(Withdrawn(at=0.0, items=(name,), thread=thread))

    def say(self, text: str, thread: str = MAIN) -> None:
        self.calls[thread] += 1
        call = self.calls[thread]
        use = self.library.output(call, text, self.held[thread].__contains__, thread)
        self.uses.append(use)
        self.recall(sent(call, thread))
        self.recall.used(use)

    def drop(self, names: str, rule: str = "r") -> None:
        self.recall(pruned(Do.DROP, names.split(), None, rule))

    def shorten(self, name: str, text: str | None, rule: str = "r") -> None:
        self.versions[name] += 1
        left = item(name, 1, version=self.versions[name])
        self._replace(Do.DIGEST, [name], left, text, rule)

    def sum_up(self, names: str, summary: str, text: str | None, rule: str = "r") -> None:
        left = item(summary, 1, kind=Kind.SUMMARY)
        self._replace(Do.SUMMARIZE, names.split(), left, text, rule)

    def _replace(
        self, do: Do, names: Sequence[str], left: Item, text: str | None, rule: str
    ) -> None:
        if text is not None:
            self.texts[MAIN, left] = text
        self.recall(pruned(do, names, left, rule))

    def restore(self, name: str, *stand_ins: str, version: int = 0) -> None:
        back = item(name, 1 if version else 10, version=version)
        self.recall(
            Restored(
                at=0.0,
                items=(back,),
                removed=stand_ins,
                gained_tokens=0,
                rewritten_tokens=0,
                occupancy_tokens=0,
            )
        )


def sent(call: int, thread: str = MAIN) -> CallSent:
    return CallSent(
        at=0.0,
        call=call,
        tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
        uncached_tokens=0,
        thread=thread,
    )


def pruned(do: Do, names: Sequence[str], left: Item | None, rule: str) -> Pruned:
    return Pruned(
        at=0.0,
        rule=rule,
        reason="",
        do=do,
        items=tuple(names),
        removed_tokens=0,
        occupancy_tokens=0,
        plan=1,
        stand_in=left,
    )


def told(miss: Miss) -> str:
    """Return `text of item at call, since call by rule`, with a `+` if it is charged."""
    where = f"{miss.text} of {miss.item} at {miss.call}"
    return f"{where}, since {miss.since_call} by {miss.rule}{' +' if miss.is_charged else ''}"


HAND_WORKED: list[tuple[str, list[tuple[Any, ...]], str, str, list[str]]] = [
    # (what it shows, steps, references served/all, quotes served/all, misses)
    (
        "by the latest item that holds it, once per call however often it is written",
        [("add", "a", "load_x"), ("add", "b", "load_x"), ("drop", "a"), ("say", "load_x load_x")],
        "1/1",
        "0/0",
        [],
    ),
    (
        "by an earlier one",
        [("add", "a", "load_x"), ("add", "b", "load_x"), ("drop", "b"), ("say", "load_x")],
        "1/1",
        "0/0",
        [],
    ),
    (
        "each call counts for itself",
        [("add", "a", "load_x save_y"), ("say", "load_x"), ("say", "load_x save_y")],
        "3/3",
        "0/0",
        [],
    ),
    (
        "what no item held, or only a part of it, is no reference",
        [("add", "a", "load_x.py"), ("say", "load_x save_y short")],
        "0/0",
        "0/0",
        [],
    ),
    (
        "gone, and told with the item that held it last",
        [
            ("add", "a", "load_x"),
            ("add", "b", "load_x"),
            ("say", "load_x"),
            ("drop", "a", "first"),
            ("say", "load_x"),
            ("drop", "b", "second"),
            ("say", "nothing of it"),
            ("say", "load_x"),
        ],
        "2/3",
        "0/0",
        ["load_x of b at 4, since 3 by second +"],
    ),
    (
        "charged once per item, and present again from the next call on",
        [
            ("add", "a", "load_x save_y"),
            ("drop", "a"),
            ("say", "load_x save_y"),
            ("say", "load_x save_y"),
            ("drop", "a"),
            ("say", "save_y"),
        ],
        "3/5",
        "0/0",
        ["load_x of a at 1, since 1 by r +", "save_y of a at 1, since 1 by r"],
    ),
    (
        "two items gone are charged each",
        [
            ("add", "a", "load_x"),
            ("add", "b", "save_y"),
            ("drop", "a b"),
            ("say", "save_y load_x"),
        ],
        "0/2",
        "0/0",
        ["save_y of b at 1, since 1 by r +", "load_x of a at 1, since 1 by r +"],
    ),
    (
        "a shorter form serves what its text still holds",
        [
            ("add", "a", f"load_x save_y\n{LINE}\n{OTHER}"),
            ("shorten", "a", f"load_x\n  {OTHER}"),
            ("say", f"load_x save_y\n{LINE}\n{OTHER}"),
        ],
        "1/2",
        "1/2",
        ["save_y of a at 1, since 1 by r +", f"{LINE} of a at 1, since 1 by r"],
    ),
    (
        "a shorter form of which only the size is known serves nothing",
        [("add", "a", "load_x"), ("shorten", "a", None), ("say", "load_x")],
        "0/1",
        "0/0",
        ["load_x of a at 1, since 1 by r +"],
    ),
    (
        "a summary serves what it names, whatever its own name",
        [
            ("add", "a", "load_x save_y"),
            ("add", "b", "fold_z"),
            ("sum_up", "a b", "s", "load_x was written"),
            ("say", "load_x fold_z"),
        ],
        "1/2",
        "0/0",
        ["fold_z of b at 1, since 1 by r +"],
    ),
    (
        "the rule is the one that took the name, not the last that touched the item",
        [
            ("add", "a", "load_x save_y"),
            ("shorten", "a", "load_x", "digest"),
            ("say", "-"),
            ("drop", "a", "tidy"),
            ("say", "load_x save_y"),
        ],
        "0/2",
        "0/0",
        ["load_x of a at 2, since 2 by tidy +", "save_y of a at 2, since 1 by digest"],
    ),
    (
        "the rule that took the summary in which it was kept",
        [
            ("add", "a", "load_x save_y"),
            ("sum_up", "a", "s", "load_x", "compact"),
            ("say", "-"),
            ("sum_up", "s", "s2", "load_x", "compact again"),
            ("say", "-"),
            ("drop", "s2", "tidy"),
            ("say", "load_x save_y"),
        ],
        "0/2",
        "0/0",
        ["load_x of a at 3, since 3 by tidy +", "save_y of a at 3, since 1 by compact"],
    ),
    (
        "what is restored is there, and its stand-in is not",
        [
            ("add", "a", "load_x"),
            ("sum_up", "a", "s", "save_y"),
            ("restore", "a", "s"),
            ("say", "load_x"),
            ("add", "b", "save_y"),
            ("drop", "b"),
            ("drop", "a", "again"),
            ("say", "save_y load_x"),
        ],
        "1/3",
        "0/0",
        ["save_y of b at 2, since 2 by r +", "load_x of a at 2, since 2 by again +"],
    ),
    (
        "what is restored over its own shorter form takes its place",
        [
            ("add", "a", "load_x"),
            ("shorten", "a", "save_y"),
            ("restore", "a"),
            ("add", "b", "save_y"),
            ("drop", "b"),
            ("say", "load_x save_y"),
        ],
        "1/2",
        "0/0",
        ["save_y of b at 1, since 1 by r +"],
    ),
    (
        "a form that is restored lacks what it lacked before",
        [
            ("add", "a", "load_x save_y"),
            ("shorten", "a", "load_x", "digest"),
            ("say", "-"),
            ("drop", "a", "tidy"),
            ("restore", "a", 1),
            ("say", "load_x save_y"),
        ],
        "1/2",
        "0/0",
        ["save_y of a at 2, since 1 by digest +"],
    ),
    (
        "what the host took back counts no more, not even once it was fetched",
        [
            ("add", "a", "load_x"),
            ("drop", "a"),
            ("say", "load_x"),
            ("take_back", "a"),
            ("say", "load_x"),
            ("add", "b", "load_x"),
            ("drop", "b"),
            ("say", "load_x"),
        ],
        "0/2",
        "0/0",
        ["load_x of a at 1, since 1 by r +", "load_x of b at 3, since 3 by r +"],
    ),
    (
        "a quote is a whole line, without its number and the white space around it",
        [
            ("add", "a", f"   12→    {LINE}\n13\t{OTHER}"),
            ("say", f"{LINE}\n{OTHER} indeed"),
            ("drop", "a"),
            ("say", f"  {LINE}  \n7|{OTHER}"),
        ],
        "0/0",
        "1/3",
        [f"{LINE} of a at 2, since 2 by r +", f"{OTHER} of a at 2, since 2 by r"],
    ),
    (
        "a line is a quote and what stands in it a reference",
        [
            ("add", "a", "the_total = the_sum(the_parts)"),
            ("drop", "a"),
            ("say", "the_total = the_sum(the_parts)"),
        ],
        "0/3",
        "0/1",
        [
            "the_total of a at 1, since 1 by r +",
            "the_sum of a at 1, since 1 by r",
            "the_parts of a at 1, since 1 by r",
            "the_total = the_sum(the_parts) of a at 1, since 1 by r",
        ],
    ),
    (
        "a line that is one identifier is two things",
        [
            ("add", "a", "a/path/that/is/long/enough.py"),
            ("add", "b", "see a/path/that/is/long/enough.py"),
            ("drop", "a"),
            ("say", "a/path/that/is/long/enough.py"),
        ],
        "1/1",
        "0/1",
        ["a/path/that/is/long/enough.py of a at 1, since 1 by r +"],
    ),
]


def play(steps: Iterable[tuple[Any, ...]], trace: Trace | None = None) -> Trace:
    trace = trace or Trace()
    for do, *rest in steps:
        if do == "restore" and isinstance(rest[-1], int):
            trace.restore(rest[0], version=rest[-1])
        else:
            getattr(trace, do)(*rest)
    return trace


@pytest.mark.parametrize(
    ("steps", "references", "lines", "misses"),
    [case[1:] for case in HAND_WORKED],
    ids=[case[0] for case in HAND_WORKED],
)
def test_hand_worked(
    steps: list[tuple[Any, ...]], references: str, lines: str, misses: list[str]
) -> None:
    found = play(steps).recall
    assert f"{found.references.served}/{found.references.all}" == references
    assert f"{found.quotes.served}/{found.quotes.all}" == lines
    assert [told(miss) for miss in found.misses] == misses
    charged = [miss for miss in found.misses if miss.is_charged]
    assert found.refetch_calls == len(charged)
    assert found.refetch_tokens == 10 * len(charged)


def test_recall_is_a_share_and_none_where_nothing_was_used() -> None:
    trace = play([("add", "a", f"load_x save_y fold_z\n{LINE}"), ("say", "nothing")])
    assert (trace.recall.recall, trace.recall.quote_recall) == (None, None)
    trace.say("load_x save_y fold_z")
    trace.drop("a")
    trace.say("load_x")
    assert (trace.recall.recall, trace.recall.quote_recall) == (0.75, None)
    trace.drop("a")
    trace.take_back("a")
    play([("add", "b", LINE), ("drop", "b"), ("say", LINE)], trace)
    assert (trace.recall.recall, trace.recall.quote_recall) == (0.75, 0.0)


def test_a_miss_says_what_it_costs() -> None:
    trace = play([("add", "a", LINE), ("drop", "a", "tidy"), ("say", LINE)])
    assert trace.recall.misses == [
        Miss(
            what="quote",
            text=LINE,
            item="a",
            call=1,
            thread=MAIN,
            since_call=1,
            rule="tidy",
            tokens=10,
            is_charged=True,
        )
    ]


# ---- threads


def test_a_worker_has_what_it_was_given_and_the_rest_was_lost_in_the_main_thread() -> None:
    trace = play([("add", "a", "load_x save_y"), ("add", "b", "fold_z"), ("add", "c", "sort_w")])
    trace.shorten("a", "load_x", "digest")
    trace.drop("b", "tidy")
    trace.recall(Seeded(at=0.0, thread="worker", items=(("a", 1), ("c", 0)), tokens=11))
    trace.held["worker"] |= {"a", "b", "c"}
    trace.say("load_x save_y fold_z sort_w", "worker")
    assert [told(miss) for miss in trace.recall.misses] == [
        "save_y of a at 1, since 1 by digest +",
        "fold_z of b at 1, since 1 by tidy +",
    ]
    # what was fetched in one thread is not there in another
    trace.say("fold_z", "worker")
    trace.say("fold_z")
    assert told(trace.recall.misses[-1]) == "fold_z of b at 1, since 1 by tidy +"
    assert len(trace.recall.misses) == 3


def test_what_a_worker_reads_stays_in_its_thread() -> None:
    trace = play([("add", "a", "load_x", "worker"), ("say", "load_x"), ("say", "load_x", "worker")])
    assert [len(use.references) for use in trace.uses] == [0, 1]
    assert trace.recall.recall == 1.0
    trace.recall(ThreadClosed(at=0.0, thread="worker", peak_tokens=10, calls=1))
    trace.say("load_x", "worker")
    assert told(trace.recall.misses[0]) == "load_x of a at 2, since None by  +"


def test_an_injected_item_serves() -> None:
    trace = Trace()
    trace.library.add("skill", "load_x")
    trace.held[MAIN].add("skill")
    trace.recall(Injected(at=0.0, item=item("skill"), by="read"))
    trace.say("load_x")
    assert trace.recall.recall == 1.0


def test_an_item_that_the_policys_prompt_never_held_is_a_miss_of_no_rule() -> None:
    trace = Trace()
    trace.library.add("a", "load_x")
    trace.held[MAIN].add("a")
    trace.say("load_x")
    assert told(trace.recall.misses[0]) == "load_x of a at 1, since None by  +"
    assert (trace.recall.refetch_calls, trace.recall.refetch_tokens) == (1, 0)


# ---- the library


def test_thinking_was_not_used_and_tool_inputs_are_their_string_values() -> None:
    called = {"file_path": "src/app.py", "edits": [{"old_text": f"{LINE}\n{OTHER}"}], "n": 3}
    assert words(Kind.THINKING, "load_x") == ()
    assert words(Kind.ASSISTANT, "load_x") == ("load_x",)
    assert words(Kind.TOOL_CALL, called) == ("src/app.py", f"{LINE}\n{OTHER}")
    library = Library()
    library.add("a", f"src/app.py file_path old_text\n 1→{LINE}\n 2→{OTHER}")
    use = library.output(1, words(Kind.TOOL_CALL, called), {"a"}.__contains__)
    assert [one.text for one in use.references] == ["src/app.py"]
    assert [one.text for one in use.quotes] == [LINE, OTHER]


def test_an_item_is_read_as_its_texts_too() -> None:
    library = Library()
    library.add("a", ("load_", "x_1", LINE))
    use = library.output(1, ("load_x_1", LINE), {"a"}.__contains__)
    assert ([one.text for one in use.references], len(use.quotes)) == ([], 1)


def test_what_only_the_hidden_prompt_held_does_not_count() -> None:
    library = Library()
    library.add("system", ())
    library.add("a", "load_x")
    library.add("later", "save_y")
    use = library.output(1, "load_x save_y fold_z", {"system", "a"}.__contains__)
    assert [(one.text, one.holders) for one in use.references] == [("load_x", ("a",))]
    assert library.output(2, "load_x", {"system"}.__contains__) == Use(call=2)


def test_a_use_names_its_holders_latest_first_and_weighs_what_was_used() -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text)

    library = Library(count)
    for name in "abcd":
        library.add(name, f"load_x\n{LINE}")
    for call in (1, 2):
        use = library.output(call, f"load_x\n{LINE}", set("abd").__contains__, "worker")
        (reference,), (quote,) = use.references, use.quotes
        assert (use.call, use.thread) == (call, "worker")
        assert (reference.what, reference.holders, reference.tokens) == ("reference", (*"dba",), 6)
        assert (quote.what, quote.text, quote.tokens) == ("quote", LINE, len(LINE))
    assert asked == ["load_x", LINE]


def test_a_name_in_thousands_of_items_lists_the_nearest_of_its_holders() -> None:
    library = Library()
    names = [f"i{number}" for number in range(1_000)]
    for name in names:
        library.add(name, "load_x")

    def holders(held: Iterable[str]) -> tuple[str, ...]:
        return library.output(1, "load_x", set(held).__contains__).references[0].holders

    assert holders(names) == tuple(reversed(names[-HOLDERS:]))
    assert holders(["i0"]) == ("i0",)
    assert holders(["i0", "i999"]) == ("i999",)
    assert holders([f"i{1_000 - LOOKED_AT}", "i999"]) == ("i999", f"i{1_000 - LOOKED_AT}")


def test_an_item_has_its_texts_once() -> None:
    library = Library()
    library.add("a", "load_x")
    with pytest.raises(SourceError, match="the texts of item 'a' are already here"):
        library.add("a", "load_x")


# ---- with the engine


def test_misses_name_the_rules_of_a_real_run() -> None:
    world = World(
        rules(
            {
                "name": "shorter",
                "on": "before_call",
                "select": {"kind": "tool_result"},
                "do": "clear",
            }
        )
    )
    library = Library()
    for name, text in (("a", "load_x"), ("b", "save_y")):
        library.add(name, text)
        world.add(name, 1_000).call()
    use = library.output(2, "save_y load_x", {"a", "b"}.__contains__)
    recall = Recall(library)
    for event in world.events:
        recall(event)
    recall.used(use)
    assert [told(miss) for miss in recall.misses] == ["load_x of a at 2, since 2 by shorter +"]
    assert (recall.recall, recall.refetch_tokens) == (0.5, 1_000)


# ---- any trace

PARTS = ["load_x", "save_y", "fold_z", "sort_w", LINE, OTHER]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=4).map("\n".join)
IDS = st.integers(0, 7).map("i{}".format)
RECORDED = st.one_of(
    st.tuples(st.just("add"), TEXTS),
    st.tuples(st.just("say"), TEXTS),
    st.tuples(st.just("take_back"), IDS),
)
PRUNED = st.one_of(
    st.tuples(st.just("drop"), IDS),
    st.tuples(st.just("shorten"), IDS, st.none() | TEXTS),
)
RECORDED_TRACES = st.lists(RECORDED, max_size=25)
TRACES = st.lists(RECORDED | PRUNED, max_size=30)


def sensible(steps: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Name the items that are added, and leave out what concerns an item that is not there."""
    kept: list[tuple[Any, ...]] = []
    recorded: set[str] = set()
    prompt: set[str] = set()
    number = 0
    for do, *rest in steps:
        if do == "add":
            kept.append((do, f"i{number}", *rest))
            recorded.add(f"i{number}")
            prompt.add(f"i{number}")
            number += 1
        elif do == "say" or rest[0] in (recorded if do == "take_back" else prompt):
            kept.append((do, *rest))
            if do == "take_back":
                recorded.discard(rest[0])
            if do in ("take_back", "drop"):
                prompt.discard(rest[0])
    return kept


def parts(text: str) -> set[str]:
    return {*identifiers(text), *quotes(text)}


def plainly(steps: Iterable[tuple[Any, ...]]) -> tuple[int, int, int]:
    """Return (served, all, fetched) found the slow way: look at every text at every call."""
    whole: dict[str, str] = {}
    prompt: dict[str, str] = {}
    fetched: set[str] = set()
    served = used = fetches = 0
    for do, name, *rest in steps:
        if do == "add":
            whole[name] = prompt[name] = rest[0]
        elif do == "say":
            holders = {
                part: [one for one, text in whole.items() if part in parts(text)]
                for part in parts(name)
            }
            wanted = {part for part, found in holders.items() if found}
            texts = [*prompt.values(), *(whole[one] for one in fetched)]
            there = {part for part in wanted if any(part in parts(text) for text in texts)}
            missed = {holders[part][-1] for part in wanted - there}
            fetches += len(missed - fetched)
            fetched |= missed
            served, used = served + len(there), used + len(wanted)
        elif do == "shorten":
            prompt[name] = rest[0] or ""
        else:
            prompt.pop(name, None)
            if do == "take_back":
                del whole[name]
                fetched.discard(name)
    return served, used, fetches


def counted(recall: Recall) -> tuple[int, int, int]:
    served = recall.references.served + recall.quotes.served
    return served, recall.references.all + recall.quotes.all, recall.refetch_calls


@given(RECORDED_TRACES)
def test_without_a_policy_nothing_is_missed(steps: list[tuple[Any, ...]]) -> None:
    found = play(sensible(steps)).recall
    assert found.recall in (1.0, None)
    assert found.quote_recall in (1.0, None)
    assert (found.misses, found.refetch_calls, found.refetch_tokens) == ([], 0, 0)


@given(TRACES)
def test_any_trace_counts_as_looking_at_every_text_would(steps: list[tuple[Any, ...]]) -> None:
    trace = sensible(steps)
    found = play(trace).recall
    assert counted(found) == plainly(trace)
    assert len(found.misses) == counted(found)[1] - counted(found)[0]
    assert found.refetch_tokens == sum(miss.tokens for miss in found.misses if miss.is_charged)
    assert all(miss.rule == "r" and miss.since_call for miss in found.misses)


@given(RECORDED_TRACES)
def test_a_policy_that_keeps_everything_equals_none(steps: list[tuple[Any, ...]]) -> None:
    trace = sensible(steps)
    keeping: list[tuple[Any, ...]] = []
    for number, step in enumerate(trace):
        keeping.append(step)
        if step[0] == "add":
            same_again = ("shorten", *step[1:])
            moved = ("sum_up", step[1], f"s{number}", step[2])
            keeping += [same_again, moved, ("restore", step[1], f"s{number}")]
    assert counted(play(keeping).recall) == counted(play(trace).recall)


@given(st.lists(TEXTS, max_size=6), st.sets(IDS), st.sets(IDS), TEXTS)
def test_dropping_more_never_serves_more_of_a_call(
    texts: list[str], dropped: set[str], also: set[str], said: str
) -> None:
    def served(names: Iterable[str]) -> tuple[int, int]:
        trace = play(("add", f"i{number}", text) for number, text in enumerate(texts))
        trace.drop(" ".join(sorted(names)))
        trace.say(said)
        return trace.recall.references.served, trace.recall.quotes.served

    more, fewer = served(dropped), served(dropped | also)
    assert fewer[0] <= more[0]
    assert fewer[1] <= more[1]


def test_over_a_session_a_greater_loss_may_be_made_good_by_what_it_fetches() -> None:
    added = [("add", "a", "load_x"), ("add", "b", "load_x save_y fold_z")]
    said = [("say", "load_x"), ("say", "save_y fold_z")]
    assert counted(play([*added, ("drop", "b"), *said]).recall) == (1, 3, 1)
    assert counted(play([*added, ("drop", "a b"), *said]).recall) == (2, 3, 1)


@given(TRACES, TRACES)
def test_policies_that_share_a_library_do_not_disturb_each_other(
    one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]
) -> None:
    recorded = [step for step in one if step[0] in ("add", "say", "take_back")]
    policies = [sensible(one), sensible(recorded), sensible(_woven(recorded, other))]
    alone = [play(steps).recall for steps in policies]
    shared = Library()
    for step in policies[1]:
        if step[0] == "add":
            shared.add(step[1], step[2])
    for order in ([0, 1, 2], [2, 1, 0]):
        for at in order:
            assert play(policies[at], Trace(shared)).recall.misses == alone[at].misses
            assert counted(play(policies[at], Trace(shared)).recall) == counted(alone[at])


def _woven(
    recorded: Sequence[tuple[Any, ...]], other: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Return the recorded steps with the prunes of another trace between them."""
    prunes = iter([step for step in other if step[0] in ("drop", "shorten")])
    return [one for step in recorded for one in (step, next(prunes, None)) if one is not None]
