"""Tests of digests: which identifiers survive, and that the limit holds whatever the text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.counting.counters import Counter, TiktokenCounter
from ctxbudget.references import identifiers
from ctxbudget.shortening.digest import DIGEST_TOKENS, digest
from ctxbudget.shortening.digest.names import ranked_names
from ctxbudget.shortening.digest.shape import reader_for

TEXTS = Path(__file__).parent / "texts"
TIKTOKEN = TiktokenCounter()


class ScaledCounter:
    """Counts one and a half times what o200k_base gives, rounded up."""

    name = "scaled"
    is_estimate = True

    def __call__(self, text: str) -> int:
        return -(-TIKTOKEN(text) * 3 // 2)


COUNTERS: list[Counter] = [TIKTOKEN, ScaledCounter()]


def text_of(name: str) -> str:
    return (TEXTS / f"{name}.txt").read_text(encoding="utf-8")


# What must survive in 200 tokens, for a text of each shape; chosen by reading the text as
# somebody who has to go on with the work, before the digest was looked at.
SURVIVORS = {
    "report": """services/pricing/rules.py load_active_rules PriceRuleCache.lookup tariff_version
        api/v2/checkout PAYMENT_TIMEOUT_MS nightly_reprice SHOP-4821 infra/redis/pricing.conf""",
    "source": """SeatTakenError SeatLedger hold_seats release_expired confirm_sale seat_label
        parse_seat_label HOLD_MINUTES MAX_SEATS_PER_ORDER boxoffice.storage.seats""",
    "json": """deploy-20931 E_QUOTA_EXCEEDED eu-north-2 create-volume logs/create-volume.log
        registry/shop-web:9f31c2a QUEUE_NAME web-01.internal deploy-20930 1b77d0e""",
    "log": """tpl/reminder_fr.html TemplateMissing out/88131.pdf disk_full mnt/invoices
        run/dump-5521.json config/worker.toml invoices-eu 88124 88127
        2026-03-02T08:00:01Z 2026-03-02T08:00:55Z""",
    "tests_pytest": """tests/test_fares.py::test_child_fare_rounds
        tests/test_tides.py::test_tide_table_skips_leap_day ferry/tides/reader.py:41
        tests/test_fares.py:88 2028-02-29 child_fare read_tide_table""",
    "tests_go": """TestLockIsReleased TestPlanOrder/cycle lock_test.go:57 apply.lock errDiskGone
        plan_test.go:112 ErrCycleFound example.org/tidy/apply""",
    "diff": """4be1a90c7d2f ferry/tides/reader.py ferry/fares/child.py docs/old_tables.md
        ferry/fares/coins.py read_tide_table parse_tide_day child_fare round_to_coins COIN_STEP""",
    "trace": """app.berths.errors.BerthUnavailableError IMO9321483 draught_cm next_free_slot
        asyncpg.exceptions.UndefinedColumnError srv/harbour/app/berths/store.py
        srv/harbour/app/berths/planner.py assign_berth srv/harbour/app/berths/api.py post_arrival""",
    "prose": """mx-legacy-01.example.org DSGVO-77 checkpoint_17 sendInvoices
        https://wiki.example.org/mail/filters""",
}


@pytest.mark.parametrize("name", SURVIVORS)
def test_what_a_later_reader_needs_survives(name: str) -> None:
    text = text_of(name)
    short = digest(text, 200, TIKTOKEN)
    wanted = set(SURVIVORS[name].split())
    assert all(name in text for name in wanted), "the expectation names what is not there"
    # Split as well: a name of less than six characters is one only by what stands next to it.
    assert wanted - {*identifiers(short), *short.split()} == set()
    assert TIKTOKEN(short) <= 200 < TIKTOKEN(text)


READERS = {
    "report": "read_markdown",
    "source": "read_code",
    "log": "read_log",
    "tests_pytest": "read_test_run",
    "tests_go": "read_test_run",
    "diff": "read_diff",
    "trace": "read_trace",
    "prose": "read_prose",
}


