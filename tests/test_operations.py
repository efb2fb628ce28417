"""Tests of what each operation leaves: tokens, layer, id and version, its place, and the shelf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import item
from worlds import World, rules

from ctxbudget.config.run_setup import set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.core.events import Event, ItemAdded, Pruned, Shorten, Shortened
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Do, Item, Layer, Operation, Plan, Trigger
from ctxbudget.replay.shorter_forms import RecordedSizes, SizesWithoutTexts
from ctxbudget.simulate import measure_for, simulate

PROMPT = {"system": 100, "scope": 60, "x": 1_000, "out": 2_000, "q call": 160, "q result": 840}
"""What stands in the prompt of `carried_out` before the operation, in order."""


def carried_out(*operations: Operation) -> World:
    """Return a world after these operations, each a plan of its own, upon a refusal each.

    `x` is a tool result of phase a, `out` an output of its wave 1, `scope` dies with the phase.
    """
    todo = list(operations)

    def policy(moment: Moment) -> list[Plan]:
        if moment.trigger is not Trigger.REJECTED:
            return []
        return [Plan(rule="r", reason="a test", operations=(todo.pop(0),))]

    world = World(policy).start("a")
    world.sizes |= {(Do.DEDUPE, "x"): 600, (Do.DEDUPE, "out"): 1_500, (Do.DEDUPE, "q result"): 840}
    world.add("scope", 60, "system", layer=Layer.PHASE, phase="a")
    world.add("x", 1_000, phase="a", tool="read", source="f.py")
    world.output("out", 2_000, 250, phase="a", wave=1, agent="worker").finish("a", "out")
    world.turn("q", phase="a").add("system", 100, "system", layer=Layer.PERMANENT)
    assert world.prompt() == PROMPT
    assert list(world.prompt()) == list(PROMPT)
    world.call()
    for _ in operations:
        world.reject()
    return world


def op(do: str, *items: str, to: int | None = None, reads: tuple[str, ...] = ()) -> Operation:
    return Operation(do=Do(do), items=items, reads=reads, limit_tokens=to)


def brief(item: Item | None) -> str:
    """Return `id:version layer kind form tokens`."""
    if item is None:
        return "nothing"
    return f"{item.id}:{item.version} {item.layer} {item.kind} {item.form} {item.tokens}"


S = ["system", "scope"]
Q = ["q call", "q result"]

LEFT: list[tuple[Operation, str, list[str], int]] = [
    (op("drop", "x"), "nothing", [*S, "out", *Q], 1_000),
    (op("drop", *Q), "nothing", [*S, "x", "out"], 1_000),
    (op("drop", "scope", "x", "out"), "nothing", ["system", *Q], 3_060),
    (
        op("clear", "x"),
        "x:1 transient tool_result clear 10",
        [*S, "x", "out", *Q],
        990,
    ),
    (
        op("clear", "q result"),
        "q result:1 transient tool_result clear 10",
        [*S, "x", "out", *Q],
        830,
    ),
    (op("clear", "scope"), "scope:1 phase system clear 10", [*S, "x", "out", *Q], 50),
    (op("snip", "x", to=300), "x:1 transient tool_result snip 300", [*S, "x", "out", *Q], 700),
    (op("snip", "out", to=300), "out:1 transient artifact snip 300", [*S, "x", "out", *Q], 1_700),
    (op("dedupe", "x"), "x:1 transient tool_result deduped 600", [*S, "x", "out", *Q], 400),
    (op("dedupe", "out"), "out:1 transient artifact deduped 1500", [*S, "x", "out", *Q], 500),
    (op("names", "x", to=80), "x:1 transient tool_result names 80", [*S, "x", "out", *Q], 920),
    (op("names", "out", to=80), "out:1 transient artifact names 80", [*S, "x", "out", *Q], 1_920),
    (op("names", "scope", to=8), "scope:1 phase system names 8", [*S, "x", "out", *Q], 52),
    (
        op("names", "q call", to=9),
        "q call:1 transient tool_call names 9",
        [*S, "x", "out", *Q],
        151,
    ),
    (op("digest", "x"), "x:1 transient tool_result digest 100", [*S, "x", "out", *Q], 900),
    (op("digest", "out"), "out:1 metadata artifact digest 250", [*S, "x", "out", *Q], 1_750),
    (
        op("summarize", "x", "out", to=400),
        "~summary1:0 metadata summary summary 400",
        [*S, "~summary1", *Q],
        2_600,
    ),
    (
        op("summarize", "x", *Q, to=400),
        "~summary1:0 metadata summary summary 400",
        [*S, "~summary1", "out"],
        1_600,
    ),
    (
        op("summarize", "x", to=400),
        "~summary1:0 metadata summary summary 400",
        [*S, "~summary1", "out", *Q],
        600,
    ),
    (
        op("summarize", *Q, to=400, reads=("out", "system")),
        "~summary1:0 metadata summary summary 400",
        [*S, "x", "out", "~summary1"],
        600,
    ),
    (op("stub", "x"), "x:1 metadata tool_result stub 5", [*S, "x", "out", *Q], 995),
    (op("stub", "scope"), "scope:1 metadata system stub 5", [*S, "x", "out", *Q], 55),
    (op("stub", *Q), "~stub1:0 metadata note stub 5", [*S, "x", "out", "~stub1"], 995),
    (
        op("stub", "scope", "out"),
        "~stub1:0 metadata note stub 5",
        ["system", "~stub1", "x", *Q],
        2_055,
    ),
]
"""An operation, its stand-in, the prompt in order, and the net tokens gained of 4,160."""


@pytest.mark.parametrize(("operation", "stand_in", "order", "net"), LEFT, ids=lambda _: "")
def test_an_operation_leaves(
    operation: Operation, stand_in: str, order: list[str], net: int
) -> None:
    world = carried_out(operation)
    [prune] = world.pruned
    assert brief(prune.stand_in) == stand_in
    assert list(world.prompt()) == order
    assert prune.items == operation.items
    assert prune.removed_tokens == sum(PROMPT[name] for name in operation.items)
    assert prune.net_tokens == net
    assert world.tokens == prune.occupancy_tokens == 4_160 - net
    assert sum(world.store().layer_tokens.values()) == world.tokens
    shelf = {name: [one.item.tokens for one in left] for name, left in world.store().shelf.items()}
    assert shelf == {name: [PROMPT[name]] for name in operation.items}


def test_a_shorter_version_keeps_what_is_known_of_the_item() -> None:
    world = carried_out(op("clear", "x"), op("digest", "out"), op("clear", "q result"))
    store = world.store()
    assert (store["x"].phase, store["x"].tool, store["x"].source) == ("a", "read", "f.py")
    out = store["out"]
    assert (out.phase, out.wave, out.agent, out.ready) == ("a", 1, "worker", True)
    assert store["q result"].group == "q"
    assert store.group_of("q result") == ("q call", "q result")


def test_a_stand_in_for_several_belongs_to_the_phase_of_the_first() -> None:
    store = carried_out(op("stub", "x", *Q)).store()
    note = store["~stub1"]
    assert (note.phase, note.wave, note.agent, note.group, note.source) == ("a", *[None] * 4)


def test_versions_count_up_and_the_shelf_keeps_each() -> None:
    world = carried_out(
        op("snip", "x", to=500),
        op("digest", "x"),
        op("clear", "x"),
        op("stub", "x"),
        op("drop", "x"),
    )
    assert [prune.net_tokens for prune in world.pruned] == [500, 400, 90, 5, 5]
    shelf = [
        (one.item.version, one.item.form.value, one.item.tokens) for one in world.store().shelf["x"]
    ]
    assert shelf == [
        (0, "whole", 1_000),
        (1, "snip", 500),
        (2, "digest", 100),
        (3, "clear", 10),
        (4, "stub", 5),
    ]
    assert "x" not in world.prompt()


def test_what_left_out_its_copies_may_go_on_shrinking() -> None:
    world = carried_out(
        op("dedupe", "x"), op("snip", "x", to=500), op("names", "x", to=80), op("clear", "x")
    )
    assert [prune.net_tokens for prune in world.pruned] == [400, 100, 420, 70]
    shelf = [(one.item.version, one.item.form.value) for one in world.store().shelf["x"]]
    assert shelf == [(0, "whole"), (1, "deduped"), (2, "snip"), (3, "names")]
    assert brief(world.store()["x"]) == "x:4 transient tool_result clear 10"


def test_what_no_later_item_holds_stays_as_it_is() -> None:
    world = carried_out(op("dedupe", "q result"))  # 840 tokens would be left of 840
    assert (world.pruned, world.prompt()) == ([], PROMPT)


def test_stand_ins_are_numbered_through_the_run_by_what_they_are() -> None:
    world = carried_out(
        op("stub", "scope", "x"), op("summarize", "~stub1", "out", to=4), op("stub", *Q)
    )
    assert world.prompt() == {"system": 100, "~summary2": 4, "~stub3": 5}
    assert [prune.plan for prune in world.pruned] == [1, 2, 3]


def test_metadata_can_be_meant_for_another_layer() -> None:
    def policy(moment: Moment) -> list[Plan]:
        wanted = moment.trigger is Trigger.AGENT_FINISHED
        digest = op("digest", "scope")
        return [Plan(rule="r", reason="", operations=(digest,))] if wanted else []

    world = World(policy).add("rules", 80, "system", layer=Layer.PERMANENT).add("x", 10).start("a")
    world.output("scope", 2_000, 500, stand_in_layer=Layer.PERMANENT).add("y", 10)
    world.finish("a", "scope")
    assert list(world.prompt()) == ["rules", "scope", "x", "y"]
    assert brief(world.store()["scope"]) == "scope:1 permanent artifact digest 500"
    assert world.store().layer_tokens[Layer.PERMANENT] == 580


def test_a_summary_that_only_reads_is_added_at_the_end() -> None:
    """Its plan has to gain elsewhere: here the metadata of the output that it reads."""

    def policy(moment: Moment) -> list[Plan]:
        wanted = moment.trigger is Trigger.REJECTED
        both = (op("digest", "out"), op("summarize", to=650, reads=("out",)))
        return [Plan(rule="r", reason="", operations=both)] if wanted else []

    for tokens, left in (
        (901, {"x": 10, "out": 250, "y": 10, "~summary1": 650}),
        (900, {"x": 10, "out": 900, "y": 10}),
    ):
        world = World(policy).add("x", 10).output("out", tokens, 250, phase="a").add("y", 10)
        world.finish("a", "out").reject()
        assert world.prompt() == left
        assert list(world.prompt()) == list(left)
        if tokens == 901:
            assert [prune.net_tokens for prune in world.pruned] == [651, -650]
            assert world.store()["~summary1"].phase == "a"
            assert world.pruned[1].items == ()


def test_a_stand_in_is_as_old_as_what_it_stands_for() -> None:
    """Ages never fall along the prompt; a version was last used when it was, a new item just now."""
    world = carried_out(op("clear", "x"), op("stub", *Q))
    assert (world.store().entry("x").arrived_call, world.store().entry("x").touched_call) == (0, 0)
    note = world.store().entry("~stub1")
    assert (note.arrived_call, note.touched_call) == (0, 1)


def test_replacing_is_one_step_and_never_counts_both() -> None:
    world = carried_out(op("digest", "out"), op("summarize", "x", *Q, to=999), op("stub", "out"))
    assert world.store().peak_tokens == 4_160


# ---- asking for sizes


def asked(world: World) -> list[tuple[str, tuple[str, ...], int | None]]:
    return [
        (one.do.value, one.items, one.limit_tokens)
        for one in world.events
        if isinstance(one, Shorten)
    ]


@pytest.mark.parametrize(
    ("operation", "effects"),
    [
        (op("drop", "x"), []),
        (op("clear", "x"), [("clear", ("x",), None)]),
        (op("snip", "x", to=300), [("snip", ("x",), 300)]),
        (op("digest", "out"), [("digest", ("out",), None)]),
        (op("dedupe", "x"), [("dedupe", ("x",), None)]),
        (op("names", "x", to=80), [("names", ("x",), 80)]),
        (op("stub", *Q), [("stub", ("q call", "q result"), None)]),
        (
            op("summarize", "x", to=400, reads=("out",)),
            [("summarize", ("x", "out"), 400)],
        ),
    ],
    ids=lambda _: "",
)
def test_each_size_is_asked_for_once(operation: Operation, effects: list[Any]) -> None:
    assert asked(carried_out(operation)) == effects


DEDUPE = {"on": "before_call", "select": {"kind": "tool_result"}, "do": "dedupe"}


def test_what_depends_on_the_rest_is_asked_again_at_each_plan() -> None:
    """Nothing holds the lines of `a` at first; then something does."""
    world = World(rules(DEDUPE)).turn("a").call().call()
    assert (asked(world), world.pruned) == ([("dedupe", ("a result",), None)], [])
    world.sizes[Do.DEDUPE, "a result"] = 100
    assert [one.items for one in world.call().pruned] == [("a result",)]


def test_an_answer_of_a_plan_that_was_not_worth_it_does_not_keep() -> None:
    """By the time of the next plan what held the lines of `a` has gone."""
    world = World(rules({**DEDUPE, "when": {"min_gain_tokens": 600}})).turn("a").turn("b").call()
    world.sizes[Do.DEDUPE, "a result"] = 300
    assert world.call().pruned == []
    world.withdraw("b call", "b result").turn("c").call()
    world.sizes |= {(Do.DEDUPE, "a result"): 840, (Do.DEDUPE, "c result"): 100}
    assert [one.items for one in world.call().pruned] == [("c result",)]


def test_a_summary_that_cannot_gain_is_never_written() -> None:
    world = carried_out(op("summarize", "x", to=1_000))
    assert world.prompt() == PROMPT
    assert asked(world) == []
    assert world.pruned == []


@pytest.mark.parametrize(("written", "left"), [(999, 999), (1_000, None), (1_200, None)])
def test_a_summary_counts_as_written_not_as_promised(written: int, left: int | None) -> None:
    """Where what was written turns out no shorter, the items stay."""

    def policy(moment: Moment) -> list[Plan]:
        wanted = moment.trigger is Trigger.REJECTED
        return (
            [Plan(rule="r", reason="", operations=(op("summarize", "x", to=400),))]
            if wanted
            else []
        )

    world = World(policy).add("x", 1_000).call()
    world.sizes[Do.SUMMARIZE, "x"] = written
    assert world.reject().prompt() == ({"x": 1_000} if left is None else {"~summary1": left})


# ---- sizes where there is no text

FLOW = """
phases:
  - id: p
    reads: [1000, 40]
    output: 2000
    metadata: 300
    calls: 2
  - id: q
    after: [p]
    calls: 1
