"""From exchanges to the records of a journal: the facts that a live run would have brought.

The sum of the items at each call is the prompt that the provider counted. What the log does not
show is an item without a text: the hidden prefix, and what came in unseen later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Final, TypeAlias

from ctxbudget.core.events import (
    CallAnswered,
    CallSent,
    CallStarted,
    Fact,
    ItemAdded,
    Phase,
    PhaseStarted,
    RunStarted,
    Withdrawn,
)
from ctxbudget.core.types import Item, Kind, Layer, Scale
from ctxbudget.journal import TextLine, content_hash
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.sizes import (
    LEAST_SHARE,
    MOST_SHARE,
    SLACK_TOKENS,
    Estimator,
    Expected,
    is_plausible,
)

Record: TypeAlias = Fact | CallSent | TextLine

PHASE: Final = "session"
"""The one phase of a recorded session."""

PREFIX: Final = "prefix"
"""The item of what stood ahead of everything that the log shows: system prompt and tools."""

UNSEEN: Final = "unseen"
"""Begins the names of items that came in later without being shown."""

LEAST_ATTACHED_FRAC: Final = 0.3
"""Of what is expected of something attached: with less room, it did not reach the prompt."""

LEAST_PREFIX_FRAC: Final = 0.02
"""Of the first prompt: less than that is taken for a wrong estimate of what is visible."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A prompt as the provider counted it, and as it was expected one call ahead."""

    tokens: int
    expected_tokens: int
    uncalibrated_tokens: int
    """By o200k as it is, of the visible text alone."""


@dataclass(slots=True)
class _Step:
    """What a call's prompt gains against the one before, as far as it is settled."""

    gone: set[str]
    kept_tokens: int
    """Of the prompt before, without what is gone."""
    wrote: Expected
    """Of what the model wrote, what stays."""
    came: Expected
    attached: Expected
    """Came in perhaps: the log does not say whether it reached the prompt."""
    is_known: bool
    """Whether the size of what the model wrote is the provider's."""
    sizes: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    unseen_tokens: int = 0
    """Came in, and the log does not show what."""
    prefix_change_tokens: int = 0
    """By how much the hidden prefix became longer."""


