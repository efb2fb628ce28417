"""Replays recorded sessions under policies, in processes that keep the sessions they have read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeVar

from rent_fit import Data, RowUse, row_reader, rows_of, uses_by_row
from rich.console import Console
from rich.progress import track

from ctxbudget.config.policy_file import load_policy, refuse_impossible
from ctxbudget.config.policy_format import Bound
from ctxbudget.core.errors import BudgetExceededError, ConfigError, SourceError
from ctxbudget.core.events import CallStarted, ItemAdded
from ctxbudget.core.types import Cache, Layer
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.files import opened
from ctxbudget.recorded.lines import parsed_lines, raw_lines, unpacked
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, Settings, WhatIf, what_if
from ctxbudget.replay.validity import Validity
from ctxbudget.transcripts.session import read_session

T = TypeVar("T")

WORKERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of a session before it is replayed.

    Attributes:
        source: its format.
        has_root: whether its beginning is in the file; a slice's is not.
        fixed_tokens: of the permanent items in its first prompt.
        has_all: whether its price and its texts are known.
    """

    path: str
    source: str
    calls: int
    has_root: bool
    fixed_tokens: int
    has_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A policy to replay under.

    Attributes:
        label: how the report calls it.
        policy: as `load_policy` takes it.
        room_tokens: of the window, beyond what is fixed in the first prompt; None is as recorded.
        is_checked: whether each prompt is checked against what providers accept.
        rewrites_are_free: whether the cache is read behind a change, too, which none does.
    """

    label: str
    policy: str | Data
    room_tokens: int | None = None
    is_checked: bool = False
    rewrites_are_free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a policy would have made of a session; costs in shares of `none` without a limit.

    Attributes:
        is_bound: whether it is only a mark to compare with; `none` is, where no limit makes it act.
        recall, quote_recall: None where nothing was used.
        failure: why it could not run; empty if it did, and all numbers are 0 if not.
        checked_prompts, problems: of those that were checked.
    """

    path: str
    label: str
    room_tokens: int | None
    is_bound: bool = False
    cost_frac: float = 0.0
    total_frac: float = 0.0
    recall: float | None = None
    quote_recall: float | None = None
    misses: int = 0
    rewrites: int = 0
    peak_tokens: int = 0
    limit_tokens: int = 0
    failure: str = ""
    checked_prompts: int = 0
    problems: tuple[str, ...] = ()


# ---- in a worker


@cache
def _read(path: str) -> tuple[RecordedFile, RecordedRun]:
    """Return a session; a worker keeps all it has read, and is given the same ones each time."""
    file = RecordedFile(file=path)
    return file, read_session(file, PriceBook(price_of)).run


def described(path: str) -> Described | None:
    """Return what is known of a session; None for a file that cannot be replayed."""
    try:
        file, run = _read(path)
    except SourceError:
        return None
    return Described(
        path=path,
        source=file.source,
        calls=run.calls,
        has_root=_has_root(path),
        fixed_tokens=_fixed_tokens(run),
        has_all=bool(run.cost_usd) and run.has_texts,
    )


def _has_root(path: str) -> bool:
    """Return False if the first line of a conversation names a parent that the file lacks."""
    file = RecordedFile(file=path)
    first_parent: object = None
    names = set[str]()
    with opened(path) as stream:
        for _, line in parsed_lines(raw_lines(unpacked(stream), file), file):
            if "uuid" in line:
                first_parent = first_parent if names else line.get("parentUuid")
                names.add(line["uuid"])
    return first_parent is None or first_parent in names


def _fixed_tokens(run: RecordedRun) -> int:
    found = 0
    for fact in run.facts:
        if isinstance(fact, CallStarted):
            break
        if isinstance(fact, ItemAdded) and fact.item.layer is Layer.PERMANENT:
            found += fact.item.tokens
    return found


def used(path: str, policy: Data) -> tuple[RowUse, ...]:
    """Return what a session's items cost and served, by the rows of a policy."""
    return uses_by_row(_read(path)[1], row_reader(policy), len(rows_of(policy)))


@cache
def _none(path: str) -> WhatIf:
    return what_if(_read(path)[1], load_policy("none"))


