"""Tests of sizes: tokens, or a text, a file or a glob to count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import Strict, validated
from ctxbudget.config.sizes import Measure, Size, Source
from ctxbudget.core.errors import ConfigError


class Sized(Strict):
    """Something with a size."""

    size: Size


def source(text: str) -> Source:
    return validated(Sized, parse_document(f"\nsize: {text}", "f.yaml")).size


def measure(root: Path, text: str = "") -> Measure:
    """Return a measure that counts characters of texts and bytes of files."""
    document = parse_document(text, "f.yaml") if text else None
    return Measure(root, len, lambda path: len(path.read_bytes()), document)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.py", "a.py", "sub/c.py", "sub/ü 漢.txt", ".venv/d.py", "x/__pycache__/e.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("500", [("", 500)]),
        ("0", [("", 0)]),
        ("{tokens: 500}", [("", 500)]),
        ("{text: five!}", [("", 5)]),
        ("{text: ''}", [("", 0)]),
        ("{file: a.py}", [("a.py", 4)]),
        ("{file: sub/c.py}", [("sub/c.py", 8)]),
        ("{file: sub/../a.py}", [("sub/../a.py", 4)]),
        ("{glob: '*.py'}", [("a.py", 4), ("b.py", 4)]),
        ("{glob: '**/*.py'}", [("a.py", 4), ("b.py", 4), ("sub/c.py", 8)]),
        ("{glob: 'sub/*'}", [("sub/c.py", 8), ("sub/ü 漢.txt", 14)]),
    ],
)
def test_a_size_is_measured(folder: Path, text: str, parts: list[tuple[str, int]]) -> None:
    found = measure(folder).parts(source(text))
    assert [(part.name, part.tokens) for part in found] == parts
    assert measure(folder).tokens(source(text)) == sum(tokens for _, tokens in parts)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("-5", "f.yaml:2: size: expected a whole number of tokens, 0 or more"),
        ("2.5", "f.yaml:2: size: expected a whole number of tokens"),
        ("true", "f.yaml:2: size: expected a whole number of tokens"),
        ("'5'", "f.yaml:2: size: expected a whole number of tokens"),
        ("{}", "f.yaml:2: size: expected exactly one of tokens, text, file, glob, median with p95, min with max, found none"),
        ("{text: }", "f.yaml:2: size: expected exactly one of tokens, text, file, glob, median with p95, min with max, found none"),
        ("{tokens: 1, file: a}", "f.yaml:2: size: expected exactly one of tokens, text, file, glob, "
         "median with p95, min with max, found tokens and file"),
        ("{tokens: -1}", "f.yaml:2: size.tokens: expected a whole number of tokens"),
        ("{tokns: 1}", "f.yaml:2: size.tokns: unknown key; did you mean 'tokens'?"),
        ("{text: [a]}", "f.yaml:2: size.text: expected text, found ['a']"),
    ],
)  # fmt: skip
def test_a_size_is_refused(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        source(text)
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{file: nope.py}", "'nope.py' in {root}: no such file or directory; check the path and"),
        ("{file: sub}", "'sub' in {root}: is not a file; check the path and `root`"),
        ("{file: ''}", "'' in {root}: is not a file"),
        (r'{file: "a\0b"}', "'a\\x00b' in {root}: embedded null byte; check the path"),
        ("{glob: '*.rs'}", "no file matches '*.rs' in {root}; check the pattern and `root`"),
        ("{glob: '.venv/*'}", "no file matches '.venv/*' in {root}"),
        ("{glob: sub}", "no file matches 'sub' in {root}"),
        ("{glob: ''}", "'' is not a glob relative to {root}: "),
        ("{glob: /etc/*}", "'/etc/*' is not a glob relative to {root}: "),
    ],
)
def test_what_cannot_be_counted(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        measure(folder).parts(source(text))
    assert raised.value.message.startswith(message.format(root=folder))
    assert raised.value.key == text[1:5]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a file"):
        measure(tmp_path).parts(source("{file: pipe}"))


def test_the_place_of_what_cannot_be_counted_is_known(tmp_path: Path) -> None:
    text = "phases:\n- output: {text: nope.py}\n- reads: [{file: nope.py}]\n"
    with pytest.raises(ConfigError) as raised:
        measure(tmp_path, text).parts(source("{file: nope.py}"))
    assert raised.value.location == ("phases", 1, "reads", 0, "file")
