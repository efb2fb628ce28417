"""Fixtures that several test files share."""

from __future__ import annotations

import os

import pytest
from commands import Command, Ran
from hypothesis import settings

from ctxbudget.cli.main import main

# A test run says the same each time, however busy the machine; new examples are looked for with
# `make fuzz`.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fuzz", derandomize=False, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def ctxbudget(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command, run in this process: the same code as in a shell, a second sooner."""
    for name in ("COLUMNS", "LINES", "NO_COLOR"):  # some frameworks' imports set them
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Ran(exited.value.code, printed.out, printed.err)

    return run
