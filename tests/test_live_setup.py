"""What a run is begun with: files, names, arguments, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import own_strategies
import pytest

from ctxbudget import ConfigError, Event, Run
from ctxbudget.core.events import MoneyBudget, RunStarted
from ctxbudget.core.policy import Moment
from ctxbudget.core.types import Plan

OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-4-5"


def started(workflow: str | Path | None = None, **options: Any) -> RunStarted:
    """Return the first fact of a run that is begun so."""
    heard: list[Event] = []
    Run.open(workflow, listeners=[heard.append], clock=lambda: 1_780_000_000.0, **options)
    assert isinstance(heard[0], RunStarted)
    return heard[0]


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = (
        "import sys, ctxbudget; ctxbudget.__all__; "
        "print([n for n in ('pydantic', 'networkx', 'anthropic', 'tiktoken') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import ctxbudget

    for name in ctxbudget.__all__:
        assert getattr(ctxbudget, name) is not None
    assert set(ctxbudget.__all__) <= set(dir(ctxbudget))
    with pytest.raises(AttributeError, match="has no attribute 'Rune'"):
        ctxbudget.Rune  # noqa: B018


# ---- what becomes of arguments


def test_without_anything_there_is_one_phase_and_a_common_window() -> None:
    start = started()
    assert [phase.id for phase in start.phases] == ["work"]
    assert (start.workflow, start.scale.window_tokens) == ("run", 200_000)
    assert (start.scale.reserve_tokens, start.scale.budget_tokens) == (0, 200_000)
    assert start.policy["name"] == "adaptive"
    assert (start.money, start.prices, start.caches) == ((), {}, {})
    assert not start.strips_thinking
    assert not start.reviews
    assert start.at == 1_780_000_000.0


def test_phases_by_name_come_one_after_the_other() -> None:
    start = started(
        phases=["a", "b", {"id": "c", "after": ["a"], "complexity": 3}, "d"],
        window_tokens=10_000,
        reserve_tokens=2_000,
        budget="30%",
        name="mine",
    )
    assert [(one.id, one.after) for one in start.phases] == [
        ("a", ()),
        ("b", ("a",)),
        ("c", ("a",)),
        ("d", ("c",)),
    ]
    assert (start.workflow, start.policy["name"]) == ("mine", "aggressive")
    scale = start.scale
    assert (scale.window_tokens, scale.hard_limit_tokens) == (10_000, 8_000)
    assert scale.budget_tokens == 3_000


def test_a_model_sets_window_prices_cache_and_what_becomes_of_thinking() -> None:
    start = started(model=HAIKU)
    assert start.scale.window_tokens == 200_000
    assert set(start.prices) == {HAIKU} == set(start.caches)
    assert start.prices[HAIKU].input_usd == Decimal("0.000001")
    assert start.strips_thinking
    assert not started(model=HAIKU, strips_thinking=False).strips_thinking
    assert not started(model="gpt-5").strips_thinking
    assert started(model=HAIKU, window_tokens=50_000).scale.window_tokens == 50_000


def test_a_hook_that_reviews_is_known_to_the_engine() -> None:
    assert started(review=lambda review: True).reviews


def test_a_file_and_what_is_said_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "name: from a file\nwindow: 9000\nbudget: 50%\nmodel: claude-opus-5-5\npolicy: none\n"
        "phases:\n  - {id: one}\n  - id: two\n    model: gpt-5\n    agents:\n"
        "      - {id: x, output: 5, metadata: 2, model: claude-haiku-4-5}\n",
        encoding="utf-8",
    )
    start = started(path)
    assert (start.workflow, start.scale.budget_tokens) == ("from a file", 4500)
    assert set(start.prices) == {OPUS, HAIKU, "gpt-5"}
    other = started(str(path), budget=1000, policy="masking", model="gpt-5", window_tokens=5000)
    assert (other.scale.window_tokens, other.scale.budget_tokens) == (5000, 1000)
    assert other.policy["name"] == "masking"
    [agent] = start.agents
    assert (agent.phase, agent.agent, agent.model) == ("two", "x", HAIKU)


def test_a_shipped_workflow_by_name() -> None:
    start = started("jwt_auth")
    assert [phase.id for phase in start.phases] == ["0", "1", "2", "3", "4", "6"]
    assert (start.scale.window_tokens, start.scale.budget_tokens) == (25_000, 7_500)


def test_a_policys_content_or_function() -> None:
    rule = {
        "name": "old results",
        "on": "before_call",
        "select": {"kind": "tool_result"},
        "do": "clear",
        "why": "a test",
    }
    content = {"name": "mine", "rules": [rule]}
    assert started(policy=content).policy["name"] == "mine"
    function = started(policy=own_strategies.drop_outputs).policy
    by_name = started(policy="own_strategies:drop_outputs").policy
    assert function == by_name


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (5, (MoneyBudget(scope="run", limit_usd=Decimal(5)),)),
        ("0.5", (MoneyBudget(scope="run", limit_usd=Decimal("0.5")),)),
        (0.1, (MoneyBudget(scope="run", limit_usd=Decimal("0.1")),)),
        (
            {"run": 2, "work": Decimal(1)},
            (
                MoneyBudget(scope="run", limit_usd=Decimal(2)),
                MoneyBudget(scope="phase:work", limit_usd=Decimal(1)),
            ),
        ),
        ({"phase:work": 1}, (MoneyBudget(scope="phase:work", limit_usd=Decimal(1)),)),
    ],
)
def test_money(given: Any, found: object) -> None:
    assert started(model=OPUS, budget_usd=given).money == found


# ---- what is wrong


def local(moment: Moment) -> Iterable[Plan]:
    """Plan nothing."""
    return []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"window_tokens": -5}, "window.*found -5"),
        ({"window_tokens": 0}, "window.*found 0"),
        ({"window_tokens": 1000, "reserve_tokens": 1000}, "leaves nothing of the window of 1,000"),
        ({"window_tokens": 1000, "reserve_tokens": -1}, "reserve"),
        ({"window_tokens": 1000, "budget": 2000}, "budget of 2,000 tokens does not fit"),
        ({"window_tokens": 1000, "budget": "lots"}, "budget: expected tokens"),
        ({"window_tokens": "many"}, "window: expected"),
        ({"policy": "agressive"}, "did you mean 'aggressive'"),
        ({"policy": {"name": "x", "rules": [{"name": "y"}]}}, "rules"),
        ({"policy": lambda moment: []}, "no name to import it by"),
        ({"allocator": "fixd"}, "did you mean 'fixed'"),
        ({"counter": "o300k"}, "choose one of: chars, heuristic, o200k_base"),
        ({"counter": len}, "counter"),
        ({"fsync": "sometimes"}, "never.*phase.*always"),
        ({"phases": [{"id": "a"}, {"id": "a"}]}, "a"),
        ({"phases": [{"id": "a", "after": ["b"]}]}, "b"),
        ({"phases": [1]}, "phases"),
        ({"phases": "plan"}, "phases"),
        ({"budget_usd": 0, "model": OPUS}, "above 0"),
        ({"budget_usd": "much", "model": OPUS}, "above 0, found 'much'"),
        ({"budget_usd": float("nan"), "model": OPUS}, "above 0"),
        ({"budget_usd": {"wrok": 1}, "model": OPUS}, "did you mean 'work'"),
    ],
)
def test_a_wrong_argument_is_told(options: dict[str, Any], found: str, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    with pytest.raises(ConfigError, match=f"(?s){found}"):
        Run.open(journal=journal, **options)
    assert not journal.exists()


def test_a_budget_in_money_needs_a_price() -> None:
    with pytest.raises(ConfigError, match="price"):
        Run.open(budget_usd=1)
    with pytest.raises(ConfigError, match="price"):
        Run.open(budget_usd=1, model="a-model-of-my-own")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"window_tokens": -5}, "-5"),
        ({"budget": -5}, "-5"),
        ({"budget": 30_000}, "30,000"),
        ({"policy": {"name": "x", "rules": []}}, "goes into the workflow file"),
        ({"phases": ["x"]}, "phases"),
        ({"reserve_tokens": 500}, "reserve"),
    ],
)
def test_what_cannot_be_said_beside_a_file_is_told(options: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        Run.open("jwt_auth", **options)


def test_an_unknown_workflow_is_told() -> None:
    with pytest.raises(ConfigError, match="did you mean 'jwt_auth'"):
        Run.open("jwt_aut")


def test_a_wrong_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("name: x\nphases:\n  - id: a\n    afterr: []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"w\.yaml:4: phases\[0\]\.afterr"):
        Run.open(path)


def test_a_run_that_could_not_begin_leaves_no_journal(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    with pytest.raises(ConfigError, match="add up to"):
        Run.open(
            window_tokens=1000,
            journal=journal,
            allocator="fixed",
            phases=[{"id": "a", "allocate": 900}, {"id": "b", "allocate": 900}],
        )
    assert not journal.exists()
    Run.open(journal=journal).close()


@pytest.mark.parametrize(
    ("model", "said"),
    [("", "was not given, nor a model"), ("my-model", "of 'my-model' is not known")],
)
def test_a_window_that_is_assumed_is_noted(model: str, said: str) -> None:
    [note] = Run.open(model=model).notes
    assert note == f"the window {said}: 200,000 tokens are assumed; set `window_tokens`"
    assert Run.open(model=model, window_tokens=200_000).notes == []


def test_a_name_beside_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name: is said by the workflow file"):
        Run.open("jwt_auth", name="mine")
