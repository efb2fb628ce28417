"""Tests of `ctxbudget init`: by options, and by questions on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ROOT, Command, all_shown, written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.cli.new_workflow import checked
from ctxbudget.writing.assumed import Assumed, metadata_tokens
from ctxbudget.writing.starter import Wish, starter


@pytest.fixture
def init(ctxbudget: Command, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return what writes a file and gives its content."""

    def run(*options: object) -> dict[str, Any]:
        path = tmp_path / "flow.yaml"
        ran = ctxbudget("init", path, *options, "--force")
        assert ran.code == 0, ran.err
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return content

    return run


def test_what_is_written_without_a_terminal(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "my shop.yaml"
    ran = ctxbudget("init", path)
    assert (ran.code, ran.err) == (0, "")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (content["name"], content["window"], content["reserve"]) == ("my shop", 200_000, 8_000)
    assert [phase["id"] for phase in content["phases"]] == ["plan", "implement", "test"]
    assert [phase.get("after") for phase in content["phases"]] == [None, ["plan"], ["implement"]]
    assert "model" not in content
    found = ctxbudget("simulate", path, "--json").json
    assert f"wrote {path}: 3 phases under policy {found['policy']}: peaks at" in ran.out
    assert f"{found['run']['peak_tokens']:,} tokens" in ran.out
    assert f"ctxbudget explain '{path}' test" in ran.out
    assert "fine, a workflow of 3 phases" in ctxbudget("validate", path).out


def test_every_key_is_explained(ctxbudget: Command, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    ctxbudget("init", path, "--model", "claude-haiku-4-5", "--window", "200k")
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[: lines.index("")]  # up to the end of the first phase
    for number, line in enumerate(first):
        is_key = line.lstrip(" -") and not line.startswith("#") and "- id: plan" not in line
        if is_key and not line.lstrip().startswith("#"):
            assert " # " in line or first[number - 1].lstrip().startswith("#"), line
    assert max(map(len, lines)) <= 99


def test_options(init: Callable[..., dict[str, Any]]) -> None:
    content = init(
        "--name", "shop", "--model", "claude-haiku-4-5", "--phases", "look, build",
        "--outputs", "large", "--rounds", "3", "--policy", "masking:keep=2",
    )  # fmt: skip
    assert (content["name"], content["model"]) == ("shop", "claude-haiku-4-5")
    assert "window" not in content  # the model's is known
    assert content["policy"] == "masking:keep=2"
    look, build = content["phases"]
    assert (look["id"], build["after"]) == ("look", ["look"])
    assert (look["calls"], look["output"], look["metadata"]) == (4, 8_000, 800)
    assert look["turn"] == {"call": 150, "result": 1500}


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (["--window", "32k"], "window", 32_000),
        (["--model", "claude-haiku-4-5", "--window", "1M"], "window", 1_000_000),
        (["--model", "none"], "model", None),
        (["--model", "home-made"], "window", 200_000),
        (["--model", "home-made"], "model", "home-made"),
    ],
)
def test_model_and_window(
    init: Callable[..., dict[str, Any]], options: list[str], key: str, value: object
) -> None:
    assert init(*options).get(key) == value


def test_no_rounds_at_all(init: Callable[..., dict[str, Any]]) -> None:
    (phase,) = init("--phases", "one", "--rounds", "0", "--outputs", "20")["phases"]
    assert phase == {"id": "one", "calls": 1, "output": 20, "metadata": 20}


def test_the_policy_that_suits_is_written(init: Callable[..., dict[str, Any]]) -> None:
    assert init()["policy"] == "moderate"
    assert init("--phases", "a,b,c,d")["policy"] == "aggressive"
    assert init("--phases", "a")["policy"] == "adaptive"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--phases", "a,,b"], "--phases: expected names with commas between them, found 'a,,b'"),
        (["--phases", "a,b,a"], "--phases: the name 'a' is there twice"),
        (["--phases", "a/b"], "expected a name without '/'"),
        (["--phases", ",".join(map(str, range(501)))], "--phases: expected at most 500 phases"),
        (["--rounds", "-1"], "--rounds: expected a whole number up to 10,000, found '-1'"),
        (["--rounds", "10001"], "--rounds: expected a whole number up to 10,000, found 10001"),
        (["--rounds", "²"], "--rounds: expected a whole number up to 10,000, found '²'"),
        (["--outputs", "huge"], "--outputs: expected small (1,000), medium (3,000), large (8,000)"),
        (["--window", "wide"], "--window: expected a number of tokens such as 200000 or 200k"),
        (["--policy", "maskin"], "--policy: there is no policy 'maskin' and no file of this name"),
        (["--policy", "clairvoyant"], "knows what a recorded session went on to use"),
        (["--name", " "], "--name: expected a name, found nothing"),
        (["--window", "3000"], "permanent"),  # the instructions alone do not fit
    ],
)
def test_mistakes_write_nothing(
    ctxbudget: Command, tmp_path: Path, options: list[str], said: str
) -> None:
    path = tmp_path / "flow.yaml"
    assert said in ctxbudget("init", path, *options).error
    assert not path.exists()