class Facts:
    """Makes the records of one recorded thread.

    Attributes:
        predictions: of each call but the first.
        unseen_tokens: came in over the session without being shown.
        largest_prompt_tokens: by the provider's count.
    """

    def __init__(self, name: str, estimator: Estimator | None = None) -> None:
        self.predictions: list[Prediction] = []
        self.unseen_tokens = 0
        self.largest_prompt_tokens = 0
        self._name = name
        self._estimator = estimator or Estimator()
        self._present: dict[str, Item] = {}
        self._tokens = 0
        """Of all that is present."""
        self._open_calls: Counter[str] = Counter()
        """Tool calls that are present, by group."""
        self._last: Exchange | None = None
        self._calls = 0
        self._ttl_s: float | None = None
        self._unseen = 0
        self._has_goal = False
        self._texts: set[str] = set()

    def records(self, exchanges: Iterable[Exchange]) -> Iterator[Record]:
        """Yield the records of a thread, as its exchanges come."""
        for exchange in exchanges:
            if self._last is None:
                yield _start(self._name, exchange.at_s)
                yield PhaseStarted(at=exchange.at_s, phase=PHASE)
                yield from self._first(exchange)
            else:
                yield from self._next(exchange, self._last)
            yield from self._call(exchange)
            self._last = exchange
        if self._last is not None:
            last = self._last
            known = last.tokens.output_tokens if last.output_is_known else None
            expected = self._estimator.expect_answer(last.wrote, last.model, known)
            sizes = {name: size.tokens for name, size in expected.sizes.items()}
            yield from self._add(last.wrote, sizes, last.at_s)

    # ---- what comes before a call

    def _first(self, exchange: Exchange) -> Iterator[Record]:
        """Yield what stood in the first prompt; what is not visible of it is the prefix."""
        prompt_tokens = exchange.tokens.prompt_tokens
        visible = self._estimator.expect(exchange.came, exchange.model)
        prefix = prompt_tokens - visible.tokens
        if prefix < LEAST_PREFIX_FRAC * prompt_tokens:
            prefix = 0
        else:
            yield self._put(_hidden(PREFIX, prefix, Layer.PERMANENT), exchange.at_s)
        yield from self._add(exchange.came, visible.share(prompt_tokens - prefix), exchange.at_s)

    def _next(self, exchange: Exchange, last: Exchange) -> Iterator[Record]:
        """Yield what changed between two calls."""
        exchange = self._with_unseen(exchange)
        step = self._expected(exchange, last)
        self._predict(exchange, last, step)
        self._settle(step, exchange)
        at_s, unseen = exchange.at_s, self._unseen_item(step)
        yield from self._add(last.wrote, step.sizes, last.at_s)
        yield from self._withdraw(exchange.left, at_s)
        if exchange.compacted:
            arrived = (name for name in exchange.stand_ins if name in step.sizes)
            into = (*arrived, *((unseen.id,) if unseen is not None else ()))
            yield from self._withdraw(exchange.compacted, at_s, is_compaction=True, into=into)
        yield from self._withdraw(step.left, at_s)
        if step.prefix_change_tokens:
            yield from self._change_prefix(step.prefix_change_tokens, at_s)
        if unseen is not None:
            yield self._put(unseen, at_s)
        came = [part for part in exchange.came if part.id in step.sizes]
        yield from self._add(came, step.sizes, at_s)

    def _expected(self, exchange: Exchange, last: Exchange) -> _Step:
        """Return what is expected of a step, before its prompt's size is looked at."""
        known = last.tokens.output_tokens if last.output_is_known else None
        gone = {*exchange.left, *exchange.compacted}
        wrote = self._estimator.expect_answer(last.wrote, last.model, known)
        attached = [part for part in exchange.came if _is_attached(part)]
        others = [part for part in exchange.came if not _is_attached(part)]
        return _Step(
            gone=gone,
            kept_tokens=self._tokens - sum(self._present[one].tokens for one in self._here(gone)),
            wrote=Expected({one: size for one, size in wrote.sizes.items() if one not in gone}),
            came=self._estimator.expect(others, exchange.model),
            attached=self._estimator.expect(attached, exchange.model),
            is_known=known is not None,
            sizes={name: size.tokens for name, size in wrote.sizes.items()},
        )

    def _with_unseen(self, exchange: Exchange) -> Exchange:
        """Return an exchange in which what came in unseen goes with all that stood behind it."""
        gone, unseen, goes = {*exchange.left, *exchange.compacted}, list[str](), False
        for name in reversed(self._present):
            if name.startswith(UNSEEN):
                unseen += (name,) if goes else ()
            elif name not in gone:
                break
            goes = goes or name in gone
        if exchange.compacted:
            return replace(exchange, compacted=(*exchange.compacted, *unseen))
        return replace(exchange, left=(*exchange.left, *unseen))

    def _predict(self, exchange: Exchange, last: Exchange, step: _Step) -> None:
        base = step.kept_tokens
        stays = [part for part in last.wrote if part.id in step.wrote.sizes]
        plain = self._estimator.expect(stays, last.model).counted_tokens
        self.predictions.append(
            Prediction(
                tokens=exchange.tokens.prompt_tokens,
                expected_tokens=base + step.wrote.tokens + step.came.tokens + step.attached.tokens,
                uncalibrated_tokens=base
                + plain
                + step.came.counted_tokens
                + step.attached.counted_tokens,
            )
        )

    def _settle(self, step: _Step, exchange: Exchange) -> None:
        """Share out what the prompt gained, and find what went or came without being shown."""
        kept_tokens = step.kept_tokens
        gain = exchange.tokens.prompt_tokens - kept_tokens
        is_changed = exchange.tokens.cache_read_tokens < kept_tokens - SLACK_TOKENS
        expected = step.wrote.tokens + step.came.tokens
        is_short = gain < expected and not is_plausible(gain, expected)
        if gain < 0 or (is_changed and is_short):
            gain += self._take_away(step, exchange, gain, expected)
        news, rest = step.came, gain - step.wrote.tokens
        is_whole = rest >= max(0, LEAST_SHARE * news.tokens - SLACK_TOKENS)
        if not step.is_known or not is_whole:
            news, rest = news.beside(step.wrote), gain  # the answer did not stay as a whole
        attached = min(max(0, rest - news.tokens), int(MOST_SHARE * step.attached.tokens))
        if attached < LEAST_ATTACHED_FRAC * step.attached.tokens:
            attached = 0  # then it did not reach the prompt
        rest -= attached
        if rest > news.tokens and not (news.sizes and is_plausible(rest, news.tokens)):
            self._came_unseen(step, exchange, rest - news.tokens)
            rest = news.tokens
        elif not exchange.compacted and rest > 0:
            self._estimator.learn(news, rest, exchange.model)
        step.sizes |= news.share(rest)
        if attached:
            step.sizes |= step.attached.share(attached)
        step.prefix_change_tokens -= max(0, -rest)
        self.unseen_tokens += step.unseen_tokens

    def _came_unseen(self, step: _Step, exchange: Exchange, tokens: int) -> None:
        """Give what came without being shown a place: another model has another prefix."""
        prefix = self._present.get(PREFIX)
        is_switch = self._last is not None and self._last.model != exchange.model
        is_cold = prefix is not None and exchange.tokens.cache_read_tokens < prefix.tokens
        if is_switch and is_cold:
            step.prefix_change_tokens = tokens
        else:
            step.unseen_tokens = tokens

    def _take_away(self, step: _Step, exchange: Exchange, gain: int, expected: int) -> int:
        """Find what left without being shown; return its tokens.

        Programs drop the thinking of earlier turns. Otherwise what the cache read says where the
        prompt changed: what stands behind is taken, the oldest first; if it is the prefix, that
        became shorter.
        """
        read_tokens, deficit = exchange.tokens.cache_read_tokens, expected - gain
        kept = [item for name, item in self._present.items() if name not in step.gone]
        behind = _behind(kept, read_tokens)
        thoughts = [item for item in behind if item.kind is Kind.THINKING]
        prefix = self._present.get(PREFIX)
        is_in_prefix = prefix is not None and read_tokens < prefix.tokens
        if sum(item.tokens for item in thoughts) >= LEAST_SHARE * deficit:
            taken = list(_up_to(deficit, thoughts))
        elif is_in_prefix and prefix and deficit < LEAST_SHARE * prefix.tokens:
            step.prefix_change_tokens = -deficit
            return deficit
        else:
            taken = list(_up_to(deficit, behind))
        # In any case as much as the prompt is shorter than what is kept of it.
        missing = -gain - sum(item.tokens for item in taken)
        names = {item.id for item in taken}
        taken += _up_to(missing, [item for item in behind if item.id not in names])
        step.left = [item.id for item in taken]
        return sum(item.tokens for item in taken)

    # ---- items and calls

    def _change_prefix(self, tokens: int, at_s: float) -> Iterator[Record]:
        """Yield that the hidden prefix became longer or shorter: a new version stands there."""
        old = self._take(PREFIX)
        if old is None:
            return
        yield Withdrawn(at=at_s, items=(PREFIX,))
        new = replace(old, tokens=max(0, old.tokens + tokens), version=old.version + 1)
        yield self._put(new, at_s)
        self._present = {PREFIX: self._present.pop(PREFIX), **self._present}

    def _unseen_item(self, step: _Step) -> Item | None:
        if not step.unseen_tokens:
            return None
        self._unseen += 1
        return _hidden(f"{UNSEEN}{self._unseen}", step.unseen_tokens, Layer.TRANSIENT)

    def _add(self, parts: Iterable[Part], sizes: dict[str, int], at_s: float) -> Iterator[Record]:
        for part in parts:
            block = dict(part.block)
            text = content_hash(block)
            if text not in self._texts:
                self._texts.add(text)
                yield TextLine(hash=text, content=block)
            yield self._put(self._item(part, sizes[part.id]), at_s, text)

    def _item(self, part: Part, tokens: int) -> Item:
        kind, group = part.kind, part.group
        if kind is Kind.USER and not self._has_goal:
            # What the program itself put in is not what the user wants.
            kind = Kind.SYSTEM if part.is_injected else Kind.USER
            self._has_goal = not part.is_injected
        if kind is Kind.TOOL_RESULT and not self._is_called(group):
            group = None
        is_base = kind is Kind.SYSTEM and not part.is_injected
        return Item(
            id=part.id,
            tokens=tokens,
            kind=kind,
            layer=Layer.PERMANENT if is_base else Layer.TRANSIENT,
            phase=PHASE,
            group=group,
            tool=part.tool,
            source=part.source,
        )

    def _is_called(self, group: str | None) -> bool:
        return group is not None and self._open_calls[group] > 0

    def _here(self, names: Iterable[str]) -> Iterator[str]:
        return (name for name in names if name in self._present)

    def _put(self, item: Item, at_s: float, text: str | None = None) -> ItemAdded:
        self._present[item.id] = item
        self._count(item, 1)
        return ItemAdded(at=at_s, item=item, text=text)

    def _take(self, name: str) -> Item | None:
        item = self._present.pop(name, None)
        if item is not None:
            self._count(item, -1)
        return item

    def _count(self, item: Item, times: int) -> None:
        self._tokens += times * item.tokens
        if item.kind is Kind.TOOL_CALL and item.group is not None:
            self._open_calls[item.group] += times

    def _withdraw(
        self,
        names: Iterable[str],
        at_s: float,
        *,
        is_compaction: bool = False,
        into: tuple[str, ...] = (),
    ) -> Iterator[Record]:
        gone = tuple(name for name in names if self._take(name) is not None)
        if gone:
            yield Withdrawn(at=at_s, items=gone, is_compaction=is_compaction, into=into)
        if is_compaction:
            self._has_goal = any(one.kind is Kind.USER for one in self._present.values())

    def _call(self, exchange: Exchange) -> Iterator[Record]:
        """Yield a call and what the provider said of it."""
        tokens, at_s = exchange.tokens, exchange.at_s
        self._calls += 1
        self.largest_prompt_tokens = max(self.largest_prompt_tokens, tokens.prompt_tokens)
        self._ttl_s = exchange.ttl_s or self._ttl_s
        model = exchange.model
        written = tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens
        yield CallStarted(at=at_s, model=model, ttl_s=self._ttl_s)
        yield CallSent(
            at=at_s,
            call=self._calls,
            tokens=tokens.prompt_tokens,
            cache_read_tokens=tokens.cache_read_tokens,
            cache_write_tokens=written,
            cache_write_1h_tokens=tokens.cache_write_1h_tokens,
            uncached_tokens=tokens.uncached_tokens,
            model=model,
        )
        yield CallAnswered(
            at=at_s,
            uncached_tokens=tokens.uncached_tokens,
            cache_read_tokens=tokens.cache_read_tokens,
            cache_write_tokens=written,
            cache_write_1h_tokens=tokens.cache_write_1h_tokens,
            output_tokens=tokens.output_tokens,
            model=model,
        )


