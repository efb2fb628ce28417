"""Policies: found by name, path or attribute, read with their params, and ready for the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ctxbudget.config import lookup
from ctxbudget.config.document import Document, Location, read_document
from ctxbudget.config.fields import first_problem, validated
from ctxbudget.config.own_code import OwnPolicy, import_attribute
from ctxbudget.config.policy_building import built
from ctxbudget.config.policy_format import Bound, PolicyFile
from ctxbudget.core.errors import ConfigError, near_misses
from ctxbudget.core.policy import Policy, RulePolicy
from ctxbudget.core.types import Scale

NONE: Final = "none"
"""The policy that all others are compared with."""

BOUNDS: Final = ("unbounded", "clairvoyant")
"""Marks to compare with, which no live run can have."""

RESERVED: Final = frozenset({NONE, *BOUNDS})
"""Names that only the shipped policies may have."""

LABEL: Final = "label"
"""Key of a policy in a journal that is no part of its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicy:
    """A policy ready for the engine, with the data that it can be loaded from again."""

    name: str
    policy: Policy
    as_data: Mapping[str, Any]
    label: str
    """The name with the params that were set, so that variants can be told apart."""
    origin: str = ""
    """The file or attribute that it came from."""
    document: Document | None = None
    """The file's lines, for errors that show only with a window."""
    bound: Bound | None = None
    """Whether it is only a mark to compare with."""
    reads_uses: bool = False
    """Whether it asks when items were last used."""

    @property
    def as_recorded(self) -> Mapping[str, Any]:
        """What a journal keeps of it: its data, and a label that is not just its name."""
        return self.as_data if self.label == self.name else {**self.as_data, LABEL: self.label}


def load_policy(spec: str | Mapping[str, Any], *, beside: Path | None = None) -> LoadedPolicy:
    """Return a policy by shipped name, path, `package.module:attribute`, or from its content.

    A name or path may be followed by `:key=value,…`, which sets the policy's params. Paths are
    tried relative to `beside` first.

    Raises:
        ConfigError: there is no such policy, or the file is wrong.
    """
    if not isinstance(spec, str):
        return policy_from_data(spec)
    name, params = _split_params(spec)
    if params is None and re.fullmatch(r"[\w.]+:[\w.]+", spec):
        module = spec.partition(":")[0]
        if module in lookup.names("policies"):
            raise ConfigError(f"{spec!r}: a param takes a value; write {spec}=VALUE")
        return _from_attribute(spec)
    return read_policy(lookup.find("policies", name, beside=beside), params or {})


def policy_option(spec: str, option: str = "--policy") -> LoadedPolicy:
    """Return the policy that an option of the command line names, as `load_policy` does.

    Raises:
        ConfigError: names the option, unless a file is wrong.
    """
    try:
        return load_policy(spec)
    except ConfigError as error:
        if error.path is not None or error.location:
            raise
        raise ConfigError(error.message, location=(option,)) from error


def read_policy(path: Path, params: Mapping[str, bool | int | float | str] = {}) -> LoadedPolicy:
    """Return the policy in a file, with some of its params set.

    Raises:
        ConfigError: the file is wrong; or, without a path, a param is.
    """
    document = read_document(path)
    known = document.content.get("params") or {}
    known = known if isinstance(known, dict) else {}
    for key in params:
        if key not in known:
            raise ConfigError(f"{path.stem} has no param {key!r}; {near_misses(key, known)}")
    pairs = ",".join(f"{key}={_said(value)}" for key, value in params.items())
    if params:
        given = {**document.content, "params": {**known, **params}}
        document = replace(document, content=given)
    try:
        file = validated(PolicyFile, document)
    except ConfigError as error:
        if not params:
            raise
        read_policy(path)  # the file may be wrong by itself
        at = f" ({error.key})" if error.key else ""
        raise ConfigError(f"{path.stem} with {pairs}: {error.message}{at}") from None
    if file.name in RESERVED and path.resolve() != lookup.find("policies", file.name).resolve():
        raise ConfigError(
            f"{file.name!r} is the name of what policies are compared with; choose another",
            path=document.path,
            line=document.line_of(("name",)),
            location=("name",),
        )
    loaded = _loaded(file, document.content, document)
    return replace(loaded, label=f"{loaded.name}:{pairs}") if params else loaded


def policy_from_data(data: Mapping[str, Any]) -> LoadedPolicy:
    """Return the policy that a journal or a workflow file holds as data.

    Raises:
        ConfigError: the data is not a policy.
    """
    if set(data) == {"function"}:
        return _from_attribute(str(data["function"]))
    content = {key: value for key, value in data.items() if key != LABEL}
    try:
        loaded = _loaded(PolicyFile.model_validate(content), content)
    except ValidationError as error:
        location, message = first_problem(error)
        raise ConfigError(message, location=("policy", *location)) from None
    return replace(loaded, label=str(data[LABEL])) if LABEL in data else loaded


def refuse_impossible(loaded: LoadedPolicy, scale: Scale) -> None:
    """Check that a policy's limits make sense for a window.

    Raises:
        ConfigError: a limit comes to zero tokens or less, for example "33000 below window" of a
            32,000-token window.
    """
    if not isinstance(loaded.policy, RulePolicy):
        return
    for number, rule in enumerate(loaded.policy.rules):
        for key, limit in (("above", rule.when.above), ("until", rule.when.until)):
            tokens = None if limit is None else limit.resolve_tokens(scale)
            if tokens is not None and tokens <= 0:
                raise _impossible(loaded, rule.name, ("rules", number, "when", key), tokens, scale)


def _impossible(
    loaded: LoadedPolicy, rule: str, location: Location, tokens: int, scale: Scale
) -> ConfigError:
    document = loaded.document
    return ConfigError(
        f"rule {rule!r}: `when.{location[-1]}` comes to {tokens:,} tokens in a window of "
        f"{scale.window_tokens:,}; use a share such as 60%, or a larger window",
        path=document.path if document else None,
        line=document.line_of(location) if document else None,
        location=location if document else ("policy", *location),
    )


def _split_params(spec: str) -> tuple[str, dict[str, bool | int | float | str] | None]:
    name, colon, rest = spec.rpartition(":")
    if not colon or "=" not in rest:
        return spec, None
    pairs = [pair.partition("=") for pair in rest.split(",")]
    return name, {key.strip(): _scalar(value.strip()) for key, _, value in pairs}


def _scalar(text: str) -> bool | int | float | str:
    """Return what the text would be in a file."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[-+]?[0-9]{1,9}\.[0-9]{1,9}", text) else text


def _said(value: bool | int | float | str) -> str:
    """Return a param as people write it; the way back from `_scalar`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_attribute(spec: str) -> LoadedPolicy:
    policy = OwnPolicy(import_attribute(spec), spec)
    return LoadedPolicy(
        name=spec, label=spec, policy=policy, as_data={"function": spec}, origin=spec
    )


def _loaded(
    file: PolicyFile, data: Mapping[str, Any], document: Document | None = None
) -> LoadedPolicy:
    policy = built(file)
    return LoadedPolicy(
        name=file.name,
        policy=policy,
        as_data=data,
        label=file.name,
        origin=document.path if document else "",
        document=document,
        bound=file.bound,
        reads_uses=file.rent is not None or any(one.select.idle_calls for one in policy.rules),
    )
