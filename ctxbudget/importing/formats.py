"""The formats that are imported, and which of them a file is."""

from __future__ import annotations

from typing import Final

from ctxbudget.core.errors import ConfigError
from ctxbudget.importing.archon import FORMAT as ARCHON
from ctxbudget.importing.bearing import FORMAT as BEARING
from ctxbudget.importing.bmad import FORMAT as BMAD
from ctxbudget.importing.parts import Part
from ctxbudget.importing.plan import Format
from ctxbudget.importing.spec_kit import FORMAT as SPEC_KIT

FORMATS: Final = {one.name: one for one in (ARCHON, SPEC_KIT, BEARING, BMAD)}
"""By the name that a user gives them, in the order in which a file is tried."""


def recognized(whole: Part) -> Format:
    """Return the format of a file.

    Raises:
        ConfigError: it is none of those known; the message lists what was looked for.
    """
    for one in FORMATS.values():
        if one.recognizes(whole):
            return one
    path = whole.document.path
    if "phases" in whole.content:
        raise ConfigError(
            "is a workflow of ctxbudget already (it has `phases`); use `ctxbudget validate` or "
            "`ctxbudget simulate`",
            path=path,
        )
    known = "; ".join(f"{one.title} ({one.looked_for})" for one in FORMATS.values())
    keys = ", ".join(f"`{key}`" for key in list(whole.content)[:8]) or "no key"
    raise ConfigError(
        f"is none of the formats that are imported: {known}; found {keys}. Name the format with "
        "--from, or write a workflow with `ctxbudget init`",
        path=path,
    )
