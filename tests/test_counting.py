"""Tests of the token counters."""

from __future__ import annotations

import base64
import hashlib
import importlib
import lzma
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.core.errors import ConfigError, CtxBudgetError
from ctxbudget.counting import counters
from ctxbudget.counting.counters import (
    CharsCounter,
    Counter,
    MemoCounter,
    TiktokenCounter,
    count_file,
    counter,
    o200k_encoding,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(counters.__file__).parents[2]
O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

# What the cut rules look at: blank lines, slashes, whitespace that is not a space or tab,
# characters that only Python takes for whitespace; also contractions, marks, lone surrogates.
BREAKS = ["\n", "\r\n", "\n/", "!\n/", "\n\n", "\n \n", " \n "]
SPACES = ["  ", " \t", "\f ", "\xa0 ", "\u2028\t", "\u3000  ", "\x1c ", "a\x1f", "\x85", "\u200b"]
OTHERS = [
    "'s",
    "'LL",
    "\u017f",
    "é\u0301",
    "aA",
    "123",
    ".",
    "/",
    "_",
    "上",
    "😀",
    "\ud83d",
    "\udcff",
]
AWKWARD = BREAKS + SPACES + OTHERS


class SpyCounter:
    """Counts characters and keeps the texts it was asked for."""

    name = "spy"
    is_estimate = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> int:
        self.texts.append(text)
        return len(text)


def whole(text: str) -> int:
    """Count `text` in one call of tiktoken."""
    return len(o200k_encoding().encode_ordinary(text))


def run_python(code: str, **env: str) -> str:
    """Run `code` in a new interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# The encoding


def test_ranks_rebuild_the_official_file() -> None:
    lines = (
        base64.b64encode(token) + b" %d\n" % rank for token, rank in counters._o200k_ranks().items()
    )
    assert hashlib.sha256(b"".join(lines)).hexdigest() == O200K_SHA256


def test_pattern_and_special_tokens_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    openai_public = importlib.import_module("tiktoken_ext.openai_public")  # it has no types
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {b"a": 0})
    official = openai_public.o200k_base()
    encoding = o200k_encoding()
    assert encoding._pat_str == official["pat_str"]
    assert encoding._special_tokens == official["special_tokens"]


def test_encoding_is_built_once() -> None:
    assert o200k_encoding() is o200k_encoding()


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw + b"x"])
def test_ranks_of_the_wrong_shape_are_refused(
    monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    decompress = lzma.decompress
    monkeypatch.setattr(lzma, "decompress", lambda data: damage(decompress(data)))
    with pytest.raises(CtxBudgetError, match="199,998 tokens"):
        counters._o200k_ranks()


def test_import_does_not_load_tiktoken() -> None:
    code = "import sys, ctxbudget.counting.counters; print('tiktoken' in sys.modules)"
    assert run_python(code) == "False"


def test_counting_uses_no_network_and_no_cache_directory(tmp_path: Path) -> None:
    code = """
import sys

def refuse(event, args):
    if event.startswith("socket."):
        raise RuntimeError(event)

sys.addaudithook(refuse)
from ctxbudget.counting.counters import counter
print(counter("o200k_base")("hello world"))
"""
    cache = tmp_path / "cache"
    cache.mkdir()
    assert run_python(code, TIKTOKEN_CACHE_DIR=str(cache)) == "2"
    assert list(cache.iterdir()) == []


# Exact counts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        (" ", 1),
        ("hello world", 2),
        ("Hello, world!", 4),
        ("a <|endoftext|> b", 9),
        ("<|start|>", 5),
        ("你好，世界", 3),
        ("上下文预算引擎", 6),
        ("日本語のテキスト", 6),
        ("안녕하세요", 2),
        ("😀", 1),
    ],
)
def test_known_counts(text: str, tokens: int) -> None:
    assert TiktokenCounter()(text) == tokens


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("a\ud83d b", "a\ufffd b"),
        ("\udcff", "\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_surrogates_count_as_what_they_are_read_as(text: str, read_as: str) -> None:
    assert TiktokenCounter()(text) == TiktokenCounter()(read_as)


@pytest.mark.parametrize("space", [" ", "\t", "\u3000"])
def test_two_million_spaces_do_not_panic(space: str) -> None:
    # One token holds at most 128 bytes, so fewer tokens than this would be a lost piece.
    assert 2_000_000 / 128 <= TiktokenCounter()(space * 2_000_000) <= 2_000_000


def test_300_kilobytes_of_one_letter() -> None:
    assert TiktokenCounter()("a" * 300 * 1024) == 300 * 1024 // 8  # "aaaaaaaa" is one token


def test_long_text_is_encoded_in_pieces_that_add_up() -> None:
    text = "".join(f"{n} plain words,\n\n  and it's /not\n/the end\n" for n in range(20_000))
    assert len(list(counters._pieces(text, TiktokenCounter().chunk_chars))) > 1
    assert TiktokenCounter()(text) == whole(text)


# Cutting


def _after_cut(separator: str) -> st.SearchStrategy[str]:
    """Text of at most 14 characters that begins with a place to cut, if an "x" is before it."""
    middle = st.lists(st.sampled_from(AWKWARD), max_size=3)
    return middle.map(lambda awkward: f"{separator}y{''.join(awkward)}x")


@given(
    st.lists(st.sampled_from([" ", "\t", "\n", "\n\t "]).flatmap(_after_cut), min_size=8),
    st.integers(20, 40),
)
def test_chunked_count_is_the_whole_count(parts: list[str], chunk_chars: int) -> None:
    text = "x" + "".join(parts)
    assert TiktokenCounter(chunk_chars=chunk_chars)(text) == whole(text)


@given(st.lists(st.sampled_from(AWKWARD)).map("".join), st.integers(1, 20))
def test_pieces_are_the_text_and_none_is_too_long(text: str, limit: int) -> None:
    pieces = list(counters._pieces(text, limit))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces) or text == ""


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("aaaa bb cc", ["aaaa", " bb cc"]),  # before the space
        ("aaaa\nbbbb", ["aaaa\n", "bbbb"]),  # after the newline
        ("aaa  bbbb", ["aaa", "  bbbb"]),  # not inside a run of spaces
        ("aa b\n/ccc", ["aa", " b\n/cc", "c"]),  # not before a slash
        ("aa b\n\nccc", ["aa", " b\n\n", "ccc"]),  # after a blank line
        ("aaaa\n \nb", ["aaaa\n ", "\nb"]),  # not before one; so this cut is hard
        ("aa b\x1c\tc", ["aa", " b\x1c\tc"]),  # not where only Python sees whitespace
        ("aaaaaaaa", ["aaaaaa", "aa"]),  # nowhere to cut
    ],
)
def test_places_to_cut(text: str, pieces: list[str]) -> None:
    assert list(counters._pieces(text, 6)) == pieces


@pytest.mark.parametrize("chunk_chars", [0, -1, 1_000_000])
def test_chunk_size_out_of_range(chunk_chars: int) -> None:
    with pytest.raises(ConfigError, match="chunk_chars"):
        TiktokenCounter(chunk_chars=chunk_chars)


# The estimate


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)])
def test_chars_counter_rounds_up(text: str, tokens: int) -> None:
    assert CharsCounter()(text) == tokens


def test_chars_counter_takes_its_ratio() -> None:
    assert CharsCounter(chars_per_token=2.5)("a" * 10) == 4


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("inf"), float("nan")])
def test_chars_counter_refuses_a_senseless_ratio(ratio: float) -> None:
    with pytest.raises(ConfigError, match="chars_per_token"):
        CharsCounter(chars_per_token=ratio)


def test_chars_counter_undercounts_json_and_chinese() -> None:
    for text in ('{"id": 17, "tags": ["a", "b"], "ok": true}', "上下文预算引擎"):
        assert CharsCounter()(text) < TiktokenCounter()(text)


# By name


@pytest.mark.parametrize(("name", "is_estimate"), [("o200k_base", False), ("chars", True)])
def test_counter_by_name(name: str, is_estimate: bool) -> None:
    found = counter(name)
    assert (found.name, found.is_estimate) == (name, is_estimate)


def test_unknown_counter_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'cl100k_base'.*chars, heuristic, o200k_base"):
        counter("cl100k_base")


# The memo


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 2048, "a" * 2049, "b" * 5000, "\ud83d" * 3000], ids=len
)
def test_memo_counts_a_text_once(text: str) -> None:
    spy = SpyCounter()
    memo = MemoCounter(spy)
    assert [memo(text), memo("".join(list(text)))] == [len(text), len(text)]
    assert spy.texts == [text]


def test_memo_tells_texts_apart() -> None:
    memo = MemoCounter(SpyCounter())
    texts = ["a", "b b", "c" * 3000, "c" * 3001]
    assert [memo(text) for text in texts] == [1, 3, 3000, 3001]


def test_memo_does_not_keep_a_long_text() -> None:
    memo = MemoCounter(SpyCounter())
    for text in ("a" * 2048, "a" * 2049):
        memo(text)
    assert [len(key) for key in memo._memo] == [2048, 16]


def test_memos_of_two_counters_do_not_mix() -> None:
    exact, estimate = MemoCounter(TiktokenCounter()), MemoCounter(CharsCounter())
    assert (exact("hello world"), estimate("hello world")) == (2, 3)


@pytest.mark.parametrize("inner", [TiktokenCounter(), CharsCounter()])
def test_memo_has_the_label_of_its_counter(inner: Counter) -> None:
    memo: Counter = MemoCounter(inner)
    assert (memo.name, memo.is_estimate) == (inner.name, inner.is_estimate)


# Files


def test_count_file_reads_utf8_and_replaces_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes("é上\r\n".encode() + b"\xff")
    spy = SpyCounter()
    assert count_file(path, spy) == 5
    assert spy.texts == ["é上\r\n\ufffd"]


def test_count_file_lets_os_errors_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        count_file(tmp_path / "missing", CharsCounter())
