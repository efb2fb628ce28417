"""Tests of the command: what it prints, its exit codes, its journal, what it imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Command, all_shown, in_subprocess, written

from ctxbudget._version import __version__
from ctxbudget.config import lookup
from ctxbudget.journal import is_journal, read_journal

ESCAPE = "\x1b"
FLOW = """\
window: 1000
budget: 50%
phases:
- {id: a, output: 300, metadata: 50}
- {id: b, after: [a], agents: [{id: x, output: 200, metadata: 20}, {id: y, output: 100}]}
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    return written(tmp_path, FLOW)


# ---- simulate --json

EVENT = {"level", "scope", "at", "tokens", "limit_tokens"}
PHASE = {"id", "allocated_tokens", "peak_tokens", "residual_tokens", "pruned_tokens", "over_tokens"}
RUN = {
    "window_tokens",
    "budget_tokens",
    "planned_tokens",
    "over_tokens",
    "peak_tokens",
    "residual_tokens",
    "sent_tokens",
}


def whole(values: dict[str, Any], keys: set[str]) -> bool:
    return all(type(values[key]) is int for key in keys - {"id"})


def events(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from result["run"]["events"]
    for phase in result["phases"]:
        yield from phase["events"]


def check_shape(result: dict[str, Any]) -> None:
    assert whole(result["run"], RUN)
    for phase in result["phases"]:
        assert isinstance(phase["id"], str)
        assert whole(phase, PHASE)
        for wave in phase["waves"]:
            assert whole(wave, {"residual_tokens"})
    for event in events(result):
        assert set(event) == EVENT
        assert whole(event, {"tokens", "limit_tokens"})
        assert isinstance(event["at"], float)
        assert event["level"] in ("warn", "critical", "overflow", "overrun")
        assert re.fullmatch(r"run|(phase|layer|thread):.+", event["scope"])


@pytest.mark.parametrize("name", lookup.names("workflows"))
def test_json_has_its_shape(ctxbudget: Command, name: str) -> None:
    result = ctxbudget("simulate", name, "--json").json
    check_shape(result)
    assert result["workflow"] == name
    assert "compare" not in result


def test_json_of_a_workflow_worked_by_hand(ctxbudget: Command, flow: Path) -> None:
    result = ctxbudget("simulate", flow, "--policy", "aggressive", "--json").json
    a, b = result["phases"]
    assert (a["id"], a["allocated_tokens"], a["peak_tokens"]) == ("a", 250, 300)
    assert (a["residual_tokens"], a["pruned_tokens"], a["over_tokens"]) == (50, 250, 0)
    assert (b["peak_tokens"], b["pruned_tokens"]) == (350, 180)
    assert b["residual_tokens"] == 50 + 20 + 100  # y declares no metadata; 250 would not be shorter
    assert [wave["residual_tokens"] for wave in b["waves"]] == [170]
    assert result["run"]["budget_tokens"] == 500
    assert result["run"]["residual_tokens"] == 170
    assert result["run"]["peak_tokens"] == 350


def test_several_policies_are_compared_and_the_first_is_on_top(ctxbudget: Command) -> None:
    policies = ["none", "masking:keep=3", "aggressive"]
    chosen = [word for policy in policies for word in ("--policy", policy)]
    result = ctxbudget("simulate", "jwt_auth", *chosen, "--json").json
    assert [one["policy"] for one in result["compare"]] == policies
    for one in result["compare"]:
        check_shape(one)
        alone = ctxbudget("simulate", "jwt_auth", "--policy", one["policy"], "--json").json
        assert (one["phases"], one["run"]) == (alone["phases"], alone["run"])
    assert result["policy"] == "none"
    assert result["phases"] == result["compare"][0]["phases"]
    assert result["run"] == result["compare"][0]["run"]
    assert result["run"] != result["compare"][2]["run"]


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--budget", "60%"], "budget_tokens", 600),
        (["--budget", "0.4k"], "budget_tokens", 400),
        (["--window", "2k"], "window_tokens", 2000),
        (["--window", "2k"], "budget_tokens", 1000),
        (["--policy", "none"], "pruned_tokens", 0),
        (["--policy", "none"], "residual_tokens", 600),
        (["--deliver", "in_turn", "--policy", "aggressive"], "peak_tokens", 300),
        (["--allocator", "reserve"], "planned_tokens", 300),
    ],
)
def test_options_override_the_file(
    ctxbudget: Command, flow: Path, arguments: list[str], key: str, value: int
) -> None:
    assert ctxbudget("simulate", flow, *arguments, "--json").json["run"][key] == value


