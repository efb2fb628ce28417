"""Finds the files that users name: shipped ones by bare name, their own by path."""

from __future__ import annotations

import os.path
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

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
    if os.path.exists(name):
        return Path(name)
    what = {"policies": "policy", "workflows": "workflow"}[kind]
    raise ConfigError(
        f"there is no {what} {name!r} and no file of this name; {near_misses(name, names(kind))} "
        "(a file's name ends in .yaml)"
    )


def _own_file(name: str, beside: Path | None) -> Path:
    tried = [Path(name)] if beside is None else [beside / name, Path(name)]
    for path in tried:
        if os.path.exists(path):
            return path
    if beside is None:
        return tried[0]  # reading it says what is wrong
    raise ConfigError(
        f"there is no file {name!r} in {beside} or in the current folder; check the path"
    )


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, the first of several for a namespace.

    Raises:
        ConfigError: there is no such package.
    """
    try:
        spec = find_spec(name)
    except (ImportError, ValueError) as error:
        raise _no_package(name, f": {error}") from None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise _no_package(name)
    return Path(folders[0])


def _no_package(name: str, why: str = "") -> ConfigError:
    return ConfigError(
        f"there is no package {name!r}{why}; install it or name a folder", location=("root",)
    )
