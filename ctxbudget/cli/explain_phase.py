"""What `ctxbudget explain` does once its options are read."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ctxbudget.cli.output import print_json, wrapped
from ctxbudget.cli.workflow_overrides import workflow_overrides
from ctxbudget.config.lookup import find
from ctxbudget.config.run_setup import RunSetup, set_up_run
from ctxbudget.config.workflow_file import read_workflow
from ctxbudget.config.workflow_format import PhasePart
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.graph import PhaseGraph
from ctxbudget.report import phase_words
from ctxbudget.report.phase_story import PhaseStory
from ctxbudget.report.phase_words import Explained
from ctxbudget.simulate import measure_for, simulate


def run(
    *,
    workflow: str,
    phase: str,
    policy: str | None,
    allocator: str | None,
    budget: str | None,
    window: str | None,
    model: str | None,
    deliver: str | None,
    as_machine: bool,
) -> None:
    """Simulate the workflow and tell of the phase.

    Raises:
        ConfigError: the workflow cannot be read or has no such phase, or an option is wrong.
    """
    overrides = workflow_overrides(
        policy=policy,
        allocator=allocator,
        budget=budget,
        window=window,
        model=model,
        deliver=deliver,
    )
    loaded = read_workflow(find("workflows", workflow))
    setup = set_up_run(loaded, overrides)
    if phase not in setup.graph:
        raise ConfigError(
            f"there is no phase {phase!r}; {near_misses(phase, setup.graph.order)}",
            path=workflow,
        )
    story = PhaseStory(phase)
    simulate(setup, measure_for(loaded), [story])
    explained = _explained(story, setup)
    if as_machine:
        print_json(phase_words.as_data(explained))
        return
    for line in phase_words.lines(explained):
        for part in wrapped(line):
            click.echo(part)


def _explained(story: PhaseStory, setup: RunSetup) -> Explained:
    graph = setup.graph
    part = next(one for one in setup.loaded.workflow.phases if one.id == story.phase)
    return Explained(
        story=story,
        about=part.about,
        policy=setup.policy.label,
        number=graph.order.index(story.phase) + 1,
        of=len(graph),
        needs=part.after,
        needed_by=graph.dependents(story.phase),
        ancestors=_ancestors(graph, story.phase),
        chance=tuple(_chance(part)),
    )


def _chance(part: PhasePart) -> Iterator[str]:
    """Yield what a phase leaves open; a single simulation takes the expected course."""
    if part.skip:
        yield f"It is left out with a probability of {part.skip:.0%}; here it runs."
    if part.repeat is not None and part.may_repeat:
        yield (
            f"It runs up to {part.repeat.at_most} times, again with a probability of "
            f"{part.repeat.again:.0%}; here it runs once."
        )
    agents = [one for wave in part.all_waves() for one in wave.agents]
    for agent in agents:
        if agent.fails:
            yield f"{agent.id} fails with a probability of {agent.fails:.0%}; here it does not."


def _ancestors(graph: PhaseGraph, phase: str) -> frozenset[str]:
    """Return all phases that a phase needs, directly or through others."""
    found: set[str] = set()
    waiting = list(graph[phase].after)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name].after
    return frozenset(found)
