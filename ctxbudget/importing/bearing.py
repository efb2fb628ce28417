"""Task files of bearing: a queue of prompts for a coding agent, in JSON, that need each other.

Source: tasks_schema.py of rocketvish/bearing, as of 2026; what a task has used stands in `result`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ctxbudget.importing.parts import Part, ids_of, in_short, known_names, plain, refuse_circles
from ctxbudget.importing.plan import (
    MOST_ROUNDS,
    Format,
    Notes,
    Plan,
    Sized,
    Sizes,
    Step,
    Work,
    called,
)

NAME: Final = "a task file of bearing"

KNOWN: Final = frozenset(
    {"id", "name", "prompt", "config", "depends_on", "context", "relevant_files", "result"}
    | {"checkpoint", "on_failure", "ignore_patterns"}
)
KNOWN_CONFIG: Final = frozenset(
    {"cli", "model", "max_turns", "effort", "permission_mode", "worktree", "fast_mode"}
)
KNOWN_TOP: Final = frozenset({"project", "description", "tasks"})
SHORTENING: Final = (
    "context_format",
    "relevance_threshold_keep",
    "relevance_threshold_drop",
    "embedding_model",
    "compression_model",
)


def is_bearing(whole: Part) -> bool:
    """Return whether a file looks like a task file of bearing."""
    tasks = whole.content.get("tasks")
    return isinstance(tasks, list) and any(
        isinstance(task, dict) and {"id", "prompt"} <= set(task) for task in tasks
    )


def read(whole: Part, sizes: Sizes) -> Plan:
    """Return a task file of bearing as a plan.

    Raises:
        ConfigError: an id is missing or there twice, a task needs one that is not there, or tasks
            need each other in a circle.
    """
    lost, assumed = Notes(), Notes()
    tasks = whole.some_parts("tasks")
    named = dict(zip(ids_of(tasks), tasks, strict=True))
    needs = {name: known_names(task, "depends_on", named) for name, task in named.items()}
    refuse_circles(named, needs, "depends_on")
    steps = [_step(name, task, needs[name], sizes, lost, assumed) for name, task in named.items()]
    if any(key in whole.content for key in SHORTENING):
        shortening = ", ".join(f"`{key}`" for key in SHORTENING if key in whole.content)
        lost.add(f"how earlier results are shortened ({shortening}); a policy does that here")
    for key in whole.content:
        if key not in KNOWN_TOP and key not in SHORTENING:
            lost.add(f"the key `{key}`")
    return Plan(
        name=plain(whole.text("project")) or "tasks",
        format=NAME,
        about=in_short(whole.text("description")),
        steps=steps,
        assumptions=assumed.sentences(),
        left_out=lost.sentences(),
    )


def _step(
    name: str, task: Part, after: Sequence[str], sizes: Sizes, lost: Notes, assumed: Notes
) -> Step:
    nothing = Part(task.document, task.at, {})
    config, result = task.part("config") or nothing, task.part("result") or nothing
    _note_keys(name, task, config, lost)
    model, said = called(config.text("model"))
    calls, why = _calls(name, config, result, sizes, assumed)
    text = task.text("prompt") + task.text("context")
    reads = [
        Sized(tokens=sizes.file_tokens, why=plain_path(one)) for one in task.names("relevant_files")
    ]
    if reads:
        assumed.add(f"{sizes.file_tokens:,} tokens for each file that a task is told to look at")
    work = Work(
        id=plain(config.text("cli")) or "agent",
        prompt=Sized(tokens=sizes.count(text), why="counted"),
        reads=reads,
        rounds=calls - 1,
        calls_why=why,
        model=model,
        model_said=said,
        output=_output(task, result, sizes),
        tries=_tries(name, task, assumed),
    )
    return Step(id=name, about=in_short(task.text("name")), after=after, waves=[[work]])


def _calls(name: str, config: Part, result: Part, sizes: Sizes, assumed: Notes) -> tuple[int, str]:
    """Return how many calls a task takes, and how that is known."""
    used = result.content.get("turns_used")
    if isinstance(used, int) and not isinstance(used, bool) and used > 0:
        return min(used, MOST_ROUNDS), "as recorded (`turns_used`)"
    most = config.count("max_turns")
    if most is not None:
        assumed.add("tasks that have not run take all the turns they may (`max_turns`)", name)
        return min(most, MOST_ROUNDS), "the most it may (`max_turns`)"
    return sizes.assumed.rounds + 1, "assumed"


def _tries(name: str, task: Part, assumed: Notes) -> int:
    if task.text("on_failure") != "retry_once":
        return 1
    assumed.add("one try in ten fails, of what is tried again (`on_failure`)", name)
    return 2


def _output(task: Part, result: Part, sizes: Sizes) -> Sized:
    summary = result.text("summary")
    if summary:
        return Sized(tokens=sizes.count(summary), why="counted: its summary")
    return Sized(tokens=sizes.assumed.output_tokens)


def _note_keys(name: str, task: Part, config: Part, lost: Notes) -> None:
    if task.text("checkpoint") == "pause":
        lost.add("reviews by people; what comes after goes on (`checkpoint`)", name)
    if "budget_usd" in config.content:
        lost.add("limits in money (`budget_usd`)", name)
    for key in task.content:
        if key not in KNOWN:
            lost.add(f"the key `{key}`", name)
    for key in config.content:
        if key not in KNOWN_CONFIG and key != "budget_usd":
            lost.add(f"the key `config.{key}`", name)


def plain_path(text: str) -> str:
    """Return a path as a comment may show it."""
    return "".join(char for char in text if char.isprintable())[:80].strip() or "a file"


FORMAT: Final = Format(
    name="bearing",
    title=NAME,
    looked_for="a list `tasks` with `id`, `prompt` and `depends_on`",
    recognizes=is_bearing,
    read=read,
)
