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


def policies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped policies that begin so, and that the shell should offer files."""
    return [*_shipped("policies", incomplete), _files(incomplete)]


def workflows(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped workflows that begin so, and that the shell should offer files."""
    return [*_shipped("workflows", incomplete), _files(incomplete)]


def either(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped workflows and policies that begin so, and that files should follow."""
    names = [*_shipped("workflows", incomplete), *_shipped("policies", incomplete)]
    return [*names, _files(incomplete)]


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return that the shell should offer files."""
    return [_files(incomplete)]


def phases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the phases that begin so, of the workflow that is named on the line."""
    from ctxbudget.config.document import read_document
    from ctxbudget.config.lookup import find
    from ctxbudget.core.errors import CtxBudgetError

    try:
        # Nobody has expanded the `~` of a line that is not yet run.
        named = os.path.expanduser(str(ctx.params.get("workflow")))
        content = read_document(find("workflows", named)).content
    except (CtxBudgetError, OSError):
        return []
    given = content.get("phases")
    ids = [str(one.get("id")) for one in given or () if isinstance(one, dict) and "id" in one]
    return [CompletionItem(name) for name in ids if name.startswith(incomplete)]


def _shipped(kind: Folder, incomplete: str) -> list[CompletionItem]:
    from ctxbudget.config.lookup import names

    return [CompletionItem(name) for name in names(kind) if name.startswith(incomplete)]


def _files(incomplete: str) -> CompletionItem:
    """Return what has a shell offer files; it comes last, so that names stand before them."""
    return CompletionItem(incomplete, type="file")