@pytest.mark.parametrize("name", READERS)
def test_the_shape_is_recognised(name: str) -> None:
    assert reader_for(text_of(name).split("\n")).__name__ == READERS[name]


# What each shape tells first


def lines_of(name: str, limit_tokens: int = 200) -> list[str]:
    return digest(text_of(name), limit_tokens, TIKTOKEN).split("\n")


def test_a_report_tells_decisions_before_findings_and_questions() -> None:
    lines = lines_of("report")
    assert lines[0] == "Slow checkout: report of the investigation"
    assert lines[1] == "44 lines, 1,894 characters; Markdown, 6 headings"
    assert lines[2] == "Decision: key the cache by `tariff_version`, not by request id."
    finding = next(at for at, line in enumerate(lines) if line.startswith("Finding:"))
    question = next(at for at, line in enumerate(lines) if line.startswith("TODO:"))
    assert 2 < finding < question
    # The line was wrapped; its second half belongs to it.
    assert lines[finding].endswith("through `load_active_rules`.")


def test_code_tells_its_outline() -> None:
    lines = lines_of("source")
    assert lines[0] == "Keeps the seats of a theatre: which are free, held or sold."
    assert lines[1].endswith("; code with 4 definitions")
    assert "class SeatLedger: hold_seats release_expired confirm_sale _tell_next" in lines
    assert "def seat_label(row: int, number: int) -> str" in lines


def test_json_tells_what_failed_first() -> None:
    lines = lines_of("json")
    assert lines[0].startswith("JSON object {status, run_id, error, steps")
    assert lines[2] == 'status: "failed"'
    assert 'error.code: "E_QUOTA_EXCEEDED"' in lines
    assert 'steps[2].name: "create-volume"' in lines  # it names the step whose state is bad
    assert 'steps[0].name: "build-image"' not in lines


def test_json_lines_are_read_as_a_list() -> None:
    text = "\n".join(json.dumps({"event_id": f"ev-{at:04}", "ok": True}) for at in range(200))
    assert digest(text, 80, TIKTOKEN).startswith("JSON list of 200: object {event_id, ok}")


def test_deep_json_is_told_to_a_depth() -> None:
    text = "[" * 200 + ", ".join(map(str, range(500))) + "]" * 200
    title = digest(text, 100, TIKTOKEN).split("\n")[0]
    assert title == "JSON list of 1: list of 1: list of 1: list of 1: list of 1"


def test_json_that_is_cut_off_tells_its_keys() -> None:
    short = digest(text_of("json")[:1_500], 150, TIKTOKEN)
    assert short.startswith("JSON that does not parse")
    assert "keys: status run_id error code" in short


def test_a_log_tells_levels_and_times() -> None:
    lines = lines_of("log", DIGEST_TOKENS)
    assert lines[0] == (
        "log: 1 FATAL, 3 ERROR, 3 WARNING, 10 INFO, 4 DEBUG, "
        "2026-03-02T08:00:01Z to 2026-03-02T08:00:55Z"
    )
    assert lines[2] == "FATAL pool: stopping, exit code 74, see run/dump-5521.json"
    told = "\n".join(lines)
    assert "\nfirst error: 2026-03-02T08:00:14Z ERROR job: invoice 88124: template" in told
    assert "\nlast error: 2026-03-02T08:00:55Z ERROR store: cannot write out/88131.pdf" in told


def test_a_log_tells_each_kind_of_message_once_with_its_number() -> None:
    lines = [f"10:00:{at:02} ERROR shard {at} is_gone\n" for at in range(40)]
    lines += [f"10:01:{at:02} WARN disk_{at}_slow\n" for at in range(20)]
    short = digest("".join(lines), DIGEST_TOKENS, TIKTOKEN)
    assert "40x ERROR shard 0 is_gone" in short.split("\n")
    assert "20x WARN disk_0_slow" in short.split("\n")


def test_a_test_run_tells_totals_and_the_reason_of_each_failure() -> None:
    lines = lines_of("tests_pytest")
    assert lines[0] == "2 failed, 45 passed in 3.18s"
    assert lines[2] == (
        "tests/test_fares.py::test_child_fare_rounds: "
        "AssertionError: assert Money('3.67') == Money('3.70')"
    )
    assert lines[3] == (
        "tests/test_tides.py::test_tide_table_skips_leap_day: KeyError: '2028-02-29'"
    )