def test_a_file_is_replaced_only_by_force(ctxbudget: Command, tmp_path: Path) -> None:
    path = written(tmp_path, "mine")
    said = f"{path}: is there already; choose another name or add --force"
    assert ctxbudget("init", path).error == said
    assert path.read_text(encoding="utf-8") == "mine"
    assert ctxbudget("init", path, "--force").code == 0
    assert path.read_text(encoding="utf-8").startswith("# A workflow")
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "nowhere.yaml")
    assert "is there already" in ctxbudget("init", link).error
    assert "no such file" in ctxbudget("init", tmp_path / "no" / "flow.yaml").error


def test_a_folder_is_no_file_whatever_is_forced(ctxbudget: Command, tmp_path: Path) -> None:
    for options in ((), ("--force",)):
        error = ctxbudget("init", tmp_path, "--yes", *options).error
        assert error == f"{tmp_path}: is a folder; name a file"


def test_a_model_without_a_price_is_told(ctxbudget: Command, tmp_path: Path) -> None:
    said = ctxbudget("init", tmp_path / "a.yaml", "--yes", "--model", "my-own-1").out
    assert "; the price of my-own-1 is not known\n" in said
    said = ctxbudget("init", tmp_path / "b.yaml", "--yes", "--model", "claude-sonnet-4-6").out
    assert "price of" not in said


def test_stdout(ctxbudget: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = ctxbudget("init", "-", "--phases", "a,b")
    assert [phase["id"] for phase in yaml.safe_load(ran.out)["phases"]] == ["a", "b"]
    assert ran.err.startswith("ctxbudget: 2 phases under policy moderate: peaks at")
    assert "needs a file to replace" in ctxbudget("init", "-", "--force").error
    monkeypatch.chdir(tmp_path)
    assert ctxbudget("init").code == 0
    assert (tmp_path / "workflow.yaml").exists()


# ---- questions


def asked(folder: Path, answers: str, *options: str) -> tuple[int, str]:
    """Return the exit code and all that a terminal shows when these answers are typed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ctxbudget", "init", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    shown = all_shown(ours).decode()
    return process.wait(), shown


def test_questions_are_asked_on_a_terminal(tmp_path: Path) -> None:
    answers = "shop\nnone\nwide\n64k\nlook,look\nlook,build\nlarge\n\nmasking\n"
    code, shown = asked(tmp_path, answers, "flow.yaml")
    assert code == 0, shown
    for said in (
        "Name of the workflow [flow]:",
        "Model (none: I know its window only) [claude-sonnet-4-6]:",
        "Its window, in tokens [200000]:",
        "Error: expected a number of tokens such as 200000 or 200k, found 'wide'",
        "Phases, in order [plan,implement,test]:",
        "Error: the name 'look' is there twice",
        "What a phase hands on (small, medium, large, or tokens) [medium]:",
        "Rounds of tools in a phase [8]:",
        "Policy [moderate]:",
        "wrote flow.yaml: 2 phases under policy masking",
    ):
        assert said in shown
    content = yaml.safe_load((tmp_path / "flow.yaml").read_text(encoding="utf-8"))
    assert (content["name"], content["window"], content["policy"]) == ("shop", 64_000, "masking")
    assert [phase["calls"] for phase in content["phases"]] == [9, 9]


def test_what_is_given_is_not_asked_for(tmp_path: Path) -> None:
    code, shown = asked(tmp_path, "\n" * 6, "--phases", "a", "--rounds", "1", "--policy", "none")
    assert code == 0, shown
    assert "Name of the workflow [workflow]:" in shown
    assert "Its window" not in shown  # the model that is offered has one
    for question in ("Phases, in order", "Rounds of tools", "Policy ["):
        assert question not in shown
    code, shown = asked(tmp_path, "", "quiet.yaml", "--yes")
    assert code == 0
    assert "]:" not in shown


def test_giving_up_writes_nothing(tmp_path: Path) -> None:
    code, shown = asked(tmp_path, "shop\n\x04", "flow.yaml")  # end of input
    assert code == 130, shown
    assert "interrupted" in shown
    assert not (tmp_path / "flow.yaml").exists()
    written(tmp_path, "mine")
    code, shown = asked(tmp_path, "", "flow.yaml")
    assert code == 2
    assert "Name of the workflow" not in shown  # found out before the first question


# ---- the parts


def test_metadata_is_a_tenth() -> None:
    assert [metadata_tokens(size) for size in (0, 20, 400, 3000)] == [0, 20, 50, 300]


NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), exclude_characters="/"),
                min_size=1, max_size=20).filter(lambda name: bool(name.strip()))  # fmt: skip


@settings(max_examples=25)
@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    rounds=st.integers(0, 20),
    output=st.integers(0, 50_000),
    name=NAMES,
)
def test_every_wish_becomes_a_valid_file(
    names: list[str], rounds: int, output: int, name: str
) -> None:
    wish = Wish(
        name=name,
        phases=names,
        window_tokens=500_000,
        assumed=Assumed(rounds=rounds, output_tokens=output),
    )
    found = checked(starter(wish, "x.yaml"), "x.yaml")
    workflow = found.setup.loaded.workflow
    assert [phase.id for phase in workflow.phases] == names
    assert workflow.name == name
    assert found.metrics.run.calls == len(names) * (rounds + 1)
