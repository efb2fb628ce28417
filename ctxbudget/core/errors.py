"""The error tree, split by whose fault it is.

Every message ends with the next step; the numbers are attributes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches


class CtxBudgetError(Exception):
    """The base of every error that ctxbudget raises on purpose."""


class ConfigError(CtxBudgetError):
    """A file or an option of the user's is wrong.

    Attributes:
        message: what is wrong and what to do, without the place.
        path: the file, or the option, that is wrong; None where it is not known yet.
        line: 1-based line in the file, or None.
        key: the key inside the file, as people write it (`phases[2].output`), or None.
        location: the key as steps.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        location: tuple[str | int, ...] = (),
    ) -> None:
        self.message, self.path, self.line, self.location = message, path, line, location
        self.key = dotted(location) or None
        where = ":".join(str(part) for part in (path, line) if part is not None)
        super().__init__(": ".join(part for part in (where, self.key, message) if part))


def dotted(location: tuple[str | int, ...]) -> str:
    """Return a place in a file as people write it: `phases[2].agents[0].output`."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def near_misses(name: str, known: Iterable[str]) -> str:
    """Return a hint that lists what was probably meant, or what there is."""
    names = sorted(known)
    close = get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f"known are: {shown or 'none'}"


def reason_of(error: OSError, otherwise: str) -> str:
    """Return why the system refused something, as a part of a sentence; `otherwise` if it says not."""
    return (error.strerror or otherwise).lower()


class PolicyError(CtxBudgetError):
    """A policy broke its contract, for example by naming an item that is not in the prompt.

    Attributes:
        rule: the rule's name.
    """

    def __init__(self, message: str, *, rule: str) -> None:
        self.rule = rule
        super().__init__(f"rule {rule!r}: {message}; see the contract of Plan and Operation")


class BudgetExceededError(CtxBudgetError):
    """What no rule may touch does not fit the hard limit.

    Attributes:
        thread: the thread whose prompt does not fit.
        tokens: what the untouchable items hold.
        limit_tokens: the hard limit (window minus reserve).
        items: (id, tokens) of the untouchable items, largest first.

    `wanted` is said first where something else was asked for, such as a restore.
    """

    def __init__(
        self,
        *,
        thread: str,
        tokens: int,
        limit_tokens: int,
        items: tuple[tuple[str, int], ...],
        wanted: str = "",
    ) -> None:
        self.thread, self.tokens, self.limit_tokens, self.items = (
            thread,
            tokens,
            limit_tokens,
            items,
        )
        largest = ", ".join(f"{item} ({size:,})" for item, size in items[:3])
        super().__init__(
            f"thread {thread!r}: {wanted}pinned and permanent items, and calls that wait for a "
            f"result, alone hold {tokens:,} tokens, the hard limit is {limit_tokens:,}; the largest "
            f"are {largest}. Unpin or shorten them, or choose a larger window or a smaller reserve."
        )


class JournalError(CtxBudgetError):
    """A journal cannot be read or written.

    Attributes:
        path: the journal file.
        line: 1-based line, or None.
    """

    def __init__(self, message: str, *, path: str, line: int | None = None) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path}{'' if line is None else f':{line}'}: {message}")


class SourceError(CtxBudgetError):
    """Facts came in an order or with names that make no sense, or a recorded line is unreadable.

    Attributes:
        at: seconds on the source's clock, or None where it is not known.
    """

    def __init__(self, message: str, *, at: float | None = None) -> None:
        self.at = at
        super().__init__(message if at is None else f"at {at:g} s: {message}")


class ThrashError(CtxBudgetError):
    """The prompt is compacted again and again, and is full again at once.

    Attributes:
        thread: the thread whose prompt it is.
        item: the largest item that came since the compaction before; what fills it.
        tokens: its size.
        limit_tokens: the hard limit (window minus reserve).
    """

    def __init__(self, *, thread: str, item: str, tokens: int, limit_tokens: int) -> None:
        self.thread, self.item, self.tokens, self.limit_tokens = thread, item, tokens, limit_tokens
        super().__init__(
            f"thread {thread!r} was compacted three times in a row within three calls each; item "
            f"{item!r} ({tokens:,} tokens of a hard limit of {limit_tokens:,}) fills it again. Bound "
            "such items with a snip rule on item_added, or choose a larger window."
        )


class SpendingLimitError(CtxBudgetError):
    """A budget in money is used up.

    Attributes:
        scope: `run` or `phase:ID`.
        spent_usd, limit_usd: what was spent and what was allowed.
    """

    def __init__(self, *, scope: str, spent_usd: Decimal, limit_usd: Decimal) -> None:
        self.scope, self.spent_usd, self.limit_usd = scope, spent_usd, limit_usd
        super().__init__(
            f"{scope}: {spent_usd:.4f} USD are spent of {limit_usd:.4f}; raise `budget_usd`, or end "
            "the run here"
        )


class AdapterError(CtxBudgetError):
    """A provider or a host answered what we cannot use, or was given what it would refuse."""
