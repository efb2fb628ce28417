"""Tests of exchanges as facts: whose tokens are whose, what left, what came in unseen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    CallStarted,
    ItemAdded,
    PhaseStarted,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.types import Item, Kind, Layer
from ctxbudget.journal import TextLine, content_hash
from ctxbudget.live.sizing import FRAME_TOKENS
from ctxbudget.recorded.usage import Split
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.facts import PREFIX, Facts, Record
from ctxbudget.transcripts.sizes import Estimator, is_plausible

MODEL = "gpt-5"
"""Counts by o200k as it is, so that sizes can be worked out by hand."""


def part(name: str, tokens: int, kind: Kind = Kind.USER, **fields: Any) -> Part:
    """Return a part of which so many tokens are expected."""
    words = " ".join(["ok"] * (tokens - FRAME_TOKENS))
    type_ = "thinking" if kind is Kind.THINKING else "text"
    return Part(id=name, kind=kind, block={"type": type_, type_: words}, **fields)


def wrote(name: str, tokens: int = 20) -> Part:
    return part(name, tokens, Kind.ASSISTANT)


def thought(name: str, tokens: int = FRAME_TOKENS) -> Part:
    """Return thinking, of which the text is often not recorded."""
    return part(name, tokens, Kind.THINKING)


def asked(name: str, group: str, tokens: int = 20) -> Part:
    return part(name, tokens, Kind.TOOL_CALL, group=group, tool="Read")


def brought(name: str, group: str, tokens: int) -> Part:
    return part(name, tokens, Kind.TOOL_RESULT, group=group, tool="Read")


def attached(name: str, tokens: int) -> Part:
    return part(name, tokens, is_injected=True)


def call(
    prompt: int,
    *came: Part,
    read: int = 0,
    output: int | None = 20,
    wrote: Iterable[Part] = (),
    at: float = 0.0,
    model: str = MODEL,
    **fields: Any,
) -> Exchange:
    """Return a call whose prompt held so many tokens, of which some were read from the cache."""
    return Exchange(
        at_s=at,
        model=model,
        tokens=Split(prompt - read, read, 0, 0, 1 if output is None else output),
        output_is_known=output is not None,
        came=came,
        wrote=tuple(wrote),
        **fields,
    )


class Made:
    """The records of exchanges, and each call's prompt as they have it."""

    def __init__(self, *exchanges: Exchange) -> None:
        self.facts = Facts("one.jsonl")
        self.records: list[Record] = list(self.facts.records(exchanges))
        self.items: dict[str, Item] = {}
        self.prompts: list[dict[str, int]] = []
        present: dict[str, Item] = {}
        for record in self.records:
            if isinstance(record, ItemAdded):
                item = record.item
                assert item.id not in present
                assert item.tokens >= 0
                assert item.version == (self.items[item.id].version + 1 if self._again(item) else 0)
                present[item.id] = self.items[item.id] = item
            elif isinstance(record, Withdrawn):
                for name in record.items:
                    del present[name]
            elif isinstance(record, CallSent):
                self.prompts.append({name: one.tokens for name, one in present.items()})
        sums = [sum(prompt.values()) for prompt in self.prompts]
        assert sums == [one.tokens.prompt_tokens for one in exchanges]

    def _again(self, item: Item) -> bool:
        assert item.id not in self.items or item.id == PREFIX
        return item.id in self.items

    @property
    def withdrawn(self) -> list[Withdrawn]:
        return [one for one in self.records if isinstance(one, Withdrawn)]

    @property
    def added(self) -> list[str]:
        return [one.item.id for one in self.records if isinstance(one, ItemAdded)]


FIRST = call(1_000, part("goal", 100), output=50, wrote=[wrote("said")])
"""A first call: a prefix of 900 tokens, a goal of 100, an answer of 50."""


# ---- the first prompt


def test_the_prefix_is_what_the_first_prompt_does_not_show() -> None:
    made = Made(FIRST)
    assert made.prompts == [{PREFIX: 900, "goal": 100}]
    prefix = made.items[PREFIX]
    assert (prefix.kind, prefix.layer) == (Kind.SYSTEM, Layer.PERMANENT)
    assert made.added == [PREFIX, "goal", "said"]


