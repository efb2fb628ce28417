"""A long run against a real local server, killed again and again; nothing may be lost.

One goal, then tool rounds without any further word of the user's, in a window of 60,000 tokens. The
server refuses what the Messages API refuses: prompts over the window, calls without their results,
thinking that is bound to another prefix. Run it with `make torture`; exits 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from ctxbudget import Prompt, Run
from ctxbudget.core.types import Form, Kind

WINDOW_TOKENS = 60_000
MODEL = "claude-opus-5-5"
GOAL = "Make every test of the billing service pass. Do not touch the public API (rule 7)."
PIN_EACH = 200
"""Every so many results one is pinned."""
RESTORED = 40
"""Of what was evicted, how many are brought back at the end."""
SERVER_FACTOR = 1.25
"""The server counts a quarter of the characters, times this: not what our counter thinks."""


# ---- what the tools answer: by number, so that any process can tell what must be there


def tool_result(number: int) -> str:
    """Return what the tool answers at a step: 50 to 8,000 tokens, median about 700."""
    chance = random.Random(number)  # noqa: S311 - sizes, not secrets
    lines = min(400, max(3, int(chance.lognormvariate(3.4, 1.0))))
    shape = number % 3
    return "\n".join(_line(shape, number, line, chance) for line in range(lines))


def _line(shape: int, number: int, line: int, chance: random.Random) -> str:
    if shape == 0:
        return f"{line + 1:>5}\tdef step_{number}_{line}(invoice): return invoice.total * {chance.random():.6f}"
    if shape == 1:
        return f"2026-11-21T10:{line % 60:02}:07Z INFO billing.worker job={number}-{line} took={chance.randint(1, 999)}ms"
    return f'{{"id": "inv-{number}-{line}", "amount": {chance.randint(1, 99999)}, "state": "open"}}'


def answer(body: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Return what the model says: it thinks, says a word and calls a tool. For the server."""
    step = _steps_done(body)
    return [
        {"type": "thinking", "thinking": f"I should look at part {step} next."},
        {"type": "text", "text": f"Looking at part {step}."},
        {
            "type": "tool_use",
            "id": f"call-{number}-{step}",
            "name": "read_part",
            "input": {"part": step, "path": f"src/billing/part_{step}.py"},
        },
    ]


def _steps_done(body: dict[str, Any]) -> int:
    """Return the step that the last call in the prompt was for, plus one."""
    for message in reversed(body["messages"]):
        for block in reversed(message["content"]):
            if block.get("type") == "tool_use":
                return int(block["input"].get("part", 0)) + 1
    return 0


# ---- the worker: one process of the run


def work(journal: Path, url: str, calls: int, policy: str) -> None:
    """Begin or take up the run and go on until the model has been called so many times."""
    import anthropic

    client = anthropic.Anthropic(api_key="test", base_url=url, max_retries=2)
    run = _open(journal, policy)
    phase = run.phase("fix")
    if not run.items():
        run.system("You are a careful engineer. " * 60)
        run.tools([{"name": "read_part", "input_schema": {"type": "object"}}])
    if not any(item.kind is Kind.USER for item in phase.items()):
        phase.user(GOAL)
    sent = run.report().run.calls
    refused = 0
    while sent < calls:
        waiting = _waiting_call(phase)
        if waiting is not None:
            call_id, part = waiting
            phase.tool_result(call_id, tool_result(part), pinned=part % PIN_EACH == PIN_EACH - 1)
            continue
        prompt = phase.prompt()
        sent += 1
        check(prompt)
        try:
            said = client.messages.create(model=MODEL, max_tokens=200, **prompt.anthropic())
        except anthropic.BadRequestError as error:
            refused += 1
            phase.rejected(error)
            prompt = phase.prompt()
            sent += 1
            said = client.messages.create(model=MODEL, max_tokens=200, **prompt.anthropic())
        phase.answered(said)
    phase.finish()
    print(f"refused by the server: {refused} of {sent} calls in this process")
    print(run.finish())


def _open(journal: Path, policy: str) -> Run:
    if journal.exists():
        return Run.resume(journal, model=MODEL)
    return Run.open(
        name="torture",
        model=MODEL,
        window_tokens=WINDOW_TOKENS,
        phases=["fix"],
        policy=policy,
        journal=journal,
    )


def _waiting_call(phase: Any) -> tuple[str, int] | None:
    """Return the id and part of the call that has no result yet."""
    items = phase.items()
    answered = {item.group for item in items if item.kind is Kind.TOOL_RESULT}
    for item in reversed(items):
        if item.kind is Kind.TOOL_CALL and item.group not in answered:
            return str(item.group), int(str(item.group).rpartition("-")[2])
    return None


