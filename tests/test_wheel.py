"""The wheel carries all that the command needs, wherever it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_carries_policies_workflows_ranks_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("policies", "workflows"):
        shipped = {f"ctxbudget/{folder}/{path.name}" for path in (ROOT / folder).iterdir()}
        assert shipped
        assert shipped <= names
    assert {"ctxbudget/py.typed", "ctxbudget/data/o200k_base.xz"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_installed_elsewhere_it_simulates_by_bare_name(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, str(target / "bin" / "ctxbudget"), "simulate"]
    for workflow in ("jwt_auth", "self_review"):
        done = subprocess.run(
            [*command, workflow, "--json"],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert json.loads(done.stdout)["workflow"] == workflow
    where = "import ctxbudget; print(ctxbudget.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(target)
