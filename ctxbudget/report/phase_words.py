"""What happened in a phase of a workflow, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ctxbudget._version import __version__
from ctxbudget.core.types import MAIN, Do, Item, Layer, Level
from ctxbudget.report.diagnosis import diagnose
from ctxbudget.report.money import usd_cell, usd_text
from ctxbudget.report.phase_story import AgentStory, Group, PhaseStory, PrunedStory, grouped
from ctxbudget.report.plain import how_many, one_line

MOST_NAMES: Final = 3
MOST_LINES: Final = 8
"""Of one list; what is left over is counted."""

DONE: Final = {
    Do.DROP: "removed",
    Do.CLEAR: "replaced by a placeholder",
    Do.SNIP: "cut to head and tail",
    Do.DIGEST: "replaced by metadata",
    Do.DEDUPE: "freed of what stands elsewhere",
    Do.NAMES: "replaced by its names",
    Do.SUMMARIZE: "replaced by a summary",
    Do.STUB: "replaced by a note",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A phase of a simulated workflow.

    Attributes:
        number, of: its place in the order in which phases run, from 1.
        needs, needed_by: phases, directly; `ancestors` holds all that it needs.
    """

    story: PhaseStory
    about: str
    policy: str
    number: int
    of: int
    needs: tuple[str, ...]
    needed_by: tuple[str, ...]
    ancestors: frozenset[str]
    chance: tuple[str, ...] = ()
    """What the workflow leaves open of it, a sentence each."""


# ---- words


def lines(one: Explained) -> Iterator[str]:
    """Yield it as lines for people; a line without indent heads those below it."""
    for title, found in (
        (_title(one), _about(one)),
        ("When it starts", _start(one)),
        ("What it adds", _added(one)),
        ("What its agents get", _agents(one)),
        ("What is pruned", _pruned(one)),
        ("Where it peaks", _peak(one)),
        ("What it sends", _sent(one)),
        ("What it hands on", _end(one)),
    ):
        said = list(found)
        if said:
            yield one_line(title)
            yield from (f"  {_kept_indent(line)}" for line in said)


def _kept_indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + one_line(line)


def _title(one: Explained) -> str:
    workflow = one.story.metrics.workflow
    return (
        f"Phase {one.story.phase} of {workflow}, number {one.number} of {one.of}, under policy "
        f"{one.policy}"
    )


def _about(one: Explained) -> Iterator[str]:
    row, run = one.story.row, one.story.metrics.run
    if one.about:
        yield one.about
    yield f"It needs {_listed(one.needs) or 'no other phase'}; {_wanted(one.needed_by)}."
    yield (
        f"It may keep {row.allocated_tokens:,} tokens (allocator {one.story.metrics.allocator}) of "
        f"a budget of {run.budget_tokens:,}."
    )
    yield from one.chance


def _wanted(phases: Sequence[str]) -> str:
    if not phases:
        return "no other phase needs it"
    return f"{_listed(phases)} need{'s' if len(phases) == 1 else ''} it"


def _start(one: Explained) -> Iterator[str]:
    run, items = one.story.metrics.run, one.story.start
    if not items:
        yield "The main prompt is empty."
        return
    total = _tokens(items)
    yield f"The main prompt holds {total:,} tokens, {_share(total, run.budget_tokens)} of the budget:"
    yield from _group_lines(grouped(items), one)


def _added(one: Explained) -> Iterator[str]:
    items = one.story.added
    if not items:
        yield "Nothing comes into the main prompt."
        return
    yield f"{_tokens(items):,} tokens come into the main prompt:"
    yield from _group_lines(grouped(items), one)


def _group_lines(groups: Sequence[Group], one: Explained) -> Iterator[str]:
    for group in groups[:MOST_LINES]:
        yield f"  {group.tokens:,} in {group.what}{_from(group, one)}: {_names(group.names)}"
    if len(groups) > MOST_LINES:
        rest = groups[MOST_LINES:]
        count = sum(group.count for group in rest)
        yield f"  {sum(group.tokens for group in rest):,} in {count:,} other items"


def _from(group: Group, one: Explained) -> str:
    """Return which phase a group is from, and whether it is needed here."""
    if group.phase in (None, one.story.phase):
        return ""
    if group.phase in one.ancestors:
        return f" from phase {group.phase}"
    return f" from phase {group.phase}, which it does not need"


