"""What a shell offers for options and arguments; it asks at every press of a key, so be quick.

Nothing here may fail or print: where a name cannot be found out, nothing is offered.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from ctxbudget.config.lookup import Folder

FILES = CompletionItem("", type="file")
"""Has the shell offer files where nothing else fits."""


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped policies that begin so, and the user's files."""
    return _shipped("policies", incomplete)


def workflows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped workflows that begin so, and the user's files."""
    return _shipped("workflows", incomplete)


def either(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped workflows and policies that begin so, and the user's files."""
    return [*_shipped("workflows", incomplete), *_shipped("policies", incomplete)[1:]]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return that the shell should offer files."""
    return [FILES]


def phases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the phases that begin so, of the workflow that is named on the line."""
    from ctxbudget.config.document import read_document
    from ctxbudget.config.lookup import find
    from ctxbudget.core.errors import CtxBudgetError

    try:
        content = read_document(find("workflows", str(ctx.params.get("workflow")))).content
    except (CtxBudgetError, OSError):
        return []
    given = content.get("phases")
    ids = [str(one.get("id")) for one in given or () if isinstance(one, dict) and "id" in one]
    return [CompletionItem(name) for name in ids if name.startswith(incomplete)]


def _shipped(kind: Folder, incomplete: str) -> list[CompletionItem]:
    from ctxbudget.config.lookup import names

    found = [CompletionItem(name) for name in names(kind) if name.startswith(incomplete)]
    return [FILES, *found, *_own(incomplete)]


def _own(incomplete: str) -> list[CompletionItem]:
    """Return the YAML files, and folders, whose path begins so; names alone would hide them."""
    head, tail = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(head or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        CompletionItem(os.path.join(head, entry.name))
        for entry in entries
        if entry.name.startswith(tail)
        and not (entry.name.startswith(".") and not tail)
        and entry.name.endswith((".yaml", ".yml"))
    ]
