"""What `ctxbudget replay` does once its options are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import click

from ctxbudget.cli.any_run_options import check_one_form
from ctxbudget.cli.html_file import check_html, write_html
from ctxbudget.cli.output import console, note, print_json
from ctxbudget.cli.progress import bar_over
from ctxbudget.cli.recorded_files import run_in_journal, session_in
from ctxbudget.cli.replay_settings import (
    other_model,
    price_said,
    refuse_agent_of_journal,
    ttl_s_of,
)
from ctxbudget.config.fields import tokens_option
from ctxbudget.config.policy_file import (
    BOUNDS,
    NONE,
    LoadedPolicy,
    load_policy,
    policy_from_data,
    policy_option,
    refuse_impossible,
)
from ctxbudget.core.errors import (
    BudgetExceededError,
    ConfigError,
    PolicyError,
    SourceError,
    reason_of,
)
from ctxbudget.journal.reading import is_journal
from ctxbudget.providers.prices import price_date
from ctxbudget.replay import RecordedRun, Settings, WhatIf, what_if
from ctxbudget.replay.prompt_files import PromptFiles, prompt_files
from ctxbudget.report.drawn import Drawing, listeners
from ctxbudget.report.replayed import Replayed
from ctxbudget.transcripts.session import RecordedSession


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
        ttl_s=ttl_s_of(ttl),
        model=other_model(model),
        price=price_said(price),
        ignores_compactions=ignore_compactions,
    )
    _tell_unpriced_model(settings)
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
    _print(replayed, misses=misses, as_machine=as_machine, as_markdown=as_markdown)


def _print(replayed: Replayed, *, misses: bool, as_machine: bool, as_markdown: bool) -> None:
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
        refuse_agent_of_journal(agent)
        return run_in_journal(name), None
    if os.path.isdir(name):
        raise SourceError(f"{name}: is a directory; name one session file in it")
    found = session_in(name, agent)
    return found.run, found


def _tell_unpriced_model(settings: Settings) -> None:
    model = settings.model
    if model is not None and model.price is None and settings.price is None:
        note(f"model {model.name}: its price is not known, so costs are not; use --price")


def _tell_unpriced(read: RecordedSession | None, settings: Settings) -> None:
    if read is not None and read.unpriced and settings.model is None and settings.price is None:
        names = ", ".join(model or "(not recorded)" for model in read.unpriced)
        note(f"the price of {names} is not known, so costs are not; use --price or --model")


def _without_losses(recorded: RecordedRun) -> WhatIf:
    """Return the run under `none` as if the cache had never been lost."""
    return what_if(recorded, load_policy(NONE), Settings(ignores_cache_losses=True))


# ---- policies


def _chosen(recorded: RecordedRun, policies: tuple[str, ...]) -> list[LoadedPolicy]:
    """Return the policies that were named, or a journal's own; then `none` and the bounds."""
    chosen = [policy_option(name) for name in policies]
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
    with bar_over("replaying", chosen, lambda one: one.label) as policies:
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
def _files(folder: str | None, recorded: RecordedRun) -> Iterator[PromptFiles | None]:
    if folder is None:
        yield None
        return
    try:
        with prompt_files(Path(folder), recorded) as files:
            yield files
    except OSError as error:
        reason = reason_of(error, "cannot be written")
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
