"""Finds what users name: shipped files by bare name, their own by path, code by attribute."""

from __future__ import annotations

import importlib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ctxbudget.core.errors import ConfigError, near_misses

Folder: TypeAlias = Literal["policies", "workflows"]

SUFFIXES = (".yaml", ".yml", ".json")


def folder(kind: Folder) -> Path:
    """Return the shipped folder: inside the package when installed, beside it in a checkout."""
    package = Path(str(files("ctxbudget")))
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind


def names(kind: Folder) -> list[str]:
    """Return the names of what is shipped, sorted."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def find(kind: Folder, name: str, *, beside: Path | None = None) -> Path:
    """Return the path of a shipped file by bare name, or of a user's file.

    A name with a folder or a suffix is a path, tried relative to `beside` first; a bare name is
    a shipped one.

    Raises:
        ConfigError: there is neither.
    """
    if Path(name).suffix in SUFFIXES or "/" in name or "\\" in name:
        near = None if beside is None else beside / name
        return near if near is not None and near.exists() else Path(name)
    if name in names(kind):
        return folder(kind) / f"{name}.yaml"
    if name and Path(name).exists():
        return Path(name)
    what = {"policies": "policy", "workflows": "workflow"}[kind]
    raise ConfigError(
        f"there is no {what} of this name and no file; {near_misses(name, names(kind))} "
        "(a file's name ends in .yaml)",
        location=(name or repr(name),),
    )


def import_attribute(spec: str) -> Any:
    """Return what `package.module:attribute` names, which must be callable.

    Raises:
        ConfigError: it cannot be imported, or cannot be called.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot be loaded: {error}; check the name", location=(spec,)) from None
    if not callable(found):
        raise ConfigError("is not callable; name a function or a class", location=(spec,))
    return found


def package_folder(name: str) -> Path:
    """Return the folder of an importable package.

    Raises:
        ConfigError: there is no such package.
    """
    try:
        return Path(str(files(name)))
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"no package {name!r}: {error}", location=("root",)) from None
