"""The file that keeps what a sweep has finished, so that a second start goes on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ctxbudget._version import __version__
from ctxbudget.config.own_code import import_attribute
from ctxbudget.core.errors import ConfigError, reason_of
from ctxbudget.journal.locking import try_lock
from ctxbudget.sweep.grid import Setting
from ctxbudget.sweep.outcome import Outcome, as_data, from_data

KIND: Final = b'{"ctxbudget": "sweep results", '
HEAD: Final = KIND + b'"format": 1}\n'


def key_of(content_sha256: str, setting: Setting, price_date: str) -> str:
    """Return the name of a result: a hash of all that it depends on.

    Args:
        content_sha256: of the session or workflow.
        setting: one cell of the grid.
        price_date: of the prices.
    """
    parts = [
        content_sha256,
        json.dumps(setting.policy.as_data, sort_keys=True, default=str),
        setting.budget_text,
        __version__,
        price_date,
    ]
    function = setting.policy.as_data.get("function")
    if function is not None:
        parts.append(_code_hash(str(function)))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _code_hash(spec: str) -> str:
    """Return a hash of the files of a user's own code: of its module and the package around it.

    What these import from elsewhere is not in it, nor are data files that they read.
    """
    found = import_attribute(spec)
    # What is named may have been imported there from another module, or be an instance.
    homes = (spec.partition(":")[0], getattr(found, "__module__", None) or type(found).__module__)
    tops = {str(name).partition(".")[0] for name in homes} - sys.stdlib_module_names
    files: dict[str, str] = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in tops and file is not None:
            files[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return json.dumps(files)


class Results:
    """Results by key, each appended to the file as it comes. Nobody else can write it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Lock the file and read what is there; a last line that was cut off is dropped.

        Raises:
            ConfigError: the file is something else, is in use, or cannot be written.
        """
        self._path = path
        self._known: dict[str, Outcome] = {}
        if path.exists() and not path.is_file():
            raise _refused(path, "is no file")
        try:
            # Unbuffered: a result is in the file, or it raises here and not when it is closed.
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise _refused(path, _reason(error)) from None
        try:
            self._take()
        except BaseException:
            self._file.close()
            raise

    def _take(self) -> None:
        path = self._path
        try:
            if not try_lock(self._file.fileno()):
                raise _refused(
                    path, "is being written by another sweep", "wait until that has ended, or name"
                )
            self._file.seek(0)
            content = self._file.read()
        except OSError as error:
            raise _refused(path, _reason(error)) from None
        if not content:
            self._append(HEAD)
            return
        if not content.startswith(HEAD):
            is_ours = content.startswith(KIND)
            what = "results of another version of ctxbudget" if is_ours else "no results of a sweep"
            raise _refused(path, f"exists and holds {what}")
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.split(b"\n")[1:-1], 2):
            try:
                found: Any = json.loads(line)
                self._known[str(found["key"])] = from_data(found["outcome"])
            except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
                raise _refused(
                    path, f"is damaged in line {number}", "remove that line, or name"
                ) from None
        if len(whole) < len(content):
            self._file.truncate(len(whole))

    def get(self, key: str) -> Outcome | None:
        """Return a finished result; None if there is none yet."""
        return self._known.get(key)

    def add(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keep results by key, in the file too: in one step, so that Ctrl-C takes all or none.

        Raises:
            ConfigError: they cannot be written, for example because the disk is full.
        """
        self._known.update(outcomes)
        lines = [{"key": key, "outcome": as_data(one)} for key, one in outcomes.items()]
        self._append("".join(f"{json.dumps(one)}\n" for one in lines).encode())

    def _append(self, lines: bytes) -> None:
        try:
            while lines:
                lines = lines[self._file.write(lines) :]
        except OSError as error:
            raise _refused(
                self._path,
                f"{_reason(error)}; what was finished before is kept",
                "make room and start again, or name",
            ) from None

    def close(self) -> None:
        """Close the file, which gives up the lock."""
        self._file.close()


def _reason(error: OSError) -> str:
    return reason_of(error, "cannot be written")


def _refused(path: Path, reason: str, step: str = "name") -> ConfigError:
    return ConfigError(f"{path}: {reason}; {step} another file", location=("--results",))