sizes: {digest: 20%, metadata: 250}
policy:
  name: shorter
  rules:
    - {on: phase_finished, do: DO, select: {layer: transient}, why: a test}
"""


@pytest.mark.parametrize(
    ("do", "left"),
    [
        ("names", [("p/reads/1", 200), ("p/reads/2", 8), ("p/output", 300)]),
        ("names, to: 60", [("p/reads/1", 60), ("p/reads/2", 8), ("p/output", 60)]),
        ("digest", [("p/reads/1", 200), ("p/reads/2", 8), ("p/output", 300)]),
        ("dedupe", []),  # what else holds its lines is not known
    ],
)
def test_a_simulation_assumes(tmp_path: Path, do: str, left: list[tuple[str, int]]) -> None:
    path, events = tmp_path / "flow.yaml", list[Event]()
    path.write_text(FLOW.replace("DO", do), encoding="utf-8")
    loaded = read_workflow(path)
    simulate(set_up_run(loaded), measure_for(loaded), [events.append])
    stand_ins = [one.stand_in for one in events if isinstance(one, Pruned)]
    assert [(one.id, one.tokens) for one in stand_ins if one is not None] == left


@pytest.mark.parametrize(
    ("do", "limit", "whole", "tokens"),
    [
        (Do.NAMES, None, 900, 250),
        (Do.NAMES, None, 90, 90),
        (Do.NAMES, 60, 900, 60),
        (Do.NAMES, 400, 900, 250),
        (Do.DEDUPE, None, 900, 900),
    ],
)
def test_a_replay_without_texts_assumes(do: Do, limit: int | None, whole: int, tokens: int) -> None:
    sizes = SizesWithoutTexts(RecordedSizes())
    sizes(ItemAdded(at=0, item=item("x", whole)))
    answer = sizes.answer(Shorten(at=5, do=do, items=("x",), limit_tokens=limit, thread="t"))
    assert answer == Shortened(at=5, do=do, items=("x",), tokens=tokens, thread="t")
    assert sizes.assumed == 1
