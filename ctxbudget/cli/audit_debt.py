"""What `ctxbudget audit --debt` does once the bill is made: each session is read again, and replayed."""

from __future__ import annotations

from ctxbudget.cli.output import note
from ctxbudget.cli.progress import counted_bar
from ctxbudget.core.errors import CtxBudgetError
from ctxbudget.debt import LEAST_CALLS, debt_of
from ctxbudget.recorded.bill import Bill, Thread
from ctxbudget.recorded.files import STDIN
from ctxbudget.recorded.own_journal import SOURCE as OWN_JOURNAL
from ctxbudget.recorded.price_book import PriceBook
from ctxbudget.recorded.usage import RecordedFile
from ctxbudget.report.debt_rows import DebtRow, ordered_threads
from ctxbudget.transcripts.session import read_session

_NOT_OURS = "a journal of ctxbudget, whose prompts a policy has made already; `ctxbudget replay` compares it"


def debt_rows(bill: Bill) -> list[DebtRow]:
    """Return the rows of a finished bill with the debt of each; what is left out is told."""
    threads = ordered_threads(bill.threads)
    rows = []
    with counted_bar("replaying", len(threads)) as on_done:
        for thread in threads:
            rows.append(_row(thread, bill.prices))
            on_done(1)
    for row in rows:
        if row.debt is None and not _is_short(row.thread):
            note(f"{row.thread.name}: {row.left_out}; its debt is left out")
    return rows


def _row(thread: Thread, prices: PriceBook) -> DebtRow:
    reason = _unfit(thread)
    if reason:
        return DebtRow(thread=thread, left_out=reason)
    # A sub-agent's own file has no other thread, so none has to be named.
    agent = thread.agent if thread.file.has_main else None
    try:
        run = read_session(RecordedFile(file=thread.file.file), prices, agent).run
        if not run.has_texts:
            return DebtRow(thread=thread, left_out="holds no texts, so nothing can be replayed")
        return DebtRow(thread=thread, debt=debt_of(run))
    except CtxBudgetError as error:
        return DebtRow(thread=thread, left_out=str(error))


def _unfit(thread: Thread) -> str:
    """Return why a thread cannot have a debt, without reading it; empty if it can."""
    if _is_short(thread):
        return f"fewer than {LEAST_CALLS} calls"
    if thread.file.source == OWN_JOURNAL:
        return _NOT_OURS
    return "stdin cannot be read twice" if thread.file.file == STDIN else ""


def _is_short(thread: Thread) -> bool:
    return thread.sums.calls < LEAST_CALLS
