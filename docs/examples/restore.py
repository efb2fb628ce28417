"""Nothing is lost: what was pruned, why, what it cost to carry, and how it comes back."""

from itertools import count
from typing import Any

from ctxbudget import Phase, Run


def result_shown(phase: Phase) -> Any:
    """Return what the prompt says of the first file that was read."""
    return phase.prompt().messages[2]["content"][0]["content"]


run = Run.open(
    window_tokens=50_000,
    policy="masking:keep=2",  # only the newest two tool results stay whole
    counter="o200k_base",
    clock=count().__next__,
)
with run.phase("work") as work:
    work.user("Find the bug in the invoice totals.")
    for number in range(6):
        path = f"src/invoice_{number}.py"
        work.tool_call("read_file", {"path": path}, call_id=f"c{number}")
        work.tool_result(f"c{number}", f"total_{number} = sum(lines)\n" * 50, source=path)
        work.prompt()

    first = next(item for item in work.items() if item.source == "src/invoice_0.py")
    print("now:", result_shown(work))
    for happening in run.why(first.id):
        print("why:", happening)

    cost = work.restore_cost(first.id)
    print(
        f"to restore: {cost.gained_tokens:,} tokens, and {cost.rewritten_tokens:,} cached ones "
        f"written again; fits: {cost.fits}"
    )
    work.restore(first.id, pin=True)  # pinned, or a later call would clear it again
    print("back:", result_shown(work).splitlines()[0])

    print(f"to undo the latest plan: {work.undo_cost().gained_tokens:,} tokens")
    for rent in run.rent("source")[:3]:
        print(f"rent: {rent.name}: {rent.rent_tokens:,} tokens over {rent.calls} calls")
    print(work.forecast())
run.close()