def check(prompt: Prompt) -> None:
    """Check what must hold of every prompt."""
    found = prompt.problems()
    assert not found, found
    assert prompt.tokens <= WINDOW_TOKENS, prompt.tokens
    assert GOAL in str(prompt.messages[0]), "the goal is gone"


# ---- the parent: kills, and checks what is left


def torture(calls: int, kills: int, policy: str, seed: int) -> int:
    """Run the worker, killing it so many times; return the exit code."""
    from messages_server import MessagesServer

    begin = time.perf_counter()
    chance = random.Random(seed)  # noqa: S311 - when to kill
    with TemporaryDirectory() as folder, _server(MessagesServer) as server:
        journal = Path(folder) / "run.jsonl"
        argv = [sys.executable, __file__, "--work", str(journal), "--url", server.url]
        argv += ["--calls", str(calls), "--policy", policy]
        snapshots: list[tuple[int, str]] = []
        while True:
            worker = subprocess.Popen(argv)  # noqa: S603 - our own file
            if len(snapshots) < kills and _killed(worker, chance, journal, calls, kills):
                snapshots.append(_whole_lines(journal))
                continue
            if worker.wait() != 0:
                print("the worker failed")
                return 1
            break
        lost = [number for number, lines in enumerate(snapshots) if not _begins(journal, lines)]
        print(f"{len(snapshots)} kills, {len(lost)} of them lost a line; ", end="")
        print(f"{time.perf_counter() - begin:.0f} s")
        return 1 if lost or _lost_items(journal) else 0


def _server(kind: Any) -> Any:
    return kind(
        window_tokens=WINDOW_TOKENS,
        factor=SERVER_FACTOR,
        bind_thinking=True,
        script=answer,
        keep_requests=0,
    )


def _killed(
    worker: subprocess.Popen[bytes], chance: random.Random, journal: Path, calls: int, kills: int
) -> bool:
    """Wait for a random while of work, kill the worker; return False if it was done before."""
    start = _size(journal)
    per_kill = 2_600 * calls / kills  # bytes of journal, about
    target = start + chance.random() * 2 * per_kill
    while worker.poll() is None and _size(journal) < target:
        time.sleep(0.002)
    if worker.poll() is not None:
        return False
    time.sleep(chance.random() * 0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _whole_lines(path: Path) -> tuple[int, str]:
    """Return the length and digest of a journal's whole events.

    A text at the end is not yet part of any; it goes when the event that names it is cut off.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    while lines and (not lines[-1].endswith(b"\n") or lines[-1].startswith(b'{"text":')):
        lines.pop()
    whole = b"".join(lines)
    return len(whole), hashlib.sha256(whole).hexdigest()


def _begins(path: Path, lines: tuple[int, str]) -> bool:
    """Return True if a journal still begins with these lines."""
    length, digest = lines
    with path.open("rb") as file:
        whole = file.read(length)
    return hashlib.sha256(whole).hexdigest() == digest


def _lost_items(journal: Path) -> int:
    """Return how many results are neither in a prompt nor to be had back as they were."""
    run = Run.resume(journal, model=MODEL)
    kept = {item.id: item for item in run.items()}
    gone = {item.id: item for item in run.evicted()}
    results = [one for one in (*kept.values(), *gone.values()) if one.kind is Kind.TOOL_RESULT]
    parts = {item.id: int(str(item.group).rpartition("-")[2]) for item in results}
    lost = sum(run.text(name) != tool_result(part) for name, part in parts.items())
    pinned = [item for item in results if item.pinned]
    out = [item.id for item in pinned if item.id not in kept]
    print(f"{len(results):,} results, {len(gone):,} of all items evicted, {lost} lost, ", end="")
    print(f"{len(pinned)} pinned, {len(out)} of them gone; ", end="")
    # thinking is bound to what stood before it, so it cannot come back
    can = sorted(name for name, item in gone.items() if item.kind is not Kind.THINKING)
    tried = can[:: max(1, len(can) // RESTORED)]
    restored = sum(_is_restored(run, name) for name in tried)
    print(f"{restored} of {len(tried)} restored and found whole in the prompt")
    return lost + len(out) + len(tried) - restored


def _is_restored(run: Run, name: str) -> bool:
    """Bring an evicted item back; return True if it then stands in the prompt as it was."""
    if any(item.id == name for item in run.items()):
        return True  # it came back with the rest of its group
    run.restore(name)
    return any(item.id == name and item.form is Form.WHOLE for item in run.items())


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--policy", default="masking:keep=10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.work is not None:
        work(given.work, given.url, given.calls, given.policy)
        return 0
    return torture(given.calls, given.kills, given.policy, given.seed)


if __name__ == "__main__":
    sys.exit(main())
