"""The host's own compactions, and summaries that were summarized again."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ctxbudget.core.pricing import input_usd
from ctxbudget.core.types import Kind
from ctxbudget.debt.as_recorded import AsRecorded, Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """One compaction of the host.

    Attributes:
        next_call: the first call after it.
        depth: 1 for a summary of what was said, 2 if it summarized a summary, and so on.
        taken_tokens: what it took out; `summary_tokens` stand for that.
        tool_result_tokens: of what it took out, results of tools.
        written_tokens: of the next call's prompt, what was not read from the cache.
        cost_usd: what these cost above reading them; None if the price is not known. The call that
            wrote the summary is not in the log, and not in it.
    """

    next_call: int
    depth: int
    taken_tokens: int
    summary_tokens: int
    tool_result_tokens: int
    written_tokens: int
    cost_usd: Decimal | None

    @property
    def lost_tokens(self) -> int:
        """What is no longer in the prompt in any words."""
        return max(0, self.taken_tokens - self.summary_tokens)


def compactions(recorded: AsRecorded) -> list[Compaction]:
    """Return the host's compactions in order."""
    tokens = {stay.item.id: stay.item.tokens for stay in recorded.stays}
    depths: dict[str, int] = {}
    found = []
    for taken in recorded.compactions:
        gone = [stay.item for stay in taken.stays]
        depth = 1 + max((depths.get(item.id, 0) for item in gone), default=0)
        depths.update(dict.fromkeys(taken.into, depth))
        written_tokens, usd = _written(recorded, taken)
        results = (item.tokens for item in gone if item.kind is Kind.TOOL_RESULT)
        found.append(
            Compaction(
                next_call=taken.next_call,
                depth=depth,
                taken_tokens=sum(item.tokens for item in gone),
                summary_tokens=sum(tokens.get(name, 0) for name in taken.into),
                tool_result_tokens=sum(results),
                written_tokens=written_tokens,
                cost_usd=usd,
            )
        )
    return found


def _written(recorded: AsRecorded, taken: Taken) -> tuple[int, Decimal | None]:
    """Return what the call after a compaction did not read from the cache, and what that cost."""
    if taken.next_call > len(recorded.calls):
        return 0, Decimal(0)
    call = recorded.calls[taken.next_call - 1]
    tokens = call.sent.tokens - call.sent.cache_read_tokens
    if call.price is None:
        return tokens, None
    read_usd = call.price.cost_usd(cache_read_tokens=call.sent.tokens)
    return tokens, input_usd(call.sent, call.price) - read_usd
