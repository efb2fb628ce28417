"""What `ctxbudget restore` does once its options are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ctxbudget._version import __version__
from ctxbudget.cli.item_view import ItemView, written_text
from ctxbudget.cli.journal_view import check_known
from ctxbudget.cli.output import note, print_json
from ctxbudget.core.errors import CtxBudgetError, JournalError, SourceError, reason_of
from ctxbudget.core.events import Answered, Event, Fact
from ctxbudget.live.parts import Options, Parts
from ctxbudget.live.pieces import Block, media_of
from ctxbudget.live.views import ReturnCost, restore_cost
from ctxbudget.report.journal_json import item_as_data
from ctxbudget.report.plain import visible
from ctxbudget.sources.journal import replay_into


def run(
    *, journal: Path, item: str, thread: str | None, out: Path | None, as_machine: bool
) -> None:
    """Print (or write) the text, and say what the item's return would cost."""
    view = ItemView.read(journal, item)
    check_known("thread", thread, view.prompts.threads)
    block = _block(view)
    text = written_text(block)
    chosen = thread or _thread_of(view)
    cost, no_cost = _cost(view, chosen)
    if out is not None:
        _write(out, text)
    if as_machine:
        print_json(_as_data(view, chosen, cost, no_cost, None if out else block, out))
        return
    _say_cost(view, chosen, cost, no_cost)
    if out is not None:
        note(f"{len(text):,} characters are in {out}")
    else:
        # a terminal must not obey what a tool once answered; a pipe gets it as it was, which
        # click would not leave it without `color`
        shown = visible(text) if sys.stdout.isatty() else text
        click.echo(shown, nl=not text.endswith("\n"), color=True)
    if any(True for _ in media_of(block)):
        note("the item holds images or documents; `block` of --json has them")


def _block(view: ItemView) -> Block:
    """Return the block that the item was.

    Raises:
        SourceError: the journal does not hold it.
    """
    block = view.block()
    if block is not None:
        return block
    if not view.names_texts:
        reason = "is of a simulation, which has sizes but no texts; take the journal of a live run"
    elif not view.holds_texts:
        reason = "was written without texts (`keeps_texts=False`); have the next run keep them"
    else:
        reason = f"holds no text of item {view.item!r}; `ctxbudget why` says what became of it"
    raise SourceError(f"{view.path} {reason}")


def _thread_of(view: ItemView) -> str:
    """Return the open thread that misses the item, main first; else the one it came into."""
    shortened = [
        prompt.thread for prompt in view.prompts.open if view.item in prompt.left
    ]  # what stands there in a shorter form has left, too
    if shortened:
        return shortened[0]
    return next((one.thread for one in view.prompts.open if view.item in one.items), view.thread)


def _cost(view: ItemView, thread: str) -> tuple[ReturnCost | None, str | None]:
    """Return what the item's return would cost, or why that cannot be said."""
    if not view.prompts.threads[thread].is_open:
        return None, f"thread {thread!r} has ended"
    try:
        return restore_cost(_rebuilt(view), thread, view.item), None
    except CtxBudgetError as error:
        return None, str(error)


def _rebuilt(view: ItemView) -> Parts:
    """Return the run as the journal leaves it.

    What was still being decided when the journal ends, or a crash came, is left out: an effect is
    waiting for its answer there.
    """
    events = view.events
    try:
        return _replayed(view, events)
    except JournalError:
        return _replayed(view, events[: _last_fact(events)])


def _replayed(view: ItemView, events: list[Event]) -> Parts:
    last_at = view.events[-1].at
    # nothing is counted here, so the cheapest counter will do
    parts = Parts(view.start, Options(counter="chars", clock=lambda: last_at))
    replay_into(parts.engine, events, (), path=str(view.path))
    return parts


def _last_fact(events: list[Event]) -> int:
    """Return where the last fact stands that is no answer."""
    numbers = range(len(events) - 1, -1, -1)
    return next(
        number
        for number in numbers
        if isinstance(events[number], Fact) and not isinstance(events[number], Answered)
    )


def _write(out: Path, text: str) -> None:
    """Write a new file.

    Raises:
        SourceError: there is a file of that name, or it cannot be written.
    """
    try:
        if out.is_file() and out.stat().st_size:
            raise SourceError(f"{out} exists; choose another name for --out")
        with out.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(text)
    except OSError as error:
        reason = reason_of(error, "cannot be written")
        raise SourceError(f"{out}: {reason}; choose another place for --out") from None


def _say_cost(view: ItemView, thread: str, cost: ReturnCost | None, no_cost: str | None) -> None:
    if cost is None:
        note(f"what bringing {view.item} back would cost cannot be said: {no_cost}")
        return
    for line in _cost_lines(view, thread, cost):
        note(line)


def _cost_lines(view: ItemView, thread: str, cost: ReturnCost) -> Iterator[str]:
    others = [name for name in cost.items if name != view.item]
    with_it = f" with {', '.join(others)}" if others else ""
    yield (
        f"bringing {view.item} back into the prompt of {thread}{with_it} would add "
        f"{cost.gained_tokens:,} tokens (to at most {cost.occupancy_tokens:,}) and write "
        f"{cost.rewritten_tokens:,} cached tokens again; "
        + ("it fits" if cost.fits else f"{cost.to_prune_tokens:,} tokens would have to go for it")
    )


def _as_data(
    view: ItemView,
    thread: str,
    cost: ReturnCost | None,
    no_cost: str | None,
    block: Block | None,
    out: Path | None,
) -> dict[str, Any]:
    return {
        "ctxbudget": __version__,
        "journal": str(view.path),
        "item": item_as_data(view.first),
        "thread": thread,
        "cost": None if cost is None else {**asdict(cost), "fits": cost.fits},
        "no_cost": no_cost,
        "text": None if block is None else written_text(block),
        "block": None if block is None else dict(block),
        "out": None if out is None else os.fspath(out),
    }
