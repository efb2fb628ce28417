"""Tests of the kinds of values that users' files are made of."""

from __future__ import annotations

import re

import pytest
from pydantic import Field

from ctxbudget.config.document import parse_document
from ctxbudget.config.fields import (
    MAX_TOKENS,
    Count,
    Flag,
    Frac,
    Name,
    Seconds,
    ShareOfBudget,
    ShareOfWindow,
    SomeCount,
    Strict,
    Text,
    Tokens,
    Weight,
    WrongFileError,
    budget_option,
    tokens_option,
    validated,
)
from ctxbudget.core.errors import ConfigError
from ctxbudget.core.types import Base, Limit


class Sample(Strict):
    """One of each kind."""

    tokens: Tokens = 0
    count: Count = 0
    calls: SomeCount = 1
    seconds: Seconds = 0
    weight: Weight = 1
    name: Name = "n"
    text: Text = ""
    flag: Flag = False
    frac: Frac = 0
    budget: ShareOfWindow | None = None
    above: ShareOfBudget | None = None
    parts: tuple[Sample, ...] = ()
    some: tuple[Sample, ...] | None = Field(None, min_length=2)


class Needy(Strict):
    """Something with a key that must be there."""

    count: Count = 0
    tokens: Tokens


def read(text: str) -> Sample:
    return validated(Sample, parse_document(text, "f.yaml"))


def budget(**parts: int | float | Base) -> Limit:
    return Limit(**{"of": Base.WINDOW} | parts)  # type: ignore[arg-type]  # as the test says


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("7500", budget(tokens=7500)),
        ("7_500", budget(tokens=7500)),
        ("0", budget(tokens=0)),
        ("75%", budget(share_frac=0.75)),
        ("'75 %'", budget(share_frac=0.75)),
        ("12.5%", budget(share_frac=0.125)),
        ("0.75", budget(share_frac=0.75)),
        ("30% of window", budget(share_frac=0.3)),
        ("30% of hard_limit", budget(share_frac=0.3, of=Base.HARD_LIMIT)),
        ("13000 below hard_limit", budget(below_tokens=13_000, of=Base.HARD_LIMIT)),
        ("'13,000 below window'", budget(below_tokens=13_000)),
        ("{smaller_of: [75%, 150000]}", budget(tokens=150_000, share_frac=0.75)),
        ("{smaller_of: [150000, 75%, 9000]}", budget(tokens=9000, share_frac=0.75)),
        ("{smaller_of: [20, 10]}", budget(tokens=10)),
        ("{smaller_of: [50%]}", budget(share_frac=0.5)),
        ("{smaller_of: [9, 5 below hard_limit]}", budget(tokens=9, below_tokens=5, of=Base.HARD_LIMIT)),
        ("{smaller_of: [20, {smaller_of: [5%, 10]}]}", budget(tokens=10, share_frac=0.05)),
    ],
)  # fmt: skip
def test_a_limit_is_read(text: str, limit: Limit) -> None:
    assert read(f"budget: {text}").budget == limit


