"""What `ctxbudget import` does once its options are read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from ctxbudget.cli.answers import given, output_tokens, rounds_of
from ctxbudget.cli.new_workflow import STDOUT, checked, in_words, path_of, refuse_to_replace, write
from ctxbudget.cli.output import note, print_json
from ctxbudget.config.document import read_document
from ctxbudget.core.errors import ConfigError
from ctxbudget.counting.counters import MemoCounter, counter
from ctxbudget.importing import FORMATS, Part, Sizes, as_data, as_yaml, recognized
from ctxbudget.importing.parts import plain
from ctxbudget.providers.models import window_tokens
from ctxbudget.writing.assumed import Assumed


def run(
    *,
    file: str,
    output: str | None,
    force: bool,
    format_name: str | None,
    rounds: str | None,
    outputs: str | None,
    as_machine: bool,
) -> None:
    """Read the file, check what becomes of it, write that, and say what was left out.

    Raises:
        ConfigError: the file cannot be read or is of no format that is known, or the file to
            write is there already or cannot be written.
    """
    path = path_of(output, "--output")
    if path is not None:
        refuse_to_replace(path, force=force, read=file)
    elif force:
        raise ConfigError("needs a file to replace; add -o FILE", location=("--force",))
    sizes = _sizes(rounds, outputs)
    whole = Part.whole(read_document(Path(file)))
    found = FORMATS[format_name] if format_name is not None else recognized(whole)
    plan = found.read(whole, sizes)
    text = as_yaml(plan, sizes, plain(os.path.basename(file)) or "a file", window_tokens)
    said = in_words(checked(text, STDOUT if path is None else str(path)))
    data = as_data(plan, sizes, window_tokens)
    if path is not None:
        written = json.dumps(data, indent=2, ensure_ascii=False) + "\n" if as_machine else text
        write(path, written, force=force)
    elif as_machine:
        print_json(data)
    else:
        click.echo(text, nl=False)
    note(f"{file}: {plan.format}, {said}")
    for one in plan.left_out:
        note(f"left out: {one}")


def _sizes(rounds: str | None, outputs: str | None) -> Sizes:
    assumed = Assumed()
    return Sizes(
        assumed=Assumed(
            rounds=assumed.rounds if rounds is None else given(rounds, "--rounds", rounds_of),
            output_tokens=(
                assumed.output_tokens
                if outputs is None
                else given(outputs, "--outputs", output_tokens)
            ),
        ),
        count=MemoCounter(counter("o200k_base")),
    )
