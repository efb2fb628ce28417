"""What `ctxbudget replay` does once its options are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import click

from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.html_file import check_html, write_html
from ctxbudget.cli.journal_view import note, read_into
from ctxbudget.cli.output import console, print_json
from ctxbudget.config.fields import tokens_option
from ctxbudget.config.policy_file import (
    LoadedPolicy,
    load_policy,
    policy_from_data,
    refuse_impossible,
)
from ctxbudget.core.errors import BudgetExceededError, ConfigError, PolicyError, SourceError
from ctxbudget.core.events import Event
from ctxbudget.core.types import Price
from ctxbudget.journal import TextLine
from ctxbudget.journal.reading import is_journal
from ctxbudget.prices import cache_of, price_date, price_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.replay import RecordedRun, Settings, WhatIf, recorded_run, what_if
from ctxbudget.replay.prompt_files import PromptFiles, prompt_files
from ctxbudget.replay.what_if import OtherModel
from ctxbudget.report.drawn import Drawing, listeners
from ctxbudget.report.replayed import Replayed
from ctxbudget.transcripts.session import RecordedSession, read_session

NONE: Final = "none"
BOUNDS: Final = ("unbounded", "clairvoyant")

_TTLS_S: Final = {"5m": 300.0, "1h": 3600.0}


def run(
    *,
    session: str,
    policies: tuple[str, ...],
    agent: str | None,
    window: str | None,
    reserve: str | None,
    budget: str | None,
    ttl: str | None,
    model: str | None,
    price: str | None,
    ignore_compactions: bool,
    misses: bool,
    prompts: str | None,
    html: Path | None,
    as_machine: bool,
    as_markdown: bool,
) -> None:
    """Replay and print."""
    check_one_form(as_machine=as_machine, as_markdown=as_markdown)
    check_html(html)
    drawing = Drawing(assumes_summaries=True) if html is not None else None
    settings = Settings(
        window_tokens=None if window is None else tokens_option(window, "--window"),
        reserve_tokens=None if reserve is None else tokens_option(reserve, "--reserve"),
        budget_tokens=None if budget is None else tokens_option(budget, "--budget"),
        ttl_s=None if ttl is None else _ttl(ttl),
        model=None
        if model is None
        else _other_model(_named_model(model), is_priced=price is not None),
        price=None if price is None else _price(price),
        ignores_compactions=ignore_compactions,
    )
    if prompts == "":
        raise ConfigError("expected a folder, found nothing", location=("--prompts",))
    recorded, read = _read(session, agent)
    _check_scale(recorded, settings)
    chosen = _chosen(recorded, policies)
    with _files(prompts, recorded) as files:
        found = list(_replays(recorded, chosen, settings, files, drawing))
    _tell_unpriced(read, settings)
    is_as_recorded = read is not None and settings == Settings()
    replayed = Replayed(
        file=session,
        run=recorded,
        session=read,
        found=found,
        none_without_losses=_without_losses(recorded) if is_as_recorded else None,
        price_date=price_date(),
        settings=settings,
    )
    if html is not None and drawing is not None:
        from ctxbudget.report.html.of_replay import replayed_page

        write_html(html, replayed_page(replayed, drawing))
    if as_machine:
        from ctxbudget.report.what_if_json import replayed_as_data

        print_json(replayed_as_data(replayed, misses=misses))
    elif as_markdown:
        from ctxbudget.report.run_markdown import replayed_markdown

        click.echo(replayed_markdown(replayed))
    else:
        from ctxbudget.report.what_if_terminal import print_replayed

        print_replayed(console(), replayed, misses=misses)


# ---- the session


def _read(name: str, agent: str | None) -> tuple[RecordedRun, RecordedSession | None]:
    """Return a session's run, and how well it could be rebuilt if it is not one of ours."""
    if is_journal(Path(name)):
        if agent is not None:
            raise ConfigError(
                "a journal is replayed with all its agents; leave --agent out",
                location=("--agent",),
            )
        records: list[Event | TextLine] = []
        read_into(Path(name), [records.append], on_text=records.append)
        return recorded_run(records, name), None
    if os.path.isdir(name):
        raise SourceError(f"{name}: is a directory; name one session file in it")
    file = RecordedFile(file=name)
    found = read_session(file, PriceBook(price_of), agent)
    _tell(file)
    return found.run, found


def _tell_unpriced(read: RecordedSession | None, settings: Settings) -> None:
    if read is not None and read.unpriced and settings.model is None and settings.price is None:
        names = ", ".join(model or "(not recorded)" for model in read.unpriced)
        note(f"the price of {names} is not known, so costs are not; use --price or --model")


def _tell(file: RecordedFile) -> None:
    from ctxbudget.report.bill_notes import file_notes

    for one in file_notes(file):
        note(one)


def _without_losses(recorded: RecordedRun) -> WhatIf:
    """Return the run under `none` as if the cache had never been lost."""
    return what_if(recorded, load_policy(NONE), Settings(ignores_cache_losses=True))


# ---- policies


def _chosen(recorded: RecordedRun, policies: tuple[str, ...]) -> list[LoadedPolicy]:
    """Return the policies that were named, or a journal's own; then `none` and the bounds."""
    chosen = [load_policy(name) for name in policies]
    if not chosen and recorded.start.policy:
        chosen = [policy_from_data(recorded.start.policy)]
    always = (NONE, *BOUNDS) if recorded.uses or recorded.has_texts else (NONE, BOUNDS[0])
    labels = [one.label for one in chosen]
    told_apart = [
        replace(one, label=f"{one.label} ({one.origin})") if labels.count(one.label) > 1 else one
        for one in chosen
    ]
    return [*told_apart, *(load_policy(name) for name in always if name not in labels)]