def test_a_plain_share_is_of_the_base_of_its_key() -> None:
    assert read("above: 75%").above == Limit(share_frac=0.75, of=Base.BUDGET)
    assert read("above: 75% of budget").above == read("above: 0.75").above
    assert read("above: 5 below budget").above == Limit(below_tokens=5, of=Base.BUDGET)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.0", "1.0"),
        ("0.0", "0.0"),
        ("-0.5", "-0.5"),
        ("true", "true"),
        ("'75'", "'75'"),
        ("x%", "'x%'"),
        ("-5", "-5"),
        ("-5%", "'-5%'"),
        (f"{MAX_TOKENS + 1}", f"{MAX_TOKENS + 1}"),
        (f"{'9' * 400}%", "'9999"),
        (f"{'9' * 400} below window", "'9999"),
        ("[75%]", "['75%']"),
        ("30% of wndow", "'30% of wndow'"),
        ("30% of budget", "'30% of budget'"),
        ("5 below", "'5 below'"),
        ("{}", "{}"),
        ("{smaller_of: []}", "{'smaller_of': []}"),
        ("{smaller_of: 75%}", "{'smaller_of': '75%'}"),
        ("{smaller_of: [75%, 50%]}", "{'smaller_of': ['75%', '50%']}"),
        ("{smaller_of: [75%, x]}", "'x'"),
        ("{smallest_of: [1]}", "{'smallest_of': [1]}"),
        ("{smaller_of: [1], of: window}", "{'smaller_of': [1], 'of': 'window'}"),
    ],
)
def test_a_limit_is_refused(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f.yaml:1: budget: expected .*{re.escape(found)}"):
        read(f"budget: {text}")


def test_a_refused_limit_shows_every_way_to_write_one() -> None:
    with pytest.raises(ConfigError) as raised:
        read("budget: x%")
    for way in ("7500", "'75%'", "'30% of window'", "0.75", "below hard_limit", "smaller_of"):
        assert way in raised.value.message


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("tokens: 010", 10),
        (f"tokens: {MAX_TOKENS}", MAX_TOKENS),
        ("count: 0", 0),
        ("seconds: 5", 5.0),
        ("seconds: 0.5", 0.5),
        ("weight: 0.1", 0.1),
        ("flag: true", True),
        ("frac: 75%", 0.75),
        ("frac: 0.75", 0.75),
        ("frac: 0", 0.0),
        ("frac: 1", 1.0),
        ("text: 12", "12"),
        ("text: ''", ""),
        ("name: 0", "0"),
        ("name: 2.5", "2.5"),
        ("name: yes", "yes"),
        ("name: ' a b '", " a b "),
        ("name: مرحبا به شما", "مرحبا به شما"),
        ("name: می\u200cخواهم", "می\u200cخواهم"),
        ("name: 設計　書", "設計　書"),
        ("name: 👩\u200d💻", "👩\u200d💻"),
        (f"name: {'漢' * 200}", "漢" * 200),
    ],
)
def test_a_value_is_read(line: str, value: object) -> None:
    sample = read(line)
    found = getattr(sample, line.partition(":")[0])
    assert (found, type(found)) == (value, type(value))


TOKENS = "expected a whole number of tokens, 0 or more (such as 5000), found "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tokens: -5", TOKENS + "-5"),
        ("tokens: 2.5", TOKENS + "2.5"),
        ("tokens: 5.0", TOKENS + "5.0"),
        ("tokens: true", TOKENS + "true"),
        ("tokens: '100'", TOKENS + "'100'"),
        ("tokens: 5k", TOKENS + "'5k'"),
        ("tokens:", TOKENS + "nothing"),
        ("tokens: [1]", TOKENS + "[1]"),
        (f"tokens: {MAX_TOKENS + 1}", TOKENS + str(MAX_TOKENS + 1)),
        ("count: 1000001", "expected a whole number from 0 to 1,000,000, found 1000001"),
        ("count: false", "expected a whole number from 0 to 1,000,000, found false"),
        ("calls: 0", "expected 1 or more, found 0"),
        ("seconds: -1", "expected a number of seconds, 0 or more, found -1"),
        ("seconds: .inf", "expected a number of seconds, 0 or more, found '.inf'"),
        ("weight: 0", "expected a number above 0, found 0"),
        ("weight: true", "expected a number above 0, found true"),
        ("flag: yes", "expected true or false, found 'yes'"),
        ("flag: 1", "expected true or false, found 1"),
        ("frac: 1.5", "expected a share such as 75% or 0.75, found 1.5"),
        ("frac: 101%", "expected a share such as 75% or 0.75, found '101%'"),
        ("frac: 75% of budget", "expected a share such as 75% or 0.75, found '75% of budget'"),
        ("frac: true", "expected a share such as 75% or 0.75, found true"),
        ("text: [a]", "expected text, found ['a']"),
        ("text: false", "expected text, found false"),
        ("name: ''", "expected a name of 1 to 200 characters, found ''"),
        ("name: '  '", "expected a name of 1 to 200 characters, found '  '"),
        ("name: true", "expected a name of 1 to 200 characters, found true"),
        (f"name: {'x' * 201}", f"expected a name of 1 to 200 characters, found '{'x' * 56}…"),
        ("name: a/b", "expected a name without '/' or control characters, found 'a/b'"),
        ('name: "a\\nb"', "expected a name without '/' or control characters, found 'a\\nb'"),
        ('name: "\\e[31m"', "expected a name without '/' or control characters, found '\\x1b[31m'"),
        ('name: "\\u202e"', "expected a name without '/' or control characters, found '\\u202e'"),
        ("parts: x", "expected a list, found 'x'"),
        ("parts:", "expected a list, found nothing"),
        ("parts: {a: 1}", "expected a list, found {'a': 1}"),
        ("some: [{}]", "expected a list of 2 or more, found [{}]"),
    ],
)
def test_a_value_is_refused(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(f"# first\n{line}\n")
    key = line.partition(":")[0]
    assert str(raised.value) == f"f.yaml:2: {key}: {message}"
    assert (raised.value.line, raised.value.key) == (2, key)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tokns: 1", "f.yaml:1: tokns: unknown key; did you mean 'tokens'?"),
        ("a: 1\nzzz: 1", "f.yaml:1: a: unknown key; known are: above, budget, calls, count"),
        ("parts:\n- {tokens: 1}\n- {tokns: 1}", "f.yaml:3: parts[1].tokns: unknown key; did you"),
        ("parts: [5]", "f.yaml:1: parts[0]: expected keys and values (tokens, count, calls, sec"),
        ("parts:\n- tokens: -1", "f.yaml:2: parts[0].tokens: expected a whole number of tokens"),
    ],
)
def test_a_mapping_is_refused(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("tokens: -1", "found -1"),
        ("tokens: -1\ncount: -1", "found -1 (and 1 more problem)"),
        ("tokens: -1\ncount: -1\nflag: 0", "found -1 (and 2 more problems)"),
        # what is wrong is an element, not the length of the list without it
        ("some: [{tokens: -1}, {}]", "found -1"),
        ("some: [{tokens: -1}]", "found -1 (and 1 more problem)"),
    ],
)
def test_the_first_problem_is_told_and_the_others_counted(text: str, end: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text)
    assert str(raised.value).endswith(end)


