"""A recorded run's facts through the engine under another policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Protocol

from ctxbudget.config.policy_file import LoadedPolicy
from ctxbudget.config.policy_format import Bound
from ctxbudget.config.run_setup import find_allocator
from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Answered,
    CacheLost,
    CallSent,
    CallStarted,
    Effect,
    Event,
    Fact,
    ItemAdded,
    Pruned,
    Review,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.pricing import InputCosts, plus_usd
from ctxbudget.core.store import Store
from ctxbudget.core.types import LONG_TTL_S, Cache, Do, Item, Level, Price, Scale
from ctxbudget.live.held import Held
from ctxbudget.live.pieces import media_of, text_of, text_to_shorten
from ctxbudget.live.shortening import Shortener
from ctxbudget.live.texts import Texts
from ctxbudget.metrics import Metrics
from ctxbudget.providers.prices import priced
from ctxbudget.recall import Recall
from ctxbudget.replay.clairvoyant import Clairvoyant, without_group
from ctxbudget.replay.recorded_run import RecordedRun
from ctxbudget.replay.shorter_forms import SizesWithoutTexts, scaled_sizer
from ctxbudget.session import Answer, Listener, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherModel:
    """A model in place of the recorded ones."""

    name: str
    price: Price | None
    cache: Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a what-if changes beside the policy; None leaves it as recorded."""

    window_tokens: int | None = None
    reserve_tokens: int | None = None
    budget_tokens: int | None = None
    ttl_s: float | None = None
    """Asked of the cache by each call."""
    model: OtherModel | None = None
    price: Price | None = None
    """Of every model."""
    ignores_compactions: bool = False
    """The host's own."""
    ignores_cache_losses: bool = False

    def scale(self, recorded: Scale) -> Scale:
        """Return the scale that follows; a budget never exceeds what the window leaves."""
        window = self.window_tokens or recorded.window_tokens
        reserve = recorded.reserve_tokens if self.reserve_tokens is None else self.reserve_tokens
        budget = self.budget_tokens
        if budget is None:
            was_all = recorded.budget_tokens == recorded.hard_limit_tokens
            budget = window - reserve if was_all else min(recorded.budget_tokens, window - reserve)
        return Scale(window_tokens=window, reserve_tokens=reserve, budget_tokens=budget)


@dataclass(slots=True, kw_only=True)
class WhatIf:
    """What a policy would have made of a run. Costs are of input, output is not part of them.

    Attributes:
        metrics: occupancy, sent, pruned, events, as of a simulation.
        recall: what its prompts no longer held; None without texts.
        cost_usd: input of all calls and of summaries; None if a model's price is not known.
        summaries_usd: of that, the summaries.
        refetch_usd: what fetching the missed items again would have cost.
        peak_tokens: the largest prompt that was sent.
        rewrites: calls at which a warm cache had to be written again behind a change.
        compactions: summaries that replaced items.
        assumed_forms: shorter forms whose size is assumed: neither a text nor the journal tells it.
        skipped_facts: recorded facts that make no sense under this policy.
    """

    policy: str
    bound: Bound | None
    metrics: Metrics
    recall: Recall | None
    cost_usd: Decimal | None
    summaries_usd: Decimal | None
    refetch_usd: Decimal | None
    peak_tokens: int
    rewrites: int
    compactions: int
    assumed_forms: int
    skipped_facts: int

    @property
    def fitted_calls(self) -> int:
        """How often the engine itself had to make a prompt fit the window."""
        return sum(one.level == Level.OVERFLOW for one in self.metrics.run.events)

    @property
    def total_cost_usd(self) -> Decimal | None:
        """The cost with the misses charged."""
        if self.cost_usd is None or self.refetch_usd is None:
            return self.cost_usd
        return self.cost_usd + self.refetch_usd


class Prompts(Protocol):
    """Is shown each prompt that a what-if sends."""

    def sent(
        self, call: CallSent, items: Iterable[Item], text: Callable[[Item], str | None]
    ) -> None:
        """Take note of a call, the items that it carries, and how to have their texts."""
        ...