def test_own_policies_and_allocators_run(ctxbudget: Command, flow: Path) -> None:
    arguments = ["--policy", "own_strategies:drop_outputs", "--allocator", "own_strategies:equal"]
    result = ctxbudget("simulate", flow, *arguments, "--json").json
    assert result["policy"] == "own_strategies:drop_outputs"
    assert result["allocator"] == "own_strategies:equal"
    assert [phase["residual_tokens"] for phase in result["phases"]] == [0, 0]
    assert [phase["allocated_tokens"] for phase in result["phases"]] == [250, 250]


def test_a_run_that_a_policy_makes_impossible(ctxbudget: Command, tmp_path: Path) -> None:
    lines = [f"- {{id: {n}, output: 600, metadata: 400, metadata_to: permanent}}" for n in range(4)]
    flow = written(tmp_path, "\n".join(["window: 1000", "phases:", *lines]))
    assert "hold 1,200 tokens" in ctxbudget("simulate", flow, "--policy", "aggressive").error
    assert ctxbudget("simulate", flow, "--policy", "none", "--json").json["run"]["over_tokens"] == 0


def test_own_code_is_found_in_the_current_folder(tmp_path: Path, flow: Path) -> None:
    written(tmp_path, "def keep_all(moment):\n    return []\n", "mine.py")
    (tmp_path / "bin").mkdir()  # as an installed command, whose own folder Python looks in
    script = written(tmp_path / "bin", "from ctxbudget.cli.main import main\nmain()\n", "ctxb.py")
    command = [
        sys.executable,
        str(script),
        "simulate",
        flow.name,
        "--policy",
        "mine:keep_all",
        "--json",
    ]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert json.loads(shown)["run"]["residual_tokens"] == 600


def test_a_policy_beside_the_workflow_and_an_inline_one(ctxbudget: Command, tmp_path: Path) -> None:
    rules = "rules: [{on: phase_finished, do: drop, why: x, select: {min_tokens: $least}}]"
    written(tmp_path, f"name: beside\nparams: {{least: 1}}\n{rules}\n", "p.yaml")
    flow = written(tmp_path, f"{FLOW}policy: p.yaml:least=300\n")
    result = ctxbudget("simulate", flow, "--json").json
    assert (result["policy"], result["run"]["pruned_tokens"]) == ("beside:least=300", 300)
    flow = written(tmp_path, f"{FLOW}policy: {{name: inline, params: {{least: 200}}, {rules}}}\n")
    result = ctxbudget("simulate", flow, "--json").json
    assert (result["policy"], result["run"]["pruned_tokens"]) == ("inline", 500)


@pytest.mark.parametrize("shape", ["line", "fan"])
def test_ten_thousand_phases(ctxbudget: Command, tmp_path: Path, shape: str) -> None:
    count = 10_000
    lines = ["phases:", "- {id: p0, output: 100, metadata: 10}"]
    for n in range(1, count - 1):
        need = n - 1 if shape == "line" else 0
        lines.append(f"- {{id: p{n}, output: 100, metadata: 10, after: [p{need}]}}")
    needs = ", ".join(f"p{n}" for n in range(1, count - 1)) if shape == "fan" else f"p{count - 2}"
    lines.append(f"- {{id: end, after: [{needs}]}}")
    flow = written(tmp_path, "\n".join(lines))
    result = ctxbudget("simulate", flow, "--json").json
    assert len(result["phases"]) == count
    assert [phase["id"] for phase in result["phases"][:: count - 1]] == ["p0", "end"]


# ---- gates


