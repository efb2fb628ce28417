"""The debt of one recorded session: what paid, what was found, what each step would have saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from ctxbudget.config.policy_file import LoadedPolicy, load_policy, refuse_impossible
from ctxbudget.core.errors import BudgetExceededError, ConfigError, PolicyError
from ctxbudget.core.types import LONG_TTL_S
from ctxbudget.debt.as_recorded import NONE, AsRecorded, as_recorded
from ctxbudget.debt.cleared_once_sent import cleared_once_sent
from ctxbudget.debt.findings import Finding, Saving, What, by_saving
from ctxbudget.debt.reads import Read, Rereads, rereads, speculative_reads, superseded_reads
from ctxbudget.debt.reentries import Reentry, asks_for_the_short_ttl, reentries
from ctxbudget.debt.rent import Rents, rents_of
from ctxbudget.debt.summaries import Compaction, compactions
from ctxbudget.replay import RecordedRun, Settings, what_if

LEAST_CALLS: Final = 10
"""A session of fewer calls has hardly any later calls for its debt to burden."""

TTL_1H: Final = "--ttl 1h"
NO_COMPACTIONS: Final = "--ignore-compactions"
"""Options of `ctxbudget replay` that a saving was found with, beside the policy."""

SUPERSEDED: Final = "superseded"
"""The rule of `tidy` that clears a read once a later one of the same file is there."""

_UNCHANGED: Final = Settings()

REASON_WITHOUT_REPLAY: Final = "no policy does it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """The debt of one session's thread.

    Attributes:
        input_usd: what the input of its calls cost, by the cache model; None if a price is not known.
        findings: by falling saving. They overlap: what one step saves another cannot save again.
    """

    calls: int
    input_usd: Decimal | None
    rents: Rents
    speculative: tuple[Read, ...]
    superseded: tuple[Read, ...]
    rereads: Rereads
    reentries: tuple[Reentry, ...]
    compactions: tuple[Compaction, ...]
    findings: tuple[Finding, ...]


def debt_of(run: RecordedRun) -> Debt:
    """Return where the debt of a recorded session sits.

    The run must be one of another program: its facts alone give its prompts. It needs texts.
    """
    recorded = as_recorded(run)
    search = _Search(run=run, recorded=recorded)
    return Debt(
        calls=len(recorded.calls),
        input_usd=search.input_usd,
        rents=rents_of(recorded),
        speculative=tuple(search.speculative),
        superseded=tuple(search.superseded),
        rereads=search.rereads,
        reentries=tuple(search.reentries),
        compactions=tuple(search.compactions),
        findings=by_saving(search.findings()),
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """Looks for each kind of debt, and replays what would have been done about it."""

    run: RecordedRun
    recorded: AsRecorded
    input_usd: Decimal | None = field(init=False)
    speculative: list[Read] = field(init=False)
    superseded: list[Read] = field(init=False)
    rereads: Rereads = field(init=False)
    reentries: list[Reentry] = field(init=False)
    compactions: list[Compaction] = field(init=False)

    def __post_init__(self) -> None:
        self.input_usd = self.recorded.input_usd
        self.speculative = speculative_reads(self.run, self.recorded)
        self.superseded = superseded_reads(self.recorded)
        self.rereads = rereads(self.run, self.recorded)
        self.reentries = reentries(self.run, self.recorded)
        self.compactions = compactions(self.recorded)

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, each with its saving."""
        yield from self._reads()
        yield from self._reentries()
        yield from self._compactions()

    def _reads(self) -> Iterator[Finding]:
        kinds: tuple[tuple[What, Sequence[Read]], ...] = (
            ("speculative_reads", self.speculative),
            ("redundant_rereads", self.rereads.redundant),
        )
        for what, reads in kinds:
            if reads:
                policy = cleared_once_sent(read.stay for read in reads)
                yield self._of_reads(what, reads, self._saving(policy))
        if self.superseded:
            yield self._of_reads("superseded_reads", self.superseded, self._saving(_tidy_reads()))
        if self.rereads.lost:
            yield self._of_reads("rereads_after_loss", self.rereads.lost, REASON_WITHOUT_REPLAY)

    def _reentries(self) -> Iterator[Finding]:
        found = self.reentries
        if not found:
            return
        yield self._of_reentries("cache_reentries", found, self._named("compact-before-break"))
        short = [one for one in found if one.is_within_the_long_ttl]
        if short and asks_for_the_short_ttl(self.run):
            hourly = self._saving(load_policy(NONE), Settings(ttl_s=LONG_TTL_S), TTL_1H)
            yield self._of_reentries("five_minute_cache", short, hourly)

    def _compactions(self) -> Iterator[Finding]:
        if self.compactions:
            yield self._finding(
                "host_compactions",
                count=len(self.compactions),
                tokens=sum(one.lost_tokens for one in self.compactions),
                costs=(one.cost_usd for one in self.compactions),
                saved=self._named(
                    "clear-tool-uses", Settings(ignores_compactions=True), NO_COMPACTIONS
                ),
            )

    # ---- one finding

    def _of_reads(self, what: What, reads: Sequence[Read], saved: Saving | str) -> Finding:
        return self._finding(
            what,
            count=len(reads),
            tokens=sum(read.stay.item.tokens for read in reads),
            costs=(read.cost_usd for read in reads),
            saved=saved,
        )

    def _of_reentries(self, what: What, found: Sequence[Reentry], saved: Saving | str) -> Finding:
        return self._finding(
            what,
            count=len(found),
            tokens=sum(one.tokens for one in found),
            costs=(one.cost_usd for one in found),
            saved=saved,
        )

    def _finding(
        self,
        what: What,
        *,
        count: int,
        tokens: int,
        costs: Iterable[Decimal | None],
        saved: Saving | str,
    ) -> Finding:
        amounts = list(costs)
        known = [amount for amount in amounts if amount is not None]
        return Finding(
            what=what,
            count=count,
            tokens=tokens,
            cost_usd=sum(known, Decimal(0)) if len(known) == len(amounts) else None,
            input_usd=self.input_usd,
            saving=saved if isinstance(saved, Saving) else None,
            unsaved=saved if isinstance(saved, str) else "",
        )

    # ---- replays

    def _named(self, name: str, settings: Settings = _UNCHANGED, options: str = "") -> Saving | str:
        """Return what a shipped policy would have saved, or why it cannot be said."""
        policy = load_policy(name)
        try:
            refuse_impossible(policy, settings.scale(self.run.start.scale))
        except ConfigError as error:
            return str(error)
        return self._saving(policy, settings, options)

    def _saving(
        self, policy: LoadedPolicy, settings: Settings = _UNCHANGED, options: str = ""
    ) -> Saving | str:
        try:
            found = what_if(self.run, policy, settings)
        except (BudgetExceededError, PolicyError) as error:
            return str(error)
        recall = found.recall
        return Saving(
            policy=policy.label,
            options=options,
            usd=_difference(self.input_usd, found.cost_usd),
            with_misses_usd=_difference(self.input_usd, found.total_cost_usd),
            misses=0 if recall is None else len(recall.misses),
            served=0 if recall is None else recall.references.served,
            used=0 if recall is None else recall.references.all,
        )


def _tidy_reads() -> LoadedPolicy:
    """Return what `tidy` does about reads, without the rest of it."""
    tidy = load_policy("tidy")
    rules = [rule for rule in tidy.as_data["rules"] if rule["name"] == SUPERSEDED]
    return replace(load_policy({**tidy.as_data, "rules": rules}), label="tidy, reads only")


def _difference(whole_usd: Decimal | None, part_usd: Decimal | None) -> Decimal | None:
    return None if whole_usd is None or part_usd is None else whole_usd - part_usd
