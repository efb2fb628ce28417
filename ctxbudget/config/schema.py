"""The JSON Schema of users' files, for editors."""

from __future__ import annotations

import json
from typing import Any

from ctxbudget.config.fields import Strict
from ctxbudget.config.policy_format import (
    PolicyFile,
    RentPart,
    RulePart,
    SelectPart,
    StayPart,
    WhenPart,
)
from ctxbudget.config.workflow_format import Workflow

MODELS: dict[str, type[Strict]] = {"workflow": Workflow, "policy": PolicyFile}

WITH_PARAMS = (RulePart, SelectPart, WhenPart, RentPart, StayPart)
"""Where `$key` may stand for any value: params are filled in before values are checked."""

_PARAM = {"type": "string", "pattern": r"^\$."}


def schema_text(kind: str) -> str:
    """Return the schema of `workflow` or `policy` files as indented JSON, ending in a newline."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **MODELS[kind].model_json_schema(),
    }
    for part in WITH_PARAMS:
        properties = schema["$defs"][part.__name__]["properties"]
        schema["$defs"][part.__name__]["properties"] = {
            key: _or_param(value) for key, value in properties.items()
        }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _or_param(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that may be a param; a part with keys of its own may not."""
    if "$ref" in schema:
        return schema
    about: dict[str, Any] = {key: schema[key] for key in ("title", "description") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in about}
    return {**about, "anyOf": [rest, _PARAM]}