def what_if(
    run: RecordedRun,
    policy: LoadedPolicy,
    settings: Settings = Settings(),
    prompts: Prompts | None = None,
    listeners: Sequence[Listener] = (),
) -> WhatIf:
    """Return what a policy would have made of a recorded run.

    Summaries are stood for by digests of the same limit, and charged as if a model had read what
    they replace and written them.

    Raises:
        BudgetExceededError: what may not be pruned does not fit the window.
        PolicyError: the policy broke its contract.
    """
    return _Replay(run, policy, settings, prompts, listeners).result()


@dataclass(slots=True)
class _Bill:
    """A listener that adds up what calls and summaries cost, and the misses of each call."""

    recall: Recall | None
    run: RecordedRun
    costs: InputCosts = field(default_factory=lambda: InputCosts(assumes_summaries=True))
    calls_usd: Decimal | None = Decimal(0)
    summaries_usd: Decimal | None = Decimal(0)
    refetch_usd: Decimal = Decimal(0)
    peak_tokens: int = 0
    rewrites: int = 0
    compactions: int = 0
    caches: Mapping[str, Cache] = field(default_factory=dict)
    ttl_s: float = 0.0
    """Of what the call that is under way writes."""

    def __call__(self, event: Event) -> None:
        cost = self.costs(event)
        if isinstance(event, CallStarted):
            self.ttl_s = event.ttl_s or self.caches.get(event.model, Cache()).ttl_s
        elif isinstance(event, CallSent):
            self.peak_tokens = max(self.peak_tokens, event.tokens)
            self.rewrites += event.rewritten_tokens > 0
            self._misses(event)
        elif isinstance(event, Pruned) and event.do is Do.SUMMARIZE:
            self.compactions += event.stand_in is not None
        if cost is not None and cost.is_summary:
            self.summaries_usd = plus_usd(self.summaries_usd, cost.usd)
        elif cost is not None:
            self.calls_usd = plus_usd(self.calls_usd, cost.usd)

    def _misses(self, call: CallSent) -> None:
        """Charge each item that a call missed: written again, and one more call to fetch it."""
        use = self.run.uses.get((call.thread, call.call))
        if self.recall is None or use is None:
            return
        before = len(self.recall.misses)
        self.recall.used(use)
        price, is_long = self.costs.prices.get(call.model), self.ttl_s >= LONG_TTL_S
        for miss in self.recall.misses[before:]:
            if miss.is_charged and price is not None:
                self.refetch_usd += price.cost_usd(
                    cache_read_tokens=call.tokens,
                    cache_write_5m_tokens=0 if is_long else miss.tokens,
                    cache_write_1h_tokens=miss.tokens if is_long else 0,
                )


