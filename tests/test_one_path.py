"""Simulate, journal and replay are one path: the same facts give the same bytes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ctxbudget import Run
from ctxbudget.config.lookup import find, names
from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.config.workflow_format import Deliver
from ctxbudget.core.errors import JournalError
from ctxbudget.core.events import ItemTouched, Pruned
from ctxbudget.core.types import Do, Form
from ctxbudget.journal import JournalWriter, TextLine, read_journal, read_records
from ctxbudget.metrics import Metrics
from ctxbudget.simulate import measure_for, simulate
from ctxbudget.sources.journal import replay

LEFT_OUT = {"ladder", "clairvoyant"}  # one needs a large window, one is for replays
POLICIES = [name for name in names("policies") if name not in LEFT_OUT]


def simulated(workflow: str, overrides: Overrides) -> tuple[str, Metrics]:
    """Return a simulation's journal and metrics."""
    loaded = read_workflow(find("workflows", workflow))
    file = io.StringIO()
    setup = set_up_run(loaded, overrides)
    metrics = simulate(setup, measure_for(loaded), [JournalWriter(file)])
    return file.getvalue(), metrics


def replayed(journal: str, folder: Path) -> tuple[str, Metrics]:
    """Return what a journal's facts give when they are fed through the engine again."""
    path = folder / "first.jsonl"
    path.write_text(journal, encoding="utf-8")
    file, metrics = io.StringIO(), Metrics()
    replay(read_journal(path), [JournalWriter(file), metrics])
    return file.getvalue(), metrics


@pytest.mark.parametrize("workflow", names("workflows"))
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("deliver", list(Deliver))
def test_simulated_twice_and_replayed_give_the_same_bytes(
    workflow: str, policy: str, deliver: Deliver, tmp_path: Path
) -> None:
    overrides = Overrides(policy=policy, deliver=deliver)
    journal, metrics = simulated(workflow, overrides)
    assert simulated(workflow, overrides)[0] == journal
    again, metrics_again = replayed(journal, tmp_path)
    assert again == journal
    assert (metrics_again.run, metrics_again.phases) == (metrics.run, metrics.phases)


def test_the_ladder_replays_in_a_window_it_fits(tmp_path: Path) -> None:
    journal, _ = simulated("jwt_auth", Overrides(policy="ladder", window_tokens=200_000))
    assert replayed(journal, tmp_path)[0] == journal


CLEARS_WHAT_IS_IDLE = {
    "name": "clears what is idle",
    "rules": [
        {
            "name": "idle",
            "on": "before_call",
            "select": {"kind": "tool_result", "idle_calls": 3},
            "do": "clear",
            "why": "a test",
        }
    ],
}


def test_a_live_run_whose_policy_looks_at_uses_replays_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    run = Run.open(
        policy=CLEARS_WHAT_IS_IDLE, journal=path, window_tokens=50_000, clock=lambda: 7.0
    )
    run.user("find the rate and change it")
    results: list[str] = []
    for number, what in enumerate(("VAT_RATE = 0.19", "TIP_RATE = 0.10", "", "", "")):
        run.prompt()
        run.assistant("now for VAT_RATE" if number == 3 else "hm")
        run.tool_call("look", {"at": number}, call_id=f"c{number}")
        results += run.tool_result(f"c{number}", f"{what}\n" + "more of it\n" * 40)
    run.prompt()
    forms = {item.id: item.form for item in run.items()}
    run.finish()
    run.close()
    assert any(isinstance(event, ItemTouched) for event in read_journal(path))
    # both came more than three calls ago; one was used since
    assert [forms[name] for name in results[:2]] == [Form.WHOLE, Form.CLEAR]
    texts = {one.hash: one.content for one in read_records(path) if isinstance(one, TextLine)}
    file = io.StringIO()
    replay(read_journal(path), [JournalWriter(file, texts.__getitem__)])
    assert file.getvalue() == path.read_text(encoding="utf-8")


def test_a_live_run_under_adaptive_replays_to_the_same_bytes(tmp_path: Path) -> None:
    """A file is read, edited and read again; then the cache goes cold, and old results go."""
    path, clock = tmp_path / "live.jsonl", iter(range(0, 10**9, 5))
    start = [0]
    run = Run.open(
        policy="adaptive",
        journal=path,
        window_tokens=100_000,
        clock=lambda: float(start[0] + next(clock)),
    )
    run.user("make the totals right")
    lines = [f"total_{number} = price_{number} * rate_{number % 7}  # line" for number in range(80)]
    for number in range(24):
        run.prompt()
        shown = "\n".join(lines[number : number + 50]) if number % 3 else f"step_{number} ok\n" * 60
        tool = ("Bash", "Read", "Read")[number % 3]
        run.tool_call(tool, {"path": f"src/part_{number % 2}.py"}, call_id=f"c{number}")
        run.tool_result(f"c{number}", shown)
        start[0] += 400 if number in (12, 20) else 0
    run.prompt()
    run.finish()
    run.close()
    events = list(read_journal(path))
    did = {event.do for event in events if isinstance(event, Pruned)}
    assert did == {Do.NAMES, Do.DEDUPE}
    assert any(isinstance(event, ItemTouched) for event in events)
    texts = {one.hash: one.content for one in read_records(path) if isinstance(one, TextLine)}
    file = io.StringIO()
    replay(read_journal(path), [JournalWriter(file, texts.__getitem__)])
    assert file.getvalue() == path.read_text(encoding="utf-8")


def test_a_journal_that_does_not_answer_says_so(tmp_path: Path) -> None:
    journal, _ = simulated("jwt_auth", Overrides())
    lines = [line for line in journal.splitlines() if '"fact":"shortened"' not in line]
    with pytest.raises(JournalError, match="asks for digest of 0/output"):
        replayed("\n".join(lines) + "\n", tmp_path)


@pytest.mark.parametrize(
    ("cut", "found"),
    [
        ("", "is empty"),
        ('{"journal":"ctxbudget","version":99}\n', "version 99"),
        ('{"other":1}\n', "does not begin as a ctxbudget journal"),
        ('{"journal":"ctxbudget","version":1}\n{"fact":"phase_st', ":2: the line is damaged"),
        ('{"journal":"ctxbudget","version":1}\n{"fact":"nothing","at":0}\n', ":2: no event"),
        ('{"journal":"ctxbudget","version":1}\n{"fact":"phase_started","at":0}\n', ":2: phase_st"),
        ('{"journal":"ctxbudget","version":1}\n{"fact":"run_finished","at":0}\n', "run_started"),
    ],
)
def test_a_damaged_journal_is_told_with_its_line(cut: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=found):
        replayed(cut, tmp_path)
