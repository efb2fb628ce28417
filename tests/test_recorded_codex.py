"""Tests of Codex rollouts: a running total turned into calls."""

from __future__ import annotations

from recorded_lines import codex_count, codex_meta, codex_turn, codex_usage, read

from ctxbudget.recorded.usage import Split


def test_a_call_is_counted_where_the_total_changes() -> None:
    first, second = codex_usage(100, 40, 10), codex_usage(120, 90, 5)
    total = codex_usage(220, 130, 15)
    rows, file = read(
        [
            codex_meta(),
            codex_turn("gpt-5.5"),
            codex_count(None, None),
            codex_count(first, first),
            codex_count(first, first),
            codex_turn("gpt-5.4-mini"),
            codex_count(total, second),
            codex_count(None, None),
            codex_count(total, second),
        ]
    )
    assert [(row.model, row.tokens) for row in rows] == [
        ("gpt-5.5", Split(60, 40, 0, 0, 10)),
        ("gpt-5.4-mini", Split(30, 90, 0, 0, 5)),
    ]
    assert (file.source, file.session, file.project) == ("codex", "t-1", "/home/ann/shop")
    assert file.unlisted_tokens == 0


def test_cache_writes_are_part_of_the_input_too() -> None:
    usage = codex_usage(100, 40, 10, cache_write_input_tokens=25)
    rows, _ = read([codex_meta(), codex_count(usage, usage)])
    assert rows[0].tokens == Split(35, 40, 25, 0, 10)


def test_without_the_last_usage_the_growth_is_the_call() -> None:
    rows, _ = read(
        [
            codex_meta(),
            codex_count(codex_usage(100, 40, 10), None),
            codex_count(codex_usage(220, 130, 15), None),
            codex_count(codex_usage(50, 0, 2), None),  # begun anew
        ]
    )
    assert [row.tokens for row in rows] == [
        Split(60, 40, 0, 0, 10),
        Split(30, 90, 0, 0, 5),
        Split(50, 0, 0, 0, 2),
    ]


def test_a_total_that_grew_by_more_than_its_call_is_told() -> None:
    _, file = read(
        [
            codex_meta(),
            codex_count(codex_usage(100, 40, 10), codex_usage(100, 40, 10)),
            codex_count(codex_usage(300, 40, 30), codex_usage(120, 0, 5)),
        ]
    )
    assert file.unlisted_tokens == (300 + 30) - (100 + 10) - (120 + 5)


def test_a_forks_copied_history_has_the_same_ids() -> None:
    first = codex_usage(100, 40, 10)
    rows, file = read(
        [
            codex_meta("t-1"),
            codex_count(first, first),
            codex_count(codex_usage(220, 130, 15), codex_usage(120, 90, 5)),
            codex_meta("t-2", forked_from_id="t-1"),
            codex_meta("t-1"),
            codex_count(first, first),
        ]
    )
    assert len(rows) == 3
    assert rows[0].id == rows[2].id != rows[1].id
    assert file.session == "t-1"
    assert file.unlisted_tokens == 0


def test_equal_first_calls_of_two_sessions_are_not_the_same_call() -> None:
    usage = codex_usage(100, 40, 10)
    ids = [read([codex_meta(name), codex_count(usage, usage)])[0][0].id for name in ("a", "b")]
    assert ids[0] != ids[1]


def test_a_sub_agents_rollout_names_its_parent() -> None:
    spawn = {"thread_spawn": {"parent_thread_id": "t-1", "depth": 1, "agent_nickname": "Ada"}}
    usage = codex_usage(100, 40, 10)
    rows, file = read([codex_meta("t-2", source={"subagent": spawn}), codex_count(usage, usage)])
    assert (rows[0].agent, file.has_main, file.parent_session) == ("Ada", False, "t-1")
    rows, file = read([codex_meta("t-3", source={"subagent": "review"}), codex_count(usage, usage)])
    assert (rows[0].agent, file.has_main) == ("review", False)


def test_more_cached_than_sent_damages_the_line() -> None:
    usage = codex_usage(100, 140, 10)
    rows, file = read([codex_meta(), codex_count(usage, usage)])
    assert (rows, file.damaged) == ([], [2])
