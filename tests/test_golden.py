"""The golden runs: residuals, peaks and prunes worked out by hand, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest


def simulated(*arguments: str) -> dict[str, Any]:
    """Return the JSON that `ctxbudget simulate` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "ctxbudget", "simulate", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def column(result: dict[str, Any], key: str) -> list[Any]:
    return [phase[key] for phase in result["phases"]]


@pytest.fixture(scope="module")
def jwt_auth() -> dict[str, Any]:
    return simulated("jwt_auth")


def test_golden_run_1_residuals(jwt_auth: dict[str, Any]) -> None:
    assert column(jwt_auth, "id") == ["0", "1", "2", "3", "4", "6"]
    assert column(jwt_auth, "residual_tokens") == [500, 1300, 2100, 2450, 2850, 3150]
    assert [wave["residual_tokens"] for wave in jwt_auth["phases"][3]["waves"]] == [2900, 2450]
    assert jwt_auth["run"]["residual_tokens"] == 3150


def test_golden_run_1_prunes_are_net_of_stand_ins(jwt_auth: dict[str, Any]) -> None:
    assert column(jwt_auth, "pruned_tokens") == [1500, 14200, 2200, 7950, 600, 500]


def test_golden_run_1_plan(jwt_auth: dict[str, Any]) -> None:
    assert column(jwt_auth, "allocated_tokens") == [500, 900, 800, 2000, 400, 300]
    assert column(jwt_auth, "over_tokens") == [0, 0, 0, 0, 0, 0]
    run = jwt_auth["run"]
    assert (run["window_tokens"], run["budget_tokens"]) == (25_000, 7_500)
    assert (run["planned_tokens"], run["over_tokens"]) == (4_900, 0)


def test_golden_run_1_peak_delivered_together(jwt_auth: dict[str, Any]) -> None:
    assert column(jwt_auth, "peak_tokens") == [2000, 15500, 4300, 7900, 3450, 3650]
    assert jwt_auth["run"]["peak_tokens"] == 15_500
    assert jwt_auth["phases"][1]["events"] == [
        {"level": "warn", "scope": "run", "at": 20.0, "tokens": 10_300, "limit_tokens": 5_625},
        {"level": "critical", "scope": "run", "at": 20.0, "tokens": 10_300, "limit_tokens": 7_125},
    ]


def test_golden_run_1_peak_delivered_in_turn() -> None:
    result = simulated("jwt_auth", "--deliver", "in_turn")
    assert column(result, "peak_tokens")[1] == 6_200
    assert [event["level"] for event in result["phases"][1]["events"]] == ["warn"]
    assert column(result, "residual_tokens") == [500, 1300, 2100, 2450, 2850, 3150]


def test_golden_run_1_sent_is_each_thread_as_its_policy_left_it(jwt_auth: dict[str, Any]) -> None:
    # Phase 3: two agents with 500 + 800 each, main at 2,900; one agent with 500 + 800 + 800,
    # main at 2,450.
    assert column(jwt_auth, "sent_tokens")[3] == 2 * 1300 + 2900 + 2100 + 2450
    assert jwt_auth["run"]["sent_tokens"] == sum(column(jwt_auth, "sent_tokens"))


def test_golden_run_2_flags_the_overrun() -> None:
    result = simulated("research_only")
    assert column(result, "residual_tokens") == [500, 1750]
    assert column(result, "pruned_tokens") == [1300, 22_250]
    assert column(result, "over_tokens") == [0, 50]
    assert (result["run"]["planned_tokens"], result["run"]["over_tokens"]) == (1_700, 50)
    overrun = result["phases"][1]["events"][-1]
    assert (overrun["level"], overrun["scope"]) == ("overrun", "phase:1")
    assert (overrun["tokens"], overrun["limit_tokens"]) == (1_250, 1_200)
    assert "50 tokens over its allocation of 1,200" in result["findings"][0]["problem"]


def test_naive_run_keeps_everything_and_sends_outputs_twice() -> None:
    result = simulated("naive")
    assert column(result, "residual_tokens") == [2000, 16_500, 19_500]
    # Planning: its agent is sent the 14,500 of research, main the 19,500 that then stand.
    assert column(result, "sent_tokens")[2] == 34_000


def test_policies_side_by_side() -> None:
    result = simulated("jwt_auth", "--policy", "none", "--policy", "aggressive")
    assert result["policy"] == "none"
    assert [one["policy"] for one in result["compare"]] == ["none", "aggressive"]
    assert result["compare"][0]["run"] == result["run"]
    assert result["compare"][1]["run"]["residual_tokens"] == 3150
    assert result["none"]["run"] == result["run"]


@pytest.mark.parametrize(
    ("allocator", "granted", "planned"),
    [
        ("fixed", [500, 900, 800, 2000, 400, 300], 4900),
        # complexity 1, 8, 5, 12, 3, 2 of 31
        ("dynamic", [242, 1935, 1210, 2903, 726, 484], 7500),
        ("reserve", [145, 1161, 726, 1742, 436, 290], 4500),
    ],
)
def test_allocators_on_golden_run_1(allocator: str, granted: list[int], planned: int) -> None:
    result = simulated("jwt_auth", "--allocator", allocator)
    assert column(result, "allocated_tokens") == granted
    assert result["run"]["planned_tokens"] == planned == sum(granted)
