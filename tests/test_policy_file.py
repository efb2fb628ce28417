"""Tests of policy files: how a policy is found, its params, and rules that make no sense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from commands import written
from own_strategies import drop, drop_outputs

from ctxbudget.config import lookup
from ctxbudget.config.own_code import OwnPolicy
from ctxbudget.config.policy_file import (
    load_policy,
    policy_from_data,
    policy_option,
    read_policy,
    refuse_impossible,
)
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.policy import By, Guard, Rule, RulePolicy, Selector, Which
from ctxbudget.core.types import Base, Do, Form, Kind, Layer, Limit, Scale, Trigger
from ctxbudget.core.watch import Filter

SHIPPED = lookup.names("policies")


def rules(spec: Any, **more: Any) -> tuple[Rule, ...]:
    policy = load_policy(spec, **more).policy
    assert isinstance(policy, RulePolicy)
    return policy.rules


def one_rule(rule: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "rules": [{"on": "before_call", "do": "drop", "why": "x"} | rule],
    } | more


def test_a_rule_is_read_whole() -> None:
    data = one_rule(
        {
            "name": "all of it",
            "on": ["warn", "critical"],
            "do": "summarize",
            "by": "phase",
            "to": 500,
            "leave_metadata": True,
            "why": "to see",
            "select": {
                "layer": ["phase", "transient"],
                "kind": "artifact",
                "form": "whole",
                "tool": "grep",
                "min_tokens": 10,
                "ready": True,
                "superseded": False,
                "phase": "earlier",
                "phase_age": 1,
                "wave": "current",
                "live": False,
                "age_calls": 2,
                "idle_calls": 3,
                "keep_last": 4,
                "keep_last_turns": 5,
            },
            "when": {
                "above": "80%",
                "until": "5 below hard_limit",
                "min_items": 2,
                "min_turns": 3,
                "min_gain_tokens": 4,
                "every_calls": 5,
                "pays_off": True,
            },
        }
    )
    what = Filter(
        layers=(Layer.PHASE, Layer.TRANSIENT),
        kinds=(Kind.ARTIFACT,),
        tools=("grep",),
        forms=(Form.WHOLE,),
        min_tokens=10,
        ready=True,
        superseded=False,
    )
    assert rules(data) == (
        Rule(
            name="all of it",
            on=(Trigger.WARN, Trigger.CRITICAL),
            do=Do.SUMMARIZE,
            by=By.PHASE,
            limit_tokens=500,
            leave_metadata=True,
            why="to see",
            select=Selector(
                what=what,
                phase=Which.EARLIER,
                phase_age=1,
                wave=Which.CURRENT,
                live=False,
                age_calls=2,
                idle_calls=3,
                keep_last=4,
                keep_last_turns=5,
            ),
            when=Guard(
                above=Limit(share_frac=0.8),
                until=Limit(below_tokens=5, of=Base.HARD_LIMIT),
                min_items=2,
                min_turns=3,
                min_gain_tokens=4,
                every_calls=5,
                pays_off=True,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("do", "forms"),
    [
        ("dedupe", "whole deduped"),
        ("snip", "whole deduped"),
        ("digest", "whole deduped snip"),
        ("names", "whole deduped snip"),
        ("clear", "whole deduped snip digest names"),
        ("stub", "whole deduped snip digest names clear summary"),
        ("drop", ""),
    ],
)
def test_an_operation_takes_what_it_can_shorten(do: str, forms: str) -> None:
    assert rules(one_rule({"do": do}))[0].select.what.forms == tuple(map(Form, forms.split()))


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"do": "summarize", "by": "all"}, "rules[0]: summarize needs `to`"),
        ({"do": "summarize", "to": 5}, "rules[0]: summarize needs `by`: turn, phase or all"),
        ({"do": "clear", "by": "turn"}, "rules[0]: `by` goes with summarize and stub only"),
        ({"do": "dedupe", "by": "turn"}, "rules[0]: `by` goes with summarize and stub only"),
        ({"do": "names", "by": "all"}, "rules[0]: `by` goes with summarize and stub only"),
        ({"leave_metadata": True}, "rules[0]: `leave_metadata` goes with summarize only"),
        ({"do": "remove"}, "rules[0].do: expected one of drop, clear, snip, digest, dedupe, names, "
         "summarize, stub, found 'remove'"),
        ({"on": "befor_call"}, "rules[0].on: expected one of item_added, before_call, agent_fini"),
        ({"on": []}, "rules[0].on: expected one or more of item_added, "),
        ({"on": {"a": 1}}, "rules[0].on: expected one of item_added, "),
        ({"by": "agent"}, "rules[0].by: expected one of item, turn, phase, all, found 'agent'"),
        ({"select": {"layer": "transint"}}, "rules[0].select.layer: expected one of permanent, phas"
         "e, metadata, transient, found 'transint'"),
        ({"select": {"kind": ["user", "tool"]}}, "rules[0].select.kind: expected one of tools, system, use"),
        ({"select": {"phase": "next"}}, "rules[0].select.phase: expected one of current, earlier, f"),
        ({"select": {"ready": "yes"}}, "rules[0].select.ready: expected true or false, found 'yes'"),
        ({"select": {"layr": "phase"}}, "rules[0].select.layr: unknown key; did you mean 'layer'?"),
        ({"when": {"above": "x"}}, "rules[0].when.above: expected tokens (7500), a share"),
        ({"when": {"min_items": -1}}, "rules[0].when.min_items: expected a whole number from 0 to"),
        ({"when": {"min_items": "$kep"}}, "rules[0].when.min_items: '$kep' names no param; did you "
         "mean 'keep'?"),
        ({"select": {"kind": ["$k"]}}, "rules[0].select.kind[0]: '$k' names no param; known are: keep"),
        ({"why": None}, "rules[0].why: expected text, found nothing"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense(rule: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_policy(one_rule(rule, params={"keep": 3}))
    assert str(raised.value).startswith(f"policy.{error}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("rules: []\n", ":1: name: is required and missing; add it"),
        ("name: x\nrulse: []\n", ":2: rulse: unknown key; did you mean 'rules'?"),
        ("name: x\nparams: [1]\n", ":2: params: expected keys and values, found [1]"),
        (
            "name: x\nparams: {a: [1]}\n",
            ":2: params.a: expected a number, text, true or false, fou",
        ),
        ("name: x\nrules: {a: 1}\n", ":2: rules: expected a list, found {'a': 1}"),
        ("name: x\nrules:\n- on: warn\n  do: drop\n", ":3: rules[0].why: is required and missing"),
        (
            "name: x\nparams: {a: 1}\nrules:\n- on: warn\n  do: drop\n  why: y\n  when:\n"
            "    min_items: $b\n",
            ":8: rules[0].when.min_items: '$b' names no param; known are: a",
        ),
        (
            "name: x\nparams: {a: no}\nrules:\n- on: warn\n  do: drop\n  why: y\n"
            "  select: {ready: $a}\n",
            ":7: rules[0].select.ready: expected true or false, found 'no'",
        ),
    ],
)
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str, error: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_policy(str(path))
    assert str(raised.value).startswith(f"{path}{error}")


# ---- how a policy is found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_found_by_name(name: str) -> None:
    loaded = load_policy(name)
    assert (loaded.name, loaded.label) == (name, name)
    assert policy_from_data(loaded.as_data).policy == loaded.policy


POLICY = "name: {name}\nrules: [{{on: warn, do: drop, why: x}}]\n"


def test_a_path_is_tried_beside_the_workflow_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flows").mkdir()
    monkeypatch.chdir(tmp_path)
    written(tmp_path, POLICY.format(name="here"), "p.yaml")
    assert load_policy("p.yaml", beside=tmp_path / "flows").name == "here"
    written(tmp_path / "flows", POLICY.format(name="beside"), "p.yaml")
    assert load_policy("p.yaml", beside=tmp_path / "flows").name == "beside"
    assert load_policy("p.yaml").name == "here"
    assert load_policy("flows/p.yaml").name == "beside"
    written(tmp_path, POLICY.format(name="bare"), "bare")
    assert load_policy("bare").name == "bare"
    written(tmp_path, POLICY.format(name="shadow"), "none")
    assert load_policy("none").name == "none"
    assert load_policy("./none").name == "shadow"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (
            "agressive",
            "there is no policy 'agressive' and no file of this name; did you mean 'aggr",
        ),
        ("zzz", "there is no policy 'zzz' and no file of this name; known are: adaptive, aggres"),
        ("", "there is no policy '' and no file of this name; known are: adaptive, aggressive"),
        ("zzz.yaml", "zzz.yaml: no such file or directory; check the path"),
        ("a/b", "a/b: no such file or directory; check the path"),
        ("masking:keep", "'masking:keep': a param takes a value; write masking:keep=VALUE"),
        ("zzz:keep=3", "there is no policy 'zzz' and no file of this name"),
    ],
)
def test_a_policy_that_is_not_there(spec: str, error: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(error)):
        load_policy(spec)


def test_a_path_that_is_nowhere_is_told_with_the_folder(tmp_path: Path) -> None:
    error = f"there is no file 'p.yaml' in {tmp_path} or in the current folder; check the path"
    with pytest.raises(ConfigError, match="^" + re.escape(error)):
        load_policy("p.yaml", beside=tmp_path)


def test_a_journal_keeps_the_label_beside_the_content() -> None:
    varied = load_policy("masking:keep=5")
    kept = varied.as_recorded
    assert kept == {**varied.as_data, "label": "masking:keep=5"}
    again = policy_from_data(kept)
    assert (again.name, again.label) == ("masking", "masking:keep=5")
    assert (again.policy, again.as_recorded) == (varied.policy, kept)
    assert again.as_data == varied.as_data  # which a policy file may hold
    # Journals from before labels were kept.
    assert policy_from_data(varied.as_data).label == "masking"
    assert load_policy("masking").as_recorded == load_policy("masking").as_data


# ---- params

PARAMS = """\
name: tuned
params: {keep: 3, above: 60% of window, gate: false, kind: user}
rules:
- on: before_call
  do: drop
  why: x
  select: {keep_last: $keep, kind: [$kind, note]}
  when: {above: $above, pays_off: $gate}
