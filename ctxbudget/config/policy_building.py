"""From a policy file as it was read to the rules and the rent that the engine asks."""

from __future__ import annotations

from ctxbudget.config.policy_format import PolicyFile, RentPart, RulePart
from ctxbudget.core.policy import Guard, Rule, RulePolicy, Selector
from ctxbudget.core.rent import RentPolicy, Stay
from ctxbudget.core.types import LONGER_FORMS, Kind
from ctxbudget.core.watch import Filter


def built(file: PolicyFile) -> RulePolicy:
    """Return the policy that a file describes; a rule without a name gets a number."""
    return RulePolicy(
        name=file.name,
        rules=tuple(_rule(part, number, file.name) for number, part in enumerate(file.rules, 1)),
        then=None if file.rent is None else _rent(file.rent, file.name),
    )


def _rule(part: RulePart, number: int, policy: str) -> Rule:
    select, when = part.select, part.when
    return Rule(
        name=part.name or f"{policy} {number}",
        on=part.on,
        do=part.do,
        by=part.by,
        limit_tokens=part.to,
        leave_metadata=part.leave_metadata,
        why=part.why,
        select=Selector(
            what=Filter(
                layers=select.layer,
                kinds=select.kind,
                tools=select.tool,
                forms=select.form or LONGER_FORMS.get(part.do, ()),
                min_tokens=select.min_tokens,
                ready=select.ready,
                superseded=select.superseded,
            ),
            phase=select.phase,
            phase_age=select.phase_age,
            wave=select.wave,
            live=select.live,
            age_calls=select.age_calls,
            idle_calls=select.idle_calls,
            keep_last=select.keep_last,
            keep_last_turns=select.keep_last_turns,
        ),
        when=Guard(
            above=when.above,
            until=when.until,
            min_items=when.min_items,
            min_turns=when.min_turns,
            min_gain_tokens=when.min_gain_tokens,
            every_calls=when.every_calls,
            pays_off=when.pays_off,
        ),
    )


def _rent(part: RentPart, policy: str) -> RentPolicy:
    stays = []
    named: dict[Kind, tuple[str, ...]] = {}
    for one in part.stays:
        for kind in one.kind:
            what = Filter(
                kinds=(kind,),
                tools=one.tool,
                not_tools=() if one.tool else named.get(kind, ()),
                forms=LONGER_FORMS.get(one.do, ()),
                min_tokens=one.min_tokens,
            )
            stays.append(Stay(what=what, idle_calls=one.idle_calls, do=one.do))
            named[kind] = (*named.get(kind, ()), *one.tool)
    return RentPolicy(
        name=policy,
        stays=tuple(stays),
        times=part.times,
        patience=part.patience,
        least_gain_tokens=part.least_gain,
        room_frac=part.room,
        dedupes=part.dedupe,
    )
