"""Measures the bill of recorded sessions, and checks it against independent counts.

    python benchmarks/bill.py DIR            time beside parsing alone, memory on a longer file
    python benchmarks/bill.py --check DIR    compare with DIR/INDEX.json; exit 1 on a difference,
                                             2 without an index

DIR holds recorded sessions. For the check, INDEX.json lists of each its `file`, `format`, `calls`
and `totals`, and where somebody else counted, `independent_totals` with what part they cover.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from ctxbudget.providers.prices import price_of
from ctxbudget.recorded.bill import Bill, cost_of
from ctxbudget.recorded.files import found_files
from ctxbudget.recorded.formats import RefusedError, usage_rows
from ctxbudget.recorded.lines import unpacked, value_of
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile, UsageRow

INDEX = "INDEX.json"
WANTED_RATIO = 2.0
ROUNDS = 5
TIMES_LONGER = 10
DOCUMENTS = ("mini_swe", "messages")
OF_RECORDED_COST = Decimal("0.005")
KINDS = ("input", "cache_w", "cache_r", "output", "e5m", "e1h")
INDEPENDENT = (
    "input_tokens",
    "cache_creation_tokens",
    "cache_read_tokens",
    "output_tokens",
)


# ---- the check


def rows_of(path: Path) -> list[UsageRow]:
    """Return the calls of a file's main thread, or of the only thread it has."""
    file = RecordedFile(file=str(path))
    with path.open("rb") as stream:
        rows = list(usage_rows(unpacked(stream), file))
    return [row for row in rows if row.agent is None or not file.has_main]


def counted(row: UsageRow) -> tuple[int, ...]:
    """Return a call's tokens in the order of `KINDS`."""
    tokens = row.tokens
    written = tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens
    return (
        tokens.uncached_tokens,
        written,
        tokens.cache_read_tokens,
        tokens.output_tokens,
        tokens.cache_write_5m_tokens,
        tokens.cache_write_1h_tokens,
    )


