"""Tests of files that take their name when they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctxbudget.cli.whole_file import whole_file


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_it_takes_its_name_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError, ValueError])
def test_what_stops_it_leaves_the_older_one_alone(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with whole_file(path) as partial:
            partial.write_text("ne", encoding="utf-8")
            raise stop

    with pytest.raises(stop):
        write()
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_permissions_pass_on_and_a_link_goes_on_pointing(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o640)
    link.symlink_to(path)
    with whole_file(link) as partial:
        partial.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("old", encoding="utf-8")
    partial.write_text("left behind", encoding="utf-8")
    with whole_file(path) as partial:
        assert not partial.exists()
        partial.write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["a.txt"]
