"""A first workflow file, made from a few answers, with a comment on each key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ctxbudget.writing.assumed import Assumed
from ctxbudget.writing.noted import Noted, as_text

RESERVE_FRAC: Final = 0.04
"""Of the window, kept free for the answer: an assumption, 8,000 of 200,000."""

MORE: Final = (
    "A phase can also work through agents, each with a context of its own, that hand one output "
    "back. It then has `agents` in place of `output`:",
    "    calls: 1 # of the main thread, once they are done",
    "    agents:",
    "      - {id: reader, calls: 5, turn: {call: 150, result: 1500}, output: 3000, metadata: 300}",
)
"""What comes last in the file, as comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants to simulate.

    Attributes:
        model: empty if none is named.
        model_window_tokens: what is known of the model's window; None if nothing is.
        window_tokens: what was said of the window; None leaves it to the model.
        phases: their ids, in the order in which they run, each needing the one before.
        policy: empty leaves it to the simulation.
    """

    name: str
    phases: Sequence[str]
    model: str = ""
    model_window_tokens: int | None = None
    window_tokens: int | None = None
    policy: str = ""
    assumed: Assumed = field(default_factory=Assumed)


def starter(wish: Wish, path: str) -> str:
    """Return the text of a workflow file; `path` is what its comments call it."""
    return as_text(_head(path), _content(wish))


def _head(path: str) -> tuple[str, ...]:
    return (
        "A workflow: the steps of an agent's work, and what each puts into the prompt. Sizes are "
        "tokens. All of them are assumptions: put in what you know. A size can also be counted "
        "from what it is about, as in {file: notes.md}, {glob: 'src/*.py'} or {text: some words}.",
        f"See what it comes to with: ctxbudget simulate {path}",
        "All keys: ctxbudget schema, or docs/workflow-format.md",
    )


def _content(wish: Wish) -> dict[str, Any]:
    found: dict[str, Any] = {"name": Noted(wish.name, "what reports call it")}
    if wish.model:
        said = "sets the prices and how its prompt cache works"
        if wish.model_window_tokens and wish.window_tokens is None:
            said = f"sets prices, cache and window, which is {wish.model_window_tokens:,} tokens"
        found["model"] = Noted(wish.model, said)
    else:
        found["#model"] = "model: claude-sonnet-4-6 # name yours, to see costs"
    if wish.window_tokens is not None:
        found["window"] = Noted(wish.window_tokens, "the most tokens that the model accepts")
    window = wish.window_tokens or wish.model_window_tokens or 0
    if reserve := int(window * RESERVE_FRAC) // 100 * 100:
        found["reserve"] = Noted(reserve, "of the window, kept free for the answer")
    full = "of what the reserve leaves; lower it to see what a smaller prompt would take"
    found["budget"] = Noted("100% of hard_limit", full)
    if wish.policy:
        what = "what leaves the prompt, and when; `ctxbudget policies` lists them"
        found["policy"] = Noted(wish.policy, what)
    instructions = {"id": "instructions", "tokens": wish.assumed.instructions_tokens}
    what = "the system prompt, the definitions of tools, the task"
    found["permanent"] = Noted([Noted(instructions, what)], "stands in every prompt to the end")
    phases = [
        _phase(name, wish.phases[number - 1] if number else None, wish.assumed, number)
        for number, name in enumerate(wish.phases)
    ]
    found["phases"] = Noted(phases, "the steps", is_spaced=True)
    return found | {f"# {number}": line for number, line in enumerate(("", *MORE))}


def _phase(name: str, before: str | None, assumed: Assumed, number: int) -> dict[str, Any]:
    """Return a phase; only the first two are explained, key by key."""
    is_first = number == 0
    found: dict[str, Any] = {"id": name}
    if before is not None:
        needs = "the phases whose outputs it needs; phases with the same may run together"
        found["after"] = Noted([before], needs if number == 1 else "")
    rounds = assumed.rounds
    calls = f"of the model: {rounds} round{'' if rounds == 1 else 's'} of tools, and the answer"
    notes = {
        "calls": calls,
        "turn": "what a round adds: the model's tool call, and the tool's result",
        "output": "what it hands on",
        "metadata": "the short stand-in that may take the output's place",
    }
    sizes: dict[str, Any] = {"calls": rounds + 1}
    if rounds:
        sizes["turn"] = assumed.turn
    sizes |= {"output": assumed.output_tokens, "metadata": assumed.metadata_tokens}
    return found | {key: Noted(size, notes[key] if is_first else "") for key, size in sizes.items()}