def _replays(
    recorded: RecordedRun,
    chosen: Sequence[LoadedPolicy],
    settings: Settings,
    files: PromptFiles | None,
    drawing: Drawing | None,
) -> Iterator[WhatIf]:
    """Yield the run under each policy; one that cannot be is told and left out."""
    left_out: list[Exception] = []
    always = {NONE, *BOUNDS}
    named = sum(one.label not in always for one in chosen)
    with _progress(chosen) as policies:
        for one in policies:
            try:
                refuse_impossible(one, settings.scale(recorded.start.scale))
                with files.policy(one.label) if files is not None else nullcontext() as prompts:
                    heard = listeners(drawing, one.label)
                    yield what_if(recorded, one, settings, prompts, heard)
            except (BudgetExceededError, ConfigError, PolicyError) as error:
                if one.label == NONE:
                    raise _too_small(error, recorded, settings) from None
                left_out.append(error)
                if len(left_out) == named:
                    raise  # of those that were asked for none is left
                note(f"policy {one.label} is left out: {error}")


def _too_small(error: Exception, recorded: RecordedRun, settings: Settings) -> Exception:
    """Return an error of `none`: of a window that is asked for, one that says so."""
    if not isinstance(error, BudgetExceededError) or settings.window_tokens is None:
        return error
    return ConfigError(
        f"{settings.window_tokens:,} tokens do not hold what may not be pruned of the session, "
        f"{error.tokens:,} tokens; name a larger window",
        location=("--window",),
    )


@contextmanager
def _progress(chosen: Sequence[LoadedPolicy]) -> Iterator[Iterable[LoadedPolicy]]:
    """Yield the policies, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield chosen
        return
    with click.progressbar(
        chosen,
        label="replaying",
        file=sys.stderr,
        item_show_func=lambda one: None if one is None else one.label,
    ) as bar:
        yield bar


@contextmanager
def _files(folder: str | None, recorded: RecordedRun) -> Iterator[PromptFiles | None]:
    if folder is None:
        yield None
        return
    try:
        with prompt_files(Path(folder), recorded) as files:
            yield files
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise SourceError(f"--prompts {folder}: {reason}; name another folder") from None


# ---- settings


def _check_scale(recorded: RecordedRun, settings: Settings) -> None:
    scale = settings.scale(recorded.start.scale)
    limit = scale.hard_limit_tokens
    if limit < 1:
        is_reserve = settings.reserve_tokens is not None and settings.window_tokens is None
        raise ConfigError(
            f"{scale.window_tokens:,} tokens leave nothing beside the reserve of "
            f"{scale.reserve_tokens:,}; name a {'smaller reserve' if is_reserve else 'larger window'}",
            location=("--reserve" if is_reserve else "--window",),
        )
    if settings.budget_tokens is not None and settings.budget_tokens > limit:
        raise ConfigError(
            f"{settings.budget_tokens:,} tokens are more than the {limit:,} that the window "
            "leaves; name a smaller budget or a larger --window",
            location=("--budget",),
        )


def _named_model(name: str) -> str:
    if not name.strip():
        raise ConfigError("expected the name of a model, found nothing", location=("--model",))
    return name


def _ttl(text: str) -> float:
    if text not in _TTLS_S:
        raise ConfigError(f"expected 5m or 1h, found {text!r}", location=("--ttl",))
    return _TTLS_S[text]


def _other_model(name: str, *, is_priced: bool) -> OtherModel:
    price = price_of(name, None)
    if price is None and not is_priced:
        note(f"model {name}: its price is not known, so costs are not; use --price")
    return OtherModel(name=name, price=price, cache=cache_of(name))


MOST_USD: Final = 1_000_000
"""For a million tokens: a dollar for each."""

_PRICE_KEYS: Final = ("input", "read", "write", "write_1h", "output")


def _price(text: str) -> Price:
    """Return the price that an option's text says; what it leaves out costs what input does."""
    amounts: dict[str, Decimal] = {}
    for pair in text.split(","):
        key, _, amount = (part.strip() for part in pair.partition("="))
        if key not in _PRICE_KEYS:
            raise _price_error(f"found {pair.strip()!r}")
        if key in amounts:
            raise _price_error(f"found {key} twice")
        amounts[key] = _per_token(amount)
    if "input" not in amounts:
        raise _price_error("found no price for input")
    whole = amounts["input"]
    write = amounts.get("write", whole)
    return Price(
        input_usd=whole,
        cache_read_usd=amounts.get("read", whole),
        cache_write_5m_usd=write,
        cache_write_1h_usd=amounts.get("write_1h", write),
        output_usd=amounts.get("output", whole),
    )


def _per_token(amount: str) -> Decimal:
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise _price_error(f"found {amount!r}") from None
    if not value.is_finite() or not 0 <= value <= MOST_USD:
        raise _price_error(f"found {amount!r}")
    return value.scaleb(-6)


def _price_error(found: str) -> ConfigError:
    return ConfigError(
        "expected USD for a million tokens, as in "
        f"input=3,read=0.3,write=3.75,write_1h=6,output=15; {found}",
        location=("--price",),
    )