@pytest.mark.parametrize(
    ("name", "options", "codes"),
    [
        ("research_only", ["--budget", "100%", "--window", "28k"], {"warn": 1, "critical": 0, "overflow": 0}),
        ("research_only", ["--budget", "100%", "--window", "1M"],
         {"warn": 0, "critical": 0, "overflow": 0}),
        ("jwt_auth", [], {"warn": 1, "critical": 1, "overflow": 0}),
        ("jwt_auth", ["--policy", "none"], {"warn": 1, "critical": 1, "overflow": 1}),
        ("jwt_auth", ["--policy", "aggressive", "--policy", "none"],
         {"warn": 1, "critical": 1, "overflow": 0}),
    ],
)  # fmt: skip
def test_a_gate_fails_at_its_level_or_a_graver_one(
    ctxbudget: Command, name: str, options: list[str], codes: dict[str, int]
) -> None:
    for level, code in codes.items():
        ran = ctxbudget("simulate", name, *options, "--fail-on", level, "--json")
        assert (level, ran.code) == (level, code)
        ran.json  # noqa: B018  # printed either way
        if code:
            assert re.fullmatch(
                rf"ctxbudget: gate failed: --fail-on {level}: (warn|critical|overflow) in run, "
                r"(peak )?[\d,]+ tokens, limit [\d,]+\n",
                ran.err,
            )
        else:
            assert ran.err == ""
    assert ctxbudget("simulate", name, *options).code == 0


@pytest.mark.parametrize(
    ("text", "level", "code"),
    [
        # only the phase goes over, which is no matter of the run
        ("phases: [{id: a, allocate: 10, output: 100}]", "warn", 0),
        ("thresholds: {phases: {warn: 50%, critical: 60%}}\nphases: [{id: a, output: 700}]", "warn", 0),
        ("thresholds: {layers: {transient: {limit: 10}}}\nphases: [{id: a, output: 20}]", "warn", 0),
        ("phases: [{id: a, output: 750}]", "warn", 0),
        ("phases: [{id: a, output: 751}]", "warn", 1),
        ("phases: [{id: a, output: 950}]", "critical", 0),
        ("phases: [{id: a, output: 951}]", "critical", 1),
        # an agent's own thread overflows
        ("phases: [{id: a, agents: [{id: x, output: 1, reads: [1001]}]}]", "overflow", 1),
        ("phases: [{id: a, agents: [{id: x, output: 1, reads: [1001]}]}]", "warn", 1),
        ("phases: [{id: a, agents: [{id: x, output: 1, reads: [1000]}]}]", "overflow", 0),
    ],
)  # fmt: skip
def test_a_gate_looks_at_the_run(
    ctxbudget: Command, tmp_path: Path, text: str, level: str, code: int
) -> None:
    flow = written(tmp_path, f"window: 1000\npolicy: none\n{text}\n")
    assert ctxbudget("simulate", flow, "--fail-on", level, "--json").code == code


def test_a_failed_gate_names_the_peak_not_where_the_level_was_first_crossed(
    ctxbudget: Command, tmp_path: Path
) -> None:
    text = "window: 1000\npolicy: none\nphases: [{id: a, output: 960}, {id: b, output: 30}]\n"
    ran = ctxbudget("simulate", written(tmp_path, text), "--fail-on", "critical", "--json")
    assert ran.json["run"]["events"][1]["tokens"] == 960
    assert ran.err == (
        "ctxbudget: gate failed: --fail-on critical: critical in run, peak 990 tokens, limit 950\n"
    )


def test_a_failed_gate_names_the_gravest(ctxbudget: Command, tmp_path: Path) -> None:
    text = "window: 1000\npolicy: none\nphases: [{id: a, output: 1500}, {id: b, after: [a]}]\n"
    ran = ctxbudget("simulate", written(tmp_path, text), "--fail-on", "warn", "--json")
    assert ran.err.startswith("ctxbudget: gate failed: --fail-on warn: overflow in run, 1,500 tok")


# ---- tables


@pytest.mark.parametrize(
    "words",
    [
        "simulate jwt_auth",
        "simulate naive --policy none",
        "simulate jwt_auth --model claude-sonnet-4-5 --policy moderate --policy none",
        "policies",
        "--help",
        "simulate --help",
        "validate --help",
        "policies --help",
        "schema --help",
    ],
)
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_pipe_gets_no_escape_codes_and_the_width_it_asks_for(
    words: str, columns: int, tmp_path: Path
) -> None:
    ran = in_subprocess(*words.split(), cwd=tmp_path, env={"COLUMNS": str(columns)})
    assert (ran.code, ran.err) == (0, "")
    assert ESCAPE not in ran.out
    assert max(map(len, ran.out.splitlines())) <= columns


