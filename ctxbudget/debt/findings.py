"""What was found in a session, with what avoiding it would have saved; and all sessions' together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias, get_args

from ctxbudget.core.pricing import plus_usd

What: TypeAlias = Literal[
    "speculative_reads",
    "cache_reentries",
    "five_minute_cache",
    "host_compactions",
    "superseded_reads",
    "redundant_rereads",
    "rereads_after_loss",
]

STEPS: Final[dict[What, str]] = {
    "speculative_reads": "load only what is needed, and drop it after one call if it was not",
    "cache_reentries": "compact before a break: the cache will be cold when work goes on",
    "five_minute_cache": "ask for the hourly cache where calls come minutes apart",
    "host_compactions": "clear old tool results before the host has to compact",
    "superseded_reads": "clear a read once a later one of the same file is there, as `tidy` does",
    "redundant_rereads": "do not read again what still stands in the prompt: keep one copy",
    "rereads_after_loss": "pin what is needed again, or keep the names of files in the summary",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a replay under a policy would have saved of the input cost; negative if it cost more.

    Attributes:
        policy: that the replay used.
        options: of `ctxbudget replay`, which change what is replayed.
        usd: saved; None if a price is not known.
        with_misses_usd: the same after paying for all that was missed.
        misses: what calls used and did not find.
        used: identifiers that calls used; of these, their prompts held `served`.
    """

    policy: str
    options: str = ""
    usd: Decimal | None
    with_misses_usd: Decimal | None
    misses: int
    served: int = 0
    used: int = 0

    @property
    def recall_frac(self) -> float | None:
        """The share of used identifiers that the prompts still held; None if none was used."""
        return self.served / self.used if self.used else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of debt, of one session or of several.

    Attributes:
        count: how many reads, calls or compactions it is made of.
        tokens: that they hold.
        cost_usd: what these cost; None if a price is not known.
        input_usd: what the input of all calls cost: what shares are taken of.
        saving: by replay; None where none can be computed, or for `unsaved`.
        unsaved: why there is no saving.
        sessions: in which it was found.
    """

    what: What
    count: int
    tokens: int
    cost_usd: Decimal | None
    input_usd: Decimal | None
    saving: Saving | None = None
    unsaved: str = ""
    sessions: int = 1

    @property
    def step(self) -> str:
        """What to do about it."""
        return STEPS[self.what]

    @property
    def saves_usd(self) -> Decimal | None:
        """What the step would have saved, misses not charged; None if that is not known."""
        return None if self.saving is None else self.saving.usd

    @property
    def saves_frac(self) -> float | None:
        """The same as a share of the input cost."""
        if self.saves_usd is None or not self.input_usd:
            return None
        return float(self.saves_usd / self.input_usd)


def by_saving(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by falling saving; those without one come last, the dearest first."""
    return tuple(sorted(findings, key=_rank))


def _rank(one: Finding) -> tuple[bool, Decimal, Decimal, str]:
    saves, cost = one.saves_usd, one.cost_usd
    return (saves is None, -(saves or Decimal(0)), -(cost or Decimal(0)), one.what)


def totals(findings: Iterable[Finding], input_usd: Decimal | None) -> tuple[Finding, ...]:
    """Return the findings of many sessions added up by kind, by falling saving.

    Sessions in which a cost or a saving is not known are counted; their amounts are not in the sums.
    `input_usd` is that of all sessions, so that shares of kinds can be compared.
    """
    found = list(findings)
    kinds = [[one for one in found if one.what == what] for what in get_args(What)]
    return by_saving(_total(group, input_usd) for group in kinds if group)


def _total(group: list[Finding], input_usd: Decimal | None) -> Finding:
    savings = [one.saving for one in group if one.saving is not None and one.saving.usd is not None]
    costs = [one.cost_usd for one in group if one.cost_usd is not None]
    saving: Saving | None = None
    if savings:
        usd: Decimal | None = Decimal(0)
        with_misses_usd: Decimal | None = Decimal(0)
        for one in savings:
            usd = plus_usd(usd, one.usd)
            with_misses_usd = plus_usd(with_misses_usd, one.with_misses_usd)
        saving = Saving(
            policy=savings[0].policy,
            options=savings[0].options,
            usd=usd,
            with_misses_usd=with_misses_usd,
            misses=sum(one.misses for one in savings),
            served=sum(one.served for one in savings),
            used=sum(one.used for one in savings),
        )
    return Finding(
        what=group[0].what,
        count=sum(one.count for one in group),
        tokens=sum(one.tokens for one in group),
        cost_usd=sum(costs, Decimal(0)) if costs else None,
        input_usd=input_usd,
        saving=saving,
        unsaved="" if saving is not None else group[0].unsaved,
        sessions=len(group),
    )
