"""Tests of bad input through the command: one line on stderr, exit code 2, nothing lost.

The wording of each kind of mistake is tested where it is made (test_document, test_fields, ...);
here stands that a user meets it whole: file, line, key, what was found, what to do.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from commands import Command, in_subprocess, written

from ctxbudget.journal import is_journal

WORKFLOWS = Path(__file__).parent.parent / "workflows"
FLOW = "phases: [{id: a, output: 100}]\n"
GOOD_JOURNAL = '{"journal":"ctxbudget","version":1}\n'
BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 60)}]\n" for below, name in zip("abc", "bcd", strict=True)
)  # fmt: skip
LAYERS = "permanent, phase, metadata, transient"
TOKENS = "expected a whole number of tokens, 0 or more (such as 5000), found "
LIMIT = (
    "expected tokens (7500), a share ('75%', '30% of window', 0.75), a distance ('13000 below "
    "hard_limit') or {smaller_of: [...]}, found "
)


def rule(text: str) -> str:
    return f"policy:\n  name: p\n  rules:\n  - {{on: warn, do: drop, why: x, {text}}}\n{FLOW}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # YAML
        ("a: [", "1: not YAML: did not find expected node content"),
        ("a: 'x", "1: not YAML: found unexpected end of stream"),
        (BOMB + "e: [*d, *d, *d, *d, *d, *d]\n", "5: has more than 2,000,000 values once its aliases"),
        ("a: &a [*a]\n", "1: an alias (*) contains itself; write the value out"),
        ("a: " + "[" * 5000 + "]" * 5000, "1: is nested more than 40 levels deep; flatten it"),
        ("", " the file is empty; see `ctxbudget schema` for what it takes"),
        ("[{id: a}]", "1: expected a mapping of keys to values, found a list; see `ctxbudget schema`"),
        (FLOW * 2, "2: phases: the key is there twice, first on line 1; keep one of them"),
        ("phases:\n- {id: a,\n   id: b}\n", "3: id: the key is there twice, first on line 2"),
        # tokens
        ("phases:\n- {id: a, output: -5}\n", f"2: phases[0].output: {TOKENS}-5"),
        ("phases:\n- {id: a, output: 2.5}\n", f"2: phases[0].output: {TOKENS}2.5"),
        ("phases:\n- {id: a, output: true}\n", f"2: phases[0].output: {TOKENS}true"),
        ("phases:\n- {id: a, output: '100'}\n", f"2: phases[0].output: {TOKENS}'100'"),
        ("phases:\n- id: a\n  output: {tokens: -5}\n", f"3: phases[0].output.tokens: {TOKENS}-5"),
        ("window: 1e5\n" + FLOW, f"1: window: {TOKENS}100000.0"),
        ("reserve: x\n" + FLOW, f"1: reserve: {TOKENS}'x'"),
        # shares
        ("budget: 1.0\n" + FLOW, f"1: budget: {LIMIT}1.0"),
        ("budget: true\n" + FLOW, f"1: budget: {LIMIT}true"),
        ("budget: x%\n" + FLOW, f"1: budget: {LIMIT}'x%'"),
        ("budget: -5\n" + FLOW, f"1: budget: {TOKENS}-5"),
        ("budget: 250000\n" + FLOW, "1: budget: a budget of 250,000 tokens does not fit a window of "
         "200,000 with a reserve of 0; choose 1 to 200,000"),
        ("window: 5000\nreserve: 5000\n" + FLOW, "2: reserve: the reserve of 5,000 leaves nothing of "
         "the window of 5,000 tokens; lower it, or choose a larger window"),
        ("thresholds:\n  warn: 95%\n  critical: 75%\n" + FLOW, "1: thresholds: warn comes to 190,000 t"
         "okens and critical to 150,000; they must rise, above 0 and up to the window of 200,000"),
        # allocation
        ("budget: 1000\nphases: [{id: a, allocate: 600}, {id: b, allocate: 500}]\n", "2: phases: the p"
         "hases' `allocate` add up to 1,100 tokens, 100 over the budget of 1,000; lower them or raise"),
        ("allocator: fixed\nphases: [{id: a, allocate: 600}, {id: b}]\n", "2: phases: the fixed alloca"
         "tor needs `allocate` for every phase; missing for 'b'; add it, or use the dynamic allocator"),
        ("allocator: dynamik\n" + FLOW, "1: allocator: there is no allocator 'dynamik'; did you mean"),
        ("allocator: own_strategies:no_grants\n" + FLOW, "1: allocator: allocator 'own_strategies:no_"
         "grants' failed: TypeError: expected Grants, found {'a': 1}; see the contract of Allocator"),
        # policies
        ("policy: agressive\n" + FLOW, "1: policy: there is no policy 'agressive' and no file of this "
         "name; did you mean 'aggressive'? (a file's name ends in .yaml)"),
        ("policy: mine.yaml\n" + FLOW, "1: policy: there is no file 'mine.yaml' in "),
        ("policy: masking:keep\n" + FLOW, "1: policy: 'masking:keep': a param takes a value; write mas"
         "king:keep=VALUE"),
        ("policy: no_such_module:f\n" + FLOW, "1: policy: 'no_such_module:f' cannot be loaded: No modu"),
        (rule("select: {layer: transint}"), "4: policy.rules[0].select.layer: expected one of "
         f"{LAYERS}, found 'transint'"),
        (rule("select: {kind: tool}"), "4: policy.rules[0].select.kind: expected one of tools, system, user, "
         "assistant, thinking, tool_call, tool_result, artifact, summary, note, found 'tool'"),
        (rule("when: {min_items: $keep}"), "4: policy.rules[0].when.min_items: '$keep' names no param;"
         " known are: none"),
        ("policy: {name: p, rules: [{on: idle, do: drop, why: x}]}\n" + FLOW, "1: policy.rules[0].on: "
         "expected one of item_added, before_call, agent_finished, wave_finished, phase_started, phas"),
        # the graph
        ("phases: []\n", "1: phases: expected a list of 1 or more, found []"),
        ("phases:\n- {id: a, after: [c]}\n- {id: b, after: [a]}\n- {id: c, after: [b]}\n", "1: phases: "
         "the phases depend on each other in a circle: "),
        ("phases:\n- {id: a}\n- {id: b, after: [plan]}\n", "3: phases[1].after: phase 'b' comes after "
         "'plan', which is not a phase; known are: a, b"),
        ("phases:\n- {id: a}\n- {id: a}\n", "3: phases[1].id: the phase id 'a' is there twice; ids mu"),
        ("phases:\n- {id: a, after: [a]}\n", "2: phases[0].after: phase 'a' depends on itself; remove"),
        # files
        ("phases:\n- id: a\n  reads:\n  - glob: '*.rs'\n", "4: phases[0].reads[0].glob: no file matche"
         "s '*.rs' in "),
        ("phases:\n- id: a\n  agents:\n  - {id: x, output: 1, prompt: {file: nöpe.md}}\n", "4: phases[0]"
         ".agents[0].prompt.file: 'nöpe.md' in "),
        ("root: package:no_such\n" + FLOW, "1: root: there is no package 'no_such'; install it or nam"),
        ("name: x\nroot: nowhere\n" + FLOW, "2: root: there is no folder 'nowhere' in "),
        ("name: x\ncounter: words\n" + FLOW, "2: counter: unknown counter 'words'; choose one of: char"),
        # unicode
        ("phases:\n- {id: план, after: [пла́н]}\n", "2: phases[0].after: phase 'план' comes after 'пла́н'"
         ", which is not a phase; did you mean 'план'?"),
        ("имя: x\n" + FLOW, "1: имя: unknown key; known are: about, allocator, budget"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40],
)  # fmt: skip
def test_a_wrong_workflow(ctxbudget: Command, tmp_path: Path, text: str, error: str) -> None:
    flow = written(tmp_path, text, "мой flow.yaml")
    shown = ctxbudget("simulate", flow).error
    assert shown.startswith(f"{flow}:{error}")
    assert ctxbudget("simulate", flow, "--json").error == shown
    assert ctxbudget("validate", flow).error == shown


def test_a_circle_is_shown_whole(ctxbudget: Command, tmp_path: Path) -> None:
    text = "phases: [{id: a, after: [b]}, {id: b, after: [c]}, {id: c, after: [a]}, {id: d}]\n"
    shown = ctxbudget("simulate", written(tmp_path, text)).error
    circle = re.search(r"in a circle: (.*); remove one of these dependencies", shown)
    assert circle is not None
    names = circle[1].split(" → ")
    assert (len(names), names[0], set(names)) == (4, names[-1], {"a", "b", "c"})


def test_the_ladder_needs_a_large_window(ctxbudget: Command, tmp_path: Path) -> None:
    flow = written(tmp_path, "window: 32000\n" + FLOW)
    shown = ctxbudget("simulate", flow, "--policy", "ladder").error
    assert re.fullmatch(
        r".*ladder\.yaml:\d+: rules\[1\]\.when\.above: rule 'micro': `when\.above` comes to -21,000 "
        r"tokens in a window of 32,000; use a share such as 60%, or a larger window",
        shown,
    )
    assert ctxbudget("simulate", flow, "--policy", "ladder", "--window", "100k").code == 0
    shares = "ladder:warn=60%,compact=70%,block=90%,relief=50%"
    assert ctxbudget("simulate", flow, "--policy", shares).code == 0


def test_pins_that_do_not_fit_are_named(ctxbudget: Command, tmp_path: Path) -> None:
    text = "window: 500\npermanent: [{id: Ziel, tokens: 400}, {id: small, tokens: 101}]\n"
    shown = ctxbudget("simulate", written(tmp_path, text + FLOW)).error
    for part in ("501 tokens", "500", "Ziel (400)", "Unpin or shorten them"):
        assert part in shown


# ---- files


@pytest.mark.parametrize("command", ["simulate", "validate"])
def test_files_that_cannot_be_read(ctxbudget: Command, tmp_path: Path, command: str) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("# café\n".encode("latin-1"))
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    for path, error in [
        (tmp_path / "missing.yaml", "no such file or directory; check the path"),
        (tmp_path / "no" / "flow", "no such file or directory; check the path"),
        (tmp_path, "is a directory; name a file"),
        (large, "is larger than 16 MB, the most for a file of this kind; check the path"),
    ]:
        assert ctxbudget(command, path).error == f"{path}: {error}"
    assert (
        ctxbudget(command, latin).error
        == f"{latin}:1: is not UTF-8 text (byte 5); save it as UTF-8"
    )
    names = sorted(path.stem for path in WORKFLOWS.glob("*.yaml"))
    known = f"known are: {', '.join(names)} (a file's name ends in .yaml)"
    for name in ("", "no such flow"):
        shown = ctxbudget(command, name).error
        assert shown == f"there is no workflow {name!r} and no file of this name; {known}"
    assert "did you mean 'jwt_auth'?" in ctxbudget(command, "jwt-auth").error


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_of_somebody_else(ctxbudget: Command, tmp_path: Path) -> None:
    flow = written(tmp_path, FLOW)
    flow.chmod(0)
    assert ctxbudget("simulate", flow).error == f"{flow}: permission denied; check the path"


def test_an_error_is_one_line_whatever_is_in_it(ctxbudget: Command, tmp_path: Path) -> None:
    shown = ctxbudget("simulate", "no\nsuch\r\n\x1b[31m\x07.yaml").error
    assert shown == r"no such \x1b[31m\x07.yaml: no such file or directory; check the path"
    flow = written(tmp_path, '"a\\nb\\e": 1\n')
    assert r"a b\x1b: unknown key; known are: " in ctxbudget("simulate", flow).error


# ---- options


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--budget", "x"], f"--budget: {LIMIT}'x'"),
        (["--budget", "75"], None),
        (["--budget", "x%"], f"--budget: {LIMIT}'x%'"),
        (["--budget", "1.0"], f"--budget: {LIMIT}1.0"),
        (["--budget", ""], f"--budget: {LIMIT}''"),
        (["--budget=-5"], f"--budget: {LIMIT}'-5'"),
        (["--budget", "0"], "--budget: a budget of 0 tokens does not fit a window of 200,000 with a "
         "reserve of 0; choose 1 to 200,000"),
        (["--budget", "2M"], "--budget: a budget of 2,000,000 tokens does not fit a window of 200,000"),
        (["--window", "x"], "--window: expected a number of tokens such as 200000 or 200k, found 'x'"),
        (["--window", "0"], "--window: expected a number of tokens such as 200000 or 200k, found '0'"),
        (["--window", "2.5"], "--window: expected a number of tokens such as 200000 or 200k, found '"),
        (["--window=-1"], "--window: expected a number of tokens such as 200000 or 200k, found '-1'"),
        (["--policy", "agressive"], "--policy: there is no policy 'agressive' and no file of this na"
         "me; did you mean 'aggressive'?"),
        (["--policy", "none", "--policy", "zzz"], "--policy: there is no policy 'zzz' and no file of "),
        (["--policy", "./zzz.yaml"], "zzz.yaml: no such file or directory; check the path"),
        (["--policy", "os:getcwd"], "rule 'os:getcwd': TypeError: "),
        (["--policy", "own_strategies:nothing"], "rule 'own_strategies:nothing': TypeError: expected "
         "plans, found None; see the contract of Plan and Operation"),
        (["--policy", "own_strategies:no_plans"], "rule 'own_strategies:no_plans': TypeError: expecte"
         "d a Plan, found 'drop it all'; see"),
        (["--allocator", "fixd"], "--allocator: there is no allocator 'fixd'; did you mean 'fixed'?"),
        (["--allocator", "own_strategies:too_much", "--allocator", "os:getcwd"], "--allocator: allocat"
         "or 'os:getcwd' failed: TypeError: "),
        (["--deliver", "x"], "Invalid value for '--deliver': 'x' is not one of 'together', 'in_turn'"),
        (["--fail-on", "x"], "Invalid value for '--fail-on': 'x' is not one of 'warn', 'critical', '"),
        (["--polcy", "x"], "No such option"),
        (["--policy"], "Option '--policy' requires an argument"),
        (["another.yaml"], "Got unexpected extra argument (another.yaml); see `ctxbudget simulate --"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_option(
    ctxbudget: Command, tmp_path: Path, arguments: list[str], error: str | None
) -> None:
    ran = ctxbudget("simulate", written(tmp_path, FLOW), *arguments)
    if error is None:
        assert ran.code == 0
    else:
        assert ran.error.startswith(error)


@pytest.mark.parametrize(
    ("code", "line"),
    [("broken", "ZeroDivisionError at {file}:"), ("broken_later", "KeyError at {f")],
)
def test_code_that_breaks_is_told_with_its_line(
    ctxbudget: Command, tmp_path: Path, code: str, line: str
) -> None:
    shown = ctxbudget(
        "simulate", written(tmp_path, FLOW), "--policy", f"own_strategies:{code}"
    ).error
    file = re.escape(str(Path(__file__).with_name("own_strategies.py")))
    error = line.partition(" ")[0]
    start = rf"rule 'own_strategies:{code}': {error} at {file}:\d+: '?of my own'?; see the contract"
    assert re.match(start, shown)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["simulat"], "No such command 'simulat'"),
        (["simulate"], "Missing argument 'WORKFLOW'; see `ctxbudget simulate --help`"),
        (["validate"], "Missing argument 'FILES...'; see `ctxbudget validate --help`"),
        (["schema", "x"], "Invalid value for '"),
        (
            ["policies", "agressive"],
            "there is no policy 'agressive' and no file of this name; did you",
        ),
        (["policies", "zzz.yaml"], "zzz.yaml: no such file or directory; check the path"),
        (["validate", "zzz.yaml"], "zzz.yaml: no such file or directory; check the path"),
        (["--verbose"], "No such option"),
    ],
)
def test_a_wrong_command(ctxbudget: Command, arguments: list[str], error: str) -> None:
    assert ctxbudget(*arguments).error.startswith(error)


def test_a_process_of_its_own_says_the_same(ctxbudget: Command, tmp_path: Path) -> None:
    written(tmp_path, "phases:\n- {id: 計画, output: -5}\n", "計画.yaml")
    for arguments in (
        ["simulate", "計画.yaml"],
        ["validate", "計画.yaml"],
        ["simulate", "nope.yaml"],
    ):
        ran = in_subprocess(*arguments, cwd=tmp_path)
        assert ran.error
        assert "Traceback" not in ran.err
    shown = in_subprocess("simulate", "計画.yaml", cwd=tmp_path).error
    assert shown == f"計画.yaml:2: phases[0].output: {TOKENS}-5"


# ---- nothing is lost


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("phases: []\n", []),
        (FLOW, ["--policy", "zzz"]),
        (FLOW, ["--policy", "none", "--policy", "zzz"]),
        (FLOW, ["--policy", "own_strategies:broken_later"]),
        (FLOW, ["--policy", "none", "--policy", "own_strategies:broken"]),
        ("window: 50\npermanent: [{id: x, tokens: 51}]\n" + FLOW, []),
        ("phases: [{id: a}, {id: b, reads: [{file: nope}]}]\n", []),
    ],
)
def test_a_journal_stays_when_a_run_fails(
    ctxbudget: Command, tmp_path: Path, text: str, arguments: list[str]
) -> None:
    journal, flow = written(tmp_path, GOOD_JOURNAL, "run.jsonl"), written(tmp_path, text)
    assert ctxbudget("simulate", flow, "--journal", journal, *arguments).error
    assert journal.read_text() == GOOD_JOURNAL
    journal.unlink()
    assert ctxbudget("simulate", flow, "--journal", journal, *arguments).error
    assert list(tmp_path.iterdir()) == [flow]


def test_a_journal_is_written_though_a_gate_fails(ctxbudget: Command, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    assert ctxbudget("simulate", "naive", "--journal", journal, "--fail-on", "warn").code == 1
    assert is_journal(journal)


@pytest.mark.parametrize("name", ["notes.txt", "flow.yaml", "folder"])
def test_a_journal_replaces_nothing_else(ctxbudget: Command, tmp_path: Path, name: str) -> None:
    flow = written(tmp_path, FLOW)
    written(tmp_path, "my notes\n", "notes.txt")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    shown = ctxbudget("simulate", flow, "--journal", tmp_path / name).error
    assert shown == f"{tmp_path / name}: exists and is not a journal; choose another name"
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "notes.txt").read_text() == "my notes\n"
    assert flow.read_text() == FLOW


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("no/run.jsonl", "no such file or directory; choose another place"),
        ("flow.yaml/run.jsonl", "not a directory; choose another place"),
        ("n" * 300, "file name too long; choose another place"),
    ],
)
def test_a_journal_that_cannot_be_written(
    ctxbudget: Command, tmp_path: Path, name: str, error: str
) -> None:
    flow = written(tmp_path, FLOW)
    shown = ctxbudget("simulate", flow, "--journal", tmp_path / name).error
    assert shown == f"{tmp_path / name}: {error}"
    assert list(tmp_path.iterdir()) == [flow]


def test_what_is_no_file_is_not_replaced_by_a_journal(ctxbudget: Command, tmp_path: Path) -> None:
    flow, pipe = written(tmp_path, FLOW), tmp_path / "pipe"
    os.mkfifo(pipe)
    shown = ctxbudget("simulate", flow, "--journal", pipe).error
    assert shown == f"{pipe}: exists and is not a journal; choose another name"
    assert pipe.is_fifo()