def _agents(one: Explained) -> Iterator[str]:
    agents = list(one.story.agents.values())
    for agent in agents[: MOST_LINES * 2]:
        wave = f" in wave {agent.wave}" if one.story.waves > 1 else ""
        model = f" of {agent.model}" if agent.model else ""
        yield (
            f"{agent.agent}{wave} starts with {_tokens(agent.start):,} tokens"
            f"{_in_groups(agent.start)}"
        )
        added = f" add{'s' if agent.calls == 1 else ''} {_tokens(agent.added):,} tokens"
        more = added if agent.added else ""
        yield (
            f"  its {how_many(agent.calls, 'call')}{model}{more}"
            f"{', ' if more else ' '}send{'s' if agent.calls == 1 else ''} {agent.sent_tokens:,}"
            f" in all; its prompt peaks at {agent.peak_tokens:,}"
            + (f", {agent.pruned_tokens:,} are pruned" if agent.pruned_tokens else "")
            + f"; it hands back {agent.output_tokens:,}"
        )
    if len(agents) > MOST_LINES * 2:
        rest = agents[MOST_LINES * 2 :]
        back = sum(agent.output_tokens for agent in rest)
        yield f"{len(rest):,} more agents hand back {back:,} tokens"


def _in_groups(items: Sequence[Item]) -> str:
    groups = [f"{group.tokens:,} in {_plain_what(group)}" for group in grouped(items)]
    if len(groups) > MOST_LINES:
        groups = [*groups[:MOST_LINES], "and more"]
    return f": {', '.join(groups)}" if groups else ""


def _plain_what(group: Group) -> str:
    return f"{group.what} of phase {group.phase}" if " output" in group.what else group.what


def _pruned(one: Explained) -> Iterator[str]:
    pruned = one.story.pruned
    if not pruned:
        yield f"Nothing: no rule of policy {one.policy} found anything to take."
        return
    for done in pruned[:MOST_LINES]:
        yield _prune_line(done)
        yield f"  because {done.why}"
    if len(pruned) > MOST_LINES:
        rest = pruned[MOST_LINES:]
        gained = sum(done.removed_tokens - done.left_tokens for done in rest)
        yield f"{len(rest):,} more rules and threads gain {gained:,} tokens"


def _prune_line(done: PrunedStory) -> str:
    where = "" if done.thread == MAIN else f" in the thread of {done.thread}"
    names = list(dict.fromkeys(done.items))
    left = f" → {done.left_tokens:,}" if done.left_tokens else ""
    what = how_many(len(names), "item")
    return (
        f"{done.rule}{where}: {what} {DONE[done.do]}, {done.removed_tokens:,}{left} tokens: "
        f"{_names(names)}"
    )


def _peak(one: Explained) -> Iterator[str]:
    story = one.story
    row, run = story.row, story.metrics.run
    when = f"when {story.peak_came} comes in" if story.peak_came else "at its very start"
    yield (
        f"At {row.peak_tokens:,} tokens, {when}: {_share(row.peak_tokens, run.budget_tokens)} of the "
        f"budget, {_share(row.peak_tokens, run.window_tokens)} of the window{_level(row.peak_tokens, one)}."
    )
    largest = sorted(grouped(story.peak), key=lambda group: -group.tokens)[:MOST_NAMES]
    if row.peak_tokens:
        said = [
            f"{group.what}{_from(group, one)} ({_share(group.tokens, row.peak_tokens)}: "
            f"{_names(group.names)})"
            for group in largest
        ]
        yield f"Most to blame: {'; '.join(said)}."
    for finding in diagnose(story.metrics):
        if finding.phase == story.phase:
            yield f"{str(finding)[:1].upper()}{str(finding)[1:]}."


def _level(tokens: int, one: Explained) -> str:
    run = one.story.metrics.run
    if any(told.level == Level.OVERFLOW for told in one.story.told):
        return ", and a prompt exceeds the hard limit"
    if tokens > run.critical_tokens:
        return f", above critical ({run.critical_tokens:,})"
    return f", above warn ({run.warn_tokens:,})" if tokens > run.warn_tokens else ""


def _sent(one: Explained) -> Iterator[str]:
    row = one.story.row
    if not row.calls:
        yield "Nothing: it makes no call."
        return
    cost = f", {usd_cell(row.cost_usd)} USD of input" if row.cost_usd is not None else ""
    read = _share(row.cache.cache_read_tokens, row.sent_tokens)
    agents = ", its agents' included" if one.story.agents else ""
    yield (
        f"{row.sent_tokens:,} tokens in {how_many(row.calls, 'call')}{agents}; "
        f"{read} of it is read from the prompt cache{cost}."
    )