"""


def test_params_are_filled_in(tmp_path: Path) -> None:
    path = written(tmp_path, PARAMS)
    (rule,) = rules(str(path))
    assert rule.select.keep_last == 3
    assert rule.select.what.kinds == (Kind.USER, Kind.NOTE)
    assert rule.when == Guard(above=Limit(share_frac=0.6, of=Base.WINDOW))
    (rule,) = rules(f"{path}:keep=10, above=0.5,gate=true,kind=artifact")
    assert rule.select.keep_last == 10
    assert rule.select.what.kinds == (Kind.ARTIFACT, Kind.NOTE)
    assert rule.when == Guard(above=Limit(share_frac=0.5), pays_off=True)


@pytest.mark.parametrize(
    ("pairs", "label", "params"),
    [
        ("keep=5", "tuned:keep=5", {"keep": 5}),
        ("gate=true,keep=5", "tuned:gate=true,keep=5", {"gate": True, "keep": 5}),
        ("above=13000 below window", "tuned:above=13000 below window", {"above": "13000 below window"}),
    ],
)  # fmt: skip
def test_set_params_are_in_the_label_and_in_the_data(
    tmp_path: Path, pairs: str, label: str, params: dict[str, object]
) -> None:
    path = written(tmp_path, PARAMS)
    loaded = load_policy(f"{path}:{pairs}")
    assert loaded.label == label
    assert loaded.as_data["params"] == load_policy(str(path)).as_data["params"] | params
    assert policy_from_data(loaded.as_data).policy == loaded.policy


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ("kep=5", " has no param 'kep'; did you mean 'keep'?"),
        ("=5", " has no param ''; known are: above, gate, keep, kind"),
        ("keep=x", " with keep=x: expected a whole number from 0 to 1,000,000, found 'x' "
         "(rules[0].select.keep_last)"),
        ("keep=-1", " with keep=-1: expected a whole number from 0 to 1,000,000"),
        ("keep=5,gate", " with keep=5,gate=: expected true or false, found '' (rules[0].when.pa"),
        ("gate=1", " with gate=1: expected true or false, found 1"),
        ("above=1e400", " with above=1e400: expected tokens"),
        (f"keep={'9' * 5000}", f" with keep={'9' * 5000}: expected a whole number"),
        ("kind=nobody", " with kind=nobody: expected one of tools, system, user"),
    ],
)  # fmt: skip
def test_params_are_refused(tmp_path: Path, pairs: str, error: str) -> None:
    path = written(tmp_path, PARAMS)
    with pytest.raises(ConfigError) as raised:
        load_policy(f"{path}:{pairs}")
    assert str(raised.value).startswith(f"{path.stem}{error}")
    assert raised.value.path is None  # the file is not to blame


def test_a_file_that_is_wrong_is_to_blame_whatever_is_set(tmp_path: Path) -> None:
    path = written(tmp_path, PARAMS.replace("why:", "wy:"))
    with pytest.raises(ConfigError, match=r"unknown key; did you mean 'why'\?") as raised:
        load_policy(f"{path}:keep=5")
    assert raised.value.path == str(path)


@pytest.mark.parametrize("option", ["--policy", "--param"])
def test_an_option_is_to_blame_for_what_it_asks(tmp_path: Path, option: str) -> None:
    for spec, said in (
        ("maskin", "there is no policy 'maskin'"),
        ("masking:nosuch=1", "masking has no param 'nosuch'"),
        ("masking:keep=abc", "masking with keep=abc: expected a whole number"),
    ):
        with pytest.raises(ConfigError) as raised:
            policy_option(spec, option)
        assert str(raised.value).startswith(f"{option}: {said}")
    path = written(tmp_path, "name: x\nrules: 5\n")
    with pytest.raises(ConfigError) as raised:
        policy_option(str(path), option)
    assert str(raised.value).startswith(f"{path}:2: rules: ")


def test_a_path_may_look_like_params(tmp_path: Path) -> None:
    folder = tmp_path / "a:b=c"
    folder.mkdir()
    assert read_policy(written(folder, POLICY.format(name="odd"))).name == "odd"


# ---- functions


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ("own_strategies:drop_outputs", drop_outputs),
        ("own_strategies:drop", drop),
        ("own_strategies:DropOutputs", drop),
    ],
)
def test_code_is_found_by_attribute(spec: str, policy: Any) -> None:
    loaded = load_policy(spec)
    assert loaded.policy == OwnPolicy(policy, spec)
    assert (loaded.name, loaded.label, loaded.as_data) == (spec, spec, {"function": spec})
    assert policy_from_data(loaded.as_data) == loaded


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("no_such_module:x", "'no_such_module:x' cannot be loaded: No module named 'no_such_module'"),
        ("own_strategies:zzz", "'own_strategies:zzz' cannot be loaded: module 'own_strategies' has no"),
        ("own_strategies:not_callable", "'own_strategies:not_callable' is not callable; name a fun"),
        ("pathlib:PosixPath.nothing", "'pathlib:PosixPath.nothing' cannot be loaded: type object"),
        ("numbers:Rational", "'numbers:Rational' cannot be loaded: TypeError: "),
        (".:x", "'.:x' cannot be loaded: "),
    ],
)  # fmt: skip
def test_code_that_is_not_there(spec: str, error: str) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(error)):
        load_policy(spec)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1 / 0\n", r"ZeroDivisionError at .*breaks\.py:1: division by zero"),
        ("def f(:\n", r"invalid syntax \(breaks\.py, line 1\)"),
        ("import no_such_thing\n", "No module named 'no_such_thing'"),
        ("raise SystemExit(3)\n", "SystemExit"),
    ],
)
def test_a_module_that_breaks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: str
) -> None:
    written(tmp_path, code, "breaks.py")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"^'breaks:f' cannot be loaded: {error}"):
        load_policy("breaks:f")


# ---- with a window

SMALL = Scale(window_tokens=32_000, reserve_tokens=0, budget_tokens=32_000)


@pytest.mark.parametrize(
    ("when", "tokens"),
    [
        ({"above": "33000 below window"}, "`when.above` comes to -1,000 tokens in a window of 32,000"),
        ({"above": "50%", "until": "32000 below window"}, "`when.until` comes to 0 tokens in a win"),
        ({"above": 0}, "`when.above` comes to 0 tokens"),
    ],
)  # fmt: skip
def test_a_limit_that_comes_to_nothing_is_refused(when: dict[str, Any], tokens: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"rule 'mine 1': {tokens}")) as raised:
        refuse_impossible(load_policy(one_rule({"when": when})), SMALL)
    assert raised.value.location[:4] == ("policy", "rules", 0, "when")


def test_a_limit_in_a_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, PARAMS)
    refuse_impossible(load_policy(str(path)), SMALL)
    with pytest.raises(ConfigError) as raised:
        refuse_impossible(load_policy(f"{path}:above=40000 below window"), SMALL)
    assert str(raised.value).startswith(
        f"{path}:8: rules[0].when.above: rule 'tuned 1': `when.above` comes to -8,000 tokens"
    )


def test_code_has_no_limits_to_refuse() -> None:
    refuse_impossible(load_policy("own_strategies:drop"), SMALL)
