"""A recorded session of another program as a run that can be replayed.

A file is read as lines, which a reader of its format turns into exchanges; `facts` makes records of
them, as a journal holds, and `replay` takes these as it takes those of a live run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from ctxbudget.core.errors import AdapterError, SourceError
from ctxbudget.core.events import RunStarted
from ctxbudget.core.types import Scale
from ctxbudget.providers.models import window_tokens
from ctxbudget.providers.prices import cache_of
from ctxbudget.recorded.files import opened
from ctxbudget.recorded.formats import READ, RefusedError, recognized
from ctxbudget.recorded.lines import unpacked
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay.cache_facts import add_cache_facts
from ctxbudget.replay.recorded_run import RecordedRun, recorded_run
from ctxbudget.transcripts.exchange import Exchange
from ctxbudget.transcripts.facts import Facts, Prediction
from ctxbudget.transcripts.formats import exchanges as exchanges_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """A session, and how far its prompts could be rebuilt.

    Attributes:
        predictions: of the size of each prompt but the first, one call ahead.
        unseen_tokens: came in after the first call without being shown in the log.
        window_from: where the window is from, in words.
        unpriced: models whose price is not known.
    """

    run: RecordedRun
    predictions: tuple[Prediction, ...]
    unseen_tokens: int
    window_from: str
    unpriced: tuple[str, ...] = ()


def read_session(
    file: RecordedFile, prices: PriceBook, agent: str | None = None
) -> RecordedSession:
    """Return the session in a file: its main thread, or a sub-agent's that it records.

    What cannot be read of it is told to `file`.

    Raises:
        SourceError: it cannot be opened, is of no format that is read, or holds no call.
    """
    try:
        with opened(file.file) as stream:
            found = recognized(unpacked(stream), file)
            return recorded_session(exchanges_of(found, file, agent), file, prices, agent)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise SourceError(f"{file.file}: {reason}; check the path") from None
    except AdapterError as error:  # a number too large for JSON, for one
        raise SourceError(f"{file.file}: {error}") from None
    except RefusedError as error:
        step = "" if error.step else f"; name a file that holds {READ}"
        raise SourceError(f"{file.file}: {error}{step}") from None


def recorded_session(
    exchanges: Iterable[Exchange],
    file: RecordedFile,
    prices: PriceBook,
    agent: str | None = None,
) -> RecordedSession:
    """Return a session from its exchanges, its calls priced at their dates.

    The window is the recorded one or else the largest of the models', at least the largest recorded
    prompt; all of it is budget.

    Raises:
        SourceError: it holds no call.
    """
    facts = Facts(file.file)
    records = iter(facts.records(exchanges))
    first = next(records, None)
    if not isinstance(first, RunStarted):
        raise SourceError(_no_call(file.file, agent))
    run = recorded_run(chain([first], records), file.file, prices)
    dates = _first_calls(run)
    window, window_from = _window(file, dates, facts.largest_prompt_tokens)
    found = {model: prices(model, at_s) for model, at_s in dates.items()}
    run.start = replace(
        run.start,
        scale=Scale(window_tokens=window, reserve_tokens=0, budget_tokens=window),
        prices={model: price for model, price in found.items() if price is not None},
        caches={model: cache_of(model) for model in dates},
        model=next(iter(dates), ""),
    )
    run.facts[0] = run.start
    add_cache_facts(run)
    return RecordedSession(
        run=run,
        predictions=tuple(facts.predictions),
        unseen_tokens=facts.unseen_tokens,
        window_from=window_from,
        unpriced=tuple(model for model, price in found.items() if price is None),
    )


def _window(file: RecordedFile, models: Iterable[str], largest_tokens: int) -> tuple[int, str]:
    """Return the window of a session and where it is from."""
    if file.window_tokens is not None and file.window_tokens >= largest_tokens:
        return file.window_tokens, "recorded"
    windows = [window_tokens(model) or 0 for model in models if model]
    listed = max(windows, default=0)
    if listed >= largest_tokens:
        return listed, "the model's; the session may have run in a smaller one"
    return largest_tokens, "the largest recorded prompt; the model's is smaller or not known"


def _no_call(file: str, agent: str | None) -> str:
    if agent is None:
        return f"{file}: holds no call to a model; name a session that does"
    return f"{file}: holds no call of a sub-agent {agent!r}; `ctxbudget audit {file}` lists them"


def _first_calls(run: RecordedRun) -> dict[str, float | None]:
    """Return when each model was first called; None where no times are recorded."""
    found: dict[str, float | None] = {}
    for answer in run.answers.values():
        found.setdefault(answer.model, answer.at or None)
    return found