def _end(one: Explained) -> Iterator[str]:
    story = one.story
    row = story.row
    own = [item for item in story.end if item.phase == story.phase]
    over = f", {row.over_tokens:,} more than it may keep" if row.over_tokens else ""
    yield (
        f"The main prompt is left with {row.residual_tokens:,} tokens; {_tokens(own):,} of it are "
        f"this phase's{over}{':' if own else '.'}"
    )
    yield from _group_lines(grouped(own), one)
    if own and one.needed_by:
        yield f"They are there for {_listed(one.needed_by)}."
    elif own and one.number < one.of:
        yield "No later phase needs them."


# ---- small words


def _tokens(items: Iterable[Item]) -> int:
    return sum(item.tokens for item in items)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _names(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _listed(phases: Sequence[str]) -> str:
    if not phases:
        return ""
    word = "phase" if len(phases) == 1 else "phases"
    if len(phases) > MOST_LINES:
        return f"{word} {', '.join(phases[:MOST_LINES])} and {len(phases) - MOST_LINES:,} more"
    head, last = phases[:-1], phases[-1]
    return f"{word} {', '.join(head)} and {last}" if head else f"{word} {last}"


# ---- JSON


def as_data(one: Explained) -> dict[str, Any]:
    """Return it as JSON."""
    story = one.story
    row, run = story.row, story.metrics.run
    return {
        "ctxbudget": __version__,
        "workflow": story.metrics.workflow,
        "policy": one.policy,
        "phase": story.phase,
        "about": one.about,
        "number": one.number,
        "of": one.of,
        "needs": list(one.needs),
        "needed_by": list(one.needed_by),
        "chance": list(one.chance),
        "allocated_tokens": row.allocated_tokens,
        "budget_tokens": run.budget_tokens,
        "window_tokens": run.window_tokens,
        "start": _prompt_data(story.start, one),
        "added": _prompt_data(story.added, one),
        "agents": [_agent_data(agent, one) for agent in story.agents.values()],
        "pruned": [_pruned_data(done) for done in story.pruned],
        "peak": {
            **_prompt_data(story.peak, one),
            "came": story.peak_came,
            "largest": [
                {"item": item.id, "tokens": item.tokens}
                for item in sorted(story.peak, key=lambda item: (-item.tokens, item.id))[:10]
            ],
        },
        "told": [
            {
                "level": told.level,
                "scope": told.scope,
                "tokens": told.tokens,
                "limit_tokens": told.limit_tokens,
            }
            for told in story.told
        ],
        "findings": [
            str(finding) for finding in diagnose(story.metrics) if finding.phase == story.phase
        ],
        "calls": row.calls,
        "sent_tokens": row.sent_tokens,
        "cache_read_tokens": row.cache.cache_read_tokens,
        "cost_usd": usd_text(row.cost_usd),
        "end": _prompt_data(story.end, one),
        "kept_tokens": row.kept_tokens,
        "over_tokens": row.over_tokens,
    }


def _prompt_data(items: Sequence[Item], one: Explained) -> dict[str, Any]:
    return {
        "tokens": _tokens(items),
        "groups": [
            {
                "what": group.what,
                "phase": group.phase,
                "is_needed": group.phase is None
                or group.phase == one.story.phase
                or group.phase in one.ancestors,
                "tokens": group.tokens,
                "count": group.count,
                "items": list(group.names),
            }
            for group in grouped(items)
        ],
        "by_layer": {
            layer.value: sum(item.tokens for item in items if item.layer is layer)
            for layer in Layer
        },
    }


def _agent_data(agent: AgentStory, one: Explained) -> dict[str, Any]:
    return {
        "agent": agent.agent,
        "wave": agent.wave,
        "model": agent.model or None,
        "start": _prompt_data(agent.start, one),
        "added": _prompt_data(agent.added, one),
        "calls": agent.calls,
        "sent_tokens": agent.sent_tokens,
        "peak_tokens": agent.peak_tokens,
        "pruned_tokens": agent.pruned_tokens,
        "output_tokens": agent.output_tokens,
    }


def _pruned_data(done: PrunedStory) -> dict[str, Any]:
    return {
        "rule": done.rule,
        "why": done.why,
        "do": done.do,
        "thread": done.thread,
        "items": list(dict.fromkeys(done.items)),
        "removed_tokens": done.removed_tokens,
        "left_tokens": done.left_tokens,
    }
