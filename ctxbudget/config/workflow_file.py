"""Workflow files: told from recordings, read, and checked against the format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctxbudget.config.document import Document, parse_document, read_document
from ctxbudget.config.fields import validated
from ctxbudget.config.policy_format import PolicyFile
from ctxbudget.config.workflow_format import Workflow

MOST_JSON_BYTES = 16_000_000
"""A larger JSON file is a recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWorkflow:
    """A workflow file, checked, with where it came from."""

    workflow: Workflow
    document: Document

    @property
    def name(self) -> str:
        """What reports call it; a file's name need not be valid text."""
        stem = Path(self.document.path).stem
        return self.workflow.name or stem.encode("utf-8", "replace").decode()

    @property
    def folder(self) -> Path:
        """The folder that the file is in."""
        return Path(self.document.path).parent

    @property
    def policy_spec(self) -> str | Mapping[str, Any] | None:
        """The policy as the file says it: a name, its content, or nothing."""
        given = self.workflow.policy
        if isinstance(given, PolicyFile):
            content: Mapping[str, Any] = self.document.content["policy"]
            return content
        return given


def is_workflow_file(path: Path) -> bool:
    """Return whether a file is a workflow rather than a session: of JSON its content tells."""
    if path.suffix in (".yaml", ".yml"):
        return True
    try:
        if path.suffix != ".json" or path.stat().st_size > MOST_JSON_BYTES:
            return False
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "phases" in content


def read_workflow(path: Path) -> LoadedWorkflow:
    """Return a workflow file, checked.

    Raises:
        ConfigError: the file cannot be read or is not a workflow.
    """
    return _loaded(read_document(path))


def workflow_of_text(text: str, path: str) -> LoadedWorkflow:
    """Return the workflow that a text is, checked; `path` is what errors call it.

    Raises:
        ConfigError: it is not a workflow.
    """
    return _loaded(parse_document(text, path))


def _loaded(document: Document) -> LoadedWorkflow:
    return LoadedWorkflow(workflow=validated(Workflow, document), document=document)
