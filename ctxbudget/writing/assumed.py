"""Sizes for what nobody has measured yet; each is an assumption, and is written down as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OUTPUTS: Final = {"small": 1_000, "medium": 3_000, "large": 8_000}
"""Tokens of what a phase hands on, in words: a decision, a plan or a report, a long document."""

LEAST_METADATA_TOKENS: Final = 50

WINDOW_TOKENS: Final = 200_000
"""Of a model whose window nobody knows, as a simulation takes it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What is taken for granted of work that has not been done yet.

    Attributes:
        rounds: rounds of tools in a phase; one more call writes its output.
        call_tokens, result_tokens: what the model writes in a round, and what the tool answers.
        output_tokens: of what a phase hands on.
        instructions_tokens: of the system prompt, the definitions of tools and the task.
    """

    rounds: int = 8
    call_tokens: int = 150
    result_tokens: int = 1_500
    output_tokens: int = OUTPUTS["medium"]
    instructions_tokens: int = 4_000

    @property
    def turn(self) -> dict[str, int]:
        """What one round adds, as a workflow file says it."""
        return {"call": self.call_tokens, "result": self.result_tokens}

    @property
    def metadata_tokens(self) -> int:
        """Of the short stand-in for an output: a tenth of it."""
        return metadata_tokens(self.output_tokens)


def metadata_tokens(output_tokens: int) -> int:
    """Return the assumed size of an output's stand-in: a tenth of it, 50 at least, never more."""
    return min(output_tokens, max(LEAST_METADATA_TOKENS, output_tokens // 10))
