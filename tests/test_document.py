"""Tests of reading users' files: what YAML says, on which line, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctxbudget.config.document import (
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    Location,
    parse_document,
    read_document,
)
from ctxbudget.core.errors import ConfigError


def parsed(text: str) -> Document:
    return parse_document(text, "f.yaml")


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("<<", "<<"),
        ("1e", "1e"),
        ("010", 10),
        ("-3", -3),
        ("+3", 3),
        ("1_000", 1000),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'010'", "010"),
        ('"true"', "true"),
        ("'~'", "~"),
        ("80%", "80%"),
        ("ünïcode 漢字 🎉", "ünïcode 漢字 🎉"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: object) -> None:
    found = parsed(f"key: {scalar}\n").content["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("key", ["on", "yes", "true", "null", "1", "1.5", "~", "<<", "日本"])
def test_keys_are_text(key: str) -> None:
    assert parsed(f"{key}: 1\n").content == {key: 1}


def test_an_alias_stands_for_its_value() -> None:
    assert parsed("a: &x [1, 2]\nb: *x\nc: [*x, *x]\n").content["c"] == [[1, 2], [1, 2]]


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
CHAIN = "k0: &a0 [1]\n" + "".join(f"k{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 50_000))
TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("a: [1, 2\n", 1, "not YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: 2: 3\n", 2, "not YAML: mapping values are not allowed"),
        ("a: 1\n\tb: 2\n", 2, "not YAML: found a tab character"),
        ("a: 1\nb: \x01\n", 2, "not YAML: control characters are not allowed"),
        ("a: 1\n---\nb: 1\n", 2, "not YAML: found another document"),
        ("a: 1\nb: *nowhere\n", 2, "not YAML: found undefined alias"),
        ("", None, "the file is empty; see `ctxbudget schema`"),
        ("# nothing but a remark\n", None, "the file is empty"),
        ("- a\n- b\n", 1, "expected a mapping of keys to values, found a list"),
        ("just words\n", 1, "expected a mapping of keys to values, found plain text"),
        ("12\n", 1, "found a number"),
        ("true\n", 1, "found true or false"),
        ("null\n", 1, "found nothing"),
        ("a: 1\nb: 2\na: 3\n", 3, "a: the key is there twice, first on line 1; keep one"),
        ("a: {b: 1,\n b: 2}\n", 2, "b: the key is there twice, first on line 1"),
        ("a: [{b: 1}, {b: 2, 'b': 3}]\n", 1, "b: the key is there twice"),
        ("a: 1\n? [b]\n: 2\n", 2, "a key must be plain text, found a list"),
        ("a: 1\n? {b: 1}\n: 2\n", 2, "a key must be plain text, found a mapping"),
        ("a: 1\nb: !!python/object/apply:os.abort []\n", 2, "the tag '!!python/object/apply:os"),
        ("a: !!set {x}\n", 1, "the tag '!!set' is not read; write plain text"),
        ("a: !!timestamp 2026-01-02\n", 1, "the tag '!!timestamp' is not read"),
        ("a: !mine x\n", 1, "the tag '!mine' is not read"),
        ("a: 1\nb: !!bool maybe\n", 2, "'maybe' is not true or false"),
        ("a: 1\nb: !!int x\n", 2, "'x' is not a whole number"),
        ("a: 1\nb: 1e999\n", 2, "'1e999' is not a finite number"),
        (f"a: {'9' * 31}\n", 1, "is not a whole number of up to 30 digits"),
        (f"a: 1\nb: {'9' * 5000}\n", 2, "is not a whole number of up to 30 digits"),
        (f"a: {'[' * 41}{']' * 41}\n", 1, TOO_DEEP),
        (f"a: 1\nb: {'[' * 100_000}\n", 2, TOO_DEEP),
        (f"a: 1\nb: {'{x: ' * 100_000}\n", 2, TOO_DEEP),
        (CHAIN, MAX_DEPTH + 1, TOO_DEEP),
        (BOMB, 7, "has more than 2,000,000 values once its aliases are expanded"),
        ("a: 1\nb: &b [*b]\n", 2, "an alias (*) contains itself"),
        ("a: &a\n  b: {c: [1, *a]}\n", 2, "an alias (*) contains itself"),
        ("&a {b: *a}\n", 1, "an alias (*) contains itself"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else str(value),
)
def test_what_is_refused(text: str, line: int | None, fragment: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(text)
    start = "f.yaml: " if line is None else f"f.yaml:{line}: "
    assert str(raised.value).startswith(start)
    assert fragment in str(raised.value)
    assert raised.value.line == line


def test_many_aliases_of_one_value_are_fine() -> None:
    found = parsed("a: &a [1, 2, 3]\nb: [" + ", ".join(["*a"] * 10_000) + "]\n")
    assert len(found.content["b"]) == 10_000


PLACES = """\
name: x