def plus(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sum of two calls' tokens."""
    return tuple(left + right for left, right in zip(one, other, strict=True))


def claude_differences(entry: dict[str, Any], rows: list[UsageRow]) -> Iterator[str]:
    """Yield in what a Claude Code session differs from the index."""
    calls = [counted(row) for row in rows]
    sums = list(accumulate(calls, plus, initial=(0,) * len(KINDS)))
    wanted = tuple(entry["totals"][kind] for kind in KINDS)
    if (len(rows), sums[-1]) != (entry["calls"], wanted):
        yield f"{len(rows)} calls, {sums[-1]}; the index has {entry['calls']}, {wanted}"
    other = entry.get("independent_totals")
    match = entry.get("independent_totals_match") or ""
    if other and match.startswith("exact"):
        told = tuple(other[key] for key in INDEPENDENT)
        if not _covers(sums, told, match):
            yield f"{sums[-1]}; an independent count ({match}) has {told}"


def _covers(sums: list[tuple[int, ...]], told: tuple[int, ...], match: str) -> bool:
    """Return whether the part of the calls that a count covers adds up to it."""
    heads = [head[: len(told)] for head in sums]
    starts = heads if "start_line" in match else heads[:1]
    ends = set(heads if "first N" in match else heads[-1:])
    return any(plus(start, told) in ends for start in starts)


def mini_swe_differences(rows: list[UsageRow], prices: PriceBook) -> tuple[int, int, Decimal]:
    """Return calls with a recorded cost, those off by more than 0.5 %, and the largest share off."""
    compared, off, largest = 0, 0, Decimal(0)
    for row in rows:
        cost = cost_of(row, prices)
        if row.recorded_usd and cost is not None:
            compared += 1
            share = abs(cost.usd / row.recorded_usd - 1)
            largest = max(largest, share)
            off += share > OF_RECORDED_COST
    return compared, off, largest


def check(folder: Path) -> int:
    """Print what differs from the index; return 1 if anything does, 2 if there is no index."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "is no JSON"
        print(
            f"{folder / INDEX}: {reason.lower()}; --check needs what others counted: see docs/audit.md",
            file=sys.stderr,
        )
        return 2
    prices = PriceBook(price_of)
    differences, files, calls, independent, priced, off = 0, 0, 0, 0, 0, 0
    for entry in index:
        path = folder / entry["file"]
        if entry["calls"] is None or not path.exists():
            continue
        rows = rows_of(path)
        found = [] if len(rows) == entry["calls"] else [f"{len(rows)} calls, not {entry['calls']}"]
        if entry["format"].startswith("claude"):
            found = list(claude_differences(entry, rows))
            independent += bool(entry.get("independent_totals"))
        compared, file_off, largest = mini_swe_differences(rows, prices)
        priced, off = priced + compared, off + file_off
        if file_off:
            print(
                f"{entry['file']}: {file_off} of {compared} recorded costs differ, by up to "
                f"{largest:.1%}"
            )
        for one in found:
            print(f"DIFFERENT {entry['file']}: {one}")
        files, calls, differences = files + 1, calls + len(rows), differences + len(found)
    print(
        f"{files} files, {calls:,} calls, {differences} differences; {independent} files counted by "
        f"somebody else too; {priced - off:,} of {priced:,} recorded costs are within 0.5 %"
    )
    return 1 if differences or not files else 0


# ---- the speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session in memory, so that reading and unpacking are not measured."""

    name: str
    source: str
    raw: bytes


def held_sessions(folder: Path) -> list[Held]:
    """Return the sessions of a folder that can be billed."""
    found = []
    for name in found_files([str(folder)]):
        file = RecordedFile(file=name)
        with Path(name).open("rb") as stream:
            raw = unpacked(stream).read()
        try:
            usage_rows(BytesIO(raw), file)
        except RefusedError:
            continue
        found.append(Held(name=name, source=file.source, raw=raw))
    return found


def parse_alone(sessions: Iterable[Held]) -> None:
    """Parse every line, or document, with the parser that the bill uses."""
    for session in sessions:
        for raw in [session.raw] if session.source in DOCUMENTS else BytesIO(session.raw):
            try:
                value_of(raw)
            except ValueError:
                continue


def bill_all(sessions: Iterable[Held]) -> Bill:
    """Return the bill of sessions, with prices looked up anew."""
    bill = Bill(PriceBook(price_of))
    for session in sessions:
        file = RecordedFile(file=session.name)
        bill.add(file, usage_rows(BytesIO(session.raw), file))
    bill.finish()
    return bill


def longer(raw: bytes, times: int) -> Iterator[bytes]:
    """Yield a session's lines over and over, each time with ids of its own."""
    for number in range(times):
        mark = f'"id":"msg_{number}x'.encode()
        for line in BytesIO(raw):
            yield re.sub(rb'"id":\s*"msg_', mark, line)


def peak_bytes(path: Path) -> int:
    """Return the most memory that the bill of a file takes."""
    bill, file = Bill(PriceBook(price_of)), RecordedFile(file=str(path))
    with path.open("rb") as stream:
        tracemalloc.start()
        bill.add(file, usage_rows(stream, file))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def measure(folder: Path) -> None:
    """Print the ratios."""
    sessions = held_sessions(folder)
    bill_all(sessions[:1])  # imports
    console = Console(width=100)
    table = Table(title=f"the best of {ROUNDS} rounds, without reading and unpacking")
    for column in ("format", "sessions", "MB", "calls", "parsing", "the bill"):
        table.add_column(column, justify="right")
    table.add_column(f"ratio (≤ {WANTED_RATIO:g})", justify="right")
    for source in ("all", *sorted({one.source for one in sessions})):
        some = [one for one in sessions if source in ("all", one.source)]
        alone = min(_timed(parse_alone, some))
        whole = min(_timed(bill_all, some))
        table.add_row(
            source,
            f"{len(some):,}",
            f"{sum(len(one.raw) for one in some) / 1e6:.1f}",
            f"{bill_all(some).total.calls:,}",
            f"{alone * 1e3:.1f} ms",
            f"{whole * 1e3:.1f} ms",
            f"{whole / alone:.2f}",
        )
    console.print(table)
    _print_memory(console, sessions)


def _timed(work: Callable[[list[Held]], object], sessions: list[Held]) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work(sessions)
        times.append(time.perf_counter() - begin)
    return times


def _print_memory(console: Console, sessions: list[Held]) -> None:
    """Print how memory grows with the length of the longest Claude Code session."""
    longest = max(
        (one for one in sessions if one.source == "claude_code"), key=lambda one: len(one.raw)
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "session.jsonl")
        peaks = []
        for times in (1, 1, TIMES_LONGER):  # the first time, for what is imported
            with path.open("wb") as file:
                file.writelines(longer(longest.raw, times))
            peaks.append(peak_bytes(path))
    console.print(
        f"traced peak on {len(longest.raw):,} bytes: {peaks[1]:,} bytes; on a file {TIMES_LONGER} "
        f"times longer, with as many more calls: {peaks[2]:,} bytes"
    )


def main() -> None:
    """Check or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="a folder of recorded sessions")
    parser.add_argument("--check", action="store_true", help="compare with the folder's INDEX.json")
    given = parser.parse_args()
    if given.check:
        sys.exit(check(given.folder))
    measure(given.folder)


if __name__ == "__main__":
    main()
