"""What `ctxbudget workflow-from` does once its options are read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from ctxbudget.cli.new_workflow import path_of, refuse_to_replace, write
from ctxbudget.cli.output import print_json
from ctxbudget.cli.recorded_files import tell_unread
from ctxbudget.core.errors import ConfigError, SourceError, reason_of
from ctxbudget.drafting import Cut, Draft, Recorded, as_data, as_yaml, drafted, steps_of
from ctxbudget.journal.reading import is_journal
from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.files import STDIN, opened
from ctxbudget.recorded.formats import READ, RefusedError, recognized
from ctxbudget.recorded.lines import unpacked
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.transcripts.exchange import Exchange
from ctxbudget.transcripts.formats import exchanges as exchanges_of
from ctxbudget.transcripts.session import recorded_session


def run(
    *,
    session: str,
    output: str | None,
    force: bool,
    agent: str | None,
    phases: str,
    as_machine: bool,
) -> None:
    """Read the session and write the draft.

    Raises:
        ConfigError: the file to write is not named, is there already, or cannot be written.
        SourceError: the session cannot be read.
    """
    path = path_of(output, "--output")
    if path is not None:
        read = None if session == STDIN else session
        refuse_to_replace(path, force=force, read=read, what="session")
    elif force:
        raise ConfigError("needs a file to replace; add -o FILE", location=("--force",))
    draft = draft_of(session, agent, phases)
    if path is not None:
        data = json.dumps(as_data(draft), indent=2, ensure_ascii=False) + "\n"
        write(path, data if as_machine else as_yaml(draft), force=force)
    elif as_machine:
        print_json(as_data(draft))
    else:
        click.echo(as_yaml(draft), nl=False)


def draft_of(session: str, agent: str | None, phases: str) -> Draft:
    """Return a recorded session as a workflow; says on stderr what could not be read of it.

    Raises:
        SourceError: the session cannot be read.
    """
    file = RecordedFile(file=session)
    exchanges = _exchanges(file, agent)
    recorded = recorded_session(exchanges, file, PriceBook(price_of), agent)
    tell_unread(file)
    name = "stdin" if session == STDIN else os.path.basename(session)
    return drafted(
        steps_of(exchanges, recorded.run),
        Recorded(
            name=name,
            format=file.source,
            window_tokens=recorded.run.start.scale.window_tokens,
            agent=agent,
        ),
        Cut(phases),
    )


def _exchanges(file: RecordedFile, agent: str | None) -> list[Exchange]:
    """Return the calls of a file's thread.

    Raises:
        SourceError: the file cannot be read, is of no format that is read, or holds no call.
    """
    if file.file != STDIN and is_journal(Path(file.file)):
        raise SourceError(
            f"{file.file}: is a journal of ctxbudget, whose phases a workflow has named already; "
            "name a session of a coding agent"
        )
    try:
        with opened(file.file) as stream:
            found = list(exchanges_of(recognized(unpacked(stream), file), file, agent))
    except OSError as error:
        reason = reason_of(error, "cannot be read")
        raise SourceError(f"{file.file}: {reason}; check the path") from None
    except RefusedError as error:
        step = "" if error.step else f"; name a file that holds {READ}"
        raise SourceError(f"{file.file}: {error}{step}") from None
    if not found and agent is not None:
        raise SourceError(
            f"{file.file}: records no call of a sub-agent {agent!r}; `ctxbudget audit {file.file}` "
            "lists those that it does"
        )
    return found