@pytest.mark.parametrize(
    ("prompt", "prefix"), [(1_000, 900), (103, None), (102, None), (100, None), (60, None)]
)
def test_a_small_prefix_is_a_wrong_estimate(prompt: int, prefix: int | None) -> None:
    """Less than 2 % of the prompt, which the visible part then makes up alone."""
    if prompt == 103:
        prefix = 3  # 3 of 103 is more than 2 %
    (found,) = Made(call(prompt, part("goal", 100))).prompts
    assert found.get(PREFIX) == prefix
    assert found["goal"] == prompt - (prefix or 0)


def test_a_call_of_which_nothing_is_shown_is_all_prefix() -> None:
    assert Made(call(500)).prompts == [{PREFIX: 500}]


def test_no_exchange_makes_no_record() -> None:
    assert Made().records == []


def test_the_records_of_a_call() -> None:
    one = replace(FIRST, at_s=7.0, tokens=Split(3, 600, 100, 297, 50))
    records = Made(one, call(1_050, output=5, at=9.0)).records
    start, phase = records[0], records[1]
    assert isinstance(start, RunStarted)
    assert isinstance(phase, PhaseStarted)
    assert (start.at, start.workflow, phase.phase) == (7.0, "one.jsonl", "session")
    text = {"type": "text", "text": " ".join(["ok"] * 96)}
    assert next(one for one in records if isinstance(one, TextLine)) == TextLine(
        hash=content_hash(text), content=text
    )
    begun = [one for one in records if isinstance(one, CallStarted)]
    # A lifetime that does not show is the last one that did.
    assert [(one.at, one.model, one.ttl_s) for one in begun] == [
        (7.0, MODEL, 3600.0),
        (9.0, MODEL, 3600.0),
    ]
    sent = next(one for one in records if isinstance(one, CallSent))
    assert (sent.call, sent.tokens, sent.uncached_tokens, sent.cache_read_tokens) == (
        1,
        1_000,
        3,
        600,
    )
    assert (sent.cache_write_tokens, sent.cache_write_1h_tokens) == (397, 297)
    told = next(one for one in records if isinstance(one, CallAnswered))
    assert (told.prompt_tokens, told.output_tokens) == (1_000, 50)
    assert (told.cache_write_tokens, told.cache_write_1h_tokens) == (397, 297)


def test_a_text_that_stands_in_several_items_is_kept_once() -> None:
    records = Made(call(1_000, part("a", 100), part("b", 100))).records
    assert sum(isinstance(one, TextLine) for one in records) == 1
    hashes = {one.text for one in records if isinstance(one, ItemAdded) and one.item.id != PREFIX}
    assert len(hashes) == 1


# ---- what a prompt gains


def second(prompt: int, *came: Part, first: Exchange = FIRST, **fields: Any) -> dict[str, int]:
    """Return what the second call's prompt holds beside what stood in the first."""
    read = fields.pop("read", 1_000)
    made = Made(first, call(prompt, *came, read=min(prompt, read), **fields))
    return {name: one for name, one in made.prompts[1].items() if name not in (PREFIX, "goal")}


def test_the_answer_has_the_providers_size_and_what_came_the_rest() -> None:
    # 20 were expected of the answer, 50 are known; 150 were gained, so that 100 are left.
    assert second(1_150, brought("r", "t", 60)) == {"said": 50, "r": 100}


def test_what_came_shares_in_proportion_to_what_is_expected() -> None:
    # 61 and 31 by weight of the 138 that are left: 91.5 and 46.5, the earlier is rounded up.
    assert second(1_188, part("a", 60), part("b", 30)) == {"said": 50, "a": 92, "b": 46}


def test_an_unknown_output_shares_with_what_came() -> None:
    first = replace(FIRST, output_is_known=False)
    # 20 and 60 are expected, of which 21 and 61 of 82 parts of 123 are 31.5 and 91.5.
    assert second(1_123, part("r", 60), first=first) == {"said": 32, "r": 91}


