"""Whether what a phase leaves in the main thread depends on that phase alone, under a policy."""

from __future__ import annotations

from ctxbudget.core.policy import By, Policy, Rule, RulePolicy, Selector, Which
from ctxbudget.core.types import Do, Kind, Trigger

BETWEEN_PHASES = frozenset({Trigger.PHASE_STARTED, Trigger.PHASE_FINISHED, Trigger.RUN_FINISHED})
WITHIN_A_PHASE = frozenset({Trigger.AGENT_FINISHED, Trigger.WAVE_FINISHED})
"""With those above, the moments that come however full the prompt is."""


def doubt_about(policy: Policy) -> str | None:
    """Return why phases may weigh otherwise together than each alone; None if they cannot.

    They cannot if every rule acts where a phase begins or ends, or on what the phase that runs has
    made, and chooses items by what they are and by whether something still depends on their phase.
    """
    if not isinstance(policy, RulePolicy):
        return "it is a program, of which nothing is known"
    if policy.then is not None:
        return "it looks at what was used, and when"
    for rule in policy.rules:
        if not _is_of_phases(rule) and not _comes_too_late(rule, policy.rules):
            return f"its rule {rule.name!r} looks at how full the prompt is, or at other phases"
    return None


def _is_of_phases(rule: Rule) -> bool:
    when = rule.when
    is_plain = when.above is None and when.until is None and not when.pays_off
    is_alone = when.min_items <= 1 and not when.min_turns and not when.every_calls
    weighs_together = rule.by is By.ALL or rule.leave_metadata or when.min_gain_tokens > 1
    return (
        all(_is_in_time(trigger, rule.select) for trigger in rule.on)
        and is_plain
        and is_alone
        and not weighs_together
        and not _counts(rule.select)
    )


def _is_in_time(trigger: Trigger, select: Selector) -> bool:
    """Return True if what is selected at a moment does not depend on what other phases do."""
    if select.phase is Which.EARLIER:
        return trigger is Trigger.PHASE_STARTED
    if trigger in WITHIN_A_PHASE:
        is_own = select.phase is Which.CURRENT or select.wave is not None
        return is_own or (trigger is Trigger.AGENT_FINISHED and _takes_outputs(select))
    return trigger in BETWEEN_PHASES


def _takes_outputs(select: Selector) -> bool:
    """Return True if a selector takes nothing but outputs of agents that have finished."""
    what = select.what
    return what.kinds == (Kind.ARTIFACT,) and what.ready is True and select.live is None


def _counts(select: Selector) -> bool:
    """Return True if a selector looks at age, at use or at how many there are."""
    return bool(
        select.phase_age
        or select.age_calls
        or select.idle_calls
        or select.keep_last
        or select.keep_last_turns
        or select.what.superseded is not None
    )


def _comes_too_late(rule: Rule, rules: tuple[Rule, ...]) -> bool:
    """Return True if another rule has taken all that this one takes by the time it is asked.

    An output can be had as soon as its agent has finished, and is taken in that very moment.
    """
    return any(
        one.on == (Trigger.AGENT_FINISHED,)
        and _is_of_phases(one)
        and (one.do, one.select) == (rule.do, rule.select)
        and one.do is Do.DIGEST
        and _takes_outputs(one.select)
        for one in rules
    )