@pytest.mark.parametrize("columns", [None, "wide", "0"])
def test_a_pipe_without_a_width_gets_a_wide_table(tmp_path: Path, columns: str | None) -> None:
    env = {} if columns is None else {"COLUMNS": columns}
    ran = in_subprocess("simulate", "jwt_auth", cwd=tmp_path, env=env)
    assert 80 < max(map(len, ran.out.splitlines())) <= 120


@pytest.mark.parametrize(("variable", "is_plain"), [("NO_COLOR", True), ("NOTHING", False)])
def test_no_color_means_no_escape_codes_on_a_terminal(variable: str, is_plain: bool) -> None:
    pty = pytest.importorskip("pty", reason="no terminals here")
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    command = [sys.executable, "-m", "ctxbudget", "simulate", "research_only"]
    with subprocess.Popen(
        command, stdout=theirs, cwd=ROOT, env={**env, variable: "1", "TERM": "xterm-256color"}
    ):
        os.close(theirs)
        shown = all_shown(ours)
    assert b"research_only" in shown
    assert (ESCAPE.encode() not in shown) is is_plain


def test_names_are_printed_as_they_are(ctxbudget: Command, tmp_path: Path) -> None:
    names = ["[bold]", ":fire:", "back\\", "計画", "é‍x", "100%"]
    phases = "\n".join(f"- {{id: {json.dumps(name)}, output: 1}}" for name in names)
    flow = written(tmp_path, f"name: '[red]:bug:'\nphases:\n{phases}\n", "[x] ü.yaml")
    ran = ctxbudget("simulate", flow)
    assert ran.out.startswith("[red]:bug: under policy aggressive\n")
    for name in names:
        assert name in ran.out
    result = ctxbudget("simulate", flow, "--json").json
    assert [phase["id"] for phase in result["phases"]] == names


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("window: 9\nphases: [{id: a}]", []),
        ("phases: [{id: a}]", ["assumed: the window is not given; set `window`"]),
        ("model: unheard-of\nphases: [{id: a}]", ["assumed: the window of unheard-of is not known; se"]),
        ("window: 9000\nphases: [{id: a, output: 5}, {id: b, agents: [{id: x, output: 5}]}]",
         ["assumed: 250 tokens of metadata for each output that declares none (2)"]),
        ("window: 9000\ncounter: chars\nphases: [{id: a, output: 5, metadata: 1}]",
         ["estimate: texts are counted as characters ÷ 4"]),
    ],
)  # fmt: skip
def test_a_report_says_what_its_numbers_rest_on(
    ctxbudget: Command, tmp_path: Path, text: str, notes: list[str]
) -> None:
    text = text.replace("window: 9\n", "window: 900\n")
    lines = ctxbudget("simulate", written(tmp_path, text)).out.splitlines()
    found = [line for line in lines if line.startswith(("assumed", "estimate"))]
    assert len(found) == len(notes)
    assert all(line.startswith(note) for line, note in zip(found, notes, strict=True))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_any_encoding_will_do(tmp_path: Path, option: list[str], encoding: str) -> None:
    flow = written(tmp_path, "phases: [{id: 計画 🎉, output: 1}]\n")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    ran = in_subprocess("simulate", flow, *option, cwd=tmp_path, env=env)
    assert (ran.code, ran.err) == (0, "")
    if option:
        assert ran.json["phases"][0]["id"] == "計画 🎉"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text here")
def test_a_file_name_that_is_not_text(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "flow-") + b"\xff.yaml"
    Path(os.fsdecode(path)).write_text(FLOW, encoding="utf-8")
    arguments = ["simulate", os.fsdecode(path), "--journal", "run.jsonl"]
    assert in_subprocess(*arguments, "--json", cwd=tmp_path).json["workflow"] == "flow-?"
    assert in_subprocess(*arguments, cwd=tmp_path).out.startswith("flow-? under policy moderate")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize("words", ["simulate jwt_auth", "simulate jwt_auth --json", "policies"])