phases:
  - id: a
    output:
      file: one.txt
  - {id: b,
     output: 5}
"""


@pytest.mark.parametrize(
    ("location", "line", "within"),
    [
        ((), 1, ()),
        (("name",), 1, ("name",)),
        (("phases",), 3, ("phases",)),
        (("phases", 0), 4, ("phases", 0)),
        (("phases", 0, "output", "file"), 6, ("phases", 0, "output", "file")),
        (("phases", 1, "output"), 8, ("phases", 1, "output")),
        (("phases", 1, "output", "tokens"), 8, ("phases", 1, "output")),
        (("phases", 1, "metadata"), 7, ("phases", 1)),
        (("phases", 9, "id"), 3, ("phases",)),
        (("name", 0), 1, ("name",)),
        (("nowhere",), 1, ()),
    ],
)
def test_a_location_has_a_line(location: Location, line: int, within: Location) -> None:
    found = parsed(PLACES)
    assert found.line_of(location) == line
    assert found.within(location) == within


@pytest.mark.parametrize(
    ("key", "value", "location"),
    [
        ("file", "one.txt", ("phases", 0, "output", "file")),
        ("id", "b", ("phases", 1, "id")),
        ("file", "two.txt", None),
        ("name", "x", ("name",)),
    ],
)
def test_a_text_is_found_where_it_stands(key: str, value: str, location: Location | None) -> None:
    assert parsed(PLACES).find(key, value) == location


def test_the_first_of_several_is_found() -> None:
    assert parsed("a: [{f: x}, {f: x}]\nf: x\n").find("f", "x") == ("a", 0, "f")


# ---- files


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["unix", "windows"])
def test_a_file_of_any_system_is_read(tmp_path: Path, start: bytes, end: bytes) -> None:
    path = tmp_path / "é 漢.yaml"
    path.write_bytes(start + b"a: 1" + end + b"b: x" + end)
    found = read_document(path)
    assert found.content == {"a": 1, "b": "x"}
    assert found.line_of(("b",)) == 2


def test_json_is_read_with_tabs_and_escaped_surrogates(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('{\n\t"a": "\\ud83d\\ude00 \\/ \\\\ud83d\\\\ude00",\n\t"b": [1.5e-3]\n}\n')
    found = read_document(path)
    assert found.content == {"a": "😀 / \\ud83d\\ude00", "b": [0.0015]}
    assert found.line_of(("b",)) == 3


@pytest.mark.parametrize("text", ['"\\ud83d"', '"\\ude00\\ud83d"', '"\\\\\\\\ud83d\\ude00"'])
def test_half_a_pair_of_surrogates_is_no_character(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(f'{{"a": {text}}}')
    with pytest.raises(ConfigError, match=r"f\.json:1: not YAML: found invalid Unicode character"):
        read_document(path)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.text(max_size=8)
    # a float must hold a point or an exponent to be told from a whole number
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES), st.sampled_from([None, 2, "\t"]))
def test_whatever_json_says_is_read_as_json_does(
    tmp_path: Path, content: dict[str, Any], indent: int | str | None
) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    assert read_document(path).content == content


def test_a_file_that_is_missing_or_none(tmp_path: Path) -> None:
    for path, fragment in [
        (tmp_path / "missing.yaml", "no such file or directory; check the path"),
        (tmp_path, "is a directory; name a file"),
        (Path("a\0b"), "is not a path"),
        (Path("n" * 5000), "file name too long"),
    ]:
        with pytest.raises(ConfigError, match=fragment):
            read_document(path)


def test_a_file_that_is_not_utf_8_names_the_byte_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: café\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: is not UTF-8 text \(byte 11\); save"):
        read_document(path)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(ConfigError, match="is larger than 16 MB, the most for a file of this kind"):
        read_document(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: is larger than 16 MB"):
        read_document(Path("/dev/zero"))


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#".ljust(MAX_BYTES, b"x"))
    assert read_document(path).content == {"a": 1}
