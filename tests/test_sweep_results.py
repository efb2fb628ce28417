"""Tests of the results file of sweeps: what is kept, what is refused, and what a result hangs on."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from commands import ROOT, Command

from ctxbudget.config.policy_file import load_policy
from ctxbudget.config.workflow_file import is_workflow_file
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Base, Limit
from ctxbudget.sweep.grid import Setting
from ctxbudget.sweep.outcome import Outcome, as_data, from_data
from ctxbudget.sweep.results import HEAD, Results, key_of

WHOLE = Outcome(
    cost_usd=Decimal("0.10"),
    total_usd=Decimal("0.125"),
    sent_tokens=1000,
    peak_tokens=600,
    budget_tokens=500,
    recall=0.5,
    quote_recall=1.0,
    misses=3,
)
FAILED = Outcome(budget_tokens=7, failure="a prompt of 9 tokens is above 7")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.jsonl"


def setting(policy: str = "masking", budget: int = 500) -> Setting:
    limit = Limit(tokens=budget, of=Base.WINDOW)
    return Setting(policy=load_policy(policy), spec=policy, budget=limit, budget_text=f"{budget:,}")


# ---- what is kept


def test_results_are_there_again_and_failures_with_their_reason(path: Path) -> None:
    with closing(Results(path)) as results:
        assert results.get("a") is None
        results.add({"a": WHOLE})
        results.add({"b": FAILED})
        assert path.read_bytes().count(b"\n") == 3  # at once, not when it is closed
    with closing(Results(path)) as results:
        assert (results.get("a"), results.get("b"), results.get("c")) == (WHOLE, FAILED, None)


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_line_that_was_cut_off_is_dropped(path: Path, cut: int) -> None:
    with closing(Results(path)) as results:
        results.add({"a": WHOLE})
        results.add({"b": WHOLE})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with closing(Results(path)) as results:
        assert results.get("a") == WHOLE
        assert results.get("b") is None
        results.add({"b": WHOLE})
    assert path.read_bytes() == whole


# ---- what is refused


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"mine\n", "exists and holds no results of a sweep; name another file"),
        (b"{", "exists and holds no results of a sweep; name another file"),
        (HEAD[:-1], "exists and holds results of another version of ctxbudget; name"),
        (HEAD.replace(b"1", b"2"), "exists and holds results of another version of ctxbudget"),
        (HEAD + b"{}\n", "is damaged in line 2; remove that line, or name another file"),
        (HEAD + b"\n", "is damaged in line 2"),
        (HEAD + b'{"key": "a", "outcome": {"recall": "x"}}\n', "is damaged in line 2"),
        (HEAD + b'{"key": "a", "outcome": {"cost_usd": "x"}}\n', "is damaged in line 2"),
        (HEAD + b'{"key": "a", "outcome": {"other": 1}}\n', "is damaged in line 2"),
        (HEAD + b'{"key": "a", "outcome": {}}\n5\n', "is damaged in line 3"),
    ],
)
def test_a_file_of_something_else_is_refused_and_stays(
    path: Path, content: bytes, told: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        Results(path)
    assert f"--results: {path}: {told}" in str(raised.value)
    assert path.read_bytes() == content


def test_what_is_no_file_and_a_place_that_is_not_there_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for wrong in (pipe, tmp_path, tmp_path / "no" / "r.jsonl"):
        with pytest.raises(ConfigError, match="name another file"):
            Results(wrong)


def test_a_file_that_another_sweep_writes_is_refused(ctxbudget: Command, path: Path) -> None:
    asked = ("sweep", "jwt_auth", "--policy", "moderate", "--results", path)
    with closing(Results(path)) as results:
        results.add({"a": WHOLE})
        before = path.read_bytes()
        assert ctxbudget(*asked).error == (
            f"--results: {path}: is being written by another sweep; "
            "wait until that has ended, or name another file"
        )
        assert path.read_bytes() == before
    assert ctxbudget(*asked).code == 0


def test_a_sweep_that_was_killed_leaves_no_lock(path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from ctxbudget.sweep.results import Results\n"
        "results = Results(pathlib.Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, check=False)
    assert path.read_bytes() == HEAD
    Results(path).close()


def test_a_full_disk_is_told_when_it_is_met(path: Path) -> None:
    script = (
        "import pathlib, resource, sys\n"
        "from ctxbudget.core.errors import ConfigError\n"
        "from ctxbudget.sweep.outcome import Outcome\n"
        "from ctxbudget.sweep.results import Results\n"
        "results = Results(pathlib.Path(sys.argv[1]))\n"
        "results.add({'a': Outcome(misses=1)})\n"
        "size = pathlib.Path(sys.argv[1]).stat().st_size + 20\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "try:\n"
        "    results.add({'b': Outcome(misses=2)})\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
        "results.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"--results: {path}: file too large; what was finished before is kept; "
        "make room and start again, or name another file\n"
    )
    with closing(Results(path)) as results:  # the half line that was written is dropped
        assert results.get("a") == Outcome(misses=1)
        assert results.get("b") is None


# ---- outcomes as data


@pytest.mark.parametrize("one", [WHOLE, FAILED, Outcome()])
def test_outcomes_come_back(one: Outcome) -> None:
    assert from_data(as_data(one)) == one


@pytest.mark.parametrize(
    "data", [{"misses": 1.5}, {"misses": None}, {"misses": True}, {"failure": 3}, {"cost_usd": 1}]
)
def test_what_is_no_outcome(data: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(data))):
        from_data(data)


# ---- what a result hangs on


def test_a_key_is_of_the_content_the_setting_and_the_prices() -> None:
    keys = {
        key_of("x", setting(), "2026-01-01"),
        key_of("y", setting(), "2026-01-01"),
        key_of("x", setting("masking:keep=3"), "2026-01-01"),
        key_of("x", setting(budget=501), "2026-01-01"),
        key_of("x", setting(), "2026-01-02"),
    }
    assert len(keys) == 5
    assert key_of("x", setting(), "2026-01-01") in keys


@pytest.fixture
def own_code(tmp_path: Path) -> Iterator[Path]:
    """Make a package with a policy in a module, named in the package and in front of it."""
    folder = tmp_path / "swept_policies"
    folder.mkdir()
    (folder / "__init__.py").write_text("from swept_policies.keeping import keep\n")
    (folder / "keeping.py").write_text("def keep(moment):\n    return []\n")
    (tmp_path / "swept_front.py").write_text("from swept_policies import keep\n")
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(tmp_path))
    for name in ("swept_policies", "swept_policies.keeping", "swept_front"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("spec", ["swept_policies:keep", "swept_front:keep"])
def test_a_key_of_own_code_changes_with_the_code(own_code: Path, spec: str) -> None:
    before = key_of("x", setting(spec), "2026-01-01")
    assert key_of("x", setting(spec), "2026-01-01") == before
    (own_code / "keeping.py").write_text("def keep(moment):\n    return ()\n")
    assert key_of("x", setting(spec), "2026-01-01") != before


# ---- workflows and sessions


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("w.yaml", "", True),
        ("w.yml", "", True),
        ("w.json", '{"phases": []}', True),
        ("s.json", '{"messages": []}', False),
        ("s.json", '["phases"]', False),
        ("s.json", "{", False),
        ("s.jsonl", '{"phases": []}', False),
    ],
)
def test_a_workflow_is_told_from_a_session(
    tmp_path: Path, name: str, content: str, is_one: bool
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert is_workflow_file(path) is is_one
    assert not is_workflow_file(tmp_path / "gone.json")
