"""How a run begins, or is taken up again: the arguments that every kind of run shares."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.counting.counters import Counter
from ctxbudget.journal import Fsync
from ctxbudget.live.parts import Options, Parts, take_up
from ctxbudget.live.prompt import DEFAULT_MARKS, CacheMarks
from ctxbudget.live.setup import Clock, MoneyLike, PolicyLike, live_setup
from ctxbudget.live.shortening import ReviewHook, Summarize
from ctxbudget.redact import redact as redact_secrets
from ctxbudget.session import Listener


class ResumeOptions(TypedDict, total=False):
    """What a run is given each time it is begun or taken up."""

    model: str
    """Sets the window, the counter's factor, prices and cache."""
    counter: str | Counter | None
    """`calibrated` (default), `o200k_base`, `heuristic`, `chars`, or a counter of your own."""
    fsync: Fsync | str
    """When to wait for the disk: `never`, `phase` (default) or `always`."""
    listeners: Sequence[Listener]
    """Hear every event."""
    summarize: Summarize | None
    """Writes summaries; without, digests take their place."""
    review: ReviewHook | None
    """Says whether a plan may be carried out: True, False, or the reason why not."""
    redact: Callable[[str], str] | None
    """Takes secrets out of what is journaled and summarized (default); None leaves them."""
    marks: CacheMarks | None
    """Lifetimes of cache marks for Anthropic: an hour for the head, five minutes for the rest,
    unless set; None sets none."""
    clock: Clock
    """Seconds; `time.time` unless set."""


class OpenOptions(ResumeOptions, total=False):
    """What a run is given when it begins."""

    name: str
    """What reports call the run."""
    window_tokens: int | None
    """The most the model accepts; by the model unless given."""
    reserve_tokens: int
    """Kept free for the answer."""
    budget: int | str | None
    """Input tokens allowed: a number, or `"30%"` of the window; the hard limit unless given."""
    phases: Sequence[str | Mapping[str, Any]] | None
    """Names of phases, each after the one before, or mappings as in a workflow file."""
    policy: PolicyLike | None
    """Name, file, content, or function of a policy."""
    allocator: str | None
    """fixed, dynamic, reserve, or `package.module:attribute`."""
    journal: str | PathLike[str] | None
    """File to which each event is written at once."""
    keeps_texts: bool
    """Whether the journal holds texts (default); without, the run cannot be resumed."""
    budget_usd: MoneyLike | None
    """US dollars for the run, or for each phase; no call is made beyond."""
    strips_thinking: bool | None
    """Whether thinking behind an edit leaves the prompt; by default for Claude."""


def begin(workflow: str | PathLike[str] | None, given: OpenOptions) -> Parts:
    """Return a new run, its journal begun; its first fact has still to be fed.

    Raises:
        ConfigError: a file or an argument is wrong.
        JournalError: the journal cannot be written, or is there already.
    """
    _check(given, OpenOptions)
    clock = given.get("clock", time.time)
    setup = live_setup(
        workflow,
        name=given.get("name"),
        model=given.get("model", ""),
        window_tokens=given.get("window_tokens"),
        reserve_tokens=given.get("reserve_tokens", 0),
        budget=given.get("budget"),
        phases=given.get("phases"),
        policy=given.get("policy"),
        allocator=given.get("allocator"),
        budget_usd=given.get("budget_usd"),
        strips_thinking=given.get("strips_thinking"),
        reviews=given.get("review") is not None,
        at=clock(),
    )
    model = given.get("model") or setup.loaded.workflow.model or ""
    options = _options(
        given, model, given.get("journal"), keeps_texts=given.get("keeps_texts", True)
    )
    parts = Parts(setup.start, options, setup)
    if setup.window_is_assumed:
        window = setup.start.scale.window_tokens
        of = f"of {model!r} is not known" if model else "was not given, nor a model"
        parts.watchman.notes.append(
            f"the window {of}: {window:,} tokens are assumed; set `window_tokens`"
        )
    parts.open_journal()
    return parts


def resume(journal: str | PathLike[str], given: ResumeOptions) -> tuple[Parts, str | None]:
    """Return a run as its journal left it, and what a crash had cut off.

    Raises:
        JournalError: the journal cannot be read or written, or holds no texts.
    """
    _check(given, ResumeOptions)
    return take_up(_options(given, given.get("model", ""), journal, keeps_texts=True))


_FUNCTIONS = ("summarize", "review", "redact", "clock")
_FLAGS = ("keeps_texts", "strips_thinking")


def _check(given: OpenOptions | ResumeOptions, known: type) -> None:
    """Check that options have known names, and values that could be meant.

    Raises:
        ConfigError: names the option, what was found, and what is allowed.
    """
    names = set(known.__annotations__)
    for base in known.__mro__:
        names |= set(getattr(base, "__annotations__", ()))
    for name, value in given.items():
        if name not in names:
            raise ConfigError(
                f"there is no such argument; {near_misses(name, names)}", location=(name,)
            )
        wanted = _wanted(name, value)
        if wanted:
            found = f"{str(value)[:60]!r}" if isinstance(value, str) else str(value)[:60]
            raise ConfigError(f"expected {wanted}, found {found}", location=(name,))


def _wanted(name: str, value: object) -> str:
    """Return what an option should be, if its value is not that."""
    if name in _FUNCTIONS and value is not None and not callable(value):
        return "a function"
    if name in _FLAGS and not isinstance(value, bool | None):
        return "True or False"
    if name == "marks" and not isinstance(value, CacheMarks | None):
        return "CacheMarks or None"
    if name == "listeners":
        is_list = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        if not is_list or not all(callable(one) for one in value):  # type: ignore[attr-defined]
            return "a list of functions"
    return ""


def _fsync(name: Fsync | str) -> Fsync:
    try:
        return Fsync(name)
    except ValueError:
        raise ConfigError(
            f"expected one of: {', '.join(Fsync)}, found {name!r}", location=("fsync",)
        ) from None


def _options(
    given: ResumeOptions, model: str, journal: str | PathLike[str] | None, *, keeps_texts: bool
) -> Options:
    return Options(
        model=model,
        counter=given.get("counter"),
        journal=journal,
        fsync=_fsync(given.get("fsync", Fsync.PHASE)),
        keeps_texts=keeps_texts,
        listeners=given.get("listeners", ()),
        summarize=given.get("summarize"),
        review=given.get("review"),
        redact=given.get("redact", redact_secrets),
        marks=given.get("marks", DEFAULT_MARKS),
        clock=given.get("clock", time.time),
    )
