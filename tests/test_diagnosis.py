"""Why a phase went over: outputs, rounds of tools and what is neither are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import written

from ctxbudget.config.run_setup import Overrides, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.metrics import Metrics
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.simulate import measure_for, simulate

LOOP = "budget: 20000\nphases:\n- {id: loop, calls: 40, turn: {call: 100, result: 900}}\n"

OUTPUTS = """\
budget: 5000
phases:
- {id: a, output: 3000, metadata: 50, allocate: 1000}
- {id: b, calls: 3, turn: {call: 100, result: 200}, output: 2400, allocate: 1000}
"""

WAVE = "budget: 5000\nphases:\n- {id: a, agents: [{id: x, output: 2600}, {id: y, output: 2500}]}\n"

LARGE = "budget: 5000\nphases:\n- {id: a, output: 4900, metadata: 50}\n"

NOTES = "budget: 5000\nphases:\n- {id: a, items: [{id: notes, tokens: 4760}], output: 10}\n"

LATE = """\
budget: 5000
policy:
  name: late
  rules: [{on: phase_finished, select: {kind: artifact, phase: earlier}, do: digest, why: w}]
phases:
- {id: a, output: 4000, metadata: 50, allocate: 4000}
- {id: b, calls: 1, turn: {call: 100, result: 700}, allocate: 1000}
"""


def simulated(folder: Path, text: str, policy: str | None) -> Metrics:
    loaded = read_workflow(written(folder, text))
    return simulate(set_up_run(loaded, Overrides(policy=policy)), measure_for(loaded))


@pytest.mark.parametrize(
    ("text", "policy", "expected"),
    [
        (
            LOOP,
            "none",
            [
                "phase loop is 20,000 tokens over its allocation of 20,000: 40,000 tokens of 40 "
                "rounds of tools stay; use a policy for tool loops, such as adaptive",
                "the budget is exceeded after phase loop, 40,000 of 20,000 tokens: rounds of tools "
                "are not pruned; use a stricter policy or a larger budget",
            ],
        ),
        (
            LOOP,
            "aggressive",
            [
                "phase loop peaks at 40,000, above critical (19,000): 40,000 tokens of 40 rounds of "
                "tools stay; use a policy for tool loops, such as adaptive"
            ],
        ),
        (
            OUTPUTS,
            "none",
            [
                "phase a is 2,000 tokens over its allocation of 1,000: 3,000 tokens of full outputs "
                "were not pruned; use a policy that replaces outputs by metadata, such as aggressive",
                # of 3,000 that b keeps, 600 are two rounds
                "phase b is 2,000 tokens over its allocation of 1,000: 2,400 tokens of full outputs "
                "were not pruned; use a policy that replaces outputs by metadata, such as aggressive",
                "the budget is exceeded after phase b, 6,000 of 5,000 tokens: full outputs are not "
                "pruned; use a stricter policy or a larger budget",
            ],
        ),
        (
            WAVE,
            "aggressive",
            [
                "phase a peaks at 5,100, above critical (4,750): 2 outputs of up to 2,600 tokens "
                "stand side by side before they are replaced; deliver them in turn (--deliver "
                "in_turn), or have agents hand over less"
            ],
        ),
        (
            LARGE,
            "aggressive",
            [
                "phase a peaks at 4,900, above critical (4,750): its largest output holds 4,900 "
                "tokens; have it hand over less, or raise the budget"
            ],
        ),
        (
            NOTES,
            "aggressive",
            [
                "phase a peaks at 4,770, above critical (4,750): 4,760 tokens are neither full "
                "outputs nor rounds of tools; shorten instructions and what else is given, or raise "
                "the budget"
            ],
        ),
        (
            LATE,
            None,
            [
                "phase b peaks at 4,800, above critical (4,750): 4,000 tokens of full outputs were "
                "not pruned; use a policy that replaces outputs by metadata, such as aggressive"
            ],
        ),
    ],
)
def test_what_went_over_and_why(
    tmp_path: Path, text: str, policy: str | None, expected: list[str]
) -> None:
    assert [str(one) for one in diagnose(simulated(tmp_path, text, policy))] == expected


def test_a_policy_for_tool_loops_is_not_advised_to_who_has_it(tmp_path: Path) -> None:
    found = diagnose(simulated(tmp_path, LOOP, "adaptive"))[0]
    assert "tokens of 40 rounds of tools stay" in found.cause
    assert found.step.startswith("have tools return less, or allocate ")