def test_thinking_is_what_the_visible_answer_does_not_explain() -> None:
    first = replace(FIRST, wrote=(thought("t"), wrote("said")))
    assert second(1_050, first=first) == {"t": 30, "said": 20}


def test_two_thoughts_share_by_their_texts() -> None:
    first = replace(FIRST, wrote=(thought("t1", 19), thought("t2", 9), wrote("said")))
    assert second(1_050, first=first) == {"t1": 20, "t2": 10, "said": 20}


def test_an_answer_that_is_smaller_than_it_looks_leaves_thinking_nothing() -> None:
    first = call(
        1_000, part("goal", 100), output=15, wrote=[thought("t"), wrote("a"), wrote("b", 10)]
    )
    assert second(1_015, first=first) == {"t": 0, "a": 10, "b": 5}


def test_an_answer_that_did_not_stay_as_a_whole_shares_what_was_gained() -> None:
    """With 500 known and 150 gained, the result cannot have had less than nothing."""
    first = replace(FIRST, tokens=FIRST.tokens._replace(output_tokens=500))
    found = second(1_150, part("r", 500), first=first)
    assert found["said"] + found["r"] == 150
    assert found["said"] > 0


def test_the_last_answer_is_added_with_its_size() -> None:
    made = Made(replace(FIRST, wrote=(thought("t"), wrote("said"))))
    assert (made.items["t"].tokens, made.items["said"].tokens) == (30, 20)


# ---- what may have been attached


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (100, {"r": 100}),  # no room for it
        (117, {"r": 117}),  # 17 of 60 are less than 30 %
        (118, {"r": 100, "note": 18}),
        (160, {"r": 100, "note": 60}),
        (220, {"r": 100, "note": 120}),
        (300, {"r": 180, "note": 120}),  # at most twice what is expected of it
    ],
)
def test_what_is_attached_needs_room(gain: int, expected: dict[str, int]) -> None:
    found = second(1_050 + gain, brought("r", "t", 100), attached("note", 60))
    assert found == {"said": 50, **expected}


def test_what_was_never_in_the_prompt_is_no_item() -> None:
    made = Made(FIRST, call(1_050, attached("note", 60), read=1_000), call(1_070, read=1_050))
    assert "note" not in made.items


# ---- what came in unseen


@pytest.mark.parametrize(
    ("gain", "result", "unseen"),
    [(400, 400, None), (401, 100, 301), (5_000, 100, 4_900)],
)
def test_what_nothing_explains_came_in_unseen(gain: int, result: int, unseen: int | None) -> None:
    """Up to twice what is expected, and 200, may be one's own."""
    made = Made(FIRST, call(1_050 + gain, brought("r", "t", 100), read=1_000))
    assert made.prompts[1]["r"] == result
    assert made.prompts[1].get("unseen1") == unseen
    assert made.facts.unseen_tokens == (unseen or 0)
    assert made.facts.largest_prompt_tokens == 1_050 + gain


def test_growth_with_nothing_new_came_in_unseen_ahead_of_what_comes_next() -> None:
    made = Made(FIRST, call(1_080, read=1_000), call(2_130, part("go on", 30), read=1_080))
    assert made.prompts[2] == {
        PREFIX: 900,
        "goal": 100,
        "said": 50,
        "unseen1": 30,
        "unseen2": 1_020,
        "go on": 30,
    }
    unseen = made.items["unseen1"]
    assert (unseen.kind, unseen.layer) == (Kind.SYSTEM, Layer.TRANSIENT)
    assert made.facts.unseen_tokens == 1_050
    texts = {one.item.id: one.text for one in made.records if isinstance(one, ItemAdded)}
    assert (texts["unseen1"], texts["unseen2"], texts[PREFIX]) == (None, None, None)


# ---- what left


def test_a_rewind_takes_its_parts_and_what_the_model_wrote() -> None:
    made = Made(
        FIRST,
        call(1_150, part("two", 100), read=1_000, output=30, wrote=[wrote("answer")], at=3.0),
        call(1_150, part("2", 100), read=1_050, left=("two", "answer"), at=5.0),
    )
    assert made.prompts[2] == {PREFIX: 900, "goal": 100, "said": 50, "2": 100}
    (gone,) = made.withdrawn
    assert (gone.items, gone.is_compaction, gone.into, gone.at) == (
        ("two", "answer"),
        False,
        (),
        5.0,
    )


