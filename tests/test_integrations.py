"""Tests of what is in `integrations/`: the files say what their tools want, and their commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from commands import ROOT, Ran, written

ACTION = ROOT / "integrations" / "github-action"
HOOKS = ROOT / ".pre-commit-hooks.yaml"

FLOW = """
name: shop
window: 10000
policy: none
phases:
  - {id: plan, output: 1000}
  - {id: build, after: [plan], calls: 3, output: 400}
"""

Shell: TypeAlias = Callable[..., Ran]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder with a `ctxbudget` that is this checkout's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ctxbudget"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ctxbudget "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return folder


@pytest.fixture
def shell(tmp_path: Path, programs: Path) -> Shell:
    """Return what runs a command in a repository of its own."""
    repository = tmp_path / "repository"
    repository.mkdir()

    def run(command: Sequence[str], **variables: str) -> Ran:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB")}
        env = {
            **plain,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "TMPDIR": str(tmp_path),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": "A B" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "a@b.example" for who in ("AUTHOR", "COMMITTER")},
            **variables,
        }
        done = subprocess.run(
            list(command), cwd=repository, env=env, capture_output=True, text=True, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def committed(shell: Shell, message: str) -> None:
    for command in (["git", "add", "-A"], ["git", "commit", "-q", "-m", message]):
        ran = shell(command)
        assert ran.code == 0, ran.err


@pytest.fixture
def flows(tmp_path: Path, shell: Shell) -> Path:
    """Return a folder of workflows whose branch differs from `main` in one, and adds one."""
    assert shell(["git", "init", "-q", "-b", "main"]).code == 0
    folder = tmp_path / "repository" / "flows"
    folder.mkdir()
    written(folder, FLOW, "a flow.yaml")
    written(folder, FLOW, "same.yaml")
    committed(shell, "first")
    assert shell(["git", "switch", "-q", "-c", "topic"]).code == 0
    written(folder, FLOW.replace("1000", "1500"), "a flow.yaml")
    written(folder, FLOW, "new.yaml")
    committed(shell, "second")
    return folder


def check(shell: Shell, **variables: str) -> Ran:
    return shell(["bash", str(ACTION / "check.sh")], **variables)


def step(name: str) -> list[str]:
    """Return the command of the action's step of this name, as the runner starts it."""
    (found,) = (one for one in action()["runs"]["steps"] if one["name"] == name)
    return ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]


# ---- the action


def action() -> Any:
    return yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))


def test_the_action_is_well_formed() -> None:
    found = action()
    assert found["runs"]["using"] == "composite"
    for one in found["runs"]["steps"]:
        assert one["shell"] == "bash"
        # What others wrote reaches a script through the environment alone.
        assert "${{" not in one["run"]
    text = (ACTION / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(found["inputs"])
    readme = (ACTION / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in readme for name in found["inputs"])
    given = {name for one in found["runs"]["steps"] for name in one.get("env", {})}
    script = (ACTION / "check.sh").read_text(encoding="utf-8")
    assert set(re.findall(r"CTXBUDGET_[A-Z]+", script)) <= given


def test_each_step_is_a_script_that_bash_takes(shell: Shell) -> None:
    for one in action()["runs"]["steps"]:
        ran = shell(["bash", "-n", "-c", one["run"]])
        assert (ran.code, ran.err) == (0, "")
    assert shell(["bash", "-n", str(ACTION / "check.sh")]).code == 0


def test_the_checking_step_as_the_action_runs_it(shell: Shell, flows: Path, tmp_path: Path) -> None:
    summary, output = tmp_path / "summary", tmp_path / "output"
    ran = shell(
        step("Check"),
        GITHUB_ACTION_PATH=str(ACTION),
        RUNNER_TEMP=str(tmp_path),
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_OUTPUT=str(output),
        CTXBUDGET_FILES="flows/*.yaml\n",
        CTXBUDGET_LIMITS="--max-peak 1900 --max-sent 9k",
        CTXBUDGET_BASE="main",
    )
    assert (ran.code, ran.err) == (0, "")
    assert summary.read_text() == ran.out
    key, _, report = output.read_text().strip().partition("=")
    assert key == "report"
    assert Path(report).read_text() == ran.out
    assert "**Context budget: ok**" in ran.out
    assert "base/flows/a flow.yaml" in ran.out
    assert "| peak | 1,400 | 1,900 | +500 | +35.7% |" in ran.out
    assert "`flows/new.yaml` is new." in ran.out
    assert "base/flows/same.yaml" not in ran.out
    assert "topic" in shell(["git", "status", "--branch", "--short"]).out
    assert len(shell(["git", "worktree", "list"]).out.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"CTXBUDGET_LIMITS": "--max-peak 1899"}, 1),
        ({"CTXBUDGET_LIMITS": "--max-peak 1900"}, 0),
        ({"CTXBUDGET_GROWTH": "peak=499"}, 1),
        ({"CTXBUDGET_GROWTH": "peak=500"}, 0),
        ({"CTXBUDGET_LIMITS": "--max-peak 1899", "CTXBUDGET_GROWTH": "peak=500"}, 1),
        ({"CTXBUDGET_LIMITS": "--max-peak 1", "CTXBUDGET_GROWTH": "peaks=5"}, 2),
        ({"CTXBUDGET_LIMITS": "--max-cost 1"}, 2),
        ({"CTXBUDGET_FILES": "nothing/*.yaml"}, 2),
        ({"CTXBUDGET_FILES": " \n"}, 2),
        ({"CTXBUDGET_LIMITS": "--max-sent 9k\n--max-peak 1899\n"}, 1),
        ({"CTXBUDGET_LIMITS": '--max-peak "19% of window"'}, 0),
        ({"CTXBUDGET_LIMITS": "--max-peak 1900 --policy 'none"}, 2),
        ({"CTXBUDGET_BASE": "no-such-tag"}, 2),
        ({"CTXBUDGET_BASE": "--orphan"}, 2),
    ],
)
def test_the_exit_code_is_the_gravest(
    shell: Shell, flows: Path, variables: dict[str, str], code: int
) -> None:
    usual = {"CTXBUDGET_FILES": "flows/a*.yaml", "CTXBUDGET_BASE": ""}
    if "CTXBUDGET_GROWTH" in variables:
        usual["CTXBUDGET_BASE"] = "main"
    assert check(shell, **{**usual, **variables}).code == code