def test_a_reason_printed_before_the_failure_is_found() -> None:
    lines = lines_of("tests_go")
    assert lines[0] == "FAIL example.org/tidy/apply 0.291s"
    assert any(line.startswith("TestLockIsReleased: lock_test.go:57: lock file") for line in lines)
    assert not any(line.startswith("TestReadState") for line in lines)


OTHER_RUNNERS = [
    # (output, a line of its digest)
    (
        "test wire::reads_frame ... ok\ntest wire::rejects_half_frame ... FAILED\n\n"
        "---- wire::rejects_half_frame stdout ----\n"
        "thread 'wire::rejects_half_frame' panicked at src/wire.rs:40:9:\n"
        "test result: FAILED. 1 passed; 1 failed; 0 ignored\n",
        "wire::rejects_half_frame: thread 'wire::rejects_half_frame' panicked at src/wire.rs:40:9:",
    ),
    (
        "FAIL src/cart.test.ts\n  ✓ adds a line (3 ms)\n  ✕ removes a line\n"
        "  ● cart › removes a line\n    expect(received).toBe(expected)\n"
        "Tests:       1 failed, 1 passed, 2 total\n",
        "cart › removes a line: expect(received).toBe(expected)",
    ),
    (
        "..F\nFAIL: test_total (shop.tests.CartTest)\nAssertionError: 3 != 4\n\n"
        "Ran 3 tests in 0.004s\n\nFAILED (failures=1)\n",
        "test_total (shop.tests.CartTest): AssertionError: 3 != 4",
    ),
    (
        "TAP version 13\nok 1 - opens\nnot ok 2 - closes twice\n# pass 1\n# fail 1\n",
        "closes twice",
    ),
]


@pytest.mark.parametrize(("output", "expected"), OTHER_RUNNERS)
def test_other_runners(output: str, expected: str) -> None:
    padded = output + "nothing to be seen in this line of the output\n" * 40
    assert expected in digest(padded, 200, TIKTOKEN).split("\n")


def test_a_diff_tells_its_files() -> None:
    lines = lines_of("diff", DIGEST_TOKENS)
    assert lines[0] == "4be1a90c7d2f Read tide tables of leap years"
    assert lines[1].endswith("; diff of 4 files +11 -7")
    assert any(
        line.startswith("ferry/tides/reader.py +5 -2 in def read_tide_table") for line in lines
    )
    assert "docs/old_tables.md +0 -4 in deleted file" in lines
    assert "b/ferry" not in "\n".join(lines)


def test_a_trace_tells_the_exception_and_own_frames() -> None:
    lines = lines_of("trace")
    assert lines[0] == "app.berths.errors.BerthUnavailableError: no berth for IMO9321483"
    assert "/srv/harbour/app/berths/api.py line 93 in post_arrival" in lines
    assert "site-packages" not in "\n".join(lines)
    assert "asyncio/runners.py" not in "\n".join(lines)


def test_prose_tells_its_first_sentence_and_its_decisions() -> None:
    lines = lines_of("prose")
    assert lines[0].startswith("The migration to the new mail service went through")
    assert lines[2].startswith("We decided to keep the old server")
    assert lines[3].startswith("Nothing may be deleted before Ines")


def test_numbered_lines_are_read_as_without_numbers() -> None:
    numbered = "\n".join(
        f"{at:6}→{line}" for at, line in enumerate(text_of("source").split("\n"), start=1)
    )
    assert digest(numbered, 200, TIKTOKEN).split("\n")[2:] == lines_of("source")[2:]


# Title, path, size


def test_title_and_path_come_first() -> None:
    short = digest(text_of("report"), 100, TIKTOKEN, title="Phase 1\nresearch", path="out/1.md")
    assert short.split("\n")[:2] == ["Phase 1 research", "path: out/1.md"]