def test_a_compaction_names_what_stands_in() -> None:
    summary = part("sum", 100, Kind.SUMMARY)
    made = Made(
        FIRST,
        call(3_000, summary, compacted=("goal", "said"), stand_ins=("sum",)),
    )
    assert made.prompts[1] == {PREFIX: 900, "unseen1": 2_000, "sum": 100}
    (gone,) = made.withdrawn
    assert (gone.items, gone.is_compaction, gone.into) == (
        ("goal", "said"),
        True,
        ("sum", "unseen1"),
    )


def test_names_that_are_not_in_the_prompt_are_passed_over() -> None:
    made = Made(FIRST, call(1_050, read=1_000, left=("nobody",), compacted=("nothing",)))
    assert made.withdrawn == []


THINKING = [
    call(1_000, part("goal", 100), output=500, wrote=[thought("t"), wrote("a", 100)]),
    call(1_600, part("r", 100), read=1_000, output=50, wrote=[wrote("b")]),
]
"""Thinking of 400 tokens behind the goal."""


def test_thinking_behind_what_was_read_leaves_silently() -> None:
    # 1,600 are kept, 150 more expected, and 1,350 are there: 400 are missing.
    made = Made(*THINKING, call(1_350, part("go on", 100), read=1_000, at=9.0))
    assert [one.items for one in made.withdrawn] == [("t",)]
    assert made.prompts[2] == {PREFIX: 900, "goal": 100, "a": 100, "r": 100, "b": 50, "go on": 100}
    assert made.withdrawn[0].is_compaction is False


@pytest.mark.parametrize("read", [0, 1_000])
def test_thinking_leaves_before_what_is_older(read: int) -> None:
    made = Made(
        call(1_000, part("goal", 100), wrote=[asked("c", "t1")]),
        call(
            1_120,
            brought("r", "t1", 100),
            read=1_000,
            output=500,
            wrote=[thought("t"), wrote("a", 100)],
        ),
        call(1_640, read=1_120, output=50, wrote=[wrote("b")]),
        call(1_390, part("go on", 100), read=read),
    )
    assert [one.items for one in made.withdrawn] == [("t",)]
    assert list(made.prompts[3].values()) == [900, 100, 20, 100, 100, 20, 50, 100]


def test_a_prompt_that_was_read_as_a_whole_has_lost_nothing() -> None:
    made = Made(*THINKING, call(1_750, part("go on", 100), read=1_600))
    assert made.withdrawn == []
    assert made.prompts[2]["t"] == 400


def test_a_cache_that_expired_is_no_loss_of_the_prompt() -> None:
    made = Made(*THINKING, call(1_750, part("go on", 100), read=0))
    assert made.withdrawn == []


def test_without_thinking_the_oldest_behind_what_was_read_leave_in_whole_groups() -> None:
    """400 of 2,100 are missing behind 1,000; the first pair makes up for 420 of them."""
    made = Made(
        call(1_000, part("goal", 100), wrote=[asked("c1", "t1")]),
        call(1_420, brought("r1", "t1", 400), read=1_000, wrote=[asked("c2", "t2")]),
        call(2_040, brought("r2", "t2", 600), read=1_420, output=40, wrote=[wrote("end", 40)]),
        call(1_720, part("go on", 40), read=1_000),
    )
    assert [one.items for one in made.withdrawn] == [("c1", "r1")]
    assert made.prompts[3] == {
        PREFIX: 900,
        "goal": 100,
        "c2": 20,
        "r2": 600,
        "end": 40,
        "go on": 60,
    }


def test_a_shorter_prefix_is_a_new_version_of_it() -> None:
    # 150 are expected on top of 1,000, and 850 are there; nothing was read, not even the prefix.
    made = Made(FIRST, call(850, part("r", 100), read=0, at=9.0))
    assert made.prompts[1] == {PREFIX: 600, "goal": 100, "said": 50, "r": 100}
    assert (made.items[PREFIX].version, made.items[PREFIX].layer) == (1, Layer.PERMANENT)
    assert [one.items for one in made.withdrawn] == [(PREFIX,)]


