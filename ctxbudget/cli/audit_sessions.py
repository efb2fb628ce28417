"""What `ctxbudget audit` does once its options are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ctxbudget.cli.html_file import check_html, write_html
from ctxbudget.cli.output import console, note, print_json
from ctxbudget.cli.progress import bar
from ctxbudget.cli.recorded_files import tell_unread
from ctxbudget.core.errors import ConfigError, SourceError, reason_of
from ctxbudget.providers.prices import price_date, price_of
from ctxbudget.recorded.bill import Bill, By
from ctxbudget.recorded.files import STDIN, found_files, opened
from ctxbudget.recorded.formats import READ, RefusedError, usage_rows
from ctxbudget.recorded.lines import unpacked
from ctxbudget.recorded.own_journal import SOURCE as OWN_JOURNAL
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile, UsageRow

if TYPE_CHECKING:
    from rich.progress import Progress

    from ctxbudget.report.debt_rows import DebtRow

_DAY_S = 86_400.0
_STEP_ROWS = 100
"""Between two looks at the progress bar inside a file."""


class Shown(Protocol):
    """Shows how far reading has come."""

    def rows(
        self, name: str, rows: Iterator[UsageRow], stream: BufferedReader
    ) -> Iterator[UsageRow]:
        """Pass a file's rows on."""
        ...

    def done(self, name: str) -> None:
        """Take note that a file was read, or left out."""
        ...


def run(
    *,
    paths: Sequence[str],
    as_machine: bool,
    by: By,
    since: datetime | None,
    until: datetime | None,
    debt: bool,
    html: Path | None,
) -> None:
    """Read the files and print the bill, and where the debt sits if that is asked for.

    Raises:
        ConfigError: the range is empty, or does not go with the debt.
        SourceError: nothing could be read.
    """
    check_html(html)
    if debt and (since is not None or until is not None):
        raise ConfigError(
            "a session's debt is that of all its calls; leave --since and --until out",
            location=("--debt",),
        )
    in_range = _range(since, until)
    bill = Bill(PriceBook(price_of), by=by, in_range=in_range)
    drawn: BillDrawn | None = None
    if html is not None:
        from ctxbudget.report.html.of_audit import BillDrawn

        drawn = bill.heard = BillDrawn(bill.prices)
    files = _read_all(bill, paths)
    bill.finish()
    _tell(bill, files, is_whole=in_range is None)
    rows = _debt_rows(bill) if debt else None
    if html is not None and drawn is not None:
        from ctxbudget.report.html.of_audit import audit_page

        write_html(html, audit_page(bill, drawn, rows, price_date()))
    if as_machine:
        _print_json(bill, rows)
    else:
        _print(bill, rows)


def _debt_rows(bill: Bill) -> list[DebtRow]:
    from ctxbudget.cli.audit_debt import debt_rows

    return debt_rows(bill)


def _print_json(bill: Bill, rows: Sequence[DebtRow] | None) -> None:
    from ctxbudget.report.bill_json import bill_as_data

    data = bill_as_data(bill, price_date())
    if rows is not None:
        from ctxbudget.report.debt_json import with_debt

        data = with_debt(data, rows)
    print_json(data)


def _print(bill: Bill, rows: Sequence[DebtRow] | None) -> None:
    from ctxbudget.report.bill_terminal import print_bill

    shown_on = console()
    print_bill(shown_on, bill, price_date())
    if rows is not None:
        from ctxbudget.report.debt_terminal import print_debt

        print_debt(shown_on, rows)


def _range(since: datetime | None, until: datetime | None) -> Callable[[float], bool] | None:
    if since is None and until is None:
        return None
    if since is not None and until is not None and until < since:
        raise ConfigError(
            f"{until:%Y-%m-%d} is before --since {since:%Y-%m-%d}; swap them", path="--until"
        )
    from_s = since.replace(tzinfo=UTC).timestamp() if since else float("-inf")
    end_s = until.replace(tzinfo=UTC).timestamp() + _DAY_S if until else float("inf")
    return lambda at_s: from_s <= at_s < end_s


