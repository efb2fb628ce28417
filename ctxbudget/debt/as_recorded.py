"""A recorded run as it was: what each call cost, and which calls carried which item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate

from ctxbudget.core.engine import Engine
from ctxbudget.core.errors import SourceError
from ctxbudget.core.events import (
    Answered,
    CallSent,
    CallStarted,
    Effect,
    Event,
    Fact,
    ItemAdded,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.policy import RulePolicy
from ctxbudget.core.pricing import input_usd
from ctxbudget.core.types import Item, Price
from ctxbudget.history import History
from ctxbudget.replay.recorded_run import RecordedRun
from ctxbudget.session import Listener, Session

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the session, by the cache model.

    Attributes:
        price: of the model at that time; None if it is not known.
        gap_s: since the call before it on the same model; None if there was none.
    """

    sent: CallSent
    price: Price | None
    gap_s: float | None

    @property
    def usd(self) -> Decimal | None:
        """What its input cost."""
        return None if self.price is None else input_usd(self.sent, self.price)


@dataclass(slots=True, kw_only=True)
class Stay:
    """An item in the prompt, from the first call that carried it to the last.

    Attributes:
        text: the hash of its text, where that is known.
        first_call, last_call: 1-based; with `last_call` before `first_call` no call carried it.
        is_gone: whether it was taken out, by a rewind, an edit or a compaction.
    """

    item: Item
    text: str | None
    first_call: int
    last_call: int = 0
    is_gone: bool = False

    @property
    def calls(self) -> int:
        """How many calls carried it."""
        return max(0, self.last_call - self.first_call + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a compaction of the host took out; `next_call` is the first one after it."""

    stays: tuple[Stay, ...]
    into: tuple[str, ...]
    next_call: int


@dataclass(slots=True, kw_only=True)
class AsRecorded:
    """A session's main thread under no policy.

    Attributes:
        calls: in order.
        stays: in the order in which the items came.
        compactions: the host's own.
        history: who paid for being carried.
    """

    calls: list[Call] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    compactions: list[Taken] = field(default_factory=list)
    history: History = field(default_factory=History)
    _usd_per_token: list[Decimal] | None = field(default_factory=list)
    """What a token cost that all calls up to one carried, by that call's number."""

    @property
    def input_usd(self) -> Decimal | None:
        """What all calls' input cost; None if a price is not known."""
        amounts = [call.usd for call in self.calls]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal(0)) if len(known) == len(amounts) else None

    def carried_usd(self, tokens: int, first_call: int, last_call: int) -> Decimal | None:
        """Return what tokens cost from one call to another: their share of each call's input cost.

        None if a price is not known.
        """
        if self._usd_per_token is None:
            return None
        if last_call < first_call:
            return Decimal(0)
        return tokens * (self._usd_per_token[last_call] - self._usd_per_token[first_call - 1])

    def settle(self) -> None:
        """Close what still stands, once all calls are known."""
        for stay in self.stays:
            if not stay.is_gone:
                stay.last_call = len(self.calls)
        rates = [
            call.usd / call.sent.tokens if call.usd is not None and call.sent.tokens else call.usd
            for call in self.calls
        ]
        known = [rate for rate in rates if rate is not None]
        is_known = len(known) == len(rates)
        self._usd_per_token = list(accumulate(known, initial=Decimal(0))) if is_known else None


def as_recorded(run: RecordedRun) -> AsRecorded:
    """Return a run of another program as it was, by what the log shows."""
    found = AsRecorded()
    _feed(run.facts, [found.history, _Listener(found)])
    found.settle()
    return found


def reads_of_a_lasting_cache(run: RecordedRun) -> list[int]:
    """Return how many tokens each call would have read from a cache that never expires."""
    found: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, CallSent):
            found.append(event.cache_read_tokens)

    _feed(_lasting(run), [note])
    return found


def _lasting(run: RecordedRun) -> Iterator[Fact]:
    for fact in run.facts:
        yield replace(fact, ttl_s=float("inf")) if isinstance(fact, CallStarted) else fact


def _feed(facts: Iterator[Fact] | list[Fact], listeners: list[Listener]) -> None:
    engine = Engine(RulePolicy(name=NONE, rules=()))
    session = Session(engine, _nobody_answers, listeners)
    for fact in facts:
        session.feed(replace(fact, holds_limit=False) if isinstance(fact, RunStarted) else fact)


def _nobody_answers(effect: Effect) -> Answered:
    raise SourceError(f"nothing is pruned here, so nobody asks for {effect}")


class _Listener:
    """Fills what is known of a run as it was."""

    def __init__(self, found: AsRecorded) -> None:
        self._found = found
        self._here: dict[str, Stay] = {}
        self._prices: Mapping[str, Price] = {}
        self._last_at_s: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._prices = event.prices
            case ItemAdded():
                self._added(event)
            case Withdrawn():
                self._withdrawn(event)
            case CallSent():
                self._sent(event)
            case _:
                pass

    def _added(self, event: ItemAdded) -> None:
        first_call = len(self._found.calls) + 1
        stay = Stay(item=event.item, text=event.text, first_call=first_call)
        self._here[event.item.id] = stay
        self._found.stays.append(stay)

    def _withdrawn(self, event: Withdrawn) -> None:
        calls = len(self._found.calls)
        gone = [self._here.pop(name) for name in event.items if name in self._here]
        for stay in gone:
            stay.last_call, stay.is_gone = calls, True
        if event.is_compaction:
            taken = Taken(stays=tuple(gone), into=event.into, next_call=calls + 1)
            self._found.compactions.append(taken)

    def _sent(self, event: CallSent) -> None:
        last_at_s = self._last_at_s.get(event.model)
        self._last_at_s[event.model] = event.at
        gap_s = None if last_at_s is None else event.at - last_at_s
        price = self._prices.get(event.model)
        self._found.calls.append(Call(sent=event, price=price, gap_s=gap_s))
