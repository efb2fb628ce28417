"""Where the debt of recorded sessions sits, with costs and savings worked by hand.

Prices are 10 USD a million tokens, 1 read, 12.5 and 20 written for five minutes and an hour, so
that a token of each costs 10, 1, 12.5 and 20 millionths of a dollar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxbudget.config.policy_file import load_policy, policy_from_data
from ctxbudget.core.types import Kind, Price
from ctxbudget.debt import Debt, Finding, debt_of, totals
from ctxbudget.debt.as_recorded import as_recorded
from ctxbudget.debt.findings import STEPS, Saving, What, by_saving
from ctxbudget.debt.looks import only_looks
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile, Split
from ctxbudget.replay import RecordedRun, Settings, what_if
from ctxbudget.transcripts.exchange import Exchange, Part
from ctxbudget.transcripts.session import recorded_session

MILLION = Decimal(1_000_000)
PRICE = Price(
    input_usd=10 / MILLION,
    cache_read_usd=1 / MILLION,
    cache_write_5m_usd=Decimal("12.5") / MILLION,
    cache_write_1h_usd=20 / MILLION,
    output_usd=50 / MILLION,
)
START_S = 1_790_000_000.0
FIRST, CALLED, READ = 10_000, 100, 2_000
"""Tokens of the first prompt, of each answer, and of each result."""


def lines_of(name: str) -> str:
    """Return a text of about as many tokens as a result has."""
    return "\n".join(f"value_{name}_{line} = compute_thing({line})" for line in range(150))


class Told:
    """Tells a session call by call, as a provider would have counted it."""

    def __init__(self, *, ttl_s: float = 300.0, unpriced: bool = False) -> None:
        self.exchanges: list[Exchange] = []
        self.sizes: dict[str, int] = {"start": FIRST}
        self.ttl_s = ttl_s
        self.unpriced = unpriced
        self._at_s = START_S
        self._cached: list[str] = []
        self._came: list[Part] = [_text("goal", Kind.USER, "mend the cart of the shop")]
        self._left: tuple[str, ...] = ()
        self._compacted: tuple[str, ...] = ()
        self._stand_ins: tuple[str, ...] = ()

    def result(
        self, name: str, text: str, *, tool: str, source: str | None, tokens: int = READ
    ) -> Told:
        """Let the result of the call `name` come."""
        block = {"type": "tool_result", "tool_use_id": name, "content": text}
        part = Part(
            id=f"{name}.result",
            kind=Kind.TOOL_RESULT,
            block=block,
            group=name,
            tool=tool,
            source=source,
        )
        self._came.append(part)
        self.sizes[part.id] = tokens
        return self

    def gone(self, *names: str) -> Told:
        """Let a rewind take parts out."""
        self._left = names
        return self

    def compacted(self, names: Iterable[str], summary: str, tokens: int) -> Told:
        """Let the host put a summary in the place of parts."""
        text = "what was done so far: " + "looked around and tried it again; " * (tokens // 9)
        self._compacted, self._stand_ins = tuple(names), (summary,)
        self._came.append(replace(_text(summary, Kind.USER, text), is_injected=False))
        self.sizes[summary] = tokens
        return self

    def call(
        self,
        name: str,
        given: dict[str, object] | str,
        *,
        tool: str = "Bash",
        gap_s: float = 20.0,
        found: bool = False,
    ) -> Told:
        """Make a call that answers with a tool call, or with a text.

        `found` says that the provider's cache held all of the prompt before, however late it is.
        """
        self._at_s += gap_s
        came = [part.id for part in self._came if part.id != "goal"]
        here = [one for one in self._cached if one not in (*self._left, *self._compacted)]
        same = [old for old, new in zip(self._cached, here, strict=False) if old == new]
        is_warm = gap_s <= self.ttl_s or found
        read = sum(self.sizes[one] for one in same) if is_warm else 0
        prompt_ids = [*here, *came] if self.exchanges else ["start"]
        prompt = sum(self.sizes[one] for one in prompt_ids)
        kind = Kind.ASSISTANT if isinstance(given, str) else Kind.TOOL_CALL
        wrote = (
            _text(name, kind, given)
            if isinstance(given, str)
            else Part(
                id=name,
                kind=kind,
                block={"type": "tool_use", "id": name, "name": tool, "input": given},
                group=name,
                tool=tool,
            )
        )
        self.sizes[name] = CALLED
        long = self.ttl_s > 300
        written = prompt - read
        self.exchanges.append(
            Exchange(
                at_s=self._at_s,
                model="m",
                tokens=Split(0, read, 0 if long else written, written if long else 0, CALLED),
                came=tuple(self._came),
                left=self._left,
                compacted=self._compacted,
                stand_ins=self._stand_ins,
                wrote=(wrote,),
            )
        )
        self._cached = [*prompt_ids, name]
        self._came, self._left, self._compacted, self._stand_ins = [], (), (), ()
        return self

    def reads(self, name: str, path: str, text: str, **call: float | bool) -> Told:
        """Read a file: the call that asks for it; its result comes before the next one."""
        self.call(name, {"file_path": path}, tool="Read", **call)  # type: ignore[arg-type]
        return self.result(name, text, tool="Read", source=path)

    def run(self) -> RecordedRun:
        """Return the session as a run."""
        price = None if self.unpriced else PRICE
        found = recorded_session(
            self.exchanges, RecordedFile(file="one.jsonl"), PriceBook(lambda model, at: price)
        )
        return found.run


def _text(name: str, kind: Kind, text: str) -> Part:
    return Part(id=name, kind=kind, block={"type": "text", "text": text})


def finding(debt: Debt, what: What) -> Finding:
    (found,) = [one for one in debt.findings if one.what == what]
    return found


def saving(debt: Debt, what: What) -> Saving:
    found = finding(debt, what).saving
    assert found is not None
    return found


def whats(debt: Debt) -> list[str]:
    return sorted(one.what for one in debt.findings)


def usd(*amounts: float) -> Decimal:
    """Return a sum of millionths of a dollar."""
    return sum((Decimal(repr(amount)) for amount in amounts), Decimal(0)) / MILLION


# ---- the session of most cases: a.py is read in vain, b.py is used


def one_read_in_vain() -> Told:
    told = Told().reads("t1", "a.py", lines_of("a")).reads("t2", "b.py", lines_of("b"))
    told.call("t3", {"command": "pytest"}).result("t3", lines_of("c"), tool="Bash", source=None)
    told.call("t4", {"command": "pytest tests/test_value_b_3"})
    told.result("t4", lines_of("d"), tool="Bash", source=None)
    return told.call("t5", "It was value_b_7 = compute_thing(7), in value_b_7.")


COSTS = [
    (10_000, 0, 10_000),
    (12_100, 10_000, 2_100),
    (14_200, 12_100, 2_100),
    (16_300, 14_200, 2_100),
    (18_400, 16_300, 2_100),
]
"""Of each call: the prompt, what it reads, what it writes."""

CALL_COSTS = [read + 12.5 * written for _, read, written in COSTS]


def test_the_session_costs_what_it_should() -> None:
    recorded = as_recorded(one_read_in_vain().run())
    found = [
        (one.sent.tokens, one.sent.cache_read_tokens, one.sent.cache_write_tokens)
        for one in recorded.calls
    ]
    assert found == COSTS
    assert recorded.input_usd == usd(*CALL_COSTS) == Decimal("0.2826")
    assert [one.gap_s for one in recorded.calls] == [None, 20, 20, 20, 20]


def test_a_read_of_which_nothing_was_used_is_speculative() -> None:
    debt = debt_of(one_read_in_vain().run())
    (read,) = debt.speculative
    assert (read.stay.item.id, read.stay.item.source, read.stay.item.tokens) == (
        "t1.result",
        "a.py",
        READ,
    )
    assert (read.stay.first_call, read.from_call, read.calls) == (2, 3, 3)
    # its share of what the calls 3 to 5 cost
    shares = [cost / prompt for cost, (prompt, _, _) in zip(CALL_COSTS, COSTS, strict=True)]
    assert float(read.cost_usd or 0) == pytest.approx(READ * sum(shares[2:]) / 1e6)
    assert whats(debt) == ["speculative_reads"]
    found = finding(debt, "speculative_reads")
    assert (found.count, found.tokens, found.cost_usd) == (1, READ, read.cost_usd)


def test_what_clearing_it_after_one_call_saves() -> None:
    """A placeholder of P tokens stays: the third call writes it, the others read it.

    So the third call saves 2,000 reads and 12.5 P are written; the two others save 2,000 - P reads.
    """
    debt = debt_of(one_read_in_vain().run())
    saved = saving(debt, "speculative_reads")
    assert saved.usd is not None
    placeholder = (3 * READ - saved.usd * MILLION) / Decimal("14.5")
    assert placeholder == int(placeholder)
    assert 5 < placeholder < 60
    assert (saved.policy, saved.misses, saved.recall_frac) == ("clear-once-sent", 0, 1.0)
    assert saved.with_misses_usd == saved.usd
    found = finding(debt, "speculative_reads")
    assert found.saves_frac == pytest.approx(float(saved.usd / Decimal("0.2826")))


def test_a_saving_may_be_negative() -> None:
    told = Told().reads("t1", "a.py", lines_of("a"))
    told._came.append(_text("more", Kind.USER, lines_of("b")))
    told.sizes["more"] = READ
    told.call("t2", {"command": "pytest"})
    told.result("t2", lines_of("c"), tool="Bash", source=None).call("t3", "It is done.")
    debt = debt_of(told.run())
    # 4,000 are written again behind the one change, for a single call that reads 2,000 less
    found = finding(debt, "speculative_reads")
    assert found.saves_usd is not None
    assert found.saves_usd < 0
    assert found.saves_frac is not None
    assert found.saves_frac < 0


@pytest.mark.parametrize(
    ("tool", "given"),
    [("Bash", {"command": "make all"}), ("Write", {"file_path": "a.py"}), ("Task", {})],
)
def test_only_reads_and_searches_are_speculative(tool: str, given: dict[str, object]) -> None:
    told = Told().call("t1", given, tool=tool)
    told.result("t1", lines_of("a"), tool=tool, source=None)
    told.call("t2", {"command": "pytest"}).result("t2", lines_of("b"), tool="Bash", source=None)
    assert debt_of(told.call("t3", "It is done.").run()).speculative == ()


def test_a_result_without_names_or_that_one_call_carried_is_not_judged() -> None:
    told = Told().reads("t1", "a.py", "word\n" * 1_500)
    told.call("t2", {"command": "pytest"}).result("t2", lines_of("b"), tool="Bash", source=None)
    told.reads("t3", "c.py", lines_of("c")).call("t4", "It is done.")
    assert debt_of(told.run()).speculative == ()


@pytest.mark.parametrize(("tokens", "found"), [(99, ()), (100, ("t1.result",))])
def test_a_result_as_short_as_a_placeholder_is_not_worth_a_word(
    tokens: int, found: tuple[str, ...]
) -> None:
    text = "\n".join(lines_of("a").split("\n")[:8])
    told = Told().call("t1", {"file_path": "a.py"}, tool="Read")
    told.result("t1", text, tool="Read", source="a.py", tokens=tokens)
    told.call("t2", {"command": "pytest"}).result("t2", lines_of("b"), tool="Bash", source=None)
    debt = debt_of(told.call("t3", "It is done.").run())
    assert tuple(ids(debt.speculative)) == found


def test_what_a_compaction_took_is_not_carried_any_longer() -> None:
    told = Told().reads("t1", "a.py", lines_of("a")).reads("t2", "b.py", lines_of("b"))
    told.call("t3", {"command": "pytest"}).result("t3", lines_of("c"), tool="Bash", source=None)
    told.compacted(["t1", "t1.result", "t2", "t2.result"], "sum1", 500)
    told.call("t4", {"command": "pytest"}).result("t4", lines_of("d"), tool="Bash", source=None)
    told.call("t5", "It is done.")
    found = {one.stay.item.id: one.calls for one in debt_of(told.run()).speculative}
    assert found == {"t1.result": 1}  # b.py was carried by one call only


# ---- which calls only look


@pytest.mark.parametrize(
    ("tool", "given", "looks"),
    [
        ("Read", {"file_path": "a.py"}, True),
        ("NotebookRead", {}, True),
        ("mcp__shop__search_code", {"text": "cart"}, True),
        ("list_dir", {}, True),
        ("WebFetch", {"url": "u"}, True),
        ("LS", {}, True),
        ("Edit", {"file_path": "a.py"}, False),
        ("search_and_replace", {}, False),
        ("TodoWrite", {}, False),
        (None, None, False),
        ("Bash", {"command": "cat a.py"}, True),
        ("Bash", {"command": "cd src && grep -rn 'a|b; c > d' . 2>/dev/null | head -5"}, True),
        ("Bash", {"command": "/usr/bin/rg cart; git -P log --oneline"}, True),
        ("Bash", {"command": "cat a.py\nsed -n 1,20p b.py"}, True),
        ("Bash", {"command": "grep '' a.py 2>&1"}, True),
        ("Bash", {"command": "cat a.py > b.py"}, False),
        ("Bash", {"command": "cat a.py >& b.py"}, False),
        ("Bash", {"command": "cat <<EOF\nhello\nEOF"}, False),
        ("Bash", {"command": "sed -i s/a/b/ a.py"}, False),
        ("Bash", {"command": "sed -i.bak s/a/b/ a.py"}, False),
        ("Bash", {"command": "find . -name '*.pyc' -delete"}, False),
        ("Bash", {"command": "cat a.py && make"}, False),
        ("Bash", {"command": "git commit -m x"}, False),
        ("Bash", {"command": "cd src"}, False),
        ("Bash", {"command": "echo 'no end"}, False),
        ("Bash", {"command": ""}, False),
        ("Bash", {"command": 7}, False),
        ("Bash", {}, False),
        ("shell", {"command": ["bash", "-lc", "ls -la"]}, True),
        ("shell", {"command": []}, False),
        ("exec_command", {"cmd": "ls -la"}, True),
        ("bash", {"text": "I look first.\n```bash\nls -la\n```"}, True),
        ("bash", {"text": "I build.\n```bash\nmake\n```"}, False),
    ],
)
def test_calls_that_only_look(tool: str | None, given: object, looks: bool) -> None:
    assert only_looks(tool, given) is looks


# ---- coming back to a cold cache


def after_a_break(gap_s: float, *, ttl_s: float = 300.0, found: bool = False) -> Told:
    told = Told(ttl_s=ttl_s)
    told.call("t1", {"command": "make"}).result("t1", lines_of("a"), tool="Bash", source=None)
    told.call("t2", {"command": "make"}, gap_s=gap_s, found=found)
    return told.result("t2", lines_of("b"), tool="Bash", source=None).call("t3", "It is done.")


@pytest.mark.parametrize(
    ("gap_s", "ttl_s", "extra"), [(301.0, 300.0, 11.5), (3601.0, 300.0, 11.5), (3601.0, 3600.0, 19)]
)
def test_a_call_after_the_cache_expired_pays_for_all_of_it(
    gap_s: float, ttl_s: float, extra: float
) -> None:
    debt = debt_of(after_a_break(gap_s, ttl_s=ttl_s).run())
    (entry,) = debt.reentries
    assert (entry.call, entry.gap_s, entry.tokens) == (2, gap_s, FIRST)
    # written instead of read
    assert entry.cost_usd == usd(FIRST * extra)
    found = finding(debt, "cache_reentries")
    assert (found.count, found.tokens, found.cost_usd) == (1, FIRST, entry.cost_usd)


@pytest.mark.parametrize(
    "told",
    [
        after_a_break(300.0),
        after_a_break(3600.0, ttl_s=3600.0),
        after_a_break(4000.0, found=True),  # others kept it
    ],
)
def test_a_call_that_found_its_cache_is_no_reentry(told: Told) -> None:
    assert debt_of(told.run()).reentries == ()


@pytest.mark.parametrize(("kept", "found"), [(FIRST - 1_023, 0), (FIRST - 1_024, 1)])
def test_a_few_tokens_again_are_no_reentry(kept: int, found: int) -> None:
    told = after_a_break(400.0)
    late = told.exchanges[1]
    written = late.tokens.prompt_tokens - kept
    told.exchanges[1] = replace(late, tokens=Split(0, kept, written, 0, CALLED))
    assert len(debt_of(told.run()).reentries) == found


def test_a_cache_that_was_lost_early_is_no_reentry() -> None:
    told = after_a_break(100.0)
    lost = told.exchanges[1]
    told.exchanges[1] = replace(lost, tokens=Split(0, 0, lost.tokens.prompt_tokens, 0, CALLED))
    assert debt_of(told.run()).reentries == ()


def test_what_the_hourly_cache_would_have_saved() -> None:
    """As it was, all is written at 12.5: 10,000, then 12,100 again, then 2,100 beside 12,100 read.

    For an hour, 20 a token: 10,000, 2,100 and 2,100; 10,000 and 12,100 are read.
    """
    debt = debt_of(after_a_break(600.0).run())
    was = 12.5 * (10_000 + 12_100 + 2_100) + 12_100
    hourly = 20 * (10_000 + 2_100 + 2_100) + 10_000 + 12_100
    assert debt.input_usd == usd(was)
    saved = saving(debt, "five_minute_cache")
    assert saved.usd == usd(was - hourly)
    assert (saved.policy, saved.options, saved.misses) == ("none", "--ttl 1h", 0)


@pytest.mark.parametrize(("gap_s", "ttl_s"), [(3601.0, 300.0), (3601.0, 3600.0)])
def test_an_hour_that_would_not_have_helped_is_no_finding(gap_s: float, ttl_s: float) -> None:
    assert whats(debt_of(after_a_break(gap_s, ttl_s=ttl_s).run())) == ["cache_reentries"]


def test_no_hourly_cache_where_none_can_be_asked_for() -> None:
    told = after_a_break(600.0)
    told.exchanges = [
        replace(
            one, tokens=Split(tokens.cache_write_5m_tokens, tokens.cache_read_tokens, 0, 0, CALLED)
        )
        for one in told.exchanges
        for tokens in [one.tokens]
    ]
    assert whats(debt_of(told.run())) == ["cache_reentries"]


def test_compacting_before_a_break_is_replayed() -> None:
    told = Told()
    for number in range(24):
        told.call(f"t{number}", {"command": "make"}, gap_s=900 if number == 12 else 20)
        told.result(f"t{number}", lines_of(f"x{number}"), tool="Bash", source=None)
    told.call("end", "value_x1_33 = compute_thing(33)\nvalue_x1_77 = compute_thing(77)")
    run = told.run()
    policy = what_if(run, load_policy("compact-before-break"))
    assert policy.compactions == 1
    debt = debt_of(run)
    assert debt.input_usd is not None
    assert policy.cost_usd is not None
    assert policy.total_cost_usd is not None
    saved = saving(debt, "cache_reentries")
    assert saved.usd == debt.input_usd - policy.cost_usd > 0
    assert saved.with_misses_usd == debt.input_usd - policy.total_cost_usd < saved.usd
    assert saved.misses > 0
    assert policy.recall is not None
    assert saved.recall_frac == policy.recall.recall


# ---- compactions of the host


def compacted_twice() -> Told:
    told = Told()
    for number in (1, 2):
        told.call(f"t{number}", {"command": "make"})
        told.result(f"t{number}", lines_of(f"x{number}"), tool="Bash", source=None)
    told.call("t3", "It goes on.")
    told.compacted(["t1", "t1.result", "t2", "t2.result"], "sum1", 600)
    told.call("t4", {"command": "make"})
    told.result("t4", lines_of("x4"), tool="Bash", source=None).call("t5", "It goes on.")
    told.compacted(["sum1", "t3", "t4", "t4.result"], "sum2", 500)
    return told.call("t6", "It is done.")


def test_summaries_of_summaries() -> None:
    debt = debt_of(compacted_twice().run())
    first, second = debt.compactions
    assert (first.next_call, first.depth, second.next_call, second.depth) == (4, 1, 6, 2)
    assert (first.taken_tokens, first.tool_result_tokens) == (2 * (CALLED + READ), 2 * READ)
    assert (first.summary_tokens, first.lost_tokens) == (600, 3_600)
    assert (second.taken_tokens, second.tool_result_tokens) == (600 + 2 * CALLED + READ, READ)
    assert (second.summary_tokens, second.lost_tokens) == (500, 2_300)
    # each time the first 10,000 are read; an answer of 100 and the summary are written
    assert (first.written_tokens, first.cost_usd) == (700, usd(700 * 11.5))
    assert (second.written_tokens, second.cost_usd) == (600, usd(600 * 11.5))
    found = finding(debt, "host_compactions")
    assert (found.count, found.tokens) == (2, 5_900)
    assert found.cost_usd == usd(1_300 * 11.5)


def test_what_clearing_results_instead_of_compacting_would_have_saved() -> None:
    run = compacted_twice().run()
    debt = debt_of(run)
    other = what_if(run, load_policy("clear-tool-uses"), Settings(ignores_compactions=True))
    assert debt.input_usd is not None
    assert other.cost_usd is not None
    saved = saving(debt, "host_compactions")
    assert (saved.policy, saved.options) == ("clear-tool-uses", "--ignore-compactions")
    assert saved.usd == debt.input_usd - other.cost_usd
    assert saved.usd != 0


# ---- files that were read again


def read_twice(again: str, *, takes: str = "") -> Told:
    told = Told().reads("t1", "a.py", lines_of("a"))
    told.call("t2", {"command": "make"}).result("t2", lines_of("b"), tool="Bash", source=None)
    if takes == "rewind":
        told.gone("t1", "t1.result")
    if takes == "compaction":
        told.compacted(["t1", "t1.result"], "sum1", 600)
    told.reads("t3", "a.py", again)
    return told.call("t4", "It is value_a_3 = compute_thing(3), in value_a_3.")


def ids(reads: Iterable[object]) -> list[str]:
    return [read.stay.item.id for read in reads]  # type: ignore[attr-defined]


def test_the_same_text_again_is_redundant() -> None:
    debt = debt_of(read_twice(lines_of("a")).run())
    assert ids(debt.rereads.redundant) == ["t3.result"]
    assert debt.rereads.lost == ()
    (older,) = debt.superseded
    assert (older.stay.item.id, older.from_call, older.calls) == ("t1.result", 4, 1)
    (copy,) = debt.rereads.redundant
    assert (copy.from_call, copy.calls) == (4, 1)
    # the fourth call reads 14,200 of 16,300
    share = (14_200 + 12.5 * 2_100) / 16_300 / 1e6
    assert float(copy.cost_usd or 0) == pytest.approx(READ * share)
    assert float(older.cost_usd or 0) == pytest.approx(READ * share)
    assert saving(debt, "redundant_rereads").policy == "clear-once-sent"
    assert saving(debt, "superseded_reads").policy == "tidy, reads only"


def test_a_part_of_it_is_redundant_too_and_another_text_is_not() -> None:
    part = "\n".join(lines_of("a").split("\n")[20:120])
    assert ids(debt_of(read_twice(part).run()).rereads.redundant) == ["t3.result"]
    other = debt_of(read_twice(lines_of("z")).run())
    assert (other.rereads.redundant, other.rereads.lost) == ((), ())
    assert ids(other.superseded) == ["t1.result"]


@pytest.mark.parametrize("takes", ["rewind", "compaction"])
def test_a_copy_that_was_taken_is_read_again(takes: str) -> None:
    debt = debt_of(read_twice(lines_of("a"), takes=takes).run())
    assert ids(debt.rereads.lost) == ["t3.result"]
    assert (debt.rereads.redundant, debt.superseded) == ((), ())
    found = finding(debt, "rereads_after_loss")
    assert (found.count, found.tokens, found.saving, found.saves_frac) == (1, READ, None, None)
    assert found.unsaved


def test_one_copy_that_is_left_is_enough() -> None:
    told = Told().reads("t1", "a.py", lines_of("a"))
    told.call("t2", {"command": "make"}).result("t2", lines_of("b"), tool="Bash", source=None)
    told.gone("t1", "t1.result").reads("t3", "a.py", lines_of("a"))
    told.reads("t4", "a.py", lines_of("a")).call("t5", "It is done.")
    found = debt_of(told.run()).rereads
    assert (ids(found.lost), ids(found.redundant)) == (["t3.result"], ["t4.result"])


def test_a_copy_that_one_call_carried_beside_the_other_stood_there() -> None:
    told = Told().reads("t1", "a.py", lines_of("a")).reads("t2", "a.py", lines_of("a"))
    told.call("t3", {"command": "make"}).gone("t1", "t1.result")
    told.result("t3", lines_of("b"), tool="Bash", source=None).call("t4", "It is done.")
    debt = debt_of(told.run())
    assert ids(debt.rereads.redundant) == ["t2.result"]
    (older,) = debt.superseded
    assert (older.stay.item.id, older.calls) == ("t1.result", 1)


def test_tidy_clears_reads_and_nothing_else() -> None:
    """The same file twice in a row: `tidy` clears the older copy, and lets the thoughts stand."""
    told = Told()
    for number in range(40):
        name = f"t{number}"
        told.reads(name, "a.py" if number in (20, 21) else f"{name}.py", lines_of(name))
        told._came.append(_text(f"{name}.seen", Kind.THINKING, lines_of(f"y{number}")))
        told.sizes[f"{name}.seen"] = READ
    run = told.call("end", "It is done.").run()
    debt = debt_of(run)
    assert ids(debt.superseded) == ["t20.result"]
    rule = load_policy("tidy").as_data["rules"][1]
    when = {"min_gain_tokens": 1000, "pays_off": True}
    reads_only = policy_from_data({"name": "reads", "rules": [{**rule, "when": when}]})
    expected, tidy = what_if(run, reads_only), what_if(run, load_policy("tidy"))
    assert debt.input_usd is not None
    assert expected.cost_usd is not None
    saved = saving(debt, "superseded_reads").usd
    assert saved == debt.input_usd - expected.cost_usd > 0
    assert tidy.cost_usd != expected.cost_usd


# ---- who paid most


def test_rents_add_up_and_come_by_cost() -> None:
    debt = debt_of(one_read_in_vain().run())
    rents = debt.rents
    assert rents.items[0].item.id == "prefix"
    whole = 0.2826
    groups = (rents.by_kind, rents.by_tool, rents.by_source, [one.rent for one in rents.items])
    for group in groups:
        assert float(sum(one.cost_usd or 0 for one in group)) == pytest.approx(whole)
        costs = [one.cost_usd or Decimal(0) for one in group]
        assert costs == sorted(costs, reverse=True)
    assert {one.name for one in rents.by_source} == {"-", "a.py", "b.py"}
    (a,) = [one for one in rents.items if one.item.id == "t1.result"]
    assert (a.rent.calls, a.rent.rent_tokens) == (4, 4 * READ)


# ---- prices that are not known


def test_without_a_price_tokens_are_counted_and_money_is_not() -> None:
    told = Told(unpriced=True).reads("t1", "a.py", lines_of("a"))
    told.call("t2", {"command": "make"}, gap_s=600)
    told.result("t2", lines_of("b"), tool="Bash", source=None).call("t3", "It is done.")
    debt = debt_of(told.run())
    assert debt.input_usd is None
    assert whats(debt) == ["cache_reentries", "five_minute_cache", "speculative_reads"]
    for one in debt.findings:
        assert (one.cost_usd, one.saves_usd, one.saves_frac) == (None, None, None)
        assert one.tokens >= READ
    assert debt.rents.items[0].rent.cost_usd is None


# ---- all sessions together


def found(what: What, saves: int | None, cost: int | None = 1, **more: int) -> Finding:
    saved = None
    if saves is not None:
        with_misses = Decimal(saves - 1)
        saved = Saving(
            policy="p", usd=Decimal(saves), with_misses_usd=with_misses, misses=2, served=3, used=4
        )
    return Finding(
        what=what,
        count=more.get("count", 1),
        tokens=more.get("tokens", 10),
        cost_usd=None if cost is None else Decimal(cost),
        input_usd=Decimal(100),
        saving=saved,
    )


def test_findings_of_many_sessions_add_up_by_kind() -> None:
    every = [
        found("speculative_reads", 5, 3),
        found("cache_reentries", 7),
        found("speculative_reads", -2, 4, count=3, tokens=30),
        found("speculative_reads", None, None),
        found("rereads_after_loss", None),
    ]
    first, second, third = totals(every, Decimal(200))
    assert (first.what, first.saves_usd) == ("cache_reentries", Decimal(7))
    assert first.saves_frac == 0.035
    assert (second.what, second.sessions, second.count, second.tokens) == (
        "speculative_reads",
        3,
        5,
        50,
    )
    assert [second.cost_usd, second.saves_usd] == [7, 3]
    assert second.saving == Saving(
        policy="p", usd=Decimal(3), with_misses_usd=Decimal(1), misses=4, served=6, used=8
    )
    assert second.saving is not None
    assert second.saving.recall_frac == 0.75
    assert (third.what, third.saving) == ("rereads_after_loss", None)
    assert third.cost_usd == 1


def test_findings_come_by_saving_and_those_without_one_last() -> None:
    every = [
        found("rereads_after_loss", None, 9),
        found("host_compactions", -4),
        found("speculative_reads", 2),
        found("redundant_rereads", None, 11),
        found("cache_reentries", 3),
    ]
    assert [one.what for one in by_saving(every)] == [
        "cache_reentries",
        "speculative_reads",
        "host_compactions",
        "redundant_rereads",
        "rereads_after_loss",
    ]
    assert all(one.step == STEPS[one.what] for one in every)


# ---- invariants


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "again", "make", "use", "compact"]),
            st.sampled_from([20.0, 400.0, 4_000.0]),
            st.integers(0, 9),
        ),
        min_size=2,
        max_size=9,
    ),
    st.sampled_from([300.0, 3600.0]),
)
def test_whatever_the_session(steps: list[tuple[str, float, int]], ttl_s: float) -> None:
    told = Told(ttl_s=ttl_s)
    for number, (what, gap_s, pick) in enumerate(steps):
        name = f"t{number}"
        if what == "compact" and number > 1:
            here = [one for one in told._cached if one != "start"]
            whole = [one for one in here if one.split(".")[0] != f"t{number - 1}"]
            told.compacted(whole, f"sum{number}", 600)
        if what in ("read", "again"):
            file = f"f{pick % 3}" if what == "again" else name
            told.reads(name, f"{file}.py", lines_of(file), gap_s=gap_s)
        elif what == "use":
            word = f"value_f{pick % 3}_{pick} value_t{pick}_{pick}"
            told.call(name, f"It is {word}, I think.", gap_s=gap_s)
        else:
            told.call(name, {"command": "make"}, gap_s=gap_s)
            told.result(name, lines_of(f"m{number}"), tool="Bash", source=None)
    run = told.call("end", "It is done.").run()
    debt = debt_of(run)
    none = what_if(run, load_policy("none"))
    assert debt.input_usd == none.cost_usd
    assert none.cost_usd is not None
    carried = sum(one.cost_usd or Decimal(0) for one in debt.rents.by_kind)
    assert float(carried) == pytest.approx(float(none.cost_usd))
    for one in debt.findings:
        assert one.cost_usd is not None
        assert 0 <= one.cost_usd <= none.cost_usd
        if one.what in ("speculative_reads", "five_minute_cache"):
            assert one.saving is not None
            assert one.saving.misses == 0
    long = sum(one.cost_usd or Decimal(0) for one in debt.reentries)
    assert long <= none.cost_usd
