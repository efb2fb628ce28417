"""Reads the output of test runners: totals, which tests failed, and the first reason of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ctxbudget.shortening.digest.found import Found, once, one_line, plural

# One group of each alternative is the name of a failed test: pytest, go, cargo, unittest, TAP,
# jest and vitest, mocha.
_FAILED: Final = re.compile(
    r"(?:FAILED|ERROR) (?P<pytest>[^\s:]++::[^\s\[]++(?:\[.*?\](?= - |$))?)"
    r"|(?P<pytest_late>[^\s:]++::\S++) (?:FAILED|ERROR)\b"
    r"|\s*+--- FAIL: (?P<go>\S++)"
    r"|test (?P<cargo>\S++) \.\.\. FAILED"
    r"|(?:FAIL|ERROR): (?P<unittest>\w++ \([\w.]++\))"
    r"|\s*+not ok \d++ (?:- )?(?P<tap>.++)"
    r"|\s*+[✕✗×✘] (?P<jest>.++)|\s*+● (?P<jest_title>.+ › .++)"
)
_FAILED_SECTION: Final = re.compile(r"_{3,}+ (\S++) _{3,}+|---- (\S++) stdout ----")
_RUNS: Final = re.compile(r"=== RUN\s++(\S++)")
_REASON: Final = re.compile(
    r"E {2,}+\S|\s*+(?:\w++\.)*+\w*(?:Error|Exception)\b|.*?\bpanicked at |\s++\S*?_test\.go:\d++:|"
    r"\s*+expect(?:ed)?\b|\s*+assert"
)
_TOTALS: Final = re.compile(
    r"=++ .*?\b\d++ (?:passed|failed|error)|\d++ (?:passed|failed)\b.* in [\d.]++s|"
    r"\s*+Tests?:? ++.*?\b\d++ (?:passed|failed|total)|"
    r"test result: |Ran \d++ tests? in |FAILED \(|(?:FAIL|ok)\s++\S++\s++[\d.]++s|"
    r"# (?:pass|fail) \d|\s*+\d++ (?:passing|failing)\b|BUILD (?:FAILED|SUCCESS)|Tests run: "
)
_PASSED: Final = re.compile(
    r"[^\s:]++::\S++ PASSED|PASSED [^\s:]++::|\s*+--- PASS: |test \S++ \.\.\. ok$|ok \d|\s*+[✓✔√] "
    r"|[\w/-]++\.py [.FEsx]++\s*+(?:\[|$)"
)


def is_test_line(line: str) -> bool:
    """Return whether `line` is one that only a test runner prints."""
    return any(one.match(line) for one in (_TOTALS, _PASSED, _FAILED))


def read_test_run(lines: Sequence[str]) -> Found:
    """Return totals, the failed tests with their first reason, and their names."""
    named = _full_names(_failures(lines))
    totals = once([one_line(line.strip("= \t")) for line in lines if _TOTALS.match(line)])
    totals = tuple(sorted(totals, key=lambda line: "fail" not in line.lower()))
    passed = sum(bool(_PASSED.match(line)) for line in lines)
    shape = f"test output, {plural(len(named), 'failure')}" + (f", {passed} passed" * bool(passed))
    failures = [one_line(f"{name}: {reason}" if reason else name) for name, reason in named.items()]
    return Found(
        title=totals[0] if totals else "",
        shape=shape,
        findings=once([*failures, *totals]),
        names=tuple(named),
    )


def _failures(lines: Sequence[str]) -> dict[str, str]:
    """Return the first reason, or nothing, of each failed test, in order of appearance."""
    reasons: dict[str, str] = {}  # also of tests that then pass: go prints a reason first
    failed: dict[str, None] = {}
    current = ""
    for line in lines:
        if runs := _RUNS.match(line):
            current = runs[1]
        elif section := _FAILED_SECTION.match(line):
            current = section[1] or section[2]
            failed[current] = None
        elif found := _FAILED.match(line):
            current = next(group for group in found.groups() if group).strip()
            failed[current] = None
            reason = line[found.end() :].strip(" -")
            reasons[current] = reasons.get(current) or ("" if reason.startswith("(") else reason)
        elif current and _REASON.match(line):
            reasons[current] = reasons.get(current) or line.removeprefix("E ").strip()
    return {name: reasons.get(name, "") for name in failed}


def _full_names(reasons: dict[str, str]) -> dict[str, str]:
    """Return reasons by full name: `test_x` of a section is `tests/a.py::test_x` of the summary."""
    full = {name.rpartition("::")[2]: name for name in reasons if "::" in name}
    merged: dict[str, str] = {}
    for name, reason in reasons.items():
        whole = full.get(name.rpartition(".")[2], name) if "::" not in name else name
        merged[whole] = merged.get(whole) or reason
    return merged