class _Refused(NamedTuple):
    """What is said of a file or folder that is left out; maybe with what to do instead."""

    text: str
    has_step: bool = False


def _read_all(bill: Bill, paths: Sequence[str]) -> list[RecordedFile]:
    """Add all files to the bill; those that cannot be read are told, and left out."""
    refused: list[_Refused] = []
    names = list(found_files(paths, lambda folder: refused.append(_empty(folder))))
    files: list[RecordedFile] = []
    with _progress(names) as shown:
        for name in names:
            file = RecordedFile(file=name)
            try:
                _read(bill, file, shown)
            except RefusedError as error:
                refused.append(_Refused(f"{name}: {error}", bool(error.step)))
            except OSError as error:
                reason = reason_of(error, "cannot be read")
                refused.append(_Refused(f"{name}: {reason}"))
            else:
                files.append(file)
            shown.done(name)
    if not files:
        raise SourceError(_nothing_read(refused))
    for one in refused:
        note(f"{one.text}; left out")
    return files


def _empty(folder: str) -> _Refused:
    return _Refused(f"{folder}: there is no .jsonl, .json or .gz file in it")


def _read(bill: Bill, file: RecordedFile, shown: Shown) -> None:
    with opened(file.file) as stream:
        rows = usage_rows(unpacked(stream), file)
        bill.add(file, _begun(shown.rows(file.file, rows, stream), file))


def _begun(rows: Iterator[UsageRow], file: RecordedFile) -> Iterator[UsageRow]:
    """Pass a file's rows on; refuse a journal of ours that holds no run, when it has been read."""
    is_begun = False
    for row in rows:
        is_begun = True
        yield row
    is_begun = is_begun or file.silent_calls > 0 or file.project is not None
    if file.source == OWN_JOURNAL and not is_begun:
        raise RefusedError("holds no run yet", step="wait for its first event")


def _nothing_read(refused: Sequence[_Refused]) -> str:
    *others, last = refused
    for one in others:
        note(f"{one.text}; left out")
    return last.text if last.has_step else f"{last.text}; name files that hold {READ}"


def _tell(bill: Bill, files: Sequence[RecordedFile], *, is_whole: bool) -> None:
    from ctxbudget.report.bill_notes import bill_notes

    for file in files:
        tell_unread(file, is_whole=is_whole)
    for one in bill_notes(bill, files if is_whole else ()):
        note(one)


@contextmanager
def _progress(names: Sequence[str]) -> Iterator[Shown]:
    """Yield what shows progress: on a terminal a bar of the bytes read, elsewhere nothing."""
    with bar() as progress:
        yield _Nothing() if progress is None else _Bar(progress, names)


class _Nothing:
    def rows(
        self, name: str, rows: Iterator[UsageRow], stream: BufferedReader
    ) -> Iterator[UsageRow]:
        return rows

    def done(self, name: str) -> None:
        pass


class _Bar:
    def __init__(self, progress: Progress, names: Sequence[str]) -> None:
        self._progress = progress
        self._sizes = {name: _size_bytes(name) for name in names}
        self._done_bytes = 0
        self._task = progress.add_task("reading", total=sum(self._sizes.values()) or None)

    def rows(
        self, name: str, rows: Iterator[UsageRow], stream: BufferedReader
    ) -> Iterator[UsageRow]:
        for number, row in enumerate(rows):
            if number % _STEP_ROWS == 0 and name != STDIN:
                self._progress.update(self._task, completed=self._done_bytes + stream.tell())
            yield row

    def done(self, name: str) -> None:
        self._done_bytes += self._sizes[name]
        self._progress.update(self._task, completed=self._done_bytes)


def _size_bytes(name: str) -> int:
    try:
        return 0 if name == STDIN else os.path.getsize(name)
    except OSError:
        return 0