def test_all_problems_are_there_from_the_top() -> None:
    text = "flagg: true\nsome:\n- {tokens: -1, cuont: 1}\ncount: x\nzzz: 1\n"
    with pytest.raises(WrongFileError) as raised:
        read(text)
    found = [(one.line, one.key) for one in raised.value.problems]
    assert found == [
        (1, "flagg"),
        (2, "some"),
        (3, "some[0].tokens"),
        (3, "some[0].cuont"),
        (4, "count"),
        (5, "zzz"),
    ]
    assert str(raised.value) == f"{raised.value.problems[0]} (and 5 more problems)"


def test_a_misspelt_key_comes_before_that_it_is_missing() -> None:
    with pytest.raises(WrongFileError) as raised:
        validated(Needy, parse_document("count: 1\n\ntokns: 2\n", "f.yaml"))
    assert [str(one) for one in raised.value.problems] == [
        "f.yaml:3: tokns: unknown key; did you mean 'tokens'?",
        "f.yaml:1: tokens: is required and missing; add it",
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("200000", 200_000),
        ("200_000", 200_000),
        ("200k", 200_000),
        ("200K", 200_000),
        ("1M", 1_000_000),
        ("1m", 1_000_000),
        ("1.5k", 1500),
        (" 5 ", 5),
    ],
)
def test_an_option_of_tokens(text: str, tokens: int) -> None:
    assert tokens_option(text, "--window") == tokens
    assert budget_option(text, "--budget") == Limit(tokens=tokens, of=Base.WINDOW)


@pytest.mark.parametrize("text", ["", "0", "-5", "2.5", "x", "5kk", "5 k", "1e3", "٣", "9" * 5000])
def test_an_option_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--window: expected a number of tokens such as 200000"):
        tokens_option(text, "--window")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("30%", budget(share_frac=0.3)),
        (".3", budget(share_frac=0.3)),
        ("30% of hard_limit", budget(share_frac=0.3, of=Base.HARD_LIMIT)),
        ("5000 below window", budget(below_tokens=5000)),
    ],
)
def test_an_option_of_a_budget(text: str, limit: Limit) -> None:
    assert budget_option(text, "--budget") == limit


@pytest.mark.parametrize("text", ["", "x", "-5", "1.0", "x%", "30% of budget", "9" * 5000])
def test_an_option_of_a_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--budget: expected "):
        budget_option(text, "--budget")