def test_a_prompt_that_shrinks_below_its_prefix() -> None:
    """There is room for nothing else."""
    made = Made(FIRST, call(300, part("r", 100), read=0))
    assert made.prompts[1] == {PREFIX: 300, "said": 0, "r": 0}


# ---- goals, groups, layers


def test_what_the_program_put_in_is_no_goal() -> None:
    made = Made(
        call(
            1_000,
            attached("reminder", 50),
            part("goal", 100),
            attached("note", 50),
            part("more", 100),
        )
    )
    kinds = {name: made.items[name].kind for name in ("reminder", "goal", "note", "more")}
    assert kinds == {
        "reminder": Kind.SYSTEM,
        "goal": Kind.USER,
        "note": Kind.USER,
        "more": Kind.USER,
    }
    assert made.items["reminder"].layer is Layer.TRANSIENT


def test_a_system_prompt_that_is_shown_is_permanent() -> None:
    made = Made(call(1_000, part("base", 600, Kind.SYSTEM), part("goal", 100)))
    assert made.items["base"].layer is Layer.PERMANENT
    assert made.items["goal"].layer is Layer.TRANSIENT


@pytest.mark.parametrize(
    ("compacted", "note"), [(("goal", "said"), Kind.SYSTEM), (("said",), Kind.USER)]
)
def test_after_a_compaction_the_goal_is_the_next_that_the_user_says(
    compacted: tuple[str, ...], note: Kind
) -> None:
    summary = part("sum", 100, Kind.SUMMARY)
    came = (summary, attached("note", 50), part("new goal", 50))
    made = Made(FIRST, call(1_200, *came, compacted=compacted, stand_ins=("sum", "note")))
    assert made.items["sum"].kind is Kind.SUMMARY
    assert made.items["note"].kind is note
    assert made.items["new goal"].kind is Kind.USER


def test_a_call_and_its_result_share_a_group() -> None:
    file = replace(brought("r", "t1", 100), source="/a.py")
    made = Made(
        replace(FIRST, wrote=(asked("c", "t1"),)),
        call(1_150, file, read=1_000),
    )
    assert made.items["c"].group == made.items["r"].group == "t1"
    assert (made.items["r"].tool, made.items["r"].source) == ("Read", "/a.py")


@pytest.mark.parametrize("gone", [{"left": ("c",)}, {"compacted": ("c",)}])
def test_a_result_whose_call_is_gone_stands_alone(gone: dict[str, Any]) -> None:
    made = Made(
        replace(FIRST, wrote=(asked("c", "t1"),)),
        call(1_100, brought("r", "t1", 100), read=1_000, **gone),
    )
    assert made.items["r"].group is None


# ---- predictions


def test_predictions_are_made_one_call_ahead() -> None:
    """Of each o200k token this model makes 1.2; the answer's size is known."""
    made = Made(
        replace(FIRST, model="claude-opus-4-6"),
        call(1_170, part("r", 100), read=1_000, output=70, model="claude-opus-4-6"),
        call(1_240, read=1_170, model="claude-opus-4-6", left=("r",)),
    )
    found = [
        (one.tokens, one.expected_tokens, one.uncalibrated_tokens) for one in made.facts.predictions
    ]
    assert found[0] == (1_170, 1_000 + 50 + 120, 1_000 + 20 + 100)
    assert found[1] == (1_240, 1_050, 1_050)  # of the second answer, nothing was recorded


def test_sizes_are_learnt_from_what_was_gained() -> None:
    """Texts that take twice their count are expected to, after a while."""
    later = [
        call(10_000 + 600 * place, part(f"p{place}", 300), read=9_999, output=0)
        for place in range(1, 9)
    ]
    made = Made(call(10_000, part("goal", 100)), *later)
    errors = [abs(one.tokens - one.expected_tokens) for one in made.facts.predictions]
    assert errors[0] == 300
    assert errors[-1] < 100
    assert all(one.tokens - one.uncalibrated_tokens == 300 for one in made.facts.predictions)


