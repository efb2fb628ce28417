"""A plan as a workflow file of ours, with a comment on every number that is not from the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from ctxbudget.importing.plan import AGAIN, FAILS, SKIP, Plan, Sized, Sizes, Step, Work
from ctxbudget.writing.assumed import WINDOW_TOKENS, metadata_tokens
from ctxbudget.writing.noted import Noted, as_text, bare

WindowOf: TypeAlias = Callable[[str], int | None]

INSTRUCTIONS_TOKENS = 15_000
"""Of a coding agent's own prompt and tools, which its files do not hold: an assumption."""

LONGEST_READS = 6
"""So many reads are listed one by one; more are added up."""


def as_yaml(plan: Plan, sizes: Sizes, file: str, window_of: WindowOf) -> str:
    """Return the text of a workflow file; `file` is what its comments call the file it is from."""
    head = [
        f"Imported by `ctxbudget import` from {file}: {plan.format}.",
        "Its sizes are assumptions unless a comment says `counted`: put in what you know. Steps "
        "with `calls: 0` leave the main thread alone: they run as agents, or without a model.",
        *(f"Assumed: {one}" for one in plan.assumptions),
        *(f"Left out: {one}" for one in plan.left_out),
    ]
    return as_text(head, _content(plan, sizes, window_of))


def as_data(plan: Plan, sizes: Sizes, window_of: WindowOf) -> dict[str, Any]:
    """Return the content of the workflow file."""
    content: dict[str, Any] = bare(_content(plan, sizes, window_of))
    return content


def _content(plan: Plan, sizes: Sizes, window_of: WindowOf) -> dict[str, Any]:
    found: dict[str, Any] = {"name": plan.name}
    if plan.about:
        found["about"] = plan.about
    model, said = _main_model(plan)
    if model:
        found["model"] = Noted(model, f"assumed for {said}" if said else "")
    else:
        found["#model"] = (
            "model: claude-sonnet-4-6 # for steps that name none; yours gives their costs"
        )
    if not model or window_of(model) is None:
        found["window"] = Noted(WINDOW_TOKENS, "assumed; the most tokens that the model accepts")
    own = "assumed: the agent program's own prompt, and its tools"
    instructions = {"id": "instructions", "tokens": INSTRUCTIONS_TOKENS}
    found["permanent"] = [Noted(instructions, own)]
    phases = [_phase(step, sizes, model) for step in plan.steps]
    found["phases"] = Noted(phases, is_spaced=True)
    return found


def _main_model(plan: Plan) -> tuple[str, str]:
    """Return the workflow's model and what the file calls it.

    Where the file names none, it is the commonest of the steps, if each of these names one.
    """
    if plan.model:
        return plan.model, plan.model_said
    works = [one for step in plan.steps for one in _works(step)]
    if not works or not all(one.model for one in works):
        return "", ""
    return Counter((one.model, one.model_said) for one in works).most_common(1)[0][0]


def _works(step: Step) -> list[Work]:
    return [one for wave in step.waves for one in wave] + ([step.own] if step.own else [])


def _phase(step: Step, sizes: Sizes, model: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": step.id}
    if step.about:
        found["about"] = step.about
    if step.after:
        found["after"] = list(step.after)
    if step.condition:
        found["skip"] = Noted(SKIP, f"assumed; {step.condition}")
    if step.at_most > 1:
        repeat = {"at_most": step.at_most, "again": AGAIN}
        found["repeat"] = Noted(repeat, "how likely it goes on is assumed")
    if step.own is not None and not step.waves:
        return found | _own(step.own, sizes, model) | _output(step.own.output)
    if step.own is not None:
        return found | _own(step.own, sizes, model) | _agents(step, sizes, model)
    found["calls"] = 0
    if step.printed is not None:
        return found | _output(step.printed)
    return found | _agents(step, sizes, model)


def _agents(step: Step, sizes: Sizes, model: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    agents = [[_agent(one, sizes, model) for one in wave] for wave in step.waves]
    if len(agents) == 1:
        found["agents"] = agents[0]
    elif all(len(wave) == 1 for wave in agents):
        found["mode"] = Noted("sequential", "one after the other")
        found["agents"] = [wave[0] for wave in agents]
    else:
        found["waves"] = [{"agents": wave} for wave in agents]
    return found


def _own(work: Work, sizes: Sizes, model: str) -> dict[str, Any]:
    found: dict[str, Any] = _model(work, model)
    if work.prompt is not None:
        prompt = {"id": "prompt", "tokens": work.prompt.tokens}
        found["items"] = [Noted(prompt, work.prompt.why)]
    found |= _reads(work)
    return found | _calls(work, sizes)


def _agent(work: Work, sizes: Sizes, model: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": work.id} | _model(work, model)
    if work.prompt is not None:
        found["prompt"] = Noted(work.prompt.tokens, work.prompt.why)
    found |= _reads(work) | _calls(work, sizes) | _output(work.output)
    if work.tries > 1:
        found |= {"fails": Noted(FAILS, "assumed"), "tries": work.tries}
    return found


def _model(work: Work, model: str) -> dict[str, Any]:
    if not work.model or work.model == model:
        return {}
    said = f"assumed for {work.model_said}" if work.model_said else ""
    return {"model": Noted(work.model, said)}


def _reads(work: Work) -> dict[str, Any]:
    if not work.reads:
        return {}
    reads = list(work.reads)
    if len(reads) > LONGEST_READS:
        reads = [Sized(tokens=sum(one.tokens for one in reads), why=f"{len(reads)} reads, assumed")]
    return {"reads": [Noted(one.tokens, one.why) for one in reads]}


def _calls(work: Work, sizes: Sizes) -> dict[str, Any]:
    found: dict[str, Any] = {"calls": Noted(work.rounds + 1, work.calls_why)}
    if work.rounds:
        found["turn"] = sizes.assumed.turn
    return found


def _output(output: Sized) -> dict[str, Any]:
    return {
        "output": Noted(output.tokens, output.why if output.why != "assumed" else ""),
        "metadata": metadata_tokens(output.tokens),
    }
