"""Kinds of text, and the estimate that uses them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxbudget.counting.content_class import ContentClass, classify
from ctxbudget.counting.counters import HeuristicCounter, TiktokenCounter, counter

ROOT = Path(__file__).parent.parent
DIGESTS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(40)]
UUIDS = [f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:32]}" for d in DIGESTS]

ENGLISH = (
    "The window is a budget. Every call sends again whatever is still in it, and it is paid for "
    "again, so what nobody needs should leave early. "
)
GERMAN = (
    "Das Fenster gleicht einem Budget. Bei jedem Aufruf wird alles, was noch darin steht, erneut "
    "übertragen und bezahlt; überflüssige Einträge löscht man möglichst früh. "
)
CHINESE = "上下文窗口是一种预算。每次调用模型时，仍然留在窗口里的内容都要重新发送并再次付费。"
JAPANESE = "コンテキストの窓は予算です。呼び出すたびに残っている内容がもう一度送られます。"
KOREAN = "컨텍스트 창은 예산입니다. 모델을 호출할 때마다 남아 있는 내용이 다시 전송됩니다."
RUSSIAN = "Окно похоже на бюджет. При каждом обращении всё, что осталось, отправляется снова. "
ARABIC = "نافذة السياق تشبه الميزانية. في كل نداء للنموذج يُرسل كل ما بقي فيها من جديد. "
PYTHON = (ROOT / "ctxbudget" / "core" / "graph.py").read_text(encoding="utf-8")
JAVASCRIPT = "function add(a, b) {\n  const list = items.map((x) => x.id);\n  return b;\n}\n"
RECORDS = [{"id": n, "name": f"user {n}", "tags": ["a", "b"], "active": True} for n in range(50)]
LOG = "".join(
    f"2026-11-20T10:{n:02}:07Z INFO worker-{n % 8} request id={u} took {n * 13} ms status=200\n"
    for n, u in enumerate(UUIDS)
)
TABLE = "".join(f"{n},alpha{n},2026-01-{n % 28 + 1:02},{n * 3.7:.2f}\n" for n in range(60))

SAMPLES = [
    ("english", ENGLISH * 20, ContentClass.PROSE),
    ("german", GERMAN * 20, ContentClass.PROSE),
    ("markdown", (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8"), ContentClass.PROSE),
    ("python", PYTHON, ContentClass.CODE),
    ("javascript", JAVASCRIPT * 20, ContentClass.CODE),
    ("json", json.dumps(RECORDS, indent=2), ContentClass.STRUCTURED),
    ("minified", json.dumps(RECORDS, separators=(",", ":")), ContentClass.STRUCTURED),
    ("log", LOG, ContentClass.STRUCTURED),
    ("table", TABLE, ContentClass.STRUCTURED),
    ("chinese", CHINESE * 20, ContentClass.OTHER_SCRIPT),
    ("japanese", JAPANESE * 20, ContentClass.OTHER_SCRIPT),
    ("korean", KOREAN * 20, ContentClass.OTHER_SCRIPT),
    ("russian", RUSSIAN * 20, ContentClass.OTHER_SCRIPT),
    ("arabic", ARABIC * 20, ContentClass.OTHER_SCRIPT),
    ("digests", "\n".join(DIGESTS), ContentClass.OPAQUE),
    ("uuids", "\n".join(UUIDS), ContentClass.OPAQUE),
    ("base64", base64.b64encode("".join(DIGESTS).encode()[::-1]).decode(), ContentClass.OPAQUE),
]
NAMES = [name for name, _, _ in SAMPLES]


@pytest.mark.parametrize(("_name", "text", "content"), SAMPLES, ids=NAMES)
def test_kinds_of_text(_name: str, text: str, content: ContentClass) -> None:
    assert classify(text) is content


@pytest.mark.parametrize("text", ["", "ok", "True", "internationalization", "…", "🎉🎉"])
def test_what_is_too_short_to_tell_is_prose(text: str) -> None:
    assert classify(text) is ContentClass.PROSE


def test_a_drawn_table_is_no_other_script() -> None:
    drawn = "┌──────┬──────┐\n│ plan │ 1200 │\n└──────┴──────┘\n" * 10
    assert classify(drawn) is not ContentClass.OTHER_SCRIPT


def test_only_start_middle_and_end_are_read() -> None:
    plain = "plain words and nothing more, " * 100
    assert classify(plain[:400] + CHINESE * 10 + plain * 3) is ContentClass.PROSE
    shown = CHINESE * 10
    assert classify(shown + plain + shown + plain + shown) is ContentClass.OTHER_SCRIPT


@given(st.text())
def test_every_text_has_one_kind(text: str) -> None:
    assert classify(text) is classify(text)


# The estimate


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),  # 0.24
        ("word" * 5, 5),  # prose: 20 × 0.24 = 4.8
        ("12345", 6),  # prose: 5 × 1.2, exactly
        ("一" * 10, 7),  # 10 × 0.7, exactly
        ("a b", 1),  # 2 × 0.24 + 0.06 = 0.54
        ("no!", 2),  # 2 × 0.24 + 0.55 = 1.03
        ("a\nb", 1),  # 2 × 0.24 + 0.4 = 0.88
        ("é", 1),
    ],
)
def test_estimates_worked_by_hand(text: str, tokens: int) -> None:
    assert HeuristicCounter()(text) == tokens


@pytest.mark.parametrize(("_name", "text", "content"), SAMPLES, ids=NAMES)
def test_estimate_is_close_to_the_count(_name: str, text: str, content: ContentClass) -> None:
    allowed = 0.5 if content is ContentClass.OTHER_SCRIPT else 0.25
    ratio = HeuristicCounter()(text) / TiktokenCounter()(text)
    assert 1 - allowed < ratio < 1 + allowed


@given(st.text(), st.text(max_size=5))
def test_estimate_of_any_text(text: str, more: str) -> None:
    tokens = HeuristicCounter()(text)
    assert (tokens > 0) == (text != "")
    assert tokens <= 2 * len(text)
    assert HeuristicCounter()(text) == tokens


def test_lone_surrogates_are_counted() -> None:
    assert HeuristicCounter()("\ud83d" * 10) == 8


def test_by_name() -> None:
    found = counter("heuristic")
    assert (found.name, found.is_estimate) == ("heuristic", True)
    assert found(ENGLISH) == HeuristicCounter()(ENGLISH)


def test_no_encoding_is_loaded() -> None:
    code = (
        "import sys; from ctxbudget.counting.counters import counter, o200k_encoding;"
        "counter('heuristic')('some words');"
        "print('tiktoken' in sys.modules, o200k_encoding.cache_info().currsize)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False 0"