def test_a_reader_that_leaves_early_is_no_failed_gate(words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ctxbudget", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("words", ["simulate jwt_auth", "simulate jwt_auth --json", "schema"])
def test_a_full_disk_is_told(words: str) -> None:
    command = [sys.executable, "-m", "ctxbudget", *words.split()]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"ctxbudget: error: no space left on device; free some space")
    assert done.stderr.count(b"\n") == 1


# ---- the journal


def test_a_journal_is_written_whole(ctxbudget: Command, flow: Path, tmp_path: Path) -> None:
    journal = tmp_path / "Протокол.jsonl"
    ran = ctxbudget(
        "simulate", flow, "--policy", "none", "--policy", "minimal", "--journal", journal
    )
    assert ran.code == 0
    first, *_, last = read_journal(journal)
    assert type(first).__name__ == "RunStarted"
    assert first.policy["name"] == "none"  # type: ignore[union-attr]  # as just seen
    assert type(last).__name__ == "RunClosed"
    assert {path.name for path in tmp_path.iterdir()} == {journal.name, flow.name}
    again = journal.read_bytes()
    assert ctxbudget("simulate", flow, "--policy", "none", "--journal", journal).code == 0
    assert journal.read_bytes() == again
    assert b"\r" not in again


def test_a_journal_takes_the_place_of_a_journal_or_of_nothing(
    ctxbudget: Command, flow: Path, tmp_path: Path
) -> None:
    journal, link = tmp_path / "run.jsonl", tmp_path / "link.jsonl"
    journal.touch()
    assert ctxbudget("simulate", flow, "--journal", journal).code == 0
    link.symlink_to(journal)
    before = journal.read_bytes()
    assert ctxbudget("simulate", flow, "--policy", "none", "--journal", link).code == 0
    assert link.is_symlink()
    assert is_journal(journal)
    assert journal.read_bytes() != before


# ---- the other commands


def test_policies_are_listed(ctxbudget: Command) -> None:
    shown = ctxbudget("policies")
    rows = ctxbudget("policies", "--json").json
    assert [row["name"] for row in rows] == lookup.names("policies")
    for row in rows:
        assert row["name"] in shown.out
        assert row["about"]
    assert {row["name"]: row["params"] for row in rows}["masking"] == {"keep": 10, "step": 1}
    assert "keep=10" in shown.out


@pytest.mark.parametrize("name", lookup.names("policies"))
def test_a_policy_is_shown(ctxbudget: Command, name: str) -> None:
    path = ROOT / "policies" / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert ctxbudget("policies", name).out == text.rstrip() + "\n"
    assert ctxbudget("policies", path).out == text.rstrip() + "\n"
    assert ctxbudget("policies", name, "--json").json["name"] == name


def test_validate_says_what_each_file_holds(ctxbudget: Command, flow: Path) -> None:
    ran = ctxbudget("validate", flow, "jwt_auth", "masking", ROOT / "policies" / "none.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"{flow}: fine, a workflow of 2 phases in 2 waves, 500 tokens of budget, policy moderate",
        "jwt_auth: fine, a workflow of 6 phases in 6 waves, 7,500 tokens of budget, policy "
        "aggressive",
        "masking: fine, a policy of 1 rule",
        f"{ROOT / 'policies' / 'none.yaml'}: fine, a policy of 0 rules",
    ]


def test_every_shipped_file_is_fine(ctxbudget: Command) -> None:
    shipped = [*ROOT.glob("workflows/*.yaml"), *ROOT.glob("policies/*.yaml")]
    ran = ctxbudget("validate", *shipped)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count(": fine, ") == len(shipped) > 8


