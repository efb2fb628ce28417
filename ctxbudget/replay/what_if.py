"""A recorded run's facts through the engine under another policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from ctxbudget.config.policy_file import LoadedPolicy
from ctxbudget.config.run_setup import find_allocator
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import CallSent, Event, Fact, ItemAdded, Pruned, RunStarted
from ctxbudget.core.store import Store
from ctxbudget.core.types import Do, Item, Price, Scale
from ctxbudget.live.pieces import media_of, text_of
from ctxbudget.live.shortening import Shortener
from ctxbudget.live.texts import Texts
from ctxbudget.metrics import Metrics
from ctxbudget.recall import Miss, Recall
from ctxbudget.replay.recorded_run import RecordedRun
from ctxbudget.replay.shorter_forms import AssumedSizes, scaled_sizer
from ctxbudget.session import Answer, Listener, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a what-if changes beside the policy; None leaves it as recorded."""

    window_tokens: int | None = None
    budget_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """What a policy would have made of a run. Costs are of input, output is not part of them.

    Attributes:
        metrics: occupancy, sent, pruned, events, as of a simulation.
        recall: what its prompts no longer held; None without texts.
        cost_usd: input of all calls and of summaries; None if a model's price is not known.
        refetch_usd: what fetching the missed items again would have cost.
        rewrites: calls at which a warm cache had to be written again behind a change.
        compactions: summaries that replaced items.
        skipped_facts: recorded facts that make no sense under this policy.
    """

    policy: str
    metrics: Metrics
    recall: Recall | None
    cost_usd: Decimal | None
    refetch_usd: Decimal | None
    peak_tokens: int
    rewrites: int
    compactions: int
    skipped_facts: int

    @property
    def total_cost_usd(self) -> Decimal | None:
        """The cost with the misses charged."""
        if self.cost_usd is None or self.refetch_usd is None:
            return self.cost_usd
        return self.cost_usd + self.refetch_usd


def what_if(run: RecordedRun, policy: LoadedPolicy, settings: Settings = Settings()) -> WhatIf:
    """Return what a policy would have made of a recorded run.

    Summaries are stood for by digests of the same limit, and charged as if a model had read what
    they replace and written them.

    Raises:
        BudgetExceededError: what may not be pruned does not fit the window.
        PolicyError: the policy broke its contract.
    """
    return _Replay(run, policy, settings).result()


@dataclass(slots=True)
class _Bill:
    """A listener that adds up what calls and summaries cost, and the misses of each call."""

    prices: dict[str, Price]
    recall: Recall | None
    run: RecordedRun
    cost_usd: Decimal = Decimal(0)
    refetch_usd: Decimal = Decimal(0)
    is_known: bool = True
    peak_tokens: int = 0
    rewrites: int = 0
    compactions: int = 0
    _model: dict[str, str] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallSent):
            self._sent(event)
        elif isinstance(event, Pruned) and event.do is Do.SUMMARIZE and event.stand_in is not None:
            self._summarized(event, event.stand_in)

    def _sent(self, event: CallSent) -> None:
        self._model[event.thread] = event.model
        self.peak_tokens = max(self.peak_tokens, event.tokens)
        self.rewrites += event.rewritten_tokens > 0
        price = self.prices.get(event.model)
        if price is None:
            self.is_known = False
        else:
            self.cost_usd += price.cost_usd(
                uncached_tokens=event.uncached_tokens,
                cache_read_tokens=event.cache_read_tokens,
                cache_write_5m_tokens=event.cache_write_tokens,
            )
        use = self.run.uses.get((event.thread, event.call))
        if self.recall is not None and use is not None:
            before = len(self.recall.misses)
            self.recall.used(use)
            self._charge(self.recall.misses[before:], event.tokens, price)

    def _charge(self, misses: Sequence[Miss], prompt_tokens: int, price: Price | None) -> None:
        """Charge each item that a call missed: written again, and one more call to fetch it."""
        for miss in misses:
            if miss.is_charged and price is not None:
                self.refetch_usd += price.cost_usd(
                    cache_read_tokens=prompt_tokens, cache_write_5m_tokens=miss.tokens
                )

    def _summarized(self, event: Pruned, stand_in: Item) -> None:
        self.compactions += 1
        price = self.prices.get(self._model.get(event.thread, self.run.start.model))
        if price is None:
            self.is_known = False
        else:
            self.cost_usd += price.cost_usd(
                uncached_tokens=event.removed_tokens, output_tokens=stand_in.tokens
            )


class _Replay:
    """One policy's pass over a run."""

    def __init__(self, run: RecordedRun, policy: LoadedPolicy, settings: Settings) -> None:
        self.run, self.policy = run, policy
        self.start = _start(run.start, policy, settings)
        self.engine = Engine(policy.policy, find_allocator)
        self.metrics = Metrics()
        self.texts = Texts(is_written=False, keeps_closed=True)
        self.texts.know(run.contents)
        self.recall = Recall(run.library, self._words) if run.has_texts else None
        self.bill = _Bill(dict(self.start.prices), self.recall, run)

    def result(self) -> WhatIf:
        answer, extra = self._world()
        listeners: list[Listener] = [self.texts, *extra, self.metrics]
        if self.recall is not None:
            listeners.append(self.recall)
        session = Session(self.engine, answer, [*listeners, self.bill])
        skipped = sum(self._is_skipped(session, fact) for fact in self.run.facts)
        known = self.bill.is_known
        return WhatIf(
            policy=self.policy.label,
            metrics=self.metrics,
            recall=self.recall,
            cost_usd=self.bill.cost_usd if known else None,
            refetch_usd=self.bill.refetch_usd if known and self.recall is not None else None,
            peak_tokens=self.bill.peak_tokens,
            rewrites=self.bill.rewrites,
            compactions=self.bill.compactions,
            skipped_facts=skipped,
        )

    def _is_skipped(self, session: Session, fact: Fact) -> bool:
        try:
            session.feed(self.start if isinstance(fact, RunStarted) else fact)
        except SourceError:  # such as an item that another policy had already dropped
            return True
        return False

    def _world(self) -> tuple[Answer, list[Listener]]:
        if not self.run.has_texts:
            sizes = AssumedSizes()
            return sizes.answer, [sizes]
        contents = self.run.contents
        samples = [
            (fact.item.tokens, text_of(contents[fact.text]))
            for fact in self.run.facts
            if isinstance(fact, ItemAdded)
            and fact.text is not None
            and fact.text in contents
            and not any(media_of(contents[fact.text]))  # an image has tokens and no text
        ]
        shortener = Shortener(self.texts, scaled_sizer(samples), self._store_of)
        return shortener.answer, []

    def _store_of(self, thread: str) -> Store:
        return self.engine.state.threads[thread].store

    def _words(self, thread: str, item: Item) -> str | None:
        block = self.texts.find(thread, item.id, item.version)
        return None if block is None else text_of(block)


def _start(recorded: RunStarted, policy: LoadedPolicy, settings: Settings) -> RunStarted:
    scale = recorded.scale
    window = settings.window_tokens or scale.window_tokens
    budget = settings.budget_tokens or min(scale.budget_tokens, window - scale.reserve_tokens)
    scale = Scale(window_tokens=window, reserve_tokens=scale.reserve_tokens, budget_tokens=budget)
    return replace(recorded, policy=policy.as_data, scale=scale, reviews=False, money=())
