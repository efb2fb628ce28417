"""Finds what users name: shipped files by bare name, their own by path, code by attribute."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
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
        return _own_file(name, beside)
    if name in names(kind):
        return folder(kind) / f"{name}.yaml"
    if name and Path(name).exists():
        return Path(name)
    what = {"policies": "policy", "workflows": "workflow"}[kind]
    raise ConfigError(
        f"there is no {what} {name!r} and no file of this name; {near_misses(name, names(kind))} "
        "(a file's name ends in .yaml)"
    )


def _own_file(name: str, beside: Path | None) -> Path:
    tried = [Path(name)] if beside is None else [beside / name, Path(name)]
    for path in tried:
        if path.exists():
            return path
    if beside is None:
        return tried[0]  # reading it says what is wrong
    raise ConfigError(f"there is no file {name!r} in {beside} or here; check the path")


def import_attribute(spec: str) -> Callable[..., Any]:
    """Return what `package.module:attribute` names; of a class, an instance.

    Raises:
        ConfigError: it cannot be imported, or cannot be called.
    """
    module_name, _, attribute = spec.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
        if isinstance(found, type):
            found = found()
    except Exception as error:  # importing runs the user's code, which may raise anything
        raise ConfigError(
            f"{spec!r} cannot be loaded: {described(error)}; check the name and the module"
        ) from error
    if not callable(found):
        raise ConfigError(f"{spec!r} is not callable; name a function or a class")
    called: Callable[..., Any] = found
    return called


def described(error: Exception) -> str:
    """Return what a user's own code raised, and where, in one line."""
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    where = [f" at {frame.filename}:{frame.lineno}" for frame in innermost]
    is_ours = isinstance(error, ImportError | AttributeError)  # the message says it all
    return str(error) if is_ours else f"{type(error).__name__}{''.join(where)}: {error}"


def package_folder(name: str) -> Path:
    """Return the folder of an importable package.

    Raises:
        ConfigError: there is no such package.
    """
    try:
        return Path(str(files(name)))
    except Exception as error:  # importing runs the package's code, which may raise anything
        raise ConfigError(
            f"there is no package {name!r}: {error}; install it or name a folder",
            location=("root",),
        ) from None
