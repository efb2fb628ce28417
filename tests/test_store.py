"""Tests of the store: order, totals, what is unsent, live selections, the shelf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count, takewhile
from typing import Any, TypeAlias

import pytest
from builders import item
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctxbudget.core.errors import SourceError
from ctxbudget.core.store import Store
from ctxbudget.core.types import Form, Item, Kind, Layer
from ctxbudget.core.watch import Entry, Filter, Slot

Change: TypeAlias = Callable[[Store], object]


def store_of(*items: Item) -> Store:
    store = Store()
    for one in items:
        store.add(one)
    return store


def ids(items: Iterable[Item]) -> str:
    return " ".join(one.id for one in items)


def permanent(name: str, tokens: int = 10, version: int = 0) -> Item:
    return item(name, tokens, layer=Layer.PERMANENT, version=version)


# ---- order


def test_permanent_items_come_first_and_all_others_by_arrival() -> None:
    store = store_of(
        item("t"), permanent("p"), item("m", layer=Layer.METADATA), permanent("q"), item("u")
    )
    assert ids(store) == "p q t m u"


@pytest.mark.parametrize(
    ("leaving", "stand_in", "expected"),
    [
        ("b", item("b", version=1), "p q a b c"),
        ("b c", item("s", layer=Layer.METADATA), "p q a s"),
        ("c a", item("s"), "p q s b"),
        ("b", None, "p q a c"),
        ("", item("s"), "p q a b c s"),
        ("a", permanent("a", version=1), "p q a b c"),
        ("c", permanent("c", version=1), "p q c a b"),
    ],
)
def test_a_stand_in_takes_the_place_of_the_first_unless_it_becomes_permanent(
    leaving: str, stand_in: Item | None, expected: str
) -> None:
    store = store_of(item("a"), permanent("p"), item("b"), permanent("q"), item("c"))
    store.replace(leaving.split(), stand_in)
    assert ids(store) == expected
    before = [store.tokens_before(store.entry(one.id).slot) for one in store]
    assert before == [10 * n for n in range(len(store))]


def test_pinned_and_permanent_items_are_listed_in_prompt_order() -> None:
    store = store_of(
        item("a"), item("pinned", pinned=True), replace(permanent("p"), source="f"), permanent("q")
    )
    store.add(item("newer", source="f"))  # marks p
    assert ids(store.untouchable()) == "p q pinned"


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([item("a", kind=Kind.TOOL_CALL), item("b", kind=Kind.TOOL_RESULT)], "a b"),
        ([item("a", kind=Kind.TOOL_CALL), item("b", kind=Kind.TOOL_RESULT, pinned=True)], ""),
        ([item("a", kind=Kind.TOOL_CALL), item("b", layer=Layer.PERMANENT)], ""),
        ([item("a", kind=Kind.TOOL_CALL), item("b", kind=Kind.THINKING)], ""),
        ([item("b", kind=Kind.TOOL_RESULT), item("a", kind=Kind.TOOL_CALL)], "b a"),
    ],
)
def test_a_group_leaves_whole_but_not_while_a_member_is_pinned_or_a_call_waits(
    group: list[Item], expected: str
) -> None:
    store = store_of(item("x"), *(replace(one, group="g") for one in group), item("y"))
    assert ids(entry.item for entry in store.leaving_with("a")) == expected
    assert ids(entry.item for entry in store.leaving_with("x")) == "x"


# ---- totals and the shelf


def test_totals_are_split_by_layer_phase_and_group() -> None:
    store = store_of(
        permanent("p", 500),
        item("call", 100, phase="plan", group="g"),
        item("result", 900, phase="plan", group="g"),
        item("note", 50, phase="code", layer=Layer.METADATA),
    )
    assert (len(store), store.tokens) == (4, 1_550)
    assert list(store.layer_tokens.values()) == [500, 0, 50, 1_000]
    assert (store.phase_tokens["plan"], store.phase_tokens[None]) == (1_000, 500)
    store.replace(["result"], item("result", 20, phase="plan", group="g", version=1))
    assert (store.tokens, store.group_tokens["g"], store.phase_tokens["plan"]) == (670, 120, 120)
    assert (store.group_of("call"), store.group_of("p")) == (("call", "result"), ("p",))


def test_an_output_and_its_stand_in_are_never_counted_together() -> None:
    store = store_of(item("output", 5_000))
    store.replace(["output"], item("output", 250, version=1))
    assert (store.tokens, store.peak_tokens) == (250, 5_000)


def test_the_shelf_keeps_every_version_that_left_oldest_first() -> None:
    store = store_of(item("a", 5_000), item("b"))
    versions = [store["a"], item("a", 300, version=1)]
    store.replace(["a"], versions[1])
    store.update(replace(store["b"], ready=True))
    store.replace(["a"], None)
    assert {name: [one.item for one in left] for name, left in store.shelf.items()} == {
        "a": versions
    }


def test_an_id_that_is_in_the_prompt_is_refused_and_one_that_left_is_not() -> None:
    store = store_of(item("a"), item("b"))
    with pytest.raises(SourceError, match=r"'a' is already in the prompt; ids must differ"):
        store.add(item("a"))
    assert (ids(store), store.tokens) == ("a b", 20)
    store.replace(["a"], None)
    store.add(item("a"))
    assert ids(store) == "b a"


# ---- what the last call sent


def swap(name: str, stand_in: Item | None) -> Change:
    return lambda store: store.replace([name], stand_in)


def put_back_a(store: Store) -> None:
    old = store["a"]
    store.replace(["a"], item("a", 3, version=1))
    store.replace(["a"], old)


def put_back_c(store: Store) -> None:
    old = store["c"]
    store.replace(["c"], None)
    store.add(old)


SENT: dict[str, tuple[Change, int, int]] = {
    # the same at the front, and behind the first change as the last call carried it
    "nothing_changed": (len, 160, 0),
    "used_again": (lambda store: store.touch("a"), 160, 0),
    "learned_more": (lambda store: store.update(replace(store["a"], ready=True)), 160, 0),
    "one_more": (lambda store: store.add(item("d", 40)), 160, 0),
    "dropped_last": (swap("c", None), 130, 0),
    "dropped_first": (swap("a", None), 100, 50),
    "shorter_in_the_middle": (swap("b", item("b", 2, version=1)), 110, 30),
    "permanent_arrived": (lambda store: store.add(permanent("q", 7)), 100, 60),
    "became_permanent": (swap("c", permanent("c", 7, version=1)), 100, 30),
    "shortened_and_undone": (put_back_a, 160, 0),
    "dropped_and_put_back_counts_as_changed": (put_back_c, 130, 0),
}


def sent(store: Store) -> tuple[int, int]:
    """Record a call and return what of it was the same at the front, and carried behind."""
    found = store.sent()
    return found.same_prefix_tokens, found.carried_after_tokens


@pytest.mark.parametrize(("change", "same", "after"), SENT.values(), ids=SENT)
def test_sent_is_what_stands_at_the_front_as_in_the_last_call(
    change: Change, same: int, after: int
) -> None:
    store = store_of(permanent("p", 100), item("a", 10), item("b", 20), item("c", 30))
    assert sent(store) == (0, 0)
    change(store)
    assert sent(store) == (same, after)
    assert sent(store) == (store.tokens, 0)
    assert store.calls == 3


# ---- what comes back, and what a reader has to read again


@pytest.mark.parametrize(
    ("name", "stand_in", "in_place", "expected"),
    [
        ("b", None, True, "p a b c"),
        ("b", item("s"), False, "p a s c b"),
        ("p", None, True, "p a b c"),
        ("p", item("s"), True, "p a b c s"),
        ("p", permanent("s"), False, "s p a b c"),
        ("c", None, True, "p a b c"),
    ],
)
def test_what_is_put_back_goes_to_its_old_place_or_the_end_of_its_part(
    name: str, stand_in: Item | None, in_place: bool, expected: str
) -> None:
    store = store_of(permanent("p"), item("a"), item("b"), item("c"))
    entry = store.entry(name)
    store.replace([name], stand_in)
    assert store.put_back(entry) is in_place
    assert ids(store) == expected
    assert store.tokens == 10 * len(store)
    assert [one.item.id for one in store.shelf[name]] == [name]  # it stays there too


def test_what_is_put_back_is_used_now_and_protected_until_a_call_has_carried_it() -> None:
    store = store_of(item("a", kind=Kind.ARTIFACT), item("b"))
    store.sent()
    store.sent()
    entry = store.entry("a")
    store.replace(["a"], None)
    store.put_back(entry)
    back = store.entry("a")
    assert (back.arrived_call, back.touched_call, back.returned_call) == (0, 2, 2)
    assert back.is_fresh(store.calls)
    assert entry.returned_call == -1  # the shelf keeps what left as it was
    store.sent()
    assert not back.is_fresh(store.calls)


def test_what_is_put_back_at_the_end_arrives_now() -> None:
    store = store_of(item("a"), item("b"))
    store.sent()
    store.sent()
    entry = store.entry("a")
    store.replace(["a"], item("s"))
    store.put_back(entry)
    assert [(one.item.id, one.arrived_call) for one in store.entries()] == [
        ("s", 0),
        ("b", 0),
        ("a", 2),
    ]
    assert entry.arrived_call == 0


@pytest.mark.parametrize(
    ("leaving", "sent_without", "coming", "expected"),
    [
        ("c", True, "c", [("a", 0), ("b", 0), ("c", 2)]),
        ("c", False, "c", [("a", 0), ("b", 0), ("c", 0)]),  # the last call has carried it there
        ("b c", True, "b c", [("a", 0), ("b", 2), ("c", 2)]),
        ("b c", True, "c b", [("a", 0), ("b", 0), ("c", 2)]),  # b comes between others
        ("b", True, "b", [("a", 0), ("b", 0), ("c", 0)]),
    ],
)
def test_what_is_appended_to_what_was_sent_without_it_arrives_now_also_in_its_old_place(
    leaving: str, sent_without: bool, coming: str, expected: list[tuple[str, int]]
) -> None:
    store = store_of(item("a"), item("b"), item("c"))
    store.sent()
    entries = {name: store.entry(name) for name in leaving.split()}
    if sent_without:
        store.replace(entries, None)
        store.sent()
    else:
        store.sent()
        store.replace(entries, None)
    for name in coming.split():
        assert store.put_back(entries[name])
    assert [(one.item.id, one.arrived_call) for one in store.entries()] == expected


def test_a_cleared_item_that_is_put_back_as_a_whole_is_as_old_as_it_was() -> None:
    """The last call carried it, in its shorter form, in the same place."""
    store = store_of(item("a"), item("b"))
    store.replace(["b"], item("b", version=1, form=Form.CLEAR))
    store.sent()
    store.replace(["b"], None)
    store.put_back(store.shelf["b"][0])
    assert store.entry("b").arrived_call == 0


def test_age_does_not_fall_where_something_came_to_its_old_place_at_the_end() -> None:
    store = store_of(item("a"), item("b"), item("c"))
    b, c = store.entry("b"), store.entry("c")
    store.replace(["b", "c"], None)
    store.sent()
    store.put_back(b)
    store.add(item("d"))
    store.put_back(c)  # between them
    assert [one.arrived_call for one in store.entries()] == [0, 1, 1, 1]


def test_what_came_to_the_end_anew_stays_as_young_as_then_unless_older_is_behind_it() -> None:
    store = store_of(item("a"), item("b"), item("c"))
    b, c = store.entry("b"), store.entry("c")
    store.replace(["b"], None)
    store.sent()  # without b
    store.replace(["c"], None)
    store.put_back(b)
    assert store.entry("b").arrived_call == 1
    store.replace(["b"], None)
    store.put_back(c)  # which the last call has carried
    store.put_back(b)
    assert [(one.item.id, one.arrived_call) for one in store.entries()] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
    ]
    store.replace(["b", "c"], None)
    store.sent()
    store.put_back(c)
    store.sent()
    store.replace(["c"], None)
    store.put_back(c)  # as it was at first
    assert store.entry("c").arrived_call == 2


def test_what_has_been_at_the_end_meanwhile_is_in_its_old_place_as_old_as_it_was_there() -> None:
    store = store_of(item("a"), item("b"))
    store.sent()
    b = store.entry("b")
    store.replace(["b"], item("s"))
    assert not store.put_back(b)
    assert store.entry("b").arrived_call == 1
    store.replace(["b", "s"], None)
    assert store.put_back(b)
    assert store.entry("b").arrived_call == 0


def test_what_is_put_back_behind_a_newer_copy_is_superseded_and_else_it_is_not() -> None:
    store = store_of(item("a", source="f"), item("b", source="f"), item("c"))
    old, new = store.entry("a"), store.entry("b")
    store.replace(["a", "b"], None)
    store.put_back(new)
    assert not store["b"].superseded
    store.put_back(old)
    assert store["a"].superseded
    old = store.entry("a")
    store.replace(["a", "b"], None)
    store.put_back(old)
    assert (old.item.superseded, store["a"].superseded) == (True, False)
    store.put_back(new)
    assert (store["a"].superseded, store["b"].superseded) == (True, False)


def test_what_is_put_back_may_be_pinned() -> None:
    store = store_of(item("a"))
    entry = store.entry("a")
    for pin in (False, True):
        store.replace(["a"], None)
        store.put_back(entry, pin=pin)
        assert [one.id for one in store.untouchable()] == ["a"] * pin
        assert len(store.matching(Filter())) == (not pin)


def test_entries_may_be_read_from_a_place_on() -> None:
    store = store_of(permanent("p"), item("a"), item("b"), item("c"))
    place = store.entry("b").slot
    assert ids(entry.item for entry in store.entries(place)) == "b c"
    store.replace(["b"], None)
    assert ids(entry.item for entry in store.entries(place)) == "c"
    assert ids(entry.item for entry in store.entries()) == "p a c"
    assert ids(entry.item for entry in store.entries((9, 0))) == ""


def test_a_reader_is_told_the_first_place_that_changed_and_asks_once() -> None:
    store = store_of(permanent("p"), item("a"), item("b"))
    assert store.take_changes() == (store.entry("p").slot, ())
    assert store.take_changes() == (None, ())
    store.touch("a")
    store.sent()
    store.update(replace(store["a"], ready=True))
    assert store.take_changes() == (None, ())
    place = store.entry("a").slot
    store.replace(["b"], None)
    store.replace(["a"], None)
    store.add(item("c"))
    assert [store.take_changes(), store.take_changes()] == [(place, ()), (None, ())]
    store.add(item("d"))
    assert store.take_changes() == (store.entry("d").slot, ())


@pytest.mark.parametrize(
    ("leaving", "stand_in", "place_of", "patched"),
    [
        ("b", item("b", version=1), None, ("b",)),
        ("b", item("s"), "b", ()),
        ("a b", item("a", version=1), "a", ()),
        ("a", permanent("a", version=1), "a", ()),
        ("b", None, "b", ()),
    ],
)
def test_a_reader_is_told_apart_what_only_changed_form(
    leaving: str, stand_in: Item | None, place_of: str | None, patched: tuple[str, ...]
) -> None:
    store = store_of(item("a"), item("b"), item("c"), replace(permanent("p"), kind=Kind.TOOLS))
    store.replace(["c"], item("c", version=1))
    assert store.take_changes() == (store.entry("p").slot, ())  # it has to read all the first time
    place = store.entry(place_of).slot if place_of else None
    store.replace(leaving.split(), stand_in)
    changed, forms = store.take_changes()
    if stand_in is not None and stand_in.layer is Layer.PERMANENT:
        place = store.entry("a").slot  # it stands ahead of where it stood
    assert (changed, forms) == (place, patched)
    assert store.take_changes() == (None, ())


def test_a_new_form_does_not_hide_an_earlier_change_behind_it() -> None:
    store = store_of(item("a"), item("b"), item("c"))
    store.take_changes()
    place = store.entry("c").slot
    store.replace(["c"], None)
    store.replace(["a"], item("a", version=1))
    assert store.take_changes() == (place, ("a",))


def put_back_b(store: Store) -> None:
    entry = store.entry("b")
    store.replace(["b"], None)
    store.sent()
    store.put_back(entry)


EDITED: dict[str, tuple[Change, str]] = {
    # the item at whose place the first edit is; a place that is empty now is named by what left
    "nothing": (len, ""),
    "one_more": (lambda store: store.add(item("d")), ""),
    "learned_more": (lambda store: store.update(replace(store["a"], ready=True)), ""),
    "shorter": (swap("b", item("b", version=1)), "b"),
    "the_last_left": (swap("c", None), "c"),
    "two_left": (lambda store: store.replace(["b", "a"], None), "a"),
    "permanent_arrived": (lambda store: store.add(permanent("q")), "q"),
    "put_back": (put_back_b, "b"),
}


@pytest.mark.parametrize(("change", "name"), EDITED.values(), ids=EDITED)
def test_an_edit_is_what_changes_ahead_of_the_end(change: Change, name: str) -> None:
    store = store_of(permanent("p"), item("a"), item("b"), item("c"))
    store.sent()
    places = {one.item.id: one.slot for one in store.entries()}
    change(store)
    places |= {one.item.id: one.slot for one in store.entries()}
    assert store.edited == places.get(name)
    store.sent()
    assert store.edited is None


# ---- selections

ZOO = (
    permanent("perm", 99),
    item("goal", 99, pinned=True),
    item("scoped", 5, layer=Layer.PHASE),
    item("note", 6, layer=Layer.METADATA, form=Form.DIGEST, kind=Kind.ARTIFACT),
    item("out", 900, kind=Kind.ARTIFACT, ready=True),
    item("read", 800, kind=Kind.TOOL_RESULT, tool="read", source="f"),
    item("bash", 10, kind=Kind.TOOL_RESULT, tool="bash", form=Form.CLEAR),
    item("again", 800, kind=Kind.TOOL_RESULT, tool="read", source="f"),
)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (Filter(), "scoped note out read bash again"),
        (Filter(layers=(Layer.PHASE, Layer.METADATA)), "scoped note"),
        (Filter(layers=(Layer.PERMANENT,)), ""),
        (Filter(kinds=(Kind.ARTIFACT,)), "note out"),
        (Filter(kinds=(Kind.ARTIFACT,), forms=(Form.WHOLE,)), "out"),
        (Filter(forms=(Form.CLEAR, Form.DIGEST)), "note bash"),
        (Filter(tools=("read",)), "read again"),
        (Filter(not_tools=("read",)), "scoped note out bash"),
        (Filter(not_tools=("read", "bash")), "scoped note out"),
        (Filter(tools=("read", "bash"), not_tools=("read",)), "bash"),
        (Filter(min_tokens=10), "out read bash again"),
        (Filter(min_tokens=11), "out read again"),
        (Filter(ready=True), "out"),
        (Filter(ready=False), "scoped note read bash again"),
        (Filter(superseded=True), "read"),
        (Filter(tools=("read",), superseded=False), "again"),
    ],
    ids=str,
)
@pytest.mark.parametrize("asked_first", [True, False])
def test_a_selection_is_what_its_filter_says_and_never_pinned_or_permanent(
    what: Filter, expected: str, asked_first: bool
) -> None:
    store = Store()
    if asked_first:
        store.matching(what)
    for one in ZOO:
        store.add(one)
    assert ids(entry.item for entry in store.matching(what)) == expected


def test_a_selection_by_use_has_what_was_untouched_for_longest_first() -> None:
    store = store_of(item("a"), item("b"), item("c"))
    watch = store.matching(Filter())
    for name in ("b", "a"):
        store.sent()
        store.touch(name)
    assert ids(entry.item for entry in watch.least_used_first()) == "c b a"
    assert ids(entry.item for entry in watch.newest_first()) == "c b a"
    assert ids(entry.item for entry in watch) == "a b c"


def test_a_stand_in_is_as_old_as_what_it_replaces_and_a_new_one_is_used_now() -> None:
    store = store_of(item("a"), item("b"), item("c"))
    store.sent()
    store.replace(["a"], item("a", version=1))
    store.replace(["b", "c"], item("s"))
    ages = {name: store.entry(name) for name in "as"}
    assert [(one.arrived_call, one.touched_call) for one in ages.values()] == [(0, 0), (0, 1)]


@pytest.mark.parametrize(("kind", "fresh"), [(Kind.TOOL_RESULT, True), (Kind.ARTIFACT, False)])
def test_only_conversation_that_no_call_has_carried_is_fresh(kind: Kind, fresh: bool) -> None:
    store = store_of(item("a", kind=kind))
    assert store.entry("a").is_fresh(store.calls) is fresh
    store.sent()
    assert not store.entry("a").is_fresh(store.calls)


def test_a_newer_copy_of_a_source_supersedes_all_older_ones_in_any_form() -> None:
    store = store_of(item("a", source="f"), item("b", source="f"), item("c", source="g"), item("d"))
    assert ids(one for one in store if one.superseded) == "a"
    store.replace(["b"], item("b", source="f", version=1))
    store.replace(["c"], None)
    for name, source in (("e", "f"), ("h", "g")):
        store.add(item(name, source=source))
    assert ids(one for one in store if one.superseded) == "a b"


def test_an_item_that_comes_back_does_not_supersede_itself() -> None:
    store = store_of(item("a", source="f"))
    store.replace(["a"], None)
    store.add(item("a", source="f"))
    assert not store["a"].superseded


# ---- any sequence of changes, against plain lists

FILTERS = (
    Filter(),
    Filter(layers=(Layer.PHASE, Layer.TRANSIENT), min_tokens=20),
    Filter(kinds=(Kind.ARTIFACT,), ready=True),
    Filter(tools=("read",), superseded=False),
    Filter(superseded=True),
    Filter(forms=(Form.CLEAR,)),
    Filter(not_tools=("read",), kinds=(Kind.TOOL_RESULT,)),
)
any_item = st.builds(
    item,
    st.just(""),
    st.integers(0, 50),
    layer=st.sampled_from(Layer),
    kind=st.sampled_from((Kind.USER, Kind.TOOL_RESULT, Kind.ARTIFACT, Kind.SYSTEM, Kind.TOOLS)),
    phase=st.sampled_from((None, "a", "b")),
    group=st.sampled_from((None, "g", "h")),
    tool=st.sampled_from((None, "read")),
    source=st.sampled_from((None, "f")),
    pinned=st.sampled_from((False, False, True)),
)
learned = st.fixed_dictionaries(
    {"phase": st.sampled_from((None, "a", "b")), "group": st.sampled_from((None, "g"))},
    optional={"pinned": st.booleans(), "ready": st.booleans()},
)


@dataclass
class Held:
    """An item as a plain list holds it."""

    item: Item
    arrived: int
    touched: int
    returned: int = -1
    place: int = field(default=0, compare=False)
    """Numbered by arrival; a stand-in takes it over."""

    @property
    def content(self) -> tuple[int, str, int]:
        return self.place, self.item.id, self.item.version


def tokens_of(held: Iterable[Held]) -> int:
    return sum(one.item.tokens for one in held)


def shown(entry: Entry) -> tuple[Slot, str, int]:
    return entry.slot, entry.item.id, entry.item.version


occupied = precondition(lambda machine: bool(machine.prompt()))


class AgainstPlainLists(RuleBasedStateMachine):
    """Does to a store and to plain lists the same, and compares all there is to see."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.numbers = Store(), count(1)
        self.rows: tuple[list[Held], ...] = ([], [], [], [])
        self.shelf: dict[str, list[Held]] = {}
        self.latest: dict[str, str] = {}
        self.carried: list[tuple[int, str, int]] = []
        self.rendered: list[tuple[Slot, str, int]] = []
        self.slots: dict[int, Slot] = {}
        self.edits: list[int] = []
        self.calls = self.peak = 0

    def prompt(self) -> list[Held]:
        return [held for row in self.rows for held in row]

    def row(self, one: Item) -> list[Held]:
        """Tools come first, then the permanent system prompt, what else is permanent, the rest."""
        if one.kind is Kind.TOOLS:
            return self.rows[0]
        if one.layer is Layer.PERMANENT:
            return self.rows[1 if one.kind is Kind.SYSTEM else 2]
        return self.rows[3]

    def end_of(self, new: Held) -> None:
        new.place = next(self.numbers)
        self.row(new.item).append(new)
        self.placed(new)

    def placed(self, new: Held) -> None:
        """Remember where the store put an item, and whether others stand behind it."""
        self.slots[new.place] = self.store.entry(new.item.id).slot
        if self.prompt()[-1] is not new:
            self.edits.append(new.place)

    def pick(self, draw: st.DataObject) -> Held:
        return draw.draw(st.sampled_from(self.prompt()))

    @rule(what=st.sampled_from(FILTERS))
    def select(self, what: Filter) -> None:
        self.store.matching(what)

    @rule(new=any_item)
    def add(self, new: Item) -> None:
        new = replace(new, id=f"i{next(self.numbers)}")
        self.store.add(new)
        self.end_of(Held(new, self.calls, self.calls))
        if new.source is not None:
            for held in self.prompt():
                if held.item.id == self.latest.get(new.source):
                    held.item = replace(held.item, superseded=True)
            self.latest[new.source] = new.id

    @occupied
    @rule(draw=st.data(), step=st.sampled_from((-1, 1)), tokens=st.integers(0, 50))
    def reshape(self, draw: st.DataObject, step: int, tokens: int) -> None:
        """Go to the next version of an item, or back to the one before."""
        old = self.pick(draw).item
        form = Form.CLEAR if step > 0 else Form.WHOLE
        self.swap([old.id], replace(old, version=old.version + step, tokens=tokens, form=form))

    @occupied
    @rule(draw=st.data(), new=st.none() | any_item)
    def replace_several(self, draw: st.DataObject, new: Item | None) -> None:
        names = [held.item.id for held in self.prompt()]
        leaving = draw.draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
        self.swap(leaving, new and replace(new, id=f"s{next(self.numbers)}"))

    def swap(self, leaving: list[str], new: Item | None) -> None:
        self.store.replace(leaving, new)
        taken = [held for held in self.prompt() if held.item.id in leaving]
        for held in taken:
            self.shelf.setdefault(held.item.id, []).append(held)
            self.edits.append(held.place)
        for row in self.rows:
            row[:] = [held for held in row if not any(held is one for one in taken)]
        if new is None:
            return
        if not taken or self.row(taken[0].item) is not self.row(new):
            self.end_of(Held(new, self.calls, self.calls))
            return
        touched = taken[0].touched if new.id == taken[0].item.id else self.calls
        self.put(Held(new, taken[0].arrived, touched, place=taken[0].place))

    def put(self, new: Held) -> None:
        """Put an item in the place it names."""
        row = self.row(new.item)
        row.insert(sum(held.place < new.place for held in row), new)
        self.placed(new)

    @precondition(lambda machine: any(name not in machine.store for name in machine.shelf))
    @rule(draw=st.data(), pin=st.booleans())
    def put_back(self, draw: st.DataObject, pin: bool) -> None:
        name = draw.draw(st.sampled_from([one for one in self.shelf if one not in self.store]))
        index = draw.draw(st.integers(0, len(self.shelf[name]) - 1))
        old = self.shelf[name][index]
        latest = self.latest.get(old.item.source or "")
        is_newest = name == latest
        has_newer = latest is not None and not is_newest and latest in self.store
        item = replace(old.item, pinned=old.item.pinned or pin, superseded=has_newer)
        arrived = self.arrived_at(old)
        in_place = self.store.put_back(self.store.shelf[name][index], pin=pin)
        assert in_place is all(held.place != old.place for held in self.prompt())
        if in_place:
            self.put(Held(item, arrived, self.calls, self.calls, old.place))
        else:
            self.end_of(Held(item, self.calls, self.calls, self.calls))
        if item.source is not None and is_newest:
            for held in self.prompt():
                if held.item.source == item.source and held.item.id != name:
                    held.item = replace(held.item, superseded=True)

    def arrived_at(self, old: Held) -> int:
        """Return when an item arrived that goes back to its old place, now if it is appended."""
        name, row = old.item.id, self.row(old.item)
        is_last = all(self.slots[held.place] < self.slots[old.place] for held in self.prompt())
        was_sent = any(one[:2] == (old.place, name) for one in self.carried)
        if is_last and not was_sent:
            return self.calls
        ahead = [held.arrived for held in row if held.place < old.place]
        here = [held.arrived for held in self.shelf[name] if held.place == old.place]
        behind = [held.arrived for held in row if held.place > old.place]
        return min([max(ahead + here), *behind])

    @rule()
    def read(self) -> None:
        """Bring a copy up to date by what the store says has changed."""
        place, patched = self.store.take_changes()
        forms = {self.store.entry(name).slot: name for name in patched if name in self.store}
        ahead = [one for one in self.rendered if place is None or one[0] < place]
        self.rendered = [
            shown(self.store.entry(forms[one[0]])) if one[0] in forms else one for one in ahead
        ]
        if place is not None:
            self.rendered += [shown(entry) for entry in self.store.entries(place)]
        assert self.rendered == [shown(entry) for entry in self.store.entries()]

    @occupied
    @rule(draw=st.data(), news=learned)
    def learn(self, draw: st.DataObject, news: dict[str, Any]) -> None:
        held = self.pick(draw)
        held.item = replace(held.item, **news)
        self.store.update(held.item)

    @occupied
    @rule(draw=st.data())
    def touch(self, draw: st.DataObject) -> None:
        held = self.pick(draw)
        held.touched = self.calls
        self.store.touch(held.item.id)

    @rule()
    def call(self) -> None:
        sent, same = self.store.sent(), self.same()
        behind = self.prompt()[len(same) :]
        carried = [held for held in behind if held.content in self.carried]
        assert sent.same_prefix_tokens == tokens_of(same)
        assert sent.carried_after_tokens == tokens_of(carried)
        self.carried = [held.content for held in self.prompt()]
        self.calls += 1
        self.edits.clear()

    def same(self) -> list[Held]:
        """Return what stands at the front as the last call carried it."""
        pairs = zip(self.prompt(), self.carried, strict=False)
        return [held for held, _ in takewhile(lambda pair: pair[0].content == pair[1], pairs)]

    @invariant()
    def what_is_unsent_starts_behind_the_common_prefix(self) -> None:
        first = self.store.first_change()
        found = self.store.tokens if first is None else self.store.tokens_before(first)
        assert found == tokens_of(self.same())

    @invariant()
    def the_first_edit_is_known(self) -> None:
        slots = [self.slots[place] for place in self.edits]
        assert self.store.edited == min(slots, default=None)

    @invariant()
    def the_items_stand_in_order_with_their_ages(self) -> None:
        entries = list(self.store.entries())
        assert [Held(e.item, e.arrived_call, e.touched_call, e.returned_call) for e in entries] == (
            self.prompt()
        )
        assert [entry.slot for entry in entries] == [self.slots[h.place] for h in self.prompt()]
        assert [entry.slot for entry in entries] == sorted(entry.slot for entry in entries)
        assert [self.store.entry(one.id) for one in self.store] == entries
        arrivals = [held.arrived for held in self.rows[3]]
        assert arrivals == sorted(arrivals)

    @invariant()
    def totals_are_the_sums_of_what_is_there(self) -> None:
        store, items = self.store, [held.item for held in self.prompt()]
        self.peak = max(self.peak, sum(one.tokens for one in items))
        assert (store.tokens, store.peak_tokens) == (sum(one.tokens for one in items), self.peak)
        for layer in Layer:
            assert store.layer_tokens[layer] == sum(i.tokens for i in items if i.layer is layer)
        for phase in (None, "a", "b"):
            assert store.phase_tokens[phase] == sum(i.tokens for i in items if i.phase == phase)
        for group in ("g", "h"):
            members = [one for one in items if one.group == group]
            assert store.group_tokens[group] == sum(one.tokens for one in members)
            for one in members:
                assert store.group_of(one.id) == tuple(member.id for member in members)

    @invariant()
    def all_that_left_is_on_the_shelf_and_the_untouchable_are_known(self) -> None:
        left = {name: [one.item for one in them] for name, them in self.store.shelf.items()}
        assert left == {name: [held.item for held in them] for name, them in self.shelf.items()}
        untouchable = {held.item.id for held in self.prompt() if held.item.untouchable}
        assert {one.id for one in self.store.untouchable()} == untouchable

    @invariant()
    def selections_are_the_matching_items_by_place_use_and_phase(self) -> None:
        for what in FILTERS[: 1 + self.calls]:  # the others are made late, by `select`
            watch = self.store.matching(what)
            held = [one for one in self.prompt() if what.matches(one.item)]
            names = [one.item.id for one in held]
            by_use = [one.item.id for one in sorted(held, key=lambda one: one.touched)]
            assert (len(watch), [entry.item.id for entry in watch]) == (len(names), names)
            assert [entry.item.id for entry in watch.newest_first()] == names[::-1]
            assert [entry.item.id for entry in watch.least_used_first()] == by_use
            assert set(watch.phases()) == {one.item.phase for one in held}
            for phase in (None, "a", "b"):
                of_phase = [one.item.id for one in held if one.item.phase == phase]
                assert [entry.item.id for entry in watch.of_phase(phase)] == of_phase


TestAgainstPlainLists = AgainstPlainLists.TestCase