def replayed(path: str, asked: Sequence[Asked]) -> list[Outcome]:
    """Return what policies would have made of a session."""
    return [_replayed(path, one) for one in asked]


def _replayed(path: str, asked: Asked) -> Outcome:
    run, loaded = _read(path)[1], load_policy(asked.policy)
    if asked.rewrites_are_free:
        run = _with_free_rewrites(run)
    settings = _settings(run, asked.room_tokens)
    scale = settings.scale(run.start.scale)
    outcome = partial(
        Outcome,
        path=path,
        label=asked.label,
        room_tokens=asked.room_tokens,
        is_bound=loaded.bound is not None or (loaded.name == "none" and not asked.room_tokens),
        limit_tokens=scale.hard_limit_tokens,
    )
    check = Validity(run, scale.hard_limit_tokens) if asked.is_checked else None
    try:
        refuse_impossible(loaded, scale)
        found = what_if(run, loaded, settings, check)
    except BudgetExceededError:
        return outcome(failure="what is fixed does not fit")
    except ConfigError:
        return outcome(failure="its limits make no sense for so small a window")
    _check(found, run, loaded.bound, scale.hard_limit_tokens)
    none_usd = _none(path).cost_usd
    recall = found.recall
    assert recall is not None
    return outcome(
        cost_frac=_ratio(found.cost_usd, none_usd),
        total_frac=_ratio(found.total_cost_usd, none_usd),
        recall=recall.recall,
        quote_recall=recall.quote_recall,
        misses=len(recall.misses),
        rewrites=found.rewrites,
        peak_tokens=found.peak_tokens,
        checked_prompts=0 if check is None else check.prompts,
        problems=() if check is None else tuple(str(one.what) for one in check.problems),
    )


def _with_free_rewrites(run: RecordedRun) -> RecordedRun:
    models = {fact.model for fact in run.facts if isinstance(fact, CallStarted)}
    caches = {one: run.start.caches.get(one, Cache()) for one in models}
    free = {one: replace(cache, reads_anywhere=True) for one, cache in caches.items()}
    return replace(run, start=replace(run.start, caches=free))


def _settings(run: RecordedRun, room_tokens: int | None) -> Settings:
    if room_tokens is None:
        return Settings()
    return Settings(window_tokens=_fixed_tokens(run) + room_tokens, reserve_tokens=0)


def _check(found: WhatIf, run: RecordedRun, bound: Bound | None, limit_tokens: int) -> None:
    """Stop where a number would mean nothing: a call was not sent, or a prompt is too large."""
    calls = found.metrics.run.calls
    if calls != run.calls:
        raise AssertionError(f"{found.policy} sent {calls} calls of {run.calls}")
    if bound is None and found.peak_tokens > limit_tokens:
        raise AssertionError(f"{found.policy} sent {found.peak_tokens} tokens of {limit_tokens}")


def _ratio(usd: Decimal | None, none_usd: Decimal | None) -> float:
    assert usd is not None
    assert none_usd
    return float(usd / none_usd)


# ---- the workers


class Workers:
    """Processes that do the same jobs on many sessions, each session always in the same one.

    What comes out does not depend on how many there are.
    """

    def __init__(self, paths: Sequence[str], workers: int = WORKERS) -> None:
        """Deal out the sessions, the largest files first, each to whom has least."""
        fresh = get_context("spawn")
        self._pools = [ProcessPoolExecutor(max_workers=1, mp_context=fresh) for _ in range(workers)]
        self._place: dict[str, int] = {}
        loads = [0] * workers
        sizes = {path: Path(path).stat().st_size for path in paths}
        for path in sorted(paths, key=lambda path: (-sizes[path], path)):
            place = loads.index(min(loads))
            self._place[path] = place
            loads[place] += sizes[path]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def each(
        self, job: Callable[..., T], arguments: Mapping[str, Mapping[str, Any]], what: str
    ) -> Iterator[tuple[str, T]]:
        """Yield the sessions' paths in order, with what the job returns for each.

        Each has arguments of its own; the progress is shown under what is being done.
        """
        asked = [
            (path, self._pools[self._place[path]].submit(job, path, **own))
            for path, own in arguments.items()
        ]
        for path, future in track(asked, what, console=Console(stderr=True)):
            yield path, future.result()