def test_validate_knows_a_policy_by_its_rent_alone(ctxbudget: Command, tmp_path: Path) -> None:
    stays = "rent:\n  stays:\n    - {kind: tool_result, idle_calls: %s}\n"
    (tmp_path / "own.yaml").write_text("name: own\n" + stays % 2, encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text("name: own\n" + stays % "two", encoding="utf-8")
    ran = ctxbudget("validate", tmp_path / "own.yaml", tmp_path / "wrong.yaml", "adaptive")
    assert ran.code == 2
    assert ran.out.splitlines() == [
        f"{tmp_path / 'own.yaml'}: fine, a policy of 0 rules and a rent of 1 line",
        "adaptive: fine, a policy of 2 rules and a rent of 15 lines",
    ]
    assert "wrong.yaml:4: rent.stays[0].idle_calls: expected a whole number" in ran.err


def test_validate_goes_on_after_a_wrong_file(ctxbudget: Command, tmp_path: Path) -> None:
    wrong = [
        written(tmp_path, "phases: []", "a.yaml"),
        written(tmp_path, "rules: [{}]", "b.yaml"),
        written(tmp_path, "phases: [{id: a, reads: [{file: nope}]}]", "c.yaml"),
        written(
            tmp_path, "window: 5\nphases: [{id: a}]\npermanent: [{id: b, tokens: 6}]", "d.yaml"
        ),
        tmp_path / "e.yaml",
    ]
    ran = ctxbudget("validate", *wrong, "none")
    assert (ran.code, ran.out) == (2, "none: fine, a policy of 0 rules\n")
    # of b.yaml a name is missing, and of its rule `on`, `do` and `why`
    assert ran.err.count("\n") == ran.err.count("ctxbudget: error: ") == len(wrong) + 3
    for path in (wrong[0], wrong[1], wrong[2], wrong[4]):
        assert f"ctxbudget: error: {path}:" in ran.err


def test_validate_lists_all_that_is_wrong_with_a_file(ctxbudget: Command, tmp_path: Path) -> None:
    text = """\
windw: 5
phases:
- {id: a, calls: -3, output: {median: 500, p95: 400}}
- {id: b, outptu: 4, agents: [{id: x, outpt: 5}]}
policy:
  name: own
  rules: [{on: warn, do: drop, whyy: x}]
"""
    ran = ctxbudget("validate", written(tmp_path, text), "none")
    assert (ran.code, ran.out) == (2, "none: fine, a policy of 0 rules\n")
    assert [line.partition(f"{tmp_path}/")[2][:40] for line in ran.err.splitlines()] == [
        "flow.yaml:1: windw: unknown key; did you",
        "flow.yaml:3: phases[0].calls: expected a",
        "flow.yaml:3: phases[0].output.p95: expec",
        "flow.yaml:4: phases[1].agents[0].outpt: ",
        "flow.yaml:4: phases[1].outptu: unknown k",
        "flow.yaml:7: policy.rules[0].whyy: unkno",
        "flow.yaml:4: phases[1].agents[0].output:",
        "flow.yaml:7: policy.rules[0].why: is req",
    ]
    assert "(and 7 more problems)" in ctxbudget("simulate", tmp_path / "flow.yaml").error


def test_help_and_version(ctxbudget: Command) -> None:
    assert ctxbudget("--version").out == f"ctxbudget, version {__version__}\n"
    assert ctxbudget().out == ctxbudget("--help").out == ctxbudget("-h").out
    for command in ("simulate", "validate", "policies", "schema"):
        assert re.search(rf"^  {command} ", ctxbudget("--help").out, re.MULTILINE)
        shown = ctxbudget(command, "--help")
        assert (shown.code, shown.err) == (0, "")
        assert "Examples:" in shown.out


# ---- imports

SLOW = ("networkx", "pydantic", "rich", "tiktoken", "anthropic", "genai_prices")
SEEN = f"""\
import sys
from ctxbudget.cli.main import main
try:
    main()
except SystemExit as exited:
    assert not exited.code, exited.code
print([name for name in {SLOW} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "imported"),
    [
        ("--help", set()),
        ("--version", set()),
        ("simulate --help", set()),
        ("validate --help", set()),
        ("policies --help", set()),
        ("schema --help", set()),
        ("simulate jwt_auth --json", {"networkx", "pydantic"}),
        ("simulate self_review --json", {"networkx", "pydantic", "tiktoken"}),
        ("simulate jwt_auth", {"networkx", "pydantic", "rich"}),
        (
            "simulate jwt_auth --model claude-sonnet-4-5 --json",
            {"networkx", "pydantic", "genai_prices"},
        ),
        ("validate jwt_auth", {"networkx", "pydantic"}),
        ("policies --json", {"pydantic"}),
        ("schema", {"pydantic"}),
    ],
)
def test_a_command_imports_no_more_than_it_needs(words: str, imported: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SEEN, *words.split()],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert set(json.loads(done.stderr.replace("'", '"'))) == imported