def test_names_are_never_run(shell: Shell, flows: Path) -> None:
    written(flows, FLOW, "$(touch pwned) `touch pwned`.yaml")
    committed(shell, "third")
    ran = check(
        shell, CTXBUDGET_FILES="flows/*touch*.yaml", CTXBUDGET_LIMITS="--max-peak 9k; touch pwned"
    )
    assert ran.code == 2  # `9k;` is no limit
    assert not [*flows.parent.rglob("pwned")]


def test_what_is_wrong_stands_in_the_report(shell: Shell, flows: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    ran = check(
        shell,
        CTXBUDGET_FILES="flows/*.yaml",
        CTXBUDGET_LIMITS="--max-cost 1",
        CTXBUDGET_BASE="no-such-tag",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert ran.code == 2
    found = summary.read_text()
    assert found == ran.out
    assert "    ctxbudget: error: --max-cost: cannot be judged on flows/a flow.yaml" in found
    assert "    no such base: no-such-tag; name a branch, tag or commit" in found


def test_a_report_is_never_empty(shell: Shell, flows: Path) -> None:
    files = {"CTXBUDGET_FILES": "flows/same.yaml"}
    assert check(shell, **files).out == "No limits were given, and no base: nothing was checked.\n"
    ran = check(shell, **files, CTXBUDGET_BASE="main")
    assert (ran.code, ran.out) == (0, "No workflow file differs from the base.\n\n")


def test_patterns_are_those_of_the_folder(shell: Shell, flows: Path) -> None:
    inside = ["env", "-C", "flows", "bash", str(ACTION / "check.sh")]
    ran = shell(inside, CTXBUDGET_FILES="*.yaml", CTXBUDGET_BASE="main")
    assert (ran.code, ran.err) == (0, "")
    assert "| peak | 1,400 | 1,900 | +500 | +35.7% |" in ran.out
    assert "`new.yaml` is new." in ran.out
    assert "`a flow.yaml` is new." not in ran.out


def test_no_name_ends_its_quotes(shell: Shell, flows: Path) -> None:
    written(flows, FLOW, "a` @everyone\n@all.yaml")
    committed(shell, "third")
    ran = check(shell, CTXBUDGET_FILES="flows/*everyone*", CTXBUDGET_BASE="main")
    assert ran.out == "`flows/a? @everyone?@all.yaml` is new.\n\n"


# ---- the comment


class Comments(ThreadingHTTPServer):
    """The comments on pull request 7 of `o/r`; the token `reader` may only read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CommentsOnRequest)
        self.bodies = [f"comment {number}" for number in range(130)]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class CommentsOnRequest(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Comments

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        found = re.fullmatch(r"/repos/o/r/issues/7/comments\?per_page=(\d+)&page=(\d+)", self.path)
        if found is None:
            return self._answer(404, {})
        size, page = map(int, found.groups())
        assert size <= 100
        numbered = [{"id": at, "body": body} for at, body in enumerate(self.server.bodies)]
        return self._answer(200, numbered[(page - 1) * size : page * size])

    def do_POST(self) -> None:
        if self._is_refused() or self.path != "/repos/o/r/issues/7/comments":
            return
        self.server.bodies.append(self._body())
        self._answer(201, {})

    def do_PATCH(self) -> None:
        start, _, number = self.path.rpartition("/")
        if self._is_refused() or start != "/repos/o/r/issues/comments":
            return
        self.server.bodies[int(number)] = self._body()
        self._answer(200, {})

    def _is_refused(self) -> bool:
        code = {"Bearer writer": 200, "Bearer reader": 403}.get(self.headers["Authorization"], 401)
        if code != 200:
            self._answer(code, {})
        return code != 200

    def _body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def _answer(self, code: int, content: object) -> None:
        sent = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@pytest.fixture
def comments() -> Iterator[Comments]:
    """Return a server of comments."""
    with Comments() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def comment(shell: Shell, comments: Comments, report: Path, **variables: str) -> Ran:
    usual = {
        "GITHUB_ACTION_PATH": str(ACTION),
        "GITHUB_API_URL": comments.address,
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_WORKFLOW": "budgets --> @all",
        "GITHUB_JOB": "check",
        "NUMBER": "7",
        "REPORT": str(report),
        "TOKEN": "writer",
        "no_proxy": "127.0.0.1",
    }
    return shell(step("Comment"), **{**usual, **variables})


def test_a_job_has_one_comment(shell: Shell, comments: Comments, tmp_path: Path) -> None:
    before = list(comments.bodies)
    for text, job in (("first é", "check"), ("other", "nightly"), ("second", "check")):
        report = written(tmp_path, f"{text}\n", "report.md")
        assert comment(shell, comments, report, GITHUB_JOB=job) == Ran(0, "", "")
    assert comments.bodies == [
        *before,
        "<!-- ctxbudget: budgets_all_check -->\nsecond\n",
        "<!-- ctxbudget: budgets_all_nightly -->\nother\n",
    ]


def test_a_long_report_is_cut_at_a_line(shell: Shell, comments: Comments, tmp_path: Path) -> None:
    report = written(tmp_path, "| a row |\n" * 7000, "report.md")
    assert comment(shell, comments, report).code == 0
    body = comments.bodies[-1]
    assert 65_000 < len(body) <= 65_536
    assert body.endswith("\n| a row |\n\nThe rest stands in the job's summary.\n")


def test_a_token_that_may_not_write(shell: Shell, comments: Comments, tmp_path: Path) -> None:
    before = list(comments.bodies)
    report = written(tmp_path, "text", "report.md")
    ran = comment(shell, comments, report, TOKEN="reader")  # noqa: S106
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("::warning::No comment was written, for the token may not")
    ran = comment(shell, comments, report, TOKEN="nobody's")  # noqa: S106
    assert (ran.code, ran.err) == (1, "the comment was refused: 401 Unauthorized\n")
    ran = comment(shell, comments, report, GITHUB_API_URL="http://127.0.0.1:9")
    assert ran.code == 1
    assert ran.err.startswith("the comment could not be written: ")
    assert comments.bodies == before


# ---- the hooks


def hooks() -> dict[str, Any]:
    found = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    return {one["id"]: one for one in found}


def test_the_hooks_have_what_pre_commit_asks_for() -> None:
    for hook in hooks().values():
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert hook["language"] == "python"
        re.compile(hook["files"])
        re.compile(hook["exclude"])


@pytest.mark.parametrize(
    ("path", "is_taken"),
    [
        ("workflows/jwt_auth.yaml", True),
        ("a/workflows/flow.yml", True),
        (".github/workflows/ci.yaml", False),
        ("workflows/workflow.schema.json", False),
        ("flows/flow.yaml", False),
    ],
)
def test_which_files_the_check_takes(path: str, is_taken: bool) -> None:
    hook = hooks()["ctxbudget-check"]
    found = re.search(hook["files"], path) and not re.search(hook["exclude"], path)
    assert bool(found) is is_taken


def test_the_hooks_run_as_pre_commit_runs_them(shell: Shell, flows: Path) -> None:
    entry = shlex.split(hooks()["ctxbudget-check"]["entry"])
    config = yaml.safe_load(
        (ROOT / "integrations" / "pre-commit" / "pre-commit-config.yaml").read_text("utf-8")
    )
    (repo,) = config["repos"]
    used = {one["id"]: one for one in repo["hooks"]}
    assert set(used) == set(hooks())
    files = ["flows/a flow.yaml", "flows/same.yaml"]
    assert shell([*entry, *used["ctxbudget-check"]["args"], *files]).code == 0
    failed = shell([*entry, "--max-peak", "1400", *files])
    assert failed.code == 1
    assert failed.out.startswith("flows/a flow.yaml under policy none: 1 of 1 limit failed")
    assert shell([*entry, *files]).code == 2  # without limits it would check nothing
    valid = shlex.split(hooks()["ctxbudget-validate"]["entry"])
    assert shell([*valid, *files]).code == 0
    written(flows, "phases: 3", "broken.yaml")
    assert shell([*valid, "flows/broken.yaml"]).code == 2