def test_a_compaction_teaches_nothing() -> None:
    summary = part("sum", 300, Kind.SUMMARY)
    compaction = call(1_500, summary, compacted=("goal", "said"), stand_ins=("sum",))
    made = Made(FIRST, compaction, call(1_800, part("p", 300), read=1_500, output=0))
    last = made.facts.predictions[-1]
    assert last.expected_tokens == last.uncalibrated_tokens == 1_800


@pytest.mark.parametrize(
    ("gained", "expected", "is_so"),
    [(0, 400, True), (0, 401, False), (400, 100, True), (401, 100, False), (-200, 0, True)],
)
def test_what_parts_may_have_brought(gained: int, expected: int, is_so: bool) -> None:
    assert is_plausible(gained, expected) is is_so


def test_an_answer_without_parts_has_no_size() -> None:
    estimator = Estimator()
    assert estimator.expect_answer([], MODEL, 50).share(50) == {}
    assert estimator.expect_answer([wrote("a")], MODEL, None).tokens == 20
    assert estimator.expect_answer([wrote("a")], MODEL, 0).tokens == 0


# ---- whatever comes

KINDS = (Kind.USER, Kind.ASSISTANT, Kind.THINKING, Kind.TOOL_CALL, Kind.TOOL_RESULT, Kind.SUMMARY)
PARTS = st.tuples(
    st.sampled_from(KINDS),
    st.integers(FRAME_TOKENS, 3_000),
    st.booleans(),
    st.sampled_from((None, "t1", "t2")),
)
WRITTEN = st.tuples(
    st.sampled_from((Kind.ASSISTANT, Kind.THINKING, Kind.TOOL_CALL)),
    st.integers(FRAME_TOKENS, 2_000),
    st.just(False),
    st.sampled_from((None, "t1", "t2")),
)
CALLS = st.tuples(
    st.lists(PARTS, max_size=4),
    st.lists(WRITTEN, max_size=3),
    st.integers(0, 20_000),  # the prompt
    st.floats(0, 1),  # of it, read
    st.one_of(st.none(), st.integers(0, 4_000)),  # the output
    st.lists(st.integers(0, 30), max_size=6),  # what leaves, by its number
    st.integers(0, 6),  # how many of these were compacted
)


def _exchanges(drawn: Iterable[Any]) -> Iterator[Exchange]:
    names: list[str] = []

    def made(one: tuple[Kind, int, bool, str | None]) -> Part:
        kind, tokens, is_injected, group = one
        names.append(f"p{len(names)}")
        return part(names[-1], tokens, kind, is_injected=is_injected, group=group)

    for parts, written, prompt, frac, output, gone, compacted in drawn:
        leaving = tuple(names[one] for one in gone if one < len(names))
        came = [made(one) for one in parts]
        answer = [made(one) for one in written]
        yield call(
            prompt,
            *came,
            read=int(prompt * frac),
            output=output,
            wrote=answer,
            left=leaving[compacted:],
            compacted=leaving[:compacted],
            stand_ins=tuple(one.id for one in came[:1]),
        )


@given(st.lists(CALLS, max_size=8))
@example([([], [], 0, 0.0, 0, [], 0), ([], [], 500, 1.0, None, [], 0), ([], [], 0, 0.0, 5, [], 0)])
@settings(max_examples=150, deadline=None)
def test_items_add_up_to_each_prompt(drawn: list[Any]) -> None:
    """`Made` checks the sums, that nothing leaves which is not there, and that names are new."""
    exchanges = list(_exchanges(drawn))
    made = Made(*exchanges)
    assert len(made.prompts) == len(exchanges)
    assert len(made.facts.predictions) == max(0, len(exchanges) - 1)
    assert all(
        min(one.expected_tokens, one.uncalibrated_tokens) >= 0 for one in made.facts.predictions
    )
    texts = [one.hash for one in made.records if isinstance(one, TextLine)]
    assert len(texts) == len(set(texts))


@given(st.lists(CALLS, max_size=5))
@settings(max_examples=25, deadline=None)
def test_the_same_exchanges_make_the_same_records(drawn: list[Any]) -> None:
    assert Made(*_exchanges(drawn)).records == Made(*_exchanges(drawn)).records