def test_a_short_text_is_kept_whole() -> None:
    assert digest("one line", 50, TIKTOKEN) == "one line"
    whole = digest("one line", 50, TIKTOKEN, title="Note", path="a/b.txt")
    assert whole == "Note\npath: a/b.txt\none line"
    assert digest("", 50, TIKTOKEN) == ""


def test_a_long_text_says_that_it_was_sampled() -> None:
    line = "nothing of interest happens on this line of the text\n"
    text = line * 5_000 + "see needle_in_the_middle\n" + line * 5_000 + "the last_name_of_all\n"
    short = digest(text, DIGEST_TOKENS, TIKTOKEN)
    assert "read in samples of head, middle and tail" in short
    assert {"needle_in_the_middle", "last_name_of_all"} <= set(identifiers(short))
    assert "samples" not in digest(line * 2_000, DIGEST_TOKENS, TIKTOKEN)


# Names


def test_names_are_ranked_by_kind_then_by_use() -> None:
    text = "well-known 2026-03-02 100200 E-4012 load_it src/app.py load_it some_word --------"
    ranked = ranked_names([text])
    assert ranked == [
        "E-4012",
        "load_it",
        "src/app.py",
        "some_word",
        "well-known",
        "100200",
        "2026-03-02",
    ]


def test_no_name_is_torn() -> None:
    text = text_of("source") * 3
    names = {*identifiers(text), *re.findall(r"\w+", text)}
    for limit_tokens in range(60, 400, 7):
        short = digest(text, limit_tokens, TIKTOKEN)
        if "names: " in short:
            told = short.partition("names: ")[2].split("\n")[0].split(" ")
            assert set(told) <= names


# Any text, any limit

PIECES = [
    "# A heading\n",
    "- decision: use `some_name`\n",
    "def function_name(x):\n",
    "    return x\n",
    '{"a_key": [1, 2]}\n',
    "2026-01-01 10:00:00 ERROR it_broke\n",
    "FAILED tests/a.py::test_it - AssertionError\n",
    "@@ -1 +1 @@\n+++ b/x.py\n+a\n-b\n",
    'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: x\n',
    "A sentence with 3 numbers. Another one.\n",
    "\ud83d",
    "<|endoftext|>",
    "  \n",
    "[[[[",
    "😀上海",
    "x" * 50,
    "a_b." * 30,
]
ANY_TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=60).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    ANY_TEXT,
    st.integers(0, 300),
    st.sampled_from(COUNTERS),
    st.sampled_from(["", "A title"]),
    st.sampled_from(["", "dir/file_name.txt"]),
)
def test_the_limit_holds(text: str, limit: int, count: Counter, title: str, path: str) -> None:
    short = digest(text, limit, count, title=title, path=path)
    assert count(short) <= limit
    assert short == digest(text, limit, count, title=title, path=path)
    if text and limit >= 8:
        assert short
    again = digest(short, limit, count, title=title, path=path)
    assert count(again) <= limit
    assert count(digest(short, limit, count)) <= count(short)


@pytest.mark.parametrize("name", SURVIVORS)
@pytest.mark.parametrize("count", COUNTERS, ids=["o200k", "scaled"])
def test_the_limit_holds_for_every_shape(name: str, count: Counter) -> None:
    text = text_of(name)
    for limit_tokens in [*range(0, 40, 3), *range(40, 400, 40)]:
        short = digest(text, limit_tokens, count)
        assert count(short) <= limit_tokens
        assert bool(short) >= (limit_tokens >= 8)
        assert digest(short, limit_tokens, count) == short


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        " " * 1_000_000,
        "." * 1_000_000,
        "[" * 1_000_000,
        '{"a": ' * 100_000,
        '[{"a": ' * 200 + "1" + "}]" * 200,
        "\ud83d " * 200_000,
        "=== " + "12" * 200_000,
        "pub " * 250_000,
    ],
    ids=range(9),
)
def test_a_hostile_text_has_a_digest(text: str) -> None:
    short = digest(text, DIGEST_TOKENS, TIKTOKEN)
    assert short
    assert TIKTOKEN(short) <= DIGEST_TOKENS