def _start(name: str, at_s: float) -> RunStarted:
    """Return the first fact; its scale is known only at the end, and set then."""
    scale = Scale(window_tokens=1, reserve_tokens=0, budget_tokens=1)
    # How many calls there will be was not known when they were made.
    return RunStarted(at=at_s, workflow=name, scale=scale, phases=(Phase(id=PHASE, calls=0),))


def _hidden(name: str, tokens: int, layer: Layer) -> Item:
    return Item(id=name, tokens=tokens, kind=Kind.SYSTEM, layer=layer, phase=PHASE)


def _behind(items: Sequence[Item], read_tokens: int) -> list[Item]:
    """Return the items that may leave and reach beyond what was read, and what they belong to."""
    ends = accumulate(item.tokens for item in items)
    beyond = {item.id for item, end in zip(items, ends, strict=True) if end > read_tokens}
    groups = {item.group for item in items if item.id in beyond and item.group is not None}
    return [
        item
        for item in items
        if (item.id in beyond or item.group in groups) and item.layer is not Layer.PERMANENT
    ]


def _up_to(tokens: int, items: list[Item]) -> Iterator[Item]:
    """Yield whole groups, the oldest first, until they make up so many tokens."""
    members: dict[str, list[Item]] = {}
    for item in items:
        members.setdefault(item.group or item.id, []).append(item)
    for group in members.values():
        if tokens <= 0:
            return
        yield from group
        tokens -= sum(item.tokens for item in group)


def _is_attached(part: Part) -> bool:
    return part.is_injected and part.kind is Kind.USER