class _Replay:
    """One policy's pass over a run."""

    def __init__(
        self,
        run: RecordedRun,
        policy: LoadedPolicy,
        settings: Settings,
        prompts: Prompts | None,
        others: Sequence[Listener],
    ) -> None:
        self.run, self.policy, self.settings, self.prompts = run, policy, settings, prompts
        self.others = others
        self.start = _start(run, policy, settings)
        knows = policy.bound is Bound.KNOWS_THE_FUTURE
        self.engine = Engine(Clairvoyant(run) if knows else policy.policy, find_allocator)
        self.metrics = Metrics()
        self.texts = Texts(is_written=False, keeps_closed=True)
        self.texts.know(run.contents)
        self.recall = Recall(run.library, self._words) if run.has_texts else None
        self.bill = _Bill(self.recall, run, caches=self.start.caches)
        self.sizes = SizesWithoutTexts(run.sizes)

    def result(self) -> WhatIf:
        answer, extra = self._world()
        listeners: list[Listener] = [self.texts, *extra, self.metrics]
        if self.recall is not None:
            listeners.append(self.recall)
        listeners.append(self.bill)
        if self.prompts is not None:
            listeners.append(self._show)
        listeners += self.others
        session = Session(self.engine, answer, listeners)
        skipped = sum(self._is_skipped(session, fact) for fact in self._facts())
        bill, recall = self.bill, self.recall
        cost_usd = plus_usd(bill.calls_usd, bill.summaries_usd)
        is_known = cost_usd is not None and recall is not None
        return WhatIf(
            policy=self.policy.label,
            bound=self.policy.bound,
            metrics=self.metrics,
            recall=recall,
            cost_usd=cost_usd,
            summaries_usd=bill.summaries_usd,
            refetch_usd=bill.refetch_usd if is_known else None,
            peak_tokens=bill.peak_tokens,
            rewrites=bill.rewrites,
            compactions=bill.compactions,
            assumed_forms=self.sizes.assumed,
            skipped_facts=skipped,
        )

    def _facts(self) -> Iterator[Fact]:
        """Yield the run's facts as they are under the settings."""
        settings, bound = self.settings, self.policy.bound
        ignores_compactions = settings.ignores_compactions or bound is Bound.NEVER_PRUNES
        left_out = set[str]()
        for fact in self.run.facts:
            if isinstance(fact, RunStarted):
                yield self.start
            elif isinstance(fact, CallStarted):
                yield _asked(fact, settings)
            elif isinstance(fact, Withdrawn) and fact.is_compaction and ignores_compactions:
                left_out.update(fact.into)
            elif isinstance(fact, ItemAdded):
                if fact.item.id not in left_out:
                    yield without_group(fact) if bound is Bound.KNOWS_THE_FUTURE else fact
            elif not (isinstance(fact, CacheLost) and settings.ignores_cache_losses):
                yield fact

    def _is_skipped(self, session: Session, fact: Fact) -> bool:
        try:
            session.feed(fact)
        except SourceError:  # such as an item that another policy had already dropped
            if isinstance(fact, CallStarted):
                raise  # a call is never left out: it would cost nothing
            return True
        return False

    def _world(self) -> tuple[Answer, list[Listener]]:
        """Return who answers effects: by their texts what has some."""
        sizes = self.sizes
        if not self.run.has_texts:
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
        held = Held(self.run.library, self._words, self._store_of)
        shortener = Shortener(self.texts, scaled_sizer(samples), self._store_of, held=held)

        def answer(effect: Effect) -> Answered:
            has_texts = isinstance(effect, Review) or all(
                self._words(effect.thread, self._store_of(effect.thread)[name]) is not None
                for name in effect.items
            )
            return shortener.answer(effect) if has_texts else sizes.answer(effect)

        return answer, [sizes, held]

    def _store_of(self, thread: str) -> Store:
        return self.engine.state.threads[thread].store

    def _words(self, thread: str, item: Item) -> str | None:
        block = self.texts.find(thread, item.id, item.version)
        return None if block is None else text_to_shorten(block)

    def _show(self, event: Event) -> None:
        if isinstance(event, CallSent) and self.prompts is not None:
            thread = event.thread
            self.prompts.sent(
                event, iter(self._store_of(thread)), lambda item: self._words(thread, item)
            )


def _start(run: RecordedRun, policy: LoadedPolicy, settings: Settings) -> RunStarted:
    recorded, other = run.start, settings.model
    prices: Mapping[str, Price] = recorded.prices
    caches: Mapping[str, Cache] = recorded.caches
    if other is not None:
        prices = {} if other.price is None else {other.name: other.price}
        caches = {other.name: other.cache}
    models = {fact.model for fact in run.facts if isinstance(fact, CallStarted)}
    models = models if other is None else {other.name}
    if settings.price is not None:
        prices = dict.fromkeys(models, settings.price)
        caches = {one: priced(caches.get(one, Cache()), settings.price) for one in models}
    if policy.bound is Bound.KNOWS_THE_FUTURE:
        # No change costs it a rewrite: what the last call carried is read wherever it stands.
        caches = {one: replace(caches.get(one, Cache()), reads_anywhere=True) for one in models}
    return replace(
        recorded,
        policy=policy.as_recorded,
        scale=settings.scale(recorded.scale),
        prices=prices,
        caches=caches,
        model=recorded.model if other is None else other.name,
        holds_limit=policy.bound is None,
        reviews=False,
        money=(),
    )


def _asked(call: CallStarted, settings: Settings) -> CallStarted:
    """Return a call as it is asked under the settings."""
    ttl_s = call.ttl_s if settings.ttl_s is None else settings.ttl_s
    model = call.model if settings.model is None else settings.model.name
    return replace(call, ttl_s=ttl_s, model=model)
