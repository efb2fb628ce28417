"""The JSON Schema of users' files, for editors."""

from __future__ import annotations

import json

from ctxbudget.config.fields import Strict
from ctxbudget.config.policy_file import PolicyFile
from ctxbudget.config.workflow_file import Workflow

MODELS: dict[str, type[Strict]] = {"workflow": Workflow, "policy": PolicyFile}


def schema_text(kind: str) -> str:
    """Return the schema of `workflow` or `policy` files as indented JSON, ending in a newline."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **MODELS[kind].model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
